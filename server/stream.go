package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/outboxd/outboxd/api"
)

// Bounds of one stream of NDJSON.
const (
	streamBatch = 1000     // lines in a commit
	streamBytes = 2 << 20  // of lines in a commit, roughly
	streamRead  = 64 << 10 // bytes of a read
)

// putStream answers NDJSON of any length while it is still being sent: one
// goroutine reads lines into a pile, this one takes what has gathered, commits
// it, and writes the results. While a commit syncs, the next one's lines
// gather; a client that does not read its results holds back the reading.
func (s *Server) putStream(w http.ResponseWriter, r *http.Request) error {
	uid := peerOf(r.Context()).uid
	if !s.streams.take(uid) {
		return api.CodeRateLimited.Problem("the peer's user writes too many streams at once")
	}
	defer s.streams.done(uid)
	out := newStream(w, api.NDJSON)
	out.rc.EnableFullDuplex()
	in := &bodyReader{body: r.Body, rc: out.rc}
	p := newPile()
	// What was read by then is still committed and answered; then the cut says
	// that the rest was not.
	unwatch := context.AfterFunc(s.stopping, in.end)
	defer unwatch()

	var reading sync.WaitGroup
	// Of a body whose length is told and small the rest is on its way: waiting for
	// it saves commits.
	whole := r.ContentLength >= 0 && r.ContentLength <= streamBytes
	reading.Go(func() { p.close(s.readLines(in, p, !whole)) })
	err := s.commitPile(r, out, p)
	p.stop()
	if err != nil {
		in.end()
	}
	reading.Wait()
	if err != nil {
		s.abort("put events", err)
	}
	return nil
}

// commitPile writes what gathers until the lines end. An error means that the
// answer can't be brought to its end.
func (s *Server) commitPile(r *http.Request, out *stream, p *pile) error {
	var text []byte
	for {
		b, err := p.take()
		if b == nil {
			return err
		}
		results, err := s.put(r.Context(), b, false)
		if err != nil {
			return err
		}
		text = s.appendResults(text[:0], b, results, asLines, true)
		text = append(text, asLines.close...)
		if _, err := out.Write(text); err != nil {
			return err
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}

// readLines reads events until the body ends, or the pile is stopped. With eager
// what has come is committed whenever more is not there yet. The error is nil
// at a proper end.
func (s *Server) readLines(in io.Reader, p *pile, eager bool) error {
	br := bufio.NewReaderSize(in, streamRead)
	var long []byte
	for number := 1; ; number++ {
		line, err := readLine(br, &long)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLongLine) {
			return err
		}
		if !s.pileLine(p, line, number, errors.Is(err, errLongLine)) {
			return errStopped
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if eager && br.Buffered() == 0 {
			p.push()
		}
	}
}

// pileLine adds one line; it is false when nobody takes it any more.
func (s *Server) pileLine(p *pile, line []byte, number int, tooLong bool) bool {
	line = bytes.Trim(line, jsonSpace)
	if len(line) == 0 && !tooLong {
		return true
	}
	b := p.lock()
	defer p.unlock()
	switch {
	case b == nil:
		return false
	case tooLong:
		b.refuse(api.CodeTooLarge.Problem("an event has at most 1 MiB"), number)
	default:
		s.add(b, line, number)
	}
	return true
}

var (
	errLongLine = errors.New("line too long")
	errStopped  = errors.New("stream stopped")
)

// readLine returns the next line, which is good until the next call. Of a line
// longer than an event may be it returns errLongLine, having skipped it.
func readLine(br *bufio.Reader, long *[]byte) ([]byte, error) {
	part, err := br.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	*long = append((*long)[:0], part...)
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = br.ReadSlice('\n')
		if tooLong = tooLong || len(*long)+len(part) > api.MaxEvent+2; !tooLong { // with CR LF
			*long = append(*long, part...)
		}
	}
	if tooLong && (err == nil || errors.Is(err, io.EOF)) {
		return nil, errors.Join(errLongLine, err)
	}
	return *long, err
}

// pile is where lines gather. The reader waits while it is full, the committer
// while there is nothing to do.
type pile struct {
	mu      sync.Mutex
	changed sync.Cond
	batch   *batch // gathers
	spare   *batch // in the committer's hands
	pushed  bool   // what has gathered is worth a commit
	closed  bool   // no more lines come
	err     error  // why, if not at a proper end
	stopped bool   // nobody takes any more
}

func newPile() *pile {
	p := &pile{batch: new(batch), spare: new(batch)}
	p.changed.L = &p.mu
	return p
}

// lock waits for room and returns the batch to add to, nil once stopped. It is
// followed by unlock.
func (p *pile) lock() *batch {
	p.mu.Lock()
	for p.full() && !p.stopped {
		p.changed.Wait()
	}
	if p.stopped {
		return nil
	}
	return p.batch
}

func (p *pile) full() bool { return len(p.batch.items) >= streamBatch || p.batch.bytes >= streamBytes }

func (p *pile) unlock() {
	if p.full() {
		p.pushed = true
		p.changed.Broadcast()
	}
	p.mu.Unlock()
}

// push says that more may be long in coming: what there is should be committed.
func (p *pile) push() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.batch.items) > 0 && !p.pushed {
		p.pushed = true
		p.changed.Broadcast()
	}
}

// close says that no more lines come.
func (p *pile) close(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.err = true, err
	p.changed.Broadcast()
}

// stop makes the reader end.
func (p *pile) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.changed.Broadcast()
}

// take returns what has gathered, which is the caller's until its next call.
// It is nil at the end, with the error that close was told.
func (p *pile) take() (*batch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.pushed && !p.closed {
		p.changed.Wait()
	}
	if len(p.batch.items) == 0 {
		return nil, p.err
	}
	p.spare.reset()
	p.batch, p.spare = p.spare, p.batch
	p.pushed = false
	p.changed.Broadcast()
	return p.spare, nil
}
