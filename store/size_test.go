package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// TestStuck_PagesLeadThroughAllThatIsOverdue: a page looks at so many records, but
// each overdue event is on one of the pages, in order, and so is what failed
// between them.
func TestStuck_PagesLeadThroughAllThatIsOverdue(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{OverdueAfter: time.Nanosecond})
	const n = 2*overdueBound + 1000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%05d", i)
	}
	putKeys(t, s, keys...)
	term := mustHold(t, s)
	events := claimAll(t, s, term, "job")
	if len(events) < n-1 {
		t.Fatalf("claimed %d events", len(events))
	}
	outcomes := make([]Outcome, len(events))
	for i, e := range events {
		outcomes[i] = Outcome{Seq: e.Seq, Verdict: Again}
	}
	outcomes[len(outcomes)-1].Verdict, outcomes[len(outcomes)-1].Problem = Fail, &Problem{Code: "X"}
	if err := s.Settle(t.Context(), term, "job", Settlement{Outcomes: outcomes}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for f := (Filter{Limit: 1000}); ; {
		p, err := s.Stuck(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if p.Total < overdueBound+1 || p.Total > n {
			t.Errorf("Total = %d; want at least what one question looks at", p.Total)
		}
		for _, r := range p.Records {
			got = append(got, r.Key)
		}
		if f.Cursor = p.Next; f.Cursor == "" {
			break
		}
	}
	if !slices.Equal(got, keys) {
		t.Errorf("the pages have %d events; want all %d in order", len(got), n)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.Stuck[ReasonFailed] != 1 || st.Stuck[ReasonOverdue] != overdueBound {
		t.Errorf("Status = %v, %v; want one failed and as many overdue as one question looks at", st.Stuck, err)
	}
}

// TestSweep_ForgetsAttemptsUnderLoad: commits that never stop keep no attempts.
func TestSweep_ForgetsAttemptsUnderLoad(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	term := mustHold(t, s)
	newest := ""
	err := s.update(t.Context(), func(txn *txn) error {
		for i := range keepAttempts + 2*sweepStep + 7 {
			newest = fmt.Sprintf("job %06d", i)
			if err := txn.putAttempt(Attempt{ID: AttemptID(newest)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		putKeys(t, s, fmt.Sprint("k", s.num.Next)) // which saves the clock
		if more, err = s.Sweep(t.Context(), term); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	kept := tx.Bucket(bAttempt).Stats().KeyN
	last, _ := tx.Bucket(bAttempt).Cursor().Last()
	if kept != keepAttempts || string(last) != newest {
		t.Errorf("%d attempts are kept, the last is %s; want the newest %d", kept, last, keepAttempts)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// TestPut_DrainedFileTakesAsMuchAgain: free pages are room, whatever lies between
// them, and the file stays within its limit.
func TestPut_DrainedFileTakesAsMuchAgain(t *testing.T) {
	path, passed := filepath.Join(t.TempDir(), "outbox.db"), time.Duration(0)
	const limit, window = MinSize, time.Hour
	s := openAt(t, path, Options{MaxSize: limit, DedupWindow: window, Monotonic: func() time.Duration { return passed }})
	term, first := mustHold(t, s), 0
	for round := range 4 {
		stored := fillUp(t, s)
		if round == 0 {
			first = stored
		}
		if size := mustSize(t, path); stored < first*9/10 || size > limit {
			t.Errorf("round %d: %d events in a file of %d bytes; the first had %d, the limit is %d", round, stored, size, first, limit)
		}
		for left := stored; left > 0; {
			id := AttemptID(fmt.Sprint("job ", round, " ", left))
			_, events, err := s.Claim(t.Context(), term, id, ClaimSpec{Route: contactRoute, Kind: KindBulk, MaxRecords: 1000, MaxBytes: 1 << 30})
			if err != nil || len(events) == 0 {
				t.Fatalf("round %d: claim with %d left: %d events, %v", round, left, len(events), err)
			}
			settleAll(t, s, term, id, events, Outcome{Verdict: Deliver, ID: "0035e00000Kp7QaAAJ"})
			left -= len(events)
		}
		for range 3 { // the slice is closed, its run is written, it is forgotten
			passed += window
			sweepAll(t, s, term)
		}
	}
	mustCheck(t, s)
}

func sweepAll(t *testing.T, s *Store, term Term) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.Sweep(t.Context(), term); err != nil {
			t.Fatal(err)
		}
	}
	s.wg.Wait() // for the runs of keys
}

// TestSpill_OneWhoWaitsHoldsNothingUp: as long as an event is stuck and another of
// its lane waits for it, neither memory nor the index keeps what passes them.
func TestSpill_OneWhoWaitsHoldsNothingUp(t *testing.T) {
	defer SetWindowForTest(256, 256, 256, 256)()
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	term := mustHold(t, s)
	put := func(lane string, keys ...string) {
		t.Helper()
		var events []Event
		for i, k := range keys {
			events = append(events, Event{Key: k, Digest: Digest{1}, Route: contactRoute, Lane: fmt.Sprint("contact/shop_id__c/", lane, i), Head: []byte("{}"), Payload: []byte("{}")})
		}
		if _, err := s.Put(t.Context(), events, PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put("ada", "head")
	settleAll(t, s, term, "head", claimAll(t, s, term, "head"), Outcome{Verdict: Fail, Problem: &Problem{Code: "X"}})
	put("ada", "follower")
	const others = 160
	for n := range others {
		var keys []string
		for i := range 8 {
			keys = append(keys, fmt.Sprint(n, "/", i))
		}
		put("grace", keys...)
		id := AttemptID(fmt.Sprint("job ", n))
		settleAll(t, s, term, id, claimAll(t, s, term, id), Outcome{Verdict: Deliver, ID: "003"})
		sweepAll(t, s, term)
	}
	st := s.win.order[0]
	values := 0
	if err := s.db.View(func(tx *bolt.Tx) error { values = tx.Bucket(bIdx).Stats().KeyN; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(st.entries) > 256 || len(st.spans) > others/2 || values > others/2 {
		t.Errorf("%d entries, %d spans and %d index values are kept of %d puts whose events were delivered", len(st.entries), len(st.spans), values, others)
	}
	if _, err := s.Drop(t.Context(), "head", Move{ID: "drop"}); err != nil {
		t.Fatal(err)
	}
	if events := claimAll(t, s, term, "last"); len(events) != 1 || events[0].Key != "follower" {
		t.Errorf("claimed %+v once the head was dropped; want the follower", events)
	}
	mustCheck(t, s)
}

// TestSettle_DeletesTheIndexBelowTheLowMark also where the mark moves seldom and far.
func TestSettle_DeletesTheIndexBelowTheLowMark(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	term := mustHold(t, s)
	deliver := func(id AttemptID, events []Claimed) {
		t.Helper()
		settleAll(t, s, term, id, events, Outcome{Verdict: Deliver, ID: "003"})
	}
	putKeys(t, s, "first")
	first := claimAll(t, s, term, "first")
	for i := range 3 * lowStep {
		putKeys(t, s, fmt.Sprint(i))
	}
	deliver("many", claimAll(t, s, term, "many"))
	putKeys(t, s, "last")
	last := claimAll(t, s, term, "last") // and keeps the mark
	deliver("first", first)
	for i := range 5 {
		id := fmt.Sprint("other ", i)
		putKeys(t, s, id)
		deliver(AttemptID(id), claimAll(t, s, term, AttemptID(id)))
	}
	values := 0
	if err := s.db.View(func(tx *bolt.Tx) error { values = tx.Bucket(bIdx).Stats().KeyN; return nil }); err != nil {
		t.Fatal(err)
	}
	if values != 6 {
		t.Errorf("the index has %d values; want the last one's and those of the 5 after it", values)
	}
	deliver("last", last)
	mustCheck(t, s)
}

// TestSettle_TheIndexStaysAsLongAsAJob where each event was put for itself and jobs
// end many at once, and what an earlier start left below the mark goes too.
func TestSettle_TheIndexStaysAsLongAsAJob(t *testing.T) {
	const job, jobs = 3 * lowStep, 5
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	term := mustHold(t, s)
	round := func(n int, name string) {
		t.Helper()
		for i := range n {
			putKeys(t, s, fmt.Sprint(name, " ", i))
		}
		id := AttemptID(name)
		settleAll(t, s, term, id, claimAll(t, s, term, id), Outcome{Verdict: Deliver, ID: "003"})
	}
	length := func() (n int) {
		t.Helper()
		if err := s.db.View(func(tx *bolt.Tx) error { n = tx.Bucket(bIdx).Stats().KeyN; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range jobs {
		round(job, fmt.Sprint("job ", i))
		if n, spans := length(), len(s.win.order[0].spans); n > job || spans > job {
			t.Fatalf("after %d jobs of %d the index has %d values, and memory %d", i+1, job, n, spans)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{})
	term = mustHold(t, s)
	for i := range 5 {
		round(1, fmt.Sprint("single ", i))
	}
	if n := length(); n > 1 {
		t.Errorf("some settlements after the start the index has %d values, want that of the last event", n)
	}
	mustCheck(t, s)
}
