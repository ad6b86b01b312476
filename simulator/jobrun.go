package simulator

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sizes of the processing model: rows of a transaction, and of an internal
// batch, of which the allocation counts.
const (
	chunkRows = 200
	batchRows = 10_000
)

func itoa(n int) string { return strconv.Itoa(n) }

// jobRun is the work on a job. done and outcomes are guarded by the table.
type jobRun struct {
	table    *table
	plan     *jobPlan
	rng      *rand.Rand
	comma    byte
	lineEnd  string
	rows     int // to be processed: fewer than the table has, if the job is to fail
	outcomes []rowOutcome
}

type rowOutcome struct {
	outcome
	lost bool // in none of the files
}

// runJob works a closed job to its end.
func (s *Simulator) runJob(j *job, c call) {
	s.jobs.mu.Lock()
	data, delay, start := j.data, j.delay, j.modified
	s.jobs.mu.Unlock()
	chunks := strings.Count(data, "\n")/chunkRows + 1
	step := func(i int) bool { // the chunks are spread over the delay
		return s.wait(start.Add(delay * time.Duration(i) / time.Duration(chunks+1)))
	}
	if !step(1) || !s.jobs.start(j) {
		return
	}
	run, message := s.openRun(j, data)
	if message != "" {
		s.jobs.fail(j, message, run)
		return
	}
	s.jobs.attach(j, run)
	for i := 1; len(run.outcomes) < run.rows; i++ {
		if !step(i) || !s.jobs.going(j) {
			break
		}
		if message := s.runChunk(j, run, c); message != "" {
			s.jobs.fail(j, message, run)
			return
		}
	}
	if step(chunks + 1) {
		s.jobs.finish(j, run)
	}
}

// openRun reads the upload of a job. Beside a message, a run means that its
// rows are in no file.
func (s *Simulator) openRun(j *job, data string) (*jobRun, string) {
	run := &jobRun{
		comma: delimiters[j.spec.ColumnDelimiter], lineEnd: lineEnds[j.spec.LineEnding],
		rng: rand.New(rand.NewPCG(s.cfg.Seed, idNumber(j.id))), table: &table{},
	}
	if data == "" {
		return run, ""
	}
	s.jobs.slots <- struct{}{}
	defer func() { <-s.jobs.slots }()
	var message string
	if run.table, message = parseCSV(data, run.comma, run.lineEnd); message != "" {
		return nil, message
	}
	s.org.schema.RLock()
	run.plan, message = s.org.plan(j, run.table.names)
	s.org.schema.RUnlock()
	if message != "" {
		return nil, message
	}
	if !s.jobs.spend(len(run.table.rows)) {
		run.table.rows = nil
		return run, "ExceededQuota : ApiBatchItems Limit exceeded."
	}
	run.table.rows = sideBySide(run.table.rows)
	run.rows = len(run.table.rows)
	if j.doomed != nil {
		run.rows = int(j.doomed.Part * float64(run.rows))
	}
	run.outcomes = make([]rowOutcome, 0, run.rows)
	return run, ""
}

// sideBySide puts the rows into the order in which they are worked: the internal
// batches take turns, a chunk each.
func sideBySide(rows []csvRow) []csvRow {
	if len(rows) <= batchRows {
		return rows
	}
	mixed := make([]csvRow, 0, len(rows))
	full := len(rows) - len(rows)%chunkRows // a chunk that is not full would cut those behind it elsewhere
	for turn := 0; turn < batchRows; turn += chunkRows {
		for at := turn; at < full; at += batchRows {
			mixed = append(mixed, rows[at:at+chunkRows]...)
		}
	}
	return append(mixed, rows[full:]...)
}

// idNumber makes a number of an id, for seeding.
func idNumber(id string) uint64 {
	n := uint64(0)
	for _, c := range []byte(id[3:15]) {
		n = n*62 + uint64(strings.IndexByte(base62, c))
	}
	return n
}

