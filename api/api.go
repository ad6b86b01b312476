package api

import (
	"encoding/json"
	"time"
)

// Media types of the socket API.
const (
	JSON        = "application/json"
	NDJSON      = "application/x-ndjson"
	SSE         = "text/event-stream"
	ProblemJSON = "application/problem+json"
)

// Limits of the socket API. Sizes are in bytes.
const (
	MaxEvent    = 1 << 20         // one event
	MaxBatch    = 16 << 20        // an array, or anything atomic
	MaxEvents   = 10_000          // events in an array, or in anything atomic
	MaxPage     = 1000            // events on a page
	DefaultPage = 100             // events on a page that names no limit
	MaxWait     = 5 * time.Minute // of a question that waits for its answer
)

// Time is a moment as answers show it: RFC 3339, UTC, three decimals.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes the moment in UTC, cut to milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(timeLayout)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON reads any RFC 3339 moment.
func (t *Time) UnmarshalJSON(b []byte) error { return t.Time.UnmarshalJSON(b) }

// ExternalID names a record by the value of an external id field.
type ExternalID struct {
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"` // a string or a number, as it was sent
}

// Event is what an app writes. Key may be empty, then the daemon makes one and
// the app has no protection against its own retries. Exactly one of
// ExternalID, ID and Match names the record; a create has none.
type Event struct {
	Key        string            `json:"key,omitempty"`
	Object     string            `json:"object"`
	Operation  string            `json:"operation"`
	ExternalID *ExternalID       `json:"external_id,omitempty"`
	ID         string            `json:"id,omitempty"`
	Match      map[string]any    `json:"match,omitempty"`
	Fields     map[string]any    `json:"fields,omitempty"`
	Lane       string            `json:"lane,omitempty"`
	After      []string          `json:"after,omitempty"`
	NotBefore  time.Time         `json:"not_before,omitzero"`
	ExpiresAt  time.Time         `json:"expires_at,omitzero"`
	Source     string            `json:"source,omitempty"`
	Meta       map[string]string `json:"meta,omitempty"`
}

// Accepted answers one event that is in the outbox. Seq is the order of
// acceptance. A duplicate has the Seq of its first acceptance and the state as
// it is now.
type Accepted struct {
	Key       string `json:"key"`
	Seq       uint64 `json:"seq"`
	State     string `json:"state"`
	Duplicate bool   `json:"duplicate"`
}

// Result answers one line or element of several: it was accepted, or Problem
// says why not. Only one of the two is set.
type Result struct {
	Accepted
	Problem *Problem
}

// UnmarshalJSON tells a problem from an acceptance by its member status.
func (r *Result) UnmarshalJSON(b []byte) error {
	var p Problem
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	*r = Result{}
	if p.Status != 0 {
		r.Problem = &p
		return nil
	}
	return json.Unmarshal(b, &r.Accepted)
}

// MarshalJSON writes the one that is set.
func (r Result) MarshalJSON() ([]byte, error) {
	if r.Problem != nil {
		return json.Marshal(r.Problem)
	}
	return json.Marshal(r.Accepted)
}

// Document is an event and what became of it. Its own members are as they were
// accepted; Fields goes when the state is terminal. Lists leave out Fields and
// History unless they are asked for.
type Document struct {
	Key          string            `json:"key"`
	Seq          uint64            `json:"seq"`
	State        string            `json:"state"`
	Object       string            `json:"object"`
	Operation    string            `json:"operation"`
	ExternalID   *ExternalID       `json:"external_id,omitempty"`
	ID           string            `json:"id,omitempty"`
	Match        json.RawMessage   `json:"match,omitempty"`
	Fields       json.RawMessage   `json:"fields,omitempty"`
	Lane         string            `json:"lane,omitempty"`
	After        []string          `json:"after,omitempty"`
	NotBefore    Time              `json:"not_before,omitzero"`
	ExpiresAt    Time              `json:"expires_at,omitzero"`
	Source       string            `json:"source,omitempty"`
	Meta         map[string]string `json:"meta,omitempty"`
	Attempts     int               `json:"attempts"`
	Reason       string            `json:"reason,omitempty"`
	Since        Time              `json:"since,omitzero"`
	BlockedBy    string            `json:"blocked_by,omitempty"`
	LastError    *LastError        `json:"last_error,omitempty"`
	Warnings     []Warning         `json:"warnings,omitempty"`
	Doubt        *Doubt            `json:"doubt,omitempty"`
	Via          string            `json:"via,omitempty"`
	AttemptID    string            `json:"attempt_id,omitempty"`
	JobID        string            `json:"job_id,omitempty"`
	SalesforceID string            `json:"salesforce_id,omitempty"`
	Created      *bool             `json:"created,omitempty"`
	AcceptedAt   Time              `json:"accepted_at,omitzero"`
	SentAt       Time              `json:"sent_at,omitzero"`
	NextAt       Time              `json:"next_at,omitzero"`
	EndedAt      Time              `json:"ended_at,omitzero"`
	History      []Transition      `json:"history,omitempty"`
	HistoryCut   int               `json:"history_cut,omitempty"` // older transitions that are no longer kept
}

