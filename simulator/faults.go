package simulator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is something that goes wrong.
//
// Not processed: drop_before (the connection is closed), status (Status with
// an error array of Code and Message, a plain text of Message alone, or no
// body), html, limit, expire_token. Held for Delay and then processed though
// the client may have gone: delay_before. Processed: drop_after, delay_after,
// error_after, html_after, cut (the body ends after Part of it and the
// connection is closed), short (the body ends as if it were whole, at the end
// of a line if it has lines). Of a job, decided when it is closed: slow_job
// (Delay longer), fail_job (after Part of its rows). Of single rows:
// row_error, lock, and lose_row (processed, but in none of a job's results).
type Fault struct {
	Match   Match         `json:"match"`
	Do      string        `json:"do"`
	Status  int           `json:"status,omitempty"`
	Code    string        `json:"code,omitempty"`
	Message string        `json:"message,omitempty"`
	Delay   time.Duration `json:"-"`              // on the simulator's clock; in JSON as Go writes durations
	Part    float64       `json:"part,omitempty"` // 0 to 1
}

// Match chooses what a fault happens to; what is empty matches everything.
// Requests, jobs and rows each count as one occurrence.
type Match struct {
	Kind        string  `json:"kind,omitempty"` // of a call, or job.* and the like
	Method      string  `json:"method,omitempty"`
	Path        string  `json:"path,omitempty"` // regular expression
	Object      string  `json:"object,omitempty"`
	Nth         []int   `json:"nth,omitempty"`         // occurrences, from 1
	Probability float64 `json:"probability,omitempty"` // 0: always
	Times       int     `json:"times,omitempty"`       // at most; 0: no bound
}

// What faults can do, by what they happen to.
var (
	beforeFaults = []string{"drop_before", "status", "html", "limit", "expire_token", "delay_before"}
	afterFaults  = []string{"drop_after", "delay_after", "error_after", "html_after", "cut", "short"}
	jobFaults    = []string{"slow_job", "fail_job"}
	rowFaults    = []string{"row_error", "lock", "lose_row"}
)

// callKinds are the kinds of calls that faults match and /_sim/calls counts.
var callKinds = func() []string {
	kinds := []string{"token", "oauth", "versions", "describe", "query", "limits"}
	for _, group := range []string{"row", "ext", "coll"} {
		for _, op := range []string{"create", "get", "update", "upsert", "delete"} {
			kinds = append(kinds, group+"."+op)
		}
	}
	for _, op := range []string{"list", "run", "batch", "tree", "graph"} {
		kinds = append(kinds, "composite."+op)
	}
	for _, op := range []string{"create", "upload", "close", "abort", "get", "list", "ok", "failed", "unprocessed", "delete"} {
		kinds = append(kinds, "job."+op)
	}
	return kinds
}()

// jsonFault is Fault with a delay in text.
type jsonFault struct {
	plainFault
	Delay string `json:"delay,omitempty"`
}

type plainFault Fault

// MarshalJSON writes the delay as Go writes durations.
func (f Fault) MarshalJSON() ([]byte, error) {
	out := jsonFault{plainFault: plainFault(f)}
	if f.Delay != 0 {
		out.Delay = f.Delay.String()
	}
	return json.Marshal(out)
}

// UnmarshalJSON refuses unknown members.
func (f *Fault) UnmarshalJSON(b []byte) error {
	var in jsonFault
	if err := strictJSON(b, &in); err != nil {
		return err
	}
	*f = Fault(in.plainFault)
	if in.Delay == "" {
		return nil
	}
	delay, err := time.ParseDuration(in.Delay)
	f.Delay = delay
	return err
}

// call is what a fault's match is compared with.
type call struct {
	kind   string
	method string
	path   string
	object string
}

// faultSet is the armed faults.
type faultSet struct {
	seed  uint64
	armed atomic.Bool // false: nothing to ask, without the lock

	mu   sync.Mutex
	list []*armedFault
}

type armedFault struct {
	Fault
	path  *regexp.Regexp
	rng   *rand.Rand
	seen  int
	fired int
}

func newFaultSet(seed uint64) *faultSet { return &faultSet{seed: seed} }

