package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

// hookedOrg is the real client with a word of the test's before or in place of
// some calls.
type hookedOrg struct {
	dispatcher.Org
	create func(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error)
	upsert func(rows []salesforce.Row)
	job    func(spec salesforce.JobSpec)
	upload func(ctx context.Context, id string, csv []byte) error
	close  func(id string)
	ok     func(id string) error
}

func (o *hookedOrg) Create(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error) {
	if o.create != nil {
		return o.create(ctx, object, rows, h)
	}
	return o.Org.Create(ctx, object, rows, h)
}

func (o *hookedOrg) Upsert(ctx context.Context, object, field string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error) {
	if o.upsert != nil {
		o.upsert(rows)
	}
	return o.Org.Upsert(ctx, object, field, rows, h)
}

func (o *hookedOrg) CreateJob(ctx context.Context, spec salesforce.JobSpec) (salesforce.Job, error) {
	if o.job != nil {
		o.job(spec)
	}
	return o.Org.CreateJob(ctx, spec)
}

func (o *hookedOrg) UploadJob(ctx context.Context, id string, csv []byte) error {
	if o.upload != nil {
		return o.upload(ctx, id, csv)
	}
	return o.Org.UploadJob(ctx, id, csv)
}

func (o *hookedOrg) CloseJob(ctx context.Context, id string) (salesforce.Job, error) {
	if o.close != nil {
		o.close(id)
	}
	return o.Org.CloseJob(ctx, id)
}

func (o *hookedOrg) SuccessfulResults(ctx context.Context, id string, limit int, each func([]string, salesforce.ResultRow) error) error {
	if o.ok != nil {
		if err := o.ok(id); err != nil {
			return err
		}
	}
	return o.Org.SuccessfulResults(ctx, id, limit, each)
}

var createRoute = store.Route{Object: "Contact", Operation: "create"}

// errLost is what an answer looks like that never came.
var errLost = &salesforce.APIError{Code: salesforce.CodeTransport, Message: "no answer", Call: "test"}

// phaseOf is the phase on disk of the attempt that has a job, or of any attempt
// where no job is named.
func (r *rig) phaseOf(job string) (store.Phase, bool) {
	r.t.Helper()
	list, _, err := r.store.Attempts(context.Background(), 1000, "")
	if err != nil {
		r.t.Error(err)
	}
	for _, a := range list {
		if a.JobID == job && a.Phase < store.PhaseDone {
			return a.Phase, true
		}
	}
	return 0, false
}

// TestJob_EachStepIsStoredBeforeTheNextCall: T1 before N1, T2 before N2, T3
// before N3, whatever a crash between them would do.
func TestJob_EachStepIsStoredBeforeTheNextCall(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(5, createContact)...)
	want := func(call, job string, want store.Phase) {
		if got, ok := r.phaseOf(job); !ok || got != want {
			t.Errorf("at %s of job %q the store says %v (%v), want %v", call, job, got, ok, want)
		}
	}
	odd := &hookedOrg{Org: r.client()}
	odd.job = func(salesforce.JobSpec) { want("N1", "", store.PhaseClaimed) }
	odd.upload = func(ctx context.Context, id string, csv []byte) error {
		want("N2", id, store.PhaseOpen)
		return odd.Org.UploadJob(ctx, id, csv)
	}
	odd.close = func(id string) { want("N3", id, store.PhaseClosing) }
	odd.ok = func(id string) error { want("N5", id, store.PhaseProcessing); return nil }
	r.startWith(odd)
	r.delivers(5)
	r.oracle()
}

// TestREST_TheClaimIsStoredBeforeTheCall: T1 before N1 of a collections call.
func TestREST_TheClaimIsStoredBeforeTheCall(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(3, upsertContact)...)
	odd := &hookedOrg{Org: r.client()}
	odd.upsert = func(rows []salesforce.Row) {
		if n := len(r.list(store.Inflight)); n < len(rows) {
			t.Errorf("%d records are sent, %d are in flight", len(rows), n)
		}
	}
	r.startWith(odd)
	r.delivers(3)
	r.oracle()
}

