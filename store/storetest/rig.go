package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/outboxd/outboxd/store"
)

// What the suite opens its outboxes with, and what moves its clocks.
const (
	dedupWindow  = 24 * time.Hour
	overdueAfter = time.Hour
	lateWindow   = 11 * time.Minute
	// grain is added to every wait, so that nothing depends on the last
	// nanosecond before a deadline.
	grain = time.Millisecond
)

var (
	upsert  = store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}
	create  = store.Route{Object: "Contact", Operation: "create"}
	account = store.Route{Object: "Account", Operation: "update"}
	matched = store.Route{Object: "Contact", Operation: "update", Match: true}
)

// reporter is what a rig needs of a test; *testing.T and *rapid.T are both one.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// rig is one outbox under test: its engine, clock, folder and present term.
type rig struct {
	reporter
	Outbox
	tb    testing.TB // nil in a walk
	clock *Clock
	term  store.Term
	ctx   context.Context
	open  Opener
	dir   string
	cfg   Config
	made  int    // attempts and moves named so far
	rev   uint64 // of an event, before its edit
}

// newRig opens a new outbox and holds it. At the end of the test the outbox
// is checked and closed.
func newRig(tb testing.TB, open Opener, change ...func(*Config)) *rig {
	tb.Helper()
	clock := NewClock()
	cfg := Config{Clock: clock, DedupWindow: dedupWindow, OverdueAfter: overdueAfter, LateWindow: lateWindow}
	for _, f := range change {
		f(&cfg)
	}
	r := &rig{reporter: tb, tb: tb, clock: clock, ctx: context.Background(), open: open, dir: MemoryDir(tb), cfg: cfg}
	r.start()
	tb.Cleanup(func() {
		r.verify()
		if err := r.Close(); err != nil {
			tb.Errorf("Close() = %v", err)
		}
	})
	return r
}

// start opens the outbox and takes a new term.
func (r *rig) start() {
	r.Helper()
	o, err := r.open(r.dir, r.cfg)
	if err != nil {
		r.Fatalf("open: %v", err)
	}
	r.Outbox = o
	r.hold()
}

// reopen ends the process, as it were, and starts it anew.
func (r *rig) reopen() {
	r.Helper()
	r.sweep()
	if err := r.Close(); err != nil {
		r.Fatalf("Close() = %v", err)
	}
	r.clock.Restart()
	r.start()
}

func (r *rig) hold() {
	r.Helper()
	t, err := r.Hold(r.ctx)
	if err != nil {
		r.Fatalf("Hold() = %v", err)
	}
	r.term = t
}

// verify fails the test for each invariant that is broken.
func (r *rig) verify() {
	r.Helper()
	v, err := r.Check(r.ctx)
	if err != nil {
		r.Errorf("Check() = %v", err)
	}
	for _, x := range v {
		r.Errorf("Check: %s: %s", x.Invariant, x.Detail)
	}
}

// sweep sweeps until there is nothing left to do.
func (r *rig) sweep() {
	r.Helper()
	for range 10_000 {
		more, err := r.Sweep(r.ctx, r.term)
		if err != nil {
			r.Fatalf("Sweep() = %v", err)
		}
		if !more {
			return
		}
	}
	r.Fatalf("Sweep never comes to an end")
}

// wait lets d and a little more pass on both clocks, and sweeps.
func (r *rig) wait(d time.Duration) {
	r.Helper()
	r.clock.Advance(d + grain)
	r.sweep()
}

// ev makes an event of a route. The lane may be left empty.
func ev(key string, route store.Route, lane string) store.Event {
	return store.Event{
		Key: key, Digest: digest(key), Route: route, Lane: lane, Source: "shop",
		Head: []byte(`{"key":"` + key + `"}`), Payload: []byte(`{"LastName":"` + key + `"}`),
	}
}

func digest(s string) (d store.Digest) {
	sum := sha256.Sum256([]byte(s))
	copy(d[:], sum[:])
	return d
}

