package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/store"
	"pgregory.net/rapid"
)

// Walk drives an engine and the model through the same random calls, with
// faults, reopenings and moving clocks, and compares them after each call. A
// failure is shrunk, and printed with the seed that repeats it.
func Walk(t *testing.T, open Opener) {
	base := MemoryDir(t)
	rapid.Check(t, func(rt *rapid.T) { walkOnce(rt, base, open, false) })
}

// WalkBounded is Walk for an engine whose look-ahead is shorter than what
// waits, as it is behind a large backlog. What lies beyond need not be seen at
// once by Claim, Routes and Stuck, but nothing may come out that must not, and
// in the end everything has to.
func WalkBounded(t *testing.T, open Opener) {
	base := MemoryDir(t)
	rapid.Check(t, func(rt *rapid.T) { walkOnce(rt, base, open, true) })
}

// MemoryDir returns a folder for a test that asks nothing of a disk: in memory,
// where the machine has one, since syncs are most of such a test's time.
func MemoryDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "storetest")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// walkOnce is one random walk in a folder of its own.
func walkOnce(rt *rapid.T, base string, open Opener, bounded bool) {
	dir, err := os.MkdirTemp(base, "walk")
	if err != nil {
		rt.Fatalf("folder of the walk: %v", err)
	}
	defer os.RemoveAll(dir)
	w := newWalk(rt, dir, open)
	w.bounded = bounded
	defer func() { _ = w.rig.Outbox.(*Faults).Outbox.Close() }()
	w.put(rt)
	rt.Repeat(w.actions())
	w.drain()
	w.rig.verify()
}

// actions are what a walk does next; the usual ones stand there several times.
func (w *walk) actions() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){
		"claim again": w.claimAgain, "advance": w.advance, "settle again": w.settleAgain, "release": w.release,
		"retry": w.retry, "drop": w.drop, "resolve": w.resolve, "verify": w.verifyOne, "many": w.many,
		"jump": w.jump, "sweep": w.sweepAll, "idle": w.idle, "reopen": w.reopenIt, "hold": w.holdAnew,
		"time": w.time, "": w.compare,
	}
	for i := range 5 {
		all[fmt.Sprint("claim ", i)], all[fmt.Sprint("settle ", i)] = w.claim, w.settle
	}
	for i := range 3 {
		all[fmt.Sprint("put ", i)] = w.put
	}
	return all
}

// tracer reports to rapid, and ends each failure with the calls that led there.
type tracer struct {
	*rapid.T
	calls []string
}

func (t *tracer) tracef(format string, args ...any) {
	t.calls = append(t.calls, fmt.Sprintf(format, args...))
}

func (t *tracer) Fatalf(format string, args ...any) {
	t.Helper()
	t.T.Fatalf("%s\nafter:\n  %s", fmt.Sprintf(format, args...), strings.Join(t.calls, "\n  "))
}

// walk is an engine and its model.
type walk struct {
	*rig
	*tracer
	t      *rapid.T
	m      *model
	fault  Fault // of the next call that changes something
	last   []settled
	cursor string // end of the feed as read
	posts  map[store.Seq]int
	commit int // last commit seen in the feed
	swept  bool

	bounded bool // the engine looks less far ahead than there are events
}

// settled is a settlement that was made.
type settled struct {
	id store.AttemptID
	x  store.Settlement
}

func newWalk(t *rapid.T, dir string, open Opener) *walk {
	clock := NewClock()
	w := &walk{t: t, posts: map[store.Seq]int{}, tracer: &tracer{T: t}}
	w.rig = &rig{
		reporter: w.tracer, clock: clock, ctx: context.Background(), dir: dir,
		cfg: Config{Clock: clock, DedupWindow: dedupWindow, OverdueAfter: overdueAfter, LateWindow: lateWindow},
	}
	w.rig.open = func(dir string, cfg Config) (Outbox, error) {
		o, err := open(dir, cfg)
		if err != nil {
			return nil, err
		}
		return &Faults{Outbox: o, Next: w.next}, nil
	}
	w.rig.start()
	w.m = newModel(clock.Wall(), dedupWindow, overdueAfter)
	return w
}

