package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/bench/report"
)

func TestEvents_AreOfOneSizeAndNewEachTime(t *testing.T) {
	e := newEvents(3)
	seen := map[string]bool{}
	for range 2 {
		e.renew()
		for i := range e.keys {
			var event struct {
				Key        string
				ExternalID struct{ Value string } `json:"external_id"`
			}
			if err := json.Unmarshal(e.event(i), &event); err != nil {
				t.Fatalf("%v in %s", err, e.event(i))
			}
			var key [36]byte
			e.keys[i].write(&key)
			if event.Key != string(key[:]) || event.ExternalID.Value != event.Key {
				t.Errorf("key %s in %s", key, e.event(i))
			}
			if len(e.event(i)) != eventBytes || seen[event.Key] {
				t.Errorf("%d bytes, key seen before: %v", len(e.event(i)), seen[event.Key])
			}
			seen[event.Key] = true
		}
	}
	if lines := strings.Count(string(e.text), "\n"); lines != 3 {
		t.Errorf("%d lines, want 3", lines)
	}
}

func TestAppendTransaction_IsWhatRedisReads(t *testing.T) {
	got := string(appendTransaction(nil, []byte("k\n1"), []byte("event")))
	want := strings.ReplaceAll("*1 $5 MULTI *4 $3 SET $3 k\n1 $5 event $2 NX *3 $5 RPUSH $6 outbox $3 k\n1 *1 $4 EXEC ", " ", "\r\n")
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRaw_AppendsWhatAllWrite(t *testing.T) {
	folder := t.TempDir()
	s, err := startRaw(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		c, err := s.connect(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 5 {
				if err := c.put(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if stored, err := s.stored(t.Context()); stored != 200 || err != nil {
		t.Errorf("holds %d, %v; want 200", stored, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(200 * (eventBytes + 1)); info.Size() != want {
		t.Errorf("%d bytes, want %d", info.Size(), want)
	}
}

// fake is a server that takes a millisecond for each request, and may fail at
// one or lose an event.
type fake struct {
	failure error
	lost    int64
	puts    atomic.Int64
}

func (f *fake) version() string                                  { return "1" }
func (f *fake) connect(context.Context, int) (connection, error) { return f, nil }
func (f *fake) stored(context.Context) (int64, error)            { return f.puts.Load()*10 - f.lost, nil }
func (f *fake) stop() error                                      { return nil }
func (f *fake) close()                                           {}

func (f *fake) put() error {
	time.Sleep(time.Millisecond)
	f.puts.Add(1)
	return f.failure
}

func TestMeasure_CountsWhatEndsWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sample, all, err := measure(t.Context(), new(fake), report.Load{Connections: 4, Batch: 10}, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		want := report.Sample{EventsPerSecond: 4 * 10 * 1000, Latency: report.Latency{P50: 1000, P99: 1000, P999: 1000, Longest: 1000}}
		if sample != want {
			t.Errorf("got %+v, want %+v", sample, want)
		}
		if all != 4*10*120 {
			t.Errorf("%d events in all, want those of the warm-up too", all)
		}
	})
}

func TestMeasure_EndsWhenItIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		_, _, err := measure(ctx, new(fake), report.Load{Connections: 2, Batch: 10}, time.Hour)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 2*time.Second {
			t.Errorf("ended after %v with %v", time.Since(started), err)
		}
	})
}

func TestUnderLoads_EndsWithAnError(t *testing.T) {
	for _, c := range []struct {
		name   string
		server *fake
		want   string // "" for none
	}{
		{"none where everything is stored", &fake{}, ""},
		{"of a request", &fake{failure: errors.New("disk full")}, "disk full"},
		{"where an acknowledged event is lost", &fake{lost: 1}, "acknowledged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := entry{samples: map[report.Load][]report.Sample{}}
				load := report.Load{Connections: 1, Batch: 10}
				err := e.underLoads(t.Context(), c.server, options{length: time.Second, loads: []report.Load{load}}, 1)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want one with %q", err, c.want)
				}
			})
		})
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-c", "1, 8", "-only", "outboxd,PostgreSQL", "-d", "1s"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.loads) != 3 || o.loads[1].Connections != 8 || o.loads[2] != report.Batch {
		t.Errorf("loads %v", o.loads)
	}
	for name, want := range map[string]bool{report.Raw: true, report.Outboxd: true, report.Postgres: true, report.Redis: false} {
		if got := o.wants(name); got != want {
			t.Errorf("wants(%q) = %v", name, got)
		}
	}
	for _, args := range []string{"-c 0", "-c 257", "-c x", "-d 0s", "-rounds 0", "more"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}
