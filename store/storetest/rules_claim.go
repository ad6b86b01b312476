package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/outboxd/outboxd/store"
)

var claimRules = []rule{
	{name: "Claim_HandsOutTheEvent", test: claimHandsOut},
	{name: "Claim_NothingIsNoAttempt", test: claimNothing},
	{name: "Claim_TheSameIDIsTheSameAttempt", test: claimAgain},
	{name: "Claim_AnIDThatIsDoneClaimsNothing", test: claimDoneID},
	{name: "Claim_OnlyItsRoute", test: claimRoute},
	{name: "Claim_NeverTwice", test: claimTwice},
	{name: "Claim_NeverTwoOfALane", test: claimLane},
	{name: "Claim_AFailedHeadBlocksItsLane", test: claimFailedHead},
	{name: "Claim_AnEventInDoubtBlocksItsLane", test: claimDoubtfulHead},
	{name: "Claim_ASkippedHeadDoesNot", test: claimSkippedHead},
	{name: "Claim_ARetriedHeadGoesFirstAgain", test: claimRetriedHead},
	{name: "Claim_ADelayedHeadKeepsItsFollowers", test: claimDelayedHead},
	{name: "Claim_AFutureHeadKeepsItsFollowers", test: claimFutureHead},
	{name: "Claim_ADroppedHeadLetsGo", test: claimDroppedHead},
	{name: "Claim_ALaneSpansOperations", test: claimLaneAcrossOperations},
	{name: "Claim_ANamedLaneSpansObjects", test: claimNamedLane},
	{name: "Claim_NoLaneNoOrder", test: claimNoLane},
	{name: "Claim_AfterWaitsForDelivery", test: claimAfter},
	{name: "Claim_AfterAnUnknownKeyWaitsForIt", test: claimAfterUnknown},
	{name: "Claim_AfterADroppedKeyNeverGoes", test: claimAfterDropped},
	{name: "Claim_ACircleNeverGoes", test: claimCircle},
	{name: "Claim_NotBeforeItsTime", test: claimNotBefore},
	{name: "Claim_NotAfterItsExpiry", test: claimExpired},
	{name: "Claim_BacksOff", test: claimBackoff},
	{name: "Claim_AtMostMaxRecords", test: claimMaxRecords},
	{name: "Claim_AtMostMaxBytesButOne", test: claimMaxBytes},
	{name: "Claim_HonoursMaxBatch", test: claimMaxBatch},
	{name: "Claim_AJobTakesNoRESTOnly", test: claimRESTOnly},
	{name: "Claim_ManyAtOnceNeverShareALane", test: claimConcurrently},
	{name: "Claim_ABacklogDrainsInOrder", test: claimBacklog},
	{name: "Hold_FollowersWaitForTheLateWindow", test: holdFollowers},
	{name: "Hold_OutlivesReopening", test: holdReopened},
	{name: "Hold_StandsThoughTheHeadWasDropped", test: holdDropped},
	{name: "Hold_AnEndedOneIsNotRenewed", test: holdEnded},
	{name: "Hold_RunsOnThoughTheWindowIsShorterNow", test: holdShorterWindow},
	{name: "Routes_TellWhatCanBeClaimed", test: routesTell},
	{name: "Routes_TellTheNextDue", test: routesNextDue},
}

func claimHandsOut(r *rig) {
	r.put(ev("a", upsert, "contact/1"))
	r.clock.Advance(90 * time.Second)
	_, got := r.claimKeys(spec(upsert), "a")
	c := got[0]
	if string(c.Payload) != `{"LastName":"a"}` || string(c.Head) != `{"key":"a"}` || c.Source != "shop" {
		r.Errorf("claimed = %s, %s, %s; want the event as it was put", c.Head, c.Payload, c.Source)
	}
	if c.Attempts != 0 || c.Sent || c.Target != "" || c.FirstError != nil {
		r.Errorf("claimed for the first time = %+v; want no trace of an earlier attempt", c)
	}
	r.wantAbout("age", c.Age, 90*time.Second)
	rec := r.get("a")
	if rec.State != store.Inflight || rec.Kind != store.KindREST || rec.AttemptID == "" || !rec.SentAt.Equal(r.clock.Wall()) {
		r.Errorf("record of a claimed event = %+v; want inflight in its attempt since now", rec)
	}
	r.wantCounts(0, 1, 0, 0, 0, 0)
}

