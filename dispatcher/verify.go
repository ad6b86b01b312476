package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

const (
	// verifyEvery is how often events in doubt are looked for at the org, at most.
	verifyEvery = time.Minute
	// verifyLate is the same for what was looked for in vain for long.
	verifyLate = time.Hour
	// verifyMost bounds the events in doubt that are looked at in one round; the
	// oldest come first, and resolving them makes place.
	verifyMost = 10_000
	// searchMost bounds the searches of one round, each of which costs a call.
	searchMost = 20
	// absentWithin is how long after its sending a record that the org doesn't know
	// of is believed never to have been there: deleted ones can be seen for 15 days.
	absentWithin = 7 * 24 * time.Hour
	// mayBe bounds the Ids that are shown as what an event in doubt may have become.
	mayBe = 5
	// skew is by how much the org's clock may be behind ours.
	skew = 10 * time.Minute
)

// verifier looks from time to time what the org knows of events that are in
// doubt (P7):
//
//	what was sent carried        | found        | not found
//	the key, in a unique field   | delivered    | pending again, after the late window
//	the key, in another field    | delivered    | stays in doubt
//	no key                       | what looks like it is shown; a person decides
//
// A key is looked for at once, then after as long again each time, up to verifyLate;
// each look costs a call, one that fails for what it asks too. Its memory may be lost: the late window then begins anew.
type verifier struct {
	*Dispatcher
	vain     map[store.Seq]vain
	searched map[store.Seq]bool
}

// vain tells of an event that is in doubt though its key was looked for.
type vain struct {
	since time.Time // the first look
	next  time.Time
}

// doubts are the events in doubt of one object that carried their key in the same field.
type doubts struct {
	object, field string
	records       []store.Record
}

func (d *Dispatcher) verify(ctx context.Context) error {
	v := &verifier{Dispatcher: d, vain: map[store.Seq]vain{}, searched: map[store.Seq]bool{}}
	for sleep(ctx, min(verifyEvery, d.config().REST.LateWindow)) {
		if message, _ := d.budget.exhausted(); message != "" || !d.breaker.allows(reading) {
			continue
		}
		if err := v.round(ctx); err != nil {
			return err
		}
	}
	return nil
}

