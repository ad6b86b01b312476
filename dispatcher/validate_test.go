package dispatcher_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

func validating(v dispatcher.Validation) dispatcher.Config {
	cfg := quick()
	cfg.Validate = v
	cfg.Objects["case"] = dispatcher.ObjectConfig{CreateREST: true}
	return cfg
}

// misfits are events that do not fit, by the path of what is wrong with each.
var misfits = map[string]string{
	"fields.LastNam":  `{"key":"x-field","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"X-1"},"fields":{"LastName":"A","LastNam":"B"}}`,
	"fields.Tier__c":  `{"key":"x-picklist","object":"Contact","operation":"update","id":"0035e0000000001AAA","fields":{"Tier__c":"Glod"}}`,
	"fields.LastName": `{"key":"x-required","object":"Contact","operation":"create","fields":{"FirstName":"A"}}`,
	"fields.Subject":  `{"key":"x-length","object":"Case","operation":"create","fields":{"Subject":"` + strings.Repeat("a", 256) + `"}}`,
	"fields.Account.Industry": `{"key":"x-parent","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"X-2"},
		"fields":{"LastName":"A","Account":{"Industry":"Retail"}}}`,
	"match.all.Emial":       `{"key":"x-match","object":"Contact","operation":"update","match":{"all":{"Emial":"a@b.example"}},"fields":{"LastName":"A"}}`,
	"match.all.Description": `{"key":"x-filter","object":"Contact","operation":"update","match":{"all":{"Description":"a"}},"fields":{"LastName":"A"}}`,
	"external_id.field":     `{"key":"x-key","object":"Contact","operation":"upsert","external_id":{"field":"Department","value":"X-3"},"fields":{"LastName":"A"}}`,
	"object":                `{"key":"x-object","object":"Contct","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"X-4"},"fields":{"LastName":"A"}}`,
}

// TestValidate_RejectFailsWhatDoesNotFitBeforeItIsSent: by REST, by job and before a
// query; the good ones beside them are delivered.
func TestValidate_RejectFailsWhatDoesNotFitBeforeItIsSent(t *testing.T) {
	for way, good := range map[string]int{"REST": 5, "job": 30} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, validating(dispatcher.ValidateReject))
			for _, line := range misfits {
				r.put(line)
			}
			r.put(many(good, upsertContact)...)
			r.start()
			c := r.drained()
			if c.Of(store.Delivered) != int64(good) || c.Of(store.Failed) != int64(len(misfits)) {
				t.Fatalf("counts %v, want %d delivered; stuck %v", c, good, r.stuck())
			}
			for path := range misfits {
				rec := r.failedFor(path)
				if rec.LastError.Code != "INVALID" || !strings.HasPrefix(rec.LastError.Message, path+": ") {
					t.Errorf("%s: %+v, want INVALID that names it", path, rec.LastError)
				}
			}
			if rec := r.get("x-object"); !strings.HasSuffix(rec.LastError.Message, "did you mean Contact?") {
				t.Errorf("unknown object: %s", rec.LastError.Message)
			}
			if n := len(r.sim.Effects()); n != good {
				t.Errorf("%d writes at the org, want %d", n, good)
			}
			calls := r.sim.Calls().Calls
			if calls["query"] > 0 || calls["coll.update"]+calls["coll.create"] > 0 {
				t.Errorf("calls %v: something was sent that does not fit", calls)
			}
		})
	}
}

// failedFor is the misfit of a path, with the warning that says so.
func (r *rig) failedFor(path string) store.Record {
	r.t.Helper()
	e, err := event.Decode([]byte(misfits[path]))
	if err != nil {
		r.t.Fatal(err)
	}
	rec := r.get(e.Key)
	if rec.State != store.Failed || rec.LastError == nil {
		r.t.Fatalf("%s: %+v, want failed", path, rec)
	}
	if !slices.ContainsFunc(rec.Warnings, func(w store.Warning) bool { return w.Path == path && w.Code != "" && w.Detail != "" }) {
		r.t.Errorf("%s: warnings %+v", path, rec.Warnings)
	}
	return rec
}

