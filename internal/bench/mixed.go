package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/outboxd/outboxd/api"
)

// MixedPlan is what Mixed is to measure.
type MixedPlan struct {
	Org
	Connections int // that write one event a request
	Pending     int // before
	Length      time.Duration
	Rounds      int
}

// MixedReport is what Mixed found. Its own figures are the medians of the rounds'.
type MixedReport struct {
	EventBytes  int     `json:"event_bytes"`
	Connections int     `json:"connections"`
	Pending     int     `json:"pending"`
	Seconds     float64 `json:"seconds_per_measurement"`
	Jobs        int     `json:"jobs_at_once"`
	JobRecords  int     `json:"job_records"`
	Disk        Disk    `json:"disk"`
	Mixing
	Rounds []Mixing `json:"rounds"`
}

// Mixing is accepting alone, both at once, and draining alone.
type Mixing struct {
	RawPerSecond  float64 `json:"raw_events_per_second"` // group commit of as many writers
	AcceptAlone   Phase   `json:"accept_alone"`
	Both          Phase   `json:"both"`
	DrainAlone    Phase   `json:"drain_alone"`
	AcceptedRatio float64 `json:"accepted_ratio_to_alone"`
	DrainedRatio  float64 `json:"delivered_ratio_to_alone"`
	Memory        Memory  `json:"memory"`
}

// Phase is a time in which events were accepted, delivered, or both. In its cost
// an event counts once when it is accepted and once when it is delivered.
type Phase struct {
	AcceptedPerSecond  float64 `json:"accepted_per_second"`
	DeliveredPerSecond float64 `json:"delivered_per_second"`
	Acknowledgement    Latency `json:"acknowledgement"`
	Cost               Cost    `json:"cost"`
}

// Mixed measures writers over the socket while bulk jobs drain.
func (b *Bench) Mixed(ctx context.Context, p MixedPlan) (MixedReport, error) {
	r := MixedReport{
		EventBytes: EventBytes, Connections: p.Connections, Pending: p.Pending, Seconds: p.Length.Seconds(),
		Jobs: p.Jobs, JobRecords: p.JobRecords,
	}
	for range p.Rounds {
		if err := b.disk(ctx, p.Length, &r.Disk); err != nil {
			return r, err
		}
		round, err := b.mixedRound(ctx, p)
		if err != nil {
			return r, err
		}
		r.Rounds = append(r.Rounds, round)
	}
	phase := func(pick func(Mixing) Phase) Phase { return medianPhase(r.Rounds, pick) }
	figure := func(pick func(Mixing) float64) float64 { return medianOf(r.Rounds, pick) }
	r.Mixing = Mixing{
		RawPerSecond:  figure(func(m Mixing) float64 { return m.RawPerSecond }),
		AcceptAlone:   phase(func(m Mixing) Phase { return m.AcceptAlone }),
		Both:          phase(func(m Mixing) Phase { return m.Both }),
		DrainAlone:    phase(func(m Mixing) Phase { return m.DrainAlone }),
		AcceptedRatio: figure(func(m Mixing) float64 { return m.AcceptedRatio }),
		DrainedRatio:  figure(func(m Mixing) float64 { return m.DrainedRatio }),
	}
	for _, m := range r.Rounds {
		r.Memory.Own, r.Memory.Peak = max(r.Memory.Own, m.Memory.Own), max(r.Memory.Peak, m.Memory.Peak)
	}
	return r, nil
}

func medianPhase(rounds []Mixing, of func(Mixing) Phase) Phase {
	return Phase{
		AcceptedPerSecond:  medianOf(rounds, func(m Mixing) float64 { return of(m).AcceptedPerSecond }),
		DeliveredPerSecond: medianOf(rounds, func(m Mixing) float64 { return of(m).DeliveredPerSecond }),
		Acknowledgement:    medianLatency(rounds, func(m Mixing) Latency { return of(m).Acknowledgement }),
		Cost:               medianCost(rounds, func(m Mixing) Cost { return of(m).Cost }),
	}
}

