package crashtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/simulator"
)

// A crash case has a few lanes with an event and its follower in each.
const (
	lanes = 3
	turns = 2
)

// traffic is one operation on one way.
type traffic struct {
	name    string
	objects string // configuration
	job     bool
	match   bool          // a query finds the record first
	lookup  bool          // before a repeat the org is asked for the key
	doubt   bool          // an ambiguous end leaves it in doubt
	late    time.Duration // late window; 0: a short one
	looks   bool          // what is in doubt is looked for at the org
	// before makes the records that the events write to; it may be nil.
	before func(o *org) []string
	// event is the turn's event of a lane; ids are those of before.
	event func(key string, lane, turn int, ids []string) map[string]any
}

// dispatch is the configuration that sends the traffic its way.
func (tr traffic) dispatch() string {
	least := 1000
	if tr.job {
		least = 1
	}
	return fmt.Sprintf("{ bulk: { min_records: %d, max_wait: 20ms, poll: 10ms..50ms }, rest: { late_window: %v, timeout: 300ms }, retry: { initial: 20ms, max: 100ms } }", least, cmp.Or(tr.late, 300*time.Millisecond))
}

// marker is a field of Contact, Account or Lead that carries the key to the oracle.
func marker(object string) string {
	if object == "Contact" {
		return "Notes__c"
	}
	return "Description"
}

func traffics() (all []traffic) {
	for _, job := range []bool{true, false} {
		for _, tr := range []traffic{upserts(), creates(job), keyedCreates(job), updates(), deletes("delete"), matchUpdates(), matchUpserts(), matchUpsertsAnew(job)} {
			all = append(all, tr.by(job))
		}
	}
	return append(all, deletes("hard_delete").by(true))
}

// by is the traffic on one of the ways.
func (tr traffic) by(job bool) traffic {
	way := "REST"
	if job {
		way = "job"
	}
	tr.name, tr.job = tr.name+" by "+way, job
	return tr
}

func upserts() traffic {
	return traffic{name: "upsert", event: func(key string, lane, _ int, _ []string) map[string]any {
		return contact("upsert", key, map[string]any{"external_id": map[string]any{"field": "Shop_Id__c", "value": shop(lane)}})
	}}
}

// creates without a key field go by REST only if the operator says so, and are
// then in doubt where it can't be known whether they took effect.
func creates(job bool) traffic {
	tr := traffic{name: "create", doubt: !job, event: func(key string, lane, _ int, _ []string) map[string]any {
		return contact("create", key, map[string]any{"lane": shop(lane)})
	}}
	if !job {
		tr.objects = "{ Contact: { create_via: rest } }"
	}
	return tr
}

func keyedCreates(job bool) traffic {
	return traffic{
		name: "create with key_field", objects: "{ Lead: { key_field: Outbox_Key__c } }", lookup: !job,
		event: func(key string, lane, _ int, _ []string) map[string]any {
			return map[string]any{
				"key": key, "object": "Lead", "operation": "create", "lane": shop(lane),
				"fields": map[string]any{"LastName": "x", "Company": "c", "Description": key},
			}
		},
	}
}

// laxCreates carry their key in a field that is not unique: it can't refuse a
// repeat, but tells of the first.
func laxCreates() traffic {
	tr := keyedCreates(false)
	tr.name, tr.objects, tr.lookup, tr.doubt, tr.looks = "create with a lax key_field", "{ Lead: { key_field: Company, create_via: rest } }", false, true, true
	event := tr.event
	tr.event = func(key string, lane, turn int, ids []string) map[string]any {
		e := event(key, lane, turn, ids)
		delete(e["fields"].(map[string]any), "Company")
		return e
	}
	return tr.by(false)
}

func updates() traffic {
	return traffic{name: "update", before: someContacts(lanes), event: func(key string, lane, _ int, ids []string) map[string]any {
		return contact("update", key, map[string]any{"id": ids[lane]})
	}}
}

