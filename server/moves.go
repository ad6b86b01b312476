package server

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

// editTries is how often an edit is made anew when the event changed meanwhile.
const editTries = 5

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// move names an operator's act: by the header Idempotency-Key, so that a
// repeat is recognised, else by a new id.
func (s *Server) move(r *http.Request) (store.Move, error) {
	id, err := headerKey(r)
	if err != nil {
		return store.Move{}, err
	}
	if id == "" {
		id = uuid.NewString()
	}
	return store.Move{ID: id, By: s.by(r)}, nil
}

// by is the name of the peer's user.
func (s *Server) by(r *http.Request) string { return s.names.of(peerOf(r.Context()).uid) }

// audit leaves a line for each move, whoever made it.
func (s *Server) audit(r *http.Request, verb string, args ...any) {
	p := peerOf(r.Context())
	s.log.Info("operator's move", append([]any{"move", verb, "by", s.names.of(p.uid), "uid", p.uid}, args...)...)
}

// moved answers a move of one event.
func (s *Server) moved(w http.ResponseWriter, r *http.Request, verb, key string, record store.Record, err error) error {
	if errors.Is(err, store.ErrTransition) {
		detail := verb + " does not lead from the state that the event is in"
		if now, err := s.outbox.Get(r.Context(), key); err == nil {
			detail = verb + " does not lead from the state that the event is in: " + now.State.String()
		}
		p := api.CodeWrongState.Problem(detail)
		p.Key = key
		return p
	}
	if err != nil {
		return err
	}
	s.audit(r, verb, "key", key, "seq", uint64(record.Seq))
	s.dispatch.Poke()
	return s.answerRecord(w, r, &record)
}

// retryEvent is POST /v1/events/{key}/retry.
func (s *Server) retryEvent(w http.ResponseWriter, r *http.Request, key string) error {
	m, err := s.startMove(r)
	if err != nil {
		return err
	}
	var change struct {
		Fields jsontext.Value `json:"fields"`
		Unset  []string       `json:"unset"`
	}
	if err := s.readMove(r, &change); err != nil {
		return err
	}
	var record store.Record
	if len(change.Fields) == 0 && len(change.Unset) == 0 {
		record, err = s.outbox.Retry(r.Context(), key, m, nil)
	} else {
		record, err = s.retryEdited(r, key, m, change.Fields, change.Unset)
	}
	return s.moved(w, r, "retry", key, record, err)
}

// startMove checks what all moves of one event have in common.
func (s *Server) startMove(r *http.Request) (store.Move, error) {
	if err := parseQuery(r).done(); err != nil {
		return store.Move{}, err
	}
	return s.move(r)
}

// retryEdited merges the change into the payload as it is, and retries with
// the result unless the event changed meanwhile; then it begins anew.
func (s *Server) retryEdited(r *http.Request, key string, m store.Move, set jsontext.Value, unset []string) (store.Record, error) {
	for range editTries {
		record, err := s.outbox.Get(r.Context(), key)
		if err != nil {
			return record, err
		}
		// Of an event that is not failed the store knows whether this is the
		// repeat of a move that was made; should it fail right now, an edit of
		// no revision is a conflict, and the next round makes the real one.
		edit := &store.Edit{Rev: math.MaxUint64}
		if record.State == store.Failed {
			if edit, err = editOf(&record, set, unset); err != nil {
				return record, err
			}
		}
		record, err = s.outbox.Retry(r.Context(), key, m, edit)
		if !errors.Is(err, store.ErrConflict) {
			return record, err
		}
	}
	return store.Record{}, store.ErrConflict
}

