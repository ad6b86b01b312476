package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

// workload drives a small store through everything that it writes, and keeps
// what it showed after each call.
type workload struct {
	t     *testing.T
	s     *store.Store
	clock *storetest.Clock
	term  store.Term
	rng   *rand.Rand
	n     int
	open  []store.AttemptID
}

var route = store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}

func openSmall(path string, clock *storetest.Clock) (*store.Store, error) {
	return store.Open(path, store.Options{MaxSize: store.MinSize, Wall: clock.Wall, Monotonic: clock.Monotonic})
}

func newWorkload(t *testing.T, path string, seed uint64) *workload {
	t.Helper()
	w := &workload{t: t, clock: storetest.NewClock(), rng: rand.New(rand.NewPCG(seed, 0))}
	var err error
	if w.s, err = openSmall(path, w.clock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.s.Close() })
	if w.term, err = w.s.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *workload) event(key string) store.Event {
	e := store.Event{
		Key: key, Digest: store.Digest{byte(len(key)), key[len(key)-1]}, Route: route,
		Lane: fmt.Sprintf("contact/%d", w.n%7), Head: []byte(key), Payload: make([]byte, 100+w.rng.IntN(3000)),
	}
	if w.n%5 == 0 {
		e.Lane = ""
	}
	return e
}

// step makes one call, which is one transaction.
func (w *workload) step(ctx context.Context) error {
	w.n++
	switch k := w.rng.IntN(10); {
	case k < 4:
		events := make([]store.Event, 1+w.rng.IntN(5))
		for i := range events {
			events[i] = w.event(fmt.Sprintf("k%03d-%d", w.n, i))
		}
		_, err := w.s.Put(ctx, events, store.PutOptions{})
		return err
	case k < 6:
		id := store.AttemptID(fmt.Sprintf("attempt-%03d", w.n))
		_, events, err := w.s.Claim(ctx, w.term, id, store.ClaimSpec{Route: route, Kind: store.KindBulk, MaxRecords: 6, MaxBytes: 1 << 20})
		if len(events) > 0 {
			w.open = append(w.open, id)
		}
		return err
	case k < 7 && len(w.open) > 0:
		return w.s.Release(ctx, w.term, w.open[w.rng.IntN(len(w.open))], "")
	case k < 8:
		return w.drop(ctx)
	case len(w.open) > 0:
		return w.settle(ctx)
	}
	return nil
}

func (w *workload) settle(ctx context.Context) error {
	id := w.open[0]
	w.open = w.open[1:]
	events, err := w.s.Events(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // released
	}
	var x store.Settlement
	for _, e := range events {
		o := store.Outcome{Seq: e.Seq, Verdict: store.Deliver, ID: "003" + e.Key}
		switch w.rng.IntN(6) {
		case 0:
			o = store.Outcome{Seq: e.Seq, Verdict: store.Fail, Problem: &store.Problem{Code: "X", Message: "no"}}
		case 1:
			o = store.Outcome{Seq: e.Seq, Verdict: store.Doubt, Problem: &store.Problem{Code: "T"}, Skip: true}
		case 2:
			o = store.Outcome{Seq: e.Seq, Verdict: store.Again, Charge: true, Hold: 1}
		}
		x.Outcomes = append(x.Outcomes, o)
	}
	return errors.Join(err, w.s.Settle(ctx, w.term, id, x))
}

// drop drops the first failed event, if there is one.
func (w *workload) drop(ctx context.Context) error {
	p, err := w.s.List(ctx, store.Filter{States: []store.State{store.Failed}, Limit: 1})
	if err != nil || len(p.Records) == 0 {
		return err
	}
	_, err = w.s.Drop(ctx, p.Records[0].Key, store.Move{ID: fmt.Sprint(w.n)})
	return err
}

