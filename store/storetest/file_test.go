package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
func checkDB(path, arg string) (string, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return "", err
	}
	defer db.Close()
	return "", db.View(func(tx *bolt.Tx) error {
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

// recorded makes some commits and returns what happened to the file, and how
// many it answered.
func recorded(t *testing.T, commits int) *Recording {
	t.Helper()
	path := filepath.Join(MemoryDir(t), "db")
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db := openDB(t, path)
	defer db.Close()
	r := NewRecorder(path, countKeys)
	if err := r.Opened(db); err != nil {
		t.Fatal(err)
	}
	for i := range commits {
		if err := commit(db, i); err != nil {
			t.Fatal(err)
		}
		r.Settle()
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.Recording()
}

func countKeys(tx *bolt.Tx) (string, error) {
	if b := tx.Bucket(bucket); b != nil {
		return strconv.Itoa(b.Stats().KeyN), nil
	}
	return "0", nil
}

func TestRecorder_SeesEveryCommit(t *testing.T) {
	l := recorded(t, 2)
	var kinds []opKind
	for _, o := range l.ops {
		if n := len(kinds); n == 0 || kinds[n-1] != o.kind {
			kinds = append(kinds, o.kind)
		}
	}
	commit := []opKind{wrote, synced, wrote, synced, answered}
	want := slices.Concat([]opKind{resized, synced}, commit, commit)
	if l.Commits() != 2 || !slices.Equal(kinds, want) {
		t.Fatalf("%d commits and operations %v were seen; want 2, %v: bbolt has changed", l.Commits(), kinds, want)
	}
	if l.newest() != "2" {
		t.Errorf("the newest meta page shows %q; want 2 keys", l.newest())
	}
}

// TestCuts_LoseNoCommit also is the proof that images without syncs are noticed.
func TestCuts_LoseNoCommit(t *testing.T) {
	child := NewChild(t, checkDB)
	seed := rand.Uint64()
	path := filepath.Join(MemoryDir(t), "image")
	damaged := func(l *Recording) (n int) {
		for c := range l.Cuts(rand.New(rand.NewPCG(seed, 0)), 3) {
			if err := c.Save(path); err != nil {
				t.Fatal(err)
			}
			if _, err := child.Check(path, c.May[0]); err != nil {
				n++
			}
		}
		return n
	}
	l := recorded(t, 20)
	if n := damaged(l); n > 0 {
		t.Errorf("%d images are damaged, seed %d", n, seed)
	}
	if damaged(l.WithoutSyncs()) == 0 {
		t.Errorf("no image is damaged although nothing was synced, seed %d", seed)
	}
}

func TestChild_SurvivesItsProcess(t *testing.T) {
	child := NewChild(t, func(_, arg string) (string, error) {
		if arg == "die" {
			panic("damaged")
		}
		if arg != "" {
			return "", errors.New(arg)
		}
		return "well", nil
	})
	for _, arg := range []string{"", "die", "wrong", ""} {
		if text, err := child.Check("", arg); (err == nil) != (arg == "") || (text == "well") != (arg == "") {
			t.Errorf("Check(%q) = %q, %v", arg, text, err)
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
