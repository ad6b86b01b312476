package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/outboxd/outboxd/api"
)

// mediaOf returns the media type of the body: api.JSON or api.NDJSON.
func mediaOf(r *http.Request) (string, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "", api.CodeUnsupportedMediaType.Problem("Content-Encoding is not supported; send the body as it is")
	}
	header := r.Header.Get("Content-Type")
	switch header {
	case api.JSON, api.NDJSON:
		return header, nil
	}
	media, params, err := mime.ParseMediaType(header)
	if err == nil && (media == api.JSON || media == api.NDJSON) {
		if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
			return "", api.CodeUnsupportedMediaType.Problem("JSON is UTF-8; another charset is not supported")
		}
		return media, nil
	}
	return "", api.CodeUnsupportedMediaType.Problem("Content-Type must be " + api.JSON + " or " + api.NDJSON)
}

var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 4<<10)) }}

// body is a whole body. It is the caller's until free.
type body struct {
	*bytes.Buffer
	free func()
}

// readBody reads a whole body of at most limit bytes.
func (s *Server) readBody(r *http.Request, limit int64) (body, error) {
	size := r.ContentLength
	if size > limit {
		return body{}, tooLarge(limit)
	}
	if size < 0 {
		size = limit
	}
	b := body{Buffer: buffers.Get().(*bytes.Buffer)}
	b.free = func() { keepBuffer(b.Buffer) }
	if size > smallBody {
		uid := peerOf(r.Context()).uid
		s.bodies.take(uid, size)
		b.free = func() { keepBuffer(b.Buffer); s.bodies.give(uid, size) }
	}
	if err := b.read(r, limit); err != nil {
		b.free()
		return body{}, err
	}
	return b, nil
}

func (b body) read(r *http.Request, limit int64) error {
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(io.LimitReader(r.Body, limit+1)); err != nil {
		return bodyError(err)
	}
	if int64(b.Len()) > limit {
		return tooLarge(limit)
	}
	return nil
}

// keepBuffer keeps a buffer for the next request, unless it has grown large.
func keepBuffer(b *bytes.Buffer) {
	const worthKeeping = 2 << 20
	if b.Cap() <= worthKeeping {
		b.Reset()
		buffers.Put(b)
	}
}

func tooLarge(limit int64) *api.Problem {
	return api.CodeTooLarge.Problem(fmt.Sprintf("the body is longer than %d MiB", limit>>20))
}

// bodyError says what a body that could not be read means.
func bodyError(err error) error {
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return api.CodeMalformed.Problem("the body did not come in time")
	}
	return api.CodeMalformed.Problem("the body was cut")
}

// readMove decodes the body of a move strictly into v. An absent or empty body
// leaves v as it is.
func (s *Server) readMove(r *http.Request, v any) error {
	if r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	body, err := s.readBody(r, maxMoveBody)
	if err != nil {
		return err
	}
	defer body.free()
	if len(bytes.TrimSpace(body.Bytes())) == 0 {
		return nil
	}
	if media, err := mediaOf(r); err != nil {
		return err
	} else if media != api.JSON {
		return api.CodeUnsupportedMediaType.Problem("Content-Type must be " + api.JSON)
	}
	if err := json.Unmarshal(body.Bytes(), v, json.RejectUnknownMembers(true)); err != nil {
		return moveError(err)
	}
	return nil
}

// moveError tells JSON that is none from JSON that is something else.
func moveError(err error) error {
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		path := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		detail := "not what this member takes"
		if errors.Is(err, json.ErrUnknownName) {
			detail = "unknown member"
		}
		p := api.CodeInvalidRequest.Problem(strings.TrimPrefix(path+": "+detail, ": "))
		p.Errors = []api.ProblemError{{Path: path, Detail: detail}}
		return p
	}
	return api.CodeMalformed.Problem("the body is not JSON, not UTF-8, or has a doubled member")
}

// bodyReader reads the body of a stream. Each read has a deadline of its own,
// and another goroutine can end it.
type bodyReader struct {
	body io.Reader
	rc   *http.ResponseController

	mu    sync.Mutex
	last  time.Time
	ended bool
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.extend()
	return b.body.Read(p)
}

func (b *bodyReader) extend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); !b.ended && now.Sub(b.last) > deadlineEvery {
		b.last = now
		b.rc.SetReadDeadline(now.Add(stallTimeout))
	}
}

// end makes the read under way and all later ones fail.
func (b *bodyReader) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.rc.SetReadDeadline(time.Unix(1, 0))
}
