package storetest

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/outboxd/outboxd/store"
	"pgregory.net/rapid"
)

// compare asks the engine everything and compares it with the model.
func (w *walk) compare(t *rapid.T) {
	w.t = t
	w.catchUp()
	records := w.sameRecords()
	status := w.sameStatus()
	if !w.bounded {
		w.sameStuck(records, status)
		w.sameRoutes()
	}
	w.sameAttempts()
	w.sameFeed()
}

// catchUp learns from the engine what a sweep did that it may do at any time:
// expire a pending event, which it must have after a sweep, or forget a receipt.
func (w *walk) catchUp() {
	for _, e := range w.m.inOrder() {
		expire, forget := w.m.mayExpire(e), w.m.mayForget(e)
		if !expire && !forget {
			continue
		}
		rec, err := w.Get(w.ctx, e.Key)
		switch {
		case forget && errors.Is(err, store.ErrNotFound):
			w.m.forget(e)
		case err != nil:
			w.Fatalf("Get(%s) = %v", e.Key, err)
		case expire && rec.State == store.Failed:
			w.m.expire(e)
		case w.swept && expire:
			w.Fatalf("%s is %v after a sweep; it expired at %v, now %v", e.Key, rec.State, e.ExpiresAt, w.m.wall)
		}
	}
	w.swept = false
}

// view is what a record must show of an event.
type view struct {
	Seq                         store.Seq
	Key                         string
	Digest                      store.Digest
	State                       store.State
	Route                       store.Route
	Lane, Source, Head, Payload string
	After                       []string
	ID                          string
	Created, Ended, NextAt      bool
	AttemptID                   store.AttemptID // in flight
	JobID                       string          // in flight
	Code                        string          // failed, in doubt
	Matches                     []string        // in doubt
}

func (m *model) view(e *entry) view {
	v := view{
		Seq: e.seq, Key: e.Key, Digest: e.Digest, State: e.state, Route: e.Route, Lane: e.Lane, Source: e.Source,
		Head: string(e.Head), Payload: string(e.Payload), After: e.After, ID: e.id, Created: e.created, Ended: e.state.Terminal(),
	}
	switch e.state {
	case store.Delivered, store.Dropped:
		v.Payload, v.After = "", nil
	case store.Inflight:
		v.AttemptID, v.JobID = e.attempt, m.attempts[e.attempt].jobID
	case store.InDoubt:
		v.Matches = e.matches
		v.Code = e.problem.Code
	case store.Failed:
		v.Code = e.problem.Code
	case store.Pending:
		v.NextAt = e.due > m.now
	}
	return v
}

// viewOf reads the same out of a record; members that the state does not
// determine are left out.
func viewOf(r store.Record, e *entry, m *model) view {
	v := view{
		Seq: r.Seq, Key: r.Key, Digest: r.Digest, State: r.State, Route: r.Route, Lane: r.Lane, Source: r.Source,
		Head: string(r.Head), Payload: string(r.Payload), After: r.After, ID: r.ID, Created: r.Created, Ended: !r.EndedAt.IsZero(),
	}
	switch r.State {
	case store.Delivered, store.Dropped:
		v.After = nil
	case store.Inflight:
		v.AttemptID, v.JobID = r.AttemptID, r.JobID
	case store.InDoubt, store.Failed:
		if r.State == store.InDoubt {
			v.Matches = r.Matches
		}
		if r.LastError != nil {
			v.Code = r.LastError.Code
		}
	case store.Pending:
		v.NextAt = e.due > m.now && !r.NextAt.IsZero()
	}
	return v
}

func (w *walk) sameRecords() map[string]store.Record {
	got := w.list(store.Filter{Payload: true, Limit: rapid.SampledFrom([]int{0, 0, 0, 3}).Draw(w.t, "page")})
	want := w.m.inOrder()
	if len(got) != len(want) {
		w.Fatalf("List = %v; the model has %d events", recordKeys(got), len(want))
	}
	records := map[string]store.Record{}
	for i, e := range want {
		r := got[i]
		records[r.Key] = r
		if want, got := w.m.view(e), viewOf(r, e, w.m); !reflect.DeepEqual(want, got) {
			w.Fatalf("record of %s (-want +got):\n%s", e.Key, cmp.Diff(want, got))
		}
		if r.Attempts < e.minCharged || r.Attempts > e.maxCharged {
			w.Fatalf("%s has %d attempts; want %d to %d", e.Key, r.Attempts, e.minCharged, e.maxCharged)
		}
		if !e.claimed && !r.SentAt.IsZero() || e.state == store.Inflight && r.SentAt.IsZero() {
			w.Fatalf("%s, claimed: %v, was sent at %v", e.Key, e.claimed, r.SentAt)
		}
		if n := len(r.History); n > 0 && e.state != store.Inflight && e.state != store.Pending && r.History[n-1].To != e.state {
			w.Fatalf("%s is %v; its history ends with %+v", e.Key, e.state, r.History[n-1])
		}
	}
	return records
}

