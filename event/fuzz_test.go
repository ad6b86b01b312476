package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzDecode: nothing crashes it, what it takes is JSON by another reading too,
// and what it gives is taken again as the same event.
func FuzzDecode(f *testing.F) {
	f.Add(ordinary)
	for _, tt := range wrong {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			if err.Error() == "" {
				t.Fatalf("Decode(%q): an error that says nothing", data)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("Decode(%q) took what is not JSON", data)
		}
		if e.Validate() != nil {
			return
		}
		e.facts = fieldFacts{} // Validate walks over what Decode has seen
		if err := e.Validate(); err != nil {
			t.Fatalf("Decode(%q): valid, and not when asked again: %v", data, err)
		}
		if len(e.LaneKey()) > MaxLane {
			t.Fatalf("lane of %q is too long", data)
		}
		text, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(text)
		if err != nil {
			t.Fatalf("Decode(%q), of the event of %q: %v", text, data, err)
		}
		if err := again.Validate(); err != nil || again.LaneKey() != e.LaneKey() {
			t.Fatalf("Decode(%q), of the event of %q: %v, lanes %q and %q", text, data, err, again.LaneKey(), e.LaneKey())
		}
	})
}

// FuzzDigest: neither space nor the order of members nor escapes change it.
func FuzzDigest(f *testing.F) {
	f.Add(ordinary)
	f.Add([]byte(`{"key":"k","object":"A","operation":"create","fields":{"B":{"D":[1,{"F":2.0,"E":"\u00e9\/"}],"C":-0},"A":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil || e.Validate() != nil {
			return
		}
		want := e.Digest()
		for _, options := range [][]jsontext.Options{
			{jsontext.ReorderRawObjects(true)},
			{jsontext.WithIndent("\t"), jsontext.PreserveRawStrings(true)},
			{jsontext.EscapeForHTML(true), jsontext.ReorderRawObjects(true), jsontext.SpaceAfterColon(true)},
		} {
			other, err := jsontext.AppendFormat(nil, data, options...)
			if err != nil {
				t.Fatalf("%q was taken: %v", data, err)
			}
			again, err := Decode(other)
			if err != nil {
				t.Fatalf("Decode(%q): %v", other, err)
			}
			if err := again.Validate(); err != nil || again.Digest() != want {
				t.Fatalf("%q and %q: another digest, or %v", data, other, err)
			}
		}
	})
}

// FuzzMerge: the result has what set says, lacks what unset says, and keeps the
// rest, byte for byte; old has what the event had before.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"A":1.0,"B":{"C":[null]}}`), []byte(`{"a":"x","Z":2}`), "b")
	f.Add([]byte(`{}`), []byte(`{}`), "")
	f.Add([]byte(`{"\u0041":1}`), []byte(`null`), "a,a")
	f.Fuzz(func(t *testing.T, fields, set []byte, names string) {
		if e := (&Event{Fields: fields}); len(e.fieldFacts().problems) > 0 {
			return // the store has none such
		}
		var unset []string
		if names != "" {
			unset = strings.Split(names, ",")
		}
		merged, old, err := Merge(fields, set, unset)
		if err != nil {
			return
		}
		if !merged.IsValid() || old != nil && !old.IsValid() {
			t.Fatalf("Merge(%q, %q, %q) = %q, %q: not JSON", fields, set, unset, merged, old)
		}
		for name, v := range membersOf(set) {
			if got, ok := lookup(merged, name); !ok || got != v {
				t.Fatalf("Merge(%q, %q, %q) = %q: %s is %q", fields, set, unset, merged, name, got)
			}
		}
		for _, name := range unset {
			if got, ok := lookup(merged, name); ok {
				t.Fatalf("Merge(%q, %q, %q) = %q: %s is %q", fields, set, unset, merged, name, got)
			}
		}
		for name, v := range membersOf(fields) {
			got, ok := lookup(merged, name)
			if before, changed := lookup(old, name); changed {
				got, ok = before, true
			}
			if !ok || got != v {
				t.Fatalf("Merge(%q, %q, %q) = %q, %q: %s was %q", fields, set, unset, merged, old, name, v)
			}
		}
	})
}

// membersOf reads an object with the standard library.
func membersOf(object jsontext.Value) map[string]string {
	var raw map[string]json.RawMessage
	_ = json.Unmarshal(object, &raw) // nil and "" have none
	texts := make(map[string]string)
	for name, v := range raw {
		texts[name] = string(v)
	}
	return texts
}

func lookup(object jsontext.Value, name string) (string, bool) {
	for n, v := range membersOf(object) {
		if strings.EqualFold(n, name) {
			return v, true
		}
	}
	return "", false
}

// FuzzTree: it takes what jsontext takes, and no other, and its nodes are the values.
func FuzzTree(f *testing.F) {
	f.Add(ordinary)
	for _, text := range []string{
		`[0,-0,1.50,-1e+7,2E-3,01,1.,.5,-,1e]`, `"\ud83d\ude00\u00e9\/"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, `"\u12g4"`,
		`{"a":{},"b":[],"a":null}`, `{"a" : [ true , false ] }`, `{"a"}`, `{"a":1,}`, `[1,]`, `[`, "\"\x7f\u0080\"", "\"\xed\xa0\x80\"", `tru`, `nullx`, ` 1 `, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want := jsontext.Value(data).IsValid(jsontext.AllowDuplicateNames(true))
		tr := parse(data)
		if (tr != nil) != want {
			t.Fatalf("parse(%q) takes it: %v, jsontext: %v", data, tr != nil, want)
		}
		if tr == nil {
			return
		}
		defer tr.free()
		dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
		for n := range tr.nodes {
			token, err := dec.ReadToken()
			for err == nil && (token.Kind() == '}' || token.Kind() == ']') {
				token, err = dec.ReadToken()
			}
			if err != nil {
				t.Fatalf("parse(%q): a node too many: %q", data, tr.raw(n))
			}
			if kind := jsontext.Kind(tr.kind(n)); token.Kind() == '"' && token.String() != string(tr.text(n)) || kind == '{' != (token.Kind() == '{') {
				t.Fatalf("parse(%q): node %q, want %v", data, tr.raw(n), token)
			}
		}
	})
}
