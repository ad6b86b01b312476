package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// TestCalls_PerThousandRecords counts at the org what each way costs (docs/performance.md
// has the table that -v prints).
func TestCalls_PerThousandRecords(t *testing.T) {
	jobs := func(rows int) dispatcher.Config {
		return dispatcher.Config{Bulk: dispatcher.Bulk{MinRecords: rows, MaxRecords: rows}}
	}
	short := simulator.Config{JobDelay: 5 * time.Second, APILimit: 2000}
	for _, tt := range []struct {
		way    string
		cfg    dispatcher.Config
		org    simulator.Config
		of     func(int) string
		people bool  // are at the org whom the events mean
		used   int64 // calls of the day, made by others before
		most   map[int]float64
	}{
		{way: "REST", cfg: jobs(1_000_000), of: upsertContact, most: map[int]float64{200: 15, 1000: 7, 5000: 5.4, 20_000: 5.1}},
		{way: "jobs of 1,000", cfg: jobs(1000), of: upsertContact, most: map[int]float64{1000: 12, 5000: 9, 20_000: 8}},
		{way: "jobs of 10,000", cfg: dispatcher.Config{Bulk: dispatcher.Bulk{MaxRecords: 10_000}}, of: upsertContact, most: map[int]float64{1000: 12, 5000: 2.5, 20_000: 1.5}},
		{way: "creates by jobs of 1,000", cfg: jobs(1000), of: createContact, most: map[int]float64{200: 55, 1000: 12, 5000: 9, 20_000: 8}},
		{way: "match by e-mail, then REST", cfg: jobs(1_000_000), of: matchContact, people: true, most: map[int]float64{200: 20, 1000: 11, 5000: 9.5}},
		{way: "half of the calls are used", org: short, of: upsertContact, used: 1200, most: map[int]float64{200: 15, 1000: 7, 5000: 5.4, 20_000: 5.1}},
		{way: "the same, jobs up to 10,000", cfg: dispatcher.Config{Bulk: dispatcher.Bulk{MaxRecords: 10_000}}, org: short, of: upsertContact, used: 1200, most: map[int]float64{200: 15, 1000: 7, 5000: 2.5, 20_000: 1.5}},
	} {
		for _, backlog := range []int{200, 1000, 5000, 20_000} {
			most, measured := tt.most[backlog]
			if !measured || testing.Short() && backlog > 5000 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", tt.way, backlog), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					org := tt.org
					if org.JobDelay == 0 {
						org.JobDelay = 5 * time.Second
					}
					r, _ := newBubbleRig(t, tt.cfg, org)
					r.others(tt.used)
					if tt.people {
						r.people(backlog, person)
					}
					before := r.sim.Calls().Used
					r.fill(backlog, tt.of)
					r.start()
					r.finishes(backlog, time.Hour)
					r.halt()
					calls := r.sim.Calls()
					per := float64(calls.Used-before) * 1000 / float64(backlog)
					t.Logf("%-28s %6d records: %6.2f calls per 1,000 %v", tt.way, backlog, per, calls.Calls)
					if per > most {
						t.Errorf("%.2f calls per 1,000 records, want at most %v: %v", per, most, calls.Calls)
					}
				})
			})
		}
	}
}

