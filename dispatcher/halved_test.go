package dispatcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// TestHalving_KeepsWhatIsKnownOfSendings: creates that carry their key are sent in
// ever smaller calls while answers get lost. Since when the org may have seen them
// stays, none is doubled, and who follows in a lane comes after.
func TestHalving_KeepsWhatIsKnownOfSendings(t *testing.T) {
	for _, do := range []string{"drop_before", "drop_after"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.Bulk.MinRecords = 1_000
			cfg.Chance = func() float64 { return 1 } // or chance would take the batch apart
			cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
			r := newPatientRig(t, cfg)
			r.faults(
				simulator.Fault{Match: simulator.Match{Kind: "coll.create", Times: 5}, Do: do},
				simulator.Fault{Match: simulator.Match{Kind: "query", Times: 3}, Do: "status", Status: 500, Code: "UNKNOWN_EXCEPTION"},
			)
			of := func(key string) func(int) string {
				return func(i int) string {
					return fmt.Sprintf(`{"key":"%s-%d","lane":"l-%d","object":"Contact","operation":"create","fields":{"LastName":"x",%q:"%s-%d"}}`, key, i, i, marker, key, i)
				}
			}
			r.put(many(goodEvents, of("a"))...)
			r.put(many(goodEvents, of("b"))...)
			began := time.Now()
			r.start()
			first := make(map[string]time.Time)
			r.until("delivered", func() bool {
				for _, x := range r.list() {
					if x.FirstSent.IsZero() {
						continue
					}
					if at, seen := first[x.Key]; seen && !at.Equal(x.FirstSent) {
						t.Fatalf("%s was sent first at %v, now it is %v", x.Key, at, x.FirstSent)
					}
					first[x.Key] = x.FirstSent
					if x.SentKey != "Outbox_Key__c" || x.FirstSent.Before(began.Add(-time.Second)) {
						t.Fatalf("%s: %+v", x.Key, x)
					}
				}
				return len(r.list()) == 2*goodEvents && r.counts().Of(store.Delivered) == 2*goodEvents
			})
			if len(first) < goodEvents {
				t.Errorf("%d events were seen that may have been sent", len(first))
			}
			effects := r.oracle()
			if len(effects) != 2*goodEvents {
				t.Errorf("%d effects", len(effects))
			}
			order := make(map[string]int)
			for i, e := range r.sim.Effects() {
				key, _ := e.Fields[marker].(string)
				order[key] = i
			}
			for i := range goodEvents {
				if order[fmt.Sprint("a-", i)] > order[fmt.Sprint("b-", i)] {
					t.Errorf("lane %d: the second came first", i)
				}
			}
		})
	}
}
