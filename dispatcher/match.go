package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// runQuery finds the records of events that name theirs by a match, of many with
// one query. What it finds is stored before any write: a resend must not ask again,
// since the first write may have changed the answer. What counts as sent without a
// record that was stored (of a restored store, or at another org) is in doubt therefore.
func (d *Dispatcher) runQuery(ctx context.Context, a store.Attempt, claimed []store.Claimed) error {
	cfg := d.config()
	b := &batch{Attempt: a, judge: judge{cfg: cfg, route: a.Route, object: cfg.object(a.Route.Object), idempotent: true, size: 1}}
	if err := d.lookFor(ctx, b, claimed); err != nil && ctx.Err() == nil {
		d.postpone(a.Route)
	}
	crashpoint("Q.T2.before")
	err := d.settle(ctx, b, b.settled, "")
	crashpoint("Q.T2.after")
	return err
}

// lookFor asks for the claimed events' records, and settles them all: what was
// not asked for goes back. An error is the org's.
func (d *Dispatcher) lookFor(ctx context.Context, b *batch, claimed []store.Claimed) error {
	groups, err := d.seekers(ctx, b, claimed)
	queries := 0
	for ; err == nil && len(groups) > 0 && d.mayAsk(queries); queries++ {
		var rest [][]seeker
		if rest, err = d.seek(ctx, b, groups[0]); err == nil {
			groups = append(rest, groups[1:]...)
			d.remember(b.route, traits{})
		}
	}
	poor := err == nil && queries < queriesOfAttempt
	for _, g := range groups {
		for _, s := range g {
			o := b.unsent(s.record)
			o.MaxBatch = s.most
			if poor { // the next attempt must not begin with the query that this one has split
				o.MaxBatch = len(g)
			}
			b.settled = append(b.settled, o)
		}
	}
	return err
}

// mayAsk reports whether an attempt that has made so many queries may make another.
// The first was paid for when it began.
func (d *Dispatcher) mayAsk(queries int) bool {
	return queries == 0 || queries < queriesOfAttempt && d.budget.affords()
}

// seekAlone looks for one event's record. An error is the org's, never the event's.
func (d *Dispatcher) seekAlone(ctx context.Context, b *batch, s seeker) error {
	rows, _, err := d.search(ctx, matchQuery(b.route.Object, s.event.Match, b.schema), 2)
	switch {
	case err == nil:
		ids := make([]string, len(rows))
		for i, row := range rows {
			ids[i] = textOf(valueOf(row, "Id"))
		}
		b.settled = append(b.settled, b.matched(s.record, ids))
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		b.settled = append(b.settled, b.retry(s.record, problemOf(err))) // perhaps its own fault; free of charge it would be tried for ever
	case orgsFault(ctx, err):
		return err
	case isRefusal(err):
		b.settled = append(b.settled, b.fail(s.record, problemOf(err)))
	default:
		b.settled = append(b.settled, b.retry(s.record, problemOf(err))) // it only read
	}
	return nil
}

// search makes a query for records that events name by a match. more says that
// there are other rows than these.
func (d *Dispatcher) search(ctx context.Context, soql string, limit int) (rows []salesforce.Record, more bool, err error) {
	if err := d.breaker.enter(reading); err != nil {
		return nil, false, err
	}
	crashpoint("Q.N1.before")
	rows, err = d.org.Query(ctx, soql, false, limit)
	crashpoint("Q.N1.after")
	if errors.Is(err, salesforce.ErrMoreRows) {
		more, err = true, nil
	}
	d.heard(reading, err)
	return rows, more, err
}

