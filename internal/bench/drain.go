package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/internal/term"
)

// DrainPlan is what Drain is to measure.
type DrainPlan struct {
	Org
	Pending int // upserts, all of which are drained
	Rounds  int
}

// DrainReport is what Drain found. Its own figures are the medians of the rounds'.
type DrainReport struct {
	Pending    int     `json:"pending"`
	Jobs       int     `json:"jobs_at_once"`
	JobRecords int     `json:"job_records"`
	Poll       string  `json:"poll"`
	JobSeconds float64 `json:"job_seconds"`
	Disk       Disk    `json:"disk"`
	Draining
	Rounds []DrainRound `json:"rounds"`
}

// Draining are rates and costs. The ceiling is what a bare client reached with a
// simulator of its own: 0 where jobs take a time that is given.
type Draining struct {
	RecordsPerSecond  float64 `json:"records_per_second"`
	CeilingPerSecond  float64 `json:"ceiling_records_per_second,omitempty"`
	Ratio             float64 `json:"ratio_to_ceiling,omitempty"`
	CPUMicros         float64 `json:"cpu_us_per_record"`
	CallsPerThousand  float64 `json:"api_calls_per_1000_records"` // that count against the org's allowance
	CommitsPerRecords float64 `json:"commits_per_1000_records"`
}

// DrainRound is one filling and draining of a new outbox, into a new org.
type DrainRound struct {
	Seconds float64 `json:"seconds"`
	Draining
	Tenths []float64 `json:"records_per_second_by_tenth"` // as the backlog shrinks
	Calls
	Memory  Memory  `json:"memory"` // while draining
	Backlog Backlog `json:"backlog"`
	After   Drained `json:"after"`
}

// Drained is the outbox after its backlog, beside a new one.
type Drained struct {
	FileBytes       int64   `json:"file_bytes"`
	FreeShare       float64 `json:"free_share"`
	CommitMicros    float64 `json:"one_event_commit_p50_us"`
	NewCommitMicros float64 `json:"one_event_commit_p50_us_new_file"`
	Ratio           float64 `json:"ratio_to_new_file"`
}

// diskLength is for how long the bare sync is measured.
const diskLength = 500 * time.Millisecond

// Drain measures how quickly bulk jobs drain a backlog.
func (b *Bench) Drain(ctx context.Context, p DrainPlan) (DrainReport, error) {
	r := DrainReport{Pending: p.Pending, Jobs: p.Jobs, JobRecords: p.JobRecords, Poll: p.Poll.String(), JobSeconds: p.JobTime.Seconds()}
	for range p.Rounds {
		if err := b.disk(ctx, diskLength, &r.Disk); err != nil {
			return r, err
		}
		round, err := b.drainRound(ctx, p)
		if err != nil {
			return r, err
		}
		r.Rounds = append(r.Rounds, round)
	}
	figure := func(pick func(Draining) float64) float64 {
		return medianOf(r.Rounds, func(d DrainRound) float64 { return pick(d.Draining) })
	}
	r.Draining = Draining{
		RecordsPerSecond:  figure(func(d Draining) float64 { return d.RecordsPerSecond }),
		CeilingPerSecond:  figure(func(d Draining) float64 { return d.CeilingPerSecond }),
		Ratio:             figure(func(d Draining) float64 { return d.Ratio }),
		CPUMicros:         figure(func(d Draining) float64 { return d.CPUMicros }),
		CallsPerThousand:  figure(func(d Draining) float64 { return d.CallsPerThousand }),
		CommitsPerRecords: figure(func(d Draining) float64 { return d.CommitsPerRecords }),
	}
	return r, nil
}

func (b *Bench) drainRound(ctx context.Context, p DrainPlan) (DrainRound, error) {
	r, err := b.drainOnce(ctx, p)
	if err != nil || p.JobTime > 0 {
		return r, err
	}
	if r.CeilingPerSecond, err = b.ceiling(ctx, p.Org, p.Pending); err != nil {
		return r, fmt.Errorf("bare client: %w", err)
	}
	r.Ratio = ratio(r.RecordsPerSecond, r.CeilingPerSecond)
	return r, nil
}

