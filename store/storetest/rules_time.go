package storetest

import (
	"time"

	"github.com/outboxd/outboxd/store"
)

var timeRules = []rule{
	{name: "Sweep_ExpiresWhatIsNotInFlight", test: sweepExpires},
	{name: "Sweep_WhatExpiresLetsFollowersPassWhereItIsSkipped", test: sweepExpiresSkipped},
	{name: "Sweep_ReceiptsLeaveAfterTheWindow", test: sweepForgets},
	{name: "Sweep_TheWindowBeginsAtTheEnd", test: sweepWindowStart},
	{name: "Sweep_WhatIsNotTerminalNeverLeaves", test: sweepKeepsLiving},
	{name: "Sweep_AReceiptThatIsWaitedForIsKept", test: sweepKeepsAwaited},
	{name: "Sweep_ManyReceiptsLeaveInTheEnd", test: sweepMany},
	{name: "Clock_AWallJumpForgetsNothing", test: clockJumpReceipts},
	{name: "Clock_AWallJumpStopsNoRetry", test: clockJumpBackoff},
	{name: "Clock_AWallJumpEndsNoHold", test: clockJumpHold},
	{name: "Clock_AWallJumpMakesNothingOverdue", test: clockJumpOverdue},
	{name: "Clock_AWallJumpLosesNoEvent", test: clockJumpNotBefore},
	{name: "Clock_AWallJumpThereAndBackLosesNoEvent", test: clockJumpTwice},
	{name: "Clock_StandsStillWhileClosed", test: clockClosed},
}

func sweepExpiresSkipped(r *rig) {
	r.cfg.Skips = func(object string) bool { return object == "Account" }
	r.reopen()
	for _, route := range []store.Route{upsert, account} {
		lane := route.Object + "/1"
		first := ev(route.Object+" 1", route, lane)
		first.ExpiresAt = r.clock.Wall().Add(time.Minute)
		r.put(first, ev(route.Object+" 2", route, lane))
	}
	r.wait(2 * time.Minute)
	r.sweep()
	r.claimKeys(spec(account), "Account 2")
	r.claimKeys(spec(upsert))
	_, err := r.Retry(r.ctx, "Account 1", store.Move{}, nil)
	r.wantErr("Retry of one that was passed over", err, store.ErrSuperseded)
}

func sweepExpires(r *rig) {
	at := r.clock.Wall().Add(time.Minute)
	idle, busy, later := ev("idle", upsert, ""), ev("busy", account, ""), ev("later", upsert, "")
	idle.ExpiresAt, busy.ExpiresAt, later.ExpiresAt = at, at, at.Add(time.Hour)
	later.NotBefore = at.Add(time.Minute)
	r.put(idle, busy, later)
	id, events := r.claimKeys(spec(account), "busy")
	r.wait(2 * time.Minute)
	r.wantState(store.Failed, "idle")
	r.wantState(store.Inflight, "busy")
	r.wantState(store.Pending, "later")
	entries, _ := r.outcomes("")
	if len(entries) != 1 || entries[0].Key != "idle" || entries[0].Problem == nil || entries[0].Problem.Code != "EXPIRED" {
		r.Errorf("feed = %+v; want idle failed with EXPIRED", entries)
	}
	r.wantStuck(store.Filter{}, "idle failed")
	r.settle(id, events, store.Outcome{Verdict: store.Again})
	r.sweep()
	r.wantState(store.Failed, "busy")
	r.claimKeys(spec(account))
	r.wantCounts(1, 0, 0, 2, 0, 0)
}

// waitForgotten lets time pass until n receipts have left. An engine may take
// some sweeps for it, and prepare them in the background.
func (r *rig) waitForgotten(n int64) {
	r.Helper()
	for range 2000 {
		if r.status().Forgotten >= n {
			break
		}
		r.wait(time.Hour)
	}
	if got := r.status().Forgotten; got != n {
		r.Errorf("forgotten = %d; want %d", got, n)
	}
}