// TestUpload_NeverTwiceToOneJob: the daemon went down between the upload and
// the next transaction.
func TestUpload_NeverTwiceToOneJob(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(5, createContact)...)
	uploads := make(map[string]int)
	odd := &hookedOrg{Org: r.client()}
	odd.upload = func(ctx context.Context, id string, csv []byte) error {
		if uploads[id]++; uploads[id] > 1 {
			t.Errorf("upload %d to job %s", uploads[id], id)
		}
		return odd.Org.UploadJob(ctx, id, csv)
	}
	r.dieAt("Advance", 2, odd) // the first one is T2
	r.startWith(odd)
	r.delivers(5)
	r.halt()
	if len(uploads) != 2 {
		t.Errorf("uploads %v, want one to each of two jobs", uploads)
	}
	r.oracle()
}

// dieAt runs a dispatcher until the n-th call of a method of the store, which
// does not reach it.
func (r *rig) dieAt(method string, n int, org dispatcher.Org) {
	r.t.Helper()
	var mu sync.Mutex
	nth := storetest.Nth(method, n, storetest.FencedBefore)
	r.outbox = &storetest.Faults{Outbox: r.store, Next: func(m string) storetest.Fault {
		mu.Lock()
		defer mu.Unlock()
		return nth(m)
	}}
	r.startWith(org)
	if err := <-r.done; !errors.Is(err, store.ErrFenced) {
		r.t.Fatalf("Run ended with %v", err)
	}
	r.outbox, r.stop = r.store, nil
}

// TestUpload_TheOldJobIsDeadBeforeTheNext: an upload without an answer, and an
// abort that got lost as well.
func TestUpload_TheOldJobIsDeadBeforeTheNext(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(5, createContact)...)
	r.faults(
		simulator.Fault{Match: simulator.Match{Kind: "job.upload", Nth: []int{1}}, Do: "drop_after"},
		simulator.Fault{Match: simulator.Match{Kind: "job.abort", Nth: []int{1}}, Do: "drop_before"},
	)
	var made []string
	odd := &hookedOrg{Org: r.client()}
	odd.upload = func(ctx context.Context, id string, csv []byte) error {
		made = append(made, id)
		return odd.Org.UploadJob(ctx, id, csv)
	}
	odd.job = func(salesforce.JobSpec) {
		for _, id := range made {
			if old, err := odd.Org.Job(context.Background(), id); err != nil || old.State != salesforce.StateAborted {
				t.Errorf("a new job is made while %s is %s, %v", id, old.State, err)
			}
		}
	}
	r.startWith(odd)
	r.delivers(5)
	r.halt()
	if len(made) != 2 {
		t.Errorf("%d jobs got data, want 2", len(made))
	}
	r.oracle()
}

// TestUpload_AJobThatSomebodyClosedGoesOn: what was thought to be thrown away
// runs; its events are its own.
func TestUpload_AJobThatSomebodyClosedGoesOn(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			r := newRig(t, quick())
			r.put(many(5, createContact)...)
			odd := &hookedOrg{Org: r.client()}
			odd.upload = func(ctx context.Context, id string, csv []byte) error {
				if err := odd.Org.UploadJob(ctx, id, csv); err != nil {
					return err
				}
				if _, err := odd.Org.CloseJob(ctx, id); err != nil || restarted {
					return err
				}
				return errLost
			}
			if restarted {
				r.dieAt("Advance", 2, odd)
				r.crashes() // even then it is not taken apart
			}
			r.startWith(odd)
			r.delivers(5)
			if calls := r.sim.Calls().Calls; calls["job.create"] != 1 {
				t.Errorf("%d jobs were made", calls["job.create"])
			}
			r.oracle()
		})
	}
}

// TestResultsGone: the job is there, what it did can't be asked any more (rule 6).
func TestResultsGone(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(5, createContact)...)
	gone := notFound(r)
	odd := &hookedOrg{Org: r.client(), ok: func(string) error { return gone }}
	r.startWith(odd)
	if c := r.drained(); c.Of(store.InDoubt) != 5 {
		t.Errorf("counts %v", c)
	}
	if calls := r.sim.Calls().Calls; calls["job.create"] != 1 {
		t.Errorf("%d jobs were made", calls["job.create"])
	}
	r.oracle()
}

