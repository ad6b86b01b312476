package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// reason works out whether an event is stuck, and why.
func (r *reading) reason(rec *Record, h *recHeader, n *note) {
	switch rec.State {
	case Failed, InDoubt:
		rec.Reason, rec.Since = ReasonFailed, microTime(n.Since)
		if rec.State == InDoubt {
			rec.Reason = ReasonInDoubt
		}
	case Pending:
		if by := r.blockedBy(rec.Seq, h); by != "" {
			rec.Reason, rec.BlockedBy, rec.Since = ReasonBlocked, by, rec.AcceptedAt
		} else if r.overdue(h, n) {
			rec.Reason, rec.Since = ReasonOverdue, dueTime(h)
		}
	}
}

// overdue: pending for longer than the threshold since it was due, pauses not
// counted.
func (r *reading) overdue(h *recHeader, n *note) bool {
	began := h.work
	if n != nil {
		began = max(began, n.Work, n.DueWork)
	}
	limit := r.s.opts.OverdueAfter
	if r.work-began <= limit {
		return false
	}
	return h.notBefore == 0 || r.s.clock.wall().UnixMicro()-h.notBefore > limit.Microseconds()
}

func dueTime(h *recHeader) time.Time { return microTime(max(h.accepted, h.notBefore)) }

// circle marks an event whose blocking is being worked out.
const circle = "\x00circle"

// blockedBy returns the key that an event waits for without hope: what its
// after names and nobody sent, or was dropped, failed, is in doubt or blocked
// itself; or the head of its lane. "" if it only waits its turn.
func (r *reading) blockedBy(seq Seq, h *recHeader) string {
	if !r.lanes && !r.waits {
		return ""
	}
	if by, ok := r.states[seq]; ok {
		return by
	}
	r.states[seq] = circle
	by := r.waitsFor(seq, h)
	if by == "" {
		by = r.behind(seq, h.lane)
	}
	r.states[seq] = by
	return by
}

func (r *reading) waitsFor(seq Seq, h *recHeader) string {
	if !r.waits {
		return ""
	}
	for _, key := range h.after {
		hash := hashKey(key)
		if !stillWaits(r.tx.Bucket(bWait), hash, seq) {
			continue
		}
		other, ok := r.s.keys.lookup(r.tx, hash)
		if !ok || r.hopeless(other) {
			return key
		}
	}
	return ""
}

// hopeless reports whether an event won't be delivered by itself.
func (r *reading) hopeless(seq Seq) bool {
	v := r.tx.Bucket(bRec).Get(seqKey(seq))
	if v == nil {
		x, err := r.s.receipt(r.tx, seq)
		return err != nil || x.state != Delivered
	}
	if r.s.inflight[seq] != nil {
		return false
	}
	if n, err := getNote(r.tx, seq); err != nil || n != nil && n.State != Pending {
		return true
	}
	h, err := decodeRec(v)
	return err != nil || r.blockedBy(seq, &h) != ""
}

// behind finds the head of a lane that keeps a seq back.
func (r *reading) behind(seq Seq, lane uint64) string {
	if !r.lanes || lane == 0 {
		return ""
	}
	c, prefix := r.tx.Bucket(bLane).Cursor(), string(u64key(lane))
	for k, v := c.Seek(pairKey(lane, 0)); k != nil && string(k[:8]) == prefix && seqOf(k) < seq; k, v = c.Next() {
		e := decodeLane(v)
		if !e.blocks(r.now) {
			continue
		}
		if by := r.head(seqOf(k), e.kind); by != "" {
			return by
		}
	}
	return ""
}

// head returns the key of a lane's head if it is stuck or blocked itself.
func (r *reading) head(seq Seq, kind laneKind) string {
	v := r.tx.Bucket(bRec).Get(seqKey(seq))
	if v == nil {
		return "" // a hold alone: it ends by itself
	}
	h, err := decodeRec(v)
	if kind == laneStuck {
		if err != nil {
			return fmt.Sprintf("(unreadable record %d)", seq)
		}
		return string(h.key)
	}
	if err == nil && r.blockedBy(seq, &h) != "" {
		return string(h.key)
	}
	return ""
}

// stuckRow is a stuck event, as far as its filter and the summary need it.
type stuckRow struct {
	seq    Seq
	reason Reason
	since  int64
	route  uint32
	code   string
	source string
}

// overdueBound is how many of the oldest records one question for overdue events
// looks at. They may be all of a backlog, which nobody can count while he waits.
const overdueBound = 4096

