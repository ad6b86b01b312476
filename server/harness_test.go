package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/google/uuid"
	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server on a Unix socket over a real store.
type rig struct {
	testing.TB
	ctx      context.Context
	store    *store.Store
	faults   *storetest.Faults
	next     atomic.Pointer[func(string) storetest.Fault]
	server   *Server
	dispatch *fakeDispatch
	log      *logBuffer
	socket   string
	client   *client.Client
	http     *http.Client
	term     store.Term
	stop     func()
}

// setup is what a test may change before the server starts.
type setup struct {
	config Config
	deps   Deps
	store  store.Options
	noTerm bool
	notYet bool // not ready
}

func start(tb testing.TB, change ...func(*setup)) *rig {
	tb.Helper()
	dir, err := os.MkdirTemp("", "obs") // short: a socket's path has 107 bytes
	must(tb, err)
	tb.Cleanup(func() { os.RemoveAll(dir) })
	must(tb, os.Chmod(dir, 0o755))
	r := &rig{TB: tb, ctx: tb.Context(), dispatch: &fakeDispatch{}, log: &logBuffer{}, socket: filepath.Join(dir, "s")}
	set := &setup{
		config: Config{Version: "1.0.0", Access: Access{Write: []string{"*"}}, Grace: 2 * time.Second},
		deps:   Deps{Dispatch: r.dispatch, Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))},
		store:  store.Options{MaxSize: 64 << 20},
	}
	for _, f := range change {
		f(set)
	}
	r.openStore(filepath.Join(dir, "outbox.db"), set)
	set.deps.Outbox = r.faults
	r.server = New(set.config, set.deps)
	if !set.notYet {
		r.server.Ready()
	}
	r.serve()
	return r
}

func (r *rig) openStore(path string, set *setup) {
	r.Helper()
	s, err := store.Open(path, set.store)
	must(r, err)
	r.Cleanup(func() {
		must(r, s.Close())
		r.check(path)
	})
	r.store, r.faults = s, &storetest.Faults{Outbox: s, Next: r.fault}
	if !set.noTerm {
		r.term, err = s.Hold(r.ctx)
		must(r, err)
	}
}

// check asks the closed store whether every invariant holds.
func (r *rig) check(path string) {
	r.Helper()
	s, err := store.Open(path, store.Options{ReadOnly: true})
	must(r, err)
	defer s.Close()
	broken, err := s.Check(context.Background())
	if err != nil || len(broken) > 0 {
		r.Errorf("the store does not check: %v %v", broken, err)
	}
}

// fail makes the store's methods meet faults from now on, nil none. The server
// asks it at any time, also by itself.
func (r *rig) fail(next func(method string) storetest.Fault) { r.next.Store(&next) }

// failAt is fail for one method.
func (r *rig) failAt(method string, f storetest.Fault) {
	r.fail(func(m string) storetest.Fault {
		if m == method {
			return f
		}
		return storetest.Fault{}
	})
}

func (r *rig) fault(method string) storetest.Fault {
	if next := r.next.Load(); next != nil && *next != nil {
		return (*next)(method)
	}
	return storetest.Fault{}
}

func (r *rig) serve() {
	r.Helper()
	l, err := Listen(r.socket, Socket{Mode: 0o666})
	must(r, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.server.Serve(ctx, l) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.Errorf("Serve() = %v", err)
		}
	})
	r.client = client.New(r.socket)
	r.http = &http.Client{Transport: &http.Transport{DialContext: r.dial, MaxIdleConnsPerHost: 64}}
	r.Cleanup(func() {
		r.client.Close()
		r.http.CloseIdleConnections()
		r.stop()
	})
}

func (r *rig) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", r.socket)
}

// answer is what came back of a request.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request; headers are name, value, name, value …
func (r *rig) do(method, path, body string, headers ...string) answer {
	r.Helper()
	return r.doWith(r.http, method, path, strings.NewReader(body), headers...)
}

func (r *rig) doWith(c *http.Client, method, path string, body io.Reader, headers ...string) answer {
	r.Helper()
	req, err := http.NewRequestWithContext(r.ctx, method, "http://outboxd"+path, body)
	must(r, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	must(r, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(r, err)
	return answer{res.StatusCode, res.Header, string(text)}
}

// post sends JSON, get asks.
func (r *rig) post(path, body string) answer {
	r.Helper()
	if body == "" {
		return r.do("POST", path, "")
	}
	return r.do("POST", path, body, "Content-Type", api.JSON)
}

func (r *rig) get(path string, headers ...string) answer {
	r.Helper()
	return r.do("GET", path, "", headers...)
}

func (r *rig) ndjson(path string, lines ...string) answer {
	r.Helper()
	return r.do("POST", path, strings.Join(lines, "\n")+"\n", "Content-Type", api.NDJSON)
}

// wantProblem checks the status, code and shape of a problem.
func wantProblem(t testing.TB, a answer, status int, code api.Code) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("not a problem: %v\n%s", err, a.body)
	}
	if a.status != status || p.Status != status || p.Code != code {
		t.Errorf("got status %d and %s %d, want %d %s\n%s", a.status, p.Code, p.Status, status, code, a.body)
	}
	if got := a.header.Get("Content-Type"); got != api.ProblemJSON {
		t.Errorf("a problem's media type is %q", got)
	}
	if p.Title != code.Info().Title {
		t.Errorf("title %q, want %q", p.Title, code.Info().Title)
	}
	if _, ok := retryAfterSeconds[code]; ok != (a.header.Get("Retry-After") != "") {
		t.Errorf("%s: Retry-After is %q", code, a.header.Get("Retry-After"))
	}
	return p
}

