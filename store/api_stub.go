package store

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Options of Open. (sketch; the real file replaces this one)
type Options struct {
	MaxSize        int64
	DedupWindow    time.Duration
	OverdueAfter   time.Duration
	AllowNetworkFS bool
	ReadOnly       bool
	Logger         *slog.Logger
	Wall           func() time.Time     // nil: time.Now
	Monotonic      func() time.Duration // nil: since start
}

// Store is the outbox.
type Store struct{}

func Open(path string, o Options) (*Store, error) { panic("sketch") }
func (s *Store) Close() error                     { panic("sketch") }
func (s *Store) Failed() <-chan struct{}          { panic("sketch") } // closed when a commit failed: the process must exit
func (s *Store) Err() error                       { panic("sketch") }

func (s *Store) Put(ctx context.Context, events []Event, o PutOptions) ([]PutResult, error) {
	panic("sketch")
}

// dispatch
func (s *Store) Hold(ctx context.Context) (Term, error)                    { panic("sketch") }
func (s *Store) Unfinished(ctx context.Context, t Term) ([]Attempt, error) { panic("sketch") }
func (s *Store) Routes(ctx context.Context, t Term) (routes []RouteStat, nextDue time.Duration, err error) {
	panic("sketch")
} // nextDue < 0: nothing waits for a time
func (s *Store) Claim(ctx context.Context, t Term, id AttemptID, spec ClaimSpec) (Attempt, []Claimed, error) {
	panic("sketch")
}                                                                            // no events: nothing was claimed, no attempt exists
func (s *Store) Events(ctx context.Context, id AttemptID) ([]Claimed, error) { panic("sketch") } // of an unfinished attempt, in the order of the claim
func (s *Store) Advance(ctx context.Context, t Term, id AttemptID, from, to Phase, d PhaseData) error {
	panic("sketch")
}
func (s *Store) Settle(ctx context.Context, t Term, id AttemptID, x Settlement) error {
	panic("sketch")
}
func (s *Store) Release(ctx context.Context, t Term, id AttemptID, note string) error {
	panic("sketch")
}                                                                              // uncharged, due at once; only before PhaseClosing
func (s *Store) Sweep(ctx context.Context, t Term) (more bool, err error)      { panic("sketch") }
func (s *Store) Ready() <-chan struct{}                                        { panic("sketch") } // a hint that Routes changed (capacity 1)
func (s *Store) SetPausedClock(ctx context.Context, t Term, paused bool) error { panic("sketch") } // while true, ages (overdue, max_age) stand still: operator's pause, open breaker

// operator
func (s *Store) Retry(ctx context.Context, key string, m Move, e *Edit) (Record, error) {
	panic("sketch")
}
func (s *Store) Drop(ctx context.Context, key string, m Move) (Record, error) { panic("sketch") }
func (s *Store) Resolve(ctx context.Context, key string, m Move, r Resolution) (Record, error) {
	panic("sketch")
}
func (s *Store) RetryMany(ctx context.Context, f Filter, m Move, dryRun bool) (matched, changed int64, err error) {
	panic("sketch")
}
func (s *Store) DropMany(ctx context.Context, f Filter, m Move, dryRun bool) (matched, changed int64, err error) {
	panic("sketch")
}

// Verdict of a verification at the org for an event in doubt: found → delivered, absent → pending (compare-and-set on state in_doubt).
func (s *Store) Verify(ctx context.Context, t Term, seq Seq, r Resolution) error { panic("sketch") }

// questions
func (s *Store) Get(ctx context.Context, key string) (Record, error)    { panic("sketch") }
func (s *Store) List(ctx context.Context, f Filter) (Page, error)       { panic("sketch") }
func (s *Store) Stuck(ctx context.Context, f Filter) (StuckPage, error) { panic("sketch") }
func (s *Store) Attempts(ctx context.Context, limit int, cursor string) ([]Attempt, string, error) {
	panic("sketch")
}
func (s *Store) Attempt(ctx context.Context, id AttemptID) (Attempt, error) { panic("sketch") }
func (s *Store) Outcomes(ctx context.Context, cursor string, max int) ([]OutcomeEntry, string, error) {
	panic("sketch")
}                                                           // cursor "" = from the oldest kept
func (s *Store) Watch() <-chan struct{}                     { panic("sketch") } // closed at the next commit that changed an outcome; ask again for the one after
func (s *Store) Status(ctx context.Context) (Status, error) { panic("sketch") }

// facts
func (s *Store) Facts(ctx context.Context) (Facts, error)                  { panic("sketch") }
func (s *Store) Pause(ctx context.Context, by string) error                { panic("sketch") }
func (s *Store) Resume(ctx context.Context, by string, a Acceptance) error { panic("sketch") }
func (s *Store) SetOrg(ctx context.Context, orgID, instanceURL string) (Facts, error) {
	panic("sketch")
} // first: recorded; another: Facts.OtherOrg is set, nothing else changes

func (s *Store) Backup(ctx context.Context, w io.Writer) error  { panic("sketch") } // copies to a file beside the store first
func (s *Store) Check(ctx context.Context) ([]Violation, error) { panic("sketch") }
