package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

// putEvents is POST /v1/events: one object, an array, or NDJSON.
func (s *Server) putEvents(w http.ResponseWriter, r *http.Request, _ string) error {
	media, err := mediaOf(r)
	if err != nil {
		return err
	}
	q := parseQuery(r, "atomic")
	atomic := q.flag("atomic")
	if err := q.done(); err != nil {
		return err
	}
	key, err := headerKey(r)
	if err != nil {
		return err
	}
	switch {
	case media == api.JSON:
		return s.putJSON(w, r, key, atomic)
	case key != "":
		return keyProblem("header Idempotency-Key goes with a single object only")
	case atomic:
		return s.putAtomicLines(w, r)
	case 0 <= r.ContentLength && r.ContentLength <= wholeBody:
		return s.putLines(w, r)
	}
	return s.putStream(w, r)
}

// wholeBody is the length in bytes up to which NDJSON is read before it is
// written: one commit then carries all of it.
const wholeBody = 1 << 20

// headerKey reads Idempotency-Key, bare or as a quoted string.
func headerKey(r *http.Request) (string, error) {
	values := r.Header["Idempotency-Key"]
	switch len(values) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", keyProblem("header Idempotency-Key is there more than once")
	}
	key := values[0]
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = unquoteKey(key[1 : len(key)-1])
	}
	if err := event.CheckKey(key); err != nil {
		e, _ := errors.AsType[*event.Error](err)
		return "", eventProblem(e)
	}
	return key, nil
}

func unquoteKey(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(text)
}

// putJSON answers a body of application/json.
func (s *Server) putJSON(w http.ResponseWriter, r *http.Request, key string, atomic bool) error {
	body, err := s.readBody(r, api.MaxBatch)
	if err != nil {
		return err
	}
	defer body.free()
	raw := body.Bytes()
	if text := bytes.TrimLeft(raw, jsonSpace); len(text) == 0 || text[0] != '[' {
		return s.putOne(w, r, raw, key)
	}
	if key != "" {
		return keyProblem("header Idempotency-Key goes with a single object only")
	}
	elements, err := split(raw)
	if err != nil {
		return err
	}
	b := s.readAll(elements)
	if atomic {
		return s.putAtomic(w, r, b, asArray, api.JSON)
	}
	return s.putAll(w, r, b, asArray, api.JSON)
}

// putOne writes a single event.
func (s *Server) putOne(w http.ResponseWriter, r *http.Request, raw []byte, key string) error {
	e, p := s.read(raw, key)
	if p != nil {
		return p
	}
	b := &batch{events: []store.Event{e}}
	results, err := s.put(r.Context(), b, false)
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil {
		p := *s.problem(err)
		p.Key = e.Key
		return &p
	}
	status := http.StatusCreated
	if results[0].Duplicate {
		status = http.StatusOK
	}
	h := w.Header()
	h["Content-Type"] = jsonHeader
	h["Cache-Control"] = noStoreHeader
	w.WriteHeader(status)
	w.Write(append(appendAccepted(make([]byte, 0, 128), e.Key, results[0]), '\n'))
	return nil
}

// Headers of the busiest answer, made once.
var (
	jsonHeader    = []string{api.JSON}
	noStoreHeader = []string{"no-store"}
)

// jsonSpace is the white space of JSON.
const jsonSpace = " \t\r\n"

// element is one event of a body, with its number from 1.
type element struct {
	raw  []byte
	line int
}

// split cuts an array into its elements. They are not looked into, so that a
// bad one does not spoil its neighbours; the array itself must be JSON.
func split(raw []byte) ([]element, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON()
	}
	var all []element
	for dec.PeekKind() != jsontext.KindEndArray {
		begin := dec.InputOffset()
		if _, err := dec.ReadValue(); err != nil {
			return nil, notJSON()
		}
		if len(all) == api.MaxEvents {
			return nil, tooMany()
		}
		all = append(all, element{bytes.TrimLeft(raw[begin:dec.InputOffset()], ","+jsonSpace), len(all) + 1})
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON()
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, api.CodeMalformed.Problem("something follows the array")
	}
	return all, nil
}

func notJSON() *api.Problem {
	return api.CodeMalformed.Problem("the array is not JSON, or was cut")
}

func tooMany() *api.Problem {
	return api.CodeTooLarge.Problem("more than 10,000 events; send fewer, or NDJSON that is not atomic")
}

// splitLines cuts NDJSON into its lines; blank ones are counted but left out.
func splitLines(raw []byte) []element {
	all := make([]element, 0, bytes.Count(raw, []byte{'\n'})+1)
	line := 0
	for text := range bytes.Lines(raw) {
		line++
		if text = bytes.Trim(text, jsonSpace); len(text) > 0 {
			all = append(all, element{text, line})
		}
	}
	return all
}

func (s *Server) readAll(elements []element) *batch {
	b := &batch{items: make([]item, 0, len(elements)), events: make([]store.Event, 0, len(elements))}
	for _, e := range elements {
		s.add(b, e.raw, e.line)
	}
	return b
}

// putLines answers NDJSON whose length is known and small.
func (s *Server) putLines(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readBody(r, wholeBody)
	if err != nil {
		return err
	}
	defer body.free()
	return s.putAll(w, r, s.readAll(splitLines(body.Bytes())), asLines, api.NDJSON)
}

// putAtomicLines answers NDJSON of which all or nothing is stored.
func (s *Server) putAtomicLines(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readBody(r, api.MaxBatch)
	if err != nil {
		return err
	}
	defer body.free()
	lines := splitLines(body.Bytes())
	if len(lines) > api.MaxEvents {
		return tooMany()
	}
	return s.putAtomic(w, r, s.readAll(lines), asLines, api.NDJSON)
}

// putAll writes a whole batch, each event for itself.
func (s *Server) putAll(w http.ResponseWriter, r *http.Request, b *batch, f format, media string) error {
	results, err := s.put(r.Context(), b, false)
	if err != nil {
		return err
	}
	s.writeResults(w, b, results, f, media)
	return nil
}

// putAtomic writes a whole batch, all or nothing.
func (s *Server) putAtomic(w http.ResponseWriter, r *http.Request, b *batch, f format, media string) error {
	if len(b.events) < len(b.items) {
		s.returnRate(b)
		return s.atomicProblem(b, nil)
	}
	if len(b.events) == 0 {
		s.writeResults(w, b, nil, f, media)
		return nil
	}
	results, err := s.put(r.Context(), b, true)
	if err != nil {
		return err
	}
	if p := s.atomicProblem(b, results); p != nil {
		s.returnRate(b)
		return p
	}
	s.writeResults(w, b, results, f, media)
	return nil
}

// returnRate gives back what a batch that was not stored took of the rate.
func (s *Server) returnRate(b *batch) {
	for i := range b.events {
		s.rate.giveBack(b.events[i].Source)
	}
}

func (s *Server) writeResults(w http.ResponseWriter, b *batch, results []store.PutResult, f format, media string) {
	text := append(make([]byte, 0, 128*len(b.items)+8), f.open...)
	text = s.appendResults(text, b, results, f, true)
	if len(b.items) > 0 || f.open != "" {
		text = append(text, f.close...)
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(text)
}
