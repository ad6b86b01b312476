package salesforce

import "time"

// JobSpec is what a job does: Operation is insert, update, upsert, delete or hardDelete.
type JobSpec struct {
	Object          string
	Operation       string
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

// Job is an ingest job as the org describes it; creation and changes of state answer without the counts.
type Job struct {
	ID                string
	Object, Operation string
	State             JobState
	Processed, Failed int64 // Processed counts failures too
	Retries           int   // of the org's own, for locks and time-outs
	ErrorMessage      string
	CreatedAt         time.Time // zero if not told
}

// ResultRow is one row of a job's results. Cells are in the order of the header handed beside it; the caller may keep them.
type ResultRow struct {
	ID      ID
	Created bool
	// Code, Message and ErrorFields are the parts of sf__Error.
	Code        string
	Message     string
	ErrorFields []string
	Cells       []string
}
