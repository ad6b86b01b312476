package server

import (
	"strings"
	"testing"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

func filterReason(reason string) client.Filter { return client.Filter{Reason: reason} }

func TestRetry_MergesFieldsAndKeepsTheOldOnes(t *testing.T) {
	r := start(t)
	r.put(strings.Replace(contact("k", "1"), `"LastName":"Lovelace"`, `"LastName":"Lovelace","Nope__c":1,"FirstName":"Ada…"`, 1))
	r.settle(store.KindREST, failTooLong)
	d := want[api.Document](t, r.post("/v1/events/k/retry", `{"fields":{"FirstName":"Ada"},"unset":["Nope__c"]}`), 200)
	if d.State != "pending" || string(d.Fields) != `{"LastName":"Lovelace","FirstName":"Ada"}` || d.Attempts != 0 {
		t.Errorf("got %+v, fields %s", d, d.Fields)
	}
	last := d.History[len(d.History)-1]
	if last.From != "failed" || last.To != "pending" || last.By == "" || string(last.Old) != `{"Nope__c":1,"FirstName":"Ada…"}` {
		t.Errorf("history ends in %+v, old %s", last, last.Old)
	}
	if _, poked := r.dispatch.count(); poked == 0 {
		t.Error("the dispatcher was not told")
	}
	if !strings.Contains(r.log.String(), "operator's move") {
		t.Error("no audit line")
	}
	// The app's honest repeat is still a duplicate.
	original := strings.Replace(contact("k", "1"), `"LastName":"Lovelace"`, `"LastName":"Lovelace","Nope__c":1,"FirstName":"Ada…"`, 1)
	if a := r.post("/v1/events", original); a.status != 200 {
		t.Errorf("the repeat is answered %d %s", a.status, a.body)
	}
}

func TestRetry_RepeatedWithItsKeyIsOneMove(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	r.settle(store.KindREST, failTooLong)
	move := func() answer {
		return r.do("POST", "/v1/events/k/retry", `{"fields":{"FirstName":"Ada"}}`, "Content-Type", api.JSON, "Idempotency-Key", "m-1")
	}
	want[api.Document](t, move(), 200)
	want[api.Document](t, move(), 200)
	wantProblem(t, r.post("/v1/events/k/retry", ""), 409, api.CodeWrongState)
	wantProblem(t, r.post("/v1/events/k/retry", `{"fields":{"FirstName":"Eve"}}`), 409, api.CodeWrongState)
}

func TestRetry_EditMeetsAConflict(t *testing.T) {
	for _, tt := range []struct {
		name   string
		times  int
		status int
	}{{"once", 1, 200}, {"for ever", 1000, 503}} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			r.put(contact("k", "1"))
			r.settle(store.KindREST, failTooLong)
			left := tt.times
			r.fail(func(method string) storetest.Fault {
				if method != "Retry" || left == 0 {
					return storetest.Fault{}
				}
				left--
				return storetest.Fault{Err: store.ErrConflict}
			})
			if a := r.post("/v1/events/k/retry", `{"fields":{"FirstName":"Ada"}}`); a.status != tt.status {
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}
}

func TestRetry_RefusesEditsThatAreNone(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	r.settle(store.KindREST, failTooLong)
	for _, tt := range []struct {
		name, body string
		status     int
		code       api.Code
	}{
		{"names another record", `{"fields":{"Shop_Id__c":"2"}}`, 400, api.CodeInvalidEvent},
		{"an Id", `{"fields":{"Id":"0035e00000Kp7QaAAJ"}}`, 400, api.CodeInvalidEvent},
		{"unsets what is not there", `{"unset":["Nope__c"]}`, 400, api.CodeInvalidEvent},
		{"refers to a new event", `{"fields":{"AccountId":{"$id_of":"other"}}}`, 400, api.CodeInvalidEvent},
		{"fields are no object", `{"fields":[]}`, 400, api.CodeInvalidEvent},
		{"unknown member", `{"filds":{}}`, 400, api.CodeInvalidRequest},
		{"wrong type", `{"unset":"a"}`, 400, api.CodeInvalidRequest},
		{"doubled member", `{"unset":[],"unset":[]}`, 400, api.CodeMalformed},
		{"not JSON", `{`, 400, api.CodeMalformed},
		{"too large", `{"fields":{"A":"` + strings.Repeat("x", api.MaxEvent) + `"}}`, 413, api.CodeTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) { wantProblem(t, r.post("/v1/events/k/retry", tt.body), tt.status, tt.code) })
	}
	wantProblem(t, r.do("POST", "/v1/events/k/retry", "{}", "Content-Type", "text/plain"), 415, api.CodeUnsupportedMediaType)
	if d := want[api.Document](t, r.get("/v1/events/k"), 200); d.State != "failed" {
		t.Errorf("state %q", d.State)
	}
	want[api.Document](t, r.post("/v1/events/k/retry", `{"fields":{"shop_id__c":"1"}}`), 200)
}