// set replaces the faults, or leaves them if one is not valid.
func (fs *faultSet) set(faults []Fault) error {
	list := make([]*armedFault, 0, len(faults))
	for i, f := range faults {
		path, err := f.validate()
		if err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
		rng := rand.New(rand.NewPCG(fs.seed, uint64(i)))
		list = append(list, &armedFault{Fault: f, path: path, rng: rng})
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = list
	fs.armed.Store(len(list) > 0)
	return nil
}

func (f *Fault) validate() (*regexp.Regexp, error) {
	known := slices.Concat(beforeFaults, afterFaults, jobFaults, rowFaults)
	switch m := f.Match; {
	case !slices.Contains(known, f.Do):
		return nil, fmt.Errorf("unknown do %q, want one of %s", f.Do, strings.Join(known, ", "))
	case !knownKind(m.Kind):
		return nil, fmt.Errorf("unknown kind %q", m.Kind)
	case slices.Contains(jobFaults, f.Do) && m.Kind != "" && m.Kind != "job.close" && m.Kind != "job.*":
		return nil, fmt.Errorf("%s is decided when a job is closed: kind can be job.close or job.*", f.Do)
	case m.Probability < 0 || m.Probability > 1:
		return nil, fmt.Errorf("probability %v is not between 0 and 1", m.Probability)
	case f.Part < 0 || f.Part > 1:
		return nil, fmt.Errorf("part %v is not between 0 and 1", f.Part)
	case m.Times < 0 || f.Delay < 0:
		return nil, fmt.Errorf("times and delay can't be negative")
	case slices.ContainsFunc(m.Nth, func(n int) bool { return n < 1 }):
		return nil, fmt.Errorf("nth counts from 1")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return nil, fmt.Errorf("status %d is not between 200 and 599", f.Status)
	case m.Path == "":
		return nil, nil
	default:
		return regexp.Compile(m.Path)
	}
}

// knownKind takes "", a kind, and a group such as job.*
func knownKind(kind string) bool {
	group, isGroup := strings.CutSuffix(kind, "*")
	return kind == "" || slices.ContainsFunc(callKinds, func(k string) bool {
		return k == kind || isGroup && strings.HasSuffix(group, ".") && strings.HasPrefix(k, group)
	})
}

// pick counts an occurrence and returns the first fault among dos that
// happens to it, or nil.
func (fs *faultSet) pick(c call, dos []string) *Fault {
	if !fs.armed.Load() {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var hit *Fault
	for _, f := range fs.list {
		if slices.Contains(dos, f.Do) && f.matches(c) && f.fires(hit == nil) {
			hit = &f.Fault
		}
	}
	return hit
}

// request picks among the faults of requests.
func (fs *faultSet) request(c call) *Fault { return fs.pick(c, requestFaults) }

var requestFaults = slices.Concat(beforeFaults, afterFaults)

func (f *armedFault) matches(c call) bool {
	m := &f.Match
	if f.Do == "limit" && m.Kind == "" && !counted(c.kind) {
		return false
	}
	return matchesKind(m.Kind, c.kind) &&
		(m.Method == "" || strings.EqualFold(m.Method, c.method)) &&
		(m.Object == "" || strings.EqualFold(m.Object, c.object)) &&
		(f.path == nil || f.path.MatchString(c.path))
}

// counted reports whether calls of a kind use up the API allocation, so that a
// limit concerns them.
func counted(kind string) bool { return kind != "token" && kind != "oauth" && kind != "versions" }

func matchesKind(want, kind string) bool {
	if group, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(kind, group)
	}
	return want == "" || want == kind
}

// fires counts a match and decides whether the fault happens; free tells
// whether nothing else has happened to it yet.
func (f *armedFault) fires(free bool) bool {
	f.seen++
	switch m := &f.Match; {
	case len(m.Nth) > 0 && !slices.Contains(m.Nth, f.seen),
		m.Probability > 0 && f.rng.Float64() >= m.Probability,
		m.Times > 0 && f.fired >= m.Times,
		!free:
		return false
	}
	f.fired++
	return true
}
