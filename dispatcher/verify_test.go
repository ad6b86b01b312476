package dispatcher_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// TestVerify_ByTheFieldThatCarriedTheKey: the configuration names no key field
// any more, so a repeat could double the record; but what was sent carried the
// key in a unique field, and there it is found, or found missing.
func TestVerify_ByTheFieldThatCarriedTheKey(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		t.Run(fmt.Sprint("arrived ", arrived), func(t *testing.T) {
			r := newRig(t, quick())
			r.put(createContact(1))
			r.sentBefore("Outbox_Key__c")
			if arrived {
				row := salesforce.Row{Fields: json.RawMessage(`{"LastName":"L1","Outbox_Key__c":"c-0001","Description":"c-0001"}`)}
				if answers, err := r.client().Create(t.Context(), "Contact", []salesforce.Row{row}, salesforce.Headers{}); err != nil || !answers[0].Success {
					t.Fatal(answers, err)
				}
			}
			r.start()
			r.until("delivered", func() bool { return r.get("c-0001").State == store.Delivered })
			verified := func(h store.Transition) bool { return h.From == store.InDoubt && h.By == "verification" }
			if x := r.get("c-0001"); !slices.ContainsFunc(x.History, verified) {
				t.Errorf("it was not in doubt and verified: %+v", x.History)
			}
			if got := r.oracle(); len(got) != 1 {
				t.Errorf("effects %v", got)
			}
		})
	}
}

// TestVerify_ShowsWhatItMayBe: without a key nothing is concluded, but a person
// who has to decide is told what to look at.
func TestVerify_ShowsWhatItMayBe(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	r := newRig(t, cfg)
	r.put(many(2, createContact)...)
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.create", Nth: []int{1}}, Do: "drop_after"})
	r.start()
	for i, key := range []string{"c-0000", "c-0001"} {
		r.until("it is looked for", func() bool { return len(r.get(key).Matches) > 0 })
		if x := r.get(key); x.State != store.InDoubt || len(x.Matches) != 1 || x.Matches[0] != r.sim.Records("Contact")[i]["Id"] {
			t.Errorf("%s is %s and may be %v; want in doubt, and the record that was made", key, x.State, x.Matches)
		}
	}
	if calls := r.sim.Calls().Calls["coll.create"]; calls != 1 {
		t.Errorf("%d creates were sent", calls)
	}
}
