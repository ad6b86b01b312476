package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bounds of one Sweep, which is called again while there is more.
const (
	sweepStep = 500
	saveEvery = 10 * time.Second // the clock
	tidyEvery = 10 * time.Second // the attempts
)

// keepAttempts is how many recent attempts are kept beside the unfinished ones; a
// test makes them few.
var keepAttempts = 10_000

// Sweep does what time asks for: ends holds, fails what has expired, forgets
// receipts and outcomes past the dedup window, and saves the store's clock. Its
// work a call is bounded; more says that it wants to be called again at once.
func (s *Store) Sweep(ctx context.Context, term Term) (more bool, err error) {
	steps := []struct {
		name string
		step func(*txn) (bool, error)
	}{
		{"set aside what can't be read", (*txn).sweepBad},
		{"end holds", (*txn).sweepHolds},
		{"expire events", (*txn).sweepExpiry},
		{"drop times that passed", (*txn).sweepDue},
		{"spill followers", (*txn).spill},
		{"forget outcomes", (*txn).sweepFeed},
		{"close a slice", (*txn).sweepOpen},
		{"forget receipts", (*txn).sweepSlice},
		{"look whether there is room again", (*txn).sweepRoom},
		{"forget attempts", (*txn).sweepAttempts},
		{"save the clock", (*txn).sweepClock},
	}
	for _, x := range steps {
		err := s.update(ctx, func(t *txn) error {
			if err := s.fenced(term); err != nil {
				return err
			}
			again, err := x.step(t)
			more = more || again
			return err
		})
		if err != nil && !errors.Is(err, ErrFull) {
			return false, fmt.Errorf("sweep: %s: %w", x.name, err)
		}
	}
	return more, nil
}

// sweepBad lists records as failed that the look-ahead could not decode.
func (t *txn) sweepBad() (bool, error) {
	bad := t.s.win.bad[:min(len(t.s.win.bad), sweepStep)]
	for _, seq := range bad {
		v := t.tx.Bucket(bRec).Get(seqKey(seq))
		_, err := decodeRec(v)
		if v == nil || err == nil || t.s.inflight[seq] != nil || t.tx.Bucket(bStuck).Get(seqKey(seq)) != nil {
			continue
		}
		route, lane := recNames(v)
		if int(route) >= len(t.s.routes) {
			continue // not even its route is left; check lists it
		}
		if err := t.quarantine(seq, route, lane, Pending, err); err != nil {
			return false, err
		}
	}
	t.post = append(t.post, func() { t.s.win.bad = t.s.win.bad[len(bad):] })
	return len(bad) == sweepStep, nil
}

// sweepHolds removes holds that have ended.
func (t *txn) sweepHolds() (bool, error) {
	b := t.tx.Bucket(bHold)
	keys := keysUpTo(b, uint64(t.now), sweepStep)
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return false, err
		}
		r := reader{b: k}
		_, lane, seq := r.u64(), r.u64(), Seq(r.u64())
		t.changed = true
		v := t.tx.Bucket(bLane).Get(pairKey(lane, seq))
		if v == nil {
			continue
		}
		e := decodeLane(v)
		if e.hold > t.now {
			continue // it was prolonged
		}
		if err := t.setLane(lane, seq, e.kind, 0); err != nil {
			return false, err
		}
	}
	return len(keys) == sweepStep, nil
}

// keysUpTo copies the first keys of a time index, of times up to now.
func keysUpTo(b *bolt.Bucket, now uint64, max int) (keys [][]byte) {
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(keys) < max && binary.BigEndian.Uint64(k) <= now; k, _ = c.Next() {
		keys = append(keys, slices.Clone(k))
	}
	return keys
}

// sweepExpiry fails pending events that have expired. Those in flight are looked
// at when they come back, and those of a restored store once it is accepted: only
// then it is known which of them may have been sent.
func (t *txn) sweepExpiry() (bool, error) {
	if t.facts.Restored {
		return false, nil
	}
	b := t.tx.Bucket(bExpiry)
	keys := keysUpTo(b, uint64(t.wall), sweepStep)
	for _, k := range keys {
		t.changed = true
		if err := b.Delete(k); err != nil {
			return false, err
		}
		if err := t.expire(seqOf(k)); err != nil {
			return false, err
		}
	}
	return len(keys) == sweepStep, nil
}

