package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/outboxd/outboxd/internal/bench"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/spf13/cobra"
)

func (c *cli) benchDrain() *cobra.Command {
	var p bench.DrainPlan
	var org orgFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Records a second through bulk jobs into the simulator",
		Long: "Fill the outbox with pending upserts and a few stuck events, ask how the daemon stands, then measure how quickly bulk jobs drain it into the simulator, " +
			"which runs in this process on the same machine. The ceiling beside it is what a bare client reaches with a simulator of its own in the same round: jobs of the same size, " +
			"as many at once, the same waits, rows made beforehand, results only counted. At last the drained file is looked at: what one event's commit takes there, and on a new file. " +
			"With --job-time the org takes so long for each job; then the calls that a record costs are of interest, and no ceiling is measured.",
		Example: "  outboxd bench drain\n  outboxd bench drain --pending 1000000 --job-records 10000 --rounds 1 --json\n  outboxd bench drain --job-time 5s --poll 1s..30s",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) (err error) {
			if p.Pending < 1 || p.Rounds < 1 || org.JobTime < 0 {
				return usage("--pending and --rounds must be positive, --job-time not negative")
			}
			if p.Org, err = org.org(); err != nil {
				return err
			}
			return c.measureIn(dir, func(ctx context.Context, b *bench.Bench) error {
				r, err := b.Drain(ctx, p)
				if err != nil {
					return err
				}
				return c.showDrain(r)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "`folder` to put the store into")
	f.IntVar(&p.Pending, "pending", 100_000, "upserts that are pending before, all of which are drained")
	f.IntVar(&p.Rounds, "rounds", 3, "how often it is repeated, each with a new outbox and org")
	f.DurationVar(&org.JobTime, "job-time", 0, "that the org takes for each job")
	org.register(f)
	c.jsonFlag(cmd, "all figures")
	return cmd
}

func (c *cli) showDrain(r bench.DrainReport) error {
	if c.json {
		return c.printJSON(r)
	}
	table := c.out.Table("pending", "jobs at once", "records a job", "records/s", "ceiling", "ratio", "CPU µs/record", "API calls/1,000", "commits/1,000")
	ceiling, share := unknown, unknown
	if r.CeilingPerSecond > 0 {
		ceiling, share = c.whole(r.CeilingPerSecond), decimal(r.Ratio)
	}
	first := r.Rounds[0]
	table.Row(c.number(int64(r.Pending)), c.number(int64(r.Jobs)), c.number(int64(r.JobRecords)), c.whole(r.RecordsPerSecond), ceiling, share,
		decimal(r.CPUMicros), decimal(r.CallsPerThousand), decimal(r.CommitsPerRecords))
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	f := facts{c.out.Table()}
	c.addDisk(f, r.Disk)
	for _, kind := range slices.Sorted(maps.Keys(first.PerThousandByKind)) {
		f.add("calls/1,000 of "+kind, decimal(first.PerThousandByKind[kind]))
	}
	addMemory(f, first.Memory)
	c.addBacklog(f, first.Backlog)
	f.add("file after the drain", term.Bytes(first.After.FileBytes))
	f.add("free share of it", decimal(first.After.FreeShare))
	f.add("one-event commit there, µs", c.whole(first.After.CommitMicros))
	f.add("the same on a new file, µs", c.whole(first.After.NewCommitMicros))
	f.add("ratio of these", decimal(first.After.Ratio))
	f.add("records/s by tenths of the backlog", c.rounds(first.Tenths))
	f.add("records/s of each round", c.rounds(picked(r.Rounds, func(d bench.DrainRound) float64 { return d.RecordsPerSecond })))
	if r.CeilingPerSecond > 0 {
		f.add("ceiling of each round", c.rounds(picked(r.Rounds, func(d bench.DrainRound) float64 { return d.CeilingPerSecond })))
	}
	return f.table.Flush()
}
