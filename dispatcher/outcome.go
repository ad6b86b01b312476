package dispatcher

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// Codes of events beside Salesforce's own.
const (
	codeInvalid     = "INVALID"
	codeKeyExists   = "KEY_EXISTS"
	codeNoMatch     = "NO_MATCH"
	codeManyMatches = "MANY_MATCHES"
	codePoison      = "POISON"
	codeTransport   = salesforce.CodeTransport
	// codeOutOfBatches is Salesforce's, of a job that is refused or cut short.
	codeOutOfBatches = "EXCEEDEDQUOTA"
)

// record is one event on its way: what the store said of it and the row that is sent.
type record struct {
	store.Claimed
	row salesforce.Row
	// name is the record within its batch: no two of a name travel together. "" is a new record.
	name string
}

// keep notes what stays with the event of its sendings. That a restored store's
// may have been sent needs no words: the store knows which they are.
func (r record) keep(o *store.Outcome) {
	if !r.Restored {
		o.Sent, o.SentKey, o.OtherOrg = r.Sent, r.SentKey, r.OtherOrg
	}
}

// sentBy marks an event of an unfinished attempt that may have sent it. What an
// earlier sending was recognised by stays: had this attempt's rows carried the
// key otherwise, it would not have sent the event (withhold).
func sentBy(a store.Attempt, c store.Claimed) store.Claimed {
	if !c.Sent {
		c.FirstSent = a.StartedAt
	}
	if !c.Sent || c.Restored {
		c.SentKey, _ = readKeyNote(a.Note)
	}
	c.Sent, c.Restored, c.OtherOrg = true, false, false
	return c
}

// judge turns answers into outcomes. It holds what an answer's meaning depends
// on beside the record itself.
type judge struct {
	cfg        *Config
	route      store.Route
	object     ObjectConfig
	idempotent bool   // a repeat of the write does no harm
	keyField   string // that carries the key; "" if none does
	size       int    // records that travelled together
	bulk       bool
	retried    bool // the job was retried by the org itself
	// oneToBlame: a single record may be why the whole call ended without a word on any.
	oneToBlame bool
	// late: an earlier sending may still be on its way, whatever this one answers.
	late bool
	// echo is for how long what was sent before this start may still arrive.
	echo time.Duration
}

func (j *judge) outcome(r record, v store.Verdict) store.Outcome {
	o := store.Outcome{Seq: r.Seq, Verdict: v}
	switch {
	case j.late:
		o.Hold = j.cfg.REST.LateWindow
	case r.Restored:
		o.Hold = j.echo
	}
	return o
}

func (j *judge) deliver(r record, id salesforce.ID, created bool) store.Outcome {
	o := j.outcome(r, store.Deliver)
	o.ID, o.Created = string(id), created
	return o
}

func (j *judge) fail(r record, p store.Problem) store.Outcome {
	o := j.outcome(r, store.Fail)
	o.Problem, o.Skip = &p, j.object.Skip
	r.keep(&o)
	return o
}

// unsent puts a record back that was not sent: due at once, uncharged.
func (j *judge) unsent(r record) store.Outcome {
	o := j.outcome(r, store.Again)
	r.keep(&o)
	return o
}

// retry has a record sent again after a backoff, which is charged. The limits of
// attempts and age turn it into failed, with the reason of this try.
func (j *judge) retry(r record, p store.Problem) store.Outcome {
	retry := j.cfg.Retry
	if retry.MaxAttempts > 0 && r.Attempts+1 >= retry.MaxAttempts || retry.MaxAge > 0 && r.Age >= retry.MaxAge {
		return j.fail(r, p)
	}
	return j.later(r, p)
}

// later is retry without an end.
func (j *judge) later(r record, p store.Problem) store.Outcome {
	retry := j.cfg.Retry
	o := j.unsent(r)
	o.Problem, o.Charge = &p, true
	o.Delay = backoff(r.Attempts+1, retry.Initial, retry.Max, j.cfg.Chance)
	return o
}

// smaller is retry in batches of at most half the size.
func (j *judge) smaller(r record, p store.Problem) store.Outcome {
	o := j.retry(r, p)
	if o.Verdict == store.Again && j.size > 1 {
		o.MaxBatch = half(j.size)
	}
	return o
}

// ambiguous is for an answer that leaves open whether the record was written:
// it is sent again where that does no harm, else it is in doubt. Its followers
// wait for the late window.
func (j *judge) ambiguous(r record, p store.Problem) store.Outcome {
	o := j.doubt(r, p)
	if j.idempotent {
		o = j.alone(r, p)
		o.Hold = j.cfg.REST.LateWindow
	}
	o.Sent, o.SentKey, o.OtherOrg = true, j.keyField, false
	return o
}

// alone is retry that isolates whoever makes calls end without a word (P6): from
// the second time on in batches of half the size. Halving ends, so the limits of
// attempts and age wait until a record is alone.
func (j *judge) alone(r record, p store.Problem) store.Outcome {
	if !j.oneToBlame || j.size <= 1 {
		return j.retry(r, p)
	}
	o := j.later(r, p)
	if r.Attempts > 0 {
		o.MaxBatch = half(j.size)
	}
	return o
}

// doubt is for a record that may have been written, and whose repeat could double it.
func (j *judge) doubt(r record, p store.Problem) store.Outcome {
	return store.Outcome{
		Seq: r.Seq, Verdict: store.Doubt, Problem: &p, Skip: j.object.Skip,
		Sent: true, SentKey: r.SentKey, OtherOrg: r.OtherOrg, Hold: j.cfg.REST.LateWindow,
	}
}

