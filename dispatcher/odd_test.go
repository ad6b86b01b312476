package dispatcher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

// oddOrg is the real client whose answers a test bends where the simulator can't.
type oddOrg struct {
	dispatcher.Org
	mu   sync.Mutex
	job  func(salesforce.Job, error) (salesforce.Job, error)
	rows func(kind string, header []string, rows []salesforce.ResultRow) []salesforce.ResultRow
}

func (o *oddOrg) Job(ctx context.Context, id string) (salesforce.Job, error) {
	j, err := o.Org.Job(ctx, id)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.job != nil {
		return o.job(j, err)
	}
	return j, err
}

func (o *oddOrg) bend(kind string, read func(func([]string, salesforce.ResultRow) error) error, each func([]string, salesforce.ResultRow) error) error {
	var header []string
	var rows []salesforce.ResultRow
	if err := read(func(h []string, r salesforce.ResultRow) error {
		header, rows = h, append(rows, r)
		return nil
	}); err != nil {
		return err
	}
	o.mu.Lock()
	if o.rows != nil {
		rows = o.rows(kind, header, rows)
	}
	o.mu.Unlock()
	for _, r := range rows {
		if err := each(header, r); err != nil {
			return err
		}
	}
	return nil
}

func (o *oddOrg) SuccessfulResults(ctx context.Context, id string, limit int, each func([]string, salesforce.ResultRow) error) error {
	return o.bend("ok", func(f func([]string, salesforce.ResultRow) error) error {
		return o.Org.SuccessfulResults(ctx, id, limit, f)
	}, each)
}

func (o *oddOrg) FailedResults(ctx context.Context, id string, limit int, each func([]string, salesforce.ResultRow) error) error {
	return o.bend("failed", func(f func([]string, salesforce.ResultRow) error) error {
		return o.Org.FailedResults(ctx, id, limit, f)
	}, each)
}

func notFound(r *rig) error {
	_, err := r.client().Job(context.Background(), "750000000000000AAA")
	if !salesforce.IsNotFound(err) {
		r.t.Fatalf("want a 404, got %v", err)
	}
	return err
}

