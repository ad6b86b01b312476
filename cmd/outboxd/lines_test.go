package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

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

func FuzzCSVLines(f *testing.F) {
	f.Add("k,\"a\nb\"\n")
	f.Add("k\n")
	f.Fuzz(func(t *testing.T, rows string) {
		b := bulkFlags{keyColumn: "Key"}
		next, err := b.csvLines(strings.NewReader("Key,Name\n"+rows), &eventFlags{object: "A", operation: "create"})
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(newLineReader(next))
		if err != nil {
			return // not CSV
		}
		for line := range strings.Lines(string(out)) {
			if line != "\n" && !json.Valid([]byte(line)) {
				t.Errorf("%q became %q", rows, line)
			}
		}
	})
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