func deletes(operation string) traffic {
	return traffic{name: operation, before: someContacts(lanes * turns), event: func(key string, lane, turn int, ids []string) map[string]any {
		return map[string]any{"key": key, "object": "Contact", "operation": operation, "id": ids[lane*turns+turn], "lane": shop(lane)}
	}}
}

func matchUpdates() traffic {
	return traffic{name: "update by match", match: true, before: someContacts(lanes), event: matching("update")}
}

func matchUpserts() traffic {
	return traffic{name: "upsert by match", match: true, before: someContacts(lanes), event: matching("upsert")}
}

// matchUpsertsAnew find nothing: the first of a lane creates what the second updates.
func matchUpsertsAnew(job bool) traffic {
	tr := traffic{name: "upsert by match of nothing", match: true, event: matching("upsert")}
	if !job {
		tr.objects, tr.lookup = "{ Contact: { key_field: Outbox_Key__c } }", true
	}
	return tr
}

func matching(operation string) func(string, int, int, []string) map[string]any {
	return func(key string, lane, _ int, _ []string) map[string]any {
		e := contact(operation, key, map[string]any{"match": map[string]any{"all": map[string]any{"FirstName": shop(lane)}}})
		e["fields"].(map[string]any)["FirstName"] = shop(lane)
		return e
	}
}

func contact(operation, key string, more map[string]any) map[string]any {
	more["key"], more["object"], more["operation"] = key, "Contact", operation
	more["fields"] = map[string]any{"LastName": "x", marker("Contact"): key}
	return more
}

func someContacts(n int) func(*org) []string {
	return func(o *org) []string {
		return o.create("Contact", n, func(i int) map[string]any { return map[string]any{"LastName": "x", "FirstName": shop(i)} })
	}
}

func shop(lane int) string { return fmt.Sprint("lane-", lane) }

func keyOf(lane, turn int) string { return fmt.Sprintf("event-%d-%d", lane, turn) }

// flow is traffic on its way: an org, a daemon, and what was put.
type flow struct {
	*process
	traffic
	t       testing.TB
	sim     *simulator.Simulator
	ids     []string
	seeded  int
	ndjson  []byte
	written bool // the put was answered
}

