package dispatcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outboxd/outboxd/salesforce"
)

// errFound ends a walk over members.
var errFound = errors.New("found")

// member is the value of a top member, whatever the letter case of its name; nil
// if there is none. The payload was checked when it was accepted.
func member(object json.RawMessage, name string) (value json.RawMessage) {
	_ = salesforce.EachMember(object, func(n []byte, v jsontext.Value) error {
		if len(n) != len(name) || !strings.EqualFold(string(n), name) {
			return nil
		}
		value = json.RawMessage(bytes.Clone(v))
		return errFound
	})
	return value
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

// lookups tells which members of the rows of an object name parents.
type lookups struct {
	object *salesforce.Object // nil: not known
	known  map[string]bool    // by name, as the rows have it
}

// parents names the records that a row hangs on: rows with the same parents are
// sent side by side, so that their locks are taken once. What can't be read names none.
func (l *lookups) parents(fields json.RawMessage) string {
	var list []string
	_ = salesforce.EachMember(fields, func(name []byte, v jsontext.Value) error {
		if kind := v.Kind(); kind == '{' || kind == '"' && l.is(name) {
			list = append(list, strings.ToLower(string(name))+"="+string(v))
		}
		return nil
	})
	slices.Sort(list)
	return strings.Join(list, "&")
}

func (l *lookups) is(name []byte) bool {
	is, ok := l.known[string(name)]
	if !ok {
		is = isLookup(string(name), l.object)
		l.known[string(name)] = is
	}
	return is
}

func isLookup(name string, obj *salesforce.Object) bool {
	if obj != nil {
		if f, ok := obj.Field(name); ok {
			return f.Type == "reference"
		}
	}
	return len(name) > 2 && strings.EqualFold(name[len(name)-2:], "id")
}
