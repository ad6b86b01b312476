package dispatcher_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// carried is a value that a record can hold, as an event has it and as the org
// must have it.
type carried struct {
	name   string
	field  string // of the org's row
	want   any    // string, bool, json.Number; nil: the field holds nothing
	sent   string // JSON; "": want's
	member string // of the event; "": field
	byJob  string // what a job makes of want; "": the same
	noJob  bool   // a job can't carry it: it goes by REST, and a create that may not is failed
}

// line is the JSON of the event's member.
func (c *carried) line() string {
	sent := c.sent
	if sent == "" {
		b, err := json.Marshal(c.want)
		if err != nil {
			panic(err)
		}
		sent = string(b)
	}
	return fmt.Sprintf("%q:%s", cmp.Or(c.member, c.field), sent)
}

// holder is an object with a field of every type.
func holder() []simulator.Object {
	return []simulator.Object{
		{Name: "Holder__c", RecordTypes: []simulator.RecordType{{Name: "Retail", Label: "Retail, \"B2C\""}, {Name: "Trade"}}, Fields: []simulator.Field{
			{Name: "Sku__c", ExternalID: true, Unique: true, CaseSensitive: true},
			{Name: "Kept__c"},
			{Name: "Text__c"},
			{Name: "Long__c", Type: "textarea", Length: 131_072},
			{Name: "Mail__c", Type: "email"},
			{Name: "Int__c", Type: "int"},
			{Name: "Money__c", Type: "currency", Precision: 18, Scale: 2},
			{Name: "Big__c", Type: "double", Precision: 18},
			{Name: "Fine__c", Type: "double", Precision: 18, Scale: 17},
			{Name: "Day__c", Type: "date"},
			{Name: "At__c", Type: "datetime"},
			{Name: "Time__c", Type: "time"},
			{Name: "One__c", Type: "picklist", Picklist: []string{"a", "b, \"c\""}},
			{Name: "Years__c", Type: "picklist", Picklist: []string{"1999"}},
			{Name: "Tags__c", Type: "multipicklist", Picklist: []string{"a", "b", "c d"}},
			{Name: "On__c", Type: "boolean"},
			{Name: "File__c", Type: "base64"},
			{Name: "ShipStreet", Type: "textarea"},
			{Name: "ShipCity"},
			{Name: "Single__c", Type: "reference", ReferenceTo: simulator.References{"Account"}, Relationship: "Single__r"},
			{Name: "Any__c", Type: "reference", ReferenceTo: simulator.References{"Account", "Contact"}, Relationship: "Any__r"},
		}},
	}
}

// parents are the Ids of the records that the values name.
type parents struct{ account, numbered, contact, recordType string }