// TestValidate_WarnNotesAndSends: the org has the word, and the note stays beside it.
func TestValidate_WarnNotesAndSends(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateWarn))
	for path, line := range misfits {
		if path != "fields.LastName" { // goes by job, where the queue is too short for one at once
			r.put(line)
		}
	}
	r.put(many(5, upsertContact)...)
	r.start()
	if c := r.drained(); c.Of(store.Delivered) != 5 {
		t.Fatalf("counts %v, stuck %v", c, r.stuck())
	}
	for path, code := range map[string]string{
		"fields.LastNam": "INVALID_FIELD", "fields.Subject": "STRING_TOO_LONG", "fields.Account.Industry": "INVALID_FIELD",
		"match.all.Emial": "INVALID_FIELD", "object": "NOT_FOUND",
	} {
		if rec := r.failedFor(path); rec.LastError.Code != code {
			t.Errorf("%s: %+v, want the org's own %s", path, rec.LastError, code)
		}
	}
	if rec := r.get("u-0001"); rec.Warnings != nil {
		t.Errorf("a good event has warnings: %+v", rec.Warnings)
	}
}

// TestValidate_OffLooksAtNothing: not even a describe for what needs none.
func TestValidate_OffLooksAtNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateOff))
	r.put(misfits["fields.Subject"], misfits["fields.Tier__c"])
	r.start()
	if c := r.drained(); c.Of(store.Failed) != 2 {
		t.Fatalf("counts %v", c)
	}
	rec := r.get("x-length")
	if rec.LastError.Code != "STRING_TOO_LONG" || rec.Warnings != nil {
		t.Errorf("%+v, %+v", rec.LastError, rec.Warnings)
	}
	if calls := r.sim.Calls().Calls; calls["describe"] > 0 {
		t.Errorf("calls %v", calls)
	}
}

// behind is an org whose cached descriptions are older than it says; asked anew it tells the truth.
type behind struct {
	*salesforce.Client
	change func(*salesforce.Object)
	age    time.Duration

	mu     sync.Mutex
	asked  map[string]int // DescribeWithin by object
	within time.Duration  // the largest age that would have done
	young  func()         // called by DescribeWithin
}

// old is the description before a change. What finds a field by its name knows only the new one.
func (b *behind) old(o *salesforce.Object) *salesforce.Object {
	was := *o
	was.Fields = slices.Clone(o.Fields)
	b.change(&was)
	return &was
}

func (b *behind) Describe(ctx context.Context, object string) (*salesforce.Object, error) {
	o, err := b.Client.Describe(ctx, object)
	if err != nil {
		return nil, err
	}
	return b.old(o), nil
}

func (b *behind) DescribeWithin(ctx context.Context, object string, age time.Duration) (*salesforce.Object, error) {
	b.mu.Lock()
	b.asked[object]++
	b.within = max(b.within, age)
	b.mu.Unlock()
	if b.young != nil {
		b.young()
	}
	return b.Client.DescribeWithin(ctx, object, age)
}

func (b *behind) Described(object string) (*salesforce.Object, bool, time.Duration) {
	o, absent, _ := b.Client.Described(object)
	if o == nil {
		return nil, absent, b.age
	}
	return b.old(o), absent, b.age
}

func (b *behind) times(object string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[object]
}

// TestValidate_RejectAsksAgainBeforeItRefuses: what the org has allowed a moment ago is sent.
func TestValidate_RejectAsksAgainBeforeItRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateReject))
	org := &behind{Client: r.client(), change: originRequired, asked: map[string]int{}}
	r.put(many(5, createCase)...)
	r.startWith(org)
	r.delivers(5)
	if n := org.times("Case"); n == 0 || n > 5 {
		t.Errorf("asked again %d times for five events", n)
	}
	if org.within > 10*time.Second {
		t.Errorf("a word %s old would have done to fail what a person has mended the org for", org.within)
	}
}

// originRequired is an old description by which a create needs a field.
func originRequired(o *salesforce.Object) {
	for i := range o.Fields {
		if o.Fields[i].Name == "Origin" {
			o.Fields[i].Nillable = false
		}
	}
}

func createCase(i int) string {
	return fmt.Sprintf(`{"key":"e-%d","object":"Case","operation":"create","fields":{"Subject":"S"}}`, i)
}

