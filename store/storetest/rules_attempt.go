package storetest

import (
	"slices"
	"time"

	"github.com/outboxd/outboxd/store"
)

var attemptRules = []rule{
	{name: "Advance_ComparesAndSets", test: advanceCompares},
	{name: "Advance_AnotherJobWhileOpen", test: advanceOtherJob},
	{name: "Advance_UnknownAttempt", test: advanceUnknown},
	{name: "Advance_TheJobShowsAtTheEvent", test: advanceShowsJob},
	{name: "Release_GivesBackUncharged", test: releaseGivesBack},
	{name: "Release_NotOnceClosing", test: releaseTooLate},
	{name: "Release_OnlyWhatIsLeft", test: releasePartly},
	{name: "Unfinished_SurvivesReopening", test: unfinishedReopened},
	{name: "Unfinished_CountsStarts", test: unfinishedStarts},
	{name: "Attempts_NewestFirstByPages", test: attemptsPaged},
	{name: "Attempt_TellsItsCounts", test: attemptCounts},
}

func (r *rig) attempt(id store.AttemptID) store.Attempt {
	r.Helper()
	a, err := r.Attempt(r.ctx, id)
	if err != nil {
		r.Fatalf("Attempt(%s) = %v", id, err)
	}
	return a
}

func advanceCompares(r *rig) {
	r.put(ev("a", create, ""))
	id, events := r.claimKeys(bulk(create), "a")
	job := store.PhaseData{JobID: "750A"}
	steps := []struct {
		name     string
		from, to store.Phase
		data     store.PhaseData
		want     error
	}{
		{"from a phase it has not reached", store.PhaseOpen, store.PhaseClosing, store.PhaseData{}, store.ErrTransition},
		{"claimed to open", store.PhaseClaimed, store.PhaseOpen, job, nil},
		{"the same again", store.PhaseClaimed, store.PhaseOpen, job, nil},
		{"again with another job", store.PhaseClaimed, store.PhaseOpen, store.PhaseData{JobID: "750B"}, store.ErrTransition},
		{"open to closing", store.PhaseOpen, store.PhaseClosing, store.PhaseData{}, nil},
		{"the same again", store.PhaseOpen, store.PhaseClosing, store.PhaseData{}, nil},
		{"back to open", store.PhaseClosing, store.PhaseOpen, job, store.ErrTransition},
		{"a late repeat of an earlier step", store.PhaseClaimed, store.PhaseOpen, job, store.ErrTransition},
		{"closing to processing", store.PhaseClosing, store.PhaseProcessing, store.PhaseData{}, nil},
	}
	phase := store.PhaseClaimed
	for _, s := range steps {
		err := r.Advance(r.ctx, r.term, id, s.from, s.to, s.data)
		r.wantErr("Advance: "+s.name, err, s.want)
		if s.want == nil {
			phase = s.to
		}
		if got := r.attempt(id); got.Phase != phase {
			r.Errorf("after %s: phase %v; want %v", s.name, got.Phase, phase)
		}
	}
	r.reopen()
	if got := r.attempt(id); got.Phase != store.PhaseProcessing || got.JobID != "750A" {
		r.Errorf("after reopening = %v, job %q; want processing of 750A", got.Phase, got.JobID)
	}
	r.settle(id, events, delivered("003A"))
	err := r.Advance(r.ctx, r.term, id, store.PhaseProcessing, store.PhaseClosing, store.PhaseData{})
	r.wantErr("Advance of a done attempt", err, store.ErrTransition)
}

func advanceOtherJob(r *rig) {
	r.put(ev("a", create, ""))
	id, _ := r.claimKeys(bulk(create), "a")
	r.advance(id, store.PhaseClaimed, store.PhaseOpen, "750A")
	r.advance(id, store.PhaseOpen, store.PhaseOpen, "750B")
	r.advance(id, store.PhaseOpen, store.PhaseOpen, "750B")
	if got := r.attempt(id); got.JobID != "750B" || got.Phase != store.PhaseOpen {
		r.Errorf("attempt = %v, job %q; want open with 750B", got.Phase, got.JobID)
	}
	r.advance(id, store.PhaseOpen, store.PhaseClosing, "")
	if got := r.attempt(id); got.JobID != "750B" {
		r.Errorf("job after closing = %q; empty data leaves what is stored", got.JobID)
	}
}

