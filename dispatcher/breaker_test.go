package dispatcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

func TestBackoff(t *testing.T) {
	const first, limit = time.Second, 10 * time.Minute
	top := func() float64 { return 1 } // the longest wait
	for _, tt := range []struct {
		name string
		n    int
		want time.Duration
	}{
		{"first attempt", 1, first},
		{"twice as long", 2, 2 * first},
		{"stops at the limit", 11, limit},
		{"does not overflow", 200, limit},
		{"before any attempt", 0, first},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := backoff(tt.n, first, limit, top); got != tt.want {
				t.Errorf("backoff(%d) = %v, want %v", tt.n, got, tt.want)
			}
		})
	}
	if got := backoff(5, first, limit, func() float64 { return 0 }); got != 0 {
		t.Errorf("full jitter begins at 0, got %v", got)
	}
}

// clock is a hand-moved time.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func apiErr(class salesforce.Class, status int, code string) error {
	return &salesforce.APIError{Class: class, Status: status, Code: code, Message: "told so"}
}

func TestBreaker_OpensHalfOpensCloses(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	b := newBreaker(time.Second, 8*time.Second, c.Now)
	wait := func(want time.Duration) {
		t.Helper()
		at, ok := b.probeAt()
		if got := at.Sub(c.now); !ok || got != want {
			t.Fatalf("next probe in %v (%v), want %v", got, ok, want)
		}
		c.now = at
	}
	down := apiErr(salesforce.PauseOrg, 503, "SERVER_UNAVAILABLE")
	if b.enter(writing) != nil {
		t.Fatal("closed breaker lets nothing through")
	}
	b.report(writing, down)
	if s := b.status(); s.State != BreakerOpen || s.Reason != ReasonUnavailable || s.Code != "SERVER_UNAVAILABLE" || !s.Since.Equal(c.now) {
		t.Fatalf("status %+v", s)
	}
	if b.enter(reading) == nil {
		t.Fatal("open breaker lets a call through")
	}
	b.report(writing, down) // one that was under way: counts once
	wait(time.Second)
	b.probed(down)
	wait(2 * time.Second)
	b.probed(nil)
	if b.status().State != BreakerHalfOpen || b.enter(writing) != nil {
		t.Fatal("a good probe lets no trial through")
	}
	if b.enter(writing) == nil {
		t.Fatal("two trials at a time")
	}
	b.report(writing, down)
	wait(4 * time.Second)
	b.probed(down)
	wait(8 * time.Second)
	b.probed(down)
	wait(8 * time.Second) // the limit
	b.probed(nil)
	if b.enter(writing) != nil {
		t.Fatal("no trial")
	}
	b.report(writing, apiErr(salesforce.Permanent, 400, "STRING_TOO_LONG")) // a record's fault: the org answers
	if s := b.status(); s.State != BreakerClosed {
		t.Fatalf("status %+v after a good trial", s)
	}
	b.report(writing, down)
	wait(time.Second) // begins anew
}

// Who waits until a half open breaker is passable leaves its one call to others.
// TestBreaker_BudgetIsNoWayPastAFault: for what is under way it is open, but not for an org that can't be used.
func TestBreaker_BudgetIsNoWayPastAFault(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	b := newBreaker(time.Second, 8*time.Second, c.Now)
	b.over("all are used", 6*time.Hour)
	if !b.allows(reading) || !b.allows(writing) || b.allows(beginning) {
		t.Fatal("what is under way does not go on alone")
	}
	b.report(reading, &salesforce.AuthError{Code: "invalid_grant", Description: "user is locked"})
	b.over("all are used", 6*time.Hour)
	if s := b.status(); s.Reason != ReasonLogin || b.allows(reading) || !s.NextProbe.Before(c.now.Add(time.Minute)) {
		t.Fatalf("after a login that failed: %+v, reads %v", s, b.allows(reading))
	}
	b.stillOver("all are used", 6*time.Hour)
	if s := b.status(); s.Reason != ReasonBudget || !b.allows(reading) || b.allows(beginning) {
		t.Errorf("once the login works: %+v", s)
	}
	for range doubtsToTrip { // as each call is heard
		b.report(reading, apiErr(salesforce.Ambiguous, 0, salesforce.CodeTransport))
		b.over("all are used", 6*time.Hour)
	}
	if s := b.status(); s.Reason != ReasonUnavailable || b.allows(reading) {
		t.Errorf("once nothing is answered: %+v", s)
	}
}

