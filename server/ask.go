package server

import (
	"context"
	"net/http"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

// How often a waiting question looks again: at once when an outcome was
// committed, though not more often than waitAtMost, and now and then in any
// case, since events also become stuck by the passing of time.
const (
	waitAtMost  = 50 * time.Millisecond
	waitAtLeast = time.Second
)

// streamPage is how many events a stream reads at a time.
const streamPage = 500

// mayRead says whether the peer may see payloads.
func (s *Server) mayRead(r *http.Request) bool {
	return s.rules.Load().allow(peerOf(r.Context()), mayRead)
}

// getEvent is GET /v1/events/{key}.
func (s *Server) getEvent(w http.ResponseWriter, r *http.Request, key string) error {
	q := parseQuery(r, "wait")
	wait := q.duration("wait", api.MaxWait)
	if err := q.done(); err != nil {
		return err
	}
	record, err := s.outbox.Get(r.Context(), key)
	if err == nil && wait > 0 && !settled(&record) {
		record, err = s.await(w, r, key, wait)
	}
	if err != nil {
		return err
	}
	return s.answerRecord(w, r, &record)
}

func (s *Server) answerRecord(w http.ResponseWriter, r *http.Request, record *store.Record) error {
	return writeJSON(w, http.StatusOK, document(record, s.mayRead(r)))
}

// settled says whether waiting for an event is over.
func settled(r *store.Record) bool { return r.State.Terminal() || r.Reason != "" }

// await holds the question until the event is settled, the wait is over, or
// the server stops, and returns the event as it is then.
func (s *Server) await(w http.ResponseWriter, r *http.Request, key string, wait time.Duration) (store.Record, error) {
	uid := peerOf(r.Context()).uid
	if !s.waiters.take(uid) {
		return store.Record{}, api.CodeRateLimited.Problem("the peer's user has too many questions waiting")
	}
	defer s.waiters.done(uid)
	unhurried(w, time.Now().Add(wait+stallTimeout))
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		changed := s.outbox.Watch()
		record, err := s.outbox.Get(r.Context(), key)
		if err != nil || settled(&record) || !s.pauseFor(r.Context(), changed, over.C) {
			return record, err
		}
	}
}

// pauseFor returns when it is worth looking again; false: it is over.
func (s *Server) pauseFor(ctx context.Context, changed <-chan struct{}, over <-chan time.Time) bool {
	least := time.NewTimer(waitAtLeast)
	defer least.Stop()
	most := time.NewTimer(waitAtMost)
	defer most.Stop()
	select {
	case <-most.C:
	case <-over:
		return false
	case <-s.stopping.Done():
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case <-changed:
		return true
	case <-least.C:
		return true
	case <-over:
	case <-s.stopping.Done():
	case <-ctx.Done():
	}
	return false
}

// listEvents is GET /v1/events.
func (s *Server) listEvents(w http.ResponseWriter, r *http.Request, _ string) error {
	q := parseQuery(r, append(filterParams, pageParams...)...)
	f := q.filter()
	if err := q.done(); err != nil {
		return err
	}
	if accepts(r, api.NDJSON) {
		return s.streamRecords(w, r, f, s.outbox.List)
	}
	page, err := s.outbox.List(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, api.EventPage{Events: s.documents(r, page.Records), NextCursor: page.Next})
}

func (s *Server) documents(r *http.Request, records []store.Record) []api.Document {
	list, may := make([]api.Document, len(records)), s.mayRead(r)
	for i := range records {
		list[i] = document(&records[i], may)
	}
	return list
}

// listStuck is GET /v1/stuck.
func (s *Server) listStuck(w http.ResponseWriter, r *http.Request, _ string) error {
	q := parseQuery(r, append(append(filterParams, pageParams...), "reason")...)
	f := q.filter()
	if err := q.done(); err != nil {
		return err
	}
	if accepts(r, api.NDJSON) {
		return s.streamRecords(w, r, f, func(ctx context.Context, f store.Filter) (store.Page, error) {
			page, err := s.outbox.Stuck(ctx, f)
			return page.Page, err
		})
	}
	page, err := s.outbox.Stuck(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, api.StuckPage{
		Stuck: s.documents(r, page.Records), Total: page.Total, NextCursor: page.Next, Summary: summary(page.Summary),
	})
}

func summary(groups []store.StuckGroup) []api.StuckGroup {
	list := make([]api.StuckGroup, len(groups))
	for i, g := range groups {
		list[i] = api.StuckGroup{
			Reason: string(g.Reason), Object: g.Object, Code: g.Code,
			Count: g.Count, Oldest: at(g.Oldest), Example: g.Example,
		}
	}
	return list
}

// streamRecords answers with a document a line: all that the filter selects,
// or the first Limit of them. The store is asked page by page, never while a
// page is written.
func (s *Server) streamRecords(w http.ResponseWriter, r *http.Request, f store.Filter, list func(context.Context, store.Filter) (store.Page, error)) error {
	left := f.Limit // 0: all
	f.Limit = streamPage
	if left > 0 {
		f.Limit = min(left, streamPage)
	}
	page, err := list(r.Context(), f)
	if err != nil {
		return err
	}
	out := newStream(w, api.NDJSON)
	if r.Method == http.MethodHead {
		return nil
	}
	may := s.mayRead(r)
	for {
		if err := writeDocuments(out, page.Records, may); err != nil {
			s.abort("list events", err)
		}
		if left > 0 {
			if left -= len(page.Records); left <= 0 {
				return nil
			}
			f.Limit = min(left, streamPage)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return nil
		}
		if page, err = list(r.Context(), f); err != nil {
			s.abort("list events", err)
		}
	}
}

func writeDocuments(out *stream, records []store.Record, mayRead bool) error {
	for i := range records {
		line, err := marshal(document(&records[i], mayRead))
		if err != nil {
			return err
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return out.flush()
}

// listAttempts is GET /v1/attempts.
func (s *Server) listAttempts(w http.ResponseWriter, r *http.Request, _ string) error {
	q := parseQuery(r, "limit", "cursor")
	limit, cursor := q.limit(), q.text("cursor")
	if err := q.done(); err != nil {
		return err
	}
	if limit == 0 {
		limit = api.DefaultPage
	}
	attempts, next, err := s.outbox.Attempts(r.Context(), limit, cursor)
	if err != nil {
		return err
	}
	page := api.AttemptPage{Attempts: make([]api.Attempt, len(attempts)), NextCursor: next}
	for i := range attempts {
		page.Attempts[i] = attempt(&attempts[i])
	}
	return writeJSON(w, http.StatusOK, page)
}

// getAttempt is GET /v1/attempts/{id}.
func (s *Server) getAttempt(w http.ResponseWriter, r *http.Request, id string) error {
	if err := parseQuery(r).done(); err != nil {
		return err
	}
	a, err := s.outbox.Attempt(r.Context(), store.AttemptID(id))
	if isNotFound(err) {
		return api.CodeNotFound.Problem("no such attempt, or it is no longer kept")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, attempt(&a))
}