// editOf is the new payload of a record. It must be one that would have been
// accepted, name the same record, and wait for no other events.
func editOf(record *store.Record, set jsontext.Value, unset []string) (*store.Edit, error) {
	e, err := acceptedEvent(record)
	if err != nil {
		return nil, err
	}
	if e.Operation.Deletes() {
		return nil, invalidEdit(record.Key, "fields", "a delete has none")
	}
	merged, old, err := event.Merge(e.Fields, set, unset)
	if err != nil {
		return nil, err
	}
	e.Fields = merged
	if err := e.Validate(); err != nil {
		return nil, err
	}
	for _, key := range e.IDsOf() {
		if !slices.Contains(record.After, key) {
			return nil, invalidEdit(record.Key, "fields", "an edit can't refer to another event by $id_of; write a new event")
		}
	}
	if len(merged) > event.MaxSize {
		return nil, tooLarge(event.MaxSize)
	}
	return &store.Edit{Payload: merged, Old: old, Rev: record.Rev}, nil
}

func invalidEdit(key, path, detail string) *api.Problem {
	p := api.CodeInvalidEvent.Problem(path + ": " + detail)
	p.Key = key
	p.Errors = []api.ProblemError{{Path: path, Detail: detail}}
	return p
}

// dropEvent is POST /v1/events/{key}/drop.
func (s *Server) dropEvent(w http.ResponseWriter, r *http.Request, key string) error {
	m, err := s.startMove(r)
	if err != nil {
		return err
	}
	var none struct{}
	if err := s.readMove(r, &none); err != nil {
		return err
	}
	record, err := s.outbox.Drop(r.Context(), key, m)
	return s.moved(w, r, "drop", key, record, err)
}

// resolveEvent is POST /v1/events/{key}/resolve.
func (s *Server) resolveEvent(w http.ResponseWriter, r *http.Request, key string) error {
	m, err := s.startMove(r)
	if err != nil {
		return err
	}
	var body api.ResolveRequest
	if err := s.readMove(r, &body); err != nil {
		return err
	}
	verdict, err := resolution(body)
	if err != nil {
		return err
	}
	record, err := s.outbox.Resolve(r.Context(), key, m, verdict)
	return s.moved(w, r, "resolve", key, record, err)
}

func resolution(body api.ResolveRequest) (store.Resolution, error) {
	wrong := func(path, detail string) (store.Resolution, error) {
		p := api.CodeInvalidRequest.Problem(path + ": " + detail)
		p.Errors = []api.ProblemError{{Path: path, Detail: detail}}
		return store.Resolution{}, p
	}
	switch {
	case body.Delivered == nil:
		return wrong("delivered", "required: true or false")
	case body.ID == "":
		return store.Resolution{Delivered: *body.Delivered}, nil
	case !*body.Delivered:
		return wrong("id", "only with delivered")
	}
	id, err := event.ParseID(body.ID)
	if err != nil {
		return wrong("id", "must be a record Id of 15 or 18 characters")
	}
	return store.Resolution{Delivered: true, ID: id}, nil
}

// retryStuck is POST /v1/stuck/retry.
func (s *Server) retryStuck(w http.ResponseWriter, r *http.Request, _ string) error {
	return s.moveMany(w, r, "retry", s.outbox.RetryMany)
}

// dropStuck is POST /v1/stuck/drop.
func (s *Server) dropStuck(w http.ResponseWriter, r *http.Request, _ string) error {
	return s.moveMany(w, r, "drop", s.outbox.DropMany)
}

// moveMany moves the stuck events that the query selects. It takes no limit
// and no cursor: a part of them is not what it changes.
func (s *Server) moveMany(w http.ResponseWriter, r *http.Request, verb string, move func(context.Context, store.Filter, store.Move, bool) (int64, int64, error)) error {
	q := parseQuery(r, append(filterParams, "reason", "dry_run")...)
	f, dry := q.filter(), q.flag("dry_run")
	if err := q.done(); err != nil {
		return err
	}
	m, err := s.move(r)
	if err != nil {
		return err
	}
	var none struct{}
	if err := s.readMove(r, &none); err != nil {
		return err
	}
	unhurried(w, time.Now().Add(api.MaxWait))
	matched, changed, err := move(r.Context(), f, m, dry)
	if err != nil {
		return err
	}
	if !dry {
		s.audit(r, verb+" many", "records", changed)
		s.dispatch.Poke()
	}
	return writeJSON(w, http.StatusOK, api.Moved{Matched: matched, Changed: changed})
}