func TestBreaker_PassableTakesNoTrial(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	b := newBreaker(time.Second, 8*time.Second, c.Now)
	b.report(writing, apiErr(salesforce.PauseOrg, 503, "SERVER_UNAVAILABLE"))
	passed := make(chan error, 1)
	go func() { passed <- b.passable(t.Context(), writing) }()
	b.probed(nil)
	if err := <-passed; err != nil {
		t.Fatal(err)
	}
	if b.enter(writing) != nil {
		t.Error("the trial is taken by one who only waited")
	}
}

func TestBreaker_OneLostAnswerIsNoOutage(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	b := newBreaker(time.Second, time.Minute, c.Now)
	lost := apiErr(salesforce.Ambiguous, 0, salesforce.CodeTransport)
	for range 10 {
		b.report(writing, lost)
		b.report(writing, lost)
		if b.status().State != BreakerClosed {
			t.Fatal("opened after two")
		}
		b.report(writing, nil)
	}
	for range doubtsToTrip {
		b.report(writing, lost)
	}
	if s := b.status(); s.State != BreakerOpen || s.Reason != ReasonUnavailable {
		t.Fatalf("status %+v after %d lost answers", s, doubtsToTrip)
	}
}

func TestBreaker_Reasons(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want BreakerReason
		wait time.Duration
	}{
		{"daily limit", &salesforce.APIError{Class: salesforce.PauseQuota, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Kind: salesforce.DailyLimit}, ReasonLimit, 8 * time.Second},
		{"calls at a time", &salesforce.APIError{Class: salesforce.PauseOrg, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Kind: salesforce.ConcurrentLimit}, ReasonLimit, 30 * time.Second},
		{"maintenance", apiErr(salesforce.PauseOrg, 503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"), ReasonMaintenance, time.Second},
		{"credentials", &salesforce.AuthError{Code: "invalid_grant"}, ReasonLogin, time.Second},
		{"a session that is refused again", apiErr(salesforce.Auth, 401, "INVALID_SESSION_ID"), ReasonLogin, time.Second},
		{"Retry-After is honoured", &salesforce.APIError{Class: salesforce.PauseOrg, Status: 429, Code: "TRANSPORT", RetryAfter: time.Minute}, ReasonUnavailable, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{now: time.Unix(1e9, 0)}
			b := newBreaker(time.Second, 10*time.Minute, c.Now)
			b.report(writing, tt.err)
			s := b.status()
			if s.State != BreakerOpen || s.Reason != tt.want || s.NextProbe.Sub(c.now) != tt.wait {
				t.Errorf("status %+v, next probe in %v", s, s.NextProbe.Sub(c.now))
			}
		})
	}
	b := newBreaker(time.Second, time.Minute, time.Now)
	b.report(writing, fmt.Errorf("login: %w", &salesforce.AuthError{Code: "x", Err: errOtherOrg}))
	if b.status().State != BreakerClosed {
		t.Error("another org is a condition, not a fault")
	}
}

func TestBreaker_Conditions(t *testing.T) {
	b := newBreaker(time.Second, time.Minute, time.Now)
	for _, tt := range []struct {
		reason      BreakerReason
		read, write bool
	}{
		{ReasonOperator, true, false}, {ReasonRestored, false, false}, {ReasonOrgChanged, false, false}, {ReasonNotConfigured, false, false}, {"", true, true},
	} {
		b.setCondition(tt.reason)
		if b.allows(reading) != tt.read || b.allows(writing) != tt.write || b.allows(beginning) != tt.write {
			t.Errorf("%s: reading %v, writing %v", tt.reason, b.allows(reading), b.allows(writing))
		}
	}
	b.over("all used up", 0)
	if !b.allows(reading) || !b.allows(writing) || b.allows(beginning) || b.status().Reason != ReasonBudget {
		t.Errorf("budget: %+v", b.status())
	}
}

func TestBudget_Crowded(t *testing.T) {
	b := newBudget(0, 4, time.Now)
	b.crowded()
	b.crowded()
	b.crowded()
	if b.concurrency() != 1 {
		t.Errorf("concurrency %d, want 1", b.concurrency())
	}
	for range 10 * slotStreak {
		b.fine()
	}
	if b.concurrency() != 4 {
		t.Errorf("concurrency %d after good calls, want 4", b.concurrency())
	}
}
