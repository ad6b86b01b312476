package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// front stands before net/http. A single event that is written by a plain
// request costs net/http's server more than it costs the store, and it is the
// call of which there are tens of thousands a second; so front reads plain
// requests itself and gives them to the same handler. A connection that sends
// anything else goes to net/http with what was read of it, and stays there.
type front struct {
	gate   *gate
	s      *Server
	passed chan accepted
	closed chan struct{}
	close  sync.Once

	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[*plainConn]struct{}
	stopping bool
}

// accepted is what net/http gets from Accept.
type accepted struct {
	c   net.Conn
	err error
}

// newFront starts to accept.
func newFront(s *Server, l net.Listener) *front {
	f := &front{
		gate: &gate{Listener: l, s: s}, s: s,
		passed: make(chan accepted), closed: make(chan struct{}), conns: make(map[*plainConn]struct{}),
	}
	f.wg.Go(f.accept)
	return f
}

func (f *front) accept() {
	for {
		c, err := f.gate.Accept()
		if err == nil {
			f.begin(c)
			continue
		}
		// net/http knows which errors pass, and comes back after a while.
		if !f.pass(accepted{err: err}) {
			return
		}
	}
}

// begin answers a connection until it ends or goes to net/http.
func (f *front) begin(c *peerConn) {
	p := newPlainConn(f.s, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		c.Close()
		return
	}
	f.conns[p] = struct{}{}
	f.wg.Go(func() {
		notPlain := p.serve()
		f.forget(p)
		if !notPlain || !f.pass(accepted{c: p.handOver()}) {
			c.Close()
		}
	})
}

func (f *front) forget(p *plainConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, p)
}

// pass gives something to net/http; it is false once nothing is taken.
func (f *front) pass(a accepted) bool {
	select {
	case f.passed <- a:
		return true
	case <-f.closed:
		return false
	}
}

// Accept is net/http's: it returns the connections that are not plain.
func (f *front) Accept() (net.Conn, error) {
	select {
	case a := <-f.passed:
		return a.c, a.err
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close accepts no more. It may be called twice.
func (f *front) Close() (err error) {
	f.close.Do(func() {
		close(f.closed)
		err = f.gate.Close()
	})
	return err
}

func (f *front) Addr() net.Addr { return f.gate.Addr() }

// shutdown accepts no more and ends plain connections: those that wait for a
// request at once, the others after their request, or when ctx ends. It returns
// when all have ended; the error says that some were cut.
func (f *front) shutdown(ctx context.Context) error {
	err := f.Close()
	f.mu.Lock()
	f.stopping = true
	for p := range f.conns {
		p.stop()
	}
	f.mu.Unlock()
	cut := context.AfterFunc(ctx, f.cut)
	f.wg.Wait()
	if !cut() {
		return ctx.Err()
	}
	return err
}

func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.conns {
		p.c.Close()
	}
}

// plainConn is a connection that has sent nothing but plain requests.
type plainConn struct {
	s   *Server
	c   *peerConn
	buf []byte // what was read and not answered

	request *http.Request
	body    plainBody
	answer  plainAnswer

	mu         sync.Mutex
	waits      bool // for a request, of which nothing has come
	stopping   bool
	begun      time.Time // when the first of the request had come that is being read
	readUntil  time.Time // the deadlines that are set
	writeUntil time.Time
}

const plainRoom = 4 << 10

var eventsURL = url.URL{Path: "/v1/events"}

func newPlainConn(s *Server, c *peerConn) *plainConn {
	p := &plainConn{s: s, c: c, buf: make([]byte, 0, plainRoom)}
	r := http.Request{
		Method: http.MethodPost, URL: &eventsURL, RequestURI: eventsURL.Path,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header),
	}
	p.request = r.WithContext(s.connContext(context.Background(), c))
	p.answer.header = make(http.Header)
	return p
}

// serve answers requests until one comes that is not plain, then it is true, or
// the connection ends.
func (p *plainConn) serve() (notPlain bool) {
	for {
		h, ok := p.next()
		if !ok {
			return len(p.buf) > 0
		}
		if !p.respond(h) {
			return false
		}
		p.buf = append(p.buf[:0], p.buf[h.size+h.length:]...)
		if cap(p.buf) > plainRoom && len(p.buf) == 0 {
			p.buf = make([]byte, 0, plainRoom)
		}
	}
}

// next reads until a plain request is there. If it is not ok, what was read of
// another request is in buf.
func (p *plainConn) next() (h plainHeader, ok bool) {
	for {
		h, is := parsePlain(p.buf)
		switch {
		case is == notPlain:
			return h, false
		case is == isPlain && len(p.buf) >= h.size+h.length:
			return h, true
		case is == isPlain && cap(p.buf) < h.size+h.length:
			p.buf = append(make([]byte, 0, h.size+h.length), p.buf...)
		}
		if !p.fill() {
			return h, false
		}
	}
}

