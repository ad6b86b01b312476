package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// Dispatcher sends what waits in an outbox to an org. Run does the work; the
// other methods may be called at any time, from any goroutine.
type Dispatcher struct {
	cfg     atomic.Pointer[Config]
	outbox  Outbox
	org     Org // nil: not configured
	log     *slog.Logger
	breaker *breaker
	budget  *budget
	metrics *metrics
	paces   paces
	working stage                    // jobs that the org works on
	settled stage                    // jobs whose results are read and recorded
	poke    chan struct{}            // capacity 1: look again
	wanted  chan *question           // for descriptions of objects
	names   atomic.Pointer[[]string] // of the org's objects, once they were asked for
	began   time.Time
	flushes atomic.Int64 // that were asked for
	flushed int64        // of these, what the loop is done with
	probing atomic.Bool  // a probe is under way
	beat    atomic.Int64 // Unix nanoseconds: when the loop came round last

	term     store.Term     // set by Run before any attempt
	orgs     int            // the same: which org of the outbox's this is, as store.Facts counts them
	attempts sync.WaitGroup // goroutines that Run waits for

	mu       sync.Mutex
	identity *salesforce.Identity
	running  map[store.Route]int
	served   map[store.Route]uint64
	turn     uint64
	rest     int // REST slots taken
	jobs     int // bulk slots taken, by jobs that are being made
	traits   map[store.Route]learned
	small    map[store.Route]time.Time // until when a route gets no jobs
	warned   map[string]bool
	glances  map[string]glance    // describes that went wrong, by object
	asked    map[string]*question // the last one of each object
	renewals map[string]renewal
}

// learned is what a describe said about a route, for a while.
type learned struct {
	traits
	until     time.Time
	failures  int // describes in a row that went wrong
	notBefore time.Time
}

const (
	// traitsFor is how long what a describe said is planned with. An attempt asks again.
	traitsFor = 10 * time.Minute
	// traitsForLong is how long an attempt believes it where calls are to be saved.
	traitsForLong = time.Hour
)

// New makes a Dispatcher. org is nil where none is configured: events are then
// kept, and nothing is sent.
func New(cfg Config, outbox Outbox, org Org, log *slog.Logger) *Dispatcher {
	c := cfg.defaulted()
	d := &Dispatcher{
		outbox: outbox, org: org, log: log, began: time.Now(),
		breaker:  newBreaker(c.Retry.Initial, c.Retry.Max, time.Now),
		budget:   newBudget(c.Budget.Reserve, c.REST.Concurrency, time.Now),
		poke:     make(chan struct{}, 1),
		wanted:   make(chan *question, maxWanted),
		running:  make(map[store.Route]int),
		served:   make(map[store.Route]uint64),
		traits:   make(map[store.Route]learned),
		small:    make(map[store.Route]time.Time),
		warned:   make(map[string]bool),
		glances:  make(map[string]glance),
		asked:    make(map[string]*question),
		renewals: make(map[string]renewal),
	}
	d.cfg.Store(c)
	d.metrics = newMetrics()
	if org == nil {
		d.breaker.setCondition(ReasonNotConfigured)
	}
	return d
}

// Configure replaces the configuration: attempts that start afterwards follow
// it. Retry's times for probes and the REST concurrency stay as they were at New.
func (d *Dispatcher) Configure(cfg Config) {
	c := cfg.defaulted()
	d.cfg.Store(c)
	if d.budget.setReserve(c.Budget.Reserve) {
		d.breaker.tryBudget()
	}
	d.forgetTraits()
	d.Poke()
}

// forgetTraits has everything asked again that was learned of objects.
func (d *Dispatcher) forgetTraits() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.traits)
	clear(d.warned)
	clear(d.glances)
	clear(d.asked)
	clear(d.renewals)
}

func (d *Dispatcher) config() *Config { return d.cfg.Load() }

// Breaker says whether anything is sent, and if not, why.
func (d *Dispatcher) Breaker() BreakerStatus { return d.breaker.status() }

// Budget says how much of the org's daily limits is used; false before its first answer.
func (d *Dispatcher) Budget() (Budget, bool) { return d.budget.current() }

// Identity is whom the newest login made us; false before the first.
func (d *Dispatcher) Identity() (salesforce.Identity, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.identity == nil {
		return salesforce.Identity{}, false
	}
	return *d.identity, true
}

// Flush sends what waits for company as soon as there are free slots.
func (d *Dispatcher) Flush() {
	d.flushes.Add(1)
	d.Poke()
}

// Poke makes the dispatcher look again, after a pause or resume for example.
func (d *Dispatcher) Poke() {
	select {
	case d.poke <- struct{}{}:
	default: // it will look anyway
	}
}

// Beat is when the dispatcher's loop came round last, for a watchdog: while Run
// goes on it does so at least every 30 seconds. The zero time is before Run.
func (d *Dispatcher) Beat() time.Time {
	if ns := d.beat.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Run takes over the outbox, resumes the attempts that it finds unfinished, and
// dispatches until ctx ends. Then REST calls under way may finish within
// REST.Grace, jobs are left at the org with their phase on disk, and every
// goroutine has ended when Run returns. It returns an error only if it can't go
// on: store.ErrFenced when another took over the outbox, or the store is gone.
// When the operator accepts another org, it lets go of everything and starts anew.
func (d *Dispatcher) Run(ctx context.Context) error {
	for {
		err := d.serve(ctx)
		if !errors.Is(err, errOrgAccepted) {
			return err
		}
		d.log.Warn("another org was accepted; dispatching starts anew")
		d.budget.forget()
		d.breaker.tryBudget()
	}
}

// serve is Run for as long as the outbox belongs to one org.
func (d *Dispatcher) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var fatal atomic.Pointer[error]
	stop := func(err error) {
		if err != nil && ctx.Err() == nil {
			fatal.CompareAndSwap(nil, &err)
			cancel()
		}
	}
	stop(d.run(ctx, stop))
	cancel()
	d.attempts.Wait()
	if err := fatal.Load(); err != nil {
		return fmt.Errorf("dispatch: %w", *err)
	}
	return nil
}

