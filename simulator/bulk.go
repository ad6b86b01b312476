package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// jobResource is the part below jobs.
func jobResource(r *request) resource {
	path := r.segments[1:]
	switch {
	case len(path) == 1:
		return resource{
			"POST": {kind: "job.create", object: createdObject, content: jsonContent, run: createJob},
			"GET":  {kind: "job.list", run: listJobs},
		}
	case len(path) == 2:
		kind := "job.close"
		if bytes.Contains(r.body, []byte(`"`+stateAborted+`"`)) {
			kind = "job.abort"
		}
		return resource{
			"GET":    {kind: "job.get", object: jobObject, run: getJob},
			"PATCH":  {kind: kind, object: jobObject, content: jsonContent, run: changeJob},
			"DELETE": {kind: "job.delete", object: jobObject, run: deleteJob},
		}
	case len(path) > 3:
		return nil
	case path[2] == "batches":
		return resource{"PUT": {kind: "job.upload", object: jobObject, content: "text/csv", run: uploadJob}}
	case path[2] == "successfulResults":
		return resource{"GET": {kind: "job.ok", object: jobObject, run: successfulResults}}
	case path[2] == "failedResults":
		return resource{"GET": {kind: "job.failed", object: jobObject, run: failedResults}}
	case path[2] == "unprocessedrecords":
		return resource{"GET": {kind: "job.unprocessed", object: jobObject, run: unprocessedRecords}}
	default:
		return nil
	}
}

// createdObject and jobObject find a job's object, for faults.
func createdObject(_ *Simulator, r *request) string {
	var spec jobRequest
	_ = json.Unmarshal(r.body, &spec) // what does not parse has no object
	return spec.Object
}

func jobObject(s *Simulator, r *request) string {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	if j := s.jobs.get(r.segments[2]); j != nil {
		return j.object
	}
	return ""
}

func invalidJob(format string, args ...any) *answer {
	return errorAnswer(http.StatusBadRequest, "INVALIDJOB", "InvalidJob : "+fmt.Sprintf(format, args...))
}

func invalidState(format string, args ...any) *answer {
	return errorAnswer(http.StatusBadRequest, "INVALIDJOBSTATE", fmt.Sprintf(format, args...))
}

var (
	operations = []string{"insert", "update", "upsert", "delete", "hardDelete"}
	lineEnds   = map[string]string{"LF": "\n", "CRLF": "\r\n"}
	delimiters = map[string]byte{"COMMA": ',', "TAB": '\t', "PIPE": '|', "SEMICOLON": ';', "CARET": '^', "BACKQUOTE": '`'}
)

// createJob answers POST /jobs/ingest.
func createJob(s *Simulator, r *request) *answer {
	body, content, err := jobParts(r)
	if err != nil {
		return badJSON(err)
	}
	j := &job{version: r.version, state: stateOpen}
	if err := strictJSON(body, &j.spec); err != nil {
		return badJSON(err)
	}
	if refusal := s.checkJob(j); refusal != nil {
		return refusal
	}
	if s.jobs.batchesLeft() <= 0 {
		return errorAnswer(http.StatusBadRequest, "EXCEEDEDQUOTA", "ExceededQuota : ApiBatchItems Limit exceeded.")
	}
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	s.jobs.add(j)
	if content != nil {
		j.data, j.uploads = string(content), 1
		s.closeJob(j)
	}
	return valueAnswer(http.StatusOK, j.open(s.org.user))
}

// maxMultipart is how much data may come with a job's creation, in characters.
const maxMultipart = 100_000

// jobParts splits a multipart creation; content is nil for a plain one.
func jobParts(r *request) (body, content []byte, err error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		return r.body, nil, err
	}
	parts := multipart.NewReader(bytes.NewReader(r.body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, nil, err
		}
		switch part.FormName() {
		case "job":
			body = text
		case "content":
			content = text
		}
	}
	if content == nil || len(content) > maxMultipart {
		return nil, nil, errors.New("the part content is missing or too large")
	}
	return body, content, nil
}