// TestJobGone: a job that was closed and then is gone leaves nothing known
// (rules 4 and 6).
func TestJobGone(t *testing.T) {
	for _, tr := range traffics() {
		if !tr.job {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			r := tr.prepare(t)
			gone := notFound(r)
			// Once the job has ended its looks are answered by 404.
			odd := &oddOrg{Org: r.client()}
			odd.job = func(j salesforce.Job, err error) (salesforce.Job, error) {
				if err == nil && j.State.Terminal() && r.sim.Calls().Calls["job.create"] <= 1+b2i(tr.needs) {
					return salesforce.Job{}, gone
				}
				return j, err
			}
			r.startWith(odd)
			if tr.name == "create by job" {
				if c := r.drained(); c.Of(store.InDoubt) != int64(tr.n) {
					t.Errorf("counts %v", c)
				}
				r.oracle()
				return
			}
			tr.settled(r)
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestForeignAbort: an Aborted that was not ours is believed after the late
// window only.
func TestForeignAbort(t *testing.T) {
	tr := traffics()[1]
	r := tr.prepare(t)
	r.cfg.REST.LateWindow = 500 * time.Millisecond
	odd := &oddOrg{Org: r.client()}
	odd.job = func(j salesforce.Job, err error) (salesforce.Job, error) {
		if err == nil && j.State.Terminal() {
			j.State, j.Processed, j.Failed = salesforce.StateAborted, 0, 0
		}
		return j, err
	}
	var first time.Time
	odd.rows = func(kind string, _ []string, rows []salesforce.ResultRow) []salesforce.ResultRow {
		if first.IsZero() {
			first = time.Now()
		}
		if kind == "ok" && time.Since(first) < r.cfg.REST.LateWindow {
			return rows[:len(rows)/2] // the rest is still being written
		}
		return rows
	}
	r.startWith(odd)
	r.delivers(int64(tr.n))
	r.oracle()
}

// TestMoreRowsThanEvents is an alarm, and never somebody's outcome.
func TestMoreRowsThanEvents(t *testing.T) {
	r := traffics()[0].prepare(t)
	odd := &oddOrg{Org: r.client()}
	odd.rows = func(kind string, _ []string, rows []salesforce.ResultRow) []salesforce.ResultRow {
		if kind == "failed" && len(rows) == 0 {
			return append(rows, salesforce.ResultRow{Code: "STRING_TOO_LONG", Cells: make([]string, 10)})
		}
		return rows
	}
	r.startWith(odd)
	r.delivers(40)
	if n := r.d.Metrics().Unmatched; n == 0 {
		t.Error("nobody counted the row of no event")
	}
	if !strings.Contains(r.log.String(), "level=ERROR msg=\"job has results that belong to no event\"") {
		t.Error("nobody was told of the row of no event")
	}
	r.oracle()
}

// TestGarbledEcho: rows that come back unrecognisable, all successes, are theirs
// without an Id; with a failure among them nobody can say whose (rule 3).
func TestGarbledEcho(t *testing.T) {
	for _, bad := range []bool{false, true} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			r := traffics()[1].prepare(t)
			if bad {
				r.faults(simulator.Fault{Match: simulator.Match{Nth: []int{4}}, Do: "row_error", Code: "STRING_TOO_LONG"})
			}
			odd := &oddOrg{Org: r.client()}
			odd.rows = func(_ string, _ []string, rows []salesforce.ResultRow) []salesforce.ResultRow {
				for i := range rows {
					for c := range rows[i].Cells {
						rows[i].Cells[c] = "?"
					}
				}
				return rows
			}
			r.startWith(odd)
			c := r.drained()
			if want := map[bool]store.State{false: store.Delivered, true: store.InDoubt}[bad]; c.Of(want) != 40 {
				t.Errorf("counts %v, want all %s", c, want)
			}
			if x := r.get("c-0001"); !bad && x.ID != "" {
				t.Errorf("an Id was guessed: %s", x.ID)
			}
		})
	}
}

// TestRetriedByTheOrg: a job that Salesforce itself retried may refuse rows that
// it has written before.
func TestRetriedByTheOrg(t *testing.T) {
	r := traffics()[2].prepare(t)
	odd := &oddOrg{Org: r.client()}
	odd.job = func(j salesforce.Job, err error) (salesforce.Job, error) {
		j.Retries = 2
		if j.State == salesforce.StateJobComplete {
			j.Failed = 1
		}
		return j, err
	}
	odd.rows = func(kind string, header []string, rows []salesforce.ResultRow) []salesforce.ResultRow {
		isFirst := func(r salesforce.ResultRow) bool {
			for c, name := range header {
				if name == "Outbox_Key__c" && r.Cells[c] == "c-0000" {
					return true
				}
			}
			return false
		}
		if kind == "failed" {
			return append(rows, salesforce.ResultRow{
				Code: "DUPLICATE_VALUE", Cells: []string{"c-0000"},
				Message: "duplicate value found: Outbox_Key__c duplicates value on record with id: 0035e00000Kp7Qa",
			})
		}
		kept := rows[:0]
		for _, r := range rows {
			if !isFirst(r) {
				kept = append(kept, r)
			}
		}
		return kept
	}
	// The failed row echoes the key alone, in a table that begins with it.
	r.startWith(&keyFirst{oddOrg: odd})
	r.delivers(40)
	x := r.get("c-0000")
	for _, e := range r.sim.Effects() {
		if e.Fields[marker] == "c-0000" && e.ID != x.ID {
			t.Errorf("Id %s, want %s as the org's own search says", x.ID, e.ID)
		}
	}
}

// keyFirst shows failed results under a header of the key alone.
type keyFirst struct{ *oddOrg }

