package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/schema"
	"github.com/outboxd/outboxd/store"
)

// believed is how old the org's word may be for an event to be refused at the socket by it: who
// has just made a field does not want to hear that there is none.
const believed = time.Minute

// decided is how old it may be for an event to be failed by it, which stays so until somebody acts: who has just made a
// field for an event retries it.
const decided = 5 * time.Second

// review is what the check of a batch against the org's schema has found.
type review struct {
	found map[store.Seq][]schema.Finding
	// object replaces the batch's description once the org was asked again; nil then if it did not answer.
	object  *salesforce.Object
	again   bool
	parents map[string]*salesforce.Object // by name; nil for one that could not be had
	absent  []schema.Finding              // the batch's object is not there
}

// patience is how long the socket waits for the org's word on an event that looks bad by an older one.
const patience = time.Second

// Check says what of a valid event the org would refuse, by what it said of the
// object within the last minute. An older word is enough to take an event, and not to refuse it: then the org is asked,
// at most once a minute an object, and has a second to answer. Without a word there is no finding. It finds nothing
// unless Validate is ValidateReject.
func (d *Dispatcher) Check(e *event.Event) []schema.Finding {
	cfg := d.config()
	if cfg.Validate != ValidateReject || d.org == nil {
		return nil
	}
	found, by := d.compare(cfg, e)
	if found == nil || by.age < believed {
		return found
	}
	if !d.askAgain(by.objects) {
		return nil
	}
	if found, by = d.compare(cfg, e); by.age >= believed {
		return nil
	}
	return found
}

// words are the descriptions that a comparison went by.
type words struct {
	objects []string
	age     time.Duration // of the oldest
}

// compare goes by what the org has said already, and asks in the background where that is nothing.
func (d *Dispatcher) compare(cfg *Config, e *event.Event) ([]schema.Finding, words) {
	by := words{}
	known := func(name string) (*salesforce.Object, bool) {
		o, absent, age := d.org.Described(name)
		if o == nil && !absent {
			d.want(name, believed)
		}
		by.objects, by.age = append(by.objects, name), max(by.age, age)
		return o, absent
	}
	object, absent := known(e.Object)
	switch {
	case absent:
		return []schema.Finding{schema.NoObject(e.Object, d.knownNames())}, by
	case object == nil:
		return nil, by
	}
	parent := func(name string) *salesforce.Object { o, _ := known(name); return o }
	return schema.Checker{Object: object, Parent: parent, Filled: cfg.object(e.Object).KeyField}.Check(e), by
}

// askAgain reports whether the org was asked for all of the objects, within patience.
func (d *Dispatcher) askAgain(objects []string) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for _, name := range objects {
		q := d.want(name, believed)
		if q == nil || time.Since(q.at) >= patience { // too many questions, or one that others have waited for
			return false
		}
		select {
		case <-q.answered:
		case <-late.C:
			return false
		}
	}
	return true
}

const (
	// maxWanted is how many questions may wait.
	maxWanted = 16
	// maxNames bounds what is remembered of objects: their names come from apps.
	maxNames = 1000
)

// question is for what the org says of an object, not earlier than since.
type question struct {
	object    string
	at, since time.Time
	answered  chan struct{} // closed when the org has answered, or can't be asked
}

// want has an object described in the background, unless too many are wanted already: then it is nil. What the org said
// not longer than age ago will do. An object is asked for at most once in the time for which the answer is believed, so
// that no event costs a call; within it the last question is returned.
func (d *Dispatcher) want(object string, age time.Duration) *question {
	name, now := strings.ToLower(object), time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := d.asked[name]; last != nil && now.Sub(last.at) < believed {
		return last
	}
	q := &question{object, now, now.Add(-age), make(chan struct{})}
	select {
	case d.wanted <- q:
	default:
		return nil
	}
	if len(d.asked) >= maxNames {
		clear(d.asked)
	}
	d.asked[name] = q
	return q
}

// learnWanted describes what is wanted.
func (d *Dispatcher) learnWanted(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-d.wanted:
			if _, err := d.describeWithin(ctx, q.object, time.Since(q.since)); salesforce.IsNotFound(err) {
				d.objectNames(ctx)
			}
			close(q.answered)
		}
	}
}

// describeAnew is describe for who needs a word that can be believed.
func (d *Dispatcher) describeAnew(ctx context.Context, object string) (*salesforce.Object, error) {
	return d.describeWithin(ctx, object, decided)
}

