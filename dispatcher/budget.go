package dispatcher

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

// The daily calls of an org are shared with everybody who works in it. The
// dispatcher leaves them Budgeting.Reserve of the org's maximum: of the rest, the
// share, no attempt is begun that there would not be calls enough to end.
//
// Half of what is left may be spent at once, so that a backlog is not held up that
// the org could take. Beyond it calls are begun no faster than can be kept up at any
// time of the coming day, with what comes back in it (window.keepsUp). That is by
// tokens: one for each call, made at that pace.
//
// Calls are saved once half of the share or half of the tokens are used; before,
// the configuration alone says how events travel:
//
//   - events go the way that takes fewer calls (Config.plan),
//   - they wait for company for as long as it takes to have the calls (funds.linger),
//   - jobs are looked at less often, descriptions are believed for longer.
//
// When not even a job's calls are left, the breaker opens with the reason budget:
// what is under way is brought to its end with the calls that were set aside for
// it, and probes tell when calls have come back.

// Allowance is how much of a daily limit the org has used in the last 24 hours.
type Allowance struct {
	Used, Max int64
	Reserve   int64     // left for others
	At        time.Time // when the org said so
}

// Left is how many the dispatcher may still use; it may be negative.
func (a Allowance) Left() int64 { return a.Max - a.Reserve - a.Used }

// share is what is not for others.
func (a Allowance) share() int64 { return a.Max - a.Reserve }

// isShort reports whether half of the share is used.
func (a Allowance) isShort() bool { return a.Max > 0 && a.Left() <= a.share()/2 }

// Budget is what is known of the org's daily limits.
type Budget struct {
	Allowance           // of API calls
	Batches   Allowance // of bulk jobs, one for each; its Max is 0 where the org does not tell
	// JobsHeld: no job is made, since the org has no batch for it.
	JobsHeld bool
	// Turns is when the oldest calls that are counted come back, at the latest; zero
	// if none are.
	Turns time.Time
	// Exhausted is when only the reserve will be left, if calls go on to be made as in
	// the last hour, ours at Pace at most; zero if that is not within a day.
	Exhausted time.Time
	// Saved says that calls are to be saved, Pace how many an hour can be kept up then.
	Saved bool
	Pace  float64
}

// budget follows what the org says about the use of its API, and how many calls
// it stands at a time.
type budget struct {
	now func() time.Time

	mu        sync.Mutex
	reserve   float64
	calls     Allowance
	window    window
	batches   Allowance
	outUntil  time.Time // no job is made: the org has refused one for want of batches
	began     time.Time // with this org: what was said before is of another one
	askedAt   time.Time // when it was asked for its limits
	madeSince int       // jobs made since
	promised  int64     // calls set aside for attempts under way
	made      int64     // calls made since New
	tokens    float64   // calls that may be begun
	filled    time.Time // when tokens were counted; zero: the org has not said anything yet
	looks     float64   // that a job takes on average

	slots    int // calls at a time, at most the configured number
	streak   int // good calls since slots was last changed
	maxSlots int
}

const (
	// slotStreak is how many calls must go well before one more is made at a time.
	slotStreak = 20
	// jobCalls are those that a job takes beside looks at its state: it is made, filled
	// and closed, and has two sets of results.
	jobCalls = 5
	// looksAtFirst is how many looks a job is taken to need before one has ended,
	// looksWeight the part that each new one has in the average.
	looksAtFirst = 2
	looksWeight  = 1.0 / 8
	// atOnce is the part of what is left that may be spent faster than can be kept up.
	atOnce = 1.0 / 2
	// probeSoon is the longest time between two looks whether calls have come back, each
	// of which costs one; probeLate is the same where it is known when they do: the org
	// may have got more.
	probeSoon = time.Hour
	probeLate = 6 * time.Hour
	// What is kept back when calls are spread: those of some jobs, or a part of the
	// share, and never more than another part of it, nor than half of what is left.
	marginJobs, marginPart, marginMost = 4, 50, 10
	// owedJobs are the jobs whose calls are owed at most before others are begun.
	owedJobs = 2
	// jobLingerMost is how long at most a job waits for company.
	jobLingerMost = time.Hour
	// askWithin is how long after the start jobs wait for the org to say its limits: of
	// one that is cut short for want of a batch, no results tell what became of the rest.
	askWithin = 10 * time.Second
	// outFor is how long no job is made after the org had no batch for one.
	outFor = 10 * time.Minute
)

func newBudget(reserve float64, slots int, now func() time.Time) *budget {
	return &budget{now: now, began: now(), reserve: reserve, looks: looksAtFirst, slots: slots, maxSlots: slots}
}

// forget has everything said anew, by another org.
func (b *budget) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls, b.batches, b.window = Allowance{}, Allowance{}, window{}
	b.began, b.outUntil, b.askedAt, b.filled = b.now(), time.Time{}, time.Time{}, time.Time{}
}

