package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// job is a bulk attempt on its way through its phases. Its steps are a switch
// on the phase that is on disk, so that a restart and an ordinary run are one.
type job struct {
	*batch
	table *salesforce.Table
	empty bool // this run made the job at the org, and has sent it nothing yet
	// uploaded: this run has sent it its data, and has not tried to close it yet
	uploaded bool
	made     time.Time // when this run made the job at the org
	closed   time.Time // when this run tried first to close it; zero: another run did
	tries    int       // jobs made in vain by this run
	over     bool      // settled or given back
	free     func()    // gives its slot up
	stage    *stage    // in which it has a place; nil: it has its slot
}

const (
	// jobTries is how many jobs are made in a row for an attempt before its events go back.
	jobTries = 4
	// closeTries is how often the org may refuse to close an Open job before it is aborted.
	closeTries = 5
)

// runJob carries claimed events into a job and through it. free gives its slot up.
func (d *Dispatcher) runJob(ctx context.Context, a store.Attempt, claimed []store.Claimed, free func()) error {
	b, err := d.ready(ctx, a, claimed, fresh)
	if b == nil || err != nil {
		return err
	}
	j := &job{batch: b, free: free}
	defer j.depart()
	if err := d.settle(ctx, b, j.fit(), ""); err != nil || len(b.records) == 0 {
		return err
	}
	return d.steps(ctx, j)
}

// tabulate makes the table and keeps the records that are in it, in its order.
// Those that a job can't carry get an outcome.
func (j *job) tabulate() (out []store.Outcome) {
	rows := make([]salesforce.Row, len(j.records))
	for i, r := range j.records {
		rows[i] = r.row
	}
	table, problems := salesforce.NewTable(j.spec(), j.schema, rows)
	for _, p := range problems {
		r := j.records[p.Index]
		switch {
		case p.Fits:
			out = append(out, j.unsent(r)) // it is the job that is full
		default:
			out = append(out, j.culprit(r, store.Problem{Code: p.Code, Message: p.Message}, j.ways.rest))
		}
	}
	kept := make([]record, len(table.Rows))
	for line, i := range table.Rows {
		kept[line] = j.records[i]
	}
	j.table, j.records, j.size = table, kept, len(kept)
	return out
}

// maxUpload is how many bytes a job may have; the org's own limit is 150 MB in
// base64.
const maxUpload = 100 << 20

// fit is tabulate for a job that is still to be made: of a table that is too
// large for one job the second half goes back, as often as need be.
func (j *job) fit() []store.Outcome {
	out := j.tabulate()
	for len(j.table.CSV()) > maxUpload && j.size > 1 {
		n := half(j.size)
		for _, r := range j.records[n:] {
			o := j.unsent(r)
			o.MaxBatch = n
			out = append(out, o)
		}
		j.records = j.records[:n]
		out = append(out, j.tabulate()...)
	}
	return out
}

// cells are what the job has of record i: nothing of one that would not fit a job today (restore).
func (j *job) cells(i int) []string {
	if i >= len(j.table.Rows) {
		return make([]string, len(j.table.Header))
	}
	return j.table.Cells(i)
}

// carries reports whether record i has something in a column.
func (j *job) carries(i int, column string) bool {
	for c, name := range j.table.Header {
		if strings.EqualFold(name, column) {
			return i < len(j.table.Rows) && j.table.Has(i, c)
		}
	}
	return false
}

