package salesforce

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func contactObject(t testing.TB) *Object {
	t.Helper()
	o := &Object{}
	if err := json.Unmarshal([]byte(contactDescribe), o); err != nil {
		t.Fatal(err)
	}
	o.index()
	return o
}

var insertContacts = JobSpec{Object: "Contact", Operation: OpInsert}

func TestTable_Cells(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"text", `"a"`, "a"},
		{"empty text clears", `""`, "#N/A"},
		{"null clears", `null`, "#N/A"},
		{"true", `true`, "true"},
		{"false", `false`, "false"},
		{"number keeps its digits", `12345678901234567.80`, "12345678901234567.80"},
		{"number keeps its exponent", `1E+30`, "1E+30"},
		{"minus nought", `-0.0`, "-0.0"},
		{"line ends", `"a\r\nb\rc\nd"`, "a\nb\nc\nd"},
		{"formula is data", `"=1+1"`, "=1+1"},
		{"blanks stay", `" a "`, " a "},
		{"escapes", `"\u00e4\ud83d\ude00\"\t"`, "ä😀\"\t"},
		{"near the mark", `"#N/A."`, "#N/A."},
	} {
		table, refused := NewTable(insertContacts, nil, []Row{contact(`{"LastName":` + tt.value + `}`)})
		if len(refused) != 0 || len(table.Rows) != 1 || table.Cells(0)[0] != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, table.CSV(), refused, tt.want)
		}
	}
}

