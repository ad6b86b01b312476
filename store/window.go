package store

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bounds of the look-ahead; a test makes them small.
var (
	windowSize = 1 << 16 // events of one stream that are looked at ahead
	fillStep   = 1 << 13 // read at a time
	fewEntries = 1 << 10 // of a stream while the others are many
	dueStep    = 1 << 12 // due events taken up at a time
)

// entryState says where an event stands in memory.
type entryState uint8

const (
	entryReady    entryState = iota
	entryFollower            // behind another one of its lane, in memory or on disk
	entryInflight
	entryGone // left: terminal, or set aside on disk
)

// entry is an event that the look-ahead knows.
type entry struct {
	seq      Seq
	lane     uint64
	route    uint32
	size     uint32
	stream   uint32
	state    entryState
	aside    bool // was set aside on disk: it doesn't hold the stream's low mark
	restOnly bool
	queued   bool          // stands in its route's queue, whatever its state
	since    time.Duration // work clock: when it became due
	prev     *entry        // neighbours in its lane
	next     *entry
}

// span is one value of a stream's index that lies within the window.
type span struct{ first, last Seq }

// stream is the look-ahead over one stream's index.
type stream struct {
	id      uint32
	scanned Seq  // the index is read up to here
	tail    Seq  // newest event of the stream
	low     Seq  // everything below is terminal or set aside
	tidy    bool // no index value is left below it
	entries []*entry
	live    int
	spans   []span
}

// routeQueue holds what is ready on one route, in the order in which it became so.
type routeQueue struct {
	ready []*entry
	head  int
	n     int // of these, ready
	rest  int // of these, for REST only
	bytes int64
}

// window is the memory of the scheduler: a hint that Claim verifies.
type window struct {
	streams map[uint32]*stream
	order   []*stream         // the same, in the order of their ids
	lanes   map[uint64]*entry // the last event of each lane
	routes  map[uint32]*routeQueue
	aside   map[Seq]*entry // taken up from due, wdue or a wake
	due     []byte         // keys up to here are taken up
	wdue    []byte
	held    []byte // holds up to here have ended, and whom they held was woken
	bad     []Seq  // could not be decoded
	seenAt  int64  // wall time of the last look at wdue
}

func newWindow() *window {
	return &window{
		streams: map[uint32]*stream{}, lanes: map[uint64]*entry{},
		routes: map[uint32]*routeQueue{}, aside: map[Seq]*entry{},
	}
}

// laneHash stands for a lane on disk; two lanes of one hash only wait for each
// other without need. 0 is no lane.
func laneHash(lane string) uint64 {
	if lane == "" {
		return 0
	}
	h := hashKey(lane)
	return max(binary.BigEndian.Uint64(h[:]), 1)
}

// streamName says which stream an event belongs to. Events that share a lane
// share a stream, so the lane alone decides: default lanes begin with their
// object and a slash, and whatever else does so goes with them; the others have
// one in common. Who has no lane waits for nobody, and goes by its object.
func streamName(e *Event) string {
	if e.Lane == "" {
		return "free:" + strings.ToLower(e.Route.Object)
	}
	if first, _, ok := strings.Cut(e.Lane, "/"); ok && isName(first) {
		return "lane:" + strings.ToLower(first)
	}
	return "lane"
}

