package storetest

import (
	"slices"
	"time"

	"github.com/outboxd/outboxd/store"
)

// sure is the model's knowledge where the interface leaves a choice.
type sure uint8

const (
	no sure = iota
	maybe
	yes
)

func sureOf(b bool) sure {
	if b {
		return yes
	}
	return no
}

// model is the state machine of the delivery protocol on maps. It reads no
// clock: the test that moves the clocks moves wall, now and ages with them.
type model struct {
	window  time.Duration
	overdue time.Duration

	wall   time.Time
	now    time.Duration // the store's own clock
	ages   time.Duration // the same, without the pauses
	paused bool          // ages stand still

	events   map[store.Seq]*entry
	keys     map[string]*entry
	attempts map[store.AttemptID]*trip
	holds    []hold

	accepted  int64
	forgotten int64
	feed      map[store.Seq][]posted
	commits   int // numbers the commits of the feed
}

// entry is one event.
type entry struct {
	store.Event
	seq     store.Seq
	state   store.State
	route   store.Route // where it travels now; Event.Route is as accepted
	target  string
	attempt store.AttemptID

	minCharged, maxCharged int
	sent                   sure // an earlier attempt may have reached the org
	restOnly               sure
	maxBatch               int // 0: no bound
	due                    time.Duration
	skip                   bool
	passed                 sure          // a follower of its lane was sent
	claimed                bool          // ever
	wasDue                 bool          // NotBefore has come once, whatever the wall clock did since
	bornAge                time.Duration // of acceptance or the last retry
	edited                 bool
	mayWait                time.Duration // an engine may keep an edit back until then
	readyMin, readyMax     time.Duration // when it came due, on the clock of ages
	ended                  time.Duration
	id                     string
	created                bool
	problem                *store.Problem
	problemSure            bool // problem is the last error, whatever the engine keeps over a retry
	matches                []string
}

// trip is one attempt.
type trip struct {
	id        store.AttemptID
	kind      store.Kind
	route     store.Route
	phase     store.Phase
	jobID     string
	events    []store.Seq // not settled yet, in the order of the claim
	claimed   int
	succeeded int
}

// hold keeps the followers of an event back. It surely holds until end, and
// surely no longer than latest: a new term may count it anew.
type hold struct {
	lane   string
	seq    store.Seq
	length time.Duration
	end    time.Duration
	latest time.Duration
}

// posted is one entry of the feed. Commit 0 is a sweep, whose moment the
// model does not know.
type posted struct {
	commit int
	state  store.State
}

func newModel(wall time.Time, window, overdue time.Duration) *model {
	return &model{
		window: window, overdue: overdue, wall: wall,
		events:   map[store.Seq]*entry{},
		keys:     map[string]*entry{},
		attempts: map[store.AttemptID]*trip{},
		feed:     map[store.Seq][]posted{},
	}
}

// pass lets d pass on the store's clock.
func (m *model) pass(d time.Duration) {
	m.now += d
	if !m.paused {
		m.ages += d
	}
}

// tick moves the wall clock.
func (m *model) tick(d time.Duration) {
	m.wall = m.wall.Add(d)
	for _, e := range m.events {
		e.wasDue = e.wasDue || !m.wall.Before(e.NotBefore)
	}
}

// put takes an accepted event in under the engine's seq.
func (m *model) put(ev store.Event, seq store.Seq) *entry {
	e := &entry{
		Event: ev, seq: seq, state: store.Pending, route: ev.Route,
		wasDue: !m.wall.Before(ev.NotBefore), due: m.now, bornAge: m.ages, readyMin: m.ages, readyMax: m.ages,
	}
	m.events[seq], m.keys[ev.Key] = e, e
	m.accepted++
	return e
}

// lane returns the events of e's lane but e, in order of acceptance.
func (m *model) lane(e *entry) (before, after []*entry) {
	if e.Lane == "" {
		return nil, nil
	}
	for _, o := range m.events {
		switch {
		case o.Lane != e.Lane || o == e:
		case o.seq < e.seq:
			before = append(before, o)
		default:
			after = append(after, o)
		}
	}
	bySeq := func(a, b *entry) int { return int(a.seq) - int(b.seq) }
	slices.SortFunc(before, bySeq)
	slices.SortFunc(after, bySeq)
	return before, after
}

// blocks reports whether e keeps its followers back.
func (e *entry) blocks() bool {
	switch e.state {
	case store.Failed, store.InDoubt:
		return !e.skip
	default:
		return !e.state.Terminal()
	}
}

