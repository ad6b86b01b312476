package store_test

import (
	"path/filepath"
	"testing"

	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

// openBolt opens the bbolt engine as the suite asks for it.
func openBolt(dir string, cfg storetest.Config) (storetest.Outbox, error) {
	s, err := store.Open(filepath.Join(dir, "outbox.db"), store.Options{
		DedupWindow: cfg.DedupWindow, OverdueAfter: cfg.OverdueAfter, LateWindow: cfg.LateWindow, MaxSize: cfg.MaxSize, Skips: cfg.Skips,
		Wall: cfg.Clock.Wall, Monotonic: cfg.Clock.Monotonic,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func TestConformance(t *testing.T) { storetest.Run(t, openBolt) }

// Behind a backlog larger than the look-ahead.
func TestConformance_BoundedLookAhead(t *testing.T) {
	defer store.SetWindowForTest(4, 2, 1, 2)()
	storetest.WalkBounded(t, openBolt)
}