// carriedValues is everything that a record can hold.
func carriedValues(p parents) []carried {
	all := []carried{
		{name: "emoji, quotes, commas", field: "Text__c", want: "Zoë 👩‍👩‍👧‍👦🚀 \"x\",\"\" ,;\t'\\ }{"},
		{name: "escapes of JSON", field: "Text__c", want: "é 🚀 / \t |", sent: `"\u00e9 \ud83d\ude80 \/ \t\u0020\u007c"`},
		{name: "only a quote", field: "Text__c", want: `"`},
		{name: "only a comma", field: "Text__c", want: `,`},
		{name: "LF", field: "Long__c", want: "a\n\nb\n,\"\nc"},
		{name: "CR LF", field: "Long__c", want: "a\r\nb\r\n\r\nc", byJob: "a\nb\n\nc"},
		{name: "CR", field: "Long__c", want: "a\rb", byJob: "a\nb"},
		{name: "other line breaks", field: "Long__c", want: "a\u0085b\u2028c\u2029d"},
		{name: "a byte order mark", field: "Text__c", want: "\ufeffa"},
		{name: "HTML", field: "Long__c", want: `<a href="x?a=1&amp;b">&lt;</a>`},
		{name: "text like null", field: "Text__c", want: "null"},
		{name: "text like a number", field: "Text__c", want: "00123"},
		{name: "text like an exponent", field: "Text__c", want: "1e5"},
		{name: "text like a boolean", field: "Text__c", want: "TRUE"},
		{name: "text like a date", field: "Text__c", want: "2026-01-31T23:59:59+05:30"},
		{name: "#N/A", field: "Text__c", want: "#N/A", noJob: true},
		{name: "#n/a", field: "Text__c", want: "#n/a"},
		{name: "#N/A within a text", field: "Text__c", want: "#N/A?"},
		{name: "131,072 characters", field: "Long__c", want: strings.Repeat("日", 131_072)},
		{name: "131,072 characters, half as many emoji", field: "Long__c", want: strings.Repeat("🚀", 65_536)},
		{name: "131,072 quotes", field: "Long__c", want: strings.Repeat(`"`, 131_072)},
		{name: "number in a text", field: "Text__c", want: "123456789012345678901.50", sent: `123456789012345678901.50`},
		{name: "boolean in a text", field: "Text__c", want: "false", sent: `false`},
		{name: "number in a picklist", field: "Years__c", want: "1999", sent: `1999`},
		{name: "text in a boolean", field: "On__c", want: true, sent: `"TRUE"`},
		{name: "text false in a boolean", field: "On__c", want: false, sent: `"false"`},
		{name: "1 in a boolean", field: "On__c", want: true, sent: `1`},
		{name: "text 0 in a boolean", field: "On__c", want: false, sent: `"0"`},
		{name: "text 1 in a text", field: "Text__c", want: "1"},
		{name: "email", field: "Mail__c", want: "o'hara+x@sub.example.com"},

		{name: "null", field: "Text__c"},
		{name: "empty text", field: "Text__c", sent: `""`},
		{name: "blank text", field: "Text__c", sent: `" \t"`},
		{name: "empty text for a number", field: "Int__c", sent: `""`},
		{name: "empty text for a date", field: "Day__c", sent: `""`},
		{name: "empty text for a time", field: "At__c", sent: `""`},
		{name: "empty text for a lookup", field: "Single__c", sent: `""`},
		{name: "null of a number", field: "Int__c"},
		{name: "null of a date", field: "Day__c"},
		{name: "null of a lookup", field: "Single__c"},
		{name: "zero is not null", field: "Int__c", want: json.Number("0")},
		{name: "false is not null", field: "On__c", want: false},
		{name: "true", field: "On__c", want: true},

		{name: "int, most", field: "Int__c", want: json.Number("2147483647")},
		{name: "int, least", field: "Int__c", want: json.Number("-2147483648")},
		{name: "18 digits", field: "Big__c", want: json.Number("123456789012345678")},
		{name: "18 digits, below zero", field: "Big__c", want: json.Number("-999999999999999999")},
		{name: "above 2^53", field: "Big__c", want: json.Number("9007199254740993")},
		{name: "18 digits with a fraction", field: "Money__c", want: json.Number("1234567890123456.78")},
		{name: "17 digits behind the point", field: "Fine__c", want: json.Number("0.12345678901234567")},
		{name: "exponent", field: "Money__c", want: json.Number("125"), sent: "1.25e2"},
		{name: "number as text", field: "Money__c", want: json.Number("12.5"), sent: `"12.50"`},

		{name: "date", field: "Day__c", want: "2024-02-29"},
		{name: "first date", field: "Day__c", want: "1700-01-01"},
		{name: "last date", field: "Day__c", want: "4000-12-31"},
		{name: "time in UTC", field: "At__c", want: "2026-01-31T23:59:59.000+0000", sent: `"2026-01-31T23:59:59Z"`},
		{name: "time west, next day in UTC", field: "At__c", want: "2026-02-01T00:00:00.000+0000", sent: `"2026-01-31T20:00:00-04:00"`},
		{name: "time with a zone's offset", field: "At__c", want: "2026-01-31T18:29:59.000+0000", sent: `"2026-01-31T23:59:59.999+05:30"`},
		{name: "offset without a colon", field: "At__c", want: "2026-02-01T07:59:59.000+0000", sent: `"2026-01-31T23:59:59.000-0800"`},
		{name: "time of day", field: "Time__c", want: "18:30:15.250Z"},

		{name: "picklist", field: "One__c", want: `b, "c"`},
		{name: "several of a picklist", field: "Tags__c", want: "a;c d"},

		{name: "base64", field: "File__c", want: base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00\xff\r\n\"+/~", 10_001))), noJob: true},

		{name: "record type", field: "RecordTypeId", want: p.recordType},
		{name: "record type by name", field: "RecordTypeId", want: p.recordType, member: "RecordType", sent: `{"DeveloperName":"Retail"}`},
		{name: "record type by label", field: "RecordTypeId", want: p.recordType, member: "RecordType", sent: `{"Name":"Retail, \"B2C\""}`},
		{name: "street of a compound address", field: "ShipStreet", want: "1 Way\nFloor 2"},
		{name: "city of a compound address", field: "ShipCity", want: "Ürzig"},
		{name: "lookup", field: "Single__c", want: p.account},
		{name: "lookup, Id of 15 characters", field: "Single__c", want: p.account, sent: `"` + p.account[:15] + `"`},
		{name: "parent by external id", field: "Single__c", want: p.account, member: "Single__r", sent: `{"Shop_Id__c":"P, \"1\""}`},
		{name: "parent by a number in a text", field: "Single__c", want: p.numbered, member: "Single__r", sent: `{"Shop_Id__c":1187}`},
		{name: "polymorphic parent by a number in a text", field: "Any__c", want: p.numbered, member: "Any__r", sent: `{"Shop_Id__c":1187,"attributes":{"type":"Account"}}`},
		{name: "polymorphic lookup", field: "Any__c", want: p.contact},
		{name: "polymorphic parent, Account", field: "Any__c", want: p.account, member: "Any__r", sent: `{"attributes":{"type":"Account"},"Shop_Id__c":"P, \"1\""}`},
		{name: "polymorphic parent, Contact", field: "Any__c", want: p.contact, member: "Any__r", sent: `{"attributes":{"type":"Contact"},"Shop_Id__c":"P, \"1\""}`},
	}
	for _, formula := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1"} {
		all = append(all, carried{name: "formula " + formula, field: "Text__c", want: strings.TrimSpace(formula), sent: quoted(formula)})
	}
	for i, text := range allOfUnicode() {
		all = append(all, carried{name: fmt.Sprintf("all of Unicode, %d", i), field: "Long__c", want: text})
	}
	return all
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// allOfUnicode is every character that a text may hold, controls but tab and
// line breaks aside, in texts that a field takes.
func allOfUnicode() (texts []string) {
	var b strings.Builder
	end := func() {
		texts = append(texts, b.String()+">")
		b.Reset()
	}
	b.WriteString("<")
	for r, n := rune(' '), 0; r <= 0x10ffff; r++ {
		if 0xd800 <= r && r < 0xe000 {
			continue
		}
		b.WriteRune(r)
		if n++; n%60_000 == 0 {
			end()
			b.WriteString("<")
		}
	}
	end()
	return texts
}

