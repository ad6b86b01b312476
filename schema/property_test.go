package schema_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/schema"
	"github.com/outboxd/outboxd/simulator"
)

// TestCheck_RefusesNothingThatTheOrgTakes holds the check against the simulator,
// which has read the same reference by itself: of random events, good ones, bad
// ones and odd ones, the simulator refuses by REST each one that has a finding,
// and by job as well where a job can carry it. So no event that it takes is touched.
func TestCheck_RefusesNothingThatTheOrgTakes(t *testing.T) {
	const rounds, perRound, jobs = 20, 100, 60
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			g := newGenerator(t, seed)
			for range rounds {
				events := make([]*event.Event, perRound)
				shape := g.shape()
				for i := range events {
					events[i] = g.event(shape)
				}
				for i, r := range g.send(shape, events) {
					g.judge("REST", events[i], r.Success)
				}
			}
			g.byJobs(jobs)
			t.Log(g.tally)
			for _, reason := range []schema.Reason{
				schema.UnknownField, schema.NotWritable, schema.Required, schema.TooLong, schema.OutOfRange, schema.BadNumber,
				schema.BadDate, schema.BadID, schema.NotInPicklist, schema.WrongType, schema.NoExternalID, schema.UnknownParent,
			} {
				if g.tally[string(reason)] == 0 {
					t.Errorf("no event had a finding of reason %s", reason)
				}
			}
			if g.tally["taken"] < rounds*perRound/10 || g.tally["found"] < rounds*perRound/10 {
				t.Error("too few good or bad events to prove anything")
			}
		})
	}
}

// things is an object with a field of each type.
func things() simulator.Object {
	field := func(name, typ string) simulator.Field { return simulator.Field{Name: name, Type: typ} }
	return simulator.Object{Name: "Thing__c", KeyPrefix: "a0T", Fields: []simulator.Field{
		{Name: "Name", Type: "string", Length: 12, Required: true},
		{Name: "Text__c", Type: "string", Length: 6},
		{Name: "Long__c", Type: "textarea", Length: 40},
		field("Email__c", "email"), field("Phone__c", "phone"), field("Url__c", "url"),
		field("Flag__c", "boolean"), field("Int__c", "int"),
		{Name: "Amount__c", Type: "currency", Precision: 6, Scale: 2},
		{Name: "Rate__c", Type: "percent", Precision: 3},
		{Name: "Double__c", Type: "double", Precision: 18, Scale: 4},
		field("Day__c", "date"), field("At__c", "datetime"), field("Clock__c", "time"),
		{Name: "Tier__c", Type: "picklist", Picklist: []string{"Gold", "Silver"}},
		{Name: "Open__c", Type: "picklist", Picklist: []string{"Gold", "Silver"}, Unrestricted: true},
		{Name: "Tags__c", Type: "multipicklist", Picklist: []string{"red", "blue", "green"}},
		{Name: "Account__c", Type: "reference", ReferenceTo: simulator.References{"Account"}, Relationship: "Account__r"},
		{Name: "Any__c", Type: "reference", ReferenceTo: simulator.References{"Account", "Contact"}, Relationship: "Any__r"},
		{Name: "Total__c", Type: "double", ReadOnly: true},
		{Name: "Key__c", Type: "string", Length: 20, ExternalID: true, Unique: true},
		{Name: "Number__c", Type: "double", Precision: 9, ExternalID: true, Unique: true},
	}}
}

// generator makes events, sends them and keeps count.
type generator struct {
	t       *testing.T
	rnd     *rand.Rand
	client  *salesforce.Client
	objects map[string]*salesforce.Object
	account string // Id of a row
	thing   string
	keys    int
	tally   map[string]int
}

