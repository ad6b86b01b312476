package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"time"

	bolt "go.etcd.io/bbolt"
)

// keyHash stands for an idempotency key: SHA-256 cut to 16 bytes. Two keys of
// one hash are not to be expected before some 2^64 of them.
type keyHash [16]byte

func hashKey(key string) keyHash {
	sum := sha256.Sum256([]byte(key))
	return keyHash(sum[:16])
}

const (
	sliceKeys  = 1 << 16 // events of a slice at most
	sliceParts = 16      // a slice spans at most this part of the dedup window
	runEntry   = 20      // hash and 4 bytes of seq less the slice's first
	groupRuns  = 16      // runs that share a filter
)

// slice is a range of seqs whose keys and receipts leave together. Its keys
// are in memory, and on disk in its records and receipts alone, until it is closed
// and they are written as one sorted run, which a filter in memory stands before.
// Random keys so cost a lookup and no page of their own.
type slice struct {
	first, last Seq
	opened      time.Duration // store time
	lastEnd     time.Duration // store time of the newest terminal state
	closed      bool
	tally       map[uint32]Counts // its receipts, by route

	keys map[keyHash]Seq // until the run is written
}

// sliceRec is a slice on disk.
type sliceRec struct {
	Last    Seq               `json:"l"` // 0 while open
	Opened  time.Duration     `json:"o"`
	LastEnd time.Duration     `json:"e,omitempty"`
	Run     bool              `json:"r,omitempty"`
	Tally   map[uint32]Counts `json:"t,omitempty"`
}

func (s *slice) put(tx *bolt.Tx) error {
	rec := sliceRec{Opened: s.opened, LastEnd: s.lastEnd, Tally: s.tally, Run: s.keys == nil}
	if s.closed {
		rec.Last = s.last
	}
	return tx.Bucket(bSlice).Put(seqKey(s.first), encodeJSON(rec))
}

// keyIndex answers which event has a key. Only the writer changes it; readers
// hold the store's lock.
type keyIndex struct {
	slices    []*slice    // by first seq; the last one is open
	unwritten []*slice    // of these, those whose keys are in memory
	groups    []*runGroup // the others, by first seq
}

// runGroup is neighbours whose runs share a filter: what asks for a new key
// costs a look a group and not one a run. Filters live in memory only; until one
// is built the runs are searched without.
type runGroup struct {
	slices []*slice
	filter keyFilter
}

func (x *keyIndex) open() *slice {
	if n := len(x.slices); n > 0 && !x.slices[n-1].closed {
		return x.slices[n-1]
	}
	return nil
}

// of returns the slice that holds a seq, or nil.
func (x *keyIndex) of(s Seq) *slice {
	i := sort.Search(len(x.slices), func(i int) bool { return x.slices[i].first > s }) - 1
	if i < 0 {
		return nil
	}
	return x.slices[i]
}

// lookup finds the event of a key, newest slices first.
func (x *keyIndex) lookup(tx *bolt.Tx, h keyHash) (Seq, bool) {
	for _, sl := range slices.Backward(x.unwritten) {
		if s, ok := sl.keys[h]; ok {
			return s, true
		}
	}
	for _, g := range slices.Backward(x.groups) {
		if !g.filter.has(h) {
			continue
		}
		for _, sl := range slices.Backward(g.slices) {
			if s, ok := findInRun(tx.Bucket(bKrun), sl.first, h); ok {
				return s, true
			}
		}
	}
	return 0, false
}

// add takes in a slice that is newer than all others.
func (x *keyIndex) add(sl *slice) {
	x.slices = append(x.slices, sl)
	if sl.keys != nil {
		x.unwritten = append(x.unwritten, sl)
		return
	}
	x.groups = append(x.groups, &runGroup{slices: []*slice{sl}})
}

