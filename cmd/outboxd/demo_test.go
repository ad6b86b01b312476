package main

import (
	"testing"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/simulator"
)

func TestWaves_AreFiveThousandEventsWithKeysOfTheirOwn(t *testing.T) {
	first := firstWave()
	ids := map[string]string{}
	for _, e := range first {
		ids[e.Key] = "id of " + e.Key
	}
	second := secondWave(ids)
	if len(second) != secondWaveSize || len(first)+len(second) != 5000 {
		t.Errorf("%d and %d events, want 5000 with %d in the second wave", len(first), len(second), secondWaveSize)
	}
	seen := map[string]bool{}
	operations := map[string]bool{}
	for _, e := range append(first, second...) {
		if seen[e.Key] {
			t.Errorf("key %s is there twice", e.Key)
		}
		seen[e.Key] = true
		operations[e.Operation] = true
	}
	if len(operations) != 5 {
		t.Errorf("operations: %v, want all five", operations)
	}
}

func TestVerdict_SeesWhatIsLostOrDoubled(t *testing.T) {
	write := func(key string) simulator.Effect {
		return simulator.Effect{Operation: "create", Fields: map[string]any{"Description": key}}
	}
	gone := simulator.Effect{Operation: "delete", ID: "003"}
	event := func(key, state string) demoEvent {
		return demoEvent{Event: api.Event{Key: key, Operation: "create"}, state: state}
	}
	deletion := demoEvent{Event: api.Event{Key: "d", Operation: "hard_delete", ID: "003"}, state: "delivered"}
	for _, tt := range []struct {
		name          string
		written       demoEvent
		effects       []simulator.Effect
		lost, doubled int64
	}{
		{"delivered once", event("a", "delivered"), []simulator.Effect{write("a"), write("b")}, 0, 0},
		{"delivered, no trace", event("a", "delivered"), []simulator.Effect{write("b")}, 1, 0},
		{"delivered twice", event("a", "delivered"), []simulator.Effect{write("a"), write("a"), write("a")}, 0, 2},
		{"failed and not there", event("a", "failed"), nil, 0, 0},
		{"failed but there", event("a", "failed"), []simulator.Effect{write("a")}, 0, 1},
		{"accepted and forgotten", event("a", ""), nil, 1, 0},
		{"deleted once", deletion, []simulator.Effect{gone}, 0, 0},
		{"deleted, still there", deletion, []simulator.Effect{write("003")}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lost, doubled := verdict([]demoEvent{tt.written}, tt.effects)
			if lost != tt.lost || doubled != tt.doubled {
				t.Errorf("%d lost, %d doubled, want %d and %d", lost, doubled, tt.lost, tt.doubled)
			}
		})
	}
}
