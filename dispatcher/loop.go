package dispatcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

const (
	// lookEvery is the longest time between two looks at the outbox: a hint may have been missed.
	lookEvery = 30 * time.Second
	// lookApart is the shortest: many small commits are looked at together.
	lookApart = 5 * time.Millisecond
	// sweepEvery is the rhythm of the store's housekeeping.
	sweepEvery = 5 * time.Second
)

// loop looks at the outbox whenever something may have changed, and starts what
// the plan says.
func (d *Dispatcher) loop(ctx context.Context, stop func(error)) error {
	var clock clockState
	for ctx.Err() == nil {
		d.beat.Store(time.Now().UnixNano())
		changed := d.breaker.changed()
		if err := d.seeFacts(ctx); err != nil {
			return err
		}
		if err := d.stopClock(ctx, &clock); err != nil {
			return err
		}
		wake, err := d.look(ctx, stop)
		if err != nil {
			return err
		}
		d.lull(ctx, wake, changed)
	}
	return nil
}

// lull waits until there may be something to do.
func (d *Dispatcher) lull(ctx context.Context, wake time.Duration, changed <-chan struct{}) {
	if !sleep(ctx, lookApart) {
		return
	}
	timer := time.NewTimer(wake)
	defer timer.Stop()
	select {
	case <-d.outbox.Ready():
	case <-d.poke:
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	// The look that comes now is for every hint that was given by now.
	forget(d.outbox.Ready())
	forget(d.poke)
}

// forget takes a hint, if there is one.
func forget(hint <-chan struct{}) {
	select {
	case <-hint:
	default:
	}
}

// errOrgAccepted ends what was going on for the org before.
var errOrgAccepted = errors.New("the outbox belongs to another org now")

// seeFacts tells the breaker which condition holds.
func (d *Dispatcher) seeFacts(ctx context.Context) error {
	f, err := durable(ctx, d, "facts", d.outbox.Facts)
	switch {
	case err != nil:
		return err
	case f.Orgs != d.orgs:
		return errOrgAccepted // before the breaker lets anything through to it
	}
	switch {
	case d.org == nil:
		d.breaker.setCondition(ReasonNotConfigured)
	case f.OtherOrg != "":
		d.breaker.setCondition(ReasonOrgChanged)
	case f.Restored:
		d.breaker.setCondition(ReasonRestored)
	case f.Paused:
		d.breaker.setCondition(ReasonOperator)
	default:
		d.breaker.setCondition("")
	}
	return nil
}

// clockState is what the store's clock of ages was told last.
type clockState int

const (
	clockUnknown clockState = iota
	clockRuns
	clockStands
)

// stopClock lets no event age while nothing is sent.
func (d *Dispatcher) stopClock(ctx context.Context, told *clockState) error {
	now := clockRuns
	if d.breaker.status().State == BreakerOpen {
		now = clockStands
	}
	if now == *told {
		return nil
	}
	err := d.durably(ctx, "pause the clock", func(ctx context.Context) error {
		return d.outbox.SetPausedClock(ctx, d.term, now == clockStands)
	})
	if err == nil {
		*told = now
		d.logBreaker()
	}
	return err
}

func (d *Dispatcher) logBreaker() {
	switch s := d.breaker.status(); s.State {
	case BreakerOpen:
		d.log.Warn("sending is paused", "reason", string(s.Reason), "code", s.Code, "next_probe", s.NextProbe)
	default:
		d.log.Info("sending", "breaker", string(s.State))
	}
}

// look starts what there is to start, and says after what time to look again.
func (d *Dispatcher) look(ctx context.Context, stop func(error)) (time.Duration, error) {
	wake := lookEvery
	if at, ok := d.breaker.probeAt(); ok {
		if wait := time.Until(at); wait > 0 {
			return min(wake, wait), nil
		}
		if d.probing.CompareAndSwap(false, true) {
			d.attempts.Go(func() { d.probe(ctx) })
		}
		return wake, nil
	}
	if message, wait := d.budget.exhausted(); message != "" {
		d.breaker.over(message, wait) // no answer need have told so: the reserve may be another
	}
	if !d.breaker.allows(beginning) || d.full() {
		return wake, nil
	}
	flushes := d.flushes.Load() // before the look: what a later one is meant for may not be in it
	routes, nextDue, err := d.routes(ctx)
	if err != nil {
		return 0, err
	}
	if nextDue >= 0 {
		wake = min(wake, nextDue)
	}
	s, postponed := d.situation(routes)
	s.flush = flushes > d.flushed
	actions, again, more := d.config().plan(s)
	more = more || d.breaker.status().State == BreakerHalfOpen
	for _, wait := range []time.Duration{postponed, again} {
		if wait > 0 {
			wake = min(wake, wait)
		}
	}
	if !more {
		d.flushed = flushes
	}
	if len(actions) == 0 {
		d.nothingToSend()
		return wake, nil
	}
	if d.breaker.status().State == BreakerHalfOpen {
		actions = actions[:1]
	}
	for _, a := range actions {
		switch err := d.begin(ctx, a, stop); {
		case errors.Is(err, errNoRoom):
			return noRoomFor, nil
		case err != nil:
			return 0, err
		}
	}
	return 0, nil
}

// routes asks what could be claimed.
func (d *Dispatcher) routes(ctx context.Context) (routes []store.RouteStat, nextDue time.Duration, err error) {
	err = d.durably(ctx, "routes", func(ctx context.Context) error {
		var err error
		routes, nextDue, err = d.outbox.Routes(ctx, d.term)
		return err
	})
	return routes, nextDue, err
}

// nothingToSend closes a half open breaker that no attempt will try.
func (d *Dispatcher) nothingToSend() {
	d.mu.Lock()
	busy := len(d.running)
	d.mu.Unlock()
	if busy == 0 {
		d.breaker.idle()
	}
}

// full reports whether no slot is free.
func (d *Dispatcher) full() bool {
	rest, jobs := d.free()
	return rest <= 0 && jobs <= 0
}

func (d *Dispatcher) free() (rest, jobs int) {
	cfg, concurrency := d.config(), d.budget.concurrency()
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(0, concurrency-d.rest), max(0, cfg.Bulk.MaxJobs-d.jobs)
}

// situation gathers what the plan needs to know. Routes that are postponed are
// not in it; the first of them comes back after wait, 0 if none does.
func (d *Dispatcher) situation(routes []store.RouteStat) (s situation, wait time.Duration) {
	cfg := d.config()
	s = situation{funds: d.budget.funds(cfg.Bulk.MaxWait)}
	s.rest, s.job = d.free()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, r := range routes {
		known := d.traits[r.Route]
		if left := known.notBefore.Sub(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		if now.After(known.until) && s.linger == 0 { // else the attempt asks, before it sends
			known = learned{}
		}
		s.routes = append(s.routes, waiting{
			RouteStat: r,
			ways:      waysOf(r.Route, cfg.object(r.Route.Object), known.traits),
			small:     now.Before(d.small[r.Route]),
			running:   d.running[r.Route],
			served:    d.served[r.Route],
		})
	}
	return s, wait
}

// remember keeps what a describe said about a route, for the plan.
func (d *Dispatcher) remember(r store.Route, t traits) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.traits[r] = learned{traits: t, until: time.Now().Add(traitsFor)}
}

// knownKey is the note of what carries the key of a route's creates, by what was
// learned last; an attempt that finds it otherwise sends nothing.
func (d *Dispatcher) knownKey(r store.Route) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return cmp.Or(d.traits[r].key, notedNone)
}

