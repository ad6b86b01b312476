package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

var bucket = []byte("b")

func openDB(tb testing.TB, path string) *bolt.DB {
	tb.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		tb.Fatalf("open %s: %v", path, err)
	}
	return db
}

func commit(db *bolt.DB, n int) error {
	return db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		return b.Put(fmt.Appendf(nil, "k%03d", n), make([]byte, 3000))
	})
}

// checkDB fails if the file is damaged or lacks one of the first commits.
func checkDB(path, arg string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		must, _ := strconv.Atoi(arg)
		for i := range must {
			if b := tx.Bucket(bucket); b == nil || b.Get(fmt.Appendf(nil, "k%03d", i)) == nil {
				return fmt.Errorf("commit %d of %d is lost", i, must)
			}
		}
		return nil
	})
}

func TestRecorder_SeesEveryCommit(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "db"))
	defer db.Close()
	r, err := Record(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(db, 0); err != nil {
		t.Fatal(err)
	}
	n := r.Writes()
	if n < 2 || !r.isMeta(n-1) || r.isMeta(0) {
		t.Fatalf("%d writes of a commit were seen, the last one a meta page: %v; want data, then meta: bbolt has changed", n, n > 0 && r.isMeta(n-1))
	}
	r.Stop()
	if err := commit(db, 1); err != nil || r.Writes() != n {
		t.Errorf("after Stop: %d writes, %v; want %d still", r.Writes(), err, n)
	}
}

func TestRecorder_NoImageLosesACommit(t *testing.T) {
	child := NewChild(t, checkDB)
	dir := t.TempDir()
	db := openDB(t, filepath.Join(dir, "db"))
	defer db.Close()
	r, err := Record(db)
	if err != nil {
		t.Fatal(err)
	}
	var acked []int // writes when commit i was done
	for i := range 20 {
		if err := commit(db, i); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, r.Writes())
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for n := range r.Writes() + 1 {
		must := 0
		for must < len(acked) && acked[must] < n {
			must++
		}
		path := filepath.Join(dir, "image")
		if err := r.Image(path, n, rng); err != nil {
			t.Fatal(err)
		}
		if err := child.Check(path, strconv.Itoa(must)); err != nil {
			t.Errorf("image after %d writes, seed %d: %v", n, seed, err)
		}
	}
}

func TestChild_SurvivesItsProcess(t *testing.T) {
	child := NewChild(t, func(_, arg string) error {
		if arg == "die" {
			panic("damaged")
		}
		if arg != "" {
			return errors.New(arg)
		}
		return nil
	})
	for _, arg := range []string{"", "die", "wrong", ""} {
		if err := child.Check("", arg); (err == nil) != (arg == "") {
			t.Errorf("Check(%q) = %v", arg, err)
		}
	}
}

func TestFailWrites_ShortensAWrite(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "db"))
	defer db.Close()
	if err := commit(db, 0); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	restore := FailWrites(db, func(n int) (int, error) {
		if n == 1 {
			return sector, boom
		}
		return 0, nil
	})
	if err := commit(db, 1); !errors.Is(err, boom) {
		t.Errorf("commit with a failing write = %v; want boom", err)
	}
	if err := commit(db, 2); err != nil {
		t.Errorf("commit after it = %v", err)
	}
	restore()
}
