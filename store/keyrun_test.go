package store

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestRun_FindsEachKeyAndNoOther, of runs of no part, of one and of many, one after
// the other in the same place.
func TestRun_FindsEachKeyAndNoOther(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	const first = 1000
	for _, n := range []int{0, 1, partKeys, partKeys + 1, 5000, 3} {
		keys := map[keyHash]Seq{}
		for i := range n {
			keys[hashKey(fmt.Sprint("known ", i))] = first + Seq(i)
		}
		err := s.db.Update(func(tx *bolt.Tx) error {
			run, _ := buildRun(first, keys)
			if err := errors.Join(putRun(tx.Bucket(bKrun), first+9999, run), putRun(tx.Bucket(bKrun), first, run)); err != nil {
				return err
			}
			for h, want := range keys {
				if got, ok := findInRun(tx.Bucket(bKrun), first, h); !ok || got != want {
					t.Errorf("of %d keys: %x is at %d, %t; want %d", n, h, got, ok, want)
				}
			}
			for i := range 1000 {
				h := hashKey(fmt.Sprint("unknown ", i))
				if seq, ok := findInRun(tx.Bucket(bKrun), first, h); ok {
					t.Errorf("of %d keys: %x is at %d; want nowhere", n, h, seq)
				}
			}
			all := map[keyHash]Seq{}
			err := eachOfRun(tx.Bucket(bKrun), first, func(h keyHash, seq Seq) { all[h] = seq })
			if !maps.Equal(all, keys) {
				t.Errorf("the run of %d keys has %d, or others", n, len(all))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRun_NeedsNoPagesSideBySide: what is written in one go would make the file
// grow for ever.
func TestRun_NeedsNoPagesSideBySide(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	keys := map[keyHash]Seq{}
	for i := range sliceKeys {
		keys[hashKey(fmt.Sprint(i))] = Seq(1 + i)
	}
	run, _ := buildRun(1, keys)
	err := s.update(t.Context(), func(txn *txn) error {
		txn.changed = true
		return putRun(txn.tx.Bucket(bKrun), 1, run)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		st := tx.Bucket(bKrun).Bucket(seqKey(1)).Stats()
		if used := float64(st.LeafInuse) / float64(st.LeafAlloc); st.LeafOverflowN > 2 || used < 0.95 {
			t.Errorf("%d leaves, %d pages beside them, %.2f of all used; want leaves of one full page", st.LeafPageN, st.LeafOverflowN, used)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
