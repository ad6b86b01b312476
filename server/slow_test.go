package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

func TestSlow_ReaderOfResultsHoldsBackItsOwnStreamOnly(t *testing.T) {
	r := start(t)
	conn, err := r.dial(t.Context(), "", "")
	must(t, err)
	defer conn.Close()
	io.WriteString(conn, "POST /v1/events HTTP/1.1\r\nHost: o\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
	// It sends bad lines for ever, whose results are longer than they, and never reads one.
	line := strings.Repeat("x\n", 1000)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(line), line)
	must(t, conn.SetWriteDeadline(time.Now().Add(2*time.Second)))
	for {
		if _, err := io.WriteString(conn, chunk); err != nil {
			break // the socket is full: the server no longer reads
		}
	}
	if r.server.stopping.Err() != nil {
		t.Fatal("stopped")
	}
	r.put(contact("k", "1"))
}

func TestSlow_BodyThatStallsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A body that brings a byte now and then is read for as long as it lasts …
		deadlines := &deadlineRecorder{}
		in := &bodyReader{body: strings.NewReader("abc"), rc: http.NewResponseController(deadlines)}
		one := make([]byte, 1)
		for range 3 {
			if _, err := in.Read(one); err != nil {
				t.Fatal(err)
			}
			if got := time.Until(deadlines.read); got != stallTimeout {
				t.Errorf("the read may take %v, want %v", got, stallTimeout)
			}
			time.Sleep(20 * time.Second)
		}
		// … until it is ended, and nothing prolongs it any more.
		in.end()
		time.Sleep(time.Minute)
		in.Read(one)
		if !deadlines.read.Before(time.Now()) {
			t.Error("an ended body may still be read")
		}
	})
}

func TestSlow_WritesOfAStreamHaveADeadlineEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deadlines := &deadlineRecorder{}
		out := newStream(deadlines, api.NDJSON)
		if !deadlines.read.IsZero() {
			t.Error("the time limit of a usual request is still there")
		}
		for range 3 {
			if _, err := out.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if got := time.Until(deadlines.write); got != stallTimeout {
				t.Errorf("the write may take %v, want %v", got, stallTimeout)
			}
			time.Sleep(time.Hour)
		}
	})
}

// deadlineRecorder is an answer that remembers its deadlines.
type deadlineRecorder struct {
	bytes.Buffer
	header      http.Header
	read, write time.Time
}

func (d *deadlineRecorder) Header() http.Header {
	if d.header == nil {
		d.header = make(http.Header)
	}
	return d.header
}
func (d *deadlineRecorder) WriteHeader(int)                    {}
func (d *deadlineRecorder) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlineRecorder) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func TestBodies_OfOneUserWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBodyBudget()
		b.take(1, maxBodyBytes-10)
		b.take(2, maxBodyBytes) // another user's are not concerned
		taken := false
		go func() { b.take(1, 20); taken = true; b.give(1, 20) }()
		synctest.Wait()
		if taken {
			t.Error("more than the bound was taken")
		}
		b.give(1, maxBodyBytes-10)
		synctest.Wait()
		if !taken || len(b.held) != 1 {
			t.Errorf("taken %v, held %v", taken, b.held)
		}
	})
}

func TestStreams_AreBounded(t *testing.T) {
	r := start(t)
	uid := uint32(os.Getuid())
	for range maxStreams {
		r.server.streams.take(uid)
	}
	body := struct{ io.Reader }{strings.NewReader(contact("k", "1") + "\n")}
	wantProblem(t, r.doWith(r.http, "POST", "/v1/events", body, "Content-Type", api.NDJSON), 429, api.CodeRateLimited)
	r.server.streams.done(uid)
	body = struct{ io.Reader }{strings.NewReader(contact("k", "1") + "\n")}
	results(t, r.doWith(r.http, "POST", "/v1/events", body, "Content-Type", api.NDJSON))
}

func TestPanic_IsLoggedAndCutsTheConnection(t *testing.T) {
	r := start(t, func(s *setup) {
		s.deps.Segment = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a mistake") })
	})
	if status := r.raw("POST /v1/track HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n"); status != 0 {
		t.Errorf("status %d", status)
	}
	if log := r.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "a mistake") {
		t.Errorf("log: %s", log)
	}
}

func TestPile_KeepsOrderAndBounds(t *testing.T) {
	s := &Server{rate: newRateLimit(0)}
	p := newPile()
	const n = 20_000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			if !s.pileLine(p, []byte(contact(fmt.Sprint(i), "1")), i+1, false) {
				t.Error("stopped")
				return
			}
			if i%777 == 0 {
				p.push()
			}
		}
		p.close(errors.New("the end"))
	})
	next := 0
	for {
		b, err := p.take()
		if b == nil {
			if err == nil || err.Error() != "the end" {
				t.Errorf("the pile ends with %v", err)
			}
			break
		}
		if len(b.items) > streamBatch {
			t.Fatalf("%d items at once", len(b.items))
		}
		for _, it := range b.items {
			if next++; it.line != next {
				t.Fatalf("line %d in the place of %d", it.line, next)
			}
		}
	}
	wg.Wait()
	if next != n {
		t.Errorf("%d lines of %d", next, n)
	}
}