// checkJob judges a creation and fills in what it left out.
func (s *Simulator) checkJob(j *job) *answer {
	spec := &j.spec
	spec.ContentType = orText(spec.ContentType, "CSV")
	spec.LineEnding = orText(spec.LineEnding, "LF")
	spec.ColumnDelimiter = orText(spec.ColumnDelimiter, "COMMA")
	invalid := func(value, property string) *answer {
		return errorAnswer(http.StatusBadRequest, "API_ERROR",
			"Invalid value: '"+value+"' supplied for property: '"+property+"'")
	}
	switch {
	case !slices.Contains(operations, spec.Operation):
		return invalid(spec.Operation, "operation")
	case spec.ContentType != "CSV":
		return invalid(spec.ContentType, "contentType")
	case lineEnds[spec.LineEnding] == "":
		return invalid(spec.LineEnding, "lineEnding")
	case delimiters[spec.ColumnDelimiter] == 0:
		return invalid(spec.ColumnDelimiter, "columnDelimiter")
	}
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	obj := s.org.object(spec.Object)
	switch {
	case obj == nil:
		return invalidJob("Unable to find object: %s", spec.Object)
	case obj.event && spec.Operation != "insert":
		return errorAnswer(http.StatusBadRequest, "INVALIDENTITY", "Entity is not supported by the Bulk API")
	case spec.Operation == "upsert":
		j.object = obj.Name
		return j.checkKey(obj)
	default:
		j.object = obj.Name
		return nil
	}
}

func (j *job) checkKey(obj *object) *answer {
	if j.spec.ExternalID == nil {
		return invalidJob("External ID was blank for %s. An External ID must be specified for upsert.", obj.Name)
	}
	name := *j.spec.ExternalID
	if f := obj.field(name); f != nil && f.keyed() {
		j.key = f.Name
		return nil
	}
	return invalidJob("Field name provided, %s does not match an External ID for %s", name, obj.Name)
}

// onJob runs a step on the job of the path, holding the table.
func onJob(s *Simulator, r *request, step func(*job) *answer) *answer {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	j := s.jobs.get(r.segments[2])
	if j == nil {
		return notFound()
	}
	return step(j)
}

