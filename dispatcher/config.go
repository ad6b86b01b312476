package dispatcher

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

// Config is how to dispatch. Zero stands for the default, where one is named.
type Config struct {
	Bulk   Bulk
	REST   REST
	Retry  Retry
	Budget Budgeting
	// Validate is what to do with events that do not fit what the org says of its objects.
	Validate Validation
	// Objects holds what is special about an object, by its API name in lower case.
	Objects map[string]ObjectConfig
	// Chance spreads delays; it answers numbers in [0, 1). nil: math/rand.
	Chance func() float64
}

// Validation is what to do with events that the org would surely refuse.
type Validation int

// The ways of Validation.
const (
	ValidateOff    Validation = iota // nothing: the org is asked to write them
	ValidateWarn                     // the same, with a note on the event
	ValidateReject                   // they are not sent, but failed with INVALID
)

// Bulk bounds jobs.
type Bulk struct {
	MinRecords int           // a job when so many wait for one route; 1,000
	MaxRecords int           // rows of a job; 1,000, at most 10,000
	MaxBytes   int64         // payload of a job; 16 MiB
	MaxWait    time.Duration // how long what only a job may carry waits for company; 30 s
	MaxJobs    int           // that the org works on at a time, and as many again being made and settled; 4
	PollMin    time.Duration // first wait between two looks at a job; 1 s
	PollMax    time.Duration // longest; 30 s
}

// REST bounds collections calls.
type REST struct {
	MaxRecords  int           // records of a call; 200, which is also the most
	MaxBytes    int64         // payload of a call; 4 MiB
	Concurrency int           // calls at a time; 4
	LateWindow  time.Duration // how long a call that was given up may still run at the org; 11 min
	Grace       time.Duration // how long calls under way may go on when the dispatcher stops; 20 s
}

// Retry bounds the retries of events and the breaker's probes.
type Retry struct {
	Initial     time.Duration // 1 s
	Max         time.Duration // 10 min
	MaxAttempts int           // charged ones; 0: no limit
	MaxAge      time.Duration // since acceptance, pauses not counted; 0: no limit
}

// Budgeting keeps a part of the org's daily API calls for others.
type Budgeting struct {
	Reserve float64 // part of the org's maximum, 0 to 1
}

// ObjectConfig is what is special about an object.
type ObjectConfig struct {
	KeyField   string // text field at the org that holds the idempotency key of creates
	CreateREST bool   // creates without a usable KeyField go by REST all the same
	Skip       bool   // the failed head of a lane does not hold its followers back
	AllowSave  bool   // alert-only duplicate rules let writes pass
	AutoAssign *bool  // nil: as the org likes
}

// headers are the REST headers that the object's writes need.
func (o ObjectConfig) headers() salesforce.Headers {
	h := salesforce.Headers{AutoAssign: o.AutoAssign}
	if o.AllowSave {
		h.AllowSave = &o.AllowSave
	}
	return h
}

// restHeaders reports whether writes need a header that only REST has.
func (o ObjectConfig) restHeaders() bool { return o.AllowSave || o.AutoAssign != nil }

// object returns what is configured for an object.
func (c *Config) object(name string) ObjectConfig { return c.Objects[strings.ToLower(name)] }

// defaulted returns a copy in which no member is left to guess.
func (c Config) defaulted() *Config {
	or(&c.Bulk.MinRecords, 1000)
	or(&c.Bulk.MaxRecords, 1000)
	or(&c.Bulk.MaxBytes, 16<<20)
	or(&c.Bulk.MaxWait, 30*time.Second)
	or(&c.Bulk.MaxJobs, 4)
	or(&c.Bulk.PollMin, time.Second)
	or(&c.Bulk.PollMax, 30*time.Second)
	or(&c.REST.MaxRecords, salesforce.MaxRows)
	or(&c.REST.MaxBytes, 4<<20)
	or(&c.REST.Concurrency, 4)
	or(&c.REST.LateWindow, 11*time.Minute)
	or(&c.REST.Grace, 20*time.Second)
	or(&c.Retry.Initial, time.Second)
	or(&c.Retry.Max, 10*time.Minute)
	c.REST.MaxRecords = min(c.REST.MaxRecords, salesforce.MaxRows)
	c.Bulk.PollMax = max(c.Bulk.PollMax, c.Bulk.PollMin)
	c.Retry.Max = max(c.Retry.Max, c.Retry.Initial)
	c.Budget.Reserve = min(max(c.Budget.Reserve, 0), 1)
	if c.Chance == nil {
		c.Chance = rand.Float64
	}
	return &c
}

func or[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}
