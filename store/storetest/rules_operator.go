package storetest

import (
	"time"

	"github.com/outboxd/outboxd/store"
)

var operatorRules = []rule{
	{name: "Retry_AttemptsCountAnew", test: retryAnew},
	{name: "Retry_ExpiryFallsAway", test: retryExpiry},
	{name: "Retry_TheSameMoveOnce", test: retryOnce},
	{name: "Retry_WithAnEdit", test: retryEdit},
	{name: "Retry_AnEditWaitsForTheLateWindow", test: retryEditLate},
	{name: "Settle_TheFirstSendingIsKept", test: sentSince},
	{name: "Retry_AnEditOfAnOldRevisionIsAConflict", test: retryConflict},
	{name: "Retry_SupersededByAFollower", test: retrySuperseded},
	{name: "Retry_SupersededForEver", test: retrySupersededLater},
	{name: "Drop_FromFailedAndPending", test: dropMoves},
	{name: "Resolve_DeliveredOrPending", test: resolveMoves},
	{name: "Resolve_PendingIsSupersededByAFollower", test: resolveSuperseded},
	{name: "Moves_OnlyFromTheirStates", test: movesStates},
	{name: "Moves_AreRecorded", test: movesRecorded},
	{name: "Moves_ChangeTheRevision", test: movesRevision},
	{name: "RetryMany_ByFilter", test: retryMany},
	{name: "DropMany_ByFilter", test: dropMany},
	{name: "Many_DryRunChangesNothing", test: manyDryRun},
}

// fail puts an event and fails it.
func (r *rig) fail(e store.Event, code string) {
	r.Helper()
	r.put(e)
	r.run(spec(e.Route), failed(code), e.Key)
}

func retryAnew(r *rig) {
	r.put(ev("a", upsert, ""))
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Charge: true}, "a")
	r.clock.Advance(time.Hour)
	r.run(spec(upsert), failed("X"), "a")
	rec, err := r.Retry(r.ctx, "a", r.move(), nil)
	if err != nil || rec.State != store.Pending || rec.Attempts != 0 || rec.Key != "a" {
		r.Fatalf("Retry = %+v, %v; want pending with no attempts", rec, err)
	}
	r.reopen()
	r.clock.Advance(time.Minute)
	_, events := r.claimKeys(spec(upsert), "a")
	if n := events[0].Attempts; n != 0 {
		r.Errorf("claimed after a retry = %d attempts; want 0", n)
	}
	r.wantAbout("age since the retry", events[0].Age, time.Minute)
}

