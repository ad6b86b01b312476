package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Settle records what became of events of an attempt, all in one transaction:
// states, receipts, the feed, lanes freed, followers and waiters woken. Events
// without an outcome stay in flight; the attempt is done when none is left.
// Outcomes of events that it does not hold any more are ignored, so that a
// repeated call changes nothing.
func (s *Store) Settle(ctx context.Context, term Term, id AttemptID, x Settlement) error {
	err := s.update(ctx, func(t *txn) error {
		if err := s.fenced(term); err != nil {
			return err
		}
		a := s.attempts[id]
		if a == nil {
			_, err := getAttempt(t.tx, id)
			return err
		}
		return t.settle(a, x)
	})
	if err != nil {
		return fmt.Errorf("settle attempt %s: %w", id, err)
	}
	return nil
}

func (t *txn) settle(a *attempt, x Settlement) error {
	outcomes := slices.Clone(x.Outcomes)
	slices.SortStableFunc(outcomes, func(p, q Outcome) int { return cmp.Compare(p.Seq, q.Seq) })
	next := a.Attempt
	ended := make(map[Seq]bool, len(outcomes))
	for i := range outcomes {
		o := &outcomes[i]
		if t.s.inflight[o.Seq] != a || ended[o.Seq] {
			continue
		}
		if err := t.settleOne(a, o); err != nil {
			return fmt.Errorf("event %d: %w", o.Seq, err)
		}
		ended[o.Seq] = true
		next.tally(o.Verdict)
	}
	if x.Note != "" {
		next.Note = x.Note
	}
	return t.shrink(a, next, ended)
}

func (a *Attempt) tally(v Verdict) {
	switch v {
	case Deliver:
		a.Succeeded++
	case Fail, Doubt:
		a.Failed++
	default:
		a.Unprocessed++
	}
}

// shrink takes ended events out of an attempt.
func (t *txn) shrink(a *attempt, next Attempt, ended map[Seq]bool) error {
	left := slices.DeleteFunc(slices.Clone(a.seqs), func(s Seq) bool { return ended[s] })
	done := len(left) == 0
	claims := t.tx.Bucket(bClaim)
	var err error
	if done {
		next.Phase, next.EndedAt = PhaseDone, microTime(t.wall)
		err = claims.Delete([]byte(a.ID))
	} else {
		err = claims.Put([]byte(a.ID), encodeSeqs(left))
	}
	if err != nil {
		return err
	}
	s := t.s
	t.wake = true
	t.post = append(t.post, func() {
		a.Attempt, a.seqs = next, left
		if done {
			delete(s.attempts, a.ID)
		}
	})
	if err := t.moveLows(len(ended)); err != nil {
		return err
	}
	return t.putAttempt(next)
}

func (t *txn) settleOne(a *attempt, o *Outcome) error {
	rec := t.tx.Bucket(bRec).Get(seqKey(o.Seq))
	e := a.entries[o.Seq]
	h, err := decodeRec(rec)
	if err != nil {
		return t.loseRecord(a, o.Seq, err)
	}
	n, err := t.note(o.Seq)
	if err != nil {
		return err
	}
	t.lanes = append(t.lanes, h.lane)
	again := func() {
		if e := t.s.disown(a, o.Seq); e != nil {
			t.s.win.makeReady(e)
		}
	}
	leave := func() {
		if e := t.s.disown(a, o.Seq); e != nil {
			t.s.win.leave(e)
		}
	}
	if o.plain() && n == nil && e != nil && !e.aside {
		if err := t.expiresAgain(o.Seq, &h, n); err != nil {
			return err
		}
		t.count(t.object(&h), Inflight, Pending, 1)
		t.post = append(t.post, again)
		return nil
	}
	t.post = append(t.post, leave)
	switch o.Verdict {
	case Deliver:
		return t.deliver(a, o, &h, n)
	case Fail, Doubt:
		return t.stick(a, o, &h, n)
	case Again, Reroute:
		return t.again(a, o, &h, n)
	}
	return fmt.Errorf("verdict %d is none", o.Verdict)
}

// expiresAgain puts an event's expiry back, which passed unheeded if it came
// while the event was in flight.
func (t *txn) expiresAgain(seq Seq, h *recHeader, n *note) error {
	if h.expires == 0 || n != nil && n.NoExpiry {
		return nil
	}
	t.changed = true
	return t.tx.Bucket(bExpiry).Put(pairKey(uint64(h.expires), seq), present)
}

// loseRecord sets an event aside whose record went bad while it was in flight.
func (t *txn) loseRecord(a *attempt, seq Seq, why error) error {
	t.post = append(t.post, func() {
		if e := t.s.disown(a, seq); e != nil {
			t.s.win.leave(e)
		}
	})
	return t.quarantine(seq, t.s.routeIDs[a.Route], a.lanes[seq], Inflight, why)
}

