package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Bounds of a group of puts that commit together.
const (
	maxGroupEvents = 1 << 13
	maxGroupBytes  = 16 << 20
	// ampleGroup is so many events that a commit is waited with for no more: they
	// bear its costs, and large puts are quickest when one is read while another commits.
	ampleGroup = 128
)

// op is one transaction, or one put that may share one with others.
type op struct {
	put    *putOp
	change func(t *txn) error      // a transaction of its own
	look   func(tx *bolt.Tx) error // reads only, in the writer's turn
	done   chan error              // buffered by one; answered after the last sync
}

// submit hands an op to the writer and waits for its end.
func (s *Store) submit(ctx context.Context, o *op) error {
	if s.opts.ReadOnly {
		return fmt.Errorf("%w: opened read-only", ErrUnavailable)
	}
	if s.Err() != nil {
		return errFailed
	}
	o.done = make(chan error, 1)
	select {
	case s.ops <- o:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case <-s.stop:
		return ErrClosed
	case <-s.failed:
		return errFailed
	}
	// Once queued it will be decided soon, by a commit or by the writer's end.
	select {
	case err := <-o.done:
		return err
	case <-s.done:
		select {
		case err := <-o.done:
			return err
		default: // the writer never took it
			if s.Err() != nil {
				return errFailed
			}
			return ErrClosed
		}
	}
}

// update runs one change as a transaction of its own.
func (s *Store) update(ctx context.Context, change func(t *txn) error) error {
	return s.submit(ctx, &op{change: change})
}

// write is the writer: it runs until Close or a commit of unknown outcome. It
// keeps to one thread so that faults injected by thread hit what they mean.
func (s *Store) write() {
	defer close(s.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var next *op
	for {
		o := next
		next = nil
		if o == nil {
			select {
			case o = <-s.ops:
			case <-s.stop:
				return
			}
		}
		if o.put != nil {
			next = s.commitPuts(o)
		} else {
			o.done <- s.run(o)
		}
		if s.Err() != nil {
			return
		}
	}
}

// commitPuts gathers the puts that wait and commits them together. It returns
// an op that is not one of them, if it met one.
func (s *Store) commitPuts(first *op) (next *op) {
	g := gathering{ops: []*op{first}, events: len(first.put.events), size: first.put.size}
	g.take(s.ops)
	// Who was answered by the commit before is about to put again, if it is quick:
	// let it, as long as more come at each turn. Else the others commit meanwhile,
	// and all writers take turns in two halves, with two commits for one.
	for before := 0; before < len(g.ops) && len(g.ops) < s.crowd && g.events < ampleGroup && g.next == nil; {
		before = len(g.ops)
		runtime.Gosched()
		g.take(s.ops)
	}
	err := s.persist(func(t *txn) error { return t.puts(g.ops) }, s.lengthen)
	s.crowd = len(g.ops) + len(s.ops)
	for _, o := range g.ops {
		if err != nil {
			o.put.refuse(err, s.num.Next)
		}
		o.done <- unlessFull(err)
	}
	return g.next
}

// gathering is the puts of one commit, and the op behind them that is none.
type gathering struct {
	ops          []*op
	events, size int
	next         *op
}

// take takes what waits, as much as may commit together.
func (g *gathering) take(ops <-chan *op) {
	for g.next == nil && g.events < maxGroupEvents && g.size < maxGroupBytes {
		select {
		case o := <-ops:
			if o.put == nil {
				g.next = o
				return
			}
			g.ops = append(g.ops, o)
			g.events += len(o.put.events)
			g.size += o.put.size
		default:
			return
		}
	}
}

// unlessFull: a full outbox is the answer for each event, not an error of the call.
func unlessFull(err error) error {
	if errors.Is(err, ErrFull) {
		return nil
	}
	return err
}

func (s *Store) run(o *op) error {
	if o.look != nil {
		return s.db.View(o.look)
	}
	return s.persist(o.change, s.makeRoom)
}

// persist commits f, and again for as long as it finds no room and some was made.
func (s *Store) persist(f func(t *txn) error, makeRoom func(why error) bool) error {
	s.disk.look()
	err := s.commit(f)
	for errors.Is(err, ErrFull) && makeRoom(err) {
		err = s.commit(f)
	}
	return err
}

// commit runs f in a transaction and, when it is durable, lets memory follow.
func (s *Store) commit(f func(t *txn) error) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	t := s.newTxn(tx)
	if err := f(t); err != nil {
		return t.rollback(err)
	}
	if !t.changed {
		return t.rollback(nil)
	}
	if err := t.finish(); err != nil {
		return t.rollback(err)
	}
	if err := t.extend(slack * s.pageSize()); err != nil && !errors.Is(err, ErrFull) {
		return t.rollback(err)
	}
	id := tx.ID()
	if err := tx.Commit(); err != nil {
		t.takeBack()
		return s.commitError(err, id-1)
	}
	s.commits.Add(1)
	stats := tx.Stats()
	s.written.Add(stats.GetPageAlloc() + s.pageSize()) // its new pages, and the meta page
	t.apply(id)
	return nil
}

// rollback ends a transaction that changes nothing, and returns why.
func (t *txn) rollback(why error) error {
	t.takeBack()
	if err := t.tx.Rollback(); err != nil {
		return errors.Join(why, err)
	}
	return why
}

// takeBack undoes what memory learnt within the transaction.
func (t *txn) takeBack() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
}