func (w *walk) sameStatus() store.Status {
	s := w.status()
	all, objects := w.m.counts()
	maps.DeleteFunc(s.Objects, func(_ string, c store.Counts) bool { return c.Sum() == 0 })
	if s.Counts != all || !maps.Equal(s.Objects, objects) {
		w.Fatalf("Status: counts %v by object %v; want %v, %v", s.Counts, s.Objects, all, objects)
	}
	if s.Accepted != w.m.accepted || s.Forgotten != w.m.forgotten {
		w.Fatalf("Status: accepted %d, forgotten %d; want %d, %d", s.Accepted, s.Forgotten, w.m.accepted, w.m.forgotten)
	}
	if s.OldestPending != 0 && all[store.Pending] == 0 {
		w.Fatalf("Status: oldest pending %v; nothing is pending", s.OldestPending)
	}
	return s
}

func (w *walk) sameStuck(records map[string]store.Record, status store.Status) {
	listed, page := w.stuck(store.Filter{Limit: rapid.SampledFrom([]int{0, 0, 0, 2}).Draw(w.t, "page")})
	reasons := map[string]store.Reason{}
	totals := map[store.Reason]int64{}
	for _, r := range listed {
		reasons[r.Key] = r.Reason
		totals[r.Reason]++
		if e := w.m.keys[r.Key]; r.Reason == store.ReasonBlocked && !slices.Contains(w.m.mayBlock(e), r.BlockedBy) {
			w.Fatalf("%s is blocked by %q; want one of %v", r.Key, r.BlockedBy, w.m.mayBlock(e))
		}
	}
	for _, e := range w.m.inOrder() {
		if p := w.m.stuck(e); !p.allows(reasons[e.Key]) {
			w.Fatalf("%s is stuck as %q; want one of %q: %s", e.Key, reasons[e.Key], p, w.describe(e))
		}
		if records[e.Key].Reason != reasons[e.Key] {
			w.Fatalf("the list says that %s is stuck as %q; the stuck say %q", e.Key, records[e.Key].Reason, reasons[e.Key])
		}
	}
	if page.Total != int64(len(listed)) {
		w.Fatalf("Stuck: total %d of %d listed", page.Total, len(listed))
	}
	for _, r := range store.Reasons {
		if status.Stuck[r] != totals[r] {
			w.Fatalf("Status: %d %s; the list has %d", status.Stuck[r], r, totals[r])
		}
	}
}

// sameRoutes checks that Routes shows all that can be claimed. It may show more
// for a while: it is a hint, of which a claim finds the truth.
func (w *walk) sameRoutes() {
	stats, next := w.routes()
	for _, route := range append(walkRoutes, rerouted) {
		ready, restOnly, list := 0, 0, []string{}
		for _, e := range w.m.events {
			if e.route == route && w.m.claimable(e, store.KindREST) == yes {
				ready++
				list = append(list, w.describe(e))
				if e.restOnly == yes {
					restOnly++
				}
			}
		}
		if s := stats[route]; s.Ready < ready || s.RESTOnly < restOnly {
			w.Fatalf("Routes: %+v; want %d ready on %+v, %d for REST only: %q", s, ready, route, restOnly, list)
		}
	}
	wait, found, waits := w.m.nextDue()
	if found && (next < 0 || next > wait+slack) {
		w.Fatalf("Routes: next due in %v; an event is due in %v", next, wait)
	}
	if !waits && next == 0 {
		w.Fatalf("Routes: next due now, and now again; nothing waits for a time")
	}
}

func (w *walk) sameAttempts() {
	var open []store.AttemptID
	for _, id := range slices.Sorted(maps.Keys(w.m.attempts)) {
		a := w.m.attempts[id]
		got, err := w.Attempt(w.ctx, id)
		if a.phase == store.PhaseDone && errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil || got.Phase != a.phase || got.JobID != a.jobID || got.Claimed != a.claimed || got.Succeeded != a.succeeded {
			w.Fatalf("Attempt(%s) = %+v, %v; want %+v", id, got, err, *a)
		}
		if a.phase == store.PhaseDone {
			continue
		}
		open = append(open, id)
		events, err := w.Events(w.ctx, id)
		if err != nil {
			w.Fatalf("Events(%s) = %v", id, err)
		}
		w.sameEvents(a, events)
	}
	if got := w.unfinished(); !slices.Equal(got, open) {
		w.Fatalf("Unfinished = %v; want %v", got, open)
	}
}

// sameFeed reads what is new in the feed: for each event its outcomes in
// order, and no outcome of an earlier commit after one of a later.
func (w *walk) sameFeed() {
	entries, next := w.outcomes(w.cursor)
	for _, x := range entries {
		n := w.posts[x.Seq]
		w.posts[x.Seq]++
		if _, known := w.m.events[x.Seq]; !known {
			continue // forgotten since
		}
		want := w.m.feed[x.Seq]
		if n >= len(want) || want[n].state != x.State {
			w.Fatalf("feed: outcome %d of %s is %v; want %+v", n+1, x.Key, x.State, want)
		}
		if c := want[n].commit; c != 0 {
			if c < w.commit {
				w.Fatalf("feed: %s %v of commit %d comes after commit %d", x.Key, x.State, c, w.commit)
			}
			w.commit = c
		}
	}
	for seq, want := range w.m.feed {
		if w.posts[seq] != len(want) {
			w.Fatalf("feed: %d outcomes of %s; want %+v", w.posts[seq], w.m.events[seq].Key, want)
		}
	}
	w.cursor = next
}
