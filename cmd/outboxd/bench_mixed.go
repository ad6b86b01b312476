package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/outboxd/outboxd/internal/bench"
	"github.com/spf13/cobra"
)

func (c *cli) benchMixed() *cobra.Command {
	var p bench.MixedPlan
	var org orgFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "mixed",
		Short: "Accepting and draining at the same time",
		Long: "Measure writers over the socket, one event a request, while bulk jobs drain a backlog into the simulator, which runs in this process on the same machine: " +
			"both rates, and how long acknowledgements take meanwhile. Before, the same writers have the daemon for themselves, and afterwards the jobs do; the ratios are to these. " +
			"In what an event cost it counts once when it is accepted and once when it is delivered.",
		Example: "  outboxd bench mixed\n  outboxd bench mixed --connections 16 --pending 500000 --time 10s --json",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) (err error) {
			if p.Connections < 1 || p.Pending < 1 || p.Rounds < 1 || p.Length <= 0 {
				return usage("--connections, --pending, --rounds and --time must be positive")
			}
			if p.Org, err = org.org(); err != nil {
				return err
			}
			return c.measureIn(dir, func(ctx context.Context, b *bench.Bench) error {
				r, err := b.Mixed(ctx, p)
				if err != nil {
					return err
				}
				return c.showMixed(r)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "`folder` on the disk to measure")
	f.IntVar(&p.Connections, "connections", 64, "that write")
	f.IntVar(&p.Pending, "pending", 100_000, "upserts that are pending before")
	f.DurationVar(&p.Length, "time", 5*time.Second, "of each measurement; draining ends before if nothing is left")
	f.IntVar(&p.Rounds, "rounds", 3, "how often it is repeated, each with a new outbox and org")
	org.register(f)
	c.jsonFlag(cmd, "all figures")
	return cmd
}

func (c *cli) showMixed(r bench.MixedReport) error {
	if c.json {
		return c.printJSON(r)
	}
	table := c.out.Table(slices.Concat([]string{"what", "accepted/s", "delivered/s"}, latencyHeads, costHeads)...)
	for _, row := range []struct {
		name  string
		phase bench.Phase
	}{{"accepting alone", r.AcceptAlone}, {"both", r.Both}, {"draining alone", r.DrainAlone}} {
		head := []string{row.name, c.whole(row.phase.AcceptedPerSecond), c.whole(row.phase.DeliveredPerSecond)}
		table.Row(slices.Concat(head, c.latencyCells(row.phase.Acknowledgement), c.costCells(row.phase.Cost))...)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	f := facts{c.out.Table()}
	c.addDisk(f, r.Disk)
	f.add("connections", c.number(int64(r.Connections)))
	f.add("raw limit of as many writers", c.whole(r.RawPerSecond))
	f.add("accepted, both against alone", decimal(r.AcceptedRatio))
	f.add("delivered, both against alone", decimal(r.DrainedRatio))
	addMemory(f, r.Memory)
	f.add("accepted/s of each round", c.rounds(picked(r.Rounds, func(m bench.Mixing) float64 { return m.Both.AcceptedPerSecond })))
	f.add("delivered/s of each round", c.rounds(picked(r.Rounds, func(m bench.Mixing) float64 { return m.Both.DeliveredPerSecond })))
	return f.table.Flush()
}
