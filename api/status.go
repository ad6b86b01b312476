package api

// Status is a picture of the whole outbox. Counts are of what is in the store;
// their sum is Accepted less Forgotten, the receipts past the dedup window.
type Status struct {
	Version              string                  `json:"version"`
	StartedAt            Time                    `json:"started_at"`
	Org                  *Org                    `json:"org,omitempty"`
	Counts               Counts                  `json:"counts"`
	Accepted             int64                   `json:"accepted"`
	Forgotten            int64                   `json:"forgotten"`
	Stuck                StuckCounts             `json:"stuck"`
	Objects              map[string]ObjectCounts `json:"objects"`
	OldestPendingSeconds float64                 `json:"oldest_pending_seconds,omitempty"`
	Rates                Rates                   `json:"rates"`
	APIBudget            *Budget                 `json:"api_budget,omitempty"`
	Breaker              Breaker                 `json:"breaker"`
	Store                Store                   `json:"store"`
	AsOf                 Time                    `json:"as_of,omitzero"`
}

// Org is the Salesforce org that the outbox belongs to.
type Org struct {
	ID          string `json:"id"`
	InstanceURL string `json:"instance_url,omitempty"`
}

// Counts is a number of events for each state.
type Counts struct {
	Pending   int64 `json:"pending"`
	Inflight  int64 `json:"inflight"`
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"`
	InDoubt   int64 `json:"in_doubt"`
	Dropped   int64 `json:"dropped"`
}

// ObjectCounts is Counts for one object, without the states that have none.
type ObjectCounts struct {
	Pending   int64 `json:"pending,omitempty"`
	Inflight  int64 `json:"inflight,omitempty"`
	Delivered int64 `json:"delivered,omitempty"`
	Failed    int64 `json:"failed,omitempty"`
	InDoubt   int64 `json:"in_doubt,omitempty"`
	Dropped   int64 `json:"dropped,omitempty"`
}

// StuckCounts is a number of stuck events for each reason.
type StuckCounts struct {
	Failed  int64 `json:"failed"`
	InDoubt int64 `json:"in_doubt"`
	Blocked int64 `json:"blocked"`
	Overdue int64 `json:"overdue"`
}

// Rates are means over the last seconds, counted since the daemon's start.
type Rates struct {
	AcceptedPerSecond  float64 `json:"accepted_per_second"`
	DeliveredPerSecond float64 `json:"delivered_per_second"`
}

// Allowance is how much of one of the org's daily limits was used by all its
// clients in the last 24 hours, how much there is, and how much the daemon leaves
// to others. Left is for the daemon.
type Allowance struct {
	Used    int64 `json:"used"`
	Max     int64 `json:"max"`
	Reserve int64 `json:"reserve"`
	Left    int64 `json:"left"`
	At      Time  `json:"at,omitzero"`
}

// Budget is the org's daily allowance of API calls, and what the daemon makes of it.
type Budget struct {
	Allowance
	// WindowTurnsAt is when the oldest calls that count come back, at the latest.
	WindowTurnsAt Time `json:"window_turns_at,omitzero"`
	// ExhaustedAt is when only the reserve is left, if calls go on to be made as in the
	// last hour, the daemon's at PacePerHour at most; absent if that is not within a day.
	ExhaustedAt Time `json:"exhausted_at,omitzero"`
	// PacePerHour is how many calls an hour can be kept up; absent while they need
	// not be saved. At 0 none are begun until some come back.
	PacePerHour *float64 `json:"pace_per_hour,omitempty"`
	// CallsPer1000 is what 1,000 records have cost since the start, by rest, bulk and query.
	CallsPer1000 map[string]float64 `json:"calls_per_1000,omitempty"`
	// BulkBatches are those of bulk jobs; absent if the org does not tell.
	BulkBatches *Allowance `json:"bulk_batches,omitempty"`
	// JobsHeld: no job is made, since the org has no batch left for it.
	JobsHeld bool `json:"jobs_held,omitempty"`
}

// States of the breaker.
const (
	BreakerClosed   = "closed"
	BreakerOpen     = "open"
	BreakerHalfOpen = "half_open"
)

// Breaker says whether the daemon sends, and if not, why and when it tries again.
type Breaker struct {
	State       string `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Code        string `json:"code,omitempty"`
	Message     string `json:"message,omitempty"`
	Since       Time   `json:"since,omitzero"`
	NextProbeAt Time   `json:"next_probe_at,omitzero"`
}

// Values of Store.FullBecause.
const (
	FullMaxSize = "max_size"
	FullDisk    = "disk"
)

// Store is the room that the outbox has: the file's length, what of it can be
// used again, and the length it may reach; and what its disk has: what is free,
// what must be for new events, and the ballast that is kept for outcomes, 0 while
// it is given up.
type Store struct {
	Bytes           int64  `json:"bytes"`
	FreeBytes       int64  `json:"free_bytes"`
	MaxBytes        int64  `json:"max_bytes"`
	Full            bool   `json:"full"`
	FullBecause     string `json:"full_because,omitempty"`
	DiskFreeBytes   int64  `json:"disk_free_bytes,omitempty"`
	DiskNeededBytes int64  `json:"disk_needed_bytes,omitempty"`
	BallastBytes    int64  `json:"ballast_bytes"`
}
