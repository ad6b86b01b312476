package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// testKey is the key of an event.
func testKey(seq Seq) keyHash { return hashKey(fmt.Sprint("key ", seq)) }

// runsOf fills a store with slices of which each has a run of n keys.
func runsOf(t testing.TB, s *Store, count, n int) {
	t.Helper()

	err := s.update(t.Context(), func(t *txn) (err error) {
		t.changed = true
		tx := t.tx
		for i := range count {
			first := Seq(1 + i*n)
			keys := map[keyHash]Seq{}
			for seq := first; seq < first+Seq(n); seq++ {
				keys[testKey(seq)] = seq
			}
			run, _ := buildRun(first, keys)
			if err := putRun(tx.Bucket(bKrun), first, run); err != nil {
				return err
			}
			if err := tx.Bucket(bSlice).Put(seqKey(first), encodeJSON(sliceRec{Last: first + Seq(n) - 1, Run: true})); err != nil {
				return err
			}
		}
		s.keys, err = loadKeys(tx, numbers{Next: Seq(1 + count*n)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// However runs are grouped, each key leads to its event, and a new one to none;
// with filters hardly a run is searched for a new one.
func TestKeyIndex_GroupsRunsBehindFilters(t *testing.T) {
	const runs, each = 3*groupRuns + 5, 300
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	s.wg.Wait() // nothing to build yet
	runsOf(t, s, runs, each)
	look := func(when string, gone func(Seq) bool) {
		t.Helper()
		err := s.db.View(func(tx *bolt.Tx) error {
			for want := Seq(1); want <= runs*each; want++ {
				if seq, ok := s.keys.lookup(tx, testKey(want)); ok == gone(want) || ok && seq != want {
					return fmt.Errorf("key of %d leads to %d (%t)", want, seq, ok)
				}
			}
			for i := range 1000 {
				if seq, ok := s.keys.lookup(tx, hashKey(fmt.Sprint("new ", i))); ok {
					return fmt.Errorf("a new key leads to %d", seq)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	none := func(Seq) bool { return false }
	look("without filters", none)
	if err := s.buildFilters(); err != nil {
		t.Fatal(err)
	}
	if got, want := len(s.keys.groups), 4; got != want {
		t.Errorf("%d groups, want %d", got, want)
	}
	look("with filters", none)
	perhaps := 0
	for i := range 10_000 {
		for _, g := range s.keys.groups {
			if g.filter == nil {
				t.Fatal("a group has no filter")
			}
			if g.filter.has(hashKey(fmt.Sprint("new ", i))) {
				perhaps++
			}
		}
	}
	if perhaps > 10_000*4/50 {
		t.Errorf("filters say perhaps of %d in 40,000 new keys", perhaps)
	}

	chance := rand.New(rand.NewPCG(1, 2))
	dropped := map[Seq]bool{}
	for len(dropped) < 2*groupRuns {
		sl := s.keys.slices[chance.IntN(len(s.keys.slices))]
		dropped[sl.first] = true
		s.keys.drop(sl)
	}
	look("after slices left", func(seq Seq) bool { return dropped[(seq-1)/each*each+1] })
}

// A filter that was built while a slice left does not bring it back.
func TestKeyIndex_JoinsWhatIsStillThere(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	s.wg.Wait()
	runsOf(t, s, groupRuns, 10)
	list := s.keys.unfiltered()
	f, err := s.filterOf(list)
	if err != nil {
		t.Fatal(err)
	}
	gone := list[3]
	s.keys.drop(gone)
	s.keys.join(list, f)
	if n := len(s.keys.groups); n != 1 || len(s.keys.groups[0].slices) != groupRuns-1 {
		t.Fatalf("%d groups, the first of %d runs, want one of %d", n, len(s.keys.groups[0].slices), groupRuns-1)
	}
	for _, sl := range s.keys.groups[0].slices {
		if sl == gone {
			t.Error("the slice that left is back")
		}
	}
	for _, sl := range list {
		s.keys.drop(sl)
	}
	s.keys.join(list, f)
	if len(s.keys.groups) != 0 {
		t.Error("a group of slices that left")
	}
}

// BenchmarkKeyIndex is what a new key costs beside 2,097,152 known ones.
func BenchmarkKeyIndex(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "outbox.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.wg.Wait()
	runsOf(b, s, 32, sliceKeys)
	if err := s.buildFilters(); err != nil {
		b.Fatal(err)
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		for i := 0; b.Loop(); i++ {
			s.keys.lookup(tx, hashKey(fmt.Sprint("new ", i)))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
