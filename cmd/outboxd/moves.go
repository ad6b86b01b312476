package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/spf13/cobra"
)

// move is a command that changes single events by key, or many by the filters.
type move struct {
	name   string // as in "retry"
	states []string
	one    func(context.Context, *client.Client, string) (api.Document, error)
	many   func(context.Context, *client.Client, client.Filter, bool) (api.Moved, error)

	filter filter
	all    bool
	dryRun bool
	yes    bool
}

func (m *move) flags(cmd *cobra.Command) {
	m.filter.add(cmd.Flags())
	m.filter.addReason(cmd.Flags())
	cmd.Flags().BoolVar(&m.all, "all", false, "all stuck events")
	cmd.Flags().BoolVar(&m.yes, "yes", false, "do not ask before touching many")
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "only say what would be done")
}

// run decides between keys and filters; both at once would leave open what is meant.
func (c *cli) move(cmd *cobra.Command, m *move, keys []string) error {
	many := m.all || m.filter.given(cmd)
	switch {
	case many && len(keys) > 0:
		return usage("%s takes keys or filters, not both", m.name)
	case !many && len(keys) == 0:
		return &exit{code: exitUsage, err: fmt.Errorf("%s what?", m.name), hint: "name keys, or filters such as --reason failed, or --all"}
	}
	ctx, stop := interruptible()
	defer stop()
	d, err := c.daemon()
	if err != nil {
		return err
	}
	defer d.Close()
	if many {
		return c.moveMany(ctx, d, m)
	}
	return c.moveKeys(ctx, d, m, keys)
}

// moveKeys moves each of the keys. One that can't be moved does not stop the others.
func (c *cli) moveKeys(ctx context.Context, d *client.Client, m *move, keys []string) error {
	table := c.out.Table("key", "state")
	bad := 0
	for _, key := range keys {
		doc, err := m.moveOne(ctx, d, key)
		var refused *client.Problem
		switch {
		case errors.As(err, &refused) && len(keys) > 1:
			bad++
			fmt.Fprintf(c.err, "outboxd: %s: %s\n", term.Clean(key), term.Clean(err.Error()))
			continue
		case err != nil:
			return err
		}
		if c.json {
			if err := c.printJSON(doc); err != nil {
				return err
			}
			continue
		}
		table.Cells(term.Cell{Text: doc.Key}, term.Cell{Text: doc.State, Style: term.StateStyle(doc.State)})
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return failed
	}
	return nil
}

func (m *move) moveOne(ctx context.Context, d *client.Client, key string) (api.Document, error) {
	if !m.dryRun {
		return m.one(ctx, d, key)
	}
	doc, err := d.Event(ctx, key, 0)
	if err == nil && !slices.Contains(m.states, doc.State) {
		p := api.CodeWrongState.Problem(fmt.Sprintf("%s: %s takes %s events", doc.State, m.name, strings.Join(m.states, " or ")))
		return doc, &client.Problem{Problem: *p}
	}
	return doc, err
}

// moveMany counts first, then asks, then moves.
func (c *cli) moveMany(ctx context.Context, d *client.Client, m *move) error {
	f := m.filter.client()
	if !m.dryRun && !m.yes {
		would, err := m.many(ctx, d, f, true)
		if err != nil {
			return err
		}
		if would.Matched == 0 {
			return c.showMoved(would)
		}
		which := cmp.Or(m.filter.String(), "all")
		if err := c.confirm(fmt.Sprintf("%s %s of %s stuck events (%s)", m.name, term.Count(would.Changed), term.Count(would.Matched), which)); err != nil {
			return err
		}
	}
	moved, err := m.many(ctx, d, f, m.dryRun)
	if err != nil {
		return err
	}
	return c.showMoved(moved)
}

func (c *cli) showMoved(m api.Moved) error {
	if c.json {
		return c.printJSON(m)
	}
	table := c.out.Table()
	table.Row("matched", c.number(m.Matched))
	table.Row("changed", c.number(m.Changed))
	return table.Flush()
}

func (c *cli) retry() *cobra.Command {
	var set, unset []string
	m := &move{name: "retry", states: []string{"failed"}}
	cmd := &cobra.Command{
		Use:   "retry [KEY...]",
		Short: "Send failed events again, if need be with other values",
		Long: "Make failed events pending again, with their attempts counted anew. " +
			"For a single key --set and --unset change its fields; the old values are kept in its history.",
		Example: "  outboxd retry order-1187/contact --set FirstName=Ada --unset Nope__c\n  outboxd retry --code UNABLE_TO_LOCK_ROW --dry-run\n  outboxd retry --object Contact --reason failed --yes",
		RunE: func(cmd *cobra.Command, keys []string) error {
			change, err := fieldChange(set, unset)
			if err != nil {
				return err
			}
			if change != nil && len(keys) != 1 {
				return usage("--set and --unset need exactly one key")
			}
			m.one = func(ctx context.Context, d *client.Client, key string) (api.Document, error) {
				return d.Retry(ctx, key, change)
			}
			return c.move(cmd, m, keys)
		},
	}
	m.many = func(ctx context.Context, d *client.Client, f client.Filter, dry bool) (api.Moved, error) {
		return d.RetryMany(ctx, f, dry)
	}
	m.flags(cmd)
	cmd.Flags().StringArrayVar(&set, "set", nil, "change a field: `Name=value`, the value JSON or plain text")
	cmd.Flags().StringArrayVar(&unset, "unset", nil, "take a `field` out of the payload")
	c.jsonFlag(cmd, "the documents, or the counts")
	return cmd
}

