package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/outboxd/outboxd/store"
)

// repeatRules: whatever fault a call meets, repeating it with the same
// arguments ends in the state that one call without a fault ends in.
var repeatRules = []rule{
	{name: "Repeat_Put", test: repeats("Put", nil, func(r *rig, o Outbox) error {
		_, err := o.Put(r.ctx, []store.Event{ev("n1", upsert, "contact/9"), ev("n2", account, "")}, store.PutOptions{})
		return err
	})},
	{name: "Repeat_PutAtomic", test: repeats("Put", nil, func(r *rig, o Outbox) error {
		_, err := o.Put(r.ctx, []store.Event{ev("n1", upsert, "contact/9"), ev("n2", account, "")}, store.PutOptions{Atomic: true})
		return err
	})},
	{name: "Repeat_Hold", test: repeats("Hold", nil, func(r *rig, o Outbox) error {
		t, err := o.Hold(r.ctx)
		if err == nil {
			r.term = t
		}
		return err
	})},
	{name: "Repeat_Claim", test: repeats("Claim", nil, func(r *rig, o Outbox) error {
		_, events, err := o.Claim(r.ctx, r.term, "the attempt", store.ClaimSpec{Route: upsert, Kind: store.KindREST, MaxRecords: 2, MaxBytes: 1 << 20})
		if err == nil && len(events) != 2 {
			r.Errorf("Claim = %v; want two events", claimedKeys(events))
		}
		return err
	})},
	{name: "Repeat_Advance", test: repeats("Advance", putAJob, func(r *rig, o Outbox) error {
		return o.Advance(r.ctx, r.term, jobID, store.PhaseClaimed, store.PhaseOpen, store.PhaseData{JobID: "750A"})
	})},
	{name: "Repeat_Settle", test: repeats("Settle", putAJob, func(r *rig, o Outbox) error {
		outcomes := []store.Outcome{delivered("003A"), failed("X"), doubtful(), {Verdict: store.Again, Charge: true, Delay: time.Minute, Hold: lateWindow}}
		for i := range outcomes {
			outcomes[i].Seq = r.get(fmt.Sprintf("job%d", i)).Seq
		}
		return o.Settle(r.ctx, r.term, jobID, store.Settlement{Outcomes: outcomes, Note: "done"})
	})},
	{name: "Repeat_Release", test: repeats("Release", putAJob, func(r *rig, o Outbox) error {
		return o.Release(r.ctx, r.term, jobID, "gone")
	})},
	{name: "Repeat_Sweep", test: repeats("Sweep", letTimePass, func(r *rig, o Outbox) error {
		for {
			if more, err := o.Sweep(r.ctx, r.term); err != nil || !more {
				return err
			}
		}
	})},
	{name: "Repeat_Verify", test: repeats("Verify", nil, func(r *rig, o Outbox) error {
		err := o.Verify(r.ctx, r.term, r.get("doubt").Seq, store.Resolution{Delivered: true, ID: "003B"})
		if errors.Is(err, store.ErrTransition) {
			return nil // it has been done
		}
		return err
	})},
	{name: "Repeat_Retry", test: repeats("Retry", nil, func(r *rig, o Outbox) error {
		_, err := o.Retry(r.ctx, "fail", store.Move{ID: "move", By: "ada"}, &store.Edit{Payload: []byte(`{}`), Old: []byte(`{"a":1}`), Rev: r.rev})
		return err
	})},
	{name: "Repeat_Drop", test: repeats("Drop", nil, func(r *rig, o Outbox) error {
		_, err := o.Drop(r.ctx, "fail", store.Move{ID: "move", By: "ada"})
		return err
	})},
	{name: "Repeat_Resolve", test: repeats("Resolve", nil, func(r *rig, o Outbox) error {
		_, err := o.Resolve(r.ctx, "doubt", store.Move{ID: "move", By: "ada"}, store.Resolution{})
		return err
	})},
	{name: "Repeat_RetryMany", test: repeats("RetryMany", nil, func(r *rig, o Outbox) error {
		_, _, err := o.RetryMany(r.ctx, store.Filter{}, store.Move{ID: "move", By: "ada"}, false)
		return err
	})},
	{name: "Repeat_DropMany", test: repeats("DropMany", nil, func(r *rig, o Outbox) error {
		_, _, err := o.DropMany(r.ctx, store.Filter{Reason: store.ReasonFailed}, store.Move{ID: "move", By: "ada"}, false)
		return err
	})},
	{name: "Repeat_Pause", test: repeats("Pause", nil, func(r *rig, o Outbox) error { return o.Pause(r.ctx, "ada") })},
	{name: "Repeat_Resume", test: repeats("Resume", meetAnotherOrg, func(r *rig, o Outbox) error {
		return o.Resume(r.ctx, "ada", store.Acceptance{Org: true})
	})},
	{name: "Repeat_SetOrg", test: repeats("SetOrg", nil, func(r *rig, o Outbox) error {
		_, err := o.SetOrg(r.ctx, "00DA", "https://00DA.example")
		return err
	})},
}

