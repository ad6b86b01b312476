package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

func newJudge(operation string, idempotent bool, size int) *judge {
	return &judge{
		cfg: Config{Chance: func() float64 { return 1 }}.defaulted(), route: store.Route{Object: "Contact", Operation: operation, ExternalID: "Shop_Id__c"},
		idempotent: idempotent, size: size,
	}
}

func TestJudge_Answer(t *testing.T) {
	sent := record{Claimed: store.Claimed{Seq: 1, Key: "k", Sent: true}}
	first := record{Claimed: store.Claimed{Seq: 1, Key: "k"}}
	locked := record{Claimed: store.Claimed{Seq: 1, FirstError: &store.Problem{Code: "DUPLICATE_VALUE"}}}
	ownKey := salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Outbox_Key__c duplicates value on record with id: 003000000000001"}
	otherKey := salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Outbox_Key__c_Old duplicates value on record with id: 003000000000001"}
	keyed := newJudge(opCreate, true, 10)
	keyed.keyField = "Outbox_Key__c"
	retried := newJudge(opCreate, true, 10)
	retried.keyField, retried.retried, retried.bulk = "Outbox_Key__c", true, true
	retriedDelete := newJudge(opDelete, true, 10)
	retriedDelete.retried = true
	bulkCreate := newJudge(opCreate, false, 10)
	bulkCreate.bulk = true
	for _, tt := range []struct {
		name    string
		j       *judge
		r       record
		a       salesforce.Result
		verdict store.Verdict
		code    string
		check   func(store.Outcome) bool
	}{
		{"its own key, sent before, is delivered", keyed, sent, ownKey, store.Deliver, "", nil},
		{"its own key, never sent, exists", keyed, first, ownKey, store.Fail, codeKeyExists, nil},
		{"its own key in a job that the org retried is delivered", retried, first, ownKey, store.Deliver, "", nil},
		{"another unique field is no key", keyed, sent, otherKey, store.Fail, "DUPLICATE_VALUE", nil},
		{"a delete of what is gone, sent before", newJudge(opDelete, true, 5), sent, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Deliver, "", nil},
		{"a delete of what is gone, never sent", newJudge(opDelete, true, 5), first, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Fail, "ENTITY_IS_DELETED", nil},
		{"a delete in a job that the org retried", retriedDelete, first, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Deliver, "", nil},
		{"an update of what is gone", newJudge(opUpdate, true, 5), sent, salesforce.Result{Code: "ENTITY_IS_DELETED"}, store.Fail, "ENTITY_IS_DELETED", nil},
		{
			"a lock: smaller and charged", newJudge(opUpdate, true, 100), first,
			salesforce.Result{Code: "UNABLE_TO_LOCK_ROW"},
			store.Again, "UNABLE_TO_LOCK_ROW",
			func(o store.Outcome) bool { return o.Charge && o.MaxBatch == 50 && o.Delay == time.Second },
		},
		{
			"a trigger: halves, not charged", newJudge(opUpdate, true, 100), first,
			salesforce.Result{Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Message: "T: Too many SOQL queries: 101"},
			store.Again, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
			func(o store.Outcome) bool { return !o.Charge && o.MaxBatch == 50 },
		},
		{"a trigger, alone", newJudge(opUpdate, true, 1), first, salesforce.Result{Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Message: "boom"}, store.Fail, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", nil},
		{
			"twice in one call: alone", newJudge(opUpsert, true, 100), first,
			salesforce.Result{Code: "DUPLICATE_VALUE", Message: "Duplicate external id specified: a"},
			store.Again, "DUPLICATE_VALUE",
			func(o store.Outcome) bool { return !o.Charge && o.MaxBatch == 1 },
		},
		{"an upsert that lost a race: once", newJudge(opUpsert, true, 100), first, salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Shop_Id__c duplicates value on record with id: 003"}, store.Again, "DUPLICATE_VALUE", nil},
		{"not twice", newJudge(opUpsert, true, 100), locked, salesforce.Result{Code: "DUPLICATE_VALUE", Message: "duplicate value found: Shop_Id__c duplicates value on record with id: 003"}, store.Fail, "DUPLICATE_VALUE", nil},
		{"the org's own confusion, create by REST", newJudge(opCreate, false, 10), first, salesforce.Result{Code: "UNKNOWN_EXCEPTION"}, store.Doubt, "UNKNOWN_EXCEPTION", func(o store.Outcome) bool { return o.Hold > 0 }},
		{"the org's own confusion, upsert by REST", newJudge(opUpsert, true, 10), first, salesforce.Result{Code: "UNKNOWN_EXCEPTION"}, store.Again, "UNKNOWN_EXCEPTION", func(o store.Outcome) bool { return o.Sent && o.Hold > 0 && o.Charge }},
		{"a failed row of a job is a failed row", bulkCreate, first, salesforce.Result{Code: "UNKNOWN_EXCEPTION"}, store.Again, "UNKNOWN_EXCEPTION", func(o store.Outcome) bool { return !o.Sent && o.Hold == 0 }},
		{"a bad value fails at once", newJudge(opUpsert, true, 100), first, salesforce.Result{Code: "STRING_TOO_LONG", Fields: []string{"LastName"}}, store.Fail, "STRING_TOO_LONG", func(o store.Outcome) bool { return len(o.Problem.Fields) == 1 }},
		{"so does a missing right", newJudge(opUpsert, true, 100), first, salesforce.Result{Code: "INVALID_FIELD"}, store.Fail, "INVALID_FIELD", nil},
		{
			"maintenance is nobody's fault", newJudge(opUpsert, true, 100), sent,
			salesforce.Result{Code: "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"},
			store.Again, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
			func(o store.Outcome) bool { return !o.Charge && o.Sent },
		},
		{"a platform event succeeds with an entry among its errors", newJudge(opCreate, false, 1), first, salesforce.Result{Success: true, ID: "e01000000000001AAA", Code: "OPERATION_ENQUEUED"}, store.Deliver, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.j.answer(tt.r, tt.a)
			code := ""
			if o.Problem != nil {
				code = o.Problem.Code
			}
			if o.Verdict != tt.verdict || code != tt.code || tt.check != nil && !tt.check(o) {
				t.Errorf("outcome %+v, code %q", o, code)
			}
		})
	}
}

func TestJudge_Limits(t *testing.T) {
	j := newJudge(opUpsert, true, 1)
	j.cfg.Retry.MaxAttempts, j.cfg.Retry.MaxAge = 3, time.Hour
	p := store.Problem{Code: "UNABLE_TO_LOCK_ROW"}
	for _, tt := range []struct {
		name string
		c    store.Claimed
		want store.Verdict
	}{
		{"young", store.Claimed{Attempts: 1, Age: time.Minute}, store.Again},
		{"the last attempt", store.Claimed{Attempts: 2}, store.Fail},
		{"too old", store.Claimed{Age: time.Hour}, store.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if o := j.retry(record{Claimed: tt.c}, p); o.Verdict != tt.want || o.Problem.Code != p.Code {
				t.Errorf("outcome %+v", o)
			}
			if o := j.ambiguous(record{Claimed: tt.c}, p); o.Verdict != tt.want || o.Hold == 0 {
				t.Errorf("ambiguous outcome %+v", o)
			}
		})
	}
}

