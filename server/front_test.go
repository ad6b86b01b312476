package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

func plainRequest(key string, headers ...string) string {
	body := fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"create","fields":{"LastName":"Lovelace"}}`, key)
	return fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: outboxd\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		len(body), strings.Join(headers, ""), body)
}

// FuzzPlain: net/http reads what is taken for a plain request as the same one,
// and takes what may still become one as it comes.
func FuzzPlain(f *testing.F) {
	for _, text := range []string{
		plainRequest("a"),
		plainRequest("a", "Idempotency-Key: \"a\"\r\n", "User-Agent: curl/8.5.0\r\n", "Accept: */*\r\n", "Connection: Keep-Alive\r\n"),
		plainRequest("a") + plainRequest("b"),
		plainRequest("a", "Transfer-Encoding: chunked\r\n"),
		plainRequest("a", "Content-Length: 5\r\n"),
		plainRequest("a", "Content-Encoding: gzip\r\n", "Expect: 100-continue\r\n"),
		plainRequest("a", " folded: yes\r\n"),
		"POST /v1/events HTTP/1.1\r\nhost:\r\ncontent-length:\t00\r\n\r\n",
		"POST /v1/events HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
		"GET /v1/status HTTP/1.1\r\nHost: outboxd\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, is := parsePlain(b)
		for n := range b {
			switch _, before := parsePlain(b[:n]); {
			case before == maybePlain:
			case before != is:
				t.Fatalf("%q is %d, the whole is %d", b[:n], before, is)
			case is == isPlain && n < h.size:
				t.Fatalf("%q is plain before its end", b[:n])
			}
		}
		if is != isPlain {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if r.Method != "POST" || r.RequestURI != "/v1/events" || r.Proto != "HTTP/1.1" || r.Close ||
			r.ContentLength != int64(h.length) || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 {
			t.Errorf("net/http reads %+v, not %+v", r, h)
		}
		for name, value := range map[string][]byte{"Content-Type": h.contentType, "Idempotency-Key": h.key} {
			var want []string
			if value != nil {
				want = []string{string(value)}
			}
			if !slices.Equal(r.Header[name], want) {
				t.Errorf("%s is %q to net/http, not %q", name, r.Header[name], want)
			}
		}
		rest, err := io.ReadAll(r.Body)
		if got := b[h.size:min(len(b), h.size+h.length)]; !bytes.Equal(rest, got) || (err == nil) != (len(got) == h.length) {
			t.Errorf("the body is %q to net/http (%v), not %q", rest, err, got)
		}
	})
}

// exchange writes texts on one connection and reads as many answers as wanted.
func (r *rig) exchange(conn net.Conn, want int, texts ...string) (statuses []int) {
	r.Helper()
	must(r, conn.SetDeadline(time.Now().Add(30*time.Second)))
	go func() {
		for _, text := range texts {
			if _, err := io.WriteString(conn, text); err != nil {
				return // the reader says so
			}
		}
	}()
	in := bufio.NewReader(conn)
	for range want {
		res, err := http.ReadResponse(in, nil)
		must(r, err)
		_, err = io.Copy(io.Discard, res.Body)
		must(r, err)
		if res.Header.Get("Date") == "" {
			r.Error("an answer without Date")
		}
		statuses = append(statuses, res.StatusCode)
	}
	return statuses
}

func (r *rig) connect() net.Conn {
	r.Helper()
	conn, err := r.dial(r.ctx, "", "")
	must(r, err)
	r.Cleanup(func() { conn.Close() })
	return conn
}

// However requests share a connection and are cut into pieces, each is answered, in order.
func TestFront_AnswersInOrderWhateverFollows(t *testing.T) {
	const status = "GET /v1/status HTTP/1.1\r\nHost: outboxd\r\n\r\n"
	r := start(t)
	all := plainRequest("x1") + plainRequest("x2") + status + plainRequest("x1") + plainRequest("x3")
	want := []int{201, 201, 200, 200, 201}
	for _, tt := range []struct {
		name  string
		texts []string
		want  []int
	}{
		{"at once", []string{all}, want},
		{"byte by byte", strings.Split(strings.NewReplacer("x1", "y1", "x2", "y2", "x3", "y3").Replace(all), ""), want},
		{"a long key in the header", []string{plainRequest("z1", "Idempotency-Key: z1\r\n", "X-Trace: "+strings.Repeat("x", maxPlainHeader)+"\r\n")}, []int{201}},
		{"another key in the header", []string{plainRequest("z2", "Idempotency-Key: z3\r\n")}, []int{400}},
		{"two keys in the header", []string{plainRequest("z2", "Idempotency-Key: z2\r\n", "Idempotency-Key: z2\r\n")}, []int{400}},
		{"no JSON", []string{strings.Replace(plainRequest("z2"), "{", "[", 1), plainRequest("z2")}, []int{400, 201}},
		{"no media type", []string{strings.Replace(plainRequest("z4"), "Content-Type", "X-Type", 1)}, []int{415}},
		{"a body that is too large", []string{"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"}, []int{413}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := r.exchange(r.connect(), len(tt.want), tt.texts...); !slices.Equal(got, tt.want) {
				t.Errorf("statuses = %v, want %v", got, tt.want)
			}
		})
	}
}

// A connection that the client ends in the middle of a request gets what net/http would say.
func TestFront_ACutRequestStoresNothing(t *testing.T) {
	r := start(t)
	conn := r.connect()
	text := plainRequest("cut")
	_, err := io.WriteString(conn, text[:len(text)-5])
	must(t, err)
	must(t, conn.(*net.UnixConn).CloseWrite())
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	if res.StatusCode != 400 {
		t.Errorf("status = %d, want 400", res.StatusCode)
	}
	if got := r.get("/v1/events/cut").status; got != 404 {
		t.Errorf("GET of the cut event = %d, want 404", got)
	}
}

// At a stop a connection that waits ends at once, one with a request under way
// after its answer, and one that never ends its request with the grace.
func TestFront_Stop(t *testing.T) {
	r := start(t, func(s *setup) { s.config.Grace = time.Second / 2 })
	idle, busy, partial := r.connect(), r.connect(), r.connect()
	r.exchange(idle, 1, plainRequest("idle"))
	r.exchange(partial, 1, plainRequest("partial"))
	_, err := io.WriteString(partial, "POST /v1/events HTTP/1.1\r\n")
	must(t, err)

	held, free := make(chan struct{}), make(chan struct{})
	r.fail(func(method string) storetest.Fault {
		if method == "Put" {
			close(held)
			<-free
			r.fail(nil)
		}
		return storetest.Fault{}
	})
	go func() {
		<-held
		go r.stop()
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read of the waiting connection: %v, want EOF", err)
		}
		close(free)
	}()
	if got := r.exchange(busy, 1, plainRequest("busy")); !slices.Equal(got, []int{201}) {
		t.Errorf("the request under way is answered %v, want 201", got)
	}
	r.stop()
	if _, err := partial.Read(make([]byte, 1)); err == nil {
		t.Error("the connection with half a request was answered")
	}
}

// slowOutbox takes its time for a commit.
type slowOutbox struct {
	Outbox
	takes time.Duration
}

func (o slowOutbox) Put(_ context.Context, events []store.Event, _ store.PutOptions) ([]store.PutResult, error) {
	time.Sleep(o.takes) // within a bubble
	return make([]store.PutResult, len(events)), nil
}

// plainPair is a plain connection in a bubble, from both sides.
func plainPair(o Outbox) (client net.Conn, p *plainConn) {
	client, theirs := net.Pipe()
	s := New(Config{Access: Access{Write: []string{"*"}}}, Deps{Outbox: o, Dispatch: &fakeDispatch{}, Logger: discard()})
	s.Ready()
	return client, newPlainConn(s, &peerConn{Conn: theirs, release: func() {}})
}

// An accepted event is answered, however long its commit took, and in whatever pieces it came.
func TestFront_AnswersAfterASlowCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, p := plainPair(slowOutbox{takes: readHeaderTimeout + idleTimeout/2})
		go func() {
			defer p.c.Close()
			p.serve()
		}()
		in := bufio.NewReader(client)
		for i := range 3 {
			text := plainRequest(fmt.Sprint(i))
			for _, part := range []string{text[:100], text[100:]} {
				_, err := io.WriteString(client, part)
				must(t, err)
				time.Sleep(readHeaderTimeout - time.Second)
			}
			res, err := http.ReadResponse(in, nil)
			must(t, err)
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 201 {
				t.Fatalf("request %d: %s, %v, want 201", i, res.Status, err)
			}
		}
		client.Close()
	})
}

// Who sends a request byte by byte has no longer for it than net/http gives.
func TestFront_GivesATrickleToNetHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, p := plainPair(slowOutbox{})
		begun := time.Now()
		var sending sync.WaitGroup
		sending.Go(func() {
			for _, b := range []byte(plainRequest("a")) {
				if _, err := client.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(readHeaderTimeout / 3)
			}
		})
		notPlain := p.serve()
		if took := time.Since(begun); !notPlain || took > readHeaderTimeout+time.Second {
			t.Errorf("after %s net/http gets it: %t, want that after %s", took, notPlain, readHeaderTimeout)
		}
		client.Close()
		p.c.Close()
		sending.Wait()
	})
}
