package simtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outboxd/outboxd/simulator"
)

// network stands between the client and the org. It has the plan's mishaps
// happen to calls, and takes some time for each.
type network struct {
	w        *world
	org      http.Handler
	listener *listener
	server   *http.Server
	work     sync.WaitGroup // calls that the org still works on

	mu     sync.Mutex
	kinds  map[string]int // calls by kind
	gone   map[string]bool
	jobs   []string // whose close was asked for
	afloat int      // calls that were given up and will be processed
	calm   bool
	total  int
}

func newNetwork(w *world, sim *simulator.Simulator) *network {
	n := &network{w: w, org: sim.Handler(), listener: &listener{conns: make(chan net.Conn), closed: make(chan struct{})}, kinds: map[string]int{}, gone: map[string]bool{}}
	n.server = &http.Server{Handler: http.HandlerFunc(n.serve)}
	go func() { _ = n.server.Serve(n.listener) }()
	return n
}

func (n *network) close() {
	n.server.Close()
	n.work.Wait()
}

// listener hands out the far ends of connections made of memory.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

var errRefused = errors.New("connection refused")

// dial connects one life of the daemon.
func (n *network) dial(ctx context.Context, l *life) (net.Conn, error) {
	l.pass("dial")
	if l.isDead() {
		return nil, errRefused
	}
	if f := n.meets("dial"); f.do != "" {
		n.w.note("net    %d dial: %s", l.n, f.do)
		return nil, errRefused
	}
	near, far := net.Pipe()
	if !l.adopt(near) {
		return nil, errRefused
	}
	select {
	case n.listener.conns <- &lifeline{far, l}:
		return near, nil
	case <-n.listener.closed:
	case <-ctx.Done():
	}
	return nil, errRefused
}

// lifeline is a connection that knows whose it is.
type lifeline struct {
	net.Conn
	life *life
}

// RemoteAddr names the life.
func (c *lifeline) RemoteAddr() net.Addr {
	return &net.UnixAddr{Name: strconv.Itoa(c.life.n), Net: "memory"}
}

// meets counts a call and says what happens to it.
func (n *network) meets(kind string) fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kinds[kind]++
	n.total++
	if n.calm {
		return fault{}
	}
	for _, f := range n.w.plan.faults {
		if f.kind == kind && f.nth == n.kinds[kind] {
			return f
		}
	}
	now := time.Since(epoch)
	for _, s := range n.w.plan.storms {
		if s.from <= now && now < s.until && (kind == "dial") == (s.do == refuse) {
			return fault{kind: kind, do: s.do}
		}
	}
	return fault{}
}

// calls counts all calls so far.
func (n *network) calls() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.total
}

// quiet ends all mishaps but those that are on their way.
func (n *network) quiet() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calm = true
}

// request is a call with its whole body.
type request struct {
	*http.Request
	life *life
	body []byte
	kind string
	job  string
	name string // for the trace
}

var jobPath = regexp.MustCompile(`/jobs/ingest/([^/]+)`)

// kindOf names a call as the simulator's faults do.
func kindOf(method, path string) string {
	rest, data := strings.CutPrefix(path, "/services/data/")
	_, rest, below := strings.Cut(rest, "/")
	switch {
	case !data:
		return "token"
	case !below || rest == "":
		return "versions"
	case strings.HasPrefix(rest, "composite"):
		switch {
		case method == http.MethodPost:
			return "coll.create"
		case method == http.MethodDelete:
			return "coll.delete"
		case strings.Count(rest, "/") > 1:
			return "coll.upsert"
		}
		return "coll.update"
	case strings.HasPrefix(rest, "jobs"):
		return "job." + jobCall(method, rest)
	case strings.HasPrefix(rest, "query"):
		return "query"
	case strings.HasPrefix(rest, "sobjects"):
		return "describe"
	}
	return "limits"
}

func jobCall(method, path string) string {
	switch {
	case method == http.MethodPost:
		return "create"
	case method == http.MethodPut:
		return "upload"
	case method == http.MethodPatch:
		return "close"
	case strings.HasSuffix(path, "/successfulResults"), strings.HasSuffix(path, "/successfulResults/"):
		return "ok"
	case strings.HasSuffix(path, "/failedResults"), strings.HasSuffix(path, "/failedResults/"):
		return "failed"
	case strings.Contains(path, "/unprocessed"):
		return "unprocessed"
	}
	return "get"
}

func (n *network) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	q := &request{Request: r, life: n.w.lifeOf(r.RemoteAddr), body: body, kind: kindOf(r.Method, r.URL.Path)}
	if q.kind == "job.close" && bytes.Contains(body, []byte("Aborted")) {
		q.kind = "job.abort"
	}
	if m := jobPath.FindStringSubmatch(r.URL.Path); m != nil {
		q.job = m[1]
	}
	n.handle(w, q)
}

