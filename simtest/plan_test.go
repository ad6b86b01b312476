package simtest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
)

// plan is everything that happens in a run from outside: all chance is in it, so
// that leaving out a step or a fault leaves the others as they are.
type plan struct {
	seed   uint64
	cfg    dispatcher.Config
	keyed  bool // creates of Case carry their key
	steps  []step
	faults []fault
	rows   []simulator.Fault // of single rows and whole jobs, by the org itself
	storms []storm
	kills  []kill
}

// step is something that an app, the operator or the clock does at a time.
type step struct {
	at     time.Duration
	do     action
	events []draft
	atomic bool
	pick   int // which of the events, modulo how many there are
	jump   time.Duration
}

type action string

const (
	actPut     action = "put"     // new events
	actRepeat  action = "repeat"  // an event once more, as it was
	actReuse   action = "reuse"   // its key with another payload
	actRetry   action = "retry"   // operator's moves, of a stuck event
	actEdit    action = "edit"    //
	actDrop    action = "drop"    //
	actResolve action = "resolve" //
	actPause   action = "pause"   //
	actResume  action = "resume"  //
	actStop    action = "stop"    // an orderly restart
	actJump    action = "jump"    // the wall clock moves
	actLogout  action = "log out" // every token at the org ends
	actFlush   action = "flush"   //
	actIdle    action = "look"    // status, stuck and check, as a person would
	actBackup  action = "back up"
	actRestore action = "restore"  // what was backed up last
	actForeign action = "abort it" // somebody at the org aborts a job
)

// fault happens to the n-th call of a kind.
type fault struct {
	kind  string
	nth   int
	do    mishap
	delay time.Duration
	part  float64
}

type mishap string

const (
	refuse      mishap = "refused"        // no connection
	lose        mishap = "lost"           // never arrives; the client waits in vain
	reset       mishap = "reset"          // arrives nowhere; the connection breaks
	loseAnswer  mishap = "answer lost"    // processed; the client waits in vain
	resetAnswer mishap = "answer reset"   // processed; the connection breaks
	late        mishap = "late"           // the client gives up; later it is processed
	slow        mishap = "slow answer"    // processed at once, answered after the time-out
	double      mishap = "doubled"        // arrives twice
	cut         mishap = "cut"            // the answer breaks off
	short       mishap = "short"          // the answer ends early as if it were whole
	unauthorize mishap = "401"            // the token has ended
	proxy401    mishap = "401 of a proxy" //
	limit       mishap = "403 limit"      //
	unavailable mishap = "503"            // refused by the org itself
	failAfter   mishap = "500 after"      // processed, and an error answered
	failBefore  mishap = "500 before"     //
	html        mishap = "html"           // a page of maintenance
	htmlAfter   mishap = "html after"     // the same, though processed
	gone        mishap = "gone"           // a job that has ended is known no more
)

// storm is a time in which every call goes wrong.
type storm struct {
	from, until time.Duration
	do          mishap
}

// kill ends the process at the n-th pass of a point, without a word.
type kill struct {
	point string
	nth   int
	down  time.Duration
}

// Times of a run. A request that was given up may be processed for as long as
// lateMost after it was sent, which is less than the late window.
const (
	timeout    = 5 * time.Second
	lateWindow = time.Minute
	lateMost   = 50 * time.Second
	// lasts is how long steps are taken for; then everything drains.
	lasts = 3 * time.Minute
)

func newPlan(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	p := &plan{seed: seed}
	p.configure(rng)
	for range 2 + rng.IntN(5) {
		p.steps = append(p.steps, newPut(rng))
	}
	for range rng.IntN(8) {
		p.steps = append(p.steps, otherStep(rng))
	}
	p.order()
	d := newDrafter()
	for i := range p.steps {
		if s := &p.steps[i]; s.do == actPut {
			s.events = d.drafts(rng)
		}
	}
	for range rng.IntN(12) {
		p.faults = append(p.faults, p.newFault(rng))
	}
	p.rows = rowFaults(rng)
	if rng.IntN(6) == 0 {
		from := time.Duration(rng.Int64N(int64(lasts)))
		p.storms = append(p.storms, storm{from, from + time.Duration(rng.Int64N(int64(lasts/4))), stormy[rng.IntN(len(stormy))]})
	}
	if rng.IntN(8) == 0 {
		from := rng.Int64N(int64(lasts))
		p.steps = append(p.steps, step{at: time.Duration(from), do: actBackup},
			step{at: time.Duration(from + rng.Int64N(int64(lasts)-from)), do: actRestore})
		p.order()
	}
	for range rng.IntN(4) {
		p.kills = append(p.kills, newKill(rng))
	}
	return p
}