// What a cut leaves of a line may look like a whole event.
func TestReadLines_AHalfLineIsNone(t *testing.T) {
	s := &Server{rate: newRateLimit(0)}
	p := newPile()
	cut := io.MultiReader(strings.NewReader(contact("whole", "1")+"\n"+contact("half", "2")), iotest.ErrReader(io.ErrUnexpectedEOF))
	if err := s.readLines(cut, p, false); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("readLines = %v, want %v", err, io.ErrUnexpectedEOF)
	}
	p.push()
	if b, err := p.take(); err != nil || len(b.events) != 1 || b.events[0].Key != "whole" {
		t.Errorf("took %+v, %v, want the whole line alone", b, err)
	}
}

func TestPile_StopsAReaderThatWaits(t *testing.T) {
	s := &Server{rate: newRateLimit(0)}
	p := newPile()
	done := make(chan int)
	go func() {
		n := 0
		for s.pileLine(p, []byte("x"), n+1, false) {
			n++
		}
		done <- n
	}()
	until(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.full() })
	p.stop()
	if n := <-done; n != streamBatch {
		t.Errorf("%d lines were taken", n)
	}
}

// fakeOutbox answers Put alone, so that a fuzzer does not wait for a disk.
type fakeOutbox struct {
	Outbox
	mu   sync.Mutex
	next store.Seq
}

func (f *fakeOutbox) Put(_ context.Context, events []store.Event, _ store.PutOptions) ([]store.PutResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]store.PutResult, len(events))
	for i := range all {
		f.next++
		all[i] = store.PutResult{Seq: f.next, State: store.Pending}
	}
	return all, nil
}

func (f *fakeOutbox) Get(_ context.Context, key string) (store.Record, error) {
	if event.CheckKey(key) != nil {
		return store.Record{}, store.ErrNotFound
	}
	return store.Record{Key: key, State: store.Pending}, nil
}

func fuzzServer() http.Handler {
	s := New(Config{}, Deps{Outbox: &fakeOutbox{}, Dispatch: &fakeDispatch{}, Logger: discard()})
	s.Ready()
	h := s.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{uid: 0})))
	})
}

// FuzzPut: whatever a body holds, the answer is well formed, and there is one
// result for each line or element that is not blank.
func FuzzPut(f *testing.F) {
	for _, seed := range []string{
		contact("k", "1"), "[" + contact("a", "1") + ",{}]", contact("a", "1") + "\n\n{}\r\n", "[]", "", "\n", "[[],{\"a\":[1]}]", "{\"key\":\"\xff\"}", "[1", "\"", "nul", "[null]",
	} {
		f.Add([]byte(seed), true, false)
		f.Add([]byte(seed), false, false)
		f.Add([]byte(seed), false, true)
	}
	h := fuzzServer()
	f.Fuzz(func(t *testing.T, body []byte, lines, chunked bool) {
		media := api.JSON
		if lines {
			media = api.NDJSON
		}
		a := serve(h, body, media, chunked)
		switch {
		case a.status == 200 && lines:
			checkLines(t, a.body, nonBlank(body))
		case a.status == 200:
			if !json.Valid([]byte(a.body)) || !strings.HasPrefix(a.body, "[") {
				t.Errorf("got %q", a.body)
			}
		case a.status == 201:
			if !json.Valid([]byte(a.body)) {
				t.Errorf("got %q", a.body)
			}
		default:
			var p api.Problem
			if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != a.status || p.Code == api.CodeInternal {
				t.Errorf("got %d %q", a.status, a.body)
			}
		}
	})
}

func checkLines(t *testing.T, body string, n int) {
	t.Helper()
	for line := range strings.Lines(body) {
		n--
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %q", line)
		}
	}
	if n != 0 {
		t.Errorf("%d results too few\n%s", n, body)
	}
}

func nonBlank(body []byte) (n int) {
	for _, line := range bytes.Split(body, []byte("\n")) {
		if len(bytes.Trim(line, jsonSpace)) > 0 {
			n++
		}
	}
	return n
}

// serve calls the handler without a connection.
func serve(h http.Handler, body []byte, media string, chunked bool) answer {
	req, _ := http.NewRequest("POST", "http://o/v1/events", bytes.NewReader(body))
	if chunked {
		req.ContentLength = -1
	}
	req.Header.Set("Content-Type", media)
	w := &recorder{}
	h.ServeHTTP(w, req)
	if w.status == 0 {
		w.status = 200
	}
	return answer{w.status, w.Header(), w.String()}
}

// recorder is an answer that is kept.
type recorder struct {
	deadlineRecorder
	status int
}

func (r *recorder) WriteHeader(status int) { r.status = status }
func (r *recorder) Flush()                 {}

// FuzzKey: a key that is accepted is found again under its percent-encoded URL,
// and in the header, quoted.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"k", "a/b", "%", "..%2f", "ü", "\"", "\\", "a b", "/", "\x00", "x/retry", "+", ";"} {
		f.Add(seed)
	}
	h := fuzzServer()
	f.Fuzz(func(t *testing.T, key string) {
		req, err := http.NewRequest("GET", "http://o/v1/events/"+url.PathEscape(key), nil)
		if err != nil {
			t.Skip()
		}
		w := &recorder{}
		h.ServeHTTP(w, req)
		var d api.Document
		err = json.Unmarshal(w.Bytes(), &d)
		if valid := event.CheckKey(key) == nil; valid && (err != nil || d.Key != key) {
			t.Errorf("asked for %q, got %s", key, w)
		} else if !valid && key != "" && w.status != 404 {
			t.Errorf("%q is answered %d", key, w.status)
		}
		if event.CheckKey(key) != nil {
			return
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		got, err := headerKey(&http.Request{Header: http.Header{"Idempotency-Key": {quoted}}})
		if err != nil || got != key {
			t.Errorf("header %s gave %q, %v", quoted, got, err)
		}
	})
}
