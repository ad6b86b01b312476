package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

// problems maps the errors of other packages to codes. What is not in it is
// internal: the cause is logged, not sent.
var problems = []struct {
	err    error
	code   api.Code
	detail string
}{
	{store.ErrKeyReused, api.CodeKeyReused, "the key belongs to an event with another payload, which is unchanged"},
	{store.ErrDiskFull, api.CodeOutboxFull, "nothing was stored: the disk of the store is full; repeat when there is room"},
	{store.ErrFull, api.CodeOutboxFull, "nothing was stored; repeat when events have been delivered"},
	{store.ErrNotFound, api.CodeUnknownKey, "no event with this key, or its receipt is past the dedup window"},
	{store.ErrTransition, api.CodeWrongState, ""},
	{store.ErrSuperseded, api.CodeSuperseded, "a later event of its lane was sent; drop it, or write a new event"},
	{store.ErrConfirmation, api.CodeConfirmationNeeded, ""},
	{store.ErrCursor, api.CodeInvalidQuery, "cursor: not one that an answer gave"},
	{store.ErrCursorGone, api.CodeCursorGone, "the feed begins after it; read from its beginning, without a cursor"},
	{store.ErrConflict, api.CodeUnavailable, "the event changed meanwhile; try again"},
	{store.ErrUnavailable, api.CodeUnavailable, "the store can't take it now; nothing happened"},
	{store.ErrClosed, api.CodeStopping, "nothing was stored"},
}

// retryAfterSeconds says how long a caller waits before it repeats.
var retryAfterSeconds = map[api.Code]int{
	api.CodeRateLimited: 1,
	api.CodeStarting:    1,
	api.CodeStopping:    5,
	api.CodeUnavailable: 1,
	api.CodeOutboxFull:  10,
}

// cutOff reports whether nobody may be answered, since it is not known what
// became of the request, or nobody is there to read it.
func cutOff(err error) bool {
	return errors.Is(err, store.ErrUnknown) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// problem says how err is answered. It cuts the connection where nothing may
// be said.
func (s *Server) problem(err error) *api.Problem {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*event.Error](err); ok {
		return eventProblem(e)
	}
	if cutOff(err) {
		s.log.Debug("connection cut without an answer", "err", err)
		panic(http.ErrAbortHandler)
	}
	for _, row := range problems {
		if errors.Is(err, row.err) {
			return row.code.Problem(row.detail)
		}
	}
	p := api.CodeInternal.Problem("")
	p.RequestID = uuid.NewString()
	s.log.Error("request failed", "request", p.RequestID, "err", err)
	return p
}

// eventProblem tells of each mistake in an event.
func eventProblem(e *event.Error) *api.Problem {
	p := api.Code(e.Code).Problem(e.Error())
	p.Key = e.Key
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, api.ProblemError{Path: f.Path, Detail: f.Detail})
	}
	return p
}

// fail answers with the problem of err.
func (s *Server) fail(w http.ResponseWriter, err error) {
	s.answerProblem(w, s.problem(err))
}

func (s *Server) answerProblem(w http.ResponseWriter, p *api.Problem) {
	h := w.Header()
	if wait, ok := retryAfterSeconds[p.Code]; ok && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(wait))
	}
	h.Set("Content-Type", api.ProblemJSON)
	h.Set("Cache-Control", "no-store")
	s.metrics.problem(p.Code)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of texts and numbers
	}
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n'))
}

// invalidQuery is the problem of one parameter.
func invalidQuery(name, detail string) *api.Problem {
	p := api.CodeInvalidQuery.Problem(name + ": " + detail)
	p.Errors = []api.ProblemError{{Path: name, Detail: detail}}
	return p
}
