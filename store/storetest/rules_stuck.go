package storetest

import (
	"fmt"
	"time"

	"github.com/outboxd/outboxd/store"
)

var stuckRules = []rule{
	{name: "Stuck_BlockedByTheLanesHead", test: stuckBehindHead},
	{name: "Stuck_BlockedFromItsAcceptanceOn", test: stuckPutBehindHead},
	{name: "Stuck_BlockedByAFailedOneBehindAPendingHead", test: stuckBehindSecond},
	{name: "Stuck_BlockedByAnUnknownKey", test: stuckAfterUnknown},
	{name: "Stuck_BlockedByADroppedKey", test: stuckAfterDropped},
	{name: "Stuck_BlockedByAFailedKey", test: stuckAfterFailed},
	{name: "Stuck_BlockedInACircle", test: stuckCircle},
	{name: "Stuck_ASkippedHeadBlocksNobody", test: stuckSkipped},
	{name: "Stuck_OverdueSinceItWasDue", test: stuckOverdue},
	{name: "Stuck_PausesDoNotCount", test: stuckPaused},
	{name: "Stuck_FiltersPagesAndSummary", test: stuckSummary},
	{name: "Stuck_AgreesWithStatusAndRecord", test: stuckAgrees},
}

// wantStuck fails unless exactly these are stuck, "key reason blocked_by".
func (r *rig) wantStuck(f store.Filter, want ...string) {
	r.Helper()
	all, first := r.stuck(f)
	got := make([]string, len(all))
	for i, x := range all {
		got[i] = fmt.Sprintf("%s %s", x.Key, x.Reason)
		if x.BlockedBy != "" {
			got[i] += " " + x.BlockedBy
		}
	}
	if want == nil {
		want = []string{}
	}
	r.wantEqual(fmt.Sprintf("stuck by %+v", f), got, want)
	if first.Total != int64(len(want)) {
		r.Errorf("total = %d; want %d", first.Total, len(want))
	}
}

func stuckBehindHead(r *rig) {
	r.put(ev("h", upsert, "contact/1"), ev("f1", upsert, "contact/1"), ev("x", upsert, "contact/2"), ev("f2", upsert, "contact/1"))
	id, events := r.claimKeys(spec(upsert), "h", "x")
	r.wantStuck(store.Filter{})
	for _, c := range events {
		if c.Key == "h" {
			r.settle(id, []store.Claimed{c}, doubtful())
		} else {
			r.settle(id, []store.Claimed{c}, delivered("003A"))
		}
	}
	for range 2 {
		r.wantStuck(store.Filter{}, "h in_doubt", "f1 blocked h", "f2 blocked h")
		r.wantStuck(store.Filter{Reason: store.ReasonBlocked}, "f1 blocked h", "f2 blocked h")
		if rec := r.get("f2"); rec.Reason != store.ReasonBlocked || rec.BlockedBy != "h" || rec.Since.IsZero() {
			r.Errorf("Get of a follower = %s by %q since %v; want blocked by h", rec.Reason, rec.BlockedBy, rec.Since)
		}
		r.reopen()
	}
	if _, err := r.Resolve(r.ctx, "h", r.move(), store.Resolution{Delivered: true}); err != nil {
		r.Fatalf("Resolve = %v", err)
	}
	r.wantStuck(store.Filter{})
	if rec := r.get("f2"); rec.Reason != "" || rec.BlockedBy != "" {
		r.Errorf("Get of a freed follower = %s by %q", rec.Reason, rec.BlockedBy)
	}
}

func stuckPutBehindHead(r *rig) {
	r.fail(ev("h", upsert, "contact/1"), "X")
	r.put(ev("f", upsert, "contact/1"))
	r.wantStuck(store.Filter{}, "h failed", "f blocked h")
	if s := r.status(); s.Stuck[store.ReasonBlocked] != 1 {
		r.Errorf("Status().Stuck = %v; want one blocked", s.Stuck)
	}
}

func stuckBehindSecond(r *rig) {
	first, second := ev("first", upsert, "contact/1"), ev("second", upsert, "contact/1")
	first.NotBefore = r.clock.Wall().Add(3 * time.Minute)
	second.ExpiresAt = r.clock.Wall().Add(time.Minute)
	r.put(first, second, ev("third", upsert, "contact/1"))
	r.wait(2 * time.Minute)
	r.wantStuck(store.Filter{}, "second failed", "third blocked second")
}

