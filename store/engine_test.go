package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

var contactRoute = Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}

func openAt(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func putKeys(t *testing.T, s *Store, keys ...string) []PutResult {
	t.Helper()
	events := make([]Event, len(keys))
	for i, k := range keys {
		events[i] = Event{Key: k, Digest: Digest{1}, Route: contactRoute, Lane: "contact/shop_id__c/" + k, Head: []byte("{}"), Payload: []byte(`{"LastName":"x"}`)}
	}
	results, err := s.Put(t.Context(), events, PutOptions{})
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	return results
}

func mustCheck(t *testing.T, s *Store) {
	t.Helper()
	found, err := s.Check(t.Context())
	if err != nil || len(found) > 0 {
		t.Fatalf("Check: %v, %v", found, err)
	}
}

func claimAll(t *testing.T, s *Store, term Term, id AttemptID) []Claimed {
	t.Helper()
	_, events, err := s.Claim(t.Context(), term, id, ClaimSpec{Route: contactRoute, Kind: KindREST, MaxRecords: 10_000, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return events
}

func settleAll(t *testing.T, s *Store, term Term, id AttemptID, events []Claimed, o Outcome) {
	t.Helper()
	outcomes := make([]Outcome, len(events))
	for i, e := range events {
		outcomes[i] = o
		outcomes[i].Seq = e.Seq
	}
	if err := s.Settle(t.Context(), term, id, Settlement{Outcomes: outcomes}); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

func mustHold(t *testing.T, s *Store) Term {
	t.Helper()
	term, err := s.Hold(t.Context())
	if err != nil {
		t.Fatalf("Hold: %v", err)
	}
	return term
}

// crash ends a store as a kill would: nothing is written any more.
func crash(t *testing.T, s *Store) {
	t.Helper()
	s.closing.Do(func() {
		close(s.stop)
		<-s.done
		s.wg.Wait()
		if err := s.closeFiles(); err != nil {
			t.Errorf("close files: %v", err)
		}
	})
}

func TestOpen_RefusesASecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	openAt(t, path, Options{})
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second Open = %v, want ErrLocked", err)
	}
	if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, ErrLocked) {
		t.Fatalf("read-only Open beside a writer = %v, want ErrLocked", err)
	}
}

// The lock must hold although the file was replaced by rename, as restore does.
func TestOpen_LockSurvivesARename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	copyTo := path + ".copy"
	f, err := os.Create(copyTo)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Backup(t.Context(), f), f.Close(), os.Rename(copyTo, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("Open of the renamed file = %v, want ErrLocked", err)
	}
}

func TestOpen_RefusesDamagedFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, path string)
		want   string
	}{
		{"cut to two pages", func(t *testing.T, p string) { truncate(t, p, 8192) }, "cut"},
		{"emptied", func(t *testing.T, p string) { truncate(t, p, 0) }, "empty"},
		{"removed", func(t *testing.T, p string) { remove(t, p) }, "lock says that there was one"},
		{"both meta pages torn", func(t *testing.T, p string) { scribble(t, p, 0, 8192) }, "no whole meta page"},
		{"a page without its content", emptyPages, "damaged"},
		{"a directory in its place", func(t *testing.T, p string) { remove(t, p); mkdir(t, p) }, "regular file"},
		{"of a newer format", ofFormat(formatVersion + 1), "newer format"},
		{"of an older format", ofFormat(formatVersion - 1), "never released"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "outbox.db")
			s := openAt(t, path, Options{})
			putKeys(t, s, "a")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, path)
			_, err := Open(path, Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Open = %v, want an error that says %q", err, tt.want)
			}
		})
	}
}

// emptyPages leaves nothing but the meta pages, as a file system can that lost data.
func emptyPages(t *testing.T, path string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	truncate(t, path, 8192)
	truncate(t, path, fi.Size())
}

// One torn meta page is what a power cut leaves: the other one stands.
func TestOpen_OneTornMetaPage(t *testing.T) {
	for page := range 2 {
		t.Run(fmt.Sprint("page ", page), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "outbox.db")
			s := openAt(t, path, Options{})
			putKeys(t, s, "a")
			crash(t, s)
			newest, pageSize := metaOf(t, path)
			if int(newest.txid%2) == page {
				t.Skip("the newest meta page is this one: its loss would lose the commit, which no disk may do after a sync")
			}
			scribble(t, path, int64(page)*pageSize+20, 30)
			s = openAt(t, path, Options{})
			if _, err := s.Get(t.Context(), "a"); err != nil {
				t.Fatalf("Get after a torn older meta page: %v", err)
			}
			mustCheck(t, s)
		})
	}
}

