package storetest

import (
	"time"

	"github.com/outboxd/outboxd/store"
)

var settleRules = []rule{
	{name: "Settle_EachVerdict", test: settleVerdicts},
	{name: "Settle_FreesThePayload", test: settleFreesPayload},
	{name: "Settle_RepeatedChangesNothing", test: settleAgain},
	{name: "Settle_RepeatedLateTouchesNobody", test: settleAgainLate},
	{name: "Settle_OnlyItsOwnEvents", test: settleForeign},
	{name: "Settle_RerouteKeepsTheTarget", test: settleReroute},
	{name: "Settle_SentIsNeverForgotten", test: settleSentSticks},
	{name: "Settle_AFailureStaysSent", test: settleFailureStaysSent},
	{name: "Settle_PartsShareNothing", test: settleParts},
	{name: "Settle_ASkippedFailureStillCountsAsStuck", test: settleSkippedIsStuck},
	{name: "Verify_FoundIsDelivered", test: verifyFound},
	{name: "Verify_AbsentIsPending", test: verifyAbsent},
	{name: "Verify_OpenTellsWhatItMayBe", test: verifyOpen},
	{name: "Verify_OnlyInDoubt", test: verifyOnlyInDoubt},
}

func settleVerdicts(r *rig) {
	r.put(ev("deliver", upsert, ""), ev("fail", upsert, ""), ev("doubt", upsert, ""), ev("again", upsert, ""), ev("other", matched, ""))
	id, events := r.claim(spec(upsert))
	d := doubtful()
	d.Matches = []string{"003B", "003C"}
	by := map[string]store.Outcome{
		"deliver": delivered("003A"), "fail": failed("STRING_TOO_LONG"), "doubt": d,
		"again": {Verdict: store.Again, Delay: time.Minute, Charge: true, Problem: &store.Problem{Code: "BUSY", Message: "later"}},
	}
	warnings := []store.Warning{{Path: "fields.Name", Code: "too_long", Detail: "it is"}}
	var x store.Settlement
	for _, c := range events {
		o := by[c.Key]
		o.Seq, o.Warnings = c.Seq, warnings
		x.Outcomes = append(x.Outcomes, o)
	}
	if err := r.Settle(r.ctx, r.term, id, x); err != nil {
		r.Fatalf("Settle = %v", err)
	}
	for range 2 {
		r.wantCounts(2, 0, 1, 1, 1, 0)
		if rec := r.get("deliver"); rec.ID != "003A" || !rec.Created || rec.EndedAt.IsZero() || rec.LastError != nil {
			r.Errorf("delivered = %+v; want its Id, created, and an end", rec)
		}
		rec := r.get("fail")
		if rec.State != store.Failed || rec.LastError == nil || rec.LastError.AttemptID != id || rec.LastError.At.IsZero() {
			r.Fatalf("failed = %+v; want its error with time and attempt", rec)
		}
		r.wantEqual("problem", rec.LastError.Problem, *failed("STRING_TOO_LONG").Problem)
		if rec.Reason != store.ReasonFailed || rec.Since.IsZero() || len(rec.Payload) == 0 {
			r.Errorf("failed = %+v; want it stuck, with a payload", rec)
		}
		rec = r.get("doubt")
		if rec.State != store.InDoubt || rec.Reason != store.ReasonInDoubt || rec.LastError == nil || rec.LastError.Code != "TRANSPORT" {
			r.Errorf("in doubt = %+v; want stuck with its error", rec)
		}
		r.wantEqual("matches", rec.Matches, d.Matches)
		rec = r.get("again")
		if rec.State != store.Pending || rec.Attempts != 1 || rec.LastError == nil || rec.LastError.Code != "BUSY" || rec.Reason != "" {
			r.Errorf("again = %+v; want pending with an attempt and its error", rec)
		}
		r.reopen()
	}
	for _, k := range []string{"deliver", "fail", "doubt"} {
		r.wantEqual("warnings of "+k, r.get(k).Warnings, warnings)
		h := r.get(k).History
		if len(h) == 0 || h[len(h)-1].To != r.get(k).State || h[len(h)-1].AttemptID != id {
			r.Errorf("history of %s = %+v; want it to end with this state and attempt", k, h)
		}
	}
}

func settleFreesPayload(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", upsert, ""))
	r.run(spec(upsert), delivered("003A"), "a", "b")
	for _, rec := range append(r.list(store.Filter{Payload: true}), r.get("a")) {
		if rec.Payload != nil || string(rec.Head) == "" {
			r.Errorf("delivered record has payload %q, head %q; want no payload, and its head", rec.Payload, rec.Head)
		}
	}
}

