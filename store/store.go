package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// MinSize is the smallest MaxSize.
const MinSize = 8 << 20

// Options of Open. Zero values take the defaults that are named here.
type Options struct {
	MaxSize      int64         // the file is never longer; 10 GiB
	DedupWindow  time.Duration // how long receipts stay; 168 h
	OverdueAfter time.Duration // pending for longer is stuck; 1 h
	LateWindow   time.Duration // holds found at Hold start anew with it; 11 min
	// Skips reports whether an object's failed events let their followers pass
	// (on_failure: skip). It is asked of events that the store itself fails.
	Skips          func(object string) bool // nil: none do
	AllowNetworkFS bool
	ReadOnly       bool // for questions while no daemon runs; every change is ErrUnavailable
	Logger         *slog.Logger
	Wall           func() time.Time     // nil: time.Now
	Monotonic      func() time.Duration // nil: since the call of Open

	// The ways to the disk that tests look at, or bar.
	openBolt    func(path string, mode os.FileMode, o *bolt.Options) (*bolt.DB, error)
	writeMeta   func(f *os.File, pages []byte) error
	rename      func(from, to string) error
	compactOver int64 // see the constant
}

func (o *Options) defaults() error {
	setDefault(&o.MaxSize, 10<<30)
	setDefault(&o.DedupWindow, 168*time.Hour)
	setDefault(&o.OverdueAfter, time.Hour)
	setDefault(&o.LateWindow, 11*time.Minute)
	if o.Skips == nil {
		o.Skips = func(string) bool { return false }
	}
	if o.openBolt == nil {
		o.openBolt = bolt.Open
	}
	if o.writeMeta == nil {
		o.writeMeta = writeMeta
	}
	if o.rename == nil {
		o.rename = os.Rename
	}
	setDefault(&o.compactOver, compactOver)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxSize < MinSize {
		return fmt.Errorf("max size %d is below the smallest, %d", o.MaxSize, MinSize)
	}
	return nil
}

