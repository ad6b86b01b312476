package store

import (
	"os"

	bolt "go.etcd.io/bbolt"
)

// SetWindowForTest makes the look-ahead small until the returned function is called.
func SetWindowForTest(window, fill, due, few int) (restore func()) {
	w, f, d, e := windowSize, fillStep, dueStep, fewEntries
	windowSize, fillStep, dueStep, fewEntries = window, fill, due, few
	return func() { windowSize, fillStep, dueStep, fewEntries = w, f, d, e }
}

// KeepAttemptsForTest keeps so many recent attempts until the returned function
// is called.
func KeepAttemptsForTest(n int) (restore func()) {
	was := keepAttempts
	keepAttempts = n
	return func() { keepAttempts = was }
}

// DBForTest is the database below a store.
func DBForTest(s *Store) *bolt.DB { return s.db }

// QueuedForTest is how many calls wait for the writer.
func QueuedForTest(s *Store) int { return len(s.ops) }

// LookForTest lets a test look at the disk beneath a store: opened is called
// with the database before the store writes to it, rewritten when the start has
// written the meta pages again.
func LookForTest(o *Options, opened func(*bolt.DB) error, rewritten func(pages []byte)) {
	o.openBolt = func(path string, mode os.FileMode, b *bolt.Options) (*bolt.DB, error) {
		db, err := bolt.Open(path, mode, b)
		if err != nil {
			return nil, err
		}
		return db, opened(db)
	}
	if rewritten == nil {
		return
	}
	o.writeMeta = func(f *os.File, pages []byte) error {
		if err := writeMeta(f, pages); err != nil {
			return err
		}
		rewritten(pages)
		return nil
	}
}

// SkipMetaRewriteForTest is a start without its rule: the meta pages stay as they are.
func SkipMetaRewriteForTest(o *Options) {
	o.writeMeta = func(*os.File, []byte) error { return nil }
}

// AbandonForTest ends a store as a killed process does: nothing more is written.
func AbandonForTest(s *Store) {
	s.opts.ReadOnly = true // nothing to be closed in order
	_ = s.Close()
}