// setReserve changes the part of the limits that is left for others, and reports
// whether it is another than before.
func (b *budget) setReserve(part float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reserve == part {
		return false
	}
	before := b.calls.Left()
	b.reserve = part
	b.calls.Reserve, b.batches.Reserve = b.kept(b.calls.Max), b.kept(b.batches.Max)
	b.tokens += atOnce * float64(max(0, b.calls.Left()-before))
	return true
}

// kept is what is left for others of a maximum.
func (b *budget) kept(limit int64) int64 { return int64(math.Round(float64(limit) * b.reserve)) }

// spent takes in how many calls were made since New, of whatever kind.
func (b *budget) spent(calls int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if calls <= b.made {
		return
	}
	if !b.filled.IsZero() {
		b.refill()
		b.tokens -= float64(calls - b.made)
		b.window.made(calls - b.made)
	}
	b.made = calls
}

// note takes the org's newest numbers of calls.
func (b *budget) note(u salesforce.Usage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.At.Before(b.calls.At) || u.At.Before(b.began) {
		return
	}
	if u.At.Equal(b.calls.At) && u.Used == b.calls.Used && u.Max == b.calls.Max {
		return // what has come back since is not used again
	}
	b.calls = Allowance{Used: u.Used, Max: u.Max, Reserve: b.kept(u.Max), At: u.At}
	b.window.look(u.At, u.Used)
	b.refill()
}

// noteBatches takes the org's newest numbers of bulk batches.
func (b *budget) noteBatches(u salesforce.Usage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.At.After(b.batches.At) && !u.At.Before(b.began) {
		b.batches = Allowance{Used: u.Used, Max: u.Max, Reserve: b.kept(u.Max), At: u.At}
	}
}

// batch counts a job that is made, until the org says its own number again.
func (b *budget) batch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches.Used++
	b.madeSince++
}

// outOfBatches keeps jobs back for a while: the org has refused one. It reports
// whether they were not kept back before.
func (b *budget) outOfBatches() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := !b.now().Before(b.outUntil)
	b.outUntil = b.now().Add(outFor)
	return fresh
}

// hasNoBatch reports whether there is none for a job. What the org said a day ago
// tells nothing of it. The lock is held.
func (b *budget) hasNoBatch() bool {
	now := b.now()
	return now.Before(b.outUntil) || b.batches.Max > 0 && b.batches.Left() <= 0 && now.Sub(b.batches.At) < windowSpan
}

// wantsLimits reports whether it is worth a call to ask for the org's limits.
func (b *budget) wantsLimits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	age := b.now().Sub(b.askedAt)
	switch {
	case b.askedAt.IsZero():
		return true
	case min(age, b.now().Sub(b.calls.At)) >= b.probeEvery() && b.isStarved():
		return true // no answer of a call that does work tells whether some have come back
	case b.hasNoBatch() || b.madeSince > 0 && b.batches.isShort():
		return age >= limitsSoon
	}
	return b.madeSince > 0 && age >= limitsEvery
}

// isStarved reports whether no call may be begun now, though some are left. The lock is held.
func (b *budget) isStarved() bool {
	if b.filled.IsZero() || b.calls.Max <= 0 {
		return false
	}
	b.refill()
	return b.tokens < 1
}

// asked notes that the org was asked for its limits.
func (b *budget) asked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.askedAt, b.madeSince = b.now(), 0
}

// current returns what is known now; false before the first answer.
func (b *budget) current() (Budget, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls.At.IsZero() {
		return Budget{}, false
	}
	b.window.roll(b.now())
	x := Budget{Allowance: b.calls, Batches: b.batches, Turns: b.window.back(1), JobsHeld: b.hasNoBatch()}
	most := math.Inf(1)
	if x.Saved = b.saves(); x.Saved {
		most = b.pace()
		x.Pace = most * time.Hour.Seconds()
	}
	x.Exhausted = b.window.reaches(b.calls.share(), most, b.now())
	if x.Batches.Max <= 0 {
		x.Batches = Allowance{} // with the jobs of this process alone
	}
	return x, true
}

// isShort reports whether calls are to be saved.
func (b *budget) isShort() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.saves()
}

