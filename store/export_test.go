package store

import bolt "go.etcd.io/bbolt"

// DBForTest gives tests of faults the database beneath a store.
func DBForTest(s *Store) *bolt.DB { return s.db }
