package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// attempt is an unfinished attempt in memory.
type attempt struct {
	Attempt
	seqs    []Seq // still in flight, in the order of the claim
	lanes   map[Seq]uint64
	entries map[Seq]*entry // those that the window knows
}

func (t *txn) putAttempt(a Attempt) error {
	t.changed = true
	return t.tx.Bucket(bAttempt).Put([]byte(a.ID), encodeJSON(a))
}

func getAttempt(tx *bolt.Tx, id AttemptID) (a Attempt, err error) {
	v := tx.Bucket(bAttempt).Get([]byte(id))
	if v == nil {
		return a, ErrNotFound
	}
	return a, decodeJSON(v, &a)
}

// loadAttempts finds what was in flight when the store was closed.
func (s *Store) loadAttempts(tx *bolt.Tx) error {
	return tx.Bucket(bClaim).ForEach(func(k, v []byte) error {
		a := &attempt{lanes: map[Seq]uint64{}, entries: map[Seq]*entry{}}
		var err error
		if a.Attempt, err = getAttempt(tx, AttemptID(k)); err != nil {
			return fmt.Errorf("attempt %s: %w", k, err)
		}
		if a.seqs, err = decodeSeqs(v); err != nil {
			return fmt.Errorf("attempt %s: %w", k, err)
		}
		recs := tx.Bucket(bRec)
		for _, seq := range a.seqs {
			if h, err := decodeRec(recs.Get(seqKey(seq))); err == nil {
				a.lanes[seq] = h.lane
			}
		}
		s.adopt(a)
		return nil
	})
}

// adopt makes memory know an attempt.
func (s *Store) adopt(a *attempt) {
	s.attempts[a.ID] = a
	for _, seq := range a.seqs {
		s.inflight[seq] = a
		if lane := a.lanes[seq]; lane != 0 {
			s.busy[lane] = seq
		}
	}
}

// disown forgets that an event is in the hands of an attempt.
func (s *Store) disown(a *attempt, seq Seq) *entry {
	delete(s.inflight, seq)
	if lane := a.lanes[seq]; lane != 0 && s.busy[lane] == seq {
		delete(s.busy, lane)
	}
	e := a.entries[seq]
	delete(a.entries, seq)
	delete(a.lanes, seq)
	return e
}

// fenced checks that a term is the newest.
func (s *Store) fenced(t Term) error {
	if t.gen == 0 || t.gen != s.term.Load() {
		return ErrFenced
	}
	return nil
}

// Hold gives the right to dispatch and fences the holder before. Attempts that
// are unfinished count one more start, and every hold of a lane starts anew:
// what a former holder sent may still land.
func (s *Store) Hold(ctx context.Context) (Term, error) {
	gen := s.term.Load() + 1
	err := s.update(ctx, func(t *txn) error {
		t.changed = true
		for _, id := range slices.Sorted(maps.Keys(s.attempts)) {
			a := s.attempts[id]
			next := a.Attempt
			next.Starts++
			if s.crashed || gen > 1 { // a holder before this one is gone without a word
				next.Crashes++
			}
			if err := t.putAttempt(next); err != nil {
				return err
			}
			t.post = append(t.post, func() { a.Starts, a.Crashes = next.Starts, next.Crashes })
		}
		t.post = append(t.post, func() { s.crashed = false })
		t.wake = true
		t.post = append(t.post, func() { s.term.Store(gen) })
		return t.renewHolds()
	})
	if err != nil {
		return Term{}, fmt.Errorf("hold: %w", err)
	}
	return Term{gen}, nil
}

// renewHolds starts every hold anew.
func (t *txn) renewHolds() error {
	b := t.tx.Bucket(bHold)
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(u64key(uint64(t.now) + 1)); k != nil; k, _ = c.Next() {
		if string(k[:8]) >= string(u64key(uint64(t.now+t.s.opts.LateWindow))) {
			break // runs longer anyhow
		}
		keys = append(keys, slices.Clone(k)) // those that have ended stay so
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
		r := reader{b: k}
		_, lane, seq := r.u64(), r.u64(), Seq(r.u64())
		v := t.tx.Bucket(bLane).Get(pairKey(lane, seq))
		if v == nil {
			continue
		}
		if err := t.setLane(lane, seq, decodeLane(v).kind, t.s.opts.LateWindow); err != nil {
			return err
		}
	}
	return nil
}

// Unfinished returns the attempts that are not done, oldest first.
func (s *Store) Unfinished(ctx context.Context, term Term) ([]Attempt, error) {
	if err := s.fenced(term); err != nil {
		return nil, err
	}
	var list []Attempt
	err := s.view(ctx, func(*bolt.Tx) error {
		for _, a := range s.attempts {
			list = append(list, a.Attempt)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b Attempt) int { return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID)) })
	return list, err
}

