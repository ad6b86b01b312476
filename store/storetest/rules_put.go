package storetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/outboxd/outboxd/store"
)

var putRules = []rule{
	{name: "Put_AnswersNewEventsInOrder", test: putNew},
	{name: "Put_IsDurable", test: putDurable},
	{name: "Put_KeepsTheEventAsItCame", test: putKeepsAll},
	{name: "Put_CopiesBytes", test: putCopies},
	{name: "Put_SameKeySamePayloadIsADuplicate", test: putDuplicate},
	{name: "Put_SameKeyOtherPayloadIsRefused", test: putReused},
	{name: "Put_AKeyTwiceInOneBatch", test: putTwiceInBatch},
	{name: "Put_OneBadEventStopsNobodyElse", test: putMixed},
	{name: "Put_AtomicStoresAllOrNothing", test: putAtomic},
	{name: "Put_NoEventsNoResults", test: putNothing},
	{name: "Put_DuplicateTellsTheStateOfNow", test: putDuplicateState},
	{name: "Put_EditedEventIsStillTheSame", test: putAfterEdit},
	{name: "Put_FullIsRefusedAndLosesNothing", test: putFull, cfg: func(c *Config) { c.MaxSize = 8 << 20 }},
	{name: "Put_ConcurrentlyOneKeyIsOneEvent", test: putConcurrently},
}

func putNew(r *rig) {
	a := r.put(ev("a", upsert, "contact/1"), ev("b", account, ""), ev("c", upsert, "contact/1"))
	b := r.put(ev("d", upsert, "contact/1"))
	if a[0] >= a[2] || a[2] >= b[0] {
		r.Errorf("seqs of one lane in order of acceptance = %d, %d, %d; want growing", a[0], a[2], b[0])
	}
	r.wantCounts(4, 0, 0, 0, 0, 0)
}

func putDurable(r *rig) {
	seqs := r.put(ev("a", upsert, "contact/1"), ev("b", account, ""))
	r.reopen()
	for i, k := range []string{"a", "b"} {
		if got := r.get(k); got.Seq != seqs[i] || got.State != store.Pending {
			r.Errorf("after reopening Get(%s) = seq %d, %v; want %d, pending", k, got.Seq, got.State, seqs[i])
		}
	}
	if next := r.put(ev("c", upsert, ""))[0]; next <= seqs[1] {
		r.Errorf("seq after reopening = %d; want more than %d", next, seqs[1])
	}
}

func putKeepsAll(r *rig) {
	e := ev("a", upsert, "contact/1")
	e.After = []string{"x", "y"}
	seq := r.put(e)[0]
	rec := r.get("a")
	type kept struct {
		Seq           store.Seq
		Key           string
		Digest        store.Digest
		Route         store.Route
		Lane, Source  string
		After         []string
		Head, Payload string
		State         store.State
	}
	r.wantEqual("Get(a)",
		kept{rec.Seq, rec.Key, rec.Digest, rec.Route, rec.Lane, rec.Source, rec.After, string(rec.Head), string(rec.Payload), rec.State},
		kept{seq, "a", e.Digest, upsert, "contact/1", "shop", e.After, string(e.Head), string(e.Payload), store.Pending})
	if !rec.AcceptedAt.Equal(r.clock.Wall()) || !rec.SentAt.IsZero() || !rec.EndedAt.IsZero() {
		r.Errorf("times of a new event = accepted %v, sent %v, ended %v; want %v and none", rec.AcceptedAt, rec.SentAt, rec.EndedAt, r.clock.Wall())
	}
}

func putCopies(r *rig) {
	e := ev("a", upsert, "")
	head, payload := slices.Clone(e.Head), slices.Clone(e.Payload)
	r.put(e)
	for _, b := range [][]byte{e.Head, e.Payload} {
		for i := range b {
			b[i] = 'X'
		}
	}
	_, got := r.claimKeys(spec(upsert), "a")
	r.wantEqual("head", string(got[0].Head), string(head))
	r.wantEqual("payload", string(got[0].Payload), string(payload))
}

func (r *rig) putOne(e store.Event) store.PutResult {
	r.Helper()
	res, err := r.Put(r.ctx, []store.Event{e}, store.PutOptions{})
	if err != nil || len(res) != 1 {
		r.Fatalf("Put(%s) = %v, %v", e.Key, res, err)
	}
	return res[0]
}

