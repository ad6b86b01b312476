package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// drainedStore is a closed store that held many events once, and what it holds now
// by key: some delivered, one failed, some pending.
func drainedStore(t *testing.T) (path string, holds map[string]State) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "outbox.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	term, payload, n := mustHold(t, s), make([]byte, 4000), 0
	for range 3 {
		var events []Event
		for range 1000 {
			n++
			key := fmt.Sprint("k", n)
			events = append(events, Event{Key: key, Route: contactRoute, Lane: "contact/" + key, Head: []byte("{}"), Payload: payload})
		}
		if _, err := s.Put(t.Context(), events, PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for job := range 2 {
		id := AttemptID(fmt.Sprint("job ", job))
		_, events, err := s.Claim(t.Context(), term, id, ClaimSpec{Route: contactRoute, Kind: KindBulk, MaxRecords: 1490, MaxBytes: 1 << 30})
		if err != nil || len(events) != 1490 {
			t.Fatalf("Claim = %d events, %v", len(events), err)
		}
		var x Settlement
		for i, e := range events {
			o := Outcome{Seq: e.Seq, Verdict: Deliver, ID: "003" + e.Key}
			if i == 7 {
				o = Outcome{Seq: e.Seq, Verdict: Fail, Problem: &Problem{Code: "X", Message: "no"}}
			}
			x.Outcomes = append(x.Outcomes, o)
		}
		if err := s.Settle(t.Context(), term, id, x); err != nil {
			t.Fatal(err)
		}
	}
	holds = heldBy(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, holds
}

func heldBy(t *testing.T, s *Store) map[string]State {
	t.Helper()
	all := map[string]State{}
	for f := (Filter{Limit: 1000}); ; {
		p, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			all[r.Key] = r.State
		}
		if f.Cursor = p.Next; f.Cursor == "" {
			return all
		}
	}
}

// mustHoldAll opens a store in the usual way: everything has to be in it, and
// nothing of a compaction beside it.
func mustHoldAll(t *testing.T, path string, want map[string]State) {
	t.Helper()
	s := openAt(t, path, Options{})
	if got := heldBy(t, s); !maps.Equal(got, want) {
		t.Errorf("it holds %d events; want %d, all as they were", len(got), len(want))
	}
	if f, err := s.Facts(t.Context()); err != nil || f.Restored {
		t.Errorf("Facts = %+v, %v; it counts as restored", f, err)
	}
	if _, err := os.Stat(s.copyPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is still there: %v", err)
	}
	mustCheck(t, s)
}

func mustSize(t *testing.T, path string) int64 {
	t.Helper()
	n, err := fileSize(path)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCompact_KeepsEverything(t *testing.T) {
	path, want := drainedStore(t)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	c, err := Compact(path, Options{})
	if err != nil || c.After != mustSize(t, path) || c.After > c.Before/2 {
		t.Errorf("Compact = %+v, %v; want a file of less than half its length", c, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode is %v, %v; want that of the old one", fi.Mode(), err)
	}
	mustHoldAll(t, path, want)
}

func TestOpen_CompactsWhatIsMostlyFree(t *testing.T) {
	path, want := drainedStore(t)
	before := mustSize(t, path)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || mustSize(t, path) < before {
		t.Errorf("a start compacted a file of %d bytes: %v", before, err)
	}
	if s, err = Open(path, Options{compactOver: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if got := heldBy(t, s); !maps.Equal(got, want) {
		t.Error("it holds something else than before")
	}
	if after := mustSize(t, path); after > before/2 {
		t.Errorf("the file has %d bytes after the start and had %d; want less than half", after, before)
	}
	putKeys(t, s, "new")
	want["new"] = Pending
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustHoldAll(t, path, want)
}

// TestCompact_CrashLeavesOneOfBoth takes the folder as it is within and at each
// step of a compaction, and opens it.
func TestCompact_CrashLeavesOneOfBoth(t *testing.T) {
	path, want := drainedStore(t)
	moments := map[string]string{}
	snap := func(moment string) {
		moments[moment] = copyFolder(t, filepath.Dir(path))
	}
	rename := func(from, to string) error {
		for _, moment := range []string{"before", "after"} {
			if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
				t.Errorf("Open %s the copy takes its place = %v; want ErrLocked", moment, err)
			}
			if moment == "before" {
				snap("the copy made")
				if err := os.Rename(from, to); err != nil {
					return err
				}
			}
		}
		snap("the copy in place")
		return nil
	}
	if _, err := Compact(path, Options{rename: rename}); err != nil {
		t.Fatal(err)
	}
	half := copyFolder(t, moments["the copy made"])
	if err := os.Truncate(filepath.Join(half, "outbox.db.compact"), 3*4096); err != nil {
		t.Fatal(err)
	}
	moments["half a copy"] = half
	for moment, dir := range moments {
		t.Run(moment, func(t *testing.T) { mustHoldAll(t, filepath.Join(dir, "outbox.db"), want) })
	}
}

func copyFolder(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestCompact_FailureLeavesTheStore: what fails leaves the store as it was, and the
// next start clears the rest away. A copy that can't be made ends no start.
func TestCompact_FailureLeavesTheStore(t *testing.T) {
	path, want := drainedStore(t)
	before := mustSize(t, path)
	failing := func(string, string) error { return unix.EIO }
	t.Run("of the command", func(t *testing.T) {
		if _, err := Compact(path, Options{rename: failing}); !errors.Is(err, unix.EIO) {
			t.Errorf("Compact = %v; want EIO", err)
		}
		mustHoldAll(t, path, want)
	})
	t.Run("of a start", func(t *testing.T) {
		if _, err := Open(path, Options{compactOver: 1 << 20, rename: failing}); !errors.Is(err, unix.EIO) {
			t.Errorf("Open = %v; want EIO", err)
		}
		mustHoldAll(t, path, want)
	})
	t.Run("of a start whose file is a mount by itself", func(t *testing.T) {
		busy := func(string, string) error { return &os.LinkError{Op: "rename", Err: unix.EBUSY} }
		s, err := Open(path, Options{compactOver: 1 << 20, rename: busy})
		if err != nil {
			t.Fatalf("Open = %v; want the store as it was", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + ".compact"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the copy stays: %v", err)
		}
		mustHoldAll(t, path, want)
	})
	link := filepath.Join(filepath.Dir(path), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Compact(link, Options{}); err == nil {
		t.Error("a link was compacted")
	}
	s, err := Open(link, Options{compactOver: 1 << 20})
	if err != nil {
		t.Fatalf("a start on a link: %v", err)
	}
	if err := s.Close(); err != nil || mustSize(t, path) < before {
		t.Errorf("after a start that could not compact: %v", err)
	}
	if _, err := Compact(filepath.Join(t.TempDir(), "none.db"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Compact of nothing = %v", err)
	}
}

// TestCompact_WaitsForNobody: a store in use is left alone.
func TestCompact_WaitsForNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	putKeys(t, s, "a")
	if _, err := Compact(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("Compact = %v; want ErrLocked", err)
	}
	if !slices.Equal(slices.Collect(maps.Keys(heldBy(t, s))), []string{"a"}) {
		t.Error("the event is gone")
	}
}

// TestCompact_NeedsRoom: what has to stay free on the disk is not taken for a copy.
func TestCompact_NeedsRoom(t *testing.T) {
	path, want := drainedStore(t)
	before := mustSize(t, path)
	// A ballast that was given up: twice its size has to get free first.
	if err := errors.Join(os.Truncate(path+".ballast", 0), os.Truncate(path+".ballast", 1<<42)); err != nil {
		t.Fatal(err)
	}
	if _, err := Compact(path, Options{}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("Compact = %v; want ErrDiskFull", err)
	}
	s, err := Open(path, Options{compactOver: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || mustSize(t, path) < before {
		t.Errorf("a start compacted without room: %v", err)
	}
	mustHoldAll(t, path, want)
}
