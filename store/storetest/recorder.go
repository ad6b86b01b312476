package storetest

import (
	"fmt"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// Recorder notes what happens to the file of one store, over any number of
// openings, so that the files that a power cut would have left at any moment
// can be built.
//
// A commit is: the file grows and is synced, data pages, sync, one meta page,
// sync. The syncs can't be hooked; they are noted where bbolt makes them.
type Recorder struct {
	path string
	look func(*bolt.Tx) (string, error)

	mu      sync.Mutex
	fail    func(n int, meta bool) (part int, err error)
	db      *bolt.DB
	log     Recording
	size    int64 // of the file
	metaEnd int64
	writes  int
	unseen  int  // the meta write whose contents nobody has looked at yet; -1: none
	synced  bool // that write's sync was done
	err     error
}

// NewRecorder makes a recorder for the store at path. look sums up what a reader
// finds; it is asked once a commit.
func NewRecorder(path string, look func(*bolt.Tx) (string, error)) *Recorder {
	return &Recorder{path: path, look: look, unseen: -1}
}

// Opened begins or resumes the recording with a database that was just opened.
func (r *Recorder) Opened(db *bolt.DB) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.db == nil {
		if err := r.begin(db); err != nil {
			return fmt.Errorf("record %s: %w", r.path, err)
		}
	}
	r.db = db
	hookWrites(db, func(next func([]byte, int64) (int, error)) func([]byte, int64) (int, error) {
		return func(b []byte, off int64) (int, error) { return r.write(next, b, off) }
	})
	return nil
}

func (r *Recorder) begin(db *bolt.DB) (err error) {
	if r.log.base, err = os.ReadFile(r.path); err != nil {
		return err
	}
	r.log.lock = r.lock()
	r.size, r.metaEnd = int64(len(r.log.base)), 2*int64(db.Info().PageSize)
	return db.View(func(tx *bolt.Tx) (err error) {
		r.log.shows, err = r.look(tx)
		return err
	})
}

// MetaRewritten notes that the start wrote both meta pages again and synced them.
func (r *Recorder) MetaRewritten(pages []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.db == nil {
		return // the first opening: nothing is recorded yet
	}
	r.add(op{kind: wrote, data: pages, meta: true, shows: r.log.newest()})
	r.add(op{kind: synced})
	r.add(op{kind: answered})
}

// write is one write of bbolt's.
func (r *Recorder) write(next func([]byte, int64) (int, error), b []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	meta := off < r.metaEnd
	if meta {
		r.add(op{kind: synced}) // the data pages before it
	} else {
		r.note(r.db.View(r.settle))
		r.grown()
	}
	part, failure := r.fate(len(b), meta)
	if part > 0 {
		if n, err := next(b[:part], off); err != nil {
			return n, err
		}
		r.add(op{kind: wrote, data: append([]byte(nil), b[:part]...), off: off, meta: meta})
	}
	if meta && part > 0 {
		r.unseen, r.synced = len(r.log.ops)-1, failure == nil
	}
	if failure != nil && part == len(b) {
		r.add(op{kind: syncFailed})
	}
	return part, failure
}

// Fail makes writes fail: f is asked before each one, numbered from 1, as in
// FailWrites, and told of meta pages; nil ends it. Of a write that fails so many bytes are in the page
// cache; if that is all of them, it stands for the sync after it that failed.
func (r *Recorder) Fail(f func(n int, meta bool) (part int, err error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail, r.writes = f, 0
}

func (r *Recorder) fate(size int, meta bool) (part int, failure error) {
	r.writes++
	if r.fail == nil {
		return size, nil
	}
	if part, failure = r.fail(r.writes, meta); failure == nil {
		return size, nil
	}
	return min(part, size), failure
}

// grown notes that the file became longer, which bbolt syncs.
func (r *Recorder) grown() {
	st, err := os.Stat(r.path)
	if err != nil || st.Size() == r.size {
		r.note(err)
		return
	}
	r.size = st.Size()
	r.add(op{kind: resized, off: r.size})
	r.add(op{kind: synced})
}

// settle notes what the newest meta page shows, and its sync if that was done.
func (r *Recorder) settle(tx *bolt.Tx) (err error) {
	if r.unseen < 0 {
		return nil
	}
	if r.log.ops[r.unseen].shows, err = r.look(tx); err != nil {
		return err
	}
	r.unseen = -1
	if r.synced {
		r.add(op{kind: synced})
		r.add(op{kind: answered})
	}
	return nil
}

// Settle notes the end of what was written so far: whatever was answered has to
// outlive every power cut from now on. Call it after each call of the store's.
func (r *Recorder) Settle() {
	tx, err := r.db.Begin(true) // between commits: there is one writer
	if err != nil {
		r.note(err)
		return
	}
	defer func() { r.note(tx.Rollback()) }()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(r.settle(tx))
}

// Closed is Settle for a store that was closed, by what its file shows now.
func (r *Recorder) Closed() error {
	db, err := bolt.Open(r.path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("record %s: %w", r.path, err)
	}
	defer db.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(db.View(r.settle))
	return r.err
}

// Recording returns what was noted.
func (r *Recorder) Recording() *Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &r.log
}

func (r *Recorder) add(o op) {
	o.lock = r.lock()
	r.log.ops = append(r.log.ops, o)
}

func (r *Recorder) lock() []byte {
	b, err := os.ReadFile(r.path + ".lock")
	r.note(err)
	return b
}

func (r *Recorder) note(err error) {
	if r.err == nil {
		r.err = err
	}
}
