package dispatcher_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// TestRefusal_OfOneRowSoonAfterTheObjectWasMade: that there was no such object a
// moment ago does not make a refusal one of all.
func TestRefusal_OfOneRowSoonAfterTheObjectWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := dispatcher.Config{
			Bulk:     dispatcher.Bulk{MinRecords: 1_000},
			Objects:  map[string]dispatcher.ObjectConfig{"nope__c": {CreateREST: true}},
			Validate: dispatcher.ValidateWarn, // which looks the object up
		}
		r, _ := newBubbleRig(t, cfg, simulator.Config{})
		of := func(i int) string {
			return fmt.Sprintf(`{"key":"n-%d","object":"Nope__c","operation":"create","fields":{"Text__c":"x"}}`, i)
		}
		r.put(of(goodEvents))
		r.start()
		time.Sleep(2 * time.Second)
		if x := r.get(fmt.Sprint("n-", goodEvents)); x.State != store.Failed || x.LastError.Code != "INVALID_TYPE" {
			t.Fatalf("%s, %+v before there is the object", x.State, x.LastError)
		}
		if err := r.sim.SetSchema([]simulator.Object{{Name: "Nope__c", Fields: []simulator.Field{{Name: "Text__c"}}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.create", Times: 1}, Do: "status", Status: 400, Code: "INVALID_TYPE", Message: "of one row"})
		r.put(many(goodEvents, of)...)
		time.Sleep(time.Minute)
		if c := r.counts(); c.Of(store.Delivered) != goodEvents {
			t.Errorf("%v, want %d delivered; stuck %v", c, goodEvents, r.stuck())
		}
	})
}
