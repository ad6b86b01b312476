package salesforce

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Operations of a JobSpec.
const (
	OpInsert     = "insert"
	OpUpdate     = "update"
	OpUpsert     = "upsert"
	OpDelete     = "delete"
	OpHardDelete = "hardDelete"
)

// JobSpec is what a job does.
type JobSpec struct {
	Object          string
	Operation       string // OpInsert, OpUpdate, OpUpsert, OpDelete or OpHardDelete
	ExternalIDField string // upsert
}

// JobState is a state of an ingest job. The org may answer one that is not listed here.
type JobState string

// States of an ingest job.
const (
	StateOpen           JobState = "Open"
	StateUploadComplete JobState = "UploadComplete"
	StateInProgress     JobState = "InProgress"
	StateJobComplete    JobState = "JobComplete"
	StateFailed         JobState = "Failed"
	StateAborted        JobState = "Aborted"
)

// Terminal reports whether the job has ended. Of one that was aborted batches may still run.
func (s JobState) Terminal() bool {
	return s == StateJobComplete || s == StateFailed || s == StateAborted
}

// Job is an ingest job as the org describes it. The counts come with Client.Job alone; they tell successes from rows
// not processed only in the state JobComplete.
type Job struct {
	ID           string
	Object       string
	Operation    string
	State        JobState
	Processed    int64 // successes and failures
	Failed       int64
	Retries      int       // of the org's own, for locks and time-outs
	ErrorMessage string    // Failed: why; see Fault
	CreatedAt    time.Time // zero if not told
}

// timeLayout is how Salesforce writes a time: an offset without a colon.
const timeLayout = "2006-01-02T15:04:05.000-0700"

// CreateJob makes an empty job in the state Open. Nothing happens to any record before CloseJob; a job whose creation was not
// answered stays empty and dies by itself.
func (c *Client) CreateJob(ctx context.Context, spec JobSpec) (Job, error) {
	k := &call{name: "job create " + spec.Object, kind: CallBulk, method: http.MethodPost, path: "/jobs/ingest", write: true}
	if !isName(spec.Object) || spec.Operation == OpUpsert && !isName(spec.ExternalIDField) {
		return Job{}, invalid(k.name, "not the name of an object or field")
	}
	request := struct {
		Object          string `json:"object"`
		Operation       string `json:"operation"`
		ExternalIDField string `json:"externalIdFieldName,omitempty"`
		ContentType     string `json:"contentType"`
		LineEnding      string `json:"lineEnding"`
		ColumnDelimiter string `json:"columnDelimiter"`
	}{spec.Object, spec.Operation, "", "CSV", "LF", "COMMA"}
	if spec.Operation == OpUpsert {
		request.ExternalIDField = spec.ExternalIDField
	}
	return c.jobCall(ctx, k, request)
}

// UploadJob stores a job's data, once: a second upload, or one whose answer was lost, spoils the job, which is then aborted
// and replaced.
func (c *Client) UploadJob(ctx context.Context, id string, csv []byte) error {
	k := &call{name: "job upload", kind: CallBulk, method: http.MethodPut, write: true, body: csv, content: "text/csv; charset=UTF-8", timeout: minBulkTimeout}
	if err := k.onJob(id, "/batches"); err != nil {
		return err
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	if len(a.body) > 0 && !a.isJSON() {
		return k.malformed(a, "a body where none belongs")
	}
	return nil
}

// CloseJob asks the org to process the job: the commit point. After an error, whatever its class, the state that Job tells
// decides, not the error.
func (c *Client) CloseJob(ctx context.Context, id string) (Job, error) {
	return c.setState(ctx, "job close", id, StateUploadComplete)
}

// AbortJob ends the job. From Open it is certain that nothing ran; later, what was written stays.
func (c *Client) AbortJob(ctx context.Context, id string) (Job, error) {
	return c.setState(ctx, "job abort", id, StateAborted)
}

func (c *Client) setState(ctx context.Context, name, id string, state JobState) (Job, error) {
	k := &call{name: name, kind: CallBulk, method: http.MethodPatch, write: true}
	if err := k.onJob(id, ""); err != nil {
		return Job{}, err
	}
	return c.jobCall(ctx, k, map[string]JobState{"state": state})
}

// Job asks for the job's state. A job that is gone is IsNotFound.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	k := &call{name: "job get", kind: CallBulk, method: http.MethodGet}
	if err := k.onJob(id, ""); err != nil {
		return Job{}, err
	}
	return c.jobCall(ctx, k, nil)
}

// DeleteJob removes a job that has ended, with its data and results. It undoes nothing.
func (c *Client) DeleteJob(ctx context.Context, id string) error {
	k := &call{name: "job delete", kind: CallBulk, method: http.MethodDelete, write: true}
	if err := k.onJob(id, ""); err != nil {
		return err
	}
	_, err := c.do(ctx, k)
	return err
}

// onJob sets the path of a job's resource, and its id in the call's name.
func (k *call) onJob(id, resource string) error {
	if _, ok := answeredID(id); !ok {
		return invalid(k.name, "not the id of a job")
	}
	k.name += " " + id
	k.job = id
	k.path = "/jobs/ingest/" + id + resource
	return nil
}

// jobInfo is a job on the wire. apiVersion is a number there and left out, like all that is not needed.
type jobInfo struct {
	ID           string   `json:"id"`
	Object       string   `json:"object"`
	Operation    string   `json:"operation"`
	State        JobState `json:"state"`
	Processed    int64    `json:"numberRecordsProcessed"`
	Failed       int64    `json:"numberRecordsFailed"`
	Retries      int      `json:"retries"`
	ErrorMessage string   `json:"errorMessage"`
	CreatedDate  string   `json:"createdDate"`
}

func (c *Client) jobCall(ctx context.Context, k *call, request any) (Job, error) {
	if request != nil {
		body, err := json.Marshal(request)
		if err != nil {
			return Job{}, invalid(k.name, err.Error())
		}
		k.body = body
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return Job{}, err
	}
	var info jobInfo
	if !a.isJSON() || json.Unmarshal(a.body, &info) != nil || info.State == "" {
		return Job{}, k.malformed(a, "not a job")
	}
	switch _, ok := answeredID(info.ID); {
	case !ok:
		return Job{}, k.malformed(a, "a job without an id")
	case k.job != "" && info.ID[:15] != k.job[:15]: // what follows is but a checksum
		return Job{}, k.malformed(a, "another job than the one that was asked for")
	case info.Processed < 0 || info.Failed < 0:
		return Job{}, k.malformed(a, "a job with less than no records")
	}
	created, err := time.Parse(timeLayout, info.CreatedDate)
	if err != nil {
		created = time.Time{}
	}
	return Job{
		ID: info.ID, Object: info.Object, Operation: info.Operation, State: info.State,
		Processed: info.Processed, Failed: info.Failed, Retries: info.Retries,
		ErrorMessage: clip(info.ErrorMessage, maxMessage), CreatedAt: created.UTC(),
	}, nil
}
