package simulator

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Defaults of [Config].
const (
	DefaultClientID     = "fake-client-id"
	DefaultClientSecret = "fake-client-secret"
	DefaultRefreshToken = "fake-refresh-token"
	DefaultAPILimit     = 1_000_000
	DefaultBatchLimit   = 1_000_000
)

// Config describes an org. The zero value is a usable org with the default
// schema whose apps log in by client credentials.
type Config struct {
	Seed         uint64         // makes ids, shuffling and random faults repeatable
	ClientID     string         // default DefaultClientID
	ClientSecret string         // default DefaultClientSecret
	RefreshToken string         // default DefaultRefreshToken
	RotateTokens bool           // each use of a refresh token replaces it
	Username     string         // the only subject a JWT may name; empty: any
	PublicKey    *rsa.PublicKey // verifies JWTs; nil: the JWT flow is refused
	Logger       *slog.Logger   // default: none
	Schema       []Object       // added to the default schema, replacing objects of the same name
	JobDelay     time.Duration  // from UploadComplete to the end of a job, on the simulator's clock
	APILimit     int64          // calls in 24 hours, default DefaultAPILimit
	BatchLimit   int64          // bulk batches in 24 hours, default DefaultBatchLimit
	Clock        func() time.Time
}

// Simulator is one org. All methods may be called concurrently.
type Simulator struct {
	cfg    Config
	log    *slog.Logger
	clock  *clock
	org    *org
	auth   *authority
	faults *faultSet
	calls  *callLog
	jobs   *jobTable
	cursor *cursors

	life    sync.Mutex // guards closed, and starting work against waiting for it
	closed  bool
	work    sync.WaitGroup
	closing chan struct{}
	servers []*http.Server
}

// New makes an org. It starts no goroutine until a job is closed or a
// listener is served.
func New(cfg Config) (*Simulator, error) {
	cfg.ClientID = cmp.Or(cfg.ClientID, DefaultClientID)
	cfg.ClientSecret = cmp.Or(cfg.ClientSecret, DefaultClientSecret)
	cfg.RefreshToken = cmp.Or(cfg.RefreshToken, DefaultRefreshToken)
	cfg.APILimit = cmp.Or(cfg.APILimit, DefaultAPILimit)
	cfg.BatchLimit = cmp.Or(cfg.BatchLimit, DefaultBatchLimit)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	s := &Simulator{cfg: cfg, log: cfg.Logger, closing: make(chan struct{})}
	s.clock = newClock(cfg.Clock)
	s.org = newOrg(cfg.Seed, s.clock)
	s.auth = newAuthority(cfg, s.clock, s.org)
	s.faults = newFaultSet(cfg.Seed)
	s.calls = newCallLog(s.clock, cfg.APILimit)
	s.jobs = newJobTable(s.clock, cfg.BatchLimit)
	s.cursor = newCursors(s.clock)
	if err := s.org.define(DefaultSchema()); err != nil {
		return nil, fmt.Errorf("default schema: %w", err)
	}
	if err := s.org.define(cfg.Schema); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	s.org.populate()
	return s, nil
}

// Start listens on addr, such as "127.0.0.1:0", serves in the background and
// returns the base URL. The org has no protection of its own: keep it on a
// loopback address.
func (s *Simulator) Start(addr string) (url string, err error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	if !s.begin() {
		return "", errors.Join(http.ErrServerClosed, l.Close())
	}
	go func() {
		defer s.work.Done()
		if err := s.Serve(l); err != nil {
			s.log.Error("simulator stopped serving", "err", err)
		}
	}()
	return "http://" + l.Addr().String(), nil
}

// Serve answers on l, which may be of memory, until Close; then it returns nil.
func (s *Simulator) Serve(l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    4 * maxHeadBytes, // room to answer 431 ourselves
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.life.Lock()
	if s.closed {
		s.life.Unlock()
		return l.Close()
	}
	s.servers = append(s.servers, srv)
	s.life.Unlock()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Handler answers everything, /_sim included. A fault that drops an answer
// panics with [http.ErrAbortHandler], which net/http turns into a closed
// connection.
func (s *Simulator) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

// Close cuts all connections and delays, ends the running jobs between two
// chunks, and waits for all of it. It may be called twice.
func (s *Simulator) Close() error {
	s.life.Lock()
	servers := s.servers
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.life.Unlock()
	var errs []error
	for _, srv := range servers {
		errs = append(errs, srv.Close())
	}
	s.work.Wait()
	return errors.Join(errs...)
}

// begin counts one more piece of work that Close waits for. It reports false
// after Close; else the caller owes a work.Done.
func (s *Simulator) begin() bool {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// SetSchema replaces or adds objects. Rows of a replaced object keep the
// values of the fields that still exist.
func (s *Simulator) SetSchema(objects []Object) error { return s.org.define(objects) }

// SetFaults replaces the faults; none switches them off.
func (s *Simulator) SetFaults(faults ...Fault) error { return s.faults.set(faults) }

// Records returns the rows of an object in order of creation, without those
// in the recycle bin. A row has its Id and the fields that are not null:
// string, bool or json.Number. An unknown object has none.
func (s *Simulator) Records(object string) []Record {
	var all []Record
	for page, next := s.org.page(object, 0); len(page) > 0; page, next = s.org.page(object, next) {
		all = append(all, page...)
	}
	return all
}

// Effects returns every write that changed the org, oldest first.
func (s *Simulator) Effects() []Effect {
	var all []Effect
	for page := s.org.effectsFrom(0); len(page) > 0; page = s.org.effectsFrom(len(all)) {
		all = append(all, page...)
	}
	return all
}

// Calls returns the number of calls by kind and the use of the daily limit.
func (s *Simulator) Calls() Calls { return s.calls.snapshot() }

// Advance moves the simulator's clock forward: jobs and tokens expire, the
// limit's window rolls. Times in JWTs are compared with the real clock.
func (s *Simulator) Advance(d time.Duration) { s.clock.advance(d) }

// Now is the time on the simulator's clock.
func (s *Simulator) Now() time.Time { return s.clock.now() }

// Reset empties the org, the oracle, the jobs, the counts and the faults.
// Schema, tokens and clock stay.
func (s *Simulator) Reset() {
	_ = s.faults.set(nil) // no fault can't be invalid
	s.jobs.clear()
	s.cursor.clear()
	s.calls.clear()
	s.org.clear()
	s.org.populate()
}

// OrgID is the org's Id, 18 characters. It depends on the seed.
func (s *Simulator) OrgID() string { return s.org.identity() }

// SetOrgID makes later logins tell of another org, as after a sandbox
// refresh. Tokens given out before are dead.
func (s *Simulator) SetOrgID(id string) error {
	full, ok := canonicalID(id)
	if !ok || full[:3] != "00D" {
		return fmt.Errorf("%q is not the id of an org", id)
	}
	s.org.rename(full)
	s.auth.expireAll()
	return nil
}

// ExpireTokens kills every access token, as an administrator may.
func (s *Simulator) ExpireTokens() { s.auth.expireAll() }

// wait blocks until the simulator's clock reaches t, and reports false when
// Close came first.
func (s *Simulator) wait(t time.Time) bool {
	for {
		select {
		case <-s.closing:
			return false
		default:
		}
		left, moved := s.clock.until(t)
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-moved:
		case <-s.closing:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// drop closes the connection of the request under way without an answer.
func drop() { panic(http.ErrAbortHandler) }

// maxHeadBytes bounds the request line and the headers.
const maxHeadBytes = 16_384

var _ io.Closer = (*Simulator)(nil)