// written says that a slice's run is on disk, and what its filter is.
func (x *keyIndex) written(sl *slice, f keyFilter) {
	sl.keys = nil
	x.unwritten = without(x.unwritten, sl)
	at, _ := slices.BinarySearchFunc(x.groups, sl.first, func(g *runGroup, s Seq) int { return cmp.Compare(g.slices[0].first, s) })
	x.groups = slices.Insert(x.groups, at, &runGroup{slices: []*slice{sl}, filter: f})
}

// drop forgets a slice and its keys.
func (x *keyIndex) drop(sl *slice) {
	x.slices, x.unwritten = without(x.slices, sl), without(x.unwritten, sl)
	for _, g := range x.groups {
		g.slices = without(g.slices, sl)
	}
	x.groups = slices.DeleteFunc(x.groups, func(g *runGroup) bool { return len(g.slices) == 0 })
}

func without(list []*slice, sl *slice) []*slice {
	return slices.DeleteFunc(list, func(x *slice) bool { return x == sl })
}

// unfiltered returns slices that want a filter of their own: groupRuns
// neighbours that have none in common yet, or fewer that have none at all. nil
// says that none do.
func (x *keyIndex) unfiltered() []*slice {
	var single, bare []*slice
	for _, g := range x.groups {
		if len(g.slices) == 1 {
			single = append(single, g.slices[0])
		}
		if g.filter == nil {
			bare = append(bare, g.slices...)
		}
		if len(single) == groupRuns {
			return single
		}
	}
	return bare
}

// join puts slices, those of them that are still there, behind one filter.
func (x *keyIndex) join(list []*slice, f keyFilter) {
	var here []*slice
	for _, sl := range list {
		if x.of(sl.first) == sl {
			here = append(here, sl)
		}
	}
	for _, g := range x.groups {
		g.slices = slices.DeleteFunc(g.slices, func(sl *slice) bool { return slices.Contains(here, sl) })
	}
	x.groups = slices.DeleteFunc(x.groups, func(g *runGroup) bool { return len(g.slices) == 0 })
	if len(here) == 0 {
		return
	}
	x.groups = append(x.groups, &runGroup{slices: here, filter: f})
	slices.SortFunc(x.groups, func(a, b *runGroup) int { return cmp.Compare(a.slices[0].first, b.slices[0].first) })
}

// buildRun sorts keys into a run and its filter.
func buildRun(first Seq, keys map[keyHash]Seq) (run []byte, f keyFilter) {
	type entry struct {
		high, low uint64
		offset    uint32
	}
	sorted := make([]entry, 0, len(keys))
	f = newKeyFilter(len(keys))
	for h, seq := range keys {
		sorted = append(sorted, entry{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:]), uint32(seq - first)})
		f.add(h)
	}
	slices.SortFunc(sorted, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
	})
	run = make([]byte, 0, len(sorted)*runEntry)
	for _, e := range sorted {
		run = binary.BigEndian.AppendUint64(run, e.high)
		run = binary.BigEndian.AppendUint64(run, e.low)
		run = binary.BigEndian.AppendUint32(run, e.offset)
	}
	return run, f
}

// loadKeys rebuilds the index from disk. The filters before the runs come later,
// from buildFilters.
func loadKeys(tx *bolt.Tx, num numbers) (*keyIndex, error) {
	x := &keyIndex{}
	err := tx.Bucket(bSlice).ForEach(func(k, v []byte) error {
		var rec sliceRec
		if err := decodeJSON(v, &rec); err != nil {
			return fmt.Errorf("slice %d: %w", seqOf(k), err)
		}
		sl := &slice{
			first: seqOf(k), last: rec.Last, opened: rec.Opened, lastEnd: rec.LastEnd,
			closed: rec.Last != 0, tally: rec.Tally,
		}
		if sl.tally == nil {
			sl.tally = map[uint32]Counts{}
		}
		if !sl.closed {
			sl.last = max(num.Next-1, sl.first-1)
		}
		if !rec.Run {
			if err := sl.load(tx, num.Clean); err != nil {
				return err
			}
		}
		x.add(sl)
		return nil
	})
	return x, err
}