// postpone leaves a route alone for a while whose object can't be described,
// each time for twice as long: it is no outage, and must not become one.
func (d *Dispatcher) postpone(r store.Route) {
	if !d.breaker.allows(reading) {
		return // then it is one
	}
	retry := d.config().Retry
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.traits[r]
	known.failures++
	known.notBefore = time.Now().Add(doubled(known.failures, retry.Initial, retry.Max))
	d.traits[r] = known
}

// begin claims for an action and hands the attempt to a goroutine.
func (d *Dispatcher) begin(ctx context.Context, a action, stop func(error)) error {
	if a.Kind == "" {
		d.start(ctx, a.Route, store.KindQuery, stop, func(func()) error { return d.study(ctx, a.Route) })
		return nil
	}
	id, err := newAttemptID()
	if err != nil {
		return err
	}
	point := claimPoint[a.Kind]
	crashpoint(point + ".before")
	var attempt store.Attempt
	var claimed []store.Claimed
	if a.Kind == store.KindREST && a.Route.Operation == opCreate {
		a.Note = d.knownKey(a.Route)
	}
	err = d.durably(ctx, "claim", func(ctx context.Context) error {
		var err error
		attempt, claimed, err = d.outbox.Claim(ctx, d.term, id, a.ClaimSpec)
		if errors.Is(err, store.ErrFull) {
			return errNoRoom
		}
		return err
	})
	crashpoint(point + ".after")
	if err != nil || len(claimed) == 0 {
		return err
	}
	if a.Kind == store.KindBulk && a.also && len(claimed) < d.config().Bulk.MinRecords/2 {
		d.shrink(a.Route)
		return d.release(ctx, attempt, errSmall)
	}
	d.metrics.attempt(a.Kind, "claimed")
	d.start(ctx, a.Route, a.Kind, stop, func(free func()) error { return d.attempt(ctx, attempt, claimed, free) })
	return nil
}

// errNoRoom: an attempt can't be recorded, so it is not begun. Those under way
// may make room.
var errNoRoom = errors.New("no room for an attempt")

// noRoomFor is how long no attempt is begun then.
const noRoomFor = time.Second

// claimPoint is T1 of each kind of attempt.
var claimPoint = map[store.Kind]string{store.KindBulk: "T1", store.KindREST: "R.T1", store.KindQuery: "Q.T1"}

