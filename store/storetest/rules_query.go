package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/outboxd/outboxd/store"
)

var queryRules = []rule{
	{name: "List_InOrderOfSeqByPages", test: listPages},
	{name: "List_ByEachFilter", test: listFilters},
	{name: "List_PayloadsOnlyWhenAsked", test: listPayload},
	{name: "List_ASlowReaderMissesNothingThatStays", test: listSlowly},
	{name: "List_RefusesABadCursor", test: listBadCursor},
	{name: "Get_UnknownKey", test: getUnknown},
	{name: "Status_CountsByObject", test: statusObjects},
	{name: "Status_TellsTheOldestPending", test: statusOldest},
	{name: "Status_AcceptedIsStatesAndForgotten", test: statusConserves},
	{name: "Backup_IsWholeOrUnsupported", test: backupWhole},
	{name: "Close_EndsEverything", test: closeEnds},
}

// variety puts eleven events in many states and returns their keys in order.
func variety(r *rig) []string {
	r.put(ev("d1", upsert, ""), ev("d2", upsert, ""))
	r.run(spec(upsert), delivered("003A"), "d1", "d2")
	r.clock.Advance(time.Minute)
	r.fail(ev("f1", account, ""), "X")
	r.fail(ev("f2", upsert, ""), "Y")
	r.clock.Advance(time.Minute)
	r.put(ev("q1", account, ""))
	r.run(spec(account), doubtful(), "q1")
	r.put(ev("x1", create, ""))
	if _, err := r.Drop(r.ctx, "x1", r.move()); err != nil {
		r.Fatalf("Drop = %v", err)
	}
	r.put(ev("i1", create, ""), ev("i2", create, ""))
	r.claimKeys(bulk(create), "i1", "i2")
	r.clock.Advance(time.Minute)
	crm := ev("p1", upsert, "")
	crm.Source = "crm"
	r.put(crm, ev("p2", account, ""))
	r.put(ev("p3", upsert, ""))
	return []string{"d1", "d2", "f1", "f2", "q1", "x1", "i1", "i2", "p1", "p2", "p3"}
}

func listPages(r *rig) {
	want := variety(r)
	for range 2 {
		for _, limit := range []int{0, 1, 3, 11, 1000} {
			r.wantEqual(fmt.Sprintf("list by pages of %d", limit), recordKeys(r.list(store.Filter{Limit: limit})), want)
		}
		r.reopen()
	}
	p, err := r.List(r.ctx, store.Filter{Limit: 3})
	if err != nil || len(p.Records) > 3 {
		r.Errorf("List(limit 3) = %d records, %v", len(p.Records), err)
	}
}

func listFilters(r *rig) {
	variety(r)
	for _, tt := range []struct {
		f    store.Filter
		want []string
	}{
		{store.Filter{States: []store.State{store.Delivered}}, []string{"d1", "d2"}},
		{store.Filter{States: []store.State{store.Failed, store.InDoubt}}, []string{"f1", "f2", "q1"}},
		{store.Filter{States: []store.State{store.Inflight, store.Dropped}}, []string{"x1", "i1", "i2"}},
		{store.Filter{States: []store.State{store.Pending}, Object: "Contact"}, []string{"p1", "p3"}},
		{store.Filter{Object: "Account"}, []string{"f1", "q1", "p2"}},
		{store.Filter{Operation: "create"}, []string{"x1", "i1", "i2"}},
		{store.Filter{Code: "Y"}, []string{"f2"}},
		{store.Filter{Source: "crm"}, []string{"p1"}},
		{store.Filter{OlderThan: 2*time.Minute + 30*time.Second}, []string{"d1", "d2"}},
		{store.Filter{OlderThan: 30 * time.Second, Object: "Account"}, []string{"f1", "q1"}},
		{store.Filter{Object: "Lead"}, []string{}},
	} {
		for _, limit := range []int{0, 1} {
			tt.f.Limit = limit
			r.wantEqual(fmt.Sprintf("List(%+v)", tt.f), recordKeys(r.list(tt.f)), tt.want)
		}
	}
}

