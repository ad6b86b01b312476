package dispatcher

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/outboxd/outboxd/store"
)

// Operations, as routes name them.
const (
	opCreate     = "create"
	opUpdate     = "update"
	opUpsert     = "upsert"
	opDelete     = "delete"
	opHardDelete = "hard_delete"
)

// ways says how the events of a route may travel.
type ways struct {
	rest, job bool
	query     bool // a query has to find the record first
	unknown   bool // the object has to be described first
}

// traits is what the org's describe says about the writes of a route. The zero
// value knows nothing.
type traits struct {
	known      bool
	refused    bool   // the org won't describe the object: each event learns why
	idempotent bool   // a repeat of the write does no harm
	key        string // of creates: the note of what carries the key
}

// needsTraits reports whether the ways of a route depend on the org's describe.
func needsTraits(r store.Route, o ObjectConfig) bool {
	return !r.Match && (r.Operation == opUpsert || r.Operation == opCreate && o.KeyField != "") && !isPlatformEvent(r.Object)
}

// isPlatformEvent reports whether the object is published rather than stored.
func isPlatformEvent(object string) bool { return strings.HasSuffix(strings.ToLower(object), "__e") }

// waysOf is the protocol's table of ways. What is not idempotent goes by a job,
// whose two-step close makes it exactly once, unless the operator chose REST or
// only REST can carry it.
func waysOf(r store.Route, o ObjectConfig, t traits) ways {
	switch {
	case r.Match:
		return ways{query: true}
	case r.Operation == opHardDelete:
		return ways{job: true}
	case isPlatformEvent(r.Object):
		return ways{rest: true}
	case r.Operation == opDelete:
		return ways{rest: true, job: true}
	case needsTraits(r, o) && !t.known:
		return ways{unknown: true}
	case t.refused:
		return ways{rest: true}
	}
	repeatable := t.idempotent || r.Operation == opUpdate
	w := ways{rest: repeatable, job: true}
	if r.Operation == opCreate && !repeatable {
		w = ways{rest: o.CreateREST, job: !o.CreateREST}
	}
	if o.restHeaders() {
		w = ways{rest: w.rest}
	}
	return w
}

// stranded reports that nothing may carry the events: a REST attempt claims
// them only to fail them, saying why.
func (w ways) stranded() bool { return w == ways{} }

// waiting is a route with what waits on it.
type waiting struct {
	store.RouteStat
	ways    ways
	small   bool   // its events don't fill jobs: they travel in small batches, or are large
	running int    // attempts under way
	served  uint64 // when it last got an attempt; larger is later
}

// situation is all that a plan is made from.
type situation struct {
	routes    []waiting
	rest, job int  // free slots
	flush     bool // what waits for company goes now
	funds
}

// action starts one attempt, or a describe when Kind is "".
type action struct {
	store.ClaimSpec
	also bool // a job, for what could go by REST too
}

// queryRecords is how many records one query attempt looks for. Some 350 addresses
// of 25 characters fit one query.
const queryRecords = 500

// queryCalls is how many queries it mostly makes when it is full.
const queryCalls = 2

// plan says what to start now, and after what time to look again for those who
// wait for company (negative: nobody does).
//
// A route gets a job when MinRecords wait, and REST calls at once when fewer do.
// A backlog waits for a job slot; only when it has waited for MaxWait without
// one, REST helps with full calls. Up to some 1,500 records a job costs more calls
// than REST; what it saves are the org's long transactions. Slots go round robin:
// first to routes with the fewest attempts under way, then to those that waited
// longest for their turn.
//
// Once calls are to be saved (see budget), they decide: of both ways that one is
// taken which costs fewer, and calls go first to the routes for which they are worth
// most, but for those that have waited for very long: they take turns. No attempt is
// begun without calls for it.
//
// more says that slots or calls ran out before the wishes.
func (c *Config) plan(s situation) (actions []action, wake time.Duration, more bool) {
	slices.SortStableFunc(s.routes, func(a, b waiting) int {
		if s.linger > 0 {
			return cmp.Or(byTurn(a, b), cmp.Compare(c.worth(b, s.jobCost), c.worth(a, s.jobCost)))
		}
		return cmp.Or(cmp.Compare(a.running, b.running), cmp.Compare(a.served, b.served), cmp.Compare(b.Oldest, a.Oldest))
	})
	wake = -1
	wishes := make([]wish, len(s.routes))
	for i, r := range s.routes {
		wishes[i] = c.wish(r, s)
		if w := wishes[i].wait; w > 0 && (wake < 0 || w < wake) {
			wake = w
		}
	}
	for granted := true; granted; {
		granted = false
		for i := range wishes {
			if a, ok := wishes[i].grant(c, s.routes[i], &s); ok {
				actions = append(actions, a)
				granted = true
			}
		}
	}
	for _, w := range wishes {
		more = more || w.jobs+w.calls+w.queries > 0 || w.describe
	}
	if more && s.tokens < 1 && s.wait > 0 && (wake < 0 || s.wait < wake) {
		wake = s.wait
	}
	return actions, wake, more
}

// wish is how many attempts of each kind a route would like.
type wish struct {
	jobs, calls, queries int
	describe             bool
	wait                 time.Duration // until it wishes more; 0: nothing to wait for
}

