package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// batch is an attempt with what is to be sent for it.
type batch struct {
	store.Attempt
	judge
	ways    ways
	schema  *salesforce.Object // nil where it is not needed or can't be had
	records []record
	// settled are the outcomes of events that are not to be sent.
	settled []store.Outcome
	review  review
}

// occasion says when a batch is prepared.
type occasion int

const (
	fresh occasion = iota // nothing of the attempt was sent
	found                 // a start found it unfinished: it may have been sent
	gone                  // its job is closed: whatever it holds was sent
)

// prepare decodes the claimed events and makes rows of them. Events that must
// not be sent have their outcome in settled. An error is the org's or the
// store's; the events are as they were.
func (d *Dispatcher) prepare(ctx context.Context, a store.Attempt, claimed []store.Claimed, when occasion) (*batch, error) {
	cfg := d.config()
	b := &batch{Attempt: a, judge: judge{cfg: cfg, route: a.Route, object: cfg.object(a.Route.Object), bulk: a.Kind == store.KindBulk}}
	b.late = when == found
	b.echo = max(0, cfg.REST.LateWindow-time.Since(d.began))
	err := d.learn(ctx, b)
	switch {
	case err != nil && !isRefusal(err):
		return nil, fmt.Errorf("describe %s: %w", a.Route.Object, err)
	case err != nil && when != gone:
		for _, c := range claimed {
			b.settled = append(b.settled, b.unfit(record{Claimed: c}, d.undescribed(ctx, b, c.Seq, err)))
		}
		return b, nil
	}
	b.records = make([]record, 0, len(claimed))
	for _, c := range claimed {
		if when == found {
			c = sentBy(a, c)
		}
		r, problem, err := d.record(ctx, b, c, when)
		switch {
		case err != nil:
			return nil, err
		case problem != nil && when != gone:
			b.settled = append(b.settled, b.unfit(r, *problem))
		default:
			b.records = append(b.records, r)
		}
	}
	if when != gone {
		b.sift()
	}
	b.sortByParents()
	b.size = len(b.records)
	return b, nil
}

// unfit is the outcome of an event that can't be sent as it stands. One that may
// have been sent before, when it was fit, is not known to have had no effect.
func (b *batch) unfit(r record, p store.Problem) store.Outcome {
	if (b.late || r.Sent) && !b.repeats(r) {
		return b.doubt(r, p)
	}
	return b.fail(r, p)
}

// learn asks the org for what the batch depends on: whether its writes may be
// repeated, the types of its fields, and of which object an Id is that is to be deleted.
func (d *Dispatcher) learn(ctx context.Context, b *batch) error {
	b.idempotent = b.route.Operation != opCreate && b.route.Operation != opUpsert
	depends := needsTraits(b.route, b.object)
	if !depends && !b.bulk && b.route.Operation != opDelete {
		b.ways = waysOf(b.route, b.object, traits{})
		return d.learnForCheck(ctx, b)
	}
	schema, err := d.describe(ctx, b.route.Object)
	if err != nil {
		b.ways = waysOf(b.route, b.object, traits{known: true, refused: true})
		return err
	}
	b.schema = schema
	if depends {
		b.idempotent, b.keyField = d.repeatable(b.route, b.object, schema)
	}
	t := traits{known: true, idempotent: b.idempotent, key: b.keyNote()}
	b.ways = waysOf(b.route, b.object, t)
	d.remember(b.route, t)
	return nil
}

// describe asks for an object; the client keeps the answers for a while, and for
// longer where calls are to be saved, unless an answer has shown that it has changed.
func (d *Dispatcher) describe(ctx context.Context, object string) (*salesforce.Object, error) {
	if !d.breaker.allows(reading) {
		return nil, errPaused
	}
	crashpoint("D.N1.before")
	schema, err := d.described(ctx, object)
	crashpoint("D.N1.after")
	if err != nil {
		d.heard(reading, err)
	}
	return schema, err
}

func (d *Dispatcher) described(ctx context.Context, object string) (*salesforce.Object, error) {
	if d.budget.isShort() && !d.doubts(object) {
		return d.org.DescribeWithin(ctx, object, traitsForLong)
	}
	return d.org.Describe(ctx, object)
}

// isRefusal reports whether the org has refused what was asked of it and will
// do so again, as a describe of an object that does not exist.
func isRefusal(err error) bool {
	class := salesforce.ClassOf(err)
	return class == salesforce.BadConfig || class == salesforce.Permanent || class == salesforce.Split
}

