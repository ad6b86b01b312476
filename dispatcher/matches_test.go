package dispatcher_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// people are records that were at the org before.
func (r *rig) people(n int, fields func(i int) string) (ids []string) {
	r.t.Helper()
	c := r.client()
	for len(ids) < n {
		var rows []salesforce.Row
		for i := len(ids); i < min(n, len(ids)+salesforce.MaxRows); i++ {
			rows = append(rows, salesforce.Row{Fields: json.RawMessage(fields(i))})
		}
		results, err := c.Create(r.t.Context(), "Contact", rows, salesforce.Headers{})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, x := range results {
			if !x.Success {
				r.t.Fatalf("%+v", x)
			}
			ids = append(ids, string(x.ID))
		}
	}
	return ids
}

func person(i int) string {
	return fmt.Sprintf(`{"LastName":"L%d","Email":"Person.%04d@example.com","Phone":"+49 30 %06d"}`, i%50, i, i)
}

// queries counts calls of the kind while f runs.
func (r *rig) queries(f func()) int {
	before := r.sim.Calls().Calls["query"]
	f()
	return r.sim.Calls().Calls["query"] - before
}

// matchContact is an update of the person of a number, by the address.
func matchContact(i int) string {
	return matching("update", fmt.Sprintf("m-%d", i), fmt.Sprintf(`{"all":{"Email":"person.%04d@example.com"}}`, i))
}

// unanswered has the org leave some requests without an answer.
func (r *rig) unanswered(which func(*http.Request) bool) {
	r.t.Helper()
	org := r.sim.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if which(req) {
			<-req.Context().Done() // the client has given up
			return
		}
		org.ServeHTTP(w, req)
	}))
	r.t.Cleanup(s.Close)
	r.url = s.URL
}

func matching(operation, key, match string) string {
	fields := fmt.Sprintf(`,"fields":{"LastName":"New",%q:%q}`, marker, key)
	if strings.Contains(operation, "delete") {
		fields = ""
	}
	return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":%q,"match":%s%s}`, key, operation, match, fields)
}

// TestMatch_AThousandByFewQueries: each is told its own record, and no other.
func TestMatch_AThousandByFewQueries(t *testing.T) {
	const n = 1000
	for _, tt := range []struct {
		name, operation string
		match           func(i int) string
		most            int
	}{
		{"one field", "update", func(i int) string { return fmt.Sprintf(`{"all":{"Email":"person.%04d@EXAMPLE.com"}}`, i) }, 5},
		{"two fields", "update", func(i int) string {
			return fmt.Sprintf(`{"all":{"Email":"person.%04d@example.com","LastName":"l%d"}}`, i, i%50)
		}, 10},
		{"either of two fields", "upsert", func(i int) string {
			if i%2 == 0 {
				return fmt.Sprintf(`{"any":{"Email":"person.%04d@example.com","Phone":"+1 555 %d"}}`, i, i)
			}
			return fmt.Sprintf(`{"any":{"Email":"nobody-%d@example.com","Phone":"+49 30 %06d"}}`, i, i)
		}, 10},
		{"deletes", "delete", func(i int) string { return fmt.Sprintf(`{"any":{"Email":"person.%04d@example.com"}}`, i) }, 5},
		{"hard deletes", "hard_delete", func(i int) string { return fmt.Sprintf(`{"all":{"Email":"person.%04d@example.com"}}`, i) }, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.REST.MaxRecords, cfg.Bulk.MaxRecords = 200, 1000
			r := newRig(t, cfg)
			ids := r.people(n, person)
			other := r.people(10, func(i int) string { return fmt.Sprintf(`{"LastName":"Other","Email":"other%d@example.com"}`, i) })
			r.put(many(n, func(i int) string { return matching(tt.operation, fmt.Sprintf("m-%04d", i), tt.match(i)) })...)
			used := r.queries(func() {
				r.start()
				r.delivers(n)
			})
			if used > tt.most {
				t.Errorf("%d queries for %d events, want %d at most", used, n, tt.most)
			}
			t.Logf("%d queries", used)
			r.oracle()
			rows := make(map[string]simulator.Record)
			for _, row := range r.sim.Records("Contact") {
				rows[row["Id"].(string)] = row
			}
			for i, id := range ids {
				key := fmt.Sprintf("m-%04d", i)
				if x := r.get(key); x.ID != id || x.Created {
					t.Errorf("%s went to %s, created %t; want %s", key, x.ID, x.Created, id)
				}
				if strings.Contains(tt.operation, "delete") {
					continue
				}
				if rows[id][marker] != key {
					t.Errorf("record %s bears %v, want %s", id, rows[id][marker], key)
				}
			}
			left := len(ids) + len(other)
			if strings.Contains(tt.operation, "delete") {
				left = len(other)
			}
			if len(rows) != left {
				t.Errorf("%d records are left, want %d", len(rows), left)
			}
		})
	}
}

