package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	defaultPage = 100
	maxPage     = 1000
	scanBound   = 50_000 // rows that one page looks at
)

func pageLimit(n int) int {
	if n <= 0 {
		return defaultPage
	}
	return min(n, maxPage)
}

// encodeCursor makes an opaque cursor; kind keeps those of different listings apart.
func encodeCursor(kind byte, at []byte) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{kind}, at...))
}

func decodeCursor(kind byte, cursor string) ([]byte, error) {
	if cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < 2 || b[0] != kind {
		return nil, fmt.Errorf("%q: %w", cursor, ErrCursor)
	}
	return b[1:], nil
}

func decodeSeqCursor(kind byte, cursor string) (Seq, error) {
	b, err := decodeCursor(kind, cursor)
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 || seqOf(b) == math.MaxUint64 { // the next one would be the first
		return 0, fmt.Errorf("%q: %w", cursor, ErrCursor)
	}
	return seqOf(b), nil
}

// standing is the short answer about an event.
type standing struct {
	state  State
	digest Digest
}

func (s *Store) standing(tx *bolt.Tx, seq Seq) (standing, error) {
	v := tx.Bucket(bRec).Get(seqKey(seq))
	if v == nil {
		r, err := s.receipt(tx, seq)
		return standing{r.state, r.digest}, err
	}
	state := Pending
	switch n, err := getNote(tx, seq); {
	case s.inflight[seq] != nil:
		state = Inflight
	case err != nil:
		return standing{}, err
	case n != nil:
		state = n.State
	}
	h, err := decodeRec(v)
	if err != nil {
		return standing{state: Failed}, nil // its digest is lost: any repeat is another payload
	}
	return standing{state, h.digest}, nil
}

func (s *Store) receipt(tx *bolt.Tx, seq Seq) (receipt, error) {
	sl := s.keys.of(seq)
	if sl == nil {
		return receipt{}, ErrNotFound
	}
	b := tx.Bucket(bReceipt).Bucket(seqKey(sl.first))
	if b == nil {
		return receipt{}, ErrNotFound
	}
	v := b.Get(seqKey(seq))
	if v == nil {
		return receipt{}, ErrNotFound
	}
	return decodeReceipt(v)
}

func (r *receipt) notes() (n note, err error) {
	if len(r.note) == 0 {
		return n, nil
	}
	return n, json.Unmarshal(r.note, &n)
}

// Get returns all that is known of a key's event, with payload and history.
// ErrNotFound also stands for one that left the dedup window.
func (s *Store) Get(ctx context.Context, key string) (Record, error) {
	var rec Record
	err := s.view(ctx, func(tx *bolt.Tx) error {
		seq, ok := s.keys.lookup(tx, hashKey(key))
		if !ok {
			return ErrNotFound
		}
		var err error
		rec, err = s.newReading(tx).record(seq, true)
		if rec.Key == "" {
			rec.Key = key
		}
		return err
	})
	if err != nil {
		return Record{}, fmt.Errorf("event %q: %w", key, err)
	}
	return rec, nil
}

// reading is one read transaction with what its rows share.
type reading struct {
	s      *Store
	tx     *bolt.Tx
	now    time.Duration
	work   time.Duration
	lanes  bool
	waits  bool
	states map[Seq]string // blocked by, as far as it was worked out
}

func (s *Store) newReading(tx *bolt.Tx) *reading {
	return &reading{
		s: s, tx: tx, now: s.clock.now(), work: s.clock.work(),
		lanes: !empty(tx.Bucket(bLane)), waits: !empty(tx.Bucket(bWait)), states: map[Seq]string{},
	}
}

// record reads one event, wherever it stands.
func (r *reading) record(seq Seq, full bool) (Record, error) {
	v := r.tx.Bucket(bRec).Get(seqKey(seq))
	if v == nil {
		x, err := r.s.receipt(r.tx, seq)
		if err != nil {
			return Record{}, err
		}
		return r.ended(seq, x, full)
	}
	n, err := getNote(r.tx, seq)
	if err != nil {
		return Record{}, fmt.Errorf("event %d: %w", seq, err)
	}
	h, err := decodeRec(v)
	if err != nil {
		return r.unreadable(seq, n, err), nil
	}
	return r.live(seq, &h, n, full), nil
}