// next hands the drawn fault to the first call after try.
func (w *walk) next(string) Fault {
	f := w.fault
	w.fault = Fault{}
	return f
}

// try makes a call that changes something. It may draw a fault for it; then
// the call is repeated with the same arguments, after a fence under a new
// term, as a caller has to. repeated tells that the first try had taken effect.
func (w *walk) try(call func() error) (repeated bool, err error) {
	w.fault = rapid.SampledFrom([]Fault{
		{},
		{},
		{},
		{},
		{},
		{},
		{},
		{},
		{},
		{},
		Unavailable, UnknownBefore, UnknownApplied, UnknownApplied, FencedBefore, FencedApplied,
	}).Draw(w.t, "fault")
	injected := w.fault
	if injected.Err != nil {
		w.tracef("  (fault: %v, applied: %v)", injected.Err, injected.Applied)
	}
	err = call()
	w.fault = Fault{}
	if injected.Err == nil || !errors.Is(err, injected.Err) {
		return false, err
	}
	if errors.Is(err, store.ErrFenced) {
		w.hold()
		w.m.newTerm()
	}
	return injected.Applied, call()
}

// wantOne fails unless err is one of those that the model expects.
func (w *walk) wantOne(call string, err error, want ...error) {
	w.Helper()
	for _, x := range want {
		if errors.Is(err, x) {
			return
		}
	}
	w.Fatalf("%s = %v; want %v", call, err, want)
}

var walkRoutes = []store.Route{upsert, create, account, matched}

var walkKeys = func() []string {
	keys := make([]string, 24)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%02d", i)
	}
	return keys
}()

func (w *walk) drawKey() string { return rapid.SampledFrom(walkKeys).Draw(w.t, "key") }

// drawKeyIn picks a key, mostly one of an event in this state.
func (w *walk) drawKeyIn(s store.State) string {
	var keys []string
	for _, e := range w.m.inOrder() {
		if e.state == s {
			keys = append(keys, e.Key)
		}
	}
	if len(keys) == 0 || w.chance(2, "any key") {
		return w.drawKey()
	}
	return rapid.SampledFrom(keys).Draw(w.t, "key")
}

// chance is true n times of ten.
func (w *walk) chance(n int, what string) bool { return rapid.IntRange(1, 10).Draw(w.t, what) <= n }

func (w *walk) seconds(lo, hi int, what string) time.Duration {
	return time.Duration(rapid.IntRange(lo, hi).Draw(w.t, what)) * time.Second
}

func (w *walk) drawEvent() store.Event {
	key := w.drawKey()
	e := ev(key, rapid.SampledFrom(walkRoutes).Draw(w.t, "route"), "")
	e.Payload = []byte(fmt.Sprintf(`{"LastName":%q}`, key))
	if w.chance(1, "other payload") {
		e.Digest = digest("other " + key)
	}
	switch rapid.IntRange(0, 4).Draw(w.t, "lane") {
	case 0, 1:
		e.Lane = fmt.Sprintf("%s/%d", e.Route.Object, rapid.IntRange(1, 3).Draw(w.t, "record"))
	case 2:
		e.Lane = rapid.SampledFrom([]string{"order-7", "Contact/1"}).Draw(w.t, "named") // of whatever object
	}
	if w.chance(2, "after") {
		e.After = slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.SampledFrom(walkKeys), 1, 2).Draw(w.t, "after keys"))))
	}
	if w.chance(1, "not before") {
		e.NotBefore = w.clock.Wall().Add(w.seconds(-60, 600, "in"))
	}
	if w.chance(1, "expires") {
		e.ExpiresAt = w.clock.Wall().Add(w.seconds(-60, 3600, "in"))
	}
	return e
}