// What a start sees may be in the page cache alone, after a sync that failed. So
// it writes the meta pages again before anything is built on them.
func TestSettleMeta_WritesTheMetaPagesAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	putKeys(t, s, "a")
	crash(t, s)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if err := settleMeta(path, int64(len(before)), writeMeta); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.ModTime().Equal(old) {
		t.Errorf("nothing was written: changed at %v, %v", fi.ModTime(), err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has other bytes than before: %v", err)
	}
}

// bbolt can be told to leave syncing to the kernel; nothing but a power cut
// would show it.
func TestOpen_EveryCommitIsSynced(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	if s.db.NoSync || s.db.NoGrowSync {
		t.Errorf("NoSync %v, NoGrowSync %v", s.db.NoSync, s.db.NoGrowSync)
	}
}

func metaOf(t *testing.T, path string) (boltMeta, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, size, err := readMetas(f)
	if err != nil {
		t.Fatal(err)
	}
	return m, size
}

func truncate(t *testing.T, p string, n int64) {
	t.Helper()
	if err := os.Truncate(p, n); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, p string) {
	t.Helper()
	if err := os.Remove(p); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, p string) {
	t.Helper()
	if err := os.Mkdir(p, 0o700); err != nil {
		t.Fatal(err)
	}
}

func scribble(t *testing.T, p string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", n)), at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func ofFormat(version byte) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		t.Helper()
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bMeta).Put(kFormat, []byte{version}) })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpen_ARestoredStoreIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	putKeys(t, s, "a")
	backup, err := os.Create(path + ".bak")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Backup(t.Context(), backup), backup.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, path, Options{})
	if f, _ := again.Facts(t.Context()); f.Restored {
		t.Fatal("an ordinary restart was taken for a restored store")
	}
	if err := errors.Join(again.Close(), os.Rename(path+".bak", path)); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{})
	if f, _ := s.Facts(t.Context()); !f.Restored {
		t.Fatal("a restored store was not noticed")
	}
	if err := s.Resume(t.Context(), "root", Acceptance{}); !errors.Is(err, ErrConfirmation) {
		t.Fatalf("Resume = %v, want ErrConfirmation", err)
	}
	if err := s.Resume(t.Context(), "root", Acceptance{Restore: true}); err != nil {
		t.Fatal(err)
	}
	events := claimAll(t, s, mustHold(t, s), "a1")
	if len(events) != 1 || !events[0].Sent {
		t.Fatalf("claimed %+v, want one event that counts as sent before", events)
	}
}

