package event

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ReplaceIDs returns fields with each {"$id_of": "key"} replaced by the Id that
// id gives for the key, as a JSON string; all else stays byte for byte. An Id
// that is not known is an error. Without any, fields itself is returned.
func ReplaceIDs(fields jsontext.Value, id func(key string) (string, bool)) (jsontext.Value, error) {
	if !bytes.Contains(fields, []byte("id_of")) && !bytes.Contains(fields, []byte(`\u`)) {
		return fields, nil
	}
	if f := checkObject("fields", fields); f != nil {
		return nil, fmt.Errorf("replace ids: %s: %s", f.Path, f.Detail)
	}
	r := replacer{b: fields, id: id}
	end := r.value(skipSpace(fields, 0))
	if r.err != nil {
		return nil, r.err
	}
	if r.done == 0 {
		return fields, nil
	}
	return append(r.out, fields[r.done:end]...), nil
}

type replacer struct {
	b, out []byte
	done   int // b up to here is in out
	id     func(string) (string, bool)
	err    error
}

// value returns the end of the value that begins at i.
func (r *replacer) value(i int) int {
	switch r.b[i] {
	case '{':
		return r.object(i)
	case '[':
		for i = skipSpace(r.b, i+1); r.b[i] != ']'; {
			i = skipComma(r.b, r.value(i))
		}
		return i + 1
	}
	return skipValue(r.b, i)
}

func (r *replacer) object(begin int) int {
	i := skipSpace(r.b, begin+1)
	for r.b[i] != '}' {
		name, at := memberAt(r.b, i)
		if string(name) == idOf && r.b[at] == '"' {
			end := skipValue(r.b, begin)
			r.replace(begin, end, string(unquote(r.b[at:skipString(r.b, at)])))
			return end
		}
		i = skipComma(r.b, r.value(at))
	}
	return i + 1
}

func (r *replacer) replace(begin, end int, key string) {
	id, ok := r.id(key)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("replace ids: no record Id is known for the event %q", key)
	}
	r.out = append(r.out, r.b[r.done:begin]...)
	r.out = appendText(r.out, id)
	r.done = end
}

// Merge is the operator's edit of a payload: it puts the members of set, a JSON
// object, into fields, and takes out those that unset names, whatever the letter
// case of the names. A field that stays keeps its place and name, a new one is
// added at the end. Both fields and set may be nil. old is an object of the
// values that were replaced or taken out, nil if none was.
//
// The error is an *Error: set is no object, a name is doubled, or unset names
// what is not there. Whether the result is a valid payload, and still names the
// same record, is for Validate of the edited event to say.
func Merge(fields, set jsontext.Value, unset []string) (merged, old jsontext.Value, err error) {
	m := merge{edits: make(map[string]*edit)}
	if err := m.prepare(fields, set, unset); err != nil {
		return nil, nil, err
	}
	merged, replaced := append(merged, '{'), jsontext.Value{'{'}
	if fields != nil {
		for name, v := range members(fields) {
			e := m.edits[strings.ToLower(string(name))]
			if e == nil {
				merged = appendRawMember(merged, name, v)
				continue
			}
			e.met = true
			replaced = appendRawMember(replaced, name, v)
			if e.value != nil {
				merged = appendRawMember(merged, name, e.value)
			}
		}
	}
	var p problems
	for _, e := range m.order {
		switch {
		case e.met:
		case e.value != nil:
			merged = appendRawMember(merged, []byte(e.name), e.value)
		default:
			p.add("unset", "the event has no field "+join("", []byte(e.name)))
		}
	}
	if err := p.err(""); err != nil {
		return nil, nil, err
	}
	if len(replaced) > 1 {
		old = closeObject(replaced)
	}
	return closeObject(merged), old, nil
}

// edit is what becomes of one field: a new value, or none.
type edit struct {
	name  string
	value jsontext.Value // nil: taken out
	met   bool           // the field was there
}

type merge struct {
	edits map[string]*edit // by name in lower case
	order []*edit
}

func (m *merge) prepare(fields, set jsontext.Value, unset []string) error {
	var p problems
	for _, v := range []jsontext.Value{set, fields} {
		if v == nil {
			continue
		}
		if f := checkObject("fields", v); f != nil {
			p.add(f.Path, f.Detail)
			return p.err("")
		}
	}
	if set != nil {
		for name, v := range members(set) {
			if !m.add(string(name), v) {
				p.add(join("fields", name), "doubled member; letter case does not tell fields apart")
			}
		}
	}
	for _, name := range unset {
		if !m.add(name, nil) {
			p.add("unset", "names twice, or with fields, the field "+join("", []byte(name)))
		}
	}
	return p.err("")
}

// add says whether the name is new.
func (m *merge) add(name string, value jsontext.Value) bool {
	low := strings.ToLower(name)
	if m.edits[low] != nil {
		return false
	}
	e := &edit{name: name, value: value}
	m.edits[low] = e
	m.order = append(m.order, e)
	return true
}

func appendRawMember(b jsontext.Value, name []byte, v jsontext.Value) jsontext.Value {
	b = append(appendText(b, string(name)), ':')
	return append(append(b, v...), ',')
}