func (t *txn) expire(seq Seq) error {
	x, err := t.load(seq)
	if errors.Is(err, ErrTransition) || errors.Is(err, errDecode) {
		return nil
	}
	if err != nil {
		return err
	}
	if x.state != Pending || x.n.NoExpiry {
		return nil
	}
	t.wake = true
	return t.failPending(seq, &x.h, x.n, t.expired(seq, &x.h, x.n))
}

// sweepDue deletes times that have passed and whose events are not waiting any
// more: they are in flight, ended, stuck, or have another time.
func (t *txn) sweepDue() (bool, error) {
	n := 0
	for _, x := range [...]struct {
		name []byte
		upTo []byte
	}{{bDue, t.s.win.due}, {bWdue, t.s.win.wdue}} {
		b := t.tx.Bucket(x.name)
		var stale [][]byte
		c := b.Cursor()
		for k, _ := c.First(); k != nil && len(stale) < sweepStep && string(k) <= string(x.upTo); k, _ = c.Next() {
			if t.s.win.aside[seqOf(k)] == nil {
				stale = append(stale, slices.Clone(k))
			}
		}
		for _, k := range stale {
			t.changed = true
			if err := b.Delete(k); err != nil {
				return false, err
			}
		}
		n = max(n, len(stale))
	}
	return n == sweepStep, nil
}

// spill sets followers aside on disk that wait for something on disk, where they
// fill a stream's window: others behind them get their turn. The same goes for
// those that all others have left far behind: they would hold the low mark, and
// with it the index of everything since.
func (t *txn) spill() (bool, error) {
	s, spilled := t.s, map[*entry]bool{}
	for _, st := range s.win.order {
		crowded := st.live >= windowSize*3/4
		for _, e := range st.entries {
			if !crowded && st.scanned-e.seq < Seq(windowSize) {
				break
			}
			if len(spilled) == sweepStep {
				return true, nil
			}
			waits := e.prev == nil || spilled[e.prev]
			if e.state != entryFollower || !waits || !t.blocked(e.lane, e.seq) {
				continue
			}
			spilled[e] = true
			t.laneUsed, t.changed = true, true
			if err := t.tx.Bucket(bLane).Put(pairKey(e.lane, e.seq), encodeLane(laneEntry{kind: laneFollower})); err != nil {
				return false, err
			}
			t.post = append(t.post, func() { s.win.leave(e) })
			t.wake = true
		}
	}
	return false, nil
}

// sweepFeed forgets outcomes past the window.
func (t *txn) sweepFeed() (bool, error) {
	b := t.tx.Bucket(bFeed)
	c := b.Cursor()
	var old [][]byte
	k, v := c.First()
	for ; k != nil && len(old) < sweepStep; k, v = c.Next() {
		if len(v) < 17 || time.Duration(binary.BigEndian.Uint64(v[9:]))+t.s.opts.DedupWindow > t.now {
			break
		}
		old = append(old, slices.Clone(k))
	}
	if len(old) == 0 {
		return false, nil
	}
	t.changed = true
	t.num.FeedGone = t.num.Feed
	if k != nil {
		t.num.FeedGone = binary.BigEndian.Uint64(k)
	}
	for _, k := range old {
		if err := b.Delete(k); err != nil {
			return false, err
		}
	}
	return len(old) == sweepStep, nil
}

// sweepOpen closes the open slice when it has been so for its part of the
// window, so that its receipts can leave in time.
func (t *txn) sweepOpen() (bool, error) {
	sl := t.s.keys.open()
	if sl == nil || len(sl.keys) == 0 || t.now-sl.opened < t.s.sliceSpan() {
		return false, nil
	}
	t.post = append(t.post, func() { t.s.sortRun(sl) })
	return false, t.closeSlice(sl, sl.last)
}

// sweepSlice forgets the receipts of one slice that is past the window. Keys of
// events that are not terminal stay, and so do receipts that are waited for.
func (t *txn) sweepSlice() (bool, error) {
	for _, sl := range t.s.keys.slices {
		if !sl.closed || sl.keys != nil || sl.lastEnd+t.s.opts.DedupWindow > t.now {
			continue
		}
		if len(sl.tally) == 0 && t.hasRecords(sl) {
			continue
		}
		return true, t.forget(sl)
	}
	return false, nil
}

func (t *txn) hasRecords(sl *slice) bool {
	k, _ := t.tx.Bucket(bRec).Cursor().Seek(seqKey(sl.first))
	return k != nil && seqOf(k) <= sl.last
}

