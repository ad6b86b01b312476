package dispatcher_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// traffic is one way of one operation.
type traffic struct {
	name   string
	n      int
	object dispatcher.ObjectConfig
	event  func(i int, id string) string // id: of a record made beforehand
	needs  bool                          // records beforehand
	kind   string                        // of the REST call
	job    bool
	doubt  bool // an ambiguous answer leaves it in doubt
}

func traffics() []traffic {
	keyed := dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	upsert := func(i int, _ string) string { return upsertContact(i) }
	create := func(i int, _ string) string { return createContact(i) }
	update := func(i int, id string) string {
		return fmt.Sprintf(`{"key":"w-%d","object":"Contact","operation":"update","id":%q,"fields":{"FirstName":"F",%q:"w-%d"}}`, i, id, marker, i)
	}
	remove := func(i int, id string) string {
		return fmt.Sprintf(`{"key":"d-%d","object":"Contact","operation":"delete","id":%q}`, i, id)
	}
	return []traffic{
		{name: "upsert by job", n: 40, event: upsert, job: true},
		{name: "create by job", n: 40, event: create, job: true},
		{name: "create with key by job", n: 40, event: create, object: keyed, job: true},
		{name: "update by job", n: 40, event: update, needs: true, job: true},
		{name: "delete by job", n: 40, event: remove, needs: true, job: true},
		{name: "upsert by REST", n: 8, event: upsert, kind: "coll.upsert"},
		{name: "create by REST", n: 8, event: create, object: dispatcher.ObjectConfig{CreateREST: true}, kind: "coll.create", doubt: true},
		{name: "create with key by REST", n: 8, event: create, object: keyed, kind: "coll.create"},
		{name: "update by REST", n: 8, event: update, needs: true, kind: "coll.update"},
		{name: "delete by REST", n: 8, event: remove, needs: true, kind: "coll.delete"},
	}
}

// prepare makes the rig and accepts the events.
func (tr traffic) prepare(t *testing.T) *rig {
	t.Helper()
	cfg := quick()
	r := newRig(t, cfg)
	ids := make([]string, tr.n)
	if tr.needs {
		r.put(many(tr.n, func(i int) string {
			return fmt.Sprintf(`{"key":"was-%d","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"W-%d"},"fields":{"LastName":"L%d"}}`, i, i, i)
		})...)
		r.start()
		r.drained()
		r.halt()
		for i := range ids {
			ids[i] = r.get(fmt.Sprintf("was-%d", i)).ID
		}
	}
	r.cfg.Objects["contact"] = tr.object
	r.put(many(tr.n, func(i int) string { return tr.event(i, ids[i]) })...)
	return r
}

// settled waits for the end and checks that every event got its one effect, or
// is in doubt where that is allowed.
func (tr traffic) settled(r *rig) {
	r.t.Helper()
	c := r.drained()
	open := int64(0)
	if tr.doubt {
		open = c.Of(store.InDoubt)
	}
	if c.Of(store.Delivered)+open != c.Sum() {
		r.t.Errorf("counts %v; stuck %v", c, r.stuck())
	}
	r.effects(tr)
}

// effects is the oracle for events beside those that were only there beforehand.
func (r *rig) effects(tr traffic) {
	r.t.Helper()
	if !tr.needs {
		r.oracle()
		return
	}
	counts := make(map[string]int)
	for _, e := range r.sim.Effects() {
		if e.Operation != "create" {
			counts[e.Operation+e.ID]++
		}
	}
	for key, n := range counts {
		if n != 1 {
			r.t.Errorf("%s took effect %d times", key, n)
		}
	}
	if len(counts) != tr.n {
		r.t.Errorf("%d effects, want %d", len(counts), tr.n)
	}
}