// want decodes an answer of the given status.
func want[T any](t testing.TB, a answer, status int) (v T) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d\n%s", a.status, status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v\n%s", err, a.body)
	}
	return v
}

// results decodes an answer of lines.
func results(t testing.TB, a answer) []api.Result {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	var all []api.Result
	for line := range strings.Lines(a.body) {
		var r api.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		all = append(all, r)
	}
	return all
}

// contact is an upsert of one Contact.
func contact(key, id string) string {
	return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":%q},"fields":{"LastName":"Lovelace"}}`, key, id)
}

// put writes an event and expects it to be new.
func (r *rig) put(event string) api.Accepted {
	r.Helper()
	return want[api.Accepted](r, r.post("/v1/events", event), http.StatusCreated)
}

// look lets the store find out what is blocked, as the dispatcher does.
func (r *rig) look() {
	r.Helper()
	_, _, err := r.store.Routes(r.ctx, r.term)
	must(r, err)
}

// settle claims what waits for an object by upsert and ends it: verdict makes
// the outcome of each event.
func (r *rig) settle(kind store.Kind, verdict func(store.Claimed) store.Outcome) store.AttemptID {
	r.Helper()
	route := store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}
	id := store.AttemptID(uuid.Must(uuid.NewV7()).String())
	spec := store.ClaimSpec{Route: route, Kind: kind, MaxRecords: 1000, MaxBytes: 1 << 30}
	_, claimed, err := r.store.Claim(r.ctx, r.term, id, spec)
	must(r, err)
	if len(claimed) == 0 {
		r.Fatal("nothing to claim")
	}
	if kind == store.KindBulk {
		r.advance(id)
	}
	var x store.Settlement
	for _, c := range claimed {
		o := verdict(c)
		o.Seq = c.Seq
		x.Outcomes = append(x.Outcomes, o)
	}
	must(r, r.store.Settle(r.ctx, r.term, id, x))
	return id
}

// advance takes an attempt through the phases of a job.
func (r *rig) advance(id store.AttemptID) {
	r.Helper()
	phases := []store.Phase{store.PhaseClaimed, store.PhaseOpen, store.PhaseClosing, store.PhaseProcessing}
	for i, to := range phases[1:] {
		var data store.PhaseData
		if to == store.PhaseOpen {
			data.JobID = "7508Z00000lSXvxQAG"
		}
		must(r, r.store.Advance(r.ctx, r.term, id, phases[i], to, data))
	}
}

func deliver(store.Claimed) store.Outcome {
	return store.Outcome{Verdict: store.Deliver, ID: "0035e00000Kp7QaAAJ", Created: true}
}

func failTooLong(store.Claimed) store.Outcome {
	return store.Outcome{Verdict: store.Fail, Problem: &store.Problem{
		Code: "STRING_TOO_LONG", Message: "First Name: data value too large: …", Fields: []string{"FirstName"},
	}}
}

func doubt(store.Claimed) store.Outcome {
	return store.Outcome{Verdict: store.Doubt, Problem: &store.Problem{Code: "TRANSPORT", Message: "no answer"}}
}

// fakeDispatch is a dispatcher that only remembers.
type fakeDispatch struct {
	mu            sync.Mutex
	flushed, poke int
	breaker       api.Breaker
	budget        *api.Budget
}

func (f *fakeDispatch) Breaker() api.Breaker {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.breaker.State == "" {
		return api.Breaker{State: api.BreakerClosed}
	}
	return f.breaker
}

func (f *fakeDispatch) Budget() *api.Budget {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.budget
}

func (f *fakeDispatch) Flush() { f.mu.Lock(); f.flushed++; f.mu.Unlock() }
func (f *fakeDispatch) Poke()  { f.mu.Lock(); f.poke++; f.mu.Unlock() }

func (f *fakeDispatch) count() (flushed, poked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flushed, f.poke
}

// logBuffer keeps the log for a test to look at.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// as is a client whose connections come from another user. It takes root.
func (r *rig) as(uid, gid int, groups ...uint32) *http.Client {
	r.Helper()
	if os.Getuid() != 0 {
		r.Skip("needs root to be somebody else")
	}
	c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return dialAs(r.socket, uid, gid, groups)
	}}}
	r.Cleanup(c.CloseIdleConnections)
	return c
}

// dialAs connects from a thread that has another user's credentials. The
// thread ends with its goroutine, being locked to it.
func dialAs(socket string, uid, gid int, groups []uint32) (net.Conn, error) {
	type dialed struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialed)
	go func() {
		runtime.LockOSThread()
		conn, err := dialChanged(socket, uid, gid, groups)
		done <- dialed{conn, err}
	}()
	d := <-done
	return d.conn, d.err
}

func dialChanged(socket string, uid, gid int, groups []uint32) (net.Conn, error) {
	if err := becomeOther(uid, gid, groups); err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), socket)
	defer f.Close()
	return net.FileConn(f)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
