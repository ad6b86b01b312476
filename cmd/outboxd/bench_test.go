package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// figure compares a number in a file of JSON with another or with a value:
// figure report.json loads.0.p99_us >= loads.0.p50_us. A dot within a name is written \.
func figure(ts *testscript.TestScript, neg bool, given []string) {
	if neg || len(given) != 4 {
		ts.Fatalf("usage: figure FILE PATH =|>|>=|<= VALUE|PATH")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(given[0])), &doc))
	got := numberAt(ts, doc, given[1])
	want, err := strconv.ParseFloat(given[3], 64)
	if err != nil {
		want = numberAt(ts, doc, given[3])
	}
	holds, known := map[string]bool{"=": got == want, ">": got > want, ">=": got >= want, "<=": got <= want}[given[2]]
	if !known {
		ts.Fatalf("figure: unknown comparison %s", given[2])
	}
	if !holds {
		ts.Fatalf("%s: %s is %v, want %s %v", given[0], given[1], got, given[2], want)
	}
}

func numberAt(ts *testscript.TestScript, doc any, path string) float64 {
	const dot = "\x00"
	for _, step := range strings.Split(strings.ReplaceAll(path, `\.`, dot), ".") {
		step = strings.ReplaceAll(step, dot, ".")
		switch v := doc.(type) {
		case map[string]any:
			doc = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				ts.Fatalf("%s: no element %s", path, step)
			}
			doc = v[i]
		}
	}
	n, ok := doc.(float64)
	if !ok {
		ts.Fatalf("%s is %v, not a number", path, doc)
	}
	return n
}