// plain reports whether an event goes back as if it had never been claimed.
func (o *Outcome) plain() bool {
	return o.Verdict == Again && o.Problem == nil && o.Delay == 0 && !o.Charge && o.MaxBatch == 0 && !o.RESTOnly && !o.Sent && o.Hold == 0
}

func (t *txn) object(h *recHeader) string { return t.s.routes[h.route].Object }

// note reads what is beside a record, nil if nothing is.
func (t *txn) note(seq Seq) (*note, error) {
	if !t.noteUsed {
		return nil, nil
	}
	return getNote(t.tx, seq)
}

func getNote(tx *bolt.Tx, seq Seq) (*note, error) {
	v := tx.Bucket(bNote).Get(seqKey(seq))
	if v == nil {
		return nil, nil
	}
	n := &note{}
	if err := decodeJSON(v, n); err != nil {
		return nil, fmt.Errorf("note: %w", err)
	}
	return n, nil
}

func (t *txn) putNote(seq Seq, n *note) error {
	t.noteUsed, t.changed = true, true
	return t.tx.Bucket(bNote).Put(seqKey(seq), encodeJSON(n))
}

// travelled notes the attempt that an event was in. What was found at another
// org than that attempt's falls away.
func (n *note) travelled(a *attempt) {
	if n.Orgs != a.Orgs {
		n.OtherOrg = n.OtherOrg || n.Sent
		n.Orgs, n.Located, n.Route, n.Target = a.Orgs, false, 0, ""
	}
	n.Kind, n.Attempt, n.Job, n.SentAt = a.Kind, a.ID, a.JobID, unixMicro(a.StartedAt)
}

// warned notes the outcome's warnings; it makes a note where there is none for them.
func (n *note) warned(o *Outcome) *note {
	if n == nil && o.Warnings != nil {
		n = &note{}
	}
	if n != nil {
		n.Warnings = o.Warnings
	}
	return n
}

// sent notes that the org may have seen the event, and since when.
func (t *txn) sent(a *attempt, o *Outcome, h *recHeader, n *note) {
	if !o.Sent && o.Verdict != Doubt {
		return
	}
	switch {
	case t.s.suspect(o.Seq, n):
		n.First = h.accepted
	case !n.Sent:
		n.First = unixMicro(a.StartedAt)
	}
	n.Sent = true
	if o.Sent {
		n.SentKey, n.OtherOrg = o.SentKey, o.OtherOrg
	}
}

// elsewhere reports whether all that an event was in was at an org that the
// outbox belonged to before.
func (s *Store) elsewhere(n *note) bool {
	return n.OtherOrg || n.Attempt != "" && n.Orgs != s.facts.Orgs
}

// suspect reports whether an event counts as sent only because the store came
// from a backup.
func (s *Store) suspect(seq Seq, n *note) bool {
	return seq < s.num.SentBelow && (n == nil || !n.Sent && n.Absent < s.num.SentBelow)
}

func (t *txn) problem(n *note, p *Problem, id AttemptID) {
	if p != nil {
		n.Error = &LastError{Problem: *p, At: microTime(t.wall), AttemptID: id}
	}
}

func code(p *Problem) string {
	if p == nil {
		return ""
	}
	return p.Code
}

func (t *txn) deliver(a *attempt, o *Outcome, h *recHeader, n *note) error {
	r := receipt{
		state: Delivered, created: o.Created, attempts: 1, kind: a.Kind, id: []byte(o.ID),
		attempt: a.ID, job: []byte(a.JobID), sent: unixMicro(a.StartedAt), orgs: a.Orgs,
	}
	if n != nil {
		r.attempts += n.Attempts
		n.log(transition{At: t.wall, From: Inflight, To: Delivered, Attempt: a.ID})
	}
	n = n.warned(o)
	if err := t.terminal(o.Seq, h, n, r, Inflight); err != nil {
		return err
	}
	if err := t.setLane(h.lane, o.Seq, laneFree, o.Hold); err != nil {
		return err
	}
	return t.wakeWaiters(h.key)
}