func (n *network) handle(w http.ResponseWriter, q *request) {
	f := n.meets(q.kind)
	q.name = q.life.name() + " " + q.kind + " " + q.job
	if q.life.passes(q.kind + ".sent") {
		panic(http.ErrAbortHandler)
	}
	if f.do != "" {
		n.w.note("net    %s: %s", q.name, f.do)
	}
	if f.do == double && (q.kind == "coll.create" || q.kind == "token") {
		f.do = "" // an insert that the network itself doubles is two inserts
	}
	n.act(w, q, f)
	if q.life.passes(q.kind + ".done") {
		panic(http.ErrAbortHandler)
	}
}

// act lets happen to a call what the plan says.
func (n *network) act(w http.ResponseWriter, q *request, f fault) {
	switch f.do {
	case lose:
		q.hang()
	case reset:
		q.abort()
	case late:
		n.later(q, f.delay)
		q.hang()
	case unauthorize, proxy401, limit, unavailable, failBefore, html:
		q.life.pass(q.kind)
		f.do.answer().send(w)
		return
	case gone:
		n.forget(q)
	}
	q.life.pass(q.kind)
	a := n.process(q)
	switch f.do {
	case loseAnswer:
		q.hang()
	case resetAnswer:
		q.abort()
	case double:
		n.process(q)
	case slow:
		time.Sleep(timeout + f.delay/8)
	case cut:
		a.cut(w, f.part)
	case short:
		a.shorten(f.part)
	case failAfter, htmlAfter:
		a = f.do.answer()
	}
	q.life.pass(q.kind)
	a.send(w)
}

// hang keeps the client waiting until it gives up.
func (q *request) hang() {
	<-q.Context().Done()
	q.abort()
}

func (q *request) abort() { panic(http.ErrAbortHandler) }

// later has the org process a call that nobody waits for any more.
func (n *network) later(q *request, delay time.Duration) {
	n.mu.Lock()
	n.afloat++
	n.mu.Unlock()
	n.work.Go(func() {
		time.Sleep(delay)
		n.w.note("net    %s: comes late", q.name)
		n.process(q)
		n.mu.Lock()
		n.afloat--
		n.mu.Unlock()
	})
}

// adrift reports whether calls that were given up are still to be processed.
func (n *network) adrift() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.afloat > 0
}

// forget has the org know nothing more of a job, if it has ended: its results are asked for.
func (n *network) forget(q *request) {
	switch q.kind {
	case "job.ok", "job.failed", "job.unprocessed":
		n.mu.Lock()
		n.gone[q.job] = true
		n.mu.Unlock()
	}
}

// closed lists the jobs that were closed, some of them more than once.
func (n *network) closed() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.jobs)
}

func (n *network) forgotten(job string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone[job]
}

// process gives a call to the org and returns what it answers.
func (n *network) process(q *request) *answer {
	if q.job != "" && n.forgotten(q.job) {
		return errorAnswer(404, "NOT_FOUND", "The requested resource does not exist")
	}
	r := q.Clone(context.Background())
	r.Body = io.NopCloser(bytes.NewReader(q.body))
	r.Header.Del("Accept-Encoding") // packing costs time and tells nothing
	if q.kind == "job.close" {
		n.mu.Lock()
		n.jobs = append(n.jobs, q.job)
		n.mu.Unlock()
	}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	func() {
		defer func() {
			if e := recover(); e != nil && e != http.ErrAbortHandler {
				panic(e)
			}
		}()
		n.org.ServeHTTP(a, r)
	}()
	n.w.note("call   %s %d %s", q.name, a.status, n.w.brief(q, a))
	return a
}

// answer is one that can be kept and changed; it is also where the org writes it.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func errorAnswer(status int, code, message string) *answer {
	a := &answer{status: status, header: http.Header{"Content-Type": {"application/json"}}}
	a.body.WriteString(`[{"errorCode":"` + code + `","message":"` + message + `"}]`)
	return a
}

func (a *answer) send(w http.ResponseWriter) {
	for name, v := range a.header {
		w.Header()[name] = v
	}
	if a.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the client may have left
}

// cut promises the whole answer, sends a part and breaks the connection.
func (a *answer) cut(w http.ResponseWriter, part float64) {
	if a.body.Len() > 0 {
		a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
		for name, v := range a.header {
			w.Header()[name] = v
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body.Bytes()[:int(part*float64(a.body.Len()))])
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// shorten takes the end off, at the end of a line where there are several.
func (a *answer) shorten(part float64) {
	kept := a.body.Bytes()[:int(part*float64(a.body.Len()))]
	if end := bytes.LastIndexByte(kept, '\n'); end >= 0 {
		kept = kept[:end+1]
	}
	a.body.Truncate(len(kept))
	a.header.Del("Content-Length")
}

// answer is what a mishap puts in the place of the org's.
func (m mishap) answer() *answer {
	switch m {
	case unauthorize:
		return errorAnswer(401, "INVALID_SESSION_ID", "Session expired or invalid")
	case limit:
		return errorAnswer(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
	case unavailable:
		return errorAnswer(503, "SERVER_UNAVAILABLE", "The server is unavailable")
	case failBefore, failAfter:
		return errorAnswer(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred")
	}
	a := &answer{status: 503, header: http.Header{"Content-Type": {"text/html"}}}
	if m == proxy401 {
		a.status = 401
	}
	a.body.WriteString("<html><body>We are down for maintenance.</body></html>\n")
	return a
}