// order puts the steps in the order of their times.
func (p *plan) order() {
	slices.SortStableFunc(p.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
}

func (p *plan) configure(rng *rand.Rand) {
	p.cfg = dispatcher.Config{
		Bulk: dispatcher.Bulk{
			MinRecords: 1 + rng.IntN(12), MaxRecords: 2 + rng.IntN(30), MaxWait: time.Duration(1+rng.IntN(3)) * time.Second,
			MaxJobs: 1 + rng.IntN(3), PollMin: 700 * time.Millisecond, PollMax: 9 * time.Second,
		},
		REST:  dispatcher.REST{MaxRecords: 1 + rng.IntN(25), Concurrency: 1 + rng.IntN(4), LateWindow: lateWindow, Grace: 5 * time.Second},
		Retry: dispatcher.Retry{Initial: time.Second, Max: 20 * time.Second},
		Objects: map[string]dispatcher.ObjectConfig{
			"lead":    {CreateREST: rng.IntN(3) > 0},
			"contact": {Skip: rng.IntN(3) == 0},
		},
	}
	if p.keyed = rng.IntN(4) > 0; p.keyed {
		p.cfg.Objects["case"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c", CreateREST: rng.IntN(2) == 0}
	}
}

// newPut is a step with new events, which are yet to be made up.
func newPut(rng *rand.Rand) step {
	s := step{at: time.Duration(rng.Int64N(int64(lasts))), do: actPut, atomic: rng.IntN(4) == 0}
	if rng.IntN(2) == 0 {
		s.at /= 20 // most runs have a busy beginning
	}
	return s
}

var otherActions = []action{
	actRepeat, actRepeat, actReuse, actRetry, actRetry, actEdit, actEdit, actDrop, actResolve, actResolve, actResolve,
	actPause, actResume, actStop, actStop, actJump, actLogout, actFlush, actIdle, actForeign,
}

func otherStep(rng *rand.Rand) step {
	s := step{at: time.Duration(rng.Int64N(int64(lasts))), do: otherActions[rng.IntN(len(otherActions))], pick: rng.IntN(1000)}
	if s.do == actJump {
		s.jump = time.Duration(rng.Int64N(int64(8*time.Hour))) - 4*time.Hour
	}
	return s
}

// kinds of calls that can go wrong, the more often the more harm it could do.
var kinds = strings.Fields(`
	dial token versions describe query query limits
	coll.create coll.create coll.create coll.upsert coll.upsert coll.upsert coll.upsert coll.update coll.update coll.delete
	job.create job.upload job.upload job.close job.close job.close job.abort job.get job.get job.ok job.failed job.unprocessed`)

var mishaps = []mishap{
	lose, reset, loseAnswer, loseAnswer, resetAnswer, late, late, late, slow, double, cut, short,
	unauthorize, proxy401, limit, unavailable, failAfter, failBefore, html, htmlAfter, gone,
}

var stormy = []mishap{lose, reset, unavailable, html, limit, failBefore, refuse}

func (p *plan) newFault(rng *rand.Rand) fault {
	f := fault{kind: kinds[rng.IntN(len(kinds))], nth: 1 + int(rng.ExpFloat64()*3), do: mishaps[rng.IntN(len(mishaps))], part: rng.Float64()}
	if f.kind == "dial" {
		f.do = refuse
	}
	f.delay = timeout + time.Duration(rng.Int64N(int64(lateMost-timeout)))
	return f
}

// rowFaults are those that the org does by itself.
func rowFaults(rng *rand.Rand) (list []simulator.Fault) {
	for range rng.IntN(4) {
		nth := []int{1 + rng.IntN(12)}
		match := simulator.Match{Nth: nth}
		switch rng.IntN(6) {
		case 0:
			list = append(list, simulator.Fault{Match: match, Do: "row_error", Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "no"})
		case 1:
			list = append(list, simulator.Fault{Match: simulator.Match{Nth: []int{nth[0], nth[0] + 1, nth[0] + 2}}, Do: "lock"})
		case 2:
			list = append(list, simulator.Fault{Match: match, Do: "lose_row"})
		case 3:
			list = append(list, simulator.Fault{Match: simulator.Match{Nth: []int{1 + rng.IntN(3)}}, Do: "slow_job", Delay: time.Duration(rng.IntN(90)) * time.Second})
		default:
			list = append(list, simulator.Fault{Match: simulator.Match{Nth: []int{1 + rng.IntN(3)}}, Do: "fail_job", Part: rng.Float64()})
		}
	}
	return list
}

// points are where a process dies: before and after transactions, before a call
// leaves, and after it was processed.
var points = strings.Fields(`
	put.before put.after claim.before claim.after claim.after advance.before advance.before advance.after advance.after
	settle.before settle.before settle.after release.before release.after hold.after unfinished.after org.after sweep.after
	coll.create.sent coll.create.done coll.upsert.sent coll.upsert.done coll.upsert.done coll.update.done coll.delete.done
	job.create.sent job.create.done job.upload.sent job.upload.done job.close.sent job.close.done job.get.done job.ok.done
	job.abort.sent job.abort.done query.done token.done`)

func newKill(rng *rand.Rand) kill {
	return kill{point: points[rng.IntN(len(points))], nth: 1 + int(rng.ExpFloat64()*3), down: time.Duration(rng.Int64N(int64(20 * time.Second)))}
}

// String lists the plan, one thing a line.
func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan: bulk %+v rest %+v objects %+v\n", p.cfg.Bulk, p.cfg.REST, p.cfg.Objects)
	for _, s := range p.steps {
		fmt.Fprintf(&b, "plan: at %v %s", s.at, s.do)
		if s.jump != 0 {
			fmt.Fprintf(&b, " %v", s.jump)
		}
		for _, e := range s.events {
			fmt.Fprintf(&b, "\nplan:    %s", e.json)
		}
		b.WriteByte('\n')
	}
	for _, f := range p.faults {
		fmt.Fprintf(&b, "plan: %s %d: %s (%v, %.2f)\n", f.kind, f.nth, f.do, f.delay, f.part)
	}
	for _, f := range p.rows {
		fmt.Fprintf(&b, "plan: org: %s %v\n", f.Do, f.Match.Nth)
	}
	for _, s := range p.storms {
		fmt.Fprintf(&b, "plan: from %v until %v: %s\n", s.from, s.until, s.do)
	}
	for _, k := range p.kills {
		fmt.Fprintf(&b, "plan: killed at %s %d, down for %v\n", k.point, k.nth, k.down)
	}
	return b.String()
}
