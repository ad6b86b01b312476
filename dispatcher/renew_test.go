package dispatcher

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

// sameWord is an org whose description of an object stays the same until it is replaced.
type sameWord struct {
	Org
	object *salesforce.Object
}

func (s *sameWord) Described(string) (*salesforce.Object, bool, time.Duration) {
	return s.object, false, 0
}

// TestRenew_MoreAndMoreSeldom: answers that contradict a description which does not
// change cost some calls a day, not one a minute.
func TestRenew_MoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org := &sameWord{object: &salesforce.Object{Name: "Contact"}}
		d := New(Config{}, nil, org, slog.New(slog.DiscardHandler))
		asked := func(over time.Duration) (n int) {
			for range int(over / (10 * time.Second)) {
				d.renew("Contact")
				for len(d.wanted) > 0 {
					<-d.wanted
					n++
				}
				time.Sleep(10 * time.Second)
			}
			return n
		}
		if n := asked(24 * time.Hour); n < 24 || n > 30 {
			t.Errorf("asked %d times in a day of the same word", n)
		}
		org.object = &salesforce.Object{Name: "Contact"}
		if n := asked(10 * time.Minute); n < 3 || n > 4 {
			t.Errorf("asked %d times in ten minutes of a new one", n)
		}
	})
}
