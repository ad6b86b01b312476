package server

import (
	"context"
	"net/http"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

// feedPage is how many entries are read at a time, feedBeat how often a feed
// that has nothing to tell shows that it is alive.
const (
	feedPage = 500
	feedBeat = 15 * time.Second
)

// outcomes is GET /v1/outcomes: NDJSON, or server-sent events if the client
// asks for them. Server-sent events follow, NDJSON does when it is told to.
func (s *Server) outcomes(w http.ResponseWriter, r *http.Request, _ string) error {
	q := parseQuery(r, "after", "follow")
	sse := accepts(r, api.SSE)
	follow := q.flag("follow") || sse && q.text("follow") == ""
	cursor := q.text("after")
	if err := q.done(); err != nil {
		return err
	}
	if last := r.Header.Get("Last-Event-ID"); sse && last != "" {
		cursor = last
	}
	if follow {
		if !s.feeds.take() {
			return api.CodeRateLimited.Problem("too many feeds follow already")
		}
		defer s.feeds.done()
	}
	changed := s.outbox.Watch()
	entries, next, err := s.outbox.Outcomes(r.Context(), cursor, feedPage)
	if err != nil {
		return err
	}
	f := &feed{s: s, out: newStream(w, api.NDJSON), sse: sse, follow: follow}
	if sse {
		w.Header().Set("Content-Type", api.SSE)
	}
	if r.Method == http.MethodHead {
		return nil
	}
	if err := f.run(r.Context(), changed, entries, next); err != nil {
		s.abort("outcomes", err)
	}
	return nil
}

// feed writes the outcomes to one client.
type feed struct {
	s           *Server
	out         *stream
	sse, follow bool
	text        []byte
}

// run writes the first entries and all that come after them. The store is not
// read while the client is written to.
func (f *feed) run(ctx context.Context, changed <-chan struct{}, entries []store.OutcomeEntry, cursor string) error {
	for {
		if err := f.write(entries); err != nil {
			return err
		}
		if len(entries) == 0 {
			if !f.follow {
				return nil
			}
			more, err := f.wait(ctx, changed)
			if !more {
				return err
			}
		}
		changed = f.s.outbox.Watch()
		var err error
		if entries, cursor, err = f.s.outbox.Outcomes(ctx, cursor, feedPage); err != nil {
			return err
		}
	}
}

// wait returns when there may be more; false: the feed ends.
func (f *feed) wait(ctx context.Context, changed <-chan struct{}) (more bool, err error) {
	beat := time.NewTicker(feedBeat)
	defer beat.Stop()
	for {
		select {
		case <-changed:
			return true, nil
		case <-f.s.stopping.Done():
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		case <-beat.C:
			if err := f.beat(); err != nil {
				return false, err
			}
		}
	}
}

// beat writes what readers ignore: a comment, or a blank line.
func (f *feed) beat() error {
	text := "\n"
	if f.sse {
		text = ":\n\n"
	}
	if _, err := f.out.Write([]byte(text)); err != nil {
		return err
	}
	return f.out.flush()
}

func (f *feed) write(entries []store.OutcomeEntry) error {
	f.text = f.text[:0]
	for i := range entries {
		line, err := marshal(outcome(&entries[i]))
		if err != nil {
			return err
		}
		if f.sse {
			f.text = append(append(append(f.text, "id: "...), entries[i].Cursor...), "\ndata: "...)
		}
		f.text = append(f.text, line...)
		if f.sse {
			f.text = append(f.text, '\n')
		}
	}
	if _, err := f.out.Write(f.text); err != nil {
		return err
	}
	return f.out.flush()
}
