package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// AcceptPlan is what Accept is to measure.
type AcceptPlan struct {
	Connections []int         // each with one event a request
	Known       int           // events that were delivered before (Delivered)
	Pending     int           // events that are pending, and the daemon is asked how it stands with them
	Length      time.Duration // of each measurement
	Rounds      int
}

// AcceptReport is what Accept found.
type AcceptReport struct {
	EventBytes int          `json:"event_bytes"`
	Known      int          `json:"known"`
	Pending    int          `json:"pending"`
	Seconds    float64      `json:"seconds_per_measurement"`
	Disk       Disk         `json:"disk"`
	Loads      []AcceptLoad `json:"loads"`
	Memory     Memory       `json:"memory"` // while it was measured
	Backlog    *Backlog     `json:"backlog,omitempty"`
}

// AcceptLoad is one way of writing events. Its own figures are the medians of the
// rounds', the longest latency that of all.
type AcceptLoad struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	Unanswered  int    `json:"unanswered_per_connection"` // events, at most
	Accepting
	Rounds []Accepting `json:"rounds"`
}

// Accepting is what one round found, beside the disk's group commit of the same
// bytes by as many writers.
type Accepting struct {
	EventsPerSecond float64 `json:"events_per_second"`
	RawPerSecond    float64 `json:"raw_events_per_second"`
	Ratio           float64 `json:"ratio_to_raw"`
	Latency
	Cost
}

// The ways of writing.
const (
	SingleLoad = "single" // one event a request
	LinesLoad  = "ndjson" // streams of lines, each answered as its commit ends
)

func (p AcceptPlan) loads() []AcceptLoad {
	var all []AcceptLoad
	for _, n := range p.Connections {
		all = append(all, AcceptLoad{Name: SingleLoad, Connections: n, Unanswered: 1})
	}
	return append(all, AcceptLoad{Name: LinesLoad, Connections: linesConnections, Unanswered: linesWindow})
}

// Accept measures durable accepts over the socket.
func (b *Bench) Accept(ctx context.Context, p AcceptPlan) (r AcceptReport, err error) {
	r = AcceptReport{EventBytes: EventBytes, Known: p.Known, Pending: p.Pending, Seconds: p.Length.Seconds(), Loads: p.loads()}
	folder, err := b.fresh()
	if err != nil {
		return r, err
	}
	if err := b.deliver(ctx, folder, p.Known); err != nil {
		return r, err
	}
	d, err := startDaemon(ctx, folder, "")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := b.fill(ctx, d, p.Pending, "filling"); err != nil {
		return r, err
	}
	if p.Pending > 0 {
		backlog, err := b.backlog(ctx, d)
		if err != nil {
			return r, err
		}
		r.Backlog = &backlog
	}
	memory := watchMemory(d.pid())
	err = b.acceptRounds(ctx, d, p, &r)
	seen, failure := memory()
	r.Memory = seen
	return r, errors.Join(err, failure)
}

// deliver readies the store of a daemon that is to be started.
func (b *Bench) deliver(ctx context.Context, folder string, n int) error {
	if n == 0 {
		return nil
	}
	bar := b.screen.Bar("delivering", int64(n))
	defer bar.End()
	return Delivered(ctx, filepath.Join(folder, storeName), n, func(n int) { bar.Add(int64(n)) })
}

func (b *Bench) acceptRounds(ctx context.Context, d *daemon, p AcceptPlan, r *AcceptReport) error {
	bar := b.screen.Bar("measuring", int64(p.Rounds*(1+2*len(r.Loads))))
	defer bar.End()
	for range p.Rounds {
		if err := b.disk(ctx, p.Length, &r.Disk); err != nil {
			return err
		}
		bar.Add(1)
		for i := range r.Loads {
			l := &r.Loads[i]
			raw, err := b.rawCommits(ctx, l.Connections, l.Unanswered, p.Length)
			if err != nil {
				return fmt.Errorf("raw limit: %w", err)
			}
			bar.Add(1)
			got, err := l.round(ctx, d, p.Length)
			if err != nil {
				return err
			}
			got.RawPerSecond, got.Ratio = raw, ratio(got.EventsPerSecond, raw)
			l.Rounds = append(l.Rounds, got)
			bar.Add(1)
		}
	}
	for i := range r.Loads {
		r.Loads[i].Accepting = medianAccepting(r.Loads[i].Rounds)
	}
	return nil
}

// round writes for a length of time, and holds what was acknowledged against what
// the daemon says that it accepted.
func (l *AcceptLoad) round(ctx context.Context, d *daemon, length time.Duration) (a Accepting, err error) {
	before, err := d.usage(ctx)
	if err != nil {
		return a, err
	}
	write := &load{socket: d.socket, connections: l.Connections, lines: l.Name == LinesLoad}
	done, err := write.runFor(ctx, length)
	if err != nil {
		return a, err
	}
	after, err := d.usage(ctx)
	if err != nil {
		return a, err
	}
	if accepted := after.accepted - before.accepted; accepted != done.events {
		return a, fmt.Errorf("%d events were acknowledged, and %d accepted", done.events, accepted)
	}
	return Accepting{EventsPerSecond: done.rate(), Latency: done.times.latency(), Cost: cost(before, after, done.events)}, nil
}

func medianAccepting(rounds []Accepting) Accepting {
	return Accepting{
		EventsPerSecond: medianOf(rounds, func(a Accepting) float64 { return a.EventsPerSecond }),
		RawPerSecond:    medianOf(rounds, func(a Accepting) float64 { return a.RawPerSecond }),
		Ratio:           medianOf(rounds, func(a Accepting) float64 { return a.Ratio }),
		Latency:         medianLatency(rounds, func(a Accepting) Latency { return a.Latency }),
		Cost:            medianCost(rounds, func(a Accepting) Cost { return a.Cost }),
	}
}
