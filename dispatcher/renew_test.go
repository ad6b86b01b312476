package dispatcher

import (
	"context"
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

// agedOrg notes how old a description may be that it is asked for; 0 is as old as usual.
type agedOrg struct {
	*oddOrg
	ages []time.Duration
}

func (o *agedOrg) Describe(context.Context, string) (*salesforce.Object, error) {
	o.ages = append(o.ages, 0)
	return o.schema, nil
}

func (o *agedOrg) DescribeWithin(_ context.Context, _ string, age time.Duration) (*salesforce.Object, error) {
	o.ages = append(o.ages, age)
	return o.schema, nil
}

func (o *agedOrg) Described(string) (*salesforce.Object, bool, time.Duration) {
	return o.schema, false, 0
}

// TestDescribe_NoLongerBelievedOnceContradicted: saving calls is no reason to send by a description that is known to be wrong.
func TestDescribe_NoLongerBelievedOnceContradicted(t *testing.T) {
	org := &agedOrg{oddOrg: &oddOrg{schema: schemaOf(t, []salesforce.Field{{Name: "Email", Type: "email"}})}}
	d := New(Config{}, nil, org, slog.New(slog.DiscardHandler))
	d.budget.note(salesforce.Usage{Used: 700, Max: 1000, At: time.Now()})
	ask := func(object string, want time.Duration) {
		t.Helper()
		if _, err := d.describe(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		if got := org.ages[len(org.ages)-1]; got != want {
			t.Errorf("a description of %s may be %v old, want %v", object, got, want)
		}
	}
	ask("Contact", traitsForLong)
	d.renew("Contact")
	ask("contact", 0)
	ask("Account", traitsForLong)
}