// load reads the keys of a slice that has no run: after a clean close from what
// that has left, else from the events themselves.
func (s *slice) load(tx *bolt.Tx, clean bool) error {
	s.keys = map[keyHash]Seq{}
	if left := tx.Bucket(bKlog); clean && left.Bucket(seqKey(s.first)) != nil {
		return eachOfRun(left, s.first, func(h keyHash, seq Seq) { s.keys[h] = seq })
	}
	c := tx.Bucket(bRec).Cursor()
	for k, v := c.Seek(seqKey(s.first)); k != nil && seqOf(k) <= s.last; k, v = c.Next() {
		// Of one that can't be decoded the key may still be read; check tells of it.
		if key := recKey(v); len(key) > 0 {
			s.keys[hashKey(string(key))] = seqOf(k)
		}
	}
	receipts := tx.Bucket(bReceipt).Bucket(seqKey(s.first))
	if receipts == nil {
		return nil
	}
	return receipts.ForEach(func(k, v []byte) error {
		if r, _ := decodeReceipt(v); len(r.key) > 0 { // check tells of what can't be decoded
			s.keys[hashKey(string(r.key))] = seqOf(k)
		}
		return nil
	})
}

// leaveKeys writes the keys that are only in memory, at a clean close.
func (x *keyIndex) leaveKeys(tx *bolt.Tx) error {
	for _, sl := range x.unwritten {
		run, _ := buildRun(sl.first, sl.keys)
		if err := putRun(tx.Bucket(bKlog), sl.first, run); err != nil {
			return err
		}
	}
	return nil
}

// leftBytes is about what leaveKeys writes.
func (x *keyIndex) leftBytes() (n int64) {
	for _, sl := range x.unwritten {
		n += 2 * int64(len(sl.keys)) * runEntry
	}
	return n
}

// dropLeft removes what a clean close has left: it is true until the first put.
func (x *keyIndex) dropLeft(tx *bolt.Tx) error {
	for _, sl := range x.unwritten {
		if err := deleteNested(tx.Bucket(bKlog), sl.first); err != nil {
			return err
		}
	}
	return nil
}

// buildFilters builds, beside the writer, the filters that runs want. Without
// them lookups are slower and no less right, so an error only ends it.
func (s *Store) buildFilters() error {
	s.filtering.Lock()
	defer s.filtering.Unlock()
	for {
		var list []*slice
		err := s.submit(context.Background(), &op{look: func(*bolt.Tx) error { list = s.keys.unfiltered(); return nil }})
		if err != nil || len(list) == 0 {
			return err
		}
		f, err := s.filterOf(list)
		if err != nil {
			return err
		}
		err = s.submit(context.Background(), &op{look: func(*bolt.Tx) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.keys.join(list, f)
			return nil
		}})
		if err != nil {
			return err
		}
	}
}

// filterOf reads the runs of slices, each in a transaction of its own. One that
// was rewritten meanwhile has lost keys and got none, one that is gone has none.
func (s *Store) filterOf(list []*slice) (f keyFilter, err error) {
	keys := 0
	err = s.eachKey(list, func(keyHash, Seq) { keys++ })
	if err != nil {
		return nil, err
	}
	f = newKeyFilter(keys)
	err = s.eachKey(list, func(h keyHash, _ Seq) { f.add(h) })
	return f, err
}

func (s *Store) eachKey(list []*slice, f func(keyHash, Seq)) error {
	for _, sl := range list {
		select {
		case <-s.stop:
			return ErrClosed
		default:
		}
		err := s.db.View(func(tx *bolt.Tx) error { return eachOfRun(tx.Bucket(bKrun), sl.first, f) })
		if err != nil {
			return err
		}
	}
	return nil
}
