package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

var (
	images   = flag.Int64("images", defaultImages, "files of power cuts to open")
	firstRun = flag.Uint64("images.seed", 0, "of the first workload; 0 takes one of its own")
)

const (
	workloadMoves = 60
	cutsEach      = 4   // of every write that is not synced
	secondEvery   = 400 // images that are gone on with
	deepest       = 3   // generations of power cuts, one after the other
	progressEvery = 10 * time.Second
)

// sumUp is what a file shows: every key and value, of every bucket.
func sumUp(tx *bolt.Tx) (string, error) {
	sum := sha256.New()
	var walk func(b *bolt.Bucket) error
	walk = func(b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			fmt.Fprintf(sum, "%d %d ", len(k), len(v))
			sum.Write(k)
			sum.Write(v)
			if v == nil {
				return walk(b.Bucket(k))
			}
			return nil
		})
	}
	err := tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		fmt.Fprintf(sum, "bucket %s ", name)
		return walk(b)
	})
	return hex.EncodeToString(sum.Sum(nil)[:16]), err
}

// openImage goes the way of every start with the file of a power cut. It returns
// what the file showed before the start wrote to it, and fails unless the store
// is whole.
func openImage(path, _ string) (shows string, err error) {
	clock := storetest.NewClock()
	o := smallOptions(clock)
	store.LookForTest(&o, func(db *bolt.DB) error {
		return db.View(func(tx *bolt.Tx) (err error) {
			shows, err = sumUp(tx)
			return err
		})
	}, nil)
	s, err := store.Open(path, o)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	violations, err := s.Check(context.Background())
	if err != nil || len(violations) > 0 {
		return "", errors.Join(err, fmt.Errorf("check: %v", violations))
	}
	if f, err := s.Facts(context.Background()); err != nil || f.Restored {
		return "", errors.Join(err, errors.New("it counts as restored: it is taken for another store than the one that ran here"))
	}
	return shows, nil
}

// record runs a workload on the store at path, which is new or what a power cut
// left, and crashes and opens it now and then.
func (c *campaign) record(path string, rng *rand.Rand, moves int) (*storetest.Recording, error) {
	ctx := context.Background()
	clock := storetest.NewClock()
	rec := storetest.NewRecorder(path, sumUp)
	o := smallOptions(clock)
	store.LookForTest(&o, rec.Opened, rec.MetaRewritten)
	if c.options != nil {
		c.options(&o)
	}
	start := func() (*load, error) {
		s, err := store.Open(path, o)
		if err != nil {
			return nil, err
		}
		return newLoad(s, clock, rng)
	}
	stop := func(w *load) error { return errors.Join(w.close(), rec.Closed()) }
	w, err := start()
	for n := 0; err == nil && n < moves; n++ {
		crash := rng.IntN(c.crashIn) == 0
		if crash {
			rec.Fail(failOne(rng))
		}
		err = w.step(ctx)
		rec.Fail(nil)
		rec.Settle()
		if dead := errors.Is(err, store.ErrUnknown); dead || crash && rng.IntN(3) == 0 {
			keys := w.keys
			if err = stop(w); err == nil {
				if w, err = start(); err == nil {
					w.keys = keys
				}
			}
		}
	}
	if err == nil {
		err = stop(w)
	}
	log := rec.Recording()
	if c.edit != nil {
		log = c.edit(log)
	}
	return log, err
}

// failOne lets one of the next writes fail, before, within, or in the sync after
// it; every other time it is a meta page, whose commit is then unknown.
func failOne(rng *rand.Rand) func(int, bool) (int, error) {
	at, part := 1+rng.IntN(12), []int{0, 512, 1024, 1 << 30}[rng.IntN(4)]
	var disk error = []syscall.Errno{syscall.EIO, syscall.EIO, syscall.ENOSPC}[rng.IntN(3)]
	if part < 1<<30 {
		disk = &fs.PathError{Op: "write", Path: "outbox.db", Err: disk}
	}
	aimed := rng.IntN(2) == 0
	return func(n int, meta bool) (int, error) {
		if aimed && meta || !aimed && n == at {
			return part, disk
		}
		return 0, nil
	}
}

// campaign opens images until there were enough.
type campaign struct {
	t     *testing.T
	dir   string
	limit int64
	seed  uint64 // of the first workload

	// Without a guard, to see that it is missed.
	options func(*store.Options)
	edit    func(*storetest.Recording) *storetest.Recording
	crashIn int   // moves, one loses its process
	enough  int64 // findings
	proof   bool  // findings are what is wanted

	workloads, commits, opened, again, lost, damaged atomic.Int64
}

// worker is a campaign's share, with a child process of its own.
type worker struct {
	*campaign
	child *storetest.Child
	dir   string
	seed  uint64 // of the workload in hand
}

func (c *campaign) over() bool {
	return c.opened.Load() >= c.limit || c.lost.Load()+c.damaged.Load() >= c.enough
}

func (w *worker) run() {
	for !w.over() {
		w.seed = w.campaign.seed + uint64(w.workloads.Add(1)) - 1
		w.workload()
	}
}

func (w *worker) workload() {
	rng := rand.New(rand.NewPCG(w.seed, 0))
	dir := filepath.Join(w.dir, "first")
	defer os.RemoveAll(dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.report(&w.damaged, nil, err)
		return
	}
	log, err := w.record(filepath.Join(dir, "outbox.db"), rng, workloadMoves)
	if err != nil {
		w.report(&w.damaged, nil, fmt.Errorf("workload: %w", err))
		return
	}
	w.commits.Add(int64(log.Commits()))
	w.cut(log, rng, 1)
}

