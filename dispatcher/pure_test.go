package dispatcher

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

func TestBackoff(t *testing.T) {
	const first, limit = time.Second, 10 * time.Minute
	top := func() float64 { return 1 } // the longest wait
	for _, tt := range []struct {
		name string
		n    int
		want time.Duration
	}{
		{"first attempt", 1, first},
		{"twice as long", 2, 2 * first},
		{"stops at the limit", 11, limit},
		{"does not overflow", 200, limit},
		{"before any attempt", 0, first},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := backoff(tt.n, first, limit, top); got != tt.want {
				t.Errorf("backoff(%d) = %v, want %v", tt.n, got, tt.want)
			}
		})
	}
	if got := backoff(5, first, limit, func() float64 { return 0 }); got != 0 {
		t.Errorf("full jitter begins at 0, got %v", got)
	}
}

// TestReconcile_EachEventItsOwnRow: whatever the order and however many rows
// have the same content, every event gets a row of its content, no row twice.
func TestReconcile_EachEventItsOwnRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		contents := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 1, 30).Draw(t, "contents")
		sent := make([]Line, len(contents))
		answers := make([]Answer, len(contents))
		for i, c := range contents {
			sent[i] = Line{Exact: c}
			answers[i] = Answer{Line{Exact: c}, rapid.SampledFrom([]string{"ok", "no"}).Draw(t, "verdict")}
		}
		order := rapid.Permutation(answers).Draw(t, "order")
		matches, spare := Reconcile(sent, order)
		if len(spare) > 0 {
			t.Fatalf("spare rows %v", spare)
		}
		used := make(map[int]bool)
		for i, m := range matches {
			if m.Row < 0 || m.Shared || used[m.Row] || order[m.Row].Exact != sent[i].Exact {
				t.Fatalf("event %d (%s) got %+v", i, sent[i].Exact, m)
			}
			used[m.Row] = true
		}
	})
}

// TestReconcile_NeverGuesses: rows that are missing, garbled or doubled never
// give an event a verdict that is not surely its own.
func TestReconcile_NeverGuesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "events")
		truth := make(map[string]string) // content → verdict
		sent := make([]Line, n)
		var answers []Answer
		for i := range sent {
			content := fmt.Sprintf("row %d", i)
			verdict := rapid.SampledFrom([]string{"ok", "no", "later"}).Draw(t, "verdict")
			truth[content] = verdict
			sent[i] = Line{Exact: content, Loose: content[:5]}
			shown := Answer{Line{Exact: content, Loose: content[:5]}, verdict}
			switch rapid.IntRange(0, 5).Draw(t, "fault") {
			case 0:
				continue // lost
			case 1:
				shown.Exact, shown.Loose = "garbled", "garbled"
			}
			answers = append(answers, shown)
		}
		answers = rapid.Permutation(append(answers, Answer{Line{Exact: "foreign"}, "ok"})[:len(answers)]).Draw(t, "order")
		matches, spare := Reconcile(sent, answers)
		used := make(map[int]bool)
		for i, m := range matches {
			if m.Row < 0 {
				continue
			}
			if used[m.Row] {
				t.Fatalf("row %d told twice", m.Row)
			}
			used[m.Row] = true
			if got := answers[m.Row].Verdict; !m.Shared && got != truth[sent[i].Exact] && answers[m.Row].Exact == sent[i].Exact {
				t.Fatalf("event %d got %q, the truth is %q", i, got, truth[sent[i].Exact])
			}
		}
		if len(used)+len(spare) != len(answers) {
			t.Fatalf("%d rows used, %d spare, of %d", len(used), len(spare), len(answers))
		}
	})
}

