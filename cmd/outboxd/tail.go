package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/spf13/cobra"
)

// reconnectEvery is how long tail waits for a daemon that went away.
const reconnectEvery = time.Second

func (c *cli) tail() *cobra.Command {
	t := &tailing{c: c}
	var noFollow bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show outcomes as they happen",
		Long: "Show what becomes of events: the last ones, then each as it happens, until interrupted. " +
			"A restart of the daemon is waited for. --json gives each entry with its cursor, from which --after goes on later.",
		Example: "  outboxd tail\n  outboxd tail --json --after \"$(cat cursor)\" --no-follow",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			t.follow = !noFollow
			return c.ask(t.run)
		},
	}
	cmd.Flags().StringVar(&t.after, "after", "", "begin behind this `cursor`, with all that is kept since")
	cmd.Flags().IntVarP(&t.last, "last", "n", 10, "without --after: begin with the last `N` outcomes; -1 for all that are kept")
	cmd.Flags().BoolVar(&noFollow, "no-follow", false, "end at the present")
	c.jsonFlag(cmd, "each outcome")
	return cmd
}

// tailing is a tail under way.
type tailing struct {
	c      *cli
	after  string // cursor of the last outcome that was read
	last   int
	follow bool
}

func (t *tailing) run(ctx context.Context, d *client.Client) error {
	if t.after == "" && t.last >= 0 {
		if err := t.catchUp(ctx, d); err != nil || !t.follow {
			return err
		}
	}
	for {
		err := d.Outcomes(ctx, t.after, t.follow, t.print)
		switch {
		case ctx.Err() != nil:
			return nil // interrupted: that is how one ends it
		case !t.follow, err != nil && !t.mayReturn(err):
			return err
		}
		fmt.Fprintln(t.c.err, "outboxd: the daemon went away; waiting for it")
		if err := t.wait(ctx, d); err != nil {
			return nil
		}
	}
}

// catchUp prints the last outcomes that there are and remembers where they end.
func (t *tailing) catchUp(ctx context.Context, d *client.Client) error {
	ring := make([]api.Outcome, 0, t.last)
	oldest := 0
	err := d.Outcomes(ctx, "", false, func(o api.Outcome) error {
		t.after = o.Cursor
		switch {
		case t.last == 0:
		case len(ring) < t.last:
			ring = append(ring, o)
		default:
			ring[oldest] = o
			oldest = (oldest + 1) % t.last
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range ring {
		if err := t.print(ring[(oldest+i)%len(ring)]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tailing) mayReturn(err error) bool {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code == api.CodeStarting || p.Code == api.CodeStopping
	}
	return errors.Is(err, client.ErrCut) || errors.Is(err, client.ErrUnreachable)
}

// wait returns when the daemon accepts again, or with the error of ctx.
func (t *tailing) wait(ctx context.Context, d *client.Client) error {
	tick := time.NewTicker(reconnectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if d.Health(ctx) == nil {
			return nil
		}
	}
}

func (t *tailing) print(o api.Outcome) error {
	t.after = o.Cursor
	if t.c.json {
		return t.c.printJSON(o)
	}
	s := t.c.out
	detail := o.SalesforceID
	if o.Code != "" {
		detail = strings.TrimSpace(o.Code + " " + o.Message)
	}
	cells := []string{utc(o.At), o.State, o.Object, o.Operation, o.Key, detail}
	for i := range cells {
		cells[i] = term.Clean(cells[i])
	}
	if !s.TTY() {
		_, err := fmt.Fprintln(s, strings.Join(cells, "\t"))
		return err
	}
	state := s.Paint(term.StateStyle(o.State), fmt.Sprintf("%-9s", cells[1]))
	_, err := fmt.Fprintf(s, "%s  %s  %-12s %-11s %s  %s\n", cells[0], state, cells[2], cells[3], cells[4], cells[5])
	return err
}