// cut cuts the power after each operation of a recording, and goes on with some
// of the images to the next power cut.
func (w *worker) cut(log *storetest.Recording, rng *rand.Rand, generation int) {
	path := filepath.Join(w.dir, "image.db")
	for c := range log.Cuts(rng, cutsEach) {
		if w.over() {
			return
		}
		if err := c.Save(path); err != nil {
			w.report(&w.damaged, nil, err)
			return
		}
		w.opened.Add(1)
		if generation > 1 {
			w.again.Add(1)
		}
		shows, err := w.child.Check(path, "")
		switch {
		case err != nil:
			w.report(&w.damaged, c, err)
		case slices.Contains(c.May, shows):
			if generation < deepest && rng.IntN(secondEvery) == 0 {
				w.goOn(c, rng, generation)
			}
		case slices.Contains(c.Gone, shows):
			w.report(&w.lost, c, errors.New("it shows what was before a commit that was answered"))
		default:
			w.report(&w.damaged, c, errors.New("it shows what never was"))
		}
	}
}

// goOn starts on an image, works a little, and cuts the power again.
func (w *worker) goOn(c *storetest.Cut, rng *rand.Rand, generation int) {
	dir := filepath.Join(w.dir, fmt.Sprint("generation", generation+1))
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "outbox.db")
	if err := errors.Join(os.Mkdir(dir, 0o700), c.Save(path)); err != nil {
		w.report(&w.damaged, nil, err)
		return
	}
	log, err := w.record(path, rng, 1+rng.IntN(4))
	if err != nil {
		w.report(&w.damaged, c, fmt.Errorf("go on with it: %w", err))
		return
	}
	w.cut(log, rng, generation+1)
}

// report counts a finding and keeps its image: bbolt picks free pages in no
// certain order, so the seed alone may not bring the same one again.
func (w *worker) report(count *atomic.Int64, c *storetest.Cut, err error) {
	count.Add(1)
	if w.proof {
		return
	}
	if c == nil {
		w.t.Errorf("-images.seed %d: %v", w.seed, err)
		return
	}
	dir, mkErr := os.MkdirTemp("", "power-cut-")
	path := filepath.Join(dir, "outbox.db")
	w.t.Errorf("-images.seed %d, cut after %d operations: %v; the image is %s", w.seed, c.After, errors.Join(err, mkErr, c.Save(path)), path)
}

func (c *campaign) String() string {
	return fmt.Sprintf("%d images, %d of them of a power cut after a power cut, from %d workloads with %d commits: lost %d, inconsistent %d",
		c.opened.Load(), c.again.Load(), c.workloads.Load(), c.commits.Load(), c.lost.Load(), c.damaged.Load())
}

// run shares the campaign among the children.
func (c *campaign) run(children []*storetest.Child) {
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		for i, child := range children {
			dir := filepath.Join(c.dir, fmt.Sprint("worker", i))
			if err := os.Mkdir(dir, 0o700); err != nil {
				c.t.Error(err)
				return
			}
			wg.Go((&worker{campaign: c, child: child, dir: dir}).run)
		}
		wg.Wait()
	}()
	say := time.NewTicker(progressEvery)
	defer say.Stop()
	for running := true; running; {
		select {
		case <-say.C:
		case <-done:
			running = false
		}
		c.t.Logf("%v, %.0f images/s", c, float64(c.opened.Load())/time.Since(began).Seconds())
	}
}

func newCampaign(t *testing.T, limit int64, seed uint64) *campaign {
	t.Helper()
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-images.seed %d", seed)
	return &campaign{t: t, dir: storetest.MemoryDir(t), limit: limit, seed: seed, crashIn: 8, enough: 10}
}

// TestPowerLoss_EveryImageIsWhole cuts the power at every write of commits that
// do everything a store does, and again at every write of the start after it.
// The file must then show, to the last byte, the contents of the last commit
// that was answered or of the one under way.
func TestPowerLoss_EveryImageIsWhole(t *testing.T) {
	children := []*storetest.Child{storetest.NewChild(t, openImage), storetest.NewChild(t, openImage)}
	newCampaign(t, *images, *firstRun).run(children)
}

// TestPowerLoss_NoticesWhatIsLeftOut takes one guard away at a time: images of
// power cuts then have to be damaged.
func TestPowerLoss_NoticesWhatIsLeftOut(t *testing.T) {
	children := []*storetest.Child{storetest.NewChild(t, openImage)}
	guards := []struct {
		name    string
		without func(*campaign)
	}{
		{"the meta pages written again", func(c *campaign) { c.options = store.SkipMetaRewriteForTest }},
		{"the syncs", func(c *campaign) { c.edit = (*storetest.Recording).WithoutSyncs }},
	}
	for _, tt := range guards {
		t.Run(tt.name, func(t *testing.T) {
			c := newCampaign(t, 100_000, *firstRun)
			c.crashIn, c.enough, c.proof = 2, 1, true
			tt.without(c)
			c.run(children)
			if c.lost.Load()+c.damaged.Load() == 0 {
				t.Error("no image was refused")
			}
		})
	}
}