// fill reads more. It is false when the connection has ended, or takes so long
// that net/http shall wait for the rest of the request.
func (p *plainConn) fill() bool {
	if !p.begin() {
		return false
	}
	n, err := p.c.Read(p.buf[len(p.buf):cap(p.buf)])
	p.mu.Lock()
	p.waits = false
	p.mu.Unlock()
	p.buf = p.buf[:len(p.buf)+n]
	return n > 0 && err == nil
}

// begin sets the deadline of the next read: a connection may be idle for a time,
// and of a request that has begun the rest has to come within that of a header,
// however it trickles; then net/http takes over with limits of its own.
func (p *plainConn) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits = len(p.buf) == 0
	if p.stopping && p.waits {
		return false
	}
	now := time.Now()
	until := now.Add(idleTimeout)
	switch {
	case !p.waits && p.begun.IsZero():
		p.begun = now
		fallthrough
	case !p.waits:
		until = p.begun.Add(readHeaderTimeout)
	case p.readUntil.IsZero():
		until = now.Add(readHeaderTimeout) // says nothing at all
	}
	if p.waits {
		p.begun = time.Time{}
	}
	// One that is a little early does as well, and is not set for each request.
	if d := until.Sub(p.readUntil); d > deadlineEvery || d < 0 {
		p.readUntil = until
		p.c.SetReadDeadline(until)
	}
	return true
}

// write sends an answer, which has its time from now on: its commit may have taken long.
func (p *plainConn) write(answer []byte) error {
	if now := time.Now(); p.writeUntil.Sub(now) < writeTimeout-deadlineEvery {
		p.writeUntil = now.Add(writeTimeout)
		p.c.SetWriteDeadline(p.writeUntil)
	}
	_, err := p.c.Write(answer)
	return err
}

// stop makes the connection end when it has no request under way.
func (p *plainConn) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	if p.waits {
		p.c.SetReadDeadline(time.Unix(1, 0))
	}
}

// handOver returns the connection for net/http, which sets deadlines of its own.
func (p *plainConn) handOver() *peerConn {
	p.c.SetDeadline(time.Time{})
	return &peerConn{Conn: &begunConn{Conn: p.c.Conn, begun: p.buf}, peer: p.c.peer, release: p.c.release}
}

// respond answers one request; it is false if the connection then ends.
func (p *plainConn) respond(h plainHeader) (more bool) {
	defer func() {
		if recover() != nil { // http.ErrAbortHandler; serveHTTP has logged what else it was
			more = false
		}
	}()
	a, r := &p.answer, p.request
	a.reset()
	p.body.Reset(p.buf[h.size : h.size+h.length])
	r.Body, r.ContentLength = &p.body, int64(h.length)
	setHeader(r.Header, "Content-Type", h.contentType)
	setHeader(r.Header, "Idempotency-Key", h.key)
	p.s.serveHTTP(a, r)
	last := a.header.Get("Connection") == "close" || p.s.stopping.Err() != nil
	return p.write(a.bytes(last)) == nil && !last
}

// setHeader sets or removes a header. The one value that is usual is made once.
func setHeader(h http.Header, name string, value []byte) {
	switch {
	case value == nil:
		delete(h, name)
	case string(value) == jsonHeader[0]:
		h[name] = jsonHeader
	default:
		h[name] = []string{string(value)}
	}
}

// plainBody is a body that is there.
type plainBody struct{ bytes.Reader }

func (*plainBody) Close() error { return nil }

// plainAnswer gathers an answer, which is as short as its request.
type plainAnswer struct {
	header http.Header
	status int
	body   []byte
	out    []byte
	second int64 // of date
	date   []byte
}

func (a *plainAnswer) reset() {
	clear(a.header)
	a.status, a.body = 0, a.body[:0]
}

func (a *plainAnswer) Header() http.Header { return a.header }

func (a *plainAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *plainAnswer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, b...)
	return len(b), nil
}

// bytes is the answer as it is sent. They are good until the next call.
func (a *plainAnswer) bytes(last bool) []byte {
	a.WriteHeader(http.StatusOK)
	if last {
		a.header.Set("Connection", "close")
	}
	out := append(a.out[:0], "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(a.status), 10)
	out = append(append(out, ' '), http.StatusText(a.status)...)
	for name, values := range a.header {
		for _, v := range values {
			out = append(append(append(append(out, "\r\n"...), name...), ": "...), v...)
		}
	}
	out = append(append(out, "\r\nDate: "...), a.now()...)
	out = append(out, "\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(a.body)), 10)
	out = append(append(out, headerEnds...), a.body...)
	if a.out = out; cap(out) > smallBody {
		a.out, a.body = nil, nil
	}
	return out
}

func (a *plainAnswer) now() []byte {
	now := time.Now()
	if s := now.Unix(); s != a.second || a.date == nil {
		a.second, a.date = s, now.UTC().AppendFormat(a.date[:0], http.TimeFormat)
	}
	return a.date
}

// begunConn is a connection of which something was read already.
type begunConn struct {
	net.Conn
	begun []byte
}

func (c *begunConn) Read(b []byte) (int, error) {
	if len(c.begun) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.begun)
	if c.begun = c.begun[n:]; len(c.begun) == 0 {
		c.begun = nil
	}
	return n, nil
}