const jobID store.AttemptID = "the job"

func putAJob(r *rig) {
	var events []store.Event
	for i := range 4 {
		events = append(events, ev(fmt.Sprintf("job%d", i), create, fmt.Sprintf("contact/job%d", i)))
	}
	r.put(events...)
	if _, _, err := r.Claim(r.ctx, r.term, jobID, bulk(create)); err != nil {
		r.Fatalf("Claim = %v", err)
	}
}

func letTimePass(r *rig) {
	e := ev("expiring", account, "")
	e.ExpiresAt = r.clock.Wall().Add(time.Hour)
	r.put(e)
	r.clock.Advance(2 * time.Hour) // within the window: receipts may leave over several sweeps
}

func meetAnotherOrg(r *rig) {
	r.setOrg("00DA")
	r.setOrg("00DB")
	if err := r.Pause(r.ctx, "ada"); err != nil {
		r.Fatalf("Pause = %v", err)
	}
}

// repeats makes the test of one method: each fault, then the same call again.
func repeats(method string, prepare func(*rig), call func(*rig, Outbox) error) func(*rig) {
	return func(r *rig) {
		setUp(r, prepare)
		if err := call(r, r.Outbox); err != nil {
			r.Fatalf("%s without a fault = %v", method, err)
		}
		want := r.picture()
		for _, f := range []Fault{Unavailable, UnknownBefore, UnknownApplied, FencedBefore, FencedApplied} {
			other := newRig(r.tb, r.open)
			setUp(other, prepare)
			before := other.picture()
			faulty := &Faults{Outbox: other.Outbox, Next: Nth(method, 1, f)}
			other.wantErr(method, call(other, faulty), f.Err)
			if d := cmp.Diff(before, other.picture()); !f.Applied && d != "" {
				r.Errorf("%s changed something though it was not applied:\n%s", method, d)
			}
			if errors.Is(f.Err, store.ErrFenced) {
				other.hold()
			}
			for range 2 {
				if err := call(other, faulty); err != nil {
					r.Errorf("%s repeated after %+v = %v", method, f, err)
				}
			}
			if d := cmp.Diff(want, other.picture()); d != "" {
				r.Errorf("%s repeated after %+v ends elsewhere (-once +repeated):\n%s", method, f, d)
			}
		}
	}
}

// setUp puts an event of each kind that the calls need.
func setUp(r *rig, prepare func(*rig)) {
	r.put(ev("fail", account, ""), ev("doubt", account, ""))
	id, events := r.claim(spec(account))
	for _, c := range events {
		o := failed("X")
		if c.Key == "doubt" {
			o = doubtful()
		}
		r.settle(id, []store.Claimed{c}, o)
	}
	r.put(ev("done", account, ""))
	r.run(spec(account), delivered("001A"), "done")
	r.put(ev("p1", upsert, "contact/1"), ev("p2", upsert, "contact/1"), ev("p3", upsert, "contact/3"))
	if prepare != nil {
		prepare(r)
	}
	r.rev = r.get("fail").Rev
}

// picture is all that can be asked of an outbox, without what two outboxes of
// the same history may differ in: seqs, cursors, and fractions of times.
type picture struct {
	Records  []store.Record
	Stuck    map[string]store.Reason
	Counts   store.Counts
	Accepted int64
	Forgot   int64
	Attempts []store.Attempt
	Feed     []store.OutcomeEntry
	Facts    store.Facts
}

func (r *rig) picture() (p picture) {
	r.Helper()
	s := r.status()
	p.Counts, p.Accepted, p.Forgot, p.Facts = s.Counts, s.Accepted, s.Forgotten, s.Facts
	p.Facts.PausedAt = p.Facts.PausedAt.Round(slack)
	p.Stuck = map[string]store.Reason{}
	all, _ := r.stuck(store.Filter{})
	for _, x := range all {
		p.Stuck[x.Key] = x.Reason
	}
	for _, x := range r.list(store.Filter{Payload: true}) {
		x.Seq = 0
		for _, at := range []*time.Time{&x.AcceptedAt, &x.SentAt, &x.EndedAt, &x.NextAt, &x.Since} {
			*at = at.Round(slack)
		}
		for i := range x.History {
			x.History[i].At = x.History[i].At.Round(slack)
		}
		if x.LastError != nil {
			e := *x.LastError
			e.At = e.At.Round(slack)
			x.LastError = &e
		}
		p.Records = append(p.Records, x)
	}
	as, _, err := r.Attempts(r.ctx, 100, "")
	if err != nil {
		r.Fatalf("Attempts = %v", err)
	}
	for _, a := range as {
		a.StartedAt, a.EndedAt = a.StartedAt.Round(slack), a.EndedAt.Round(slack)
		a.Starts, a.Crashes = 0, 0 // a new term may count as one
		p.Attempts = append(p.Attempts, a)
	}
	p.Feed, _ = r.outcomes("")
	for i := range p.Feed {
		p.Feed[i].Seq, p.Feed[i].Cursor, p.Feed[i].At = 0, "", p.Feed[i].At.Round(slack)
	}
	return p
}
