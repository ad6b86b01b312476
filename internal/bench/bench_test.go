package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/internal/term"
)

func TestQuantile_IsTheSmallestThatSharesAreNotAbove(t *testing.T) {
	var hundred times
	for i := range 100 {
		hundred.add(time.Duration(100-i) * time.Microsecond)
	}
	l := hundred.latency()
	want := Latency{P50: 50, P99: 99, P999: 100, Longest: 100, P99ToP50: 1.98}
	if l != want {
		t.Errorf("1 to 100 µs: %+v, want %+v", l, want)
	}
	if l := (times{7}).latency(); l.P50 != 7 || l.P999 != 7 || l.Longest != 7 {
		t.Errorf("one time: %+v", l)
	}
	if l := (times{}).latency(); l != (Latency{}) {
		t.Errorf("no time: %+v", l)
	}
	var long times
	long.add(100 * time.Hour)
	if long[0] != 1<<32-1 {
		t.Errorf("a time too long to be kept became %d µs", long[0])
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		all  []float64
		want float64
	}{{nil, 0}, {[]float64{4}, 4}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(tt.all); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.all, got, tt.want)
		}
	}
}

func TestMedianLatency_KeepsTheLongest(t *testing.T) {
	rounds := []Latency{{P50: 1, P99: 10, Longest: 100}, {P50: 3, P99: 30, Longest: 90}, {P50: 2, P99: 50, Longest: 80}}
	got := medianLatency(rounds, func(l Latency) Latency { return l })
	if got.P50 != 2 || got.P99 != 30 || got.Longest != 100 {
		t.Errorf("got %+v", got)
	}
}

func TestCost_IsOfWhatHappenedBetween(t *testing.T) {
	at := time.Unix(1000, 0)
	before := usage{at: at, cpu: time.Second, written: 1000, commits: 10, syncs: 25}
	after := usage{at: at.Add(2 * time.Second), cpu: 2 * time.Second, written: 1000 + 3*100*EventBytes, commits: 60, syncs: 127}
	got := cost(before, after, 100)
	if got.CPUMicros != 10_000 || got.CommitsPerSecond != 25 || got.SyncsPerSecond != 51 || got.EventsPerCommit != 2 {
		t.Errorf("got %+v", got)
	}
	if got.WrittenPerByte != 3 {
		t.Errorf("written per byte: %v, want 3", got.WrittenPerByte)
	}
	if got := cost(before, before, 0); got != (Cost{}) {
		t.Errorf("nothing happened: %+v", got)
	}
}

