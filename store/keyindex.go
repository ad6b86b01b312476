package store

import (
	"bytes"
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
	bloomBits  = 10      // a key
	bloomProbe = 7
)

// slice is a range of seqs whose keys and receipts leave together. Its keys
// are in memory, logged by commit, until it is closed and they are written as
// one sorted run, which a Bloom filter in memory stands before. Random keys so
// cost a lookup and no page of their own.
type slice struct {
	first, last Seq
	opened      time.Duration // store time
	lastEnd     time.Duration // store time of the newest terminal state
	closed      bool
	tally       map[uint32]Counts // its receipts, by route

	keys  map[keyHash]Seq // until the run is written
	bloom []uint64
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
	slices []*slice // by first seq; the last one is open
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
	for i := len(x.slices) - 1; i >= 0; i-- {
		sl := x.slices[i]
		if sl.keys != nil {
			if s, ok := sl.keys[h]; ok {
				return s, true
			}
			continue
		}
		if !bloomHas(sl.bloom, h) {
			continue
		}
		if s, ok := searchRun(tx.Bucket(bKrun).Get(seqKey(sl.first)), sl.first, h); ok {
			return s, true
		}
	}
	return 0, false
}

func searchRun(run []byte, first Seq, h keyHash) (Seq, bool) {
	n := len(run) / runEntry
	i := sort.Search(n, func(i int) bool { return bytes.Compare(run[i*runEntry:i*runEntry+16], h[:]) >= 0 })
	if i == n || !bytes.Equal(run[i*runEntry:i*runEntry+16], h[:]) {
		return 0, false
	}
	return first + Seq(binary.BigEndian.Uint32(run[i*runEntry+16:])), true
}

// buildRun sorts keys into a run and its filter.
func buildRun(first Seq, keys map[keyHash]Seq) (run []byte, bloom []uint64) {
	sorted := make([]keyHash, 0, len(keys))
	bloom = make([]uint64, (len(keys)*bloomBits+63)/64+1)
	for h := range keys {
		sorted = append(sorted, h)
		bloomAdd(bloom, h)
	}
	slices.SortFunc(sorted, func(a, b keyHash) int { return bytes.Compare(a[:], b[:]) })
	run = make([]byte, 0, len(sorted)*runEntry)
	for _, h := range sorted {
		run = append(run, h[:]...)
		run = binary.BigEndian.AppendUint32(run, uint32(keys[h]-first))
	}
	return run, bloom
}

// Keys are hashes, so their own bits serve as the filter's hash functions.
func bloomAt(f []uint64, h keyHash, i int) (int, uint64) {
	a, b := binary.LittleEndian.Uint64(h[:8]), binary.LittleEndian.Uint64(h[8:])
	n := (a + uint64(i)*(b|1)) % uint64(len(f)*64)
	return int(n / 64), 1 << (n % 64)
}

func bloomAdd(f []uint64, h keyHash) {
	for i := range bloomProbe {
		w, m := bloomAt(f, h, i)
		f[w] |= m
	}
}

func bloomHas(f []uint64, h keyHash) bool {
	for i := range bloomProbe {
		if w, m := bloomAt(f, h, i); f[w]&m == 0 {
			return false
		}
	}
	return true
}

// loadKeys rebuilds the index from disk: filters from the runs, maps from the
// logs of slices that have no run yet.
func loadKeys(tx *bolt.Tx, next Seq) (*keyIndex, error) {
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
			sl.last = max(next-1, sl.first-1)
		}
		x.slices = append(x.slices, sl)
		if rec.Run {
			run := tx.Bucket(bKrun).Get(k)
			if len(run)%runEntry != 0 {
				return fmt.Errorf("keys of slice %d: %w", seqOf(k), errDecode)
			}
			sl.bloom = runBloom(run)
			return nil
		}
		return sl.loadLog(tx)
	})
	return x, err
}

func runBloom(run []byte) []uint64 {
	n := len(run) / runEntry
	f := make([]uint64, (n*bloomBits+63)/64+1)
	for i := range n {
		bloomAdd(f, keyHash(run[i*runEntry:]))
	}
	return f
}

func (s *slice) loadLog(tx *bolt.Tx) error {
	s.keys = map[keyHash]Seq{}
	log := tx.Bucket(bKlog).Bucket(seqKey(s.first))
	if log == nil {
		return nil
	}
	return log.ForEach(func(k, v []byte) error {
		if len(v)%runEntry != 0 {
			return fmt.Errorf("key log of %d: %w", seqOf(k), errDecode)
		}
		for first := seqOf(k); len(v) > 0; v = v[runEntry:] {
			s.keys[keyHash(v)] = first + Seq(binary.BigEndian.Uint32(v[16:]))
		}
		return nil
	})
}
