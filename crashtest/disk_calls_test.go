package crashtest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var failures = flag.Int("failures", 1, "system calls of each kind that fail, by each error; -1: all")

// diskCalls are the system calls that change files, and how many of each a thread
// makes in a case, more or less.
var diskCalls = []struct {
	name string
	most int
}{{"pwrite64", 120}, {"fdatasync", 60}, {"fsync", 6}, {"fallocate", 4}, {"renameat", 1}}

// tally counts what came of the cases.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[string]int
}

func (c *tally) add(class, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[class] == nil {
		c.counts[class] = map[string]int{}
	}
	c.counts[class][outcome]++
}

// print shows the table: a line for each call and error.
func (c *tally) print(t *testing.T) {
	for _, class := range slices.Sorted(maps.Keys(c.counts)) {
		var line []string
		for _, outcome := range slices.Sorted(maps.Keys(c.counts[class])) {
			line = append(line, fmt.Sprintf("%s: %d", outcome, c.counts[class][outcome]))
		}
		t.Logf("%-18s %s", class, strings.Join(line, ", "))
	}
}

// TestDisk_EveryCallFails makes the nth call of a kind fail in a daemon that apps
// write to and that drains, and starts it again if it ends.
func TestDisk_EveryCallFails(t *testing.T) {
	needs(t, "strace")
	rnd := chance(t)
	results := &tally{counts: map[string]map[string]int{}}
	t.Run("cases", func(t *testing.T) {
		for _, call := range diskCalls {
			for _, errno := range []string{"EIO", "ENOSPC"} {
				for _, i := range some(rnd, call.most) {
					t.Run(fmt.Sprintf("%s/%s/%d", call.name, errno, i+1), func(t *testing.T) {
						t.Parallel()
						results.add(call.name+" "+errno, failCall(t, call.name, errno, i+1))
					})
				}
			}
		}
	})
	results.print(t)
}

// some are so many of n calls as the flag says.
func some(rnd *rand.Rand, n int) []int {
	if *failures >= 0 {
		return rnd.Perm(n)[:min(*failures, n)]
	}
	return rnd.Perm(n)
}

// failCall is one case; it says what came of it.
func failCall(t *testing.T, call, errno string, nth int) string {
	v := newVolume(t, "")
	trace := filepath.Join(v.dir, "strace")
	v.launch(nil, "strace", "-D", "-f", "-qq", "-o", trace, "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, errno, nth))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v.write(ctx, "event", 3, 12, 100)
	v.supervise(func() bool { return v.accepted() == 36 })
	v.verify()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !bytes.Contains(b, []byte("(INJECTED)")):
		return "was not reached"
	case v.exits > 0:
		return "ended, recovered by a start"
	case v.refused.Load() > 0:
		return "refused by 507, went on"
	}
	return "went on"
}
