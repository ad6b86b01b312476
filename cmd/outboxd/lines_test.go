package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/outboxd/outboxd/api"
)

func TestCSVLines_StandWhereTheRowsStood(t *testing.T) {
	const file = "\ufeffKey,Ext__c,Name,Parent.Ext__c\n" +
		"k1,1,\"a\nb\",P\n" +
		"k2,2\n" +
		"k3,3,#N/A,\n"
	b := bulkFlags{keyColumn: "Key", externalIDColumn: "Ext__c"}
	next, err := b.csvLines(strings.NewReader(file), &eventFlags{object: "A", operation: "upsert"})
	if err != nil {
		t.Fatal(err)
	}
	r := newLineReader(next)
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) != 6 || lines[0] != "" || lines[2] != "" || lines[3] != "" || lines[5] != "" {
		t.Fatalf("want events on lines 2 and 5 only, got %q", lines)
	}
	for line, want := range map[int]string{
		2: `{"key":"k1","object":"A","operation":"upsert","external_id":{"field":"Ext__c","value":"1"},"fields":{"Name":"a\nb","Parent":{"Ext__c":"P"}}}`,
		5: `{"key":"k3","object":"A","operation":"upsert","external_id":{"field":"Ext__c","value":"3"},"fields":{"Name":null}}`,
	} {
		if got := lines[line-1]; !sameJSON(t, got, want) {
			t.Errorf("line %d: got  %s\nwant %s", line, got, want)
		}
	}
	if bad := r.refused(); len(bad) != 1 || bad[0].line != 4 {
		t.Errorf("refused %v, want line 4", bad)
	}
}

func TestCSVLines_ADeleteHasNoFields(t *testing.T) {
	b := bulkFlags{keyColumn: "Key", idColumn: "Id"}
	next, err := b.csvLines(strings.NewReader("Key,Id,Name\nk,003,x\n"), &eventFlags{object: "A", operation: "delete"})
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := next()
	var e api.Event
	if err != nil || json.Unmarshal(got, &e) != nil || e.ID != "003" || e.Fields != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestValueLines_ReadArraysAndValuesOneAfterAnother(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"array", "[ {\"a\" : 1},\n {\"b\": 12345678901234567890.10} ]", "{\"a\":1}\n{\"b\":12345678901234567890.10}\n"},
		{"empty array", " [] ", ""},
		{"values", "{\n\"a\": \"\\u00e9\"\n}\n{\"a\":1,\"a\":2}", "{\"a\":\"\\u00e9\"}\n{\"a\":1,\"a\":2}\n"},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := io.ReadAll(newLineReader(valueLines(strings.NewReader(tt.in))))
			if err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestValueLines_TellWhereTheyBreakOff(t *testing.T) {
	r := newLineReader(valueLines(strings.NewReader(`[{"a":1}, {"b":`)))
	got, err := io.ReadAll(r)
	if err == nil || r.broken() == nil || string(got) != "{\"a\":1}\n" {
		t.Errorf("got %q, %v, broken %v", got, err, r.broken())
	}
}

func TestCSVLines_ThatAnEventCantHoldAreRefused(t *testing.T) {
	b := bulkFlags{keyColumn: "Key"}
	create := &eventFlags{object: "A", operation: "create"}
	for _, header := range []string{"Key,P,P.E__c\n", "Key,P.E__c,P\n", "Key,M\xfcller\n", "Key,,Name\n"} {
		if _, err := b.csvLines(strings.NewReader(header), create); err == nil {
			t.Errorf("header %q was taken", header)
		}
	}
	next, err := b.csvLines(strings.NewReader("Key,Name\nk1,M\xfcller\nk2\xff,a\nk3,a\n"), create)
	if err != nil {
		t.Fatal(err)
	}
	r := newLineReader(next)
	if out, err := io.ReadAll(r); err != nil || strings.Count(string(out), "{\"key\"") != 1 || len(r.refused()) != 2 {
		t.Errorf("got %q, %v, refused %v; want k3 alone", out, err, r.refused())
	}
}

// FuzzCSVLines: each row is an event on the line where the row stands, with each of its cells, or it is told of.
func FuzzCSVLines(f *testing.F) {
	f.Add("Key,Name\nk,\"a\nb\"\n")
	f.Add("Key,Name\nk\n")
	f.Add("Key,P,P.E__c\nk,1,2\n")
	f.Add("Key,P.E__c,P\nk,1,2\n")
	f.Add("Key,M\xfcller\nk,1\n")
	f.Add("Key,Name\nk,M\xfcller\nk\xff,a\n")
	f.Fuzz(func(t *testing.T, file string) {
		b := bulkFlags{keyColumn: "Key"}
		next, err := b.csvLines(strings.NewReader(file), &eventFlags{object: "A", operation: "create"})
		if err != nil {
			return // no such header
		}
		r := newLineReader(next)
		out, err := io.ReadAll(r)
		if err != nil {
			return // not CSV
		}
		rows := csv.NewReader(strings.NewReader(strings.TrimPrefix(file, "\ufeff")))
		rows.FieldsPerRecord = -1
		header, err := rows.Read()
		if err != nil {
			t.Fatal(err)
		}
		lines, refused := strings.Split(string(out), "\n"), r.refused()
		for {
			row, err := rows.Read()
			if err != nil {
				break
			}
			line, _ := rows.FieldPos(0)
			if len(refused) > 0 && refused[0].line == line {
				refused = refused[1:]
				continue
			}
			checkRow(t, header, row, lines[line-1])
			lines[line-1] = ""
		}
		if rest := strings.Join(lines, ""); rest != "" || len(refused) > 0 {
			t.Errorf("%q became %q besides, refused %v", file, rest, refused)
		}
	})
}

func checkRow(t *testing.T, header, row []string, line string) {
	t.Helper()
	var e api.Event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%q became %q", row, line)
	}
	for i, name := range header {
		var got any = e.Key
		if name != "Key" {
			parent, field, nested := strings.Cut(name, ".")
			if got = e.Fields[parent]; nested {
				inner, _ := got.(map[string]any)
				got = inner[field]
			}
		}
		var want any = row[i]
		if row[i] == "#N/A" && name != "Key" || row[i] == "" && name != "Key" {
			want = nil
		}
		if got != want {
			t.Errorf("%s of %q became %v in %s", name, row, got, line)
		}
	}
}

// FuzzValueLines: each value is on the line of its number, as it was written but for the blanks around.
func FuzzValueLines(f *testing.F) {
	for _, s := range []string{`[{"a":1}, {"b":`, "[ {\"a\" : 1},\n {\"b\": 1.10} ]", `{"a":1}{"a":2,"a":3}`, `[]`, `[1,]`, `[] {}`, `[[1]]`, "\"\xff\"", `{} []`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		out, err := io.ReadAll(newLineReader(valueLines(strings.NewReader(file))))
		var rest strings.Builder
		for line := range strings.Lines(string(out)) {
			if !strings.HasSuffix(line, "\n") || !jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
				t.Fatalf("%q became the line %q", file, line)
			}
			rest.WriteString(strings.TrimSuffix(line, "\n"))
		}
		if err == nil && essence(rest.String()) != essence(file) {
			t.Errorf("%q became %q", file, out)
		}
	})
}

// essence is a text without what the lines of values lack: blanks, and what holds an array together.
func essence(s string) string {
	return strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", ",", "", "[", "", "]", "").Replace(s)
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(x, y)
}
