package storetest

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/outboxd/outboxd/store"
	"pgregory.net/rapid"
)

func openStore(dir string, cfg Config) (Outbox, error) {
	s, err := store.Open(filepath.Join(dir, "outbox.db"), store.Options{
		DedupWindow: cfg.DedupWindow, OverdueAfter: cfg.OverdueAfter, LateWindow: cfg.LateWindow, MaxSize: cfg.MaxSize,
		Wall: cfg.Clock.Wall, Monotonic: cfg.Clock.Monotonic,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// mutant is an engine that breaks one promise: each function, if set, spoils
// what goes in or comes out of a method.
type mutant struct {
	Outbox
	event   func(*store.Event)
	options func(*store.PutOptions)
	outcome func(*store.Outcome)
	claim   func(*store.AttemptID, *store.ClaimSpec)
	claimed func([]store.Claimed) []store.Claimed
	anyTerm bool // every term is taken for the newest
	newMove bool // every move is taken for a new one
	edit    func(Outbox, string, *store.Edit)
	release func(*mutant, store.Term, store.AttemptID) error
	advance func(error) error
	feed    func([]store.OutcomeEntry) []store.OutcomeEntry
	stuck   func(*store.Filter)
	status  func(*store.Status)
	newest  store.Term
	moves   int
}

func (m *mutant) Put(ctx context.Context, events []store.Event, o store.PutOptions) ([]store.PutResult, error) {
	if m.options != nil {
		m.options(&o)
	}
	spoiled := append([]store.Event(nil), events...)
	for i := range spoiled {
		if m.event != nil {
			m.event(&spoiled[i])
		}
	}
	return m.Outbox.Put(ctx, spoiled, o)
}

func (m *mutant) Hold(ctx context.Context) (t store.Term, err error) {
	t, err = m.Outbox.Hold(ctx)
	m.newest = t
	return t, err
}

func (m *mutant) of(t store.Term) store.Term {
	if m.anyTerm {
		return m.newest
	}
	return t
}

func (m *mutant) Claim(ctx context.Context, t store.Term, id store.AttemptID, s store.ClaimSpec) (store.Attempt, []store.Claimed, error) {
	if m.claim != nil {
		m.claim(&id, &s)
	}
	a, events, err := m.Outbox.Claim(ctx, m.of(t), id, s)
	if m.claimed != nil {
		events = m.claimed(events)
	}
	return a, events, err
}

func (m *mutant) Advance(ctx context.Context, t store.Term, id store.AttemptID, from, to store.Phase, d store.PhaseData) error {
	err := m.Outbox.Advance(ctx, m.of(t), id, from, to, d)
	if m.advance != nil {
		err = m.advance(err)
	}
	return err
}

func (m *mutant) Settle(ctx context.Context, t store.Term, id store.AttemptID, x store.Settlement) error {
	spoiled := append([]store.Outcome(nil), x.Outcomes...)
	for i := range spoiled {
		if m.outcome != nil {
			m.outcome(&spoiled[i])
		}
	}
	return m.Outbox.Settle(ctx, m.of(t), id, store.Settlement{Outcomes: spoiled, Note: x.Note})
}

func (m *mutant) Release(ctx context.Context, t store.Term, id store.AttemptID, note string) error {
	if m.release != nil {
		return m.release(m, t, id)
	}
	return m.Outbox.Release(ctx, m.of(t), id, note)
}

func (m *mutant) Retry(ctx context.Context, key string, v store.Move, e *store.Edit) (store.Record, error) {
	if m.newMove {
		m.moves++
		v.ID = fmt.Sprint(v.ID, m.moves)
	}
	if m.edit != nil && e != nil {
		m.edit(m.Outbox, key, e)
	}
	return m.Outbox.Retry(ctx, key, v, e)
}

func (m *mutant) Outcomes(ctx context.Context, cursor string, limit int) ([]store.OutcomeEntry, string, error) {
	entries, next, err := m.Outbox.Outcomes(ctx, cursor, limit)
	if m.feed != nil {
		entries = m.feed(entries)
	}
	return entries, next, err
}

func (m *mutant) Stuck(ctx context.Context, f store.Filter) (store.StuckPage, error) {
	if m.stuck != nil {
		m.stuck(&f)
	}
	return m.Outbox.Stuck(ctx, f)
}

func (m *mutant) Status(ctx context.Context) (store.Status, error) {
	s, err := m.Outbox.Status(ctx)
	if m.status != nil {
		m.status(&s)
	}
	return s, err
}

// mutants are engines that the suite has to refuse, with a rule that does.
// Those marked walk have to fall in the random walk too.
var mutants = []struct {
	name   string
	rule   string
	walk   bool
	mutant mutant
	cfg    func(*Config)
}{
	{name: "two of a lane", rule: "Claim_NeverTwoOfALane", walk: true, mutant: mutant{event: func(e *store.Event) { e.Lane = "" }}},
	{name: "after is ignored", rule: "Claim_AfterWaitsForDelivery", walk: true, mutant: mutant{event: func(e *store.Event) { e.After = nil }}},
	{name: "not_before is ignored", rule: "Claim_NotBeforeItsTime", walk: true, mutant: mutant{event: func(e *store.Event) { e.NotBefore = time.Time{} }}},
	{name: "nothing expires", rule: "Sweep_ExpiresWhatIsNotInFlight", walk: true, mutant: mutant{event: func(e *store.Event) { e.ExpiresAt = time.Time{} }}},
	{name: "payloads are not compared", rule: "Put_SameKeyOtherPayloadIsRefused", walk: true, mutant: mutant{event: func(e *store.Event) { e.Digest = store.Digest{1} }}},
	{name: "atomic is ignored", rule: "Put_AtomicStoresAllOrNothing", walk: true, mutant: mutant{options: func(o *store.PutOptions) { o.Atomic = false }}},
	{name: "holds are ignored", rule: "Hold_FollowersWaitForTheLateWindow", mutant: mutant{outcome: func(o *store.Outcome) { o.Hold = 0 }}},
	{name: "a failed head never blocks", rule: "Claim_AFailedHeadBlocksItsLane", mutant: mutant{outcome: func(o *store.Outcome) { o.Skip = true }}},
	{name: "a failed head always blocks", rule: "Claim_ASkippedHeadDoesNot", mutant: mutant{outcome: func(o *store.Outcome) { o.Skip = false }}},
	{name: "no backoff", rule: "Claim_BacksOff", walk: true, mutant: mutant{outcome: func(o *store.Outcome) { o.Delay = 0 }}},
	{name: "nothing is charged", rule: "Claim_BacksOff", walk: true, mutant: mutant{outcome: func(o *store.Outcome) { o.Charge = false }}},
	{name: "sent is forgotten", rule: "Claim_BacksOff", walk: true, mutant: mutant{outcome: func(o *store.Outcome) { o.Sent = false }}},
	{name: "batches are not bounded", rule: "Claim_HonoursMaxBatch", mutant: mutant{outcome: func(o *store.Outcome) { o.MaxBatch = 0 }}},
	{name: "a job takes all", rule: "Claim_AJobTakesNoRESTOnly", mutant: mutant{outcome: func(o *store.Outcome) { o.RESTOnly = false }}},
	{name: "the target is lost", rule: "Settle_RerouteKeepsTheTarget", walk: true, mutant: mutant{outcome: func(o *store.Outcome) { o.Target = "" }}},
	{name: "an answer is lost", rule: "Claim_ABacklogDrainsInOrder", walk: true, mutant: mutant{claimed: func(c []store.Claimed) []store.Claimed { return c[:len(c)/2] }}},
	{name: "a claim takes too much", rule: "Claim_AtMostMaxRecords", mutant: mutant{claim: func(_ *store.AttemptID, s *store.ClaimSpec) { s.MaxRecords *= 2 }}},
	{name: "terms are not checked", rule: "Term_ALaterHoldFencesEveryMethod", mutant: mutant{anyTerm: true}},
	{name: "moves are not recognised", rule: "Retry_TheSameMoveOnce", mutant: mutant{newMove: true}},
	{name: "edits are not compared", rule: "Retry_AnEditOfAnOldRevisionIsAConflict", mutant: mutant{edit: func(o Outbox, key string, e *store.Edit) {
		if rec, err := o.Get(context.Background(), key); err == nil {
			e.Rev = rec.Rev
		}
	}}},
	{name: "phases are not checked", rule: "Advance_ComparesAndSets", mutant: mutant{advance: func(error) error { return nil }}},
	{name: "a release does nothing", rule: "Release_GivesBackUncharged", walk: true, mutant: mutant{release: func(*mutant, store.Term, store.AttemptID) error { return nil }}},
	{name: "the feed has gaps", rule: "Outcomes_InCommitOrder", walk: true, mutant: mutant{feed: func(e []store.OutcomeEntry) []store.OutcomeEntry { return e[:len(e)/2] }}},
	{name: "blocked events are hidden", rule: "Stuck_BlockedByTheLanesHead", walk: true, mutant: mutant{stuck: func(f *store.Filter) { f.Reason = store.ReasonFailed }}},
	{name: "counts are off", rule: "Status_AcceptedIsStatesAndForgotten", walk: true, mutant: mutant{status: func(s *store.Status) { s.Accepted++ }}},
	{name: "the window is too short", rule: "Sweep_ReceiptsLeaveAfterTheWindow", cfg: func(c *Config) { c.DedupWindow /= 2 }},
	{name: "nothing is forgotten", rule: "Sweep_ReceiptsLeaveAfterTheWindow", cfg: func(c *Config) { c.DedupWindow *= 100 }},
	{name: "nothing is overdue", rule: "Stuck_OverdueSinceItWasDue", walk: true, cfg: func(c *Config) { c.OverdueAfter *= 1000 }},
}

// open makes the engine of a mutant. It counts among several outboxes at once.
func (m mutant) open(change func(*Config)) Opener {
	return func(dir string, cfg Config) (Outbox, error) {
		if change != nil {
			change(&cfg)
		}
		o, err := openStore(dir, cfg)
		if err != nil {
			return nil, err
		}
		m.Outbox = o
		return &m, nil
	}
}

// trial is a test that may fail without failing the one around it.
type trial struct {
	testing.TB
	failed bool
}

func (t *trial) Errorf(string, ...any) { t.failed = true }
func (t *trial) Error(...any)          { t.failed = true }
func (t *trial) Fail()                 { t.failed = true }
func (t *trial) Failed() bool          { return t.failed }
func (t *trial) FailNow()              { t.failed = true; runtime.Goexit() }
func (t *trial) Fatalf(string, ...any) { t.FailNow() }
func (t *trial) Fatal(...any)          { t.FailNow() }
func (t *trial) Log(...any)            {}
func (t *trial) Logf(string, ...any)   {}

// fails runs f as a trial.
func fails(tb testing.TB, f func(testing.TB)) bool {
	t := &trial{TB: tb}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(t)
	}()
	<-done
	return t.failed
}

func ruleNamed(t *testing.T, name string) rule {
	t.Helper()
	for _, x := range rules() {
		if x.name == name {
			return x
		}
	}
	t.Fatalf("no rule %s", name)
	return rule{}
}

func TestSuite_RefusesBrokenEngines(t *testing.T) {
	for _, tt := range mutants {
		t.Run(tt.name, func(t *testing.T) {
			if !fails(t, func(tb testing.TB) { ruleNamed(t, tt.rule).run(tb, tt.mutant.open(tt.cfg)) }) {
				t.Errorf("%s passes", tt.rule)
			}
		})
	}
}

func TestWalk_RefusesBrokenEngines(t *testing.T) {
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "0s"} {
		old := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, old) })
	}
	for _, tt := range mutants {
		if !tt.walk {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			base := MemoryDir(t)
			open := tt.mutant.open(tt.cfg)
			if !fails(t, func(tb testing.TB) {
				rapid.Check(tb, func(rt *rapid.T) { walkOnce(rt, base, open, false) })
			}) {
				t.Errorf("100 walks pass")
			}
		})
	}
}