func putDuplicate(r *rig) {
	seq := r.put(ev("a", upsert, ""))[0]
	again := ev("a", upsert, "")
	again.Payload = []byte(`{"LastName": "a"}`) // the digest is what counts
	r.wantEqual("Put again", r.putOne(again), store.PutResult{Seq: seq, State: store.Pending, Duplicate: true})
	r.reopen()
	r.wantEqual("Put after reopening", r.putOne(again), store.PutResult{Seq: seq, State: store.Pending, Duplicate: true})
	r.wantEqual("stored payload", string(r.get("a").Payload), `{"LastName":"a"}`)
	r.wantCounts(1, 0, 0, 0, 0, 0)
}

func putReused(r *rig) {
	r.put(ev("a", upsert, ""))
	other := ev("a", upsert, "")
	other.Digest, other.Payload = digest("other"), []byte(`{}`)
	for range 2 {
		r.wantErr("Put of another payload", r.putOne(other).Err, store.ErrKeyReused)
		r.reopen()
	}
	r.wantEqual("stored payload", string(r.get("a").Payload), `{"LastName":"a"}`)
	r.run(spec(upsert), delivered("003A"), "a")
	r.wantErr("Put of another payload after delivery", r.putOne(other).Err, store.ErrKeyReused)
	r.wantCounts(0, 0, 1, 0, 0, 0)
}

func putTwiceInBatch(r *rig) {
	other := ev("a", upsert, "")
	other.Digest = digest("other")
	res, err := r.Put(r.ctx, []store.Event{ev("a", upsert, ""), ev("a", upsert, ""), other}, store.PutOptions{})
	if err != nil {
		r.Fatalf("Put = %v", err)
	}
	if res[0].Duplicate || res[0].Err != nil || !res[1].Duplicate || res[1].Seq != res[0].Seq {
		r.Errorf("Put(a, a) = %+v; want a new event and its duplicate", res[:2])
	}
	r.wantErr("third of one key", res[2].Err, store.ErrKeyReused)
	r.wantCounts(1, 0, 0, 0, 0, 0)
}

func putMixed(r *rig) {
	r.put(ev("a", upsert, ""))
	other := ev("a", upsert, "")
	other.Digest = digest("other")
	res, err := r.Put(r.ctx, []store.Event{ev("b", upsert, ""), other, ev("c", upsert, "")}, store.PutOptions{})
	if err != nil || res[0].Err != nil || res[2].Err != nil || !errors.Is(res[1].Err, store.ErrKeyReused) {
		r.Errorf("Put(good, reused, good) = %+v, %v; want the middle one refused alone", res, err)
	}
	r.wantState(store.Pending, "a", "b", "c")
}

func putAtomic(r *rig) {
	r.put(ev("a", upsert, ""))
	other := ev("a", upsert, "")
	other.Digest = digest("other")
	res, err := r.Put(r.ctx, []store.Event{ev("b", upsert, ""), other, ev("c", upsert, "")}, store.PutOptions{Atomic: true})
	if err != nil || len(res) != 3 {
		r.Fatalf("atomic Put = %v, %v; want three answers", res, err)
	}
	for i, want := range []error{store.ErrAborted, store.ErrKeyReused, store.ErrAborted} {
		r.wantErr(fmt.Sprintf("answer %d of a refused atomic batch", i), res[i].Err, want)
	}
	for _, k := range []string{"b", "c"} {
		_, err := r.Get(r.ctx, k)
		r.wantErr("Get("+k+") after a refused atomic batch", err, store.ErrNotFound)
	}
	r.wantCounts(1, 0, 0, 0, 0, 0)
	res, err = r.Put(r.ctx, []store.Event{ev("b", upsert, ""), ev("a", upsert, ""), ev("c", upsert, "")}, store.PutOptions{Atomic: true})
	if err != nil || res[0].Err != nil || res[1].Err != nil || !res[1].Duplicate || res[2].Err != nil {
		r.Errorf("atomic Put with a duplicate = %+v, %v; want it stored", res, err)
	}
	r.wantCounts(3, 0, 0, 0, 0, 0)
}

func putNothing(r *rig) {
	for _, atomic := range []bool{false, true} {
		res, err := r.Put(r.ctx, nil, store.PutOptions{Atomic: atomic})
		if err != nil || len(res) != 0 {
			r.Errorf("Put(nothing, atomic %v) = %v, %v; want nothing", atomic, res, err)
		}
	}
}