// exhausted says in words that not even a job's calls are left, "" if they are, and
// after what time it is worth a call to look whether enough have come back.
func (b *budget) exhausted() (message string, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	missing := b.jobCost() - b.left()
	if b.calls.Max <= 0 || missing <= 0 {
		return "", 0
	}
	message = fmt.Sprintf("%d of %d API calls are used, %d are kept for others", b.calls.Used, b.calls.Max, b.calls.Reserve)
	if back := b.window.back(missing); !back.IsZero() {
		message += "; enough have come back by " + back.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	return message, min(max(0, b.window.back(missing).Sub(b.now())), b.probeEvery())
}

// probeEvery is the longest time between two looks whether calls have come back; the lock is held.
func (b *budget) probeEvery() time.Duration {
	if b.window.before > 0 {
		return probeSoon // nobody knows when those come back
	}
	return probeLate
}

// jobCost is how many calls a job takes; the lock is held. Jobs that were looked at
// for very long don't make it more than there could ever be.
func (b *budget) jobCost() int64 {
	cost := jobCalls + int64(math.Ceil(b.looks))
	if b.calls.Max <= 0 {
		return cost
	}
	return min(cost, max(jobCalls+looksAtFirst, b.calls.share()/marginMost))
}

// looked takes in how many looks a job has taken.
func (b *budget) looked(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks += (float64(n) - b.looks) * looksWeight
}

// left is how many calls are left now: what came back since the org's last word is
// counted. The lock is held.
func (b *budget) left() int64 {
	b.window.roll(b.now())
	return b.calls.share() - b.window.total
}

// pace is how many calls a second can be kept up. A little is kept back, so that
// sending slows down rather than stops; the lock is held.
func (b *budget) pace() float64 {
	share, left := b.calls.share(), b.left()
	margin := min(max(marginJobs*b.jobCost(), share/marginPart), share/marginMost, left/2)
	return b.window.keepsUp(left-margin, b.now())
}

// mostTokens is how many calls may be begun at once; the lock is held.
func (b *budget) mostTokens() float64 { return max(1, float64(b.left())*atOnce) }

// saves reports whether calls are to be saved; the lock is held.
func (b *budget) saves() bool {
	if b.filled.IsZero() || b.calls.Max <= 0 {
		return false
	}
	b.refill()
	return b.left() <= b.calls.share()/2 || b.tokens <= b.mostTokens()/2
}

// refill counts the tokens of now; the lock is held.
func (b *budget) refill() {
	now, most := b.now(), b.mostTokens()
	if b.filled.IsZero() {
		b.tokens = most
	} else {
		// What is spent without having been begun here (looks, probes) is owed to a bound only.
		owed := -float64(owedJobs * b.jobCost())
		b.tokens = min(most, max(b.tokens, owed)+now.Sub(b.filled).Seconds()*b.pace())
	}
	b.filled = now
}

// funds are the calls that attempts may be begun with. The zero value has none.
type funds struct {
	left    int64         // beside what is set aside for attempts under way
	tokens  float64       // of these, how many now
	wait    time.Duration // until there is a token, if there is none
	jobCost int64         // what a job takes
	// linger is how long REST calls wait for company; 0: calls need not be saved.
	linger time.Duration
	// jobLinger is the same of what only a job may carry.
	jobLinger time.Duration
	noJobs    bool // the org has no batch for a job
	notYet    bool // jobs wait until it has said whether it has
}

// allows reports whether an attempt of so many calls may be begun. One may take
// more tokens than there are: the next waits the longer.
func (f *funds) allows(cost int64) bool { return f.tokens >= 1 && f.left >= cost }

// spend takes the calls of an attempt.
func (f *funds) spend(cost int64) {
	f.left -= cost
	f.tokens -= float64(cost)
}

// funds tells what attempts may be begun with now. Calls wait for company for
// most at the most: one with 200 records costs what one with a single record costs.
func (b *budget) funds(most time.Duration) funds {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := funds{left: math.MaxInt64, tokens: math.Inf(1), jobCost: b.jobCost()}
	f.noJobs = b.hasNoBatch()
	f.notYet = b.askedAt.IsZero() && b.now().Sub(b.began) < askWithin
	if b.calls.Max <= 0 {
		return f
	}
	b.refill()
	f.left, f.tokens = b.left()-b.promised, b.tokens-float64(b.promised)
	rate := b.pace()
	if b.saves() {
		f.linger = min(most, secondsFor(1, rate))
		f.jobLinger = min(jobLingerMost, secondsFor(float64(f.jobCost), rate))
	}
	if f.tokens < 1 {
		f.wait = secondsFor(1-f.tokens, rate)
	}
	return f
}

// affords reports whether another call may be begun, beside all that are set aside.
func (b *budget) affords() bool {
	f := b.funds(0)
	return f.allows(1)
}

// secondsFor is how long it takes for n calls to come at a rate, a day at most.
func secondsFor(n, perSecond float64) time.Duration {
	return time.Duration(min(n/max(perSecond, 1e-9), windowSpan.Seconds()) * float64(time.Second))
}

// promise sets calls aside for an attempt that begins. The function that it returns
// says that it has ended.
func (b *budget) promise(job bool) (ended func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cost := int64(1)
	if job {
		cost = b.jobCost()
	}
	b.promised += cost
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.promised -= cost
	}
}

// crowded halves the calls at a time: the org has too many of ours.
func (b *budget) crowded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slots, b.streak = max(1, b.slots/2), 0
}

// fine counts a good call towards one more at a time.
func (b *budget) fine() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.streak++; b.streak >= slotStreak && b.slots < b.maxSlots {
		b.slots, b.streak = b.slots+1, 0
	}
}

// concurrency is how many REST calls may be under way at a time.
func (b *budget) concurrency() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots
}
