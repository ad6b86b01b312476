package dispatcher

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

// BreakerState says whether anything is sent.
type BreakerState string

// The states of the breaker. Half open lets one call through to see.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half_open"
)

// BreakerReason says why the breaker is not closed.
type BreakerReason string

// The reasons. The first four are conditions that a person ends, the others
// are faults that a probe ends.
const (
	ReasonNotConfigured BreakerReason = "not_configured"
	ReasonOrgChanged    BreakerReason = "org_changed"
	ReasonRestored      BreakerReason = "restored"
	ReasonOperator      BreakerReason = "operator"

	ReasonLimit       BreakerReason = "limit"
	ReasonBudget      BreakerReason = "budget"
	ReasonUnavailable BreakerReason = "unavailable"
	ReasonMaintenance BreakerReason = "maintenance"
	ReasonLogin       BreakerReason = "login"
)

// BreakerStatus is the breaker as status shows it. Members that do not apply are zero.
type BreakerStatus struct {
	State     BreakerState
	Reason    BreakerReason
	Code      string
	Message   string
	Since     time.Time
	NextProbe time.Time
}

// access is what a network call does at the org.
type access int

const (
	reading   access = iota // polls, results, queries
	writing                 // everything that sends records on their way
	beginning               // of an attempt: without calls for more, what is under way goes on
)

const (
	// doubtsToTrip: so many calls in a row without an answer, none good between,
	// and the org is taken as unavailable. One alone may be its request's own fault.
	doubtsToTrip = 3
	// shortPause is for limits of calls at a time: they pass within a minute.
	shortPause = 30 * time.Second
	// quotaPatience is by how much longer a probe waits for a quota than for an org that is away.
	quotaPatience = 8
)

// breaker stops all sending while the org can't or must not be written to. No
// event is charged for it. A fault opens it, a good probe half opens it, and a
// call that succeeds then closes it; each time in between it waits twice as long.
type breaker struct {
	initial, limit time.Duration
	now            func() time.Time

	mu        sync.Mutex
	condition BreakerReason // "" for none; stands before any fault
	condSince time.Time
	fault     BreakerStatus
	trips     int  // since the last success
	trial     bool // half open: the one call is under way
	doubts    int
	change    chan struct{} // closed at the next change
}

func newBreaker(initial, limit time.Duration, now func() time.Time) *breaker {
	return &breaker{
		initial: initial, limit: limit, now: now,
		fault: BreakerStatus{State: BreakerClosed}, change: make(chan struct{}),
	}
}

// status is what to show: a condition hides a fault.
func (b *breaker) status() BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.condition != "" {
		return BreakerStatus{State: BreakerOpen, Reason: b.condition, Since: b.condSince}
	}
	return b.fault
}

// changed returns a channel that is closed when the breaker changes.
func (b *breaker) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.change
}

// moved wakes whoever waits; the lock is held.
func (b *breaker) moved() {
	close(b.change)
	b.change = make(chan struct{})
}

// setCondition states which condition holds, "" for none.
func (b *breaker) setCondition(reason BreakerReason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.condition == reason {
		return
	}
	b.condition, b.condSince = reason, b.now()
	b.moved()
}

// allows reports whether a call would be let through now.
func (b *breaker) allows(a access) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open(a)
}

// open is allows with the lock held.
func (b *breaker) open(a access) bool {
	switch b.condition {
	case "":
	case ReasonOperator:
		if a != reading {
			return false
		}
	default:
		return false
	}
	switch b.fault.State {
	case BreakerClosed:
		return true
	case BreakerHalfOpen:
		return !b.trial
	default:
		return b.fault.Reason == ReasonBudget && a != beginning
	}
}

// errPaused: the breaker does not let the call through, nothing was sent.
var errPaused = errors.New("sending is paused")

// enter asks to make a call; without nil there is none to be made. After nil the
// caller owes a report.
func (b *breaker) enter(a access) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open(a) {
		return errPaused
	}
	if b.fault.State == BreakerHalfOpen {
		b.trial = true
	}
	return nil
}