// TestFewerAnswersThanRecords: nobody knows then whose is whose.
func TestFewerAnswersThanRecords(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	r := newRig(t, cfg)
	r.put(many(3, createContact)...)
	odd := &hookedOrg{Org: r.client()}
	odd.create = func(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error) {
		answers, err := odd.Org.Create(ctx, object, rows, h)
		return answers[:len(answers)-1], err
	}
	r.startWith(odd)
	if c := r.drained(); c.Of(store.InDoubt) != 3 {
		t.Errorf("counts %v", c)
	}
	r.oracle()
}

// TestRepeatable: describe decides which writes may be repeated, and so which
// way a few events go (a job where they can't be) and whether a create carries
// its key.
func TestRepeatable(t *testing.T) {
	key := func(name string, unique, sensitive bool) simulator.Field {
		return simulator.Field{Name: name, Type: "string", Length: 255, ExternalID: true, Unique: unique, CaseSensitive: sensitive}
	}
	for _, tt := range []struct {
		name    string
		field   simulator.Field
		upsert  store.Kind
		create  store.Kind
		carries bool
	}{
		{"unique, as it is written", key("K__c", true, true), store.KindREST, store.KindREST, true},
		{"unique, whatever its case", key("K__c", true, false), store.KindREST, store.KindBulk, false},
		{"not unique", key("K__c", false, true), store.KindBulk, store.KindBulk, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := quick()
			cfg.Objects["thing__c"] = dispatcher.ObjectConfig{KeyField: "K__c"}
			r := newRig(t, cfg)
			err := r.sim.SetSchema([]simulator.Object{{Name: "Thing__c", Fields: []simulator.Field{{Name: marker, Type: "string", Length: 80}, tt.field}}})
			if err != nil {
				t.Fatal(err)
			}
			r.put(
				`{"key":"upsert","object":"Thing__c","operation":"upsert","external_id":{"field":"K__c","value":"x"},"fields":{"Description":"upsert"}}`,
				`{"key":"create","object":"Thing__c","operation":"create","fields":{"Description":"create"}}`,
			)
			r.start()
			r.delivers(2)
			if got := r.get("upsert").Kind; got != tt.upsert {
				t.Errorf("the upsert went by %s, want %s", got, tt.upsert)
			}
			if got := r.get("create").Kind; got != tt.create {
				t.Errorf("the create went by %s, want %s", got, tt.create)
			}
			for _, row := range r.sim.Records("Thing__c") {
				if carried := row["K__c"] == "create"; row[marker] == "create" && carried != tt.carries {
					t.Errorf("the create's row is %v; carries its key: %v, want %v", row, carried, tt.carries)
				}
			}
			r.oracle()
		})
	}
}

// sentBefore leaves the creates that wait as an ambiguous call has left them:
// pending, and sent by rows that carried the key in a field.
func (r *rig) sentBefore(keyField string) {
	r.t.Helper()
	ctx := context.Background()
	term, err := r.store.Hold(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	_, claimed, err := r.store.Claim(ctx, term, "before", store.ClaimSpec{
		Route: createRoute, Kind: store.KindREST, MaxRecords: 10, MaxBytes: 1 << 20,
	})
	if err != nil || len(claimed) == 0 {
		r.t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	var back []store.Outcome
	for _, c := range claimed {
		back = append(back, store.Outcome{
			Seq: c.Seq, Verdict: store.Again, Sent: true, SentKey: keyField, Charge: true,
			Problem: &store.Problem{Code: salesforce.CodeTransport, Message: "no answer"},
		})
	}
	if err := r.store.Settle(ctx, term, "before", store.Settlement{Outcomes: back}); err != nil {
		r.t.Fatal(err)
	}
}

// TestKeyField_ChangedBetweenSendings: only the field that carried the key the
// first time would refuse a second row.
func TestKeyField_ChangedBetweenSendings(t *testing.T) {
	for _, tt := range []struct {
		name, was, is string
		want          store.State
	}{
		{"the same", "Outbox_Key__c", "Outbox_Key__c", store.Delivered},
		{"in another letter case", "Outbox_Key__c", "outbox_KEY__c", store.Delivered},
		{"another", "Other_Key__c", "Outbox_Key__c", store.InDoubt},
		{"none before", "", "Outbox_Key__c", store.InDoubt},
		{"none any more", "Outbox_Key__c", "", store.InDoubt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := quick()
			cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: tt.is}
			cfg.REST.LateWindow = time.Hour // nothing is verified meanwhile
			r := newRig(t, cfg)
			r.put(createContact(1))
			r.sentBefore(tt.was)
			r.start()
			r.drained()
			if x := r.get("c-0001"); x.State != tt.want {
				t.Errorf("%s %+v, want %s", x.State, x.LastError, tt.want)
			}
			if n := len(r.sim.Records("Contact")); tt.want == store.InDoubt && n > 0 {
				t.Errorf("%d records were created", n)
			}
		})
	}
}

