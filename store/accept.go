package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// putOp is one call of Put on its way through the writer.
type putOp struct {
	events  []prepared
	atomic  bool
	size    int
	results []PutResult
}

// prepared is an event made ready outside the writer, so that the writer has
// little to do for each.
type prepared struct {
	e      *Event
	hash   keyHash
	lane   uint64
	stream string
	rec    []byte
}

// Put stores events durably, in order. Each gets its own result; with Atomic
// they are stored all or none. The error is for the call as a whole: ErrUnknown,
// ErrUnavailable, ErrClosed, or the context's while it waited to be taken.
func (s *Store) Put(ctx context.Context, events []Event, o PutOptions) ([]PutResult, error) {
	if len(events) == 0 {
		return nil, nil
	}
	p := &putOp{events: make([]prepared, len(events)), atomic: o.Atomic, results: make([]PutResult, len(events))}
	recs := recBuffers.Get().(*[]byte)
	*recs = p.prepare(events, (*recs)[:0])
	if err := s.submit(ctx, &op{put: p}); err != nil {
		return nil, fmt.Errorf("put: %w", err) // the writer may still look at the records
	}
	if cap(*recs) <= keepRecs {
		recBuffers.Put(recs)
	}
	return p.results, nil
}

// recBuffers hold the records of a put until it is committed; larger ones than
// keepRecs bytes are not kept for the next.
var recBuffers = sync.Pool{New: func() any { return new([]byte) }}

const keepRecs = 2 << 20

// prepare encodes the records into a buffer, and returns that.
func (p *putOp) prepare(events []Event, recs []byte) []byte {
	size := 0
	for i := range events {
		size += recSize(&events[i])
	}
	recs = slices.Grow(recs, size) // so that no record is moved any more
	for i := range events {
		e, at := &events[i], len(recs)
		lane := laneHash(e.Lane)
		recs = appendRec(recs, e, lane)
		p.events[i] = prepared{e: e, hash: hashKey(e.Key), lane: lane, stream: streamName(e), rec: recs[at:len(recs):len(recs)]}
	}
	p.size = len(recs)
	return recs
}

// refuse answers every event that would have been stored by the transaction that
// failed, of which next would have been the first, and every repeat of one.
func (p *putOp) refuse(err error, next Seq) {
	for i := range p.results {
		if r := &p.results[i]; r.Err == nil && (!r.Duplicate || r.Seq >= next) {
			*r = PutResult{Err: err}
		}
	}
}

// group is what the puts of one transaction have in common.
type group struct {
	t     *txn
	full  Fullness // new events are refused
	first Seq
	keys  map[keyHash]int // of this transaction, place in added
	added []added
	idx   map[uint32][]added
}

type added struct {
	p     *prepared
	seq   Seq
	route uint32
	aside bool
}

// puts stores all puts of a group; those that are refused leave no trace.
func (t *txn) puts(ops []*op) error {
	size := 0
	for _, o := range ops {
		size += o.put.size
	}
	full, err := t.fullness(size)
	if err != nil {
		return err
	}
	if full != "" {
		t.s.setFull(full)
	} else if _, err := t.sweepRoom(); err != nil {
		return err
	}
	events := 0
	for _, o := range ops {
		events += len(o.put.events)
	}
	g := &group{
		t: t, full: full, first: t.num.Next, idx: map[uint32][]added{},
		keys: make(map[keyHash]int, events), added: make([]added, 0, events),
	}
	for _, o := range ops {
		if err := g.add(o.put); err != nil {
			return err
		}
	}
	if len(g.added) == 0 {
		return nil
	}
	return g.store()
}

// add decides about the events of one put.
func (g *group) add(p *putOp) error {
	mark := len(g.added)
	refused := false
	for i := range p.events {
		r, err := g.decide(&p.events[i])
		if err != nil {
			return err
		}
		p.results[i] = r
		refused = refused || r.Err != nil
	}
	if !p.atomic || !refused {
		return nil
	}
	for _, a := range g.added[mark:] {
		delete(g.keys, a.p.hash)
	}
	g.added = g.added[:mark]
	for i := range p.results {
		if p.results[i].Err == nil {
			p.results[i] = PutResult{Err: ErrAborted}
		}
	}
	return nil
}

func (g *group) decide(p *prepared) (PutResult, error) {
	if i, ok := g.keys[p.hash]; ok {
		a := g.added[i]
		if a.p.e.Digest != p.e.Digest {
			return PutResult{Err: ErrKeyReused}, nil
		}
		return PutResult{Seq: a.seq, State: Pending, Duplicate: true}, nil
	}
	if seq, ok := g.t.s.keys.lookup(g.t.tx, p.hash); ok {
		return g.t.known(seq, p.e.Digest)
	}
	if g.full != "" {
		return PutResult{Err: g.full.err()}, nil
	}
	seq := g.first + Seq(len(g.added))
	g.keys[p.hash] = len(g.added)
	g.added = append(g.added, added{p: p, seq: seq})
	return PutResult{Seq: seq, State: Pending}, nil
}

