package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/bench/report"
)

func TestLinear_BeginsAtNothingAndHoldsAll(t *testing.T) {
	for _, c := range []struct {
		values []float64
		ticks  []float64
	}{
		{[]float64{0}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{[]float64{3, 5}, []float64{0, 1, 2, 3, 4, 5}},
		{[]float64{24}, []float64{0, 5, 10, 15, 20, 25}},
		{[]float64{101}, []float64{0, 20, 40, 60, 80, 100, 120}},
		{[]float64{10}, []float64{0, 2, 4, 6, 8, 10}},
	} {
		s := linear(c.values)
		if !slices.EqualFunc(s.ticks, c.ticks, near) {
			t.Errorf("linear(%v): ticks %v, want %v", c.values, s.ticks, c.ticks)
		}
		if s.place(0) != 0 || !near(s.place(s.ticks[len(s.ticks)-1]), 1) {
			t.Errorf("linear(%v) goes from %v to %v", c.values, s.place(0), s.place(s.ticks[len(s.ticks)-1]))
		}
	}
}

func TestUntil_EndsWithTheLastValue(t *testing.T) {
	s := until([]float64{3, 24})
	if !slices.EqualFunc(s.ticks, []float64{0, 5, 10, 15, 20}, near) || s.place(24) != 1 {
		t.Errorf("ticks %v, 24 at %v", s.ticks, s.place(24))
	}
}

func TestLogarithmic_GoesFromTickToTick(t *testing.T) {
	for _, c := range []struct {
		values []float64
		ticks  []float64
	}{
		{[]float64{450, 22_000}, []float64{200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000}},
		{[]float64{200, 500}, []float64{200, 500}},
		{[]float64{7}, []float64{5, 10}},
		{[]float64{10}, []float64{10, 20}},
		{[]float64{0.03, 0.4}, []float64{0.02, 0.05, 0.1, 0.2, 0.5}},
		{[]float64{3, 40_000}, []float64{1, 10, 100, 1000, 10_000, 100_000}},
	} {
		s := logarithmic(c.values)
		if !slices.EqualFunc(s.ticks, c.ticks, near) {
			t.Errorf("logarithmic(%v): ticks %v, want %v", c.values, s.ticks, c.ticks)
		}
	}
	s := logarithmic([]float64{1, 100})
	if !near(s.place(10), 0.5) || s.place(1) != 0 || !near(s.place(100), 1) {
		t.Errorf("10 lies at %v between 1 and 100", s.place(10))
	}
}

func TestAt_HasTicksAtValues(t *testing.T) {
	s := at([]float64{64, 1, 16, 1}, true)
	if !slices.Equal(s.ticks, []float64{1, 16, 64}) || !near(s.place(16), 2.0/3) {
		t.Errorf("ticks %v, 16 at %v", s.ticks, s.place(16))
	}
	if p := at([]float64{8}, true).place(8); p != 0 {
		t.Errorf("one value alone lies at %v", p)
	}
}

func TestSpread_KeepsNamesApart(t *testing.T) {
	for _, c := range []struct {
		name         string
		places, want []float64
	}{
		{"far apart: as they are", []float64{10, 50}, []float64{10, 50}},
		{"close: moved down", []float64{10, 12, 14}, []float64{10, 26, 42}},
		{"at the floor: moved up", []float64{90, 95, 100}, []float64{68, 84, 100}},
	} {
		if got := spread(c.places, 16, 100); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.05: "0.05", 500: "500", 2000: "2 k", 1672: "1.67 k", 5e6: "5 M"} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestRun_DrawsEveryKindOfFile(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, many := report.Load{Connections: 1, Batch: 1}, report.Single
	peer := func(name string, rate float64) report.Peer {
		sample := report.Sample{EventsPerSecond: rate, Latency: report.Latency{P50: 1, P99: 2, P999: 3, Longest: 4}}
		return report.Peer{Name: name, Results: []report.Result{
			report.Of(one, []report.Sample{sample}), report.Of(many, []report.Sample{sample}), report.Of(report.Batch, []report.Sample{sample}),
		}}
	}
	peers, err := json.Marshal(report.Report{Peers: []report.Peer{peer(report.Raw, 9000), peer(report.Outboxd, 3000), {Name: report.Redis, Missing: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	known := func(n string) string {
		return `{"known":` + n + `,"loads":[{"name":"single","connections":64,"events_per_second":5,"raw_events_per_second":9,"rounds":[{"events_per_second":4,"raw_events_per_second":9},{"events_per_second":6,"raw_events_per_second":9}]}]}`
	}
	args := []string{
		"-out", folder, "-peers", file("peers.json", string(peers)),
		"-accept", file("a", known("1000000")) + "," + file("b", known("0")),
		"-steady", file("steady", `{"hours":0,"rss_anon_bytes":1048576,"file_bytes":0,"p99_us":700}`+"\n\n"+`{"hours":24,"rss_anon_bytes":2097152,"file_bytes":5,"p99_us":800,"accepted":7,"known":6}`),
	}
	var named bytes.Buffer
	if err := run(args, &named, io.Discard); err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(named.String())
	if len(files) != 6 {
		t.Fatalf("files %v, want 6", files)
	}
	lines := map[string]int{
		"accept-by-connections.svg": 2, "accept-by-known.svg": 2, "accept-latency.svg": 2,
		"steady-memory.svg": 1, "steady-file.svg": 1, "steady-latency.svg": 1,
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, path, text)
		if got, want := bytes.Count(text, []byte("<polyline")), lines[filepath.Base(path)]; got != want {
			t.Errorf("%s: %d lines, want %d", path, got, want)
		}
		if bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Inf")) {
			t.Errorf("%s: a place is not a number", path)
		}
	}
}

func TestByKnown_OrdersRunsByTheirKeys(t *testing.T) {
	run := func(known int, rate float64) acceptance {
		return acceptance{Known: known, Loads: []acceptLoad{{Name: "single", rates: rates{rate, rate}}}}
	}
	c := byKnown([]acceptance{run(5, 3), run(0, 4), run(1, 5)})
	want := []point{{x: 0, y: 4}, {x: 1, y: 5}, {x: 5, y: 3}}
	if !slices.Equal(c.lines[0].points, want) {
		t.Errorf("points %v, want %v", c.lines[0].points, want)
	}
}

func wellFormed(t *testing.T, path string, text []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

func TestRun_RefusesOtherFiles(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte(`{"loads":[{"name":"single","connections":1}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"-peers", other}, {"-accept", other}, {"-steady", other}, {"-peers", other + "x"}} {
		if err := run(append(args, "-out", t.TempDir()), io.Discard, io.Discard); err == nil {
			t.Errorf("%v were taken", args)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a)) }
