package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/simulator"
)

// zombie is how long the org holds a call that it processes all the same: longer
// than the daemon waits for it, and shorter than its late window.
const (
	zombie     = time.Second
	lateWindow = 4 * time.Second
)

var patient = fmt.Sprintf(`
  bulk: { min_records: 50, max_records: 500, max_wait: 100ms, poll: 10ms..100ms }
  rest: { late_window: %v, timeout: %v }
  retry: { initial: 20ms, max: 300ms }
`, lateWindow, zombie*7/10)

// trouble is an org at its worst: it loses calls and answers, cuts bodies, is
// away, meets locks, takes its time, gives jobs up, and carries out calls whose
// sender is gone.
func trouble() (list []simulator.Fault) {
	add := func(kind, do string, p float64, f simulator.Fault) {
		f.Match, f.Do = simulator.Match{Kind: kind, Probability: p}, do
		list = append(list, f)
	}
	for _, kind := range []string{"job.*", "coll.*", "query", "describe", "token"} {
		add(kind, "drop_before", 0.01, simulator.Fault{})
		add(kind, "drop_after", 0.01, simulator.Fault{})
		add(kind, "cut", 0.005, simulator.Fault{Part: 0.5})
		add(kind, "status", 0.002, simulator.Fault{Status: 503, Code: "SERVER_UNAVAILABLE", Message: "busy"})
	}
	for _, kind := range []string{"coll.*", "job.create", "job.upload", "job.close"} {
		add(kind, "delay_before", 0.03, simulator.Fault{Delay: zombie})
	}
	add("job.*", "slow_job", 0.1, simulator.Fault{Delay: zombie})
	add("job.close", "fail_job", 0.02, simulator.Fault{Part: 0.5, Code: "InternalServerError", Message: "gave up"})
	add("", "lock", 0.002, simulator.Fault{})
	return list
}

// chaos is a daemon that is killed at random under writers that repeat what was not answered.
type chaos struct {
	*process
	t      *testing.T
	rnd    *rand.Rand
	sim    *simulator.Simulator
	lines  []line
	seeded int
	writers

	accepting, draining, starting int // kills, by what the daemon was at
	doubts, poisoned              int
}

func newChaos(t *testing.T, n int) *chaos {
	t.Helper()
	c := &chaos{t: t, rnd: chance(t)}
	var o *org
	c.sim, o = simulated(t, simulator.Config{Seed: c.rnd.Uint64()})
	c.process = newProcess(t, binary, o.url, settings{objects: "{ Lead: { key_field: Outbox_Key__c }, Case: { create_via: rest } }", dispatch: patient})
	s := sow(o, n)
	c.seeded = len(c.sim.Effects())
	for i := range n {
		c.lines = append(c.lines, randomLine(i, s, c.rnd))
	}
	return c
}

// randomLine is a good line, or a create that an ambiguous end leaves in doubt.
func randomLine(i int, s seeds, rnd *rand.Rand) line {
	key := fmt.Sprintf("event-%06d", i)
	if i%50 != 3 {
		return goodLine(key, i, s, rnd)
	}
	return line{key: key, mark: key, event: map[string]any{"key": key, "object": "Case", "operation": "create", "fields": map[string]any{"Subject": key}}}
}

// The daemon is killed at random moments, while it starts, accepts and drains:
// what was answered is delivered once, in order, and so is what was repeated
// until it was answered.
func TestKilledAtRandom(t *testing.T) {
	c := newChaos(t, *lines)
	if err := c.sim.SetFaults(trouble()...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*kills)*10*time.Second)
	defer cancel()
	done := c.write(ctx, c.process, c.lines)
	for i := range *kills {
		c.live(ctx, len(c.lines)*(i+1) / *kills)
	}
	if err := c.sim.SetFaults(); err != nil {
		t.Fatal(err)
	}
	c.start()
	<-done
	if ctx.Err() != nil {
		t.Fatal("not everything was answered in time")
	}
	c.settle(ctx)
	c.verdict()
}

