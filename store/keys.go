package store

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
)

// Buckets. Numbers in keys are big-endian.
//
//	bucket   key                     value                          written by
//	meta     format|state|facts      version; numbers; JSON         each commit that moves them
//	route    id u32                  JSON of a Route                Put, first of its kind
//	stream   name                    id u32                         Put, first of its kind
//	low      stream u32              first seq not settled          Claim, Settle
//	count    object                  one u64 a state                whatever changes a state
//	rec      seq                     header and payload             Put; deleted when terminal
//	idx      stream u32, first seq   seq, route, lane, size, …      Put; deleted below low
//	klog     slice's first seq →     bucket like one of krun's      Close; deleted by the next Open
//	slice    first seq               JSON: bounds, ends, tally      Put, Settle, Sweep
//	krun     slice's first seq →     bucket of first hash → 100     once a slice is closed; Sweep
//	                                 sorted hashes with seqs
//	receipt  slice's first seq →     bucket of seq → receipt        Settle; dropped whole
//	attempt  id                      JSON of an attempt             Claim, Advance, Settle
//	claim    id                      its seqs                       Claim, Settle
//	note     seq                     JSON: what happened to it      whatever leaves the usual way
//	due      store time, seq         –                              Settle (Again), wakes
//	wdue     wall time, seq          –                              Put (not_before)
//	expiry   wall time, seq          –                              Put (expires_at)
//	lane     lane u64, seq           kind, hold                     exceptions that have a lane
//	hold     store time, lane, seq   –                              Settle (Hold)
//	wait     key hash, seq           still waiting, or satisfied    Put (after), Settle; until terminal
//	stuck    seq                     state, since, route, lane, …   failed and in_doubt
//	feed     number of the first     outcomes of one commit         whatever makes an outcome
var (
	bMeta    = []byte("meta")
	bRoute   = []byte("route")
	bStream  = []byte("stream")
	bLow     = []byte("low")
	bCount   = []byte("count")
	bRec     = []byte("rec")
	bIdx     = []byte("idx")
	bKlog    = []byte("klog")
	bSlice   = []byte("slice")
	bKrun    = []byte("krun")
	bReceipt = []byte("receipt")
	bAttempt = []byte("attempt")
	bClaim   = []byte("claim")
	bNote    = []byte("note")
	bDue     = []byte("due")
	bWdue    = []byte("wdue")
	bExpiry  = []byte("expiry")
	bLane    = []byte("lane")
	bHold    = []byte("hold")
	bWait    = []byte("wait")
	bStuck   = []byte("stuck")
	bFeed    = []byte("feed")

	allBuckets = [][]byte{
		bMeta, bRoute, bStream, bLow, bCount, bRec, bIdx, bKlog, bSlice, bKrun, bReceipt,
		bAttempt, bClaim, bNote, bDue, bWdue, bExpiry, bLane, bHold, bWait, bStuck, bFeed,
	}

	kFormat = []byte("format")
	kState  = []byte("state")
	kFacts  = []byte("facts")
)

// Values of the wait index. Satisfied entries stay until the event is terminal:
// its parent's receipt is needed as long.
var (
	waiting   = []byte{1}
	satisfied = []byte{2}
)

// present is the value of index entries that say all in their key; bbolt does
// not tell an empty value from a missing one everywhere.
var present = []byte{1}

func u32key(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func u64key(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func seqKey(s Seq) []byte { return u64key(uint64(s)) }

func seqOf(k []byte) Seq { return Seq(binary.BigEndian.Uint64(k[len(k)-8:])) }

// pairKey is (a, seq): idx with a stream is shorter, see idxKey.
func pairKey(a uint64, s Seq) []byte {
	return binary.BigEndian.AppendUint64(u64key(a), uint64(s))
}

func idxKey(stream uint32, first Seq) []byte {
	return binary.BigEndian.AppendUint64(u32key(stream), uint64(first))
}

func holdKey(until, lane uint64, s Seq) []byte {
	return binary.BigEndian.AppendUint64(pairKey(until, Seq(lane)), uint64(s))
}

func waitKey(h keyHash, s Seq) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 24), h[:]...), uint64(s))
}

// appendBucket returns a bucket whose keys only grow, so that its pages may be
// filled to the brim.
func appendBucket(tx *bolt.Tx, name []byte) *bolt.Bucket {
	b := tx.Bucket(name)
	b.FillPercent = 1
	return b
}

// empty reports whether a bucket has no entry.
func empty(b *bolt.Bucket) bool {
	k, _ := b.Cursor().First()
	return k == nil
}