func (w *walk) put(t *rapid.T) {
	w.t = t
	events := make([]store.Event, rapid.IntRange(1, 6).Draw(t, "events"))
	for i := range events {
		events[i] = w.drawEvent()
	}
	o := store.PutOptions{Atomic: w.chance(3, "atomic")}
	for _, e := range events {
		w.tracef("put %s %s %s/%v lane %q after %v in %v until %v atomic %v", e.Key, e.Route.Object, e.Route.Operation, e.Route.Match,
			e.Lane, e.After, fromNow(w, e.NotBefore), fromNow(w, e.ExpiresAt), o.Atomic)
	}
	var res []store.PutResult
	repeated, err := w.try(func() (err error) { res, err = w.Put(w.ctx, events, o); return err })
	if err != nil || len(res) != len(events) {
		w.Fatalf("Put(%v) = %d results, %v", keysOf(events), len(res), err)
	}
	if o.Atomic && slices.ContainsFunc(res, func(x store.PutResult) bool { return errors.Is(x.Err, store.ErrKeyReused) }) {
		w.refused(events, res)
		return
	}
	for i, e := range events {
		w.putOneOf(e, res[i], repeated)
	}
}

// refused checks the answers to an atomic batch of which an event was refused.
func (w *walk) refused(events []store.Event, res []store.PutResult) {
	digests := map[string]store.Digest{}
	for k, e := range w.m.keys {
		digests[k] = e.Digest
	}
	for i, e := range events {
		d, known := digests[e.Key]
		if known && d != e.Digest {
			w.wantOne("Put of "+e.Key+" with another payload", res[i].Err, store.ErrKeyReused)
			continue
		}
		digests[e.Key] = e.Digest
		if !res[i].Duplicate {
			w.wantOne("Put of "+e.Key+" in a refused batch", res[i].Err, store.ErrAborted)
		}
	}
}

func fromNow(w *walk, at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return at.Sub(w.clock.Wall())
}

// putOneOf checks one answer of Put and takes the event into the model.
func (w *walk) putOneOf(e store.Event, res store.PutResult, repeated bool) {
	old := w.m.keys[e.Key]
	fresh := res.Err == nil && (!res.Duplicate || old == nil && repeated)
	if old != nil && fresh && w.m.mayForget(old) {
		w.m.forget(old)
		old = nil
	}
	switch {
	case old == nil && fresh:
		if res.Seq == 0 || res.State != store.Pending || w.m.events[res.Seq] != nil {
			w.Fatalf("Put(%s) = %+v; want a new pending event", e.Key, res)
		}
		w.m.put(e, res.Seq)
	case old == nil:
		w.Fatalf("Put(%s) = %+v; want a new event", e.Key, res)
	case old.Digest != e.Digest:
		w.wantOne("Put of "+e.Key+" with another payload", res.Err, store.ErrKeyReused)
	case res.Err != nil || !res.Duplicate || res.Seq != old.seq || res.State != old.state && !w.m.mayExpire(old):
		w.Fatalf("Put(%s) again = %+v; want the duplicate of seq %d, %v", e.Key, res, old.seq, old.state)
	}
}

// drawRoute picks a route, mostly one on which something may be claimed.
func (w *walk) drawRoute() store.Route {
	all := append(walkRoutes[:len(walkRoutes):len(walkRoutes)], rerouted)
	if w.chance(8, "a ready route") {
		ready := slices.DeleteFunc(slices.Clone(all), func(r store.Route) bool { return w.perhaps(spec(r)) == 0 })
		if len(ready) > 0 {
			all = ready
		}
	}
	return rapid.SampledFrom(all).Draw(w.t, "route")
}