func claimNothing(r *rig) {
	id, _ := r.claimKeys(spec(upsert))
	_, err := r.Attempt(r.ctx, id)
	r.wantErr("Attempt of an empty claim", err, store.ErrNotFound)
	r.put(ev("a", upsert, ""))
	_, events, err := r.Claim(r.ctx, r.term, id, spec(upsert))
	if err != nil || len(events) != 1 {
		r.Errorf("the same id, now with an event = %d events, %v; want 1", len(events), err)
	}
}

func claimAgain(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", upsert, ""), ev("c", upsert, ""))
	s := spec(upsert)
	s.MaxRecords = 2
	id, first := r.claim(s)
	for _, reopened := range []bool{false, true} {
		if reopened {
			r.reopen()
		}
		a, again, err := r.Claim(r.ctx, r.term, id, s)
		if err != nil || a.ID != id || a.Claimed != 2 {
			r.Fatalf("Claim again = %+v, %v", a, err)
		}
		r.wantEqual("claim again", claimedKeys(again), claimedKeys(first))
		events, err := r.Events(r.ctx, id)
		if err != nil {
			r.Fatalf("Events = %v", err)
		}
		r.wantEqual("events in the order of the claim", claimedKeys(events), claimedKeys(first))
		r.wantCounts(1, 2, 0, 0, 0, 0)
	}
}

func claimDoneID(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", upsert, ""))
	s := spec(upsert)
	s.MaxRecords = 1
	id, events := r.claim(s)
	r.settle(id, events, delivered("003A"))
	if _, again, _ := r.Claim(r.ctx, r.term, id, s); len(again) != 0 {
		r.Errorf("Claim with the id of a done attempt handed out %v", claimedKeys(again))
	}
	r.wantCounts(1, 0, 1, 0, 0, 0)
}

func claimRoute(r *rig) {
	r.put(ev("u", upsert, ""), ev("c", create, ""), ev("a", account, ""), ev("m", matched, ""))
	r.claimKeys(spec(account), "a")
	r.claimKeys(bulk(create), "c")
	r.claimKeys(spec(matched), "m")
	r.claimKeys(spec(upsert), "u")
}

// claimTwice lets events that the engine has seen ready become pending by every
// way there is: each comes out once.
func claimTwice(r *rig) {
	expiring := ev("expiring", upsert, "")
	expiring.ExpiresAt = r.clock.Wall().Add(time.Minute)
	r.put(expiring, ev("released", create, ""), ev("again", create, ""), ev("failed", create, ""), ev("doubtful", create, ""))
	r.routes() // the engine has looked at them
	r.wait(2 * time.Minute)
	r.wantState(store.Failed, "expiring")
	id, events := r.claim(bulk(create))
	for _, c := range events {
		switch c.Key {
		case "again":
			r.settle(id, []store.Claimed{c}, store.Outcome{Verdict: store.Again, Charge: true})
		case "failed":
			r.settle(id, []store.Claimed{c}, failed("X"))
		case "doubtful":
			r.settle(id, []store.Claimed{c}, doubtful())
		}
	}
	r.routes()
	if err := r.Release(r.ctx, r.term, id, ""); err != nil {
		r.Fatalf("Release = %v", err)
	}
	for _, k := range []string{"expiring", "failed"} {
		if _, err := r.Retry(r.ctx, k, r.move(), nil); err != nil {
			r.Fatalf("Retry(%s) = %v", k, err)
		}
	}
	if _, err := r.Resolve(r.ctx, "doubtful", r.move(), store.Resolution{}); err != nil {
		r.Fatalf("Resolve = %v", err)
	}
	r.routes()
	r.claimKeys(spec(upsert), "expiring")
	r.claimKeys(spec(upsert))
	r.claimKeys(bulk(create), "again", "doubtful", "failed", "released")
	r.claimKeys(bulk(create))
}