// matched sends the event on to the write that fits what was found.
func (b *batch) matched(r record, ids []string) store.Outcome {
	route := store.Route{Object: b.route.Object, Operation: b.route.Operation}
	var target string
	switch {
	case len(ids) > 1:
		return b.fail(r, store.Problem{Code: codeManyMatches, Message: "more than one record matches"})
	case len(ids) == 1:
		target = ids[0]
		if route.Operation == opUpsert {
			route.Operation = opUpdate
		}
	case route.Operation == opUpsert:
		route.Operation = opCreate
	default:
		return b.fail(r, store.Problem{Code: codeNoMatch, Message: "no record matches"})
	}
	o := b.outcome(r, store.Reroute)
	o.Route, o.Target, o.MaxBatch = route, target, -1 // with how many it was looked for says nothing of the write
	r.keep(&o)
	return o
}

// matchQuery is the SOQL that finds at most two of the records.
func matchQuery(object string, m *event.Match, schema *salesforce.Object) string {
	list, joint := m.All, " AND "
	if len(m.Any) > 0 {
		list, joint = m.Any, " OR "
	}
	terms := make([]string, len(list))
	for i, c := range list {
		f, _ := schema.Field(c.Field)
		value, _ := soqlValue(f, json.RawMessage(c.Value))
		terms[i] = c.Field + " = " + value
	}
	return "SELECT Id FROM " + object + " WHERE " + strings.Join(terms, joint) + " LIMIT 2"
}

// soqlValue writes a value in the form that the field's type asks for: numbers,
// booleans and times are bare, everything else is a quoted text. fits is false
// for what is no value of the type: the org says what is wrong with it. The
// blanks around a text go, as they do when the org stores one. f is nil for a field that is not known.
func soqlValue(f *salesforce.Field, v json.RawMessage) (value string, fits bool) {
	text := soqlText(v)
	fits = true
	if f == nil {
		if len(v) > 0 && v[0] != '"' {
			return text, true
		}
		return salesforce.Quote(text), true
	}
	switch f.Type {
	case "int", "long", "double", "currency", "percent":
		if n, ok := parseNumber(text); ok {
			return plain(n), true
		}
		fits = false
	case "boolean":
		if b := normalBool(text); b == "true" || b == "false" {
			return b, true
		}
		fits = false
	case "date":
		if _, err := time.Parse(time.DateOnly, text); err == nil {
			return text, true
		}
		fits = false
	case "datetime":
		if t, ok := parseTime(text); ok {
			return t.UTC().Format("2006-01-02T15:04:05.000Z"), true
		}
		fits = false
	case "id", "reference":
		_, err := salesforce.ParseID(text)
		fits = err == nil
	}
	return salesforce.Quote(text), fits
}

// soqlText is a value's text as it is asked for.
func soqlText(v json.RawMessage) string { return strings.Trim(textOf(v), " \t\r\n") }

// plain writes a number with all its digits and without an exponent.
func plain(n *big.Rat) string {
	digits, _ := n.FloatPrec()
	return n.FloatString(digits)
}

const (
	// keysOfQuery and bytesOfQuery keep a query for keys within the length that
	// an URL may have, each character being escaped at worst.
	keysOfQuery  = 100
	bytesOfQuery = 4000
)

// findKeys looks for records by the key they carry, deleted ones too. The org's
// comparison may be laxer than ours; only equal keys count.
func (d *Dispatcher) findKeys(ctx context.Context, b *batch, keys []string) (map[string]salesforce.ID, error) {
	found := make(map[string]salesforce.ID)
	for len(keys) > 0 {
		n, size := 0, 0
		for n < len(keys) && n < keysOfQuery && (n == 0 || size+len(keys[n]) < bytesOfQuery) {
			size += len(keys[n]) + 3
			n++
		}
		if err := d.findSome(ctx, b, keys[:n], found); err != nil {
			return nil, err
		}
		keys = keys[n:]
	}
	return found, nil
}