// orgWithParents gives the rig's org the objects, and records to look up.
func (r *rig) orgWithParents() (p parents) {
	r.t.Helper()
	if err := r.sim.SetSchema(holder()); err != nil {
		r.t.Fatal(err)
	}
	c := r.client()
	for _, x := range []struct {
		id             *string
		object, fields string
	}{
		{&p.account, "Account", `{"Name":"A","Shop_Id__c":"P, \"1\""}`},
		{&p.numbered, "Account", `{"Name":"N","Shop_Id__c":"1187"}`},
		{&p.contact, "Contact", `{"LastName":"C","Shop_Id__c":"P, \"1\""}`},
	} {
		got, err := c.CreateOne(r.t.Context(), x.object, salesforce.Row{Fields: json.RawMessage(x.fields)}, salesforce.Headers{})
		if err != nil || !got.Success {
			r.t.Fatalf("%s: %+v, %v", x.object, got, err)
		}
		*x.id = string(got.ID)
	}
	for _, x := range r.sim.Records("RecordType") {
		if x["SobjectType"] == "Holder__c" && x["DeveloperName"] == "Retail" {
			p.recordType = x["Id"].(string)
		}
	}
	return p
}

// before is what the rows hold that are written over.
const before = `"Kept__c":"kept","Text__c":"before","Long__c":"before","Int__c":7,"Day__c":"2020-01-01","On__c":true`