func claimLane(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"), ev("b1", upsert, "contact/2"), ev("a3", upsert, "contact/1"))
	id, events := r.claimKeys(spec(upsert), "a1", "b1")
	r.claimKeys(spec(upsert))
	r.reopen()
	r.claimKeys(spec(upsert))
	r.settle(id, events, delivered("003A"))
	r.run(spec(upsert), delivered("003A"), "a2")
	r.run(spec(upsert), delivered("003A"), "a3")
}

func claimFailedHead(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	r.run(spec(upsert), failed("X"), "a1")
	r.put(ev("b", upsert, "contact/2"))
	for range 2 {
		id, events := r.claimKeys(spec(upsert), "b")
		if err := r.Release(r.ctx, r.term, id, ""); err != nil {
			r.Fatalf("Release(%v) = %v", events, err)
		}
		r.reopen()
	}
	if _, err := r.Drop(r.ctx, "a1", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	r.claimKeys(spec(upsert), "a2", "b")
}

func claimDoubtfulHead(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	r.run(spec(upsert), doubtful(), "a1")
	r.claimKeys(spec(upsert))
	r.reopen()
	r.claimKeys(spec(upsert))
	if _, err := r.Resolve(r.ctx, "a1", r.move(), store.Resolution{Delivered: true, ID: "003A"}); err != nil {
		r.Fatalf("Resolve = %v", err)
	}
	r.claimKeys(spec(upsert), "a2")
}

func claimSkippedHead(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("b1", upsert, "contact/2"), ev("a2", upsert, "contact/1"), ev("b2", upsert, "contact/2"))
	id, events := r.claimKeys(spec(upsert), "a1", "b1")
	f, d := failed("X"), doubtful()
	f.Skip, d.Skip = true, true
	r.settle(id, events[:1], f)
	r.settle(id, events[1:], d)
	r.reopen()
	r.claimKeys(spec(upsert), "a2", "b2")
}

func claimRetriedHead(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	f := failed("X")
	f.Skip = true
	r.run(spec(upsert), f, "a1")
	if _, err := r.Retry(r.ctx, "a1", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	r.claimKeys(spec(upsert), "a1")
	r.claimKeys(spec(upsert))
}

func claimDelayedHead(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Delay: time.Minute}, "a1")
	r.claimKeys(spec(upsert))
	r.reopen()
	r.claimKeys(spec(upsert))
	r.clock.Advance(time.Minute + grain)
	r.claimKeys(spec(upsert), "a1")
}

func claimFutureHead(r *rig) {
	head := ev("a1", upsert, "contact/1")
	head.NotBefore = r.clock.Wall().Add(time.Hour)
	r.put(head, ev("a2", upsert, "contact/1"), ev("b", upsert, ""))
	r.claimKeys(spec(upsert), "b")
	r.reopen()
	r.claimKeys(spec(upsert))
	r.clock.Advance(time.Hour + grain)
	r.claimKeys(spec(upsert), "a1")
	r.claimKeys(spec(upsert))
}

func claimDroppedHead(r *rig) {
	head := ev("a1", upsert, "contact/1")
	head.After = []string{"nobody"}
	r.put(head, ev("a2", upsert, "contact/1"))
	r.claimKeys(spec(upsert))
	if _, err := r.Drop(r.ctx, "a1", r.move()); err != nil {
		r.Fatalf("Drop of a pending event = %v", err)
	}
	r.claimKeys(spec(upsert), "a2")

	update := store.Route{Object: "Contact", Operation: "update"}
	r.put(ev("b1", account, "account/1"), ev("c1", update, "contact/2"), ev("c2", upsert, "contact/2"))
	r.routes() // the engine has looked at them
	if _, err := r.Drop(r.ctx, "c1", r.move()); err != nil {
		r.Fatalf("Drop of a ready event = %v", err)
	}
	r.claimKeys(spec(upsert), "c2")
}

func claimLaneAcrossOperations(r *rig) {
	update := store.Route{Object: "Contact", Operation: "update"}
	r.put(ev("a1", upsert, "contact/1"), ev("a2", update, "contact/1"))
	r.claimKeys(spec(update))
	r.run(spec(upsert), delivered("003A"), "a1")
	r.claimKeys(spec(update), "a2")
}

