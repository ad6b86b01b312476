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
	if !NamesIDs(fields) {
		return fields, nil
	}
	t, problem := parseObject("fields", fields)
	if problem != nil {
		return nil, fmt.Errorf("replace ids: %s: %s", problem.Path, problem.Detail)
	}
	defer t.free()
	r := replacer{t: t, id: id}
	r.value(0)
	if r.err != nil {
		return nil, r.err
	}
	if r.done == 0 {
		return fields, nil
	}
	return append(r.out, fields[r.done:]...), nil
}

// NamesIDs is false if there surely is no {"$id_of": "key"} in fields. It only
// looks for bytes, and is quick.
func NamesIDs(fields jsontext.Value) bool {
	return bytes.Contains(fields, []byte("id_of")) || bytes.Contains(fields, []byte(`\u`))
}

type replacer struct {
	t    *tree
	out  []byte
	done int32 // the bytes up to here are in out
	id   func(string) (string, bool)
	err  error
}

func (r *replacer) value(n int) {
	switch r.t.kind(n) {
	case '[':
		for m := n + 1; m < r.t.behind(n); m = r.t.behind(m) {
			r.value(m)
		}
	case '{':
		for m := n + 1; m < r.t.behind(n); m = r.t.behind(m + 1) {
			if string(r.t.text(m)) == idOf && r.t.kind(m+1) == '"' {
				r.replace(n, string(r.t.text(m+1)))
				return
			}
			r.value(m + 1)
		}
	}
}

// replace puts the Id in the place of the object at a node.
func (r *replacer) replace(n int, key string) {
	id, ok := r.id(key)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("replace ids: no record Id is known for the event %q", key)
	}
	at := r.t.nodes[n]
	r.out = append(r.out, r.t.b[r.done:at.begin]...)
	r.out = appendText(r.out, id)
	r.done = at.end
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
	var m merge
	if err := m.prepare(set, unset); err != nil {
		return nil, nil, err
	}
	if err := m.apply(fields); err != nil {
		return nil, nil, err
	}
	var p problems
	for _, e := range m.order {
		switch {
		case e.met:
		case e.value != nil:
			m.merged = appendRawMember(m.merged, []byte(e.name), e.value)
		default:
			p.add("unset", "the event has no field "+join("", []byte(e.name)))
		}
	}
	if err := p.err(""); err != nil {
		return nil, nil, err
	}
	if len(m.old) > 1 {
		old = closeObject(m.old)
	}
	return closeObject(m.merged), old, nil
}

// edit is what becomes of one field: a new value, or none.
type edit struct {
	name  string
	value jsontext.Value // nil: taken out
	met   bool           // the field was there
}

type merge struct {
	edits       map[string]*edit // by name in lower case
	order       []*edit
	merged, old jsontext.Value // objects not yet closed
}

// prepare gathers the edits.
func (m *merge) prepare(set jsontext.Value, unset []string) error {
	m.edits = make(map[string]*edit)
	var p problems
	if set != nil {
		t, problem := parseObject("fields", set)
		if problem != nil {
			p.add(problem.Path, problem.Detail)
			return p.err("")
		}
		defer t.free()
		for n := 1; n < t.behind(0); n = t.behind(n + 1) {
			if !m.add(string(t.text(n)), t.raw(n+1)) {
				p.add(join("fields", t.text(n)), doubledName)
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

// apply goes through the fields as they are.
func (m *merge) apply(fields jsontext.Value) error {
	m.merged, m.old = jsontext.Value{'{'}, jsontext.Value{'{'}
	if fields == nil {
		return nil
	}
	t, problem := parseObject("fields", fields)
	if problem != nil {
		return fmt.Errorf("merge into %s: %s", problem.Path, problem.Detail)
	}
	defer t.free()
	for n := 1; n < t.behind(0); n = t.behind(n + 1) {
		name, v := t.text(n), t.raw(n+1)
		e := m.edits[strings.ToLower(string(name))]
		if e == nil {
			m.merged = appendRawMember(m.merged, name, v)
			continue
		}
		e.met = true
		m.old = appendRawMember(m.old, name, v)
		if e.value != nil {
			m.merged = appendRawMember(m.merged, name, e.value)
		}
	}
	return nil
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