// repeatable says what makes a create or upsert safe to repeat: a field that the
// org keeps unique. For creates it names the field that carries the key; one
// that is not unique is carried all the same, to find the record by.
func (d *Dispatcher) repeatable(r store.Route, o ObjectConfig, schema *salesforce.Object) (idempotent bool, keyField string) {
	if r.Operation == opUpsert {
		f, ok := schema.Field(r.ExternalID)
		return ok && (strings.EqualFold(f.Name, "Id") || f.Unique && (f.ExternalID || f.IDLookup)), ""
	}
	f, ok := schema.Field(o.KeyField)
	if !ok || f.Type != "string" || !f.Createable || f.Length < event.MaxKey {
		d.warnOnce("key_field can't hold a key: it must be a text field of 255 characters that the user may write; creates go without it",
			slog.String("object", r.Object))
		return false, ""
	}
	idempotent = f.Unique && f.ExternalID && f.CaseSensitive
	if !idempotent {
		d.warnOnce("key_field does not make creates idempotent: it must be an external id, unique and case-sensitive",
			slog.String("object", r.Object))
	}
	if f.Unique && !f.CaseSensitive {
		return false, "" // it would refuse keys that differ in letter case
	}
	return idempotent, f.Name
}

// record decodes one event and makes its row. A problem fails the event.
func (d *Dispatcher) record(ctx context.Context, b *batch, c store.Claimed, when occasion) (record, *store.Problem, error) {
	r := record{Claimed: c}
	var e event.Event
	if err := event.DecodeHead(c.Head, &e); err != nil {
		return r, invalid("the stored event can't be read"), nil
	}
	fields, problem, err := d.replaceIDs(ctx, json.RawMessage(c.Payload))
	if problem != nil || err != nil {
		return r, problem, err
	}
	r.row.Fields = fields
	if problem := b.address(&r, &e); problem != nil {
		return r, problem, nil
	}
	e.Fields = jsontext.Value(r.row.Fields)
	return r, d.examine(ctx, b, &r, &e, when), nil
}

// address puts into the row what names its record.
func (b *batch) address(r *record, e *event.Event) *store.Problem {
	switch b.route.Operation {
	case opCreate:
		return b.carryKey(r)
	case opUpsert:
		if e.ExternalID == nil {
			return invalid("the stored event names no external id")
		}
		r.row.External = json.RawMessage(e.ExternalID.Value)
		r.name = normalKey(b.field(b.route.ExternalID), textOf(r.row.External))
		return nil
	}
	text := e.ID
	if e.Match != nil {
		text = r.Target
	}
	id, err := salesforce.ParseID(text)
	if err != nil {
		return invalid("the stored event names no record Id")
	}
	r.row.ID, r.name = id, string(id)
	if b.route.Operation == opDelete || b.route.Operation == opHardDelete {
		r.row.Fields = nil
		return b.ofObject(id)
	}
	return nil
}

// ofObject keeps a delete from hitting a record of another object than the event
// names: a call that deletes takes Ids of all objects.
func (b *batch) ofObject(id salesforce.ID) *store.Problem {
	if b.schema == nil || b.schema.KeyPrefix == "" || strings.HasPrefix(string(id), b.schema.KeyPrefix) {
		return nil
	}
	return invalid("id: not the Id of a record of " + b.schema.Name + ", which begin with " + b.schema.KeyPrefix)
}

// field is the org's description of a field, nil if there is none.
func (b *batch) field(name string) *salesforce.Field {
	if b.schema == nil {
		return nil
	}
	f, ok := b.schema.Field(name)
	if !ok {
		return nil
	}
	return f
}

// carryKey writes the event's key into the object's key field.
func (b *batch) carryKey(r *record) *store.Problem {
	if b.keyField == "" {
		return nil
	}
	if given := member(r.row.Fields, b.keyField); given != nil {
		if textOf(given) != r.Key {
			return invalid("fields." + b.keyField + ": holds the idempotency key and can't have another value")
		}
		return nil
	}
	fields, err := withMember(r.row.Fields, b.keyField, r.Key)
	if err != nil {
		return invalid("the key can't be written as JSON")
	}
	r.row.Fields = fields
	return nil
}