// seed creates the rows that upserts will write over.
func (r *rig) seed(n int, single string) {
	r.t.Helper()
	c := r.client()
	for i := range n {
		row := salesforce.Row{Fields: json.RawMessage(fmt.Sprintf(`{"Sku__c":"v-%d",%s,"Single__c":%q}`, i, before, single))}
		got, err := c.CreateOne(r.t.Context(), "Holder__c", row, salesforce.Headers{})
		if err != nil || !got.Success {
			r.t.Fatalf("%+v, %v", got, err)
		}
	}
}

// TestValues_ArriveAsTheyWereWritten: by each way in which a record can travel,
// into rows that are there and into new ones.
func TestValues_ArriveAsTheyWereWritten(t *testing.T) {
	upsert := func(i int, c carried) string {
		return fmt.Sprintf(`{"key":"v-%d","object":"Holder__c","operation":"upsert","external_id":{"field":"Sku__c","value":"v-%d"},"fields":{%s}}`, i, i, c.line())
	}
	create := func(i int, c carried) string {
		return fmt.Sprintf(`{"key":"v-%d","object":"Holder__c","operation":"create","fields":{"Sku__c":"v-%d",%s}}`, i, i, c.line())
	}
	for _, way := range []struct {
		name  string
		line  func(int, carried) string
		kind  store.Kind
		over  bool        // rows are there
		other store.State // of what a job can't carry
	}{
		{"upserts by REST", upsert, store.KindREST, true, store.Delivered},
		{"creates by REST", create, store.KindREST, false, store.Delivered},
		{"upserts by job", upsert, store.KindBulk, true, store.Delivered},
		{"creates by job", create, store.KindBulk, false, store.Failed},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.Bulk.MinRecords, cfg.Bulk.MaxWait = 1, 200*time.Millisecond
			cfg.Validate = dispatcher.ValidateWarn // as it is by default, so that objects are known
			if way.kind == store.KindREST {
				cfg.Bulk.MinRecords = 1_000
				cfg.Objects["holder__c"] = dispatcher.ObjectConfig{CreateREST: true}
			}
			r := newPatientRig(t, cfg)
			p := r.orgWithParents()
			values := carriedValues(p)
			if way.over {
				r.seed(len(values), p.account)
			}
			for i, c := range values {
				r.put(way.line(i, c))
			}
			r.start()
			r.drained()
			r.compare(values, way.kind, way.other, way.over)
		})
	}
}