func (k *keyFirst) FailedResults(ctx context.Context, id string, limit int, each func([]string, salesforce.ResultRow) error) error {
	return k.oddOrg.FailedResults(ctx, id, limit, func(_ []string, r salesforce.ResultRow) error {
		return each([]string{"Outbox_Key__c"}, r)
	})
}

// TestStoreFaults repeats each transaction whose answer is unknown, and waits for
// a store that is not available.
func TestStoreFaults(t *testing.T) {
	for _, tr := range traffics() {
		for _, method := range []string{"Hold", "Unfinished", "Routes", "Claim", "Advance", "Settle", "Release", "Sweep", "SetPausedClock", "Facts", "SetOrg", "Events", "Get"} {
			if tr.needs || !tr.job && method == "Advance" {
				continue
			}
			for name, fault := range map[string]storetest.Fault{"unavailable": storetest.Unavailable, "disk full": {Err: store.ErrDiskFull}, "unknown": storetest.UnknownBefore, "unknown but applied": storetest.UnknownApplied} {
				t.Run(tr.name+"/"+method+"/"+name, func(t *testing.T) {
					t.Parallel()
					r := tr.prepare(t)
					var mu sync.Mutex
					first, third := storetest.Nth(method, 1, fault), storetest.Nth(method, 3, fault)
					r.outbox = &storetest.Faults{Outbox: r.store, Next: func(m string) storetest.Fault {
						mu.Lock()
						defer mu.Unlock()
						if f := first(m); f.Err != nil {
							third(m)
							return f
						}
						return third(m)
					}}
					r.start()
					tr.settled(r)
				})
			}
		}
	}
}

// TestFenced: who has lost the outbox stops at once; the new holder goes on.
func TestFenced(t *testing.T) {
	for _, tr := range traffics() {
		for _, method := range []string{"Routes", "Claim", "Advance", "Settle", "Sweep"} {
			if tr.needs || !tr.job && method == "Advance" {
				continue
			}
			t.Run(tr.name+"/"+method, func(t *testing.T) {
				t.Parallel()
				r := tr.prepare(t)
				var mu sync.Mutex
				nth := storetest.Nth(method, 1, storetest.FencedBefore)
				r.outbox = &storetest.Faults{Outbox: r.store, Next: func(m string) storetest.Fault {
					mu.Lock()
					defer mu.Unlock()
					return nth(m)
				}}
				r.start()
				if err := <-r.done; !errors.Is(err, store.ErrFenced) {
					t.Fatalf("Run ended with %v", err)
				}
				r.outbox = r.store
				r.start()
				tr.settled(r)
			})
		}
	}
}

// TestRestored: what a restored store calls pending may have been delivered:
// nothing is sent before it is accepted, and then only what may be repeated.
func TestRestored(t *testing.T) {
	cfg := quick()
	r := newRig(t, cfg)
	r.put(upsertContact(0), createContact(0))
	r.start()
	r.delivers(2)
	r.halt()
	// An older copy of the store, with both events pending, beside the same org.
	old := newRig(t, cfg)
	old.sim, old.url = r.sim, r.url
	old.put(upsertContact(0), createContact(0))
	path := filepath.Join(t.TempDir(), "outbox.db")
	if err := copyStore(old.store, path); err != nil {
		t.Fatal(err)
	}
	restored, err := store.Open(path, store.Options{LateWindow: cfg.REST.LateWindow})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	old.store, old.outbox = restored, restored
	old.start()
	defer old.halt()
	old.until("restored", func() bool { return old.d.Breaker().Reason == dispatcher.ReasonRestored })
	if c := old.counts(); c.Of(store.Pending) != 2 {
		t.Fatalf("counts %v", c)
	}
	if err := old.store.Resume(t.Context(), "op", store.Acceptance{Restore: true}); err != nil {
		t.Fatal(err)
	}
	old.d.Poke()
	old.drained()
	if x := old.get("u-0000"); x.State != store.Delivered {
		t.Errorf("upsert: %s %+v", x.State, x.LastError)
	}
	old.until("the create is in doubt", func() bool { return old.get("c-0000").State == store.InDoubt })
	old.halt()
	for key, n := range r.oracle() {
		if n != 1 {
			t.Errorf("%s took effect %d times", key, n)
		}
	}
}

