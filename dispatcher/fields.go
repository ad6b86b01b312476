package dispatcher

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outboxd/outboxd/salesforce"
)

// members walks over the top members of a JSON object. Anything else, or what
// is broken, ends it early: the payload was checked when it was accepted.
func members(object json.RawMessage) iter.Seq2[string, jsontext.Value] {
	return func(yield func(string, jsontext.Value) bool) {
		dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true))
		if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
			return
		}
		for dec.PeekKind() == '"' {
			name, err := dec.ReadToken()
			if err != nil {
				return
			}
			text := name.String()
			value, err := dec.ReadValue()
			if err != nil || !yield(text, value) {
				return
			}
		}
	}
}

// member is the value of a top member, whatever the letter case of its name; nil if there is none.
func member(object json.RawMessage, name string) json.RawMessage {
	for n, v := range members(object) {
		if strings.EqualFold(n, name) {
			return json.RawMessage(bytes.Clone(v))
		}
	}
	return nil
}

// withMember adds a text member to a JSON object, or makes one of nil.
func withMember(object json.RawMessage, name, text string) (json.RawMessage, error) {
	quotedName, err := jsontext.AppendQuote(nil, name)
	if err != nil {
		return nil, err
	}
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(bytes.TrimSpace(object), []byte("}"))
	if len(body) == 0 {
		body = []byte("{")
	}
	out := make(json.RawMessage, 0, len(body)+len(quotedName)+len(quoted)+3)
	out = append(out, body...)
	if len(bytes.TrimSpace(body)) > 1 {
		out = append(out, ',')
	}
	out = append(append(append(out, quotedName...), ':'), quoted...)
	return append(out, '}'), nil
}

// textOf is a JSON string's text, or another value's JSON.
func textOf(v json.RawMessage) string {
	if len(v) > 0 && v[0] == '"' {
		if text, err := jsontext.AppendUnquote(nil, []byte(v)); err == nil {
			return string(text)
		}
	}
	return string(v)
}

// parents names the records that a row hangs on: rows with the same parents are
// sent side by side, so that their locks are taken once. obj may be nil.
func parents(fields json.RawMessage, obj *salesforce.Object) string {
	var list []string
	for name, v := range members(fields) {
		if v.Kind() == '{' || v.Kind() == '"' && isLookup(name, obj) {
			list = append(list, strings.ToLower(name)+"="+string(v))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "&")
}

func isLookup(name string, obj *salesforce.Object) bool {
	if obj != nil {
		if f, ok := obj.Field(name); ok {
			return f.Type == "reference"
		}
	}
	return len(name) > 2 && strings.EqualFold(name[len(name)-2:], "id")
}
