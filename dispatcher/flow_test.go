package dispatcher_test

import (
	"fmt"
	"testing"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/store"
)

func TestUpsert_FewByRESTManyByJob(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(5, upsertContact)...)
	r.start()
	r.delivers(5)
	if x := r.get("u-0003"); x.Kind != store.KindREST || !x.Created || x.ID == "" {
		t.Errorf("record %+v", x)
	}
	r.halt()
	r.put(many(150, func(i int) string { return upsertContact(i + 5) })...)
	r.start()
	r.delivers(155)
	if x := r.get("u-0040"); x.Kind != store.KindBulk || !x.Created || x.ID == "" || x.JobID == "" {
		t.Errorf("record %+v", x)
	}
	r.oracle()
}

func TestCreate_ByJobWhateverTheNumber(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(3, createContact)...)
	r.start()
	r.delivers(3)
	for i := range 3 {
		if x := r.get(fmt.Sprintf("c-%04d", i)); x.Kind != store.KindBulk || !x.Created || x.ID == "" {
			t.Errorf("record %+v", x)
		}
	}
	r.oracle()
}

func TestCreate_KeyFieldGoesByREST(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: "outbox_key__c"}
	r := newRig(t, cfg)
	r.put(many(3, createContact)...)
	r.start()
	r.delivers(3)
	for _, row := range r.sim.Records("Contact") {
		if row["Outbox_Key__c"] != row[marker] {
			t.Errorf("row %v lacks its key", row)
		}
	}
	if x := r.get("c-0001"); x.Kind != store.KindREST || !x.Created || x.ID == "" {
		t.Errorf("record %+v", x)
	}
	r.oracle()
}

func TestUpdateAndDelete_ById(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(30, upsertContact)...)
	r.start()
	r.delivers(30)
	r.halt()
	var lines []string
	for i := range 30 {
		id := r.get(fmt.Sprintf("u-%04d", i)).ID
		lines = append(lines, fmt.Sprintf(`{"key":"w-%d","object":"Contact","operation":"update","id":%q,"fields":{"FirstName":"F",%q:"w-%d"}}`, i, id, marker, i))
		lines = append(lines, fmt.Sprintf(`{"key":"d-%d","object":"Contact","operation":"delete","id":%q}`, i, id))
	}
	r.put(lines...)
	r.start()
	r.delivers(90)
	r.oracle()
	if left := r.sim.Records("Contact"); len(left) != 0 {
		t.Errorf("%d records are left", len(left))
	}
}

func TestIDOf_ParentThenChild(t *testing.T) {
	r := newRig(t, quick())
	r.put(
		fmt.Sprintf(`{"key":"child","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"c"},"fields":{"LastName":"L","AccountId":{"$id_of":"parent"},%q:"child"}}`, marker),
		fmt.Sprintf(`{"key":"parent","object":"Account","operation":"create","fields":{"Name":"A",%q:"parent"}}`, marker),
	)
	r.start()
	r.delivers(2)
	if got, want := r.sim.Records("Contact")[0]["AccountId"], r.get("parent").ID; got != want {
		t.Errorf("AccountId is %v, want %s", got, want)
	}
}

func TestMatch(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(3, upsertContact)...)
	r.start()
	r.delivers(3)
	line := func(key, operation, match, fields string) string {
		return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":%q,"match":%s,"fields":%s}`, key, operation, match, fields)
	}
	r.put(
		line("one", "update", `{"all":{"LastName":"L1","Score__c":1.5}}`, `{"FirstName":"One","Description":"one"}`),
		line("none", "update", `{"all":{"LastName":"Nobody"}}`, `{"FirstName":"x"}`),
		line("both", "update", `{"any":{"LastName":"L0","Shop_Id__c":"S-2"}}`, `{"FirstName":"x"}`),
		line("new", "upsert", `{"all":{"LastName":"Quo\"te'\\"}}`, `{"LastName":"Quo\"te'\\","Description":"new"}`),
		line("new again", "upsert", `{"all":{"LastName":"Quo\"te'\\"}}`, `{"FirstName":"Again","Description":"new again"}`),
	)
	r.drained()
	for key, code := range map[string]string{"none": "NO_MATCH", "both": "MANY_MATCHES"} {
		if x := r.get(key); x.State != store.Failed || x.LastError.Code != code {
			t.Errorf("%s: %s %+v", key, x.State, x.LastError)
		}
	}
	if x := r.get("one"); x.State != store.Delivered || x.ID != r.get("u-0001").ID {
		t.Errorf("one: %+v", x)
	}
	if a, b := r.get("new"), r.get("new again"); a.State != store.Delivered || !a.Created || b.State != store.Delivered || a.ID != b.ID {
		t.Errorf("new: %+v\nnew again: %+v", a, b)
	}
	r.oracle()
}