// stuckRows finds every stuck event, in order of seq. It follows the number of
// exceptions; overdue ones are found by going through the oldest records, as far
// as a reach goes.
func (r *reading) stuckRows(want Reason, reach *reach) ([]stuckRow, error) {
	var rows []stuckRow
	lanes := map[uint64]Seq{}
	err := r.tx.Bucket(bStuck).ForEach(func(k, v []byte) error {
		e, err := decodeStuck(v)
		if err != nil {
			return fmt.Errorf("event %d: %w", seqOf(k), err)
		}
		row := stuckRow{seq: seqOf(k), reason: ReasonFailed, since: e.since, route: e.route, code: e.code, source: e.source}
		if e.state == InDoubt {
			row.reason = ReasonInDoubt
		}
		rows = append(rows, row)
		if first, ok := lanes[e.lane]; e.lane != 0 && (!ok || row.seq < first) {
			lanes[e.lane] = row.seq
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if want == "" || want == ReasonBlocked {
		rows = append(rows, r.blockedRows(lanes)...)
	}
	if want == "" || want == ReasonOverdue {
		rows = append(rows, r.overdueRows(rows, reach)...)
	}
	slices.SortFunc(rows, func(a, b stuckRow) int { return cmp.Compare(a.seq, b.seq) })
	return rows, nil
}

// blockedRows finds who is behind stuck heads of lanes, and who waits in vain.
func (r *reading) blockedRows(lanes map[uint64]Seq) []stuckRow {
	seen := map[Seq]bool{}
	var rows []stuckRow
	add := func(seq Seq) {
		v := r.tx.Bucket(bRec).Get(seqKey(seq))
		h, err := decodeRec(v)
		if seen[seq] || err != nil || r.s.inflight[seq] != nil {
			return
		}
		seen[seq] = true
		if n, err := getNote(r.tx, seq); err != nil || n != nil && n.State != Pending {
			return
		}
		if r.blockedBy(seq, &h) != "" {
			rows = append(rows, stuckRow{seq: seq, reason: ReasonBlocked, since: h.accepted, route: h.route, source: string(h.source)})
		}
	}
	c := r.tx.Bucket(bWait).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		seq := seqOf(k)
		add(seq)
		h, err := decodeRec(r.tx.Bucket(bRec).Get(seqKey(seq)))
		if err == nil && h.lane != 0 && r.states[seq] != "" {
			if first, ok := lanes[h.lane]; !ok || seq < first {
				lanes[h.lane] = seq
			}
		}
	}
	for lane, first := range lanes {
		for _, seq := range r.followers(lane, first) {
			add(seq)
		}
	}
	return rows
}

// followers lists the known events of a lane after a seq, on disk and in the window.
func (r *reading) followers(lane uint64, after Seq) (seqs []Seq) {
	c, prefix := r.tx.Bucket(bLane).Cursor(), string(u64key(lane))
	for k, _ := c.Seek(pairKey(lane, after+1)); k != nil && string(k[:8]) == prefix; k, _ = c.Next() {
		seqs = append(seqs, seqOf(k))
	}
	for e := r.s.win.lanes[lane]; e != nil && e.seq > after; e = e.prev {
		seqs = append(seqs, e.seq)
	}
	return seqs
}

// reach bounds a search for overdue events: records are looked at from the oldest
// on, and again from after, each time up to a number of them. end is the last one
// where the search ended early, else 0.
type reach struct {
	bound int
	after Seq
	end   Seq
}

// overdueRows goes through the records that are old enough.
func (r *reading) overdueRows(others []stuckRow, reach *reach) (rows []stuckRow) {
	known := make(map[Seq]bool, len(others))
	for _, row := range others {
		known[row.seq] = true
	}
	c := r.tx.Bucket(bRec).Cursor()
	walk := func(k, v []byte) (last Seq) {
		reach.end = 0
		for n := 0; k != nil && r.work-recWork(v) > r.s.opts.OverdueAfter; k, v = c.Next() {
			if n++; n > reach.bound {
				reach.end = last
				break
			}
			last = seqOf(k)
			if row, ok := r.overdueRow(last, v); ok && !known[last] {
				rows = append(rows, row)
			}
		}
		return last
	}
	if last := walk(c.First()); reach.end > 0 && reach.after >= last {
		walk(c.Seek(seqKey(reach.after + 1)))
	}
	return rows
}

func (r *reading) overdueRow(seq Seq, v []byte) (row stuckRow, ok bool) {
	h, err := decodeRec(v)
	if err != nil || r.s.inflight[seq] != nil {
		return row, false
	}
	n, err := getNote(r.tx, seq)
	if err != nil || n != nil && n.State != Pending || r.blockedBy(seq, &h) != "" || !r.overdue(&h, n) {
		return row, false
	}
	return stuckRow{seq: seq, reason: ReasonOverdue, since: unixMicro(dueTime(&h)), route: h.route, source: string(h.source)}, true
}

// matchesRow applies what a row can answer of a filter; the rest needs the record.
func (m matcher) matchesRow(r *reading, row stuckRow) bool {
	f, route := &m.f, r.s.routes[row.route]
	ok := (f.Object == "" || route.Object == f.Object) &&
		(f.Operation == "" || route.Operation == f.Operation) &&
		(f.Source == "" || row.source == f.Source) &&
		(f.Reason == "" || row.reason == f.Reason)
	if !ok {
		return false
	}
	exact := m.before.IsZero() && len(f.States) == 0 && (f.Code == "" || row.code != "")
	if exact {
		return f.Code == "" || row.code == f.Code
	}
	rec, err := r.record(row.seq, false)
	return err == nil && m.matches(&rec)
}

func (s *Store) stuckMatching(tx *bolt.Tx, f Filter) ([]Seq, error) {
	r := s.newReading(tx)
	rows, err := r.stuckRows(f.Reason, &reach{bound: math.MaxInt})
	if err != nil {
		return nil, err
	}
	m := newMatcher(s, f)
	var seqs []Seq
	for _, row := range rows {
		if m.matchesRow(r, row) {
			seqs = append(seqs, row.seq)
		}
	}
	return seqs, nil
}

// Stuck lists stuck events in order of Seq, with the total and a summary of all
// that the filter matches. Events that wait behind a stuck one are found as far
// as the look-ahead has met them; of overdue ones the oldest few thousand are
// counted, and a page may be short of its limit although there is a next one.
// ErrCursor if the cursor is none.
func (s *Store) Stuck(ctx context.Context, f Filter) (StuckPage, error) {
	from, err := decodeSeqCursor('s', f.Cursor)
	if err != nil {
		return StuckPage{}, err
	}
	var page StuckPage
	err = s.view(ctx, func(tx *bolt.Tx) error {
		page, err = s.newReading(tx).stuckPage(f, from)
		return err
	})
	if err != nil {
		return StuckPage{}, fmt.Errorf("list stuck events: %w", err)
	}
	return page, nil
}

func (r *reading) stuckPage(f Filter, after Seq) (page StuckPage, err error) {
	reach := reach{bound: overdueBound, after: after}
	rows, err := r.stuckRows(f.Reason, &reach)
	if err != nil {
		return page, err
	}
	limit, m := pageLimit(f.Limit), newMatcher(r.s, f)
	sum := summary{groups: map[groupKey]*StuckGroup{}}
	for _, row := range rows {
		if !m.matchesRow(r, row) {
			continue
		}
		page.Total++
		sum.add(r, row)
		if row.seq <= after || reach.end > 0 && row.seq > reach.end {
			continue
		}
		if len(page.Records) == limit {
			page.Next = encodeCursor('s', seqKey(page.Records[limit-1].Seq))
			continue
		}
		rec, err := r.record(row.seq, f.Payload)
		if err != nil {
			return page, err
		}
		page.Records = append(page.Records, rec)
	}
	if page.Next == "" && reach.end > 0 {
		page.Next = encodeCursor('s', seqKey(reach.end))
	}
	page.Summary = sum.list()
	return page, nil
}

type groupKey struct {
	reason Reason
	object string
	code   string
}

type summary struct {
	groups map[groupKey]*StuckGroup
}

func (s *summary) add(r *reading, row stuckRow) {
	k := groupKey{row.reason, r.s.routes[row.route].Object, row.code}
	g := s.groups[k]
	since := microTime(row.since)
	if g == nil {
		g = &StuckGroup{Reason: k.reason, Object: k.object, Code: k.code, Oldest: since}
		if h, err := decodeRec(r.tx.Bucket(bRec).Get(seqKey(row.seq))); err == nil {
			g.Example = string(h.key)
		}
		s.groups[k] = g
	}
	g.Count++
	if since.Before(g.Oldest) {
		g.Oldest = since
	}
}

// list orders the summary by count, the largest first.
func (s *summary) list() []StuckGroup {
	list := make([]StuckGroup, 0, len(s.groups))
	for _, g := range s.groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b StuckGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Code, b.Code))
	})
	return list
}
