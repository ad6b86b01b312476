package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Routes says what could be claimed. nextDue is how long it is until something
// set aside becomes due, negative if nothing waits for a time.
func (s *Store) Routes(ctx context.Context, term Term) (routes []RouteStat, nextDue time.Duration, err error) {
	err = s.submit(ctx, &op{look: func(tx *bolt.Tx) error {
		if err := s.fenced(term); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		nextDue = s.lookAhead(tx)
		work := s.clock.work()
		for id, route := range s.routes { // in order: those of one age are then always listed alike
			q := s.win.routes[uint32(id)]
			if q == nil || q.n == 0 {
				continue
			}
			st := RouteStat{Route: route, Ready: q.n, RESTOnly: q.rest, Bytes: q.bytes}
			q.each(func(e *entry) (bool, bool) {
				st.Oldest = max(work-e.since, 0)
				return false, false
			})
			routes = append(routes, st)
		}
		return nil
	}})
	if err != nil {
		return nil, 0, fmt.Errorf("routes: %w", err)
	}
	slices.SortStableFunc(routes, func(a, b RouteStat) int { return cmp.Compare(b.Oldest, a.Oldest) })
	return routes, nextDue, nil
}

// lookAhead fills the windows and takes up what has become due.
func (s *Store) lookAhead(tx *bolt.Tx) time.Duration {
	for _, st := range s.win.order {
		s.fill(tx, st)
	}
	return s.takeDue(tx)
}

// Claim hands ready events of a route to a new attempt. It never gives two of a
// lane, none that an earlier one of its lane precedes, and none that waits for a
// time or a key. With nothing to claim there is no attempt and no event. A
// repeated call with the same id returns the same attempt and what it still holds.
func (s *Store) Claim(ctx context.Context, term Term, id AttemptID, spec ClaimSpec) (a Attempt, events []Claimed, err error) {
	err = s.update(ctx, func(t *txn) error {
		if err := s.fenced(term); err != nil {
			return err
		}
		if spec.MaxRecords <= 0 || spec.MaxBytes <= 0 {
			return fmt.Errorf("claim of %d records, %d bytes: bounds must be positive", spec.MaxRecords, spec.MaxBytes)
		}
		if old, err := getAttempt(t.tx, id); err == nil {
			a = old
			events, err = t.reclaimed(id)
			return err
		}
		a, events, err = t.claim(id, spec)
		return err
	})
	if err != nil {
		return Attempt{}, nil, fmt.Errorf("claim %s: %w", id, err)
	}
	return a, events, nil
}