// TestValues_PlatformEventsGoByREST: with the values of their fields, how many there are.
func TestValues_PlatformEventsGoByREST(t *testing.T) {
	r := newPatientRig(t, quick())
	err := r.sim.SetSchema([]simulator.Object{{Name: "Shipped__e", Fields: []simulator.Field{
		{Name: "Order__c"},
		{Name: "Note__c", Type: "textarea", Length: 131_072},
		{Name: "Weight__c", Type: "double", Precision: 18, Scale: 3},
		{Name: "Express__c", Type: "boolean"},
		{Name: "At__c", Type: "datetime"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 120 // three calls
	note := "#N/A\r\n=1+1, \"🚀\"" + strings.Repeat("é", 1_000)
	r.put(many(n, func(i int) string {
		return fmt.Sprintf(`{"key":"e-%d","object":"Shipped__e","operation":"create","fields":{"Order__c":"e-%d","Note__c":%s,"Weight__c":123456789012345.678,"Express__c":true,"At__c":"2026-01-31T23:59:59+05:30"}}`, i, i, quoted(note))
	})...)
	r.start()
	r.delivers(n)
	seen := make(map[any]int)
	for _, e := range r.sim.Effects() {
		f := e.Fields
		seen[f["Order__c"]]++
		if f["Note__c"] != note || f["Weight__c"] != json.Number("123456789012345.678") || f["Express__c"] != true || f["At__c"] != "2026-01-31T18:29:59.000+0000" {
			t.Errorf("%v came as %.300v", f["Order__c"], f)
		}
	}
	for i := range n {
		key := fmt.Sprintf("e-%d", i)
		if x := r.get(key); seen[key] != 1 || x.Kind != store.KindREST {
			t.Errorf("%s was published %d times, by %s", key, seen[key], x.Kind)
		}
	}
}

// TestValues_ArriveByTheRowResource is the same for the calls of one record.
func TestValues_ArriveByTheRowResource(t *testing.T) {
	r := newPatientRig(t, quick())
	values := carriedValues(r.orgWithParents())
	c := r.client()
	for _, object := range []string{"Holder__c", "Account"} {
		if _, err := c.Describe(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range values {
		e, err := event.Decode([]byte(`{"key":"k","object":"Holder__c","operation":"create","fields":{` + v.line() + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.CreateOne(t.Context(), "Holder__c", salesforce.Row{Fields: json.RawMessage(e.Fields)}, salesforce.Headers{})
		if err != nil || !got.Success {
			t.Errorf("%s: %+v, %v", v.name, got, err)
			continue
		}
		if have := r.sim.Records("Holder__c"); have[len(have)-1][v.field] != v.want {
			t.Errorf("%s: the org has %.100q of value %d, want %.100q", v.name, have[len(have)-1][v.field], i, v.want)
		}
	}
}

// compare holds the org's rows against the values, one by one.
func (r *rig) compare(values []carried, kind store.Kind, other store.State, over bool) {
	r.t.Helper()
	rows := make(map[string]simulator.Record)
	for _, row := range r.sim.Records("Holder__c") {
		rows[row["Sku__c"].(string)] = row
	}
	for i, v := range values {
		key := fmt.Sprintf("v-%d", i)
		x, row, want := r.get(key), rows[key], v.want
		state, way := store.Delivered, kind
		switch {
		case kind == store.KindBulk && v.noJob:
			state, way = other, store.KindREST
		case kind == store.KindBulk && v.byJob != "":
			want = v.byJob
		}
		if state == store.Failed {
			if x.State != state || x.LastError == nil || x.LastError.Code != "INVALID" || row != nil {
				r.t.Errorf("%s: %s, %+v, at the org %.100v; want it failed as INVALID", v.name, x.State, x.LastError, row)
			}
			continue
		}
		if x.State != state || x.Kind != way {
			r.t.Errorf("%s: %s by %s (%.200v), want %s by %s", v.name, x.State, x.Kind, x.LastError, state, way)
		}
		if row[v.field] != want {
			r.t.Errorf("%s: the org has %.100q, want %.100q", v.name, row[v.field], want)
		}
		if over && row["Kept__c"] != "kept" {
			r.t.Errorf("%s: a field that the event has not became %v", v.name, row["Kept__c"])
		}
		if x.ID != row["Id"] {
			r.t.Errorf("%s: told Id %s, want %v", v.name, x.ID, row["Id"])
		}
	}
}
