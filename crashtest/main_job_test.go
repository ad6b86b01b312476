package crashtest

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
)

var (
	lines = flag.Int("lines", 4000, "lines of the workload")
	kills = flag.Int("kills", 10, "how often the daemon is killed while it drains")
	late  = flag.Duration("late", time.Second, "the daemon's late window")
	seed  = flag.Uint64("seed", 0, "of chance; 0 takes one of its own")
)

func chance(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", s)
	return rand.New(rand.NewPCG(s, s))
}

func quick() string {
	return fmt.Sprintf(`
  bulk: { min_records: 200, max_wait: 200ms, poll: 10ms..200ms }
  rest: { late_window: %v }
  retry: { initial: 50ms, max: 500ms }
`, *late)
}

// A file with good and bad lines is put: everything good is delivered once, each
// bad line is told of, and the same file again changes nothing.
func TestMainJob(t *testing.T) {
	r := newRig(t, quick())
	w := newWorkload(r, *lines, chance(t))
	r.start()
	file := filepath.Join(r.dir, "events.ndjson")
	write(t, file, w.ndjson(t))
	_, errs, code := r.run(nil, "put", file)
	if code != 1 {
		t.Errorf("put of a file with bad lines: exit %d, want 1", code)
	}
	if got := strings.Count(errs, "invalid_event"); got != w.refused {
		t.Errorf("put told of %d refused lines, want %d:\n%s", got, w.refused, errs)
	}
	s := r.drained()
	checkCounts(t, w, s)
	checkStuck(t, r, w)
	w.verify(t, r)
	before := len(r.effects(0))

	out, _, _ := r.run(nil, "put", "--json", file)
	if got := strings.Count(out, `"duplicate":true`); got != len(w.lines)-w.refused {
		t.Errorf("the same put again: %d duplicates, want %d", got, len(w.lines)-w.refused)
	}
	changed := strings.Replace(w.ndjson(t), `"Description":"event-000000"`, `"Description":"changed"`, 1)
	write(t, file, changed)
	out, _, _ = r.run(nil, "put", "--json", file)
	if got := strings.Count(out, `"code":"key_reused"`); got != 1 {
		t.Errorf("one line changed: %d lines refused as key_reused, want 1", got)
	}
	r.drained()
	if after := len(r.effects(0)); after != before {
		t.Errorf("putting again had %d new effects", after-before)
	}
	r.check()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkCounts(t *testing.T, w *workload, s api.Status) {
	t.Helper()
	if want := int64(len(w.lines) - w.bad); s.Counts.Delivered != want {
		t.Errorf("delivered %d, want %d", s.Counts.Delivered, want)
	}
	if got := s.Counts.Failed + int64(w.refused); got != int64(w.bad) {
		t.Errorf("failed %d and refused %d are %d, want %d", s.Counts.Failed, w.refused, got, w.bad)
	}
	if s.Counts.InDoubt != 0 {
		t.Errorf("in doubt: %d; every operation here can be settled", s.Counts.InDoubt)
	}
	t.Logf("accepted %d, delivered %d, failed %d, refused at the socket %d", s.Accepted, s.Counts.Delivered, s.Counts.Failed, w.refused)
}

// checkStuck compares each failed event's code with what it should have.
func checkStuck(t *testing.T, r *rig, w *workload) {
	t.Helper()
	out, errs, code := r.run(nil, "stuck", "--json")
	if code != 0 {
		t.Fatalf("stuck: exit %d: %s", code, errs)
	}
	var page struct {
		Stuck []struct {
			Key       string `json:"key"`
			Reason    string `json:"reason"`
			LastError struct {
				Code    string `json:"code"`
				Message string `json:"message"`
			} `json:"last_error"`
		} `json:"stuck"`
		Total int `json:"total"`
	}
	if err := json.Unmarshal([]byte(out), &page); err != nil {
		t.Fatalf("stuck: %v in %.300s", err, out)
	}
	want := map[string]string{}
	for _, l := range w.lines {
		if l.code != "" {
			want[l.key] = l.code
		}
	}
	if page.Total != len(want) || len(page.Stuck) != len(want) {
		t.Errorf("stuck lists %d of %d, want %d", len(page.Stuck), page.Total, len(want))
	}
	for _, e := range page.Stuck {
		code := want[e.Key]
		if code == "" || code != "*" && e.LastError.Code != code || e.LastError.Message == "" || e.Reason != "failed" {
			t.Errorf("%s is stuck: %s, %s: %s; want code %q", e.Key, e.Reason, e.LastError.Code, e.LastError.Message, code)
		}
	}
}

// lostAnswers loses some answers of every step of a job and of REST calls, on
// either side of their processing.
func lostAnswers() []map[string]any {
	var list []map[string]any
	for _, kind := range []string{"job.create", "job.upload", "job.close", "job.get", "job.ok", "job.failed", "coll.upsert", "coll.update", "coll.delete", "coll.create"} {
		for _, do := range []string{"drop_after", "drop_before", "cut"} {
			p := 0.04
			if do == "cut" && !strings.HasPrefix(kind, "job.ok") && !strings.HasPrefix(kind, "job.failed") {
				continue
			}
			list = append(list, map[string]any{"match": map[string]any{"kind": kind, "probability": p}, "do": do})
		}
	}
	return list
}

// The daemon is killed again and again while it drains, with answers lost at
// every step: the end is the same as without.
func TestKilledWhileDraining(t *testing.T) {
	r := newRig(t, quick())
	rnd := chance(t)
	w := newWorkload(r, *lines, rnd)
	r.faults(lostAnswers()...)
	r.start()
	file := filepath.Join(r.dir, "events.ndjson")
	write(t, file, w.ndjson(t))
	r.run(nil, "put", file)
	for range *kills {
		s := r.status()
		if s.Counts.Pending == 0 && s.Counts.Inflight == 0 {
			r.faults()
			t.Log("drained before the last kill")
			break
		}
		goal := s.Counts.Delivered + int64(rnd.IntN(*lines/(*kills)))
		r.until("more is delivered", func() bool {
			s := r.status()
			return s.Counts.Delivered >= goal || s.Counts.Pending+s.Counts.Inflight == 0
		})
		r.kill()
		r.start()
	}
	r.faults()
	s := r.drained()
	checkCounts(t, w, s)
	checkStuck(t, r, w)
	w.verify(t, r)
	r.check()
}

// An org that refuses over its limits, and one that is down, open the breaker;
// no event fails by it, and all are delivered afterwards.
func TestBreaker(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  map[string]any
		reason string
	}{
		{"limit", map[string]any{"match": map[string]any{}, "do": "limit"}, "limit"},
		{"down", map[string]any{"match": map[string]any{}, "do": "status", "status": 503, "code": "SERVER_UNAVAILABLE", "message": "down"}, "unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, quick())
			r.start()
			r.faults(tt.fault)
			var text strings.Builder
			for i := range 500 {
				fmt.Fprintf(&text, `{"key":"k-%d","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"s-%d"},"fields":{"LastName":"x"}}`+"\n", i, i)
			}
			if _, errs, code := r.run(strings.NewReader(text.String()), "put"); code != 0 {
				t.Fatalf("put: exit %d: %s", code, errs)
			}
			r.until("the breaker is open", func() bool {
				s := r.status()
				return s.Breaker.State == "open" && s.Breaker.Reason == tt.reason && !s.Breaker.NextProbeAt.IsZero()
			})
			r.faults()
			s := r.drained()
			if s.Counts.Delivered != 500 || s.Breaker.State != "closed" {
				t.Errorf("afterwards: %+v, want 500 delivered and the breaker closed", s)
			}
			out, _, _ := r.run(nil, "show", "k-0", "--json")
			var doc struct {
				Attempts int `json:"attempts"`
			}
			if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Attempts != 1 {
				t.Errorf("attempts charged: %d (%v), want 1", doc.Attempts, err)
			}
		})
	}
}
