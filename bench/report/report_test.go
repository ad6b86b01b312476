package report

import (
	"bytes"
	"flag"
	"math"
	"os"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestQuantile_IsAValueThatWasMeasured(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Microsecond
	}
	for _, c := range []struct {
		name string
		all  []time.Duration
		q    float64
		want float64
	}{
		{"none at all", nil, 0.5, 0},
		{"one", hundred[:1], 0.99, 1},
		{"the lower of two in the middle", hundred[:2], 0.5, 1},
		{"half of a hundred", hundred, 0.5, 50},
		{"99 of a hundred", hundred, 0.99, 99},
		{"more than 99 of a hundred", hundred, 0.999, 100},
		{"the longest", hundred, 1, 100},
		{"the shortest", hundred, 0, 1},
	} {
		if got := Quantile(c.all, c.q); got != c.want {
			t.Errorf("%s: Quantile(%v) = %v, want %v", c.name, c.q, got, c.want)
		}
	}
}

func TestLatencies_SortsFirst(t *testing.T) {
	got := Latencies([]time.Duration{3 * time.Millisecond, time.Microsecond, 2 * time.Millisecond})
	if want := (Latency{P50: 2000, P99: 3000, P999: 3000, Longest: 3000}); got != want {
		t.Errorf("Latencies = %+v, want %+v", got, want)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := Median(c.values...); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	if got := Median(); !math.IsNaN(got) {
		t.Errorf("Median() = %v, want NaN", got)
	}
}

func TestOf_TakesMediansOfEachFigure(t *testing.T) {
	r := Of(Single, []Sample{
		{EventsPerSecond: 30, SyncsPerSecond: 1, Latency: Latency{P99: 5, Longest: 9}},
		{EventsPerSecond: 10, SyncsPerSecond: 3, Latency: Latency{P99: 4, Longest: 7}},
		{EventsPerSecond: 20, SyncsPerSecond: 2, Latency: Latency{P99: 6, Longest: 8}},
	})
	if r.EventsPerSecond != 20 || r.SyncsPerSecond != 2 || r.P99 != 5 || r.Longest != 8 {
		t.Errorf("Of = %+v", r)
	}
	if len(r.Rates) != 3 || r.Rates[0] != 30 {
		t.Errorf("rounds %v, want them as they came", r.Rates)
	}
}

// example is a report with a missing peer, one that failed, a goal that is reached, one that is
// missed, and some that were not measured.
func example() Report {
	result := func(load Load, rate float64) Result {
		return Result{
			Load: load, EventsPerSecond: rate, SyncsPerSecond: 5600, Rates: []float64{rate},
			Latency: Latency{P50: 1e6 / rate, P99: 3e6 / rate, P999: 4e6 / rate, Longest: 2e8 / rate},
		}
	}
	one := Load{Connections: 1, Batch: 1}
	return Report{
		CPUs: 2, EventBytes: 512, Rounds: 3, Seconds: 1.5, SyncsPerSecond: 5600,
		Peers: []Peer{
			{Name: Raw, Event: "bytes.", Results: []Result{result(one, 5600), result(Single, 200_000), result(Batch, 1_500_000)}},
			{Name: Outboxd, Event: "an upsert.", Results: []Result{result(one, 2400), result(Single, 34_000), result(Batch, 250_000)}},
			{Name: Redis, Version: "7", Event: "a SET.", Results: []Result{result(Batch, 100_000), result(Single, 50_000)}},
			{Name: Postgres, Event: "a row.", Missing: "not installed"},
			{Name: River, Event: "a job.", Failures: []string{"round 2: 1 connection: disk full"}},
		},
	}
}

func TestMarkdown(t *testing.T) {
	var got bytes.Buffer
	if err := example().Markdown(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.golden"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{number(0), "0"},
		{number(999.4), "999"},
		{number(1000), "1,000"},
		{number(1234567), "1,234,567"},
		{short(0.594), "0.59"},
		{short(9.996), "10.0"},
		{short(99.96), "100"},
		{short(1234), "1234"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}