// TestRestored_AMatchIsNotAskedAgain: the write that the outbox has forgotten
// may have made the match true of another record, or of none.
func TestRestored_AMatchIsNotAskedAgain(t *testing.T) {
	cfg := quick()
	r := newRig(t, cfg)
	r.put(upsertContact(1))
	r.start()
	r.delivers(1)
	r.halt()
	r.put(`{"key":"m","object":"Contact","operation":"update","match":{"all":{"LastName":"L1"}},"fields":{"LastName":"Other","Description":"m"}}`)
	path := filepath.Join(t.TempDir(), "outbox.db")
	if err := copyStore(r.store, path); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.delivers(2)
	r.halt()
	restored, err := store.Open(path, store.Options{LateWindow: cfg.REST.LateWindow})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	defer func(s *store.Store) { r.store, r.outbox = s, s }(r.store)
	r.store, r.outbox = restored, restored
	if err := restored.Resume(t.Context(), "op", store.Acceptance{Restore: true}); err != nil {
		t.Fatal(err)
	}
	r.start()
	defer r.halt()
	r.until("the event is in doubt", func() bool { return r.get("m").State == store.InDoubt })
}

// TestRestored_WhatTheKeyTells: a restored create is not in doubt where the org
// can be asked for its key, even if it does not answer at once.
func TestRestored_WhatTheKeyTells(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	r := newRig(t, cfg)
	r.put(many(2, createContact)...)
	path := filepath.Join(t.TempDir(), "outbox.db")
	if err := copyStore(r.store, path); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.delivers(2)
	r.halt()
	restored, err := store.Open(path, store.Options{LateWindow: cfg.REST.LateWindow})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	defer func(s *store.Store) { r.store, r.outbox = s, s }(r.store)
	r.store, r.outbox = restored, restored
	if err := restored.Resume(t.Context(), "op", store.Acceptance{Restore: true}); err != nil {
		t.Fatal(err)
	}
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "query", Nth: []int{1}}, Do: "status", Status: 500})
	r.start()
	defer r.halt()
	r.delivers(2)
	r.oracle()
}

func copyStore(s *store.Store, path string) error {
	f, err := createFile(path)
	if err != nil {
		return err
	}
	return errors.Join(s.Backup(context.Background(), f), f.Close())
}

// TestCrashLoop: an attempt that is found unfinished again and again is tried
// event by event; one that was alone is failed.
func TestCrashLoop(t *testing.T) {
	r := newRig(t, quick())
	ctx := t.Context()
	r.put(many(3, upsertContact)...)
	claim := func(id store.AttemptID, n int) {
		term, err := r.store.Hold(ctx)
		if err != nil {
			t.Fatal(err)
		}
		a, claimed, err := r.store.Claim(ctx, term, id, store.ClaimSpec{
			Route: store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}, Kind: store.KindREST, MaxRecords: n, MaxBytes: 1 << 20,
		})
		if err != nil || len(claimed) != n {
			t.Fatalf("claimed %d of %d: %+v, %v", len(claimed), n, a, err)
		}
		for range 3 { // starts that ended at once
			if _, err := r.store.Hold(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	claim("alone", 1)
	claim("together", 2)
	r.start()
	c := r.drained()
	if c.Of(store.Failed) != 1 || c.Of(store.Delivered) != 2 {
		t.Fatalf("counts %v; stuck %v", c, r.stuck())
	}
	if x := r.get("u-0000"); x.LastError.Code != "POISON" {
		t.Errorf("%+v", x.LastError)
	}
	if x := r.get("u-0001"); x.Kind != store.KindREST {
		t.Errorf("%+v", x)
	}
	r.oracle()
}

// TestOneRecordTwice: two events that name one record in lanes of their own
// never travel together.
func TestOneRecordTwice(t *testing.T) {
	for _, n := range []int{2, 30} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, quick())
			r.put(many(n, func(i int) string {
				return fmt.Sprintf(`{"key":"t-%d","lane":"lane %d","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":%q},"fields":{"LastName":"L",%q:"t-%d"}}`,
					i, i, []string{"same", " SAME"}[i%2], marker, i)
			})...)
			odd := &hookedOrg{Org: r.client()}
			odd.upsert = func(rows []salesforce.Row) {
				if len(rows) != 1 {
					t.Errorf("a call names the record %d times", len(rows))
				}
			}
			odd.upload = func(ctx context.Context, id string, csv []byte) error {
				if lines := bytes.Count(csv, []byte("\n")); lines != 2 {
					t.Errorf("a job names the record %d times", lines-1)
				}
				return odd.Org.UploadJob(ctx, id, csv)
			}
			r.startWith(odd)
			r.delivers(int64(n))
			if rows := r.sim.Records("Contact"); len(rows) != 1 {
				t.Errorf("%d records", len(rows))
			}
		})
	}
}

