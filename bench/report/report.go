package report

import (
	"math"
	"slices"
	"time"
)

// The names of peers that ratios are taken of and to.
const (
	Raw      = "raw group commit"
	Outboxd  = "outboxd"
	Redis    = "Redis"
	Postgres = "PostgreSQL"
	River    = "River"
)

// Report is one run of the comparison.
type Report struct {
	At             time.Time `json:"at"`
	CPUs           int       `json:"cpus"`
	EventBytes     int       `json:"event_bytes"`
	Rounds         int       `json:"rounds"`
	Seconds        float64   `json:"seconds"`          // of each measurement
	SyncsPerSecond float64   `json:"syncs_per_second"` // append and fdatasync, one after another
	Peers          []Peer    `json:"peers"`
}

// Peer is one program that stores events durably.
type Peer struct {
	Name     string   `json:"name"`
	Version  string   `json:"version,omitempty"`
	Event    string   `json:"event"`              // what one event is to it
	Missing  string   `json:"missing,omitempty"`  // why there are no results
	Failures []string `json:"failures,omitempty"` // rounds that ended early
	Results  []Result `json:"results,omitempty"`
}

// Load is how events are sent: so many connections, and on each one request
// after another, of so many events.
type Load struct {
	Connections int `json:"connections"`
	Batch       int `json:"events_per_request"`
}

// Result is what a peer did under a load: medians of the rounds, of which there
// are fewer than the report's if some failed.
type Result struct {
	Load
	EventsPerSecond float64 `json:"events_per_second"`
	Latency
	SyncsPerSecond float64   `json:"syncs_per_second"` // of the disk, just before the server started
	Rates          []float64 `json:"rounds_events_per_second"`
}

// Latency is how long requests took, in microseconds.
type Latency struct {
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	P999    float64 `json:"p999_us"`
	Longest float64 `json:"longest_us"`
}

// Sample is one round of a result.
type Sample struct {
	EventsPerSecond float64
	SyncsPerSecond  float64
	Latency         Latency
}

// Latencies sums up how long requests took. It sorts what it is given.
func Latencies(all []time.Duration) Latency {
	slices.Sort(all)
	return Latency{
		P50: Quantile(all, 0.5), P99: Quantile(all, 0.99),
		P999: Quantile(all, 0.999), Longest: Quantile(all, 1),
	}
}

// Quantile is the shortest of the sorted times that no less than the part q of
// all do not exceed, in microseconds; 0 where there are none.
func Quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return float64(sorted[max(rank, 0)]) / float64(time.Microsecond)
}

// Median is the middle of the values, or the mean of the two in the middle; NaN
// where there are none.
func Median(values ...float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Of makes a result of its rounds, of which there is at least one.
func Of(load Load, rounds []Sample) Result {
	middle := func(value func(Sample) float64) float64 {
		values := make([]float64, len(rounds))
		for i, s := range rounds {
			values[i] = value(s)
		}
		return Median(values...)
	}
	r := Result{
		Load:            load,
		EventsPerSecond: middle(func(s Sample) float64 { return s.EventsPerSecond }),
		SyncsPerSecond:  middle(func(s Sample) float64 { return s.SyncsPerSecond }),
		Latency: Latency{
			P50:     middle(func(s Sample) float64 { return s.Latency.P50 }),
			P99:     middle(func(s Sample) float64 { return s.Latency.P99 }),
			P999:    middle(func(s Sample) float64 { return s.Latency.P999 }),
			Longest: middle(func(s Sample) float64 { return s.Latency.Longest }),
		},
	}
	for _, s := range rounds {
		r.Rates = append(r.Rates, s.EventsPerSecond)
	}
	return r
}

// Result is what the peer of a name did under a load.
func (r Report) Result(name string, load Load) (Result, bool) {
	for _, p := range r.Peers {
		if p.Name != name {
			continue
		}
		for _, result := range p.Results {
			if result.Load == load {
				return result, true
			}
		}
	}
	return Result{}, false
}

// Loads are all loads of the report: single events by connections, then batches.
func (r Report) Loads() []Load {
	var loads []Load
	for _, p := range r.Peers {
		for _, result := range p.Results {
			if !slices.Contains(loads, result.Load) {
				loads = append(loads, result.Load)
			}
		}
	}
	slices.SortFunc(loads, func(a, b Load) int {
		if a.Batch != b.Batch {
			return a.Batch - b.Batch
		}
		return a.Connections - b.Connections
	})
	return loads
}

// Ratio is outboxd's rate to that of another under the same load, in one run.
func (r Report) Ratio(name string, load Load) (float64, bool) {
	ours, ok := r.Result(Outboxd, load)
	theirs, also := r.Result(name, load)
	if !ok || !also || theirs.EventsPerSecond == 0 {
		return 0, false
	}
	return ours.EventsPerSecond / theirs.EventsPerSecond, true
}
