package server

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/outboxd/outboxd/api"
)

// handler answers one kind of request; arg is what stood in the path's place
// of {}. An error is answered as a problem, so nothing may be written before.
type handler func(s *Server, w http.ResponseWriter, r *http.Request, arg string) error

// route says who may make which call, and who answers it. A route that is
// always there answers also while the server starts or stops.
type route struct {
	method string
	path   string // at most one {}, for one segment
	right  right
	always bool
	handle handler
}

var routes = []route{
	{"POST", "/v1/events", mayWrite, false, (*Server).putEvents},
	{"GET", "/v1/events", anyone, false, (*Server).listEvents},
	{"GET", "/v1/events/{}", anyone, false, (*Server).getEvent},
	{"POST", "/v1/events/{}/retry", mayOperate, false, (*Server).retryEvent},
	{"POST", "/v1/events/{}/drop", mayOperate, false, (*Server).dropEvent},
	{"POST", "/v1/events/{}/resolve", mayOperate, false, (*Server).resolveEvent},
	{"GET", "/v1/stuck", anyone, false, (*Server).listStuck},
	{"POST", "/v1/stuck/retry", mayOperate, false, (*Server).retryStuck},
	{"POST", "/v1/stuck/drop", mayOperate, false, (*Server).dropStuck},
	{"GET", "/v1/status", anyone, false, (*Server).getStatus},
	{"GET", "/v1/attempts", anyone, false, (*Server).listAttempts},
	{"GET", "/v1/attempts/{}", anyone, false, (*Server).getAttempt},
	{"POST", "/v1/pause", mayOperate, false, (*Server).pause},
	{"POST", "/v1/resume", mayOperate, false, (*Server).resume},
	{"POST", "/v1/flush", mayOperate, false, (*Server).flush},
	{"GET", "/v1/outcomes", anyone, false, (*Server).outcomes},
	{"GET", "/v1/backup", mayOperate, false, (*Server).backup},
	{"GET", "/healthz", anyone, true, (*Server).healthz},
	{"GET", "/readyz", anyone, true, (*Server).readyz},
	{"GET", "/metrics", anyone, true, (*Server).showMetrics},
}

// segmentPaths are the Segment-shaped calls; each with or without an end slash.
var segmentPaths = []string{"batch", "import", "identify", "track", "group", "page", "screen", "alias"}

// methods are the routes of one path.
type methods map[string]*route

// table finds routes: by the whole path, or by what surrounds the {}.
type table struct {
	whole map[string]methods
	parts []part
}

type part struct {
	prefix, suffix string
	methods        methods
}

var socketTable = newTable(routes)

func newTable(list []route) *table {
	t := &table{whole: make(map[string]methods)}
	for i := range list {
		r := &list[i]
		prefix, suffix, dynamic := strings.Cut(r.path, "{}")
		if dynamic {
			t.addPart(prefix, suffix, r)
			continue
		}
		if t.whole[r.path] == nil {
			t.whole[r.path] = make(methods)
		}
		t.whole[r.path][r.method] = r
	}
	for _, name := range segmentPaths {
		r := &route{method: "POST", path: "/v1/" + name, right: mayWrite, handle: (*Server).segmentCall}
		t.whole[r.path] = methods{"POST": r}
		t.whole[r.path+"/"] = t.whole[r.path]
	}
	return t
}

func (t *table) addPart(prefix, suffix string, r *route) {
	for _, p := range t.parts {
		if p.prefix == prefix && p.suffix == suffix {
			p.methods[r.method] = r
			return
		}
	}
	t.parts = append(t.parts, part{prefix, suffix, methods{r.method: r}})
}

// escapedPath is the path as the client wrote it. EscapedPath would write one
// anew that holds a character which should have been escaped, and turn the %2F
// of a key into a slash.
func escapedPath(u *url.URL) string {
	if u.RawPath != "" {
		return u.RawPath
	}
	return u.EscapedPath()
}

// find returns the routes of an escaped path and what stands for {}, unescaped.
func (t *table) find(path string) (m methods, arg string) {
	if m, ok := t.whole[path]; ok {
		return m, ""
	}
	for _, p := range t.parts {
		rest, ok := strings.CutPrefix(path, p.prefix)
		if !ok {
			continue
		}
		if rest, ok = strings.CutSuffix(rest, p.suffix); !ok || rest == "" || strings.Contains(rest, "/") {
			continue
		}
		if arg, err := url.PathUnescape(rest); err == nil {
			return p.methods, arg
		}
	}
	return nil, ""
}

// pick returns the route for a method; HEAD is answered like GET.
func (m methods) pick(method string) *route {
	if r := m[method]; r != nil || method != http.MethodHead {
		return r
	}
	return m[http.MethodGet]
}

func (m methods) allow() string {
	var names []string
	for _, name := range []string{"GET", "HEAD", "POST"} {
		if m.pick(name) != nil {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.active.begin() {
		panic(http.ErrAbortHandler)
	}
	defer s.active.done()
	defer s.logPanic()
	sw := &statusWriter{ResponseWriter: w}
	name := s.answer(sw, r)
	s.metrics.request(name, r.Method, sw.status)
	s.logRequest(r, sw.status)
}

// logPanic makes a mistake of ours visible; then the connection is cut.
func (s *Server) logPanic() {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler {
		s.log.Error("request panicked", "err", fmt.Sprint(v), "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

// answer finds the route of a request, answers it, and returns its pattern.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) string {
	m, arg := socketTable.find(escapedPath(r.URL))
	if m == nil {
		s.fail(w, api.CodeNotFound.Problem("no such path"))
		return "none"
	}
	rt := m.pick(r.Method)
	if rt == nil {
		w.Header().Set("Allow", m.allow())
		s.fail(w, api.CodeMethodNotAllowed.Problem("the path takes "+m.allow()))
		return "none"
	}
	if err := s.admit(rt, peerOf(r.Context())); err != nil {
		if err.Code == api.CodeRateLimited || err.Code == api.CodeStopping {
			w.Header().Set("Connection", "close")
		}
		s.fail(w, err)
		return rt.path
	}
	if err := rt.handle(s, w, r, arg); err != nil {
		s.fail(w, err)
	}
	return rt.path
}

// admit says why a peer may not make a call now; nil: it may.
func (s *Server) admit(rt *route, p peer) *api.Problem {
	switch {
	case p.over:
		return api.CodeRateLimited.Problem("the peer's user holds more connections than limits.connections allows")
	case rt.always:
		return nil
	case s.stopping.Err() != nil:
		return api.CodeStopping.Problem("")
	case !s.isReady():
		return api.CodeStarting.Problem("")
	case !s.rules.Load().allow(p, rt.right):
		return forbidden(rt.right)
	}
	return nil
}

func (s *Server) servePublic(w http.ResponseWriter, r *http.Request) {
	m, _ := socketTable.find(escapedPath(r.URL))
	rt := m.pick(r.Method)
	if rt == nil || !rt.always {
		s.fail(w, api.CodeNotFound.Problem("no such path"))
		return
	}
	if err := rt.handle(s, w, r, ""); err != nil {
		s.fail(w, err)
	}
}

func (s *Server) segmentCall(w http.ResponseWriter, r *http.Request, _ string) error {
	if s.segment == nil {
		return api.CodeNotFound.Problem("no mappings are configured")
	}
	s.segment.ServeHTTP(w, r)
	return nil
}

// statusWriter remembers the status of the answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
