package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// world is one run: the org, the network, the daemon's lives and who uses it.
type world struct {
	*trace
	plan *plan
	sim  *simulator.Simulator
	net  *network
	life *life // the present one; steps alone look at it

	lives int
	moves int
	sent  []*sent          // in order of their drafts
	byKey map[string]*sent // the same
	ids   *strings.Replacer
	bad   []string // what was found to be wrong

	backup   bytes.Buffer
	restored bool

	mu     sync.Mutex
	counts map[string]int // passes of points
	lags   map[lagKey]uint64
	offset time.Duration // of the wall clock
	all    []*life
}

// sent is an event that an app has sent, or tried to.
type sent struct {
	draft
	event   store.Event
	parsed  *event.Event
	seq     store.Seq // 0: not acknowledged yet
	atomic  bool
	edited  int
	dropped bool
	lost    bool // it came after the backup that was restored
}

// run plays a plan and returns what it found wrong. dir is an empty folder.
func run(p *plan, dir string) (*trace, []string) {
	w := &world{trace: newTrace(), plan: p, byKey: map[string]*sent{}, counts: map[string]int{}, lags: map[lagKey]uint64{}}
	if err := w.play(dir); err != nil {
		w.wrong("%v", err)
	}
	if w.life != nil && !w.life.isDead() {
		if _, err := w.life.end(); err != nil {
			w.wrong("%v", err)
		}
	}
	if w.net != nil {
		w.net.close()
	}
	if w.sim != nil {
		w.sim.Close()
	}
	time.Sleep(time.Hour) // whoever still sleeps, wakes; after us the time stands still
	return w.trace, w.bad
}

func (w *world) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.note("WRONG  %s", text)
	w.bad = append(w.bad, text)
}

func (w *world) play(dir string) (err error) {
	if w.sim, err = simulator.New(simulator.Config{Seed: w.plan.seed, JobDelay: 600 * time.Millisecond, Schema: schema()}); err != nil {
		return err
	}
	w.populate()
	if err := w.sim.SetFaults(w.plan.rows...); err != nil {
		return err
	}
	w.net = newNetwork(w, w.sim)
	first := filepath.Join(dir, "life1")
	if err := os.Mkdir(first, 0o700); err != nil {
		return err
	}
	if w.life, err = w.born(first); err != nil {
		return err
	}
	for _, s := range w.plan.steps {
		if err := w.waitUntil(epoch.Add(s.at)); err != nil {
			return err
		}
		if err := w.take(s); err != nil {
			return err
		}
	}
	if err := w.waitUntil(epoch.Add(lasts)); err != nil {
		return err
	}
	if err := w.drain(); err != nil {
		return err
	}
	w.judge()
	return nil
}

// schema is the org's: few fields, since a describe of many takes longer than the rest of a run.
func schema() []simulator.Object {
	text := func(name string) simulator.Field { return simulator.Field{Name: name, Type: "string", Length: 255} }
	must := func(name string) simulator.Field {
		return simulator.Field{Name: name, Type: "string", Length: 80, Required: true}
	}
	email := simulator.Field{Name: "Email", Type: "email"}
	account := simulator.Field{Name: "AccountId", Type: "reference", ReferenceTo: []string{"Account"}, Relationship: "Account"}
	shop := simulator.Field{Name: "Shop_Id__c", Type: "string", Length: 80, ExternalID: true, Unique: true}
	key := simulator.Field{Name: "Outbox_Key__c", Type: "string", Length: 255, ExternalID: true, Unique: true, CaseSensitive: true}
	score := simulator.Field{Name: "Score__c", Type: "double", Precision: 18, Scale: 2}
	day := simulator.Field{Name: "CloseDate", Type: "date", Required: true}
	return []simulator.Object{
		{Name: "Account", KeyPrefix: "001", Fields: []simulator.Field{must("Name"), text(marker), shop, email}},
		{Name: "Contact", KeyPrefix: "003", Fields: []simulator.Field{must("LastName"), text(marker), shop, email, account, score}},
		{Name: "Lead", KeyPrefix: "00Q", Fields: []simulator.Field{must("LastName"), must("Company"), text("Title"), text(marker), email}},
		{Name: "Opportunity", KeyPrefix: "006", Fields: []simulator.Field{must("Name"), must("StageName"), day, text(marker), account, email}},
		{Name: "Case", KeyPrefix: "500", Fields: []simulator.Field{text("Subject"), text(marker), key, account, email}},
	}
}