// describeWithin tells what the org said not longer than age ago. Where calls are to be saved it asks nobody: what can't
// be judged is sent.
func (d *Dispatcher) describeWithin(ctx context.Context, object string, age time.Duration) (*salesforce.Object, error) {
	if d.budget.isShort() || !d.breaker.allows(reading) {
		return nil, errPaused
	}
	o, err := d.org.DescribeWithin(ctx, object, age)
	if err != nil {
		d.heard(reading, err)
	}
	return o, err
}

// glance describes an object for a check alone, which can do without. What went
// wrong is not tried again for a while: no event costs a call.
func (d *Dispatcher) glance(ctx context.Context, object string, ask describing) (*salesforce.Object, error) {
	name := strings.ToLower(object)
	d.mu.Lock()
	last := d.glances[name]
	d.mu.Unlock()
	if last.err != nil && time.Since(last.at) < believed {
		return nil, last.err
	}
	o, err := ask(ctx, object)
	if err == nil || errors.Is(err, errPaused) || ctx.Err() != nil {
		return o, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.glances) >= maxNames {
		clear(d.glances)
	}
	d.glances[name] = glance{err, time.Now()}
	return nil, err
}

// describing is a way to ask for a description.
type describing func(ctx context.Context, object string) (*salesforce.Object, error)

// glance is a describe that went wrong.
type glance struct {
	err error
	at  time.Time
}

// objectNames asks for the names of all objects, to find the one that was meant.
func (d *Dispatcher) objectNames(ctx context.Context) []string {
	if !d.breaker.allows(reading) {
		return nil
	}
	names, err := d.org.ObjectNames(ctx)
	if err != nil {
		d.heard(reading, err)
		return nil
	}
	d.names.Store(&names)
	return names
}

func (d *Dispatcher) knownNames() []string {
	if names := d.names.Load(); names != nil {
		return *names
	}
	return nil
}

// learnForCheck describes the object of a batch that is sent without a description
// too. Its only error is that there is no such object, if that fails the events.
func (d *Dispatcher) learnForCheck(ctx context.Context, b *batch) error {
	if b.cfg.Validate == ValidateOff {
		return nil
	}
	var err error
	b.schema, err = d.glance(ctx, b.route.Object, d.describe)
	if b.cfg.Validate == ValidateReject && salesforce.IsNotFound(err) {
		return err
	}
	return nil
}

// undescribed is why an event is failed whose object the org does not describe.
func (d *Dispatcher) undescribed(ctx context.Context, b *batch, seq store.Seq, err error) store.Problem {
	if b.cfg.Validate == ValidateOff || !salesforce.IsNotFound(err) {
		return problemOf(err)
	}
	if b.review.absent == nil {
		b.review.absent = []schema.Finding{schema.NoObject(b.route.Object, d.objectNames(ctx))}
	}
	b.found(seq, b.review.absent)
	if b.cfg.Validate == ValidateWarn {
		return problemOf(err)
	}
	return *mismatch(b.review.absent)
}

// examine looks for what the org would refuse of an event that is about to be
// sent. By ValidateReject it is a problem, unless a fresher description tells
// otherwise or can't be had; of what was sent already it is only noted.
func (d *Dispatcher) examine(ctx context.Context, b *batch, r *record, e *event.Event, when occasion) *store.Problem {
	rejects := b.cfg.Validate == ValidateReject
	if b.cfg.Validate == ValidateOff || b.schema == nil || rejects && when == gone {
		return nil
	}
	e.Object, e.Operation = b.route.Object, event.Operation(b.route.Operation)
	found := d.check(ctx, b, e)
	if found != nil && rejects && !b.review.again {
		object, err := d.glance(ctx, b.route.Object, d.describeAnew)
		if err != nil {
			object = nil
		}
		b.review.again, b.review.object, b.review.parents = true, object, nil
		found = d.check(ctx, b, e)
	}
	if found == nil {
		return nil
	}
	d.warnOnce("events do not fit the org's schema", slog.String("object", b.route.Object))
	b.found(r.Seq, found)
	if !rejects {
		return nil
	}
	return mismatch(found)
}

// check compares an event with the newest description that the batch has.
func (d *Dispatcher) check(ctx context.Context, b *batch, e *event.Event) []schema.Finding {
	object := b.schema
	if b.review.again {
		object = b.review.object
	}
	if object == nil {
		return nil
	}
	return schema.Checker{Object: object, Filled: b.object.KeyField, Parent: func(name string) *salesforce.Object {
		return d.parent(ctx, b, name)
	}}.Check(e)
}