// commitError tells a clean failure from an unknown one. Clean are the file's
// length, and a full disk met by a write, never by a sync, after which readers
// still see the transaction before.
func (s *Store) commitError(err error, before int) error {
	short := errors.Is(err, berrors.ErrMaxSizeReached)
	if !short && !(isWrite(err) && isNoRoom(err)) {
		return s.fail(err)
	}
	seen := -1
	if viewErr := s.db.View(func(tx *bolt.Tx) error { seen = tx.ID(); return nil }); viewErr != nil || seen != before {
		return s.fail(err)
	}
	if short && s.length >= s.opts.MaxSize {
		s.setFull(FullSize)
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	s.setFull(FullDisk)
	return diskFull(err)
}

// setFull says why new events are refused; "" if they are not.
func (s *Store) setFull(why Fullness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.full == why:
		return
	case why == "":
		s.log.Info("new events are accepted again")
	case why == FullSize:
		s.log.Warn("new events are refused: the outbox is at its size limit", "max_bytes", s.opts.MaxSize)
	case why == FullDisk:
		d := s.disk.state()
		s.log.Error("new events are refused: the disk is full; free room on its file system",
			"path", s.path, "free_bytes", d.FreeBytes, "needed_bytes", d.NeedBytes)
	}
	s.full = why
}

// txn is a transaction with what it is about to change in memory.
type txn struct {
	s       *Store
	tx      *bolt.Tx
	now     time.Duration // store clock
	work    time.Duration // work clock
	wall    int64         // µs
	changed bool

	num      numbers
	facts    Facts
	counts   map[string]Counts // changes by object
	slices   map[*slice]*sliceRec
	feed     []byte
	feedN    uint64
	post     []func() // under the store's lock, after the commit
	undo     []func() // the same, if there is none
	laneUsed bool     // the lane index has entries
	noteUsed bool
	waitUsed bool
	lanes    []uint64 // to be looked at again after the commit
	wake     bool
	outcome  bool
}

func (s *Store) newTxn(tx *bolt.Tx) *txn {
	return &txn{
		s: s, tx: tx, now: s.clock.now(), work: s.clock.work(), wall: s.clock.wall().UnixMicro(),
		num: s.num, facts: s.facts, counts: map[string]Counts{}, slices: map[*slice]*sliceRec{},
		laneUsed: !empty(tx.Bucket(bLane)), noteUsed: !empty(tx.Bucket(bNote)), waitUsed: !empty(tx.Bucket(bWait)),
	}
}

// count moves n events of an object from one state to another; 0 is outside.
func (t *txn) count(object string, from, to State, n int64) {
	c := t.counts[object]
	if from != 0 {
		c[from] -= n
	}
	if to != 0 {
		c[to] += n
	}
	t.counts[object] = c
	t.changed = true
}

// slice returns the editable record of the slice that holds a seq.
func (t *txn) slice(seq Seq) (*slice, *sliceRec) {
	sl := t.s.keys.of(seq)
	if sl == nil {
		return nil, nil
	}
	rec := t.slices[sl]
	if rec == nil {
		rec = &sliceRec{LastEnd: sl.lastEnd, Tally: maps.Clone(sl.tally)}
		t.slices[sl] = rec
	}
	return sl, rec
}

// finish writes what the changes of the transaction add up to.
func (t *txn) finish() error {
	if err := t.putCounts(); err != nil {
		return err
	}
	for sl, rec := range t.slices {
		edited := *sl
		edited.lastEnd, edited.tally = rec.LastEnd, rec.Tally
		if err := edited.put(t.tx); err != nil {
			return err
		}
	}
	if t.feedN > 0 {
		if err := t.putFeed(); err != nil {
			return err
		}
	}
	if t.facts != t.s.facts {
		v, err := json.Marshal(t.facts)
		if err != nil {
			return err
		}
		if err := t.tx.Bucket(bMeta).Put(kFacts, v); err != nil {
			return err
		}
	}
	t.num.Clock, t.num.Idle = t.s.clock.saved()
	return putNumbers(t.tx, t.num)
}

func (t *txn) putCounts() error {
	b := t.tx.Bucket(bCount)
	for object, d := range t.counts {
		c, err := decodeCounts(b.Get([]byte(object)))
		if err != nil {
			return fmt.Errorf("counts of %s: %w", object, err)
		}
		for i := range c {
			c[i] += d[i]
		}
		if err := b.Put([]byte(object), encodeCounts(c)); err != nil {
			return err
		}
	}
	return nil
}

func encodeCounts(c Counts) []byte {
	b := make([]byte, 0, 8*len(States))
	for _, s := range States {
		b = binary.BigEndian.AppendUint64(b, uint64(c[s]))
	}
	return b
}

func decodeCounts(v []byte) (c Counts, err error) {
	if v == nil {
		return c, nil
	}
	r := reader{b: v}
	for _, s := range States {
		c[s] = int64(r.u64())
	}
	if r.bad {
		return c, errDecode
	}
	return c, nil
}

// apply lets memory follow a commit.
func (t *txn) apply(id int) {
	s := t.s
	s.mu.Lock()
	s.applied = id
	s.num, s.facts = t.num, t.facts
	for sl, rec := range t.slices {
		sl.lastEnd, sl.tally = rec.LastEnd, rec.Tally
	}
	for _, f := range t.post {
		f()
	}
	for _, lane := range t.lanes {
		s.win.wake(lane)
	}
	s.mu.Unlock()
	if t.wake || len(t.lanes) > 0 {
		s.signalReady()
	}
	if t.outcome {
		s.notify()
	}
}