// populate makes the records that there are before.
func (w *world) populate() {
	var ids []string
	for i := range seededAccounts {
		w.create("Account", object{"Name": "seed", "Shop_Id__c": fmt.Sprintf("acc-%d", i+1)})
	}
	for i := range seededContacts {
		w.create("Contact", object{"LastName": "seed", "Email": fmt.Sprintf("m%d@example.com", i)})
	}
	for i := range seededLeads {
		id := w.create("Lead", object{"LastName": "seed", "Company": "C"})
		ids = append(ids, fmt.Sprintf("{lead-%d}", i), id)
	}
	w.ids = strings.NewReplacer(ids...)
}

// create makes a record past the network.
func (w *world) create(object string, fields object) string {
	var made struct{ ID string }
	if err := json.Unmarshal(w.byHand("POST", "/services/data/v66.0/sobjects/"+object, text(fields)), &made); err != nil || made.ID == "" {
		panic(fmt.Sprint("create ", object, ": ", err))
	}
	return made.ID
}

// byHand makes a call as somebody else than the daemon.
func (w *world) byHand(method, path, body string) []byte {
	ask := func(r *http.Request) []byte {
		rec := httptest.NewRecorder()
		w.sim.Handler().ServeHTTP(rec, r)
		return rec.Body.Bytes()
	}
	login := httptest.NewRequest("POST", "/services/oauth2/token", strings.NewReader(
		"grant_type=client_credentials&client_id="+simulator.DefaultClientID+"&client_secret="+simulator.DefaultClientSecret))
	login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(ask(login), &token); err != nil {
		panic(err)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return ask(r)
}

// maxLag is the longest that a call takes; each takes another time, so that no
// two things happen at the same one, and their order is the seed's.
const maxLag = 40 * time.Millisecond

// lag is how long the next thing of a kind takes in one life of the daemon.
func (w *world) lag(life int, kind string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lags[lagKey{life, kind}]++
	x := mix(w.plan.seed + uint64(life))
	for _, c := range []byte(kind) {
		x = mix(x + uint64(c))
	}
	return time.Duration(mix(x+w.lags[lagKey{life, kind}]) % uint64(maxLag))
}

type lagKey struct {
	life int
	kind string
}

// mix makes any number of a number, as splitmix64 does.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// strikes counts a pass of a point and reports whether the process dies there.
func (w *world) strikes(point string) (kill, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[point]++
	for _, k := range w.plan.kills {
		if k.point == point && k.nth == w.counts[point] {
			return k, true
		}
	}
	return kill{}, false
}

func (w *world) wall() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.offset)
}

func (w *world) setLife(l *life) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, l)
}

// lifeOf finds whose connection it is.
func (w *world) lifeOf(addr string) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := strconv.Atoi(addr)
	if err != nil {
		panic(err)
	}
	return w.all[n-1]
}

// waitUntil lets the daemon work; if it dies it is started anew.
func (w *world) waitUntil(t time.Time) error {
	for {
		select {
		case <-w.life.died:
			if err := w.restart(); err != nil {
				return err
			}
		case err := <-w.life.done:
			if w.life.done <- err; !w.life.isDead() {
				return fmt.Errorf("the dispatcher ended by itself: %w", err)
			}
			<-w.life.died
		case <-time.After(time.Until(t)):
			return nil
		}
	}
}

// restart ends the present life and begins the next one.
func (w *world) restart() error {
	dir, err := w.life.end()
	down := w.life.down
	if err != nil {
		w.life = nil
		return fmt.Errorf("life %d: %w", w.lives, err)
	}
	time.Sleep(down + w.lag(w.lives, "down"))
	if w.life, err = w.born(dir); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	w.nothingLost()
	return w.again()
}