// runChunk processes the next rows in one transaction. A message means that
// the schema has changed so that the job can't go on.
func (s *Simulator) runChunk(j *job, run *jobRun, c call) string {
	s.jobs.slots <- struct{}{}
	defer func() { <-s.jobs.slots }()
	s.org.turn.RLock()
	defer s.org.turn.RUnlock()
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	if s.org.object(j.object) != run.plan.object {
		plan, message := s.org.plan(j, run.table.names)
		if message != "" {
			return message
		}
		run.plan = plan
	}
	first := len(run.outcomes)
	last := min(first+chunkRows, run.rows)
	writes := run.read(first, last)
	out := s.apply(j, run.plan, writes, c)
	s.jobs.record(j, run, out)
	return ""
}

// read turns rows into writes and refuses those that share a name.
func (run *jobRun) read(first, last int) []write {
	writes := make([]write, last-first)
	arena := make([]assignment, 0, (len(run.plan.columns)+1)*len(writes))
	for i := range writes {
		arena = run.plan.read(&writes[i], run.table.row(first+i), arena)
	}
	name, refusal := writeID, errDoubleID
	if key := run.plan.key; key != nil {
		name, refusal = func(w *write) string { return key.key(w.keyValue) }, errDoubleKey(key)
	}
	if run.plan.operation != "insert" {
		refuseDoubles(writes, name, refusal)
	}
	return writes
}

// apply runs the writes of a chunk in the org.
func (s *Simulator) apply(j *job, p *jobPlan, writes []write, c call) []rowOutcome {
	out := make([]rowOutcome, len(writes))
	t := s.org.begin("bulk", j.id, false)
	defer t.end()
	t.assigns = j.spec.AssignmentRuleID != ""
	if s.jobs.wiped(j) {
		return nil
	}
	for i := range writes {
		w := &writes[i]
		if f := s.faults.pick(c, rowFaults); f != nil {
			out[i].lost = f.Do == "lose_row"
			w.err = firstError(w.err, f.refusal())
		}
		if w.err != nil {
			out[i].outcome = failed(w.err)
			continue
		}
		switch p.operation {
		case "insert":
			out[i].outcome = t.create(p.object, nil, w)
		case "update":
			out[i].outcome = t.update(p.object, w)
		case "upsert":
			out[i].outcome = t.upsert(p.object, p.key, w, false)
		default:
			out[i].outcome = t.delete(p.object, w.id, p.operation == "hardDelete")
		}
	}
	return out
}

// start moves a job on to InProgress, if it was neither aborted nor reset.
func (t *jobTable) start(j *job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j.state != stateUploaded || j.deleted {
		return false
	}
	j.move(stateRunning, t.clock.now())
	return true
}

// attach makes the work on a job visible.
func (t *jobTable) attach(j *job, run *jobRun) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j.state == stateRunning {
		j.run = run
	}
}

// going reports whether the job's next chunk is to be worked.
func (t *jobTable) going(j *job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return j.state == stateRunning && !j.deleted
}

// wiped reports whether a reset took the job away. No chunk may land in the
// org that was emptied.
func (t *jobTable) wiped(j *job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return j.deleted
}

// record notes what became of a chunk.
func (t *jobTable) record(j *job, run *jobRun, out []rowOutcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	run.outcomes = append(run.outcomes, out...)
	j.processed += len(out)
	for _, o := range out {
		if o.err != nil {
			j.failures++
		}
	}
	j.modified = t.clock.now()
}

// finish writes the results of a job whose work has ended.
func (t *jobTable) finish(j *job, run *jobRun) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case j.state == stateAborted && j.run == nil: // before the work began: all was said
		return
	case j.state != stateRunning:
	case j.doomed != nil:
		j.message = j.doomed.jobMessage()
		j.move(stateFailed, t.clock.now())
	default:
		j.move(stateComplete, t.clock.now())
	}
	j.results, j.run = run.files(), nil
}

// fail ends a job as a whole. Without a run no row was looked at.
func (t *jobTable) fail(j *job, message string, run *jobRun) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j.state != stateRunning {
		return
	}
	if run != nil {
		j.results = run.files()
	} else {
		j.results = rejected(j.data)
	}
	j.message, j.run = message, nil
	j.move(stateFailed, t.clock.now())
}