func settleAgain(r *rig) {
	r.put(ev("a", upsert, "contact/1"), ev("b", upsert, ""), ev("c", upsert, ""), ev("d", upsert, ""))
	id, events := r.claim(spec(upsert))
	outcomes := []store.Outcome{delivered("003A"), failed("X"), doubtful(), {Verdict: store.Again, Charge: true, Hold: lateWindow}}
	for i := range outcomes {
		outcomes[i].Seq = events[i].Seq
	}
	var before []store.Record
	for i := range 3 {
		if err := r.Settle(r.ctx, r.term, id, store.Settlement{Outcomes: outcomes}); err != nil {
			r.Fatalf("Settle, time %d = %v", i+1, err)
		}
		now := r.list(store.Filter{})
		if before != nil {
			r.wantEqual("records after a repeat", now, before)
		}
		before = now
	}
	entries, _ := r.outcomes("")
	if len(entries) != 3 {
		r.Errorf("the feed has %d entries; want 3", len(entries))
	}
	r.wantCounts(1, 0, 1, 1, 1, 0)
}

func settleAgainLate(r *rig) {
	r.put(ev("a", upsert, ""))
	id, events := r.claimKeys(spec(upsert), "a")
	x := store.Settlement{Outcomes: []store.Outcome{{Seq: events[0].Seq, Verdict: store.Again, Charge: true}}}
	for range 2 {
		if err := r.Settle(r.ctx, r.term, id, x); err != nil {
			r.Fatalf("Settle = %v", err)
		}
	}
	second, _ := r.claimKeys(spec(upsert), "a")
	if err := r.Settle(r.ctx, r.term, id, x); err != nil {
		r.Errorf("a late repeat of Settle = %v; want nil", err)
	}
	if rec := r.get("a"); rec.State != store.Inflight || rec.AttemptID != second || rec.Attempts != 1 {
		r.Errorf("after a late repeat = %v in %s, %d attempts; want inflight in %s, 1", rec.State, rec.AttemptID, rec.Attempts, second)
	}
}

func settleForeign(r *rig) {
	seq := r.put(ev("a", upsert, ""), ev("b", account, ""))
	id, _ := r.claimKeys(spec(upsert), "a")
	o := delivered("003A")
	o.Seq = seq[1]
	_ = r.Settle(r.ctx, r.term, id, store.Settlement{Outcomes: []store.Outcome{o}}) // refused or ignored
	r.wantState(store.Pending, "b")
	r.wantState(store.Inflight, "a")
	r.claimKeys(spec(account), "b")
	_ = r.Settle(r.ctx, r.term, id, store.Settlement{Outcomes: []store.Outcome{o}})
	r.wantState(store.Inflight, "b")
}

func settleReroute(r *rig) {
	r.put(ev("a", matched, "contact/m1"), ev("b", matched, "contact/m1"))
	update := store.Route{Object: "Contact", Operation: "update"}
	r.run(spec(matched), store.Outcome{Verdict: store.Reroute, Route: update, Target: "003A"}, "a")
	r.claimKeys(spec(matched)) // b waits behind a, whichever way a goes
	r.reopen()
	if rec := r.get("a"); rec.Route != matched || rec.State != store.Pending {
		r.Errorf("rerouted record = %v on %+v; want pending, and the route as accepted", rec.State, rec.Route)
	}
	id, events := r.claimKeys(spec(update), "a")
	if events[0].Target != "003A" {
		r.Errorf("target = %q; want 003A", events[0].Target)
	}
	r.settle(id, events, store.Outcome{Verdict: store.Again, Sent: true})
	id, events = r.claimKeys(spec(update), "a")
	if events[0].Target != "003A" {
		r.Errorf("target of the resend = %q; want 003A", events[0].Target)
	}
	r.settle(id, events, delivered("003A"))
	r.claimKeys(spec(matched), "b")
}

func settleSentSticks(r *rig) {
	r.put(ev("a", upsert, ""))
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Sent: true}, "a")
	events := r.run(spec(upsert), store.Outcome{Verdict: store.Again}, "a")
	if !events[0].Sent {
		r.Errorf("Sent = false; the org may have seen the first attempt")
	}
	r.reopen()
	events = r.run(spec(upsert), failed("X"), "a")
	if !events[0].Sent {
		r.Errorf("Sent = false after an attempt that was not; the first one was")
	}
	if _, err := r.Retry(r.ctx, "a", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	if _, events = r.claimKeys(spec(upsert), "a"); !events[0].Sent {
		r.Errorf("Sent = false after the operator's retry")
	}
}