func (r *reading) unreadable(seq Seq, n *note, why error) Record {
	rec := Record{Seq: seq, State: Failed, Reason: ReasonFailed, LastError: &LastError{Problem: *unreadable(why)}}
	if e, err := decodeStuck(r.tx.Bucket(bStuck).Get(seqKey(seq))); err == nil {
		rec.Route, rec.Source, rec.Since = r.s.routes[e.route], e.source, microTime(e.since)
		rec.LastError.At = rec.Since
	}
	if n != nil {
		rec.Rev = n.Rev
	}
	return rec
}

func (r *reading) live(seq Seq, h *recHeader, n *note, full bool) Record {
	rec := Record{
		Seq: seq, Key: string(h.key), Digest: h.digest, State: Pending, Route: r.s.routes[h.route],
		Lane: string(h.laneName), After: h.after, Source: string(h.source), Head: slices.Clone(h.head),
		AcceptedAt: microTime(h.accepted),
	}
	if full {
		rec.Payload = slices.Clone(h.payload)
		rec.History = []Transition{{At: rec.AcceptedAt, To: Pending}}
	}
	if n != nil {
		rec.State = n.State
		r.noted(&rec, n, full)
	}
	if a := r.s.inflight[seq]; a != nil {
		rec.State = Inflight
		rec.SentAt, rec.Kind, rec.AttemptID, rec.JobID = a.StartedAt, a.Kind, a.ID, a.JobID
		if full {
			rec.History = append(rec.History, Transition{At: a.StartedAt, From: Pending, To: Inflight, AttemptID: a.ID})
		}
	}
	r.next(&rec, h, n)
	r.reason(&rec, h, n)
	return rec
}

// noted adds what a note tells.
func (r *reading) noted(rec *Record, n *note, full bool) {
	rec.Rev, rec.Attempts, rec.LastError, rec.Matches = n.Rev, n.Attempts, n.Error, n.Matches
	rec.Kind, rec.AttemptID, rec.JobID, rec.SentAt = n.Kind, n.Attempt, n.Job, microTime(n.SentAt)
	rec.FirstSent, rec.Stale = microTime(n.First), n.Stale
	rec.SentKey, rec.OtherOrg = n.SentKey, r.s.elsewhere(n)
	rec.Warnings = n.Warnings
	if !full {
		return
	}
	if n.Edited {
		rec.Payload = slices.Clone(n.Payload)
	}
	rec.HistoryCut = n.Cut
	for _, t := range n.History {
		rec.History = append(rec.History, Transition{
			At: microTime(t.At), From: t.From, To: t.To, AttemptID: t.Attempt, Code: t.Code, By: t.By, Old: t.Old,
		})
	}
}

// next works out when a pending event is due, if it waits for a time.
func (r *reading) next(rec *Record, h *recHeader, n *note) {
	if rec.State != Pending {
		return
	}
	if wall := r.s.clock.wall().UnixMicro(); h.notBefore > wall {
		rec.NextAt = microTime(h.notBefore)
	}
	if n != nil && n.Due > r.now {
		if at := r.s.clock.wallAt(n.Due).Truncate(time.Microsecond); at.After(rec.NextAt) {
			rec.NextAt = at
		}
	}
}

// ended reads a receipt.
func (r *reading) ended(seq Seq, x receipt, full bool) (Record, error) {
	rec := Record{
		Seq: seq, Key: string(x.key), Digest: x.digest, State: x.state, Route: r.s.routes[x.route],
		Lane: string(x.laneName), Source: string(x.source), Head: slices.Clone(x.head), Attempts: x.attempts,
		AcceptedAt: microTime(x.accepted), SentAt: microTime(x.sent), EndedAt: microTime(x.ended),
		Kind: x.kind, AttemptID: x.attempt, JobID: string(x.job), ID: string(x.id), Created: x.created,
		OtherOrg: x.orgs != r.s.facts.Orgs,
	}
	n, err := x.notes()
	if err != nil {
		return Record{}, fmt.Errorf("event %d: receipt: %w", seq, err)
	}
	if len(x.note) > 0 {
		rec.LastError, rec.Rev, rec.Warnings = n.Error, n.Rev, n.Warnings
	}
	if !full {
		return rec, nil
	}
	rec.History = []Transition{{At: rec.AcceptedAt, To: Pending}}
	for _, t := range n.History {
		rec.History = append(rec.History, Transition{At: microTime(t.At), From: t.From, To: t.To, AttemptID: t.Attempt, Code: t.Code, By: t.By, Old: t.Old})
	}
	if len(n.History) == 0 {
		rec.History = append(rec.History,
			Transition{At: rec.SentAt, From: Pending, To: Inflight, AttemptID: x.attempt},
			Transition{At: rec.EndedAt, From: Inflight, To: x.state, AttemptID: x.attempt})
	}
	rec.HistoryCut = n.Cut
	return rec, nil
}