func TestParseMemory(t *testing.T) {
	m, err := parseMemory([]byte("Name:\toutboxd\nVmHWM:\t  2048 kB\nVmRSS:\t 9 kB\nRssAnon:\t   1024 kB\n"))
	if err != nil || m != (Memory{Own: 1 << 20, Peak: 2 << 20}) {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := parseMemory([]byte("Name:\toutboxd\n")); err == nil {
		t.Error("a file without the figures is taken")
	}
}

func TestProcNumber_IsOfTheWholeName(t *testing.T) {
	io := []byte("rchar: 6976\nwrite_bytes: 4096\ncancelled_write_bytes: 12\n")
	if n, err := procNumber(io, "write_bytes"); err != nil || n != 4096 {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := procNumber([]byte("write_bytes: many\n"), "write_bytes"); err == nil {
		t.Error("what is no number is taken")
	}
}

func TestCPU_GrowsWithWork(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for text := newRequest(); ; text.renew(1) {
		after, err := cpuOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
	}
}

func TestWatchMemory_TellsTheMost(t *testing.T) {
	stop := watchMemory(os.Getpid())
	m, err := stop()
	if err != nil || m.Own <= 0 || m.Peak < m.Own {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestParseMetrics_AddsUpTheSeriesOfAName(t *testing.T) {
	const text = "# HELP a Of \"x\".\n# TYPE a counter\na{source=\"shop {1}\"} 3\na{source=\"\"} 1.2e+06\nab 7\n"
	got, err := parseMetrics(strings.NewReader(text))
	if err != nil || got["a"] != 1_200_003 || got["ab"] != 7 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseMetrics(strings.NewReader("a many\n")); err == nil {
		t.Error("what is no number is taken")
	}
}

func TestText_EachEventIsWholeAndNew(t *testing.T) {
	lines := newText(nil, append(event(), '\n'), 3)
	seen := map[string]bool{}
	for range 2 {
		lines.renew(3)
		for line := range bytes.Lines(lines.bytes) {
			var e api.Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			if len(line) != EventBytes+1 || string(e.ExternalID.Value) != `"`+e.Key+`"` || seen[e.Key] {
				t.Errorf("%d bytes, key %s, external id %s", len(line), e.Key, e.ExternalID.Value)
			}
			seen[e.Key] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d events, want 6", len(seen))
	}
}

func TestText_RowsHaveTheColumnsOfTheirHead(t *testing.T) {
	rows := newText(csvHead, csvRow(), 2)
	rows.renew(2)
	lines := strings.Split(strings.TrimSuffix(string(rows.bytes), "\n"), "\n")
	if len(lines) != 3 || lines[1] == lines[2] {
		t.Fatalf("got %q", lines)
	}
	for _, line := range lines {
		if n := strings.Count(line, ","); n != strings.Count(string(csvHead), ",") {
			t.Errorf("%d commas in %q", n, line)
		}
	}
}

func TestReadCreated(t *testing.T) {
	const good = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\ncontent-length: 3\r\n\r\n{}\n"
	answers := bufio.NewReader(strings.NewReader(good + good))
	for range 2 {
		if err := readCreated(answers); err != nil {
			t.Error(err)
		}
	}
	for name, answer := range map[string]string{
		"a duplicate":    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"without length": "HTTP/1.1 201 Created\r\n\r\n",
		"cut":            "HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{}",
	} {
		if err := readCreated(bufio.NewReader(strings.NewReader(answer))); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// answering plays the daemon to one stream of lines.
func answering(t *testing.T, l *load, answer func(lines *bufio.Reader, conn net.Conn)) (times, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		answer(bufio.NewReader(theirs), theirs)
	}()
	defer ours.Close()
	return newLineStream(l, ours).run(t.Context())
}

func TestLineStream_RefusesAnswersThatDoNotAddUp(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
	for name, text := range map[string]string{
		"too few results":  head + "{\"key\":\"a\"}\n",
		"too many results": head + strings.Repeat("{\"key\":\"a\"}\n", 3),
		"a problem":        head + "{\"key\":\"a\"}\n{\"status\":400}\n",
		"another status":   "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
		"a cut answer":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := answering(t, &load{limit: 2}, func(in *bufio.Reader, conn net.Conn) {
				readRequest(in)
				fmt.Fprint(conn, text)
			})
			if err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestLineStream_HasOneTimeForEachEvent(t *testing.T) {
	l := &load{limit: 250}
	all, err := answering(t, l, func(in *bufio.Reader, conn net.Conn) {
		readRequest(in)
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+strings.Repeat("{\"key\":\"a\"}\n", 250))
	})
	if err != nil || len(all) != 250 || l.done.Load() != 250 {
		t.Errorf("%d times, %d acknowledged, %v, want 250", len(all), l.done.Load(), err)
	}
}

// readRequest reads chunks up to the empty one.
func readRequest(in *bufio.Reader) (events int) {
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == "0\r\n" {
			_, _ = in.ReadString('\n') // the blank line behind it
			return events
		}
		if strings.HasPrefix(line, "{") {
			events++
		}
	}
}

func TestLineStream_WritesSomethingHoweverLittleTimeThereIs(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	events := make(chan int, 1)
	go func() {
		defer theirs.Close()
		n := readRequest(bufio.NewReader(theirs))
		events <- n
		fmt.Fprint(theirs, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+strings.Repeat("{\"key\":\"a\"}\n", n))
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all, err := newLineStream(&load{}, ours).run(ctx)
	if n := <-events; err != nil || len(all) != n || n < linesPiece {
		t.Errorf("%d times of %d events, %v, want %d at least", len(all), n, err, linesPiece)
	}
}

func TestLoad_BeginsNoMoreThanItsLimit(t *testing.T) {
	l := &load{limit: 250}
	var got []int64
	for n := l.begin(100); n > 0; n = l.begin(100) {
		got = append(got, n)
	}
	if !slices.Equal(got, []int64{100, 100, 50}) {
		t.Errorf("got %v", got)
	}
}

func TestUntil_APhaseThatDeliversDoesNotEndEmpty(t *testing.T) {
	waiting := api.Status{Counts: api.Counts{Pending: 5}}
	for _, tt := range []struct {
		name      string
		end       until
		passed    time.Duration
		delivered int64
		s         api.Status
		want      bool
	}{
		{"before its time", until{length: time.Second}, time.Millisecond, 0, waiting, false},
		{"after it", until{length: time.Second}, time.Second, 0, waiting, true},
		{"nothing delivered yet", until{length: time.Second, delivers: true}, time.Minute, 0, waiting, false},
		{"something delivered", until{length: time.Second, delivers: true}, time.Second, 1, waiting, true},
		{"nothing left", until{length: time.Second, delivers: true}, time.Millisecond, 9, api.Status{}, true},
		{"all in flight", until{length: time.Second}, time.Millisecond, 9, api.Status{Counts: api.Counts{Inflight: 1}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.end.over(tt.passed, tt.delivered, tt.s); got != tt.want {
				t.Errorf("over is %v", got)
			}
		})
	}
}

func TestRaw_CountsWhatWasWritten(t *testing.T) {
	b, err := Open(t.TempDir(), term.New(&bytes.Buffer{}))
	if err != nil {
		t.Fatal(err)
	}
	commits, err := b.rawCommits(t.Context(), 4, 2, 10*time.Millisecond)
	if err != nil || commits <= 0 {
		t.Errorf("group commits: %v, %v", commits, err)
	}
	syncs, err := b.rawSyncs(t.Context(), 10*time.Millisecond)
	if err != nil || syncs <= 0 {
		t.Errorf("syncs: %v, %v", syncs, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestDrainWatch_HasTheRateOfEachTenth(t *testing.T) {
	started := time.Now().Add(-time.Second)
	w := &drainWatch{records: 100, bar: term.New(&bytes.Buffer{}).Bar("", 0), started: started}
	for _, delivered := range []int64{0, 5, 10, 12, 45, 100} {
		over := w.look(api.Status{Counts: api.Counts{Delivered: delivered, Pending: 100 - delivered}})
		if over != (delivered == 100) {
			t.Errorf("with %d delivered: over is %v", delivered, over)
		}
	}
	if len(w.tenths) != 3 || w.tenths[0] <= 0 || w.tenths[0] > 10 {
		t.Errorf("got %v, want three rates, the first of 10 in a second", w.tenths)
	}
}
