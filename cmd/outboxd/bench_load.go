package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outboxd/outboxd/internal/term"
)

// What is sent: events of one size, alone or as NDJSON.
const (
	eventBytes       = 512
	batchEvents      = 1000
	batchConnections = 2
)

// load writes events over persistent connections. It speaks HTTP by hand,
// since client and daemon share the machine and what is measured is the daemon.
type load struct {
	socket      string
	connections int
	events      int   // a request
	limit       int64 // in all; 0: until the time is over
	bar         *term.Bar
	sent        atomic.Int64 // begun
	done        atomic.Int64 // acknowledged
}

// latencies are the times of requests in microseconds.
type latencies []uint32

func (l latencies) quantile(q float64) int64 {
	if len(l) == 0 {
		return 0
	}
	return int64(l[int(q*float64(len(l)-1))])
}

// run writes for a length of time, or, where that is 0, up to the limit.
func (l *load) run(ctx context.Context, length time.Duration) (rate float64, all latencies, err error) {
	if length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
	}
	timed := ctx
	var wg sync.WaitGroup
	times := make([]latencies, l.connections)
	errs := make([]error, l.connections)
	started := time.Now()
	for i := range l.connections {
		wg.Go(func() { times[i], errs[i] = l.connection(timed) })
	}
	wg.Wait()
	elapsed := time.Since(started)
	all = slices.Concat(times...)
	slices.Sort(all)
	if length == 0 && ctx.Err() != nil {
		errs = append(errs, ctx.Err())
	}
	return float64(l.done.Load()) / elapsed.Seconds(), all, errors.Join(errs...)
}

// connection sends one request after another until ctx ends.
func (l *load) connection(ctx context.Context) (latencies, error) {
	conn, err := net.Dial("unix", l.socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	req := newBenchRequest(l.events)
	answers := bufio.NewReaderSize(conn, 64<<10)
	var times latencies
	for ctx.Err() == nil {
		if l.limit > 0 && l.sent.Add(int64(l.events)) > l.limit+int64(l.events)-1 {
			break
		}
		req.renew()
		started := time.Now()
		if err := req.exchange(conn, answers); err != nil {
			return times, err
		}
		times = append(times, uint32(min(time.Since(started).Microseconds(), 1<<32-1)))
		l.done.Add(int64(l.events))
		if l.bar != nil {
			l.bar.Add(int64(l.events))
		}
	}
	return times, nil
}

// benchRequest is a request whose keys are written over for each use.
type benchRequest struct {
	bytes  []byte
	keys   []int // offsets of the UUIDs
	events int
	chance *rand.ChaCha8
}

const uuidBytes = 36

func newBenchRequest(events int) *benchRequest {
	r := &benchRequest{events: events}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	r.chance = rand.NewChaCha8(seed)
	event, keys := benchEvent()
	media, size := "application/json", len(event)
	if events > 1 {
		media, size = "application/x-ndjson", events*(len(event)+1)
	}
	r.bytes = fmt.Appendf(nil, "POST /v1/events HTTP/1.1\r\nHost: outboxd\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", media, size)
	for range events {
		for _, at := range keys {
			r.keys = append(r.keys, len(r.bytes)+at)
		}
		r.bytes = append(r.bytes, event...)
		if events > 1 {
			r.bytes = append(r.bytes, '\n')
		}
	}
	return r
}

// benchEvent is an upsert of eventBytes, and where in it the key stands.
func benchEvent() (event []byte, keys []int) {
	const blank = "00000000-0000-4000-8000-000000000000"
	head := `{"key":"` + blank + `","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"` + blank +
		`"},"fields":{"LastName":"Lovelace","Email":"ada@example.com","Description":"`
	tail := `"}}`
	event = append([]byte(head), bytes.Repeat([]byte("x"), eventBytes-len(head)-len(tail))...)
	event = append(event, tail...)
	first := bytes.Index(event, []byte(blank))
	second := first + 1 + bytes.Index(event[first+1:], []byte(blank))
	return event, []int{first, second}
}

// renew gives every event a key that nobody has used: key and external id alike.
func (r *benchRequest) renew() {
	var raw [16]byte
	var text [uuidBytes]byte
	for i := 0; i < len(r.keys); i += 2 {
		_, _ = r.chance.Read(raw[:]) // never fails
		hex.Encode(text[0:8], raw[0:4])
		hex.Encode(text[9:13], raw[4:6])
		hex.Encode(text[14:18], raw[6:8])
		hex.Encode(text[19:23], raw[8:10])
		hex.Encode(text[24:36], raw[10:16])
		text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
		copy(r.bytes[r.keys[i]:], text[:])
		copy(r.bytes[r.keys[i+1]:], text[:])
	}
}

func (r *benchRequest) exchange(conn net.Conn, answers *bufio.Reader) error {
	if r.events == 1 {
		if _, err := conn.Write(r.bytes); err != nil {
			return err
		}
		return oneAnswer(answers)
	}
	return r.batch(conn, answers)
}

// oneAnswer reads an answer to a single event with as little work as possible.
func oneAnswer(r *bufio.Reader) error {
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

// batch writes while it reads, as the daemon answers line by line.
func (r *benchRequest) batch(conn net.Conn, answers *bufio.Reader) error {
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(r.bytes)
		wrote <- err
	}()
	err := r.results(answers)
	if err != nil {
		conn.Close() // so that the writer ends
	}
	return errors.Join(err, <-wrote)
}

func (r *benchRequest) results(answers *bufio.Reader) error {
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("a batch was answered with %s", res.Status)
	}
	if at := bytes.Index(body, []byte(`"status":`)); at >= 0 {
		return fmt.Errorf("an event was refused: %.200s", body[max(at-1, 0):])
	}
	if n := bytes.Count(body, []byte("\n")); n != r.events {
		return fmt.Errorf("%d results for %d events", n, r.events)
	}
	return nil
}
