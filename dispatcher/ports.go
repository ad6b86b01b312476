package dispatcher

import (
	"context"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// Outbox is what the dispatcher needs of the store.
type Outbox interface {
	terms
	work
	records
	facts
}

// terms is the right to dispatch, and what is to be done for as long as it lasts.
type terms interface {
	Hold(ctx context.Context) (store.Term, error)
	Unfinished(ctx context.Context, t store.Term) ([]store.Attempt, error)
	Sweep(ctx context.Context, t store.Term) (more bool, err error)
	SetPausedClock(ctx context.Context, t store.Term, paused bool) error
}

// work is the life of an attempt.
type work interface {
	Ready() <-chan struct{}
	Routes(ctx context.Context, t store.Term) (routes []store.RouteStat, nextDue time.Duration, err error)
	Claim(ctx context.Context, t store.Term, id store.AttemptID, spec store.ClaimSpec) (store.Attempt, []store.Claimed, error)
	Events(ctx context.Context, id store.AttemptID) ([]store.Claimed, error)
	Advance(ctx context.Context, t store.Term, id store.AttemptID, from, to store.Phase, d store.PhaseData) error
	Settle(ctx context.Context, t store.Term, id store.AttemptID, x store.Settlement) error
	Release(ctx context.Context, t store.Term, id store.AttemptID, note string) error
}

// records looks at single events.
type records interface {
	Get(ctx context.Context, key string) (store.Record, error)
	List(ctx context.Context, f store.Filter) (store.Page, error)
	Verify(ctx context.Context, t store.Term, seq store.Seq, r store.Resolution) error
}

// facts says whether anything may be sent, and to which org.
type facts interface {
	Facts(ctx context.Context) (store.Facts, error)
	SetOrg(ctx context.Context, orgID, instanceURL string) (store.Facts, error)
}

// Org is what the dispatcher needs of Salesforce.
type Org interface {
	session
	rows
	jobs
	results
	reads
}

// session is the connection as a whole.
type session interface {
	Login(ctx context.Context) (salesforce.Identity, error)
	Probe(ctx context.Context) error
	Usage() (salesforce.Usage, bool)
	Batches() (salesforce.Usage, bool)
	Calls() map[salesforce.CallKind]int64
	OnIdentity(f func(salesforce.Identity) error)
}

// rows writes records, at most salesforce.MaxRows a call.
type rows interface {
	Create(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error)
	Update(ctx context.Context, object string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error)
	Upsert(ctx context.Context, object, field string, rows []salesforce.Row, h salesforce.Headers) ([]salesforce.Result, error)
	Delete(ctx context.Context, object string, ids []salesforce.ID) ([]salesforce.Result, error)
}

// jobs is the life of an ingest job.
type jobs interface {
	CreateJob(ctx context.Context, spec salesforce.JobSpec) (salesforce.Job, error)
	UploadJob(ctx context.Context, id string, csv []byte) error
	CloseJob(ctx context.Context, id string) (salesforce.Job, error)
	AbortJob(ctx context.Context, id string) (salesforce.Job, error)
	Job(ctx context.Context, id string) (salesforce.Job, error)
}

// results are the three result sets of a job.
type results interface {
	SuccessfulResults(ctx context.Context, id string, max int, each func(header []string, r salesforce.ResultRow) error) error
	FailedResults(ctx context.Context, id string, max int, each func(header []string, r salesforce.ResultRow) error) error
	UnprocessedRecords(ctx context.Context, id string, max int, each func(header []string, r salesforce.ResultRow) error) error
}

// reads only read.
type reads interface {
	Describe(ctx context.Context, object string) (*salesforce.Object, error)
	DescribeWithin(ctx context.Context, object string, age time.Duration) (*salesforce.Object, error)
	Described(object string) (o *salesforce.Object, absent bool, age time.Duration)
	ObjectNames(ctx context.Context) ([]string, error)
	Query(ctx context.Context, soql string, includeDeleted bool, maxRows int) ([]salesforce.Record, error)
}

var (
	_ Outbox = (*store.Store)(nil)
	_ Org    = (*salesforce.Client)(nil)
)