// settleFailureStaysSent: an event that failed at the limit of its attempts may
// have been written by the last one.
func settleFailureStaysSent(r *rig) {
	r.put(ev("a", create, ""))
	f := failed("TRANSPORT")
	f.Sent, f.SentKey = true, "Key__c"
	r.run(spec(create), f, "a")
	r.reopen()
	if _, err := r.Retry(r.ctx, "a", r.move(), nil); err != nil {
		r.Fatalf("Retry = %v", err)
	}
	if _, events := r.claimKeys(spec(create), "a"); !events[0].Sent || events[0].SentKey != "Key__c" {
		r.Errorf("claimed after a retry = %+v; want it sent, with its key in Key__c", events[0])
	}
}

func settleParts(r *rig) {
	r.put(ev("a", upsert, "contact/1"), ev("b", upsert, "contact/2"), ev("a2", upsert, "contact/1"))
	id, events := r.claimKeys(spec(upsert), "a", "b")
	for _, c := range events {
		if c.Key == "a" {
			r.settle(id, []store.Claimed{c}, delivered("003A"))
		}
	}
	r.wantState(store.Inflight, "b")
	r.claimKeys(spec(upsert), "a2")
	r.reopen()
	left, err := r.Events(r.ctx, id)
	if err != nil {
		r.Fatalf("Events = %v", err)
	}
	r.wantEqual("events left", claimedKeys(left), []string{"b"})
}

func settleSkippedIsStuck(r *rig) {
	r.put(ev("a", upsert, "contact/1"))
	f := failed("X")
	f.Skip = true
	r.run(spec(upsert), f, "a")
	all, _ := r.stuck(store.Filter{})
	r.wantEqual("stuck", recordKeys(all), []string{"a"})
}

func verifyFound(r *rig) {
	seq := r.put(ev("a", upsert, "contact/1"), ev("b", upsert, "contact/1"))
	r.run(spec(upsert), doubtful(), "a")
	for i := range 2 {
		err := r.Verify(r.ctx, r.term, seq[0], store.Resolution{Delivered: true, ID: "003A"})
		if i == 0 || err != nil {
			r.wantErr("Verify(found)", err, [][]error{{nil}, {nil, store.ErrTransition}}[i]...)
		}
	}
	if rec := r.get("a"); rec.State != store.Delivered || rec.ID != "003A" || rec.Reason != "" {
		r.Errorf("verified = %+v; want delivered with its Id", rec)
	}
	r.claimKeys(spec(upsert), "b")
	entries, _ := r.outcomes("")
	if len(entries) != 2 || entries[1].State != store.Delivered {
		r.Errorf("feed = %+v; want in_doubt, then delivered", entries)
	}
}

func verifyAbsent(r *rig) {
	seq := r.put(ev("a", upsert, "contact/1"), ev("b", upsert, "contact/1"))
	r.run(spec(upsert), doubtful(), "a")
	if err := r.Verify(r.ctx, r.term, seq[0], store.Resolution{}); err != nil {
		r.Fatalf("Verify(absent) = %v", err)
	}
	r.wantState(store.Pending, "a")
	r.claimKeys(spec(upsert), "a")
	all, _ := r.stuck(store.Filter{})
	r.wantEqual("stuck", recordKeys(all), []string{})
}

func verifyOpen(r *rig) {
	r.put(ev("a", create, ""))
	r.run(spec(create), store.Outcome{Verdict: store.Doubt, Problem: &store.Problem{Code: "TRANSPORT"}, SentKey: "Outbox_Key__c", Sent: true}, "a")
	for range 2 {
		if err := r.Verify(r.ctx, r.term, r.get("a").Seq, store.Resolution{Open: true, Matches: []string{"003A", "003B"}}); err != nil {
			r.Fatalf("Verify = %v", err)
		}
		r.reopen()
		rec := r.get("a")
		r.wantEqual("matches", rec.Matches, []string{"003A", "003B"})
		r.wantEqual("what carried the key", rec.SentKey, "Outbox_Key__c")
		r.wantState(store.InDoubt, "a")
	}
}

func verifyOnlyInDoubt(r *rig) {
	seq := r.put(ev("a", upsert, ""))
	r.wantErr("Verify of a pending event", r.Verify(r.ctx, r.term, seq[0], store.Resolution{Delivered: true}), store.ErrTransition)
	id, events := r.claimKeys(spec(upsert), "a")
	r.wantErr("Verify of an event in flight", r.Verify(r.ctx, r.term, seq[0], store.Resolution{Delivered: true}), store.ErrTransition)
	r.settle(id, events, failed("X"))
	r.wantErr("Verify of a failed event", r.Verify(r.ctx, r.term, seq[0], store.Resolution{}), store.ErrTransition)
	r.wantErr("Verify of an unknown event", r.Verify(r.ctx, r.term, seq[0]+1000, store.Resolution{}), store.ErrNotFound, store.ErrTransition)
	r.wantState(store.Failed, "a")
}
