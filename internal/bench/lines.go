package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// What an NDJSON connection has under way.
const (
	linesConnections = 2
	linesWindow      = 1000 // events without a result
	linesPiece       = 100  // most events of one write
)

// lineStream is one request of NDJSON whose results are read while its lines are
// still being written. It keeps a window of events that wait for their results:
// each result makes room for another line.
type lineStream struct {
	load *load
	conn net.Conn
	text *text

	mu      sync.Mutex
	room    sync.Cond
	written int64                  // events
	read    int64                  // results
	sent    [linesWindow]time.Time // when event n was written, at n modulo the window
	over    bool                   // no more lines
}

func newLineStream(l *load, conn net.Conn) *lineStream {
	s := &lineStream{load: l, conn: conn, text: newText(nil, append(event(), '\n'), linesPiece)}
	s.room.L = &s.mu
	return s
}

// run writes until the load's limit or the end of ctx, and reads all results.
func (s *lineStream) run(ctx context.Context) (times, error) {
	unwatch := context.AfterFunc(ctx, s.stop)
	defer unwatch()
	wrote := make(chan error, 1)
	go func() { wrote <- s.write() }()
	all, err := s.results()
	if err != nil {
		s.stop()
		s.conn.Close() // so that the writer ends
	}
	return all, errors.Join(err, <-wrote)
}

// stop lets the writer end the request.
func (s *lineStream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.room.Signal()
}

func (s *lineStream) write() error {
	const head = "POST /v1/events HTTP/1.1\r\nHost: outboxd\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
	if _, err := s.conn.Write([]byte(head)); err != nil {
		return err
	}
	for n := s.claim(); n > 0; n = s.claim() {
		piece := s.text.bytes[:n*(EventBytes+1)]
		chunk := net.Buffers{fmt.Appendf(nil, "%x\r\n", len(piece)), piece, []byte("\r\n")}
		if _, err := chunk.WriteTo(s.conn); err != nil {
			return err
		}
	}
	_, err := s.conn.Write([]byte("0\r\n\r\n"))
	return err
}

// claim waits for room in the window, and prepares as many lines as it has, which
// count as written from now on. 0 is the end.
func (s *lineStream) claim() int64 {
	s.mu.Lock()
	for s.written-s.read == linesWindow && !s.over {
		s.room.Wait()
	}
	n := min(linesWindow-(s.written-s.read), linesPiece)
	over := s.over && s.written > 0 // however short the time, something is measured
	s.mu.Unlock()
	if over {
		return 0
	}
	if n = s.load.begin(n); n == 0 {
		return 0
	}
	s.text.renew(int(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i := range n {
		s.sent[(s.written+i)%linesWindow] = now
	}
	s.written += n
	return n
}

// results reads the answer to its end.
func (s *lineStream) results() (all times, err error) {
	res, err := http.ReadResponse(bufio.NewReaderSize(s.conn, 64<<10), nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("a stream of events was answered with %s", res.Status)
	}
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	var got []time.Time // when each result was read that is not accounted for yet
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return all, s.complete()
		}
		if err != nil {
			return all, err
		}
		if !bytes.HasPrefix(line, []byte(`{"key":`)) {
			return all, fmt.Errorf("an event was refused: %.200s", line)
		}
		got = append(got, time.Now())
		if lines.Buffered() == 0 || len(got) == linesPiece {
			if err := s.account(&all, got); err != nil {
				return all, err
			}
			got = got[:0]
		}
	}
}

// account adds the times of the next results, and makes room for as many lines.
func (s *lineStream) account(all *times, got []time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written-s.read < int64(len(got)) {
		return errors.New("more results than events")
	}
	for _, at := range got {
		all.add(at.Sub(s.sent[s.read%linesWindow]))
		s.read++
	}
	s.room.Signal()
	s.load.acknowledged(int64(len(got)))
	return nil
}

func (s *lineStream) complete() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read != s.written {
		return fmt.Errorf("%d results for %d events", s.read, s.written)
	}
	return nil
}
