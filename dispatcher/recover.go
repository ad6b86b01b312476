package dispatcher

import (
	"cmp"
	"context"
	"fmt"

	"github.com/outboxd/outboxd/store"
)

// crashLoop is at how many starts an attempt may be found before its events are
// tried one by one.
const crashLoop = 3

// resume goes on with an attempt that a start found unfinished:
//
//	kind, phase        | what may have happened      | what is done
//	query              | nothing, it reads           | given back
//	rest               | sent, perhaps written       | idempotent: sent again; else in doubt;
//	                   |                             | followers wait for the late window
//	bulk, claimed      | an empty job, never closed  | from N1
//	bulk, open         | data, never closed          | job aborted and seen dead, from N1;
//	                   |                             | past Open after all: it is closing
//	bulk, closing      | closed or not               | the job's state decides: Open is closed
//	bulk, processing   | processed                   | polled, settled
//
// What may be thrown away freely, and was found at three starts, is tried event
// by event: one of them may be what takes the daemon down.
func (d *Dispatcher) resume(ctx context.Context, a store.Attempt, free func()) error {
	if a.Kind == store.KindQuery {
		return d.putBack(ctx, a, nil)
	}
	// The operator may have to accept a restore or another org first; only then it
	// is known which events count as sent.
	waiting := d.breaker.unconditioned(ctx)
	claimed, err := d.held(ctx, a)
	switch {
	case waiting != nil || err != nil:
		return cmp.Or(err, d.putBack(ctx, a, claimed))
	case len(claimed) == 0:
		return nil
	case a.Orgs != d.orgs:
		return d.abandon(ctx, a, claimed)
	}
	d.log.Info("attempt is resumed", "attempt", string(a.ID), "object", a.Route.Object, "operation", a.Route.Operation,
		"phase", a.Phase.String(), "job", a.JobID, "records", len(claimed))
	d.metrics.attempt(a.Kind, "resumed")
	switch {
	case a.Phase >= store.PhaseClosing:
		return d.resumeClosed(ctx, a, claimed, free)
	case a.Phase == store.PhaseOpen:
		return d.resumeOpen(ctx, a, claimed, free)
	case isCrashLoop(a, claimed):
		return d.isolate(ctx, a, claimed)
	case a.Kind == store.KindBulk:
		return d.runJob(ctx, a, claimed, free)
	}
	return d.runREST(ctx, a, claimed, found)
}

// isCrashLoop reports whether an attempt may be what takes the daemon down: found
// at three starts its events are tried one by one; one that was alone all the
// time gets one more try.
func isCrashLoop(a store.Attempt, claimed []store.Claimed) bool {
	if len(claimed) == 1 {
		return a.Crashes > crashLoop
	}
	return a.Crashes >= crashLoop
}

// held reads what an attempt still holds, also when the dispatcher is stopping.
func (d *Dispatcher) held(ctx context.Context, a store.Attempt) ([]store.Claimed, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	return durable(ctx, d, "events", func(ctx context.Context) ([]store.Claimed, error) {
		return d.outbox.Events(ctx, a.ID)
	})
}

// putBack ends an attempt without a word to the org, as far as that is possible:
// what an earlier start may have sent goes back as such, and a job that was made
// stays for the next start.
func (d *Dispatcher) putBack(ctx context.Context, a store.Attempt, claimed []store.Claimed) error {
	b := &batch{Attempt: a, judge: judge{cfg: d.config(), route: a.Route, late: a.Kind == store.KindREST && a.Starts > 0}}
	switch {
	case a.Phase > store.PhaseClaimed:
		return nil
	case !b.late:
		return d.giveBack(ctx, b, "the daemon was stopped")
	}
	for _, c := range claimed {
		b.records = append(b.records, record{Claimed: sentBy(a, c)})
	}
	return d.giveBack(ctx, b, "the daemon was stopped")
}

