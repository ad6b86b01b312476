package store

import bolt "go.etcd.io/bbolt"

// SetWindowForTest makes the look-ahead small until the returned function is called.
func SetWindowForTest(window, fill, due, few int) (restore func()) {
	w, f, d, e := windowSize, fillStep, dueStep, fewEntries
	windowSize, fillStep, dueStep, fewEntries = window, fill, due, few
	return func() { windowSize, fillStep, dueStep, fewEntries = w, f, d, e }
}

// DBForTest is the database below a store.
func DBForTest(s *Store) *bolt.DB { return s.db }
