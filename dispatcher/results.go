package dispatcher

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// resultSet is one of a job's three result sets.
type resultSet int

const (
	succeeded resultSet = iota
	failed
	unprocessed
)

// resultRow is a row of a result set, without the cells that matching does not need.
type resultRow struct {
	salesforce.ResultRow
	set    resultSet
	header []string
}

// verdicts begin what rows of a set say: those that say the same say it alike.
var verdicts = [...]string{succeeded: "", failed: "failed ", unprocessed: "unprocessed"}

// harvest is what a job's results say, successes first.
type harvest struct {
	rows  []resultRow
	count [3]int
}

const (
	// resultTries is how often results are fetched that don't add up.
	resultTries = 5
	// resultPatience is for how long results are asked for that can't be had.
	resultPatience = time.Hour
	// slackRows is how many more rows than events are read, to be able to tell of them.
	slackRows = 100
)

// gather is N5: it fetches the results until every row is accounted for and they
// agree with the job's own counts, for a bounded time. A body that was cut may
// look like a short one.
func (d *Dispatcher) gather(ctx context.Context, j *job, seen *salesforce.Job) (*harvest, error) {
	wait := pause{j.cfg.Bulk.PollMin, j.cfg.Bulk.PollMax}
	deadline := time.Now().Add(resultPatience)
	var waited bool
	for tries := 1; ; {
		h, err := d.fetch(ctx, j, *seen)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case salesforce.IsNotFound(err):
			return h, nil
		case err != nil && time.Now().After(deadline):
			return h, nil
		case err != nil:
			d.log.Warn("results are fetched again", "attempt", string(j.ID), "job", j.JobID, "err", err)
		case seen.State == salesforce.StateAborted && !waited && h.count[succeeded]+h.count[failed] < len(j.records):
			// Batches of it may still run. (Of a job that we ended before it was closed nobody asks.)
			waited = true
			d.log.Warn("job was aborted; its results are believed after the late window", "attempt", string(j.ID), "job", j.JobID)
			if !sleep(ctx, j.cfg.REST.LateWindow) {
				return nil, ctx.Err()
			}
			continue
		case h.agrees(len(j.records), *seen) || tries >= resultTries:
			return h, nil
		default:
			tries++
			d.log.Warn("results do not add up and are fetched again", "attempt", string(j.ID), "job", j.JobID,
				"records", len(j.records), "succeeded", h.count[succeeded], "failed", h.count[failed], "unprocessed", h.count[unprocessed])
		}
		if !sleep(ctx, wait.step()) {
			return nil, ctx.Err()
		}
		if again, err := d.ask(ctx, j); err == nil && again.State.Terminal() {
			*seen = again
		}
	}
}

// agrees reports whether every row is accounted for, as the job itself counts.
// Its counts tell successes from rows not processed only when it is complete.
func (h *harvest) agrees(sent int, seen salesforce.Job) bool {
	if h.ranNoRow(seen) {
		return true
	}
	if h.count[succeeded]+h.count[failed]+h.count[unprocessed] != sent {
		return false
	}
	return seen.State != salesforce.StateJobComplete ||
		seen.Processed == int64(h.count[succeeded]+h.count[failed]) && seen.Failed == int64(h.count[failed])
}

// answers are the failed rows in the form of a call's answers.
func (h *harvest) answers() (list []salesforce.Result) {
	for _, r := range h.rows {
		if r.set == failed {
			list = append(list, r.answer())
		}
	}
	return list
}

func (r resultRow) answer() salesforce.Result {
	return salesforce.Result{ID: r.ID, Success: r.set == succeeded, Created: r.Created, Code: r.Code, Message: r.Message, Fields: r.ErrorFields}
}

// ranNoRow reports whether the job failed over its header or data before any row was tried.
func (h *harvest) ranNoRow(seen salesforce.Job) bool {
	return seen.State == salesforce.StateFailed && seen.Processed == 0 && seen.Failed == 0 &&
		h.count[succeeded] == 0 && h.count[failed] == 0 && seen.Fault().Data
}

// fetch reads the result sets, each whole. With an error come those that could be had.
func (d *Dispatcher) fetch(ctx context.Context, j *job, seen salesforce.Job) (*harvest, error) {
	h := &harvest{}
	sets := []struct {
		set  resultSet
		read func(ctx context.Context, id string, limit int, each func([]string, salesforce.ResultRow) error) error
	}{{succeeded, d.org.SuccessfulResults}, {failed, d.org.FailedResults}, {unprocessed, d.org.UnprocessedRecords}}
	var problem error
	for _, s := range sets {
		switch {
		case s.set != unprocessed:
		case seen.State == salesforce.StateJobComplete && len(h.rows) >= len(j.records):
			continue // a job that is complete has none; only where rows are missing it is worth a look
		case problem == nil && h.ranNoRow(seen):
			continue // it has them all, in the form that could not be read
		}
		rows, err := d.fetchSet(ctx, j, s.set, s.read)
		if err != nil {
			problem = errors.Join(problem, err)
			continue
		}
		if h.rows == nil {
			h.rows = rows
		} else {
			h.rows = append(h.rows, rows...)
		}
		h.count[s.set] = len(rows)
	}
	return h, problem
}