// jobMessage is the errorMessage that a fault gives a job.
func (f *Fault) jobMessage() string {
	switch {
	case f.Code != "":
		return f.Code + " : " + f.Message
	case f.Message != "":
		return f.Message
	default:
		return "InternalServerError : The job failed on the server."
	}
}

// refusal is the error that a fault gives a row; nil if it gives none.
func (f *Fault) refusal() *rowError {
	switch f.Do {
	case "lock":
		return refuse("UNABLE_TO_LOCK_ROW", orText(f.Message, "unable to obtain exclusive access to this record"))
	case "row_error":
		return refuse(orText(f.Code, "FIELD_CUSTOM_VALIDATION_EXCEPTION"), orText(f.Message, "refused by a fault"))
	default:
		return nil
	}
}

// rejected is the files of a job of which no row was looked at.
func rejected(data string) jobResults {
	header, _, _ := strings.Cut(data, "\n")
	header = strings.TrimSuffix(header, "\r")
	return jobResults{
		successful:  []byte(`"sf__Id","sf__Created",` + header + "\n"),
		failed:      []byte(`"sf__Id","sf__Error",` + header + "\n"),
		unprocessed: []byte(data),
	}
}

// files renders the results so far, the rows of each in an order of chance.
func (run *jobRun) files() jobResults {
	var good, bad, rest []int
	for i := range run.table.rows {
		switch {
		case i >= len(run.outcomes):
			rest = append(rest, i)
		case run.outcomes[i].lost:
		case run.outcomes[i].err != nil:
			bad = append(bad, i)
		default:
			good = append(good, i)
		}
	}
	nullText := []string{null, ""}[run.rng.IntN(2)] // how #N/A comes back is not known
	for _, rows := range [][]int{good, bad, rest} {
		run.rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	return jobResults{
		successful:  run.render("sf__Created", good, nullText),
		failed:      run.render("sf__Error", bad, nullText),
		unprocessed: run.renderRaw(rest),
	}
}

// render writes one of the files that tell outcomes.
func (run *jobRun) render(second string, rows []int, nullText string) []byte {
	b := make([]byte, 0, 64+len(rows)*64)
	b = append(b, `"sf__Id"`...)
	b = append(b, run.comma, '"')
	b = append(b, second...)
	b = append(b, '"')
	if run.table.header != "" {
		b = append(b, run.comma)
		b = append(b, run.table.header...)
	}
	b = append(b, run.lineEnd...)
	for _, i := range rows {
		b = run.renderRow(b, i, nullText)
	}
	return slices.Clip(b)
}

func (run *jobRun) renderRow(b []byte, i int, nullText string) []byte {
	o := &run.outcomes[i]
	b = appendCell(b, o.id)
	b = append(b, run.comma)
	switch {
	case o.err != nil:
		b = appendCell(b, o.err.bulk())
	case o.created:
		b = append(b, `"true"`...)
	default:
		b = append(b, `"false"`...)
	}
	cells := run.table.row(i)
	for n := range run.plan.columns {
		b = append(b, run.comma)
		if len(cells) != len(run.plan.columns) { // a row that was not understood comes back blank
			b = append(b, `""`...)
			continue
		}
		b = appendCell(b, run.echo(n, cells[n], o.err != nil, nullText))
	}
	return append(b, run.lineEnd...)
}

// echo is a cell as it comes back. A failed row has no value in a column
// whose heading is not in describe's letter case.
func (run *jobRun) echo(column int, cell string, failed bool, nullText string) string {
	c := &run.plan.columns[column]
	switch {
	case failed && !c.exact:
		return ""
	case cell == null:
		return nullText
	case c.parent != nil:
		return c.parent.echo(cell)
	default:
		return c.field.echo(cell)
	}
}

// renderRaw writes rows as they were uploaded.
func (run *jobRun) renderRaw(rows []int) []byte {
	if run.table.header == "" {
		return nil
	}
	b := append([]byte(run.table.header), run.lineEnd...)
	for _, i := range rows {
		raw := run.table.raw(i)
		b = append(b, raw...)
		if !strings.HasSuffix(raw, run.lineEnd) {
			b = append(b, run.lineEnd...)
		}
	}
	return b
}