func stuckAfterUnknown(r *rig) {
	e := ev("child", upsert, "")
	e.After = []string{"parent"}
	r.put(e)
	for range 2 {
		r.wantStuck(store.Filter{}, "child blocked parent")
		r.reopen()
	}
	r.put(ev("parent", account, ""))
	r.wantStuck(store.Filter{})
}

func stuckAfterDropped(r *rig) {
	e := ev("child", upsert, "")
	e.After = []string{"parent"}
	r.put(ev("parent", account, ""), e)
	r.wantStuck(store.Filter{})
	if _, err := r.Drop(r.ctx, "parent", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	for range 3 {
		r.wantStuck(store.Filter{}, "child blocked parent")
		r.wait(overdueAfter) // blocked comes before overdue
	}
}

func stuckAfterFailed(r *rig) {
	e := ev("child", upsert, "")
	e.After = []string{"ok", "parent"}
	f := failed("X")
	f.Skip = true // of lanes: who waits for the key itself is blocked all the same
	r.put(ev("parent", account, ""), e, ev("ok", account, ""))
	id, events := r.claimKeys(spec(account), "parent", "ok")
	for _, c := range events {
		if c.Key == "ok" {
			r.settle(id, []store.Claimed{c}, delivered("001A"))
		} else {
			r.settle(id, []store.Claimed{c}, f)
		}
	}
	for range 2 {
		r.wantStuck(store.Filter{}, "parent failed", "child blocked parent")
		r.reopen()
	}
	if _, err := r.Retry(r.ctx, "parent", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	r.wantStuck(store.Filter{})
}

func stuckCircle(r *rig) {
	a, b, self := ev("a", upsert, ""), ev("b", upsert, ""), ev("self", upsert, "")
	a.After, b.After, self.After = []string{"b"}, []string{"a"}, []string{"self"}
	r.put(a)
	r.put(b)
	r.put(self)
	for range 2 {
		r.wantStuck(store.Filter{}, "a blocked b", "b blocked a", "self blocked self")
		r.reopen()
	}
	if _, err := r.Drop(r.ctx, "self", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	r.wantStuck(store.Filter{}, "a blocked b", "b blocked a")
}

func stuckSkipped(r *rig) {
	r.put(ev("h", upsert, "contact/1"), ev("f1", upsert, "contact/1"))
	f := failed("X")
	f.Skip = true
	r.run(spec(upsert), f, "h")
	r.wantStuck(store.Filter{}, "h failed")
}

func stuckOverdue(r *rig) {
	later := ev("later", upsert, "")
	later.NotBefore = r.clock.Wall().Add(2 * overdueAfter)
	r.put(ev("now", upsert, ""), later)
	r.wait(overdueAfter - time.Minute)
	r.wantStuck(store.Filter{})
	r.wait(2 * time.Minute)
	r.wantStuck(store.Filter{}, "now overdue")
	r.wait(overdueAfter)
	r.wantStuck(store.Filter{}, "now overdue") // later is due for a minute
	r.wait(overdueAfter)
	r.wantStuck(store.Filter{}, "now overdue", "later overdue")
	id, events := r.claimKeys(spec(upsert), "now", "later")
	r.wantStuck(store.Filter{})
	r.settle(id, events, store.Outcome{Verdict: store.Again, Delay: overdueAfter})
	r.wait(overdueAfter + time.Minute)
	r.wantStuck(store.Filter{})
	r.wait(overdueAfter)
	r.wantStuck(store.Filter{}, "now overdue", "later overdue")
}

func stuckPaused(r *rig) {
	r.put(ev("a", upsert, ""))
	r.wait(30 * time.Minute)
	if err := r.SetPausedClock(r.ctx, r.term, true); err != nil {
		r.Fatalf("SetPausedClock = %v", err)
	}
	r.wait(10 * overdueAfter)
	r.wantStuck(store.Filter{})
	if err := r.SetPausedClock(r.ctx, r.term, false); err != nil {
		r.Fatalf("SetPausedClock = %v", err)
	}
	r.wantStuck(store.Filter{})
	r.wait(20 * time.Minute)
	r.wantStuck(store.Filter{})
	_, events := r.claimKeys(spec(upsert), "a")
	r.wantAbout("age without the pause", events[0].Age, 50*time.Minute)
}

func stuckSummary(r *rig) {
	for i := range 7 {
		e := ev(fmt.Sprintf("c%d", i), upsert, fmt.Sprintf("contact/%d", i))
		if i == 0 {
			e.Source = "crm"
		}
		r.fail(e, "STRING_TOO_LONG")
		r.clock.Advance(time.Minute)
	}
	r.fail(ev("other", account, ""), "INVALID")
	r.put(ev("follower", upsert, "contact/3"))
	r.put(ev("doubt", account, ""))
	r.run(spec(account), doubtful(), "doubt")

	all, first := r.stuck(store.Filter{Limit: 3})
	if len(all) != 10 || first.Total != 10 || len(first.Records) > 3 {
		r.Errorf("stuck = %v, total %d, %d on the first page; want 10, 10, at most 3", recordKeys(all), first.Total, len(first.Records))
	}
	for i := 1; i < len(all); i++ {
		if all[i].Seq <= all[i-1].Seq {
			r.Errorf("stuck is not in order of seq: %v", recordKeys(all))
		}
	}
	type group struct {
		Reason store.Reason
		Object string
		Code   string
		Count  int64
	}
	groups := map[group]store.StuckGroup{}
	for _, g := range first.Summary {
		groups[group{g.Reason, g.Object, g.Code, g.Count}] = g
	}
	for _, want := range []group{
		{store.ReasonFailed, "Contact", "STRING_TOO_LONG", 7},
		{store.ReasonFailed, "Account", "INVALID", 1},
		{store.ReasonInDoubt, "Account", "TRANSPORT", 1},
	} {
		g, ok := groups[want]
		if !ok || g.Example == "" || g.Oldest.IsZero() {
			r.Errorf("summary %+v lacks %+v with an example and its oldest", first.Summary, want)
		}
	}
	sum := int64(0)
	for _, g := range first.Summary {
		sum += g.Count
	}
	if sum != first.Total {
		r.Errorf("the summary counts %d; the total is %d", sum, first.Total)
	}
	for _, tt := range []struct {
		f    store.Filter
		want int64
	}{
		{store.Filter{Object: "Account"}, 2},
		{store.Filter{Code: "INVALID"}, 1},
		{store.Filter{Operation: "upsert", Reason: store.ReasonFailed}, 7},
		{store.Filter{Source: "crm"}, 1},
		{store.Filter{States: []store.State{store.Pending}}, 1},
		{store.Filter{OlderThan: 5*time.Minute + time.Second}, 2},
		{store.Filter{Object: "Lead"}, 0},
	} {
		got, page := r.stuck(tt.f)
		if page.Total != tt.want || int64(len(got)) != tt.want {
			r.Errorf("Stuck(%+v) = %v, total %d; want %d", tt.f, recordKeys(got), page.Total, tt.want)
		}
	}
	_, err := r.Stuck(r.ctx, store.Filter{Cursor: "no cursor"})
	r.wantErr("Stuck with a bad cursor", err, store.ErrCursor)
}

func stuckAgrees(r *rig) {
	r.fail(ev("h", upsert, "contact/1"), "X")
	r.put(ev("f", upsert, "contact/1"), ev("late", account, ""))
	r.wait(overdueAfter + time.Minute)
	r.put(ev("d", create, ""))
	r.run(bulk(create), doubtful(), "d")
	s := r.status()
	for _, reason := range store.Reasons {
		all, first := r.stuck(store.Filter{Reason: reason})
		if s.Stuck[reason] != 1 || first.Total != 1 || len(all) != 1 {
			r.Errorf("%s: status %d, total %d, listed %v; want one each", reason, s.Stuck[reason], first.Total, recordKeys(all))
			continue
		}
		if rec := r.get(all[0].Key); rec.Reason != reason || !rec.Since.Equal(all[0].Since) {
			r.Errorf("Get(%s) = %s since %v; the list says %s since %v", rec.Key, rec.Reason, rec.Since, reason, all[0].Since)
		}
	}
}