// live runs the daemon until it is killed: while it starts, while it accepts what
// is released to the writers now, or when it has accepted that.
func (c *chaos) live(ctx context.Context, release int) {
	c.t.Helper()
	up := func() bool { return ctx.Err() != nil || c.client.Health(ctx) == nil }
	most := 120 * time.Millisecond
	c.launch(nil)
	switch c.rnd.IntN(5) {
	case 0:
		c.release(release)
	case 1, 2:
		c.until("the daemon answers", up)
		c.release(release)
	default:
		c.release(release)
		c.until("what was released is accepted", func() bool { return ctx.Err() != nil || c.idle() })
		most *= 8
	}
	select {
	case <-time.After(time.Duration(c.rnd.Int64N(int64(most)))):
	case <-ctx.Done():
	}
	s, err := c.client.Status(ctx)
	switch {
	case err != nil:
		c.starting++
	case !c.idle():
		c.accepting++
	case s.Counts.Pending+s.Counts.Inflight > 0:
		c.draining++
	}
	if !c.alive() {
		c.t.Fatalf("the daemon ended by itself: %v", c.cmd.ProcessState)
	}
	c.kill()
}

// settle is the operator, once the org is well: what is in doubt is resolved by
// looking, and what went down with the daemon too often is tried again.
func (c *chaos) settle(ctx context.Context) {
	c.t.Helper()
	c.until("everything is delivered", func() bool {
		s := c.status()
		if s.Counts.Pending+s.Counts.Inflight > s.Stuck.Blocked {
			return false
		}
		if s.Counts.InDoubt > 0 {
			c.doubts += c.resolve(ctx)
		}
		if s.Counts.Failed > 0 {
			moved, err := c.client.RetryMany(ctx, client.Filter{States: []string{"failed"}, Code: "POISON"}, false)
			if err != nil || moved.Changed == 0 {
				c.t.Fatalf("%d failed, %d of them over crashes: %v", s.Counts.Failed, moved.Changed, err)
			}
			c.poisoned += int(moved.Changed)
		}
		return s.Counts.Delivered == int64(len(c.lines))
	})
}

func (c *chaos) resolve(ctx context.Context) (n int) {
	c.t.Helper()
	at := map[string]string{}
	for _, e := range c.sim.Effects()[c.seeded:] {
		if e.Operation == "create" {
			at[markOf(e)] = e.ID
		}
	}
	err := c.client.EachEvent(ctx, client.Filter{States: []string{"in_doubt"}}, func(d api.Document) error {
		if d.Object != "Case" {
			return fmt.Errorf("%s %s of %s is in doubt; it could be repeated: %+v", d.Operation, d.Key, d.Object, d.Doubt)
		}
		n++
		id := at[d.Key]
		_, err := c.client.Resolve(ctx, d.Key, id != "", id)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// verdict asks the oracle.
func (c *chaos) verdict() {
	c.t.Helper()
	docs := c.documents()
	effects := c.sim.Effects()[c.seeded:]
	lost, doubled := c.count(effects)
	disordered := c.disorder(docs, effects)
	for _, l := range c.lines {
		if d := docs[l.key]; d.State != "delivered" {
			c.t.Errorf("%s was answered and is %q", l.key, d.State)
		}
	}
	c.t.Logf("kills %d (%d while starting, %d accepting, %d draining), events %d, lines written %d, in doubt %d, went down with it too often %d",
		*kills, c.starting, c.accepting, c.draining, len(c.lines), c.tries.Load(), c.doubts, c.poisoned)
	c.t.Logf("lost %d, doubled %d, out of order %d", lost, doubled, disordered)
	if lost+doubled+disordered > 0 {
		c.t.Errorf("lost %d, doubled %d, out of order %d", lost, doubled, disordered)
	}
	c.check()
}

// count compares each line's effects with one.
func (c *chaos) count(effects []simulator.Effect) (lost, doubled int) {
	did := map[string]int{}
	for _, e := range effects {
		if e.Operation == "delete" {
			did[e.ID]++
		} else {
			did[markOf(e)]++
		}
	}
	for _, l := range c.lines {
		name := l.mark
		if l.deletes != "" {
			name = l.deletes
		}
		switch n := did[name]; {
		case n == 0:
			lost++
			c.t.Errorf("lost: %s", l.key)
		case n > 1:
			doubled++
			c.t.Errorf("%d effects: %s", n, l.key)
		}
	}
	return lost, doubled
}

// disorder counts effects that came before one of their lane that was accepted earlier.
func (c *chaos) disorder(docs map[string]api.Document, effects []simulator.Effect) (n int) {
	lane, last := map[string]string{}, map[string]uint64{}
	for _, l := range c.lines {
		if l.lane != "" {
			lane[l.mark] = l.lane
		}
	}
	for _, e := range effects {
		mark := markOf(e)
		if name := lane[mark]; name != "" {
			if docs[mark].Seq < last[name] {
				n++
				c.t.Errorf("out of order: %s", mark)
			}
			last[name] = docs[mark].Seq
		}
	}
	return n
}
