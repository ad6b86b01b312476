package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/internal/bench"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (c *cli) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what outboxd does on this machine and disk",
		Long: "Measure throughput, latency and cost. The daemon runs as a process of its own, started from this same program in a folder that is removed afterwards; " +
			"what is measured goes over its real socket. Beside each figure stands what the machine itself can do, measured in the same round: compare the ratios, not the rates. " +
			"With several rounds the figures are their medians; --json has each round's.",
		Example: "  outboxd bench accept --json\n  outboxd bench drain --pending 100000\n  outboxd bench mixed",
		Args:    args(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.benchAccept(), c.benchDrain(), c.benchMixed())
	return cmd
}

// measureIn gives a measurement its place, and removes that afterwards.
func (c *cli) measureIn(dir string, measure func(context.Context, *bench.Bench) error) (err error) {
	ctx, stop := interruptible()
	defer stop()
	b, err := bench.Open(dir, c.errs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return measure(ctx, b)
}

// orgFlags are how the simulated org is used.
type orgFlags struct {
	bench.Org
	poll string
}

func (o *orgFlags) register(f *pflag.FlagSet) {
	f.IntVar(&o.Jobs, "jobs", 4, "bulk jobs at once")
	f.IntVar(&o.JobRecords, "job-records", 1000, "records of a job, at most 10000")
	f.StringVar(&o.poll, "poll", "50ms..1s", "`range` of the waits between two looks at a job")
}

// org checks the flags.
func (o *orgFlags) org() (bench.Org, error) {
	if o.Jobs < 1 || o.JobRecords < 1 {
		return o.Org, usage("--jobs and --job-records must be positive")
	}
	var err error
	if o.Poll, err = config.ParseRange(o.poll); err != nil {
		return o.Org, usage("--poll %s: %v", o.poll, err)
	}
	return o.Org, nil
}

// unknown stands for a figure that there is none of.
const unknown = "–"

func decimal(v float64) string { return fmt.Sprintf("%.2f", v) }

func (c *cli) whole(v float64) string { return c.number(int64(v + 0.5)) }

// rounds are the rates of all rounds.
func (c *cli) rounds(rates []float64) string {
	all := make([]string, len(rates))
	for i, r := range rates {
		all[i] = c.whole(r)
	}
	return strings.Join(all, " ")
}

func picked[T any](rounds []T, figure func(T) float64) []float64 {
	all := make([]float64, len(rounds))
	for i, r := range rounds {
		all[i] = figure(r)
	}
	return all
}

func (c *cli) latencyCells(l bench.Latency) []string {
	if l.Longest == 0 { // nobody waited
		return []string{unknown, unknown, unknown, unknown, unknown}
	}
	return []string{c.whole(l.P50), c.whole(l.P99), c.whole(l.P999), c.whole(l.Longest), decimal(l.P99ToP50)}
}

var latencyHeads = []string{"p50 µs", "p99 µs", "p99.9 µs", "longest µs", "p99/p50"}

func (c *cli) costCells(cost bench.Cost) []string {
	return []string{decimal(cost.WrittenPerByte), c.whole(cost.SyncsPerSecond), decimal(cost.EventsPerCommit), decimal(cost.CPUMicros)}
}

var costHeads = []string{"bytes written/byte", "syncs/s", "events/commit", "CPU µs/event"}

func (c *cli) addDisk(f facts, d bench.Disk) {
	f.add("bare syncs/s", c.whole(d.SyncsPerSecond))
	f.add("two syncs, µs", c.whole(d.TwoSyncsMicros))
}

func addMemory(f facts, m bench.Memory) {
	f.add("own memory, most seen", term.Bytes(m.Own))
	f.add("peak memory, with mapped pages", term.Bytes(m.Peak))
}

func (c *cli) addBacklog(f facts, b bench.Backlog) {
	f.add("pending before", c.number(b.Pending))
	f.add("file then", term.Bytes(b.FileBytes))
	f.add("own memory then", term.Bytes(b.Memory.Own))
	f.add("status, median and longest ms", decimal(b.Status.MedianMillis)+" "+decimal(b.Status.LongestMillis))
	f.add("stuck, median and longest ms", decimal(b.StuckPage.MedianMillis)+" "+decimal(b.StuckPage.LongestMillis))
}