// restore puts yesterday's outbox in place of today's: what came since is lost
// to it, and what it calls pending may have been sent.
func (w *world) restore() error {
	if w.backup.Len() == 0 {
		return nil
	}
	dir, err := w.life.end()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "outbox.db"), w.backup.Bytes(), 0o600)
	}
	if err != nil {
		w.life = nil
		return fmt.Errorf("restore: %w", err)
	}
	if w.life, err = w.born(dir); err != nil {
		return fmt.Errorf("start of a restored store: %w", err)
	}
	w.restored = true
	for _, s := range w.sent {
		_, err := w.life.store.Get(context.Background(), s.key)
		s.lost = s.lost || s.seq != 0 && errors.Is(err, store.ErrNotFound)
	}
	w.nothingLost()
	return w.again()
}

// alive makes sure that a daemon runs, for a step.
func (w *world) alive() error {
	if w.life.isDead() {
		return w.restart()
	}
	return nil
}

// nothingLost asks for every event that was acknowledged (I1).
func (w *world) nothingLost() {
	for _, s := range w.sent {
		if s.seq == 0 || s.lost {
			continue
		}
		if r, err := w.life.store.Get(context.Background(), s.key); err != nil || r.Seq != s.seq || r.Digest != s.event.Digest {
			w.wrong("I1: %s was acknowledged as %d and after a restart is %d (%v)", s.key, s.seq, r.Seq, err)
		}
	}
}

// again sends what an app had no answer for.
func (w *world) again() error {
	var atomic, single []*sent
	for _, s := range w.sent {
		switch {
		case s.seq != 0:
		case s.atomic:
			atomic = append(atomic, s)
		default:
			single = append(single, s)
		}
	}
	if err := w.put(atomic, true); err != nil {
		return err
	}
	return w.put(single, false)
}

func (w *world) take(s step) error {
	if err := w.alive(); err != nil {
		return err
	}
	w.note("step   %s", s.do)
	switch s.do {
	case actPut:
		return w.put(w.accept(s), s.atomic)
	case actRepeat, actReuse:
		w.repeat(s)
	case actStop:
		return w.restart()
	case actJump:
		w.mu.Lock()
		w.offset = s.jump
		w.mu.Unlock()
	case actLogout:
		w.sim.ExpireTokens()
	case actFlush:
		w.life.d.Flush()
	case actIdle:
		return w.life.check()
	case actBackup:
		w.backup.Reset()
		return w.life.store.Backup(context.Background(), &w.backup)
	case actRestore:
		return w.restore()
	case actForeign:
		if jobs := w.net.closed(); len(jobs) > 0 {
			w.byHand(http.MethodPatch, "/services/data/v66.0/jobs/ingest/"+jobs[s.pick%len(jobs)], `{"state":"Aborted"}`)
		}
	default:
		w.operate(s)
	}
	return nil
}

// accept makes events of drafts, as the server does.
func (w *world) accept(s step) (list []*sent) {
	for _, d := range s.events {
		x := &sent{draft: d, atomic: s.atomic}
		x.parsed, x.event = w.parse(w.ids.Replace(d.json))
		w.sent = append(w.sent, x)
		w.byKey[d.key] = x
		list = append(list, x)
	}
	return list
}

func (w *world) parse(line string) (*event.Event, store.Event) {
	e, err := event.Decode([]byte(line))
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", line, err))
	}
	head, err := e.Head()
	if err != nil {
		panic(err)
	}
	route := store.Route{Object: e.Object, Operation: string(e.Operation), Match: e.Match != nil}
	if e.ExternalID != nil {
		route.ExternalID = e.ExternalID.Field
	}
	return e, store.Event{
		Key: e.Key, Digest: store.Digest(e.Digest()), Route: route, Lane: e.LaneKey(),
		After: append(slices.Clone(e.After), e.IDsOf()...), NotBefore: e.NotBefore, ExpiresAt: e.ExpiresAt,
		Source: e.Source, Head: head, Payload: e.Fields,
	}
}