// TestFaults loses, garbles and refuses each call of each way once and twice.
func TestFaults(t *testing.T) {
	faults := []simulator.Fault{
		{Do: "drop_before"},
		{Do: "drop_after"},
		{Do: "html", Status: 503},
		{Do: "html_after", Status: 502},
		{Do: "error_after", Status: 500, Code: "UNKNOWN_EXCEPTION"},
		{Do: "expire_token"},
		{Do: "cut", Part: 0.5},
		{Do: "status", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "busy"},
		{Do: "status", Status: 500, Code: "UNKNOWN_EXCEPTION", Message: "ErrorId: 1"},
	}
	for _, tr := range traffics() {
		kinds := []string{tr.kind}
		if tr.job {
			kinds = []string{"job.create", "job.upload", "job.close", "job.get", "job.ok", "job.failed"}
		}
		for _, kind := range kinds {
			for _, f := range faults {
				for _, nth := range [][]int{{1}, {1, 2}} {
					if len(nth) == 2 && f.Do != "drop_after" {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%s%d/%d", tr.name, kind, f.Do, f.Status, len(nth)), func(t *testing.T) {
						t.Parallel()
						r := tr.prepare(t)
						f := f
						f.Match = simulator.Match{Kind: kind, Nth: nth}
						r.faults(f)
						r.start()
						tr.settled(r)
					})
				}
			}
		}
	}
}

// TestFaults_DescribeAndQuery: what is only read never hurts.
func TestFaults_DescribeAndQuery(t *testing.T) {
	for _, kind := range []string{"token", "versions", "describe", "query"} {
		for _, f := range []simulator.Fault{{Do: "drop_before"}, {Do: "drop_after"}, {Do: "html", Status: 503}, {Do: "cut", Part: 0.5}, {Do: "status", Status: 500, Code: "UNKNOWN_EXCEPTION"}} {
			t.Run(kind+"/"+f.Do, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, quick())
				r.put(append(many(5, upsertContact), createContact(1),
					`{"key":"m","object":"Contact","operation":"upsert","match":{"all":{"LastName":"M"}},"fields":{"LastName":"M","Description":"m"}}`)...)
				f.Match = simulator.Match{Kind: kind, Nth: []int{1, 2, 3}}
				r.faults(f)
				r.start()
				r.delivers(7)
				r.oracle()
			})
		}
	}
}

// TestAmbiguousCreate_IsInDoubt: what a plain REST create left open is shown,
// never sent again, until a person resolves it (P7).
func TestAmbiguousCreate_IsInDoubt(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	r := newRig(t, cfg)
	r.put(many(3, createContact)...)
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.create", Nth: []int{1}}, Do: "drop_after"})
	r.start()
	if c := r.drained(); c.Of(store.InDoubt) != 3 {
		t.Fatalf("counts %v", c)
	}
	if got := r.oracle(); len(got) != 3 {
		t.Errorf("effects %v", got)
	}
	if x := r.get("c-0001"); x.LastError == nil || x.LastError.Code != "TRANSPORT" || x.Reason != store.ReasonInDoubt {
		t.Errorf("%+v", x)
	}
	r.restart()
	r.put(upsertContact(1))
	r.until("delivered", func() bool { return r.get("u-0001").State == store.Delivered })
	if calls := r.sim.Calls().Calls["coll.create"]; calls != 1 {
		t.Errorf("%d creates were sent", calls)
	}
}

// TestZombie: a call that we gave up on lands after its resend; no follower of
// the lane may have been sent before (P4, the late window).
func TestZombie(t *testing.T) {
	cfg := quick()
	cfg.REST.LateWindow = 2500 * time.Millisecond
	r := newRig(t, cfg)
	line := func(round int) string {
		return fmt.Sprintf(`{"key":"r%d-a","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"Z"},"fields":{"LastName":"round %d",%q:"r%d-a"}}`, round, round, marker, round)
	}
	r.put(line(1), line(2))
	// Held longer than the client waits (1 s), and longer than the resend takes.
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.upsert", Nth: []int{1}}, Do: "delay_before", Delay: 2 * time.Second})
	r.start()
	r.delivers(2)
	r.inOrder()
	if row := r.sim.Records("Contact")[0]; row["LastName"] != "round 2" {
		t.Errorf("the late echo of the first landed on the second: %v", row["LastName"])
	}
}