// terminal turns an event into its receipt.
func (t *txn) terminal(seq Seq, h *recHeader, n *note, r receipt, from State) error {
	r.route, r.digest, r.accepted, r.ended = h.route, h.digest, h.accepted, t.wall
	r.key, r.source, r.laneName, r.head = h.key, h.source, h.laneName, h.head
	if n != nil {
		n.Payload = nil
		b, err := json.Marshal(n)
		if err != nil {
			return err
		}
		r.note = b
	}
	sl, rec := t.slice(seq)
	if sl == nil {
		return errors.New("no slice of keys covers it")
	}
	b, err := t.tx.Bucket(bReceipt).CreateBucketIfNotExists(seqKey(sl.first))
	if err != nil {
		return err
	}
	b.FillPercent = 0.9
	if err := b.Put(seqKey(seq), appendReceipt(make([]byte, 0, 192+len(r.head)+len(r.note)), &r)); err != nil {
		return err
	}
	rec.LastEnd = t.now
	if rec.Tally == nil {
		rec.Tally = map[uint32]Counts{}
	}
	c := rec.Tally[h.route]
	c[r.state]++
	rec.Tally[h.route] = c
	t.count(t.object(h), from, r.state, 1)
	t.feedTerminal(seq, r.state)
	for _, key := range h.after {
		if err := t.tx.Bucket(bWait).Delete(waitKey(hashKey(key), seq)); err != nil {
			return err
		}
	}
	if n != nil {
		if err := t.tx.Bucket(bNote).Delete(seqKey(seq)); err != nil {
			return err
		}
	}
	return t.tx.Bucket(bRec).Delete(seqKey(seq))
}

// stick makes an event failed or in doubt.
func (t *txn) stick(a *attempt, o *Outcome, h *recHeader, n *note) error {
	if o.Problem == nil {
		return errors.New("an outcome that is not delivered needs a problem")
	}
	if n == nil {
		n = &note{}
	}
	n.Attempts++
	n.travelled(a)
	t.sent(a, o, h, n)
	n.Matches = o.Matches
	n.warned(o)
	state := Failed
	if o.Verdict == Doubt {
		state = InDoubt
	}
	return t.stuck(o.Seq, h, n, stuckBy{from: Inflight, to: state, problem: o.Problem, attempt: a.ID, job: a.JobID, kind: a.Kind, skip: o.Skip, hold: o.Hold})
}

// stuckBy says how an event became failed or in doubt.
type stuckBy struct {
	from, to State
	problem  *Problem
	attempt  AttemptID
	job      string
	kind     Kind
	skip     bool
	hold     time.Duration
}

func (t *txn) stuck(seq Seq, h *recHeader, n *note, by stuckBy) error {
	n.State, n.Since, n.Due = by.to, t.wall, 0
	t.problem(n, by.problem, by.attempt)
	n.log(transition{At: t.wall, From: by.from, To: by.to, Attempt: by.attempt, Code: by.problem.Code})
	kind, lane := laneStuck, h.lane
	if by.skip {
		kind, lane = laneSkipped, 0
	}
	entry := stuckEntry{state: by.to, since: t.wall, route: h.route, lane: lane, code: by.problem.Code, source: string(h.source)}
	t.count(t.object(h), by.from, by.to, 1)
	t.feedProblem(seq, h, by)
	return errors.Join(
		t.putNote(seq, n),
		t.tx.Bucket(bStuck).Put(seqKey(seq), encodeStuck(entry)),
		t.setLane(h.lane, seq, kind, by.hold),
	)
}

// failPending fails an event that no attempt holds.
func (t *txn) failPending(seq Seq, h *recHeader, n *note, p *Problem) error {
	if n == nil {
		n = &note{}
	}
	t.leaveWindow(h, seq)
	return t.stuck(seq, h, n, stuckBy{from: Pending, to: Failed, problem: p, skip: t.s.opts.Skips(t.object(h))})
}

// leaveWindow takes a pending event out of the look-ahead after the commit.
func (t *txn) leaveWindow(h *recHeader, seq Seq) {
	t.lanes = append(t.lanes, h.lane)
	t.post = append(t.post, func() {
		if e := t.s.win.find(h.stream, seq); e != nil {
			t.s.win.leave(e)
		}
	})
}

// quarantine lists a record that can't be decoded as failed.
func (t *txn) quarantine(seq Seq, route uint32, lane uint64, from State, why error) error {
	h := recHeader{route: route, lane: lane}
	return t.stuck(seq, &h, &note{}, stuckBy{from: from, to: Failed, problem: unreadable(why)})
}

func unreadable(why error) *Problem {
	return &Problem{Code: "UNREADABLE", Message: "the stored record can't be read (" + why.Error() + "); drop it and send its event again under another key"}
}

// again makes an event pending once more, with what was learnt.
func (t *txn) again(a *attempt, o *Outcome, h *recHeader, n *note) error {
	if n == nil {
		n = &note{}
	}
	n.State = Pending
	n.travelled(a)
	if o.Charge {
		n.Attempts++
	}
	switch {
	case o.MaxBatch > 0:
		n.MaxBatch = o.MaxBatch
	case o.MaxBatch < 0:
		n.MaxBatch = 0
	}
	n.RESTOnly = n.RESTOnly || o.RESTOnly
	n.warned(o)
	t.sent(a, o, h, n)
	if o.Verdict == Reroute {
		route, err := t.routeID(o.Route)
		if err != nil {
			return err
		}
		n.Located, n.Route, n.Target = true, route, o.Target
	}
	t.problem(n, o.Problem, a.ID)
	n.log(transition{At: t.wall, From: Inflight, To: Pending, Attempt: a.ID, Code: code(o.Problem)})
	n.Due, n.DueWork = t.now+o.Delay, t.work+o.Delay
	t.count(t.object(h), Inflight, Pending, 1)
	return errors.Join(
		t.expiresAgain(o.Seq, h, n),
		t.putNote(o.Seq, n),
		t.putDue(n.Due, o.Seq),
		t.setLane(h.lane, o.Seq, laneAside, o.Hold),
	)
}