// expired reports whether e's expiry has come by the wall clock.
func (m *model) expired(e *entry) bool {
	return !e.ExpiresAt.IsZero() && !m.wall.Before(e.ExpiresAt)
}

// claimable says whether a claim of this kind may hand e out.
func (m *model) claimable(e *entry, kind store.Kind) sure {
	if e.state != store.Pending || !e.wasDue || m.expired(e) || e.due > m.now || !m.afterDone(e) {
		return no
	}
	before, after := m.lane(e)
	if slices.ContainsFunc(before, (*entry).blocks) {
		return no
	}
	if slices.ContainsFunc(after, func(o *entry) bool { return o.state == store.Inflight }) {
		return no
	}
	s := m.held(e)
	if m.wall.Before(e.NotBefore) || e.mayWait > m.now {
		s = min(s, maybe)
	}
	if kind == store.KindBulk {
		s = min(s, yes-e.restOnly)
	}
	return s
}

// afterDone reports whether all that e waits for is delivered.
func (m *model) afterDone(e *entry) bool {
	for _, k := range e.After {
		if o := m.keys[k]; o == nil || o.state != store.Delivered {
			return false
		}
	}
	return true
}

// held says whether the late windows of e's lane let it go.
func (m *model) held(e *entry) sure {
	s := yes
	for _, h := range m.holds {
		switch {
		case h.lane != e.Lane || h.seq == e.seq || h.latest <= m.now:
		case h.end > m.now && e.seq > h.seq:
			return no
		default:
			s = maybe
		}
	}
	return s
}

// claim moves events into a new attempt; the caller has checked that it may.
func (m *model) claim(id store.AttemptID, spec store.ClaimSpec, seqs []store.Seq) {
	m.attempts[id] = &trip{
		id: id, kind: spec.Kind, route: spec.Route, phase: store.PhaseClaimed,
		events: slices.Clone(seqs), claimed: len(seqs),
	}
	for _, seq := range seqs {
		e := m.events[seq]
		e.state, e.attempt, e.claimed = store.Inflight, id, true
		before, _ := m.lane(e)
		for _, o := range before {
			o.passed = max(o.passed, maybe)
		}
	}
}

// markSent notes that e's values may stand at the org.
func (m *model) markSent(e *entry) {
	e.sent = yes
	before, _ := m.lane(e)
	for _, o := range before {
		o.passed = yes
	}
}

// settle applies outcomes to events of an attempt, in one commit.
func (m *model) settle(id store.AttemptID, outcomes []store.Outcome) {
	m.commits++
	a := m.attempts[id]
	for _, o := range outcomes {
		e := m.events[o.Seq]
		a.events = slices.DeleteFunc(a.events, func(s store.Seq) bool { return s == o.Seq })
		if o.Hold > 0 && e.Lane != "" {
			m.holds = append(m.holds, hold{e.Lane, e.seq, o.Hold, m.now + o.Hold, m.now + o.Hold})
		}
		if o.Problem != nil {
			e.problem, e.problemSure = o.Problem, true
		}
		m.settleOne(a, e, o)
	}
	if len(a.events) == 0 {
		a.phase = store.PhaseDone
	}
}

func (m *model) settleOne(a *trip, e *entry, o store.Outcome) {
	switch o.Verdict {
	case store.Deliver:
		m.markSent(e)
		a.succeeded++
		e.maxCharged++
		m.deliver(e, o.ID, o.Created, m.commits)
	case store.Fail:
		e.maxCharged++
		e.skip = o.Skip
		m.enter(e, store.Failed, m.commits)
	case store.Doubt:
		m.markSent(e)
		e.maxCharged++
		e.skip, e.matches = o.Skip, o.Matches
		m.enter(e, store.InDoubt, m.commits)
	case store.Again:
		if o.Sent {
			m.markSent(e)
		}
		if o.Charge {
			e.minCharged++
			e.maxCharged++
		}
		e.bound(o)
		m.requeue(e, o.Delay)
	case store.Reroute:
		e.route, e.target = o.Route, o.Target
		e.loosen()
		m.requeue(e, 0)
	}
}

// bound takes over what an outcome says about how e may travel.
func (e *entry) bound(o store.Outcome) {
	if o.MaxBatch != 0 {
		e.maxBatch = max(o.MaxBatch, 0)
	}
	switch {
	case o.RESTOnly:
		e.restOnly = yes
	case e.restOnly == yes:
		e.restOnly = maybe
	}
}

