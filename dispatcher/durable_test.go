package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/store"
)

// What became of an attempt waits for room for as long as the dispatcher runs,
// and for settleWithin once it stops.
func TestOutlasting_EndsAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		longer, cancel := outlasting(ctx)
		defer cancel()
		time.Sleep(24 * time.Hour)
		if longer.Err() != nil {
			t.Fatal("it ended before the stop")
		}
		stop()
		begun := time.Now()
		<-longer.Done()
		if took := time.Since(begun); took != settleWithin {
			t.Errorf("it ended %v after the stop, want %v", took, settleWithin)
		}
	})
}

// A store that has ended by a failed commit is asked once: the daemon must not
// linger on it.
func TestDurable_GivesUpOnAStoreThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Dispatcher{log: slog.New(slog.DiscardHandler)}
		calls := 0
		err := d.durably(t.Context(), "settle", func(context.Context) error {
			if calls++; calls < 3 {
				return store.ErrUnknown
			}
			return errors.Join(store.ErrUnknown, store.ErrClosed)
		})
		if calls != 3 || !errors.Is(err, store.ErrClosed) {
			t.Errorf("%d calls, %v; want 3 and ErrClosed", calls, err)
		}
	})
}
