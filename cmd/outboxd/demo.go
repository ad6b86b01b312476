package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/app"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

func (c *cli) demo() *cobra.Command {
	var seed uint64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole thing against the simulator, and count",
		Long: "Start the Salesforce simulator and a daemon in this process, write 5,000 events over the socket, some of them bad, " +
			"lose some of Salesforce's answers on purpose, and deliver by REST and by bulk jobs. At the end the simulator, " +
			"which knows every write that changed its org, is asked what was lost or doubled; anything is exit code 1.",
		Example: "  outboxd demo\n  outboxd demo --json",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := interruptible()
			defer stop()
			return c.runDemo(ctx, seed)
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 1, "of the simulator: makes chance repeatable")
	c.jsonFlag(cmd, "the result")
	return cmd
}

// demoPatience bounds the demo; it takes a few seconds.
const demoPatience = 2 * time.Minute

// demonstration is a demo under way.
type demonstration struct {
	c       *cli
	sim     *simulator.Simulator
	daemon  *client.Client
	folder  string
	started time.Time
	total   int64 // events that will be written
	written []demoEvent
	report  demoReport
	bar     *term.Bar
	spoke   time.Time
}

// demoReport is what the demo found.
type demoReport struct {
	Accepted   int64             `json:"accepted"`
	Repeats    int64             `json:"repeats_recognised"`
	REST       int64             `json:"delivered_rest"`
	Bulk       int64             `json:"delivered_bulk"`
	Calls      int64             `json:"api_calls"`
	Stuck      api.StuckCounts   `json:"stuck"`
	Groups     []api.StuckGroup  `json:"stuck_summary"`
	Lost       int64             `json:"lost"`
	Doubled    int64             `json:"doubled"`
	Violations []store.Violation `json:"store_violations,omitempty"`
	Seconds    float64           `json:"seconds"`
	records    []api.Document
}

func (c *cli) runDemo(ctx context.Context, seed uint64) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, errors.New("the demo took too long"))
	defer cancel()
	folder, err := os.MkdirTemp("", "outboxd-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	sim, url, err := startSimulator(simulator.Config{Seed: seed, Schema: demoSchema()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	if err := sim.SetFaults(demoFaults()...); err != nil {
		return err
	}
	cfg, err := demoConfig(folder, url)
	if err != nil {
		return err
	}
	d := &demonstration{c: c, sim: sim, folder: folder, started: time.Now(), bar: c.errs.Bar("delivering", 0)}
	if err := d.withDaemon(ctx, cfg); err != nil {
		return err
	}
	if err := d.judge(ctx, cfg); err != nil {
		return err
	}
	return d.show()
}

