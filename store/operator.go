package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Retry makes a failed event pending again: attempts are counted anew, its age
// begins now and its expiry falls away. With an Edit its payload is replaced, and
// it is due once nothing of the old one can arrive any more (late window).
// Errors: ErrNotFound, ErrTransition, ErrSuperseded, ErrConflict.
func (s *Store) Retry(ctx context.Context, key string, m Move, e *Edit) (Record, error) {
	return s.move(ctx, "retry", key, m, func(t *txn, x *moved) error { return t.retry(x, m, e) })
}

// Drop gives up an event that is failed, or pending and in no attempt's hands.
// Who waits for it stays blocked. Errors: ErrNotFound, ErrTransition.
func (s *Store) Drop(ctx context.Context, key string, m Move) (Record, error) {
	return s.move(ctx, "drop", key, m, func(t *txn, x *moved) error { return t.drop(x, m) })
}

// Resolve ends a doubt: the event is delivered, or pending again.
// Errors: ErrNotFound, ErrTransition, ErrSuperseded.
func (s *Store) Resolve(ctx context.Context, key string, m Move, r Resolution) (Record, error) {
	return s.move(ctx, "resolve", key, m, func(t *txn, x *moved) error { return t.resolve(x, m, r) })
}

// Verify ends a doubt by what was found at the org; ErrTransition if the event
// is not in doubt any more, ErrSuperseded if it may not be sent again.
func (s *Store) Verify(ctx context.Context, term Term, seq Seq, r Resolution) error {
	err := s.update(ctx, func(t *txn) error {
		if err := s.fenced(term); err != nil {
			return err
		}
		x, err := t.load(seq)
		if err != nil {
			return err
		}
		return t.resolve(x, Move{By: "verification"}, r)
	})
	if err != nil {
		return fmt.Errorf("verify event %d: %w", seq, err)
	}
	return nil
}

// moved is the event of an operator's move.
type moved struct {
	seq   Seq
	h     recHeader
	n     *note
	state State
}

func (s *Store) move(ctx context.Context, what, key string, m Move, change func(*txn, *moved) error) (Record, error) {
	err := s.update(ctx, func(t *txn) error {
		seq, ok := s.keys.lookup(t.tx, hashKey(key))
		if !ok {
			return ErrNotFound
		}
		if t.repeated(seq, m) {
			return nil
		}
		x, err := t.load(seq)
		if err != nil {
			return err
		}
		if len(x.h.key) == 0 {
			x.h.key = []byte(key) // unreadable record
		}
		return change(t, x)
	})
	if err != nil {
		return Record{}, fmt.Errorf("%s %q: %w", what, key, err)
	}
	return s.Get(ctx, key)
}

// repeated reports whether the newest move of an event is this one.
func (t *txn) repeated(seq Seq, m Move) bool {
	if m.ID == "" {
		return false
	}
	if n, err := getNote(t.tx, seq); err == nil && n != nil {
		return n.Move == m.ID
	}
	if r, err := t.s.receipt(t.tx, seq); err == nil {
		n, err := r.notes()
		return err == nil && n.Move == m.ID
	}
	return false
}

// load reads an event that is not terminal.
func (t *txn) load(seq Seq) (*moved, error) {
	v := t.tx.Bucket(bRec).Get(seqKey(seq))
	if v == nil {
		return nil, fmt.Errorf("%w: it is %s", ErrTransition, t.ended(seq))
	}
	x := &moved{seq: seq, state: Pending}
	var err error
	if x.n, err = getNote(t.tx, seq); err != nil {
		return nil, err
	}
	if x.n == nil {
		x.n = &note{State: Pending}
	} else {
		x.state = x.n.State
	}
	if t.s.inflight[seq] != nil {
		x.state = Inflight
	}
	if x.h, err = decodeRec(v); err != nil {
		e, stuckErr := decodeStuck(t.tx.Bucket(bStuck).Get(seqKey(seq)))
		if stuckErr != nil {
			return nil, err
		}
		x.h = recHeader{route: e.route, lane: e.lane, source: []byte(e.source), key: slices.Clone(recKey(v))}
	}
	return x, nil
}

func (t *txn) ended(seq Seq) State {
	r, err := t.s.receipt(t.tx, seq)
	if err != nil {
		return 0
	}
	return r.state
}

func (t *txn) retry(x *moved, m Move, e *Edit) error {
	if x.state != Failed {
		return fmt.Errorf("%w: it is %s", ErrTransition, x.state)
	}
	if err := t.notSuperseded(x); err != nil {
		return err
	}
	var old []byte
	if e != nil {
		if e.Rev != x.n.Rev {
			return ErrConflict
		}
		x.n.Stale = x.n.Stale || x.n.Sent || t.s.suspect(x.seq, x.n)
		x.n.Edited, x.n.Payload, old = true, e.Payload, e.Old
	}
	x.n.Attempts, x.n.NoExpiry, x.n.Work = 0, true, t.work
	x.n.RESTOnly, x.n.MaxBatch = false, 0
	due := t.now
	if x.n.Edited {
		due = max(due, t.heldUntil(x))
	}
	return t.backToPending(x, m, old, due)
}

// heldUntil is when the hold ends that an event puts on its lane; 0 without one.
func (t *txn) heldUntil(x *moved) time.Duration {
	if x.h.lane == 0 {
		return 0
	}
	v := t.tx.Bucket(bLane).Get(pairKey(x.h.lane, x.seq))
	if v == nil {
		return 0
	}
	return decodeLane(v).hold
}

// notSuperseded checks that no follower of an event's lane was sent.
func (t *txn) notSuperseded(x *moved) error {
	if x.h.lane == 0 {
		return nil
	}
	v := t.tx.Bucket(bLane).Get(pairKey(x.h.lane, x.seq))
	if v != nil && decodeLane(v).kind == laneSuperseded {
		return ErrSuperseded
	}
	return nil
}