// round looks for everything that is in doubt once.
func (v *verifier) round(ctx context.Context) error {
	records, err := v.inDoubt(ctx)
	if err != nil {
		return err
	}
	v.forget(records)
	searches := searchMost
	now := time.Now()
	due := slices.DeleteFunc(records, func(r store.Record) bool { return now.Before(v.vain[r.Seq].next) })
	for _, g := range grouped(due) {
		switch {
		case ctx.Err() != nil || !v.breaker.allows(reading):
			return nil
		case g.field != "":
			err = v.lookFor(ctx, g)
		default:
			err = v.search(ctx, g, &searches)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inDoubt lists what is in doubt at this org.
func (v *verifier) inDoubt(ctx context.Context) (list []store.Record, err error) {
	filter := store.Filter{States: []store.State{store.InDoubt}, Limit: 1000, Payload: true}
	for len(list) < verifyMost && ctx.Err() == nil {
		page, err := durable(ctx, v.Dispatcher, "list", func(ctx context.Context) (store.Page, error) { return v.outbox.List(ctx, filter) })
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if !r.OtherOrg {
				list = append(list, r)
			}
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			break
		}
	}
	return list, nil
}

// forget drops what was known of events that are not in doubt any more.
func (v *verifier) forget(records []store.Record) {
	kept, searched := make(map[store.Seq]vain, len(records)), make(map[store.Seq]bool, len(records))
	for _, r := range records {
		if x, ok := v.vain[r.Seq]; ok {
			kept[r.Seq] = x
		}
		if v.searched[r.Seq] || len(r.Matches) > 0 {
			searched[r.Seq] = true
		}
	}
	v.vain, v.searched = kept, searched
}

// grouped puts together what one query can look for, in the order of acceptance.
func grouped(records []store.Record) (groups []*doubts) {
	by := map[[2]string]*doubts{}
	for _, r := range records {
		name := [2]string{r.Route.Object, r.SentKey}
		g := by[name]
		if g == nil || len(g.records) == keysOfQuery {
			g = &doubts{object: r.Route.Object, field: r.SentKey}
			by[name], groups = g, append(groups, g)
		}
		g.records = append(g.records, r)
	}
	return groups
}

// lookFor looks for records by the key that they carry.
func (v *verifier) lookFor(ctx context.Context, g *doubts) error {
	schema, err := v.describe(ctx, g.object)
	if err != nil {
		return nil // the org's; the next round asks again
	}
	f, ok := schema.Field(g.field)
	if !ok {
		return nil
	}
	began := time.Now()
	keys := make([]string, len(g.records))
	for i, r := range g.records {
		keys[i] = r.Key
	}
	b := &batch{judge: judge{route: store.Route{Object: g.object, Operation: opCreate}, keyField: f.Name}}
	found, err := v.findKeys(ctx, b, keys)
	if err != nil {
		v.log.Debug("events in doubt could not be looked for", "object", g.object, "err", err)
		if mayBlameQuery(err) {
			for _, r := range g.records {
				v.looked(r, began)
			}
		}
		return nil
	}
	unique := f.Unique && f.ExternalID && f.CaseSensitive
	for _, r := range g.records {
		id, there := found[r.Key]
		absent := v.looked(r, began)
		if !there && !(absent && unique) {
			continue
		}
		if there && r.Stale { // with which values, a person has to see
			if err := v.show(ctx, r, []string{string(id)}); err != nil {
				return err
			}
			continue
		}
		v.log.Info("event in doubt is verified", "seq", uint64(r.Seq), "object", g.object, "found", there)
		if err := v.conclude(ctx, r.Seq, store.Resolution{Delivered: there, ID: string(id)}); err != nil {
			return err
		}
	}
	return nil
}

// looked takes in a look for a record that began then. It reports whether one that
// was not found is believed not to be there: nothing that was sent can land any
// more, and it would still be seen if it had been deleted.
func (v *verifier) looked(r store.Record, began time.Time) (absent bool) {
	x, seen := v.vain[r.Seq]
	if !seen {
		x.since = began
	}
	late, age := v.config().REST.LateWindow, began.Sub(x.since)
	wait := min(max(age, min(verifyEvery, late)), verifyLate)
	if age < late {
		wait = min(wait, late-age) // what is there by then is all there will be
	}
	x.next = began.Add(wait)
	v.vain[r.Seq] = x
	return age >= late && visible(r.FirstSent)
}

func (v *verifier) conclude(ctx context.Context, seq store.Seq, x store.Resolution) error {
	crashpoint("V.T1.before")
	err := v.durably(ctx, "verify", func(ctx context.Context) error { return v.outbox.Verify(ctx, v.term, seq, x) })
	crashpoint("V.T1.after")
	if errors.Is(err, store.ErrTransition) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrSuperseded) {
		return nil // moved by an operator meanwhile, or overtaken
	}
	return err
}

// search looks for what an event that carried no key may have become: records of
// its values that were made since it was sent.
func (v *verifier) search(ctx context.Context, g *doubts, searches *int) error {
	for _, r := range g.records {
		if v.searched[r.Seq] || *searches == 0 || ctx.Err() != nil {
			continue
		}
		schema, err := v.describe(ctx, g.object)
		if err != nil {
			return nil
		}
		v.searched[r.Seq] = true
		soql := likenessQuery(schema, r)
		if soql == "" {
			continue
		}
		*searches--
		if err := v.breaker.enter(reading); err != nil {
			return nil
		}
		crashpoint("V.N1.before")
		rows, err := v.org.Query(ctx, soql, true, mayBe)
		crashpoint("V.N1.after")
		v.heard(reading, err)
		if err != nil && !errors.Is(err, salesforce.ErrMoreRows) {
			v.log.Debug("what an event in doubt may have become could not be looked for", "seq", uint64(r.Seq), "err", err)
			continue
		}
		if ids := idsOf(rows); len(ids) > 0 {
			if err := v.show(ctx, r, ids); err != nil {
				return err
			}
		}
	}
	return nil
}

// show puts before the operator what an event in doubt may have become.
func (v *verifier) show(ctx context.Context, r store.Record, ids []string) error {
	if slices.Equal(r.Matches, ids) {
		return nil
	}
	return v.conclude(ctx, r.Seq, store.Resolution{Open: true, Matches: ids})
}

func idsOf(rows []salesforce.Record) (ids []string) {
	for _, row := range rows {
		if id, err := salesforce.ParseID(textOf(valueOf(row, "Id"))); err == nil {
			ids = append(ids, string(id))
		}
	}
	return ids
}

// likenessQuery is the SOQL that finds records which an event may have become, ""
// if its values tell too little. An upsert is found by its external id.
func likenessQuery(schema *salesforce.Object, r store.Record) string {
	var e event.Event
	if event.DecodeHead(r.Head, &e) != nil {
		return ""
	}
	var terms []string
	if e.ExternalID != nil {
		if f, ok := schema.Field(e.ExternalID.Field); ok {
			value, _ := soqlValue(f, json.RawMessage(e.ExternalID.Value))
			terms = append(terms, f.Name+" = "+value)
		}
	} else {
		terms = likeness(schema, r.Payload)
	}
	if len(terms) == 0 {
		return ""
	}
	sent := r.SentAt
	if sent.IsZero() {
		sent = r.AcceptedAt
	}
	terms = append(terms, "LastModifiedDate >= "+sent.Add(-skew).UTC().Format("2006-01-02T15:04:05.000Z"))
	return fmt.Sprintf("SELECT Id FROM %s WHERE %s LIMIT %d", schema.Name, strings.Join(terms, " AND "), mayBe)
}

// tellingTypes are types of fields whose values tell records apart.
var tellingTypes = map[string]bool{"string": true, "email": true, "phone": true, "url": true, "date": true, "reference": true}

// likeness are the conditions that a record made of these values meets.
func likeness(schema *salesforce.Object, payload []byte) (terms []string) {
	for i := range schema.Fields {
		f := &schema.Fields[i]
		v := member(payload, f.Name)
		if v == nil || !f.Filterable || !tellingTypes[f.Type] {
			continue
		}
		if text := textOf(v); v[0] == '"' && text != "" && len(text) <= 255 {
			value, _ := soqlValue(f, v)
			terms = append(terms, f.Name+" = "+value)
		}
		if len(terms) == mayBe {
			break
		}
	}
	return terms
}