// errSmall: the claim shows that a job is not worth its calls.
var errSmall = errors.New("too few records may travel together for a job")

// smallFor is how long a route is kept from jobs that would not be filled.
const smallFor = 30 * time.Second

// shrink keeps a route from jobs for a while.
func (d *Dispatcher) shrink(r store.Route) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.small[r] = time.Now().Add(smallFor)
}

// attempt carries out what was claimed. free gives its slot up before it ends.
func (d *Dispatcher) attempt(ctx context.Context, a store.Attempt, claimed []store.Claimed, free func()) error {
	switch a.Kind {
	case store.KindBulk:
		return d.runJob(ctx, a, claimed, free)
	case store.KindQuery:
		return d.runQuery(ctx, a, claimed)
	}
	return d.runREST(ctx, a, claimed, fresh)
}

// study asks for the describe that the plan waits for. Refused, the records of
// the route are claimed all the same, and each is told why.
func (d *Dispatcher) study(ctx context.Context, r store.Route) error {
	schema, err := d.describe(ctx, r.Object)
	switch {
	case err == nil:
		idempotent, field := d.repeatable(r, d.config().object(r.Object), schema)
		d.remember(r, traits{known: true, idempotent: idempotent, key: keyNote(field, idempotent)})
	case isRefusal(err):
		d.remember(r, traits{known: true, refused: true})
	case ctx.Err() == nil && d.breaker.allows(reading):
		d.log.Warn("describe is repeated", "object", r.Object, "err", err)
		d.postpone(r)
	}
	return nil
}

// heard takes in how a network call ended: for the breaker, the budget and the
// number of calls at a time.
func (d *Dispatcher) heard(a access, err error) {
	if isOutOfBatches(err) {
		d.keepJobsBack()
		d.breaker.report(a, nil) // REST can go on
	} else {
		d.breaker.report(a, err)
	}
	if message, wait := d.seeLimits(); message != "" {
		d.breaker.over(message, wait)
	}
	if err == nil {
		d.budget.fine()
	} else if e, ok := errors.AsType[*salesforce.APIError](err); ok && (e.Kind == salesforce.ConcurrentLimit || e.Kind == salesforce.LongTxnLimit) {
		d.budget.crowded()
	}
}

// call makes a network call that can wait until the breaker lets it through.
func (d *Dispatcher) call(ctx context.Context, a access, f func(context.Context) error) error {
	if err := d.breaker.await(ctx, a); err != nil {
		return err
	}
	err := f(ctx)
	d.heard(a, err)
	return err
}

// probe sees whether the org can be used again.
func (d *Dispatcher) probe(ctx context.Context) {
	defer d.Poke()
	defer d.probing.Store(false)
	err := d.org.Probe(ctx)
	if ctx.Err() != nil {
		return
	}
	if message, wait := d.seeLimits(); message != "" && err == nil {
		d.breaker.stillOver(message, wait)
		return
	}
	d.breaker.probed(err)
	d.log.Info("probed the org", "breaker", string(d.breaker.status().State), "err", err)
}

// errOtherOrg refuses the token of an org that the outbox is not for.
var errOtherOrg = errors.New("the login leads to another org than the one that is recorded")

// meetOrg pins the org: a token that belongs to another one is refused before
// any call is made with it (I8). Then it logs in, so that a mistake shows at once.
func (d *Dispatcher) meetOrg(ctx context.Context) {
	d.org.OnIdentity(func(id salesforce.Identity) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
		defer cancel()
		crashpoint("O.T1.before")
		facts, err := durable(ctx, d, "record the org", func(ctx context.Context) (store.Facts, error) {
			return d.outbox.SetOrg(ctx, string(id.OrgID), id.InstanceURL)
		})
		crashpoint("O.T1.after")
		switch {
		case err != nil:
			return err
		case facts.OtherOrg != "" || facts.Orgs != d.orgs:
			d.breaker.setCondition(ReasonOrgChanged)
			return fmt.Errorf("org %s: %w", id.OrgID, errOtherOrg)
		}
		d.mu.Lock()
		d.identity = &id
		d.mu.Unlock()
		return nil
	})
	d.attempts.Go(func() {
		crashpoint("O.N1.before")
		_, err := d.org.Login(ctx)
		crashpoint("O.N1.after")
		if err != nil && ctx.Err() == nil && !errors.Is(err, errOtherOrg) {
			d.heard(reading, err)
		}
	})
}

// sweep does the store's housekeeping.
func (d *Dispatcher) sweep(ctx context.Context) error {
	for ctx.Err() == nil {
		more, err := durable(ctx, d, "sweep", func(ctx context.Context) (bool, error) {
			return d.outbox.Sweep(ctx, d.term)
		})
		if err != nil {
			return err
		}
		if more {
			continue
		}
		sleep(ctx, sweepEvery)
	}
	return nil
}