func setDefault[T int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Store is the outbox. Its methods may be called concurrently.
type Store struct {
	path  string
	opts  Options
	log   *slog.Logger
	db    *bolt.DB
	file  *os.File // of db
	lock  *lockFile
	disk  *disk // nil when read-only
	clock *clock

	ops       chan *op
	stop      chan struct{} // closed by Close: no more ops
	done      chan struct{} // closed when the writer has ended
	crowd     int           // puts that the last commit answered and left waiting; the writer's
	wg        sync.WaitGroup
	filtering sync.Mutex // one builds filters at a time
	closing   sync.Once

	failOnce sync.Once
	failed   chan struct{}
	failure  atomic.Pointer[error]

	// What the writer changes and readers look at under mu. The writer itself
	// reads without it.
	mu       sync.RWMutex
	num      numbers
	facts    Facts
	routes   []Route // by id
	routeIDs map[Route]uint32
	streams  map[string]uint32
	keys     *keyIndex
	inflight map[Seq]*attempt
	busy     map[uint64]Seq // lanes that are in flight
	attempts map[AttemptID]*attempt
	full     Fullness
	length   int64 // of the file; the writer's alone
	crashed  bool  // the process before ended without Close; until the first Hold
	applied  int   // id of the newest transaction that memory follows

	commits, growths atomic.Int64 // since Open
	written          atomic.Int64 // bytes, the same

	win     *window       // the writer's alone
	tidyAt  time.Duration // store time of the next look at old attempts; the writer's alone
	term    atomic.Uint64
	ready   chan struct{}
	watchMu sync.Mutex
	watch   chan struct{}
}

// numbers are the small values of the outbox that move with commits.
type numbers struct {
	Next       Seq           `json:"next"`
	Accepted   int64         `json:"accepted"`
	Forgotten  int64         `json:"forgotten"`
	Clock      time.Duration `json:"clock"`
	Idle       time.Duration `json:"idle"`
	Feed       uint64        `json:"feed"`  // number of the next outcome
	FeedGone   uint64        `json:"gone"`  // outcomes below are forgotten
	SentBelow  Seq           `json:"sent"`  // events of a restored store: the org may have seen them
	Generation string        `json:"gen"`   // random, new at each start; the lock file has it too
	Clean      bool          `json:"clean"` // closed in order
}

// Open opens the outbox at path, or makes a new one, and locks it against other
// processes. Its directory must exist.
//
// Errors: ErrLocked, ErrNewer, and what the file system says.
func Open(path string, o Options) (*Store, error) {
	if err := o.defaults(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return s, nil
}

func open(path string, o Options) (_ *Store, err error) {
	s := &Store{
		path: path, opts: o, log: o.Logger, clock: newClock(o.Wall, o.Monotonic),
		ops: make(chan *op, 1024), stop: make(chan struct{}), done: make(chan struct{}), failed: make(chan struct{}),
		routeIDs: map[Route]uint32{}, streams: map[string]uint32{}, inflight: map[Seq]*attempt{},
		busy: map[uint64]Seq{}, attempts: map[AttemptID]*attempt{},
		win: newWindow(), ready: make(chan struct{}, 1), watch: make(chan struct{}),
	}
	if o.ReadOnly {
		return s.openReadOnly()
	}
	if err := s.lockFolder(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	s.disk = newDisk(path, o.MaxSize, s.log)
	if err := s.openFile(); err != nil {
		return nil, err
	}
	if err := s.db.View(s.load); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := s.db.View(func(tx *bolt.Tx) error { s.applied = tx.ID(); return nil }); err != nil {
		return nil, err
	}
	go s.write()
	s.sortRuns()
	return s, nil
}

// lockFolder keeps other processes away from the store.
func (s *Store) lockFolder() (err error) {
	if err := s.refuseNetworkFS(); err != nil {
		return err
	}
	s.lock, err = lockStore(s.path)
	return err
}

func (s *Store) openReadOnly() (_ *Store, err error) {
	if err := s.refuseNetworkFS(); err != nil {
		return nil, err
	}
	defer damaged(&err)
	db, err := bolt.Open(s.path, 0o600, &bolt.Options{ReadOnly: true, Timeout: lockPatience, OpenFile: openExisting})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: ask it by its socket", ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	s.db = db
	err = db.View(func(tx *bolt.Tx) error {
		s.applied = tx.ID()
		return s.load(tx)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	close(s.done)
	return s, nil
}

// damaged makes an error of a panic of bbolt's, which looks at no checksum of
// its pages and trusts them.
func damaged(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("damaged: %v; put a backup in its place", r)
	}
}

// lockPatience bounds the wait for bbolt's own lock, which only somebody who
// did not take ours can hold.
const lockPatience = time.Second

func openExisting(name string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag&^os.O_CREATE, mode)
}

// openFile opens bbolt after the checks that must come before it.
func (s *Store) openFile() error {
	size, err := s.prepareFile()
	if err != nil {
		return err
	}
	if err := s.openBolt(size); err != nil {
		return err
	}
	if err := s.compactAtStart(); err != nil {
		return err
	}
	return s.fillHoles()
}

func (s *Store) openBolt(size int64) (err error) {
	defer damaged(&err)
	s.db, err = s.opts.openBolt(s.path, 0o600, s.boltOptions(size))
	if errors.Is(err, berrors.ErrTimeout) {
		return ErrLocked
	}
	if err != nil {
		return err
	}
	s.setLength(size)
	return nil
}

func (s *Store) boltOptions(size int64) *bolt.Options {
	mapped := min(max(2*size, 1<<30), s.opts.MaxSize)
	return &bolt.Options{
		Timeout: lockPatience, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
		InitialMmapSize: int(mapped), MaxSize: int(max(s.opts.MaxSize, size)), OpenFile: s.keepFile,
	}
}

// load reads what is kept in memory.
func (s *Store) load(tx *bolt.Tx) (err error) {
	defer damaged(&err)
	if err := checkFormat(tx); err != nil {
		return err
	}
	meta := tx.Bucket(bMeta)
	if err := json.Unmarshal(meta.Get(kState), &s.num); err != nil {
		return fmt.Errorf("meta state: %w", err)
	}
	if err := json.Unmarshal(meta.Get(kFacts), &s.facts); err != nil {
		return fmt.Errorf("meta facts: %w", err)
	}
	s.clock.restore(s.num.Clock, s.num.Idle)
	if err := s.loadNames(tx); err != nil {
		return err
	}
	if s.keys, err = loadKeys(tx, s.num); err != nil {
		return err
	}
	if err := s.loadAttempts(tx); err != nil {
		return err
	}
	s.lookAhead(tx)
	return nil
}

// checkFormat refuses what this program does not know.
func checkFormat(tx *bolt.Tx) error {
	meta := tx.Bucket(bMeta)
	if meta == nil {
		return errors.New("not an outbox: no meta bucket")
	}
	switch v := meta.Get(kFormat); {
	case len(v) != 1 || v[0] > formatVersion:
		return fmt.Errorf("%w: format %v, this program knows %d; use a newer outboxd", ErrNewer, v, formatVersion)
	case v[0] < formatVersion:
		return fmt.Errorf("format %d is of a version that was never released, this program knows %d; drain the outbox with the program that made it", v[0], formatVersion)
	}
	return nil
}

func (s *Store) loadNames(tx *bolt.Tx) error {
	err := tx.Bucket(bRoute).ForEach(func(k, v []byte) error {
		var r Route
		if err := decodeJSON(v, &r); err != nil {
			return fmt.Errorf("route: %w", err)
		}
		s.routeIDs[r] = uint32(len(s.routes))
		s.routes = append(s.routes, r)
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bStream).ForEach(func(k, v []byte) error {
		r := reader{b: v}
		id := r.u32()
		s.streams[string(k)] = id
		st := &stream{id: id, tail: s.num.Next - 1}
		if low := tx.Bucket(bLow).Get(u32key(id)); low != nil {
			st.low = seqOf(low)
			st.scanned = st.low - 1
		}
		s.win.add(st)
		return nil
	})
}

// Close ends the writer after what it is doing, and closes the file so that the
// next Open is quick. It may be called twice.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.stop)
		<-s.done
		s.wg.Wait()
		switch {
		case s.opts.ReadOnly:
		case s.Err() == nil:
			err = s.commitClean()
		default:
			s.blameDisk()
		}
		err = errors.Join(err, s.closeFiles())
	})
	if err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// blameDisk leaves word beside the store that it was the disk that ended this
// process, so that no event is suspected of it. It may fail as well.
func (s *Store) blameDisk() {
	if err := s.lock.write(lockContent{Generation: s.lock.Generation, Next: s.lock.Next, Failed: true}); err != nil {
		s.log.Warn("the next start will not know that the disk ended this one", "err", err)
	}
}

// commitClean writes the freelist, which other commits spare themselves: the
// next Open need not walk the whole file then. Where there is no room for it, it
// says at least that the store was closed in order.
func (s *Store) commitClean() error {
	clean := func(tx *bolt.Tx) error {
		s.num.Clean = true
		s.num.Clock, s.num.Idle = s.clock.saved()
		return putNumbers(tx, s.num)
	}
	st := s.db.Stats()
	s.db.NoFreelistSync = false
	err := s.updateAlone(8*int64(st.FreePageN+st.PendingPageN)+s.keys.leftBytes(), func(tx *bolt.Tx) error {
		return errors.Join(s.keys.leaveKeys(tx), clean(tx))
	})
	if errors.Is(err, ErrFull) {
		s.log.Info("closed without the list of free pages; the next start reads the whole file", "err", err)
		s.db.NoFreelistSync = true
		err = s.updateAlone(0, clean)
	}
	return err
}

// updateAlone is a transaction of the start or the end, when the writer does not
// run. It may need so many bytes beside the usual.
func (s *Store) updateAlone(need int64, f func(tx *bolt.Tx) error) error {
	before, used := 0, int64(0)
	err := s.db.View(func(tx *bolt.Tx) error {
		before, used = tx.ID(), tx.Size()
		return nil
	})
	if err != nil {
		return err
	}
	if lack := need + slack*s.pageSize() - (s.length - used); lack > 0 {
		if err := s.grow(lack); err != nil && !errors.Is(err, ErrFull) {
			return err
		}
	}
	if err := s.db.Update(f); err != nil {
		return s.commitError(err, before)
	}
	return nil
}

func (s *Store) closeFiles() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Failed is closed when a commit's outcome is unknown: the process must end.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err returns what closed Failed, or nil.
func (s *Store) Err() error {
	if p := s.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail ends the store: what is on the disk is not known any more.
func (s *Store) fail(err error) error {
	s.failOnce.Do(func() {
		s.log.Error("a commit's outcome is unknown; the process must end", "err", err)
		s.failure.Store(&err)
		close(s.failed)
	})
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// Ready hints that Routes may say something else than before.
func (s *Store) Ready() <-chan struct{} { return s.ready }

func (s *Store) signalReady() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Watch returns a channel that is closed at the next commit with an outcome or
// an operator's move. Ask for it before looking at what it tells of.
func (s *Store) Watch() <-chan struct{} {
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	return s.watch
}

func (s *Store) notify() {
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	close(s.watch)
	s.watch = make(chan struct{})
}

// view runs a short read with memory and disk as of one moment: between a commit
// and its effect on memory, which are microseconds apart, it looks again.
func (s *Store) view(ctx context.Context, f func(tx *bolt.Tx) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.viewNow(f)
		switch {
		case errors.Is(err, errBetween):
			runtime.Gosched()
		case errors.Is(err, berrors.ErrDatabaseNotOpen):
			return ErrClosed
		default:
			return err
		}
	}
}

// errFailed is the answer to everything after a commit of unknown outcome, to
// questions too: what can be read may not be on the disk. Nothing is to be repeated
// in this process.
var errFailed = fmt.Errorf("%w: %w", ErrUnknown, ErrClosed)

var errBetween = errors.New("memory is not as of this transaction")

func (s *Store) viewNow(f func(tx *bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.View(func(tx *bolt.Tx) error {
		if s.Err() != nil {
			return errFailed
		}
		if tx.ID() != s.applied {
			return errBetween
		}
		return f(tx)
	})
}

func putNumbers(tx *bolt.Tx, n numbers) error {
	v, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return tx.Bucket(bMeta).Put(kState, v)
}
