package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/outboxd/outboxd/store"
	"pgregory.net/rapid"
)

// mayMove says what a move that e's state allows may answer, when a follower
// of its lane may have been sent.
func (w *walk) mayMove(e *entry) []error {
	switch w.m.superseded(e) {
	case yes:
		return []error{store.ErrSuperseded}
	case maybe:
		return []error{nil, store.ErrSuperseded}
	default:
		return []error{nil}
	}
}

func (w *walk) retry(t *rapid.T) {
	w.t = t
	key, m := w.drawKeyIn(store.Failed), w.move()
	e := w.m.keys[key]
	var edit *store.Edit
	stale := false
	if e != nil && w.chance(3, "edit") {
		stale = w.chance(3, "stale")
		edit = &store.Edit{Payload: []byte(fmt.Sprintf(`{"LastName":%q,"n":%q}`, key, m.ID)), Old: []byte(`{}`), Rev: w.get(key).Rev}
		if stale {
			edit.Rev += 1000
		}
	}
	w.tracef("retry %s edit %v stale %v", key, edit != nil, stale)
	_, err := w.try(func() error { _, err := w.Retry(w.ctx, key, m, edit); return err })
	switch {
	case e == nil:
		w.wantOne("Retry("+key+")", err, store.ErrNotFound)
	case e.state != store.Failed:
		w.wantOne(fmt.Sprintf("Retry(%s), which is %v", key, e.state), err, store.ErrTransition)
	case stale:
		want := []error{store.ErrConflict}
		if w.m.superseded(e) != no {
			want = append(want, store.ErrSuperseded)
		}
		w.wantOne("Retry("+key+") with a stale edit", err, want...)
	default:
		w.wantOne("Retry("+key+")", err, w.mayMove(e)...)
		if err == nil {
			w.m.retry(e, edit)
		}
	}
}

func (w *walk) drop(t *rapid.T) {
	w.t = t
	key, m := w.drawKey(), w.move()
	e := w.m.keys[key]
	w.tracef("drop %s", key)
	_, err := w.try(func() error { _, err := w.Drop(w.ctx, key, m); return err })
	switch {
	case e == nil:
		w.wantOne("Drop("+key+")", err, store.ErrNotFound)
	case e.state != store.Failed && e.state != store.Pending:
		w.wantOne(fmt.Sprintf("Drop(%s), which is %v", key, e.state), err, store.ErrTransition)
	default:
		w.wantOne("Drop("+key+")", err, nil)
		w.m.drop(e)
	}
}

func (w *walk) drawResolution() store.Resolution {
	if w.chance(5, "was delivered") {
		return store.Resolution{Delivered: true, ID: "003R"}
	}
	return store.Resolution{}
}

func (w *walk) resolve(t *rapid.T) {
	w.t = t
	key, m, r := w.drawKeyIn(store.InDoubt), w.move(), w.drawResolution()
	e := w.m.keys[key]
	w.tracef("resolve %s delivered %v", key, r.Delivered)
	_, err := w.try(func() error { _, err := w.Resolve(w.ctx, key, m, r); return err })
	switch {
	case e == nil:
		w.wantOne("Resolve("+key+")", err, store.ErrNotFound)
	case e.state != store.InDoubt:
		w.wantOne(fmt.Sprintf("Resolve(%s), which is %v", key, e.state), err, store.ErrTransition)
	default:
		w.resolved("Resolve("+key+")", e, r, err)
	}
}

// resolved checks the end of a doubt: only to send it again can be too late.
func (w *walk) resolved(call string, e *entry, r store.Resolution, err error) {
	want := []error{nil}
	if !r.Delivered {
		want = w.mayMove(e)
	}
	w.wantOne(call, err, want...)
	if err == nil {
		w.m.resolve(e, r)
	}
}

func (w *walk) verifyOne(t *rapid.T) {
	w.t = t
	key, r := w.drawKeyIn(store.InDoubt), w.drawResolution()
	e := w.m.keys[key]
	if e == nil {
		t.Skip("no such event")
	}
	w.tracef("verify %s delivered %v", key, r.Delivered)
	repeated, err := w.try(func() error { return w.Verify(w.ctx, w.term, e.seq, r) })
	call := fmt.Sprintf("Verify(%s), which is %v", key, e.state)
	if e.state != store.InDoubt {
		w.wantOne(call, err, store.ErrTransition, nil) // nil: it is there already
		return
	}
	if repeated && err != nil {
		w.wantOne(call, err, store.ErrTransition, store.ErrSuperseded)
		err = nil
		if w.get(key).State == store.InDoubt {
			err = store.ErrSuperseded
		}
	}
	w.resolved(call, e, r, err)
}

