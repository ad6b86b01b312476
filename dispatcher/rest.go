package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// runREST sends a claimed batch by one collections call: N1, then T2 with the
// outcome of every record. when is found if a start met the attempt unfinished.
func (d *Dispatcher) runREST(ctx context.Context, a store.Attempt, claimed []store.Claimed, when occasion) error {
	b, err := d.ready(ctx, a, claimed, when)
	if b == nil || err != nil {
		return err
	}
	if when == fresh && !b.noted() {
		return d.giveBack(ctx, b, "what carries the key has changed")
	}
	if err := d.breaker.enter(writing); err != nil || ctx.Err() != nil {
		return d.giveBack(ctx, b, "sending is paused")
	}
	crashpoint("R.N1.before")
	began := time.Now()
	sending, cancel := d.sending(ctx)
	answers, err := d.write(sending, b)
	cancel()
	crashpoint("R.N1.after")
	d.heard(writing, err)
	d.log.Debug("collections call", "attempt", string(b.ID), "object", b.route.Object, "operation", b.route.Operation,
		"records", len(b.records), "duration", time.Since(began), "err", err)
	if err != nil {
		return d.endUnanswered(ctx, b, err)
	}
	d.hearRecords(b, answers)
	b.oneToBlame = true // what the org says of all records as its own fault may be one record's
	outcomes := make([]store.Outcome, len(b.records))
	for i, r := range b.records {
		outcomes[i] = b.answer(r, answers[i])
	}
	d.nameRecords(ctx, b, outcomes)
	crashpoint("R.T2.before")
	err = d.settle(ctx, b, outcomes, "")
	crashpoint("R.T2.after")
	return err
}

// ready prepares a batch and settles what is not to be sent of it. A nil batch
// has nothing left to send.
func (d *Dispatcher) ready(ctx context.Context, a store.Attempt, claimed []store.Claimed, when occasion) (*batch, error) {
	b, err := d.prepare(ctx, a, claimed, when)
	wait := d.retryPause()
	for err != nil && when != fresh && ctx.Err() == nil && !isStore(err) {
		// What may have been sent is not given back before it can be judged.
		d.waitForOrg(ctx, err, wait.step())
		b, err = d.prepare(ctx, a, claimed, when)
	}
	switch {
	case ctx.Err() != nil:
		return nil, d.putBack(ctx, a, claimed)
	case isStore(err):
		return nil, err
	case err != nil:
		d.postpone(a.Route)
		return nil, d.release(ctx, a, err)
	}
	d.confirm(ctx, b)
	if len(b.settled) > 0 {
		crashpoint("K.T1.before")
	}
	err = d.settle(ctx, b, b.settled, "")
	if len(b.settled) > 0 {
		crashpoint("K.T1.after")
	}
	if err != nil || len(b.records) == 0 {
		return nil, err
	}
	b.settled = nil
	return b, nil
}

