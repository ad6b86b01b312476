package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outboxd/outboxd/internal/term"
)

// load writes events over persistent connections. It speaks HTTP by hand,
// since client and daemon share the machine and what is measured is the daemon.
type load struct {
	socket      string
	connections int
	lines       bool         // NDJSON streams, else one event a request
	limit       int64        // events in all; 0: until the context ends
	bar         *term.Bar    // nil: none
	begun       atomic.Int64 // events
	done        atomic.Int64 // acknowledged
}

// loaded is what became of a load.
type loaded struct {
	events  int64
	elapsed time.Duration
	times   times // one an event
}

func (l loaded) rate() float64 { return ratio(float64(l.events), l.elapsed.Seconds()) }

// run writes until the limit or the end of the context, and then waits for what
// is under way.
func (l *load) run(ctx context.Context) (loaded, error) {
	var wg sync.WaitGroup
	each := make([]times, l.connections)
	errs := make([]error, l.connections)
	started := time.Now()
	for i := range l.connections {
		wg.Go(func() { each[i], errs[i] = l.connection(ctx) })
	}
	wg.Wait()
	elapsed := time.Since(started)
	return loaded{events: l.done.Load(), elapsed: elapsed, times: slices.Concat(each...)}, errors.Join(errs...)
}

// runFor writes for a length of time.
func (l *load) runFor(ctx context.Context, length time.Duration) (loaded, error) {
	timed, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	done, err := l.run(timed)
	return done, errors.Join(err, ctx.Err())
}

// begin takes up to n events on oneself; 0 when there are no more to be written.
func (l *load) begin(n int64) int64 {
	if l.limit == 0 {
		return n
	}
	over := max(l.begun.Add(n)-l.limit, 0)
	return max(n-over, 0)
}

func (l *load) acknowledged(n int64) {
	l.done.Add(n)
	if l.bar != nil {
		l.bar.Add(n)
	}
}

func (l *load) connection(ctx context.Context) (times, error) {
	conn, err := net.Dial("unix", l.socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if l.lines {
		return newLineStream(l, conn).run(ctx)
	}
	return l.singles(ctx, conn)
}

// singles sends one request after another, at least one.
func (l *load) singles(ctx context.Context, conn net.Conn) (all times, err error) {
	request := newRequest()
	answers := bufio.NewReader(conn)
	for (ctx.Err() == nil || len(all) == 0) && l.begin(1) > 0 {
		request.renew(1)
		started := time.Now()
		if _, err := conn.Write(request.bytes); err != nil {
			return all, err
		}
		if err := readCreated(answers); err != nil {
			return all, err
		}
		all.add(time.Since(started))
		l.acknowledged(1)
	}
	return all, nil
}

// readCreated reads the answer to a new event with as little work as possible.
func readCreated(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 201")) {
		return fmt.Errorf("an event was answered with %q", bytes.TrimSpace(line))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		name, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if !ok {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("an answer without its length")
	}
	_, err = r.Discard(length)
	return err
}