// known answers for a key that has an event.
func (t *txn) known(seq Seq, digest Digest) (PutResult, error) {
	v, err := t.s.standing(t.tx, seq)
	if err != nil {
		return PutResult{}, fmt.Errorf("event %d: %w", seq, err)
	}
	if v.digest != digest {
		return PutResult{Err: ErrKeyReused}, nil
	}
	return PutResult{Seq: seq, State: v.state, Duplicate: true}, nil
}

// store writes what was added.
func (g *group) store() error {
	t := g.t
	recs := appendBucket(t.tx, bRec)
	wall, work := t.wall, t.work
	for i := range g.added {
		a := &g.added[i]
		var err error
		if a.route, err = t.routeID(a.p.e.Route); err != nil {
			return err
		}
		stream, err := t.streamID(a.p.stream, a.p.lane != 0)
		if err != nil {
			return err
		}
		sealRec(a.p.rec, wall, work, a.route, stream)
		if err := recs.Put(seqKey(a.seq), a.p.rec); err != nil {
			return err
		}
		if err := g.setAside(a); err != nil {
			return err
		}
		g.idx[stream] = append(g.idx[stream], *a)
		t.count(a.p.e.Route.Object, 0, Pending, 1)
	}
	if err := g.storeIdx(); err != nil {
		return err
	}
	if err := g.storeKeys(); err != nil {
		return err
	}
	t.num.Next = g.first + Seq(len(g.added))
	t.num.Accepted += int64(len(g.added))
	t.wake = true
	return nil
}

// setAside writes what an event waits for beside its turn.
func (g *group) setAside(a *added) error {
	t, e := g.t, a.p.e
	if !e.ExpiresAt.IsZero() {
		if err := t.tx.Bucket(bExpiry).Put(pairKey(uint64(unixMicro(e.ExpiresAt)), a.seq), present); err != nil {
			return err
		}
	}
	if at := unixMicro(e.NotBefore); at > t.wall {
		a.aside = true
		key := pairKey(uint64(at), a.seq)
		if err := t.tx.Bucket(bWdue).Put(key, present); err != nil {
			return err
		}
		t.post = append(t.post, func() { t.s.win.rewind(key) })
	}
	for _, key := range e.After {
		done, err := t.delivered(key)
		if err != nil {
			return err
		}
		v := satisfied
		if !done {
			a.aside, v = true, waiting
		}
		if err := t.tx.Bucket(bWait).Put(waitKey(hashKey(key), a.seq), v); err != nil {
			return err
		}
	}
	if !a.aside {
		return nil
	}
	return t.setLane(a.p.lane, a.seq, laneAside, 0)
}

// delivered reports whether a key's event has reached the org.
func (t *txn) delivered(key string) (bool, error) {
	seq, ok := t.s.keys.lookup(t.tx, hashKey(key))
	if !ok {
		return false, nil
	}
	v, err := t.s.standing(t.tx, seq)
	return v.state == Delivered, err
}

// idxChunk bounds the events of one index value, to keep it within a page.
const idxChunk = 200

func (g *group) storeIdx() error {
	for _, stream := range slices.Sorted(maps.Keys(g.idx)) {
		list := g.idx[stream]
		b := g.t.tx.Bucket(bIdx)
		for start := 0; start < len(list); start += idxChunk {
			part := list[start:min(start+idxChunk, len(list))]
			first := part[0].seq
			v := make([]byte, 0, 14*len(part))
			for _, a := range part {
				v = appendIdx(v, first, idxEntry{seq: a.seq, route: a.route, lane: a.p.lane, size: uint32(len(a.p.rec)), aside: a.aside})
			}
			if err := b.Put(idxKey(stream, first), v); err != nil {
				return err
			}
		}
		g.t.post = append(g.t.post, func() { g.meet(g.t.s.win.streams[stream], list) })
	}
	return nil
}

// meet takes new events into the window at once where it reaches up to them;
// else the look-ahead will come to them.
func (g *group) meet(st *stream, list []added) {
	reaches := st.scanned >= st.tail && st.live+len(list) <= windowSize
	st.tail = list[len(list)-1].seq
	if !reaches {
		return
	}
	w := g.t.s.win
	for start := 0; start < len(list); start += idxChunk {
		part := list[start:min(start+idxChunk, len(list))]
		st.spans = append(st.spans, span{part[0].seq, part[len(part)-1].seq})
	}
	for _, a := range list {
		if a.aside {
			continue
		}
		e := &entry{seq: a.seq, lane: a.p.lane, route: a.route, size: uint32(len(a.p.rec)), stream: st.id, since: g.t.work}
		w.link(e)
		st.entries = append(st.entries, e)
		st.live++
	}
	st.scanned = st.tail
}

