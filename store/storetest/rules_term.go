package storetest

import (
	"github.com/outboxd/outboxd/store"
)

var termRules = []rule{
	{name: "Term_ALaterHoldFencesEveryMethod", test: termFences},
	{name: "Term_NoTermIsFenced", test: termZero},
	{name: "Term_MovesAndQuestionsNeedNone", test: termNotNeeded},
	{name: "Term_TheNewOneCarriesOn", test: termCarriesOn},
}

// call is one method with its arguments; fenced ones need a term.
type call struct {
	name   string
	fenced bool
	call   func(Outbox, store.Term) error
}

// calls lists every method of an outbox that has an event "a" in attempt id.
func calls(r *rig, id store.AttemptID) []call {
	ctx, m := r.ctx, store.Move{ID: "m", By: "ada"}
	seq := store.Seq(1)
	return []call{
		{"Unfinished", true, func(o Outbox, t store.Term) error { _, err := o.Unfinished(ctx, t); return err }},
		{"Routes", true, func(o Outbox, t store.Term) error { _, _, err := o.Routes(ctx, t); return err }},
		{"Claim", true, func(o Outbox, t store.Term) error { _, _, err := o.Claim(ctx, t, "new", spec(upsert)); return err }},
		{"Claim again", true, func(o Outbox, t store.Term) error { _, _, err := o.Claim(ctx, t, id, spec(upsert)); return err }},
		{"Advance", true, func(o Outbox, t store.Term) error {
			return o.Advance(ctx, t, id, store.PhaseClaimed, store.PhaseOpen, store.PhaseData{JobID: "750A"})
		}},
		{"Settle", true, func(o Outbox, t store.Term) error {
			out := delivered("003A")
			out.Seq = seq
			return o.Settle(ctx, t, id, store.Settlement{Outcomes: []store.Outcome{out}})
		}},
		{"Release", true, func(o Outbox, t store.Term) error { return o.Release(ctx, t, id, "") }},
		{"Sweep", true, func(o Outbox, t store.Term) error { _, err := o.Sweep(ctx, t); return err }},
		{"SetPausedClock", true, func(o Outbox, t store.Term) error { return o.SetPausedClock(ctx, t, true) }},
		{"Verify", true, func(o Outbox, t store.Term) error { return o.Verify(ctx, t, seq, store.Resolution{}) }},

		{"Put", false, func(o Outbox, _ store.Term) error {
			_, err := o.Put(ctx, []store.Event{ev("z", upsert, "")}, store.PutOptions{})
			return err
		}},
		{"Hold", false, func(o Outbox, _ store.Term) error { _, err := o.Hold(ctx); return err }},
		{"Events", false, func(o Outbox, _ store.Term) error { _, err := o.Events(ctx, id); return err }},
		{"Retry", false, func(o Outbox, _ store.Term) error { _, err := o.Retry(ctx, "a", m, nil); return err }},
		{"Drop", false, func(o Outbox, _ store.Term) error { _, err := o.Drop(ctx, "a", m); return err }},
		{"Resolve", false, func(o Outbox, _ store.Term) error { _, err := o.Resolve(ctx, "a", m, store.Resolution{}); return err }},
		{"RetryMany", false, func(o Outbox, _ store.Term) error {
			_, _, err := o.RetryMany(ctx, store.Filter{}, m, false)
			return err
		}},
		{"DropMany", false, func(o Outbox, _ store.Term) error { _, _, err := o.DropMany(ctx, store.Filter{}, m, false); return err }},
		{"Get", false, func(o Outbox, _ store.Term) error { _, err := o.Get(ctx, "a"); return err }},
		{"List", false, func(o Outbox, _ store.Term) error { _, err := o.List(ctx, store.Filter{}); return err }},
		{"Stuck", false, func(o Outbox, _ store.Term) error { _, err := o.Stuck(ctx, store.Filter{}); return err }},
		{"Attempts", false, func(o Outbox, _ store.Term) error { _, _, err := o.Attempts(ctx, 10, ""); return err }},
		{"Attempt", false, func(o Outbox, _ store.Term) error { _, err := o.Attempt(ctx, id); return err }},
		{"Outcomes", false, func(o Outbox, _ store.Term) error { _, _, err := o.Outcomes(ctx, "", 10); return err }},
		{"Status", false, func(o Outbox, _ store.Term) error { _, err := o.Status(ctx); return err }},
		{"Facts", false, func(o Outbox, _ store.Term) error { _, err := o.Facts(ctx); return err }},
		{"Pause", false, func(o Outbox, _ store.Term) error { return o.Pause(ctx, "ada") }},
		{"Resume", false, func(o Outbox, _ store.Term) error { return o.Resume(ctx, "ada", store.Acceptance{}) }},
		{"SetOrg", false, func(o Outbox, _ store.Term) error { _, err := o.SetOrg(ctx, "00DA", "https://a.example"); return err }},
		{"Check", false, func(o Outbox, _ store.Term) error { _, err := o.Check(ctx); return err }},
	}
}

func termFences(r *rig) {
	r.put(ev("a", upsert, ""), ev("b", upsert, ""))
	s := spec(upsert)
	s.MaxRecords = 1
	id, _ := r.claim(s)
	old := r.term
	r.hold()
	before := r.list(store.Filter{})
	for _, c := range calls(r, id) {
		if c.fenced {
			r.wantErr(c.name+" with an old term", c.call(r.Outbox, old), store.ErrFenced)
		}
	}
	r.wantEqual("records after fenced calls", r.list(store.Filter{}), before)
	r.wantCounts(1, 1, 0, 0, 0, 0)
	if a := r.attempt(id); a.Phase != store.PhaseClaimed {
		r.Errorf("phase after a fenced Advance = %v", a.Phase)
	}
}

func termZero(r *rig) {
	r.put(ev("a", upsert, ""))
	id, _ := r.claimKeys(spec(upsert), "a")
	for _, c := range calls(r, id) {
		if c.fenced {
			r.wantErr(c.name+" without a term", c.call(r.Outbox, store.Term{}), store.ErrFenced)
		}
	}
}

func termNotNeeded(r *rig) {
	r.put(ev("a", upsert, ""))
	r.run(spec(upsert), failed("X"), "a")
	r.hold()
	if _, err := r.Retry(r.ctx, "a", r.move(), nil); err != nil {
		r.Errorf("Retry after another Hold = %v", err)
	}
	r.put(ev("b", upsert, ""))
	r.wantCounts(2, 0, 0, 0, 0, 0)
}

func termCarriesOn(r *rig) {
	r.put(ev("a", create, ""), ev("b", upsert, ""))
	job, events := r.claimKeys(bulk(create), "a")
	rest, _ := r.claimKeys(spec(upsert), "b")
	r.advance(job, store.PhaseClaimed, store.PhaseOpen, "750A")
	r.hold()
	r.wantEqual("Unfinished of the new term", r.unfinished(), []store.AttemptID{job, rest})
	r.advance(job, store.PhaseOpen, store.PhaseClosing, "")
	r.settle(job, events, delivered("003A"))
	if err := r.Release(r.ctx, r.term, rest, "fenced"); err != nil {
		r.Fatalf("Release = %v", err)
	}
	r.claimKeys(spec(upsert), "b")
}
