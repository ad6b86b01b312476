package storetest

import (
	"context"
	"io"
	"time"

	"github.com/outboxd/outboxd/store"
)

// Fault is one injected failure. The zero Fault injects nothing.
type Fault struct {
	Err     error // what the caller sees: ErrFenced, ErrUnknown, ErrUnavailable
	Applied bool  // the call took effect all the same, only its answer is lost
}

// The faults that every method may meet. ErrUnavailable has no second form:
// it promises that nothing happened.
var (
	Unavailable    = Fault{Err: store.ErrUnavailable}
	UnknownBefore  = Fault{Err: store.ErrUnknown}
	UnknownApplied = Fault{Err: store.ErrUnknown, Applied: true}
	FencedBefore   = Fault{Err: store.ErrFenced}
	FencedApplied  = Fault{Err: store.ErrFenced, Applied: true}
)

// Faults is an Outbox whose calls fail on demand. Next is asked before each
// call with the name of its method, possibly concurrently; nil injects nothing.
// Close, Ready and Watch never fail.
type Faults struct {
	Outbox
	Next func(method string) Fault
}

// Nth makes a Next that injects f into the n-th call, from 1, of one method.
// It is not for concurrent use.
func Nth(method string, n int, f Fault) func(string) Fault {
	return func(m string) Fault {
		if m != method {
			return Fault{}
		}
		if n--; n != 0 {
			return Fault{}
		}
		return f
	}
}

// inject runs one call under the fault that is due. A lost answer is the zero value.
func inject[A any](f *Faults, method string, call func() (A, error)) (A, error) {
	var fault Fault
	var lost A
	if f.Next != nil {
		fault = f.Next(method)
	}
	if fault.Err != nil && !fault.Applied {
		return lost, fault.Err
	}
	answer, err := call()
	if err == nil && fault.Err != nil {
		return lost, fault.Err
	}
	return answer, err
}