// A failure at the limit is as ambiguous as the tries before it: an operator's
// retry must find that the org may have seen the event.
func TestAmbiguous_AtTheLimitStaysSent(t *testing.T) {
	j := newJudge(opCreate, true, 1)
	j.cfg.Retry.MaxAttempts, j.keyField = 1, "Outbox_Key__c"
	o := j.ambiguous(record{}, store.Problem{Code: codeTransport})
	if o.Verdict != store.Fail || !o.Sent || o.SentKey != "Outbox_Key__c" {
		t.Errorf("outcome %+v, want failed, and sent with its key", o)
	}
	// So does one that fails for another reason after it was sent.
	o = j.fail(record{Claimed: store.Claimed{Sent: true, SentKey: "Old__c"}}, store.Problem{Code: "X"})
	if !o.Sent || o.SentKey != "Old__c" {
		t.Errorf("outcome %+v, want it sent as before", o)
	}
}

// A call that we gave up on may land until the late window is over; a record that
// was deleted long ago can't be seen any more.
func TestVerifier_BelievesAbsenceLateAndNotTooLate(t *testing.T) {
	const window = 11 * time.Minute
	now := time.Now()
	v := &verifier{Dispatcher: New(Config{REST: REST{LateWindow: window}}, nil, nil, slog.New(slog.DiscardHandler)), vain: map[store.Seq]vain{}}
	for _, tt := range []struct {
		name string
		r    store.Record
		at   time.Duration
		want bool
	}{
		{"the first look", store.Record{Seq: 1, FirstSent: now}, 0, false},
		{"within the window", store.Record{Seq: 1, FirstSent: now}, window - time.Second, false},
		{"after it", store.Record{Seq: 1, FirstSent: now}, window, true},
		{"sent when nobody knows", store.Record{Seq: 1}, window, false},
		{"sent too long ago", store.Record{Seq: 1, FirstSent: now.Add(-absentWithin)}, window, false},
	} {
		if got := v.looked(tt.r, now.Add(tt.at)); got != tt.want {
			t.Errorf("%s: absent = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Each look for what is in doubt costs a call.
func TestVerifier_LooksMoreAndMoreSeldom(t *testing.T) {
	const window = 11 * time.Minute
	v := &verifier{Dispatcher: New(Config{REST: REST{LateWindow: window}}, nil, nil, slog.New(slog.DiscardHandler)), vain: map[store.Seq]vain{}}
	start := time.Now()
	var looks []time.Duration
	for at := start; at.Sub(start) < 5*time.Hour; at = v.vain[1].next {
		v.looked(store.Record{Seq: 1, FirstSent: start}, at)
		looks = append(looks, at.Sub(start))
	}
	want := []time.Duration{0, 1, 2, 4, 8, 11, 22, 44, 88, 148, 208, 268} // minutes
	for i := range want {
		want[i] *= time.Minute
	}
	if !slices.Equal(looks, want) {
		t.Errorf("looks at %v, want %v", looks, want)
	}
}

// lostOrg answers every query with an error.
type lostOrg struct {
	*oddOrg
	err error
}

func (o *lostOrg) Query(context.Context, string, bool, int) ([]salesforce.Record, error) {
	return nil, o.err
}

// TestVerifier_WhatIsRefusedIsAskedMoreSeldomToo, and what fails for the org is asked again in the next round.
func TestVerifier_WhatIsRefusedIsAskedMoreSeldomToo(t *testing.T) {
	schema := schemaOf(t, []salesforce.Field{{Name: "Key__c", Type: "string"}})
	for code, class := range map[string]salesforce.Class{"QUERY_TIMEOUT": salesforce.Retry, "SERVER_UNAVAILABLE": salesforce.PauseOrg} {
		org := &lostOrg{&oddOrg{schema: schema}, apiErr(class, 400, code)}
		v := &verifier{Dispatcher: New(Config{}, nil, org, slog.New(slog.DiscardHandler)), vain: map[store.Seq]vain{}}
		g := &doubts{object: "Contact", field: "Key__c", records: []store.Record{{Seq: 1, Key: "k"}}}
		if err := v.lookFor(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		if later := v.vain[1].next.After(time.Now()); later != (class == salesforce.Retry) {
			t.Errorf("%s: later %v", code, later)
		}
	}
}

func TestRanNoRow(t *testing.T) {
	records := []record{{Claimed: store.Claimed{Seq: 1}}, {Claimed: store.Claimed{Seq: 2}}, {Claimed: store.Claimed{Seq: 3}}, {Claimed: store.Claimed{Seq: 4}}}
	carries := func(i int, column string) bool { return i == 2 && strings.EqualFold(column, "Nope__c") }
	named := salesforce.Job{State: salesforce.StateFailed, ErrorMessage: "InvalidBatch : Field name not found : Nope__c"}.Fault()
	j := newJudge(opCreate, false, 4)
	for i, o := range j.ranNoRow(named, records, carries, false) {
		if blamed := i == 2; blamed != (o.Verdict == store.Fail) || !blamed && (o.Verdict != store.Again || o.Charge || o.MaxBatch != 0) {
			t.Errorf("named column, record %d: %+v", i, o)
		}
	}
	for i, o := range j.ranNoRow(named, records, carries, true) {
		if (i == 2) != o.RESTOnly {
			t.Errorf("named column with REST, record %d: %+v", i, o)
		}
	}
	odd := salesforce.Job{State: salesforce.StateFailed, ErrorMessage: "InvalidBatch : Field name not found : 399700"}.Fault()
	for i, o := range j.ranNoRow(odd, records, carries, false) {
		if o.Verdict != store.Again || o.MaxBatch != 2 || o.Charge {
			t.Errorf("no culprit named, record %d: %+v", i, o)
		}
	}
	alone := newJudge(opCreate, false, 1)
	if o := alone.ranNoRow(odd, records[:1], carries, false)[0]; o.Verdict != store.Fail || o.Problem.Code != "INVALIDBATCH" {
		t.Errorf("alone: %+v", o)
	}
	lines := salesforce.Job{State: salesforce.StateFailed, ErrorMessage: "ClientInputError : LineEnding is invalid on user data."}.Fault()
	if o := j.ranNoRow(lines, records, carries, false)[0]; o.Verdict != store.Again || !o.Charge || o.MaxBatch != 0 {
		t.Errorf("first ClientInputError: %+v", o)
	}
}

// TestRanNoRow_IsolatesThePoison: halving by MaxBatch alone, as the store does
// it, ends with every good record delivered and the bad one failed (P6).
func TestRanNoRow_IsolatesThePoison(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "records")
		bad := rapid.IntRange(0, n-1).Draw(t, "bad")
		bound := make([]int, n)
		state := make([]store.Verdict, n)
		fault := salesforce.JobFault{Code: "INVALIDBATCH", Message: "unescaped quote", Data: true}
		for jobs := 0; slices.Contains(state, 0); jobs++ {
			if jobs > 20*n {
				t.Fatal("does not end")
			}
			var batch []int
			limit := n
			for i := range state {
				if b := bound[i]; state[i] == 0 && (b == 0 || len(batch) < b) && len(batch) < limit {
					if b > 0 {
						limit = min(limit, b)
					}
					batch = append(batch, i)
				}
			}
			if !slices.Contains(batch, bad) {
				for _, i := range batch {
					state[i] = store.Deliver
				}
				continue
			}
			records := make([]record, len(batch))
			for at, i := range batch {
				records[at].Seq = store.Seq(i)
			}
			for _, o := range newJudge(opCreate, false, len(batch)).ranNoRow(fault, records, func(int, string) bool { return false }, false) {
				if o.Verdict == store.Fail {
					state[o.Seq] = store.Fail
				} else {
					bound[o.Seq] = o.MaxBatch
				}
			}
		}
		for i, v := range state {
			if (i == bad) != (v == store.Fail) {
				t.Fatalf("record %d of %d ended %v, the bad one is %d", i, n, v, bad)
			}
		}
	})
}

func TestWithMember(t *testing.T) {
	for _, tt := range [][2]string{
		{``, `{"K__c":"a\"b"}`}, {`{}`, `{"K__c":"a\"b"}`}, {`{ }`, `{ "K__c":"a\"b"}`}, {`{"A":1}`, `{"A":1,"K__c":"a\"b"}`}, {"{\"A\":{\"B\":2}}\n", `{"A":{"B":2},"K__c":"a\"b"}`},
	} {
		got, err := withMember([]byte(tt[0]), "K__c", `a"b`)
		if err != nil || string(got) != tt[1] {
			t.Errorf("withMember(%s) = %s, %v; want %s", tt[0], got, err, tt[1])
		}
	}
}

func TestKeyNote_RoundTrip(t *testing.T) {
	for _, tt := range []struct {
		field string
		idem  bool
	}{{"", false}, {"K__c", true}, {"K__c", false}} {
		if f, i := readKeyNote(keyNote(tt.field, tt.idem)); f != tt.field || i != tt.idem {
			t.Errorf("%+v read as %q, %v", tt, f, i)
		}
	}
	if f, _ := readKeyNote("Failed: InvalidBatch"); f != "" {
		t.Errorf("another note read as %q", f)
	}
}

func TestProblemOf_TellsNoSecrets(t *testing.T) {
	if p := problemOf(errors.New("odd")); p.Code != codeTransport || p.Message == "" {
		t.Errorf("%+v", p)
	}
	p := problemOf(fmt.Errorf("x: %w", apiErr(salesforce.Permanent, 400, "STRING_TOO_LONG")))
	if p.Code != "STRING_TOO_LONG" || p.Message != "told so" {
		t.Errorf("%+v", p)
	}
}

// TestUnasked_OnlyTheOrgsTroubleIsFree: what the org won't answer is not asked for ever.
func TestUnasked_OnlyTheOrgsTroubleIsFree(t *testing.T) {
	b := &batch{judge: judge{cfg: (&Config{}).defaulted()}}
	lost := func(why error) error {
		return fmt.Errorf("look for keys: %w", &salesforce.APIError{Class: salesforce.Ambiguous, Code: salesforce.CodeTransport, Err: why})
	}
	for _, tt := range []struct {
		err     error
		charged bool
	}{
		{apiErr(salesforce.BadConfig, 400, "MALFORMED_QUERY"), true},
		{apiErr(salesforce.Retry, 400, "QUERY_TIMEOUT"), true},
		{lost(context.DeadlineExceeded), true},
		{lost(io.ErrUnexpectedEOF), false},
		{apiErr(salesforce.PauseOrg, 400, "SERVER_UNAVAILABLE"), false},
		{errPaused, false},
	} {
		if o := b.unasked(record{}, tt.err); o.Verdict != store.Again || o.Charge != tt.charged || o.Problem == nil {
			t.Errorf("%v: %+v, want it charged %v", tt.err, o, tt.charged)
		}
	}
}