// TestMatch_DeletesByJobAndByREST: what was hard deleted is not in the recycle bin either.
func TestMatch_DeletesByJobAndByREST(t *testing.T) {
	for _, tt := range []struct {
		operation string
		n, bin    int
		kind      store.Kind
	}{
		{"delete", 5, 5, store.KindREST},
		{"delete", 60, 60, store.KindBulk},
		{"hard_delete", 5, 0, store.KindBulk},
		{"hard_delete", 60, 0, store.KindBulk},
	} {
		t.Run(fmt.Sprint(tt.operation, " of ", tt.n), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, quick())
			r.people(tt.n+3, person)
			r.put(many(tt.n, func(i int) string {
				return matching(tt.operation, fmt.Sprintf("d-%d", i), fmt.Sprintf(`{"all":{"Email":"person.%04d@example.com"}}`, i))
			})...)
			r.put(matching(tt.operation, "nobody", `{"all":{"Email":"nobody@example.com"}}`))
			r.start()
			r.drained()
			if x := r.get("nobody"); x.State != store.Failed || x.LastError.Code != "NO_MATCH" {
				t.Errorf("nobody: %s %+v", x.State, x.LastError)
			}
			if x := r.get("d-3"); x.State != store.Delivered || x.Kind != tt.kind {
				t.Errorf("a delete is %s by %s (%+v), want it delivered by %s", x.State, x.Kind, x.LastError, tt.kind)
			}
			if left := r.sim.Records("Contact"); len(left) != 3 {
				t.Errorf("%d records are left, want 3", len(left))
			}
			bin, err := r.client().Query(t.Context(), "SELECT Id FROM Contact WHERE IsDeleted = true", true, 1000)
			if err != nil || len(bin) != tt.bin {
				t.Errorf("%d records are in the bin (%v), want %d", len(bin), err, tt.bin)
			}
		})
	}
}