func listPayload(r *rig) {
	r.fail(ev("a", upsert, ""), "X")
	plain, full := r.list(store.Filter{})[0], r.list(store.Filter{Payload: true})[0]
	if plain.Payload != nil || plain.History != nil {
		r.Errorf("List = payload %q, history %+v; want neither", plain.Payload, plain.History)
	}
	if string(full.Payload) != `{"LastName":"a"}` || len(full.History) == 0 {
		r.Errorf("List with payloads = %q, history %+v; want both", full.Payload, full.History)
	}
}

func listSlowly(r *rig) {
	keys := r.putMany(30, upsert, func(int) string { return "" })
	f := store.Filter{Limit: 4}
	seen := map[string]int{}
	for n := 0; ; n++ {
		p, err := r.List(r.ctx, f)
		if err != nil || n > 100 {
			r.Fatalf("List(%+v) = %v, page %d", f, err, n)
		}
		for _, x := range p.Records {
			seen[x.Key]++
		}
		if f.Cursor = p.Next; f.Cursor == "" {
			break
		}
		s := spec(upsert)
		s.MaxRecords = 3
		id, events := r.claim(s)
		r.settle(id, events, delivered("003A"))
		r.put(ev(fmt.Sprintf("new%d", n), account, ""))
	}
	for _, k := range keys {
		if seen[k] != 1 {
			r.Errorf("%s was listed %d times", k, seen[k])
		}
	}
}

func listBadCursor(r *rig) {
	r.put(ev("a", upsert, ""))
	_, err := r.List(r.ctx, store.Filter{Cursor: "no cursor"})
	r.wantErr("List with a bad cursor", err, store.ErrCursor)
}

func getUnknown(r *rig) {
	_, err := r.Get(r.ctx, "nobody")
	r.wantErr("Get", err, store.ErrNotFound)
}

func statusObjects(r *rig) {
	variety(r)
	for range 2 {
		s := r.status()
		contact, acc := s.Objects["Contact"], s.Objects["Account"]
		got := []int64{
			contact.Of(store.Pending), contact.Of(store.Inflight), contact.Of(store.Delivered), contact.Of(store.Failed), contact.Of(store.Dropped),
			acc.Of(store.Pending), acc.Of(store.Failed), acc.Of(store.InDoubt),
		}
		r.wantEqual("counts by object", got, []int64{2, 2, 2, 1, 1, 1, 1, 1})
		r.wantCounts(3, 2, 2, 2, 1, 1)
		r.reopen()
	}
}

func statusOldest(r *rig) {
	if s := r.status(); s.OldestPending != 0 {
		r.Errorf("oldest pending of an empty outbox = %v", s.OldestPending)
	}
	r.put(ev("a", upsert, ""))
	r.clock.Advance(time.Minute)
	r.put(ev("b", account, ""))
	r.wantAbout("oldest pending", r.status().OldestPending, time.Minute)
	r.run(spec(upsert), delivered("003A"), "a")
	r.clock.Advance(time.Second)
	r.wantAbout("oldest pending", r.status().OldestPending, time.Second)
	r.run(spec(account), failed("X"), "b")
	if d := r.status().OldestPending; d != 0 {
		r.Errorf("oldest pending = %v; nothing is pending", d)
	}
}

func statusConserves(r *rig) {
	variety(r)
	for range 4 {
		s := r.status()
		if s.Accepted != 11 || s.Accepted-s.Forgotten != s.Counts.Sum() {
			r.Errorf("accepted %d, forgotten %d, states %v; want 11, and the rest in the states", s.Accepted, s.Forgotten, s.Counts)
		}
		r.wait(dedupWindow)
		r.reopen()
	}
	r.waitForgotten(3) // the terminal ones
}

func backupWhole(r *rig) {
	variety(r)
	var b bytes.Buffer
	err := r.Backup(r.ctx, &b)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil || b.Len() == 0 {
		r.Errorf("Backup = %d bytes, %v", b.Len(), err)
	}
}

func closeEnds(r *rig) {
	r.put(ev("a", upsert, ""))
	id, _ := r.claimKeys(spec(upsert), "a")
	if err := r.Close(); err != nil {
		r.Fatalf("Close = %v", err)
	}
	for _, c := range calls(r, id) {
		r.wantErr(c.name+" after Close", c.call(r.Outbox, r.term), store.ErrClosed)
	}
	r.clock.Restart()
	r.start()
	r.wantState(store.Inflight, "a")
}
