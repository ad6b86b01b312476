package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// States of a job.
const (
	stateOpen     = "Open"
	stateUploaded = "UploadComplete"
	stateRunning  = "InProgress"
	stateComplete = "JobComplete"
	stateFailed   = "Failed"
	stateAborted  = "Aborted"
)

// jobRequest is the body of a job's creation.
type jobRequest struct {
	Object           string  `json:"object"`
	Operation        string  `json:"operation"`
	ExternalID       *string `json:"externalIdFieldName"`
	ContentType      string  `json:"contentType"`
	LineEnding       string  `json:"lineEnding"`
	ColumnDelimiter  string  `json:"columnDelimiter"`
	AssignmentRuleID string  `json:"assignmentRuleId"`
}

// job is one ingest job. Its fields are guarded by the table's mutex; id,
// spec, version, object and key never change.
type job struct {
	id        string
	spec      jobRequest
	version   int
	object    string // in the schema's letter case
	key       string // upsert's field
	created   time.Time
	modified  time.Time
	state     string
	data      string // the upload
	uploads   int
	deleted   bool // by a reset
	processed int
	failures  int
	message   string
	ended     time.Time
	run       *jobRun // the work, while it goes on
	results   jobResults
	delay     time.Duration
	doomed    *Fault // fail_job
	owner     string // the user who made it, where it was another one
	classic   bool   // a Bulk 1.0 job
}

// Job is a job that somebody else has made, as another app does.
type Job struct {
	User      string `json:"user"` // Id; empty: a made-up one
	Object    string `json:"object"`
	Operation string `json:"operation"`
	Classic   bool   `json:"classic,omitempty"` // by Bulk 1.0
}

// AddJob puts a job of another user among those of the org, in the state Open,
// and returns its Id.
func (s *Simulator) AddJob(def Job) (string, error) {
	owner, ok := canonicalID(cmp.Or(def.User, newID("005", firstNumber+62)))
	s.org.schema.RLock()
	obj := s.org.object(def.Object)
	s.org.schema.RUnlock()
	switch {
	case !ok || owner[:3] != "005":
		return "", fmt.Errorf("%q is not the id of a user", def.User)
	case obj == nil:
		return "", fmt.Errorf("%q: no such object", def.Object)
	}
	spec := jobRequest{Object: obj.Name, Operation: cmp.Or(def.Operation, "insert"), LineEnding: "LF", ColumnDelimiter: "COMMA"}
	j := &job{spec: spec, version: lastVersion, object: obj.Name, state: stateOpen, owner: owner, classic: def.Classic}
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	s.jobs.add(j)
	return j.id, nil
}

// kind is the job's type as answers tell it.
func (j *job) kind() string {
	if j.classic {
		return "Classic"
	}
	return "V2Ingest"
}

// jobResults are the three files.
type jobResults struct {
	successful, failed, unprocessed []byte
}

func (j *job) terminal() bool {
	return j.state == stateComplete || j.state == stateFailed || j.state == stateAborted
}

func (j *job) move(state string, now time.Time) {
	j.state, j.modified = state, now
	if j.terminal() {
		j.ended = now
		j.data = ""
	}
}

// jobTable is the jobs of the org.
type jobTable struct {
	clock *clock
	limit int64

	mu      sync.Mutex
	jobs    map[string]*job // by id of 18 characters
	next    uint64
	batches window
	slots   chan struct{} // bounds the jobs that are worked at one time
	seed    maphash.Seed
}

// maxRunning is how many jobs are worked at one time.
const maxRunning = 4

// resultsKept is how long a job is known after its end.
const resultsKept = 7 * day

func newJobTable(c *clock, limit int64) *jobTable {
	return &jobTable{
		clock: c, limit: limit, jobs: make(map[string]*job), batches: window{clock: c},
		slots: make(chan struct{}, maxRunning), seed: maphash.MakeSeed(),
	}
}

func (t *jobTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, j := range t.jobs {
		j.deleted = true // a running one ends before its next chunk
	}
	clear(t.jobs)
	t.batches = window{clock: t.clock}
}

// add gives a job its id. The caller holds the table.
func (t *jobTable) add(j *job) {
	j.id = newID("750", firstNumber+t.next)
	t.next++
	j.created = t.clock.now()
	j.modified = j.created
	t.jobs[j.id] = j
}

// get finds a job that has not expired. The caller holds the table.
func (t *jobTable) get(text string) *job {
	id, _ := canonicalID(text)
	j := t.jobs[id]
	if j == nil {
		return nil
	}
	now := t.clock.now()
	if j.state == stateOpen && now.Sub(j.created) > day || j.terminal() && now.Sub(j.ended) > resultsKept {
		delete(t.jobs, id)
		return nil
	}
	return j
}