// fieldChange makes the body of a retry; nil changes nothing.
func fieldChange(set, unset []string) (*api.RetryRequest, error) {
	if len(set) == 0 && len(unset) == 0 {
		return nil, nil
	}
	change := &api.RetryRequest{Unset: unset}
	if len(set) == 0 {
		return change, nil
	}
	fields, err := assignments("set", set)
	if err != nil {
		return nil, err
	}
	change.Fields, err = json.Marshal(fields)
	return change, err
}

func (c *cli) drop() *cobra.Command {
	m := &move{
		name: "drop", states: []string{"failed", "pending"},
		one: func(ctx context.Context, d *client.Client, key string) (api.Document, error) { return d.Drop(ctx, key) },
		many: func(ctx context.Context, d *client.Client, f client.Filter, dry bool) (api.Moved, error) {
			return d.DropMany(ctx, f, dry)
		},
	}
	cmd := &cobra.Command{
		Use:     "drop [KEY...]",
		Short:   "Give up failed or pending events for good",
		Example: "  outboxd drop order-1187/contact\n  outboxd drop --code STRING_TOO_LONG --older-than 72h --dry-run",
		RunE:    func(cmd *cobra.Command, keys []string) error { return c.move(cmd, m, keys) },
	}
	m.flags(cmd)
	c.jsonFlag(cmd, "the documents, or the counts")
	return cmd
}

func (c *cli) resolve() *cobra.Command {
	var delivered, absent, dryRun bool
	var id string
	cmd := &cobra.Command{
		Use:   "resolve KEY --delivered|--absent",
		Short: "Say whether an event in doubt reached the org",
		Long: "End a doubt after looking in the org: --delivered if the record is there, with --id if it is known; " +
			"--absent if it is not, which sends the event again.",
		Example: "  outboxd resolve order-1187/contact --delivered --id 0035e00000Kp7QaAAJ\n  outboxd resolve order-1188/contact --absent",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if delivered == absent {
				return usage("resolve needs --delivered or --absent")
			}
			if id != "" && absent {
				return usage("--id goes with --delivered")
			}
			m := &move{name: "resolve", states: []string{"in_doubt"}, dryRun: dryRun}
			m.one = func(ctx context.Context, d *client.Client, key string) (api.Document, error) {
				return d.Resolve(ctx, key, delivered, id)
			}
			return c.ask(func(ctx context.Context, d *client.Client) error { return c.moveKeys(ctx, d, m, given) })
		},
	}
	cmd.Flags().BoolVar(&delivered, "delivered", false, "the record is in the org")
	cmd.Flags().BoolVar(&absent, "absent", false, "it is not: send the event again")
	cmd.Flags().StringVar(&id, "id", "", "the record's Salesforce `Id`")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	c.jsonFlag(cmd, "the document")
	return cmd
}

func (c *cli) pause() *cobra.Command {
	return c.control("pause", "Stop sending; accepting goes on, also over a restart", "  outboxd pause",
		func(ctx context.Context, d *client.Client) (api.Status, error) { return d.Pause(ctx) })
}

func (c *cli) resume() *cobra.Command {
	var accept api.ResumeRequest
	cmd := c.control("resume", "Go on sending", "  outboxd resume\n  outboxd resume --accept-restore",
		func(ctx context.Context, d *client.Client) (api.Status, error) { return d.Resume(ctx, accept) })
	cmd.Flags().BoolVar(&accept.AcceptOrg, "accept-org", false, "send to the other org that the login met")
	cmd.Flags().BoolVar(&accept.AcceptRestore, "accept-restore", false, "go on with a restored store; what was delivered since its backup is sent again")
	return cmd
}

func (c *cli) flush() *cobra.Command {
	return c.control("flush", "Send now what waits for a fuller request or job", "  outboxd flush",
		func(ctx context.Context, d *client.Client) (api.Status, error) { return d.Flush(ctx) })
}

// control is a command that changes how the daemon works and answers with the status.
func (c *cli) control(use, short, example string, do func(context.Context, *client.Client) (api.Status, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Example: example,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return c.ask(func(ctx context.Context, d *client.Client) error {
				s, err := do(ctx, d)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(s)
				}
				table := c.out.Table()
				table.Cells(term.Cell{Text: "sending"}, term.Cell{Text: sendingText(s), Style: term.StateStyle(s.Breaker.State)})
				table.Row("pending", c.number(s.Counts.Pending))
				return table.Flush()
			})
		},
	}
	c.jsonFlag(cmd, "the status")
	return cmd
}
