package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

// sweepSteps are the calls of the workload whose every write is made to fail.
const sweepSteps = 30

// TestDisk_EveryWriteFails fails each write of a workload in turn, whole, after
// one sector and after two, by each error that a disk has. A full disk is either
// told of, and nothing happened, or room is made and the call succeeds; anything
// else ends the store. Nothing that was answered is lost, and nothing is half there.
func TestDisk_EveryWriteFails(t *testing.T) {
	const seed = 7
	shown, writes := undisturbed(t, seed)
	outcomes := map[string]int{}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EIO} {
		for n := 1; n <= writes; n++ {
			part := n % 3 * 512
			how := failWrite(t, seed, n, part, &fs.PathError{Op: "write", Path: "outbox.db", Err: errno}, shown)
			outcomes[fmt.Sprintf("%-28s %s", errno, how)]++
			if t.Failed() {
				t.Fatalf("write %d of %d, %d bytes of it, %v", n, writes, part, errno)
			}
		}
	}
	for how, n := range outcomes {
		t.Logf("%s: %d", how, n)
	}
}

// undisturbed is what the workload shows after each step, and how often it writes.
func undisturbed(t *testing.T, seed uint64) (shown []map[string]string, writes int) {
	t.Helper()
	w := newWorkload(t, filepath.Join(storetest.MemoryDir(t), "outbox.db"), seed)
	storetest.FailWrites(store.DBForTest(w.s), func(n int) (int, error) { writes = n; return 0, nil })
	for {
		c, err := contents(t.Context(), w.s)
		if err != nil {
			t.Fatal(err)
		}
		if shown = append(shown, c); len(shown) > sweepSteps {
			return shown, writes
		}
		if err := w.step(t.Context()); err != nil {
			t.Fatalf("step %d: %v", w.n, err)
		}
	}
}

// failWrite runs the workload until its nth write fails, and says what came of it.
func failWrite(t *testing.T, seed uint64, nth, part int, disk error, shown []map[string]string) (how string) {
	t.Helper()
	path := filepath.Join(storetest.MemoryDir(t), "outbox.db")
	w := newWorkload(t, path, seed)
	hit := false
	storetest.FailWrites(store.DBForTest(w.s), func(n int) (int, error) {
		if n != nth {
			return 0, nil
		}
		hit = true
		return part, disk
	})
	var err error
	for !hit && w.n < sweepSteps {
		err = w.step(t.Context())
	}
	before, after := shown[w.n-1], shown[w.n]
	if w.s.Err() == nil {
		got, viewErr := contents(t.Context(), w.s)
		switch {
		case viewErr != nil:
			t.Errorf("contents: %v", viewErr)
		case maps.Equal(got, after):
			how = "room was made, went on"
		case maps.Equal(got, before):
			how = "refused, went on"
		default:
			t.Errorf("shows %v; want %v or %v", got, before, after)
		}
		if errors.Is(disk, syscall.EIO) {
			t.Errorf("step = %v after EIO, and the store goes on", err)
		}
		if err := w.step(t.Context()); err != nil {
			t.Errorf("the step after it = %v", err)
		}
		if v, err := w.s.Check(t.Context()); err != nil || len(v) > 0 {
			t.Errorf("Check = %v, %v", v, err)
		}
		return how
	}
	if !errors.Is(err, store.ErrUnknown) {
		t.Errorf("step = %v, and the store has failed; want ErrUnknown", err)
	}
	if _, err := w.s.Status(t.Context()); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Status after the failure = %v; want ErrUnknown: what it shows may not be on the disk", err)
	}
	_ = w.s.Close()
	reopened, err := openSmall(path, w.clock)
	if err != nil {
		t.Fatalf("open after the failure: %v", err)
	}
	defer reopened.Close()
	got, err := contents(t.Context(), reopened)
	if err != nil || !maps.Equal(got, before) && !maps.Equal(got, after) {
		t.Errorf("after a restart: %v, %v; want %v or %v", got, err, before, after)
	}
	if v, err := reopened.Check(t.Context()); err != nil || len(v) > 0 {
		t.Errorf("Check after a restart = %v, %v", v, err)
	}
	return "ended, whole after a restart"
}

