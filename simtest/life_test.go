package simtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// life is one run of the daemon, from its start to its stop or sudden death.
type life struct {
	w      *world
	n      int
	dir    string
	store  *store.Store
	client *salesforce.Client
	d      *dispatcher.Dispatcher
	stop   context.CancelFunc
	done   chan error

	mu    sync.Mutex
	dead  bool
	died  chan struct{} // closed by its sudden death
	down  time.Duration // how long it then stays away
	conns []net.Conn
}

// born starts the daemon on what the one before left in dir.
func (w *world) born(dir string) (*life, error) {
	l := &life{w: w, n: w.lives + 1, dir: dir, died: make(chan struct{})}
	w.lives++
	w.setLife(l)
	w.note("life   %d begins", l.n)
	log := w.logTo(l.n)
	var err error
	l.store, err = store.Open(filepath.Join(dir, "outbox.db"), store.Options{
		MaxSize: store.MinSize, LateWindow: lateWindow, OverdueAfter: time.Hour, Wall: w.wall, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	l.client, err = salesforce.New(salesforce.Config{
		LoginURL: "http://127.0.0.1", Timeout: timeout, Logger: log,
		Auth:        salesforce.Credentials{Flow: salesforce.FlowClientCredentials, ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.net.dial(ctx, l) },
	})
	if err != nil {
		return nil, err
	}
	cfg := w.plan.cfg
	cfg.Chance = func() float64 { return float64(w.lag(l.n, "chance")) / float64(maxLag) }
	l.d = dispatcher.New(cfg, &outbox{l.store, l}, l.client, log)
	ctx, cancel := context.WithCancel(context.Background())
	l.stop, l.done = cancel, make(chan error, 1)
	go func() { l.done <- l.d.Run(ctx) }()
	return l, nil
}

// end stops the daemon in order, or buries one that has died: it answers what
// was left in the store's file, in the folder that it returns.
func (l *life) end() (dir string, err error) {
	l.stop()
	err = <-l.done
	l.client.Close()
	if !l.isDead() {
		if err != nil {
			err = fmt.Errorf("Run: %w", err)
		}
		l.w.note("life   %d stops", l.n)
		return l.dir, errors.Join(err, l.check(), l.store.Close())
	}
	err = l.check()
	// Nobody writes any more: the file holds what was committed, and nothing of an orderly end.
	dir = filepath.Join(filepath.Dir(l.dir), fmt.Sprint("life", l.n+1))
	return dir, errors.Join(err, copyFiles(l.dir, dir), l.store.Close(), os.RemoveAll(l.dir))
}

// check has the store look for itself.
func (l *life) check() error {
	bad, err := l.store.Check(context.Background())
	if len(bad) > 0 {
		err = errors.Join(err, fmt.Errorf("the store is not in order: %v", bad))
	}
	return err
}

func copyFiles(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"outbox.db", "outbox.db.lock"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *life) name() string { return fmt.Sprint(l.n) }

func (l *life) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// passes reports whether the process dies at this point, or is dead already. From
// then on nothing of it reaches the store, nor the org.
func (l *life) passes(point string) (dead bool) {
	k, now := l.w.strikes(point)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead || !now {
		return l.dead
	}
	l.w.note("life   %d is killed at %s", l.n, point)
	l.dead, l.down = true, k.down
	for _, c := range l.conns {
		c.Close()
	}
	close(l.died)
	return true
}

// pass lets the time pass that a call takes on its way.
func (l *life) pass(kind string) { time.Sleep(l.w.lag(l.n, kind)) }

// compute lets the time pass that a transaction takes.
func (l *life) compute(kind string) { time.Sleep(l.w.lag(l.n, kind) / 200) }

// adopt takes a connection that dies with the process.
func (l *life) adopt(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		c.Close()
		return false
	}
	l.conns = append(l.conns, c)
	return true
}

// outbox is the store as the dispatcher of one life sees it: each call takes
// some time, may be the process's last, and fails when it is dead.
type outbox struct {
	*store.Store
	life *life
}

func call[T any](l *life, kind string, f func() (T, error)) (v T, err error) {
	l.compute(kind)
	if l.passes(kind + ".before") {
		return v, store.ErrClosed
	}
	v, err = f()
	l.compute(kind)
	if l.passes(kind + ".after") {
		return v, store.ErrClosed
	}
	return v, err
}

func do(l *life, kind string, f func() error) error {
	_, err := call(l, kind, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func (o *outbox) Put(ctx context.Context, events []store.Event, opts store.PutOptions) ([]store.PutResult, error) {
	return call(o.life, "put", func() ([]store.PutResult, error) { return o.Store.Put(ctx, events, opts) })
}

func (o *outbox) Hold(ctx context.Context) (store.Term, error) {
	return call(o.life, "hold", func() (store.Term, error) { return o.Store.Hold(ctx) })
}

func (o *outbox) Unfinished(ctx context.Context, t store.Term) ([]store.Attempt, error) {
	return call(o.life, "unfinished", func() ([]store.Attempt, error) { return o.Store.Unfinished(ctx, t) })
}

func (o *outbox) Sweep(ctx context.Context, t store.Term) (bool, error) {
	return call(o.life, "sweep", func() (bool, error) { return o.Store.Sweep(ctx, t) })
}

func (o *outbox) Claim(ctx context.Context, t store.Term, id store.AttemptID, spec store.ClaimSpec) (a store.Attempt, c []store.Claimed, err error) {
	err = do(o.life, "claim", func() error {
		a, c, err = o.Store.Claim(ctx, t, id, spec)
		if err == nil && len(c) > 0 {
			o.life.w.note("store  %d claim %s %s %+v: %s", o.life.n, o.life.w.attempt(string(id)), spec.Kind, spec.Route, keysOf(c))
		}
		return err
	})
	return a, c, err
}

func keysOf(c []store.Claimed) (s string) {
	for _, e := range c {
		s += " " + e.Key
		if e.Sent {
			s += "(sent)"
		}
	}
	return s
}

func (o *outbox) Events(ctx context.Context, id store.AttemptID) ([]store.Claimed, error) {
	return call(o.life, "events", func() ([]store.Claimed, error) { return o.Store.Events(ctx, id) })
}

func (o *outbox) Advance(ctx context.Context, t store.Term, id store.AttemptID, from, to store.Phase, data store.PhaseData) error {
	return do(o.life, "advance", func() error {
		o.life.w.note("store  %d advance %s to %s %s", o.life.n, o.life.w.attempt(string(id)), to, data.JobID)
		return o.Store.Advance(ctx, t, id, from, to, data)
	})
}

func (o *outbox) Settle(ctx context.Context, t store.Term, id store.AttemptID, x store.Settlement) error {
	return do(o.life, "settle", func() error {
		o.life.w.note("store  %d settle %s: %s", o.life.n, o.life.w.attempt(string(id)), o.life.w.outcomes(x))
		return o.Store.Settle(ctx, t, id, x)
	})
}

func (o *outbox) Release(ctx context.Context, t store.Term, id store.AttemptID, note string) error {
	return do(o.life, "release", func() error {
		o.life.w.note("store  %d release %s: %s", o.life.n, o.life.w.attempt(string(id)), note)
		return o.Store.Release(ctx, t, id, note)
	})
}

func (o *outbox) Get(ctx context.Context, key string) (store.Record, error) {
	return call(o.life, "get", func() (store.Record, error) { return o.Store.Get(ctx, key) })
}

func (o *outbox) List(ctx context.Context, f store.Filter) (store.Page, error) {
	return call(o.life, "list", func() (store.Page, error) { return o.Store.List(ctx, f) })
}

func (o *outbox) Verify(ctx context.Context, t store.Term, seq store.Seq, r store.Resolution) error {
	return do(o.life, "verify", func() error { return o.Store.Verify(ctx, t, seq, r) })
}

func (o *outbox) SetOrg(ctx context.Context, id, instance string) (store.Facts, error) {
	return call(o.life, "org", func() (store.Facts, error) { return o.Store.SetOrg(ctx, id, instance) })
}

func (o *outbox) SetPausedClock(ctx context.Context, t store.Term, paused bool) error {
	return do(o.life, "clock", func() error { return o.Store.SetPausedClock(ctx, t, paused) })
}

var _ dispatcher.Outbox = (*outbox)(nil)