// storeKeys takes the keys of the commit into the open slice, and closes the slice
// when it is full. They are in memory only: the records have them, or the receipts.
func (g *group) storeKeys() error {
	t := g.t
	sl := t.s.keys.open()
	fresh := sl == nil
	if fresh {
		sl = &slice{first: g.first, opened: t.now, tally: map[uint32]Counts{}, keys: map[keyHash]Seq{}}
		if err := sl.put(t.tx); err != nil {
			return err
		}
	}
	last := g.added[len(g.added)-1].seq
	full := len(sl.keys)+len(g.added) >= sliceKeys
	if full {
		if err := t.closeSlice(sl, last); err != nil {
			return err
		}
	}
	t.post = append(t.post, func() {
		if fresh {
			t.s.keys.add(sl)
		}
		sl.last = last
		for _, a := range g.added {
			sl.keys[a.p.hash] = a.seq
		}
		if full {
			t.s.sortRun(sl)
		}
	})
	return nil
}

// closeSlice ends a slice: the next put opens another one.
func (t *txn) closeSlice(sl *slice, last Seq) error {
	edited := *sl
	edited.closed, edited.last = true, last
	if rec := t.slices[sl]; rec != nil {
		edited.lastEnd, edited.tally = rec.LastEnd, rec.Tally
	}
	t.changed = true
	t.post = append(t.post, func() { sl.closed, sl.last = true, last })
	return edited.put(t.tx)
}

// sortRuns takes up at open the slices whose runs were not written, and builds
// the filters of the others.
func (s *Store) sortRuns() {
	for _, sl := range slices.Clone(s.keys.unwritten) { // which shrinks meanwhile
		if sl.closed {
			s.sortRun(sl)
		}
	}
	s.wg.Go(s.filterRuns)
}

// sortRun writes the run of a closed slice: sorted beside the writer, so that no
// commit waits for it. If it fails, the next open tries again.
func (s *Store) sortRun(sl *slice) {
	s.wg.Go(func() {
		run, filter := buildRun(sl.first, sl.keys)
		err := s.update(context.Background(), func(t *txn) error {
			t.changed = true
			return t.putRun(sl, run, filter)
		})
		if err != nil {
			s.log.Warn("key run not written; the keys stay in memory", "seq", uint64(sl.first), "err", err)
			return
		}
		s.filterRuns()
	})
}

func (s *Store) filterRuns() {
	if err := s.buildFilters(); err != nil && !errors.Is(err, ErrClosed) {
		s.log.Warn("key runs are searched without a filter", "err", err)
	}
}

func (t *txn) putRun(sl *slice, run []byte, f keyFilter) error {
	if err := putRun(t.tx.Bucket(bKrun), sl.first, run); err != nil {
		return err
	}
	edited := *sl
	edited.keys = nil
	t.post = append(t.post, func() { t.s.keys.written(sl, f) })
	return edited.put(t.tx)
}

func deleteNested(b *bolt.Bucket, first Seq) error {
	if b.Bucket(seqKey(first)) == nil {
		return nil
	}
	return b.DeleteBucket(seqKey(first))
}

// routeID returns the number of a route. A new one is known at once, within the
// transaction too; a rollback takes it back.
func (t *txn) routeID(r Route) (uint32, error) {
	s := t.s
	if id, ok := s.routeIDs[r]; ok {
		return id, nil
	}
	id := uint32(len(s.routes))
	if err := t.tx.Bucket(bRoute).Put(u32key(id), encodeJSON(r)); err != nil {
		return 0, err
	}
	t.changed = true
	s.mu.Lock()
	s.routes = append(s.routes, r)
	s.routeIDs[r] = id
	s.mu.Unlock()
	t.undo = append(t.undo, func() {
		s.routes = s.routes[:id]
		delete(s.routeIDs, r)
	})
	return id, nil
}

// maxStreams bounds the streams that names make. From then on new names share
// one: a name has its own stream from its first event on, or never.
const maxStreams = 1000

func (t *txn) streamID(name string, laned bool) (uint32, error) {
	s := t.s
	if id, ok := s.streams[name]; ok {
		return id, nil
	}
	if len(s.streams) >= maxStreams {
		if name = "free"; laned {
			name = "lane"
		}
		if id, ok := s.streams[name]; ok {
			return id, nil
		}
	}
	id := uint32(len(s.streams)) + 1
	if err := t.tx.Bucket(bStream).Put([]byte(name), u32key(id)); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.streams[name] = id
	s.win.add(&stream{id: id, scanned: t.num.Next - 1})
	s.mu.Unlock()
	t.undo = append(t.undo, func() {
		delete(s.streams, name)
		s.win.remove(id)
	})
	return id, nil
}

// sliceSpan is how long a slice stays open at most.
func (s *Store) sliceSpan() time.Duration { return s.opts.DedupWindow / sliceParts }
