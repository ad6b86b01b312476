package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/spf13/cobra"
)

func (c *cli) put() *cobra.Command {
	var e eventFlags
	var b bulkFlags
	cmd := &cobra.Command{
		Use:   "put [FILE]",
		Short: "Write one event from flags, or many from a file",
		Long: "Write events. When put says accepted, they are on the daemon's disk.\n\n" +
			"One event comes from flags. Many come from FILE, or from stdin with - or without flags: NDJSON (one event a line), " +
			"a JSON array, or CSV with a header. Lines that are refused are listed on stderr and do not stop the others; " +
			"then the exit code is 1. Since keys make it safe, an interrupted put is simply run again.\n\n" +
			"Of CSV each row is an event of --object and --operation; the columns are its fields, but for those that " +
			"--key-column, --external-id-column, --id-column, --lane-column and --source-column name. An empty cell leaves the field out, #N/A clears it.",
		Example: "  outboxd put --key order-1187/contact --object Contact --operation upsert --external-id Shop_Id__c=1187 --field LastName=Lovelace\n" +
			"  outboxd put events.ndjson\n" +
			"  outboxd put contacts.csv --object Contact --operation upsert --key-column Key --external-id-column Shop_Id__c",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) == 0 && e.given(cmd) && !b.given(cmd) {
				return c.putOne(&e)
			}
			return c.putMany(cmd, given, &e, &b)
		},
	}
	e.add(cmd)
	b.add(cmd)
	c.jsonFlag(cmd, "one result a line")
	return cmd
}

// eventFlags describe one event; of a CSV they hold for each row.
type eventFlags struct {
	key, object, operation string
	externalID, id, match  string
	fields                 []string
	fieldsJSON             string
	lane, source           string
	after, meta            []string
	notBefore, expiresAt   string
}

func (e *eventFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.key, "key", "", "idempotency `key`; without one a repeat is another event")
	f.StringVar(&e.object, "object", "", "API name of the `object`")
	f.StringVar(&e.operation, "operation", "", "create, update, upsert, delete or hard_delete")
	f.StringVar(&e.externalID, "external-id", "", "`Field=value` that names the record")
	f.StringVar(&e.id, "id", "", "Salesforce `Id` that names the record")
	f.StringVar(&e.match, "match", "", "`JSON` that finds the record: {\"all\": {...}} or {\"any\": {...}}")
	f.StringArrayVar(&e.fields, "field", nil, "`Name=value`, the value JSON or plain text; may be repeated")
	f.StringVar(&e.fieldsJSON, "fields", "", "all fields as a `JSON` object")
	f.StringVar(&e.lane, "lane", "", "ordering `key` in place of the record's own")
	f.StringVar(&e.source, "source", "", "`name` of the app")
	f.StringSliceVar(&e.after, "after", nil, "not before these `keys` are delivered")
	f.StringArrayVar(&e.meta, "meta", nil, "`name=text`, kept and shown, never sent; may be repeated")
	f.StringVar(&e.notBefore, "not-before", "", "send no earlier than this `time` (RFC 3339)")
	f.StringVar(&e.expiresAt, "expires-at", "", "fail if not sent by this `time` (RFC 3339)")
}

// single are the flags that describe one event and nothing else.
var single = []string{"key", "external-id", "id", "match", "field", "fields", "lane", "after", "meta", "not-before", "expires-at"}

func (e *eventFlags) given(cmd *cobra.Command) bool {
	return anyChanged(cmd, append([]string{"object", "operation", "source"}, single...))
}

func anyChanged(cmd *cobra.Command, names []string) bool {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// event makes the event's JSON.
func (e *eventFlags) event() (api.Event, error) {
	out := api.Event{
		Key: e.key, Object: e.object, Operation: e.operation, ID: e.id,
		Lane: e.lane, Source: e.source, After: e.after,
	}
	if e.object == "" || e.operation == "" {
		return out, usage("an event needs --object and --operation")
	}
	if e.externalID != "" {
		field, value, ok := strings.Cut(e.externalID, "=")
		if !ok {
			return out, usage("--external-id %s: want Field=value", e.externalID)
		}
		out.ExternalID = externalID(field, value)
	}
	var err error
	if out.Fields, err = e.allFields(); err != nil {
		return out, err
	}
	if out.Meta, err = texts("meta", e.meta); err != nil {
		return out, err
	}
	if e.match != "" {
		if out.Match, err = object("match", e.match); err != nil {
			return out, err
		}
	}
	if out.NotBefore, err = moment("not-before", e.notBefore); err != nil {
		return out, err
	}
	out.ExpiresAt, err = moment("expires-at", e.expiresAt)
	return out, err
}

// externalID takes the value for text: 007 is not the number 7.
func externalID(field, value string) *api.ExternalID {
	text, _ := json.Marshal(value) // a string can always be marshalled
	return &api.ExternalID{Field: field, Value: text}
}

func (e *eventFlags) allFields() (map[string]any, error) {
	fields, err := assignments("field", e.fields)
	if err != nil || e.fieldsJSON == "" {
		return fields, err
	}
	all, err := object("fields", e.fieldsJSON)
	if err != nil {
		return nil, err
	}
	for name, value := range fields {
		all[name] = value
	}
	return all, nil
}

func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usage("--%s %s: want a time such as 2026-11-23T10:00:00Z", flag, text)
	}
	return t, nil
}

