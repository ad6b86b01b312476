package store_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

var routes = []store.Route{
	route, route,
	{Object: "Contact", Operation: "create"},
	{Object: "Account", Operation: "update"},
	{Object: "Contact", Operation: "update", Match: true},
}

func smallOptions(clock *storetest.Clock) store.Options {
	return store.Options{MaxSize: store.MinSize, DedupWindow: 24 * time.Hour, Wall: clock.Wall, Monotonic: clock.Monotonic}
}

// load drives a small store through everything that it writes.
type load struct {
	s      *store.Store
	clock  *storetest.Clock
	term   store.Term
	rng    *rand.Rand
	n      int
	keys   []string
	reader *bolt.Tx // keeps freed pages from being used again
}

func newLoad(s *store.Store, clock *storetest.Clock, rng *rand.Rand) (*load, error) {
	w := &load{s: s, clock: clock, rng: rng}
	var err error
	w.term, err = s.Hold(context.Background())
	return w, err
}

// moves are what a load does, with how often.
var moves = []struct {
	weight int
	move   func(*load, context.Context) error
}{
	{8, (*load).put},
	{8, (*load).claim},
	{6, (*load).advance},
	{10, (*load).settle},
	{2, (*load).release},
	{3, (*load).retry},
	{2, (*load).drop},
	{3, (*load).resolve},
	{1, (*load).many},
	{6, (*load).passTime},
	{2, (*load).facts},
	{1, (*load).hold},
	{1, (*load).backup},
	{2, (*load).read},
}

// step makes one move; what the store refuses by its rules is no error.
func (w *load) step(ctx context.Context) error {
	w.n++
	sum := 0
	for _, m := range moves {
		sum += m.weight
	}
	at := w.rng.IntN(sum)
	for _, m := range moves {
		if at -= m.weight; at < 0 {
			return refused(m.move(w, ctx))
		}
	}
	return nil
}

// refused lets pass what is an answer and not a failure.
func refused(err error) error {
	answers := []error{
		store.ErrTransition, store.ErrNotFound, store.ErrConflict, store.ErrSuperseded, store.ErrConfirmation,
		store.ErrFull,
	}
	if slices.ContainsFunc(answers, func(a error) bool { return errors.Is(err, a) }) {
		return nil
	}
	return err
}

func (w *load) one(in int) bool { return w.rng.IntN(in) == 0 }

func (w *load) event(key string) store.Event {
	sum := sha256.Sum256([]byte(key))
	e := store.Event{
		Key: key, Digest: store.Digest(sum[:16]), Route: routes[w.rng.IntN(len(routes))], Source: "shop",
		Lane: fmt.Sprintf("contact/%d", w.rng.IntN(7)), Head: []byte(key), Payload: w.payload(),
	}
	if w.one(4) {
		e.Lane = ""
	}
	if w.one(8) && len(w.keys) > 0 {
		e.After = []string{w.keys[w.rng.IntN(len(w.keys))]}
	}
	if w.one(10) {
		e.NotBefore = w.clock.Wall().Add(time.Duration(w.rng.IntN(180)) * time.Minute)
	}
	if w.one(10) {
		e.ExpiresAt = w.clock.Wall().Add(time.Duration(w.rng.IntN(180)) * time.Minute)
	}
	return e
}