// put sends events until they are answered, as apps do.
func (w *world) put(list []*sent, atomic bool) error {
	if len(list) == 0 {
		return nil
	}
	events := make([]store.Event, len(list))
	for i, s := range list {
		events[i] = s.event
	}
	o := &outbox{w.life.store, w.life}
	results, err := o.Put(context.Background(), events, store.PutOptions{Atomic: atomic})
	if err != nil && w.life.isDead() {
		return w.restart() // which sends them again
	}
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	for i, r := range results {
		if r.Err != nil {
			return fmt.Errorf("I7: put %s: %w", list[i].key, r.Err)
		}
		list[i].seq = r.Seq
		w.note("app    put %s: %d %s duplicate=%v", list[i].key, r.Seq, r.State, r.Duplicate)
	}
	return nil
}

// repeat sends an event a second time, or another one by its key (P2, P3).
func (w *world) repeat(s step) {
	if len(w.sent) == 0 {
		return
	}
	x := w.sent[s.pick%len(w.sent)]
	e := x.event
	if s.do == actReuse {
		_, e = w.parse(text(object{"key": x.key, "object": "Lead", "operation": "create", "fields": object{"LastName": "other", "Company": "other"}}))
	}
	o := &outbox{w.life.store, w.life}
	results, err := o.Put(context.Background(), []store.Event{e}, store.PutOptions{})
	if err != nil || x.seq == 0 || x.lost {
		return
	}
	r := results[0]
	if s.do == actReuse && !errors.Is(r.Err, store.ErrKeyReused) {
		w.wrong("P3: %s was taken with another payload: %+v", x.key, r)
	}
	if s.do == actRepeat && (r.Err != nil || !r.Duplicate || r.Seq != x.seq) {
		w.wrong("P2: the repeat of %s was no duplicate: %+v", x.key, r)
	}
}