func TestMoves_FromTheWrongState(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	for _, verb := range []string{"retry", "resolve"} {
		body := map[string]string{"resolve": `{"delivered":false}`}[verb]
		p := wantProblem(t, r.post("/v1/events/k/"+verb, body), 409, api.CodeWrongState)
		if p.Key != "k" {
			t.Errorf("%s: key %q", verb, p.Key)
		}
		wantProblem(t, r.post("/v1/events/other/"+verb, body), 404, api.CodeUnknownKey)
	}
	if d := want[api.Document](t, r.post("/v1/events/k/drop", ""), 200); d.State != "dropped" || len(d.Fields) != 0 {
		t.Errorf("got %+v", d)
	}
	wantProblem(t, r.post("/v1/events/k/drop", ""), 409, api.CodeWrongState)
	wantProblem(t, r.post("/v1/events/other/drop", ""), 404, api.CodeUnknownKey)
}

func TestRetry_SupersededByAFollower(t *testing.T) {
	r := start(t)
	r.put(contact("old", "1"))
	r.settle(store.KindREST, func(c store.Claimed) store.Outcome {
		o := failTooLong(c)
		o.Skip = true
		return o
	})
	r.put(contact("new", "1"))
	r.settle(store.KindREST, deliver)
	wantProblem(t, r.post("/v1/events/old/retry", ""), 409, api.CodeSuperseded)
}

func TestResolve_EndsADoubt(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	r.settle(store.KindREST, doubt)
	for _, body := range []string{"", "{}", `{"delivered":null}`, `{"delivered":true,"id":"short"}`, `{"delivered":false,"id":"0035e00000Kp7QaAAJ"}`, `{"delivered":"yes"}`} {
		wantProblem(t, r.post("/v1/events/k/resolve", body), 400, api.CodeInvalidRequest)
	}
	if d := want[api.Document](t, r.post("/v1/events/k/resolve", `{"delivered":false}`), 200); d.State != "pending" {
		t.Errorf("got %+v", d)
	}
}

func TestMany_DryRunChangesNothing(t *testing.T) {
	r := start(t)
	for _, id := range []string{"1", "2", "3"} {
		r.put(contact("k-"+id, id))
	}
	r.settle(store.KindREST, failTooLong)
	r.put(contact("later", "1"))
	r.look()
	if m := want[api.Moved](t, r.post("/v1/stuck/retry?dry_run=true&object=Contact", ""), 200); m.Matched != 4 || m.Changed != 3 {
		t.Errorf("dry run: %+v", m)
	}
	if st, _ := r.client.Status(t.Context()); st.Counts.Failed != 3 {
		t.Errorf("a dry run left %d failed", st.Counts.Failed)
	}
	if m := want[api.Moved](t, r.post("/v1/stuck/retry?code=OTHER", ""), 200); m != (api.Moved{}) {
		t.Errorf("other code: %+v", m)
	}
	if m := want[api.Moved](t, r.post("/v1/stuck/drop?reason=failed&code=STRING_TOO_LONG", ""), 200); m.Matched != 3 || m.Changed != 3 {
		t.Errorf("drop: %+v", m)
	}
	if st, _ := r.client.Status(t.Context()); st.Counts.Dropped != 3 || st.Counts.Pending != 1 {
		t.Errorf("after the drop: %+v", st.Counts)
	}
}

func TestPauseResumeFlush(t *testing.T) {
	r := start(t)
	want[api.Status](t, r.post("/v1/pause", ""), 200)
	if f, err := r.store.Facts(t.Context()); err != nil || !f.Paused || f.PausedBy == "" {
		t.Errorf("facts %+v, %v", f, err)
	}
	r.put(contact("k", "1")) // accepting goes on
	want[api.Status](t, r.post("/v1/resume", ""), 200)
	if f, _ := r.store.Facts(t.Context()); f.Paused {
		t.Error("still paused")
	}
	want[api.Status](t, r.post("/v1/flush", "{}"), 200)
	if flushed, poked := r.dispatch.count(); flushed != 1 || poked != 3 {
		t.Errorf("flushed %d, poked %d", flushed, poked)
	}
	wantProblem(t, r.post("/v1/flush", `{"now":true}`), 400, api.CodeInvalidRequest)
}

func TestResume_NeedsTheConfirmation(t *testing.T) {
	r := start(t)
	for _, org := range []string{"00D5e000000abcdEAA", "00D5e000000otheEAA"} {
		_, err := r.store.SetOrg(t.Context(), org, "https://acme.my.salesforce.com")
		must(t, err)
	}
	p := wantProblem(t, r.post("/v1/resume", ""), 409, api.CodeConfirmationNeeded)
	if !strings.Contains(p.Detail, "accept_org") || !strings.Contains(p.Detail, "00D5e000000otheEAA") {
		t.Errorf("detail %q", p.Detail)
	}
	wantProblem(t, r.post("/v1/resume", `{"accept_restore":true}`), 409, api.CodeConfirmationNeeded)
	st := want[api.Status](t, r.post("/v1/resume", `{"accept_org":true}`), 200)
	if st.Org == nil || st.Org.ID != "00D5e000000otheEAA" {
		t.Errorf("org %+v", st.Org)
	}
}