func claimNamedLane(r *rig) {
	a, b, c := ev("a", account, "order-7"), ev("b", upsert, "order-7"), ev("c", account, "order-7")
	r.put(a, b, c)
	r.claimKeys(spec(upsert))
	r.run(spec(account), delivered("001A"), "a")
	r.claimKeys(spec(account))
	r.reopen()
	r.claimKeys(spec(account))
	r.run(spec(upsert), delivered("003A"), "b")
	r.claimKeys(spec(account), "c")
}

func claimNoLane(r *rig) {
	r.put(ev("a", create, ""), ev("b", create, ""), ev("c", create, ""))
	id, events := r.claimKeys(bulk(create), "a", "b", "c")
	r.settle(id, events[:1], failed("X"))
	r.put(ev("d", create, ""))
	r.claimKeys(bulk(create), "d")
}

func claimAfter(r *rig) {
	child, both := ev("child", upsert, ""), ev("both", upsert, "")
	child.After, both.After = []string{"parent"}, []string{"parent", "child"}
	r.put(both, ev("parent", account, ""), child)
	r.claimKeys(spec(upsert))
	id, events := r.claimKeys(spec(account), "parent")
	r.claimKeys(spec(upsert))
	r.reopen()
	r.claimKeys(spec(upsert))
	r.settle(id, events, delivered("001A"))
	r.run(spec(upsert), delivered("003A"), "child")
	r.claimKeys(spec(upsert), "both")
}

func claimAfterUnknown(r *rig) {
	child := ev("child", upsert, "")
	child.After = []string{"parent"}
	r.put(child)
	r.claimKeys(spec(upsert))
	r.put(ev("parent", account, ""))
	r.run(spec(account), delivered("001A"), "parent")
	r.claimKeys(spec(upsert), "child")
}

func claimAfterDropped(r *rig) {
	child := ev("child", upsert, "")
	child.After = []string{"parent"}
	r.put(ev("parent", account, ""), child)
	if _, err := r.Drop(r.ctx, "parent", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	r.claimKeys(spec(upsert))
	r.wait(3 * dedupWindow)
	r.claimKeys(spec(upsert))
	r.wantState(store.Dropped, "parent")
}

func claimCircle(r *rig) {
	a, b, self := ev("a", upsert, ""), ev("b", upsert, ""), ev("self", upsert, "")
	a.After, b.After, self.After = []string{"b"}, []string{"a"}, []string{"self"}
	r.put(a, b, self)
	r.claimKeys(spec(upsert))
	r.reopen()
	r.claimKeys(spec(upsert))
}

func claimNotBefore(r *rig) {
	e := ev("a", upsert, "")
	e.NotBefore = r.clock.Wall().Add(time.Hour)
	r.put(e)
	r.claimKeys(spec(upsert))
	r.clock.Drift(2 * time.Hour) // only the wall clock counts
	r.claimKeys(spec(upsert))
	r.clock.Jump(time.Hour + grain)
	r.claimKeys(spec(upsert), "a")
}

func claimExpired(r *rig) {
	head := ev("a1", upsert, "contact/1")
	head.ExpiresAt = r.clock.Wall().Add(time.Hour)
	past := ev("b", upsert, "")
	past.ExpiresAt = r.clock.Wall().Add(-time.Hour)
	r.put(head, ev("a2", upsert, "contact/1"), past)
	r.clock.Advance(time.Hour + grain)
	r.claimKeys(spec(upsert))
	r.sweep()
	r.claimKeys(spec(upsert))
	for _, k := range []string{"a1", "b"} {
		rec := r.get(k)
		if rec.State != store.Failed || rec.LastError == nil || rec.LastError.Code != "EXPIRED" {
			r.Errorf("an expired event = %v, %+v; want failed with EXPIRED", rec.State, rec.LastError)
		}
	}
}

func claimBackoff(r *rig) {
	r.put(ev("a", upsert, ""))
	problem := &store.Problem{Code: "UNABLE_TO_LOCK_ROW", Message: "busy"}
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Delay: time.Minute, Charge: true, Problem: problem}, "a")
	rec := r.get("a")
	if rec.State != store.Pending || rec.Attempts != 1 || rec.NextAt.IsZero() || rec.LastError == nil || rec.LastError.Code != problem.Code {
		r.Errorf("record in backoff = %+v; want pending, one attempt, a due time and the error", rec)
	}
	r.claimKeys(spec(upsert))
	r.clock.Advance(30 * time.Second)
	r.claimKeys(spec(upsert))
	r.reopen()
	r.claimKeys(spec(upsert))
	r.clock.Advance(30*time.Second + grain)
	id, events := r.claimKeys(spec(upsert), "a")
	if c := events[0]; c.Attempts != 1 || c.Sent || c.FirstError == nil || c.FirstError.Code != problem.Code {
		r.Errorf("claimed again = %+v; want one attempt, not sent, and its error", c)
	}
	r.settle(id, events, store.Outcome{Verdict: store.Again, Sent: true})
	_, events = r.claimKeys(spec(upsert), "a")
	if c := events[0]; c.Attempts != 1 || !c.Sent {
		r.Errorf("claimed a third time = %+v; want one charged attempt, and sent", c)
	}
}

