package store

import (
	"errors"
	"io"
	"path/filepath"
	"testing"
)

// A restored store stays known for one until that is written in it: a start that
// ends between its two marks must not make it pass for the one that ran here.
func TestStart_RestoredStaysKnownWhenTheStartFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.num.Generation = "of a backup" // as Close stores it
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := lockStore(path)
	if err != nil {
		t.Fatal(err)
	}
	half := &Store{path: path, lock: lock, log: s.log, opts: s.opts, db: s.db, disk: s.disk} // its db is closed
	half.num.Generation = "of a backup"
	if err := half.startGeneration(); err == nil {
		t.Fatal("a start without a database succeeded")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{})
	if !s.facts.Restored {
		t.Error("after a start that failed, the restored store is taken for the one that ran here")
	}
}

// What a failing disk took down is not held against the events that were under way.
func TestStart_DiskFailureIsNoCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	putKeys(t, s, "a")
	term := mustHold(t, s)
	if _, events, err := s.Claim(t.Context(), term, "job", ClaimSpec{Route: contactRoute, Kind: KindBulk, MaxRecords: 9, MaxBytes: 1 << 20}); err != nil || len(events) != 1 {
		t.Fatalf("Claim = %v, %v", events, err)
	}
	for starts := 1; starts <= 4; starts++ {
		if err := s.fail(io.ErrShortWrite); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
		if _, err := s.Facts(t.Context()); !errors.Is(err, ErrUnknown) {
			t.Errorf("Facts after a failed commit = %v; want ErrUnknown", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(path, Options{}); err != nil {
			t.Fatal(err)
		}
		term = mustHold(t, s)
		list, err := s.Unfinished(t.Context(), term)
		if err != nil || len(list) != 1 || list[0].Starts != starts || list[0].Crashes != 0 {
			t.Fatalf("Unfinished = %+v, %v; want %d starts, no crash", list, err, starts)
		}
	}
	mustCheck(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