// many retries or drops by filter.
func (w *walk) many(t *rapid.T) {
	w.t = t
	f := store.Filter{
		Reason: rapid.SampledFrom([]store.Reason{"", store.ReasonFailed, store.ReasonBlocked, store.ReasonOverdue}).Draw(t, "reason"),
		Object: rapid.SampledFrom([]string{"", "Contact"}).Draw(t, "object"),
		Code:   rapid.SampledFrom([]string{"", "", "X"}).Draw(t, "code"),
	}
	listed, _ := w.stuck(f)
	m := w.move()
	dropping, dry := w.chance(3, "drop"), w.chance(3, "dry")
	call := w.RetryMany
	if dropping {
		call = w.DropMany
	}
	w.tracef("many: %+v drop %v dry %v: %v", f, dropping, dry, recordKeys(listed))
	var matched, changed int64
	repeated, err := w.try(func() (err error) { matched, changed, err = call(w.ctx, f, m, dry); return err })
	w.wantOne("a move by filter", err, nil)
	if !repeated && matched != int64(len(listed)) {
		w.Fatalf("a move by %+v matched %d; the list has %d", f, matched, len(listed))
	}
	if !dry {
		n := w.moved(recordKeys(listed), dropping)
		if !repeated && changed != n {
			w.Fatalf("a move by %+v answered %d changed; %d are", f, changed, n)
		}
	}
}

// moved applies a move by filter to the model and counts what it changed.
func (w *walk) moved(keys []string, dropping bool) (n int64) {
	for _, k := range keys {
		e := w.m.keys[k]
		now := w.get(k).State
		switch {
		case dropping && e.state == store.Pending && now == store.Pending:
			// It was no longer stuck when its turn came.
		case dropping && (e.state == store.Pending || e.state == store.Failed):
			w.m.drop(e)
			n++
		case !dropping && e.state == store.Failed:
			s := w.m.superseded(e)
			if s == yes && now != store.Failed || s == no && now != store.Pending {
				w.Fatalf("%s is %v after a retry by filter; superseded: %v", k, now, s == yes)
			}
			if now == store.Pending {
				w.m.retry(e, nil)
				n++
			}
		}
	}
	return n
}

func (w *walk) time(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, 5 * time.Minute, 20 * time.Minute, 2 * time.Hour, 13 * time.Hour}).Draw(t, "time") + grain
	w.tracef("time passes: %v", d)
	w.clock.Advance(d)
	w.m.tick(d)
	w.m.pass(d)
	w.swept = false
}

func (w *walk) jump(t *rapid.T) {
	w.t = t
	d := w.seconds(-3600, 3600, "jump") + grain
	w.tracef("wall clock jumps: %v", d)
	w.clock.Jump(d)
	w.m.tick(d)
	w.swept = false
}

func (w *walk) sweepAll(t *rapid.T) {
	w.t = t
	w.tracef("sweep")
	for {
		more := false
		_, err := w.try(func() (err error) { more, err = w.Sweep(w.ctx, w.term); return err })
		w.wantOne("Sweep", err, nil)
		if !more {
			break
		}
	}
	w.swept = true
}

// idle stops or starts the clock of ages.
func (w *walk) idle(t *rapid.T) {
	w.t = t
	w.m.paused = !w.m.paused
	w.tracef("ages stand still: %v", w.m.paused)
	_, err := w.try(func() error { return w.SetPausedClock(w.ctx, w.term, w.m.paused) })
	w.wantOne("SetPausedClock", err, nil)
}

func (w *walk) reopenIt(*rapid.T) {
	w.tracef("reopen")
	w.reopen()
	w.m.newTerm()
	if err := w.SetPausedClock(w.ctx, w.term, w.m.paused); err != nil {
		w.Fatalf("SetPausedClock = %v", err)
	}
}

func (w *walk) holdAnew(*rapid.T) {
	w.tracef("hold")
	old := w.term
	w.hold()
	w.m.newTerm()
	_, err := w.Sweep(w.ctx, old)
	w.wantOne("Sweep with an old term", err, store.ErrFenced)
}

// drain delivers all that can be, the way a dispatcher does after the faults
// have stopped. Nothing that could go may be left behind.
func (w *walk) drain() {
	w.fault = Fault{}
	w.tracef("drain")
	for _, id := range w.unfinished() {
		w.deliverAll(id, w.m.attempts[id].events)
	}
	w.clock.Advance(2*lateWindow + grain)
	w.m.tick(2*lateWindow + grain)
	w.m.pass(2*lateWindow + grain)
	for idle := 0; idle < 3; idle++ {
		w.sweep()
		w.catchUp()
		for _, route := range append(walkRoutes, rerouted) {
			s := spec(route)
			id, got := w.rig.claim(s)
			w.legal(s, got)
			if len(got) > 0 {
				idle = 0
				w.m.claim(id, s, seqsOf(got))
				w.deliverAll(id, seqsOf(got))
			}
		}
	}
	for _, e := range w.m.inOrder() {
		if w.m.claimable(e, store.KindREST) == yes {
			w.Fatalf("left behind: %s", w.describe(e))
		}
	}
}

func (w *walk) deliverAll(id store.AttemptID, seqs []store.Seq) {
	var x store.Settlement
	for _, seq := range seqs {
		x.Outcomes = append(x.Outcomes, store.Outcome{Seq: seq, Verdict: store.Deliver})
	}
	w.wantOne("Settle", w.Settle(w.ctx, w.term, id, x), nil)
	w.m.settle(id, x.Outcomes)
}

// inOrder returns the model's events in order of seq.
func (m *model) inOrder() []*entry {
	all := make([]*entry, 0, len(m.events))
	for _, e := range m.events {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return int(a.seq) - int(b.seq) })
	return all
}