// operate is a move of the operator's.
func (w *world) operate(s step) {
	ctx, st := context.Background(), w.life.store
	w.moves++
	m := store.Move{ID: fmt.Sprint("move", w.moves), By: "ada"}
	switch s.do {
	case actPause:
		w.tell(s.do, "", st.Pause(ctx, "ada"))
		w.life.d.Poke()
		return
	case actResume:
		w.tell(s.do, "", st.Resume(ctx, "ada", store.Acceptance{Restore: true}))
		w.life.d.Poke()
		return
	}
	page, err := st.Stuck(ctx, store.Filter{Limit: 1000})
	if err != nil {
		w.wrong("stuck: %v", err)
		return
	}
	var list []store.Record
	for _, r := range page.Records {
		if (s.do == actResolve) == (r.Reason == store.ReasonInDoubt) {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return
	}
	r := list[s.pick%len(list)]
	x := w.byKey[r.Key]
	switch s.do {
	case actRetry:
		_, err = st.Retry(ctx, r.Key, m, nil)
	case actEdit:
		err = w.edit(x, m)
	case actDrop:
		_, err = st.Drop(ctx, r.Key, m)
		x.dropped = x.dropped || err == nil
	case actResolve:
		err = w.resolve(x, m)
	}
	w.tell(s.do, r.Key, err)
}

func (w *world) tell(do action, key string, err error) {
	w.note("person %s %s: %v", do, key, err)
	if err != nil && !errors.Is(err, store.ErrTransition) && !errors.Is(err, store.ErrSuperseded) {
		w.wrong("%s %s: %v", do, key, err)
	}
}

// edit mends an event and has it tried again.
func (w *world) edit(x *sent, m store.Move) error {
	r, err := w.life.store.Get(context.Background(), x.key)
	if err != nil {
		return err
	}
	if x.fixed == "" || r.State != store.Failed {
		return nil
	}
	_, err = w.life.store.Retry(context.Background(), x.key, m, &store.Edit{Payload: []byte(x.fixed), Rev: r.Rev})
	if err == nil {
		x.edited++
		x.bad = false
	}
	return err
}

// resolve ends a doubt by what the org has, once nothing can land there any more.
func (w *world) resolve(x *sent, m store.Move) error {
	r, err := w.life.store.Get(context.Background(), x.key)
	if err != nil || time.Since(r.Since) < lateWindow || w.net.adrift() {
		return err
	}
	answer := store.Resolution{}
	for _, e := range w.sim.Effects() {
		if e.Fields[marker] == x.key {
			answer = store.Resolution{Delivered: true, ID: e.ID}
		}
	}
	_, err = w.life.store.Resolve(context.Background(), x.key, m, answer)
	return err
}

// drained bounds the time in which everything has to come to its end.
const drainWithin = 4 * time.Hour

// drain waits until nothing moves any more, with all mishaps over.
func (w *world) drain() error {
	w.net.quiet()
	if err := w.sim.SetFaults(); err != nil {
		return err
	}
	w.mu.Lock()
	w.offset = 0
	w.plan = w.plan.withoutKills()
	w.mu.Unlock()
	if err := w.alive(); err != nil {
		return err
	}
	if err := w.again(); err != nil {
		return err
	}
	w.tell(actResume, "", w.life.store.Resume(context.Background(), "ada", store.Acceptance{Restore: true}))
	w.life.d.Poke()
	w.note("calm")
	deadline := time.Now().Add(drainWithin)
	for pause := time.Second; time.Now().Before(deadline); pause = min(2*pause, time.Minute) {
		if err := w.waitUntil(time.Now().Add(pause)); err != nil {
			return err
		}
		moving, err := w.moving()
		if err != nil {
			return err
		}
		if len(moving) == 0 && !w.net.adrift() {
			time.Sleep(time.Second)
			return nil
		}
	}
	moving, err := w.moving()
	w.wrong("I5: not at rest %v after the last fault: %v; breaker %+v", drainWithin, moving, w.life.d.Breaker())
	return err
}

// moving lists the events that are to change by themselves.
func (w *world) moving() (keys []string, err error) {
	page, err := w.life.store.List(context.Background(), store.Filter{States: []store.State{store.Pending, store.Inflight}, Limit: 1000})
	for _, r := range page.Records {
		if r.State == store.Inflight || r.Reason != store.ReasonBlocked {
			keys = append(keys, fmt.Sprint(r.Key, " ", r.State, " ", r.Reason))
		}
	}
	return keys, err
}

func (p *plan) withoutKills() *plan {
	q := *p
	q.kills = nil
	return &q
}

// outcomes tells of a settlement in short.
func (w *world) outcomes(x store.Settlement) string {
	verdicts := [...]string{"", "delivered", "failed", "in doubt", "again", "rerouted"}
	names := map[store.Seq]string{}
	for _, s := range w.sent {
		names[s.seq] = s.key
	}
	var b strings.Builder
	for _, o := range x.Outcomes {
		name := names[o.Seq]
		if name == "" {
			name = fmt.Sprint("#", o.Seq)
		}
		fmt.Fprintf(&b, " %s %s", name, verdicts[o.Verdict])
		if o.Problem != nil {
			fmt.Fprintf(&b, " (%s)", o.Problem.Code)
		}
		if o.Hold > 0 {
			b.WriteString(" hold")
		}
	}
	return b.String()
}

// brief shows of a call whose events it carried and how each fared.
func (w *world) brief(q *request, a *answer) string {
	if q.kind == "describe" || q.kind == "token" || q.kind == "versions" {
		return ""
	}
	one := func(b []byte) string {
		b = bytes.TrimSpace(b)
		if len(b) > 300 {
			b = append(slices.Clone(b[:300]), "…"...)
		}
		return strings.ReplaceAll(string(b), "\n", "⏎")
	}
	what := one(q.body)
	if q.kind == "query" || q.kind == "coll.delete" {
		what = q.URL.RawQuery
	}
	return what + " → " + one(a.body.Bytes())
}
