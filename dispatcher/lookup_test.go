package dispatcher

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// comparison is how an org may compare values; which of these Salesforce is need not be known.
type comparison struct {
	name   string
	fold   func(string) string
	rounds bool
	labels map[string]string // of picklist values
}

var withoutAccents = strings.NewReplacer("\u0301", "", "é", "e", "É", "E", "á", "a", "ß", "ss", "ﬁ", "fi", "ａ", "a", "Ａ", "A", "ı", "i", "İ", "I", "K", "K", "й", "и", "Й", "И", "и\u0306", "и", "ς", "σ", "ό", "ο", "が", "か", "﨑", "崎")

var comparisons = []comparison{
	{name: "to the letter", fold: func(s string) string { return s }},
	{name: "without regard to case", fold: strings.ToLower},
	{name: "rounding", fold: strings.ToUpper, rounds: true},
	{name: "without regard to accents", fold: func(s string) string { return strings.ToLower(withoutAccents.Replace(s)) }, rounds: true},
	{name: "letters only", fold: func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(" \t-+.'_", r) {
				return -1
			}
			return r
		}, strings.ToLower(withoutAccents.Replace(s)))
	}, labels: map[string]string{"Gold": "Silver", "Silver": "Gold"}},
}

// equal is the org's word on a condition.
func (c comparison) equal(f *salesforce.Field, asked, have json.RawMessage) bool {
	a, b := strings.TrimSpace(textOf(asked)), textOf(have)
	if string(have) == "null" {
		return f.Type == "boolean" && c.rounds && normalBool(a) == "false"
	}
	switch f.Type {
	case "double", "int":
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if c.rounds {
			x, y = roundHalfUp(x, f.Scale), roundHalfUp(y, f.Scale)
		}
		u, _ := x.Float64()
		v, _ := y.Float64()
		return u == v
	case "datetime":
		x, _ := parseTime(a)
		y, _ := parseTime(b)
		if c.rounds {
			x, y = x.Truncate(time.Second), y.Truncate(time.Second)
		}
		return x.Equal(y)
	case "id":
		return normalID(a) == normalID(b)
	case "picklist":
		return a == b || c.labels[b] == a
	case "date":
		return a == b
	case "boolean":
		return normalBool(a) == b
	}
	return c.fold(a) == c.fold(b)
}

func (c comparison) meets(s *seeker, row salesforce.Record) bool {
	for _, t := range s.terms {
		if c.equal(t.field, s.asked(t.field.Name), row[t.field.Name]) == s.any {
			return s.any
		}
	}
	return !s.any
}

// asked is the value that a seeker's match has for a field.
func (s *seeker) asked(field string) json.RawMessage {
	for _, c := range slices.Concat(s.event.Match.All, s.event.Match.Any) {
		if c.Field == field {
			return json.RawMessage(c.Value)
		}
	}
	return nil
}