// put stores events that must all be new, and returns their seqs.
func (r *rig) put(events ...store.Event) []store.Seq {
	r.Helper()
	res, err := r.Put(r.ctx, events, store.PutOptions{})
	if err != nil || len(res) != len(events) {
		r.Fatalf("Put(%s) = %d results, %v; want %d, nil", keysOf(events), len(res), err, len(events))
	}
	seqs := make([]store.Seq, len(res))
	for i, x := range res {
		if x.Err != nil || x.Duplicate || x.State != store.Pending || x.Seq == 0 {
			r.Fatalf("Put(%s) = %+v; want a new pending event", events[i].Key, x)
		}
		seqs[i] = x.Seq
	}
	return seqs
}

func keysOf(events []store.Event) []string {
	keys := make([]string, len(events))
	for i, e := range events {
		keys[i] = e.Key
	}
	return keys
}

// name makes an id that was not used before.
func (r *rig) name() string {
	r.made++
	return fmt.Sprintf("01936d2e-7c1a-7000-8000-%012x", r.made)
}

func spec(route store.Route) store.ClaimSpec {
	kind := store.KindREST
	if route.Match {
		kind = store.KindQuery
	}
	return store.ClaimSpec{Route: route, Kind: kind, MaxRecords: 100, MaxBytes: 1 << 20}
}

func bulk(route store.Route) store.ClaimSpec {
	s := spec(route)
	s.Kind = store.KindBulk
	return s
}

// claim claims what there is and returns the attempt with its events.
func (r *rig) claim(s store.ClaimSpec) (store.AttemptID, []store.Claimed) {
	r.Helper()
	id := store.AttemptID(r.name())
	a, events, err := r.Claim(r.ctx, r.term, id, s)
	if err != nil {
		r.Fatalf("Claim(%+v) = %v", s, err)
	}
	if len(events) > 0 && (a.ID != id || a.Phase != store.PhaseClaimed || a.Claimed != len(events)) {
		r.Fatalf("Claim(%+v) = %+v with %d events; want attempt %s in phase claimed with that count", s, a, len(events), id)
	}
	return id, events
}

// claimKeys claims and fails unless exactly these keys come out.
func (r *rig) claimKeys(s store.ClaimSpec, want ...string) (store.AttemptID, []store.Claimed) {
	r.Helper()
	id, events := r.claim(s)
	got := claimedKeys(events)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Fatalf("Claim(%+v) = %v; want %v", s, got, want)
	}
	return id, events
}

func claimedKeys(events []store.Claimed) []string {
	keys := make([]string, len(events))
	for i, e := range events {
		keys[i] = e.Key
	}
	return keys
}

// settle gives all events of an attempt the same outcome.
func (r *rig) settle(id store.AttemptID, events []store.Claimed, o store.Outcome) {
	r.Helper()
	x := store.Settlement{}
	for _, e := range events {
		o.Seq = e.Seq
		x.Outcomes = append(x.Outcomes, o)
	}
	if err := r.Settle(r.ctx, r.term, id, x); err != nil {
		r.Fatalf("Settle(%s, %v) = %v", id, o.Verdict, err)
	}
}

// run claims these keys and settles them all alike.
func (r *rig) run(s store.ClaimSpec, o store.Outcome, keys ...string) []store.Claimed {
	r.Helper()
	id, events := r.claimKeys(s, keys...)
	r.settle(id, events, o)
	return events
}

func delivered(id string) store.Outcome {
	return store.Outcome{Verdict: store.Deliver, ID: id, Created: true}
}

func failed(code string) store.Outcome {
	return store.Outcome{Verdict: store.Fail, Problem: &store.Problem{Code: code, Message: "no: " + code, Fields: []string{"LastName"}}}
}

func doubtful() store.Outcome {
	return store.Outcome{Verdict: store.Doubt, Problem: &store.Problem{Code: "TRANSPORT", Message: "no answer"}}
}

func (r *rig) advance(id store.AttemptID, from, to store.Phase, job string) {
	r.Helper()
	if err := r.Advance(r.ctx, r.term, id, from, to, store.PhaseData{JobID: job}); err != nil {
		r.Fatalf("Advance(%s, %v, %v, %q) = %v", id, from, to, job, err)
	}
}