// A sync that finds the disk full is no clean failure: what was written before
// it may be lost. bbolt hands on the bare error of its fdatasync.
func TestDisk_FullAtASyncIsUnknown(t *testing.T) {
	w := newWorkload(t, filepath.Join(storetest.MemoryDir(t), "outbox.db"), 1)
	storetest.FailWrites(store.DBForTest(w.s), func(int) (int, error) { return 0, syscall.ENOSPC })
	if _, err := w.s.Put(t.Context(), []store.Event{w.event("a-1")}, store.PutOptions{}); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Put = %v; want ErrUnknown", err)
	}
}

// small is a file system of so many bytes in memory.
func small(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("outboxd-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount a tmpfs: %v", err)
		}
		t.Skipf("needs root to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill takes up what is free on a file system, as another program would.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	_ = f.Close()
	return func() { _ = os.Remove(f.Name()) }
}

func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func mustOpen(t *testing.T, path string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// put stores one event, and looks at the disk anew before it.
func put(t *testing.T, s *store.Store, key string, payload int) store.PutResult {
	t.Helper()
	time.Sleep(2 * time.Second) // in a bubble
	e := store.Event{Key: key, Digest: store.Digest{1}, Route: route, Payload: make([]byte, payload)}
	res, err := s.Put(t.Context(), []store.Event{e}, store.PutOptions{})
	if err != nil {
		t.Fatalf("Put(%s) = %v", key, err)
	}
	return res[0]
}

func fullness(t *testing.T, s *store.Store) store.Fullness {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Full
}

// Others fill the disk while an attempt is open: new events are refused, repeats
// are recognised, the attempt's outcome is recorded, and when room comes back
// events are accepted again, without a restart.
func TestDisk_FilledFromOutside(t *testing.T) {
	dir := small(t, 16<<20)
	path := filepath.Join(dir, "outbox.db")
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, path, store.Options{MaxSize: 64 << 20})
		defer s.Close()
		var events []store.Event
		for i := range 300 {
			events = append(events, store.Event{Key: fmt.Sprint("e", i), Digest: store.Digest{1}, Route: route, Payload: make([]byte, 1000)})
		}
		if _, err := s.Put(t.Context(), events, store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		term, err := s.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, claimed, err := s.Claim(t.Context(), term, "job", store.ClaimSpec{Route: route, Kind: store.KindBulk, MaxRecords: 300, MaxBytes: 1 << 20})
		if err != nil || len(claimed) != 300 {
			t.Fatalf("Claim = %d events, %v", len(claimed), err)
		}
		ballast := blocks(t, path+".ballast")
		empty := fill(t, dir)

		if r := put(t, s, "new", 1<<20); !errors.Is(r.Err, store.ErrDiskFull) || !errors.Is(r.Err, store.ErrFull) {
			t.Errorf("Put on a full disk = %+v; want ErrDiskFull", r)
		}
		if r := put(t, s, "e7", 1000); r.Err != nil || !r.Duplicate {
			t.Errorf("a repeat on a full disk = %+v; want the duplicate", r)
		}
		if full := fullness(t, s); full != store.FullDisk {
			t.Errorf("Status.Full = %q, want %q", full, store.FullDisk)
		}
		if blocks(t, path+".ballast") != ballast {
			t.Error("the ballast was given up for new events")
		}
		failAll(t, s, term, claimed) // records more than it frees
		if got := blocks(t, path+".ballast"); got != 0 {
			t.Errorf("the ballast still has %d bytes; the outcomes were to need them", got)
		}
		if r := put(t, s, "new", 1<<20); !errors.Is(r.Err, store.ErrDiskFull) {
			t.Errorf("Put without a ballast = %+v; want ErrDiskFull", r)
		}
		empty()
		if r := put(t, s, "new", 1<<20); r.Err != nil {
			t.Errorf("Put after room came back = %+v", r)
		}
		if got := blocks(t, path+".ballast"); got != ballast {
			t.Errorf("the ballast has %d bytes again, want %d", got, ballast)
		}
		if full := fullness(t, s); full != "" {
			t.Errorf("Status.Full = %q after room came back", full)
		}
		if v, err := s.Check(t.Context()); err != nil || len(v) > 0 {
			t.Errorf("Check = %v, %v", v, err)
		}
	})
}