// others has somebody else in the org make calls.
func (r *rig) others(n int64) {
	r.t.Helper()
	c := r.client()
	for range n {
		if _, err := c.Limits(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// fill puts n events.
func (r *rig) fill(n int, of func(int) string) {
	r.t.Helper()
	const atOnce = 4000
	for i := 0; i < n; i += atOnce {
		r.put(many(min(atOnce, n-i), func(k int) string { return of(i + k) })...)
	}
}

// finishes waits until n events are delivered, within a time of the bubble.
func (r *rig) finishes(n int, within time.Duration) {
	r.t.Helper()
	for begun := time.Now(); r.counts().Of(store.Delivered) < int64(n); time.Sleep(within / 1000) {
		if time.Since(begun) > within {
			r.t.Fatalf("counts %v, stuck: %v, calls %v", r.counts(), r.stuck(), r.sim.Calls().Calls)
		}
	}
}

// TestBudget_ReserveHoldsUnderLoad: for three days more is sent than the org's
// calls would bear one by one, while others use calls too. The reserve is not
// touched, and events leave all day long, not only until the calls are used up.
func TestBudget_ReserveHoldsUnderLoad(t *testing.T) {
	const (
		limit  = 1500
		share  = limit * 8 / 10
		step   = 10 * time.Minute
		days   = 3
		upsert = 100 // events a step
		create = 10
	)
	synctest.Test(t, func(t *testing.T) {
		cfg := dispatcher.Config{ // small batches, so that few events take many calls
			Bulk:   dispatcher.Bulk{MinRecords: 100, MaxRecords: 100},
			REST:   dispatcher.REST{MaxRecords: 20},
			Budget: dispatcher.Budgeting{Reserve: 0.2},
		}
		r, _ := newBubbleRig(t, cfg, simulator.Config{JobDelay: 5 * time.Second, APILimit: limit})
		r.start()
		var accepted, before, others, spent, over int64
		var gap, longest time.Duration
		for n := range int(days * 24 * time.Hour / step) {
			r.put(many(upsert, func(k int) string { return upsertContact(n*upsert + k) })...)
			r.put(many(create, func(k int) string { return createContact(n*create + k) })...)
			accepted += upsert + create
			if n%18 == 0 {
				r.others(1)
				others++
			}
			for range int(step / time.Minute) {
				used := r.sim.Calls().Used
				time.Sleep(time.Minute)
				ours := r.spent() - others
				if used >= share {
					over += ours - spent
				}
				spent = ours
				gap += time.Minute
				if delivered := r.counts().Of(store.Delivered); delivered > before {
					longest, gap, before = max(longest, gap), 0, delivered
				}
			}
		}
		left := accepted - before
		t.Logf("%d calls in %d days, %d of them beyond the %d that are not kept for others; %d events, %d of them undelivered at the end; longest time without a delivery %v; %v",
			spent, days, over, share, accepted, left, longest, r.sim.Calls().Calls)
		if over > 0 {
			t.Errorf("%d calls were made of those that are kept for others", over)
		}
		if longest > 3*time.Hour {
			t.Errorf("nothing was delivered for %v", longest)
		}
		if left > accepted/20 {
			t.Errorf("%d of %d events are left", left, accepted)
		}
		r.oracle()
	})
}

// TestBudget_WhatIsUnderWayIsBroughtToItsEnd: others use up what is left while one
// job runs and the next waits for its turn to be closed.
func TestBudget_WhatIsUnderWayIsBroughtToItsEnd(t *testing.T) {
	const rows = 100
	synctest.Test(t, func(t *testing.T) {
		cfg := dispatcher.Config{Bulk: dispatcher.Bulk{MinRecords: rows, MaxRecords: rows, MaxJobs: 1}, Budget: dispatcher.Budgeting{Reserve: 0.5}}
		r, _ := newBubbleRig(t, cfg, simulator.Config{JobDelay: time.Minute, APILimit: 100})
		r.put(many(5*rows, createContact)...)
		r.start()
		for r.sim.Calls().Calls["job.upload"] < 2 {
			time.Sleep(time.Second)
		}
		r.others(50 - r.sim.Calls().Used)
		time.Sleep(time.Hour)
		if s := r.d.Breaker(); s.Reason != dispatcher.ReasonBudget {
			t.Errorf("breaker %+v, want it open for the budget", s)
		}
		if c := r.counts(); c.Of(store.Delivered) != 2*rows || c.Of(store.Inflight) != 0 {
			t.Errorf("an hour later: %v, want both jobs ended and no other begun", c)
		}
		if n := r.sim.Calls().Calls["job.create"]; n != 2 {
			t.Errorf("%d jobs were made, want 2", n)
		}
		r.finishes(5*rows, 48*time.Hour)
		r.oracle()
	})
}

// spent is how many calls the org has counted since its beginning.
func (r *rig) spent() (n int64) {
	for kind, k := range r.sim.Calls().Calls {
		if kind != "token" && kind != "versions" {
			n += int64(k)
		}
	}
	return n
}

// TestBudget_OutOfBatches: jobs stop before the batches that are kept for others,
// what may go by REST goes on, and a day later the rest does.
func TestBudget_OutOfBatches(t *testing.T) {
	const batches, rows = 10, 100
	synctest.Test(t, func(t *testing.T) {
		cfg := dispatcher.Config{Bulk: dispatcher.Bulk{MinRecords: rows, MaxRecords: rows}, Budget: dispatcher.Budgeting{Reserve: 0.2}}
		r, _ := newBubbleRig(t, cfg, simulator.Config{JobDelay: 5 * time.Second, BatchLimit: batches})
		r.put(many(12*rows, createContact)...)
		r.start()
		time.Sleep(12 * time.Hour)
		if n := r.sim.Calls().Calls["job.close"]; n != 8 {
			t.Errorf("%d jobs on the first day, want the 8 that are not for others", n)
		}
		r.put(many(3*rows, upsertContact)...)
		time.Sleep(time.Hour)
		if c := r.counts(); c.Of(store.Delivered) != 11*rows || r.d.Breaker().State != dispatcher.BreakerClosed {
			t.Errorf("counts %v, breaker %v, want 8 jobs of creates and all upserts delivered", c, r.d.Breaker())
		}
		if b, ok := r.d.Budget(); !ok || b.Batches.Max != batches || b.Batches.Left() > 0 || !b.JobsHeld {
			t.Errorf("budget %+v", b)
		}
		r.finishes(15*rows, 48*time.Hour)
		r.oracle()
	})
}

// TestBudget_BatchesThatTheOrgRefuses: REST goes on at once, jobs after a while;
// nobody is charged, nothing is paused.
func TestBudget_BatchesThatTheOrgRefuses(t *testing.T) {
	const rows = 100
	synctest.Test(t, func(t *testing.T) {
		r, _ := newBubbleRig(t, dispatcher.Config{Bulk: dispatcher.Bulk{MinRecords: rows, MaxRecords: rows}}, simulator.Config{JobDelay: 5 * time.Second})
		r.faults(simulator.Fault{
			Match: simulator.Match{Kind: "job.create", Nth: []int{1, 2, 3}}, Do: "status", Status: 400,
			Code: "EXCEEDEDQUOTA", Message: "ExceededQuota : ApiBatchItems Limit exceeded.",
		})
		r.put(many(rows, createContact)...)
		r.put(many(2*rows, upsertContact)...)
		r.start()
		time.Sleep(time.Minute)
		if c := r.counts(); c.Of(store.Delivered) != 2*rows || r.d.Breaker().State != dispatcher.BreakerClosed {
			t.Errorf("after a minute: %v, breaker %v", c, r.d.Breaker())
		}
		r.finishes(3*rows, time.Hour)
		if strings.Contains(r.log.String(), "sending is paused") {
			t.Error("sending was paused")
		}
		for _, x := range r.list() {
			if x.Attempts > 1 {
				t.Errorf("%s was charged %d attempts", x.Key, x.Attempts)
			}
		}
		r.oracle()
	})
}