// uploadJob answers PUT …/batches. Nothing looks into the data yet.
func uploadJob(s *Simulator, r *request) *answer {
	if r.Header.Get("Content-Encoding") != "" {
		return errorAnswer(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Content-Encoding not supported")
	}
	return onJob(s, r, func(j *job) *answer {
		if j.state != stateOpen {
			return invalidState("Failed to create batch, since the Job is not Open. Current job state is '%s'", j.state)
		}
		j.uploads++
		j.data = unsafe.String(unsafe.SliceData(r.body), len(r.body)) // nobody writes to the body any more
		return &answer{status: http.StatusCreated, header: make(http.Header)}
	})
}

// pastNames is how the messages call the states that are past changing.
var pastNames = map[string]string{
	stateUploaded: "closed", stateRunning: "closed",
	stateComplete: "Completed", stateFailed: "Failed", stateAborted: "aborted",
}

// changeJob answers PATCH: it closes or aborts.
func changeJob(s *Simulator, r *request) *answer {
	var change struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(r.body, &change); err != nil {
		return badJSON(err)
	}
	return onJob(s, r, func(j *job) *answer {
		var refusal *answer
		if j.owner != "" {
			return errorAnswer(http.StatusBadRequest, "INVALIDUSER", "InvalidUser : The job belongs to another user")
		}
		switch change.State {
		case stateUploaded:
			refusal = s.tryClose(j)
		case stateAborted:
			refusal = s.abort(j)
		default:
			refusal = errorAnswer(http.StatusBadRequest, "API_ERROR",
				"Invalid value: '"+change.State+"' supplied for property: 'state'")
		}
		if refusal != nil {
			return refusal
		}
		ans := valueAnswer(http.StatusOK, j.short(s.org.user))
		ans.header.Del("Vary")
		return ans
	})
}

func (s *Simulator) tryClose(j *job) *answer {
	if j.state != stateOpen {
		return invalidState("Closing already %s Job not allowed", pastNames[j.state])
	}
	if j.uploads > 1 {
		return errorAnswer(http.StatusBadRequest, "INVALIDJOB", "Found multipe contents for job: <"+j.id[:15]+
			">, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job.")
	}
	s.closeJob(j)
	return nil
}

// closeJob starts the work on a job.
func (s *Simulator) closeJob(j *job) {
	j.move(stateUploaded, s.clock.now())
	c := call{kind: "job.close", method: http.MethodPatch, object: j.object, path: versionPath(j.version) + "/jobs/ingest/" + j.id}
	j.delay = s.cfg.JobDelay
	if slow := s.faults.pick(c, []string{"slow_job"}); slow != nil {
		j.delay += slow.Delay
	}
	j.doomed = s.faults.pick(c, []string{"fail_job"})
	if s.begin() {
		go func() {
			defer s.work.Done()
			s.runJob(j, c)
		}()
	}
}

func (s *Simulator) abort(j *job) *answer {
	switch {
	case j.state == stateAborted:
		return nil
	case j.terminal():
		return invalidState("Aborting already %s Job not allowed", pastNames[j.state])
	}
	if j.run == nil { // not begun
		j.results = rejected(j.data)
	}
	j.move(stateAborted, s.clock.now())
	return nil
}

// getJob answers GET …/{id}.
func getJob(s *Simulator, r *request) *answer {
	return onJob(s, r, func(j *job) *answer { return valueAnswer(http.StatusOK, j.long(s.org.user)) })
}

// deleteJob answers DELETE …/{id}. What was applied stays applied, and what
// was closed goes on.
func deleteJob(s *Simulator, r *request) *answer {
	return onJob(s, r, func(j *job) *answer {
		if j.state == stateOpen || j.state == stateRunning {
			return errorAnswer(http.StatusBadRequest, "API_ERROR",
				"Error encountered when deleting the job because the job is not terminated")
		}
		delete(s.jobs.jobs, j.id)
		return noContent()
	})
}

// listJobs answers GET /jobs/ingest.
func listJobs(s *Simulator, r *request) *answer {
	type page struct {
		Done    bool      `json:"done"`
		Records []jobJSON `json:"records"`
		Next    *string   `json:"nextRecordsUrl"`
	}
	out := page{Done: true, Records: []jobJSON{}}
	kind := r.query.Get("jobType")
	all := s.jobs.list(s.org.user, kind)
	from := 0
	if _, offset, ok := strings.Cut(r.query.Get("queryLocator"), "-"); ok {
		n, err := strconv.Atoi(offset)
		if err != nil || n < 0 || n > len(all) {
			return errorAnswer(http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
		}
		from = n
	}
	to := min(from+listPage, len(all))
	out.Records = append(out.Records, all[from:to]...)
	if to < len(all) {
		next := fmt.Sprintf("%s/jobs/ingest?queryLocator=%s-%d", versionPath(r.version), newID("01g", firstNumber), to)
		if kind != "" {
			next += "&jobType=" + url.QueryEscape(kind)
		}
		out.Done, out.Next = false, &next
	}
	return valueAnswer(http.StatusOK, out)
}

// results answers with one of a job's files.
func results(s *Simulator, r *request, file func(*jobResults) []byte) *answer {
	return onJob(s, r, func(j *job) *answer {
		if !j.terminal() {
			return invalidState("The job is not in a state that has results. Current job state is '%s'", j.state)
		}
		files := j.results
		if j.run != nil { // aborted, and its last chunk may still be worked
			files = j.run.files()
		}
		return &answer{
			status: http.StatusOK,
			header: http.Header{"Content-Type": {"text/csv"}, "Vary": {"Accept-Encoding"}},
			body:   file(&files),
		}
	})
}

func successfulResults(s *Simulator, r *request) *answer {
	return results(s, r, func(f *jobResults) []byte { return f.successful })
}

func failedResults(s *Simulator, r *request) *answer {
	return results(s, r, func(f *jobResults) []byte { return f.failed })
}

func unprocessedRecords(s *Simulator, r *request) *answer {
	return results(s, r, func(f *jobResults) []byte { return f.unprocessed })
}
