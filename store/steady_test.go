package store_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

var (
	steadyFor    = flag.Duration("steady", 0, "simulated time of TestSteadyState, such as 24h; 0 is a short run")
	steadyWindow = flag.Duration("steady.window", 2*time.Hour, "its dedup window")
	steadyRate   = flag.Int("steady.rate", 200, "its events a second")
)

// steadySample is what a run looks like at one moment. Latencies are of the puts
// since the sample before.
type steadySample struct {
	Hours     float64 `json:"hours"`
	RSSAnon   int64   `json:"rss_anon_bytes"`
	Heap      int64   `json:"heap_bytes"`
	File      int64   `json:"file_bytes"`
	Free      int64   `json:"free_bytes"`
	Accepted  int64   `json:"accepted"`
	Known     int64   `json:"known"`
	Pending   int64   `json:"pending"`
	P50Micros int64   `json:"p50_us"`
	P99Micros int64   `json:"p99_us"`
}

// steady is an outbox with an even load, on a clock of its own.
type steady struct {
	t     *testing.T
	s     *store.Store
	clock *storetest.Clock
	term  store.Term
	rng   *rand.Rand
	puts  []time.Duration
	jobs  int

	rate   int
	window time.Duration
}

// TestSteadyState simulates a day of even load in which the dedup window turns
// over: neither memory nor the file may go on growing.
func TestSteadyState(t *testing.T) {
	last, window, dir := *steadyFor, *steadyWindow, t.TempDir()
	if last == 0 { // so short that few jobs have to be enough
		last, window, dir = 4*time.Minute, 20*time.Second, storetest.MemoryDir(t)
		t.Cleanup(store.KeepAttemptsForTest(100))
	}
	every := max(last/48, time.Second).Truncate(time.Second)
	clock := storetest.NewClock()
	s, err := store.Open(filepath.Join(dir, "outbox.db"), store.Options{
		DedupWindow: window, Wall: clock.Wall, Monotonic: clock.Monotonic,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	x := &steady{t: t, s: s, clock: clock, rng: rand.New(rand.NewPCG(1, 2)), rate: *steadyRate, window: window}
	if x.term, err = s.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	var samples []steadySample
	for sec := time.Second; sec <= last; sec += time.Second {
		x.second(sec)
		if sec%every == 0 {
			samples = append(samples, x.sample(sec))
		}
	}
	if v, err := s.Check(t.Context()); err != nil || len(v) > 0 {
		t.Errorf("Check = %v, %v", v, err)
	}
	quarter := len(samples) / 4
	second, fourth := samples[quarter:2*quarter], samples[len(samples)-quarter:]
	flat := func(what string, of func(steadySample) int64) {
		was, is := mean(second, of), mean(fourth, of)
		t.Logf("%s: %.2f MiB in the second quarter, %.2f MiB in the last, %.3f times as much", what, was/(1<<20), is/(1<<20), is/was)
		if is > 1.15*was+(1<<20) { // a small file grows by large steps
			t.Errorf("%s grows", what)
		}
	}
	flat("file", func(s steadySample) int64 { return s.File })
	flat("used part of the file", func(s steadySample) int64 { return s.File - s.Free })
	flat("heap", func(s steadySample) int64 { return s.Heap })
	if *steadyFor > 0 { // in a short run it is that of other tests
		flat("private memory", func(s steadySample) int64 { return s.RSSAnon })
	}
}

func mean(samples []steadySample, of func(steadySample) int64) float64 {
	sum := int64(0)
	for _, s := range samples {
		sum += of(s)
	}
	return float64(sum) / float64(len(samples))
}

// second lets one second pass: events come, everything that is ready is sent, and
// the operator looks at what failed now and then.
func (x *steady) second(at time.Duration) {
	x.clock.Advance(time.Second)
	events := make([]store.Event, x.rate)
	for i := range events {
		events[i] = x.event()
		if i > 0 && x.rng.IntN(50) == 0 {
			events[i].After = []string{events[x.rng.IntN(i)].Key}
		}
	}
	began := time.Now()
	res, err := x.s.Put(x.t.Context(), events, store.PutOptions{})
	x.puts = append(x.puts, time.Since(began))
	if err != nil || slices.ContainsFunc(res, func(r store.PutResult) bool { return r.Err != nil || r.Duplicate }) {
		x.t.Fatalf("Put = %v, %v", res, err)
	}
	for x.deliver() {
	}
	if at%(10*time.Second) == 0 {
		x.operate()
	}
	if at%(5*time.Second) != 0 {
		return
	}
	for more := true; more; {
		if more, err = x.s.Sweep(x.t.Context(), x.term); err != nil {
			x.t.Fatal(err)
		}
	}
}

// event has a key by chance, and one of the lanes of some tens of thousands of
// records.
func (x *steady) event() store.Event {
	e := store.Event{
		Key: uuid.NewString(), Route: benchRoute, Head: []byte(`{}`), Payload: benchPayload,
		Lane: fmt.Sprintf("contact/shop_id__c/%d", x.rng.IntN(50_000)),
	}
	if x.rng.IntN(50) == 0 {
		e.NotBefore = x.clock.Wall().Add(time.Duration(x.rng.Int64N(int64(x.window / 4))))
	}
	return e
}

// deliver sends one job: of a hundred events one comes back for later, and of a
// thousand one fails.
func (x *steady) deliver() bool {
	x.jobs++
	ctx, id := x.t.Context(), store.AttemptID(fmt.Sprintf("job-%09d", x.jobs))
	_, events, err := x.s.Claim(ctx, x.term, id, store.ClaimSpec{Route: benchRoute, Kind: store.KindBulk, MaxRecords: 1000, MaxBytes: 100 << 20})
	if err != nil {
		x.t.Fatal(err)
	}
	if len(events) == 0 {
		return false
	}
	outcomes := make([]store.Outcome, len(events))
	for i, e := range events {
		o := store.Outcome{Seq: e.Seq, Verdict: store.Deliver, ID: "0035e00000Kp7QaAAJ", Created: true}
		switch n := x.rng.IntN(1000); {
		case n < 10:
			problem := store.Problem{Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access"}
			o = store.Outcome{Seq: e.Seq, Verdict: store.Again, Charge: true, Delay: time.Duration(1+x.rng.IntN(5)) * time.Second, Problem: &problem}
		case n < 11:
			problem := store.Problem{Code: "REQUIRED_FIELD_MISSING", Message: "required fields are missing: [LastName]"}
			o = store.Outcome{Seq: e.Seq, Verdict: store.Fail, Problem: &problem}
		}
		outcomes[i] = o
	}
	if err := x.s.Settle(ctx, x.term, id, store.Settlement{Outcomes: outcomes}); err != nil {
		x.t.Fatal(err)
	}
	return true
}

// operate gives up what failed, and what waited for it.
func (x *steady) operate() {
	for _, why := range []store.Reason{store.ReasonFailed, store.ReasonBlocked} {
		x.jobs++
		m := store.Move{ID: fmt.Sprintf("move-%09d", x.jobs), By: "ada"}
		if _, _, err := x.s.DropMany(context.Background(), store.Filter{Reason: why}, m, false); err != nil {
			x.t.Fatal(err)
		}
	}
}

func (x *steady) sample(at time.Duration) steadySample {
	st, err := x.s.Status(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	rss := rssAnon(x.t)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	slices.Sort(x.puts)
	n := len(x.puts)
	s := steadySample{
		Hours: at.Hours(), RSSAnon: int64(rss), Heap: int64(m.HeapAlloc), File: st.Bytes, Free: st.FreeBytes,
		Accepted: st.Accepted, Known: st.Accepted - st.Forgotten, Pending: st.Counts[store.Pending],
		P50Micros: x.puts[n/2].Microseconds(), P99Micros: x.puts[n*99/100].Microseconds(),
	}
	x.puts = x.puts[:0]
	if *steadyFor > 0 {
		if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
			x.t.Fatal(err)
		}
	}
	return s
}