// Events returns what an unfinished attempt still holds, in the order of its
// claim; ErrNotFound if it is done or unknown. Of an event that can't be read any
// more there is the Seq only.
func (s *Store) Events(ctx context.Context, id AttemptID) ([]Claimed, error) {
	var list []Claimed
	work := s.clock.work()
	err := s.view(ctx, func(tx *bolt.Tx) error {
		a := s.attempts[id]
		if a == nil {
			return ErrNotFound
		}
		for _, seq := range a.seqs {
			c, err := s.claimed(tx, seq, work)
			if errors.Is(err, errDecode) {
				c, err = Claimed{Seq: seq}, nil // Settle sets it aside
			}
			if err != nil {
				return fmt.Errorf("event %d: %w", seq, err)
			}
			list = append(list, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("events of attempt %s: %w", id, err)
	}
	return list, nil
}

// claimed reads an event for an attempt.
func (s *Store) claimed(tx *bolt.Tx, seq Seq, work time.Duration) (Claimed, error) {
	h, err := decodeRec(tx.Bucket(bRec).Get(seqKey(seq)))
	if err != nil {
		return Claimed{}, err
	}
	var n *note
	if v := tx.Bucket(bNote).Get(seqKey(seq)); v != nil {
		n = &note{}
		if err := decodeJSON(v, n); err != nil {
			return Claimed{}, fmt.Errorf("note: %w", err)
		}
	}
	return s.claimedOf(seq, &h, n, work), nil
}

func (s *Store) claimedOf(seq Seq, h *recHeader, n *note, work time.Duration) Claimed {
	c := Claimed{
		Seq: seq, Key: string(h.key), Source: string(h.source), Head: slices.Clone(h.head),
		Payload: slices.Clone(h.payload), Age: work - h.work, Restored: s.suspect(seq, n),
	}
	if c.Restored {
		c.Sent, c.FirstSent = true, microTime(h.accepted)
	}
	if n == nil {
		return c
	}
	if n.Sent {
		c.Sent, c.SentKey, c.FirstSent = true, n.SentKey, microTime(n.First)
	}
	c.Stale, c.OtherOrg = n.Stale, s.elsewhere(n)
	c.Attempts = n.Attempts
	if s.located(n) {
		c.Target = n.Target
	}
	c.Age = work - max(h.work, n.Work)
	if n.Edited {
		c.Payload = slices.Clone(n.Payload)
	}
	if n.Error != nil {
		p := n.Error.Problem
		c.FirstError = &p
	}
	return c
}

// Advance moves an attempt from one phase to a later one; from PhaseOpen to
// PhaseOpen with another JobID stands for a new job after the old one was seen
// dead. Already there with the same data is nil; anything else ErrTransition.
func (s *Store) Advance(ctx context.Context, term Term, id AttemptID, from, to Phase, d PhaseData) error {
	err := s.update(ctx, func(t *txn) error {
		if err := s.fenced(term); err != nil {
			return err
		}
		a := s.attempts[id]
		if a == nil {
			return t.notRunning(id)
		}
		next := a.Attempt
		if d.JobID != "" {
			next.JobID = d.JobID
		}
		if d.Note != "" {
			next.Note = d.Note
		}
		same := next.JobID == a.JobID && next.Note == a.Note
		if a.Phase == to && same {
			return nil
		}
		newJob := from == PhaseOpen && to == PhaseOpen && d.JobID != ""
		if a.Phase != from || to >= PhaseDone || to <= from && !newJob {
			return fmt.Errorf("%w: it is %s", ErrTransition, a.Phase)
		}
		next.Phase = to
		t.post = append(t.post, func() { a.Attempt = next })
		return t.putAttempt(next)
	})
	if err != nil {
		return fmt.Errorf("advance attempt %s from %s to %s: %w", id, from, to, err)
	}
	return nil
}

// notRunning tells a done attempt from an unknown one.
func (t *txn) notRunning(id AttemptID) error {
	a, err := getAttempt(t.tx, id)
	if err == nil {
		err = fmt.Errorf("%w: it is %s", ErrTransition, a.Phase)
	}
	return err
}

// Release gives everything back that an attempt still holds: pending, due at
// once, uncharged. It is ErrTransition from PhaseClosing on. Repeating it is nil.
func (s *Store) Release(ctx context.Context, term Term, id AttemptID, why string) error {
	err := s.update(ctx, func(t *txn) error {
		if err := s.fenced(term); err != nil {
			return err
		}
		a := s.attempts[id]
		if a == nil {
			_, err := getAttempt(t.tx, id)
			return err
		}
		if a.Phase >= PhaseClosing {
			return fmt.Errorf("%w: it is %s", ErrTransition, a.Phase)
		}
		back := make([]Outcome, len(a.seqs))
		for i, seq := range a.seqs {
			back[i] = Outcome{Seq: seq, Verdict: Again}
		}
		return t.settle(a, Settlement{Outcomes: back, Note: why})
	})
	if err != nil {
		return fmt.Errorf("release attempt %s: %w", id, err)
	}
	return nil
}

// Attempt returns one attempt, running or recent; ErrNotFound otherwise.
func (s *Store) Attempt(ctx context.Context, id AttemptID) (a Attempt, err error) {
	err = s.view(ctx, func(tx *bolt.Tx) error {
		a, err = getAttempt(tx, id)
		return err
	})
	if err != nil {
		return Attempt{}, fmt.Errorf("attempt %s: %w", id, err)
	}
	return a, nil
}

// Attempts lists running and recent attempts, newest first, limit at a time
// (at most 1,000); next is "" on the last page.
func (s *Store) Attempts(ctx context.Context, limit int, cursor string) (list []Attempt, next string, err error) {
	limit = pageLimit(limit)
	at, err := decodeCursor('a', cursor)
	if err != nil {
		return nil, "", err
	}
	err = s.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(bAttempt).Cursor()
		k, v := c.Last()
		if cursor != "" {
			if k, _ = c.Seek(at); k == nil {
				k, v = c.Last()
			} else {
				k, v = c.Prev()
			}
		}
		for ; k != nil; k, v = c.Prev() {
			if len(list) == limit {
				next = encodeCursor('a', []byte(list[limit-1].ID))
				return nil
			}
			var a Attempt
			if err := decodeJSON(v, &a); err != nil {
				return fmt.Errorf("attempt %s: %w", k, err)
			}
			list = append(list, a)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("list attempts: %w", err)
	}
	return list, next, nil
}

var errStop = errors.New("stop")