// TestKeyExists: somebody else's record has the key.
func TestKeyExists(t *testing.T) {
	cfg := quick()
	cfg.Objects["contact"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	r := newRig(t, cfg)
	r.put(`{"key":"other","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"x"},"fields":{"LastName":"x","Outbox_Key__c":"c-0001"}}`)
	r.start()
	r.delivers(1)
	r.put(createContact(1), `{"key":"liar","object":"Contact","operation":"create","fields":{"LastName":"x","outbox_KEY__c":"another"}}`)
	r.drained()
	if x := r.get("c-0001"); x.State != store.Failed || x.LastError.Code != "KEY_EXISTS" {
		t.Errorf("%s %+v", x.State, x.LastError)
	}
	if x := r.get("liar"); x.State != store.Failed || x.LastError.Code != "INVALID" {
		t.Errorf("%s %+v", x.State, x.LastError)
	}
}

// TestOnFailureSkip: a lane goes on behind a failed head only where the object says so.
func TestOnFailureSkip(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(fmt.Sprint(skip), func(t *testing.T) {
			cfg := quick()
			cfg.Objects["contact"] = dispatcher.ObjectConfig{Skip: skip}
			r := newRig(t, cfg)
			line := `{"key":%q,"object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"x"},"fields":{"LastName":"x","Birthdate":%q}}`
			r.put(fmt.Sprintf(line, "head", "never"), fmt.Sprintf(line, "follower", "2001-01-01"))
			r.start()
			r.until("the head failed", func() bool { return r.get("head").State == store.Failed })
			if skip {
				r.until("the follower", func() bool { return r.get("follower").State == store.Delivered })
				return
			}
			r.until("the follower is blocked", func() bool { return r.get("follower").Reason == store.ReasonBlocked })
		})
	}
}

// TestStopIsClean: stopping in the midst of traffic loses nothing, doubles
// nothing, and leaves nothing in doubt.
func TestStopIsClean(t *testing.T) {
	cfg := quick()
	cfg.REST.Concurrency = 2
	r := newRig(t, cfg)
	r.put(many(300, upsertContact)...)
	r.put(many(100, createContact)...)
	r.put(many(40, func(i int) string {
		return fmt.Sprintf(`{"key":"a-%d","object":"Account","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"%d"},"fields":{"Name":"x",%q:"a-%d"}}`, i, i, marker, i)
	})...)
	for range 12 {
		before := r.sim.Calls().Used
		r.start()
		r.until("some calls", func() bool {
			c := r.counts()
			return r.sim.Calls().Used >= before+5 || c.Of(store.Delivered) == c.Sum()
		})
		r.halt()
	}
	r.start()
	r.delivers(440)
	r.oracle()
}