func sweepForgets(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", upsert, ""), ev("c", upsert, ""))
	r.run(spec(upsert), delivered("003A"), "a", "b", "c")
	r.put(ev("x", upsert, ""))
	if _, err := r.Drop(r.ctx, "x", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	for range 23 { // receipts may leave over several sweeps
		r.wait((dedupWindow - time.Minute) / 23)
	}
	for _, k := range []string{"a", "b", "c", "x"} {
		if res := r.putOne(ev(k, upsert, "")); !res.Duplicate {
			r.Errorf("Put(%s) within the window = %+v; want a duplicate", k, res)
		}
	}
	r.wantCounts(0, 0, 3, 0, 0, 1)
	r.waitForgotten(4)
	for _, k := range []string{"a", "b", "c", "x"} {
		_, err := r.Get(r.ctx, k)
		r.wantErr("Get("+k+") after the window", err, store.ErrNotFound)
	}
	r.wantCounts(0, 0, 0, 0, 0, 0)
	r.put(ev("a", upsert, "")) // a new event
	r.reopen()
	r.wantState(store.Pending, "a")
	if s := r.status(); s.Accepted != 5 || s.Forgotten != 4 {
		r.Errorf("accepted %d, forgotten %d; want 5, 4", s.Accepted, s.Forgotten)
	}
}

func sweepWindowStart(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", account, ""))
	r.run(spec(account), failed("X"), "b")
	r.wait(3 * dedupWindow)
	r.run(spec(upsert), delivered("003A"), "a")
	if _, err := r.Drop(r.ctx, "b", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	r.wait(dedupWindow - time.Minute)
	r.wantState(store.Delivered, "a")
	r.wantState(store.Dropped, "b")
}

func sweepKeepsLiving(r *rig) {
	keys := variety(r)
	r.waitForgotten(3)
	left := recordKeys(r.list(store.Filter{}))
	r.wantEqual("what is left of "+keys[0]+"…", left, []string{"f1", "f2", "q1", "i1", "i2", "p1", "p2", "p3"})
}

func sweepKeepsAwaited(r *rig) {
	child := ev("child", upsert, "")
	child.After = []string{"parent", "nobody"}
	r.put(ev("parent", account, ""), ev("other", account, ""))
	r.run(spec(account), delivered("001A"), "parent", "other")
	r.put(child)
	for range 4 {
		r.wait(dedupWindow)
		r.reopen()
	}
	r.waitForgotten(1)
	if rec := r.get("parent"); rec.State != store.Delivered || rec.ID != "001A" {
		r.Errorf("receipt that is waited for = %+v; want delivered as 001A", rec)
	}
	_, err := r.Get(r.ctx, "other")
	r.wantErr("Get of a receipt that nobody waits for", err, store.ErrNotFound)
	if res := r.putOne(ev("parent", account, "")); !res.Duplicate {
		r.Errorf("Put(parent) = %+v; want a duplicate", res)
	}
	r.put(ev("nobody", account, ""))
	r.run(spec(account), delivered("001B"), "nobody")
	r.run(spec(upsert), delivered("003A"), "child")
	r.waitForgotten(4)
	_, err = r.Get(r.ctx, "parent")
	r.wantErr("Get of a receipt nobody waits for any more", err, store.ErrNotFound)
	r.wantCounts(0, 0, 0, 0, 0, 0)
}

func sweepMany(r *rig) {
	const n = 2000
	for range 4 {
		events := make([]store.Event, n/4)
		for j := range events {
			events[j] = ev(r.name(), upsert, "")
		}
		r.put(events...)
		s := spec(upsert)
		s.MaxRecords = n
		id, claimed := r.claim(s)
		r.settle(id, claimed, delivered("003A"))
		r.wait(dedupWindow / 4)
	}
	r.waitForgotten(n)
	s := r.status()
	if s.Accepted != n || s.Forgotten != n || s.Counts.Sum() != 0 {
		r.Errorf("accepted %d, forgotten %d, states %v; want all of %d forgotten", s.Accepted, s.Forgotten, s.Counts, n)
	}
	if entries, _ := r.outcomes(""); len(entries) != 0 {
		r.Errorf("the feed still has %d entries", len(entries))
	}
}

func clockJumpReceipts(r *rig) {
	r.put(ev("a", upsert, ""))
	r.run(spec(upsert), delivered("003A"), "a")
	for _, d := range []time.Duration{10 * 365 * dedupWindow, -20 * 365 * dedupWindow} {
		r.clock.Jump(d)
		r.sweep()
		r.reopen()
		r.sweep()
		r.wantState(store.Delivered, "a")
		if res := r.putOne(ev("a", upsert, "")); !res.Duplicate {
			r.Errorf("Put after the wall clock jumped by %v = %+v; want a duplicate", d, res)
		}
		if entries, _ := r.outcomes(""); len(entries) != 1 {
			r.Errorf("the feed has %d entries after the wall clock jumped by %v; want 1", len(entries), d)
		}
	}
	r.waitForgotten(1)
	_, err := r.Get(r.ctx, "a")
	r.wantErr("Get after the window by the store's clock", err, store.ErrNotFound)
}

func clockJumpBackoff(r *rig) {
	r.put(ev("a", upsert, ""))
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Delay: time.Minute}, "a")
	r.clock.Jump(10 * time.Hour)
	r.claimKeys(spec(upsert))
	r.clock.Jump(-20 * time.Hour)
	r.clock.Drift(time.Minute + grain)
	r.claimKeys(spec(upsert), "a")
}

