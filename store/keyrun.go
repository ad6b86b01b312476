package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	bolt "go.etcd.io/bbolt"
)

// partKeys is how many keys of a run are one value. Two of them fill a page. A run
// as one value would need hundreds of pages side by side, which bbolt, that takes
// single pages from wherever some are free, would find at the end of the file
// only: it would grow for ever.
const partKeys = 100

// putRun writes the sorted keys of a slice, in the place of what was there.
func putRun(runs *bolt.Bucket, first Seq, run []byte) error {
	if err := deleteNested(runs, first); err != nil {
		return err
	}
	parts, err := runs.CreateBucket(seqKey(first))
	if err != nil {
		return err
	}
	parts.FillPercent = 1
	for part := range slices.Chunk(run, partKeys*runEntry) {
		if err := parts.Put(part[:len(keyHash{})], part); err != nil {
			return err
		}
	}
	return nil
}

// findInRun looks a key up in the run of a slice.
func findInRun(runs *bolt.Bucket, first Seq, h keyHash) (Seq, bool) {
	parts := runs.Bucket(seqKey(first))
	if parts == nil {
		return 0, false
	}
	c := parts.Cursor()
	k, v := c.Seek(h[:])
	switch {
	case k == nil:
		_, v = c.Last()
	case !bytes.Equal(k, h[:]):
		_, v = c.Prev()
	}
	return searchRun(v, first, h)
}

// searchRun looks a key up among sorted ones.
func searchRun(run []byte, first Seq, h keyHash) (Seq, bool) {
	n := len(run) / runEntry
	i := sort.Search(n, func(i int) bool { return bytes.Compare(run[i*runEntry:i*runEntry+len(h)], h[:]) >= 0 })
	if i == n || !bytes.Equal(run[i*runEntry:i*runEntry+len(h)], h[:]) {
		return 0, false
	}
	return first + Seq(binary.BigEndian.Uint32(run[i*runEntry+len(h):])), true
}

// eachOfRun goes through the keys of a slice's run.
func eachOfRun(runs *bolt.Bucket, first Seq, f func(h keyHash, seq Seq)) error {
	parts := runs.Bucket(seqKey(first))
	if parts == nil {
		return nil
	}
	return parts.ForEach(func(_, part []byte) error {
		if len(part)%runEntry != 0 {
			return fmt.Errorf("keys of slice %d: %w", first, errDecode)
		}
		for ; len(part) > 0; part = part[runEntry:] {
			f(keyHash(part), first+Seq(binary.BigEndian.Uint32(part[len(keyHash{}):])))
		}
		return nil
	})
}
