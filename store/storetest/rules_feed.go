package storetest

import (
	"fmt"
	"time"

	"github.com/outboxd/outboxd/store"
)

var feedRules = []rule{
	{name: "Outcomes_InCommitOrder", test: feedOrder},
	{name: "Outcomes_TellWhatBecameOfTheEvent", test: feedEntry},
	{name: "Outcomes_ResumeAfterAnyEntry", test: feedResume},
	{name: "Outcomes_GoneAfterTheWindow", test: feedGone},
	{name: "Outcomes_AReaderAtTheEndLosesNothing", test: feedAtEnd},
	{name: "Outcomes_RefuseABadCursor", test: feedBadCursor},
	{name: "Watch_TellsOfACommit", test: feedWatch},
	{name: "Ready_TellsOfWork", test: readyTells},
}

func feedOrder(r *rig) {
	var want []string
	for i := range 12 {
		k := fmt.Sprintf("k%02d", i)
		r.put(ev(k, upsert, ""))
		switch i % 3 {
		case 0:
			r.run(spec(upsert), delivered("003A"), k)
			want = append(want, k+" delivered")
		case 1:
			r.run(spec(upsert), doubtful(), k)
			want = append(want, k+" in_doubt")
		default:
			r.run(spec(upsert), failed("X"), k)
			if _, err := r.Drop(r.ctx, k, r.move()); err != nil {
				r.Fatalf("Drop = %v", err)
			}
			want = append(want, k+" failed", k+" dropped")
		}
	}
	for range 2 {
		entries, _ := r.outcomes("")
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprintf("%s %s", e.Key, e.State))
		}
		r.wantEqual("feed", got, want)
		r.reopen()
	}
}

func feedEntry(r *rig) {
	seq := r.put(ev("a", create, ""), ev("b", create, ""))
	id, events := r.claimKeys(bulk(create), "a", "b")
	r.advance(id, store.PhaseClaimed, store.PhaseOpen, "750A")
	r.advance(id, store.PhaseOpen, store.PhaseClosing, "")
	for _, c := range events {
		if c.Key == "a" {
			r.settle(id, []store.Claimed{c}, delivered("003A"))
		}
	}
	for _, c := range events {
		if c.Key == "b" {
			r.settle(id, []store.Claimed{c}, failed("X"))
		}
	}
	entries, _ := r.outcomes("")
	for i := range entries {
		if entries[i].Cursor == "" || !entries[i].At.Equal(r.clock.Wall()) {
			r.Errorf("entry = %+v; want a cursor, and the time %v", entries[i], r.clock.Wall())
		}
		entries[i].Cursor, entries[i].At = "", time.Time{}
	}
	r.wantEqual("feed", entries, []store.OutcomeEntry{
		{Seq: seq[0], Key: "a", State: store.Delivered, Route: create, Source: "shop", ID: "003A", Created: true, Kind: store.KindBulk, JobID: "750A"},
		{Seq: seq[1], Key: "b", State: store.Failed, Route: create, Source: "shop", Kind: store.KindBulk, JobID: "750A", Problem: failed("X").Problem},
	})
}

func feedResume(r *rig) {
	keys := r.putMany(10, upsert, func(int) string { return "" })
	r.run(spec(upsert), delivered("003A"), keys...) // many in one commit
	all, end := r.outcomes("")
	if len(all) != 10 {
		r.Fatalf("feed has %d entries; want 10", len(all))
	}
	for i, e := range all {
		rest, _ := r.outcomes(e.Cursor)
		if len(rest) != len(all)-i-1 {
			r.Errorf("after entry %d of 10 follow %d", i+1, len(rest))
		}
	}
	r.reopen()
	r.put(ev("new", upsert, ""))
	r.run(spec(upsert), delivered("003A"), "new")
	for _, cursor := range []string{end, all[9].Cursor} {
		rest, _ := r.outcomes(cursor)
		if len(rest) != 1 || rest[0].Key != "new" {
			r.Errorf("after the end = %+v; want the new one alone", rest)
		}
	}
}

// deliverOne puts and delivers one event, and returns its cursor in the feed.
func (r *rig) deliverOne(key string) string {
	r.Helper()
	r.put(ev(key, upsert, ""))
	r.run(spec(upsert), delivered("003A"), key)
	all, _ := r.outcomes("")
	if len(all) == 0 || all[len(all)-1].Key != key {
		r.Fatalf("the feed does not end with %s", key)
	}
	return all[len(all)-1].Cursor
}

func feedGone(r *rig) {
	first := r.deliverOne("a")
	r.deliverOne("b")
	r.clock.Advance(dedupWindow - time.Minute)
	r.sweep()
	if rest, _ := r.outcomes(first); len(rest) != 1 || rest[0].Key != "b" {
		r.Fatalf("within the window after a = %+v; want b", rest)
	}
	for range 3 {
		r.wait(dedupWindow)
	}
	_, _, err := r.Outcomes(r.ctx, first, 10)
	r.wantErr("Outcomes after an entry whose next one is gone", err, store.ErrCursorGone)
	r.deliverOne("c")
	if all, _ := r.outcomes(""); len(all) != 1 || all[0].Key != "c" {
		r.Errorf("feed from the oldest kept = %+v; want c alone", all)
	}
}

func feedAtEnd(r *rig) {
	r.deliverOne("a")
	last := r.deliverOne("b")
	for range 3 {
		r.wait(dedupWindow)
	}
	if rest, _, err := r.Outcomes(r.ctx, last, 10); err != nil || len(rest) != 0 {
		r.Errorf("Outcomes after the last entry = %+v, %v; nothing after it was lost", rest, err)
	}
	r.deliverOne("c")
	if rest, _ := r.outcomes(last); len(rest) != 1 || rest[0].Key != "c" {
		r.Errorf("after the last entry = %+v; want c", rest)
	}
}

func feedBadCursor(r *rig) {
	r.deliverOne("a")
	for _, c := range []string{"no cursor", "%", "999999999999999999999999"} {
		_, _, err := r.Outcomes(r.ctx, c, 10)
		r.wantErr("Outcomes("+c+")", err, store.ErrCursor, store.ErrCursorGone)
	}
}

func feedWatch(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", upsert, ""))
	id, events := r.claim(spec(upsert))
	for _, c := range events {
		w := r.Watch()
		select {
		case <-w:
			r.Errorf("Watch is closed before the outcome")
		default:
		}
		r.settle(id, []store.Claimed{c}, delivered("003A"))
		select {
		case <-w:
		case <-time.After(10 * time.Second):
			r.Errorf("Watch is still open after the outcome")
		}
	}
}

func readyTells(r *rig) {
	drain := func() {
		select {
		case <-r.Ready():
		default:
		}
	}
	want := func(after string) {
		select {
		case <-r.Ready():
		case <-time.After(10 * time.Second):
			r.Errorf("Ready is silent after %s", after)
		}
	}
	drain()
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	want("Put")
	id, events := r.claimKeys(spec(upsert), "a1")
	drain()
	r.settle(id, events, delivered("003A"))
	want("a lane became free")
	r.run(spec(upsert), failed("X"), "a2")
	drain()
	if _, err := r.Retry(r.ctx, "a2", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	want("Retry")
}
