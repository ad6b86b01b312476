package main

import (
	"context"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/spf13/cobra"
)

// pageSize is how many events one call brings of a long listing.
const pageSize = 1000

// ask runs a question against the daemon, or, with --offline, against the
// store's file.
func (c *cli) ask(question func(context.Context, *client.Client) error) error {
	ctx, stop := interruptible()
	defer stop()
	if c.offline {
		return c.askFile(ctx, question)
	}
	d, err := c.daemon()
	if err != nil {
		return err
	}
	defer d.Close()
	return question(ctx, d)
}

func (c *cli) status() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show what is in the outbox and whether it is being sent",
		Example: "  outboxd status\n  outboxd status --json | jq .stuck\n  outboxd status --offline --config outboxd.yaml",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return c.ask(func(ctx context.Context, d *client.Client) error {
				s, err := d.Status(ctx)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(s)
				}
				return c.showStatus(s)
			})
		},
	}
	c.jsonFlag(cmd, "the status")
	c.offlineFlag(cmd)
	return cmd
}

func (c *cli) stuck() *cobra.Command {
	var f filter
	var limit int
	var check bool
	cmd := &cobra.Command{
		Use:   "stuck",
		Short: "Show the events that need a person, each with its reason",
		Long: "Show the events that need a person: failed for good, in doubt, blocked behind one of these, or overdue. " +
			"The summary counts all that match, the list is bounded by --limit; with --json it has all unless one is given. " +
			"outboxd explain CODE says what a code means and what to do.",
		Example: "  outboxd stuck\n  outboxd stuck --reason failed --object Contact\n  outboxd stuck --check >/dev/null || echo someone must look",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.json && !cmd.Flags().Changed("limit") {
				limit = 0
			}
			return c.ask(func(ctx context.Context, d *client.Client) error {
				page, err := stuckUpTo(ctx, d, f.client(), limit)
				if err != nil {
					return err
				}
				if err := c.showStuck(page); err != nil {
					return err
				}
				if check && page.Total > 0 {
					return &exit{code: exitStuck}
				}
				return nil
			})
		},
	}
	f.add(cmd.Flags())
	f.addReason(cmd.Flags())
	cmd.Flags().IntVar(&limit, "limit", api.DefaultPage, "list at most this many; 0 for all")
	cmd.Flags().BoolVar(&check, "check", false, "exit 3 if there are any")
	c.jsonFlag(cmd, "them and the summary")
	c.offlineFlag(cmd)
	return cmd
}

// stuckUpTo joins pages until limit entries are there; 0 means all.
func stuckUpTo(ctx context.Context, d *client.Client, f client.Filter, limit int) (api.StuckPage, error) {
	f.Limit = pageLimit(limit)
	all, err := d.Stuck(ctx, f)
	for err == nil && all.NextCursor != "" && (limit == 0 || len(all.Stuck) < limit) {
		f.Cursor = all.NextCursor
		if limit > 0 {
			f.Limit = pageLimit(limit - len(all.Stuck))
		}
		var next api.StuckPage
		next, err = d.Stuck(ctx, f)
		all.Stuck, all.NextCursor = append(all.Stuck, next.Stuck...), next.NextCursor
	}
	return all, err
}

func pageLimit(limit int) int {
	if limit <= 0 {
		return pageSize
	}
	return min(limit, pageSize)
}

func (c *cli) ls() *cobra.Command {
	var f filter
	var limit int
	var cursor string
	var payload bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List events in the order of their acceptance",
		Example: "  outboxd ls --state pending,inflight\n  outboxd ls --object Contact --limit 0 --json > contacts.ndjson",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return c.ask(func(ctx context.Context, d *client.Client) error {
				query := f.client()
				query.Cursor, query.Payload = cursor, payload
				return c.list(ctx, d, query, limit)
			})
		},
	}
	f.add(cmd.Flags())
	f.addStates(cmd.Flags())
	cmd.Flags().IntVar(&limit, "limit", api.DefaultPage, "list at most this many; 0 for all")
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on where an earlier listing ended")
	cmd.Flags().BoolVar(&payload, "payload", false, "with fields and history (--json only)")
	c.jsonFlag(cmd, "one document a line")
	c.offlineFlag(cmd)
	return cmd
}

// list prints page after page, so that its memory does not grow.
func (c *cli) list(ctx context.Context, d *client.Client, f client.Filter, limit int) error {
	table := c.out.Table("seq", "key", "state", "object", "operation", "attempts", "accepted", "detail")
	for left := limit; ; {
		f.Limit = pageLimit(left)
		page, err := d.Events(ctx, f)
		if err != nil {
			return err
		}
		if err := c.listPage(table, page.Events); err != nil {
			return err
		}
		left -= len(page.Events)
		f.Cursor = page.NextCursor
		if f.Cursor == "" {
			return nil
		}
		if limit > 0 && left <= 0 {
			return c.more(f.Cursor)
		}
	}
}

func (c *cli) show() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "show KEY",
		Short:   "Show one event: what was accepted and what became of it",
		Example: "  outboxd show order-1187/contact\n  outboxd show order-1187/contact --wait 30s --json",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			return c.ask(func(ctx context.Context, d *client.Client) error {
				doc, err := d.Event(ctx, given[0], wait)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(doc)
				}
				return c.showEvent(doc, attemptNote(ctx, d, doc.AttemptID))
			})
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait up to 5m until it is delivered, dropped or stuck")
	c.jsonFlag(cmd, "its document")
	c.offlineFlag(cmd)
	return cmd
}

func (c *cli) attempts() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "attempts [ID]",
		Short:   "Show REST requests and bulk jobs, newest first",
		Example: "  outboxd attempts --limit 20\n  outboxd attempts 01936d2e-7c1a-7000-8000-000000000000 --json",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			return c.ask(func(ctx context.Context, d *client.Client) error {
				if len(given) == 1 {
					return c.attempt(ctx, d, given[0])
				}
				return c.listAttempts(ctx, d, limit)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "list at most this many; 0 for all that are kept")
	c.jsonFlag(cmd, "them")
	c.offlineFlag(cmd)
	return cmd
}

func (c *cli) attempt(ctx context.Context, d *client.Client, id string) error {
	a, err := d.Attempt(ctx, id)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(a)
	}
	return c.showAttempt(a)
}

func (c *cli) listAttempts(ctx context.Context, d *client.Client, limit int) error {
	all, err := d.Attempts(ctx, pageLimit(limit), "")
	for err == nil && all.NextCursor != "" && (limit == 0 || len(all.Attempts) < limit) {
		n := pageSize
		if limit > 0 {
			n = pageLimit(limit - len(all.Attempts))
		}
		var next api.AttemptPage
		next, err = d.Attempts(ctx, n, all.NextCursor)
		all.Attempts, all.NextCursor = append(all.Attempts, next.Attempts...), next.NextCursor
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(all)
	}
	return c.showAttempts(all.Attempts)
}
