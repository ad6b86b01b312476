package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/outboxd/outboxd/simulator"
	"github.com/spf13/cobra"
)

// drainPlan is what bench drain is asked to do.
type drainPlan struct {
	dir        string
	records    int
	jobs       int
	jobRecords int
	poll       string
}

func (c *cli) benchDrain() *cobra.Command {
	var p drainPlan
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Records a second through bulk jobs into the simulator",
		Long: "Fill the outbox with pending upserts, then measure how quickly bulk jobs drain it into the simulator, " +
			"which runs in this process on the same machine: how many records a second, API calls per 1,000 records, and the daemon's memory.",
		Example: "  outboxd bench drain\n  outboxd bench drain --records 1000000 --job-records 10000 --json",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if p.records < 1 || p.jobs < 1 || p.jobRecords < 1 {
				return usage("--records, --jobs and --job-records must be positive")
			}
			ctx, stop := interruptible()
			defer stop()
			return c.runBenchDrain(ctx, p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.dir, "dir", ".", "`folder` to put the store into")
	f.IntVar(&p.records, "records", 100_000, "pending upserts, rounded up to thousands")
	f.IntVar(&p.jobs, "jobs", 4, "bulk jobs at once")
	f.IntVar(&p.jobRecords, "job-records", 1000, "records of a job, at most 10000")
	f.StringVar(&p.poll, "poll", "50ms..1s", "`range` of the waits between two looks at a job")
	c.jsonFlag(cmd, "the figures")
	return cmd
}

// drainReport is what bench drain found.
type drainReport struct {
	Records          int            `json:"records"`
	Jobs             int            `json:"jobs_at_once"`
	JobRecords       int            `json:"job_records"`
	Poll             string         `json:"poll"`
	Seconds          float64        `json:"seconds"`
	RecordsPerSecond float64        `json:"records_per_second"`
	CallsPerThousand float64        `json:"api_calls_per_1000_records"`
	Calls            map[string]int `json:"calls"`
	PeakRSSBytes     int64          `json:"peak_rss_bytes"`
	OwnRSSBytes      int64          `json:"anonymous_rss_bytes"`
}

func (c *cli) runBenchDrain(ctx context.Context, p drainPlan) (err error) {
	p.records = (p.records + batchEvents - 1) / batchEvents * batchEvents
	folder, err := benchFolder(p.dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	sim, url, err := startSimulator(simulator.Config{Seed: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	config, err := p.config(folder, url)
	if err != nil {
		return err
	}
	child, err := startChild(ctx, folder, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, child.stop()) }()
	if _, err := child.client.Pause(ctx); err != nil {
		return err
	}
	if err := c.preload(ctx, child, p.records, "filling"); err != nil {
		return err
	}
	r := drainReport{Records: p.records, Jobs: p.jobs, JobRecords: p.jobRecords, Poll: p.poll}
	if err := c.drain(ctx, child, sim, &r); err != nil {
		return err
	}
	return c.showDrain(r)
}

func startSimulator(cfg simulator.Config) (*simulator.Simulator, string, error) {
	sim, err := simulator.New(cfg)
	if err != nil {
		return nil, "", err
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		return nil, "", errors.Join(err, sim.Close())
	}
	return sim, url, nil
}

// config is the daemon's configuration beside its paths.
func (p drainPlan) config(folder, url string) (string, error) {
	secret := filepath.Join(folder, "secret")
	if err := os.WriteFile(secret, []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		return "", err
	}
	return fmt.Sprintf(`salesforce:
  login_url: %s
  auth: {flow: client_credentials, client_id: %s, client_secret_file: %q}
dispatch:
  bulk: {min_records: 1, max_records: %d, max_jobs: %d, poll: %s}
`, url, simulator.DefaultClientID, secret, p.jobRecords, p.jobs, p.poll), nil
}

// drain lets the daemon go and watches until nothing is pending.
func (c *cli) drain(ctx context.Context, child *child, sim *simulator.Simulator, r *drainReport) error {
	before := sim.Calls()
	bar := c.errs.Bar("draining", int64(r.Records))
	defer bar.End()
	started := time.Now()
	if _, err := child.client.Resume(ctx, api.ResumeRequest{}); err != nil {
		return err
	}
	s, err := watchDrained(ctx, child, func(s api.Status) { bar.Set(s.Counts.Delivered, int64(r.Records), "") })
	if err != nil {
		return err
	}
	r.Seconds = time.Since(started).Seconds()
	bar.End()
	if s.Counts.Delivered != int64(r.Records) {
		return fmt.Errorf("%d of %d records were delivered, %d failed, %d are in doubt",
			s.Counts.Delivered, r.Records, s.Counts.Failed, s.Counts.InDoubt)
	}
	after := sim.Calls()
	r.Calls = after.Calls
	for kind, n := range before.Calls {
		r.Calls[kind] -= n
	}
	r.RecordsPerSecond = float64(r.Records) / r.Seconds
	r.CallsPerThousand = float64(after.Used-before.Used) * 1000 / float64(r.Records)
	r.PeakRSSBytes, r.OwnRSSBytes, err = child.memory()
	return err
}

// watchDrained asks for the status until nothing waits or is under way.
func watchDrained(ctx context.Context, child *child, show func(api.Status)) (api.Status, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := child.client.Status(ctx)
		if err != nil {
			return s, err
		}
		show(s)
		if s.Counts.Pending+s.Counts.Inflight == 0 {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-child.ended:
			return s, fmt.Errorf("the daemon ended: %w: %s", child.err, child.output)
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

func (c *cli) showDrain(r drainReport) error {
	if c.json {
		return c.printJSON(r)
	}
	table := c.out.Table()
	table.Row("records", c.number(int64(r.Records)))
	table.Row("jobs at once", fmt.Sprint(r.Jobs))
	table.Row("records a job", c.number(int64(r.JobRecords)))
	table.Row("seconds", fmt.Sprintf("%.2f", r.Seconds))
	table.Row("records/s", c.number(int64(r.RecordsPerSecond)))
	table.Row("API calls per 1,000 records", fmt.Sprintf("%.2f", r.CallsPerThousand))
	table.Row("peak RSS", term.Bytes(r.PeakRSSBytes))
	table.Row("own memory", term.Bytes(r.OwnRSSBytes))
	return table.Flush()
}