func advanceUnknown(r *rig) {
	const id = "01936d2e-0000-7000-8000-000000000000"
	r.wantErr("Advance", r.Advance(r.ctx, r.term, id, store.PhaseClaimed, store.PhaseOpen, store.PhaseData{}), store.ErrNotFound)
	r.wantErr("Release", r.Release(r.ctx, r.term, id, ""), store.ErrNotFound)
	r.wantErr("Settle", r.Settle(r.ctx, r.term, id, store.Settlement{}), store.ErrNotFound)
	_, err := r.Attempt(r.ctx, id)
	r.wantErr("Attempt", err, store.ErrNotFound)
	_, err = r.Events(r.ctx, id)
	r.wantErr("Events", err, store.ErrNotFound)
}

func advanceShowsJob(r *rig) {
	r.put(ev("a", create, ""), ev("b", create, ""))
	id, events := r.claimKeys(bulk(create), "a", "b")
	r.advance(id, store.PhaseClaimed, store.PhaseOpen, "750A")
	r.advance(id, store.PhaseOpen, store.PhaseClosing, "")
	if got := r.get("a"); got.JobID != "750A" || got.Kind != store.KindBulk || got.AttemptID != id {
		r.Errorf("record in flight = %s, job %q of %s; want bulk, 750A of %s", got.Kind, got.JobID, got.AttemptID, id)
	}
	r.settle(id, events[:1], delivered("003A"))
	r.settle(id, events[1:], failed("X"))
	for _, k := range []string{"a", "b"} {
		if got := r.get(k); got.JobID != "750A" || got.Kind != store.KindBulk || got.AttemptID != id {
			r.Errorf("settled record = %s, job %q of %s; want bulk, 750A of %s", got.Kind, got.JobID, got.AttemptID, id)
		}
	}
}

func releaseGivesBack(r *rig) {
	r.put(ev("a", create, ""), ev("b", create, ""))
	id, _ := r.claimKeys(bulk(create), "a", "b")
	r.advance(id, store.PhaseClaimed, store.PhaseOpen, "750A")
	for range 2 {
		if err := r.Release(r.ctx, r.term, id, "job vanished"); err != nil {
			r.Fatalf("Release = %v", err)
		}
	}
	if a := r.attempt(id); a.Phase != store.PhaseDone || a.Note != "job vanished" || a.EndedAt.IsZero() || a.Unprocessed != 2 {
		r.Errorf("released attempt = %+v; want done, with its note and 2 unprocessed", a)
	}
	r.wantCounts(2, 0, 0, 0, 0, 0)
	_, events := r.claimKeys(bulk(create), "a", "b")
	for _, c := range events {
		if c.Attempts != 0 || c.Sent {
			r.Errorf("%s after a release = %d attempts, sent %v; want none", c.Key, c.Attempts, c.Sent)
		}
	}
	if err := r.Release(r.ctx, r.term, id, "job vanished"); err != nil {
		r.Errorf("a late repeat of Release = %v; want nil", err)
	}
	r.wantState(store.Inflight, "a", "b")
}

func releaseTooLate(r *rig) {
	r.put(ev("a", create, ""))
	id, _ := r.claimKeys(bulk(create), "a")
	r.advance(id, store.PhaseClaimed, store.PhaseOpen, "750A")
	r.advance(id, store.PhaseOpen, store.PhaseClosing, "")
	r.wantErr("Release of a closing attempt", r.Release(r.ctx, r.term, id, ""), store.ErrTransition)
	r.advance(id, store.PhaseClosing, store.PhaseProcessing, "")
	r.wantErr("Release of a processing attempt", r.Release(r.ctx, r.term, id, ""), store.ErrTransition)
	r.wantState(store.Inflight, "a")
}

func releasePartly(r *rig) {
	r.put(ev("a", create, ""), ev("b", create, ""))
	id, events := r.claim(bulk(create))
	r.settle(id, events[:1], failed("INVALID"))
	if err := r.Release(r.ctx, r.term, id, ""); err != nil {
		r.Fatalf("Release = %v", err)
	}
	r.wantState(store.Failed, events[0].Key)
	r.wantState(store.Pending, events[1].Key)
}

