package storetest

import (
	"github.com/outboxd/outboxd/store"
)

var factRules = []rule{
	{name: "Pause_HoldsOverReopening", test: pauseReopened},
	{name: "SetOrg_TheFirstIsRecorded", test: orgRecorded},
	{name: "SetOrg_AnotherNeedsTheOperator", test: orgChanged},
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

func resumeIdle(r *rig) {
	before := r.facts()
	if err := r.Resume(r.ctx, "ada", store.Acceptance{}); err != nil {
		r.Errorf("Resume while nothing is paused = %v", err)
	}
	r.wantEqual("Facts", r.facts(), before)
}