// waitForOrg keeps a failing read from being repeated at once: until the breaker
// lets it through again, or for some time where the breaker has no opinion.
func (d *Dispatcher) waitForOrg(ctx context.Context, err error, some time.Duration) {
	changed := d.breaker.changed()
	if d.breaker.allows(reading) {
		d.log.Warn("the org could not be asked", "err", err)
		sleep(ctx, some)
		return
	}
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// retryPause is the wait between tries that no event is charged for.
func (d *Dispatcher) retryPause() pause {
	retry := d.config().Retry
	return pause{retry.Initial, retry.Max}
}

// sending is the context of a call that writes: it outlives ctx by the grace, so
// that stopping does not make answers ambiguous.
func (d *Dispatcher) sending(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	grace := d.config().REST.Grace
	stop := context.AfterFunc(ctx, func() {
		sleep(out, grace)
		cancel()
	})
	return out, func() {
		stop()
		cancel()
	}
}

// write makes the call.
func (d *Dispatcher) write(ctx context.Context, b *batch) ([]salesforce.Result, error) {
	rows := make([]salesforce.Row, len(b.records))
	ids := make([]salesforce.ID, len(b.records))
	for i, r := range b.records {
		rows[i], ids[i] = r.row, r.row.ID
	}
	var answers []salesforce.Result
	var err error
	switch object, h := b.route.Object, b.object.headers(); b.route.Operation {
	case opCreate:
		answers, err = d.org.Create(ctx, object, rows, h)
	case opUpdate:
		answers, err = d.org.Update(ctx, object, rows, h)
	case opUpsert:
		answers, err = d.org.Upsert(ctx, object, b.route.ExternalID, rows, h)
	case opDelete:
		answers, err = d.org.Delete(ctx, object, ids)
	default:
		return nil, fmt.Errorf("%s %s: no REST call for it", b.route.Operation, object)
	}
	if err == nil && len(answers) != len(rows) {
		err = &salesforce.APIError{Code: codeTransport, Call: b.route.Operation, Message: fmt.Sprintf("%d answers for %d records", len(answers), len(rows))}
	}
	return answers, err
}

// ofRoute reports whether it is proven that a call was refused over its object,
// its operation or its key field, so that smaller calls would fare no better: the
// org's description says so as well, as it is now. One of a minute ago, as checks
// make do with, would fail all for an object that has just been made. The code alone
// proves nothing. A parent of a type that there is not can be INVALID_TYPE, an Id
// of another object INVALID_TYPE_FOR_OPERATION, and both are one row's (P6).
func (d *Dispatcher) ofRoute(ctx context.Context, r store.Route) bool {
	object, err := d.describeAnew(ctx, r.Object)
	if err != nil {
		return salesforce.IsNotFound(err)
	}
	switch r.Operation {
	case opCreate:
		return !object.Createable
	case opUpdate:
		return !object.Updateable
	case opDelete:
		return !object.Deletable
	}
	f, ok := object.Field(r.ExternalID)
	return !ok || !f.ExternalID && !f.IDLookup || !object.Createable && !object.Updateable
}

// endUnanswered settles a call that failed as a whole.
func (d *Dispatcher) endUnanswered(ctx context.Context, b *batch, err error) error {
	p := problemOf(err)
	class := salesforce.ClassOf(err)
	switch {
	case class == salesforce.Ambiguous:
		b.oneToBlame = !unavailable(err)
		d.log.Warn("collections call is ambiguous", "attempt", string(b.ID), "object", b.route.Object,
			"operation", b.route.Operation, "records", len(b.records), "err", err)
	case speaksOfOrg(err), errors.Is(err, context.Canceled), errors.Is(err, errOtherOrg):
		return d.giveBack(ctx, b, err.Error()) // proved: nothing was written, and no record is to blame
	case class == salesforce.BadConfig && d.ofRoute(ctx, b.route):
		class = salesforce.Permanent
	case class == salesforce.BadConfig, class == salesforce.Permanent:
		class = salesforce.Split // whom it blames shows when each is alone
	}
	outcomes := make([]store.Outcome, len(b.records))
	for i, r := range b.records {
		outcomes[i] = b.byClass(r, p, class)
	}
	crashpoint("R.T2.before")
	err = d.settle(ctx, b, outcomes, err.Error())
	crashpoint("R.T2.after")
	return err
}

// giveBack puts back what was not sent, uncharged.
func (d *Dispatcher) giveBack(ctx context.Context, b *batch, why string) error {
	if !b.late {
		return d.release(ctx, b.Attempt, errors.New(why))
	}
	// An earlier sending may still land: that must stay with the events.
	outcomes := make([]store.Outcome, len(b.records))
	for i, r := range b.records {
		outcomes[i] = b.unsent(r)
	}
	return d.settle(ctx, b, outcomes, why)
}

// release ends an attempt of which nothing was sent.
func (d *Dispatcher) release(ctx context.Context, a store.Attempt, why error) error {
	ctx, cancel := outlasting(ctx)
	defer cancel()
	d.metrics.attempt(a.Kind, "released")
	crashpoint("G.T1.before")
	err := d.durably(ctx, "release "+string(a.ID), func(ctx context.Context) error {
		return d.outbox.Release(ctx, d.term, a.ID, why.Error())
	})
	crashpoint("G.T1.after")
	return err
}

// settle records outcomes, whether the dispatcher is stopping or not.
func (d *Dispatcher) settle(ctx context.Context, b *batch, outcomes []store.Outcome, note string) error {
	if len(outcomes) == 0 {
		return nil
	}
	d.tellFindings(b, outcomes)
	ctx, cancel := outlasting(ctx)
	defer cancel()
	err := d.durably(ctx, "settle "+string(b.ID), func(ctx context.Context) error {
		return d.outbox.Settle(ctx, d.term, b.ID, store.Settlement{Outcomes: outcomes, Note: note})
	})
	if err == nil {
		d.metrics.settled(b.Kind, outcomes)
	}
	return err
}

// hearRecords looks for answers of single records that speak of the org, or of
// its configuration, which a person should hear of once.
func (d *Dispatcher) hearRecords(b *batch, answers []salesforce.Result) {
	for _, a := range answers {
		if a.Success {
			continue
		}
		switch class := salesforce.ClassOfRecord(a.Code, a.Message); {
		case b.bulk && namesBatches(a.Code):
			d.keepJobsBack()
		case aboutOrg(class):
			d.hearOrg(b, a.Code, a.Message, class)
		case class == salesforce.BadConfig:
			d.warnOnce("records are refused over the org's configuration: "+a.Code, slog.String("object", b.route.Object))
		}
	}
}

// hearJob looks whether a job failed over what speaks of the org. A quota of batches
// keeps jobs back, and is no reason to hold back what goes by REST.
func (d *Dispatcher) hearJob(b *batch, seen salesforce.Job) {
	fault := seen.Fault()
	class := salesforce.ClassOfRecord(fault.Code, fault.Message)
	switch {
	case namesBatches(fault.Code):
		d.keepJobsBack()
	case seen.State == salesforce.StateFailed && aboutOrg(class):
		d.hearOrg(b, fault.Code, fault.Message, class)
	}
}

// hearOrg tells the breaker what an answer to a call that went well says of the org.
func (d *Dispatcher) hearOrg(b *batch, code, message string, class salesforce.Class) {
	d.breaker.report(writing, &salesforce.APIError{Status: http.StatusOK, Code: code, Message: message, Class: class, Call: b.route.Operation})
}

// isStore reports whether err comes from the store rather than the org.
func isStore(err error) bool {
	_, api := errors.AsType[*salesforce.APIError](err)
	_, auth := errors.AsType[*salesforce.AuthError](err)
	return err != nil && !api && !auth && !errors.Is(err, errPaused)
}