func (b *Bench) mixedRound(ctx context.Context, p MixedPlan) (m Mixing, err error) {
	v, err := b.startDelivery(ctx, p.Org)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, v.stop()) }()
	if err := b.fill(ctx, v.daemon, p.Pending, "filling"); err != nil {
		return m, err
	}
	if m.RawPerSecond, err = b.rawCommits(ctx, p.Connections, 1, p.Length); err != nil {
		return m, fmt.Errorf("raw limit: %w", err)
	}
	memory := watchMemory(v.pid())
	err = b.phases(ctx, v, p, &m)
	var failure error
	m.Memory, failure = memory()
	m.AcceptedRatio = ratio(m.Both.AcceptedPerSecond, m.AcceptAlone.AcceptedPerSecond)
	m.DrainedRatio = ratio(m.Both.DeliveredPerSecond, m.DrainAlone.DeliveredPerSecond)
	return m, errors.Join(err, failure)
}

// phases accepts while nothing is sent, then lets the daemon send as well, and at
// last sends alone, from a backlog that is filled up before.
func (b *Bench) phases(ctx context.Context, v *delivery, p MixedPlan, m *Mixing) (err error) {
	writers := func() *load { return &load{socket: v.socket, connections: p.Connections} }
	if m.AcceptAlone, err = b.phase(ctx, v, "accepting alone", writers(), until{length: p.Length}); err != nil {
		return err
	}
	if _, err := v.client.Resume(ctx, api.ResumeRequest{}); err != nil {
		return err
	}
	if m.Both, err = b.phase(ctx, v, "accepting and draining", writers(), until{length: p.Length, delivers: true}); err != nil {
		return err
	}
	if _, err := v.client.Pause(ctx); err != nil { // or the filling might be drained at once
		return err
	}
	if err := b.fill(ctx, v.daemon, p.Pending, "filling"); err != nil {
		return err
	}
	if _, err := v.client.Resume(ctx, api.ResumeRequest{}); err != nil {
		return err
	}
	nobody := &load{socket: v.socket}
	m.DrainAlone, err = b.phase(ctx, v, "draining alone", nobody, until{length: p.Length, delivers: true})
	return err
}

// until is when a phase ends: after its length, or before if nothing is left to be
// delivered. One that delivers lasts for as long as nothing was.
type until struct {
	length   time.Duration
	delivers bool
}

func (u until) over(passed time.Duration, delivered int64, s api.Status) bool {
	return s.Counts.Pending+s.Counts.Inflight == 0 || passed >= u.length && (!u.delivers || delivered > 0)
}

// phase lets the load write, and the backlog drain unless the daemon is paused.
func (b *Bench) phase(ctx context.Context, v *delivery, what string, write *load, end until) (f Phase, err error) {
	bar := b.screen.Bar(what, 0)
	defer bar.End()
	started, first, err := v.standing(ctx)
	if err != nil {
		return f, err
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var done loaded
	var refused error
	var wg sync.WaitGroup
	wg.Go(func() { done, refused = write.run(writing) })
	err = v.watch(ctx, func(s api.Status) bool {
		delivered := s.Counts.Delivered - first
		bar.Set(write.done.Load()+delivered, 0, "")
		return end.over(time.Since(started.at), delivered, s)
	})
	stop()
	wg.Wait()
	if err := errors.Join(err, refused); err != nil {
		return f, err
	}
	ended, last, err := v.standing(ctx)
	if err != nil {
		return f, err
	}
	if accepted := ended.accepted - started.accepted; accepted != done.events {
		return f, fmt.Errorf("%d events were acknowledged, and %d accepted", done.events, accepted)
	}
	delivered, seconds := last-first, ended.at.Sub(started.at).Seconds()
	return Phase{
		AcceptedPerSecond:  done.rate(),
		DeliveredPerSecond: ratio(float64(delivered), seconds),
		Acknowledgement:    done.times.latency(),
		Cost:               cost(started, ended, done.events+delivered),
	}, nil
}

// standing is what was used so far, and how many events are delivered.
func (v *delivery) standing(ctx context.Context) (usage, int64, error) {
	s, err := v.client.Status(ctx)
	if err != nil {
		return usage{}, 0, err
	}
	u, err := v.usage(ctx)
	return u, s.Counts.Delivered, err
}