// payload is random, so that a page of another time is never taken for this one.
func (w *load) payload() []byte {
	n := 100 + w.rng.IntN(1500)
	if w.one(15) {
		n = 9000
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

func (w *load) put(ctx context.Context) error {
	events := make([]store.Event, 1+w.rng.IntN(5))
	for i := range events {
		key := fmt.Sprintf("k%x", w.rng.Uint64())
		if w.one(8) && len(w.keys) > 0 {
			key = w.keys[w.rng.IntN(len(w.keys))]
		}
		events[i] = w.event(key)
		if w.one(20) {
			events[i].Digest = store.Digest{1}
		}
	}
	res, err := w.s.Put(ctx, events, store.PutOptions{Atomic: w.one(5)})
	if err != nil {
		return err
	}
	for i, x := range res {
		if x.Err != nil {
			continue
		}
		if w.keys = append(w.keys, events[i].Key); len(w.keys) > 20 {
			w.keys = w.keys[1:]
		}
		if _, err := w.s.Get(ctx, events[i].Key); err != nil {
			return fmt.Errorf("accepted and not found: %w", err)
		}
	}
	return nil
}

func (w *load) claim(ctx context.Context) error {
	r := routes[w.rng.IntN(len(routes))]
	kind := []store.Kind{store.KindREST, store.KindBulk}[w.rng.IntN(2)]
	if r.Match {
		kind = store.KindQuery
	}
	id := store.AttemptID(fmt.Sprintf("attempt-%016x", w.rng.Uint64()))
	_, _, err := w.s.Claim(ctx, w.term, id, store.ClaimSpec{Route: r, Kind: kind, MaxRecords: 1 + w.rng.IntN(6), MaxBytes: 1 << 20})
	return err
}

// attempt picks an unfinished one.
func (w *load) attempt(ctx context.Context) (store.Attempt, error) {
	list, err := w.s.Unfinished(ctx, w.term)
	if err != nil || len(list) == 0 {
		return store.Attempt{}, errors.Join(err, store.ErrNotFound)
	}
	slices.SortFunc(list, func(a, b store.Attempt) int { return cmp.Compare(a.ID, b.ID) })
	return list[w.rng.IntN(len(list))], nil
}

func (w *load) advance(ctx context.Context) error {
	a, err := w.attempt(ctx)
	if err != nil || a.Kind != store.KindBulk || a.Phase >= store.PhaseProcessing {
		return err
	}
	var d store.PhaseData
	to := a.Phase + 1
	if to == store.PhaseOpen || a.Phase == store.PhaseOpen && w.one(4) {
		to, d.JobID = store.PhaseOpen, fmt.Sprintf("750%x", w.rng.Uint32())
	}
	return w.s.Advance(ctx, w.term, a.ID, a.Phase, to, d)
}

func (w *load) settle(ctx context.Context) error {
	a, err := w.attempt(ctx)
	if err != nil {
		return err
	}
	events, err := w.s.Events(ctx, a.ID)
	if err != nil {
		return err
	}
	if w.one(4) {
		events = events[:1+w.rng.IntN(len(events))]
	}
	var x store.Settlement
	for _, e := range events {
		o := w.outcome()
		if a.Kind == store.KindQuery && w.one(2) {
			o = store.Outcome{Verdict: store.Reroute, Route: routes[3], Target: "003" + e.Key}
		}
		o.Seq = e.Seq
		if w.one(4) {
			o.Hold = 11 * time.Minute
		}
		x.Outcomes = append(x.Outcomes, o)
	}
	return w.s.Settle(ctx, w.term, a.ID, x)
}

func (w *load) outcome() store.Outcome {
	problem := &store.Problem{Code: "X", Message: "no", Fields: []string{"LastName"}}
	switch w.rng.IntN(8) {
	case 0:
		return store.Outcome{Verdict: store.Fail, Problem: problem, Skip: w.one(2)}
	case 1:
		return store.Outcome{Verdict: store.Doubt, Problem: problem, Skip: w.one(2), Matches: []string{"003A"}}
	case 2:
		return store.Outcome{Verdict: store.Again, Problem: problem, Charge: true, Delay: time.Minute, Sent: w.one(2), MaxBatch: 2}
	case 3:
		return store.Outcome{Verdict: store.Again, RESTOnly: w.one(2)}
	}
	return store.Outcome{Verdict: store.Deliver, ID: fmt.Sprintf("003%x", w.rng.Uint32()), Created: w.one(2)}
}

func (w *load) release(ctx context.Context) error {
	a, err := w.attempt(ctx)
	if err != nil {
		return err
	}
	return w.s.Release(ctx, w.term, a.ID, "given back")
}

// in picks an event of a state.
func (w *load) in(ctx context.Context, states ...store.State) (store.Record, error) {
	p, err := w.s.List(ctx, store.Filter{States: states, Limit: 20})
	if err != nil || len(p.Records) == 0 {
		return store.Record{}, errors.Join(err, store.ErrNotFound)
	}
	return p.Records[w.rng.IntN(len(p.Records))], nil
}

func (w *load) move() store.Move {
	return store.Move{ID: fmt.Sprintf("%x", w.rng.Uint64()), By: "ada"}
}

func (w *load) retry(ctx context.Context) error {
	r, err := w.in(ctx, store.Failed)
	if err != nil {
		return err
	}
	var edit *store.Edit
	if w.one(3) {
		edit = &store.Edit{Payload: w.payload(), Old: []byte("{}"), Rev: r.Rev}
	}
	_, err = w.s.Retry(ctx, r.Key, w.move(), edit)
	return err
}

func (w *load) drop(ctx context.Context) error {
	r, err := w.in(ctx, store.Failed, store.Pending)
	if err != nil {
		return err
	}
	_, err = w.s.Drop(ctx, r.Key, w.move())
	return err
}

func (w *load) resolve(ctx context.Context) error {
	r, err := w.in(ctx, store.InDoubt)
	if err != nil {
		return err
	}
	found := store.Resolution{Delivered: w.one(2), ID: "003R"}
	if w.one(2) {
		return w.s.Verify(ctx, w.term, r.Seq, found)
	}
	_, err = w.s.Resolve(ctx, r.Key, w.move(), found)
	return err
}

func (w *load) many(ctx context.Context) error {
	change := w.s.RetryMany
	if w.one(2) {
		change = w.s.DropMany
	}
	_, _, err := change(ctx, store.Filter{Reason: store.ReasonFailed}, w.move(), false)
	return err
}

// passTime lets time pass and sweeps: holds end, events expire, slices of keys
// are closed and sorted, receipts and outcomes are forgotten.
func (w *load) passTime(ctx context.Context) error {
	w.clock.Advance([]time.Duration{time.Minute, 20 * time.Minute, 2 * time.Hour, 9 * time.Hour}[w.rng.IntN(4)])
	if w.one(6) {
		w.clock.Jump(time.Duration(w.rng.IntN(7200)-3600) * time.Second)
	}
	if _, _, err := w.s.Routes(ctx, w.term); err != nil {
		return err
	}
	for range 1 + w.rng.IntN(3) {
		if more, err := w.s.Sweep(ctx, w.term); err != nil || !more {
			return err
		}
	}
	return nil
}

func (w *load) facts(ctx context.Context) error {
	switch w.rng.IntN(4) {
	case 0:
		return w.s.Pause(ctx, "ada")
	case 1:
		return w.s.Resume(ctx, "ada", store.Acceptance{Org: w.one(2)})
	case 2:
		return w.s.SetPausedClock(ctx, w.term, w.one(2))
	}
	_, err := w.s.SetOrg(ctx, []string{"00D1", "00D1", "00D2"}[w.rng.IntN(3)], "https://shop.example")
	return err
}

func (w *load) hold(ctx context.Context) error {
	term, err := w.s.Hold(ctx)
	if err == nil {
		w.term = term
	}
	return err
}

func (w *load) backup(ctx context.Context) error { return w.s.Backup(ctx, io.Discard) }

// read begins a read that lasts for some moves, or ends it.
func (w *load) read(context.Context) (err error) {
	if w.reader != nil {
		return w.endRead()
	}
	w.reader, err = store.DBForTest(w.s).Begin(false)
	return err
}

func (w *load) endRead() error {
	if w.reader == nil {
		return nil
	}
	defer func() { w.reader = nil }()
	return w.reader.Rollback()
}

func (w *load) close() error { return errors.Join(w.endRead(), w.s.Close()) }