func putDuplicateState(r *rig) {
	var events []store.Event
	for _, k := range []string{"delivered", "failed", "in_doubt", "dropped", "inflight"} {
		events = append(events, ev(k, upsert, ""))
	}
	r.put(events...)
	id, claimed := r.claim(spec(upsert))
	verdicts := map[string]store.Outcome{
		"delivered": delivered("003A"), "failed": failed("X"), "in_doubt": doubtful(), "dropped": failed("X"),
	}
	for _, c := range claimed {
		if o, ok := verdicts[c.Key]; ok {
			r.settle(id, []store.Claimed{c}, o)
		}
	}
	if _, err := r.Drop(r.ctx, "dropped", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	for range 2 {
		for _, e := range events {
			res := r.putOne(e)
			if !res.Duplicate || res.State.String() != e.Key || res.Err != nil {
				r.Errorf("Put(%s) again = %+v; want a duplicate in that state", e.Key, res)
			}
		}
		r.reopen()
	}
}

func putAfterEdit(r *rig) {
	seq := r.put(ev("a", upsert, ""))[0]
	r.run(spec(upsert), failed("X"), "a")
	edit := &store.Edit{Payload: []byte(`{"LastName":"edited"}`), Old: []byte(`{"LastName":"a"}`), Rev: r.get("a").Rev}
	if _, err := r.Retry(r.ctx, "a", r.move(), edit); err != nil {
		r.Fatalf("Retry with an edit = %v", err)
	}
	r.wantEqual("Put of the event as accepted", r.putOne(ev("a", upsert, "")),
		store.PutResult{Seq: seq, State: store.Pending, Duplicate: true})
}

func putFull(r *rig) {
	var stored []string
	big := make([]byte, 64<<10)
	for i := 0; ; i++ {
		if i > 1000 {
			r.Fatalf("64 MiB fit into %d bytes", r.cfg.MaxSize)
		}
		e := ev(fmt.Sprintf("k%04d", i), upsert, "")
		e.Payload = big
		if res := r.putOne(e); res.Err != nil {
			r.wantErr("Put into a full outbox", res.Err, store.ErrFull)
			break
		}
		stored = append(stored, e.Key)
	}
	if r.status().Full == "" {
		r.Errorf("Status().Full = false after ErrFull")
	}
	r.wantState(store.Pending, stored...)
	dup := ev(stored[0], upsert, "")
	if res := r.putOne(dup); res.Err != nil || !res.Duplicate {
		r.Errorf("duplicate in a full outbox = %+v; want the duplicate", res)
	}
	s := spec(upsert)
	s.MaxBytes = 1 << 30
	for range stored {
		id, events := r.claim(s)
		if len(events) == 0 {
			break
		}
		r.settle(id, events, delivered("003A"))
	}
	r.wantState(store.Delivered, stored...)
	r.sweep()
	if res := r.putOne(ev("after", upsert, "")); res.Err != nil {
		r.Errorf("Put after all was delivered = %v; want it accepted", res.Err)
	}
}

func putConcurrently(r *rig) {
	const writers, keys = 8, 20
	type answer struct {
		key string
		res store.PutResult
		err error
	}
	answers := make(chan answer, writers*keys)
	done := make(chan struct{})
	for w := range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range keys {
				k := fmt.Sprintf("k%d", (i+w)%keys)
				res, err := r.Put(r.ctx, []store.Event{ev(k, upsert, "contact/"+k)}, store.PutOptions{})
				if err != nil || len(res) != 1 {
					answers <- answer{k, store.PutResult{}, fmt.Errorf("%v, %w", res, err)}
					return
				}
				answers <- answer{k, res[0], res[0].Err}
			}
		}()
	}
	for range writers {
		<-done
	}
	close(answers)
	seqs, fresh := map[string]store.Seq{}, map[string]int{}
	for a := range answers {
		if a.err != nil {
			r.Fatalf("Put(%s) = %v", a.key, a.err)
		}
		if s, ok := seqs[a.key]; ok && s != a.res.Seq {
			r.Errorf("Put(%s) answered seq %d and %d", a.key, s, a.res.Seq)
		}
		seqs[a.key] = a.res.Seq
		if !a.res.Duplicate {
			fresh[a.key]++
		}
	}
	for k, n := range fresh {
		if n != 1 {
			r.Errorf("key %s was new %d times", k, n)
		}
	}
	r.wantCounts(keys, 0, 0, 0, 0, 0)
}