func (w *walk) claim(t *rapid.T) {
	w.t = t
	s := spec(w.drawRoute())
	if !s.Route.Match && w.chance(4, "bulk") {
		s.Kind = store.KindBulk
	}
	s.MaxRecords = rapid.IntRange(1, 6).Draw(t, "records")
	s.MaxBytes = rapid.SampledFrom([]int64{1, 50, 1 << 20, 1 << 20}).Draw(t, "bytes")
	id := store.AttemptID(w.name())
	var a store.Attempt
	var got []store.Claimed
	_, err := w.try(func() (err error) { a, got, err = w.Claim(w.ctx, w.term, id, s); return err })
	if err != nil {
		w.Fatalf("Claim(%+v) = %v", s, err)
	}
	w.tracef("claim %s %s/%v %s ≤ %d, %d bytes: %v as %s", s.Route.Object, s.Route.Operation, s.Route.Match, s.Kind, s.MaxRecords, s.MaxBytes, claimedKeys(got), id)
	w.legal(s, got)
	if len(got) == 0 {
		if !w.bounded {
			w.sober(s)
		}
		return
	}
	if a.ID != id || a.Kind != s.Kind || a.Route != s.Route || a.Phase != store.PhaseClaimed || a.Claimed != len(got) {
		w.Fatalf("Claim(%+v) = %+v with %d events", s, a, len(got))
	}
	w.m.claim(id, s, seqsOf(got))
}

func seqsOf(events []store.Claimed) []store.Seq {
	seqs := make([]store.Seq, len(events))
	for i, c := range events {
		seqs[i] = c.Seq
	}
	return seqs
}

// legal fails unless the claimed events are a choice that the model allows.
func (w *walk) legal(s store.ClaimSpec, got []store.Claimed) {
	if len(got) > s.MaxRecords {
		w.Fatalf("Claim(%+v) = %d events", s, len(got))
	}
	lanes, bytes := map[string]string{}, int64(0)
	for _, c := range got {
		e := w.m.events[c.Seq]
		if e == nil || e.route != s.Route || w.m.claimable(e, s.Kind) == no {
			w.Fatalf("Claim(%+v) handed out %s, which it may not: %s", s, c.Key, w.describe(e))
		}
		if o := lanes[e.Lane]; o != "" && e.Lane != "" {
			w.Fatalf("Claim(%+v) handed out %s and %s of one lane", s, o, c.Key)
		}
		if e.maxBatch > 0 && len(got) > e.maxBatch {
			w.Fatalf("Claim(%+v) handed out %d events with %s, whose batch is at most %d", s, len(got), c.Key, e.maxBatch)
		}
		lanes[e.Lane], bytes = c.Key, bytes+int64(len(c.Payload))
		w.sameClaimed(c, e)
	}
	if bytes > s.MaxBytes && len(got) > 1 {
		w.Fatalf("Claim(%+v) handed out %d bytes in %d events", s, bytes, len(got))
	}
	if len(got) > 0 || w.bounded {
		return
	}
	for _, e := range w.m.events {
		if e.route == s.Route && w.m.claimable(e, s.Kind) == yes {
			w.Fatalf("Claim(%+v) = nothing; %s is claimable: %s", s, e.Key, w.describe(e))
		}
	}
}

// sober fails if Routes goes on promising what claims do not find. One claim
// may end events that expired, whose followers the next one has to look at.
func (w *walk) sober(s store.ClaimSpec) {
	id, got := w.rig.claim(s)
	w.legal(s, got)
	if len(got) > 0 {
		w.m.claim(id, s, seqsOf(got))
		return
	}
	if stats, _ := w.routes(); s.Kind != store.KindBulk && stats[s.Route].Ready > w.perhaps(s) {
		w.Fatalf("Claim(%+v) = nothing, twice; Routes still says %+v", s, stats[s.Route])
	}
}

// perhaps counts the events that a claim might have handed out.
func (w *walk) perhaps(s store.ClaimSpec) (n int) {
	for _, e := range w.m.events {
		if e.route == s.Route && w.m.claimable(e, s.Kind) != no {
			n++
		}
	}
	return n
}

func (w *walk) describe(e *entry) string {
	if e == nil {
		return "unknown to the model"
	}
	before, _ := w.m.lane(e)
	var lane []string
	for _, o := range before {
		lane = append(lane, fmt.Sprintf("%s %v skip=%v", o.Key, o.state, o.skip))
	}
	return fmt.Sprintf("%s seq %d %v route %+v lane %q before it %v after %v due in %v not before %v expires %v held %v",
		e.Key, e.seq, e.state, e.route, e.Lane, lane, e.After, e.due-w.m.now, e.NotBefore, e.ExpiresAt, w.m.held(e))
}