// steps goes on from the phase that the attempt is in until it is settled, or ctx ends.
func (d *Dispatcher) steps(ctx context.Context, j *job) error {
	for !j.over && ctx.Err() == nil {
		var err error
		switch j.Phase {
		case store.PhaseClaimed:
			err = d.stepCreate(ctx, j)
		case store.PhaseOpen:
			err = d.stepUpload(ctx, j)
		case store.PhaseClosing:
			err = d.stepClose(ctx, j)
		case store.PhaseProcessing:
			err = d.stepPoll(ctx, j)
		default:
			return fmt.Errorf("attempt %s: nothing to do in phase %s", j.ID, j.Phase)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	if !j.over && j.Phase < store.PhaseClosing {
		return d.leave(ctx, j)
	}
	return nil
}

// leave ends an attempt that was not closed yet when the dispatcher stops, so
// that the next start does not find it unfinished. If the job can't be seen dead
// in time, that start will see to it.
func (d *Dispatcher) leave(ctx context.Context, j *job) error {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.cfg.REST.Grace)
	defer cancel()
	if j.Phase == store.PhaseOpen {
		if !d.breaker.allows(reading) {
			return nil
		}
		if dead, err := d.discard(stopping, j.JobID); err != nil || !dead {
			return nil
		}
	}
	return d.giveBack(ctx, j.batch, "the daemon was stopped")
}

// advance is the T between two phases.
func (d *Dispatcher) advance(ctx context.Context, j *job, t string, to store.Phase, data store.PhaseData) error {
	crashpoint(t + ".before")
	err := d.durably(ctx, "advance "+string(j.ID), func(ctx context.Context) error {
		return d.outbox.Advance(ctx, d.term, j.ID, j.Phase, to, data)
	})
	crashpoint(t + ".after")
	if err != nil {
		return err
	}
	j.Phase = to
	if data.JobID != "" {
		j.JobID = data.JobID
	}
	return nil
}

// stepCreate is N1 and T2: a job in the state Open, and its id on disk. An answer
// that is lost leaves an empty job behind, which can never process anything.
func (d *Dispatcher) stepCreate(ctx context.Context, j *job) error {
	if d.breaker.enter(writing) != nil {
		j.over = true
		return d.giveBack(ctx, j.batch, "sending is paused")
	}
	crashpoint("N1.before")
	made, err := d.org.CreateJob(ctx, j.spec())
	crashpoint("N1.after")
	d.heard(writing, err)
	switch {
	case err == nil:
		d.budget.batch()
		j.empty, j.made = true, time.Now()
		return d.advance(ctx, j, "T2", store.PhaseOpen, store.PhaseData{JobID: made.ID, Note: j.keyNote()})
	case isOutOfBatches(err):
		j.over = true
		return d.giveBack(ctx, j.batch, err.Error())
	case !speaksOfOrg(err) && (isRefusal(err) || j.tries+1 >= jobTries && isAnswered(err)):
		// The call named the object, the operation and the key field, and no row: it is true of all.
		j.over = true
		return d.settle(ctx, j.batch, abreast(j.all(func(r record) store.Outcome { return j.notMade(r, err) })), err.Error())
	}
	return d.anotherTry(ctx, j, err)
}

// notMade is the outcome of a record for which no job is made: REST may carry it,
// and else it is failed where the refusal is known to be of the route. What nobody
// knows, or calls a limit, or says again and again is the org's own fault, is not: it
// is tried again, more and more seldom.
func (j *job) notMade(r record, err error) store.Outcome {
	p, class := problemOf(err), salesforce.ClassOf(err)
	_, known := salesforce.Explain(p.Code)
	if ofRoute := class == salesforce.BadConfig || class == salesforce.Permanent; !j.ways.rest && !(known && ofRoute) {
		return j.retry(r, p)
	}
	return j.culprit(r, p, j.ways.rest)
}

// abreast has those that are tried again come back at one time: apart, each would
// ask for a job of its own.
func abreast(outcomes []store.Outcome) []store.Outcome {
	longest := time.Duration(0)
	for _, o := range outcomes {
		longest = max(longest, o.Delay)
	}
	for i := range outcomes {
		if outcomes[i].Charge {
			outcomes[i].Delay = longest
		}
	}
	return outcomes
}

// isAnswered reports whether there was an answer to the call that failed.
func isAnswered(err error) bool {
	e, ok := errors.AsType[*salesforce.APIError](err)
	return ok && e.Status != 0
}

// anotherTry waits before the next job is made, or gives the events back.
func (d *Dispatcher) anotherTry(ctx context.Context, j *job, err error) error {
	if j.tries++; j.tries >= jobTries {
		j.over = true
		return d.giveBack(ctx, j.batch, err.Error())
	}
	d.log.Warn("job is made anew", "attempt", string(j.ID), "object", j.route.Object, "job", j.JobID, "err", err)
	sleep(ctx, doubled(j.tries, j.cfg.Retry.Initial, j.cfg.Retry.Max))
	return nil
}

// stepUpload is N2 and T3. Whatever goes wrong with an upload, the job is given
// up: a second upload to it is never tried.
func (d *Dispatcher) stepUpload(ctx context.Context, j *job) error {
	if !j.empty {
		return d.replace(ctx, j, errors.New("the upload was left unfinished"))
	}
	j.empty = false
	if err := d.breaker.await(ctx, writing); err != nil {
		return err
	}
	crashpoint("N2.before")
	err := d.org.UploadJob(ctx, j.JobID, j.table.CSV())
	crashpoint("N2.after")
	d.heard(writing, err)
	if err != nil {
		return d.replace(ctx, j, err)
	}
	if !j.pass(ctx, &d.working) {
		return ctx.Err()
	}
	// A pause is waited out here: once it is closing the job is not replaced any more.
	if err := d.breaker.passable(ctx, writing); err != nil {
		return err
	}
	// By the wall clock too: the monotonic one stands still while the host sleeps.
	if max(time.Since(j.made), time.Now().Round(0).Sub(j.made.Round(0))) > openFor {
		return d.replace(ctx, j, errOpenTooLong)
	}
	j.slim()
	j.uploaded = true
	return d.advance(ctx, j, "T3", store.PhaseClosing, store.PhaseData{})
}

// openFor is how long a job may wait for its close. The org ends one that is
// Open after a day; one that were gone once its phase is closing would leave its
// events in doubt.
const openFor = 12 * time.Hour

var errOpenTooLong = errors.New("it was open for too long")

// slim lets go of what is not needed once the job is closed; it may take its time.
func (j *job) slim() {
	if j.nameColumn() != "" {
		j.table.Forget()
	}
	for i := range j.records {
		r := &j.records[i]
		r.Head, r.Payload, r.row.Fields = nil, nil, nil
	}
}

// replace makes a new job in place of one whose data is not surely right, after
// the old one was seen dead. One that is past Open all the same goes on.
func (d *Dispatcher) replace(ctx context.Context, j *job, why error) error {
	dead, err := d.discard(ctx, j.JobID)
	if err != nil {
		return err
	}
	if !dead {
		d.log.Error("job was closed by somebody else", "attempt", string(j.ID), "job", j.JobID)
		return d.advance(ctx, j, "T3", store.PhaseClosing, store.PhaseData{})
	}
	if class := salesforce.ClassOf(why); class == salesforce.Split || class == salesforce.Permanent || class == salesforce.BadConfig {
		j.over = true
		return d.settle(ctx, j.batch, j.all(func(r record) store.Outcome { return j.suspect(r, problemOf(why), j.ways.rest) }), why.Error())
	}
	if _, told := errors.AsType[*salesforce.APIError](why); told && j.tries+1 >= jobTries && !unavailable(why) {
		j.over = true
		return d.settle(ctx, j.batch, j.all(func(r record) store.Outcome { return j.lighter(r, problemOf(why)) }), why.Error())
	}
	if err := d.anotherTry(ctx, j, why); err != nil || j.over {
		return err
	}
	return d.stepCreate(ctx, j)
}

// lighter is the outcome of a record whose upload got through to no job, though the
// jobs could be made: something on the way does not let it pass, for its size or
// for one of its records.
func (j *job) lighter(r record, p store.Problem) store.Outcome {
	switch {
	case j.size > 1:
		return j.split(r, p)
	case j.ways.rest:
		return j.culprit(r, p, true)
	}
	return j.retry(r, p)
}

// discard aborts a job that was never closed, and looks until it is seen dead:
// Aborted or gone. It is not dead if it got past Open.
func (d *Dispatcher) discard(ctx context.Context, id string) (dead bool, err error) {
	wait := pause{d.config().Bulk.PollMin, d.config().Bulk.PollMax}
	for {
		var seen salesforce.Job
		err := d.call(ctx, reading, func(ctx context.Context) (err error) {
			crashpoint("A.N1.before")
			seen, err = d.org.Job(ctx, id)
			crashpoint("A.N1.after")
			return err
		})
		switch {
		case salesforce.IsNotFound(err), err == nil && seen.State == salesforce.StateAborted:
			return true, nil
		case err == nil && seen.State == salesforce.StateOpen:
			// The next look decides, not the answer.
			err = d.call(ctx, reading, func(ctx context.Context) error {
				crashpoint("A.N2.before")
				_, err := d.org.AbortJob(ctx, id)
				crashpoint("A.N2.after")
				return err
			})
			if err == nil {
				continue
			}
		case err == nil:
			return false, nil
		}
		d.log.Debug("job is not known dead", "job", id, "err", err)
		if !sleep(ctx, wait.step()) {
			return false, ctx.Err()
		}
	}
}

// stepClose is N3 and T4. What the job's state then is decides: Open is closed
// again, everything else is on its way. Where this run has just uploaded, the
// state is known before, and an answer that tells the one after spares a look.
func (d *Dispatcher) stepClose(ctx context.Context, j *job) error {
	if j.uploaded {
		j.uploaded = false
		if seen, err := d.close(ctx, j); err == nil && seen.State != "" && seen.State != salesforce.StateOpen {
			return d.advance(ctx, j, "T4", store.PhaseProcessing, store.PhaseData{})
		}
	}
	wait := pause{j.cfg.Bulk.PollMin, j.cfg.Bulk.PollMax}
	for refused := 0; ; {
		seen, err := d.ask(ctx, j)
		switch {
		case salesforce.IsNotFound(err):
			return d.lost(ctx, j)
		case err == nil && seen.State != salesforce.StateOpen:
			return d.advance(ctx, j, "T4", store.PhaseProcessing, store.PhaseData{})
		case err == nil && refused >= closeTries:
			// What it holds is then told by its results, as of any aborted job.
			err = d.call(ctx, reading, func(ctx context.Context) error {
				_, err := d.org.AbortJob(ctx, j.JobID)
				return err
			})
		case err == nil:
			_, err = d.close(ctx, j)
			if err == nil {
				continue
			}
			if isRefusal(err) {
				refused++
			}
		}
		d.log.Debug("job is not known closed", "attempt", string(j.ID), "job", j.JobID, "err", err)
		if !sleep(ctx, wait.step()) {
			return ctx.Err()
		}
	}
}

// close is N3.
func (d *Dispatcher) close(ctx context.Context, j *job) (seen salesforce.Job, err error) {
	if j.closed.IsZero() && j.Phase == store.PhaseClosing {
		j.closed = time.Now()
	}
	err = d.call(ctx, writing, func(ctx context.Context) (err error) {
		crashpoint("N3.before")
		seen, err = d.org.CloseJob(ctx, j.JobID)
		crashpoint("N3.after")
		return err
	})
	return seen, err
}

// ask asks for the job's state.
func (d *Dispatcher) ask(ctx context.Context, j *job) (seen salesforce.Job, err error) {
	err = d.call(ctx, reading, func(ctx context.Context) (err error) {
		crashpoint("N4.before")
		seen, err = d.org.Job(ctx, j.JobID)
		crashpoint("N4.after")
		return err
	})
	return seen, err
}

// stepPoll is N4: it looks until the job has ended, however long that takes. An
// error of a look says nothing of the job.
func (d *Dispatcher) stepPoll(ctx context.Context, j *job) error {
	look := looks{pause: pause{j.cfg.Bulk.PollMin, j.cfg.Bulk.PollMax}, closed: j.closed}
	kind := kindOf(j.route, len(j.records))
	if !j.closed.IsZero() {
		look.expected = d.paces.expected(kind)
	}
	var running time.Duration // when it was last seen not to have ended
	for n := 1; ; n++ {
		if d.budget.isShort() {
			look.most = max(look.most, j.cfg.Retry.Max)
		}
		if !sleep(ctx, look.wait()) {
			return ctx.Err()
		}
		since := time.Since(j.closed)
		seen, err := d.ask(ctx, j)
		switch {
		case salesforce.IsNotFound(err):
			return d.lost(ctx, j)
		case err != nil:
			d.log.Debug("poll failed", "attempt", string(j.ID), "job", j.JobID, "err", err)
		case seen.State.Terminal():
			d.budget.looked(n)
			if !j.closed.IsZero() && seen.State == salesforce.StateJobComplete {
				d.paces.learn(kind, running, since)
			}
			return d.stepSettle(ctx, j, seen)
		case seen.State == salesforce.StateOpen:
			// An old answer, perhaps. Closing it once more can't do harm: a job runs once.
			if _, err := d.close(ctx, j); err != nil {
				d.log.Debug("job is not known closed", "attempt", string(j.ID), "job", j.JobID, "err", err)
			}
		}
		if err == nil {
			running = since
		}
	}
}

// stepSettle is N5 and T5: every event of the job gets its outcome, in one
// transaction.
func (d *Dispatcher) stepSettle(ctx context.Context, j *job, seen salesforce.Job) error {
	if !j.pass(ctx, &d.settled) {
		return ctx.Err()
	}
	h, err := d.gather(ctx, j, &seen)
	if err != nil {
		return err
	}
	j.retried = seen.Retries > 0
	j.oneToBlame = true // results that tell nothing of a row may be another row's doing
	d.hearRecords(j.batch, h.answers())
	d.hearJob(j.batch, seen)
	outcomes, spare := j.conclude(h, seen)
	if spare > 0 {
		d.metrics.unmatched(spare)
		d.log.Error("job has results that belong to no event", "attempt", string(j.ID), "job", j.JobID, "records", spare)
	}
	d.nameRecords(ctx, j.batch, outcomes)
	d.metrics.job(string(seen.State))
	d.log.Info("job done", "attempt", string(j.ID), "job", j.JobID, "object", j.route.Object, "operation", j.route.Operation,
		"status", string(seen.State), "records", len(j.records), "duration", time.Since(j.StartedAt).Round(time.Millisecond))
	return d.end(ctx, j, outcomes, jobNote(seen))
}

// lost settles an attempt whose job or results are gone: nothing is known (rules 4 and 6).
func (d *Dispatcher) lost(ctx context.Context, j *job) error {
	d.log.Error("job is gone, with its results", "attempt", string(j.ID), "job", j.JobID, "object", j.route.Object, "records", len(j.records))
	d.metrics.job("gone")
	return d.end(ctx, j, j.all(j.unaccounted), "the job is gone")
}

// end is T5.
func (d *Dispatcher) end(ctx context.Context, j *job, outcomes []store.Outcome, note string) error {
	j.over = true
	crashpoint("T5.before")
	err := d.settle(ctx, j.batch, outcomes, note)
	crashpoint("T5.after")
	return err
}

// all gives every record an outcome.
func (b *batch) all(of func(record) store.Outcome) []store.Outcome {
	outcomes := make([]store.Outcome, len(b.records))
	for i, r := range b.records {
		outcomes[i] = of(r)
	}
	return outcomes
}

func jobNote(seen salesforce.Job) string {
	note := string(seen.State)
	if seen.Retries > 0 {
		note += fmt.Sprintf(", retried %d times by Salesforce", seen.Retries)
	}
	if seen.ErrorMessage != "" {
		note += ": " + seen.ErrorMessage
	}
	return note
}

// The attempt's note tells a restart whether the rows carry the key, and
// whether that made them idempotent, whatever the configuration says then.
const (
	notedKey     = "key_field "
	notedCarried = "carries "
	notedNone    = "no key"
)

func (j *judge) keyNote() string {
	if j.route.Operation != opCreate {
		return ""
	}
	return keyNote(j.keyField, j.idempotent)
}

// noted reports whether the attempt's note tells the truth of what its creates
// carry: a restart has nothing else to go by.
func (b *batch) noted() bool {
	field, _ := readKeyNote(b.Note)
	return b.route.Operation != opCreate || field == b.keyField
}

func keyNote(field string, idempotent bool) string {
	switch {
	case field == "":
		return notedNone
	case idempotent:
		return notedKey + field
	}
	return notedCarried + field
}

func readKeyNote(note string) (field string, idempotent bool) {
	if field, ok := strings.CutPrefix(note, notedKey); ok {
		return field, true
	}
	field, _ = strings.CutPrefix(note, notedCarried)
	if field == note {
		field = ""
	}
	return field, false
}
