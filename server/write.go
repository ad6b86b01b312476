package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/outboxd/outboxd/api"
)

// writeJSON answers with a document.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", api.JSON)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body)
	return nil
}

// marshal writes a value and a line feed; <, > and & stay as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return b.Bytes(), nil
}

// accepts says whether the client asked for a media type by its name.
func accepts(r *http.Request, media string) bool {
	for _, header := range r.Header.Values("Accept") {
		for entry := range strings.SplitSeq(header, ",") {
			name, _, _ := strings.Cut(entry, ";")
			if strings.EqualFold(strings.TrimSpace(name), media) {
				return true
			}
		}
	}
	return false
}

// deadlineEvery is how far a deadline may have aged before it is set anew.
const deadlineEvery = time.Second

// stream is an answer of unknown length. Each write has its own deadline, so
// the stream may last as long as its reader keeps reading.
type stream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	last time.Time
}

// newStream takes the time limits of a usual request off the connection. The
// header is sent with the first write or flush.
func newStream(w http.ResponseWriter, media string) *stream {
	s := &stream{w: w, rc: http.NewResponseController(w)}
	s.rc.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	return s
}

func (s *stream) Write(b []byte) (int, error) {
	s.extend()
	return s.w.Write(b)
}

func (s *stream) flush() error {
	s.extend()
	return s.rc.Flush()
}

func (s *stream) extend() {
	if now := time.Now(); now.Sub(s.last) > deadlineEvery {
		s.last = now
		s.rc.SetWriteDeadline(now.Add(stallTimeout))
	}
}

// abort cuts the connection, so that the client can't take the answer for whole.
func (s *Server) abort(what string, err error) {
	s.log.Debug("answer cut", "call", what, "err", err)
	panic(http.ErrAbortHandler)
}

// unhurried takes the time limits of a usual request off a connection whose
// answer may take until then.
func unhurried(w http.ResponseWriter, until time.Time) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Time{})
	rc.SetWriteDeadline(until)
}

func (s *Server) logRequest(r *http.Request, status int) {
	ctx := r.Context()
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	s.log.DebugContext(ctx, "request", "method", r.Method, "path", r.URL.EscapedPath(), "status", status, "uid", peerOf(ctx).uid)
}
