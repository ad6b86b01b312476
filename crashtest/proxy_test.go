package crashtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy stands between a daemon and its org, and does something to one call.
type proxy struct {
	t      testing.TB
	l      net.Listener
	target string // host and port
	work   sync.WaitGroup

	mu    sync.Mutex
	match string // what the first line of the call holds
	do    func(*exchange)
	met   int // calls that matched
	open  map[net.Conn]bool

	over chan struct{} // closed when it was done
}

// exchange is a call that came in whole, and is not passed on yet.
type exchange struct {
	*proxy
	daemon  net.Conn
	in      *bufio.Reader
	request []byte
}

// between makes a proxy for the org at url; do happens to the first call whose
// first line holds match.
func between(t testing.TB, url, match string, do func(*exchange)) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, l: l, target: strings.TrimPrefix(url, "http://"), match: match, do: do, open: map[net.Conn]bool{}, over: make(chan struct{})}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) url() string { return "http://" + p.l.Addr().String() }

func (p *proxy) close() {
	_ = p.l.Close()
	p.mu.Lock()
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.open[c] = true
		p.mu.Unlock()
		p.work.Go(func() { p.serve(c) })
	}
}

// serve passes the calls of a connection on, one after the other.
func (p *proxy) serve(c net.Conn) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, c)
		_ = c.Close()
	}()
	in := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		raw, err := httputil.DumpRequest(req, true)
		if err != nil {
			return
		}
		x := &exchange{p, c, in, raw}
		do := p.pick(raw)
		do(x)
	}
}

// pick is what happens to a call.
func (p *proxy) pick(raw []byte) func(*exchange) {
	line, _, _ := bytes.Cut(raw, []byte("\r\n"))
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Contains(line, []byte(p.match)) {
		if p.met++; p.met == 1 {
			return func(x *exchange) {
				defer close(p.over)
				p.do(x)
			}
		}
	}
	return func(x *exchange) { x.answer(x.send(x.request)) }
}

// wait is for the end of what happens to the one call.
func (p *proxy) wait() {
	p.t.Helper()
	select {
	case <-p.over:
	case <-time.After(patience):
		p.t.Errorf("nothing happened to a call %s", p.match)
	}
}

// matched is how many calls there were of the kind.
func (p *proxy) matched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.met
}

// send carries bytes to the org and returns its answer; none if they were no whole call.
func (x *exchange) send(request []byte) []byte {
	c, err := new(net.Dialer).DialContext(x.t.Context(), "tcp", x.target)
	if err != nil {
		return nil
	}
	defer c.Close()
	if _, err := c.Write(request); err != nil || len(request) < len(x.request) {
		return nil
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	answer, err := httputil.DumpResponse(res, true)
	if err != nil {
		return nil
	}
	return answer
}

// answer gives the daemon bytes; what the org did not answer, the daemon doesn't get either.
func (x *exchange) answer(b []byte) {
	if len(b) == 0 {
		x.reset()
		return
	}
	_, _ = x.daemon.Write(b) // it may have gone
}

// reset ends the connection the hard way.
func (x *exchange) reset() {
	if tcp, ok := x.daemon.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = x.daemon.Close()
}

// gone waits until the daemon has given the call up.
func (x *exchange) gone() { _, _ = x.in.Peek(1) }

// elsewhere is a server that must not be called.
func elsewhere(t testing.TB) (url string, calls func() int) {
	t.Helper()
	p := between(t, "http://127.0.0.1:1", " ", func(x *exchange) { x.reset() })
	return p.url(), p.matched
}

// lateness is how long after the daemon has given a call up it is carried out.
const lateness = 500 * time.Millisecond

// late carries the call out when its repeat has long been, and no follower yet.
func (x *exchange) late() {
	x.gone()
	select {
	case <-time.After(lateness):
	case <-x.t.Context().Done():
	}
	x.send(x.request)
}

// redirected sends the daemon to another port, where its token must not go.
func (x *exchange) redirected(to string) {
	answer := fmt.Sprintf("HTTP/1.1 307 Temporary Redirect\r\nLocation: %s/services\r\nContent-Length: 0\r\n\r\n", to)
	_, _ = io.WriteString(x.daemon, answer)
}
