package api

// Problem is an error of the socket API (RFC 9457). Code is stable;
// Title belongs to the code; Detail tells of this one case. As the result of a
// line or an element it carries its number, from 1.
type Problem struct {
	Status    int            `json:"status"`
	Code      Code           `json:"code"`
	Title     string         `json:"title"`
	Detail    string         `json:"detail,omitempty"`
	Line      int            `json:"line,omitempty"`
	Key       string         `json:"key,omitempty"`
	RequestID string         `json:"request_id,omitempty"` // of code internal: where the log has the cause
	Errors    []ProblemError `json:"errors,omitempty"`
}

// ProblemError is one of several mistakes: the place within an event, or, of an
// atomic batch, the line of the event and its code.
type ProblemError struct {
	Line   int    `json:"line,omitempty"`
	Code   Code   `json:"code,omitempty"`
	Key    string `json:"key,omitempty"`
	Path   string `json:"path,omitempty"`
	Reason string `json:"reason,omitempty"` // of schema_mismatch: what kind of mistake
	Detail string `json:"detail,omitempty"`
}

// Code names a kind of problem. Codes are never renamed.
type Code string

// The codes of the socket API.
const (
	CodeMalformed            Code = "malformed"
	CodeInvalidEvent         Code = "invalid_event"
	CodeInvalidRequest       Code = "invalid_request"
	CodeInvalidQuery         Code = "invalid_query"
	CodeUnknownWriteKey      Code = "unknown_write_key"
	CodeForbidden            Code = "forbidden"
	CodeUnknownKey           Code = "unknown_key"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeWrongState           Code = "wrong_state"
	CodeSuperseded           Code = "superseded"
	CodeConfirmationNeeded   Code = "confirmation_needed"
	CodeCursorGone           Code = "cursor_gone"
	CodeTooLarge             Code = "too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeKeyReused            Code = "key_reused"
	CodeSchemaMismatch       Code = "schema_mismatch"
	CodeRateLimited          Code = "rate_limited"
	CodeInternal             Code = "internal"
	CodeStarting             Code = "starting"
	CodeStopping             Code = "stopping"
	CodeUnavailable          Code = "unavailable"
	CodeOutboxFull           Code = "outbox_full"
)

// CodeInfo describes a code: its status, its title, and what a caller does.
type CodeInfo struct {
	Code   Code
	Status int
	Title  string
	Means  string
	Do     string
}