// sameClaimed compares what a claim says of an event with the model.
func (w *walk) sameClaimed(c store.Claimed, e *entry) {
	if c.Key != e.Key || c.Source != e.Source || string(c.Head) != string(e.Head) || string(c.Payload) != string(e.Payload) || c.Target != e.target {
		w.Fatalf("claimed = %s %s %s target %q; want %s %s %s target %q", c.Key, c.Head, c.Payload, c.Target, e.Key, e.Head, e.Payload, e.target)
	}
	if c.Attempts < e.minCharged || c.Attempts > e.maxCharged {
		w.Fatalf("claimed %s with %d attempts; want %d to %d", c.Key, c.Attempts, e.minCharged, e.maxCharged)
	}
	if e.sent != maybe && sureOf(c.Sent) != e.sent {
		w.Fatalf("claimed %s with Sent %v; want %v", c.Key, c.Sent, !c.Sent)
	}
	if age := w.m.ages - e.bornAge; c.Age < age-slack || c.Age > age+slack {
		w.Fatalf("claimed %s with age %v; want %v", c.Key, c.Age, age)
	}
	switch {
	case c.FirstError != nil && (e.problem == nil || c.FirstError.Code != e.problem.Code),
		c.FirstError == nil && e.problem != nil && e.problemSure:
		w.Fatalf("claimed %s with error %+v; want %+v", c.Key, c.FirstError, e.problem)
	}
}