// withDaemon runs a daemon for as long as events are written and delivered.
func (d *demonstration) withDaemon(ctx context.Context, cfg *config.Config) error {
	log, err := os.Create(filepath.Join(d.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	a, err := app.New(cfg, app.Deps{Logger: slog.New(slog.NewTextHandler(log, nil)), Version: version()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		err := a.Run(ctx)
		cancel(err) // a daemon that ends by itself ends the demo
		ended <- err
	}()
	d.daemon = client.New(cfg.Socket.Path)
	err = d.perform(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	d.bar.End()
	d.daemon.Close()
	cancel(nil)
	return errors.Join(err, <-ended)
}

// perform writes two waves of events. The second needs Ids of the first.
func (d *demonstration) perform(ctx context.Context) error {
	first := firstWave()
	d.total = int64(len(first) + secondWaveSize)
	d.say("simulator at work, socket open: writing %s events, with some answers lost on purpose", term.Count(d.total))
	if err := d.write(ctx, first); err != nil {
		return err
	}
	if err := d.drained(ctx); err != nil {
		return err
	}
	ids, err := d.deliveredIDs(ctx)
	if err != nil {
		return err
	}
	second := secondWave(ids)
	if err := d.write(ctx, second); err != nil {
		return err
	}
	if err := d.write(ctx, repeated(first, second)); err != nil {
		return err
	}
	if err := d.drained(ctx); err != nil {
		return err
	}
	return d.collect(ctx)
}

// repeated chooses events that the app writes once more, as if it had got no answer.
func repeated(waves ...[]demoEvent) []demoEvent {
	var again []demoEvent
	for _, wave := range waves {
		for i := 0; i < len(wave); i += 100 {
			again = append(again, wave[i])
		}
	}
	return again
}

// write sends events as NDJSON, all in one request.
func (d *demonstration) write(ctx context.Context, events []demoEvent) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, e := range events {
		if err := enc.Encode(e.Event); err != nil {
			return err
		}
	}
	at := 0
	return d.daemon.PutStream(ctx, &lines, func(r api.Result) error {
		if r.Problem != nil {
			return fmt.Errorf("event %s: %w", events[at].Key, r.Problem)
		}
		if r.Duplicate {
			d.report.Repeats++
		} else {
			d.report.Accepted++
			d.written = append(d.written, events[at])
		}
		at++
		return nil
	})
}

// drained waits until nothing moves any more: what is pending then is blocked.
func (d *demonstration) drained(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := d.daemon.Status(ctx)
		if err != nil {
			return err
		}
		d.progress(s)
		if s.Counts.Inflight == 0 && s.Counts.Pending == s.Stuck.Blocked {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// progress is a bar on a terminal, and a line a second elsewhere.
func (d *demonstration) progress(s api.Status) {
	stuck := s.Stuck.Failed + s.Stuck.InDoubt + s.Stuck.Blocked
	calls := d.sim.Calls().Used
	d.bar.Set(s.Counts.Delivered+s.Counts.Failed, d.total, fmt.Sprintf("%s in flight, %d stuck, %d API calls",
		term.Count(s.Counts.Inflight), stuck, calls))
	if d.c.errs.TTY() || time.Since(d.spoke) < time.Second {
		return
	}
	d.say("accepted %d, delivered %d, in flight %d, pending %d, stuck %d, API calls %d",
		s.Accepted, s.Counts.Delivered, s.Counts.Inflight, s.Counts.Pending, stuck, calls)
}

// say prints a line with the time since the start, on stderr.
func (d *demonstration) say(format string, values ...any) {
	d.spoke = time.Now()
	d.bar.Pause()
	fmt.Fprintf(d.c.err, "%5.1fs  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, values...))
}

func (d *demonstration) deliveredIDs(ctx context.Context) (map[string]string, error) {
	ids := map[string]string{}
	err := d.daemon.EachEvent(ctx, client.Filter{States: []string{"delivered"}}, func(doc api.Document) error {
		ids[doc.Key] = doc.SalesforceID
		return nil
	})
	return ids, err
}

// collect asks the daemon what became of everything.
func (d *demonstration) collect(ctx context.Context) error {
	s, err := d.daemon.Status(ctx)
	if err != nil {
		return err
	}
	page, err := stuckUpTo(ctx, d.daemon, client.Filter{}, 0)
	if err != nil {
		return err
	}
	d.report.Stuck, d.report.Groups, d.report.records = s.Stuck, page.Summary, page.Stuck
	states := map[string]string{}
	err = d.daemon.EachEvent(ctx, client.Filter{}, func(doc api.Document) error {
		states[doc.Key] = doc.State
		switch {
		case doc.State == "delivered" && doc.Via == "bulk":
			d.report.Bulk++
		case doc.State == "delivered":
			d.report.REST++
		}
		return nil
	})
	for i := range d.written {
		d.written[i].state = states[d.written[i].Key]
	}
	return err
}

// judge asks the oracle, and checks the store that the daemon left.
func (d *demonstration) judge(ctx context.Context, cfg *config.Config) (err error) {
	d.report.Lost, d.report.Doubled = verdict(d.written, d.sim.Effects())
	d.report.Calls = d.sim.Calls().Used
	d.report.Seconds = time.Since(d.started).Seconds()
	s, err := store.Open(cfg.Store.Path, store.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d.report.Violations, err = s.Check(ctx)
	return err
}

func (d *demonstration) show() error {
	r := &d.report
	good := r.Lost == 0 && r.Doubled == 0 && len(r.Violations) == 0
	if d.c.json {
		if err := d.c.printJSON(r); err != nil {
			return err
		}
	} else if err := d.showTables(good); err != nil {
		return err
	}
	if !good {
		return failed
	}
	return nil
}

func (d *demonstration) showTables(good bool) error {
	c, r := d.c, &d.report
	fmt.Fprintln(c.out)
	if err := c.showStuck(api.StuckPage{Stuck: r.records, Summary: r.Groups, Total: int64(len(r.records))}); err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	f := facts{c.out.Table()}
	f.add("accepted", c.number(r.Accepted))
	f.add("repeats recognised", c.number(r.Repeats))
	f.add("delivered by REST", c.number(r.REST))
	f.add("delivered by bulk", c.number(r.Bulk))
	f.add("API calls used", c.number(r.Calls))
	for _, n := range reasons(r.Stuck) {
		f.styled("stuck: "+n.name, c.number(n.count), styleOf(n))
	}
	for _, v := range r.Violations {
		f.styled("store: "+v.Invariant, v.Detail, term.Red)
	}
	f.add("seconds", fmt.Sprintf("%.1f", r.Seconds))
	style := term.Green
	if !good {
		style = term.Red
	}
	f.styled("verdict of the org", fmt.Sprintf("%d lost, %d doubled", r.Lost, r.Doubled), style)
	return f.table.Flush()
}