func TestTable_WhatAJobCantCarry(t *testing.T) {
	obj := contactObject(t)
	upsert := JobSpec{Object: "Contact", Operation: OpUpsert, ExternalIDField: "Shop_Id__c"}
	long := strings.Repeat("ä", maxCellChars)
	wide := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"F%d":1`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for _, tt := range []struct {
		name string
		spec JobSpec
		row  Row
		ok   bool
	}{
		{"the mark", insertContacts, contact(`{"LastName":"#N/A"}`), false},
		{"the mark with blanks", insertContacts, contact(`{"LastName":" #N/A\n"}`), false},
		{"NUL", insertContacts, contact(`{"LastName":"a\u0000"}`), false},
		{"list", insertContacts, contact(`{"LastName":["a"]}`), false},
		{"nothing", insertContacts, contact(`{}`), false},
		{"no fields", insertContacts, Row{}, false},
		{"a field twice", insertContacts, contact(`{"LastName":"a","lastname":"b"}`), false},
		{"parent by two fields", insertContacts, contact(`{"Account":{"A__c":1,"B__c":2}}`), false},
		{"parent by none", insertContacts, contact(`{"Account":{}}`), false},
		{"parent by null", insertContacts, contact(`{"Account":{"A__c":null}}`), false},
		{"no parent", insertContacts, contact(`{"Account":null}`), false},
		{"parent's parent", insertContacts, contact(`{"Account":{"Parent":{"A__c":1}}}`), false},
		{"parent of which type", insertContacts, contact(`{"Owner":{"Fed_Id__c":"x"}}`), false},
		{"parent of a bad type", insertContacts, contact(`{"Owner":{"attributes":{"type":"Us\",er"},"Fed_Id__c":"x"}}`), false},
		{"name of a column", insertContacts, contact(`{"A,b":1}`), false},
		{"as long as may be", insertContacts, contact(`{"LastName":"` + long + `"}`), true},
		{"a character longer", insertContacts, contact(`{"LastName":"` + long + `x"}`), false},
		{"long in all", insertContacts, contact(`{"A":"` + long + `","B":"` + long + `","C":"` + long + `"}`), true},
		{"too long in all", insertContacts, contact(`{"A":"` + long + `","B":"` + long + `","C":"` + long + `","D":"` + long[:20000] + `"}`), false},
		{"too wide", insertContacts, contact(wide(maxColumns)), false},
		{"key missing", upsert, contact(`{"LastName":"a"}`), false},
		{"key empty", upsert, upsertRow(`""`, `{}`), false},
		{"key null", upsert, upsertRow(`null`, `{}`), false},
		{"key the mark", upsert, upsertRow(`"#N/A"`, `{}`), false},
		{"key a number", upsert, upsertRow(`7.50`, `{}`), true},
		{"key no number", upsert, upsertRow(`007`, `{}`), false},
		{"id missing", JobSpec{Operation: OpDelete}, Row{}, false},
	} {
		table, refused := NewTable(tt.spec, obj, []Row{tt.row})
		if ok := len(refused) == 0; ok != tt.ok || ok != (len(table.Rows) == 1) {
			t.Errorf("%s: refused %v, want ok %t", tt.name, refused, tt.ok)
		}
		for _, r := range refused {
			if r.Code != "INVALID" || r.Fits || r.Message == "" || len(r.Message) > 300 {
				t.Errorf("%s: %+v", tt.name, r)
			}
		}
	}
}

func TestTable_SpellsColumnsAsDescribeDoes(t *testing.T) {
	rows := []Row{
		{External: []byte(`"1"`), Fields: []byte(`{"LASTNAME":"a","unknown__C":1,"shop_id__c":"1"}`)},
		{External: []byte(`2`), Fields: []byte(`{"account":{"attributes":{"type":"Account"},"Ext__c":"A-9"}}`)},
		{External: []byte(`"3"`), Fields: []byte(`{"owner":{"Fed_Id__c":7,"attributes":{"type":"user"}},"UNKNOWN__c":2}`)},
		{External: []byte(`"4"`), Fields: []byte(`{"LastName":"#N/A"}`)},
		{External: []byte(`"5"`)},
	}
	spec := JobSpec{Object: "Contact", Operation: OpUpsert, ExternalIDField: "shop_id__c"}
	table, refused := NewTable(spec, contactObject(t), rows)
	want := [][]string{
		{"Shop_Id__c", "LastName", "unknown__C", "Account.Ext__c", "User:Owner.Fed_Id__c"},
		{"1", "a", "1", "", ""},
		{"2", "", "", "A-9", ""},
		{"3", "", "2", "", "7"},
		{"5", "", "", "", ""},
	}
	if got := content(table); !cmp.Equal(got, want) || !slices.Equal(table.Rows, []int{0, 1, 2, 4}) {
		t.Errorf("rows %v, %s", table.Rows, cmp.Diff(want, got))
	}
	if len(refused) != 1 || refused[0].Index != 3 {
		t.Errorf("refused %v, want row 3", refused)
	}
}

func TestTable_ByID(t *testing.T) {
	for _, op := range []string{OpUpdate, OpDelete, OpHardDelete} {
		table, refused := NewTable(JobSpec{Object: "Contact", Operation: op}, nil, []Row{{ID: idA, Fields: []byte(`{"ID":"x","A":1}`)}, {ID: idB}})
		want := [][]string{{"Id"}, {string(idA)}, {string(idB)}}
		if op == OpUpdate {
			want = [][]string{{"Id", "A"}, {string(idA), "1"}, {string(idB), ""}}
		}
		if got := content(table); len(refused) != 0 || !cmp.Equal(got, want) {
			t.Errorf("%s: %v, %s", op, refused, cmp.Diff(want, got))
		}
	}
}

func TestTable_RowWhoseColumnsDontFitBesideOthers(t *testing.T) {
	wide := func(prefix string) string {
		var b strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&b, `,"%s%015d":1`, prefix, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	table, refused := NewTable(insertContacts, nil, []Row{contact(wide("A")), contact(wide("B")), contact(wide("A"))})
	if len(refused) != 1 || refused[0].Index != 1 || !refused[0].Fits || len(table.Header) != 1000 || !slices.Equal(table.Rows, []int{0, 2}) {
		t.Errorf("refused %v, %d columns, rows %v", refused, len(table.Header), table.Rows)
	}
}

// Whatever is written is read back by another parser, and told as cells.
func TestTable_RoundTrip(t *testing.T) {
	text := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("\",\n\r\t #N/A=é😀")), rapid.Rune()))
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.MapOfN(rapid.StringMatching(`[A-Z][a-z]{0,2}__c`), text, 1, 4), 1, 5).Draw(t, "rows")
		var in []Row
		for _, fields := range rows {
			raw, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			in = append(in, Row{Fields: raw})
		}
		table, _ := NewTable(insertContacts, nil, in)
		if len(table.Rows) == 0 {
			return
		}
		if bytes.Contains(table.CSV(), []byte("\r")) {
			t.Fatal("a CR was written")
		}
		read, err := csv.NewReader(bytes.NewReader(table.CSV())).ReadAll()
		if want := content(table); err != nil || !cmp.Equal(read, want) {
			t.Fatalf("%v, %s", err, cmp.Diff(want, read))
		}
		for line, i := range table.Rows {
			checkTexts(t, string(in[i].Fields), table, line)
		}
	})
}

// FuzzFlatten: a record becomes one line or is refused, and another reader finds in the line what was written.
func FuzzFlatten(f *testing.F) {
	f.Add(`{"LastName":"a","Account":{"Ext__c":"A-9"}}`)
	f.Add(`{"Owner":{"attributes":{"type":"User"},"X":1}}`)
	f.Add(`{"LastName":"a\r\nb\rc\"d,","Description":"","Tier__c":null,"DoNotCall":true,"X":1.50e3}`)
	obj := contactObject(f)
	f.Fuzz(func(t *testing.T, fields string) {
		table, refused := NewTable(insertContacts, obj, []Row{contact(fields)})
		if len(table.Rows)+len(refused) != 1 {
			t.Fatalf("%d lines, %d refused", len(table.Rows), len(refused))
		}
		for _, name := range table.Header {
			if strings.ContainsAny(name, "\",\r\n ") {
				t.Errorf("heading %q", name)
			}
		}
		if len(refused) > 0 {
			return
		}
		if bytes.Contains(table.CSV(), []byte("\r")) {
			t.Errorf("a CR in %q", table.CSV())
		}
		read, err := csv.NewReader(bytes.NewReader(table.CSV())).ReadAll()
		if err != nil || !cmp.Equal(read, content(table)) {
			t.Fatalf("%q is read as %q, %v", table.CSV(), read, err)
		}
		checkTexts(t, fields, table, 0)
	})
}

// content is a table's header and lines.
func content(table *Table) [][]string {
	lines := [][]string{table.Header}
	for line := range table.Rows {
		lines = append(lines, table.Cells(line))
	}
	return lines
}

// checkTexts compares each text of a record with its cell.
func checkTexts(t rapid.TB, fields string, table *Table, line int) {
	t.Helper()
	var texts map[string]any
	if json.Unmarshal([]byte(fields), &texts) != nil {
		t.Fatalf("%q was taken", fields)
	}
	for name, v := range texts {
		text, ok := v.(string)
		if !ok || name == "attributes" {
			continue
		}
		text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
		if text == "" {
			text = "#N/A"
		}
		at := slices.IndexFunc(table.Header, func(h string) bool { return strings.EqualFold(h, name) })
		if at < 0 || table.Cells(line)[at] != text {
			t.Errorf("%s of %s became %q under %q", name, fields, table.Cells(line), table.Header)
		}
	}
}