// spend takes the internal batches of a job from the allocation.
func (t *jobTable) spend(rows int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := int64(rows+batchRows-1) / batchRows
	if t.batches.sum()+n > t.limit {
		return false
	}
	t.batches.add(n)
	return true
}

func (t *jobTable) batchesLeft() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limit - t.batches.sum()
}

// jobJSON is a job in an answer. Which members are there depends on the step.
type jobJSON struct {
	ID               string          `json:"id"`
	Operation        string          `json:"operation"`
	Object           string          `json:"object"`
	CreatedByID      string          `json:"createdById"`
	CreatedDate      string          `json:"createdDate"`
	SystemModstamp   string          `json:"systemModstamp"`
	State            string          `json:"state"`
	ExternalID       string          `json:"externalIdFieldName,omitempty"`
	AssignmentRuleID string          `json:"assignmentRuleId,omitempty"`
	ConcurrencyMode  string          `json:"concurrencyMode"`
	ContentType      string          `json:"contentType"`
	APIVersion       json.RawMessage `json:"apiVersion"`
	JobType          string          `json:"jobType,omitempty"`
	ContentURL       string          `json:"contentUrl,omitempty"`
	LineEnding       string          `json:"lineEnding,omitempty"`
	ColumnDelimiter  string          `json:"columnDelimiter,omitempty"`
	Processed        *int            `json:"numberRecordsProcessed,omitempty"`
	Failed           *int            `json:"numberRecordsFailed,omitempty"`
	Retries          *int            `json:"retries,omitempty"`
	TotalTime        *int64          `json:"totalProcessingTime,omitempty"`
	ActiveTime       *int64          `json:"apiActiveProcessingTime,omitempty"`
	ApexTime         *int64          `json:"apexProcessingTime,omitempty"`
	ErrorMessage     string          `json:"errorMessage,omitempty"`
}

// short is the form that answers a change of state.
func (j *job) short(user string) jobJSON {
	return jobJSON{
		ID: j.id, Operation: j.spec.Operation, Object: j.object, CreatedByID: cmp.Or(j.owner, user),
		CreatedDate: formatTime(j.created), SystemModstamp: formatTime(j.modified), State: j.state,
		ExternalID: j.key, AssignmentRuleID: j.spec.AssignmentRuleID, ConcurrencyMode: "Parallel", ContentType: "CSV",
		APIVersion: json.RawMessage(fmt.Sprintf("%d.0", j.version/10)),
	}
}

// open is the form that answers a creation.
func (j *job) open(user string) jobJSON {
	out := j.short(user)
	out.LineEnding, out.ColumnDelimiter = j.spec.LineEnding, j.spec.ColumnDelimiter
	if j.state == stateOpen {
		out.ContentURL = fmt.Sprintf("services/data/v%d.0/jobs/ingest/%s/batches", j.version/10, j.id)
	}
	return out
}

// listed is the form of the list of all jobs.
func (j *job) listed(user string) jobJSON {
	out := j.open(user)
	out.JobType, out.ExternalID = j.kind(), ""
	return out
}

// long is the form that answers a poll.
func (j *job) long(user string) jobJSON {
	out := j.open(user)
	out.JobType = j.kind()
	var retries int
	var total, active, apex int64
	if j.state != stateOpen {
		processed, failures := j.processed, j.failures
		out.Processed, out.Failed = &processed, &failures
		active = int64(j.processed) / 4
	}
	if j.terminal() {
		total = max(j.ended.Sub(j.created).Milliseconds(), active)
	}
	out.Retries, out.TotalTime, out.ActiveTime, out.ApexTime = &retries, &total, &active, &apex
	if j.state == stateFailed {
		out.ErrorMessage = j.message
	}
	return out
}

// listPage is how many jobs one page of the list has.
const listPage = 1_000

// list returns the jobs of all users and of a type, or of all, in no particular order but the same for
// every page.
func (t *jobTable) list(user, kind string) []jobJSON {
	t.mu.Lock()
	defer t.mu.Unlock()
	jobs := slices.SortedFunc(maps.Values(t.jobs), func(a, b *job) int {
		return cmp.Or(cmp.Compare(maphash.String(t.seed, a.id), maphash.String(t.seed, b.id)), strings.Compare(a.id, b.id))
	})
	var all []jobJSON
	for _, j := range jobs {
		if t.get(j.id) != nil && (kind == "" || kind == j.kind()) {
			all = append(all, j.listed(user))
		}
	}
	return all
}