// failAll settles an attempt by failures with long reasons.
func failAll(t *testing.T, s *store.Store, term store.Term, claimed []store.Claimed) {
	t.Helper()
	var x store.Settlement
	reason := &store.Problem{Code: "X", Message: strings.Repeat("long ", 250)}
	for _, c := range claimed {
		x.Outcomes = append(x.Outcomes, store.Outcome{Seq: c.Seq, Verdict: store.Fail, Problem: reason})
	}
	if err := s.Settle(t.Context(), term, "job", x); err != nil {
		t.Errorf("Settle on a full disk = %v", err)
	}
}

// An outbox that nobody writes to learns by its sweeps that there is room again.
func TestDisk_SweepSeesThatThereIsRoom(t *testing.T) {
	dir := small(t, 8<<20)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, filepath.Join(dir, "outbox.db"), store.Options{MaxSize: 64 << 20})
		defer s.Close()
		term, err := s.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		empty := fill(t, dir)
		put(t, s, "refused", 1<<20)
		for _, want := range []store.Fullness{store.FullDisk, ""} {
			time.Sleep(2 * time.Second)
			if _, err := s.Sweep(t.Context(), term); err != nil {
				t.Fatal(err)
			}
			if full := fullness(t, s); full != want {
				t.Errorf("Status.Full = %q, want %q", full, want)
			}
			empty()
		}
	})
}

// A start on a full disk works: what is there is read and drained, new events
// are refused.
func TestDisk_StartsOnAFullDisk(t *testing.T) {
	for _, ballast := range []string{"whole", "given up", "missing"} {
		t.Run(ballast, func(t *testing.T) {
			dir := small(t, 8<<20)
			path := filepath.Join(dir, "outbox.db")
			synctest.Test(t, func(t *testing.T) {
				s := mustOpen(t, path, store.Options{})
				if r := put(t, s, "a", 1000); r.Err != nil {
					t.Fatal(r.Err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				switch ballast {
				case "given up":
					if err := os.Truncate(path+".ballast", 0); err != nil {
						t.Fatal(err)
					}
				case "missing":
					if err := os.Remove(path + ".ballast"); err != nil {
						t.Fatal(err)
					}
				}
				fill(t, dir)
				s = mustOpen(t, path, store.Options{})
				defer s.Close()
				if r := put(t, s, "b", 1<<20); !errors.Is(r.Err, store.ErrDiskFull) {
					t.Errorf("Put = %+v; want ErrDiskFull", r)
				}
				term, err := s.Hold(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, claimed, err := s.Claim(t.Context(), term, "job", store.ClaimSpec{Route: route, Kind: store.KindBulk, MaxRecords: 9, MaxBytes: 1 << 20})
				if err != nil || len(claimed) != 1 {
					t.Fatalf("Claim = %d events, %v", len(claimed), err)
				}
				failAll(t, s, term, claimed)
				if err := s.Close(); err != nil {
					t.Errorf("Close on a full disk = %v", err)
				}
			})
		})
	}
}

// A store can't be made on a full disk; that is said, and the next try works.
func TestDisk_NewStoreNeedsRoom(t *testing.T) {
	dir := small(t, 1<<20)
	path := filepath.Join(dir, "outbox.db")
	empty := fill(t, dir)
	if _, err := store.Open(path, store.Options{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Open = %v; want ENOSPC", err)
	}
	empty()
	s, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The file has blocks to its end: what is within it can be written on a full disk.
func TestDisk_FileHasNoHoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := mustOpen(t, path, store.Options{})
	for i := range 40 {
		e := store.Event{Key: fmt.Sprint(i), Route: route, Payload: make([]byte, 100_000)}
		if _, err := s.Put(context.Background(), []store.Event{e}, store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := blocks(t, path); got < fi.Size() || fi.Size() < 4_000_000 {
		t.Errorf("a file of %d bytes has blocks for %d", fi.Size(), got)
	}
}

// A backup is not begun that would fill the disk.
func TestDisk_BackupLeavesRoom(t *testing.T) {
	dir := small(t, 8<<20)
	s := mustOpen(t, filepath.Join(dir, "outbox.db"), store.Options{MaxSize: 64 << 20})
	big := store.Event{Key: "big", Route: route, Payload: make([]byte, 3<<20)}
	if res, err := s.Put(t.Context(), []store.Event{big}, store.PutOptions{}); err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	fill(t, dir)
	if err := s.Backup(t.Context(), os.Stderr); !errors.Is(err, store.ErrDiskFull) {
		t.Errorf("Backup = %v; want ErrDiskFull", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*backup*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
