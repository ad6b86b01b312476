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
	written        int64 // bytes to disks
	counted        bool  // written is known
	accepted       int64
	commits, syncs int64
}

// usage asks the kernel and the daemon.
func (d *daemon) usage(ctx context.Context) (u usage, err error) {
	counts, err := d.counters(ctx)
	if err != nil {
		return u, err
	}
	u.accepted, u.commits, u.syncs = counts["outboxd_events_accepted_total"], counts["outboxd_store_commits_total"], counts["outboxd_store_syncs_total"]
	if u.written, u.counted, err = writtenBy(d.pid()); err != nil {
		return u, err
	}
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
	// WrittenPerByte is bytes to the device for each byte of the events; nil where
	// the file system does not count them, or the user may not know.
	WrittenPerByte *float64 `json:"written_bytes_per_payload_byte,omitempty"`
}

// cost is for so many events between two usages.
func cost(before, after usage, events int64) Cost {
	n, seconds := float64(events), after.at.Sub(before.at).Seconds()
	commits := float64(after.commits - before.commits)
	c := Cost{
		CPUMicros:        ratio(float64((after.cpu-before.cpu).Nanoseconds())/1000, n),
		CommitsPerSecond: ratio(commits, seconds),
		SyncsPerSecond:   ratio(float64(after.syncs-before.syncs), seconds),
		EventsPerCommit:  ratio(n, commits),
	}
	if written := after.written - before.written; before.counted && after.counted && written > 0 && events > 0 {
		share := float64(written) / (n * EventBytes)
		c.WrittenPerByte = &share
	}
	return c
}

func medianCost[T any](rounds []T, of func(T) Cost) Cost {
	figure := func(pick func(Cost) float64) float64 {
		return medianOf(rounds, func(r T) float64 { return pick(of(r)) })
	}
	c := Cost{
		CPUMicros:        figure(func(c Cost) float64 { return c.CPUMicros }),
		CommitsPerSecond: figure(func(c Cost) float64 { return c.CommitsPerSecond }),
		SyncsPerSecond:   figure(func(c Cost) float64 { return c.SyncsPerSecond }),
		EventsPerCommit:  figure(func(c Cost) float64 { return c.EventsPerCommit }),
	}
	var written []float64
	for _, r := range rounds {
		if w := of(r).WrittenPerByte; w != nil {
			written = append(written, *w)
		}
	}
	if len(written) > 0 {
		middle := median(written)
		c.WrittenPerByte = &middle
	}
	return c
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