// contents is what a store shows of each key.
func contents(ctx context.Context, s *store.Store) (map[string]string, error) {
	all := map[string]string{}
	for f := (store.Filter{Limit: 1000, Payload: true}); ; {
		p, err := s.List(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range p.Records {
			all[r.Key] = fmt.Sprintf("%d %s %s %d %d", r.Seq, r.State, r.ID, r.Attempts, len(r.Payload))
		}
		if f.Cursor = p.Next; f.Cursor == "" {
			return all, nil
		}
	}
}

// TestFailedWrite_IsUnknownOrClean fails one write of a commit, whole or in the
// middle, by each of the errors that a disk has.
func TestFailedWrite_IsUnknownOrClean(t *testing.T) {
	for _, disk := range []error{syscall.EIO, syscall.ENOSPC} {
		for part := range 3 {
			for nth, hit := 1, true; hit; nth++ {
				hit = false // also where -run leaves it out
				t.Run(fmt.Sprintf("%v/%d sectors/write %d", disk, part, nth), func(t *testing.T) {
					hit = failOneWrite(t, nth, part*512, disk)
				})
			}
		}
	}
}

// failOneWrite reports whether the commit had an nth write to fail.
func failOneWrite(t *testing.T, nth, part int, disk error) (hit bool) {
	ctx, path := t.Context(), filepath.Join(storetest.MemoryDir(t), "outbox.db")
	w := newWorkload(t, path, 1)
	before := w.event("before-1")
	if _, err := w.s.Put(ctx, []store.Event{before}, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	restore := storetest.FailWrites(store.DBForTest(w.s), func(n int) (int, error) {
		if n != nth {
			return 0, nil
		}
		hit = true
		return part, &fs.PathError{Op: "write", Path: path, Err: disk} // as os.File says it
	})
	batch := []store.Event{w.event("new-1"), w.event("new-2")}
	res, err := w.s.Put(ctx, batch, store.PutOptions{})
	if !hit {
		return false
	}
	refused := err != nil || slices.ContainsFunc(res, func(r store.PutResult) bool { return r.Err != nil })
	if !refused {
		t.Fatalf("Put = %v, %v although a write failed", res, err)
	}
	unknown := errors.Is(err, store.ErrUnknown)
	if unknown {
		<-w.s.Failed()
		if _, err := w.s.Put(ctx, batch, store.PutOptions{}); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("Put after a commit of unknown outcome = %v; want ErrUnknown: nothing may be written any more", err)
		}
	} else {
		restore()
		if w.s.Err() != nil {
			t.Errorf("Put = %v, %v; yet the store has failed: %v", res, err, w.s.Err())
		}
	}
	if disk == syscall.EIO && !unknown {
		t.Errorf("Put after EIO = %v, %v; want ErrUnknown", res, err)
	}
	_ = w.s.Close()
	reopened, err := openSmall(path, w.clock)
	if err != nil {
		t.Fatalf("open after the failure: %v", err)
	}
	defer reopened.Close()
	if v, err := reopened.Check(ctx); err != nil || len(v) > 0 {
		t.Errorf("Check = %v, %v", v, err)
	}
	for again := range 2 { // a repeat settles it
		res, err := reopened.Put(ctx, append(batch, before), store.PutOptions{})
		if err != nil || slices.ContainsFunc(res, func(r store.PutResult) bool { return r.Err != nil }) || !res[2].Duplicate {
			t.Fatalf("Put again = %+v, %v", res, err)
		}
		if again == 0 && !unknown && (res[0].Duplicate || res[1].Duplicate) {
			t.Errorf("Put again = %+v; what was refused was stored", res)
		}
	}
	return true
}

// TestFailedWrite_EndsWhoWaitsBehindIt: a call that was queued when a commit
// failed must not hear that the store was closed in order.
func TestFailedWrite_EndsWhoWaitsBehindIt(t *testing.T) {
	w := newWorkload(t, filepath.Join(storetest.MemoryDir(t), "outbox.db"), 1)
	behind := make(chan error, 1)
	storetest.FailWrites(store.DBForTest(w.s), func(int) (int, error) {
		go func() { behind <- w.s.Pause(t.Context(), "ada") }()
		for store.QueuedForTest(w.s) == 0 {
			runtime.Gosched()
		}
		return 0, syscall.EIO
	})
	if _, err := w.s.Put(t.Context(), []store.Event{w.event("new")}, store.PutOptions{}); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Put = %v; want ErrUnknown", err)
	}
	if err := <-behind; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Pause behind it = %v; want ErrUnknown", err)
	}
}

// TestOpen_RefusesAShortFile: bbolt would die of SIGBUS on one.
func TestOpen_RefusesAShortFile(t *testing.T) {
	child := storetest.NewChild(t, func(path, _ string) (string, error) {
		s, err := openSmall(path, storetest.NewClock())
		if err != nil {
			return "", nil
		}
		_ = s.Close()
		return "", errors.New("it was opened")
	})
	path := filepath.Join(t.TempDir(), "outbox.db")
	w := newWorkload(t, path, 1)
	for range 20 {
		if err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 512, 4096, 2 * 4096, 3 * 4096} {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := child.Check(path, ""); err != nil {
			t.Errorf("a file cut to %d bytes: %v", n, err)
		}
	}
}