func (r *rig) putMany(n int, route store.Route, lane func(int) string) []string {
	r.Helper()
	events := make([]store.Event, n)
	for i := range events {
		events[i] = ev(fmt.Sprintf("k%05d", i), route, lane(i))
	}
	r.put(events...)
	return keysOf(events)
}

func claimMaxRecords(r *rig) {
	r.putMany(25, upsert, func(int) string { return "" })
	s := spec(upsert)
	s.MaxRecords = 10
	for _, want := range []int{10, 10, 5, 0} {
		if _, got := r.claim(s); len(got) == 0 != (want == 0) || len(got) > 10 {
			r.Errorf("Claim of at most 10 = %d events; want %d", len(got), want)
		}
	}
}

func claimMaxBytes(r *rig) {
	for i := range 6 {
		e := ev(fmt.Sprintf("k%d", i), upsert, "")
		e.Payload = make([]byte, 1000)
		r.put(e)
	}
	s := spec(upsert)
	s.MaxBytes = 2500
	if _, got := r.claim(s); len(got) == 0 || len(got) > 2 {
		r.Errorf("Claim of at most 2,500 bytes = %d events of 1,000", len(got))
	}
	s.MaxBytes = 10
	if _, got := r.claim(s); len(got) != 1 {
		r.Errorf("Claim of at most 10 bytes = %d events; want one all the same", len(got))
	}
}

func claimMaxBatch(r *rig) {
	r.putMany(8, upsert, func(int) string { return "" })
	id, events := r.claim(spec(upsert))
	r.settle(id, events[:4], store.Outcome{Verdict: store.Again, MaxBatch: 2})
	r.settle(id, events[4:], store.Outcome{Verdict: store.Again})
	bounded := map[string]bool{}
	for _, c := range events[:4] {
		bounded[c.Key] = true
	}
	r.reopen()
	seen := 0
	for range 8 {
		id, got := r.claim(spec(upsert))
		for _, c := range got {
			if bounded[c.Key] && len(got) > 2 {
				r.Errorf("%s travels in a batch of %d; its bound is 2", c.Key, len(got))
			}
			// 0 keeps the bound.
			r.settle(id, []store.Claimed{c}, store.Outcome{Verdict: store.Again, Delay: time.Hour})
		}
		seen += len(got)
	}
	if seen != 8 {
		r.Fatalf("%d events came out; want 8", seen)
	}
	r.wait(time.Hour)
	for range 8 {
		id, got := r.claim(spec(upsert))
		for _, c := range got {
			if bounded[c.Key] && len(got) > 2 {
				r.Errorf("%s travels in a batch of %d; its bound of 2 was kept", c.Key, len(got))
			}
			r.settle(id, []store.Claimed{c}, store.Outcome{Verdict: store.Again, Delay: time.Hour, MaxBatch: -1})
		}
	}
	r.wait(time.Hour)
	if _, got := r.claim(spec(upsert)); len(got) != 8 {
		r.Errorf("after the bound was lifted = %d events at once; want 8", len(got))
	}
}