// TestValidate_WarnKeepsTheNoteOfWhatTheOrgTook: so that a person sees what reject would have done.
func TestValidate_WarnKeepsTheNoteOfWhatTheOrgTook(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateWarn))
	org := &behind{Client: r.client(), change: originRequired, asked: map[string]int{}}
	r.put(createCase(0))
	r.startWith(org)
	r.delivers(1)
	r.until("asked again, since the org's word was shown to be old", func() bool { return org.times("Case") == 1 })
	w := r.get("e-0").Warnings
	if len(w) != 1 || w[0].Path != "fields.Origin" || w[0].Code != "required_missing" {
		t.Errorf("warnings %+v", w)
	}
}

// TestValidate_AFieldThatTheOrgHasJustRemovedIsNoticedByItsAnswer, however young the description is by which it was
// there, and the parent's with it.
func TestValidate_AFieldThatTheOrgHasJustRemovedIsNoticedByItsAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateWarn))
	titleIsRemoved(t, r, "Contact", "Account")
}

// TestValidate_OffHasADescriptionRenewedToo, which tells how values are written.
func TestValidate_OffHasADescriptionRenewedToo(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateOff))
	titleIsRemoved(t, r, "Contact")
}

// titleIsRemoved while events give it, and waits until the objects are described anew.
func titleIsRemoved(t *testing.T, r *rig, objects ...string) {
	t.Helper()
	client := r.client()
	r.startWith(client)
	contact := func(i int) string {
		return fmt.Sprintf(`{"key":"t-%[1]d","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"T-%[1]d"},
			"fields":{"LastName":"A","Title":"Countess","Account":{"Shop_Id__c":"A-1"}}}`, i)
	}
	r.put(`{"key":"a","object":"Account","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"A-1"},"fields":{"Name":"A"}}`)
	r.delivers(1)
	r.put(contact(1))
	r.delivers(2)
	withoutTitle(t, r)
	r.put(contact(2))
	if c := r.drained(); c.Of(store.Failed) != 1 || r.get("t-2").Warnings != nil {
		t.Fatalf("counts %v, warnings %+v: the change was known before the answer", c, r.get("t-2").Warnings)
	}
	for _, name := range objects {
		r.until(name+" described anew", func() bool {
			o, _, _ := client.Described(name)
			_, there := o.Field("Title")
			_, site := o.Field("Site")
			return !there && !site
		})
	}
}

// withoutTitle takes fields away from the org's contacts and accounts.
func withoutTitle(t *testing.T, r *rig) {
	t.Helper()
	key := simulator.Field{Name: "Shop_Id__c", Type: "string", Length: 80, ExternalID: true, Unique: true}
	err := r.sim.SetSchema([]simulator.Object{
		{Name: "Contact", Fields: []simulator.Field{
			{Name: "LastName", Type: "string", Length: 80, Required: true},
			key,
			{Name: "AccountId", Type: "reference", ReferenceTo: simulator.References{"Account"}, Relationship: "Account"},
		}},
		{Name: "Account", Fields: []simulator.Field{{Name: "Name", Type: "string", Length: 255, Required: true}, key}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestValidate_AnAnswerThatBlamesTheSchemaHasItAskedForAgain: once, however many there are.
func TestValidate_AnAnswerThatBlamesTheSchemaHasItAskedForAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateWarn))
	org := &behind{Client: r.client(), change: func(*salesforce.Object) {}, asked: map[string]int{}}
	r.put(many(10, func(i int) string { // null in a boolean field, of which the check is not sure
		return fmt.Sprintf(`{"key":"p-%d","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"P-%d"},"fields":{"LastName":"A","DoNotCall":null}}`, i, i)
	})...)
	r.startWith(org)
	r.until("asked again", func() bool { return org.times("Contact") > 0 })
	if c := r.drained(); c.Of(store.Failed) != 10 {
		t.Errorf("counts %v", c)
	}
	if n := org.times("Contact"); n != 1 {
		t.Errorf("asked again %d times", n)
	}
}

// TestValidate_ADescribeThatFailsCostsNoCallPerEvent: the check can do without it.
func TestValidate_ADescribeThatFailsCostsNoCallPerEvent(t *testing.T) {
	t.Parallel()
	cfg := validating(dispatcher.ValidateReject)
	cfg.REST.MaxRecords = 1
	r := newRig(t, cfg)
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "describe"}, Do: "status", Status: 400, Code: "UNKNOWN_EXCEPTION", Message: "no"})
	r.put(many(20, createCase)...)
	r.start()
	r.delivers(20)
	if n := r.sim.Calls().Calls["describe"]; n == 0 || n > 4 {
		t.Errorf("%d describes for 20 events in as many calls", n)
	}
}

