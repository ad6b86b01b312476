package store

import (
	"context"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// maxViolations bounds what Check lists; a damaged store has more than anybody reads.
const maxViolations = 100

// Check goes through the whole store and verifies every invariant: pages,
// records, counts (I6), the conservation law, and that every event is in one
// place from where it goes on. An empty list is a sound store.
func (s *Store) Check(ctx context.Context) ([]Violation, error) {
	c := &checker{s: s}
	err := s.inTurn(ctx, func(tx *bolt.Tx) error {
		c.reading = s.newReading(tx)
		for err := range tx.Check() {
			c.add("layout", "page: %v", err)
		}
		for _, step := range [...]func(){c.wakes, c.records, c.receipts, c.keys, c.asides, c.claims, c.sums} {
			step()
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return c.found, nil
}

// inTurn reads while no transaction is being written: bbolt's own check looks at
// pages that one might be about to change.
func (s *Store) inTurn(ctx context.Context, f func(tx *bolt.Tx) error) error {
	if s.opts.ReadOnly {
		return s.view(ctx, f)
	}
	return s.submit(ctx, &op{look: func(tx *bolt.Tx) error {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return f(tx)
	}})
}

type checker struct {
	*reading
	s      *Store
	found  []Violation
	counts map[string]Counts
	due    map[Seq]bool
	live   int64
	ended  int64
}

func (c *checker) add(invariant, format string, args ...any) {
	if len(c.found) < maxViolations {
		c.found = append(c.found, Violation{invariant, fmt.Sprintf(format, args...)})
	}
}

// records counts live events and asks of each that it can be read, is known by
// its key, and is somewhere from where it goes on.
func (c *checker) records() {
	c.counts = map[string]Counts{}
	cur := c.tx.Bucket(bRec).Cursor()
	for k, v := cur.First(); k != nil; k, v = cur.Next() {
		seq := seqOf(k)
		c.live++
		n, err := getNote(c.tx, seq)
		if err != nil {
			c.add("layout", "event %d: %v", seq, err)
		}
		h, err := decodeRec(v)
		if err != nil {
			c.unreadableRecord(seq, n, err)
			continue
		}
		state := Pending
		if n != nil {
			state = n.State
		}
		if c.s.inflight[seq] != nil {
			state = Inflight
		}
		c.countOne(h.route, state)
		if found, ok := c.s.keys.lookup(c.tx, hashKey(string(h.key))); !ok || found != seq {
			c.add("I1", "event %d: its key leads to %d (%v)", seq, found, ok)
		}
		c.place(seq, &h, n, state)
	}
}

func (c *checker) unreadableRecord(seq Seq, n *note, err error) {
	e, stuckErr := decodeStuck(c.tx.Bucket(bStuck).Get(seqKey(seq)))
	if stuckErr == nil && n != nil {
		c.countOne(e.route, n.State)
	}
	c.add("I1", "event %d: %v", seq, err)
}

func (c *checker) countOne(route uint32, state State) {
	if int(route) >= len(c.s.routes) {
		c.add("layout", "route %d is not known", route)
		return
	}
	object := c.s.routes[route].Object
	n := c.counts[object]
	n[state]++
	c.counts[object] = n
}

// place checks that an event will be met again.
func (c *checker) place(seq Seq, h *recHeader, n *note, state State) {
	stuck := c.tx.Bucket(bStuck).Get(seqKey(seq)) != nil
	if wanted := state == Failed || state == InDoubt; stuck != wanted {
		c.add("layout", "event %d is %s, in the stuck index: %v", seq, state, stuck)
	}
	if state != Pending {
		return
	}
	if n == nil && c.indexed(h.stream, seq) {
		return
	}
	waits := (&taker{s: c.s, tx: c.tx}).waits(h, seq)
	timed := h.notBefore != 0 && c.tx.Bucket(bWdue).Get(pairKey(uint64(h.notBefore), seq)) != nil
	if waits || timed || c.behindSomeone(h.lane, seq) || c.due[seq] || c.indexed(h.stream, seq) {
		return
	}
	c.add("I1", "event %d is pending and nothing will ever send it", seq)
}

// indexed reports whether the stream's index will bring an event up again.
func (c *checker) indexed(stream uint32, seq Seq) bool {
	low := Seq(0)
	if v := c.tx.Bucket(bLow).Get(u32key(stream)); v != nil {
		low = seqOf(v)
	}
	if seq < low {
		return false
	}
	k, v := seekValue(c.tx.Bucket(bIdx).Cursor(), stream, seq)
	if k == nil {
		return false
	}
	found := false
	err := decodeIdx(seqOf(k), v, func(x idxEntry) { found = found || x.seq == seq })
	return err == nil && found
}

func (c *checker) behindSomeone(lane uint64, seq Seq) bool {
	if lane == 0 || c.tx.Bucket(bLane).Get(pairKey(lane, seq)) == nil {
		return false
	}
	cur, prefix := c.tx.Bucket(bLane).Cursor(), string(u64key(lane))
	for k, v := cur.Seek(pairKey(lane, 0)); k != nil && string(k[:8]) == prefix && seqOf(k) < seq; k, v = cur.Next() {
		if decodeLane(v).blocks(c.now) {
			return true
		}
	}
	return false
}

// wakes collects the events that have a due time, whatever their notes say.
func (c *checker) wakes() {
	c.due = map[Seq]bool{}
	cur := c.tx.Bucket(bDue).Cursor()
	for k, _ := cur.First(); k != nil; k, _ = cur.Next() {
		c.due[seqOf(k)] = true
	}
}

func (c *checker) receipts() {
	for _, sl := range c.s.keys.slices {
		b := c.tx.Bucket(bReceipt).Bucket(seqKey(sl.first))
		tally := map[uint32]Counts{}
		if b != nil {
			cur := b.Cursor()
			for k, v := cur.First(); k != nil; k, v = cur.Next() {
				r, err := decodeReceipt(v)
				if err != nil {
					c.add("I1", "event %d: %v", seqOf(k), err)
					continue
				}
				c.ended++
				c.countOne(r.route, r.state)
				n := tally[r.route]
				n[r.state]++
				tally[r.route] = n
				if c.tx.Bucket(bRec).Get(k) != nil {
					c.add("I7", "event %d has a record and a receipt", seqOf(k))
				}
				if found, ok := c.s.keys.lookup(c.tx, hashKey(string(r.key))); !ok || found != seqOf(k) {
					c.add("I1", "event %d: its key leads to %d (%v)", seqOf(k), found, ok)
				}
			}
		}
		for route := range tally {
			if tally[route] != sl.tally[route] {
				c.add("I6", "slice %d: tally of route %d says %v, its receipts are %v", sl.first, route, sl.tally[route], tally[route])
			}
		}
	}
}

// keys checks that every key of the index leads to an event.
func (c *checker) keys() {
	for _, sl := range c.s.keys.slices {
		receipts := c.tx.Bucket(bReceipt).Bucket(seqKey(sl.first))
		known := func(seq Seq) {
			if c.tx.Bucket(bRec).Get(seqKey(seq)) == nil && (receipts == nil || receipts.Get(seqKey(seq)) == nil) {
				c.add("I1", "event %d is known by its key and has neither record nor receipt", seq)
			}
		}
		if sl.keys != nil {
			for _, seq := range sl.keys {
				known(seq)
			}
			continue
		}
		if err := eachOfRun(c.tx.Bucket(bKrun), sl.first, func(_ keyHash, seq Seq) { known(seq) }); err != nil {
			c.add("layout", "%v", err)
		}
	}
}

// asides checks that notes, lanes and stuck entries belong to something.
func (c *checker) asides() {
	recs := c.tx.Bucket(bRec)
	for _, name := range [...][]byte{bNote, bStuck} {
		cur := c.tx.Bucket(name).Cursor()
		for k, _ := cur.First(); k != nil; k, _ = cur.Next() {
			if recs.Get(k) == nil {
				c.add("layout", "%s of event %d, which is gone", name, seqOf(k))
			}
		}
	}
	cur := c.tx.Bucket(bLane).Cursor()
	for k, v := cur.First(); k != nil; k, v = cur.Next() {
		if e := decodeLane(v); e.kind != laneFree && recs.Get(k[8:]) == nil {
			c.add("layout", "lane entry of event %d, which is gone", seqOf(k))
		}
	}
	cur = c.tx.Bucket(bWait).Cursor()
	for k, _ := cur.First(); k != nil; k, _ = cur.Next() {
		if recs.Get(k[16:]) == nil {
			c.add("layout", "event %d waits and is gone", seqOf(k))
		}
	}
}

// claims checks that each event is in one attempt's hands, and has a record.
func (c *checker) claims() {
	held := map[Seq]AttemptID{}
	err := c.tx.Bucket(bClaim).ForEach(func(k, v []byte) error {
		id := AttemptID(strings.Clone(string(k)))
		seqs, err := decodeSeqs(v)
		if err != nil {
			c.add("layout", "attempt %s: %v", id, err)
			return nil
		}
		if a, err := getAttempt(c.tx, id); err != nil || a.Phase >= PhaseDone {
			c.add("layout", "attempt %s holds events and is %s (%v)", id, a.Phase, err)
		}
		for _, seq := range seqs {
			if other, ok := held[seq]; ok {
				c.add("I7", "event %d is in the hands of %s and %s", seq, other, id)
			}
			held[seq] = id
			if c.tx.Bucket(bRec).Get(seqKey(seq)) == nil {
				c.add("I1", "event %d is in flight and has no record", seq)
			}
		}
		return nil
	})
	if err != nil {
		c.add("layout", "claims: %v", err)
	}
}

// sums compares the counts with what was found, and with the conservation law.
func (c *checker) sums() {
	stored := map[string]Counts{}
	if err := eachCount(c.tx, func(object string, n Counts) { stored[object] = n }); err != nil {
		c.add("I6", "%v", err)
	}
	var sum int64
	for object, n := range stored {
		if n != c.counts[object] {
			c.add("I6", "counts of %s say %v, a scan finds %v", object, n, c.counts[object])
		}
		sum += n.Sum()
	}
	for object, n := range c.counts {
		if _, ok := stored[object]; !ok {
			c.add("I6", "%s has no counts, a scan finds %v", object, n)
		}
	}
	if got := c.s.num.Accepted - c.s.num.Forgotten; got != sum || got != c.live+c.ended {
		c.add("I6", "accepted %d less forgotten %d is %d; counts add up to %d; records and receipts are %d and %d",
			c.s.num.Accepted, c.s.num.Forgotten, got, sum, c.live, c.ended)
	}
}