// isName reports whether a text could be the name of an object.
func isName(text string) bool {
	for i, r := range text {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return text != ""
}

func (w *window) add(st *stream) {
	w.streams[st.id] = st
	w.order = append(w.order, st)
}

// remove takes back the stream that was added last.
func (w *window) remove(id uint32) {
	delete(w.streams, id)
	w.order = w.order[:len(w.order)-1]
}

// find returns the entry of an event, nil if the window doesn't know it.
func (w *window) find(streamID uint32, seq Seq) *entry {
	if e := w.aside[seq]; e != nil {
		return e
	}
	st := w.streams[streamID]
	if st == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(st.entries, seq, func(e *entry, s Seq) int { return cmp.Compare(e.seq, s) })
	if !ok {
		return nil
	}
	return st.entries[i]
}

func (w *window) queue(route uint32) *routeQueue {
	q := w.routes[route]
	if q == nil {
		q = &routeQueue{}
		w.routes[route] = q
	}
	return q
}

// link takes an entry into its lane, in order of seq; it is ready if it is the
// first there, and then the one that was first waits behind it.
func (w *window) link(e *entry) {
	if first := w.place(e); !first {
		e.state = entryFollower
		return
	}
	w.demote(e.next)
	w.makeReady(e)
}

// linkInflight does the same with an event that an attempt holds.
func (w *window) linkInflight(e *entry) {
	e.state = entryInflight
	if first := w.place(e); first {
		w.demote(e.next)
	}
}

func (w *window) demote(e *entry) {
	if e != nil && e.state == entryReady {
		w.unready(e)
		e.state = entryFollower
	}
}

// place puts an entry into its lane's list and reports whether it is the first.
// It is searched for from the end: what is met anew is mostly the newest.
func (w *window) place(e *entry) (first bool) {
	if e.lane == 0 {
		return true
	}
	last := w.lanes[e.lane]
	if last == nil || last.seq < e.seq {
		if e.prev = last; last != nil {
			last.next = e
		}
		w.lanes[e.lane] = e
		return last == nil
	}
	after := last
	for after.prev != nil && after.prev.seq > e.seq {
		after = after.prev
	}
	e.next, e.prev = after, after.prev
	if after.prev != nil {
		after.prev.next = e
	}
	after.prev = e
	return e.prev == nil
}

func (w *window) makeReady(e *entry) {
	e.state = entryReady
	q := w.queue(e.route)
	if !e.queued {
		q.ready = append(q.ready, e)
		e.queued = true
	}
	q.n++
	q.bytes += int64(e.size)
	if e.restOnly {
		q.rest++
	}
}

// requeue puts an entry back that a claim took out and did not keep: it is the
// first again.
func (w *window) requeue(e *entry) {
	if e.state != entryReady || e.queued {
		return
	}
	q := w.queue(e.route)
	if q.head == 0 {
		q.ready = slices.Insert(q.ready, 0, e)
	} else {
		q.head--
		q.ready[q.head] = e
	}
	e.queued = true
}

// turn moves an entry that was taken out of its queue into another route's.
func (w *window) turn(e *entry, route uint32) {
	if w.find(e.stream, e.seq) != e {
		w.leave(e) // known twice: the other one is the event
		return
	}
	w.unready(e)
	e.route = route
	w.makeReady(e)
}

// unready takes an entry out of the counts; its place in the queue is skipped later.
func (w *window) unready(e *entry) {
	q := w.queue(e.route)
	q.n--
	q.bytes -= int64(e.size)
	if e.restOnly {
		q.rest--
	}
}

// leave forgets an entry; the next one of its lane may become ready.
func (w *window) leave(e *entry) {
	if e.state == entryGone {
		return
	}
	if e.state == entryReady {
		w.unready(e)
	}
	e.state = entryGone
	delete(w.aside, e.seq)
	if st := w.streams[e.stream]; st != nil && !e.aside {
		st.live--
	}
	if e.lane == 0 {
		return
	}
	next := e.next
	if e.prev != nil {
		e.prev.next = next
	}
	if next != nil {
		next.prev = e.prev
	} else if e.prev != nil {
		w.lanes[e.lane] = e.prev
	} else {
		delete(w.lanes, e.lane)
	}
	if next != nil && next.prev == nil && next.state == entryFollower {
		w.makeReady(next)
	}
	e.prev, e.next = nil, nil
}

// wake makes the first event of a lane ready that waited for something on disk.
func (w *window) wake(lane uint64) {
	e := w.lanes[lane]
	if lane == 0 || e == nil {
		return
	}
	for e.prev != nil {
		e = e.prev
	}
	if e.state == entryFollower {
		w.makeReady(e)
	}
}

// park takes back a ready entry that a claim found blocked on disk.
func (w *window) park(e *entry) {
	w.unready(e)
	e.state = entryFollower
}

// compact drops entries that left.
func (st *stream) compact() {
	if len(st.entries) > 2*st.live+64 {
		kept := st.entries[:0]
		for _, e := range st.entries {
			if e.state != entryGone {
				kept = append(kept, e)
			}
		}
		clear(st.entries[len(kept):])
		st.entries = kept
	}
}

// lowMark is the first seq of the stream that is neither terminal nor aside.
func (st *stream) lowMark() Seq {
	for len(st.entries) > 0 && st.entries[0].state == entryGone {
		st.entries = st.entries[1:]
	}
	if len(st.entries) > 0 {
		return st.entries[0].seq
	}
	return st.scanned + 1
}

// each goes through what is ready, in order, until f says stop. Entries that f
// takes leave the queue; f must not change the queue.
func (q *routeQueue) each(f func(e *entry) (taken, more bool)) {
	var passed []*entry
	i, more := q.head, true
	for ; i < len(q.ready) && more; i++ {
		e := q.ready[i]
		taken := e.state != entryReady
		if !taken {
			taken, more = f(e)
		}
		if taken {
			e.queued = false
		} else {
			passed = append(passed, e)
		}
	}
	clear(q.ready[q.head:i])
	q.head = i - len(passed)
	copy(q.ready[q.head:i], passed)
	if q.head == len(q.ready) || q.head > 4096 && q.head > len(q.ready)/2 {
		q.ready = slices.Delete(q.ready, 0, q.head)
		q.head = 0
	}
}

// crowded reports whether the windows of all streams together hold so much that
// each may only have a few more.
func (w *window) crowded() bool {
	live := 0
	for _, st := range w.order {
		live += st.live
	}
	return live > 4*windowSize
}

// fill reads on in a stream's index while its window has room.
func (s *Store) fill(tx *bolt.Tx, st *stream) {
	st.compact() // also where puts alone keep the window full
	room := min(windowSize-st.live, fillStep)
	if s.win.crowded() {
		room = min(fewEntries-st.live, fillStep)
	}
	if room <= 0 || st.scanned >= st.tail {
		return
	}
	t := taker{s: s, tx: tx, notes: tx.Bucket(bNote), recs: tx.Bucket(bRec), now: s.clock.now(), wall: s.clock.wall().UnixMicro()}
	t.hasNotes = !empty(t.notes)
	c, prefix := tx.Bucket(bIdx).Cursor(), u32key(st.id)
	k, v := seekValue(c, st.id, st.scanned+1)
	for ; k != nil && room > 0 && string(k[:4]) == string(prefix); k, v = c.Next() {
		first, last := seqOf(k), st.scanned
		err := decodeIdx(first, v, func(x idxEntry) {
			if last = x.seq; x.seq > st.scanned {
				st.scanned = x.seq
				room--
				t.meet(st, x)
			}
		})
		if err != nil {
			s.log.Error("index value can't be decoded; run check", "stream", st.id, "seq", uint64(first), "err", err)
		}
		if n := len(st.spans); n == 0 || st.spans[n-1].first < first {
			st.spans = append(st.spans, span{first, last})
		}
	}
	if k == nil || string(k[:4]) != string(prefix) {
		st.scanned = max(st.scanned, st.tail)
	}
}

// seekValue finds the index value that holds a seq of a stream, or the next one.
func seekValue(c *bolt.Cursor, stream uint32, at Seq) (k, v []byte) {
	key, prefix := idxKey(stream, at), string(u32key(stream))
	k, v = c.Seek(key)
	if k != nil && string(k) == string(key) {
		return k, v
	}
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	if k != nil && string(k[:4]) == prefix {
		return k, v
	}
	return c.Seek(key)
}

// taker takes events up into the window within one transaction.
type taker struct {
	s        *Store
	tx       *bolt.Tx
	notes    *bolt.Bucket
	recs     *bolt.Bucket
	hasNotes bool
	now      time.Duration
	wall     int64
}

// meet takes the next event of a stream's index into the window, unless it is
// somewhere else: terminal, stuck, or set aside and not due.
func (t *taker) meet(st *stream, x idxEntry) {
	w := t.s.win
	if w.aside[x.seq] != nil {
		return
	}
	key := seqKey(x.seq)
	if x.aside || t.hasNotes && t.notes.Get(key) != nil {
		// Its time may have passed unheard, so the index is what leads back to it
		// after a restart: it holds the low mark.
		if e := t.due(x.seq); e != nil {
			w.link(e)
			st.entries = append(st.entries, e)
			st.live++
		}
		return
	}
	rec := t.recs.Get(key)
	if rec == nil {
		return
	}
	e := &entry{seq: x.seq, lane: x.lane, route: x.route, size: x.size, stream: st.id, since: recWork(rec)}
	if a := t.s.inflight[x.seq]; a != nil {
		w.linkInflight(e)
		a.entries[x.seq] = e
	} else {
		w.link(e)
	}
	st.entries = append(st.entries, e)
	st.live++
}

// takeUp takes an event that was set aside into the window if it is pending and
// due. It may be called for any seq, any number of times. Its entry in an index
// of times stays while it is there.
func (t *taker) takeUp(seq Seq) {
	if e := t.due(seq); e != nil {
		e.aside = true
		t.s.win.aside[seq] = e
		t.s.win.link(e)
	}
}

// due makes an entry of an event that was set aside; nil if it is not pending,
// not due, or in the window already.
func (t *taker) due(seq Seq) *entry {
	w := t.s.win
	if w.aside[seq] != nil || t.s.inflight[seq] != nil {
		return nil
	}
	key := seqKey(seq)
	rec := t.recs.Get(key)
	if rec == nil {
		return nil
	}
	h, err := decodeRec(rec)
	if err != nil {
		w.bad = append(w.bad, seq) // the next Sweep sets it aside
		return nil
	}
	st := w.streams[h.stream]
	if known := w.find(h.stream, seq); known != nil && known.state != entryGone {
		return nil // met by its stream's index, as after a restart
	}
	if st == nil || h.lane != 0 && seq > st.scanned {
		return nil // an earlier one of its lane may not have been met yet; meet comes to it
	}
	e := &entry{seq: seq, lane: h.lane, route: h.route, size: uint32(len(rec)), stream: h.stream, since: h.work}
	if v := t.notes.Get(key); v != nil {
		var n note
		if decodeJSON(v, &n) != nil || n.State != Pending || n.Due > t.now {
			return nil
		}
		e.restOnly = n.RESTOnly
		if t.s.located(&n) {
			e.route = n.Route
		}
		e.since = max(e.since, n.Work)
	}
	// A time whose entry is gone has passed before, whatever the wall clock says now.
	early := h.notBefore > t.wall && t.tx.Bucket(bWdue).Get(pairKey(uint64(h.notBefore), seq)) != nil
	if early || t.waits(&h, seq) {
		return nil
	}
	return e
}

// waits reports whether an event still waits for another key.
func (t *taker) waits(h *recHeader, seq Seq) bool {
	b := t.tx.Bucket(bWait)
	for _, k := range h.after {
		if stillWaits(b, hashKey(k), seq) {
			return true
		}
	}
	return false
}

func stillWaits(b *bolt.Bucket, h keyHash, seq Seq) bool {
	return string(b.Get(waitKey(h, seq))) == string(waiting)
}

// takeDue takes up what has become due since the last call and returns how long
// it is to the next time, negative if nothing waits for one.
func (s *Store) takeDue(tx *bolt.Tx) time.Duration {
	t := taker{s: s, tx: tx, notes: tx.Bucket(bNote), recs: tx.Bucket(bRec), now: s.clock.now(), wall: s.clock.wall().UnixMicro()}
	w := s.win
	if t.wall < w.seenAt {
		w.wdue = nil // the wall clock went back: times passed over may be due again
	}
	w.seenAt = t.wall
	next := t.pass(bDue, &w.due, uint64(t.now), time.Nanosecond)
	next = sooner(next, t.pass(bWdue, &w.wdue, uint64(t.wall), time.Microsecond))
	return sooner(next, t.endHolds())
}

// rewind lets the look-ahead begin anew with times of the wall clock if one was
// stored that it has passed over: the clock went back and nobody has looked since.
func (w *window) rewind(key []byte) {
	if string(key) <= string(w.wdue) {
		w.wdue = nil
	}
}

// sooner is the smaller of two waits, of which a negative one is none.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// endHolds wakes the lanes whose holds have ended.
func (t *taker) endHolds() time.Duration {
	w := t.s.win
	c := t.tx.Bucket(bHold).Cursor()
	k, _ := c.Seek(w.held)
	for ; k != nil; k, _ = c.Next() {
		r := reader{b: k}
		until, lane := time.Duration(r.u64()), r.u64()
		if until > t.now {
			return until - t.now
		}
		if string(k) == string(w.held) {
			continue
		}
		w.held = append(w.held[:0], k...)
		w.wake(lane)
		if seq, ok := firstFollower(t.tx, lane, t.now); ok {
			t.takeUp(seq)
		}
	}
	return -1
}

// firstFollower finds the event that was set aside behind others of its lane and
// has nothing before it any more.
func firstFollower(tx *bolt.Tx, lane uint64, now time.Duration) (Seq, bool) {
	c, prefix := tx.Bucket(bLane).Cursor(), string(u64key(lane))
	for k, v := c.Seek(pairKey(lane, 0)); k != nil && string(k[:8]) == prefix; k, v = c.Next() {
		if e := decodeLane(v); e.blocks(now) {
			return seqOf(k), e.kind == laneFollower
		}
	}
	return 0, false
}

// pass takes up the events of a time index between a mark and now.
func (t *taker) pass(bucket []byte, mark *[]byte, now uint64, unit time.Duration) time.Duration {
	c := t.tx.Bucket(bucket).Cursor()
	k, _ := c.Seek(*mark)
	if k != nil && string(k) == string(*mark) {
		k, _ = c.Next()
	}
	for n := 0; k != nil; k, _ = c.Next() {
		at := binary.BigEndian.Uint64(k)
		if at > now {
			return time.Duration(at-now) * unit
		}
		if n++; n > dueStep {
			return 0
		}
		t.takeUp(seqOf(k))
		*mark = append((*mark)[:0], k...)
	}
	return -1
}

// recWork is the acceptance time on the work clock, without decoding a record.
func recWork(rec []byte) time.Duration {
	if len(rec) < recFixed {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint64(rec[recTimesAt+8:]))
}