// answer is the outcome of a record that the org has answered on its own.
func (j *judge) answer(r record, a salesforce.Result) store.Outcome {
	if a.Success {
		return j.deliver(r, cmp.Or(a.ID, r.row.ID), a.Created || j.route.Operation == opCreate)
	}
	p := store.Problem{Code: a.Code, Message: a.Message, Fields: a.Fields}
	switch {
	case j.goneAlready(r, a.Code):
		return j.deliver(r, r.row.ID, false)
	case j.ownKey(a):
		if r.Stale {
			return j.fail(r, stale(""))
		}
		if r.Sent || j.retried {
			return j.deliver(r, "", true)
		}
		p.Code = codeKeyExists
		return j.fail(r, p)
	case salesforce.IsRepeatedInCall(a.Code, a.Message):
		return j.apart(r, p)
	case j.worthOnce(a):
		return j.once(r, p)
	case !j.bulk && ambiguousItem(a.Code):
		return j.ambiguous(r, p)
	}
	return j.byClass(r, p, salesforce.ClassOfRecord(a.Code, a.Message))
}

// stale is for a create that is at the org already, perhaps with the values that
// it had before an operator's edit.
func stale(id salesforce.ID) store.Problem {
	record := "a record"
	if id != "" {
		record = "record " + string(id)
	}
	return store.Problem{Code: codeKeyExists, Message: record + " carries the event's key: it was written before the edit or after it; look at its values, write an update where they are wrong, and drop this event"}
}

// byClass is the outcome of a record that was not written.
func (j *judge) byClass(r record, p store.Problem, class salesforce.Class) store.Outcome {
	switch class {
	case salesforce.Retry:
		return j.smaller(r, p)
	case salesforce.Split:
		return j.split(r, p)
	case salesforce.Auth, salesforce.PauseOrg, salesforce.PauseQuota:
		o := j.unsent(r)
		o.Problem = &p
		return o
	case salesforce.Ambiguous:
		return j.ambiguous(r, p)
	}
	return j.fail(r, p)
}

// split halves until the culprit is alone. It is not charged: halving ends.
func (j *judge) split(r record, p store.Problem) store.Outcome {
	if j.size <= 1 {
		return j.fail(r, p)
	}
	o := j.unsent(r)
	o.Problem, o.MaxBatch = &p, half(j.size)
	return o
}

// apart sends a record by itself that the org took for the same as another of its batch.
func (j *judge) apart(r record, p store.Problem) store.Outcome {
	if j.size <= 1 {
		return j.fail(r, p)
	}
	o := j.unsent(r)
	o.Problem, o.MaxBatch = &p, 1
	return o
}

// once repeats a failure that a race may explain; the second time it is believed.
func (j *judge) once(r record, p store.Problem) store.Outcome {
	if r.FirstError != nil && r.FirstError.Code == p.Code {
		return j.fail(r, p)
	}
	return j.retry(r, p)
}

// worthOnce reports whether a failed upsert may have lost a race: against
// another insert of the same value, or against a delete.
func (j *judge) worthOnce(a salesforce.Result) bool {
	if j.route.Operation != opUpsert {
		return false
	}
	return a.Code == "ENTITY_IS_DELETED" || a.Code == "DUPLICATE_VALUE" && blames(a, j.route.ExternalID)
}

// goneAlready reports whether a delete failed because an earlier sending of it worked.
func (j *judge) goneAlready(r record, code string) bool {
	if j.route.Operation != opDelete && j.route.Operation != opHardDelete || (!r.Sent || r.OtherOrg) && !j.retried {
		return false
	}
	return code == "ENTITY_IS_DELETED" || code == "INVALID_CROSS_REFERENCE_KEY" || code == "NOT_FOUND"
}

// ownKey reports whether a create was refused because its key is there already.
func (j *judge) ownKey(a salesforce.Result) bool {
	return j.keyField != "" && j.idempotent && a.Code == "DUPLICATE_VALUE" && blames(a, j.keyField)
}

// blames reports whether a DUPLICATE_VALUE names the field.
func blames(a salesforce.Result, field string) bool {
	if named, _, ok := salesforce.ParseDuplicate(a.Message); ok {
		return strings.EqualFold(named, field)
	}
	return slices.ContainsFunc(a.Fields, func(f string) bool { return strings.EqualFold(f, field) })
}

// ambiguousItem reports whether a code says that the org itself lost its way,
// so that not even its "failed" proves anything.
func ambiguousItem(code string) bool {
	c, ok := salesforce.Explain(code)
	return ok && c.CallClass == salesforce.Ambiguous
}

// problemOf puts the failure of a call into an event's words.
func problemOf(err error) store.Problem {
	p := store.Problem{Code: codeTransport, Message: "no answer"}
	if e, ok := errors.AsType[*salesforce.APIError](err); ok {
		p.Code = e.Code
		p.Fields = e.Fields
		switch {
		case e.Message != "":
			p.Message = e.Message
		case e.Err != nil:
			p.Message = e.Err.Error()
		}
	}
	return p
}

// half is the size of the next smaller batch.
func half(n int) int { return (n + 1) / 2 }

// pause is a wait that grows by half each time.
type pause struct{ next, most time.Duration }

func (p *pause) step() time.Duration {
	d := min(p.next, p.most)
	p.next = min(p.most, p.next+p.next/2)
	return d
}