// TestCheck_RefusesByAFreshWordOnly is about the socket's side of reject.
func TestCheck_RefusesByAFreshWordOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateReject))
	org := &behind{Client: r.client(), change: func(*salesforce.Object) {}, asked: map[string]int{}}
	r.startWith(org)
	bad, err := event.Decode([]byte(misfits["fields.LastNam"]))
	if err != nil {
		t.Fatal(err)
	}
	if found := r.d.Check(bad); found != nil {
		t.Errorf("%+v before the org has said anything", found)
	}
	r.until("known", func() bool { return len(r.d.Check(bad)) == 1 })
	none, err := event.Decode([]byte(misfits["object"]))
	if err != nil {
		t.Fatal(err)
	}
	r.until("unknown object, with the name that was meant", func() bool {
		found := r.d.Check(none)
		return len(found) == 1 && strings.HasSuffix(found[0].Detail, "did you mean Contact?")
	})
	before := org.times("Contact")
	for range 1000 {
		r.d.Check(bad)
	}
	org.age = 2 * time.Minute
	if found := r.d.Check(bad); found != nil {
		t.Errorf("%+v by a word two minutes old", found)
	}
	org.age = 0
	cfg := validating(dispatcher.ValidateWarn)
	r.d.Configure(cfg)
	if found := r.d.Check(bad); found != nil {
		t.Errorf("%+v though it only warns", found)
	}
	if n := org.times("Contact"); n != before {
		t.Errorf("%d describes for a thousand events", n-before)
	}
}

// TestCheck_AsksTheOrgBeforeItRefusesByAnOldWord: an event that was good a while ago may be so no more, or again.
func TestCheck_AsksTheOrgBeforeItRefusesByAnOldWord(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateReject))
	org := &behind{Client: r.client(), change: func(*salesforce.Object) {}, asked: map[string]int{}}
	var age atomic.Int64
	org.young = func() { age.Store(0) }
	r.startWith(old{org, &age})
	if _, err := org.Describe(t.Context(), "Contact"); err != nil {
		t.Fatal(err)
	}
	age.Store(int64(5 * time.Minute))
	bad, err := event.Decode([]byte(misfits["fields.LastNam"]))
	if err != nil {
		t.Fatal(err)
	}
	if found := r.d.Check(bad); len(found) != 1 || found[0].Path != "fields.LastNam" {
		t.Errorf("%+v, want it refused by the org's new word", found)
	}
	age.Store(int64(5 * time.Minute))
	for range 100 {
		if found := r.d.Check(bad); found != nil {
			t.Fatalf("%+v by a word of which nothing is new", found)
		}
	}
	if n := org.times("Contact"); n != 1 {
		t.Errorf("asked %d times for a hundred events", n)
	}
}

// TestCheck_WaitsForASlowOrgOnce: the app is not kept for each event.
func TestCheck_WaitsForASlowOrgOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, validating(dispatcher.ValidateReject))
	org := &behind{Client: r.client(), change: func(*salesforce.Object) {}, asked: map[string]int{}}
	answer := make(chan struct{})
	t.Cleanup(func() { close(answer) })
	org.young = func() { <-answer }
	var age atomic.Int64
	r.startWith(old{org, &age})
	if _, err := org.Describe(t.Context(), "Contact"); err != nil {
		t.Fatal(err)
	}
	age.Store(int64(5 * time.Minute))
	bad, err := event.Decode([]byte(misfits["fields.LastNam"]))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	const events = 1000
	for range events {
		if found := r.d.Check(bad); found != nil {
			t.Fatalf("%+v by an old word", found)
		}
	}
	if waited := time.Since(begun); waited > events*time.Second/10 {
		t.Errorf("%d events waited for %s", events, waited)
	}
}

// old is behind with an age that changes under way.
type old struct {
	*behind
	age *atomic.Int64
}

func (o old) Described(object string) (*salesforce.Object, bool, time.Duration) {
	d, absent, _ := o.Client.Described(object)
	return d, absent, time.Duration(o.age.Load())
}