func (c *cli) putOne(e *eventFlags) error {
	event, err := e.event()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	d, err := c.daemon()
	if err != nil {
		return err
	}
	defer d.Close()
	a, err := d.Put(ctx, event)
	if err != nil {
		return refusal(err)
	}
	if c.json {
		return c.printJSON(a)
	}
	table := c.out.Table("seq", "key", "state", "duplicate")
	table.Cells(term.Cell{Text: strconv.FormatUint(a.Seq, 10)}, term.Cell{Text: a.Key},
		term.Cell{Text: a.State, Style: term.StateStyle(a.State)}, term.Cell{Text: strconv.FormatBool(a.Duplicate)})
	return table.Flush()
}

// refusal gives the places of a refused event each a line of their own.
func refusal(err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || len(p.Errors) < 2 {
		return err
	}
	lines := []error{fmt.Errorf("%s: %s", p.Code, p.Title)}
	for _, e := range p.Errors {
		lines = append(lines, errors.New(strings.TrimPrefix(e.Path+": "+e.Detail, ": ")))
	}
	return hinted(errors.Join(lines...), problemHint(p))
}

// putMany streams events from a file or stdin.
func (c *cli) putMany(cmd *cobra.Command, given []string, e *eventFlags, b *bulkFlags) error {
	in, err := c.openInput(given)
	if err != nil {
		return err
	}
	defer in.Close()
	lines, err := b.lines(cmd, in, e)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	d, err := c.daemon()
	if err != nil {
		return err
	}
	defer d.Close()
	p := &putting{c: c, lines: lines, bar: c.errs.Bar("writing", in.size)}
	err = p.stream(ctx, d, in)
	p.bar.End()
	if errors.Is(err, client.ErrCut) || errors.Is(err, context.Canceled) {
		err = hinted(err, "run it again: what was accepted is recognised by its key")
	}
	if err := errors.Join(err, p.summary()); err != nil {
		return err
	}
	if p.refused > 0 {
		return failed
	}
	return nil
}

// input is a file or stdin that counts what was read of it.
type input struct {
	io.ReadCloser
	name string
	size int64 // 0: not known
	read atomic.Int64
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.ReadCloser.Read(p)
	i.read.Add(int64(n))
	return n, err
}

func (c *cli) openInput(given []string) (*input, error) {
	if len(given) == 0 || given[0] == "-" {
		return &input{ReadCloser: io.NopCloser(c.in), name: "stdin"}, nil
	}
	f, err := os.Open(given[0])
	if err != nil {
		return nil, err
	}
	in := &input{ReadCloser: f, name: given[0]}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		in.size = info.Size()
	}
	return in, nil
}

// putting is a put of many under way.
type putting struct {
	c       *cli
	lines   *lineReader
	bar     *term.Bar
	fresh   int64
	known   int64
	refused int64
}

func (p *putting) stream(ctx context.Context, d *client.Client, in *input) error {
	err := d.PutStream(ctx, p.lines, func(r api.Result) error {
		p.bar.Set(in.read.Load(), in.size, term.Count(p.fresh+p.known)+" accepted")
		return p.result(r)
	})
	for _, bad := range p.lines.refused() {
		p.refused++
		p.complain(bad.line, "", bad.err)
	}
	// What the reader met explains why the request broke off.
	if broken := p.lines.broken(); broken != nil {
		return fmt.Errorf("%s: %w", in.name, broken)
	}
	return err
}

func (p *putting) result(r api.Result) error {
	switch {
	case r.Problem != nil:
		p.refused++
		p.complain(r.Problem.Line, r.Problem.Key, r.Problem)
	case r.Duplicate:
		p.known++
	default:
		p.fresh++
	}
	if p.c.json {
		return p.c.printJSON(r)
	}
	return nil
}

// complain prints a refused line; with --json the result itself tells of it.
func (p *putting) complain(line int, key string, why error) {
	place := fmt.Sprintf("line %d", line)
	if key != "" {
		place += " (" + key + ")"
	}
	p.bar.Pause()
	fmt.Fprintf(p.c.err, "%s: %s\n", term.Clean(place), term.Clean(why.Error()))
}

func (p *putting) summary() error {
	s := p.c.out
	if p.c.json {
		s = p.c.errs
	}
	table := s.Table()
	table.Cells(term.Cell{Text: "accepted"}, term.Cell{Text: p.c.number(p.fresh)})
	table.Cells(term.Cell{Text: "duplicates"}, term.Cell{Text: p.c.number(p.known)})
	table.Cells(term.Cell{Text: "refused"}, term.Cell{Text: p.c.number(p.refused), Style: refusedStyle(p.refused)})
	return table.Flush()
}

func refusedStyle(n int64) term.Style {
	if n > 0 {
		return term.Red
	}
	return term.Plain
}
