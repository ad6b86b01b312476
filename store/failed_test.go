package store

import (
	"errors"
	"io"
	"os"
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

// A lock file of zeros, as a power cut can leave it, tells nothing of the store
// beside it: one that has run is taken for a restored one, and an outbox whose
// store is gone is not begun anew.
func TestStart_LockThatCantBeRead(t *testing.T) {
	zeros := make([]byte, 256)
	open := func(t *testing.T, change func(path string) error) (*Store, error) {
		path := filepath.Join(t.TempDir(), "outbox.db")
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Close(), os.WriteFile(path+".lock", zeros, 0o600), change(path)); err != nil {
			t.Fatal(err)
		}
		s, err = Open(path, Options{})
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
		}
		return s, err
	}
	t.Run("beside a store that ran", func(t *testing.T) {
		s, err := open(t, func(string) error { return nil })
		if err != nil || !s.facts.Restored {
			t.Errorf("Open = %v; want a store that counts as restored", err)
		}
	})
	t.Run("beside a store that never ran", func(t *testing.T) {
		s, err := open(t, func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			_, err := (&Store{path: path}).create()
			return err
		})
		if err != nil || s.facts.Restored {
			t.Errorf("Open = %v; want a new store", err)
		}
	})
	t.Run("without a store", func(t *testing.T) {
		if _, err := open(t, os.Remove); err == nil {
			t.Error("a new store was begun in the place of the one that is gone")
		}
	})
}