// TestMatch_OfNothingIsCreatedOnce: of two upserts of one value the second finds
// what the first has made, among many such.
func TestMatch_OfNothingIsCreatedOnce(t *testing.T) {
	r := newRig(t, quick())
	const n = 120
	line := func(key, email string) string {
		return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"upsert","match":{"any":{"Email":%q}},"fields":{"LastName":"New","Email":%q,%q:%q}}`, key, email, email, marker, key)
	}
	r.put(many(2*n, func(i int) string {
		email := fmt.Sprintf("new%d@example.com", i%n)
		if i >= n {
			email = " " + strings.ToUpper(email)
		}
		return line(fmt.Sprintf("r%d-%d", i/n, i%n), email)
	})...)
	used := r.queries(func() {
		r.start()
		r.delivers(2 * n)
	})
	rows := r.sim.Records("Contact")
	if len(rows) != n {
		t.Errorf("%d records, want %d", len(rows), n)
	}
	for i := range n {
		a, b := r.get(fmt.Sprintf("r0-%d", i)), r.get(fmt.Sprintf("r1-%d", i))
		if !a.Created || b.Created || a.ID != b.ID {
			t.Errorf("pair %d: %s, created %t; %s, created %t", i, a.ID, a.Created, b.ID, b.Created)
		}
	}
	r.inOrder()
	t.Logf("%d queries", used)
}

// TestMatch_ManyShareAValue: more records than a query may show hide nobody else's.
func TestMatch_ManyShareAValue(t *testing.T) {
	r := newRig(t, quick())
	const n, crowd = 100, 2300
	r.people(crowd, func(int) string { return `{"LastName":"Crowd","Email":"crowd@example.com"}` })
	ids := r.people(n, person)
	r.people(2, func(int) string { return `{"LastName":"Pair","Email":"pair@example.com"}` })
	lines := many(n, func(i int) string {
		return matching("upsert", fmt.Sprintf("m-%d", i), fmt.Sprintf(`{"all":{"Email":"person.%04d@example.com"}}`, i))
	})
	lines = append(lines, matching("upsert", "crowd", `{"all":{"Email":"crowd@example.com"}}`), matching("update", "pair", `{"all":{"Email":"pair@example.com"}}`),
		matching("update", "none", `{"all":{"Email":"none@example.com"}}`))
	r.put(lines...)
	used := r.queries(func() {
		r.start()
		r.drained()
	})
	for i := range n {
		if x := r.get(fmt.Sprintf("m-%d", i)); x.State != store.Delivered || x.ID != ids[i] || x.Created {
			t.Errorf("event %d is %s, record %s, created %t: %+v", i, x.State, x.ID, x.Created, x.LastError)
		}
	}
	for key, code := range map[string]string{"crowd": "MANY_MATCHES", "pair": "MANY_MATCHES", "none": "NO_MATCH"} {
		if x := r.get(key); x.State != store.Failed || x.LastError.Code != code {
			t.Errorf("%s: %s %+v", key, x.State, x.LastError)
		}
	}
	if rows := len(r.sim.Records("Contact")); rows != crowd+n+2 || used > 5 {
		t.Errorf("%d records, want %d; %d queries", rows, crowd+n+2, used)
	}
	r.oracle()
}

// TestMatch_AlikeIsAskedApart: what the org may take for one, and what belongs to
// several, is asked for by each alone.
func TestMatch_AlikeIsAskedApart(t *testing.T) {
	r := newRig(t, quick())
	fields := []string{
		`{"LastName":"Jos\u00e9"}`, `{"LastName":"Jose"}`, `{"LastName":"O'Hara"}`, `{"LastName":"OHARA"}`, `{"LastName":"Both","FirstName":"Ann","Title":"Dr"}`,
	}
	ids := r.people(len(fields), func(i int) string { return fields[i] })
	for i, match := range []string{
		`{"all":{"LastName":"Jos\u00e9"}}`, `{"all":{"LastName":"JOSE"}}`, `{"all":{"LastName":"o'hara"}}`, `{"all":{"LastName":"ohara"}}`,
		`{"any":{"FirstName":"Ann","Title":"Nobody's"}}`,
	} {
		r.put(matching("update", fmt.Sprint("m-", i), match))
	}
	r.put(matching("update", "none", `{"all":{"LastName":"Jos\u00e8"}}`), matching("update", "many", `{"any":{"FirstName":"Bob","Title":"dr"}}`))
	r.start()
	r.drained()
	for i, id := range ids {
		if x := r.get(fmt.Sprint("m-", i)); x.State != store.Delivered || x.ID != id {
			t.Errorf("event %d is %s, record %s, want %s: %+v", i, x.State, x.ID, id, x.LastError)
		}
	}
	if x := r.get("many"); x.State != store.Delivered || x.ID != ids[4] {
		t.Errorf("the second event of one record: %+v", x)
	}
	if x := r.get("none"); x.State != store.Failed || x.LastError.Code != "NO_MATCH" {
		t.Errorf("none: %s %+v", x.State, x.LastError)
	}
}

// TestMatch_PoisonFailsAlone: whatever the org finds wrong with one event's match.
func TestMatch_PoisonFailsAlone(t *testing.T) {
	const n = 60
	good := func(i int) string {
		return matching("update", fmt.Sprintf("m-%d", i), fmt.Sprintf(`{"all":{"Email":"person.%04d@example.com"}}`, i))
	}
	poison := map[string]struct{ match, code string }{
		"unknown field":  {`{"all":{"Nope__c":"x"}}`, "INVALID_FIELD"},
		"not filterable": {`{"all":{"Description":"x","Email":"person.0001@example.com"}}`, "INVALID_FIELD"},
		"no number":      {`{"all":{"Score__c":"many"}}`, "INVALID_FIELD"},
		"no date":        {`{"any":{"Birthdate":"31.1.2026","Email":"x@example.com"}}`, "INVALID_FIELD"},
		"no Id":          {`{"all":{"AccountId":"x"}}`, "INVALID_QUERY_FILTER_OPERATOR"},
		"long text":      {fmt.Sprintf(`{"all":{"Email":%q}}`, strings.Repeat("x", 4001)), "MALFORMED_QUERY"},
		"longer text":    {fmt.Sprintf(`{"all":{"Email":%q}}`, strings.Repeat("x", 14_000)), "INVALID"},
	}
	t.Run("by its match", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, quick())
		r.people(n, person)
		r.put(many(n, good)...)
		for key, p := range poison {
			r.put(matching("update", key, p.match))
		}
		used := r.queries(func() {
			r.start()
			r.drained()
		})
		for key, p := range poison {
			if x := r.get(key); x.State != store.Failed || x.LastError.Code != p.code {
				t.Errorf("%s: %s %+v, want %s", key, x.State, x.LastError, p.code)
			}
		}
		if c := r.counts(); c.Of(store.Delivered) != n || used > 5+len(poison) {
			t.Errorf("counts %v after %d queries", c, used)
		}
		r.oracle()
	})
	for code, charged := range map[string]bool{
		"INVALID_FIELD": false, "QUERY_TOO_COMPLICATED": false, "MALFORMED_QUERY": false, "WHO_KNOWS": false, "QUERY_TIMEOUT": true,
	} {
		t.Run("by "+code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, quick())
			r.people(n, person)
			r.between(func(req *http.Request, _ []byte) ([]byte, bool) {
				return nil, strings.Contains(req.URL.Query().Get("q"), "poisonous")
			}, func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", "application/json;charset=UTF-8")
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `[{"message":"no","errorCode":%q}]`, code)
			})
			r.put(many(n/2, good)...)
			r.put(matching("update", "poison", `{"all":{"Email":"poisonous@example.com"}}`))
			r.put(many(n/2, func(i int) string { return good(i + n/2) })...)
			r.start()
			r.until("the good ones", func() bool { return r.counts().Of(store.Delivered) == n })
			r.until("the poison's end", func() bool {
				x := r.get("poison")
				return x.State == store.Failed || charged && x.Attempts > 1
			})
			if x := r.get("poison"); x.LastError == nil || x.LastError.Code != code {
				t.Errorf("poison: %s %+v", x.State, x.LastError)
			}
			for i := range n {
				if x := r.get(fmt.Sprintf("m-%d", i)); x.LastError != nil {
					t.Errorf("a good one was told %+v", x.LastError)
				}
			}
			r.oracle()
		})
	}
}

// TestMatch_TooComplicatedIsAskedInParts: an org that takes few values at a time.
func TestMatch_TooComplicatedIsAskedInParts(t *testing.T) {
	const n = 200
	r := newRig(t, quick())
	r.people(n, person)
	r.between(func(req *http.Request, _ []byte) ([]byte, bool) {
		return nil, strings.Count(req.URL.Query().Get("q"), "@") > 30
	}, func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `[{"message":"no","errorCode":"QUERY_TOO_COMPLICATED"}]`)
	})
	r.put(many(n, matchContact)...)
	used := r.queries(func() {
		r.start()
		r.delivers(n)
	})
	if used > n/10 {
		t.Errorf("%d queries were answered for %d events", used, n)
	}
	r.oracle()
}

// TestMatch_TooLongIsAskedInParts: a query that never ends is not what the org is
// tried with again and again, and the writes are as large as ever.
func TestMatch_TooLongIsAskedInParts(t *testing.T) {
	t.Parallel()
	const n = 50
	r := newRig(t, quick())
	r.people(n, person)
	slow := func(req *http.Request) bool { return strings.Count(req.URL.Query().Get("q"), "@") > n/2 }
	r.unanswered(slow)
	r.put(many(n, matchContact)...)
	r.start()
	r.delivers(n)
	if x := r.get("m-1"); x.Attempts != 1 {
		t.Errorf("it was charged %d attempts, want 1", x.Attempts)
	}
	if calls := r.sim.Calls().Calls; calls["query"] != 2 || calls["coll.update"]+calls["job.create"] > 3 {
		t.Errorf("calls %v", calls)
	}
	r.oracle()
}

// TestMatch_ThatIsNeverAnsweredStopsNobody: one whose query takes too long even alone is what the org would be tried
// with after each pause.
func TestMatch_ThatIsNeverAnsweredStopsNobody(t *testing.T) {
	t.Parallel()
	const n = 20
	r := newRig(t, quick())
	r.people(n, person)
	r.unanswered(func(req *http.Request) bool { return strings.Contains(req.URL.Query().Get("q"), "person.0000@") })
	r.put(many(n, matchContact)...)
	r.start()
	r.until("the others", func() bool { return r.counts().Of(store.Delivered) == n-1 })
	r.until("it is told and charged", func() bool { x := r.get("m-0"); return x.Attempts > 0 && x.LastError != nil })
}

// TestMatch_AnOrgThatIsAwayChargesNobody: many wait together for it to come back.
func TestMatch_AnOrgThatIsAwayChargesNobody(t *testing.T) {
	const n = 50
	r := newRig(t, quick())
	r.people(n, person)
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "query", Nth: []int{1, 2, 3}}, Do: "status", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "busy"})
	r.put(many(n, matchContact)...)
	used := r.queries(func() {
		r.start()
		r.delivers(n)
	})
	if used != 4 {
		t.Errorf("%d queries, want 4", used)
	}
	for i := range n {
		if x := r.get(fmt.Sprintf("m-%d", i)); x.Attempts != 1 {
			t.Fatalf("event %d was charged %d attempts, want 1", i, x.Attempts)
		}
	}
}

// TestMatch_LiteralsFitTheField: each kind of value finds the record that has it.
func TestMatch_LiteralsFitTheField(t *testing.T) {
	r := newRig(t, quick())
	account := "001000000000001AAA"
	if a, err := r.client().CreateOne(t.Context(), "Account", salesforce.Row{Fields: json.RawMessage(`{"Name":"A"}`)}, salesforce.Headers{}); err != nil || !a.Success {
		t.Fatal(a, err)
	} else {
		account = string(a.ID)
	}
	fields := []string{
		`{"LastName":"a","Score__c":1250.5}`, `{"LastName":"b","Birthdate":"1815-12-10"}`, `{"LastName":"c","Last_Seen__c":"2026-01-31T22:59:59Z"}`,
		`{"LastName":"d","DoNotCall":true}`, fmt.Sprintf(`{"LastName":"e","AccountId":%q}`, account), `{"LastName":"f","Tier__c":"Gold"}`,
		`{"LastName":"g","Title":"\\ ' \" % _ \t \u00fc\ud83d\ude80"}`, `{"LastName":"h","Score__c":1234567890123456.78}`, `{"LastName":"i","Title":"0012"}`,
	}
	ids := r.people(len(fields), func(i int) string { return fields[i] })
	matches := []struct {
		of    int
		match string
	}{
		{0, `{"all":{"Score__c":1.2505e3}}`},
		{0, `{"all":{"score__c":" 1250.50 "}}`},
		{1, `{"all":{"Birthdate":"1815-12-10"}}`},
		{2, `{"all":{"Last_Seen__c":"2026-01-31T23:59:59+01:00"}}`},
		{2, `{"all":{"Last_Seen__c":"2026-01-31T22:59:59.000+0000"}}`},
		{3, `{"all":{"DoNotCall":true}}`},
		{3, `{"all":{"DoNotCall":"TRUE"}}`},
		{4, fmt.Sprintf(`{"all":{"AccountId":%q}}`, account[:15])},
		{5, `{"all":{"Tier__c":"gold"}}`},
		{6, `{"all":{"Title":"\\ ' \" % _ \t \u00fc\ud83d\ude80 "}}`},
		{7, `{"all":{"Score__c":1234567890123456.78}}`},
		{8, `{"all":{"Title":"0012"}}`},
		{8, fmt.Sprintf(`{"all":{"Id":%q,"LastName":"I"}}`, ids[8][:15])},
	}
	for round := range 2 { // each alone, and then all together
		for i, m := range matches {
			r.put(fmt.Sprintf(`{"key":"%d-%d","lane":"%d","object":"Contact","operation":"update","match":%s,"fields":{"Department":"x"}}`, round, i, i, m.match))
			if round == 0 {
				if r.stop == nil {
					r.start()
				}
				r.drained()
			}
		}
	}
	r.delivers(int64(2 * len(matches)))
	for i, m := range matches {
		for round := range 2 {
			if x := r.get(fmt.Sprintf("%d-%d", round, i)); x.ID != ids[m.of] {
				t.Errorf("%s found %s, want %s", m.match, x.ID, ids[m.of])
			}
		}
	}
}

// TestIDOf_ChainsOfMatches: an event waits for the record that another one finds
// or makes, and bears its Id, by REST and by a job.
func TestIDOf_ChainsOfMatches(t *testing.T) {
	for _, n := range []int{4, 60} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, quick())
			ids := r.people(n/2, person) // the others' bosses are made
			child := func(i int) string {
				return fmt.Sprintf(`{"key":"child-%d","object":"Contact","operation":"upsert","match":{"all":{"Email":"child%d@example.com"}},"fields":{"LastName":"C","ReportsToId":{"$id_of":"boss-%d"},%q:"child-%d"}}`, i, i, i, marker, i)
			}
			r.put(many(n, child)...) // before those that they wait for
			r.put(many(n, func(i int) string {
				return matching("upsert", fmt.Sprintf("boss-%d", i), fmt.Sprintf(`{"all":{"Email":"person.%04d@example.com"}}`, i))
			})...)
			r.put(matching("update", "boss-lost", `{"all":{"Email":"nobody@example.com"}}`),
				`{"key":"child-lost","object":"Contact","operation":"create","fields":{"LastName":"C","ReportsToId":{"$id_of":"boss-lost"},"Description":"child-lost"}}`,
				matching("update", "boss-dropped", `{"all":{"Email":"nobody@example.com","Phone":"1"}}`),
				`{"key":"child-dropped","object":"Contact","operation":"create","fields":{"LastName":"C","ReportsToId":{"$id_of":"boss-dropped"}}}`)
			r.start()
			r.until("all but the lost", func() bool { return r.counts().Of(store.Delivered) == int64(2*n) })
			r.until("two bosses are not found", func() bool { return r.counts().Of(store.Failed) == 2 })
			if _, err := r.store.Drop(t.Context(), "boss-dropped", store.Move{ID: "drop", By: "op"}); err != nil {
				t.Fatal(err)
			}
			for _, lost := range []string{"lost", "dropped"} {
				if x := r.get("child-" + lost); x.State != store.Pending || x.Reason != store.ReasonBlocked || x.BlockedBy != "boss-"+lost {
					t.Errorf("the child of a boss that is %s: %s, %s by %s", lost, x.State, x.Reason, x.BlockedBy)
				}
			}
			late := r.people(1, func(int) string { return `{"LastName":"Late","Email":"nobody@example.com"}` })
			if _, err := r.store.Retry(t.Context(), "boss-lost", store.Move{ID: "retry", By: "op"}, nil); err != nil {
				t.Fatal(err)
			}
			r.until("the child of who was found at last", func() bool { return r.get("child-lost").State == store.Delivered })
			boss := make(map[any]any)
			for _, row := range r.sim.Records("Contact") {
				boss[row[marker]] = row["ReportsToId"]
			}
			if boss["child-lost"] != late[0] {
				t.Errorf("the late boss's child reports to %v, want %s", boss["child-lost"], late[0])
			}
			for i := range n {
				b, key := r.get(fmt.Sprintf("boss-%d", i)), fmt.Sprintf("child-%d", i)
				if b.Created != (i >= len(ids)) || i < len(ids) && b.ID != ids[i] {
					t.Errorf("boss %d: %s, created %t", i, b.ID, b.Created)
				}
				if boss[key] != b.ID {
					t.Errorf("%s reports to %v, want %s", key, boss[key], b.ID)
				}
			}
			r.oracle()
		})
	}
}

// TestMatch_OneByOneInALane: two events that name their record alike are never looked for by one query.
func TestMatch_OneByOneInALane(t *testing.T) {
	r := newRig(t, quick())
	const n, rounds = 30, 4
	r.people(n, person)
	r.between(func(req *http.Request, _ []byte) ([]byte, bool) {
		q := strings.ToLower(req.URL.Query().Get("q"))
		for i := range n {
			if strings.Count(q, fmt.Sprintf("person.%04d@", i)) > 1 {
				t.Errorf("one query asks twice for person %d", i)
			}
		}
		return nil, false
	}, nil)
	for round := range rounds {
		r.put(many(n, func(i int) string {
			email := fmt.Sprintf("person.%04d@example.com", i)
			if round%2 == 1 {
				email = strings.ToUpper(email)
			}
			return matching("update", fmt.Sprintf("r%d-%d", round, i), fmt.Sprintf(`{"all":{"Email":%q}}`, email))
		})...)
	}
	r.start()
	r.delivers(n * rounds)
	r.oracle()
	r.inOrder()
	for _, row := range r.sim.Records("Contact") {
		if key := row[marker].(string); !strings.HasPrefix(key, fmt.Sprintf("r%d-", rounds-1)) {
			t.Errorf("a record bears %s at the end", key)
		}
	}
}