func clockJumpHold(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	o := delivered("003A")
	o.Hold = lateWindow
	r.run(spec(upsert), o, "a1")
	r.clock.Jump(10 * time.Hour)
	r.sweep()
	r.claimKeys(spec(upsert))
	r.clock.Jump(-20 * time.Hour)
	r.clock.Drift(lateWindow + grain)
	r.claimKeys(spec(upsert), "a2")
}

func clockJumpOverdue(r *rig) {
	r.put(ev("a", upsert, ""))
	r.clock.Jump(10 * 365 * 24 * time.Hour)
	r.sweep()
	r.wantStuck(store.Filter{})
	r.clock.Jump(-20 * 365 * 24 * time.Hour)
	r.clock.Drift(overdueAfter + time.Minute)
	r.sweep()
	r.wantStuck(store.Filter{}, "a overdue")
	_, events := r.claimKeys(spec(upsert), "a")
	r.wantAbout("age by the store's clock", events[0].Age, overdueAfter+time.Minute)
}

func clockJumpNotBefore(r *rig) {
	past, soon := ev("past", upsert, ""), ev("soon", upsert, "contact/1")
	past.NotBefore, soon.NotBefore = r.clock.Wall().Add(-time.Minute), r.clock.Wall().Add(time.Minute)
	r.put(past, soon)
	r.wait(2 * time.Minute) // both are due
	r.clock.Jump(-time.Hour)
	r.sweep()
	r.reopen()
	r.routes()
	r.clock.Jump(time.Hour + grain)
	r.claimKeys(spec(upsert), "past", "soon")
}

// clockJumpTwice: an event comes in while the clock is back, and nobody asks
// for work until it has come forward again.
func clockJumpTwice(r *rig) {
	first, second := ev("first", upsert, ""), ev("second", upsert, "")
	first.NotBefore, second.NotBefore = r.clock.Wall().Add(2*time.Minute), r.clock.Wall().Add(time.Minute)
	r.put(first)
	r.clock.Jump(10 * time.Minute)
	r.routes()
	r.clock.Jump(-10 * time.Minute)
	r.put(second)
	r.clock.Jump(10*time.Minute + grain)
	r.sweep()
	r.claimKeys(spec(upsert), "first", "second")
}

func clockClosed(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", account, ""))
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Delay: 10 * time.Minute}, "a")
	r.run(spec(account), delivered("001A"), "b")
	if err := r.Close(); err != nil {
		r.Fatalf("Close = %v", err)
	}
	r.clock.Jump(10 * 365 * 24 * time.Hour) // the machine was off, or its clock wrong
	r.clock.Restart()
	r.start()
	r.sweep()
	r.wantState(store.Delivered, "b")
	r.wait(10 * time.Minute)
	r.claimKeys(spec(upsert), "a")
}
