package dispatcher

import (
	"testing"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// TestUnprocessed: no row is to blame for what the org says of itself, nor for what
// passes; for the rest one may be, and is once it is alone.
func TestUnprocessed(t *testing.T) {
	failed := func(message string) salesforce.Job {
		return salesforce.Job{State: salesforce.StateFailed, ErrorMessage: message}
	}
	const way = 10 // halvings of a full job, each of them charged
	fresh, tired := record{Claimed: store.Claimed{Seq: 1}}, record{Claimed: store.Claimed{Seq: 1, Attempts: way + loneTries - 1}}
	for _, tt := range []struct {
		name string
		job  salesforce.Job
		size int
		r    record
		want func(store.Outcome) bool
	}{
		{"a quota", failed("ExceededQuota : ApiBatchItems Limit exceeded."), 100, fresh, func(o store.Outcome) bool {
			return o.Verdict == store.Again && !o.Charge && o.MaxBatch == 0 && o.Delay > 0 && o.Problem.Code == "EXCEEDEDQUOTA"
		}},
		{"a quota, alone", failed("ExceededQuota : ApiBatchItems Limit exceeded."), 1, tired, func(o store.Outcome) bool { return o.Verdict == store.Again && !o.Charge }},
		{"maintenance", failed("API_CURRENTLY_DISABLED : later"), 1, tired, func(o store.Outcome) bool { return o.Verdict == store.Again && !o.Charge }},
		{"locks", failed("TooManyLockFailure : Too many lock failure 200"), 100, fresh, func(o store.Outcome) bool { return o.Verdict == store.Again && o.Charge && o.MaxBatch == 50 }},
		{"locks, alone", failed("TooManyLockFailure : Too many lock failure 200"), 1, tired, func(o store.Outcome) bool { return o.Verdict == store.Again && o.Charge }},
		{"a fault of the server", failed("InternalServerError : no"), 100, tired, func(o store.Outcome) bool { return o.Verdict == store.Again && o.MaxBatch == 50 }},
		{"a fault of the server, alone at last", failed("InternalServerError : no"), 1, record{Claimed: store.Claimed{Seq: 1, Attempts: way}}, func(o store.Outcome) bool { return o.Verdict == store.Again && o.Charge }},
		{"a fault of the server, alone", failed("InternalServerError : no"), 1, tired, func(o store.Outcome) bool { return o.Verdict == store.Fail && o.Problem.Code == "INTERNALSERVERERROR" }},
		{"aborted", salesforce.Job{State: salesforce.StateAborted}, 1, tired, func(o store.Outcome) bool { return o.Verdict == store.Again && o.Charge }},
	} {
		if o := newJudge(opCreate, false, tt.size).unprocessed(tt.r, tt.job); !tt.want(o) {
			t.Errorf("%s: %+v, problem %+v", tt.name, o, o.Problem)
		}
	}
}