func claimRESTOnly(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", upsert, ""))
	id, events := r.claim(bulk(upsert))
	r.settle(id, events[:1], store.Outcome{Verdict: store.Again, RESTOnly: true})
	r.settle(id, events[1:], store.Outcome{Verdict: store.Again})
	only, other := events[0].Key, events[1].Key
	stats, _ := r.routes()
	if s := stats[upsert]; s.Ready != 2 || s.RESTOnly != 1 {
		r.Errorf("Routes() = %+v; want 2 ready, 1 of them for REST only", s)
	}
	r.reopen()
	r.claimKeys(bulk(upsert), other)
	r.claimKeys(bulk(upsert))
	r.claimKeys(spec(upsert), only)
}

func claimConcurrently(r *rig) {
	const lanes, each = 5, 6
	r.putMany(lanes*each, upsert, func(i int) string { return fmt.Sprintf("contact/%d", i%lanes) })
	var mu sync.Mutex
	var wg sync.WaitGroup
	busy, last, total := map[string]string{}, map[string]store.Seq{}, 0
	lane := func(c store.Claimed) string { return r.get(c.Key).Lane }
	for w := range 4 {
		wg.Go(func() {
			for i := 0; i < 500; i++ {
				mu.Lock()
				stop := total == lanes*each
				mu.Unlock()
				if stop {
					return
				}
				s := spec(upsert)
				s.MaxRecords = 2
				id := store.AttemptID(fmt.Sprintf("attempt-%d-%d", w, i))
				_, events, err := r.Claim(r.ctx, r.term, id, s)
				if err != nil {
					r.Errorf("Claim = %v", err)
					return
				}
				x := store.Settlement{}
				mu.Lock()
				for _, c := range events {
					l := lane(c)
					if o := busy[l]; o != "" {
						r.Errorf("%s was handed out while %s of its lane was in flight", c.Key, o)
					}
					if c.Seq <= last[l] {
						r.Errorf("%s came out after a later one of its lane", c.Key)
					}
					busy[l], last[l] = c.Key, c.Seq
				}
				for _, c := range events {
					delete(busy, lane(c)) // just before the settlement frees it
					x.Outcomes = append(x.Outcomes, store.Outcome{Seq: c.Seq, Verdict: store.Deliver})
				}
				total += len(events)
				if len(events) > 0 {
					if err := r.Settle(r.ctx, r.term, id, x); err != nil {
						r.Errorf("Settle = %v", err)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.wantCounts(0, 0, lanes*each, 0, 0, 0)
}

func claimBacklog(r *rig) {
	const n, lanes = 3000, 7
	r.putMany(n, upsert, func(i int) string {
		if i%3 == 0 {
			return ""
		}
		return fmt.Sprintf("contact/%d", i%lanes)
	})
	s := spec(upsert)
	s.MaxRecords = 500
	last, got := map[string]store.Seq{}, 0
	for range n {
		id, events := r.claim(s)
		if len(events) == 0 {
			break
		}
		got += len(events)
		for _, c := range events {
			var i int
			if _, err := fmt.Sscanf(c.Key, "k%05d", &i); err != nil {
				r.Fatalf("key %q: %v", c.Key, err)
			}
			if l := fmt.Sprint(i % lanes); i%3 != 0 {
				if c.Seq <= last[l] {
					r.Fatalf("%s came out after a later one of its lane", c.Key)
				}
				last[l] = c.Seq
			}
		}
		r.settle(id, events, delivered("003A"))
	}
	if got != n {
		r.Errorf("%d of %d events came out", got, n)
	}
	r.wantCounts(0, 0, n, 0, 0, 0)
}

func holdFollowers(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"), ev("b", upsert, "contact/2"))
	id, events := r.claimKeys(spec(upsert), "a1", "b")
	r.settle(id, events, store.Outcome{Verdict: store.Again, Sent: true, Charge: true, Hold: lateWindow})
	r.run(spec(upsert), delivered("003A"), "a1", "b") // the events themselves are resent at once
	r.claimKeys(spec(upsert))
	_, next := r.routes()
	if next < 0 || next > lateWindow {
		r.Errorf("Routes: next due in %v; want within the late window", next)
	}
	r.clock.Advance(lateWindow - time.Second)
	r.claimKeys(spec(upsert))
	r.clock.Advance(time.Second + grain)
	r.claimKeys(spec(upsert), "a2")
}

func holdReopened(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	o := delivered("003A")
	o.Hold = lateWindow
	r.run(spec(upsert), o, "a1")
	r.clock.Advance(time.Minute)
	r.reopen()
	r.clock.Advance(lateWindow - 30*time.Second) // the window began anew with the start
	r.claimKeys(spec(upsert))
	r.clock.Advance(30*time.Second + grain)
	r.claimKeys(spec(upsert), "a2")
}

func holdDropped(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Sent: true, Hold: lateWindow}, "a1")
	if _, err := r.Drop(r.ctx, "a1", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	r.claimKeys(spec(upsert))
	r.clock.Advance(lateWindow + grain)
	r.claimKeys(spec(upsert), "a2")
}

// holdShorterWindow: the window is configured shorter while a hold runs. It
// neither ends earlier nor is its end forgotten.
func holdShorterWindow(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	o := delivered("003A")
	o.Hold = lateWindow
	r.run(spec(upsert), o, "a1")
	r.cfg.LateWindow = time.Minute
	r.reopen()
	r.wait(lateWindow / 2)
	r.claimKeys(spec(upsert))
	r.wait(lateWindow / 2)
	r.claimKeys(spec(upsert), "a2")
}

func holdEnded(r *rig) {
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"))
	o := delivered("003A")
	o.Hold = lateWindow
	r.run(spec(upsert), o, "a1")
	r.clock.Advance(2 * lateWindow)
	r.hold() // a new term, before any sweep
	r.claimKeys(spec(upsert), "a2")
}

func routesTell(r *rig) {
	if stats, next := r.routes(); len(stats) != 0 || next >= 0 {
		r.Errorf("Routes of an empty outbox = %v, %v; want none, and nothing due", stats, next)
	}
	r.put(ev("a1", upsert, "contact/1"), ev("a2", upsert, "contact/1"), ev("b", upsert, ""), ev("c", account, ""))
	r.clock.Advance(time.Minute)
	for range 2 {
		stats, _ := r.routes()
		got, payloads := stats[upsert], len(`{"LastName":"a1"}`)+len(`{"LastName":"b"}`)
		r.wantAbout("oldest of the ready", got.Oldest, time.Minute)
		if got.Ready != 2 || got.RESTOnly != 0 || got.Bytes < int64(payloads) { // more: what it takes to store them
			r.Errorf("stat of upsert = %+v; want 2 ready of %d bytes", got, payloads)
		}
		if stats[account].Ready != 1 {
			r.Errorf("stat of account = %+v; want 1 ready", stats[account])
		}
		r.reopen()
	}
	r.claimKeys(spec(account), "c")
	if _, err := r.Drop(r.ctx, "b", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	stats, _ := r.routes()
	if stats[account].Ready != 0 || stats[upsert].Ready != 1 {
		r.Errorf("stats after a claim and a drop = %+v; want one upsert ready", stats)
	}
}

func routesNextDue(r *rig) {
	later, never := ev("later", upsert, ""), ev("never", upsert, "")
	later.NotBefore = r.clock.Wall().Add(time.Hour)
	never.After = []string{"nobody"}
	r.put(never)
	if _, next := r.routes(); next >= 0 {
		r.Errorf("next due = %v; nothing waits for a time", next)
	}
	r.put(later)
	if _, next := r.routes(); next < 0 || next > time.Hour {
		r.Errorf("next due = %v; want at most an hour", next)
	}
	r.put(ev("a", account, ""))
	r.run(spec(account), store.Outcome{Verdict: store.Again, Delay: time.Minute}, "a")
	if _, next := r.routes(); next < 0 || next > time.Minute {
		r.Errorf("next due = %v; want at most a minute", next)
	}
	r.clock.Advance(time.Minute + grain)
	if stats, _ := r.routes(); stats[account].Ready != 1 {
		r.Errorf("Routes = %+v; want the event whose backoff is over", stats)
	}
}
