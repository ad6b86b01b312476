package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// usage is what a daemon has used up since its start.
type usage struct {
	at             time.Time
	cpu            time.Duration
	accepted       int64
	commits, syncs int64
	written        int64 // bytes to the store's file
}

// usage asks the kernel and the daemon.
func (d *daemon) usage(ctx context.Context) (u usage, err error) {
	counts, err := d.counters(ctx)
	if err != nil {
		return u, err
	}
	u.accepted, u.commits, u.syncs = counts["outboxd_events_accepted_total"], counts["outboxd_store_commits_total"], counts["outboxd_store_syncs_total"]
	u.written = counts["outboxd_store_written_bytes_total"]
	u.cpu, err = cpuOf(d.pid())
	u.at = time.Now()
	return u, err
}

// Cost is what work cost the daemon. Members that are 0 where nothing was
// accepted, delivered or written.
type Cost struct {
	CPUMicros        float64 `json:"cpu_us_per_event"`
	CommitsPerSecond float64 `json:"commits_per_second"`
	SyncsPerSecond   float64 `json:"syncs_per_second"`
	EventsPerCommit  float64 `json:"events_per_commit"`
	// WrittenPerByte is bytes of the store's pages for each byte of the events. The
	// kernel's own account of a process counts a large folio whole for each page that is written.
	WrittenPerByte float64 `json:"written_bytes_per_payload_byte"`
}

// cost is for so many events between two usages.
func cost(before, after usage, events int64) Cost {
	n, seconds := float64(events), after.at.Sub(before.at).Seconds()
	commits := float64(after.commits - before.commits)
	return Cost{
		CPUMicros:        ratio(float64((after.cpu-before.cpu).Nanoseconds())/1000, n),
		CommitsPerSecond: ratio(commits, seconds),
		SyncsPerSecond:   ratio(float64(after.syncs-before.syncs), seconds),
		EventsPerCommit:  ratio(n, commits),
		WrittenPerByte:   ratio(float64(after.written-before.written), n*EventBytes),
	}
}

func medianCost[T any](rounds []T, of func(T) Cost) Cost {
	figure := func(pick func(Cost) float64) float64 {
		return medianOf(rounds, func(r T) float64 { return pick(of(r)) })
	}
	return Cost{
		CPUMicros:        figure(func(c Cost) float64 { return c.CPUMicros }),
		CommitsPerSecond: figure(func(c Cost) float64 { return c.CommitsPerSecond }),
		SyncsPerSecond:   figure(func(c Cost) float64 { return c.SyncsPerSecond }),
		EventsPerCommit:  figure(func(c Cost) float64 { return c.EventsPerCommit }),
		WrittenPerByte:   figure(func(c Cost) float64 { return c.WrittenPerByte }),
	}
}

// counters reads the daemon's metrics.
func (d *daemon) counters(ctx context.Context) (map[string]int64, error) {
	res, err := d.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer res.Body.Close()
	return parseMetrics(res.Body)
}

// parseMetrics adds up the series of each name in Prometheus' text format, cut to integers.
func parseMetrics(r io.Reader) (map[string]int64, error) {
	sums := map[string]int64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		name, _, _ := strings.Cut(line[:space], "{")
		sums[name] += int64(value)
	}
	return sums, lines.Err()
}