func (r *rig) unfinished() []store.AttemptID {
	r.Helper()
	as, err := r.Unfinished(r.ctx, r.term)
	if err != nil {
		r.Fatalf("Unfinished() = %v", err)
	}
	ids := make([]store.AttemptID, len(as))
	for i, a := range as {
		ids[i] = a.ID
	}
	slices.Sort(ids)
	return ids
}

func unfinishedReopened(r *rig) {
	r.put(ev("a", create, ""), ev("b", upsert, ""), ev("c", account, ""))
	job, jobEvents := r.claimKeys(bulk(create), "a")
	r.advance(job, store.PhaseClaimed, store.PhaseOpen, "750A")
	rest, _ := r.claimKeys(spec(upsert), "b")
	r.run(spec(account), delivered("001A"), "c")
	r.reopen()
	r.wantEqual("Unfinished after reopening", r.unfinished(), []store.AttemptID{job, rest})
	r.wantState(store.Inflight, "a", "b")
	r.advance(job, store.PhaseOpen, store.PhaseClosing, "")
	r.settle(job, jobEvents, delivered("003A"))
	r.wantEqual("Unfinished", r.unfinished(), []store.AttemptID{rest})
	if err := r.Release(r.ctx, r.term, rest, "restart"); err != nil {
		r.Fatalf("Release = %v", err)
	}
	r.reopen()
	r.wantEqual("Unfinished", r.unfinished(), []store.AttemptID{})
}

func unfinishedStarts(r *rig) {
	r.put(ev("a", upsert, ""))
	id, _ := r.claimKeys(spec(upsert), "a")
	for want := range 4 {
		as, err := r.Unfinished(r.ctx, r.term)
		if err != nil || len(as) != 1 || as[0].ID != id || as[0].Starts != want {
			r.Fatalf("Unfinished at start %d = %+v, %v; want Starts %d", want, as, err, want)
		}
		r.reopen()
	}
}

func attemptsPaged(r *rig) {
	r.putMany(12, upsert, func(int) string { return "" })
	s := spec(upsert)
	s.MaxRecords = 1
	var want []store.AttemptID
	for i := range 12 {
		id, events := r.claim(s)
		if i%2 == 0 {
			r.settle(id, events, delivered("003A"))
		}
		want = append([]store.AttemptID{id}, want...)
		r.clock.Advance(time.Second)
	}
	var got []store.AttemptID
	cursor := ""
	for range 100 {
		as, next, err := r.Attempts(r.ctx, 5, cursor)
		if err != nil || len(as) > 5 {
			r.Fatalf("Attempts(5, %q) = %d, %v", cursor, len(as), err)
		}
		for _, a := range as {
			got = append(got, a.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	r.wantEqual("attempts, newest first", got, want)
	_, _, err := r.Attempts(r.ctx, 5, "no cursor")
	r.wantErr("Attempts with a bad cursor", err, store.ErrCursor)
}

func attemptCounts(r *rig) {
	r.putMany(6, upsert, func(int) string { return "" })
	id, events := r.claim(spec(upsert))
	r.settle(id, events[:3], delivered("003A"))
	r.settle(id, events[3:4], failed("X"))
	if a := r.attempt(id); a.Phase == store.PhaseDone || !a.EndedAt.IsZero() {
		r.Errorf("attempt with events left = %+v; want it unfinished", a)
	}
	left, err := r.Events(r.ctx, id)
	if err != nil {
		r.Fatalf("Events = %v", err)
	}
	r.wantEqual("events left", claimedKeys(left), claimedKeys(events[4:]))
	r.settle(id, events[4:], store.Outcome{Verdict: store.Again})
	a := r.attempt(id)
	if a.Phase != store.PhaseDone || a.Claimed != 6 || a.Succeeded != 3 || a.Failed != 1 || a.Unprocessed != 2 || a.EndedAt.IsZero() {
		r.Errorf("attempt = %+v; want done, 6 = 3 succeeded + 1 failed + 2 unprocessed", a)
	}
	if a.Kind != store.KindREST || a.Route != upsert || a.StartedAt.IsZero() {
		r.Errorf("attempt = %+v; want its kind, route and start", a)
	}
}
