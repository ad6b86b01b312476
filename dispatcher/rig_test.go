package dispatcher_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// TestMain runs many rigs at a time: they mostly wait.
func TestMain(m *testing.M) {
	if os.Getenv(orgProcess) != "" {
		if err := serveOrg(); err != nil {
			panic(err)
		}
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test; none waits that long when all is well.
const patience = 20 * time.Second

// rig is a real store, a real client and an org over real HTTP, with a
// dispatcher between them that can be dropped and made anew.
type rig struct {
	t      testing.TB
	cfg    dispatcher.Config
	sim    *simulator.Simulator
	url    string
	dial   func(ctx context.Context, network, address string) (net.Conn, error) // nil: over TCP
	calls  time.Duration                                                        // the longest that a call may take
	store  *store.Store
	outbox dispatcher.Outbox // the store, or something around it
	log    *logBook

	d    *dispatcher.Dispatcher
	stop context.CancelFunc
	done chan error
}

// quick is a configuration whose times are short enough for tests.
func quick() dispatcher.Config {
	return dispatcher.Config{
		Bulk:    dispatcher.Bulk{MinRecords: 20, MaxRecords: 100, MaxWait: 10 * time.Millisecond, MaxJobs: 3, PollMin: 2 * time.Millisecond, PollMax: 10 * time.Millisecond},
		REST:    dispatcher.REST{MaxRecords: 50, Concurrency: 3, LateWindow: 60 * time.Millisecond, Grace: time.Second},
		Retry:   dispatcher.Retry{Initial: 2 * time.Millisecond, Max: 20 * time.Millisecond},
		Objects: map[string]dispatcher.ObjectConfig{},
	}
}

func newRig(t testing.TB, cfg dispatcher.Config) *rig {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	s, err := store.Open(filepath.Join(t.TempDir(), "outbox.db"), store.Options{LateWindow: cfg.REST.LateWindow})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, cfg: cfg, sim: sim, url: url, calls: time.Second, store: s, outbox: s, log: &logBook{}}
	t.Cleanup(func() {
		r.halt()
		if bad, err := s.Check(context.Background()); err != nil || len(bad) > 0 {
			t.Errorf("store is not in order: %v, %v", bad, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

// newPatientRig is newRig for tests that want no call to be given up, however busy the machine.
func newPatientRig(t testing.TB, cfg dispatcher.Config) *rig {
	t.Helper()
	r := newRig(t, cfg)
	r.calls = patience
	return r
}

// client makes a new client, as a restart does.
func (r *rig) client() *salesforce.Client {
	r.t.Helper()
	c, err := salesforce.New(salesforce.Config{
		LoginURL: r.url, Timeout: r.calls, DialContext: r.dial,
		Auth: salesforce.Credentials{Flow: salesforce.FlowClientCredentials, ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// start runs a new dispatcher on the store.
func (r *rig) start() {
	r.t.Helper()
	r.startWith(r.client())
}

func (r *rig) startWith(org dispatcher.Org) {
	ctx, cancel := context.WithCancel(context.Background())
	r.d = dispatcher.New(r.cfg, r.outbox, org, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	r.stop, r.done = cancel, make(chan error, 1)
	go func(d *dispatcher.Dispatcher, done chan error) { done <- d.Run(ctx) }(r.d, r.done)
}

// halt stops the dispatcher, if one runs, and waits for it.
func (r *rig) halt() {
	r.t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	if err := <-r.done; err != nil && !errors.Is(err, store.ErrFenced) {
		r.t.Errorf("Run: %v", err)
	}
	r.stop = nil
}

func (r *rig) restart() {
	r.t.Helper()
	r.halt()
	r.start()
}

// put accepts events, given as JSON.
func (r *rig) put(lines ...string) {
	r.t.Helper()
	events := make([]store.Event, len(lines))
	for i, line := range lines {
		events[i] = r.parse(line)
	}
	results, err := r.store.Put(context.Background(), events, store.PutOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	for i, x := range results {
		if x.Err != nil {
			r.t.Fatalf("%s: %v", lines[i], x.Err)
		}
	}
}

// parse is what the server makes of an event.
func (r *rig) parse(line string) store.Event {
	r.t.Helper()
	e, err := event.Decode([]byte(line))
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		r.t.Fatalf("%s: %v", line, err)
	}
	head, err := e.Head()
	if err != nil {
		r.t.Fatal(err)
	}
	route := store.Route{Object: e.Object, Operation: string(e.Operation), Match: e.Match != nil}
	if e.ExternalID != nil {
		route.ExternalID = e.ExternalID.Field
	}
	return store.Event{
		Key: e.Key, Digest: store.Digest(e.Digest()), Route: route, Lane: e.LaneKey(),
		After: append(slices.Clone(e.After), e.IDsOf()...), NotBefore: e.NotBefore, ExpiresAt: e.ExpiresAt,
		Source: e.Source, Head: head, Payload: e.Fields,
	}
}

// until waits until ok, looking whenever an outcome changes.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := r.store.Watch()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case err := <-r.done:
			r.t.Fatalf("dispatcher ended while waiting: %s: %v", what, err)
		case <-deadline.C:
			r.t.Fatalf("waited in vain: %s; %+v; breaker %+v; calls %v", what, r.counts(), r.d.Breaker(), r.sim.Calls().Calls)
		}
	}
}

func (r *rig) counts() store.Counts {
	r.t.Helper()
	s, err := r.store.Status(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Counts
}

// drained waits until nothing is pending or inflight.
func (r *rig) drained() store.Counts {
	r.t.Helper()
	r.until("drained", func() bool {
		c := r.counts()
		return c.Of(store.Pending)+c.Of(store.Inflight) == 0 && len(r.list(store.Pending, store.Inflight)) == 0
	})
	return r.counts()
}

// delivers waits until everything is delivered.
func (r *rig) delivers(n int64) {
	r.t.Helper()
	if c := r.drained(); c.Of(store.Delivered) != n || c.Sum() != n {
		r.t.Fatalf("counts %v, want %d delivered; stuck: %v", c, n, r.stuck())
	}
}

func (r *rig) get(key string) store.Record {
	r.t.Helper()
	rec, err := r.store.Get(context.Background(), key)
	if err != nil {
		r.t.Fatalf("%s: %v", key, err)
	}
	return rec
}

// stuck lists what is stuck, for messages.
func (r *rig) stuck() (list []string) {
	r.t.Helper()
	page, err := r.store.Stuck(context.Background(), store.Filter{Limit: 20})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, x := range page.Records {
		list = append(list, fmt.Sprintf("%s %s %+v", x.Key, x.Reason, x.LastError))
	}
	return list
}

func (r *rig) faults(f ...simulator.Fault) {
	r.t.Helper()
	if err := r.sim.SetFaults(f...); err != nil {
		r.t.Fatal(err)
	}
}

// marker is the field in which the tests' events carry their key, for the oracle.
const marker = "Description"

// oracle counts the effects by key and checks I2 and I3: none twice, one once delivered.
func (r *rig) oracle() map[string]int {
	r.t.Helper()
	effects := make(map[string]int)
	for _, e := range r.sim.Effects() {
		key, _ := e.Fields[marker].(string)
		if e.Operation == "delete" {
			key = "delete " + e.ID
		}
		if key != "" {
			effects[key]++
		}
	}
	for key, n := range effects {
		if n > 1 {
			r.t.Errorf("%s took effect %d times", key, n)
		}
	}
	ids := make(map[string]bool)
	for _, e := range r.sim.Effects() {
		ids[e.ID] = true
	}
	for _, x := range r.list() {
		key := x.Key
		if strings.Contains(x.Route.Operation, "delete") {
			key = "delete " + x.ID
		}
		if x.State == store.Delivered && effects[key] != 1 {
			r.t.Errorf("%s is delivered and took effect %d times", x.Key, effects[key])
		}
		if x.State == store.Delivered && x.ID != "" && !ids[x.ID] {
			r.t.Errorf("%s: no record %s at the org", x.Key, x.ID)
		}
		if x.State == store.Failed && effects[key] != 0 {
			r.t.Errorf("%s is failed (%+v) and took effect", x.Key, x.LastError)
		}
	}
	return effects
}

// list returns the events in these states, all without any.
func (r *rig) list(states ...store.State) (all []store.Record) {
	r.t.Helper()
	for filter := (store.Filter{States: states, Limit: 1000}); ; {
		page, err := r.store.List(context.Background(), filter)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, page.Records...)
		if filter.Cursor = page.Next; filter.Cursor == "" {
			return all
		}
	}
}

// logBook keeps the log for tests that fail.
type logBook struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 200_000 {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func upsertContact(i int) string {
	return fmt.Sprintf(`{"key":"u-%04d","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"S-%d"},"fields":{"LastName":"L%d","Score__c":%d.5,%q:"u-%04d"}}`, i, i, i, i, marker, i)
}

func createContact(i int) string {
	return fmt.Sprintf(`{"key":"c-%04d","object":"Contact","operation":"create","fields":{"LastName":"L%d","Score__c":71664061,"Birthdate":"1815-12-10","DoNotCall":true,%q:"c-%04d"}}`, i, i%3, marker, i)
}

func many(n int, of func(int) string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = of(i)
	}
	return lines
}

func createFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
}