// TestFailedJob_PartIsDelivered: what a failed job had processed stays, the rest
// goes again.
func TestFailedJob_PartIsDelivered(t *testing.T) {
	for _, tr := range traffics() {
		if !tr.job {
			continue
		}
		for _, part := range []float64{0, 0.3, 1} {
			t.Run(fmt.Sprintf("%s/%v", tr.name, part), func(t *testing.T) {
				t.Parallel()
				r := tr.prepare(t)
				r.faults(simulator.Fault{Match: simulator.Match{Nth: []int{1}}, Do: "fail_job", Part: part})
				r.start()
				tr.settled(r)
			})
		}
	}
}

// TestFailedJob_OverLocksIsNoRowsFault: it is tried again as often as may be, alone too.
func TestFailedJob_OverLocksIsNoRowsFault(t *testing.T) {
	for _, tr := range traffics() {
		if !tr.job {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			r := tr.prepare(t)
			r.faults(simulator.Fault{
				Match: simulator.Match{Times: 12}, Do: "fail_job",
				Code: "TooManyLockFailure", Message: "Too many lock failure 200 Trying again later.",
			})
			r.start()
			tr.settled(r)
		})
	}
}

// TestLostRow: a row that was processed and is in none of the results (rule 4).
func TestLostRow(t *testing.T) {
	for _, tr := range traffics() {
		if !tr.job {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			r := tr.prepare(t)
			r.faults(simulator.Fault{Match: simulator.Match{Nth: []int{3}}, Do: "lose_row"})
			r.start()
			if tr.name == "create by job" {
				if c := r.drained(); c.Of(store.InDoubt) != 1 || c.Of(store.Delivered) != int64(tr.n-1) {
					t.Errorf("counts %v", c)
				}
				r.oracle()
				return
			}
			tr.settled(r)
		})
	}
}

// TestRowFaults: locks and refused rows are each record's own.
func TestRowFaults(t *testing.T) {
	for _, tr := range traffics() {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			r := tr.prepare(t)
			r.faults(
				simulator.Fault{Match: simulator.Match{Nth: []int{2, 3}}, Do: "lock"},
				simulator.Fault{Match: simulator.Match{Nth: []int{5}}, Do: "row_error", Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "no: thanks, --"},
			)
			r.start()
			c := r.drained()
			if c.Of(store.Failed) != 1 || c.Of(store.Delivered) != c.Sum()-1 {
				t.Fatalf("counts %v; stuck %v", c, r.stuck())
			}
			page, err := r.store.Stuck(t.Context(), store.Filter{})
			if err != nil || len(page.Records) != 1 {
				t.Fatalf("stuck %v, %v", page, err)
			}
			if x := page.Records[0].LastError; x.Code != "FIELD_CUSTOM_VALIDATION_EXCEPTION" || x.Message != "no: thanks, --" {
				t.Errorf("%+v", x)
			}
		})
	}
}