func TestReconcile_Leftovers(t *testing.T) {
	line := func(exact, loose string) Line { return Line{Exact: exact, Loose: loose} }
	for _, tt := range []struct {
		name    string
		sent    []Line
		answers []Answer
		want    []Match
		spare   []int
	}{
		{"all of one outcome are theirs", []Line{line("a", ""), line("b", "")},
			[]Answer{{line("x", ""), "ok"}, {line("y", ""), "ok"}}, []Match{{0, true}, {1, true}}, nil},
		{"of two outcomes nobody knows whose", []Line{line("a", ""), line("b", "")},
			[]Answer{{line("x", ""), "ok"}, {line("y", ""), "no"}}, []Match{{-1, false}, {-1, false}}, []int{0, 1}},
		{"fewer rows than events tell nothing", []Line{line("a", ""), line("b", "")},
			[]Answer{{line("x", ""), "ok"}}, []Match{{-1, false}, {-1, false}}, []int{0}},
		{"more rows than events are an alarm", []Line{line("a", "")},
			[]Answer{{line("a", ""), "ok"}, {line("a", ""), "no"}}, []Match{{0, false}}, []int{1}},
		{"texts tell rows apart whose numbers came back rounded", []Line{line("Ada 1.005", "Ada"), line("Bob 2.005", "Bob")},
			[]Answer{{line("Bob 2.01", "Bob"), "no"}, {line("Ada 1.01", "Ada"), "ok"}}, []Match{{1, false}, {0, false}}, nil},
		{"a success goes before a failure of the same content", []Line{line("a", "")},
			[]Answer{{line("a", ""), "ok"}, {line("a", ""), "no"}}, []Match{{0, false}}, []int{1}},
		{"nothing sent", nil, nil, []Match{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, spare := Reconcile(tt.sent, tt.answers)
			if !slices.Equal(got, tt.want) || !slices.Equal(spare, tt.spare) {
				t.Errorf("got %+v spare %v, want %+v spare %v", got, spare, tt.want, tt.spare)
			}
		})
	}
}

