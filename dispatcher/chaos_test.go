package dispatcher_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

var chaosSeed = flag.Uint64("chaos.seed", 0, "seed of TestChaos; 0: a new one")

// TestChaos mixes all ways, lanes of several events, faults at random and
// restarts at random. When the faults end, every event ends: delivered with one
// effect, or in doubt where a plain REST create was ambiguous (I2, I4, I5).
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-chaos.seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	cfg := quick()
	cfg.Objects["case"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	cfg.Objects["lead"] = dispatcher.ObjectConfig{CreateREST: true}
	r := newRig(t, cfg)
	n := 0
	accept := func() {
		var lines []string
		for range rng.IntN(60) {
			n++
			lines = append(lines, chaosEvent(rng, n))
		}
		if len(lines) > 0 {
			r.put(lines...)
		}
	}
	for range 8 {
		accept()
		r.faults(chaosFaults(rng)...)
		calls := r.sim.Calls().Used + int64(rng.IntN(40))
		r.start()
		accept()
		r.until("some calls", func() bool {
			c := r.counts()
			return r.sim.Calls().Used >= calls || c.Of(store.Pending)+c.Of(store.Inflight) == 0
		})
		r.halt()
	}
	r.faults()
	r.start()
	r.drained()
	for _, x := range r.list() {
		switch {
		case x.State == store.Delivered:
		case x.State == store.InDoubt && x.Route.Object == "Lead" && x.Route.Operation == "create":
		default:
			t.Errorf("%s is %s: %+v", x.Key, x.State, x.LastError)
		}
	}
	r.oracle()
	r.inOrder()
}

// chaosEvent is a create of one of three kinds, or one of several upserts of few records.
func chaosEvent(rng *rand.Rand, n int) string {
	switch rng.IntN(4) {
	case 0:
		return fmt.Sprintf(`{"key":"plain-%d","object":"Contact","operation":"create","fields":{"LastName":"L%d",%q:"plain-%d"}}`, n, n%2, marker, n)
	case 1:
		return fmt.Sprintf(`{"key":"keyed-%d","object":"Case","operation":"create","fields":{"Subject":"S",%q:"keyed-%d"}}`, n, marker, n)
	case 2:
		return fmt.Sprintf(`{"key":"rest-%d","object":"Lead","operation":"create","fields":{"LastName":"L","Company":"C",%q:"rest-%d"}}`, n, marker, n)
	}
	record := rng.IntN(25)
	return fmt.Sprintf(`{"key":"r%d-%d","object":"Account","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"A%d"},"fields":{"Name":"N%d",%q:"r%d-%d"}}`, n, record, record, n, marker, n, record)
}

func chaosFaults(rng *rand.Rand) (list []simulator.Fault) {
	dos := []simulator.Fault{
		{Do: "drop_before"},
		{Do: "drop_after"},
		{Do: "html", Status: 503},
		{Do: "html_after", Status: 500},
		{Do: "cut", Part: 0.4},
		{Do: "error_after", Status: 500, Code: "UNKNOWN_EXCEPTION"},
		{Do: "expire_token"},
		{Do: "lock"},
		{Do: "short", Part: 0.6},
		{Do: "fail_job", Part: 0.5},
		{Do: "slow_job", Delay: 20 * time.Millisecond},
		{Do: "delay_after", Delay: 20 * time.Millisecond},
	}
	for range rng.IntN(5) {
		f := dos[rng.IntN(len(dos))]
		f.Match.Probability = 0.3 * rng.Float64()
		if f.Do != "lock" && f.Do != "fail_job" && f.Do != "slow_job" {
			f.Match.Kind = []string{"job.*", "coll.create", "coll.upsert", "job.close", "job.ok", "job.get", "query", "describe"}[rng.IntN(8)]
		}
		list = append(list, f)
	}
	return list
}
