package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Outcomes reads the feed after a cursor, in commit order, at most max entries
// (1 to 1,000; 0 means 100). "" begins with the oldest that is kept. next resumes
// after the last entry; it is the present when fewer than max were returned.
// Errors: ErrCursor, ErrCursorGone.
func (s *Store) Outcomes(ctx context.Context, cursor string, max int) (list []OutcomeEntry, next string, err error) {
	max = pageLimit(max)
	from, err := decodeSeqCursor('o', cursor)
	if err != nil {
		return nil, "", err
	}
	err = s.view(ctx, func(tx *bolt.Tx) error {
		at := uint64(from)
		switch {
		case cursor == "":
			at = s.num.FeedGone
		case at < s.num.FeedGone:
			return ErrCursorGone
		case at > s.num.Feed:
			return fmt.Errorf("%q is ahead of the feed: %w", cursor, ErrCursor)
		}
		list, at, err = s.newReading(tx).outcomes(at, max)
		next = feedCursor(at)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("outcomes: %w", err)
	}
	return list, next, nil
}

func feedCursor(next uint64) string { return encodeCursor('o', u64key(next)) }

// outcomes reads entries from number at on; the number returned is the next one.
func (r *reading) outcomes(at uint64, max int) (list []OutcomeEntry, next uint64, err error) {
	c := r.tx.Bucket(bFeed).Cursor()
	k, v := c.Seek(u64key(at))
	if k == nil || binary.BigEndian.Uint64(k) > at {
		if pk, pv := c.Prev(); pk != nil {
			k, v = pk, pv
		} else {
			k, v = c.First()
		}
	}
	next = at
	for ; k != nil; k, v = c.Next() {
		number := binary.BigEndian.Uint64(k)
		err := r.feedValue(v, func(seq Seq, state State, at int64, blob []byte) error {
			n := number
			number++
			if n < next {
				return nil
			}
			if len(list) == max {
				return errStop
			}
			next = n + 1
			e, err := r.outcome(seq, state, blob)
			if errors.Is(err, ErrNotFound) {
				return nil // its receipt left meanwhile
			}
			e.At, e.Cursor = microTime(at), feedCursor(next)
			list = append(list, e)
			return err
		})
		if errors.Is(err, errStop) {
			break
		}
		if err != nil {
			return nil, 0, fmt.Errorf("outcomes of %d: %w", binary.BigEndian.Uint64(k), err)
		}
	}
	return list, next, nil
}

func (r *reading) feedValue(v []byte, each func(seq Seq, state State, at int64, blob []byte) error) error {
	x := reader{b: v}
	if x.u8() != jsonVersion {
		return errDecode
	}
	at := int64(x.u64())
	x.u64() // store time, for Sweep
	for len(x.b) > 0 && !x.bad {
		seq, state, blob := Seq(x.uvarint()), State(x.u8()), x.bytes()
		if x.bad || state < Pending || state > Dropped {
			return errDecode
		}
		if err := each(seq, state, at, blob); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) outcome(seq Seq, state State, blob []byte) (OutcomeEntry, error) {
	e := OutcomeEntry{Seq: seq, State: state}
	if !state.Terminal() {
		var p feedProblem
		if err := json.Unmarshal(blob, &p); err != nil {
			return e, err
		}
		e.Key, e.Route, e.Source, e.Kind, e.JobID, e.Problem = p.Key, r.s.routes[p.Route], p.Source, p.Kind, p.Job, p.Problem
		return e, nil
	}
	x, err := r.s.receipt(r.tx, seq)
	if err != nil {
		return e, err
	}
	e.Key, e.Route, e.Source, e.Kind, e.JobID = string(x.key), r.s.routes[x.route], string(x.source), x.kind, string(x.job)
	e.ID, e.Created = string(x.id), x.created
	return e, nil
}