// drawAttempt picks an attempt that is not done; it skips when there is none.
func (w *walk) drawAttempt(bulk bool) *trip {
	var open []*trip
	for _, id := range slices.Sorted(maps.Keys(w.m.attempts)) {
		if a := w.m.attempts[id]; a.phase != store.PhaseDone && (!bulk || a.kind == store.KindBulk) {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		w.t.Skip("no attempt")
	}
	return rapid.SampledFrom(open).Draw(w.t, "attempt")
}

func (w *walk) claimAgain(t *rapid.T) {
	w.t = t
	a := w.drawAttempt(false)
	_, got, err := w.Claim(w.ctx, w.term, a.id, store.ClaimSpec{Route: a.route, Kind: a.kind, MaxRecords: a.claimed, MaxBytes: 1 << 20})
	if err != nil {
		w.Fatalf("Claim of attempt %s again = %v", a.id, err)
	}
	w.sameEvents(a, got)
}

// sameEvents compares the events of an attempt, and their order.
func (w *walk) sameEvents(a *trip, got []store.Claimed) {
	seqs := make([]store.Seq, len(got))
	for i, c := range got {
		seqs[i] = c.Seq
		if e := w.m.events[c.Seq]; e != nil {
			w.sameClaimed(c, e)
		}
	}
	if !slices.Equal(seqs, a.events) {
		w.Fatalf("events of attempt %s = %v; want %v", a.id, seqs, a.events)
	}
}

func (w *walk) advance(t *rapid.T) {
	w.t = t
	a := w.drawAttempt(true)
	from, to := a.phase, min(a.phase+1, store.PhaseProcessing)
	var d store.PhaseData
	if w.chance(2, "wrong phase") {
		from = from%store.PhaseProcessing + 1
		to = min(from+1, store.PhaseProcessing)
		d.JobID = w.name()
	}
	legal := from == a.phase && (to > from || from == store.PhaseOpen)
	if to == from && from != store.PhaseOpen {
		t.Skip("nowhere to go")
	}
	if legal && (from == store.PhaseClaimed || from == store.PhaseOpen && w.chance(3, "another job")) {
		to, d.JobID = store.PhaseOpen, w.name()
	}
	w.tracef("advance %s from %v to %v job %q", a.id, from, to, d.JobID)
	_, err := w.try(func() error { return w.Advance(w.ctx, w.term, a.id, from, to, d) })
	if !legal {
		w.wantOne(fmt.Sprintf("Advance(%v, %v) in phase %v", from, to, a.phase), err, store.ErrTransition)
		return
	}
	w.wantOne(fmt.Sprintf("Advance(%v, %v)", from, to), err, nil)
	if a.phase = to; d.JobID != "" {
		a.jobID = d.JobID
	}
}

// rerouted is where matched events go once a query found their record.
var rerouted = store.Route{Object: "Contact", Operation: "update"}

func (w *walk) drawOutcome(seq store.Seq, match bool) store.Outcome {
	problem := &store.Problem{Code: rapid.SampledFrom([]string{"X", "Y"}).Draw(w.t, "code"), Message: "no"}
	o := store.Outcome{Seq: seq}
	verdicts := []store.Verdict{store.Deliver, store.Deliver, store.Fail, store.Doubt, store.Again}
	if match {
		verdicts = []store.Verdict{store.Reroute, store.Reroute, store.Fail, store.Again}
	}
	switch o.Verdict = rapid.SampledFrom(verdicts).Draw(w.t, "verdict"); o.Verdict {
	case store.Deliver:
		o.ID, o.Created = "003"+w.name(), w.chance(5, "created")
	case store.Fail, store.Doubt:
		o.Problem, o.Skip = problem, w.chance(5, "skip")
		if o.Verdict == store.Doubt {
			o.Matches = []string{"003A", "003B"}
		}
	case store.Again:
		if w.chance(5, "with a problem") {
			o.Problem = problem
		}
		if w.chance(5, "delayed") {
			o.Delay = w.seconds(1, 600, "delay")
		}
		o.Charge, o.Sent = w.chance(5, "charge"), w.chance(3, "sent")
		o.MaxBatch = rapid.SampledFrom([]int{0, 0, -1, 1, 2}).Draw(w.t, "batch")
		o.RESTOnly = !match && w.chance(2, "rest only")
	case store.Reroute:
		o.Route = rerouted
		if w.chance(7, "found") {
			o.Target = "003T"
		}
	}
	if w.chance(2, "hold") {
		o.Hold = lateWindow
	}
	return o
}

func (w *walk) settle(t *rapid.T) {
	w.t = t
	a := w.drawAttempt(false)
	x := store.Settlement{Note: "walked"}
	all := w.chance(7, "all")
	for _, seq := range a.events {
		if all || w.chance(5, "this one") {
			x.Outcomes = append(x.Outcomes, w.drawOutcome(seq, a.route.Match))
		}
	}
	if len(x.Outcomes) == 0 {
		t.Skip("nothing to settle")
	}
	for _, o := range x.Outcomes {
		w.tracef("settle %s: %s verdict %d skip %v delay %v charge %v batch %d rest %v sent %v hold %v", a.id, w.m.events[o.Seq].Key,
			o.Verdict, o.Skip, o.Delay, o.Charge, o.MaxBatch, o.RESTOnly, o.Sent, o.Hold)
	}
	_, err := w.try(func() error { return w.Settle(w.ctx, w.term, a.id, x) })
	w.wantOne("Settle", err, nil)
	w.m.settle(a.id, x.Outcomes)
	w.last = append(w.last, settled{a.id, x})
}

func (w *walk) settleAgain(t *rapid.T) {
	if len(w.last) == 0 {
		t.Skip("nothing was settled")
	}
	s := w.last[len(w.last)-1]
	w.wantOne("Settle again", w.Settle(w.ctx, w.term, s.id, s.x), nil)
}

func (w *walk) release(t *rapid.T) {
	w.t = t
	a := w.drawAttempt(false)
	w.tracef("release %s", a.id)
	_, err := w.try(func() error { return w.Release(w.ctx, w.term, a.id, "walked") })
	if a.phase >= store.PhaseClosing {
		w.wantOne(fmt.Sprintf("Release in phase %v", a.phase), err, store.ErrTransition)
		return
	}
	w.wantOne("Release", err, nil)
	w.m.release(a.id)
}
