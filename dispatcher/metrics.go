package dispatcher

import (
	"maps"
	"sync"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// Counters is what a dispatcher has done since New. All numbers only grow.
type Counters struct {
	Attempts  map[AttemptCount]int64
	Records   map[RecordCount]int64 // outcomes
	Jobs      map[string]int64      // that ended, by the state that the org told; "gone" was never told
	Unmatched int64                 // result rows that belong to no event; it must stay 0
	// Calls are those that were sent, by what they were for.
	Calls map[salesforce.CallKind]int64
}

// CallsPerThousand is what each way has cost so far: calls for 1,000 records whose
// attempt by it was their last, or the last before they went another way. Queries
// that look for keys count as those that look for matches.
func (c Counters) CallsPerThousand() map[store.Kind]float64 {
	records := make(map[store.Kind]int64)
	for r, n := range c.Records {
		if r.Verdict != verdictNames[store.Again] {
			records[r.Kind] += n
		}
	}
	cost := make(map[store.Kind]float64, len(records))
	for k, n := range records {
		cost[k] = float64(c.Calls[salesforce.CallKind(k)]) * 1000 / float64(n)
	}
	return cost
}

// AttemptCount names a counter of attempts: Event is "claimed", "resumed" or "released".
type AttemptCount struct {
	Kind  store.Kind
	Event string
}

// RecordCount names a counter of outcomes: Verdict is "delivered", "failed",
// "in_doubt", "again" or "rerouted".
type RecordCount struct {
	Kind    store.Kind
	Verdict string
}

// metrics counts what the dispatcher does.
type metrics struct {
	mu sync.Mutex
	n  Counters
}

func newMetrics() *metrics {
	return &metrics{n: Counters{Attempts: map[AttemptCount]int64{}, Records: map[RecordCount]int64{}, Jobs: map[string]int64{}}}
}

// Metrics returns the counters as they are now.
func (d *Dispatcher) Metrics() Counters {
	var calls map[salesforce.CallKind]int64
	if d.org != nil {
		calls = d.org.Calls()
	}
	m := d.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	return Counters{
		Attempts: maps.Clone(m.n.Attempts), Records: maps.Clone(m.n.Records),
		Jobs: maps.Clone(m.n.Jobs), Unmatched: m.n.Unmatched, Calls: calls,
	}
}

// attempt counts what happened to an attempt.
func (m *metrics) attempt(k store.Kind, event string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n.Attempts[AttemptCount{k, event}]++
}

// job counts a job by the state in which it ended.
func (m *metrics) job(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n.Jobs[state]++
}

// unmatched counts result rows that belong to no event.
func (m *metrics) unmatched(rows int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n.Unmatched += int64(rows)
}

var verdictNames = [...]string{store.Deliver: "delivered", store.Fail: "failed", store.Doubt: "in_doubt", store.Again: "again", store.Reroute: "rerouted"}

// settled counts outcomes.
func (m *metrics) settled(k store.Kind, outcomes []store.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range outcomes {
		m.n.Records[RecordCount{k, verdictNames[o.Verdict]}]++
	}
}
