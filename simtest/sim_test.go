package simtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/internal/simflag"
)

// defaultSeeds is about ten seconds' worth.
const defaultSeeds = 150

// TestSim runs seeds, several at a time, and prints those that break a promise.
func TestSim(t *testing.T) {
	first, count := uint64(1), *simflag.Seeds
	if *simflag.Seed != 0 {
		first = *simflag.Seed
		count = max(count, 1)
	}
	if count == 0 {
		count = defaultSeeds
	}
	root := scratch(t)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a run leaves little and lasts for milliseconds
	var next atomic.Uint64
	next.Store(first)
	var failed atomic.Int64
	began := time.Now()
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1) - 1; seed < first+uint64(count); seed = next.Add(1) - 1 {
				if !play(t, root, seed) {
					failed.Add(1)
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	t.Logf("%d seeds, %d failed, %.0f seeds a minute", count, failed.Load(), float64(count)/took.Minutes())
}

// scratch is a folder in memory, if there is one: nothing of a run outlives it.
func scratch(t *testing.T) string {
	root := "/dev/shm"
	if st, err := os.Stat(root); err != nil || !st.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(root, "outboxd-sim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// play runs one seed and reports what it found.
func play(t *testing.T, root string, seed uint64) bool {
	p := newPlan(seed)
	tr, bad := bubble(t, p, root)
	if *simflag.Trace {
		fmt.Printf("seed %d\n%s%s", seed, p, tr)
	}
	if len(bad) == 0 {
		return true
	}
	if *simflag.Shrink {
		p = shrink(p, func(q *plan) bool {
			_, bad := bubble(t, q, root)
			return len(bad) > 0
		})
		tr, bad = bubble(t, p, root)
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("outboxd-sim-%d.txt", seed))
	if err := os.WriteFile(file, []byte(p.String()+tr.String()), 0o600); err != nil {
		t.Error(err)
	}
	t.Errorf("-sim.seed=%d: %s\ntrace in %s", seed, strings.Join(bad, "\n"), file)
	return false
}

// bubble runs a plan in a bubble of its own. A folder that stays behind names the
// seed of a run that took the process down.
func bubble(t *testing.T, p *plan, root string) (tr *trace, bad []string) {
	dir := filepath.Join(root, fmt.Sprint("seed-", p.seed))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return newTrace(), []string{err.Error()}
	}
	defer os.RemoveAll(dir)
	defer func() {
		if e := recover(); e != nil {
			tr, bad = newTrace(), []string{fmt.Sprint("panic: ", e)}
		}
	}()
	synctest.Test(t, func(*testing.T) { tr, bad = run(p, dir) })
	return tr, bad
}
