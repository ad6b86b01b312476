package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outboxd/outboxd/api"
)

// Bounds of time and size that no configuration changes.
const (
	readHeaderTimeout = 10 * time.Second // also of a connection that says nothing
	idleTimeout       = 2 * time.Minute  // between two requests of a connection
	readTimeout       = time.Minute      // of a request that is no stream
	writeTimeout      = 2 * time.Minute  // from a request's header to the end of an answer that is no stream
	stallTimeout      = 30 * time.Second // of one read or write of a stream
	maxHeaderBytes    = 64 << 10
	maxMoveBody       = api.MaxEvent
)

// DefaultGrace is how long requests under way may take once the server stops.
const DefaultGrace = 10 * time.Second

// Config says how the server behaves. All but Version and Grace may be changed
// while it runs (Reload).
type Config struct {
	Version     string
	Access      Access
	Rate        float64       // events a second and source; 0: no limit
	Connections int           // of one uid; 0: no limit
	Grace       time.Duration // for requests under way at the stop; 0: DefaultGrace
}

// Deps are the parts that the server stands on. Outbox, Dispatch and Logger
// are required.
type Deps struct {
	Outbox   Outbox
	Dispatch Dispatch
	Logger   *slog.Logger
	// Metrics is where the server registers its own metrics, and what /metrics
	// shows; nil: a registry of its own.
	Metrics *prometheus.Registry
	// Schema refuses events that the org would (validate: reject); nil: none.
	Schema SchemaCheck
	// Segment answers the Segment-shaped calls of peers that may write; nil:
	// their paths do not exist.
	Segment http.Handler
}

// Server is the socket API. It starts in a state in which every write and
// question is answered with 503 starting, until Ready.
type Server struct {
	outbox   Outbox
	dispatch Dispatch
	schema   SchemaCheck
	segment  http.Handler
	log      *slog.Logger
	metrics  *metrics
	scrape   http.Handler

	version string
	grace   time.Duration
	started time.Time

	rules    atomic.Pointer[rules]
	rate     *rateLimit
	conns    *perUID // open connections
	waiters  *perUID // questions that wait
	streams  *perUID // NDJSON streams being written
	bodies   *bodyBudget
	feeds    slots
	backups  slots
	names    userNames
	rates    rates
	ready    chan struct{} // closed by Ready
	setReady sync.Once
	stopping context.Context // ends when the stop begins
	stop     context.CancelFunc
	active   activity
}

// New returns a server that is not ready yet. Names in the configuration's
// access that the host does not know give nobody a right; they are logged.
func New(c Config, d Deps) *Server {
	log := d.Logger.With("component", "server")
	s := &Server{
		outbox: d.Outbox, dispatch: d.Dispatch, schema: d.Schema, segment: d.Segment, log: log,
		version: c.Version, grace: c.Grace, started: time.Now(),
		rate: newRateLimit(c.Rate), conns: newPerUID(c.Connections), waiters: newPerUID(maxWaiters),
		streams: newPerUID(maxStreams), bodies: newBodyBudget(),
		feeds: newSlots(maxFeeds), backups: newSlots(1), ready: make(chan struct{}),
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	if s.grace == 0 {
		s.grace = DefaultGrace
	}
	reg := d.Metrics
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	s.metrics = newMetrics(reg, s)
	s.scrape = scrapeHandler(reg, log)
	s.rules.Store(newRules(c.Access, log))
	return s
}

// Reload takes over access and limits. Connections that are open keep their
// credentials and follow the new rules.
func (s *Server) Reload(c Config) {
	s.rules.Store(newRules(c.Access, s.log))
	s.rate.set(c.Rate)
	s.conns.set(c.Connections)
}

// Ready makes the server accept. It may be called more than once.
func (s *Server) Ready() { s.setReady.Do(func() { close(s.ready) }) }

func (s *Server) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// Stop makes the server answer 503 stopping to new requests and ends waits and
// feeds. It does not block and may be called more than once; Serve does it when
// its context ends.
func (s *Server) Stop() { s.stop() }

// Handler answers requests. The peer is known on connections of Serve only;
// others have no rights.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

// Public answers /healthz, /readyz and /metrics, and nothing else: for a
// listener that is not the socket.
func (s *Server) Public() http.Handler { return http.HandlerFunc(s.servePublic) }

// Serve answers on l until ctx ends; then it stops: requests under way have
// the configured grace, after which their connections are cut. It returns when
// all of its goroutines have ended, nil after an ordered stop. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext:       s.connContext,
	}
	sampling, endSampling := context.WithCancel(ctx)
	defer endSampling()
	sampled := make(chan struct{})
	go func() { defer close(sampled); s.sampleRates(sampling) }()

	failed := make(chan error, 1)
	f := newFront(s, l)
	go func() { failed <- h.Serve(f) }()
	var err error
	select {
	case err = <-failed:
		s.Stop()
		h.Close()
		over, cancel := context.WithCancel(ctx)
		cancel()
		f.shutdown(over)
	case <-ctx.Done():
		s.Stop()
		err = s.shutdown(h, f)
		<-failed
	}
	s.active.end()
	endSampling()
	<-sampled
	return err
}

// activity counts the requests that are being answered.
type activity struct {
	mu    sync.RWMutex
	ended bool
	count sync.WaitGroup
}

// begin counts one more; it is false once no more may begin.
func (a *activity) begin() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if !a.ended {
		a.count.Add(1)
	}
	return !a.ended
}

func (a *activity) done() { a.count.Done() }

// end lets no more begin and waits for those under way.
func (a *activity) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.count.Wait()
}

// shutdown lets requests under way end within the grace, then cuts them.
func (s *Server) shutdown(h *http.Server, f *front) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	plain := make(chan error, 1)
	go func() { plain <- f.shutdown(ctx) }()
	err := cmp.Or(h.Shutdown(ctx), <-plain)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests were cut at the stop", "duration", s.grace)
		err = h.Close()
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}