// reclaimed answers a repeated claim.
func (t *txn) reclaimed(id AttemptID) (list []Claimed, err error) {
	a := t.s.attempts[id]
	if a == nil {
		return nil, nil
	}
	for _, seq := range a.seqs {
		c, err := t.s.claimed(t.tx, seq, t.work)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// picker collects the events of one claim.
type picker struct {
	t      *txn
	spec   ClaimSpec
	recs   *bolt.Bucket
	notes  *bolt.Bucket
	limit  int
	bytes  int64
	looked int
	picked []Claimed
	held   []*entry
	lanes  map[uint64]bool
	seqs   map[Seq]bool
	parked []*entry
	gone   []*entry // are no more
	strays []stray
	ended  []*entry // were ended by this claim
	err    error
}

// stray is an entry that travels another way by now.
type stray struct {
	*entry
	route uint32
}

// lookBound bounds the entries that one claim looks at beside those it takes.
const lookBound = 1 << 14

// outcomeBytes is what one failed event may need beside its record: a note with
// the org's message, its entries in the indexes, a line of the feed.
const outcomeBytes = 16 << 10

// outcomeRoom is how many more events may be in flight so that the outcome of
// each can be recorded in what is left of the size limit and of the disk; one
// always may.
func (t *txn) outcomeRoom() int {
	room := min(t.room(), max(t.inFile(), 0)+t.s.disk.room())
	return int(max(1, room/outcomeBytes-int64(len(t.s.inflight))))
}

func (t *txn) claim(id AttemptID, spec ClaimSpec) (Attempt, []Claimed, error) {
	s := t.s
	spec.MaxRecords = min(spec.MaxRecords, t.outcomeRoom())
	s.mu.Lock()
	s.lookAhead(t.tx)
	t.now = s.clock.now() // later than anything that was just taken up
	id32, known := s.routeIDs[spec.Route]
	p := &picker{t: t, spec: spec, recs: t.tx.Bucket(bRec), notes: t.tx.Bucket(bNote), limit: spec.MaxRecords, lanes: map[uint64]bool{}, seqs: map[Seq]bool{}}
	if known {
		s.win.queue(id32).each(p.offer)
		for _, e := range p.parked {
			s.win.park(e)
		}
		for _, e := range p.gone {
			s.win.leave(e)
		}
		for _, x := range p.strays {
			s.win.turn(x.entry, x.route)
		}
	}
	s.mu.Unlock()
	t.undo = append(t.undo, func() {
		for _, e := range slices.Backward(slices.Concat(p.ended, p.held)) {
			s.win.requeue(e)
		}
	})
	t.post = append(t.post, func() {
		for _, e := range p.ended {
			s.win.leave(e)
		}
	})
	if p.err != nil || len(p.held) == 0 {
		return Attempt{}, nil, p.err
	}
	a := &attempt{
		Attempt: Attempt{
			ID: id, Kind: spec.Kind, Route: spec.Route, Phase: PhaseClaimed,
			Claimed: len(p.held), StartedAt: microTime(t.wall), Note: spec.Note, Orgs: t.facts.Orgs,
		},
		lanes: map[Seq]uint64{}, entries: map[Seq]*entry{},
	}
	for _, e := range p.held {
		a.seqs = append(a.seqs, e.seq)
		a.entries[e.seq] = e
		a.lanes[e.seq] = e.lane
	}
	t.post = append(t.post, func() {
		for _, e := range p.held {
			s.win.unready(e)
			e.state = entryInflight
		}
		s.adopt(a)
	})
	if err := t.tx.Bucket(bClaim).Put([]byte(id), encodeSeqs(a.seqs)); err != nil {
		return Attempt{}, nil, err
	}
	return a.Attempt, p.picked, t.putAttempt(a.Attempt)
}

// offer decides about one ready entry. Memory proposed it; disk decides.
func (p *picker) offer(e *entry) (taken, more bool) {
	if p.looked++; len(p.held) >= p.limit || p.looked > p.spec.MaxRecords+lookBound {
		return false, false
	}
	if p.t.s.inflight[e.seq] != nil || p.seqs[e.seq] {
		p.gone = append(p.gone, e) // known twice: the other one is the event
		return true, true
	}
	if p.spec.Kind == KindBulk && e.restOnly {
		return false, true
	}
	if e.lane != 0 {
		if _, busy := p.t.s.busy[e.lane]; busy || p.lanes[e.lane] {
			p.parked = append(p.parked, e)
			return true, true
		}
		if p.t.blocked(e.lane, e.seq) {
			p.parked = append(p.parked, e)
			return true, true
		}
	}
	key := seqKey(e.seq)
	rec := p.recs.Get(key)
	if rec == nil {
		p.gone = append(p.gone, e)
		return true, true
	}
	h, err := decodeRec(rec)
	if err != nil {
		p.unreadable(e, err)
		return true, p.err == nil
	}
	var n *note
	if v := p.notes.Get(key); v != nil {
		n = &note{}
		if err := decodeJSON(v, n); err != nil {
			p.unreadable(e, err)
			return true, p.err == nil
		}
		if n.State != Pending {
			p.gone = append(p.gone, e)
			return true, true
		}
	}
	if way := p.t.s.route(&h, n); way != e.route {
		p.strays = append(p.strays, stray{e, way}) // what was found is of another org
		return true, true
	}
	return p.take(e, &h, n, len(rec))
}

// route is the way that an event travels: as accepted, or as a query has found.
func (s *Store) route(h *recHeader, n *note) uint32 {
	if s.located(n) {
		return n.Route
	}
	return h.route
}

// located reports whether a query has found an event's record, at the org that
// the outbox belongs to.
func (s *Store) located(n *note) bool {
	return n != nil && n.Located && n.Orgs == s.facts.Orgs
}

func (p *picker) take(e *entry, h *recHeader, n *note, size int) (taken, more bool) {
	t := p.t
	if h.expires != 0 && h.expires <= t.wall && (n == nil || !n.NoExpiry) {
		p.err = t.failPending(e.seq, h, n, t.expired(e.seq, h, n))
		p.ended = append(p.ended, e)
		return true, p.err == nil
	}
	if n != nil && n.MaxBatch > 0 {
		if len(p.held) >= n.MaxBatch {
			return false, true
		}
		p.limit = min(p.limit, n.MaxBatch)
	}
	if len(p.held) > 0 && p.bytes+int64(size) > p.spec.MaxBytes {
		return false, false
	}
	p.bytes += int64(size)
	p.held = append(p.held, e)
	p.seqs[e.seq] = true
	if e.lane != 0 {
		p.lanes[e.lane] = true
		if p.err = t.supersede(e.lane, e.seq); p.err != nil {
			return true, false
		}
	}
	p.picked = append(p.picked, t.s.claimedOf(e.seq, h, n, t.work))
	t.count(t.s.routes[h.route].Object, Pending, Inflight, 1)
	return true, true
}

// unreadable sets a record aside that can't be decoded: it is listed as failed
// and stops nothing.
func (p *picker) unreadable(e *entry, why error) {
	t := p.t
	t.s.log.Error("record set aside", "seq", uint64(e.seq), "err", why)
	p.ended = append(p.ended, e)
	p.err = t.quarantine(e.seq, e.route, e.lane, Pending, why)
}

// blocked reports whether an earlier event of a lane, or a hold of one, stands
// before a seq on disk.
func (t *txn) blocked(lane uint64, seq Seq) bool {
	if !t.laneUsed {
		return false
	}
	c := t.tx.Bucket(bLane).Cursor()
	for k, v := c.Seek(pairKey(lane, 0)); k != nil && string(k[:8]) == string(u64key(lane)) && seqOf(k) < seq; k, v = c.Next() {
		if decodeLane(v).blocks(t.now) {
			return true
		}
	}
	return false
}

// supersede marks earlier events of a lane that were passed over: they may not
// be retried any more, since that would put old values over new ones.
func (t *txn) supersede(lane uint64, seq Seq) error {
	if !t.laneUsed {
		return nil
	}
	b := t.tx.Bucket(bLane)
	var keys [][]byte
	var entries []laneEntry
	c := b.Cursor()
	for k, v := c.Seek(pairKey(lane, 0)); k != nil && string(k[:8]) == string(u64key(lane)) && seqOf(k) < seq; k, v = c.Next() {
		if e := decodeLane(v); e.kind == laneSkipped {
			e.kind = laneSuperseded
			keys, entries = append(keys, slices.Clone(k)), append(entries, e)
		}
	}
	for i, k := range keys {
		if err := b.Put(k, encodeLane(entries[i])); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) expired(seq Seq, h *recHeader, n *note) *Problem {
	what := ", before it could be sent"
	if n != nil && n.Sent || t.s.suspect(seq, n) {
		what = ", before it could be sent again; an earlier sending may have reached the org"
	}
	return &Problem{Code: "EXPIRED", Message: "expires_at was " + microTime(h.expires).Format(time.RFC3339) + what}
}