func (t *txn) backToPending(x *moved, m Move, old []byte, due time.Duration) error {
	n := x.n
	n.log(transition{At: t.wall, From: n.State, To: Pending, By: m.By, Old: old})
	t.count(t.object(&x.h), n.State, Pending, 1)
	n.State, n.Since, n.Matches = Pending, 0, nil
	n.Due, n.DueWork = due, t.work+due-t.now
	n.Move = m.ID
	n.Rev++
	if err := t.tx.Bucket(bStuck).Delete(seqKey(x.seq)); err != nil {
		return err
	}
	if err := t.putNote(x.seq, n); err != nil {
		return err
	}
	if err := t.putDue(n.Due, x.seq); err != nil {
		return err
	}
	t.outcome = true
	if err := t.expiresAgain(x.seq, &x.h, n); err != nil {
		return err
	}
	return t.setLane(x.h.lane, x.seq, laneAside, 0)
}

func (t *txn) drop(x *moved, m Move) error {
	if x.state != Failed && x.state != Pending {
		return fmt.Errorf("%w: it is %s", ErrTransition, x.state)
	}
	n := x.n
	n.log(transition{At: t.wall, From: x.state, To: Dropped, By: m.By})
	n.Move = m.ID
	n.Rev++
	r := receipt{state: Dropped, attempts: n.Attempts, kind: n.Kind, attempt: n.Attempt, job: []byte(n.Job), sent: n.SentAt, orgs: n.Orgs}
	return t.end(x, r)
}

// end turns an event that no attempt holds into its receipt.
func (t *txn) end(x *moved, r receipt) error {
	if err := t.terminal(x.seq, &x.h, x.n, r, x.state); err != nil {
		return err
	}
	if err := t.tx.Bucket(bStuck).Delete(seqKey(x.seq)); err != nil {
		return err
	}
	t.wake = true
	t.leaveWindow(&x.h, x.seq)
	return t.setLane(x.h.lane, x.seq, laneFree, 0)
}

func (t *txn) resolve(x *moved, m Move, r Resolution) error {
	if x.state != InDoubt {
		return fmt.Errorf("%w: it is %s", ErrTransition, x.state)
	}
	n := x.n
	if r.Open {
		n.Matches = r.Matches
		return t.putNote(x.seq, n)
	}
	if !r.Delivered {
		if err := t.notSuperseded(x); err != nil {
			return err
		}
		n.Sent, n.SentKey, n.OtherOrg, n.First, n.Stale, n.Absent = false, "", false, 0, false, t.num.SentBelow
		return t.backToPending(x, m, nil, t.now)
	}
	n.log(transition{At: t.wall, From: InDoubt, To: Delivered, By: m.By})
	n.Move = m.ID
	n.Rev++
	key := slices.Clone(x.h.key)
	err := t.end(x, receipt{
		state: Delivered, id: []byte(r.ID), attempts: n.Attempts, kind: n.Kind,
		attempt: n.Attempt, job: []byte(n.Job), sent: n.SentAt, orgs: n.Orgs,
	})
	if err != nil {
		return err
	}
	return t.wakeWaiters(key)
}

// moveStep bounds the events that one transaction moves.
const moveStep = 256

// RetryMany retries the failed ones among the stuck events that a filter
// selects; matched counts all of them. With dryRun nothing changes, and changed
// is what would have.
func (s *Store) RetryMany(ctx context.Context, f Filter, m Move, dryRun bool) (matched, changed int64, err error) {
	return s.moveMany(ctx, f, dryRun, func(t *txn, x *moved) error { return t.retry(x, m, nil) })
}

// DropMany drops the failed and pending ones among the stuck events that a
// filter selects.
func (s *Store) DropMany(ctx context.Context, f Filter, m Move, dryRun bool) (matched, changed int64, err error) {
	return s.moveMany(ctx, f, dryRun, func(t *txn, x *moved) error { return t.drop(x, m) })
}

func (s *Store) moveMany(ctx context.Context, f Filter, dryRun bool, change func(*txn, *moved) error) (matched, changed int64, err error) {
	seqs, err := s.stuckSeqs(ctx, f)
	if err != nil {
		return 0, 0, err
	}
	matched = int64(len(seqs))
	for part := range slices.Chunk(seqs, moveStep) {
		n := int64(0)
		err := s.update(ctx, func(t *txn) error {
			n = 0
			for _, seq := range part {
				ok, err := t.tryMove(seq, change)
				if err != nil {
					return err
				}
				n += int64(b2u(ok))
			}
			if dryRun {
				return errDryRun
			}
			return nil
		})
		if err != nil && !errors.Is(err, errDryRun) {
			return matched, changed, err
		}
		changed += n
	}
	return matched, changed, nil
}

// stuckSeqs collects what a filter selects; the listing's pages are followed.
func (s *Store) stuckSeqs(ctx context.Context, f Filter) ([]Seq, error) {
	var seqs []Seq
	err := s.view(ctx, func(tx *bolt.Tx) error {
		var err error
		seqs, err = s.stuckMatching(tx, f)
		return err
	})
	return seqs, err
}

var errDryRun = errors.New("dry run")

// tryMove moves one event if its state allows it.
func (t *txn) tryMove(seq Seq, change func(*txn, *moved) error) (bool, error) {
	x, err := t.load(seq)
	if err == nil {
		err = change(t, x)
	}
	switch {
	case errors.Is(err, ErrTransition), errors.Is(err, ErrSuperseded), errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("event %d: %w", seq, err)
	}
	return true, nil
}
