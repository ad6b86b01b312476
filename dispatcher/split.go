package dispatcher

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// ranNoRow turns a job that failed over its header or data, before any row was
// tried, into outcomes (P6). What carries the column that the org names is to
// blame, everything else goes again at once; where no column is named, halves
// find the culprit. A culprit that REST may carry goes there, one call for many
// of them, and is told by the org what is wrong with it alone.
//
// carries says whether record i has a cell in a column.
func (j *judge) ranNoRow(fault salesforce.JobFault, records []record, carries func(i int, column string) bool, rest bool) []store.Outcome {
	named := fault.Column != "" && slices.ContainsFunc(indexes(records), func(i int) bool { return carries(i, fault.Column) })
	outcomes := make([]store.Outcome, len(records))
	for i, r := range records {
		switch {
		case named && !carries(i, fault.Column):
			outcomes[i] = j.unsent(r)
		case named:
			outcomes[i] = j.culprit(r, columnProblem(fault), rest)
		default:
			outcomes[i] = j.suspect(r, faultProblem(fault), rest)
		}
	}
	return outcomes
}

// suspect is one of those among whom the culprit must be.
func (j *judge) suspect(r record, p store.Problem, rest bool) store.Outcome {
	switch {
	case p.Code == "CLIENTINPUTERROR" && (r.FirstError == nil || r.FirstError.Code != p.Code):
		return j.retry(r, p) // seen to go away by itself
	case j.size > 1:
		return j.split(r, p)
	}
	return j.culprit(r, p, rest)
}

func (j *judge) culprit(r record, p store.Problem, rest bool) store.Outcome {
	if !rest {
		return j.fail(r, p)
	}
	o := j.unsent(r)
	o.Problem, o.RESTOnly = &p, true
	return o
}

// unprocessed is the outcome of a row that its job did not come to. Of a job
// that failed, the others may be the reason: it travels with fewer of them, and
// when it keeps failing alone it is the reason. But no row is the reason of what
// the org says of itself, such as a quota, or of what passes by itself.
func (j *judge) unprocessed(r record, job salesforce.Job) store.Outcome {
	p := faultProblem(job.Fault())
	if job.State != salesforce.StateFailed {
		p = store.Problem{Code: strings.ToUpper(string(job.State)), Message: "the job ended before it came to this row"}
		return j.retry(r, p)
	}
	switch class := salesforce.ClassOfRecord(p.Code, p.Message); {
	case aboutOrg(class):
		o := j.unsent(r)
		o.Problem, o.Delay = &p, min(quotaPatience*j.cfg.Retry.Initial, j.cfg.Retry.Max)
		return o
	case j.size <= 1 && r.Attempts+1 >= loneTries+halvings(j.cfg.Bulk.MaxRecords) && !passesByItself(p.Code):
		return j.fail(r, p)
	}
	return j.smaller(r, p)
}

// aboutOrg reports whether a class speaks of the org or the login, and of no record.
func aboutOrg(class salesforce.Class) bool {
	return class == salesforce.Auth || class == salesforce.PauseOrg || class == salesforce.PauseQuota
}

// passesByItself reports whether a code says of a whole call too that the same may pass later.
func passesByItself(code string) bool {
	c, ok := salesforce.Explain(code)
	return ok && c.CallClass == salesforce.Retry
}

// loneTries is how often a row may sink a job of its own before it is failed: what it
// was charged for in company, on its way there, was others' doing as likely.
const loneTries = 5

// halvings is how often n records are halved until each is alone.
func halvings(n int) int { return bits.Len(uint(max(n, 1) - 1)) }

// columnProblem names the column in the code that REST has for it.
func columnProblem(f salesforce.JobFault) store.Problem {
	return store.Problem{Code: "INVALID_FIELD", Message: f.Message, Fields: []string{f.Column}}
}

func faultProblem(f salesforce.JobFault) store.Problem {
	return store.Problem{Code: f.Code, Message: f.Message}
}

func indexes(records []record) []int {
	list := make([]int, len(records))
	for i := range list {
		list[i] = i
	}
	return list
}
