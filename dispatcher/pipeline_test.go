package dispatcher_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// countingBox counts the transactions that write. It sweeps once an hour only:
// the days of a bubble are long.
type countingBox struct {
	dispatcher.Outbox
	mu     sync.Mutex
	writes map[string]int
}

func (c *countingBox) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes[what]++
}

func (c *countingBox) Sweep(ctx context.Context, t store.Term) (more bool, err error) {
	select {
	case <-time.After(time.Hour):
		return c.Outbox.Sweep(ctx, t)
	case <-ctx.Done():
		return false, nil
	}
}

func (c *countingBox) Claim(ctx context.Context, t store.Term, id store.AttemptID, spec store.ClaimSpec) (store.Attempt, []store.Claimed, error) {
	c.count("claim")
	return c.Outbox.Claim(ctx, t, id, spec)
}

func (c *countingBox) Advance(ctx context.Context, t store.Term, id store.AttemptID, from, to store.Phase, d store.PhaseData) error {
	c.count("advance")
	return c.Outbox.Advance(ctx, t, id, from, to, d)
}

func (c *countingBox) Settle(ctx context.Context, t store.Term, id store.AttemptID, x store.Settlement) error {
	c.count("settle")
	return c.Outbox.Settle(ctx, t, id, x)
}

func (c *countingBox) Release(ctx context.Context, t store.Term, id store.AttemptID, note string) error {
	c.count("release")
	return c.Outbox.Release(ctx, t, id, note)
}

func (c *countingBox) Verify(ctx context.Context, t store.Term, seq store.Seq, r store.Resolution) error {
	c.count("verify")
	return c.Outbox.Verify(ctx, t, seq, r)
}

// pipes is a network in memory, which a bubble of synctest bears.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// newSlowRig is a rig in a bubble, whose org takes some time for a job.
func newSlowRig(t *testing.T, bulk dispatcher.Bulk, delay time.Duration) (*rig, *countingBox) {
	t.Helper()
	return newBubbleRig(t, dispatcher.Config{Bulk: bulk}, simulator.Config{JobDelay: delay})
}

// newBubbleRig is a rig in a bubble of synctest, whose days pass at once.
func newBubbleRig(t *testing.T, cfg dispatcher.Config, org simulator.Config) (*rig, *countingBox) {
	t.Helper()
	org.Seed = 1
	sim, err := simulator.New(org)
	if err != nil {
		t.Fatal(err)
	}
	network := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- sim.Serve(network) }()
	s, err := store.Open(filepath.Join(t.TempDir(), "outbox.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	box := &countingBox{Outbox: s, writes: make(map[string]int)}
	r := &rig{t: t, cfg: cfg, sim: sim, url: "http://127.0.0.1", dial: network.dial, store: s, outbox: box, log: &logBook{}}
	t.Cleanup(func() {
		r.halt()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		<-served
		time.Sleep(time.Hour) // what still sleeps wakes
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r, box
}

// drains puts upserts, starts, and waits until all of them are delivered.
func (r *rig) drains(n int, within time.Duration) {
	r.t.Helper()
	r.fill(n, upsertContact)
	r.start()
	r.finishes(n, within)
}

// An org that takes five seconds for a job is asked a few times only, also while
// nothing is known of it, and the store is written to as often as the protocol
// asks: T1 to T5.
func TestJobs_AreCheap(t *testing.T) {
	for _, tt := range []struct {
		rows, jobs int
		calls      float64 // at most, per 1,000 records
	}{
		{1000, 12, 8},
		{10_000, 2, 1.5},
	} {
		t.Run(fmt.Sprint(tt.rows), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bulk := dispatcher.Bulk{MinRecords: tt.rows, MaxRecords: tt.rows, MaxWait: time.Hour, MaxJobs: 4}
				r, box := newSlowRig(t, bulk, 5*time.Second)
				records := tt.rows * tt.jobs
				r.drains(records, 10*time.Minute)
				r.halt()
				calls := r.sim.Calls()
				if per := float64(calls.Used) * 1000 / float64(records); per > tt.calls {
					t.Errorf("%.2f calls per 1,000 records, want at most %v: %v", per, tt.calls, calls.Calls)
				}
				t.Logf("%.2f calls per 1,000 records, %v, %v", float64(calls.Used)*1000/float64(records), calls.Calls, box.writes)
				if w := box.writes; w["claim"] != tt.jobs || w["advance"] != 3*tt.jobs || w["settle"] != tt.jobs || len(w) != 3 {
					t.Errorf("transactions of %d jobs: %v, want T1 to T5 of each", tt.jobs, w)
				}
			})
		})
	}
}

// The org has no more than MaxJobs to work on, and gets the next one at once: as
// many are made ready meanwhile, and no more.
func TestJobs_AreMadeReadyWhileOthersRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rows, most = 10, 2
		r, _ := newSlowRig(t, dispatcher.Bulk{MinRecords: rows, MaxRecords: rows, MaxWait: 24 * time.Hour, MaxJobs: most}, time.Hour)
		r.put(many(20*rows, upsertContact)...)
		r.start()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if calls := r.sim.Calls().Calls; calls["job.close"] != most || calls["job.upload"] != 2*most {
			t.Errorf("%d jobs are closed and %d uploaded, want %d and %d", calls["job.close"], calls["job.upload"], most, 2*most)
		}
		r.halt() // what was not closed goes back
		if c := r.counts(); c.Of(store.Inflight) != most*rows || c.Of(store.Pending) != 18*rows {
			t.Errorf("after a stop: %v", c)
		}
	})
}

// A job that waited so long for its close that the org may have forgotten it is
// made anew.
func TestJobs_ReadyForTooLongAreMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rows = 10
		r, _ := newSlowRig(t, dispatcher.Bulk{MinRecords: rows, MaxRecords: rows, MaxWait: 24 * time.Hour, MaxJobs: 1, PollMax: time.Minute}, 13*time.Hour)
		r.drains(2*rows, 48*time.Hour)
		if calls := r.sim.Calls().Calls; calls["job.upload"] != 3 || calls["job.abort"] != 1 || calls["job.close"] != 2 {
			t.Errorf("calls %v, want three uploads, one of them for nothing", calls)
		}
		r.oracle()
	})
}

// A job that is ready when the operator pauses for days is not closed after them,
// when the org may have ended it: what it holds would be in doubt.
func TestJobs_ReadyAreNotSpoiltByAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rows = 10
		r, _ := newSlowRig(t, dispatcher.Bulk{MinRecords: rows, MaxRecords: rows, MaxWait: 24 * time.Hour, MaxJobs: 1, PollMax: time.Minute}, time.Hour)
		r.put(many(2*rows, createContact)...)
		r.start()
		time.Sleep(30 * time.Minute)
		if err := r.store.Pause(t.Context(), "op"); err != nil {
			t.Fatal(err)
		}
		r.d.Poke()
		time.Sleep(72 * time.Hour)
		if err := r.store.Resume(t.Context(), "op", store.Acceptance{}); err != nil {
			t.Fatal(err)
		}
		r.d.Poke()
		time.Sleep(2 * time.Hour)
		if c := r.counts(); c.Of(store.Delivered) != 2*rows {
			t.Errorf("counts %v, stuck: %v, calls %v", c, r.stuck(), r.sim.Calls().Calls)
		}
		r.oracle()
	})
}