func (d *Dispatcher) findSome(ctx context.Context, b *batch, keys []string, found map[string]salesforce.ID) error {
	quoted := make([]string, len(keys))
	for i, k := range keys {
		quoted[i] = salesforce.Quote(k)
	}
	soql := fmt.Sprintf("SELECT Id, %s FROM %s WHERE %s IN (%s)", b.keyField, b.route.Object, b.keyField, strings.Join(quoted, ","))
	if err := d.breaker.enter(reading); err != nil {
		return err
	}
	crashpoint("K.N1.before")
	records, err := d.org.Query(ctx, soql, true, 4*len(keys)+100)
	crashpoint("K.N1.after")
	d.heard(reading, err)
	if err != nil {
		return fmt.Errorf("look for keys of %s: %w", b.route.Object, err)
	}
	for _, r := range records {
		id, err := salesforce.ParseID(textOf(valueOf(r, "Id")))
		if err == nil {
			found[textOf(valueOf(r, b.keyField))] = id
		}
	}
	return nil
}

// valueOf is a field of a query's record, whatever the letter case of its name.
func valueOf(r salesforce.Record, name string) json.RawMessage {
	if v, ok := r[name]; ok {
		return v
	}
	for n, v := range r {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return nil
}

// confirm looks for creates that may have been sent before, by the key that they
// carry: what is found, even deleted, is delivered; what is absent is sent.
func (d *Dispatcher) confirm(ctx context.Context, b *batch) {
	if b.route.Operation != opCreate || b.keyField == "" {
		return
	}
	var keys []string
	for _, r := range b.records {
		if r.Sent {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return
	}
	found, err := d.findKeys(ctx, b, keys)
	kept := b.records[:0]
	for _, r := range b.records {
		id, there := found[r.Key]
		switch {
		case r.Sent && err != nil:
			b.settled = append(b.settled, b.unasked(r, err))
		case r.Sent && there && r.Stale:
			b.settled = append(b.settled, b.fail(r, stale(id)))
		case r.Sent && there:
			b.settled = append(b.settled, b.deliver(r, id, true))
		case r.Sent && !visible(r.FirstSent):
			p := store.Problem{Code: codeTransport, Message: "an earlier sending may have reached the org; it is so long ago that its record may be deleted, and not be seen any more"}
			b.settled = append(b.settled, b.doubt(r, p))
		default:
			kept = append(kept, r)
		}
	}
	b.records = kept
	b.size = len(kept)
}

// visible reports whether what was sent then could still be seen at the org, even
// if it was deleted at once.
func visible(sent time.Time) bool { return !sent.IsZero() && time.Since(sent) < absentWithin }

// unasked puts back a create whose key could not be looked for. A refusal won't
// pass by itself, nor need a query that takes too long, so it is charged, and shown.
func (b *batch) unasked(r record, err error) store.Outcome {
	p := problemOf(err)
	if mayBlameQuery(err) {
		return b.retry(r, p)
	}
	o := b.unsent(r)
	o.Problem, o.Delay = &p, b.cfg.Retry.Initial
	return o
}

// mayBlameQuery reports whether a query may have failed for what it asks, and would do so again.
func mayBlameQuery(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	return !speaksOfOrg(err) && (isRefusal(err) || salesforce.ClassOf(err) == salesforce.Retry)
}

// nameRecords finds the Ids of creates that turned out to be there already. Those
// that can't be asked for now are looked at again by the next attempt.
func (d *Dispatcher) nameRecords(ctx context.Context, b *batch, outcomes []store.Outcome) {
	if b.keyField == "" || !b.idempotent {
		return
	}
	var keys []string
	for i, o := range outcomes {
		if o.Verdict == store.Deliver && o.ID == "" {
			keys = append(keys, b.records[i].Key)
		}
	}
	if len(keys) == 0 {
		return
	}
	found, err := d.findKeys(ctx, b, keys)
	for i, o := range outcomes {
		if o.Verdict != store.Deliver || o.ID != "" {
			continue
		}
		if err == nil || isRefusal(err) && !speaksOfOrg(err) {
			outcomes[i].ID = string(found[b.records[i].Key]) // delivered, whatever its Id
			continue
		}
		p := problemOf(err)
		again := b.unsent(b.records[i])
		again.Sent, again.SentKey, again.OtherOrg = true, b.keyField, false
		again.Delay, again.Problem = b.cfg.Retry.Initial, &p
		outcomes[i] = again
	}
}