// TestBreaker_OrgDown: while the org is away nothing is charged, and afterwards
// all is delivered.
func TestBreaker_OrgDown(t *testing.T) {
	for _, tt := range []struct {
		name   string
		f      simulator.Fault
		reason dispatcher.BreakerReason
	}{
		{"maintenance page", simulator.Fault{Do: "html", Status: 503}, dispatcher.ReasonUnavailable},
		{"unavailable", simulator.Fault{Do: "status", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "busy"}, dispatcher.ReasonUnavailable},
		{"daily limit", simulator.Fault{Do: "limit"}, dispatcher.ReasonLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, quick())
			r.start()
			r.put(upsertContact(0))
			r.delivers(1)
			tt.f.Match = simulator.Match{Path: "^/services/data/v[0-9.]+/"}
			r.faults(tt.f)
			r.put(many(30, func(i int) string { return upsertContact(i + 1) })...)
			r.until("breaker opens", func() bool {
				s := r.d.Breaker()
				return s.State == dispatcher.BreakerOpen && s.Reason == tt.reason && !s.NextProbe.IsZero()
			})
			probes := r.sim.Calls().Calls["limits"]
			r.until("it probes", func() bool { return r.sim.Calls().Calls["limits"] > probes+2 })
			if x := r.get("u-0007"); x.State != store.Pending && x.State != store.Inflight {
				t.Errorf("%+v", x)
			}
			r.faults()
			r.delivers(31)
			for i := range 31 {
				if x := r.get(fmt.Sprintf("u-%04d", i)); x.Attempts > 1+3 {
					t.Errorf("%s was charged %d attempts", x.Key, x.Attempts-1)
				}
			}
			r.until("breaker closes", func() bool { return r.d.Breaker().State == dispatcher.BreakerClosed })
			r.oracle()
		})
	}
}

// TestBreaker_LoginRefused opens with the reason, and a mended login closes it.
func TestBreaker_LoginRefused(t *testing.T) {
	r := newRig(t, quick())
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "token"}, Do: "status", Status: 400, Message: `{"error":"invalid_grant","error_description":"user hasn't approved this consumer"}`})
	r.put(upsertContact(0), createContact(0))
	r.start()
	r.until("breaker opens", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonLogin })
	if c := r.counts(); c.Of(store.Pending)+c.Of(store.Inflight) != 2 { // one may be on its way back
		t.Errorf("counts %v", c)
	}
	r.faults()
	r.delivers(2)
	for _, key := range []string{"u-0000", "c-0000"} {
		if x := r.get(key); x.Attempts > 1 {
			t.Errorf("%s was charged %d attempts", key, x.Attempts)
		}
	}
}

// TestPause: nothing is sent while paused, jobs under way are settled.
func TestPause(t *testing.T) {
	r := newRig(t, quick())
	ctx := t.Context()
	if err := r.store.Pause(ctx, "op"); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.put(upsertContact(0), createContact(0))
	r.until("paused", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonOperator })
	if err := r.store.Resume(ctx, "op", store.Acceptance{}); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.delivers(2)
	r.faults(simulator.Fault{Do: "slow_job", Delay: 200 * time.Millisecond})
	r.put(createContact(1))
	r.until("job is on its way", func() bool { return r.sim.Calls().Calls["job.close"] == 2 })
	if err := r.store.Pause(ctx, "op"); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.until("paused", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonOperator })
	r.put(createContact(2))
	r.until("the job is settled", func() bool { return r.get("c-0001").State == store.Delivered })
	if x := r.get("c-0002"); x.State != store.Pending {
		t.Errorf("sent while paused: %+v", x)
	}
}

// TestOtherOrg: a login that leads elsewhere sends nothing until the operator
// accepts it (I8).
func TestOtherOrg(t *testing.T) {
	r := newRig(t, quick())
	r.put(upsertContact(0))
	r.start()
	r.delivers(1)
	effects := len(r.sim.Effects())
	if err := r.sim.SetOrgID("00D000000000999"); err != nil {
		t.Fatal(err)
	}
	r.sim.ExpireTokens()
	r.put(upsertContact(1))
	r.until("org change is seen", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonOrgChanged })
	r.restart()
	r.until("org change is seen after a restart", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonOrgChanged })
	if n := len(r.sim.Effects()); n != effects {
		t.Errorf("%d writes reached another org", n-effects)
	}
	if err := r.store.Resume(t.Context(), "op", store.Acceptance{Org: true}); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.delivers(2)
}

