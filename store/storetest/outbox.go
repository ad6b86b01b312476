package storetest

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/outboxd/outboxd/store"
)

// Outbox is the interface that every engine satisfies. Its semantics are
// those that package store documents.
type Outbox interface {
	Close() error

	Put(ctx context.Context, events []store.Event, o store.PutOptions) ([]store.PutResult, error)

	Hold(ctx context.Context) (store.Term, error)
	Unfinished(ctx context.Context, t store.Term) ([]store.Attempt, error)
	Routes(ctx context.Context, t store.Term) (routes []store.RouteStat, nextDue time.Duration, err error)
	Claim(ctx context.Context, t store.Term, id store.AttemptID, spec store.ClaimSpec) (store.Attempt, []store.Claimed, error)
	Events(ctx context.Context, id store.AttemptID) ([]store.Claimed, error)
	Advance(ctx context.Context, t store.Term, id store.AttemptID, from, to store.Phase, d store.PhaseData) error
	Settle(ctx context.Context, t store.Term, id store.AttemptID, x store.Settlement) error
	Release(ctx context.Context, t store.Term, id store.AttemptID, note string) error
	Sweep(ctx context.Context, t store.Term) (more bool, err error)
	Ready() <-chan struct{}
	SetPausedClock(ctx context.Context, t store.Term, paused bool) error
	Verify(ctx context.Context, t store.Term, seq store.Seq, r store.Resolution) error

	Retry(ctx context.Context, key string, m store.Move, e *store.Edit) (store.Record, error)
	Drop(ctx context.Context, key string, m store.Move) (store.Record, error)
	Resolve(ctx context.Context, key string, m store.Move, r store.Resolution) (store.Record, error)
	RetryMany(ctx context.Context, f store.Filter, m store.Move, dryRun bool) (matched, changed int64, err error)
	DropMany(ctx context.Context, f store.Filter, m store.Move, dryRun bool) (matched, changed int64, err error)

	Get(ctx context.Context, key string) (store.Record, error)
	List(ctx context.Context, f store.Filter) (store.Page, error)
	Stuck(ctx context.Context, f store.Filter) (store.StuckPage, error)
	Attempts(ctx context.Context, limit int, cursor string) ([]store.Attempt, string, error)
	Attempt(ctx context.Context, id store.AttemptID) (store.Attempt, error)
	Outcomes(ctx context.Context, cursor string, max int) ([]store.OutcomeEntry, string, error)
	Watch() <-chan struct{}
	Status(ctx context.Context) (store.Status, error)

	Facts(ctx context.Context) (store.Facts, error)
	Pause(ctx context.Context, by string) error
	Resume(ctx context.Context, by string, a store.Acceptance) error
	SetOrg(ctx context.Context, orgID, instanceURL string) (store.Facts, error)

	// Backup may answer errors.ErrUnsupported.
	Backup(ctx context.Context, w io.Writer) error
	Check(ctx context.Context) ([]store.Violation, error)
}

// Config is what the suite asks of an engine at each opening. MaxSize 0 means
// the engine's own default.
type Config struct {
	Clock        *Clock
	DedupWindow  time.Duration
	OverdueAfter time.Duration
	LateWindow   time.Duration
	Skips        func(object string) bool
	MaxSize      int64
}

// Opener opens the outbox whose data belongs to dir, an existing folder, and
// makes a new one when there is none. Opening dir again after Close finds the
// same data.
type Opener func(dir string, cfg Config) (Outbox, error)

// Clock is a pair of clocks that a test moves, together or apart. Methods may
// be called concurrently.
type Clock struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

// NewClock returns a clock that stands at a fixed time.
func NewClock() *Clock {
	return &Clock{wall: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), mono: time.Hour}
}

// Wall returns the time of the wall clock.
func (c *Clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

// Monotonic returns the time since the process began.
func (c *Clock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mono
}

// Advance lets d pass on both clocks.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall.Add(d), c.mono+d
}

// Jump moves the wall clock alone, either way.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// Drift lets d pass on the monotonic clock alone.
func (c *Clock) Drift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono += d
}

// Restart begins the monotonic clock anew, as a new process does.
func (c *Clock) Restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono = 0
}
