package crashtest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/outboxd/outboxd/simulator"
)

var more = flag.Int("more", 0, "crash points, and misfortunes of the network, beside those that are always tried; -1: all")

// death is a crash case: one start of the daemon after the other dies at a point.
type death struct {
	traffic
	points []string // OUTBOXD_CRASH of each start, such as T3.after:1
	faults []simulator.Fault
}

func (d death) way() string  { return d.traffic.name }
func (d death) name() string { return d.traffic.name + "/" + strings.Join(d.points, "+") }

// on is before and after each step, at the n-th pass.
func on(n int, steps ...string) (points []string) {
	for _, s := range steps {
		points = append(points, fmt.Sprintf("%s.before:%d", s, n), fmt.Sprintf("%s.after:%d", s, n))
	}
	return points
}

var (
	jobSteps   = []string{"T1", "N1", "T2", "N2", "T3", "N3", "T4", "N4", "N5", "T5"}
	restSteps  = []string{"R.T1", "R.N1", "R.T2"}
	matchSteps = []string{"Q.T1", "Q.N1", "Q.T2"}
)

// steps are those that the traffic goes through when nothing goes wrong.
func (tr traffic) steps() []string {
	steps := []string{"O.N1", "O.T1"}
	if tr.match {
		steps = append(steps, matchSteps...)
	}
	if tr.job || tr.objects != "" && !tr.doubt || tr.name == "upsert by REST" {
		steps = append(steps, "D.N1")
	}
	if tr.job {
		return append(steps, jobSteps...)
	}
	return append(steps, restSteps...)
}

// deaths are all cases: every step of each traffic, at the head and at its
// follower; what only a restart goes through, by a second death; and the steps
// that need an unwilling org.
func deaths() (all []death) {
	for _, tr := range traffics() {
		add := func(points ...string) { all = append(all, death{traffic: tr, points: points}) }
		for n := 1; n <= 2; n++ {
			for _, p := range on(n, tr.steps()...) {
				if n == 1 || p[:2] != "O." {
					add(p)
				}
			}
		}
		for first, second := range tr.resumed() {
			for _, p := range on(1, second...) {
				add(first, p)
			}
		}
		call, kind := "R.N1.after:1", "coll.*"
		if tr.job {
			call, kind = "N2.after:1", "job.create"
			all = append(all, unwilling(tr, "job.upload", "drop_after", on(1, "A.N1", "A.N2"))...)
		}
		all = append(all, unwilling(tr, kind, "limit", on(1, "G.T1"))...)
		if !tr.lookup && !tr.doubt {
			add(call, call, call) // the daemon goes down with the same events in its hands, again and again
		}
	}
	for _, p := range on(1, "V.T1") {
		all = append(all, death{traffic: laxCreates(), points: []string{"R.N1.after:1", p}})
	}
	for _, p := range on(1, "V.N1") {
		all = append(all, death{traffic: creates(false).by(false), points: []string{"R.N1.after:1", p}})
	}
	return all
}

// resumed are the steps that a restart goes through after a death at a point.
func (tr traffic) resumed() map[string][]string {
	switch {
	case tr.job:
		return map[string][]string{
			"N2.after:1":  append([]string{"A.N1", "A.N2"}, jobSteps[1:]...),
			"T3.after:1":  {"N4", "N3", "T4", "N5", "T5"},
			"N3.after:1":  {"N4", "T4", "N5", "T5"},
			"N5.after:1":  {"N4", "N5", "T5"},
			"T5.before:1": {"N4", "N5", "T5"},
		}
	case tr.doubt:
		return map[string][]string{"R.N1.after:1": {"K.T1"}, "R.T1.after:1": {"K.T1"}}
	case tr.lookup:
		return map[string][]string{"R.N1.after:1": {"K.N1", "K.T1"}, "R.T1.after:1": {"K.N1", "R.N1", "R.T2"}}
	}
	return map[string][]string{"R.N1.after:1": {"R.N1", "R.T2"}, "R.T1.after:1": {"R.N1", "R.T2"}}
}

// unwilling are deaths after a fault of the first such call.
func unwilling(tr traffic, kind, do string, points []string) (list []death) {
	fault := simulator.Fault{Match: simulator.Match{Kind: kind, Nth: []int{1}}, Do: do}
	for _, p := range points {
		list = append(list, death{traffic: tr, points: []string{p}, faults: []simulator.Fault{fault}})
	}
	return list
}

func (d death) topic() string { return d.points[len(d.points)-1] }

// trial is a case among many.
type trial interface {
	name() string
	topic() string // one of each is always tried
	way() string   // the traffic: they take turns
	run(t *testing.T)
}

// selection takes so many cases that each topic, and each traffic, is among
// them, and some more by chance.
func selection[T trial](t *testing.T, all []T) []T {
	t.Helper()
	if *more < 0 {
		return all
	}
	rnd := chance(t)
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	met, turns := map[string]bool{}, map[string]int{}
	rest := all
	var some []T
	for {
		next := -1
		for i, c := range rest {
			if !met[c.topic()] && (next < 0 || turns[c.way()] < turns[rest[next].way()]) {
				next = i
			}
		}
		if next < 0 {
			return append(some, rest[:min(*more, len(rest))]...)
		}
		met[rest[next].topic()] = true
		turns[rest[next].way()]++
		some = append(some, rest[next])
		rest = slices.Delete(rest, next, next+1)
	}
}

// try runs cases side by side, and says how many went well.
func try[T trial](t *testing.T, cases []T) {
	t.Helper()
	var done atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				c.run(t)
				done.Add(1)
			})
		}
	})
	t.Logf("%d of %d cases came through", done.Load(), len(cases))
}

// The daemon dies at a named point, before or after a step of the protocol, and
// is started again: every event takes effect once, in the order of its lane.
func TestCrashPoints(t *testing.T) {
	try(t, selection(t, deaths()))
}

// Each point that the dispatcher has is among the cases.
func TestCrashPoints_AreAllTried(t *testing.T) {
	var tried []string
	for _, d := range deaths() {
		for _, p := range d.points {
			name, _, _ := strings.Cut(p, ":")
			tried = append(tried, name)
		}
	}
	files, err := filepath.Glob("../dispatcher/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the dispatcher's files: %v, %v", files, err)
	}
	literal, found := regexp.MustCompile(`crashpoint\("([^"]+)"\)`), 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllStringSubmatch(string(text), -1) {
			found++
			if !slices.Contains(tried, m[1]) {
				t.Errorf("%s: nobody dies at %s", file, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no crash point was found")
	}
}

func (d death) run(t *testing.T) {
	f := d.flow(t, faulty, nil)
	if err := f.sim.SetFaults(d.faults...); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.points {
		f.launch([]string{"OUTBOXD_CRASH=" + p})
		if !f.dies() {
			t.Fatalf("never came to %s", p)
		}
		if got := f.signal(); got != syscall.SIGKILL {
			t.Fatalf("at %s: ended by signal %d (%v), want a kill", p, got, f.cmd.ProcessState)
		}
	}
	f.start()
	f.finish()
}