func (r *rig) get(key string) store.Record {
	r.Helper()
	rec, err := r.Get(r.ctx, key)
	if err != nil {
		r.Fatalf("Get(%s) = %v", key, err)
	}
	return rec
}

// wantState fails unless every key is in the state.
func (r *rig) wantState(want store.State, keys ...string) {
	r.Helper()
	for _, k := range keys {
		if got := r.get(k).State; got != want {
			r.Errorf("state of %s = %v; want %v", k, got, want)
		}
	}
}

// wantErr fails unless err is one of the wanted.
func (r *rig) wantErr(call string, err error, want ...error) {
	r.Helper()
	if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		r.Errorf("%s = %v; want %v", call, err, want)
	}
}

func (r *rig) wantEqual(what string, got, want any) {
	r.Helper()
	if d := cmp.Diff(want, got); d != "" {
		r.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// wantAbout fails unless a length of time is the wanted one, give or take slack.
func (r *rig) wantAbout(what string, got, want time.Duration) {
	r.Helper()
	if got < want-slack || got > want+slack {
		r.Errorf("%s = %v; want %v", what, got, want)
	}
}

func (r *rig) move() store.Move { return store.Move{ID: r.name(), By: "ada"} }

func (r *rig) status() store.Status {
	r.Helper()
	s, err := r.Status(r.ctx)
	if err != nil {
		r.Fatalf("Status() = %v", err)
	}
	return s
}

// wantCounts fails unless the status shows the counts, in the order of
// store.States, and nothing got lost between acceptance and oblivion.
func (r *rig) wantCounts(want ...int64) {
	r.Helper()
	s := r.status()
	got := make([]int64, len(store.States))
	for i, st := range store.States {
		got[i] = s.Counts.Of(st)
	}
	r.wantEqual("counts of "+fmt.Sprint(store.States), got, want)
	if s.Accepted-s.Forgotten != s.Counts.Sum() {
		r.Errorf("accepted %d - forgotten %d is not the sum of the states, %d", s.Accepted, s.Forgotten, s.Counts.Sum())
	}
}

// list reads all pages of a listing.
func (r *rig) list(f store.Filter) []store.Record {
	r.Helper()
	var all []store.Record
	for range 10_000 {
		p, err := r.List(r.ctx, f)
		if err != nil {
			r.Fatalf("List(%+v) = %v", f, err)
		}
		all = append(all, p.Records...)
		if p.Next == "" {
			return all
		}
		f.Cursor = p.Next
	}
	r.Fatalf("List(%+v) never comes to an end", f)
	return nil
}

// stuck reads all pages of the stuck events, and the totals of the first.
func (r *rig) stuck(f store.Filter) ([]store.Record, store.StuckPage) {
	r.Helper()
	var all []store.Record
	first, err := r.Stuck(r.ctx, f)
	for p := first; err == nil; p, err = r.Stuck(r.ctx, f) {
		all = append(all, p.Records...)
		if f.Cursor = p.Next; f.Cursor == "" {
			return all, first
		}
	}
	r.Fatalf("Stuck(%+v) = %v", f, err)
	return nil, first
}

func recordKeys(recs []store.Record) []string {
	keys := make([]string, len(recs))
	for i, x := range recs {
		keys[i] = x.Key
	}
	return keys
}

// outcomes reads the feed from a cursor to its end.
func (r *rig) outcomes(cursor string) ([]store.OutcomeEntry, string) {
	r.Helper()
	var all []store.OutcomeEntry
	for range 10_000 {
		entries, next, err := r.Outcomes(r.ctx, cursor, 3)
		if err != nil {
			r.Fatalf("Outcomes(%q) = %v", cursor, err)
		}
		if len(entries) == 0 {
			return all, next
		}
		all, cursor = append(all, entries...), next
	}
	r.Fatalf("Outcomes never comes to an end")
	return nil, ""
}

func (r *rig) routes() (map[store.Route]store.RouteStat, time.Duration) {
	r.Helper()
	stats, next, err := r.Routes(r.ctx, r.term)
	if err != nil {
		r.Fatalf("Routes() = %v", err)
	}
	m := make(map[store.Route]store.RouteStat, len(stats))
	for _, s := range stats {
		m[s.Route] = s
	}
	return m, next
}