// abandon gives up an attempt at an org that the outbox does not belong to any
// more: neither it nor its job means anything to the present one. What it may
// have sent counts as sent, so that nothing is repeated there that a repeat could
// double.
func (d *Dispatcher) abandon(ctx context.Context, a store.Attempt, claimed []store.Claimed) error {
	b := &batch{Attempt: a, judge: judge{cfg: d.config(), route: a.Route}}
	sent := a.Phase >= store.PhaseClosing || a.Kind == store.KindREST
	for _, c := range claimed {
		if sent {
			c = sentBy(a, c)
		}
		b.settled = append(b.settled, b.unsent(record{Claimed: c}))
	}
	d.log.Warn("attempt at the org of before is given up", "attempt", string(a.ID), "object", a.Route.Object,
		"phase", a.Phase.String(), "job", a.JobID, "records", len(claimed))
	return d.settle(ctx, b, b.settled, "the outbox belongs to another org now")
}

// shelve puts back what an earlier start left unfinished where no org is configured.
func (d *Dispatcher) shelve(ctx context.Context, a store.Attempt, _ func()) error {
	claimed, err := d.held(ctx, a)
	if err != nil {
		return err
	}
	return d.putBack(ctx, a, claimed)
}

// resumeOpen throws away a job that was never closed, before anything else is
// thought about its events: if it got past Open all the same, they are its own.
func (d *Dispatcher) resumeOpen(ctx context.Context, a store.Attempt, claimed []store.Claimed, free func()) error {
	dead, err := d.discard(ctx, a.JobID)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case !dead:
		j := &job{batch: &batch{Attempt: a}}
		if err := d.advance(ctx, j, "T3", store.PhaseClosing, store.PhaseData{}); err != nil {
			return err
		}
		return d.resumeClosed(ctx, j.Attempt, claimed, free)
	case isCrashLoop(a, claimed):
		return d.isolate(ctx, a, claimed)
	}
	return d.runJob(ctx, a, claimed, free)
}

// resumeClosed goes on with a job that may have been processed. It is never
// abandoned, whatever the configuration or the org's schema say by now.
func (d *Dispatcher) resumeClosed(ctx context.Context, a store.Attempt, claimed []store.Claimed, free func()) error {
	b, err := d.prepare(ctx, a, claimed, gone)
	wait := d.retryPause()
	for err != nil && ctx.Err() == nil && !isStore(err) {
		d.waitForOrg(ctx, err, wait.step())
		b, err = d.prepare(ctx, a, claimed, gone)
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	if b.route.Operation == opCreate {
		b.keyField, b.idempotent = readKeyNote(a.Note)
	}
	j := &job{batch: b, free: free}
	defer j.depart()
	j.begin(&d.working)
	j.tabulate()
	j.restore(claimed)
	j.slim()
	return d.steps(ctx, j)
}

// restore makes sure that every event of a closed job is accounted for, also
// one that by today's schema would not fit a job: it was sent.
func (j *job) restore(claimed []store.Claimed) {
	known := make(map[store.Seq]bool, len(j.records))
	for _, r := range j.records {
		known[r.Seq] = true
	}
	for _, c := range claimed {
		if !known[c.Seq] {
			j.records = append(j.records, record{Claimed: c})
		}
	}
	j.size = len(j.records)
}

// isolate breaks a crash loop: each event of the attempt travels alone from now
// on, and one that was alone already is failed.
func (d *Dispatcher) isolate(ctx context.Context, a store.Attempt, claimed []store.Claimed) error {
	b := &batch{Attempt: a, judge: judge{cfg: d.config(), route: a.Route, object: d.config().object(a.Route.Object), late: a.Kind == store.KindREST}}
	d.log.Error("attempt was found unfinished again and again; its events are tried one by one",
		"attempt", string(a.ID), "object", a.Route.Object, "records", len(claimed))
	p := store.Problem{Code: codePoison, Message: fmt.Sprintf("the daemon went down %d times with this event in its hands", a.Crashes)}
	for _, c := range claimed {
		r := record{Claimed: c}
		if b.late {
			r.Claimed = sentBy(a, c)
		}
		if len(claimed) == 1 {
			if r.Sent {
				p.Message += "; a sending may have reached the org"
			}
			b.settled = append(b.settled, b.fail(r, p))
			continue
		}
		o := b.unsent(r)
		o.MaxBatch = 1
		b.settled = append(b.settled, o)
	}
	return d.settle(ctx, b, b.settled, "crash loop")
}
