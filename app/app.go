package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/server"
	"github.com/outboxd/outboxd/store"
)

// Deps are what the daemon gets from its surroundings.
type Deps struct {
	Logger  *slog.Logger       // required
	Version string             // told in status and to Salesforce
	Notify  func(state string) // tells the service manager READY=1 and STOPPING=1; nil: nobody
}

// App is a daemon whose store is open and whose listeners are bound.
type App struct {
	log        *slog.Logger
	notify     func(string)
	version    string
	store      *store.Store
	org        *salesforce.Client // nil: not configured
	dispatcher *dispatcher.Dispatcher
	server     *server.Server
	objects    atomic.Pointer[map[string]dispatcher.ObjectConfig]
	path       string // of the socket
	socket     net.Listener
	http       net.Listener // nil: none

	mu   sync.Mutex // guards errs
	errs []error
}

// New opens and recovers the store, which after a crash takes as long as
// reading its file, and binds the listeners. Run must follow, or Close.
func New(cfg *config.Config, d Deps) (_ *App, err error) {
	a := &App{log: d.Logger, notify: d.Notify, version: d.Version, path: cfg.Socket.Path}
	if a.notify == nil {
		a.notify = func(string) {}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.org, err = newOrg(cfg, d); err != nil {
		return nil, fmt.Errorf("salesforce: %w", err)
	}
	how := dispatch(cfg)
	a.objects.Store(&how.Objects)
	opts := storeOptions(cfg, d.Logger)
	opts.Skips = a.skips
	if a.store, err = store.Open(cfg.Store.Path, opts); err != nil {
		return nil, err
	}
	a.join(cfg)
	if a.socket, err = server.Listen(cfg.Socket.Path, a.socketOptions(cfg)); err != nil {
		return nil, err
	}
	if cfg.HTTP.Listen != "" {
		if a.http, err = new(net.ListenConfig).Listen(context.Background(), "tcp", cfg.HTTP.Listen); err != nil {
			return nil, fmt.Errorf("http.listen: %w", err)
		}
	}
	return a, nil
}

// join connects the parts.
func (a *App) join(cfg *config.Config) {
	var org dispatcher.Org // stays nil, not a nil *salesforce.Client
	if a.org != nil {
		org = a.org
	}
	a.dispatcher = dispatcher.New(dispatch(cfg), a.store, org, a.log.With("component", "dispatcher"))
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{a.dispatcher.Metrics})
	a.server = server.New(serverConfig(cfg, a.version), server.Deps{
		Outbox: a.store, Dispatch: sender{a.dispatcher, a.store.Facts}, Logger: a.log, Metrics: metrics, Schema: a.mismatches,
	})
}

// Addr is where the socket and the HTTP listener are; the latter is "" if
// there is none.
func (a *App) Addr() (socket, http string) {
	if a.http != nil {
		http = a.http.Addr().String()
	}
	return a.path, http
}

// Run runs the daemon until ctx ends, which is an ordered stop and no error,
// or until a part of it fails. Everything is closed when it returns. It may be
// called once.
func (a *App) Run(ctx context.Context) error {
	var g run.Group
	a.actor(&g, "server", a.serve) // added first: told first to stop
	a.actor(&g, "dispatcher", a.dispatcher.Run)
	a.actor(&g, "store", a.guardStore)
	if a.http != nil {
		a.actor(&g, "http", a.serveHTTP)
	}
	a.actor(&g, "stop", func(own context.Context) error {
		select {
		case <-ctx.Done():
		case <-own.Done():
		}
		return nil
	})
	_ = g.Run() // the same error is among a.errs, with those of the other actors
	return errors.Join(errors.Join(a.errs...), a.Close())
}

// actor adds a part of the daemon to the group: f runs until its context ends.
func (a *App) actor(g *run.Group, name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(func() error {
		defer cancel()
		err := f(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			a.mu.Lock()
			a.errs = append(a.errs, err)
			a.mu.Unlock()
		}
		return err
	}, func(error) { cancel() }) // must not block: the next actor's turn comes after it
}

// serve answers on the socket. The service manager hears of it when the socket
// accepts, and when it stops to.
func (a *App) serve(ctx context.Context) error {
	told := make(chan struct{})
	withdraw := context.AfterFunc(ctx, func() {
		defer close(told)
		a.notify(daemon.SdNotifyStopping)
	})
	defer func() {
		if !withdraw() {
			<-told
		}
	}()
	a.server.Ready()
	socket, http := a.Addr()
	a.log.Info("accepting", "socket", socket, "http", http, "version", a.version)
	a.notify(daemon.SdNotifyReady)
	return a.server.Serve(ctx, a.socket)
}

// guardStore ends the daemon when a commit failed: what is on the disk is not
// known then, and nobody may write on.
func (a *App) guardStore(ctx context.Context) error {
	select {
	case <-a.store.Failed():
		return a.store.Err()
	case <-ctx.Done():
		return nil
	}
}

// Times of the HTTP listener, whose answers are short.
const (
	httpTimeout = 10 * time.Second
	httpGrace   = 2 * time.Second
)

// serveHTTP answers what may be asked by the network: health and metrics.
func (a *App) serveHTTP(ctx context.Context) error {
	h := &http.Server{
		Handler: a.server.Public(), ReadTimeout: httpTimeout, WriteTimeout: httpTimeout, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpGrace)
		defer cancel()
		stopped <- h.Shutdown(grace)
	}()
	if err := h.Serve(a.http); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err := <-stopped; !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return h.Close()
}

// Reload takes over what may change while the daemon runs: access, limits and
// how it dispatches. Everything else needs a restart.
func (a *App) Reload(cfg *config.Config) {
	a.server.Reload(serverConfig(cfg, a.version))
	how := dispatch(cfg)
	a.objects.Store(&how.Objects)
	a.dispatcher.Configure(how)
	a.log.Info("configuration reloaded")
}

// Close releases what New took. Run does it itself.
func (a *App) Close() error {
	var errs []error
	for _, l := range []net.Listener{a.socket, a.http} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if a.org != nil {
		a.org.Close()
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}