func (t *txn) forget(sl *slice) error {
	t.changed = true
	keep, waited, err := t.kept(sl)
	if err != nil {
		return err
	}
	tally := map[uint32]Counts{}
	for seq, v := range waited {
		r, err := decodeReceipt(v)
		if err != nil {
			return fmt.Errorf("event %d: %w", seq, err)
		}
		c := tally[r.route]
		c[r.state]++
		tally[r.route] = c
	}
	for route, c := range sl.tally {
		for _, st := range States {
			if gone := c[st] - tally[route][st]; gone != 0 {
				t.count(t.s.routes[route].Object, st, 0, gone)
				t.num.Forgotten += gone
			}
		}
	}
	if err := t.keepReceipts(sl.first, waited); err != nil {
		return err
	}
	if len(keep) == 0 {
		t.post = append(t.post, func() { t.s.keys.drop(sl) })
		return errors.Join(deleteNested(t.tx.Bucket(bKrun), sl.first), t.tx.Bucket(bSlice).Delete(seqKey(sl.first)))
	}
	run, _ := buildRun(sl.first, keep) // its filter may say perhaps of those that left
	if err := putRun(t.tx.Bucket(bKrun), sl.first, run); err != nil {
		return err
	}
	edited := *sl
	edited.lastEnd, edited.tally = t.now, tally
	t.post = append(t.post, func() { sl.lastEnd, sl.tally = edited.lastEnd, tally })
	return edited.put(t.tx)
}

// kept finds the keys of a slice that must stay: of events that are not
// terminal, and of receipts that somebody waits for.
func (t *txn) kept(sl *slice) (keep map[keyHash]Seq, waited map[Seq][]byte, err error) {
	keep, waited = map[keyHash]Seq{}, map[Seq][]byte{}
	live := map[Seq]bool{}
	c := t.tx.Bucket(bRec).Cursor()
	for k, v := c.Seek(seqKey(sl.first)); k != nil && seqOf(k) <= sl.last; k, v = c.Next() {
		live[seqOf(k)] = true
		if h, err := decodeRec(v); err == nil {
			keep[hashKey(string(h.key))] = seqOf(k)
		}
	}
	// Unreadable records are found by their place in the run.
	err = eachOfRun(t.tx.Bucket(bKrun), sl.first, func(h keyHash, seq Seq) {
		if live[seq] {
			keep[h] = seq
		}
	})
	if err != nil {
		return nil, nil, err
	}
	receipts := t.tx.Bucket(bReceipt).Bucket(seqKey(sl.first))
	if receipts == nil || !t.waitUsed {
		return keep, waited, nil
	}
	c = t.tx.Bucket(bWait).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		h := keyHash(k)
		seq, ok := t.s.keys.lookup(t.tx, h)
		if !ok || t.s.keys.of(seq) != sl {
			continue
		}
		if v := receipts.Get(seqKey(seq)); v != nil {
			keep[h], waited[seq] = seq, slices.Clone(v)
		}
	}
	return keep, waited, nil
}

func (t *txn) keepReceipts(first Seq, waited map[Seq][]byte) error {
	b := t.tx.Bucket(bReceipt)
	if err := deleteNested(b, first); err != nil {
		return err
	}
	if len(waited) == 0 {
		return nil
	}
	nested, err := b.CreateBucket(seqKey(first))
	if err != nil {
		return err
	}
	for seq, v := range waited {
		if err := nested.Put(seqKey(seq), v); err != nil {
			return err
		}
	}
	return nil
}

// sweepClock saves the store's clock now and then, where no other commit does.
func (t *txn) sweepClock() (bool, error) {
	t.changed = t.now-t.num.Clock >= saveEvery
	return false, nil
}

// sweepAttempts drops attempts that are no longer recent. It passes over those
// that are, so it looks for others only now and then.
func (t *txn) sweepAttempts() (bool, error) {
	if t.now < t.s.tidyAt {
		return false, nil
	}
	b := t.tx.Bucket(bAttempt)
	var keys [][]byte
	c := b.Cursor()
	n := 0
	for k, _ := c.Last(); k != nil && len(keys) < sweepStep; k, _ = c.Prev() {
		if n++; n > keepAttempts && t.s.attempts[AttemptID(k)] == nil {
			keys = append(keys, slices.Clone(k))
		}
	}
	for _, k := range keys {
		t.changed = true
		if err := b.Delete(k); err != nil {
			return false, err
		}
	}
	if len(keys) == sweepStep {
		return true, nil
	}
	t.s.tidyAt = t.now + tidyEvery
	return false, nil
}