// Warning says what of an event did not fit the org's schema when it was about
// to be sent. Whether it was sent all the same is for the configuration.
type Warning struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// LastError is the newest reason why an event was not delivered.
type LastError struct {
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Fields    []string `json:"fields,omitempty"`
	At        Time     `json:"at,omitzero"`
	AttemptID string   `json:"attempt_id,omitempty"`
}

// Doubt says what is known of an event in doubt. Matches are Ids of records
// that may be it.
type Doubt struct {
	SentAt  Time     `json:"sent_at,omitzero"`
	Code    string   `json:"code,omitempty"`
	Message string   `json:"message,omitempty"`
	Matches []string `json:"matches,omitempty"`
}

// Transition is one line of an event's history. From is absent on the first.
// By names the user of an operator's move, Old the values that it replaced.
type Transition struct {
	At        Time            `json:"at"`
	From      string          `json:"from,omitempty"`
	To        string          `json:"to"`
	AttemptID string          `json:"attempt_id,omitempty"`
	Code      string          `json:"code,omitempty"`
	By        string          `json:"by,omitempty"`
	Old       json.RawMessage `json:"old,omitempty"`
}

// EventPage is a part of a listing in order of Seq. A page may be short while
// NextCursor is set; it is absent on the last one.
type EventPage struct {
	Events     []Document `json:"events"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// StuckPage is a part of the stuck events. Total and Summary are of all that
// the filter matches, whatever the page.
type StuckPage struct {
	Stuck      []Document   `json:"stuck"`
	Total      int64        `json:"total"`
	NextCursor string       `json:"next_cursor,omitempty"`
	Summary    []StuckGroup `json:"summary"`
}

// StuckGroup counts the stuck events of one reason, object and code.
type StuckGroup struct {
	Reason  string `json:"reason"`
	Object  string `json:"object"`
	Code    string `json:"code,omitempty"`
	Count   int64  `json:"count"`
	Oldest  Time   `json:"oldest,omitzero"`
	Example string `json:"example,omitempty"`
}

// RetryRequest may come with a retry: Fields are merged into the payload,
// Unset names those taken out of it.
type RetryRequest struct {
	Fields json.RawMessage `json:"fields,omitempty"` // an object
	Unset  []string        `json:"unset,omitempty"`
}

// ResolveRequest ends a doubt: delivered, with the record's Id if it is known,
// or not, which makes the event pending again.
type ResolveRequest struct {
	Delivered *bool  `json:"delivered"`
	ID        string `json:"id,omitempty"`
}

// ResumeRequest carries what the operator confirms.
type ResumeRequest struct {
	AcceptOrg     bool `json:"accept_org,omitempty"`
	AcceptRestore bool `json:"accept_restore,omitempty"`
}

// Moved answers a move of many. Changed counts those whose state allowed it;
// with dry_run nothing was changed.
type Moved struct {
	Matched int64 `json:"matched"`
	Changed int64 `json:"changed"`
}

// Attempt is one REST request or one bulk job.
type Attempt struct {
	ID         string        `json:"id"`
	Kind       string        `json:"kind"`
	Object     string        `json:"object"`
	Operation  string        `json:"operation"`
	ExternalID string        `json:"external_id,omitempty"` // field of an upsert
	Phase      string        `json:"phase"`
	JobID      string        `json:"job_id,omitempty"`
	Counts     AttemptCounts `json:"counts"`
	Starts     int           `json:"starts,omitempty"` // starts of the daemon that found it unfinished
	StartedAt  Time          `json:"started_at,omitzero"`
	EndedAt    Time          `json:"ended_at,omitzero"`
	Note       string        `json:"note,omitempty"`
}

// AttemptCounts says what became of the events of an attempt.
type AttemptCounts struct {
	Claimed     int `json:"claimed"`
	Succeeded   int `json:"succeeded"`
	Failed      int `json:"failed"`
	Unprocessed int `json:"unprocessed"`
}

// AttemptPage is a part of the attempts, newest first.
type AttemptPage struct {
	Attempts   []Attempt `json:"attempts"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// Outcome is one entry of the feed: an event became delivered, dropped, failed
// or in_doubt; the last two may change later. Cursor resumes after it.
type Outcome struct {
	Cursor       string   `json:"cursor"`
	Key          string   `json:"key"`
	Seq          uint64   `json:"seq"`
	State        string   `json:"state"`
	Object       string   `json:"object"`
	Operation    string   `json:"operation"`
	SalesforceID string   `json:"salesforce_id,omitempty"`
	Created      *bool    `json:"created,omitempty"`
	Code         string   `json:"code,omitempty"`
	Message      string   `json:"message,omitempty"`
	ErrorFields  []string `json:"error_fields,omitempty"`
	Via          string   `json:"via,omitempty"`
	JobID        string   `json:"job_id,omitempty"`
	Source       string   `json:"source,omitempty"`
	At           Time     `json:"at"`
}

// Health answers /healthz and /readyz: "ok", "starting" or "stopping".
type Health struct {
	Status string `json:"status"`
}