// loosen forgets the bounds of e's travel where an engine may or may not keep them.
func (e *entry) loosen() {
	e.maxBatch, e.restOnly = 0, min(e.restOnly, maybe)
}

// enter moves e to a state that the feed tells of.
func (m *model) enter(e *entry, s store.State, commit int) {
	e.state, e.attempt = s, ""
	if s.Terminal() {
		e.ended = m.now
	}
	m.feed[e.seq] = append(m.feed[e.seq], posted{commit, s})
}

func (m *model) deliver(e *entry, id string, created bool, commit int) {
	e.id, e.created = id, created
	m.enter(e, store.Delivered, commit)
}

// requeue makes e pending again, due after delay.
func (m *model) requeue(e *entry, delay time.Duration) {
	e.state, e.attempt = store.Pending, ""
	e.due, e.readyMax = m.now+delay, m.ages+delay
	if delay > 0 {
		e.readyMin = m.ages // a pause may swallow the delay
	}
}

// release gives all events of an attempt back.
func (m *model) release(id store.AttemptID) {
	a := m.attempts[id]
	for _, seq := range a.events {
		m.requeue(m.events[seq], 0)
	}
	a.events, a.phase = nil, store.PhaseDone
}

// superseded says whether a follower of e was sent.
func (m *model) superseded(e *entry) sure {
	_, after := m.lane(e)
	if slices.ContainsFunc(after, func(o *entry) bool { return o.state == store.Inflight }) {
		return yes
	}
	return e.passed
}

// retry is the operator's move from failed to pending.
func (m *model) retry(e *entry, edit *store.Edit) {
	if edit != nil {
		e.Payload, e.edited = edit.Payload, true
	}
	e.ExpiresAt = time.Time{}
	e.minCharged, e.maxCharged, e.bornAge, e.readyMin = 0, 0, m.ages, m.ages
	e.problemSure = false
	e.loosen()
	m.requeue(e, 0)
	for _, h := range m.holds {
		if e.edited && h.lane == e.Lane && h.seq == e.seq {
			e.due, e.mayWait = max(e.due, h.end), max(e.mayWait, h.latest)
			e.readyMax = max(e.readyMax, m.ages+h.latest-m.now)
		}
	}
}

func (m *model) drop(e *entry) {
	m.commits++
	m.enter(e, store.Dropped, m.commits)
}

// resolve ends a doubt, by the operator or by a verification.
func (m *model) resolve(e *entry, r store.Resolution) {
	if r.Delivered {
		m.commits++
		m.deliver(e, r.ID, false, m.commits)
		return
	}
	e.sent, e.problemSure = maybe, false
	e.loosen()
	m.requeue(e, 0)
}

// expire fails a pending event whose time is over.
func (m *model) expire(e *entry) {
	e.skip, e.problem, e.problemSure = false, &store.Problem{Code: "EXPIRED"}, true
	m.enter(e, store.Failed, 0)
}

// mayExpire reports whether a sweep fails e.
func (m *model) mayExpire(e *entry) bool { return e.state == store.Pending && m.expired(e) }

// mayForget says whether a sweep drops e's receipt. Receipts may leave in
// slices, and late: the walk never says when one must be gone.
func (m *model) mayForget(e *entry) bool {
	return e.state.Terminal() && m.now >= e.ended+m.window && !m.awaited(e.Key)
}

// awaited reports whether an event that is not terminal waits for key.
func (m *model) awaited(key string) bool {
	for _, o := range m.events {
		if !o.state.Terminal() && slices.Contains(o.After, key) {
			return true
		}
	}
	return false
}

// forget drops e's receipt.
func (m *model) forget(e *entry) {
	delete(m.events, e.seq)
	delete(m.keys, e.Key)
	delete(m.feed, e.seq)
	m.forgotten++
}

// newTerm lets the holds be counted anew, as a new term may.
func (m *model) newTerm() {
	for i := range m.holds {
		h := &m.holds[i]
		if h.latest > m.now {
			h.latest = m.now + h.length
		}
	}
}

// counts returns the events of each state, in all and by object.
func (m *model) counts() (all store.Counts, objects map[string]store.Counts) {
	objects = map[string]store.Counts{}
	for _, e := range m.events {
		all[e.state]++
		c := objects[e.Route.Object]
		c[e.state]++
		objects[e.Route.Object] = c
	}
	return all, objects
}