func newGenerator(t *testing.T, seed uint64) *generator {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	if err := sim.SetSchema([]simulator.Object{things()}); err != nil {
		t.Fatal(err)
	}
	client, err := salesforce.New(salesforce.Config{LoginURL: url, Auth: salesforce.Credentials{
		Flow: salesforce.FlowClientCredentials, ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	g := &generator{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), client: client, objects: map[string]*salesforce.Object{}, tally: map[string]int{}}
	for _, name := range []string{"Thing__c", "Account", "Contact"} {
		if g.objects[name], err = client.Describe(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	g.account = g.row("Account", `{"Name":"A","Shop_Id__c":"A-1"}`)
	g.row("Contact", `{"LastName":"C","Shop_Id__c":"C-1"}`)
	g.thing = g.row("Thing__c", `{"Name":"T","Key__c":"T-1"}`)
	return g
}

func (g *generator) row(object, fields string) string {
	g.t.Helper()
	r, err := g.client.CreateOne(g.t.Context(), object, salesforce.Row{Fields: json.RawMessage(fields)}, salesforce.Headers{})
	if err != nil || !r.Success {
		g.t.Fatalf("%s: %+v, %v", object, r, err)
	}
	return string(r.ID)
}

// shape is what the events of one call have in common.
type shape struct {
	operation event.Operation
	key       string // of an upsert
}

func (g *generator) shape() shape {
	switch g.rnd.IntN(3) {
	case 0:
		return shape{operation: event.Create}
	case 1:
		return shape{operation: event.Update}
	}
	return shape{event.Upsert, g.pick("Key__c", "kEY__c", "Number__c")}
}

func (g *generator) pick(from ...string) string { return from[g.rnd.IntN(len(from))] }

func (g *generator) chance(percent int) bool { return g.rnd.IntN(100) < percent }

// event makes one with some fields, of which few are bad.
func (g *generator) event(s shape) *event.Event {
	g.t.Helper()
	g.keys++
	e := map[string]any{"key": fmt.Sprint("k", g.keys), "object": g.pick("Thing__c", "thing__C"), "operation": s.operation}
	switch s.operation {
	case event.Update:
		e["id"] = g.thing
	case event.Upsert:
		value := any(g.keys)
		if s.key != "Number__c" {
			value = fmt.Sprint("K-", g.keys)
		}
		if g.chance(5) {
			value = "x" + strings.Repeat("y", 30)
		}
		e["external_id"] = map[string]any{"field": s.key, "value": value}
	}
	fields := map[string]json.RawMessage{}
	if g.chance(93) {
		fields["Name"] = g.text(12)
	}
	for range g.rnd.IntN(4) {
		if name, value := g.field(); !strings.EqualFold(name, s.key) && !doubles(fields, name) {
			fields[name] = value
		}
	}
	e["fields"] = fields
	text, err := json.Marshal(e)
	if err != nil {
		g.t.Fatal(err)
	}
	decoded, err := event.Decode(text)
	if err == nil {
		err = decoded.Validate()
	}
	if err != nil {
		g.t.Fatalf("%s: %v", text, err)
	}
	return decoded
}

func doubles(fields map[string]json.RawMessage, name string) bool {
	for n := range fields {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

// text is mostly short enough.
func (g *generator) text(length int) json.RawMessage {
	n := g.rnd.IntN(length) + 1
	if g.chance(8) {
		n = length + g.rnd.IntN(3)
	}
	return quoted(g.pick("", "", " ", "\t") + strings.Repeat(g.pick("a", "é", "語", "😀", "\n", "\r\n", "\u0001", " "), n) + g.pick("", " "))
}

// field is a name and a value, good, bad or odd.
func (g *generator) field() (string, json.RawMessage) {
	if g.chance(3) {
		return g.pick("Txet__c", "Nope", "Text", "IsDeleted", "Total__c", "CreatedDate", "Acount__r"), quoted("x")
	}
	if g.chance(3) {
		value := g.pick(`null`, `""`, `true`, `17`, `1.5`, `["a"]`, `"x"`, `{"a":"b"}`)
		return g.pick("Text__c", "Flag__c", "Int__c", "Amount__c", "Day__c", "At__c", "Clock__c", "Tier__c", "Tags__c", "Account__c", "Account__r", "Phone__c"), json.RawMessage(value)
	}
	switch g.rnd.IntN(14) {
	case 0:
		return g.pick("Text__c", "TEXT__c"), g.text(6)
	case 1:
		return "Long__c", g.text(40)
	case 2:
		return g.pick("Phone__c", "Url__c"), g.text(20)
	case 3:
		return "Flag__c", json.RawMessage(g.pick(`true`, `false`, `"true"`, `"FALSE"`, `"maybe"`, `1`, `2`, `null`, `"yes"`))
	case 4:
		return "Int__c", json.RawMessage(g.pick(`1`, `-7`, `2.0`, `1e3`, `2147483647`, `2147483648`, `1.5`, `"12"`, `"1.5"`, `" 8 "`, `"many"`, `99999999999`, `1e30`))
	case 5:
		return g.pick("Amount__c", "Rate__c", "Double__c"), json.RawMessage(g.pick(`1`, `-0.5`, `999`, `999.9`, `9999.994`, `9999.999`, `1000`, `12345`, `"12.5"`, `"1,5"`, `"1.234,56"`,
			`"dear"`, `1e2`, `1e9`, `1E-9`, `"+4"`, `"0001"`, `123456789012345678`, `false`, `"."`, `"NaN"`, `".5"`, `"5."`))
	case 6:
		return "Day__c", json.RawMessage(g.pick(`"2026-01-31"`, `"2026-02-30"`, `"31.01.2026"`, `"2026-01-31T10:00:00Z"`, `"20260131"`, `"tomorrow"`, `"1066-10-14"`, `"4000-12-31"`,
			`"4001-01-01"`, `"2026-1-31"`, `""`, `" 2026-01-31"`, `"2026/01/31"`, `"2024-02-29"`, `"1699-12-31T23:00:00-0500"`))
	case 7:
		return "At__c", json.RawMessage(g.pick(`"2026-01-31T10:00:00Z"`, `"2026-01-31T10:00:00.123+0200"`, `"2026-01-31T10:00:00.000-05:00"`, `"2026-01-31T25:00:00Z"`, `"2026-01-31"`,
			`"2026-01-31 10:00:00 UTC"`, `"now"`, `"2026-13-31T10:00:00Z"`, `"1699-12-31T23:30:00-05:00"`, `"4000-12-31T23:30:00-05:00"`, `"1066-10-14T10:00:00Z"`, `"2026-01-31T24:00:00Z"`))
	case 8:
		return "Clock__c", json.RawMessage(g.pick(`"10:00:00Z"`, `"10:00:00.000Z"`, `"25:00:00Z"`, `"noon"`, `"9:05"`, `"10:61:00Z"`))
	case 9:
		return g.pick("Tier__c", "Open__c"), json.RawMessage(g.pick(`"Gold"`, `"Silver"`, `"gold"`, `" Gold "`, `"Glod"`, `"Platinum"`, `""`, `null`, `5`))
	case 10:
		return "Tags__c", json.RawMessage(g.pick(`"red"`, `"red;blue"`, `"red; blue"`, `"RED"`, `"red;pink"`, `"red;"`, `";"`, `""`))
	case 11:
		return g.pick("Account__c", "Any__c"), json.RawMessage(g.pick(`"`+g.account+`"`, `"`+g.account[:15]+`"`, `" `+g.account+` "`, `"`+strings.ToLower(g.account)+`"`, `"1187"`, `"001"`, `null`,
			`"`+g.account[:17]+`_"`, `{"Shop_Id__c":"A-1"}`))
	case 12:
		return g.pick("Account__r", "ACCOUNT__R"), json.RawMessage(g.pick(`{"Shop_Id__c":"A-1"}`, `{"shop_id__C":"A-1"}`, `{"Id":"`+g.account+`"}`, `{"Coed__c":"x"}`, `{"Site":"x"}`, `{"Outbox_Key__c":"gone"}`,
			`"A-1"`, `{}`, `null`, `{"attributes":{"type":"Account"},"Shop_Id__c":"A-1"}`))
	}
	return g.pick("Any__r", "Owner", "Nobody__r"), json.RawMessage(g.pick(`{"attributes":{"type":"Account"},"Shop_Id__c":"A-1"}`, `{"attributes":{"type":"Contact"},"Shop_Id__c":"C-1"}`, `{"Shop_Id__c":"A-1"}`,
		`{"attributes":{"type":"Contact"},"Site":"A-1"}`, `{"attributes":{"type":"Lead"},"Shop_Id__c":"A-1"}`, `{"Username":"a@b.example"}`))
}

func (g *generator) check(e *event.Event) []schema.Finding {
	c := schema.Checker{Object: g.objects["Thing__c"], Parent: func(name string) *salesforce.Object { return g.objects[name] }}
	return c.Check(e)
}

// judge compares what was found with what the org did.
func (g *generator) judge(way string, e *event.Event, taken bool) {
	g.t.Helper()
	found := g.check(e)
	for _, f := range found {
		g.tally[string(f.Reason)]++
	}
	if taken {
		g.tally["taken"]++
	} else {
		g.tally["refused"]++
	}
	if found == nil {
		return
	}
	g.tally["found"]++
	if taken {
		text, _ := e.MarshalJSON()
		g.t.Errorf("the org takes by %s what has %+v: %s", way, found, text)
	}
}

func rowOf(e *event.Event) salesforce.Row {
	row := salesforce.Row{ID: salesforce.ID(e.ID), Fields: json.RawMessage(e.Fields)}
	if e.ExternalID != nil {
		row.External = json.RawMessage(e.ExternalID.Value)
	}
	return row
}

// send writes the events by REST. An update call takes a record once only.
func (g *generator) send(s shape, events []*event.Event) []salesforce.Result {
	g.t.Helper()
	var results []salesforce.Result
	per := len(events)
	if s.operation == event.Update {
		per = 1
	}
	for i := 0; i < len(events); i += per {
		var rows []salesforce.Row
		for _, e := range events[i : i+per] {
			rows = append(rows, rowOf(e))
		}
		var part []salesforce.Result
		var err error
		switch s.operation {
		case event.Create:
			part, err = g.client.Create(g.t.Context(), "Thing__c", rows, salesforce.Headers{})
		case event.Update:
			part, err = g.client.Update(g.t.Context(), "Thing__c", rows, salesforce.Headers{})
		default:
			part, err = g.client.Upsert(g.t.Context(), "Thing__c", s.key, rows, salesforce.Headers{})
		}
		if err != nil {
			g.t.Fatal(err)
		}
		results = append(results, part...)
	}
	return results
}

// byJobs sends events with findings each by a job of its own, so that a column
// that the org does not know spoils no other.
func (g *generator) byJobs(n int) {
	g.t.Helper()
	for n > 0 {
		s := g.shape()
		e := g.event(s)
		if g.check(e) == nil {
			continue
		}
		n--
		spec := salesforce.JobSpec{Object: "Thing__c", Operation: salesforce.OpInsert}
		switch s.operation {
		case event.Update:
			spec.Operation = salesforce.OpUpdate
		case event.Upsert:
			spec.Operation, spec.ExternalIDField = salesforce.OpUpsert, s.key
		}
		table, problems := salesforce.NewTable(spec, g.objects["Thing__c"], []salesforce.Row{rowOf(e)})
		if len(problems) > 0 {
			continue // no job carries it
		}
		g.judge("job", e, g.job(spec, table))
		g.tally["by job"]++
	}
}

// job reports whether the org took the only row of a job.
func (g *generator) job(spec salesforce.JobSpec, table *salesforce.Table) bool {
	g.t.Helper()
	ctx := g.t.Context()
	j, err := g.client.CreateJob(ctx, spec)
	if err == nil {
		err = g.client.UploadJob(ctx, j.ID, table.CSV())
	}
	if err == nil {
		_, err = g.client.CloseJob(ctx, j.ID)
	}
	for err == nil && !j.State.Terminal() {
		j, err = g.client.Job(ctx, j.ID)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	taken := false
	err = g.client.SuccessfulResults(ctx, j.ID, 10, func([]string, salesforce.ResultRow) error {
		taken = true
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return taken
}