// values are such as are easily taken for each other, by the type of a field.
var values = map[string][]string{
	"string":   {`"a"`, `"A"`, `"á"`, `"a\u0301"`, `"ab"`, `"a-b"`, `"a b"`, `"ab "`, `"aB"`, `"áb"`, `"ss"`, `"ß"`, `"fi"`, `"ﬁ"`, `"ａ"`, `"i"`, `"I"`, `"ı"`, `"k"`, `"K"`, `"--"`, `"日本"`, `"日"`, `"日*"`, `"山﨑"`, `"山崎"`, `"山崎が"`, `"山崎か"`, `"Май"`, `"Маи"`, `"МАИ\u0306"`, `"май 1"`, `"Мая"`, `"λόγος"`, `"ΛΟΓΟΣ"`, `"λογος"`, `"λογοσ"`, `"Müller"`, `"Möller"`, `"é1"`, `"e1"`, `"e2"`, `"1"`, `"01"`},
	"email":    {`"o'hara@x.org"`, `"O'HARA@X.ORG"`, `"ohara@x.org"`, `"jos\u00e9@x.org"`, `"jose@x.org"`, `"josa@x.org"`},
	"double":   {`1`, `1.0`, `"1.00"`, `1.004`, `1.005`, `1.01`, `0.99`, `1e2`, `100`, `-1`, `0`, `1234567890123456.78`, `1234567890123456.79`},
	"int":      {`1`, `2`, `3`, `"3"`, `" 3"`, `4.0`, `2147483647`, `-2147483648`},
	"boolean":  {`true`, `false`, `" true "`, `"FALSE"`, `"0"`},
	"date":     {`"2026-01-31"`, `"2026-02-01"`, `" 2026-01-31\t"`},
	"datetime": {`"2026-01-31T10:00:00Z"`, `"2026-01-31T11:00:00+01:00"`, `"2026-01-31T10:00:00.900Z"`, `"2026-01-31T10:00:01.000+0000"`, `"2026-01-31T10:00:05Z"`, `" 2026-01-31T10:00:05Z"`},
	"id":       {`"0035e00000Kp7Qa"`, `"0035e00000Kp7QaAAJ"`, `"0035e00000Kp7QbAAJ"`, `" 0035e00000Kp7QbAAJ"`},
	"picklist": {`"Gold"`, `"Silver"`, `"Bronze"`},
}

// kept is a value as the org tells of it.
func kept(f *salesforce.Field, v string) json.RawMessage {
	text := strings.TrimSpace(textOf(json.RawMessage(v)))
	switch f.Type {
	case "double", "int":
		n, _ := strconv.ParseFloat(text, 64)
		return json.RawMessage(strconv.FormatFloat(n, 'E', -1, 64))
	case "datetime":
		t, _ := parseTime(text)
		return json.RawMessage(strconv.Quote(t.UTC().Format("2006-01-02T15:04:05.000-0700")))
	case "id":
		return json.RawMessage(strconv.Quote(normalID(text)))
	case "boolean":
		return json.RawMessage(normalBool(text))
	}
	quoted, _ := json.Marshal(text)
	return quoted
}

// TestAttribute_WhateverTheOrgTakesForEqual: no row is given to who did not ask for it, and none that was asked for is
// thought to be absent, by whatever rules the org compares.
func TestAttribute_WhateverTheOrgTakesForEqual(t *testing.T) {
	decided, asked := 0, 0
	for _, org := range comparisons {
		for _, kind := range slices.Sorted(maps.Keys(values)) {
			t.Run(org.name+"/"+kind, func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { attributed(t, org, kind, &decided, &asked) }) })
		}
	}
	t.Logf("%d of %d seekers need not ask alone", decided, asked)
	if decided < asked/3 {
		t.Errorf("only %d of %d seekers are told", decided, asked)
	}
}

