package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

func refuseNope(e *event.Event) []api.ProblemError {
	if !bytes.Contains(e.Fields, []byte("Nope__c")) {
		return nil
	}
	return []api.ProblemError{{Path: "fields.Nope__c", Detail: "Contact has no such field"}}
}

func TestEvent_KeysSurviveTheirURL(t *testing.T) {
	r := start(t)
	for i, key := range []string{"a/b", "a%2Fb", "%", "a?b#c", "ü ö", "...", "a/../b", "/", `"q"`, "x/retry", "+a+", "%00"} {
		text, err := json.Marshal(key)
		must(t, err)
		r.put(strings.Replace(contact("KEY", fmt.Sprint(i)), `"KEY"`, string(text), 1))
		got := want[api.Document](t, r.get("/v1/events/"+url.PathEscape(key)), 200)
		if got.Key != key {
			t.Errorf("asked for %q, got %q", key, got.Key)
		}
		if d, err := r.client.Event(t.Context(), key, 0); err != nil || d.Key != key {
			t.Errorf("client asked for %q, got %q, %v", key, d.Key, err)
		}
	}
	for _, path := range []string{"/v1/events/no-such", "/v1/events/%00", "/v1/events/%FF", "/v1/events/..%2f"} {
		wantProblem(t, r.get(path), 404, api.CodeUnknownKey)
	}
	for _, path := range []string{"/v1/events/a/b", "/v1/events/", "/v1/events//", "/v1//status", "/v1/status/", "/", "/v1/attempts/a/b"} {
		wantProblem(t, r.get(path), 404, api.CodeNotFound)
	}
}

func TestEvent_ShowsItsOwnMembersAndItsState(t *testing.T) {
	r := start(t)
	r.put(`{"key":"k","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":1187.50},
		"fields":{"Score__c":1.10,"Text__c":"<&>"},"after":["first"],"not_before":"2020-01-01T01:00:00.5+01:00",
		"expires_at":"2099-01-01T00:00:00Z","source":"shop","meta":{"a":"b"}}`)
	d := want[map[string]json.RawMessage](t, r.get("/v1/events/k"), 200)
	for member, value := range map[string]string{
		"key": `"k"`, "seq": "1", "state": `"pending"`, "object": `"Contact"`, "operation": `"upsert"`,
		"external_id": `{"field":"Shop_Id__c","value":1187.50}`, "fields": `{"Score__c":1.10,"Text__c":"<&>"}`,
		"after": `["first"]`, "not_before": `"2020-01-01T00:00:00.500Z"`, "expires_at": `"2099-01-01T00:00:00.000Z"`,
		"source": `"shop"`, "meta": `{"a":"b"}`, "attempts": "0", "lane": `"contact/shop_id__c/1187.5"`,
		"reason": `"blocked"`, "blocked_by": `"first"`,
	} {
		if string(d[member]) != value {
			t.Errorf("%s is %s, want %s", member, d[member], value)
		}
	}
	for member, value := range d {
		if string(value) == "null" {
			t.Errorf("%s is null", member)
		}
	}
	for _, absent := range []string{"salesforce_id", "created", "ended_at", "doubt", "last_error", "id", "match", "via"} {
		if v, ok := d[absent]; ok {
			t.Errorf("%s is there: %s", absent, v)
		}
	}
}