// A crash between the two writes of the generation must not look like a restore.
func TestOpen_CrashWhileTheGenerationIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	was := s.num.Generation
	crash(t, s)
	for _, tt := range []struct {
		name string
		lock string
	}{
		{"before the store was written", `{"generation":%q,"next":"other"}`},
		{"before the lock file was written again", `{"generation":"older","next":%q}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(path+".lock", fmt.Appendf(nil, tt.lock, was), 0o600); err != nil {
				t.Fatal(err)
			}
			s := openAt(t, path, Options{})
			if f, _ := s.Facts(t.Context()); f.Restored {
				t.Error("taken for a restored store")
			}
			was = s.num.Generation
			crash(t, s)
		})
	}
}

// Keys must be known whether they are in the open slice, in one whose run is
// being sorted, in a run, and after a crash in each of these.
func TestKeys_KnownThroughSlicesRunsAndCrashes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	const n = sliceKeys + 5000
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("key-", i)
	}
	for i := 0; i < n; i += 5000 {
		putKeys(t, s, all[i:min(i+5000, n)]...)
	}
	known := func(s *Store, when string) {
		t.Helper()
		for i := 0; i < n; i += 997 {
			r := putKeys(t, s, all[i])[0]
			if !r.Duplicate || r.Seq != Seq(i+1) || r.State != Pending {
				t.Fatalf("%s: %s again = %+v, want the duplicate of seq %d", when, all[i], r, i+1)
			}
		}
	}
	known(s, "while a run is sorted")
	s.wg.Wait()
	if first := s.keys.slices[0]; first.keys != nil {
		t.Fatal("the first slice was not written as a run")
	}
	known(s, "after the run was written")
	crash(t, s)
	s = openAt(t, path, Options{})
	known(s, "after a crash")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{})
	known(s, "after a close")
	if putKeys(t, s, "one more")[0].Duplicate {
		t.Fatal("a new key was taken for a known one")
	}
	crash(t, s)
	s = openAt(t, path, Options{})
	known(s, "after a close and a crash")
	if !putKeys(t, s, "one more")[0].Duplicate {
		t.Fatal("what was put since the close was forgotten")
	}
	if r, err := s.Put(t.Context(), []Event{{Key: all[3], Digest: Digest{2}, Route: contactRoute}}, PutOptions{}); err != nil || !errors.Is(r[0].Err, ErrKeyReused) {
		t.Fatalf("another payload = %+v, %v, want ErrKeyReused", r, err)
	}
	if got := putKeys(t, s, "never-seen")[0]; got.Duplicate {
		t.Fatal("an unknown key was taken for a known one")
	}
	mustCheck(t, s)
}

// A key in the newest slice is known by the receipt once its event was delivered.
func TestKeys_OfDeliveredEventsStayKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	putKeys(t, s, "a", "b")
	term, err := s.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, claimed, err := s.Claim(t.Context(), term, "attempt", ClaimSpec{Route: contactRoute, Kind: KindBulk, MaxRecords: 1, MaxBytes: 1 << 20})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claim: %d events, %v", len(claimed), err)
	}
	o := Outcome{Seq: claimed[0].Seq, Verdict: Deliver, ID: "0035e00000Kp7QaAAJ"}
	if err := s.Settle(t.Context(), term, "attempt", Settlement{Outcomes: []Outcome{o}}); err != nil {
		t.Fatal(err)
	}
	crash(t, s)
	s = openAt(t, path, Options{})
	if got := putKeys(t, s, "a")[0]; !got.Duplicate || got.State != Delivered {
		t.Errorf("the delivered key again = %+v, want a duplicate that is delivered", got)
	}
	mustCheck(t, s)
}

// The key of an event whose record went bad stays known, whoever reads the keys anew.
func TestKeys_OfABadRecordStayKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	putKeys(t, s, "good", "bad")
	err := s.db.Update(func(tx *bolt.Tx) error {
		v := bytes.Clone(tx.Bucket(bRec).Get(seqKey(2)))
		v[len(v)-1] ^= 1
		return tx.Bucket(bRec).Put(seqKey(2), v)
	})
	if err != nil {
		t.Fatal(err)
	}
	known := func(when string) {
		t.Helper()
		crash(t, s)
		s = openAt(t, path, Options{})
		for _, key := range []string{"good", "bad"} {
			if seq, ok := s.keys.lookup(nil, hashKey(key)); !ok || seq == 0 {
				t.Errorf("%s: key %q is not known", when, key)
			}
		}
	}
	known("while it waits")
	claimAll(t, s, mustHold(t, s), "attempt") // sets it aside
	if _, n, err := s.DropMany(t.Context(), Filter{States: []State{Failed}}, Move{ID: "move", By: "operator"}, false); err != nil || n != 1 {
		t.Fatalf("%d dropped, %v, want the bad one", n, err)
	}
	known("once it was dropped")
}

// A record that went bad on its way keeps no start from going on with the others
// of its attempt.
func TestEvents_AnUnreadableRecordIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	putKeys(t, s, "a", "b")
	term := mustHold(t, s)
	claimAll(t, s, term, "a1")
	garble(t, s, 2)
	events, err := s.Events(t.Context(), "a1")
	if err != nil || len(events) != 2 || events[0].Key != "a" || events[1].Seq != 2 {
		t.Fatalf("Events = %+v, %v, want a, and the other one's number", events, err)
	}
	var back []Outcome
	for _, c := range events {
		back = append(back, Outcome{Seq: c.Seq, Verdict: Again})
	}
	if err := s.Settle(t.Context(), term, "a1", Settlement{Outcomes: back}); err != nil {
		t.Fatal(err)
	}
	page, err := s.Stuck(t.Context(), Filter{})
	if err != nil || page.Total != 1 || page.Records[0].LastError.Code != "UNREADABLE" {
		t.Fatalf("Stuck = %+v, %v, want the unreadable record", page, err)
	}
}

// garble damages a stored record.
func garble(t *testing.T, s *Store, seq Seq) {
	t.Helper()
	err := s.db.Update(func(tx *bolt.Tx) error {
		v := append([]byte(nil), tx.Bucket(bRec).Get(seqKey(seq))...)
		v[len(v)-1] ^= 0xff
		return tx.Bucket(bRec).Put(seqKey(seq), v)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied++ // memory is as of this commit too
}

// A record that went bad is listed and stops nobody else.
func TestClaim_AnUnreadableRecordIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	putKeys(t, s, "a", "b", "c")
	garble(t, s, 2)
	events := claimAll(t, s, mustHold(t, s), "a1")
	if len(events) != 2 || events[0].Key != "a" || events[1].Key != "c" {
		t.Fatalf("claimed %+v, want a and c", events)
	}
	page, err := s.Stuck(t.Context(), Filter{})
	if err != nil || page.Total != 1 || page.Records[0].LastError.Code != "UNREADABLE" {
		t.Fatalf("Stuck = %+v, %v, want the unreadable record", page, err)
	}
	if _, err := s.Drop(t.Context(), "b", Move{By: "root"}); err != nil {
		t.Fatalf("Drop of the unreadable record: %v", err)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.Counts.Of(Dropped) != 1 || st.Counts.Of(Inflight) != 2 {
		t.Fatalf("counts %v, %v, want one dropped and two in flight", st.Counts, err)
	}
}

// Each put that nothing shares a commit with is one; a duplicate changes nothing.
func TestStatus_CountsCommitsAndSyncs(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	tally := func() Status {
		st, err := s.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	putKeys(t, s, "first")
	before := tally()
	putKeys(t, s, "second")
	putKeys(t, s, "third")
	putKeys(t, s, "third")
	after := tally()
	commits, syncs := after.Commits-before.Commits, after.Syncs-before.Syncs
	want := int64(4)
	if after.Bytes > before.Bytes {
		want++
	}
	if commits != 2 || syncs != want {
		t.Errorf("%d commits and %d syncs, want 2 and %d", commits, syncs, want)
	}
	page := int64(os.Getpagesize())
	if n := after.Written - before.Written; n < 4*page || n > 20*page || n%page != 0 {
		t.Errorf("%d bytes were written, want some pages for each of two commits", n)
	}
}

// At the size limit new events are refused, nothing accepted is lost, outcomes
// are still recorded, and accepting goes on once there is room.
func TestPut_FullAndRoomAgain(t *testing.T) {
	for _, limit := range []int64{MinSize, 10_000_000, 33_333_333} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "outbox.db")
			s := openAt(t, path, Options{MaxSize: limit, DedupWindow: time.Hour})
			stored := fillUp(t, s)
			if fi, err := os.Stat(path); err != nil || fi.Size() > limit {
				t.Fatalf("the file has %d bytes, more than its limit %d (%v)", fi.Size(), limit, err)
			}
			mustCheck(t, s)
			term := mustHold(t, s)
			for left := stored; left > 0; {
				id := AttemptID(fmt.Sprint("a", left))
				_, events, err := s.Claim(t.Context(), term, id, ClaimSpec{Route: contactRoute, Kind: KindBulk, MaxRecords: 1000, MaxBytes: 1 << 30})
				if err != nil || len(events) == 0 {
					t.Fatalf("claim with %d left: %d events, %v", left, len(events), err)
				}
				settleAll(t, s, term, id, events, Outcome{Verdict: Deliver, ID: "0035e00000Kp7QaAAJ"})
				left -= len(events)
			}
			if r := putKeys(t, s, "after"); r[0].Err != nil {
				t.Fatalf("Put after the drain = %v", r[0].Err)
			}
			st, err := s.Status(t.Context())
			if err != nil || st.Full != "" || st.Counts.Of(Delivered) != int64(stored) {
				t.Fatalf("after the drain: full %v, counts %v, %v", st.Full, st.Counts, err)
			}
			mustCheck(t, s)
		})
	}
}

func fillUp(t *testing.T, s *Store) (stored int) {
	t.Helper()
	payload := make([]byte, 1000)
	for i := 0; ; i++ {
		events := make([]Event, 50)
		for k := range events {
			events[k] = Event{Key: fmt.Sprint(i, "/", k), Digest: Digest{1}, Route: contactRoute, Payload: payload}
		}
		results, err := s.Put(t.Context(), events, PutOptions{})
		if err != nil {
			t.Fatalf("Put: %v", err)
		}
		for _, r := range results {
			switch {
			case errors.Is(r.Err, ErrFull):
				return stored
			case r.Err != nil:
				t.Fatalf("Put: %v", r.Err)
			}
			stored++
		}
	}
}

// Failures at the size limit leave more than they found, so claims get smaller;
// none of them ends in an error.
func TestSettle_FailuresAtTheSizeLimit(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{MaxSize: MinSize})
	stored := fillUp(t, s)
	term := mustHold(t, s)
	failed := 0
	for i := 0; i < stored; i++ {
		id := AttemptID(fmt.Sprint("a", i))
		_, events, err := s.Claim(t.Context(), term, id, ClaimSpec{Route: contactRoute, Kind: KindBulk, MaxRecords: 1000, MaxBytes: 1 << 30})
		if errors.Is(err, ErrFull) || len(events) == 0 {
			break
		}
		if err != nil {
			t.Fatalf("claim after %d failures: %v", failed, err)
		}
		p := &Problem{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: strings.Repeat("long ", 30), Fields: []string{"LastName"}}
		settleAll(t, s, term, id, events, Outcome{Verdict: Fail, Problem: p})
		failed += len(events)
		if failed > 500 {
			break
		}
	}
	if failed == 0 {
		t.Fatal("nothing could be settled at the size limit")
	}
	if _, changed, err := s.DropMany(t.Context(), Filter{}, Move{By: "root"}, false); err != nil || changed != int64(failed) {
		t.Fatalf("DropMany changed %d, %v, want %d", changed, err, failed)
	}
	mustCheck(t, s)
}

// After a commit whose outcome is unknown nothing is answered as done, and the
// store says that the process must end.
func TestCommit_UnknownOutcomeEndsTheStore(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "outbox.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	putKeys(t, s, "a")
	s.fail(io.ErrShortWrite)
	if _, err := s.Put(context.Background(), []Event{{Key: "b", Route: contactRoute}}, PutOptions{}); err == nil {
		t.Fatal("Put after an unknown commit was answered as done")
	}
	select {
	case <-s.Failed():
	default:
		t.Fatal("Failed is not closed")
	}
	crash(t, s)
}

// Followers of a stuck head that fill the window are spilled, so that others
// behind them get their turn, and come back when the head is gone.
func TestWindow_SpilledFollowersComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, Options{})
	lane := func(key, lane string) Event {
		return Event{Key: key, Route: contactRoute, Lane: lane, Payload: []byte("{}")}
	}
	var events []Event
	followers := windowSize + 2000
	for i := range followers {
		events = append(events, lane(fmt.Sprint("f", i), "contact/one"))
	}
	events = append(events, lane("other", "contact/other"))
	for len(events) > 0 {
		n := min(len(events), 5000)
		if _, err := s.Put(t.Context(), events[:n], PutOptions{}); err != nil {
			t.Fatal(err)
		}
		events = events[n:]
	}
	term := mustHold(t, s)
	head := claimAll(t, s, term, "head")
	if len(head) != 1 || head[0].Key != "f0" {
		t.Fatalf("claimed %d events, want the head alone", len(head))
	}
	settleAll(t, s, term, "head", head, Outcome{Verdict: Fail, Problem: &Problem{Code: "X"}})
	got := sweepUntil(t, s, term, "other")
	if got[0].Key != "other" {
		t.Fatalf("claimed %q, want the event behind the followers", got[0].Key)
	}
	settleAll(t, s, term, "other", got, Outcome{Verdict: Deliver})
	if _, err := s.Drop(t.Context(), "f0", Move{By: "root"}); err != nil {
		t.Fatal(err)
	}
	crash(t, s)
	s = openAt(t, path, Options{})
	term = mustHold(t, s)
	for i := 1; i < 5; i++ {
		id := AttemptID(fmt.Sprint("next", i))
		next := sweepUntil(t, s, term, id)
		if want := fmt.Sprint("f", i); len(next) != 1 || next[0].Key != want {
			t.Fatalf("claimed %+v, want %s alone", next, want)
		}
		settleAll(t, s, term, id, next, Outcome{Verdict: Deliver})
	}
	mustCheck(t, s)
}

// sweepUntil sweeps and looks ahead until something can be claimed.
func sweepUntil(t *testing.T, s *Store, term Term, id AttemptID) []Claimed {
	t.Helper()
	for range 1000 {
		if _, _, err := s.Routes(t.Context(), term); err != nil {
			t.Fatal(err)
		}
		if got := claimAll(t, s, term, id); len(got) > 0 {
			return got
		}
		if _, err := s.Sweep(t.Context(), term); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("nothing became claimable")
	return nil
}

// A time that passes while its event lies behind the look-ahead is forgotten by
// the index of times; the stream's index has to lead back to it, over a restart too.
func TestWindow_ATimeThatPassedBehindABacklog(t *testing.T) {
	defer SetWindowForTest(1, 1, 1, 1)()
	now := time.Now().UTC()
	o := Options{Wall: func() time.Time { return now }}
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openAt(t, path, o)
	term := mustHold(t, s)
	putKeys(t, s, "first")
	late := Event{Key: "late", Digest: Digest{1}, Route: Route{Object: "Contact", Operation: "delete"}, Lane: "contact/late", NotBefore: now.Add(time.Minute), Head: []byte("{}"), Payload: []byte("{}")}
	if _, err := s.Put(t.Context(), []Event{late}, PutOptions{}); err != nil {
		t.Fatalf("Put: %v", err)
	}
	putKeys(t, s, "last")
	now = now.Add(time.Hour)
	for range 2 { // the time passes, and its entry goes
		if _, _, err := s.Routes(t.Context(), term); err != nil {
			t.Fatalf("Routes: %v", err)
		}
		if _, err := s.Sweep(t.Context(), term); err != nil {
			t.Fatalf("Sweep: %v", err)
		}
	}
	for _, id := range []AttemptID{"of first", "of last"} {
		if events := claimAll(t, s, term, id); len(events) > 0 {
			settleAll(t, s, term, id, events, Outcome{Verdict: Deliver})
		}
		for range 2 { // looks further
			if _, _, err := s.Routes(t.Context(), term); err != nil {
				t.Fatalf("Routes: %v", err)
			}
		}
	}
	crash(t, s)
	s = openAt(t, path, o)
	_, events, err := s.Claim(t.Context(), mustHold(t, s), "of late", ClaimSpec{Route: late.Route, Kind: KindREST, MaxRecords: 1, MaxBytes: 1 << 20})
	if err != nil || len(events) != 1 {
		t.Fatalf("Claim = %d events, %v; want the one whose time has passed", len(events), err)
	}
}

// Where a commit failed, a repeat of what it would have stored is no duplicate.
func TestPut_ARepeatWithinAFailedCommitIsRefusedToo(t *testing.T) {
	p := &putOp{results: []PutResult{
		{Seq: 5, State: Pending},
		{Seq: 5, State: Pending, Duplicate: true},
		{Seq: 3, State: Delivered, Duplicate: true},
		{Err: ErrKeyReused},
	}}
	p.refuse(ErrFull, 5)
	for i, want := range []error{ErrFull, ErrFull, nil, ErrKeyReused} {
		if got := p.results[i].Err; !errors.Is(got, want) {
			t.Errorf("result %d = %v, want %v", i, got, want)
		}
	}
}

// An operator's word that a doubtful event did not arrive holds, also where the
// store came from a backup.
func TestResolve_NotDeliveredHoldsAfterARestore(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	putKeys(t, s, "a")
	s.num.SentBelow = s.num.Next // as Resume leaves it
	term := mustHold(t, s)
	events := claimAll(t, s, term, "a1")
	if len(events) != 1 || !events[0].Sent || !events[0].Restored {
		t.Fatalf("claimed %+v, want it as sent before", events)
	}
	settleAll(t, s, term, "a1", events, Outcome{Verdict: Doubt, Problem: &Problem{Code: "TRANSPORT"}})
	if _, err := s.Resolve(t.Context(), "a", Move{By: "root"}, Resolution{}); err != nil {
		t.Fatal(err)
	}
	if events = claimAll(t, s, term, "a2"); len(events) != 1 || events[0].Sent {
		t.Fatalf("claimed %+v, want it as not sent", events)
	}
}
