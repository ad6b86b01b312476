package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/outboxd/outboxd/internal/bench"
	"github.com/spf13/cobra"
)

func (c *cli) benchAccept() *cobra.Command {
	var p bench.AcceptPlan
	var dir string
	cmd := &cobra.Command{
		Use:   "accept",
		Short: "Durable accepts a second, beside the disk's own limit",
		Long: "Measure durable accepts over the socket: one 512-byte event a request with a random UUID as its key, on each of the given numbers of connections, and NDJSON on 2 connections, " +
			"each with at most 1,000 events that wait for their results; an event's latency there is from when its line was written to when its result was read. " +
			"The raw limit beside each is what the disk itself can do with as many writers of as many bytes: append, and one fdatasync for all that waits. " +
			"The outbox is one that has run for a while: --known events were delivered before. " +
			"With --pending the daemon is also asked, before it is measured, how it stands: the time of status and of stuck, its memory, its file.",
		Example: "  outboxd bench accept\n  outboxd bench accept --connections 64 --known 1000000 --dir /var/lib/outboxd --json\n  outboxd bench accept --pending 5000000",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if len(p.Connections) == 0 || slices.Min(p.Connections) < 1 || p.Rounds < 1 || p.Length <= 0 || p.Known < 0 || p.Pending < 0 {
				return usage("--connections, --rounds and --time must be positive, --known and --pending not negative")
			}
			return c.measureIn(dir, func(ctx context.Context, b *bench.Bench) error {
				r, err := b.Accept(ctx, p)
				if err != nil {
					return err
				}
				return c.showAccept(r)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "`folder` on the disk to measure")
	f.IntSliceVar(&p.Connections, "connections", []int{1, 16, 64}, "numbers of connections for one event a request")
	f.IntVar(&p.Known, "known", 100_000, "events that were delivered before: their keys are known, and the file has free pages")
	f.IntVar(&p.Pending, "pending", 0, "events that are pending before measuring, and are asked about")
	f.DurationVar(&p.Length, "time", 3*time.Second, "of each measurement")
	f.IntVar(&p.Rounds, "rounds", 3, "how often each is repeated")
	c.jsonFlag(cmd, "all figures")
	return cmd
}

var loadNames = map[string]string{bench.SingleLoad: "one event a request", bench.LinesLoad: "NDJSON"}

func (c *cli) showAccept(r bench.AcceptReport) error {
	if c.json {
		return c.printJSON(r)
	}
	table := c.out.Table(slices.Concat([]string{"what", "connections", "events/s", "raw limit", "ratio"}, latencyHeads, costHeads)...)
	for _, l := range r.Loads {
		head := []string{loadNames[l.Name], c.number(int64(l.Connections)), c.whole(l.EventsPerSecond), c.whole(l.RawPerSecond), decimal(l.Ratio)}
		table.Row(slices.Concat(head, c.latencyCells(l.Latency), c.costCells(l.Cost))...)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	f := facts{c.out.Table()}
	c.addDisk(f, r.Disk)
	f.add("known keys before", c.number(int64(r.Known)))
	addMemory(f, r.Memory)
	if r.Backlog != nil {
		c.addBacklog(f, *r.Backlog)
	}
	for _, l := range r.Loads {
		rates := picked(l.Rounds, func(a bench.Accepting) float64 { return a.EventsPerSecond })
		raw := picked(l.Rounds, func(a bench.Accepting) float64 { return a.RawPerSecond })
		name := fmt.Sprintf("%s, %d connections: ", loadNames[l.Name], l.Connections)
		f.add(name+"events/s of each round", c.rounds(rates))
		f.add(name+"raw limit of each round", c.rounds(raw))
	}
	return f.table.Flush()
}