// replaceIDs puts the Ids of other events' records in.
func (d *Dispatcher) replaceIDs(ctx context.Context, fields json.RawMessage) (json.RawMessage, *store.Problem, error) {
	if !event.NamesIDs([]byte(fields)) {
		return fields, nil, nil
	}
	var missing, why string
	var failure error
	replaced, err := event.ReplaceIDs([]byte(fields), func(key string) (string, bool) {
		other, err := durable(ctx, d, "get", func(ctx context.Context) (store.Record, error) { return d.outbox.Get(ctx, key) })
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			failure = fmt.Errorf("look up %s: %w", key, err)
		}
		switch {
		case other.ID == "":
			missing, why = key, " is not known"
		case other.OtherOrg:
			missing, why = key, " is of the org that the outbox belonged to before"
		}
		return other.ID, missing == ""
	})
	switch {
	case failure != nil:
		return nil, nil, failure
	case missing != "":
		return nil, invalid("the Id of the record of " + missing + why), nil
	case err != nil:
		return nil, invalid("the stored fields can't be read"), nil
	}
	return json.RawMessage(replaced), nil, nil
}

// sift takes out what must not be sent by this attempt.
func (b *batch) sift() {
	seen := make(map[string]bool, len(b.records))
	b.records = slices.DeleteFunc(b.records, func(r record) bool {
		o, out := b.withhold(r, seen)
		if out {
			b.settled = append(b.settled, o)
		}
		return out
	})
}

// withhold says why a record must not be sent by this attempt, if there is a reason.
func (b *batch) withhold(r record, seen map[string]bool) (store.Outcome, bool) {
	switch {
	case r.Sent && !b.repeats(r):
		return b.doubt(r, store.Problem{Code: codeTransport, Message: "an earlier sending may have reached the org; a repeat could double the record"}), true
	case b.ways.stranded():
		return b.fail(r, *invalid("the object's headers go by REST only, and by REST a create needs key_field or create_via: rest")), true
	case b.Kind == store.KindREST && !b.ways.rest:
		return b.misrouted(r), true
	case b.Kind == store.KindBulk && !b.ways.job:
		o := b.unsent(r)
		o.Delay = b.cfg.Retry.Initial
		return o, true
	case r.name != "" && seen[r.name]:
		return b.unsent(r), true // its turn comes when the other one is settled
	}
	seen[r.name] = true
	return store.Outcome{}, false
}

// repeats reports whether what was sent of a record before is recognised if it is
// sent again. A create is by the field that carried its key, which the
// configuration may have changed since; of a restored store's nothing is known
// but today's.
func (b *batch) repeats(r record) bool {
	if b.route.Operation != opCreate || r.Restored {
		return b.idempotent
	}
	return b.idempotent && strings.EqualFold(r.SentKey, b.keyField)
}

// misrouted is for what a REST attempt claimed though only a job may carry it, as
// a change of the configuration can leave it behind: what a job can't carry
// either is failed, the rest goes back.
func (b *batch) misrouted(r record) store.Outcome {
	if _, problems := salesforce.NewTable(b.spec(), b.schema, []salesforce.Row{r.row}); len(problems) > 0 {
		return b.fail(r, *invalid(problems[0].Message))
	}
	if last := r.FirstError; last != nil && (last.Code == codeInvalid || last.Code == "INVALID_FIELD") {
		return b.fail(r, *last) // a job has refused it before
	}
	return b.retry(r, *invalid("only a job may carry this event"))
}

// sortByParents puts rows of the same parents side by side, against locks.
func (b *batch) sortByParents() {
	if b.route.Operation == opDelete || b.route.Operation == opHardDelete {
		return
	}
	type place struct {
		parents string
		record  int
	}
	find := lookups{object: b.schema, known: make(map[string]bool)}
	order := make([]place, len(b.records))
	for i, r := range b.records {
		order[i] = place{find.parents(r.row.Fields), i}
	}
	byParents := func(x, y place) int { return strings.Compare(x.parents, y.parents) }
	if slices.IsSortedFunc(order, byParents) {
		return
	}
	slices.SortStableFunc(order, byParents)
	sorted := make([]record, len(order))
	for i, p := range order {
		sorted[i] = b.records[p.record]
	}
	b.records = sorted
}

// spec is the job that carries the batch.
func (b *batch) spec() salesforce.JobSpec {
	spec := salesforce.JobSpec{Object: b.route.Object, Operation: b.route.Operation}
	switch b.route.Operation {
	case opCreate:
		spec.Operation = "insert"
	case opUpsert:
		spec.ExternalIDField = b.route.ExternalID
		if f := b.field(b.route.ExternalID); f != nil {
			spec.ExternalIDField = f.Name
		}
	case opHardDelete:
		spec.Operation = "hardDelete"
	}
	return spec
}

func invalid(message string) *store.Problem {
	return &store.Problem{Code: codeInvalid, Message: message}
}
