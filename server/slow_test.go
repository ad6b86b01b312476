package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/api"
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