func BenchmarkReconcile(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			sent, answers := make([]Line, n), make([]Answer, n)
			for i := range sent {
				sent[i].Exact = fmt.Sprintf("order-%07d/contact", i)
				answers[i] = Answer{Line{Exact: sent[i].Exact}, "0"}
			}
			rng := rand.New(rand.NewPCG(1, 2))
			rng.Shuffle(n, func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
			for b.Loop() {
				if m, spare := Reconcile(sent, answers); len(spare) > 0 || m[0].Row < 0 {
					b.Fatal("not matched")
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// TestNormalCell_EqualsTheEcho pairs what is sent with what the org is known to
// answer for it.
func TestNormalCell_EqualsTheEcho(t *testing.T) {
	double := &salesforce.Field{Type: "double", Scale: 2}
	for _, tt := range []struct {
		name       string
		f          *salesforce.Field
		sent, echo string
		equal      bool
	}{
		{"java's doubles", double, "71664061", "7.1664061E7", true},
		{"a trailing zero", double, "100", "100.0", true},
		{"rounded to the scale", double, "1.005", "1.01", true},
		{"digits beyond a double's", &salesforce.Field{Type: "double"}, "123456789012345678", "1.23456789012345677E17", true},
		{"another number", double, "71", "7.2E1", false},
		{"a sign is kept", double, "-71", "7.1E1", false},
		{"zero has no sign", double, "-0", "0.0", true},
		{"an int", &salesforce.Field{Type: "int"}, "2676", "2676", true},
		{"milliseconds", &salesforce.Field{Type: "datetime"}, "2025-11-25T03:45:21.14287Z", "2025-11-25T03:45:21.142Z", true},
		{"another offset", &salesforce.Field{Type: "datetime"}, "2025-11-25T04:45:21+01:00", "2025-11-25T03:45:21.000+0000", true},
		{"a date with a swallowed zone", &salesforce.Field{Type: "date"}, "1940-06-07Z", "1940-06-07", true},
		{"booleans", &salesforce.Field{Type: "boolean"}, "1", "TRUE", true},
		{"blanks are trimmed", &salesforce.Field{Type: "string"}, " Ada ", "Ada", true},
		{"letter case of a text is its own", &salesforce.Field{Type: "string"}, "Ada", "ada", false},
		{"line ends", &salesforce.Field{Type: "textarea"}, "a\nb", "a\r\nb", true},
		{"cleared", &salesforce.Field{Type: "string"}, "#N/A", "", true},
		{"short and long Ids", &salesforce.Field{Type: "reference"}, "0018Z00002rGc7Y", "0018Z00002rGc7YQAS", true},
		{"a text that looks like a number", &salesforce.Field{Type: "string"}, "00123", "123", false},
		{"not a number at all", double, "1/3", "0.33", false},
		{"an exponent out of this world", double, "1e999999999", "1e999999999", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent, echo := normalCell(tt.f, tt.sent), normalCell(tt.f, tt.echo)
			if (sent == echo) != tt.equal {
				t.Errorf("%q is %q, %q is %q", tt.sent, sent, tt.echo, echo)
			}
		})
	}
}

func TestNormalKey_FoldsLikeLanes(t *testing.T) {
	for _, pair := range [][2]string{{" ABC ", "abc"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"Straße", "straße"}} {
		if a, b := normalKey(nil, pair[0]), normalKey(nil, pair[1]); a != b {
			t.Errorf("%q and %q: %q, %q", pair[0], pair[1], a, b)
		}
	}
	number := &salesforce.Field{Type: "double"}
	if a, b := normalKey(number, "00123"), normalKey(number, "1.23E2"); a != b {
		t.Errorf("numbers: %q, %q", a, b)
	}
}

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

func TestPlan(t *testing.T) {
	both, jobOnly, restOnly := ways{rest: true, job: true}, ways{job: true}, ways{rest: true}
	row := func(ready int, oldest time.Duration, w ways) waiting {
		return waiting{RouteStat: store.RouteStat{Route: route(opUpdate), Ready: ready, Oldest: oldest}, ways: w}
	}
	part := row(1500, 0, both)
	part.RESTOnly = 1
	stuck := row(10, 0, jobOnly)
	stuck.RESTOnly = 3
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
		{"but not on a short budget", situation{routes: []waiting{row(2500, time.Minute, both)}, rest: 4, linger: time.Second}, "", -1},
		{"what a job can't carry goes beside it", situation{routes: []waiting{part}, rest: 4, job: 4}, "br", -1},
		{"what only a job may carry waits for company", situation{routes: []waiting{row(5, time.Second, jobOnly)}, rest: 4, job: 4}, "", 29 * time.Second},
		{"until it has waited enough", situation{routes: []waiting{row(5, 30*time.Second, jobOnly)}, rest: 4, job: 4}, "b", -1},
		{"or is told to go", situation{routes: []waiting{row(5, 0, jobOnly)}, rest: 4, job: 4, flush: true}, "b", -1},
		{"or fills a job", situation{routes: []waiting{row(1001, 0, jobOnly)}, rest: 4, job: 4}, "b", -1},
		{"what no way may carry is claimed to be failed", situation{routes: []waiting{stuck}, rest: 4, job: 4}, "r", 30 * time.Second},
		{"REST waits for company when the budget is short", situation{routes: []waiting{row(5, time.Second, restOnly)}, rest: 4, linger: 10 * time.Second}, "", 9 * time.Second},
		{"full calls don't", situation{routes: []waiting{row(205, time.Second, restOnly)}, rest: 4, linger: 10 * time.Second}, "r", 9 * time.Second},
		{"no slot, no attempt", situation{routes: []waiting{row(5, 0, restOnly)}}, "", -1},
		{"an object is described first", situation{routes: []waiting{row(5, 0, ways{unknown: true})}, rest: 1}, "d", -1},
		{"matches are looked for", situation{routes: []waiting{row(30, 0, ways{query: true})}, rest: 4}, "qq", -1},
		{"nothing waits", situation{routes: []waiting{row(0, 0, both)}, rest: 4, job: 4}, "", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
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

func TestPlan_RoundRobin(t *testing.T) {
	on := func(object string, oldest time.Duration, running int, served uint64) waiting {
		return waiting{RouteStat: store.RouteStat{Route: store.Route{Object: object, Operation: opUpdate}, Ready: 900, Oldest: oldest},
			ways: ways{rest: true}, running: running, served: served}
	}
	actions, _, _ := Config{}.defaulted().plan(situation{rest: 4, job: 4, routes: []waiting{
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

// TestPlan_KeepsWithinSlots: whatever waits, no plan takes more slots than are free.
func TestPlan_KeepsWithinSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := situation{rest: rapid.IntRange(0, 5).Draw(t, "rest"), job: rapid.IntRange(0, 5).Draw(t, "job"), flush: rapid.Bool().Draw(t, "flush")}
		rest, job := s.rest, s.job
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
			} else {
				rest--
			}
			if a.Kind != "" && (a.MaxRecords <= 0 || a.MaxBytes <= 0) {
				t.Fatalf("unbounded claim %+v", a)
			}
		}
		if rest < 0 || job < 0 {
			t.Fatalf("%d REST and %d job slots too many", -rest, -job)
		}
	})
}

// clock is a hand-moved time.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func apiErr(class salesforce.Class, status int, code string) error {
	return &salesforce.APIError{Class: class, Status: status, Code: code, Message: "told so"}
}

func TestBreaker_OpensHalfOpensCloses(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	b := newBreaker(time.Second, 8*time.Second, c.Now)
	wait := func(want time.Duration) {
		t.Helper()
		at, ok := b.probeAt()
		if got := at.Sub(c.now); !ok || got != want {
			t.Fatalf("next probe in %v (%v), want %v", got, ok, want)
		}
		c.now = at
	}
	down := apiErr(salesforce.PauseOrg, 503, "SERVER_UNAVAILABLE")
	if b.enter(writing) != nil {
		t.Fatal("closed breaker lets nothing through")
	}
	b.report(writing, down)
	if s := b.status(); s.State != BreakerOpen || s.Reason != ReasonUnavailable || s.Code != "SERVER_UNAVAILABLE" || !s.Since.Equal(c.now) {
		t.Fatalf("status %+v", s)
	}
	if b.enter(reading) == nil {
		t.Fatal("open breaker lets a call through")
	}
	b.report(writing, down) // one that was under way: counts once
	wait(time.Second)
	b.probed(down)
	wait(2 * time.Second)
	b.probed(nil)
	if b.status().State != BreakerHalfOpen || b.enter(writing) != nil {
		t.Fatal("a good probe lets no trial through")
	}
	if b.enter(writing) == nil {
		t.Fatal("two trials at a time")
	}
	b.report(writing, down)
	wait(4 * time.Second)
	b.probed(down)
	wait(8 * time.Second)
	b.probed(down)
	wait(8 * time.Second) // the limit
	b.probed(nil)
	if b.enter(writing) != nil {
		t.Fatal("no trial")
	}
	b.report(writing, apiErr(salesforce.Permanent, 400, "STRING_TOO_LONG")) // a record's fault: the org answers
	if s := b.status(); s.State != BreakerClosed {
		t.Fatalf("status %+v after a good trial", s)
	}
	b.report(writing, down)
	wait(time.Second) // begins anew
}

func TestBreaker_OneLostAnswerIsNoOutage(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	b := newBreaker(time.Second, time.Minute, c.Now)
	lost := apiErr(salesforce.Ambiguous, 0, salesforce.CodeTransport)
	for range 10 {
		b.report(writing, lost)
		b.report(writing, lost)
		if b.status().State != BreakerClosed {
			t.Fatal("opened after two")
		}
		b.report(writing, nil)
	}
	for range doubtsToTrip {
		b.report(writing, lost)
	}
	if s := b.status(); s.State != BreakerOpen || s.Reason != ReasonUnavailable {
		t.Fatalf("status %+v after %d lost answers", s, doubtsToTrip)
	}
}

func TestBreaker_Reasons(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want BreakerReason
		wait time.Duration
	}{
		{"daily limit", &salesforce.APIError{Class: salesforce.PauseQuota, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Kind: salesforce.DailyLimit}, ReasonLimit, 8 * time.Second},
		{"calls at a time", &salesforce.APIError{Class: salesforce.PauseOrg, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Kind: salesforce.ConcurrentLimit}, ReasonLimit, 30 * time.Second},
		{"maintenance", apiErr(salesforce.PauseOrg, 503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"), ReasonMaintenance, time.Second},
		{"credentials", &salesforce.AuthError{Code: "invalid_grant"}, ReasonLogin, time.Second},
		{"a session that is refused again", apiErr(salesforce.Auth, 401, "INVALID_SESSION_ID"), ReasonLogin, time.Second},
		{"Retry-After is honoured", &salesforce.APIError{Class: salesforce.PauseOrg, Status: 429, Code: "TRANSPORT", RetryAfter: time.Minute}, ReasonUnavailable, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{now: time.Unix(1e9, 0)}
			b := newBreaker(time.Second, 10*time.Minute, c.Now)
			b.report(writing, tt.err)
			s := b.status()
			if s.State != BreakerOpen || s.Reason != tt.want || s.NextProbe.Sub(c.now) != tt.wait {
				t.Errorf("status %+v, next probe in %v", s, s.NextProbe.Sub(c.now))
			}
		})
	}
	b := newBreaker(time.Second, time.Minute, time.Now)
	b.report(writing, fmt.Errorf("login: %w", &salesforce.AuthError{Code: "x", Err: errOtherOrg}))
	if b.status().State != BreakerClosed {
		t.Error("another org is a condition, not a fault")
	}
}

func TestBreaker_Conditions(t *testing.T) {
	b := newBreaker(time.Second, time.Minute, time.Now)
	for _, tt := range []struct {
		reason      BreakerReason
		read, write bool
	}{
		{ReasonOperator, true, false}, {ReasonRestored, false, false}, {ReasonOrgChanged, false, false}, {ReasonNotConfigured, false, false}, {"", true, true},
	} {
		b.setCondition(tt.reason)
		if b.allows(reading) != tt.read || b.allows(writing) != tt.write {
			t.Errorf("%s: reading %v, writing %v", tt.reason, b.allows(reading), b.allows(writing))
		}
	}
	b.over("all used up")
	if !b.allows(reading) || b.allows(writing) || b.status().Reason != ReasonBudget {
		t.Errorf("budget: %+v", b.status())
	}
}

func TestBudget_Linger(t *testing.T) {
	b := newBudget(0.2, 4)
	at := time.Unix(1e9, 0)
	for _, tt := range []struct {
		used int64
		want time.Duration
	}{
		{0, 0}, {39_000, 0}, {60_000, 24 * time.Hour / 20_000}, {79_999, 30 * time.Second}, {90_000, 30 * time.Second},
	} {
		at = at.Add(time.Second)
		b.note(salesforce.Usage{Used: tt.used, Max: 100_000, At: at})
		if got := b.linger(30 * time.Second); got != tt.want {
			t.Errorf("used %d: linger %v, want %v", tt.used, got, tt.want)
		}
	}
	if !b.exhausted() {
		t.Error("90,000 of 100,000 with 20 % kept are not exhausted")
	}
	b.note(salesforce.Usage{Used: 1, Max: 100_000, At: at.Add(-time.Hour)})
	if now, _ := b.current(); now.Used != 90_000 {
		t.Error("an older answer replaced a newer one")
	}
}

func TestBudget_Crowded(t *testing.T) {
	b := newBudget(0, 4)
	b.crowded()
	b.crowded()
	b.crowded()
	if b.concurrency() != 1 {
		t.Errorf("concurrency %d, want 1", b.concurrency())
	}
	for range 10 * slotStreak {
		b.fine()
	}
	if b.concurrency() != 4 {
		t.Errorf("concurrency %d after good calls, want 4", b.concurrency())
	}
}

func newJudge(operation string, idempotent bool, size int) *judge {
	return &judge{cfg: Config{Chance: func() float64 { return 1 }}.defaulted(), route: store.Route{Object: "Contact", Operation: operation, ExternalID: "Shop_Id__c"},
		idempotent: idempotent, size: size}
}

func TestJudge_Answer(t *testing.T) {
	sent := record{Claimed: store.Claimed{Seq: 1, Key: "k", Sent: true}}
	first := record{Claimed: store.Claimed{Seq: 1, Key: "k"}}
	locked := record{Claimed: store.Claimed{Seq: 1, FirstError: &store.Problem{Code: "DUPLICATE_VALUE"}}}
	ownKey := salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Outbox_Key__c duplicates value on record with id: 003000000000001"}
	otherKey := salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Outbox_Key__c_Old duplicates value on record with id: 003000000000001"}
	keyed := newJudge(opCreate, true, 10)
	keyed.keyField = "Outbox_Key__c"
	retried := newJudge(opCreate, true, 10)
	retried.keyField, retried.retried, retried.bulk = "Outbox_Key__c", true, true
	retriedDelete := newJudge(opDelete, true, 10)
	retriedDelete.retried = true
	bulkCreate := newJudge(opCreate, false, 10)
	bulkCreate.bulk = true
	for _, tt := range []struct {
		name    string
		j       *judge
		r       record
		a       salesforce.Result
		verdict store.Verdict
		code    string
		check   func(store.Outcome) bool
	}{
		{"its own key, sent before, is delivered", keyed, sent, ownKey, store.Deliver, "", nil},
		{"its own key, never sent, exists", keyed, first, ownKey, store.Fail, codeKeyExists, nil},
		{"its own key in a job that the org retried is delivered", retried, first, ownKey, store.Deliver, "", nil},
		{"another unique field is no key", keyed, sent, otherKey, store.Fail, "DUPLICATE_VALUE", nil},
		{"a delete of what is gone, sent before", newJudge(opDelete, true, 5), sent, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Deliver, "", nil},
		{"a delete of what is gone, never sent", newJudge(opDelete, true, 5), first, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Fail, "ENTITY_IS_DELETED", nil},
		{"a delete in a job that the org retried", retriedDelete, first, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Deliver, "", nil},
		{"an update of what is gone", newJudge(opUpdate, true, 5), sent, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Fail, "ENTITY_IS_DELETED", nil},
		{"a lock: smaller and charged", newJudge(opUpdate, true, 100), first, salesforce.Result{Code: "UNABLE_TO_LOCK_ROW"}, store.Again, "UNABLE_TO_LOCK_ROW",
			func(o store.Outcome) bool { return o.Charge && o.MaxBatch == 50 && o.Delay == time.Second }},
		{"a trigger: halves, not charged", newJudge(opUpdate, true, 100), first, salesforce.Result{Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Message: "T: Too many SOQL queries: 101"}, store.Again, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
			func(o store.Outcome) bool { return !o.Charge && o.MaxBatch == 50 }},
		{"a trigger, alone", newJudge(opUpdate, true, 1), first, salesforce.Result{Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Message: "boom"}, store.Fail, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", nil},
		{"twice in one call: alone", newJudge(opUpsert, true, 100), first, salesforce.Result{Code: "DUPLICATE_VALUE", Message: "Duplicate external id specified: a"}, store.Again, "DUPLICATE_VALUE",
			func(o store.Outcome) bool { return !o.Charge && o.MaxBatch == 1 }},
		{"an upsert that lost a race: once", newJudge(opUpsert, true, 100), first, salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Shop_Id__c duplicates value on record with id: 003"}, store.Again, "DUPLICATE_VALUE", nil},
		{"not twice", newJudge(opUpsert, true, 100), locked, salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Shop_Id__c duplicates value on record with id: 003"}, store.Fail, "DUPLICATE_VALUE", nil},
		{"the org's own confusion, create by REST", newJudge(opCreate, false, 10), first, salesforce.Result{Code: "UNKNOWN_EXCEPTION"}, store.Doubt, "UNKNOWN_EXCEPTION", func(o store.Outcome) bool { return o.Hold > 0 }},
		{"the org's own confusion, upsert by REST", newJudge(opUpsert, true, 10), first, salesforce.Result{Code: "UNKNOWN_EXCEPTION"}, store.Again, "UNKNOWN_EXCEPTION", func(o store.Outcome) bool { return o.Sent && o.Hold > 0 && o.Charge }},
		{"a failed row of a job is a failed row", bulkCreate, first, salesforce.Result{Code: "UNKNOWN_EXCEPTION"}, store.Again, "UNKNOWN_EXCEPTION", func(o store.Outcome) bool { return !o.Sent && o.Hold == 0 }},
		{"a bad value fails at once", newJudge(opUpsert, true, 100), first, salesforce.Result{Code: "STRING_TOO_LONG", Fields: []string{"LastName"}}, store.Fail, "STRING_TOO_LONG", func(o store.Outcome) bool { return len(o.Problem.Fields) == 1 }},
		{"so does a missing right", newJudge(opUpsert, true, 100), first, salesforce.Result{Code: "INVALID_FIELD"}, store.Fail, "INVALID_FIELD", nil},
		{"maintenance is nobody's fault", newJudge(opUpsert, true, 100), sent, salesforce.Result{Code: "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}, store.Again, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
			func(o store.Outcome) bool { return !o.Charge && o.Sent }},
		{"a platform event succeeds with an entry among its errors", newJudge(opCreate, false, 1), first, salesforce.Result{Success: true, ID: "e01000000000001AAA", Code: "OPERATION_ENQUEUED"}, store.Deliver, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.j.answer(tt.r, tt.a)
			code := ""
			if o.Problem != nil {
				code = o.Problem.Code
			}
			if o.Verdict != tt.verdict || code != tt.code || tt.check != nil && !tt.check(o) {
				t.Errorf("outcome %+v, code %q", o, code)
			}
		})
	}
}

func TestJudge_Limits(t *testing.T) {
	j := newJudge(opUpsert, true, 1)
	j.cfg.Retry.MaxAttempts, j.cfg.Retry.MaxAge = 3, time.Hour
	p := store.Problem{Code: "UNABLE_TO_LOCK_ROW"}
	for _, tt := range []struct {
		name string
		c    store.Claimed
		want store.Verdict
	}{
		{"young", store.Claimed{Attempts: 1, Age: time.Minute}, store.Again},
		{"the last attempt", store.Claimed{Attempts: 2}, store.Fail},
		{"too old", store.Claimed{Age: time.Hour}, store.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if o := j.retry(record{Claimed: tt.c}, p); o.Verdict != tt.want || o.Problem.Code != p.Code {
				t.Errorf("outcome %+v", o)
			}
			if o := j.ambiguous(record{Claimed: tt.c}, p); o.Verdict != tt.want || o.Hold == 0 {
				t.Errorf("ambiguous outcome %+v", o)
			}
		})
	}
}

func TestRanNoRow(t *testing.T) {
	records := []record{{Claimed: store.Claimed{Seq: 1}}, {Claimed: store.Claimed{Seq: 2}}, {Claimed: store.Claimed{Seq: 3}}, {Claimed: store.Claimed{Seq: 4}}}
	carries := func(i int, column string) bool { return i == 2 && strings.EqualFold(column, "Nope__c") }
	named := salesforce.Job{State: salesforce.StateFailed, ErrorMessage: "InvalidBatch : Field name not found : Nope__c"}.Fault()
	j := newJudge(opCreate, false, 4)
	for i, o := range j.ranNoRow(named, records, carries, false) {
		if blamed := i == 2; blamed != (o.Verdict == store.Fail) || !blamed && (o.Verdict != store.Again || o.Charge || o.MaxBatch != 0) {
			t.Errorf("named column, record %d: %+v", i, o)
		}
	}
	for i, o := range j.ranNoRow(named, records, carries, true) {
		if (i == 2) != o.RESTOnly {
			t.Errorf("named column with REST, record %d: %+v", i, o)
		}
	}
	odd := salesforce.Job{State: salesforce.StateFailed, ErrorMessage: "InvalidBatch : Field name not found : 399700"}.Fault()
	for i, o := range j.ranNoRow(odd, records, carries, false) {
		if o.Verdict != store.Again || o.MaxBatch != 2 || o.Charge {
			t.Errorf("no culprit named, record %d: %+v", i, o)
		}
	}
	alone := newJudge(opCreate, false, 1)
	if o := alone.ranNoRow(odd, records[:1], carries, false)[0]; o.Verdict != store.Fail || o.Problem.Code != "INVALIDBATCH" {
		t.Errorf("alone: %+v", o)
	}
	lines := salesforce.Job{State: salesforce.StateFailed, ErrorMessage: "ClientInputError : LineEnding is invalid on user data."}.Fault()
	if o := j.ranNoRow(lines, records, carries, false)[0]; o.Verdict != store.Again || !o.Charge || o.MaxBatch != 0 {
		t.Errorf("first ClientInputError: %+v", o)
	}
}

// TestRanNoRow_IsolatesThePoison: halving by MaxBatch alone, as the store does
// it, ends with every good record delivered and the bad one failed (P6).
func TestRanNoRow_IsolatesThePoison(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "records")
		bad := rapid.IntRange(0, n-1).Draw(t, "bad")
		bound := make([]int, n)
		state := make([]store.Verdict, n)
		fault := salesforce.JobFault{Code: "INVALIDBATCH", Message: "unescaped quote", Data: true}
		for jobs := 0; slices.Contains(state, 0); jobs++ {
			if jobs > 20*n {
				t.Fatal("does not end")
			}
			var batch []int
			limit := n
			for i := range state {
				if b := bound[i]; state[i] == 0 && (b == 0 || len(batch) < b) && len(batch) < limit {
					if b > 0 {
						limit = min(limit, b)
					}
					batch = append(batch, i)
				}
			}
			if !slices.Contains(batch, bad) {
				for _, i := range batch {
					state[i] = store.Deliver
				}
				continue
			}
			records := make([]record, len(batch))
			for at, i := range batch {
				records[at].Seq = store.Seq(i)
			}
			for _, o := range newJudge(opCreate, false, len(batch)).ranNoRow(fault, records, func(int, string) bool { return false }, false) {
				if o.Verdict == store.Fail {
					state[o.Seq] = store.Fail
				} else {
					bound[o.Seq] = o.MaxBatch
				}
			}
		}
		for i, v := range state {
			if (i == bad) != (v == store.Fail) {
				t.Fatalf("record %d of %d ended %v, the bad one is %d", i, n, v, bad)
			}
		}
	})
}

func TestWithMember(t *testing.T) {
	for _, tt := range [][2]string{
		{``, `{"K__c":"a\"b"}`}, {`{}`, `{"K__c":"a\"b"}`}, {`{ }`, `{ "K__c":"a\"b"}`}, {`{"A":1}`, `{"A":1,"K__c":"a\"b"}`}, {"{\"A\":{\"B\":2}}\n", `{"A":{"B":2},"K__c":"a\"b"}`},
	} {
		got, err := withMember([]byte(tt[0]), "K__c", `a"b`)
		if err != nil || string(got) != tt[1] {
			t.Errorf("withMember(%s) = %s, %v; want %s", tt[0], got, err, tt[1])
		}
	}
}

func TestKeyNote_RoundTrip(t *testing.T) {
	for _, tt := range []struct {
		field string
		idem  bool
	}{{"", false}, {"K__c", true}, {"K__c", false}} {
		if f, i := readKeyNote(keyNote(tt.field, tt.idem)); f != tt.field || i != tt.idem {
			t.Errorf("%+v read as %q, %v", tt, f, i)
		}
	}
	if f, _ := readKeyNote("Failed: InvalidBatch"); f != "" {
		t.Errorf("another note read as %q", f)
	}
}

func TestProblemOf_TellsNoSecrets(t *testing.T) {
	if p := problemOf(errors.New("odd")); p.Code != codeTransport || p.Message == "" {
		t.Errorf("%+v", p)
	}
	p := problemOf(fmt.Errorf("x: %w", apiErr(salesforce.Permanent, 400, "STRING_TOO_LONG")))
	if p.Code != "STRING_TOO_LONG" || p.Message != "told so" {
		t.Errorf("%+v", p)
	}
}
