package store

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Status returns a picture of the whole outbox as of one moment.
func (s *Store) Status(ctx context.Context) (Status, error) {
	var st Status
	err := s.view(ctx, func(tx *bolt.Tx) error {
		var err error
		st, err = s.status(tx)
		return err
	})
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	return st, nil
}

func (s *Store) status(tx *bolt.Tx) (Status, error) {
	st := Status{
		Objects: map[string]Counts{}, Accepted: s.num.Accepted, Forgotten: s.num.Forgotten, Facts: s.facts,
		MaxBytes: s.opts.MaxSize, Full: s.full, AsOf: s.clock.wall().UTC(),
	}
	if err := eachCount(tx, func(object string, c Counts) {
		st.Objects[object] = c
		for i := range c {
			st.Counts[i] += c[i]
		}
	}); err != nil {
		return st, err
	}
	r := s.newReading(tx)
	rows, err := r.waiting()
	if err != nil {
		return st, err
	}
	st.Stuck = map[Reason]int64{ReasonFailed: st.Counts[Failed], ReasonInDoubt: st.Counts[InDoubt], ReasonBlocked: 0, ReasonOverdue: 0}
	for _, row := range rows {
		st.Stuck[row.reason]++
	}
	st.OldestPending = r.oldestPending(st.Counts[Pending])
	st.Bytes, st.FreeBytes = s.fileUse(tx)
	st.Commits = s.commits.Load()
	st.Syncs = 2*st.Commits + s.growths.Load()
	st.Written = s.written.Load()
	if s.disk != nil {
		st.Disk = s.disk.state()
	}
	return st, nil
}

// waiting returns the blocked and the overdue rows.
func (r *reading) waiting() ([]stuckRow, error) {
	rows, err := r.stuckRows("", &reach{bound: overdueBound})
	if err != nil {
		return nil, err
	}
	kept := rows[:0]
	for _, row := range rows {
		if row.reason == ReasonBlocked || row.reason == ReasonOverdue {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

func eachCount(tx *bolt.Tx, f func(object string, c Counts)) error {
	return tx.Bucket(bCount).ForEach(func(k, v []byte) error {
		c, err := decodeCounts(v)
		if err != nil {
			return fmt.Errorf("counts of %s: %w", k, err)
		}
		f(string(k), c)
		return nil
	})
}

// oldestPending is the age of the first pending event in order of acceptance;
// the search passes over a bounded number of others.
func (r *reading) oldestPending(pending int64) time.Duration {
	if pending == 0 {
		return 0
	}
	c := r.tx.Bucket(bRec).Cursor()
	k, v := c.First()
	for n := 0; k != nil && n < scanBound; n++ {
		seq := seqOf(k)
		if r.s.inflight[seq] == nil && r.tx.Bucket(bStuck).Get(k) == nil {
			if h, err := decodeRec(v); err == nil {
				return max(r.s.clock.wall().Sub(microTime(h.accepted)), 0)
			}
		}
		k, v = c.Next()
	}
	return 0
}

// fileUse returns the length of the file and what of it can be used again.
func (s *Store) fileUse(tx *bolt.Tx) (length, free int64) {
	st := s.db.Stats()
	page := int64(s.db.Info().PageSize)
	used := tx.Size()
	free = int64(st.FreePageN+st.PendingPageN) * page
	length = used
	if fi, err := fileSize(s.path); err == nil && fi > used {
		length = fi
		free += fi - used
	}
	return length, free
}
