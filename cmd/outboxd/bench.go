package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/outboxd/outboxd/internal/term"
	"github.com/spf13/cobra"
)

func (c *cli) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what outboxd does on this machine and disk",
		Long: "Measure throughput. The daemon runs as a process of its own, started from this same program in a folder that is removed afterwards; " +
			"what is measured goes over its real socket.",
		Example: "  outboxd bench accept --json\n  outboxd bench drain --records 100000",
		Args:    args(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.benchAccept(), c.benchDrain())
	return cmd
}

// acceptPlan is what bench accept is asked to do.
type acceptPlan struct {
	dir         string
	connections int
	known       int
	length      time.Duration
	rounds      int
}

func (c *cli) benchAccept() *cobra.Command {
	var p acceptPlan
	cmd := &cobra.Command{
		Use:   "accept",
		Short: "Durable accepts a second, beside the disk's own limit",
		Long: "Measure durable accepts over the socket: one 512-byte event a request with a random UUID as its key, and NDJSON of 1,000 events a request " +
			"on 2 connections. Beside each stands what the disk itself can do with as many writers in the same round: append, and one fdatasync for all that waits. " +
			"All figures are medians of the rounds.",
		Example: "  outboxd bench accept\n  outboxd bench accept --known 1000000 --dir /var/lib/outboxd --json",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if p.connections < 1 || p.rounds < 1 || p.known < 0 || p.length <= 0 {
				return usage("--connections, --rounds and --time must be positive")
			}
			ctx, stop := interruptible()
			defer stop()
			return c.runBenchAccept(ctx, p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.dir, "dir", ".", "`folder` on the disk to measure")
	f.IntVar(&p.connections, "connections", 64, "for one event a request")
	f.IntVar(&p.known, "known", 0, "keys that are in the window before measuring")
	f.DurationVar(&p.length, "time", 5*time.Second, "of each measurement")
	f.IntVar(&p.rounds, "rounds", 3, "how often each is repeated")
	c.jsonFlag(cmd, "the figures")
	return cmd
}

// acceptReport is what bench accept found.
type acceptReport struct {
	EventBytes int     `json:"event_bytes"`
	Known      int     `json:"known"`
	Rounds     int     `json:"rounds"`
	Single     measure `json:"single"`
	Batch      measure `json:"batch"`
}

// measure is the daemon beside the raw limit.
type measure struct {
	Connections     int       `json:"connections"`
	EventsARequest  int       `json:"events_per_request"`
	EventsPerSecond float64   `json:"events_per_second"`
	RawPerSecond    float64   `json:"raw_events_per_second"`
	Ratio           float64   `json:"ratio"`
	P50Micros       int64     `json:"p50_us"`
	P99Micros       int64     `json:"p99_us"`
	Rates           []float64 `json:"rounds_events_per_second"`
	RawRates        []float64 `json:"rounds_raw_events_per_second"`
}

func (c *cli) runBenchAccept(ctx context.Context, p acceptPlan) (err error) {
	folder, err := benchFolder(p.dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	child, err := startChild(ctx, folder, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, child.stop()) }()
	if p.known > 0 {
		if err := c.preload(ctx, child, p.known, "known keys"); err != nil {
			return err
		}
	}
	r := acceptReport{
		EventBytes: eventBytes, Known: p.known, Rounds: p.rounds,
		Single: measure{Connections: p.connections, EventsARequest: 1},
		Batch:  measure{Connections: batchConnections, EventsARequest: batchEvents},
	}
	bar := c.errs.Bar("measuring", int64(4*p.rounds))
	defer bar.End()
	for range p.rounds {
		for _, m := range []*measure{&r.Single, &r.Batch} {
			if err := m.round(ctx, child, folder, p.length, bar); err != nil {
				return err
			}
		}
	}
	bar.End()
	r.Single.sum()
	r.Batch.sum()
	return c.showAccept(r)
}

// round measures the disk, then the daemon.
func (m *measure) round(ctx context.Context, child *child, folder string, length time.Duration, bar *term.Bar) error {
	raw, err := rawLimit(ctx, filepath.Join(folder, "raw"), m.Connections, m.EventsARequest, length)
	if err != nil {
		return fmt.Errorf("raw limit: %w", err)
	}
	bar.Add(1)
	l := &load{socket: child.socket, connections: m.Connections, events: m.EventsARequest}
	rate, lat, err := l.run(ctx, length)
	if err != nil {
		return err
	}
	bar.Add(1)
	m.RawRates, m.Rates = append(m.RawRates, raw), append(m.Rates, rate)
	m.P50Micros = max(m.P50Micros, lat.quantile(0.50))
	m.P99Micros = max(m.P99Micros, lat.quantile(0.99)) // of the worst round
	return nil
}

func (m *measure) sum() {
	m.EventsPerSecond, m.RawPerSecond = median(m.Rates), median(m.RawRates)
	m.Ratio = m.EventsPerSecond / m.RawPerSecond
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func (c *cli) showAccept(r acceptReport) error {
	if c.json {
		return c.printJSON(r)
	}
	table := c.out.Table("what", "connections", "events/request", "events/s", "raw limit", "ratio", "p50 µs", "p99 µs")
	for _, m := range []struct {
		name string
		measure
	}{{"one event a request", r.Single}, {"NDJSON", r.Batch}} {
		table.Row(m.name, strconv.Itoa(m.Connections), c.number(int64(m.EventsARequest)), c.number(int64(m.EventsPerSecond)),
			c.number(int64(m.RawPerSecond)), fmt.Sprintf("%.2f", m.Ratio), c.number(m.P50Micros), c.number(m.P99Micros))
	}
	return table.Flush()
}

// benchFolder makes a folder of our own on the disk that is to be measured.
func benchFolder(parent string) (string, error) {
	parent, err := filepath.Abs(cmp.Or(parent, "."))
	if err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, "outboxd-bench-")
}

// preload fills the outbox through the socket.
func (c *cli) preload(ctx context.Context, child *child, n int, what string) error {
	bar := c.errs.Bar(what, int64(n))
	defer bar.End()
	l := &load{socket: child.socket, connections: batchConnections, events: batchEvents, limit: int64(n), bar: bar}
	_, _, err := l.run(ctx, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
