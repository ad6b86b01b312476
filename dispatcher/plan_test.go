package dispatcher

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outboxd/outboxd/store"
)

func route(operation string) store.Route { return store.Route{Object: "Contact", Operation: operation} }

func TestWaysOf(t *testing.T) {
	yes := true
	upsert := store.Route{Object: "Contact", Operation: opUpsert, ExternalID: "Shop_Id__c"}
	for _, tt := range []struct {
		name string
		r    store.Route
		o    ObjectConfig
		t    traits
		want ways
	}{
		{"an update goes both ways", route(opUpdate), ObjectConfig{}, traits{}, ways{rest: true, job: true}},
		{"a delete goes both ways", route(opDelete), ObjectConfig{AllowSave: true}, traits{}, ways{rest: true, job: true}},
		{"a hard delete goes by job only", route(opHardDelete), ObjectConfig{AllowSave: true}, traits{}, ways{job: true}},
		{"an upsert waits for describe", upsert, ObjectConfig{}, traits{}, ways{unknown: true}},
		{"an upsert by a unique field goes both ways", upsert, ObjectConfig{}, traits{known: true, idempotent: true}, ways{rest: true, job: true}},
		{"an upsert by another field goes by job", upsert, ObjectConfig{}, traits{known: true}, ways{job: true}},
		{"a create goes by job", route(opCreate), ObjectConfig{}, traits{}, ways{job: true}},
		{"a create goes by REST if the operator says so", route(opCreate), ObjectConfig{CreateREST: true}, traits{}, ways{rest: true}},
		{"a create with a good key field goes both ways", route(opCreate), ObjectConfig{KeyField: "K__c"}, traits{known: true, idempotent: true}, ways{rest: true, job: true}},
		{"a create with a bad key field goes by job", route(opCreate), ObjectConfig{KeyField: "K__c"}, traits{known: true}, ways{job: true}},
		{"headers are for REST", upsert, ObjectConfig{AutoAssign: &yes}, traits{known: true, idempotent: true}, ways{rest: true}},
		{"a create with headers has no way", route(opCreate), ObjectConfig{AllowSave: true}, traits{}, ways{}},
		{"with headers and by REST it has one", route(opCreate), ObjectConfig{AllowSave: true, CreateREST: true}, traits{}, ways{rest: true}},
		{"a platform event goes by REST", store.Route{Object: "Paid__E", Operation: opCreate}, ObjectConfig{KeyField: "K__c"}, traits{}, ways{rest: true}},
		{"a match is looked for", store.Route{Object: "Contact", Operation: opUpsert, Match: true}, ObjectConfig{}, traits{}, ways{query: true}},
		{"what can't be described is claimed to be told why", upsert, ObjectConfig{}, traits{known: true, refused: true}, ways{rest: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := waysOf(tt.r, tt.o, tt.t); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// plenty are the calls of an org that has enough.
var plenty = funds{left: math.MaxInt64, tokens: math.Inf(1), jobCost: 7}

func TestPlan(t *testing.T) {
	both, jobOnly, restOnly := ways{rest: true, job: true}, ways{job: true}, ways{rest: true}
	row := func(ready int, oldest time.Duration, w ways) waiting {
		return waiting{RouteStat: store.RouteStat{Route: route(opUpdate), Ready: ready, Oldest: oldest}, ways: w}
	}
	part := row(1500, 0, both)
	part.RESTOnly = 1
	stuck := row(10, 0, jobOnly)
	stuck.RESTOnly = 3
	short := funds{left: 1000, tokens: 1000, jobCost: 7, linger: 10 * time.Second} // calls are to be saved
	for _, tt := range []struct {
		name string
		s    situation
		want string // kind letters in order: b, r, q, d
		wake time.Duration
	}{
		{"few go by REST at once", situation{routes: []waiting{row(3, 0, both)}, rest: 4, job: 4}, "r", -1},
		{"many get a job", situation{routes: []waiting{row(1000, 0, both)}, rest: 4, job: 4}, "b", -1},
		{"many of them several", situation{routes: []waiting{row(2500, 0, both)}, rest: 4, job: 4}, "bb", -1},
		{"a backlog waits for a job slot", situation{routes: []waiting{row(2500, time.Second, both)}, rest: 4}, "", 29 * time.Second},
		{"not for ever", situation{routes: []waiting{row(2500, time.Minute, both)}, rest: 4}, "rrrr", -1},
		{"what a job can't carry goes beside it", situation{routes: []waiting{part}, rest: 4, job: 4}, "br", -1},
		{"what only a job may carry waits for company", situation{routes: []waiting{row(5, time.Second, jobOnly)}, rest: 4, job: 4}, "", 29 * time.Second},
		{"until it has waited enough", situation{routes: []waiting{row(5, 30*time.Second, jobOnly)}, rest: 4, job: 4}, "b", -1},
		{"or is told to go", situation{routes: []waiting{row(5, 0, jobOnly)}, rest: 4, job: 4, flush: true}, "b", -1},
		{"or fills a job", situation{routes: []waiting{row(1001, 0, jobOnly)}, rest: 4, job: 4}, "b", -1},
		{"what no way may carry is claimed to be failed", situation{routes: []waiting{stuck}, rest: 4, job: 4}, "r", 30 * time.Second},
		{"REST waits for company when the budget is short", situation{routes: []waiting{row(5, time.Second, restOnly)}, rest: 4, funds: short}, "", 9 * time.Second},
		{"what takes fewer calls goes first then", situation{routes: []waiting{row(1000, 0, both)}, rest: 9, job: 4, funds: short}, "rrrrr", -1},
		{"however old it is", situation{routes: []waiting{row(1000, time.Hour, both)}, rest: 9, job: 4, funds: short}, "rrrrr", -1},
		{"a job with calls for it", situation{routes: []waiting{row(1000, time.Hour, jobOnly)}, job: 4, funds: funds{left: 7, tokens: 1, jobCost: 7}}, "b", -1},
		{"not without", situation{routes: []waiting{row(1000, time.Hour, jobOnly)}, job: 4, funds: funds{left: 6, tokens: 6, jobCost: 7}}, "", -1},
		{"more than one call at once makes the next wait", situation{routes: []waiting{row(2000, time.Hour, jobOnly)}, job: 4, funds: funds{left: 99, tokens: 1, jobCost: 7}}, "b", -1},
		{"calls that are spread wait for their turn", situation{routes: []waiting{row(5, time.Hour, restOnly)}, rest: 4, funds: funds{left: 99, wait: time.Minute}}, "", time.Minute},
		{"jobs wait for the org to say its limits", situation{routes: []waiting{row(1000, 0, both)}, rest: 4, job: 4, funds: funds{left: 99, tokens: 99, jobCost: 7, notYet: true}}, "", -1},
		{"without a batch REST helps at once", situation{routes: []waiting{row(400, 0, both)}, rest: 4, job: 4, funds: funds{left: 99, tokens: 99, jobCost: 7, noJobs: true}}, "rr", -1},
		{"full calls don't", situation{routes: []waiting{row(205, time.Second, restOnly)}, rest: 4, funds: short}, "r", 9 * time.Second},
		{"no slot, no attempt", situation{routes: []waiting{row(5, 0, restOnly)}}, "", -1},
		{"an object is described first", situation{routes: []waiting{row(5, 0, ways{unknown: true})}, rest: 1}, "d", -1},
		{"matches are looked for", situation{routes: []waiting{row(501, 0, ways{query: true})}, rest: 4}, "qq", -1},
		{"in company when the budget is short", situation{routes: []waiting{row(501, time.Second, ways{query: true})}, rest: 4, funds: short}, "q", 9 * time.Second},
		{"nothing waits", situation{routes: []waiting{row(0, 0, both)}, rest: 4, job: 4}, "", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.s.funds == (funds{}) {
				tt.s.funds = plenty
			}
			actions, wake, _ := Config{}.defaulted().plan(tt.s)
			var got strings.Builder
			for _, a := range actions {
				got.WriteString(map[store.Kind]string{store.KindBulk: "b", store.KindREST: "r", store.KindQuery: "q", "": "d"}[a.Kind])
			}
			if got.String() != tt.want || wake != tt.wake {
				t.Errorf("plan = %q, wake %v; want %q, %v", got.String(), wake, tt.want, tt.wake)
			}
		})
	}
}

// TestPlan_TheLargerJobSavesCalls: what a job costs does not depend on its rows.
func TestPlan_TheLargerJobSavesCalls(t *testing.T) {
	s := situation{rest: 99, job: 4, funds: funds{left: 1000, tokens: 1000, jobCost: 7, linger: time.Second}, routes: []waiting{
		{RouteStat: store.RouteStat{Route: route(opUpdate), Ready: 1400}, ways: ways{rest: true, job: true}},
	}}
	c := Config{Bulk: Bulk{MaxRecords: 10_000}}.defaulted()
	for ready, want := range map[int]store.Kind{1400: store.KindREST, 1401: store.KindBulk, 9000: store.KindBulk} {
		s.routes[0].Ready = ready
		if actions, _, _ := c.plan(s); len(actions) == 0 || actions[0].Kind != want {
			t.Errorf("%d records: %v, want %s", ready, actions, want)
		}
	}
}

func TestPlan_RoundRobin(t *testing.T) {
	on := func(object string, oldest time.Duration, running int, served uint64) waiting {
		return waiting{
			RouteStat: store.RouteStat{Route: store.Route{Object: object, Operation: opUpdate}, Ready: 900, Oldest: oldest},
			ways:      ways{rest: true}, running: running, served: served,
		}
	}
	actions, _, _ := Config{}.defaulted().plan(situation{rest: 4, job: 4, funds: plenty, routes: []waiting{
		on("Busy", time.Hour, 2, 1), on("Served", time.Hour, 0, 9), on("Young", 0, 0, 3), on("Old", time.Minute, 0, 3),
	}})
	var got []string
	for _, a := range actions {
		got = append(got, a.Route.Object)
	}
	if want := []string{"Old", "Young", "Served", "Busy"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
}

// TestPlan_NobodyWaitsForEver: where more comes in than the calls bear, a lone event is sent all the same.
func TestPlan_NobodyWaitsForEver(t *testing.T) {
	const step, arrive = 6 * time.Minute, 300 // each step brings one call, for 200 records
	c := Config{}.defaulted()
	busy := waiting{RouteStat: store.RouteStat{Route: store.Route{Object: "Busy", Operation: opUpdate}}, ways: ways{rest: true}}
	lone := waiting{RouteStat: store.RouteStat{Route: store.Route{Object: "Lone", Operation: opUpdate}, Ready: 1}, ways: ways{rest: true}}
	calls := 0
	for turn := uint64(1); ; turn++ {
		busy.Ready += arrive
		busy.Oldest = step * time.Duration(busy.Ready) / arrive
		lone.Oldest += step
		actions, _, _ := c.plan(situation{rest: 4, routes: []waiting{busy, lone}, funds: funds{left: 100, tokens: 1, jobCost: 7, linger: time.Second}})
		if len(actions) != 1 {
			t.Fatalf("%d actions, want 1", len(actions))
		}
		if actions[0].Route.Object == "Lone" {
			break
		}
		busy.Ready, busy.served = busy.Ready-200, turn
		if calls++; lone.Oldest > 2*time.Hour {
			t.Fatalf("a lone event waits for %v beside a route that is %v behind", lone.Oldest, busy.Oldest)
		}
	}
	if calls == 0 {
		t.Error("the lone event was sent before 200 that wait as long")
	}
}

// TestPlan_KeepsWithinSlots: whatever waits, no plan takes more slots than are free.
func TestPlan_KeepsWithinSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := situation{rest: rapid.IntRange(0, 5).Draw(t, "rest"), job: rapid.IntRange(0, 5).Draw(t, "job"), flush: rapid.Bool().Draw(t, "flush"), funds: plenty}
		if rapid.Bool().Draw(t, "short") {
			s.funds = funds{
				left: rapid.Int64Range(-5, 60).Draw(t, "left"), tokens: rapid.Float64Range(-5, 60).Draw(t, "tokens"),
				jobCost: rapid.Int64Range(6, 9).Draw(t, "jobCost"), linger: time.Second, noJobs: rapid.Bool().Draw(t, "noJobs"), notYet: rapid.Bool().Draw(t, "notYet"),
			}
		}
		rest, job, left := s.rest, s.job, s.left
		for range rapid.IntRange(0, 6).Draw(t, "routes") {
			ready := rapid.IntRange(0, 5000).Draw(t, "ready")
			s.routes = append(s.routes, waiting{
				RouteStat: store.RouteStat{Ready: ready, RESTOnly: rapid.IntRange(0, ready).Draw(t, "restOnly"), Oldest: time.Duration(rapid.IntRange(0, 60).Draw(t, "oldest")) * time.Second},
				ways:      ways{rest: rapid.Bool().Draw(t, "byREST"), job: rapid.Bool().Draw(t, "byJob")},
			})
		}
		actions, _, _ := Config{}.defaulted().plan(s)
		for _, a := range actions {
			if a.Kind == store.KindBulk {
				job--
				left -= s.jobCost
			} else {
				rest--
				left--
			}
			if a.Kind == store.KindBulk && (s.noJobs || s.notYet) {
				t.Fatal("a job without a batch for it")
			}
			if a.Kind != "" && (a.MaxRecords <= 0 || a.MaxBytes <= 0) {
				t.Fatalf("unbounded claim %+v", a)
			}
		}
		if rest < 0 || job < 0 || len(actions) > 0 && left < 0 {
			t.Fatalf("%d REST and %d job slots and %d calls too many", -rest, -job, -left)
		}
	})
}
