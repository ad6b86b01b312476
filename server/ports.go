package server

import (
	"context"
	"io"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

// Outbox is what the server needs of the store.
type Outbox interface {
	Writer
	Reader
	Operator
}

// Writer accepts events.
type Writer interface {
	Put(ctx context.Context, events []store.Event, o store.PutOptions) ([]store.PutResult, error)
}

// Reader answers questions.
type Reader interface {
	Get(ctx context.Context, key string) (store.Record, error)
	List(ctx context.Context, f store.Filter) (store.Page, error)
	Stuck(ctx context.Context, f store.Filter) (store.StuckPage, error)
	Attempts(ctx context.Context, limit int, cursor string) ([]store.Attempt, string, error)
	Attempt(ctx context.Context, id store.AttemptID) (store.Attempt, error)
	Outcomes(ctx context.Context, cursor string, limit int) ([]store.OutcomeEntry, string, error)
	Watch() <-chan struct{}
	Status(ctx context.Context) (store.Status, error)
	Backup(ctx context.Context, w io.Writer) error
}

// Operator makes the operator's moves.
type Operator interface {
	Retry(ctx context.Context, key string, m store.Move, e *store.Edit) (store.Record, error)
	Drop(ctx context.Context, key string, m store.Move) (store.Record, error)
	Resolve(ctx context.Context, key string, m store.Move, r store.Resolution) (store.Record, error)
	RetryMany(ctx context.Context, f store.Filter, m store.Move, dryRun bool) (matched, changed int64, err error)
	DropMany(ctx context.Context, f store.Filter, m store.Move, dryRun bool) (matched, changed int64, err error)
	Pause(ctx context.Context, by string) error
	Resume(ctx context.Context, by string, a store.Acceptance) error
}

var _ Outbox = (*store.Store)(nil)

// Dispatch is what the server needs of the part that sends.
type Dispatch interface {
	// Breaker says whether it sends, and if not, why.
	Breaker() api.Breaker
	// Budget is the org's API allowance, nil before it is known.
	Budget() *api.Budget
	// Flush makes it send what waits for a fuller request or job. It does not block.
	Flush()
	// Poke tells it that an operator changed something. It does not block.
	Poke()
}

// SchemaCheck says what of an event the org would refuse; nil or empty is
// nothing. Of an event that looks bad it may take a second to make sure, once in a while.
type SchemaCheck func(*event.Event) []api.ProblemError