// attributed tries seekers and records that are drawn, with a field of the type and perhaps others.
func attributed(t *rapid.T, org comparison, first string, decided, asked *int) {
	kinds := append([]string{first}, rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(values))), 0, 2).Draw(t, "types")...)
	var fields []salesforce.Field
	for i, kind := range kinds {
		fields = append(fields, salesforce.Field{Name: fmt.Sprint("F", i), Type: kind, Filterable: true, Scale: map[string]int{"double": 2}[kind]})
	}
	schema := schemaOf(t, fields)
	value := func(f *salesforce.Field, what string) string { return rapid.SampledFrom(values[f.Type]).Draw(t, what) }
	either := rapid.Bool().Draw(t, "any")
	var group []seeker
	for i := range rapid.IntRange(2, 6).Draw(t, "seekers") {
		var list []event.Condition
		for j := range fields {
			list = append(list, event.Condition{Field: fields[j].Name, Value: []byte(value(&fields[j], "asked"))})
		}
		s := seeker{record: record{Claimed: store.Claimed{Seq: store.Seq(i)}}, event: event.Event{Match: &event.Match{All: list}}}
		if either {
			s.event.Match = &event.Match{Any: list}
		}
		if s.analyse(schema); s.shape == "" {
			return // asks alone
		}
		group = append(group, s)
	}
	meant := make([][]string, len(group)) // the truth
	var rows []salesforce.Record
	for i := range rapid.IntRange(0, 6).Draw(t, "records") {
		id := fmt.Sprintf("003%015d", i)
		row := salesforce.Record{"Id": json.RawMessage(strconv.Quote(id))}
		for j := range fields {
			row[fields[j].Name] = kept(&fields[j], value(&fields[j], "kept"))
			if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
				row[fields[j].Name] = json.RawMessage("null")
			}
		}
		found := false
		for k := range group {
			if org.meets(&group[k], row) {
				meant[k] = append(meant[k], id)
				found = true
			}
		}
		if found {
			rows = append(rows, row)
		}
	}
	answers, ok := attribute(group, rows)
	if !ok {
		t.Fatalf("%s: a row is nobody's: %s", org.name, rows)
	}
	for i, a := range answers {
		*asked++
		if len(a.ids) > 1 && len(meant[i]) < 2 || !a.open && !slices.Equal(a.ids, meant[i]) {
			t.Fatalf("%s: seeker %d of %s got %v of\n%s\nwant %v", org.name, i, seekersQuery("O", group), a, rows, meant[i])
		}
		if !a.open {
			*decided++
		}
	}
}

// schemaOf is the description of an object with these fields.
func schemaOf(t interface{ Fatal(...any) }, fields []salesforce.Field) *salesforce.Object {
	b, err := json.Marshal(map[string]any{"name": "Contact", "fields": fields})
	if err != nil {
		t.Fatal(err)
	}
	o, err := salesforce.ReadObject(b)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestOutline: texts are apart only where no org could take one for the other, and there they mostly are.
func TestOutline(t *testing.T) {
	for _, alike := range [][]string{
		{"Jose", "jos\u00e9", "JOSE\u0301", "Jos\u00c9", " jo-se."},
		{"stra\u00dfe", "STRASSE", "stra\u1e9ee"},
		{"fix", "\ufb01x"},
		{"abc", "\uff21bc", "ab\u200bc"},
		{"Kelvin", "\u212aelvin"},
		{"istanbul", "\u0130stanbul", "\u0131stanbul", "Istanbul"},
		{"май", "МАИ\u0306", "маи", "Май"},
		{"всё", "все", "ВСЕ\u0308"},
		{"λόγος", "ΛΟΓΟΣ", "λο\u0301γοσ"},
		{"山崎", "山﨑", "山\uf9d1"},
		{"가나", "\u1100\u1161\u1102\u1161"},
		{"が", "か\u3099", "か", "ｶﾞ"},
	} {
		for _, a := range alike {
			for _, b := range alike {
				if outlineOf(a).apart(outlineOf(b)) {
					t.Errorf("%q and %q are apart", a, b)
				}
			}
		}
	}
	for _, pair := range [][2]string{
		{"ada@example.com", "bob@example.com"}, {"a1", "a2"}, {"M\u00fcller", "Meller1"}, {"\u00c9lan", "\u00c9lat"}, {"иван", "петр"}, {"άλφα", "βήτα"}, {"日本", "日"}, {"a", ""}, {"x\u00e9", "y\u00e9"},
	} {
		if !outlineOf(pair[0]).apart(outlineOf(pair[1])) || !outlineOf(pair[1]).apart(outlineOf(pair[0])) {
			t.Errorf("%q is not told from %q", pair[0], pair[1])
		}
	}
}

// TestAskTogether_EachOnceAndNoQueryTooLong: whatever the values hold that a URL has to escape.
func TestAskTogether_EachOnceAndNoQueryTooLong(t *testing.T) {
	schema := schemaOf(t, []salesforce.Field{
		{Name: "Email", Type: "email", Filterable: true}, {Name: "LastName", Type: "string", Filterable: true}, {Name: "Score__c", Type: "double", Filterable: true},
	})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.SampledFrom([]string{"a", "@", "'", "é", "日", "\\"}).Draw(t, "character"), rapid.IntRange(1, 255).Draw(t, "length"))
		})
		var all []seeker
		for i := range rapid.IntRange(1, 300).Draw(t, "seekers") {
			quoted, err := json.Marshal(text.Draw(t, "text"))
			if err != nil {
				t.Fatal(err)
			}
			list := []event.Condition{{Field: "email", Value: quoted}}
			if rapid.Bool().Draw(t, "two") {
				list = append(list, event.Condition{Field: "Score__c", Value: fmt.Append(nil, i)})
			}
			s := seeker{record: record{Claimed: store.Claimed{Seq: store.Seq(i)}}, event: event.Event{Match: &event.Match{All: list}}}
			if rapid.Bool().Draw(t, "any") {
				s.event.Match = &event.Match{Any: list}
			}
			s.analyse(schema)
			all = append(all, s)
		}
		met := map[store.Seq]bool{}
		for _, g := range askTogether("Contact", all) {
			if n := salesforce.QueryLength(seekersQuery("Contact", g)); n > salesforce.MaxQuery && len(g) > 1 {
				t.Errorf("a query for %d takes %d bytes of %d", len(g), n, salesforce.MaxQuery)
			}
			for _, s := range g {
				if met[s.Seq] || s.shape != g[0].shape || s.shape == "" && len(g) > 1 {
					t.Errorf("seeker %d is in two groups, or in one of another shape", s.Seq)
				}
				met[s.Seq] = true
			}
		}
		if len(met) != len(all) {
			t.Errorf("%d of %d seekers are in a group", len(met), len(all))
		}
	})
}

