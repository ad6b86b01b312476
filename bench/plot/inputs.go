package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/outboxd/outboxd/bench/report"
)

// acceptance is what outboxd bench accept --json prints, as far as it is drawn.
type acceptance struct {
	EventBytes int          `json:"event_bytes"`
	Known      int          `json:"known"`
	Loads      []acceptLoad `json:"loads"`
}

type acceptLoad struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	rates
	Rounds []rates `json:"rounds"`
}

type rates struct {
	EventsPerSecond float64 `json:"events_per_second"`
	RawPerSecond    float64 `json:"raw_events_per_second"`
}

// moment is a line of a long run.
type moment struct {
	Hours    float64 `json:"hours"`
	RSS      float64 `json:"rss_anon_bytes"`
	File     float64 `json:"file_bytes"`
	P99      float64 `json:"p99_us"`
	Accepted float64 `json:"accepted"` // since the start
	Known    float64 `json:"known"`    // keys in the dedup window
}

func readReport(path string) (r report.Report, err error) {
	if err = readJSON(path, &r); err == nil && len(singles(r)) == 0 {
		err = fmt.Errorf("%s: no figures of one event a request: it is not what peers -json prints", path)
	}
	return r, err
}

// singles are the loads of one event a request.
func singles(r report.Report) []report.Load {
	return slices.DeleteFunc(r.Loads(), func(l report.Load) bool { return l.Batch != 1 })
}

func readAcceptances(paths []string) ([]acceptance, error) {
	all := make([]acceptance, len(paths))
	for i, path := range paths {
		if err := readJSON(path, &all[i]); err != nil {
			return nil, err
		}
		if len(all[i].Loads) == 0 {
			return nil, fmt.Errorf("%s: no loads: it is not what outboxd bench accept --json prints", path)
		}
		for _, l := range all[i].Loads {
			if l.EventsPerSecond <= 0 || l.RawPerSecond <= 0 {
				return nil, fmt.Errorf("%s: load %s on %d has no rate, or no raw one", path, l.Name, l.Connections)
			}
		}
	}
	return all, nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readMoments(path string) ([]moment, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []moment
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var m moment
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		all = append(all, m)
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("%s: %d lines, which is too few for a plot", path, len(all))
	}
	return all, lines.Err()
}