func retryExpiry(r *rig) {
	e := ev("a", upsert, "")
	e.ExpiresAt = r.clock.Wall().Add(time.Minute)
	r.put(e)
	r.wait(time.Hour)
	r.wantState(store.Failed, "a")
	if _, err := r.Retry(r.ctx, "a", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	r.wait(time.Hour)
	r.wantState(store.Pending, "a")
	r.claimKeys(spec(upsert), "a")
}

func retryOnce(r *rig) {
	r.fail(ev("a", upsert, ""), "X")
	m := r.move()
	for range 2 {
		rec, err := r.Retry(r.ctx, "a", m, nil)
		if err != nil || rec.State != store.Pending {
			r.Fatalf("Retry = %v, %v; want pending", rec.State, err)
		}
	}
	r.run(spec(upsert), failed("Y"), "a")
	if _, err := r.Retry(r.ctx, "a", m, nil); err != nil {
		r.Errorf("a late repeat of Retry = %v; want nil", err)
	}
	r.wantState(store.Failed, "a")
	r.wantCounts(0, 0, 0, 1, 0, 0)
}

func retryEdit(r *rig) {
	r.fail(ev("a", upsert, ""), "X")
	edit := &store.Edit{Payload: []byte(`{"LastName":"b"}`), Old: []byte(`{"LastName":"a"}`), Rev: r.get("a").Rev}
	m := r.move()
	for range 2 { // the repeat is the same move, not a conflict
		if _, err := r.Retry(r.ctx, "a", m, edit); err != nil {
			r.Fatalf("Retry with an edit = %v", err)
		}
	}
	r.reopen()
	rec := r.get("a")
	r.wantEqual("payload", string(rec.Payload), `{"LastName":"b"}`)
	found := false
	for _, h := range rec.History {
		found = found || (string(h.Old) == `{"LastName":"a"}` && h.By == "ada" && h.To == store.Pending)
	}
	if !found {
		r.Errorf("history = %+v; want the old values, and who replaced them", rec.History)
	}
	_, events := r.claimKeys(spec(upsert), "a")
	r.wantEqual("claimed payload", string(events[0].Payload), `{"LastName":"b"}`)
}

// retryEditLate: what was sent may still arrive, and would put the old values
// over the new ones. What is repeated as it was need not wait.
func retryEditLate(r *rig) {
	late := failed("TRANSPORT")
	late.Sent, late.Hold = true, lateWindow
	r.put(ev("a", upsert, "contact/1"), ev("b", upsert, "contact/2"))
	r.run(spec(upsert), late, "a", "b")
	if _, err := r.Retry(r.ctx, "a", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	edit := &store.Edit{Payload: []byte(`{"LastName":"b"}`), Rev: r.get("b").Rev}
	if _, err := r.Retry(r.ctx, "b", r.move(), edit); err != nil {
		r.Fatalf("Retry with an edit = %v", err)
	}
	_, events := r.claimKeys(spec(upsert), "a")
	if c := events[0]; !c.Sent || c.Stale || c.FirstSent.IsZero() {
		r.Errorf("claimed = sent %v, stale %v, since %v; want sent, and not stale", c.Sent, c.Stale, c.FirstSent)
	}
	r.reopen()
	r.claimKeys(spec(upsert))
	r.clock.Advance(lateWindow + grain)
	_, events = r.claimKeys(spec(upsert), "b")
	if c := events[0]; !c.Sent || !c.Stale {
		r.Errorf("claimed = sent %v, stale %v; want both", c.Sent, c.Stale)
	}
}

// sentSince: the org may have seen an event since its first sending, whatever
// attempts that sent nothing came after it.
func sentSince(r *rig) {
	r.put(ev("a", upsert, "contact/1"))
	again := store.Outcome{Verdict: store.Again, Sent: true}
	r.run(spec(upsert), again, "a")
	first := r.get("a").SentAt
	for range 2 {
		r.clock.Advance(time.Hour)
		if c := r.run(spec(upsert), again, "a")[0]; !c.FirstSent.Equal(first) {
			r.Errorf("claimed = sent since %v; want %v", c.FirstSent, first)
		}
	}
}

func retryConflict(r *rig) {
	r.fail(ev("a", upsert, ""), "X")
	old := r.get("a").Rev
	if _, err := r.Retry(r.ctx, "a", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	r.run(spec(upsert), failed("Y"), "a")
	_, err := r.Retry(r.ctx, "a", r.move(), &store.Edit{Payload: []byte(`{}`), Rev: old})
	r.wantErr("Retry with an edit of an old revision", err, store.ErrConflict)
	rec := r.get("a")
	if rec.State != store.Failed || string(rec.Payload) != `{"LastName":"a"}` {
		r.Errorf("after a conflict = %v, %s; want it unchanged", rec.State, rec.Payload)
	}
}

// passed puts a skipped failed head and a follower that was delivered.
func (r *rig) passed(o store.Outcome) {
	r.Helper()
	r.put(ev("head", upsert, "contact/1"), ev("next", upsert, "contact/1"))
	o.Skip = true
	r.run(spec(upsert), o, "head")
	r.run(spec(upsert), delivered("003A"), "next")
}

func retrySuperseded(r *rig) {
	r.put(ev("head", upsert, "contact/1"), ev("next", upsert, "contact/1"))
	f := failed("X")
	f.Skip = true
	r.run(spec(upsert), f, "head")
	id, events := r.claimKeys(spec(upsert), "next")
	_, err := r.Retry(r.ctx, "head", r.move(), nil)
	r.wantErr("Retry while a follower is in flight", err, store.ErrSuperseded)
	r.settle(id, events, delivered("003A"))
	_, err = r.Retry(r.ctx, "head", r.move(), nil)
	r.wantErr("Retry after a follower was sent", err, store.ErrSuperseded)
	r.wantState(store.Failed, "head")
	if _, err := r.Drop(r.ctx, "head", r.move()); err != nil {
		r.Errorf("Drop of a superseded head = %v; want nil", err)
	}
}

func retrySupersededLater(r *rig) {
	r.passed(failed("X"))
	for range 3 {
		r.wait(dedupWindow)
	}
	r.reopen()
	_, err := r.Retry(r.ctx, "head", r.move(), nil)
	r.wantErr("Retry after the follower's receipt is gone", err, store.ErrSuperseded)
	matched, changed, err := r.RetryMany(r.ctx, store.Filter{}, r.move(), false)
	if err != nil || matched != 1 || changed != 0 {
		r.Errorf("RetryMany = %d, %d, %v; want 1 matched, none changed", matched, changed, err)
	}
}

func dropMoves(r *rig) {
	r.fail(ev("failed", upsert, ""), "X")
	r.put(ev("pending", upsert, ""))
	for _, k := range []string{"failed", "pending"} {
		m := r.move()
		for range 2 {
			rec, err := r.Drop(r.ctx, k, m)
			if err != nil || rec.State != store.Dropped || rec.EndedAt.IsZero() || rec.Payload != nil {
				r.Fatalf("Drop(%s) = %+v, %v; want dropped, without payload", k, rec, err)
			}
		}
	}
	r.wantCounts(0, 0, 0, 0, 0, 2)
	r.claimKeys(spec(upsert))
	entries, _ := r.outcomes("")
	if len(entries) != 3 || entries[1].State != store.Dropped || entries[2].State != store.Dropped {
		r.Errorf("feed = %+v; want failed, dropped, dropped", entries)
	}
}

func resolveMoves(r *rig) {
	r.put(ev("yes", upsert, ""), ev("no", upsert, ""))
	r.run(spec(upsert), doubtful(), "yes", "no")
	m := r.move()
	for range 2 {
		rec, err := r.Resolve(r.ctx, "yes", m, store.Resolution{Delivered: true, ID: "003A"})
		if err != nil || rec.State != store.Delivered || rec.ID != "003A" {
			r.Fatalf("Resolve(delivered) = %+v, %v", rec, err)
		}
	}
	m = r.move()
	for range 2 {
		rec, err := r.Resolve(r.ctx, "no", m, store.Resolution{})
		if err != nil || rec.State != store.Pending {
			r.Fatalf("Resolve(not delivered) = %+v, %v", rec, err)
		}
	}
	r.wantCounts(1, 0, 1, 0, 0, 0)
	r.claimKeys(spec(upsert), "no")
}

func resolveSuperseded(r *rig) {
	r.passed(doubtful())
	_, err := r.Resolve(r.ctx, "head", r.move(), store.Resolution{})
	r.wantErr("Resolve(not delivered) after a follower was sent", err, store.ErrSuperseded)
	r.wantState(store.InDoubt, "head")
	if _, err := r.Resolve(r.ctx, "head", r.move(), store.Resolution{Delivered: true}); err != nil {
		r.Errorf("Resolve(delivered) after a follower was sent = %v; want nil", err)
	}
}

func movesStates(r *rig) {
	var events []store.Event
	for _, k := range []string{"inflight", "delivered", "failed", "in_doubt", "dropped"} {
		events = append(events, ev(k, upsert, ""))
	}
	r.put(events...)
	id, claimed := r.claim(spec(upsert))
	for _, c := range claimed {
		switch c.Key {
		case "delivered":
			r.settle(id, []store.Claimed{c}, delivered("003A"))
		case "failed", "dropped":
			r.settle(id, []store.Claimed{c}, failed("X"))
		case "in_doubt":
			r.settle(id, []store.Claimed{c}, doubtful())
		}
	}
	if _, err := r.Drop(r.ctx, "dropped", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	r.put(ev("pending", account, ""))
	may := map[string][]string{"retry": {"failed"}, "drop": {"failed", "pending"}, "resolve": {"in_doubt"}}
	for _, s := range store.States {
		key := s.String()
		for move, from := range may {
			allowed := false
			for _, f := range from {
				allowed = allowed || f == key
			}
			if allowed {
				continue
			}
			r.wantErr(move+" of "+key, r.tryMove(move, key), store.ErrTransition)
			r.wantState(s, key)
		}
	}
	for move := range may {
		r.wantErr(move+" of an unknown key", r.tryMove(move, "nobody"), store.ErrNotFound)
	}
}

func (r *rig) tryMove(move, key string) (err error) {
	switch move {
	case "retry":
		_, err = r.Retry(r.ctx, key, r.move(), nil)
	case "drop":
		_, err = r.Drop(r.ctx, key, r.move())
	case "resolve":
		_, err = r.Resolve(r.ctx, key, r.move(), store.Resolution{})
	}
	return err
}

func movesRecorded(r *rig) {
	r.fail(ev("a", upsert, ""), "X")
	if _, err := r.Retry(r.ctx, "a", store.Move{ID: "m1", By: "ada"}, nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	rec, err := r.Drop(r.ctx, "a", store.Move{ID: "m2", By: "bob"})
	if err != nil {
		r.Fatalf("Drop = %v", err)
	}
	type line struct {
		From, To store.State
		By, Code string
	}
	var got []line
	for _, h := range rec.History {
		if h.By != "" || h.Code != "" {
			got = append(got, line{h.From, h.To, h.By, h.Code})
		}
	}
	r.wantEqual("history", got, []line{
		{store.Inflight, store.Failed, "", "X"},
		{store.Failed, store.Pending, "ada", ""},
		{store.Pending, store.Dropped, "bob", ""},
	})
}

func movesRevision(r *rig) {
	r.fail(ev("a", upsert, ""), "X")
	before := r.get("a").Rev
	rec, err := r.Retry(r.ctx, "a", r.move(), nil)
	if err != nil || rec.Rev == before {
		r.Errorf("Rev after Retry = %d, %v; want another one than %d", rec.Rev, err, before)
	}
	r.reopen()
	if got := r.get("a").Rev; got != rec.Rev {
		r.Errorf("Rev after reopening = %d; want %d", got, rec.Rev)
	}
}

func retryMany(r *rig) {
	r.fail(ev("a1", upsert, "contact/1"), "X")
	r.put(ev("a2", upsert, "contact/1"))
	r.fail(ev("b", account, ""), "X")
	r.fail(ev("c", account, ""), "Y")
	r.put(ev("d", account, ""))
	r.run(spec(account), doubtful(), "d")
	for _, tt := range []struct {
		f                store.Filter
		matched, changed int64
	}{
		{store.Filter{Object: "Account", Code: "X"}, 1, 1},
		{store.Filter{Object: "Lead"}, 0, 0},
		{store.Filter{Reason: store.ReasonInDoubt}, 1, 0},
		{store.Filter{Reason: store.ReasonFailed}, 2, 2},
	} {
		matched, changed, err := r.RetryMany(r.ctx, tt.f, r.move(), false)
		if err != nil || matched != tt.matched || changed != tt.changed {
			r.Errorf("RetryMany(%+v) = %d, %d, %v; want %d, %d", tt.f, matched, changed, err, tt.matched, tt.changed)
		}
	}
	r.wantState(store.Pending, "a1", "a2", "b", "c")
	r.wantState(store.InDoubt, "d")
	r.wantCounts(4, 0, 0, 0, 1, 0)
}

func dropMany(r *rig) {
	r.fail(ev("a1", upsert, "contact/1"), "X")
	r.put(ev("a2", upsert, "contact/1"), ev("free", account, ""))
	r.put(ev("d", create, ""))
	r.run(bulk(create), doubtful(), "d")
	matched, changed, err := r.DropMany(r.ctx, store.Filter{}, r.move(), false)
	if err != nil || matched != 3 || changed != 2 {
		r.Errorf("DropMany of all stuck = %d, %d, %v; want a1, a2 and d matched, a1 and a2 dropped", matched, changed, err)
	}
	r.wantState(store.Dropped, "a1", "a2")
	r.wantState(store.InDoubt, "d")
	r.wantState(store.Pending, "free")
}

func manyDryRun(r *rig) {
	r.fail(ev("a", upsert, ""), "X")
	r.fail(ev("b", upsert, ""), "X")
	for name, many := range map[string]func() (int64, int64, error){
		"RetryMany": func() (int64, int64, error) { return r.RetryMany(r.ctx, store.Filter{}, r.move(), true) },
		"DropMany":  func() (int64, int64, error) { return r.DropMany(r.ctx, store.Filter{}, r.move(), true) },
	} {
		matched, changed, err := many()
		if err != nil || matched != 2 || changed != 2 {
			r.Errorf("%s, dry = %d, %d, %v; want what it would do: 2, 2", name, matched, changed, err)
		}
	}
	r.wantState(store.Failed, "a", "b")
}