// flow starts an org and prepares a daemon, which reaches the org through what via
// makes of its URL; nil is directly.
func (tr traffic) flow(t testing.TB, program string, via func(url string) string) *flow {
	t.Helper()
	sim, o := simulated(t, simulator.Config{})
	url := o.url
	if via != nil {
		url = via(url)
	}
	s := settings{objects: tr.objects, dispatch: tr.dispatch(), maxSize: "32MiB"} // a small ballast is made quickly
	f := &flow{process: newProcess(t, program, url, s), traffic: tr, t: t, sim: sim}
	if tr.before != nil {
		f.ids = tr.before(o)
	}
	f.seeded = len(sim.Effects())
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for turn := range turns {
		for lane := range lanes {
			if err := enc.Encode(tr.event(keyOf(lane, turn), lane, turn, f.ids)); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.ndjson = lines.Bytes()
	return f
}

// put writes the events, all or none. Without an answer it is to be repeated.
func (f *flow) put() {
	ctx, cancel := f.within()
	defer cancel()
	_, err := f.client.PutAtomic(ctx, f.ndjson)
	if problem := (*client.Problem)(nil); errors.As(err, &problem) && problem.Status < 500 {
		f.t.Fatalf("put: %v", err)
	}
	f.written = err == nil
}

// dies puts what is not put yet and waits until the daemon is dead, or has
// nothing more to do.
func (f *flow) dies() bool {
	f.t.Helper()
	idle, deadline := 0, time.Now().Add(patience)
	for tick := time.NewTicker(10 * time.Millisecond); f.alive(); <-tick.C {
		if time.Now().After(deadline) {
			f.t.Fatalf("neither dead nor at the end within %v", patience)
		}
		if !f.written {
			f.put()
			continue
		}
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
		s, err := f.client.Status(ctx)
		cancel()
		if err == nil && f.quiet(s) {
			idle++ // it may be on its way to the point after the last step
		}
		if idle > 100 {
			return false
		}
	}
	return true
}

// quiet reports whether nothing more happens by itself: what is pending waits
// for an event in doubt.
func (f *flow) quiet(s api.Status) bool {
	if f.looks && s.Counts.InDoubt > 0 {
		return false
	}
	return s.Counts.Inflight == 0 && (s.Counts.Pending == 0 || f.doubt && s.Counts.InDoubt > 0 && s.Counts.Pending == s.Stuck.Blocked)
}

// finish lets the daemon drain, and decides for the operator what is in doubt.
// Then what is given comes to its end, and the oracle is asked.
func (f *flow) finish(after ...func()) {
	f.t.Helper()
	f.until("everything is put", func() bool {
		if !f.written {
			f.put()
		}
		return f.written
	})
	f.settle()
	for _, wait := range after {
		wait()
	}
	f.verify(f.documents())
	f.check()
}

// settle resolves events in doubt by what the oracle says, until all is delivered.
func (f *flow) settle() {
	f.t.Helper()
	f.until("delivered", func() bool {
		s := f.status()
		if f.quiet(s) && s.Counts.InDoubt > 0 {
			f.resolve()
		}
		return s.Counts.Delivered == lanes*turns
	})
}

func (f *flow) resolve() {
	f.t.Helper()
	did, _ := f.effectsByKey()
	for key, d := range f.documents() {
		if d.State != "in_doubt" {
			continue
		}
		if !f.doubt {
			f.t.Fatalf("%s is in doubt; it could be repeated: %+v", key, d.Doubt)
		}
		id := ""
		if len(did[key]) > 0 {
			id = did[key][0].ID
		} else if d.Doubt != nil && time.Since(d.Doubt.SentAt.Time) < f.late {
			continue // it may still come
		}
		if _, err := f.client.Resolve(f.t.Context(), key, id != "", id); err != nil {
			f.t.Fatalf("resolve %s: %v", key, err)
		}
	}
}

// effectsByKey are the oracle's lines, and the keys in their order.
func (f *flow) effectsByKey() (byKey map[string][]simulator.Effect, order map[string]int) {
	byKey, order = map[string][]simulator.Effect{}, map[string]int{}
	deleted := map[string]string{}
	for lane := range lanes {
		for turn := range turns {
			if i := lane*turns + turn; i < len(f.ids) {
				deleted[f.ids[i]] = keyOf(lane, turn)
			}
		}
	}
	for n, e := range f.sim.Effects()[f.seeded:] {
		key, _ := e.Fields[marker(e.Object)].(string)
		if e.Operation == "delete" {
			key = deleted[e.ID]
		}
		byKey[key] = append(byKey[key], e)
		order[key] = n
	}
	return byKey, order
}

// verify holds what was delivered against the oracle: once each, in the order of
// its lane, and where the receipt says (I2, I3, I4).
func (f *flow) verify(docs map[string]api.Document) {
	f.t.Helper()
	did, order := f.effectsByKey()
	for lane := range lanes {
		for turn := range turns {
			key := keyOf(lane, turn)
			d, effects := docs[key], did[key]
			switch {
			case d.State != "delivered":
				f.t.Errorf("%s is %q: %+v", key, d.State, d.LastError)
			case len(effects) != 1:
				f.t.Errorf("%s took effect %d times: %+v", key, len(effects), effects)
			case effects[0].ID != d.SalesforceID:
				f.t.Errorf("%s: its receipt says %q, its effect is at %s", key, d.SalesforceID, effects[0].ID)
			case turn > 0 && order[key] < order[keyOf(lane, turn-1)]:
				f.t.Errorf("%s took effect before the one it follows", key)
			}
		}
	}
	if total := len(f.sim.Effects()) - f.seeded; total != lanes*turns {
		f.t.Errorf("%d effects, want %d: %+v", total, lanes*turns, did)
	}
}