// TestLookFor_AsOneByOne: what many events are told by few queries is what each would have been told by its own, at an
// org with fields of many types, records that share values, and events that the org refuses.
func TestLookFor_AsOneByOne(t *testing.T) {
	sim, err := simulator.New(simulator.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	org, err := salesforce.New(salesforce.Config{LoginURL: url, Timeout: time.Minute, Auth: salesforce.Credentials{
		Flow: salesforce.FlowClientCredentials, ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer org.Close()
	d := New(Config{Validate: ValidateOff}, nil, org, slog.New(slog.DiscardHandler))
	objects, many, single := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		objects++
		name := fmt.Sprintf("Thing%d__c", objects)
		if err := sim.SetSchema([]simulator.Object{{Name: name, Fields: fieldsOfThing}}); err != nil {
			t.Fatal(err)
		}
		var rows []salesforce.Row
		for range rapid.IntRange(0, 30).Draw(t, "records") {
			rows = append(rows, salesforce.Row{Fields: json.RawMessage(draw(t, fieldsOfThing, 6))})
		}
		if len(rows) > 0 {
			if _, err := org.Create(t.Context(), name, rows, salesforce.Headers{}); err != nil {
				t.Fatal(err)
			}
		}
		operation := rapid.SampledFrom([]string{opUpdate, opUpsert, opDelete}).Draw(t, "operation")
		usual := rapid.SliceOfN(rapid.SampledFrom(fieldsOfThing), 1, 2).Draw(t, "usual fields")
		var claimed []store.Claimed
		for i := range rapid.IntRange(2, 40).Draw(t, "events") {
			fields := usual
			if rapid.IntRange(0, 9).Draw(t, "unusual") == 0 {
				fields = fieldsOfThing
			}
			how := rapid.SampledFrom([]string{"all", "any"}).Draw(t, "how")
			text := fmt.Sprintf(`{"key":"k","object":%q,"operation":%q,"match":{%q:%s}}`, name, operation, how, draw(t, fields, 2))
			e, err := event.Decode([]byte(text))
			if err != nil {
				t.Fatal(text, err)
			}
			head, err := e.Head()
			if err != nil {
				t.Fatal(err)
			}
			claimed = append(claimed, store.Claimed{Seq: store.Seq(i + 1), Head: head})
		}
		few, one := d.told(t, name, operation, claimed), map[store.Seq]store.Outcome{}
		many += few.queries
		single += len(claimed)
		for _, c := range claimed {
			one[c.Seq] = d.told(t, name, operation, []store.Claimed{c}).outcomes[c.Seq]
		}
		for seq, want := range one {
			got := few.outcomes[seq]
			if got.Verdict != want.Verdict || got.Route != want.Route || got.Target != want.Target || codeOf(got) != codeOf(want) {
				t.Fatalf("event %d was told %v %s %q %s among others, and %v %s %q %s alone", seq,
					got.Verdict, got.Route.Operation, got.Target, codeOf(got), want.Verdict, want.Route.Operation, want.Target, codeOf(want))
			}
		}
	})
	t.Logf("%d queries for %d events", many, single)
}

func codeOf(o store.Outcome) string {
	if o.Problem == nil {
		return ""
	}
	return o.Problem.Code
}

// told is what events were told, by so many attempts and queries.
type told struct {
	outcomes map[store.Seq]store.Outcome
	queries  int
}

// told looks for events until each has its outcome.
func (d *Dispatcher) told(t *rapid.T, object, operation string, claimed []store.Claimed) told {
	x := told{outcomes: map[store.Seq]store.Outcome{}}
	for len(claimed) > 0 {
		counter := &countingOrg{Org: d.org}
		d.org = counter
		b := &batch{judge: judge{cfg: d.config(), route: store.Route{Object: object, Operation: operation, Match: true}, idempotent: true, size: 1}}
		b.Route = b.route
		err := d.lookFor(t.Context(), b, claimed)
		d.org = counter.Org
		if err != nil {
			t.Fatal(err)
		}
		x.queries += counter.n
		again := map[store.Seq]bool{}
		for _, o := range b.settled {
			if o.Verdict == store.Again {
				again[o.Seq] = true
			}
			x.outcomes[o.Seq] = o
		}
		before := len(claimed)
		claimed = slices.DeleteFunc(slices.Clone(claimed), func(c store.Claimed) bool { return !again[c.Seq] })
		if len(claimed) == before || counter.n > queriesOfAttempt {
			t.Fatalf("an attempt of %d queries got nowhere, or too far: %d of %d events are left", counter.n, len(claimed), before)
		}
	}
	return x
}

// TestLookFor_AnOrgThatComparesOtherwise: a row that nobody can have asked for shows that nothing is known of its rules.
func TestLookFor_AnOrgThatComparesOtherwise(t *testing.T) {
	d := New(Config{Validate: ValidateOff}, nil, &oddOrg{schema: schemaOf(t, []salesforce.Field{{Name: "Email", Type: "email", Filterable: true}})}, slog.New(slog.DiscardHandler))
	b := &batch{judge: judge{cfg: d.config(), route: store.Route{Object: "Contact", Operation: opUpsert, Match: true}}}
	if err := d.lookFor(t.Context(), b, claimedBy(t, 3, "Email", "a%d@example.com")); err != nil {
		t.Fatal(err)
	}
	for _, o := range b.settled {
		if want := map[bool]string{true: "003000000000001AAA"}[o.Seq == 1]; o.Verdict != store.Reroute || o.Target != want {
			t.Errorf("event %d was told %v %q, want %q", o.Seq, o.Verdict, o.Target, want)
		}
	}
}

// TestLookFor_GivesItsSlotUp: an attempt whose events all ask alone leaves most of them to the next ones.
func TestLookFor_GivesItsSlotUp(t *testing.T) {
	org := &countingOrg{Org: &oddOrg{schema: schemaOf(t, []salesforce.Field{{Name: "Tier__c", Type: "picklist", Filterable: true}})}}
	d := New(Config{Validate: ValidateOff}, nil, org, slog.New(slog.DiscardHandler))
	b := &batch{judge: judge{cfg: d.config(), route: store.Route{Object: "Contact", Operation: opUpdate, Match: true}}}
	if err := d.lookFor(t.Context(), b, claimedBy(t, 60, "Tier__c", "Gold %d")); err != nil {
		t.Fatal(err)
	}
	unsent := 0
	for _, o := range b.settled {
		if o.Verdict == store.Again && o.Problem == nil && !o.Charge && o.Delay == 0 {
			unsent++
		}
	}
	if org.n != 25 || unsent != 35 || len(b.settled) != 60 {
		t.Errorf("%d queries, %d of %d events left, want 25 and 35", org.n, unsent, len(b.settled))
	}
}

// TestLookFor_GetsSomewhereWithoutCallsForMore: attempts that can't afford a second query don't begin with the same
// one for ever.
func TestLookFor_GetsSomewhereWithoutCallsForMore(t *testing.T) {
	const n = 9
	odd := &oddOrg{schema: schemaOf(t, []salesforce.Field{{Name: "Email", Type: "email", Filterable: true}})}
	for name, org := range map[string]Org{"a row is nobody's": odd, "refused": &strictOrg{odd}} {
		t.Run(name, func(t *testing.T) {
			d := New(Config{Validate: ValidateOff}, nil, org, slog.New(slog.DiscardHandler))
			d.budget.note(salesforce.Usage{Used: 1000, Max: 1000, At: time.Now()})
			pending, bounds := claimedBy(t, n, "Email", "a%d@example.com"), map[store.Seq]int{}
			for attempts := 0; len(pending) > 0; attempts++ {
				if attempts > 3*n {
					t.Fatalf("after %d attempts %d of %d events are not told", attempts, len(pending), n)
				}
				claimed := claimable(pending, bounds)
				b := &batch{judge: judge{cfg: d.config(), route: store.Route{Object: "Contact", Operation: opUpsert, Match: true}}}
				if err := d.lookFor(t.Context(), b, claimed); err != nil {
					t.Fatal(err)
				}
				for _, o := range b.settled {
					if o.Verdict == store.Again {
						bounds[o.Seq] = cmp.Or(o.MaxBatch, bounds[o.Seq])
						continue
					}
					pending = slices.DeleteFunc(pending, func(c store.Claimed) bool { return c.Seq == o.Seq })
				}
			}
		})
	}
}

// claimable is what the store would give an attempt of what is pending.
func claimable(pending []store.Claimed, bounds map[store.Seq]int) (claimed []store.Claimed) {
	most := len(pending)
	for _, c := range pending {
		bound := cmp.Or(bounds[c.Seq], len(pending))
		if len(claimed) < min(most, bound) {
			claimed, most = append(claimed, c), min(most, bound)
		}
	}
	return claimed
}

// strictOrg refuses to look for more than one.
type strictOrg struct{ Org }

func (o *strictOrg) Query(ctx context.Context, soql string, deleted bool, most int) ([]salesforce.Record, error) {
	if strings.Count(soql, "@") > 1 {
		return nil, &salesforce.APIError{Class: salesforce.Split, Status: 400, Code: "QUERY_TOO_COMPLICATED"}
	}
	return o.Org.Query(ctx, soql, deleted, most)
}

// claimedBy are events that match a field by a text with their number.
func claimedBy(t *testing.T, n int, field, format string) (claimed []store.Claimed) {
	t.Helper()
	for i := range n {
		value := strconv.Quote(fmt.Sprintf(format, i))
		e := event.Event{Key: "k", Object: "Contact", Operation: event.Upsert, Match: &event.Match{All: []event.Condition{{Field: field, Value: []byte(value)}}}}
		head, err := e.Head()
		if err != nil {
			t.Fatal(err)
		}
		claimed = append(claimed, store.Claimed{Seq: store.Seq(i), Head: head})
	}
	return claimed
}

// oddOrg knows a record by a name that it does not show.
type oddOrg struct {
	Org
	schema *salesforce.Object
}

func (o *oddOrg) Describe(context.Context, string) (*salesforce.Object, error) { return o.schema, nil }

func (o *oddOrg) DescribeWithin(context.Context, string, time.Duration) (*salesforce.Object, error) {
	return o.schema, nil
}

func (o *oddOrg) Usage() (salesforce.Usage, bool) { return salesforce.Usage{}, false }

func (o *oddOrg) Batches() (salesforce.Usage, bool) { return salesforce.Usage{}, false }

func (o *oddOrg) Calls() map[salesforce.CallKind]int64 { return nil }

func (o *oddOrg) Query(_ context.Context, soql string, _ bool, _ int) ([]salesforce.Record, error) {
	if !strings.Contains(soql, "a1@example.com") {
		return nil, nil
	}
	return []salesforce.Record{{"Id": json.RawMessage(`"003000000000001AAA"`), "Email": json.RawMessage(`"ada@example.com"`)}}, nil
}

// countingOrg counts queries.
type countingOrg struct {
	Org
	n int
}

func (o *countingOrg) Query(ctx context.Context, soql string, deleted bool, most int) ([]salesforce.Record, error) {
	o.n++
	return o.Org.Query(ctx, soql, deleted, most)
}

var fieldsOfThing = []simulator.Field{
	{Name: "Text__c"},
	{Name: "Exact__c", CaseSensitive: true},
	{Name: "Mail__c", Type: "email"},
	{Name: "Fon__c", Type: "phone"},
	{Name: "Web__c", Type: "url"},
	{Name: "Num__c", Type: "double", Precision: 18, Scale: 2},
	{Name: "Int__c", Type: "int"},
	{Name: "Money__c", Type: "currency", Precision: 18, Scale: 2},
	{Name: "On__c", Type: "boolean"},
	{Name: "Day__c", Type: "date"},
	{Name: "At__c", Type: "datetime"},
	{Name: "Pick__c", Type: "picklist", Picklist: []string{"Gold", "Silver", "Bronze"}},
	{Name: "Tags__c", Type: "multipicklist", Picklist: []string{"Gold", "Silver", "Bronze"}},
	{Name: "Long__c", Type: "textarea", Length: 1_000}, // can't be in a query
	{Name: "Secret__c", Type: "encryptedstring"},
	{Name: "Boss__c", Type: "reference", ReferenceTo: simulator.References{"Contact"}, Relationship: "Boss__r"},
}

// draw is a JSON object of some of these fields.
func draw(t *rapid.T, fields []simulator.Field, most int) string {
	kinds := map[string]string{"phone": "string", "url": "string", "currency": "double", "multipicklist": "picklist", "textarea": "string", "encryptedstring": "string", "reference": "id", "": "string"}
	members := map[string]string{}
	for range rapid.IntRange(1, most).Draw(t, "fields") {
		f := rapid.SampledFrom(fields).Draw(t, "field")
		kind := f.Type
		if k, ok := kinds[kind]; ok {
			kind = k
		}
		members[f.Name] = rapid.SampledFrom(values[kind]).Draw(t, "value")
		if n := rapid.IntRange(0, 60).Draw(t, "n"); n > 20 && kind == "string" {
			members[f.Name] = fmt.Sprintf("\"%s%d\"", rapid.SampledFrom([]string{"x-", "X-", "ü"}).Draw(t, "start"), n)
		} else if n > 20 && kind == "int" {
			members[f.Name] = fmt.Sprint(n)
		}
	}
	var list []string
	for name, v := range members {
		list = append(list, fmt.Sprintf("%q:%s", name, v))
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ",") + "}"
}