// run is serve but for the ending: it returns when ctx ends or it can't go on.
func (d *Dispatcher) run(ctx context.Context, stop func(error)) (err error) {
	facts, err := durable(ctx, d, "facts", d.outbox.Facts)
	if err != nil {
		return err
	}
	d.orgs = facts.Orgs
	d.forgetTraits()
	d.paces.forget()
	if d.term, err = durable(ctx, d, "hold", d.outbox.Hold); err != nil {
		return err
	}
	unfinished, err := durable(ctx, d, "unfinished", func(ctx context.Context) ([]store.Attempt, error) {
		return d.outbox.Unfinished(ctx, d.term)
	})
	if err != nil {
		return err
	}
	d.attempts.Go(func() { stop(d.sweep(ctx)) })
	resume := d.shelve
	if d.org != nil {
		resume = d.resume
		d.meetOrg(ctx)
		d.attempts.Go(func() { stop(d.verify(ctx)) })
		d.attempts.Go(func() { d.learnWanted(ctx) })
		d.attempts.Go(func() { d.followLimits(ctx) })
	}
	for _, a := range unfinished {
		d.start(ctx, a.Route, a.Kind, stop, func(free func()) error { return resume(ctx, a, free) })
	}
	return d.loop(ctx, stop)
}

// start runs one attempt in a goroutine of its own. It has a slot until it ends,
// or calls free before.
func (d *Dispatcher) start(ctx context.Context, r store.Route, k store.Kind, stop func(error), work func(free func()) error) {
	d.mu.Lock()
	d.turn++
	d.served[r] = d.turn
	d.running[r]++
	d.mu.Unlock()
	d.occupy(k, 1)
	settled := d.budget.promise(k == store.KindBulk)
	d.attempts.Go(func() {
		free := sync.OnceFunc(func() {
			d.occupy(k, -1)
			d.Poke()
		})
		defer d.ended(r)
		defer settled()
		defer free()
		if err := work(free); err != nil && ctx.Err() == nil {
			// What is left are the store's errors and broken invariants: the
			// attempt is on disk, and a new start resumes it.
			stop(fmt.Errorf("%s %s by %s: %w", r.Operation, r.Object, k, err))
		}
	})
}

// ended counts an attempt of a route out.
func (d *Dispatcher) ended(r store.Route) {
	defer d.Poke()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running[r]--; d.running[r] == 0 {
		delete(d.running, r)
	}
}

// occupy takes slots or gives them back.
func (d *Dispatcher) occupy(k store.Kind, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k == store.KindBulk {
		d.jobs += n
	} else {
		d.rest += n
	}
}

// newAttemptID makes the name of an attempt, before the first try of its claim.
func newAttemptID() (store.AttemptID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("attempt id: %w", err)
	}
	return store.AttemptID(id.String()), nil
}

const (
	// storeWait is between two tries of a transaction.
	storeWait = 50 * time.Millisecond
	// tellEvery is between two words about a transaction that is repeated.
	tellEvery = time.Minute
	// settleWithin bounds the transactions that end an attempt when the dispatcher stops.
	settleWithin = 30 * time.Second
)

// outlasting returns a context that ends settleWithin after ctx does. What became
// of an attempt is known to this process alone: a full disk is waited out.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if sleep(longer, settleWithin) {
			cancel()
		}
	})
	return longer, func() { stop(); cancel() }
}

// passes reports whether the same call may fare better: the outcome is not known,
// or nothing happened, for want of room too. A store that has ended tells nothing
// more.
func passes(err error) bool {
	if errors.Is(err, store.ErrClosed) {
		return false
	}
	return errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFull)
}

// durable runs one transaction until its outcome is known: where it may pass, the
// same call with the same arguments is repeated before anything else happens.
func durable[T any](ctx context.Context, d *Dispatcher, what string, transact func(context.Context) (T, error)) (T, error) {
	wait := pause{storeWait, time.Second}
	var told time.Time
	for {
		v, err := transact(ctx)
		if err == nil || !passes(err) {
			if err != nil {
				err = fmt.Errorf("%s: %w", what, err)
			}
			return v, err
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			d.log.Warn("store transaction is repeated", "transaction", what, "err", err)
		}
		if !sleep(ctx, wait.step()) {
			return v, fmt.Errorf("%s: %w", what, err)
		}
	}
}

// durably is durable for transactions without a result.
func (d *Dispatcher) durably(ctx context.Context, what string, transact func(context.Context) error) error {
	_, err := durable(ctx, d, what, func(ctx context.Context) (struct{}, error) { return struct{}{}, transact(ctx) })
	return err
}

// sleep waits for t; false if ctx ended first.
func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// warnOnce logs a warning about an object's set-up the first time it is met.
func (d *Dispatcher) warnOnce(message string, object slog.Attr) {
	d.mu.Lock()
	key := message + object.Value.String()
	seen := d.warned[key]
	d.warned[key] = true
	d.mu.Unlock()
	if !seen {
		d.log.Warn(message, object)
	}
}