// parent describes an object that a lookup of the batch points to, once a batch.
func (d *Dispatcher) parent(ctx context.Context, b *batch, name string) *salesforce.Object {
	if o, ok := b.review.parents[name]; ok {
		return o
	}
	ask := d.describe
	if b.review.again {
		ask = d.describeAnew
	}
	o, err := d.glance(ctx, name, ask)
	if err != nil {
		o = nil
	}
	if b.review.parents == nil {
		b.review.parents = make(map[string]*salesforce.Object)
	}
	b.review.parents[name] = o
	return o
}

func (b *batch) found(seq store.Seq, found []schema.Finding) {
	if b.review.found == nil {
		b.review.found = make(map[store.Seq][]schema.Finding)
	}
	b.review.found[seq] = found
}

// mismatch says what of an event does not fit; all of it is in its warnings.
func mismatch(found []schema.Finding) *store.Problem {
	p := invalid(found[0].Path + ": " + found[0].Detail)
	if more := len(found) - 1; more > 0 {
		p.Message += fmt.Sprintf(" (and %d more)", more)
	}
	for _, f := range found {
		if name, ok := strings.CutPrefix(f.Path, "fields."); ok {
			p.Fields = append(p.Fields, name)
		}
	}
	return p
}

// tellFindings puts what was found into the outcomes. An answer that contradicts
// the descriptions shows that they have changed: the org is asked again.
func (d *Dispatcher) tellFindings(b *batch, outcomes []store.Outcome) {
	stale := false
	for i := range outcomes {
		o := &outcomes[i]
		found := b.review.found[o.Seq]
		for _, f := range found {
			o.Warnings = append(o.Warnings, store.Warning{Path: f.Path, Code: string(f.Reason), Detail: f.Detail})
		}
		stale = stale || contradicts(o, found)
	}
	if !stale || d.org == nil {
		return
	}
	d.renew(b.route.Object)
	for name := range b.review.parents {
		d.renew(name)
	}
}

// renewLate is the longest time between two descriptions that answers ask for.
const renewLate = time.Hour

// renewal is what answers that contradict an object's description have it asked for.
type renewal struct {
	object *salesforce.Object // the description that was contradicted
	at     time.Time          // when it was last
	wait   time.Duration      // until it is worth another description
	next   time.Time
}

// renew has an object described again, if it was. Of an org whose automation fills what an event leaves out, each
// answer contradicts the same description: while it stays the same it is asked for more and more seldom. Where calls
// are to be saved it is not asked for at once (doubts).
func (d *Dispatcher) renew(object string) {
	o, _, _ := d.org.Described(object)
	if o != nil && d.worthRenewing(strings.ToLower(object), o) {
		d.want(object, 0)
	}
}

func (d *Dispatcher) worthRenewing(name string, o *salesforce.Object) bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.renewals) >= maxNames {
		clear(d.renewals)
	}
	x := d.renewals[name]
	due := x.object != o || !now.Before(x.next)
	switch {
	case x.object != o:
		x.object, x.wait = o, believed
	case due:
		x.wait = min(2*x.wait, renewLate)
	}
	if x.at = now; due {
		x.next = now.Add(x.wait)
	}
	d.renewals[name] = x
	return due
}

// doubts reports whether an object's description was contradicted lately.
func (d *Dispatcher) doubts(object string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	x, ok := d.renewals[strings.ToLower(object)]
	return ok && time.Since(x.at) < traitsForLong
}

// contradicts reports whether the org took what has findings, or blames the schema for what has none.
func contradicts(o *store.Outcome, found []schema.Finding) bool {
	if found != nil {
		return o.Verdict == store.Deliver
	}
	return o.Problem != nil && blamesSchema(o.Problem)
}

// schemaCodes are the org's codes for what a check should have found.
var schemaCodes = map[string]bool{
	"INVALID_FIELD": true, "INVALID_FIELD_FOR_INSERT_UPDATE": true, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": true,
	"INVALID_TYPE_ON_FIELD_IN_RECORD": true, "JSON_PARSER_ERROR": true, "MALFORMED_ID": true, "NOT_FOUND": true, "INVALID_TYPE": true,
	"NUMBER_OUTSIDE_VALID_RANGE": true, "REQUIRED_FIELD_MISSING": true, "STRING_TOO_LONG": true,
}

// blamesSchema leaves out a parent that does not exist, which has the same code as a field that doesn't.
func blamesSchema(p *store.Problem) bool {
	return schemaCodes[p.Code] && !strings.HasPrefix(p.Message, "Foreign key external ID")
}