// List returns events in order of Seq. ErrCursor if the cursor is none.
func (s *Store) List(ctx context.Context, f Filter) (Page, error) {
	from, err := decodeSeqCursor('e', f.Cursor)
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = s.view(ctx, func(tx *bolt.Tx) error {
		page, err = s.newReading(tx).list(f, from+1)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("list events: %w", err)
	}
	return page, nil
}

func (r *reading) list(f Filter, from Seq) (page Page, err error) {
	limit := pageLimit(f.Limit)
	m := newMatcher(r.s, f)
	looked := 0
	err = r.walk(f, from, func(seq Seq) error {
		if looked++; len(page.Records) == limit || looked > scanBound {
			page.Next = encodeCursor('e', seqKey(seq-1))
			return errStop
		}
		rec, err := r.record(seq, f.Payload)
		if err != nil {
			return err
		}
		if m.matches(&rec) {
			page.Records = append(page.Records, rec)
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return page, err
}

// walk visits seqs in order: those of records, those of receipts, or both, as
// the wanted states ask for; failed and in_doubt alone come from their index.
func (r *reading) walk(f Filter, from Seq, visit func(Seq) error) error {
	live, ended, stuck := len(f.States) == 0, len(f.States) == 0, len(f.States) > 0
	for _, st := range f.States {
		live = live || !st.Terminal()
		ended = ended || st.Terminal()
		stuck = stuck && (st == Failed || st == InDoubt)
	}
	next := func() (Seq, bool) { return 0, false }
	if ended {
		next = r.receiptSeqs(from)
	}
	e, more := next()
	if live {
		bucket := bRec
		if stuck {
			bucket = bStuck
		}
		c := r.tx.Bucket(bucket).Cursor()
		for k, _ := c.Seek(seqKey(from)); k != nil; k, _ = c.Next() {
			for ; more && e < seqOf(k); e, more = next() {
				if err := visit(e); err != nil {
					return err
				}
			}
			if err := visit(seqOf(k)); err != nil {
				return err
			}
		}
	}
	for ; more; e, more = next() {
		if err := visit(e); err != nil {
			return err
		}
	}
	return nil
}

// receiptSeqs iterates over the receipts from a seq on.
func (r *reading) receiptSeqs(from Seq) func() (Seq, bool) {
	i, all := 0, r.s.keys.slices
	var c *bolt.Cursor
	return func() (Seq, bool) {
		for {
			if c != nil {
				if k, _ := c.Next(); k != nil {
					return seqOf(k), true
				}
				c = nil
			}
			if i == len(all) {
				return 0, false
			}
			sl := all[i]
			i++
			if sl.last < from {
				continue
			}
			b := r.tx.Bucket(bReceipt).Bucket(seqKey(sl.first))
			if b == nil {
				continue
			}
			cur := b.Cursor()
			if k, _ := cur.Seek(seqKey(from)); k != nil {
				c = cur
				return seqOf(k), true
			}
		}
	}
}

// matcher applies a filter.
type matcher struct {
	f      Filter
	before time.Time
}

func newMatcher(s *Store, f Filter) matcher {
	m := matcher{f: f}
	if f.OlderThan > 0 {
		m.before = s.clock.wall().Add(-f.OlderThan)
	}
	return m
}

func (m matcher) matches(r *Record) bool {
	f := &m.f
	return (len(f.States) == 0 || slices.Contains(f.States, r.State)) &&
		(f.Object == "" || r.Route.Object == f.Object) &&
		(f.Operation == "" || r.Route.Operation == f.Operation) &&
		(f.Source == "" || r.Source == f.Source) &&
		(f.Code == "" || r.LastError != nil && r.LastError.Code == f.Code) &&
		(f.Reason == "" || r.Reason == f.Reason) &&
		(m.before.IsZero() || r.AcceptedAt.Before(m.before))
}