// deletedAfter is an org where the first create takes effect, its answer is
// lost, and somebody deletes the record at once: its key is free again.
func deletedAfter(t *testing.T, r *rig) *hookedOrg {
	odd := &hookedOrg{Org: r.client()}
	var answered atomic.Bool
	odd.create = func(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error) {
		answers, err := odd.Org.Create(ctx, object, rows, h)
		if err != nil || answered.Swap(true) {
			return answers, err
		}
		var ids []salesforce.ID
		for _, a := range answers {
			ids = append(ids, a.ID)
		}
		if _, err := odd.Org.Delete(ctx, object, ids); err != nil {
			t.Error(err)
		}
		return nil, errLost
	}
	return odd
}

func keyedRig(t *testing.T) *rig {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	r := newRig(t, cfg)
	r.put(many(3, createContact)...)
	return r
}

func TestConfirm_ADeletedRecordIsDelivered(t *testing.T) {
	r := keyedRig(t)
	r.startWith(deletedAfter(t, r))
	r.delivers(3)
	if n := len(r.sim.Records("Contact")); n > 0 {
		t.Errorf("%d records were created anew", n)
	}
	r.oracle()
}

func TestConfirm_WhatCantBeLookedForIsNotSent(t *testing.T) {
	for _, f := range []simulator.Fault{
		{Do: "html", Status: 503},
		{Do: "status", Status: 400, Code: "MALFORMED_QUERY", Message: "unexpected token"},
	} {
		t.Run(f.Do, func(t *testing.T) {
			r := keyedRig(t)
			f.Match = simulator.Match{Kind: "query", Nth: []int{1}}
			r.faults(f)
			r.startWith(deletedAfter(t, r))
			r.delivers(3)
			r.oracle()
		})
	}
}

// TestNamed_WhatCantBeNamedIsNotGivenUp: a create that the org refuses as a
// duplicate of itself is delivered under the Id that a query tells, also where
// the first query gets no answer.
func TestNamed_WhatCantBeNamedIsNotGivenUp(t *testing.T) {
	r := keyedRig(t)
	odd := &hookedOrg{Org: r.client()}
	// The call arrives twice, as a network may have it; the second answer is told.
	odd.create = func(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error) {
		if _, err := odd.Org.Create(ctx, object, rows, h); err != nil {
			return nil, err
		}
		return odd.Org.Create(ctx, object, rows, h)
	}
	r.sentBefore("Outbox_Key__c")
	// The first query, before the call, finds nothing; the second is of no use.
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "query", Nth: []int{2}}, Do: "html", Status: 503})
	r.startWith(odd)
	r.delivers(3)
	if x := r.get("c-0001"); x.ID == "" {
		t.Errorf("delivered without its Id: %+v", x)
	}
	r.oracle()
}

// TestBreaker_ChargesNobody: an org that is away for three calls costs no
// attempt; the one that delivers is the first.
func TestBreaker_ChargesNobody(t *testing.T) {
	r := newRig(t, quick())
	r.put(upsertContact(1))
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.upsert", Nth: []int{1, 2, 3}}, Do: "status", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "busy"})
	r.start()
	r.delivers(1)
	if calls := r.sim.Calls().Calls["coll.upsert"]; calls != 4 {
		t.Errorf("%d calls, want 4", calls)
	}
	if x := r.get("u-0001"); x.Attempts != 1 {
		t.Errorf("it was charged %d attempts, want 1", x.Attempts)
	}
}