func (b *Bench) drainOnce(ctx context.Context, p DrainPlan) (r DrainRound, err error) {
	v, err := b.startDelivery(ctx, p.Org)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, v.stop()) }()
	if err := b.fill(ctx, v.daemon, p.Pending, "filling"); err != nil {
		return r, err
	}
	if r.Backlog, err = b.backlog(ctx, v.daemon); err != nil {
		return r, err
	}
	memory := watchMemory(v.pid())
	err = b.drainAll(ctx, v, p.Pending, &r)
	var failure error
	if r.Memory, failure = memory(); errors.Join(err, failure) != nil {
		return r, errors.Join(err, failure)
	}
	r.After, err = b.afterDrain(ctx, v.daemon)
	return r, err
}

// drainAll lets the daemon go and watches until nothing is pending.
func (b *Bench) drainAll(ctx context.Context, v *delivery, records int, r *DrainRound) error {
	calls := v.calls()
	before, err := v.usage(ctx)
	if err != nil {
		return err
	}
	bar := b.screen.Bar("draining", int64(records))
	defer bar.End()
	w := &drainWatch{records: int64(records), bar: bar, started: time.Now()}
	if _, err := v.client.Resume(ctx, api.ResumeRequest{}); err != nil {
		return err
	}
	if err := v.watch(ctx, w.look); err != nil {
		return err
	}
	r.Seconds = time.Since(w.started).Seconds()
	after, err := v.usage(ctx)
	if err != nil {
		return err
	}
	if c := w.last.Counts; c.Delivered != int64(records) {
		return fmt.Errorf("%d of %d records were delivered, %d failed, %d are in doubt", c.Delivered, records, c.Failed, c.InDoubt)
	}
	spent := cost(before, after, int64(records))
	r.RecordsPerSecond = ratio(float64(records), r.Seconds)
	r.CPUMicros = spent.CPUMicros
	r.CommitsPerRecords = float64(after.commits-before.commits) * 1000 / float64(records)
	r.Tenths = w.tenths
	now := v.calls()
	r.CallsPerThousand = float64(now.used-calls.used) * 1000 / float64(records)
	r.Calls = now.since(calls, int64(records))
	return nil
}

// drainWatch follows a drain.
type drainWatch struct {
	records int64
	bar     *term.Bar
	started time.Time
	last    api.Status

	tenths []float64 // rates of those that are over
	from   int64     // where the tenth under way began
	since  time.Time
}

// look reports whether all is over.
func (w *drainWatch) look(s api.Status) bool {
	w.last = s
	done := s.Counts.Delivered
	w.bar.Set(done, w.records, "")
	if w.since.IsZero() {
		w.since = w.started
	}
	if tenth := w.records / 10; tenth > 0 && done/tenth > w.from/tenth {
		now := time.Now()
		w.tenths = append(w.tenths, ratio(float64(done-w.from), now.Sub(w.since).Seconds()))
		w.from, w.since = done, now
	}
	return s.Counts.Pending+s.Counts.Inflight == 0
}

const watchEvery = 50 * time.Millisecond

// watch shows the daemon's status to look until it says that it has seen enough.
func (d *daemon) watch(ctx context.Context, look func(api.Status) (enough bool)) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s, err := d.client.Status(ctx)
		if err != nil {
			return err
		}
		if look(s) {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return fmt.Errorf("the daemon ended: %w: %s", d.err, d.output)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	commitPasses = 5
	commitEvents = 100 // of a pass
)

// afterDrain looks at what a backlog leaves behind. Passes on its file and on a
// new one take turns.
func (b *Bench) afterDrain(ctx context.Context, d *daemon) (a Drained, err error) {
	s, err := d.client.Pause(ctx) // what is written now stays
	if err != nil {
		return a, err
	}
	a.FileBytes, a.FreeShare = s.Store.Bytes, ratio(float64(s.Store.FreeBytes), float64(s.Store.Bytes))
	folder, err := b.fresh()
	if err != nil {
		return a, err
	}
	other, err := startDaemon(ctx, folder, "")
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, other.stop()) }()
	var drained, fresh []float64
	for range commitPasses {
		if err := onePass(ctx, d, &drained); err != nil {
			return a, err
		}
		if err := onePass(ctx, other, &fresh); err != nil {
			return a, err
		}
	}
	a.CommitMicros, a.NewCommitMicros = median(drained), median(fresh)
	a.Ratio = ratio(a.CommitMicros, a.NewCommitMicros)
	return a, nil
}

// onePass adds the median latency of some events that one connection writes.
func onePass(ctx context.Context, d *daemon, medians *[]float64) error {
	l := &load{socket: d.socket, connections: 1, limit: commitEvents}
	done, err := l.run(ctx)
	if err != nil {
		return err
	}
	*medians = append(*medians, done.times.latency().P50)
	return ctx.Err()
}
