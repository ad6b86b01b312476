package storetest

import (
	"github.com/outboxd/outboxd/store"
)

var factRules = []rule{
	{name: "Pause_HoldsOverReopening", test: pauseReopened},
	{name: "SetOrg_TheFirstIsRecorded", test: orgRecorded},
	{name: "SetOrg_AnotherNeedsTheOperator", test: orgChanged},
	{name: "Resume_WhatWasFoundAtTheOldOrgIsForgotten", test: orgForgets},
	{name: "Resume_WhatWasSentToTheOldOrgOnly", test: orgSent},
	{name: "Resume_WithoutNeedChangesNothing", test: resumeIdle},
}

func (r *rig) facts() store.Facts {
	r.Helper()
	f, err := r.Facts(r.ctx)
	if err != nil {
		r.Fatalf("Facts() = %v", err)
	}
	if s := r.status(); s.Facts != f {
		r.Errorf("Status().Facts = %+v; Facts() = %+v", s.Facts, f)
	}
	return f
}

func pauseReopened(r *rig) {
	for range 2 {
		if err := r.Pause(r.ctx, "ada"); err != nil {
			r.Fatalf("Pause = %v", err)
		}
	}
	r.reopen()
	if f := r.facts(); !f.Paused || f.PausedBy != "ada" || f.PausedAt.IsZero() {
		r.Errorf("Facts = %+v; want paused by ada", f)
	}
	r.put(ev("a", upsert, "")) // accepting goes on
	for range 2 {
		if err := r.Resume(r.ctx, "bob", store.Acceptance{}); err != nil {
			r.Fatalf("Resume = %v", err)
		}
	}
	r.reopen()
	if f := r.facts(); f.Paused {
		r.Errorf("Facts = %+v; want it going on", f)
	}
	r.claimKeys(spec(upsert), "a")
}

func (r *rig) setOrg(id string) store.Facts {
	r.Helper()
	f, err := r.SetOrg(r.ctx, id, "https://"+id+".example")
	if err != nil {
		r.Fatalf("SetOrg(%s) = %v", id, err)
	}
	return f
}

func orgRecorded(r *rig) {
	if f := r.facts(); f.OrgID != "" || f.OtherOrg != "" || f.Restored {
		r.Errorf("Facts of a new outbox = %+v; want no org", f)
	}
	for range 2 {
		f := r.setOrg("00DA")
		if f.OrgID != "00DA" || f.InstanceURL != "https://00DA.example" || f.OtherOrg != "" {
			r.Errorf("SetOrg = %+v; want it recorded", f)
		}
	}
	r.reopen()
	if f := r.facts(); f.OrgID != "00DA" {
		r.Errorf("Facts = %+v; want 00DA", f)
	}
}

func orgChanged(r *rig) {
	r.setOrg("00DA")
	for range 2 {
		if f := r.setOrg("00DB"); f.OrgID != "00DA" || f.InstanceURL != "https://00DA.example" || f.OtherOrg != "00DB" {
			r.Errorf("SetOrg of another = %+v; want 00DA kept, and 00DB told", f)
		}
	}
	r.reopen()
	r.wantErr("Resume without acceptance", r.Resume(r.ctx, "ada", store.Acceptance{}), store.ErrConfirmation)
	r.wantErr("Resume with the wrong acceptance", r.Resume(r.ctx, "ada", store.Acceptance{Restore: true}), store.ErrConfirmation)
	if f := r.facts(); f.OrgID != "00DA" || f.OtherOrg != "00DB" {
		r.Errorf("Facts after a refused Resume = %+v; want them unchanged", f)
	}
	if err := r.Resume(r.ctx, "ada", store.Acceptance{Org: true}); err != nil {
		r.Fatalf("Resume(accept org) = %v", err)
	}
	r.reopen()
	if f := r.facts(); f.OrgID != "00DB" || f.OtherOrg != "" {
		r.Errorf("Facts = %+v; want 00DB accepted", f)
	}
}

func orgForgets(r *rig) {
	update := store.Route{Object: "Contact", Operation: "update"}
	r.setOrg("00DA")
	r.put(ev("done", upsert, ""), ev("found", matched, ""), ev("busy", matched, ""), ev("waits", matched, ""))
	r.run(spec(upsert), delivered("003A"), "done")
	found := store.Outcome{Verdict: store.Reroute, Route: update, Target: "003B"}
	r.run(spec(matched), found, "found", "busy", "waits")
	one := spec(update)
	one.MaxRecords = 1
	id, events := r.claimKeys(one, "found")
	r.routes()
	r.setOrg("00DB")
	if err := r.Resume(r.ctx, "ada", store.Acceptance{Org: true}); err != nil {
		r.Fatalf("Resume(accept org) = %v", err)
	}
	if a, err := r.Attempt(r.ctx, id); err != nil || a.Orgs == r.facts().Orgs {
		r.Errorf("attempt of before = %+v, %v; want it told from later ones by %d", a, err, r.facts().Orgs)
	}
	r.settle(id, events, store.Outcome{Verdict: store.Again})
	r.claimKeys(spec(update))
	id, events = r.claimKeys(spec(matched), "busy", "waits", "found")
	for _, e := range events {
		if e.Target != "" {
			r.Errorf("%s goes to %s, which was found at the old org", e.Key, e.Target)
		}
	}
	r.settle(id, events, found)
	r.reopen()
	id, events = r.claimKeys(spec(update), "found", "busy", "waits")
	for _, e := range events {
		if e.Target != "003B" {
			r.Errorf("%s goes to %q; want what was found at the new org", e.Key, e.Target)
		}
	}
	r.settle(id, events, delivered("003B"))
	for key, other := range map[string]bool{"done": true, "found": false} {
		if rec := r.get(key); rec.OtherOrg != other {
			r.Errorf("%s: of another org = %v; want %v", key, rec.OtherOrg, other)
		}
	}
}

// orgSent: an attempt that sends nothing does not make a sending to the org of
// before one to the present org.
func orgSent(r *rig) {
	r.setOrg("00DA")
	r.put(ev("a", upsert, ""))
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Sent: true}, "a")
	r.setOrg("00DB")
	if err := r.Resume(r.ctx, "ada", store.Acceptance{Org: true}); err != nil {
		r.Fatalf("Resume(accept org) = %v", err)
	}
	for range 2 {
		if c := r.run(spec(upsert), store.Outcome{Verdict: store.Again, Sent: true, OtherOrg: true}, "a")[0]; !c.Sent || !c.OtherOrg {
			r.Errorf("claimed = sent %v, to another org %v; want both", c.Sent, c.OtherOrg)
		}
		r.reopen()
	}
	r.run(spec(upsert), store.Outcome{Verdict: store.Again, Sent: true}, "a")
	if c := r.run(spec(upsert), delivered("003A"), "a")[0]; !c.Sent || c.OtherOrg {
		r.Errorf("claimed = sent %v, to another org %v; want it sent to this one too", c.Sent, c.OtherOrg)
	}
}

func resumeIdle(r *rig) {
	before := r.facts()
	if err := r.Resume(r.ctx, "ada", store.Acceptance{}); err != nil {
		r.Errorf("Resume while nothing is paused = %v", err)
	}
	r.wantEqual("Facts", r.facts(), before)
}