// TestRestart_FollowersWaitForTheLateWindow: the daemon went down with a call on
// its way. Its event is sent again at once, the next one of the lane is not.
func TestRestart_FollowersWaitForTheLateWindow(t *testing.T) {
	cfg := quick()
	cfg.REST.LateWindow = time.Hour
	r := newRig(t, cfg)
	line := func(key, value string) string {
		return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":%q},"fields":{"LastName":"x",%q:%q}}`, key, value, marker, key)
	}
	r.put(line("head", "a"), line("follower", "a"))
	r.underWay(store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}, 1)
	r.start()
	r.until("the head", func() bool { return r.get("head").State == store.Delivered })
	r.put(line("other", "b"))
	r.until("another lane", func() bool { return r.get("other").State == store.Delivered })
	if x := r.get("follower"); x.State != store.Pending || x.Attempts != 0 {
		t.Errorf("the follower is %s, want it to wait for the late window", x.State)
	}
}

// TestMatch_ARepeatAsksForNoOtherRecord: the write makes the match untrue, its
// answer is lost; the repeat goes to the record that was found.
func TestMatch_ARepeatAsksForNoOtherRecord(t *testing.T) {
	r := newRig(t, quick())
	r.put(upsertContact(1))
	r.start()
	r.delivers(1)
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.update", Nth: []int{1}}, Do: "drop_after"})
	before := r.sim.Calls().Calls["query"]
	r.put(`{"key":"m","object":"Contact","operation":"upsert","match":{"all":{"LastName":"L1"}},"fields":{"LastName":"Other","Description":"m"}}`)
	r.delivers(2)
	if rows := r.sim.Records("Contact"); len(rows) != 1 {
		t.Errorf("%d records, want the one that was found", len(rows))
	}
	if n := r.sim.Calls().Calls["query"] - before; n != 1 {
		t.Errorf("%d queries, want 1", n)
	}
}

// TestRowError_WordsInItPauseNobody: a trigger that quotes the code of a limit
// is that row's trouble.
func TestRowError_WordsInItPauseNobody(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(3, upsertContact)...)
	r.faults(simulator.Fault{
		Match: simulator.Match{Nth: []int{2}}, Do: "row_error", Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
		Message: "T: execution of BeforeInsert caused by: REQUEST_LIMIT_EXCEEDED, TotalRequests Limit exceeded",
	})
	r.start()
	r.delivers(3)
	if n := strings.Count(r.log.String(), "probed the org"); n > 0 {
		t.Errorf("the org was probed %d times over a trigger's words", n)
	}
	r.oracle()
}