// grant takes one attempt from the wish, if a slot is free for it.
func (w *wish) grant(c *Config, r waiting, s *situation) (action, bool) {
	spec := store.ClaimSpec{Route: r.Route}
	switch {
	case w.jobs > 0 && s.job > 0 && !s.noJobs && !s.notYet && s.allows(s.jobCost):
		w.jobs--
		s.job--
		spec.Kind, spec.MaxRecords, spec.MaxBytes = store.KindBulk, c.Bulk.MaxRecords, c.Bulk.MaxBytes
	case s.rest == 0 || !s.allows(1):
		return action{}, false
	case w.calls > 0:
		w.calls--
		spec.Kind, spec.MaxRecords, spec.MaxBytes = store.KindREST, c.REST.MaxRecords, c.REST.MaxBytes
	case w.queries > 0:
		w.queries--
		spec.Kind, spec.MaxRecords, spec.MaxBytes = store.KindQuery, queryRecords, c.REST.MaxBytes
	case w.describe:
		w.describe = false
	default:
		return action{}, false
	}
	if spec.Kind == store.KindBulk {
		s.spend(s.jobCost)
	} else {
		s.rest--
		s.spend(1)
	}
	return action{spec, spec.Kind == store.KindBulk && r.ways.rest}, true
}

// wish turns what waits on a route into attempts.
func (c *Config) wish(r waiting, s situation) wish {
	switch {
	case r.Ready == 0:
		return wish{}
	case r.ways.unknown:
		return wish{describe: true}
	case r.ways.query:
		if s.flush || r.Oldest >= s.linger {
			return wish{queries: chunks(r.Ready, queryRecords)}
		}
		return wish{queries: r.Ready / queryRecords, wait: s.linger - r.Oldest}
	case r.ways.stranded():
		return wish{calls: chunks(r.Ready, c.REST.MaxRecords)}
	case !r.ways.job:
		return c.calls(r.Ready, r.Oldest, s)
	case !r.ways.rest:
		return c.companyOfJob(r, s)
	}
	return c.either(r, s)
}

// companyOfJob is for what only a job may carry: it waits until a job is full, or
// for MaxWait, for longer where calls are to be saved. What a job can't carry is
// claimed by REST, to be failed.
func (c *Config) companyOfJob(r waiting, s situation) wish {
	fit := r.Ready - r.RESTOnly
	w := wish{jobs: fit / c.Bulk.MaxRecords, calls: chunks(r.RESTOnly, c.REST.MaxRecords)}
	most := max(c.Bulk.MaxWait, s.jobLinger)
	switch {
	case fit == 0 || w.jobs > 0:
	case s.flush || r.Oldest >= most:
		w.jobs = 1
	default:
		w.wait = most - r.Oldest
	}
	return w
}

// either is for what may go both ways. A job of few rows is never worth its calls.
func (c *Config) either(r waiting, s situation) wish {
	fit := r.Ready - r.RESTOnly
	if fit < c.Bulk.MinRecords || r.small || s.noJobs || s.linger > 0 && !c.savesCalls(fit, s.jobCost) {
		return c.calls(r.Ready, r.Oldest, s)
	}
	w := wish{jobs: fit / c.Bulk.MaxRecords, calls: chunks(r.RESTOnly, c.REST.MaxRecords)}
	if fit%c.Bulk.MaxRecords >= c.Bulk.MinRecords {
		w.jobs++
	}
	if s.job == 0 && s.linger == 0 {
		if r.Oldest >= c.Bulk.MaxWait {
			w.calls = max(w.calls, r.Ready/c.REST.MaxRecords)
		} else {
			w.wait = c.Bulk.MaxWait - r.Oldest
		}
	}
	return w
}

// worth is how much waiting one call would end on a route, in seconds of all the
// records that it carries. It grows as they wait.
func (c *Config) worth(r waiting, jobCost int64) float64 {
	records, calls := min(r.Ready, c.REST.MaxRecords), int64(1)
	switch {
	case r.ways.query:
		records, calls = min(r.Ready, queryRecords), queryCalls
	case r.ways.job && (!r.ways.rest || c.savesCalls(r.Ready, jobCost)):
		records, calls = min(r.Ready, c.Bulk.MaxRecords), jobCost
	}
	return float64(records) * r.Oldest.Seconds() / float64(calls)
}

// turnAfter is after what time a route gets its turn, whatever a call is worth there: of one that
// falls behind more and more a call would be worth more than of a few events for ever.
const turnAfter = time.Hour

// byTurn puts routes first that have waited for so long, and of these those that were served before the others.
func byTurn(a, b waiting) int {
	switch late, other := a.Oldest >= turnAfter, b.Oldest >= turnAfter; {
	case late && other:
		return cmp.Compare(a.served, b.served)
	case late:
		return -1
	case other:
		return 1
	}
	return 0
}

// savesCalls reports whether a job of what waits, of cost calls, takes fewer than
// REST would.
func (c *Config) savesCalls(ready int, cost int64) bool {
	return cost < int64(chunks(min(ready, c.Bulk.MaxRecords), c.REST.MaxRecords))
}

// calls is for what goes by REST: at once, or when the budget is short in
// company.
func (c *Config) calls(ready int, oldest time.Duration, s situation) wish {
	if s.flush || oldest >= s.linger || ready%c.REST.MaxRecords == 0 {
		return wish{calls: chunks(ready, c.REST.MaxRecords)}
	}
	return wish{calls: ready / c.REST.MaxRecords, wait: s.linger - oldest}
}

// chunks is how many attempts n records take.
func chunks(n, size int) int { return (n + size - 1) / size }