// injectOnly is inject for calls that answer nothing but an error.
func injectOnly(f *Faults, method string, call func() error) error {
	_, err := inject(f, method, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// pair holds the answers of a call that has two.
type pair[A, B any] struct {
	a A
	b B
}

func injectPair[A, B any](f *Faults, method string, call func() (A, B, error)) (A, B, error) {
	p, err := inject(f, method, func() (p pair[A, B], err error) {
		p.a, p.b, err = call()
		return p, err
	})
	return p.a, p.b, err
}

func (f *Faults) Put(ctx context.Context, events []store.Event, o store.PutOptions) ([]store.PutResult, error) {
	return inject(f, "Put", func() ([]store.PutResult, error) { return f.Outbox.Put(ctx, events, o) })
}

func (f *Faults) Hold(ctx context.Context) (store.Term, error) {
	return inject(f, "Hold", func() (store.Term, error) { return f.Outbox.Hold(ctx) })
}

func (f *Faults) Unfinished(ctx context.Context, t store.Term) ([]store.Attempt, error) {
	return inject(f, "Unfinished", func() ([]store.Attempt, error) { return f.Outbox.Unfinished(ctx, t) })
}

func (f *Faults) Routes(ctx context.Context, t store.Term) ([]store.RouteStat, time.Duration, error) {
	return injectPair(f, "Routes", func() ([]store.RouteStat, time.Duration, error) { return f.Outbox.Routes(ctx, t) })
}

func (f *Faults) Claim(ctx context.Context, t store.Term, id store.AttemptID, spec store.ClaimSpec) (store.Attempt, []store.Claimed, error) {
	return injectPair(f, "Claim", func() (store.Attempt, []store.Claimed, error) { return f.Outbox.Claim(ctx, t, id, spec) })
}

func (f *Faults) Events(ctx context.Context, id store.AttemptID) ([]store.Claimed, error) {
	return inject(f, "Events", func() ([]store.Claimed, error) { return f.Outbox.Events(ctx, id) })
}

func (f *Faults) Advance(ctx context.Context, t store.Term, id store.AttemptID, from, to store.Phase, d store.PhaseData) error {
	return injectOnly(f, "Advance", func() error { return f.Outbox.Advance(ctx, t, id, from, to, d) })
}

func (f *Faults) Settle(ctx context.Context, t store.Term, id store.AttemptID, x store.Settlement) error {
	return injectOnly(f, "Settle", func() error { return f.Outbox.Settle(ctx, t, id, x) })
}

func (f *Faults) Release(ctx context.Context, t store.Term, id store.AttemptID, note string) error {
	return injectOnly(f, "Release", func() error { return f.Outbox.Release(ctx, t, id, note) })
}

func (f *Faults) Sweep(ctx context.Context, t store.Term) (bool, error) {
	return inject(f, "Sweep", func() (bool, error) { return f.Outbox.Sweep(ctx, t) })
}

func (f *Faults) SetPausedClock(ctx context.Context, t store.Term, paused bool) error {
	return injectOnly(f, "SetPausedClock", func() error { return f.Outbox.SetPausedClock(ctx, t, paused) })
}

func (f *Faults) Verify(ctx context.Context, t store.Term, seq store.Seq, r store.Resolution) error {
	return injectOnly(f, "Verify", func() error { return f.Outbox.Verify(ctx, t, seq, r) })
}

func (f *Faults) Retry(ctx context.Context, key string, m store.Move, e *store.Edit) (store.Record, error) {
	return inject(f, "Retry", func() (store.Record, error) { return f.Outbox.Retry(ctx, key, m, e) })
}

func (f *Faults) Drop(ctx context.Context, key string, m store.Move) (store.Record, error) {
	return inject(f, "Drop", func() (store.Record, error) { return f.Outbox.Drop(ctx, key, m) })
}

func (f *Faults) Resolve(ctx context.Context, key string, m store.Move, r store.Resolution) (store.Record, error) {
	return inject(f, "Resolve", func() (store.Record, error) { return f.Outbox.Resolve(ctx, key, m, r) })
}

func (f *Faults) RetryMany(ctx context.Context, x store.Filter, m store.Move, dryRun bool) (matched, changed int64, err error) {
	return injectPair(f, "RetryMany", func() (int64, int64, error) { return f.Outbox.RetryMany(ctx, x, m, dryRun) })
}

func (f *Faults) DropMany(ctx context.Context, x store.Filter, m store.Move, dryRun bool) (matched, changed int64, err error) {
	return injectPair(f, "DropMany", func() (int64, int64, error) { return f.Outbox.DropMany(ctx, x, m, dryRun) })
}

func (f *Faults) Get(ctx context.Context, key string) (store.Record, error) {
	return inject(f, "Get", func() (store.Record, error) { return f.Outbox.Get(ctx, key) })
}

func (f *Faults) List(ctx context.Context, x store.Filter) (store.Page, error) {
	return inject(f, "List", func() (store.Page, error) { return f.Outbox.List(ctx, x) })
}

func (f *Faults) Stuck(ctx context.Context, x store.Filter) (store.StuckPage, error) {
	return inject(f, "Stuck", func() (store.StuckPage, error) { return f.Outbox.Stuck(ctx, x) })
}

func (f *Faults) Attempts(ctx context.Context, limit int, cursor string) ([]store.Attempt, string, error) {
	return injectPair(f, "Attempts", func() ([]store.Attempt, string, error) { return f.Outbox.Attempts(ctx, limit, cursor) })
}

func (f *Faults) Attempt(ctx context.Context, id store.AttemptID) (store.Attempt, error) {
	return inject(f, "Attempt", func() (store.Attempt, error) { return f.Outbox.Attempt(ctx, id) })
}

func (f *Faults) Outcomes(ctx context.Context, cursor string, limit int) ([]store.OutcomeEntry, string, error) {
	return injectPair(f, "Outcomes", func() ([]store.OutcomeEntry, string, error) { return f.Outbox.Outcomes(ctx, cursor, limit) })
}

func (f *Faults) Status(ctx context.Context) (store.Status, error) {
	return inject(f, "Status", func() (store.Status, error) { return f.Outbox.Status(ctx) })
}

func (f *Faults) Facts(ctx context.Context) (store.Facts, error) {
	return inject(f, "Facts", func() (store.Facts, error) { return f.Outbox.Facts(ctx) })
}

func (f *Faults) Pause(ctx context.Context, by string) error {
	return injectOnly(f, "Pause", func() error { return f.Outbox.Pause(ctx, by) })
}

func (f *Faults) Resume(ctx context.Context, by string, a store.Acceptance) error {
	return injectOnly(f, "Resume", func() error { return f.Outbox.Resume(ctx, by, a) })
}

func (f *Faults) SetOrg(ctx context.Context, orgID, instanceURL string) (store.Facts, error) {
	return inject(f, "SetOrg", func() (store.Facts, error) { return f.Outbox.SetOrg(ctx, orgID, instanceURL) })
}

func (f *Faults) Backup(ctx context.Context, w io.Writer) error {
	return injectOnly(f, "Backup", func() error { return f.Outbox.Backup(ctx, w) })
}

func (f *Faults) Check(ctx context.Context) ([]store.Violation, error) {
	return inject(f, "Check", func() ([]store.Violation, error) { return f.Outbox.Check(ctx) })
}
