package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

// item is one line or element: an event that goes to the store, or a problem.
type item struct {
	line    int
	key     string
	problem *api.Problem
}

// batch is what one call of the store writes: the items in their order, and the
// events of those without a problem.
type batch struct {
	items  []item
	events []store.Event
	bytes  int
}

func (b *batch) reset() {
	clear(b.events)
	clear(b.items)
	b.items, b.events, b.bytes = b.items[:0], b.events[:0], 0
}

// add reads one event and puts it, or its problem, into the batch.
func (s *Server) add(b *batch, raw []byte, line int) {
	e, p := s.read(raw, "")
	if p != nil {
		b.refuse(p, line)
		return
	}
	b.items = append(b.items, item{line: line, key: e.Key})
	b.events = append(b.events, e)
	b.bytes += len(raw)
}

func (b *batch) refuse(p *api.Problem, line int) {
	b.items = append(b.items, item{line: line, key: p.Key, problem: lineProblem(p, line, p.Key)})
}

// read makes an event of the store out of JSON. A key from the header stands
// in for one within.
func (s *Server) read(raw []byte, key string) (store.Event, *api.Problem) {
	e := decoded.Get().(*event.Event)
	defer decoded.Put(e)
	if err := e.Decode(raw); err != nil {
		p := s.problem(err)
		p.Key = cmp.Or(p.Key, key)
		return store.Event{}, p
	}
	made, p := chooseKey(e, key)
	if p != nil {
		return store.Event{}, p
	}
	if err := e.Validate(); err != nil {
		p := s.problem(err)
		if made {
			p.Key = "" // nobody has seen it
		}
		return store.Event{}, p
	}
	if s.schema != nil {
		if mistakes := s.schema(e); len(mistakes) > 0 && (made || s.isNew(e.Key)) {
			p := schemaProblem(e.Key, mistakes)
			if made {
				p.Key = ""
			}
			return store.Event{}, p
		}
	}
	if !s.rate.allow(e.Source, time.Now()) {
		p := api.CodeRateLimited.Problem("the source writes faster than limits.rate allows")
		p.Key = e.Key
		return store.Event{}, p
	}
	se, err := storeEvent(e)
	if err != nil {
		return store.Event{}, s.problem(err)
	}
	return se, nil
}

// isNew reports whether no event has the key. The repeat of one that was accepted
// while the org's schema was not known, or another, is for the store to answer (P2, P3).
func (s *Server) isNew(key string) bool {
	_, err := s.outbox.Get(s.stopping, key)
	return errors.Is(err, store.ErrNotFound)
}

// decoded are events on their way from JSON to the store's form.
var decoded = sync.Pool{New: func() any { return new(event.Event) }}

// chooseKey settles the event's key: its own, the header's, or one that is
// made here.
func chooseKey(e *event.Event, header string) (made bool, p *api.Problem) {
	switch {
	case e.Key != "" && header != "" && e.Key != header:
		return false, keyProblem("differs from header Idempotency-Key")
	case e.Key == "" && header != "":
		e.Key = header
	case e.Key == "":
		id, err := uuid.NewV7()
		if err != nil {
			return false, api.CodeUnavailable.Problem("no random numbers for a key")
		}
		e.Key, made = id.String(), true
	}
	return made, nil
}

func keyProblem(detail string) *api.Problem {
	p := api.CodeInvalidEvent.Problem("key: " + detail)
	p.Errors = []api.ProblemError{{Path: "key", Detail: detail}}
	return p
}

func schemaProblem(key string, mistakes []api.ProblemError) *api.Problem {
	first := mistakes[0]
	p := api.CodeSchemaMismatch.Problem(first.Path + ": " + first.Detail)
	if more := len(mistakes) - 1; more > 0 {
		p.Detail += fmt.Sprintf(" (and %d more)", more)
	}
	p.Key, p.Errors = key, mistakes
	return p
}

// put writes the events of a batch. Where each stands for itself an error of
// the whole call becomes the problem of each, unless it says that nothing is
// known: then, and of an atomic batch, it is returned.
func (s *Server) put(ctx context.Context, b *batch, atomic bool) ([]store.PutResult, error) {
	if len(b.events) == 0 {
		return nil, nil
	}
	begun := time.Now()
	results, err := s.outbox.Put(ctx, b.events, store.PutOptions{Atomic: atomic})
	if err != nil && (atomic || cutOff(err)) {
		return nil, err
	}
	if err != nil {
		refused := s.problem(err)
		results = make([]store.PutResult, len(b.events))
		for i := range results {
			results[i].Err = refused
		}
	}
	s.metrics.put(begun, b.events, results)
	return results, nil
}

// appendResults writes one result an item, each followed by what f puts
// between; first is true for the first item of the answer.
func (s *Server) appendResults(out []byte, b *batch, results []store.PutResult, f format, first bool) []byte {
	next := 0
	for i := range b.items {
		if !first {
			out = append(out, f.between...)
		}
		first = false
		it := &b.items[i]
		if it.problem != nil {
			s.metrics.problem(it.problem.Code)
			out = appendProblem(out, it.problem)
			continue
		}
		r := results[next]
		next++
		if r.Err == nil {
			out = appendAccepted(out, it.key, r)
			continue
		}
		p := lineProblem(s.problem(r.Err), it.line, it.key)
		s.metrics.problem(p.Code)
		out = appendProblem(out, p)
	}
	return out
}

// atomicProblem is the answer for a batch of which nothing was stored: the
// first bad one's status and code, and each bad one's place.
func (s *Server) atomicProblem(b *batch, results []store.PutResult) *api.Problem {
	var answer *api.Problem
	next := 0
	for i := range b.items {
		it := &b.items[i]
		p := it.problem
		if p == nil && results != nil {
			if err := results[next].Err; err != nil && !errors.Is(err, store.ErrAborted) {
				p = lineProblem(s.problem(err), it.line, it.key)
			}
		}
		if it.problem == nil {
			next++
		}
		if p == nil {
			continue
		}
		if answer == nil {
			answer = p.Code.Problem("nothing was stored: " + cmp.Or(p.Detail, p.Title))
		}
		answer.Errors = append(answer.Errors, placedErrors(p)...)
	}
	return answer
}

// placedErrors are a problem's mistakes with the line, code and key of their event.
func placedErrors(p *api.Problem) []api.ProblemError {
	if len(p.Errors) == 0 {
		return []api.ProblemError{{Line: p.Line, Code: p.Code, Key: p.Key, Detail: p.Detail}}
	}
	placed := make([]api.ProblemError, len(p.Errors))
	for i, e := range p.Errors {
		placed[i] = api.ProblemError{Line: p.Line, Code: p.Code, Key: p.Key, Path: e.Path, Reason: e.Reason, Detail: e.Detail}
	}
	return placed
}