// await is enter that waits until it may, or ctx ends.
func (b *breaker) await(ctx context.Context, a access) error {
	for {
		changed := b.changed()
		if b.enter(a) == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passable waits until a call would be let through, or ctx ends. Nothing is owed
// for it: a half open breaker has its trial still before it.
func (b *breaker) passable(ctx context.Context, a access) error {
	for {
		changed := b.changed()
		if b.allows(a) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unconditioned waits until no condition but the operator's pause holds.
func (b *breaker) unconditioned(ctx context.Context) error {
	for {
		b.mu.Lock()
		free, change := b.condition == "" || b.condition == ReasonOperator, b.change
		b.mu.Unlock()
		if free {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// report tells how a call ended that enter let through.
func (b *breaker) report(a access, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasTrial := b.trial
	b.trial = false
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errOtherOrg):
		// Our own doing says nothing of the org; another org is a condition.
	case err == nil || !speaksOfOrg(err):
		b.succeed(a)
	case isCertain(a, err) || b.doubts+1 >= doubtsToTrip || wasTrial:
		b.trip(b.reasonOf(err))
		return
	default:
		b.doubts++
	}
	if wasTrial {
		b.moved()
	}
}

// succeed closes a half open breaker. In maintenance reads work all the time,
// so only a write shows that it is over.
func (b *breaker) succeed(a access) {
	b.doubts = 0
	if b.fault.State == BreakerOpen || b.fault.Reason == ReasonMaintenance && a == reading {
		return
	}
	b.trips = 0
	if b.fault.State == BreakerHalfOpen {
		b.fault = BreakerStatus{State: BreakerClosed}
		b.moved()
	}
}

// trip opens the breaker; the lock is held. Calls that fail together count once. What
// goes on without calls for more stops at a fault all the same.
func (b *breaker) trip(s BreakerStatus, least time.Duration) {
	if b.fault.State == BreakerOpen && (b.fault.Reason != ReasonBudget || s.Reason == ReasonBudget) {
		return
	}
	b.doubts = 0
	b.trips++
	s.State, s.Since = BreakerOpen, b.now()
	if b.fault.Reason == s.Reason {
		s.Since = b.fault.Since
	}
	s.NextProbe = b.now().Add(max(least, b.wait(s.Reason)))
	b.fault = s
	b.moved()
}

// wait is the time to the next probe.
func (b *breaker) wait(reason BreakerReason) time.Duration {
	initial := b.initial
	if reason == ReasonLimit || reason == ReasonBudget {
		initial = min(b.limit, initial*quotaPatience)
	}
	return doubled(b.trips, initial, b.limit)
}

// over opens the breaker because the budget is used up, for wait at least.
func (b *breaker) over(message string, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trip(BreakerStatus{Reason: ReasonBudget, Message: message}, wait)
}

// tryBudget makes the next probe due at once if the budget is what holds the breaker open.
func (b *breaker) tryBudget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault.State == BreakerOpen && b.fault.Reason == ReasonBudget {
		b.fault.NextProbe = b.now()
		b.moved()
	}
}

// stillOver tells that a probe went well and found the budget used up.
func (b *breaker) stillOver(message string, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault.State != BreakerOpen {
		return
	}
	b.trips++
	b.fault.Reason, b.fault.Code, b.fault.Message = ReasonBudget, "", message
	b.fault.NextProbe = b.now().Add(max(wait, b.wait(ReasonBudget)))
	b.moved()
}

// probeAt returns when the next probe is due; false when none is to be made:
// nothing is wrong, or a probe could not mend it.
func (b *breaker) probeAt() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault.State != BreakerOpen || b.condition != "" && b.condition != ReasonOperator {
		return time.Time{}, false
	}
	return b.fault.NextProbe, true
}

// probed tells how a probe ended. A good one half opens.
func (b *breaker) probed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault.State != BreakerOpen {
		return
	}
	if err != nil {
		b.trips++
		next, least := b.reasonOf(err)
		since := b.fault.Since
		b.fault = next
		b.fault.State, b.fault.Since = BreakerOpen, since
		b.fault.NextProbe = b.now().Add(max(least, b.wait(next.Reason)))
	} else {
		b.fault.State, b.fault.NextProbe, b.trial = BreakerHalfOpen, time.Time{}, false
	}
	b.moved()
}

// idle closes a half open breaker that nothing waits for. The next fault still
// waits longer than the last.
func (b *breaker) idle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault.State == BreakerHalfOpen && !b.trial {
		b.fault = BreakerStatus{State: BreakerClosed}
		b.moved()
	}
}

// isCertain reports whether one such error is enough: the org has said so itself,
// or not even the connection came about. A read that got no answer may as well
// have met a single bad connection.
func isCertain(a access, err error) bool {
	_, login := errors.AsType[*salesforce.AuthError](err)
	if e, ok := errors.AsType[*salesforce.APIError](err); ok && !login && a == reading && e.Code == salesforce.CodeTransport {
		return false
	}
	return salesforce.ClassOf(err) != salesforce.Ambiguous
}

// speaksOfOrg reports whether err is about the org or the way to it, and not
// about what was asked of it.
func speaksOfOrg(err error) bool {
	if _, ok := errors.AsType[*salesforce.AuthError](err); ok {
		return true // also one that wraps the failure of a call of its own
	}
	e, ok := errors.AsType[*salesforce.APIError](err)
	return ok && (e.Unavailable() || e.Code == salesforce.CodeTransport && e.Class == salesforce.Ambiguous)
}

// unavailable reports whether err says that the org, or the way to it, is down,
// which no record can be the reason of.
func unavailable(err error) bool {
	e, ok := errors.AsType[*salesforce.APIError](err)
	return ok && e.Unavailable()
}

// maintenance holds the codes of an org that can be read but not written to.
var maintenance = map[string]bool{
	"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": true,
	"INVALID_READ_ONLY_USER_DML":                          true,
	"API_CURRENTLY_DISABLED":                              true,
}

// reasonOf puts an error of the org into the breaker's words, with the least
// time that it asks to be left alone for.
func (b *breaker) reasonOf(err error) (BreakerStatus, time.Duration) {
	s := BreakerStatus{Reason: ReasonUnavailable}
	cause, byOrg := errors.AsType[*salesforce.APIError](err)
	if e, ok := errors.AsType[*salesforce.AuthError](err); ok && !(byOrg && e.Transient) {
		s.Code, s.Message = e.Code, e.Description
		if !e.Transient {
			s.Reason = ReasonLogin
		}
		return s, 0
	}
	var least time.Duration
	class := salesforce.ClassOf(err)
	if byOrg {
		class = cause.Class
		s.Code, s.Message, least = cause.Code, cause.Message, min(cause.RetryAfter, time.Hour)
		if cause.Kind == salesforce.ConcurrentLimit || cause.Kind == salesforce.LongTxnLimit {
			s.Reason = ReasonLimit
			return s, max(least, min(shortPause, b.limit))
		}
	}
	switch {
	case maintenance[s.Code]:
		s.Reason = ReasonMaintenance
	case class == salesforce.PauseQuota:
		s.Reason = ReasonLimit
	case class == salesforce.Auth:
		s.Reason = ReasonLogin
	}
	if s.Code == "" {
		s.Code, s.Message = salesforce.CodeTransport, "no answer"
	}
	return s, least
}
