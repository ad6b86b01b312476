package schema

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one member of a JSON object; its value is a part of the object's bytes.
type member struct {
	name  string
	value jsontext.Value
}

// members takes a JSON object apart. The event was checked when it was accepted:
// anything else than an object has none.
func members(object []byte) []member {
	d := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil
	}
	list := make([]member, 0, 8)
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return list
		}
		name := t.String()
		v, err := d.ReadValue()
		if err != nil {
			return list
		}
		end := int(d.InputOffset())
		list = append(list, member{name, object[end-len(v) : end]})
	}
	return list
}

// isReference is true of {"$id_of": "key"}, which becomes an Id on the way.
func isReference(v jsontext.Value) bool {
	if v.Kind() != '{' {
		return false
	}
	inner := members(v)
	return len(inner) == 1 && inner[0].name == "$id_of"
}

// typeOf is the member type of attributes.
func typeOf(attributes jsontext.Value) string {
	for _, m := range members(attributes) {
		if m.name == "type" {
			return textOf(m.value)
		}
	}
	return ""
}

// textOf is a string's text, or another value's JSON.
func textOf(v jsontext.Value) string {
	if v.Kind() != '"' {
		return string(v)
	}
	text, _ := jsontext.AppendUnquote(nil, v)
	return string(text)
}

// isBlank is true of what the org stores as null.
func isBlank(v jsontext.Value) bool {
	switch {
	case v.Kind() != '"':
		return v.Kind() == 'n'
	case v[1] > ' ' && v[1] < utf8.RuneSelf && v[1] != '"' && v[1] != '\\': // as most texts begin
		return false
	}
	return strings.TrimSpace(textOf(v)) == ""
}
