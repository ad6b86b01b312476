package dispatcher_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// landed writes a record as an earlier sending did whose answer nobody heard.
func (r *rig) landed(fields string) {
	r.t.Helper()
	row := salesforce.Row{Fields: json.RawMessage(fields)}
	if answers, err := r.client().Create(r.t.Context(), "Contact", []salesforce.Row{row}, salesforce.Headers{}); err != nil || !answers[0].Success {
		r.t.Fatal(answers, err)
	}
}

// restored is a copy of the store as it is now, opened and accepted later.
func (r *rig) restored(accept bool, between func()) {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "outbox.db")
	if err := copyStore(r.store, path); err != nil {
		r.t.Fatal(err)
	}
	between()
	old, err := store.Open(path, store.Options{LateWindow: r.cfg.REST.LateWindow})
	if err != nil {
		r.t.Fatal(err)
	}
	before := r.store
	r.store, r.outbox = old, old
	r.t.Cleanup(func() {
		r.store, r.outbox = before, before
		old.Close()
	})
	if accept {
		if err := old.Resume(r.t.Context(), "op", store.Acceptance{Restore: true}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestSentKey_StaysThatOfTheFirstSending: what was sent without a key is not
// found by the field that a later attempt, which sent nothing, would have used.
func TestSentKey_StaysThatOfTheFirstSending(t *testing.T) {
	cfg := quick()
	cfg.REST.LateWindow = time.Hour
	cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	r := newRig(t, cfg)
	r.put(createContact(1))
	r.landed(`{"LastName":"L1","Description":"c-0001"}`)
	r.sentBefore("")
	r.underWay(createRoute, 1)
	r.start()
	r.drained()
	if x := r.get("c-0001"); x.State != store.InDoubt {
		t.Errorf("%s %+v, want in doubt", x.State, x.LastError)
	}
	r.oracle()
}

// TestEdit_OfACreateThatWasSent: what stands at the org has perhaps the values
// from before the edit, so it is no delivery of the event as it is now.
func TestEdit_OfACreateThatWasSent(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	cfg.Retry.MaxAttempts = 1
	r := newRig(t, cfg)
	r.put(createContact(1))
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.create", Nth: []int{1}}, Do: "drop_after"})
	r.start()
	r.drained()
	edit := &store.Edit{Payload: []byte(`{"LastName":"EDITED","Description":"c-0001"}`), Rev: r.get("c-0001").Rev}
	if _, err := r.store.Retry(t.Context(), "c-0001", store.Move{ID: "m", By: "op"}, edit); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.drained()
	id := fmt.Sprint(r.sim.Records("Contact")[0]["Id"])
	if x := r.get("c-0001"); x.State != store.Failed || x.LastError.Code != "KEY_EXISTS" || !strings.Contains(x.LastError.Message, id) {
		t.Errorf("%s %+v, want failed with KEY_EXISTS and the Id %s", x.State, x.LastError, id)
	}
	if n := len(r.sim.Records("Contact")); n != 1 {
		t.Errorf("%d records, want the first one only", n)
	}
}

// TestRestored_FollowersWaitForWhatMayStillArrive: what the outbox sent before
// the restore may land after the head was sent again.
func TestRestored_FollowersWaitForWhatMayStillArrive(t *testing.T) {
	cfg := quick()
	cfg.REST.LateWindow = time.Hour
	r := newRig(t, cfg)
	line := `{"key":"%s","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"Z"},"fields":{"LastName":"%[1]s","Description":"%[1]s"}}`
	r.put(fmt.Sprintf(line, "a"), fmt.Sprintf(line, "b"))
	r.restored(true, func() {})
	r.start()
	r.until("the head is delivered", func() bool { return r.get("a").State == store.Delivered })
	r.halt()
	term, err := r.store.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	route := store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}
	_, claimed, err := r.store.Claim(t.Context(), term, "next", store.ClaimSpec{Route: route, Kind: store.KindREST, MaxRecords: 10, MaxBytes: 1 << 20})
	if err != nil || len(claimed) > 0 || r.get("b").State != store.Pending {
		t.Errorf("the follower is %s, claimed %d, %v; want it to wait", r.get("b").State, len(claimed), err)
	}
}

// TestRestored_ExpiryWaitsForTheOperator: an event of a backup may have been
// delivered before it expired.
func TestRestored_ExpiryWaitsForTheOperator(t *testing.T) {
	r := newRig(t, quick())
	e := r.parse(createContact(1))
	e.ExpiresAt = time.Now().Add(50 * time.Millisecond)
	if _, err := r.store.Put(t.Context(), []store.Event{e}, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	r.restored(false, func() {})
	r.until("its time is over", func() bool { return time.Now().After(e.ExpiresAt) })
	sweep := func() {
		t.Helper()
		term, err := r.store.Hold(t.Context())
		if err == nil {
			_, err = r.store.Sweep(t.Context(), term)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if x := r.get("c-0001"); x.State != store.Pending {
		t.Fatalf("%s %+v before the restore is accepted, want pending", x.State, x.LastError)
	}
	if err := r.store.Resume(t.Context(), "op", store.Acceptance{Restore: true}); err != nil {
		t.Fatal(err)
	}
	sweep()
	if x := r.get("c-0001"); x.State != store.Failed || !strings.Contains(x.LastError.Message, "may have reached the org") {
		t.Errorf("%s %+v, want failed with a word of the sending", x.State, x.LastError)
	}
}

// TestUnfit_WhatWasSentBeforeIsInDoubt: an object that is refused now proves
// nothing about what was sent when it was not.
func TestUnfit_WhatWasSentBeforeIsInDoubt(t *testing.T) {
	r := newRig(t, quick())
	r.put(createContact(1))
	r.landed(`{"LastName":"L1","Description":"c-0001"}`)
	r.sentBefore("")
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "describe"}, Do: "status", Status: 404, Code: "NOT_FOUND", Message: "The requested resource does not exist"})
	r.start()
	r.drained()
	if x := r.get("c-0001"); x.State != store.InDoubt {
		t.Errorf("%s %+v, want in doubt", x.State, x.LastError)
	}
	r.oracle()
}

// TestResults_WithoutTheColumnThatTellsRowsApart: the success of one create is
// not given to another one that was sent with other values.
func TestResults_WithoutTheColumnThatTellsRowsApart(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(3, func(i int) string {
		return fmt.Sprintf(`{"key":"c-%d","object":"Contact","operation":"create","fields":{"LastName":"L","Description":"c-%[1]d"}}`, i)
	})...)
	r.faults(simulator.Fault{Match: simulator.Match{Nth: []int{1}}, Do: "row_error", Code: "UNABLE_TO_LOCK_ROW"})
	odd := &oddOrg{Org: r.client()}
	odd.rows = func(_ string, _ []string, rows []salesforce.ResultRow) []salesforce.ResultRow {
		for i := range rows {
			rows[i].Cells = rows[i].Cells[:0]
		}
		return rows
	}
	r.startWith(odd)
	r.drained()
	if n := r.counts().Of(store.InDoubt); n != 3 {
		t.Errorf("%d in doubt, want all 3", n)
	}
	r.oracle()
}

// TestOtherOrg_ADeleteThereIsNoneHere: what is not found at this org was not
// deleted by what went to the other one.
func TestOtherOrg_ADeleteThereIsNoneHere(t *testing.T) {
	r := newRig(t, quick())
	if _, err := r.store.SetOrg(t.Context(), "00D000000000111AAA", "https://a"); err != nil {
		t.Fatal(err)
	}
	r.put(`{"key":"d","object":"Contact","operation":"delete","id":"0035e00000Kp7QaAAJ"}`)
	r.underWay(store.Route{Object: "Contact", Operation: "delete"}, 1)
	r.start()
	r.until("the other org is met", func() bool { f, _ := r.store.Facts(t.Context()); return f.OtherOrg != "" })
	if err := r.store.Resume(t.Context(), "op", store.Acceptance{Org: true}); err != nil {
		t.Fatal(err)
	}
	r.d.Poke()
	r.drained()
	if x := r.get("d"); x.State != store.Failed {
		t.Errorf("%s %+v, want failed", x.State, x.LastError)
	}
}