func TestEvent_ShowsWhatBecameOfIt(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	attempt := r.settle(store.KindREST, failTooLong)
	d := want[api.Document](t, r.get("/v1/events/k"), 200)
	if d.State != "failed" || d.Reason != "failed" || d.LastError == nil || d.LastError.Code != "STRING_TOO_LONG" ||
		d.LastError.AttemptID != string(attempt) || d.Via != "rest" || d.Since.IsZero() || d.SentAt.IsZero() || len(d.Fields) == 0 {
		t.Errorf("failed: %+v", d)
	}
	want[api.Document](t, r.post("/v1/events/k/retry", ""), 200)
	r.settle(store.KindREST, doubt)
	d = want[api.Document](t, r.get("/v1/events/k"), 200)
	if d.State != "in_doubt" || d.Doubt == nil || d.Doubt.Code != "TRANSPORT" || d.Doubt.SentAt.IsZero() {
		t.Errorf("in doubt: %+v", d)
	}
	want[api.Document](t, r.post("/v1/events/k/resolve", `{"delivered":true,"id":"0035e00000Kp7Qa"}`), 200)
	d = want[api.Document](t, r.get("/v1/events/k"), 200)
	if d.State != "delivered" || d.SalesforceID != "0035e00000Kp7QaAAJ" || d.Created == nil || d.EndedAt.IsZero() || len(d.Fields) != 0 || d.Reason != "" {
		t.Errorf("delivered: %+v", d)
	}
	for i, h := range d.History {
		if h.To == "" || h.At.IsZero() {
			t.Errorf("history %d: %+v", i, h)
		}
	}
}

func TestEvent_WaitEndsWithTheOutcome(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	done := make(chan api.Document, 1)
	go func() {
		d, err := r.client.Event(r.ctx, "k", time.Minute)
		if err != nil {
			t.Error(err)
		}
		done <- d
	}()
	until(t, func() bool { return r.server.waiters.total() == 1 })
	r.settle(store.KindREST, deliver)
	if d := <-done; d.State != "delivered" {
		t.Errorf("waited for state %q", d.State)
	}
	if d, err := r.client.Event(r.ctx, "k", time.Minute); err != nil || d.State != "delivered" {
		t.Errorf("a settled event is answered %+v, %v", d, err)
	}
	wantProblem(t, r.get("/v1/events/other?wait=1m"), 404, api.CodeUnknownKey)
}

func TestEvent_WaitEndsInTimeAndWhenTheServerStops(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	if d := want[api.Document](t, r.get("/v1/events/k?wait=10ms"), 200); d.State != "pending" {
		t.Errorf("state %q", d.State)
	}
	done := make(chan answer, 1)
	go func() { done <- r.get("/v1/events/k?wait=5m") }()
	until(t, func() bool { return r.server.waiters.total() == 1 })
	r.server.Stop()
	if d := want[api.Document](t, <-done, 200); d.State != "pending" {
		t.Errorf("state %q", d.State)
	}
}

func TestEvent_WaitersAreBounded(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	uid := uint32(os.Getuid())
	for range maxWaiters {
		r.server.waiters.take(uid)
	}
	wantProblem(t, r.get("/v1/events/k?wait=1m"), 429, api.CodeRateLimited)
	want[api.Document](t, r.get("/v1/events/k"), 200)
}