// TestOtherOrg_WhatIsOfTheOldOne: jobs and Ids of the org before are not used at
// the one that was accepted.
func TestOtherOrg_WhatIsOfTheOldOne(t *testing.T) {
	r := newRig(t, quick())
	r.put(upsertContact(0))
	r.start()
	r.delivers(1)
	r.faults(simulator.Fault{Do: "slow_job", Delay: time.Hour})
	r.put(createContact(1))
	r.until("a job is under way", func() bool { return r.sim.Calls().Calls["job.close"] == 1 })
	if err := r.sim.SetOrgID("00D000000000999"); err != nil {
		t.Fatal(err)
	}
	r.sim.ExpireTokens()
	r.until("org change is seen", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonOrgChanged })
	r.put(upsertContact(2), `{"key":"child","object":"Contact","operation":"create","fields":{"LastName":"C","ReportsToId":{"$id_of":"u-0000"}}}`)
	looks := r.sim.Calls().Calls["job.get"]
	if err := r.store.Resume(t.Context(), "op", store.Acceptance{Org: true}); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.drained()
	if n := r.sim.Calls().Calls["job.get"]; n != looks {
		t.Errorf("asked %d times for a job of the old org", n-looks)
	}
	if x := r.get("c-0001"); x.State != store.InDoubt {
		t.Errorf("a create that was under way is %s; want in doubt", x.State)
	}
	if x := r.get("u-0002"); x.State != store.Delivered {
		t.Errorf("an upsert is %s %+v; want delivered", x.State, x.LastError)
	}
	x := r.get("child")
	if x.State != store.Failed || !strings.Contains(x.LastError.Message, "before") {
		t.Errorf("a child of a record at the old org is %s %+v; want failed", x.State, x.LastError)
	}
}

// TestOtherOrg_CallsOfTheOldOne: that the org before had no calls left holds nothing up at the one that was accepted.
func TestOtherOrg_CallsOfTheOldOne(t *testing.T) {
	cfg := quick()
	r := newRig(t, cfg)
	says := r.counting()
	says("1000/1000")
	r.put(upsertContact(0))
	r.start()
	r.until("budget is used up", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonBudget })
	if err := r.sim.SetOrgID("00D000000000999"); err != nil {
		t.Fatal(err)
	}
	r.sim.ExpireTokens()
	cfg.Budget.Reserve = 0.1
	r.d.Configure(cfg) // it looks whether that is enough
	r.until("org change is seen", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonOrgChanged })
	says("0/1000") // half of them at once, the rest at one in two minutes
	if err := r.store.Resume(t.Context(), "op", store.Acceptance{Org: true}); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.delivers(1)
}

// counting has the org say what it is told of the calls that are used.
func (r *rig) counting() (says func(usage string)) {
	var usage atomic.Value
	org := r.sim.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		answer := httptest.NewRecorder()
		org.ServeHTTP(answer, req)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("Sforce-Limit-Info", "api-usage="+usage.Load().(string))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	r.t.Cleanup(s.Close)
	r.url = s.URL
	return func(u string) { usage.Store(u) }
}

// TestBudget_ALargerReserve: where a reload leaves no calls it is told, and tried again.
func TestBudget_ALargerReserve(t *testing.T) {
	cfg := quick()
	r := newRig(t, cfg)
	r.counting()("500/1000")
	r.put(upsertContact(0))
	r.start()
	r.delivers(1)
	cfg.Budget.Reserve = 0.9
	r.d.Configure(cfg)
	r.put(upsertContact(1))
	r.until("budget is used up", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonBudget })
	cfg.Budget.Reserve = 0.1
	r.d.Configure(cfg)
	r.delivers(2)
}

// TestNotConfigured keeps events and sends nothing.
func TestNotConfigured(t *testing.T) {
	r := newRig(t, quick())
	r.put(upsertContact(0))
	r.startWith(nil)
	r.until("paused", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonNotConfigured })
	if x := r.get("u-0000"); x.State != store.Pending {
		t.Errorf("%+v", x)
	}
	r.halt()
	r.start()
	r.delivers(1)
}