// fetchSet reads one result set.
func (d *Dispatcher) fetchSet(ctx context.Context, j *job, set resultSet, read func(ctx context.Context, id string, limit int, each func([]string, salesforce.ResultRow) error) error) ([]resultRow, error) {
	var rows []resultRow
	if set == succeeded {
		rows = make([]resultRow, 0, len(j.records))
	}
	err := d.call(ctx, reading, func(ctx context.Context) error {
		crashpoint("N5.before")
		defer crashpoint("N5.after")
		return read(ctx, j.JobID, 2*len(j.records)+slackRows, func(header []string, r salesforce.ResultRow) error {
			rows = append(rows, j.trim(resultRow{r, set, header}))
			return nil
		})
	})
	if errors.Is(err, salesforce.ErrTooManyResults) {
		err = nil // more than enough to sound the alarm
	}
	return rows, err
}

// trim drops the cells of a row that is matched by one of them alone.
func (j *job) trim(r resultRow) resultRow {
	if name := j.nameColumn(); name != "" {
		cell := ""
		if i := column(r.header, name); i >= 0 && i < len(r.Cells) {
			cell = strings.Clone(r.Cells[i])
		}
		r.header, r.Cells = nil, []string{cell}
		r.ID = salesforce.ID(strings.Clone(string(r.ID))) // it holds on to the whole row
	}
	return r
}

// nameColumn is the column that names a row's record; "" if only the whole row does.
func (j *job) nameColumn() string {
	switch j.route.Operation {
	case opUpsert:
		return j.route.ExternalID
	case opCreate:
		return j.keyField
	}
	return "Id"
}

func column(header []string, name string) int {
	for i, h := range header {
		if strings.EqualFold(h, name) {
			return i
		}
	}
	return -1
}

// conclude matches rows to events and turns them into outcomes (rules 3, 4 and
// 5). spare is the number of rows that belong to no event.
func (j *job) conclude(h *harvest, seen salesforce.Job) (outcomes []store.Outcome, spare int) {
	if h.ranNoRow(seen) {
		return j.ranNoRow(seen.Fault(), j.records, j.carries, j.ways.rest), 0
	}
	sent, answers := j.lines(h)
	matches, left := Reconcile(sent, answers)
	outcomes = make([]store.Outcome, len(j.records))
	for i, m := range matches {
		if m.Row < 0 {
			outcomes[i] = j.unaccounted(j.records[i])
			continue
		}
		outcomes[i] = j.told(j.records[i], h.rows[m.Row], m.Shared, seen)
	}
	return outcomes, len(left)
}

// told is the outcome that a result row tells.
func (j *job) told(r record, row resultRow, shared bool, seen salesforce.Job) store.Outcome {
	if row.set == unprocessed {
		return j.unprocessed(r, seen)
	}
	a := row.answer()
	if shared {
		a.ID = ""
	}
	return j.answer(r, a)
}

// unaccounted is the outcome of an event that no result row tells of.
func (j *job) unaccounted(r record) store.Outcome {
	return j.ambiguous(r, store.Problem{Code: codeTransport, Message: "the job's results do not tell what became of this record"})
}

// lines brings events and rows into the form in which they are compared.
func (j *job) lines(h *harvest) (sent []Line, answers []Answer) {
	sent, answers = make([]Line, len(j.records)), make([]Answer, len(h.rows))
	for i, r := range h.rows {
		answers[i].Verdict = verdicts[r.set] + r.Code
	}
	if name := j.nameColumn(); name != "" {
		f := j.field(name)
		for i, r := range j.records {
			sent[i].Exact = j.nameOf(r)
		}
		for i, r := range h.rows {
			answers[i].Exact = j.normalName(f, r.Cells[0])
		}
		return sent, answers
	}
	columns := j.comparable(h)
	for i := range j.records {
		cells := j.cells(i)
		sent[i] = j.wholeRow(columns, func(c int) string { return cells[c] })
		sent[i].Raw = strings.Join(cells, "\x1f")
	}
	for i, r := range h.rows {
		answers[i].Line = j.wholeRow(columns, func(c int) string { return r.Cells[column(r.header, j.table.Header[c])] })
	}
	return sent, answers
}

// nameOf is the normal form of what names a record in the results.
func (j *job) nameOf(r record) string {
	if j.route.Operation == opCreate {
		return j.normalName(j.field(j.keyField), r.Key)
	}
	return r.name
}

func (j *job) normalName(f *salesforce.Field, cell string) string {
	switch j.route.Operation {
	case opUpsert:
		return normalKey(f, cell)
	case opCreate:
		return normalCell(f, cell)
	}
	return normalID(strings.TrimSpace(cell))
}

// comparable lists the columns of the table that every row of the results has.
func (j *job) comparable(h *harvest) (columns []int) {
	for c, name := range j.table.Header {
		missing := false
		for _, r := range h.rows {
			if i := column(r.header, name); i < 0 || i >= len(r.Cells) {
				missing = true
				break
			}
		}
		if !missing {
			columns = append(columns, c)
		}
	}
	return columns
}

// wholeRow is the normal form of a row for which only its whole content speaks.
func (j *job) wholeRow(columns []int, cell func(c int) string) Line {
	var exact, loose strings.Builder
	for _, c := range columns {
		f := j.field(j.table.Header[c])
		text := normalCell(f, cell(c))
		exact.WriteString(text)
		exact.WriteByte(0x1f)
		if echoesText(f) {
			loose.WriteString(text)
			loose.WriteByte(0x1f)
		}
	}
	return Line{Exact: exact.String(), Loose: loose.String()}
}