func (t *txn) putDue(at time.Duration, seq Seq) error {
	t.wake, t.changed = true, true
	return t.tx.Bucket(bDue).Put(pairKey(uint64(at), seq), present)
}

// setLane writes what an event is to the later ones of its lane, keeping a hold
// that runs longer.
func (t *txn) setLane(lane uint64, seq Seq, kind laneKind, hold time.Duration) error {
	if lane == 0 || kind == laneFree && hold <= 0 && !t.laneUsed {
		return nil
	}
	b, key := t.tx.Bucket(bLane), pairKey(lane, seq)
	var old laneEntry
	if t.laneUsed {
		if v := b.Get(key); v != nil {
			old = decodeLane(v)
		}
	}
	e := laneEntry{kind: kind, hold: old.hold}
	if hold > 0 && t.now+hold > old.hold {
		e.hold = t.now + hold
		if err := t.tx.Bucket(bHold).Put(holdKey(uint64(e.hold), lane, seq), present); err != nil {
			return err
		}
	}
	t.changed = true
	if e.kind == laneFree && e.hold <= t.now {
		if err := b.Delete(key); err != nil {
			return err
		}
		return t.wakeLane(lane)
	}
	t.laneUsed = true
	if err := b.Put(key, encodeLane(e)); err != nil {
		return err
	}
	return t.wakeLane(lane)
}

// wakeLane makes the first event of a lane due that waits on disk behind nothing.
func (t *txn) wakeLane(lane uint64) error {
	t.lanes = append(t.lanes, lane)
	if seq, ok := firstFollower(t.tx, lane, t.now); ok && t.s.inflight[seq] == nil {
		return t.putDue(t.now, seq)
	}
	return nil
}

// wakeWaiters makes those due that waited for a key to be delivered.
func (t *txn) wakeWaiters(key []byte) error {
	if !t.waitUsed {
		return nil
	}
	h := hashKey(string(key))
	b := t.tx.Bucket(bWait)
	var woken []Seq
	c := b.Cursor()
	for k, v := c.Seek(h[:]); k != nil && string(k[:16]) == string(h[:]); k, v = c.Next() {
		if string(v) == string(waiting) {
			woken = append(woken, seqOf(k))
		}
	}
	for _, seq := range woken {
		if err := b.Put(waitKey(h, seq), satisfied); err != nil {
			return err
		}
		if err := t.putDue(t.now, seq); err != nil {
			return err
		}
	}
	return nil
}

// Feed. A value holds the outcomes of one commit; what a receipt tells is not
// repeated in it.

type feedProblem struct {
	Key     string   `json:"k"`
	Route   uint32   `json:"r"`
	Source  string   `json:"s,omitempty"`
	Kind    Kind     `json:"v,omitempty"`
	Job     string   `json:"j,omitempty"`
	Problem *Problem `json:"p"`
}

func (t *txn) feedTerminal(seq Seq, state State) {
	t.feed = binary.AppendUvarint(t.feed, uint64(seq))
	t.feed = append(t.feed, byte(state))
	t.feed = appendBytes(t.feed, nil)
	t.feedN++
	t.outcome = true
}

func (t *txn) feedProblem(seq Seq, h *recHeader, by stuckBy) {
	b, err := json.Marshal(feedProblem{Key: string(h.key), Route: h.route, Source: string(h.source), Kind: by.kind, Job: by.job, Problem: by.problem})
	if err != nil {
		b = nil // plain strings: it can't fail
	}
	t.feed = binary.AppendUvarint(t.feed, uint64(seq))
	t.feed = append(t.feed, byte(by.to))
	t.feed = appendBytes(t.feed, b)
	t.feedN++
	t.outcome = true
}

func (t *txn) putFeed() error {
	v := make([]byte, 0, 17+len(t.feed))
	v = append(v, jsonVersion)
	v = binary.BigEndian.AppendUint64(v, uint64(t.wall))
	v = binary.BigEndian.AppendUint64(v, uint64(t.now))
	v = append(v, t.feed...)
	b := appendBucket(t.tx, bFeed)
	if err := b.Put(u64key(t.num.Feed), v); err != nil {
		return err
	}
	t.num.Feed += t.feedN
	return nil
}