func TestList_FiltersAndPages(t *testing.T) {
	r := start(t)
	var lines []string
	for i := range 250 {
		lines = append(lines, contact(fmt.Sprint("k-", i), fmt.Sprint(i)))
	}
	lines = append(lines, `{"key":"lead","object":"Lead","operation":"create","source":"web","fields":{"LastName":"L"}}`)
	if got := results(t, r.ndjson("/v1/events", lines...)); len(got) != 251 {
		t.Fatal(len(got))
	}
	var keys []string
	path := "/v1/events?object=Contact&limit=99&state=pending,failed"
	for cursor := ""; ; {
		page := want[api.EventPage](t, r.get(path+"&cursor="+cursor), 200)
		for _, e := range page.Events {
			keys = append(keys, e.Key)
			if len(e.Fields) != 0 || len(e.History) != 0 {
				t.Fatalf("a list shows payloads unasked: %+v", e)
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(keys) != 250 || keys[0] != "k-0" || keys[249] != "k-249" {
		t.Errorf("pages gave %d events", len(keys))
	}
	page := want[api.EventPage](t, r.get("/v1/events?source=web&operation=create&payload=true"), 200)
	if len(page.Events) != 1 || page.Events[0].Key != "lead" || len(page.Events[0].Fields) == 0 || len(page.Events[0].History) == 0 {
		t.Errorf("got %+v", page)
	}
	if page := want[api.EventPage](t, r.get("/v1/events?state=dropped"), 200); page.Events == nil || len(page.Events) != 0 {
		t.Errorf("an empty page is %+v", page)
	}
	if n := strings.Count(r.get("/v1/events", "Accept", "application/json;q=0.5, application/x-ndjson").body, "\n"); n != 251 {
		t.Errorf("the stream has %d lines", n)
	}
	if n := strings.Count(r.get("/v1/events?limit=7", "Accept", api.NDJSON).body, "\n"); n != 7 {
		t.Errorf("the stream with a limit has %d lines", n)
	}
}

func TestQuery_RefusesWhatItDoesNotTake(t *testing.T) {
	r := start(t)
	for _, path := range []string{
		"/v1/events?stat=failed", "/v1/events?limit=0", "/v1/events?limit=1001", "/v1/events?limit=x", "/v1/events?limit=1&limit=2",
		"/v1/events?state=lost", "/v1/events?operation=merge", "/v1/events?older_than=-1s", "/v1/events?older_than=3",
		"/v1/events?cursor=!", "/v1/events?payload=yes", "/v1/events?a=%zz", "/v1/events?a;b", "/v1/events?reason=failed",
		"/v1/stuck?reason=lazy", "/v1/stuck?cursor=!", "/v1/events/k?wait=6m", "/v1/events/k?wait=x", "/v1/events/k?x=1",
		"/v1/status?x=1", "/v1/attempts?limit=-1", "/v1/attempts?cursor=!", "/v1/attempts/x?x=1", "/v1/backup?x=1",
		"/v1/outcomes?after=!", "/v1/outcomes?follow=maybe", "/v1/outcomes?cursor=x",
	} {
		p := wantProblem(t, r.get(path), 400, api.CodeInvalidQuery)
		if p.Detail == "" {
			t.Errorf("%s: no detail", path)
		}
	}
	for _, path := range []string{"/v1/stuck/drop?limit=10", "/v1/stuck/retry?cursor=x", "/v1/stuck/drop?dry_run=1", "/v1/pause?x=1", "/v1/events/k/retry?x=1", "/v1/events?atomic=1"} {
		a := r.do("POST", path, contact("k", "1"), "Content-Type", api.JSON)
		wantProblem(t, a, 400, api.CodeInvalidQuery)
	}
}

func TestStuck_HasReasonsAndASummary(t *testing.T) {
	r := start(t)
	for i := range 3 {
		r.put(contact(fmt.Sprint("f-", i), fmt.Sprint(i)))
	}
	r.settle(store.KindREST, failTooLong)
	r.put(contact("later", "1"))
	r.look()
	page := want[api.StuckPage](t, r.get("/v1/stuck"), 200)
	if page.Total != 4 || len(page.Stuck) != 4 || len(page.Summary) != 2 {
		t.Fatalf("got %+v", page)
	}
	blocked := page.Stuck[3]
	if blocked.Key != "later" || blocked.Reason != "blocked" || blocked.BlockedBy != "f-1" {
		t.Errorf("got %+v", blocked)
	}
	for _, g := range page.Summary {
		if g.Reason == "failed" && (g.Count != 3 || g.Code != "STRING_TOO_LONG" || g.Object != "Contact" || g.Example == "" || g.Oldest.IsZero()) {
			t.Errorf("summary %+v", g)
		}
	}
	page = want[api.StuckPage](t, r.get("/v1/stuck?reason=failed&limit=1&code=STRING_TOO_LONG"), 200)
	if len(page.Stuck) != 1 || page.Total != 3 || page.NextCursor == "" {
		t.Errorf("got %+v", page)
	}
	var keys []string
	must(t, r.client.EachStuck(t.Context(), filterReason("failed"), func(d api.Document) error { keys = append(keys, d.Key); return nil }))
	if strings.Join(keys, " ") != "f-0 f-1 f-2" {
		t.Errorf("the stream has %v", keys)
	}
}

func TestStatus_CountsWhatIsThere(t *testing.T) {
	r := start(t)
	r.dispatch.budget = &api.Budget{Allowance: api.Allowance{Used: 10, Max: 100, Reserve: 20}}
	_, err := r.store.SetOrg(t.Context(), "00D5e000000abcdEAA", "https://acme.my.salesforce.com")
	must(t, err)
	r.put(contact("a", "1"))
	r.put(contact("b", "2"))
	r.settle(store.KindREST, func(c store.Claimed) store.Outcome {
		if c.Key == "a" {
			return deliver(c)
		}
		return failTooLong(c)
	})
	r.put(contact("c", "3"))
	st := want[api.Status](t, r.get("/v1/status"), 200)
	if st.Version != "1.0.0" || st.Accepted != 3 || st.Counts != (api.Counts{Pending: 1, Delivered: 1, Failed: 1}) ||
		st.Stuck.Failed != 1 || st.Objects["Contact"] != (api.ObjectCounts{Pending: 1, Delivered: 1, Failed: 1}) ||
		st.Org == nil || st.Org.ID != "00D5e000000abcdEAA" || st.APIBudget.Used != 10 || st.Breaker.State != "closed" ||
		st.Store.MaxBytes != 64<<20 || st.Store.Bytes == 0 || st.StartedAt.IsZero() {
		t.Errorf("got %+v", st)
	}
}

func TestRates_AreMeansOverTheWindow(t *testing.T) {
	var r rates
	begin := time.Now()
	if got := r.now(sample{at: begin, accepted: 5}); got != (api.Rates{}) {
		t.Errorf("without a sample: %+v", got)
	}
	for i := range 100 {
		r.add(sample{at: begin.Add(time.Duration(i) * time.Second), accepted: int64(i * 20), delivered: int64(i * 10)})
	}
	got := r.now(sample{at: begin.Add(100 * time.Second), accepted: 2000, delivered: 1000})
	if got.AcceptedPerSecond != 20 || got.DeliveredPerSecond != 10 || len(r.samples) > 32 {
		t.Errorf("got %+v of %d samples", got, len(r.samples))
	}
}

func TestAttempts_NewestFirst(t *testing.T) {
	r := start(t)
	for i := range 3 {
		r.put(contact(fmt.Sprint("k-", i), fmt.Sprint(i)))
		r.settle(store.KindREST, deliver)
	}
	page := want[api.AttemptPage](t, r.get("/v1/attempts?limit=2"), 200)
	if len(page.Attempts) != 2 || page.NextCursor == "" || page.Attempts[0].StartedAt.Before(page.Attempts[1].StartedAt.Time) {
		t.Errorf("got %+v", page)
	}
	a := want[api.Attempt](t, r.get("/v1/attempts/"+page.Attempts[0].ID), 200)
	if a.Kind != "rest" || a.Object != "Contact" || a.Operation != "upsert" || a.Phase != "done" || a.Counts.Succeeded != 1 || a.EndedAt.IsZero() {
		t.Errorf("got %+v", a)
	}
	next := want[api.AttemptPage](t, r.get("/v1/attempts?limit=2&cursor="+page.NextCursor), 200)
	if len(next.Attempts) != 1 {
		t.Errorf("got %+v", next)
	}
	wantProblem(t, r.get("/v1/attempts/no-such"), 404, api.CodeNotFound)
}

func TestBackup_IsAStoreOfItsOwn(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	var copied bytes.Buffer
	n, err := r.client.Backup(t.Context(), &copied)
	if err != nil || n != int64(copied.Len()) || n == 0 {
		t.Fatalf("Backup() = %d, %v", n, err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	must(t, os.WriteFile(path, copied.Bytes(), 0o600))
	s, err := store.Open(path, store.Options{ReadOnly: true})
	must(t, err)
	defer s.Close()
	if rec, err := s.Get(t.Context(), "k"); err != nil || rec.Key != "k" {
		t.Errorf("Get() = %+v, %v", rec, err)
	}
	r.server.backups.take()
	wantProblem(t, r.get("/v1/backup"), 429, api.CodeRateLimited)
	r.server.backups.done()
	r.failAt("Backup", storetest.Unavailable)
	wantProblem(t, r.get("/v1/backup"), 503, api.CodeUnavailable)
}

// until waits for something that another goroutine is about to do.
func until(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
		time.Sleep(time.Millisecond)
	}
}
