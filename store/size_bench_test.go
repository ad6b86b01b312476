package store_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/store"
)

var backlog = flag.Int("backlog", 200_000, "pending events of BenchmarkBacklog")

// backlogBench is a store with many pending events, which its benchmarks share
// and keep as it is, more or less.
type backlogBench struct {
	path string
	s    *store.Store
	term store.Term
	left int

	overdueAfter time.Duration
}

// BenchmarkBacklog is what a backlog costs: the same work on a few pending events
// and on many. Ratios are between the two.
func BenchmarkBacklog(b *testing.B) {
	for _, pending := range []int{10_000, *backlog} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			x := &backlogBench{path: filepath.Join(b.TempDir(), "outbox.db")}
			x.open(b)
			putMany(b, x.s, pending)
			x.left = pending
			b.Cleanup(func() { x.s.Close() })
			b.Run("memory", x.memory)
			b.Run("put", x.put)
			b.Run("drain", func(b *testing.B) { x.drain(b, pending) })
			for _, after := range []time.Duration{time.Hour, time.Nanosecond} {
				x.overdueAfter = after
				b.Run(fmt.Sprintf("status/overdue=%t", after < time.Hour), x.status)
				b.Run(fmt.Sprintf("stuck/overdue=%t", after < time.Hour), x.stuck)
			}
			for _, stop := range []string{"close", "kill"} {
				for _, cache := range []string{"warm", "cold"} {
					b.Run(fmt.Sprintf("open/after=%s/cache=%s", stop, cache), func(b *testing.B) { x.reopen(b, stop, cache) })
				}
			}
		})
	}
}

func (x *backlogBench) open(b *testing.B) {
	b.Helper()
	var err error
	if x.s, err = store.Open(x.path, store.Options{MaxSize: 64 << 30, OverdueAfter: x.overdueAfter}); err != nil {
		b.Fatal(err)
	}
	if x.term, err = x.s.Hold(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// memory is what the process has beside the mapped file.
func (x *backlogBench) memory(b *testing.B) {
	for b.Loop() {
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
	b.ReportMetric(rssAnon(b)/(1<<20), "anon-MiB")
	b.ReportMetric(0, "ns/op")
}

// rssAnon is the private memory of this process, in bytes.
func rssAnon(tb testing.TB) float64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(v)[0], 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kib * 1024
		}
	}
	tb.Fatal("no RssAnon in /proc/self/status")
	return 0
}

// cpuTime is what this process has had of the processors: on a busy machine it says
// more than the time that passes.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// put is one event each of 64 writers.
func (x *backlogBench) put(b *testing.B) {
	began := cpuTime(b)
	share(b, 64, func() error {
		r, err := x.s.Put(context.Background(), []store.Event{benchEvent()}, store.PutOptions{})
		if err == nil {
			err = r[0].Err
		}
		return err
	})
	b.ReportMetric(float64((cpuTime(b)-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
	x.left += b.N
}

// drain claims and settles 1,000 events and tells the parts.
func (x *backlogBench) drain(b *testing.B, pending int) {
	var claim, settle, cpu time.Duration
	for b.Loop() {
		if x.left < 1000 {
			b.StopTimer()
			putMany(b, x.s, pending)
			x.left += pending
			b.StartTimer()
		}
		used := cpuTime(b)
		began := time.Now()
		id, events := claimThousand(b, x.s, x.term)
		claimed := time.Now()
		settleAll(b, x.s, x.term, id, events)
		claim, settle = claim+claimed.Sub(began), settle+time.Since(claimed)
		cpu += cpuTime(b) - used
		x.left -= len(events)
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(claim.Microseconds())/float64(b.N), "claim-µs")
	b.ReportMetric(float64(settle.Microseconds())/float64(b.N), "settle-µs")
}

// status and stuck are asked of a store that was opened for each, with all that
// is pending overdue or with nothing.
func (x *backlogBench) status(b *testing.B) {
	x.close(b)
	x.open(b)
	for b.Loop() {
		if _, err := x.s.Status(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func (x *backlogBench) stuck(b *testing.B) {
	x.close(b)
	x.open(b)
	for b.Loop() {
		if _, err := x.s.Stuck(b.Context(), store.Filter{Limit: 100}); err != nil {
			b.Fatal(err)
		}
	}
}

func (x *backlogBench) close(b *testing.B) {
	b.Helper()
	if err := x.s.Close(); err != nil {
		b.Fatal(err)
	}
}

// reopen opens the store after a clean end or after one that wrote no list of free
// pages, with its file in the page cache or not. read is what it takes to read the
// file once in the same state.
func (x *backlogBench) reopen(b *testing.B, stop, cache string) {
	var opening, reading time.Duration
	var length int64
	for b.Loop() {
		b.StopTimer()
		if stop == "kill" {
			store.AbandonForTest(x.s)
		} else {
			x.close(b)
		}
		evict(b, x.path)
		began := time.Now()
		length = readOnce(b, x.path)
		reading += time.Since(began)
		if cache == "cold" {
			evict(b, x.path)
		}
		b.StartTimer()
		began = time.Now()
		x.open(b)
		opening += time.Since(began)
	}
	b.ReportMetric(opening.Seconds()/reading.Seconds(), "open/read")
	b.ReportMetric(float64(reading.Milliseconds())/float64(b.N), "read-ms")
	b.ReportMetric(float64(length)/(1<<20), "file-MiB")
}

// evict takes a file out of the page cache.
func evict(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fsync(int(f.Fd())); err != nil {
		b.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		b.Fatal(err)
	}
}

func readOnce(b *testing.B, path string) int64 {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	n, err := io.Copy(io.Discard, f)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkCommitAfterDrain is the commit of one event on a new file and on one
// that held a backlog.
func BenchmarkCommitAfterDrain(b *testing.B) {
	for _, drained := range []int{0, *backlog} {
		b.Run(fmt.Sprintf("drained=%d", drained), func(b *testing.B) {
			s := openBench(b)
			putMany(b, s, drained)
			term, err := s.Hold(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for left := drained; left > 0; {
				id, events := claimThousand(b, s, term)
				settleAll(b, s, term, id, events)
				left -= len(events)
			}
			for b.Loop() {
				if _, err := s.Put(b.Context(), []store.Event{benchEvent()}, store.PutOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompact compacts a store that was drained, with its receipts in it; the
// first time shortens it, so it is for -benchtime 1x.
func BenchmarkCompact(b *testing.B) {
	x := &backlogBench{path: filepath.Join(b.TempDir(), "outbox.db"), overdueAfter: time.Hour}
	x.open(b)
	putMany(b, x.s, *backlog)
	for left := *backlog; left > 0; {
		id, events := claimThousand(b, x.s, x.term)
		settleAll(b, x.s, x.term, id, events)
		left -= len(events)
	}
	x.close(b)
	var before, after int64
	for b.Loop() {
		c, err := store.Compact(x.path, store.Options{MaxSize: 64 << 30})
		if err != nil {
			b.Fatal(err)
		}
		before, after = max(before, c.Before), c.After
	}
	b.ReportMetric(float64(before)/(1<<20), "before-MiB")
	b.ReportMetric(float64(after)/(1<<20), "after-MiB")
}
