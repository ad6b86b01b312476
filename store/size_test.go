package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"
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