func TestBadRecordsStopNobody(t *testing.T) {
	for _, n := range []int{10, 60} { // by REST, by a job
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, quick())
			lines := many(n, upsertContact)
			lines[3] = `{"key":"bad value","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"b1"},"fields":{"LastName":"x","Birthdate":"never"}}`
			lines[4] = `{"key":"bad field","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"b2"},"fields":{"LastName":"x","Nope__c":1}}`
			lines[5] = `{"key":"na","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"b3"},"fields":{"LastName":"#N/A","Description":"na"}}`
			r.put(lines...)
			r.start()
			c := r.drained()
			if c.Of(store.Delivered) != int64(n-2) || c.Of(store.Failed) != 2 {
				t.Fatalf("counts %v; stuck %v", c, r.stuck())
			}
			if x := r.get("bad field"); x.LastError.Code != "INVALID_FIELD" {
				t.Errorf("%+v", x.LastError)
			}
			if x := r.get("na"); x.Kind != store.KindREST {
				t.Errorf("a text that a job can't carry went by %s", x.Kind)
			}
			r.oracle()
		})
	}
}

func TestBadColumn_OfCreatesByJob(t *testing.T) {
	r := newRig(t, quick())
	lines := many(60, createContact)
	lines[7] = `{"key":"poison","object":"Contact","operation":"create","fields":{"LastName":"x","Nope__c":"1"}}`
	lines[8] = `{"key":"poison 2","object":"Contact","operation":"create","fields":{"LastName":"x","Nada__c":"1"}}`
	lines[9] = `{"key":"na","object":"Contact","operation":"create","fields":{"LastName":"#N/A"}}`
	r.put(lines...)
	r.start()
	c := r.drained()
	if c.Of(store.Delivered) != 57 || c.Of(store.Failed) != 3 {
		t.Fatalf("counts %v; stuck %v", c, r.stuck())
	}
	for key, code := range map[string]string{"poison": "INVALID_FIELD", "poison 2": "INVALID_FIELD", "na": "INVALID"} {
		if x := r.get(key); x.LastError == nil || x.LastError.Code != code {
			t.Errorf("%s: %+v", key, x.LastError)
		}
	}
	r.oracle()
}

func TestOrder_OfALane(t *testing.T) {
	r := newRig(t, quick())
	var lines []string
	for round := range 4 {
		for i := range 30 {
			lines = append(lines, fmt.Sprintf(`{"key":"r%d-%d","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"S-%d"},"fields":{"LastName":"round %d",%q:"r%d-%d"}}`,
				round, i, i, round, marker, round, i))
		}
	}
	r.put(lines...)
	r.start()
	r.delivers(120)
	r.oracle()
	r.inOrder()
	for _, row := range r.sim.Records("Contact") {
		if row["LastName"] != "round 3" {
			t.Errorf("%v ended as %v", row["Shop_Id__c"], row["LastName"])
		}
	}
}

// inOrder checks I4 for keys of the form rROUND-RECORD.
func (r *rig) inOrder() {
	r.t.Helper()
	last := make(map[string]int)
	for _, e := range r.sim.Effects() {
		var round int
		var record string
		if key, _ := e.Fields[marker].(string); key == "" {
			continue
		} else if _, err := fmt.Sscanf(key, "r%d-%s", &round, &record); err != nil {
			continue
		}
		if round < last[record] {
			r.t.Errorf("record %s: round %d after round %d", record, round, last[record])
		}
		last[record] = round
	}
}

func TestUnknownObject(t *testing.T) {
	r := newRig(t, quick())
	r.put(append(many(30, upsertContact),
		`{"key":"x1","object":"Nowhere__c","operation":"upsert","external_id":{"field":"A__c","value":"1"},"fields":{"Name":"x"}}`,
		`{"key":"x2","object":"Nowhere__c","operation":"create","fields":{"Name":"x"}}`,
		`{"key":"x3","object":"Nowhere__c","operation":"update","id":"a01000000000001AAA","fields":{"Name":"x"}}`,
		`{"key":"x4","object":"Nowhere__c","operation":"hard_delete","id":"a01000000000002AAA"}`)...)
	r.start()
	c := r.drained()
	if c.Of(store.Delivered) != 30 || c.Of(store.Failed) != 4 {
		t.Fatalf("counts %v; stuck %v", c, r.stuck())
	}
}

func TestHeaders_CreateWithoutAWay(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{AllowSave: true}
	r := newRig(t, cfg)
	r.put(createContact(1), upsertContact(1))
	r.start()
	c := r.drained()
	if c.Of(store.Delivered) != 1 || c.Of(store.Failed) != 1 || r.get("c-0001").LastError.Code != "INVALID" {
		t.Fatalf("counts %v; stuck %v", c, r.stuck())
	}
}

// TestSmallBatches: events that must travel alone don't each get a job of their own.
func TestSmallBatches(t *testing.T) {
	r := newRig(t, quick())
	r.put(many(60, upsertContact)...)
	term, err := r.store.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, claimed, err := r.store.Claim(t.Context(), term, "first", store.ClaimSpec{
		Route: store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}, Kind: store.KindREST, MaxRecords: 60, MaxBytes: 1 << 20,
	})
	if err != nil || len(claimed) != 60 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	var alone []store.Outcome
	for _, c := range claimed {
		alone = append(alone, store.Outcome{Seq: c.Seq, Verdict: store.Again, MaxBatch: 1})
	}
	if err := r.store.Settle(t.Context(), term, "first", store.Settlement{Outcomes: alone}); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.delivers(60)
	if calls := r.sim.Calls().Calls; calls["job.create"] > 0 || calls["coll.upsert"] != 60 {
		t.Errorf("calls %v", calls)
	}
}