// TestBudget: with the reserve reached only what is under way goes on.
func TestBudget(t *testing.T) {
	cfg := quick()
	cfg.Budget.Reserve = 0.9999999 // of a million calls nothing is ours
	r := newRig(t, cfg)
	r.put(upsertContact(0))
	r.start()
	r.until("budget is used up", func() bool { return r.d.Breaker().Reason == dispatcher.ReasonBudget })
	if b, ok := r.d.Budget(); !ok || b.Max != simulator.DefaultAPILimit || b.Left() > 0 {
		t.Errorf("budget %+v, %v", b, ok)
	}
}

func TestRestart_FromEveryStep(t *testing.T) {
	steps := []string{"job.create", "job.upload", "job.close", "job.get", "job.ok", "job.failed"}
	for _, tr := range traffics() {
		kinds := []string{tr.kind}
		if tr.job {
			kinds = steps
		}
		for _, kind := range kinds {
			for _, do := range []string{"delay_before", "delay_after"} {
				t.Run(tr.name+"/"+kind+"/"+do, func(t *testing.T) {
					t.Parallel()
					r := tr.prepare(t)
					r.cfg.REST.Grace = time.Nanosecond // as abrupt as it gets
					before := r.sim.Calls().Calls[kind]
					r.faults(simulator.Fault{Match: simulator.Match{Kind: kind, Nth: []int{1}}, Do: do, Delay: 100 * time.Millisecond})
					r.start()
					r.until(kind, func() bool { return r.sim.Calls().Calls[kind] > before })
					r.restart()
					tr.settled(r)
					if calls := r.sim.Calls().Calls; calls["job.upload"] > calls["job.create"] {
						t.Errorf("%d uploads to %d jobs", calls["job.upload"], calls["job.create"])
					}
				})
			}
		}
	}
}

// TestResults_Short: a body that ends at a line's end looks whole; the counts tell.
func TestResults_Short(t *testing.T) {
	for _, kind := range []string{"job.ok", "job.failed"} {
		t.Run(kind, func(t *testing.T) {
			tr := traffics()[1]
			r := tr.prepare(t)
			r.faults(
				simulator.Fault{Match: simulator.Match{Kind: kind, Nth: []int{1, 2}}, Do: "short", Part: 0.5},
				simulator.Fault{Match: simulator.Match{Nth: []int{4, 5, 6, 7}}, Do: "row_error", Code: "STRING_TOO_LONG", Message: "too long"},
			)
			r.start()
			c := r.drained()
			if c.Of(store.Failed) != 4 || c.Of(store.Delivered) != int64(tr.n-4) {
				t.Errorf("counts %v; stuck %v", c, r.stuck())
			}
			r.oracle()
		})
	}
}

func TestExpiredAndLimits(t *testing.T) {
	cfg := quick()
	cfg.Retry.MaxAttempts = 3
	r := newRig(t, cfg)
	r.put(upsertContact(1))
	r.faults(simulator.Fault{Do: "row_error", Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access"})
	r.start()
	r.drained()
	if x := r.get("u-0001"); x.State != store.Failed || x.Attempts != 3 || x.LastError.Code != "UNABLE_TO_LOCK_ROW" {
		t.Errorf("%s after %d attempts: %+v", x.State, x.Attempts, x.LastError)
	}
}

func TestFlush(t *testing.T) {
	cfg := quick()
	cfg.Bulk.MaxWait = time.Hour
	r := newRig(t, cfg)
	r.put(createContact(1))
	r.start()
	r.put(upsertContact(1)) // seen, so that the create has been looked at
	r.until("the upsert", func() bool { return r.get("u-0001").State == store.Delivered })
	if x := r.get("c-0001"); x.State != store.Pending {
		t.Fatalf("a create did not wait for company: %s", x.State)
	}
	r.d.Flush()
	r.delivers(2)
	if !slices.Contains([]dispatcher.BreakerState{dispatcher.BreakerClosed}, r.d.Breaker().State) {
		t.Errorf("breaker %+v", r.d.Breaker())
	}
}
