package salesforce

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Class says what an error proves, and so what may be done next. The zero value is Ambiguous:
// forgetting to classify is the safe side.
type Class int

const (
	// Ambiguous: the write may have been applied, now or within the next ten minutes.
	Ambiguous Class = iota
	// Retry: proved that nothing was written; the same again later may pass.
	Retry
	// Split: proved that nothing was written; send smaller batches, finally each record alone. A record that
	// still fails alone is the culprit.
	Split
	// Auth: the login, its user or its app can't be used as it stands. It is the org connection's, never a
	// record's. Nothing was written.
	Auth
	// PauseOrg: the org can't be reached or doesn't take calls now. Charge nobody, probe. Nothing was written.
	PauseOrg
	// PauseQuota: an allocation is used up. Charge nobody, probe. Nothing was written.
	PauseQuota
	// Permanent: this record, as it stands, never.
	Permanent
	// BadConfig: the record meets a configuration or metadata that somebody has to change. Nothing was written.
	BadConfig
)

var classNames = [...]string{"ambiguous", "retry", "split", "auth", "pause_org", "pause_quota", "permanent", "bad_config"}

// String returns the class as used in logs, for example "pause_org".
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return fmt.Sprintf("class(%d)", int(c))
	}
	return classNames[c]
}

// LimitKind tells the three limits apart that share the code REQUEST_LIMIT_EXCEEDED.
type LimitKind int

const (
	// NotLimit: not a limit of calls.
	NotLimit LimitKind = iota
	// DailyLimit: the calls of the rolling 24 hours are used up; budget trickles back.
	DailyLimit
	// ConcurrentLimit: too many calls that have lasted over 20 s; passes within a minute at half the concurrency.
	ConcurrentLimit
	// LongTxnLimit: too many long Apex transactions in the org; the same, and smaller batches.
	LongTxnLimit
)

// CodeTransport is the code of errors that no answer of Salesforce's stands behind: no answer at all, or
// one that somebody else gave (a proxy, a maintenance page), or one that can't be understood.
const CodeTransport = "TRANSPORT"

// APIError is the failure of a whole call. What became of single records is in their Result instead.
type APIError struct {
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Code is Salesforce's errorCode or CodeTransport.
	Code string
	// Message is Salesforce's text, at most 4 KB. It may quote values of fields, so Error doesn't show it where it might.
	Message string
	// Fields are the fields that Salesforce blames, if any.
	Fields []string
	// Class is what the error proves.
	Class Class
	// Call names the call, for example "collections upsert Contact".
	Call string
	// RetryAfter is what the answer asked for, 0 if it didn't.
	RetryAfter time.Duration
	// Kind is set with the code REQUEST_LIMIT_EXCEEDED.
	Kind LimitKind
	// RequestID is Salesforce's id of the request, for its support; may be empty.
	RequestID string
	// Err is the cause where there is one: a network error, a context's end.
	Err error

	own bool // the answer was Salesforce's own error, parsed
}

// Error names the call, the status and the code. The message is shown only where it speaks of the org:
// about a record it may quote a value.
func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString(e.Call)
	b.WriteString(": ")
	if e.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d ", e.Status)
	}
	b.WriteString(e.Code)
	switch e.Class {
	case Auth, PauseOrg, PauseQuota:
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause, so that errors.Is finds a context's end.
func (e *APIError) Unwrap() error { return e.Err }

// Unavailable reports whether the error speaks of the org or the way to it rather than of this request:
// the next call is likely to meet it too. It may hold of an Ambiguous error as well, such as a maintenance page.
func (e *APIError) Unavailable() bool {
	switch e.Class {
	case PauseOrg, PauseQuota, Auth:
		return true
	}
	switch e.Status {
	case 301, 302, 303, 307, 308, 401, 420, 429, 502, 503, 504:
		return true
	}
	return false
}

// ClassOf returns what err proves about the call that it ended. Of an AuthError: the call was not sent, so
// PauseOrg when the login may pass by itself, else Auth; Retry when the caller's own context ended.
// Whatever it doesn't know is Ambiguous.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*AuthError](err); ok {
		return e.class()
	}
	if e, ok := errors.AsType[*APIError](err); ok {
		return e.Class
	}
	return Ambiguous
}

// IsNotFound reports whether Salesforce itself said that the resource does not exist. A 404 of
// somebody in between is not taken for it.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*APIError](err)
	return ok && e.own && e.Status == 404
}