// underWay leaves what waits in a call that may have been sent when the daemon
// went down.
func (r *rig) underWay(route store.Route, n int) {
	r.t.Helper()
	ctx := context.Background()
	term, err := r.store.Hold(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	spec := store.ClaimSpec{Route: route, Kind: store.KindREST, MaxRecords: 10, MaxBytes: 1 << 20}
	if r.cfg.Objects["contact"].KeyField != "" {
		spec.Note = "key_field Outbox_Key__c"
	}
	_, claimed, err := r.store.Claim(ctx, term, "under way", spec)
	if err != nil || len(claimed) != n {
		r.t.Fatalf("claimed %d of %d, %v", len(claimed), n, err)
	}
}

// TestRestart_WhatMayHaveBeenSentIsInDoubt: a plain create that was on its way
// when the daemon went down is never sent again (P7).
func TestRestart_WhatMayHaveBeenSentIsInDoubt(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	r := newRig(t, cfg)
	r.put(many(2, createContact)...)
	r.underWay(createRoute, 2)
	r.start()
	if c := r.drained(); c.Of(store.InDoubt) != 2 {
		t.Errorf("counts %v", c)
	}
	if effects := r.oracle(); len(effects) > 0 {
		t.Errorf("sent again: %v", effects)
	}
}

// crashes are starts that ended at once, as many as make a crash loop.
func (r *rig) crashes() {
	r.t.Helper()
	for range 3 {
		if _, err := r.store.Hold(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestNotConfigured_WhatMayHaveBeenSentStaysSent: a start without an org puts a
// call's events back; a later one with an org must not send them again.
func TestNotConfigured_WhatMayHaveBeenSentStaysSent(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	r := newRig(t, cfg)
	r.put(many(2, createContact)...)
	r.underWay(createRoute, 2)
	r.startWith(nil)
	r.until("they are put back", func() bool { return r.counts().Of(store.Pending) == 2 })
	r.halt()
	r.start()
	if c := r.drained(); c.Of(store.InDoubt) != 2 {
		t.Errorf("counts %v", c)
	}
	if effects := r.oracle(); len(effects) > 0 {
		t.Errorf("sent again: %v", effects)
	}
}

// TestCrashLoop_WhatMayHaveBeenSentStaysSent: the same of a call that is taken
// apart because it may be what takes the daemon down.
func TestCrashLoop_WhatMayHaveBeenSentStaysSent(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	r := newRig(t, cfg)
	r.put(many(2, createContact)...)
	r.underWay(createRoute, 2)
	r.crashes()
	r.start()
	if c := r.drained(); c.Of(store.InDoubt) != 2 {
		t.Errorf("counts %v", c)
	}
	if effects := r.oracle(); len(effects) > 0 {
		t.Errorf("sent again: %v", effects)
	}
}

// TestPause_WhatMayHaveBeenSentStaysSent: a start while the operator has paused
// gives a call's events back; then the call lands after all. Their keys are at
// the org: delivered, and not somebody else's.
func TestPause_WhatMayHaveBeenSentStaysSent(t *testing.T) {
	r := keyedRig(t)
	r.underWay(createRoute, 3)
	if err := r.store.Pause(t.Context(), "op"); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.until("they are put back", func() bool { return r.counts().Of(store.Pending) == 3 })
	c := r.client()
	for i := range 3 {
		fields := fmt.Sprintf(`{"LastName":"L","Outbox_Key__c":"c-%04d",%q:"c-%04d"}`, i, marker, i)
		if _, err := c.Create(t.Context(), "Contact", []salesforce.Row{{Fields: []byte(fields)}}, salesforce.Headers{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.store.Resume(t.Context(), "op", store.Acceptance{}); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.delivers(3)
	r.oracle()
}

// TestVerify_AbsenceFromAFieldThatIsNotUniqueProvesNothing: a second row would
// not be refused, so it stays in doubt however often it is looked for.
func TestVerify_AbsenceFromAFieldThatIsNotUniqueProvesNothing(t *testing.T) {
	r := newRig(t, quick())
	schema := simulator.DefaultSchema()
	for i := range schema {
		if schema[i].Name == "Contact" {
			schema[i].Fields = append(schema[i].Fields, simulator.Field{Name: "Loose__c", Type: "string", Length: 255, ExternalID: true, CaseSensitive: true})
		}
	}
	if err := r.sim.SetSchema(schema); err != nil {
		t.Fatal(err)
	}
	r.put(createContact(1))
	r.sentBefore("Loose__c")
	r.start()
	r.until("many looks, more than a late window apart", func() bool { return r.sim.Calls().Calls["query"] >= 5 })
	if x := r.get("c-0001"); x.State != store.InDoubt {
		t.Errorf("it is %s %+v, want in doubt", x.State, x.LastError)
	}
	r.oracle()
}

// TestREST_TheClaimNotesWhatCarriesTheKey: a start that finds a create unfinished
// knows by the note alone what its row carried.
func TestREST_TheClaimNotesWhatCarriesTheKey(t *testing.T) {
	r := keyedRig(t)
	odd := &hookedOrg{Org: r.client()}
	odd.create = func(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error) {
		list, _, err := r.store.Attempts(ctx, 10, "")
		if err != nil {
			t.Error(err)
		}
		for _, a := range list {
			if a.Phase == store.PhaseClaimed && a.Kind == store.KindREST && a.Note != "key_field Outbox_Key__c" {
				t.Errorf("a row that carries its key is sent, the claim notes %q", a.Note)
			}
		}
		return odd.Org.Create(ctx, object, rows, h)
	}
	r.startWith(odd)
	r.delivers(3)
	r.oracle()
}
