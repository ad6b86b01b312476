package simulator

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one name and value of a JSON object.
type member struct {
	name  string
	value jsontext.Value
	end   int64 // offset of the end of the value in the body
}

// jsonReader reads a body, and hands out values that share its memory.
type jsonReader struct {
	body []byte
	dec  *jsontext.Decoder
}

func newJSONReader(body []byte) *jsonReader {
	return &jsonReader{body, jsontext.NewDecoder(bytes.NewReader(body))}
}

// members splits a JSON object that is the whole body.
func members(body []byte) ([]member, error) {
	r := newJSONReader(body)
	all, err := r.object()
	if err != nil {
		return nil, err
	}
	return all, r.end()
}

// end wants the body to be over.
func (r *jsonReader) end() error {
	if _, err := r.dec.ReadToken(); err != io.EOF {
		return fmt.Errorf("something follows the object")
	}
	return nil
}

// object reads an object.
func (r *jsonReader) object() ([]member, error) {
	all := make([]member, 0, 8)
	err := r.each('{', func() error {
		name, err := r.dec.ReadToken()
		if err != nil {
			return err
		}
		m := member{name: name.String()}
		value, err := r.dec.ReadValue()
		if err != nil {
			return err
		}
		m.end = r.dec.InputOffset()
		m.value = r.body[m.end-int64(len(value)) : m.end]
		all = append(all, m)
		return nil
	})
	return all, err
}

// each calls read in front of every element of an array or object.
func (r *jsonReader) each(open jsontext.Kind, read func() error) error {
	begin, err := r.dec.ReadToken()
	if err != nil {
		return err
	}
	if begin.Kind() != open {
		return fmt.Errorf("%v where %v was expected", begin.Kind(), open)
	}
	for {
		switch r.dec.PeekKind() {
		case ']', '}':
			_, err := r.dec.ReadToken()
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// badJSON is the answer to a body that does not parse.
func badJSON(err error) *answer {
	return errorAnswer(http.StatusBadRequest, "JSON_PARSER_ERROR", "Unexpected input in the request body: "+err.Error())
}

// place says where in a request body a value stood; in Collections nothing is
// known of it, as each record is parsed from a tree.
type place struct {
	body []byte // nil: unknown
	end  int64
}

func (p place) String() string {
	if p.body == nil {
		return "[Source: N/A; line: -1, column: -1]"
	}
	before := p.body[:p.end]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1
	return fmt.Sprintf("[line:%d, column:%d]", line, column)
}

// jsonKinds names JSON kinds as the server's parser does.
func jsonKind(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		return "VALUE_STRING value"
	case 't':
		return "VALUE_TRUE value"
	case 'f':
		return "VALUE_FALSE value"
	case 'n':
		return "VALUE_NULL value"
	case '{':
		return "START_OBJECT value"
	case '[':
		return "START_ARRAY value"
	default:
		if bytes.ContainsAny(v, ".eE") {
			return "VALUE_NUMBER_FLOAT value"
		}
		return "VALUE_NUMBER_INT value"
	}
}

func errDeserialize(typ string, v jsontext.Value, at place) *rowError {
	text := string(v)
	switch v.Kind() {
	case '"':
		text, _ = jsonString(v)
	case '{':
		text = "{"
	case '[':
		text = "["
	}
	return misread("JSON_PARSER_ERROR", fmt.Sprintf("Cannot deserialize instance of %s from %s %s or request may be missing a required field at %s",
		typ, jsonKind(v), text, at))
}

// jsonString is the text of a JSON string.
func jsonString(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err == nil
}

// fromJSON brings a JSON value into the field's normal form.
func (f *field) fromJSON(v jsontext.Value, at place) (string, *rowError) {
	bad := func() (string, *rowError) { return "", errDeserialize(f.jsonType(), v, at) }
	kind := v.Kind()
	if kind == 'n' {
		if f.kind == kindBool {
			return bad()
		}
		return "", nil
	}
	switch f.kind {
	case kindBool:
		if kind != 't' && kind != 'f' {
			return bad()
		}
		return string(v), nil
	case kindInt, kindNumber:
		text := string(v)
		if s, ok := jsonString(v); ok {
			text = s
		} else if kind != '0' {
			return bad()
		}
		n, ok := f.parse(text)
		if !ok {
			return bad()
		}
		return n, nil
	}
	s, ok := jsonString(v)
	if !ok {
		return bad()
	}
	return f.fromJSONText(s, v, at)
}

// fromJSONText is fromJSON for the types that travel as strings.
func (f *field) fromJSONText(s string, v jsontext.Value, at place) (string, *rowError) {
	switch f.kind {
	case kindDate:
		if len(s) != len(storedDate) {
			return "", errDeserialize(f.jsonType(), v, at)
		}
	case kindReference, kindID:
		if s = strings.TrimSpace(s); s == "" {
			return "", nil
		}
		id, ok := canonicalID(s)
		if !ok {
			return "", errWrongID(f.label, s, f.Name)
		}
		return id, nil
	}
	out, ok := f.parse(s)
	if !ok {
		return "", errDeserialize(f.jsonType(), v, at)
	}
	return out, nil
}

// jsonType names the field's type in the parser's messages.
func (f *field) jsonType() string {
	switch f.kind {
	case kindNumber:
		return "double"
	case kindBool, kindInt, kindDate, kindDateTime, kindTime, kindBlob:
		return f.Type
	default:
		return "string"
	}
}

// rowReader turns JSON records of one object into writes.
type rowReader struct {
	org    *org
	object *object
	key    *field // upsert's; its value is a member in Collections
	update bool   // records carry an id
	body   []byte // of a single-row resource; nil in Collections
}

// read makes the write of a record's members. Faults of the record are in the
// write, so that its neighbours go on.
func (rr *rowReader) read(record []member) write {
	w := new(write)
	seenID := false
	for _, m := range record {
		at := place{rr.body, m.end}
		switch f := rr.object.field(m.name); {
		case strings.EqualFold(m.name, "attributes"):
		case strings.EqualFold(m.name, "Id") && rr.collectsIDs():
			seenID = true
			w.id, w.err = rr.recordID(m.value, w.err)
		case f != nil && f == rr.key && rr.body == nil:
			v, err := f.fromJSON(m.value, at)
			w.keyValue, w.err = v, firstError(w.err, err)
		case f != nil:
			rr.assign(w, f, m, at)
		default:
			rr.assignParent(w, m, at)
		}
	}
	rr.finish(w, seenID)
	w.prepare(rr.object)
	return *w
}

// collectsIDs reports whether Id names the row, instead of being a field that
// can't be written.
func (rr *rowReader) collectsIDs() bool {
	return rr.body == nil && (rr.update || rr.key != nil && rr.key.system == sysID)
}

func (rr *rowReader) recordID(v jsontext.Value, before *rowError) (string, *rowError) {
	if v.Kind() == 'n' {
		return "", before
	}
	s, _ := jsonString(v)
	id, ok := canonicalID(s)
	if !ok {
		return "", firstError(before, rr.object.errNoID(s))
	}
	return id, before
}

// finish looks for what is missing in a record of Collections.
func (rr *rowReader) finish(w *write, seenID bool) {
	switch {
	case w.err != nil || rr.body != nil:
	case rr.update && (!seenID || w.id == ""):
		w.err = refuse("MISSING_ARGUMENT", "Id not specified in an update call")
	case rr.key != nil && rr.key.system == sysID:
		w.keyValue = w.id
	case rr.key != nil && w.keyValue == "":
		w.err = refuse("MISSING_ARGUMENT", rr.key.Name+" not specified")
	}
}

// assign sets a field of the row itself.
func (rr *rowReader) assign(w *write, f *field, m member, at place) {
	switch {
	case f.system == sysID && !rr.update && rr.key == nil:
		w.err = firstError(w.err, refuse("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id"))
	case f.system == sysID || f == rr.key:
		w.err = firstError(w.err, misread("INVALID_FIELD",
			"The "+f.Name+" field should not be specified in the sobject data."))
	case f.ReadOnly:
		w.err = firstError(w.err, errReadOnly(f.Name))
	default:
		v, err := f.fromJSON(m.value, at)
		w.set, w.err = append(w.set, assignment{f, v}), firstError(w.err, err)
	}
}

// assignParent sets a lookup by a nested object under the relationship's name.
func (rr *rowReader) assignParent(w *write, m member, at place) {
	f := rr.object.byRel[strings.ToLower(m.name)]
	if f == nil {
		w.err = firstError(w.err, errNoColumn(m.name, rr.object.Name))
		return
	}
	parent, err := rr.parent(f, m, at)
	if err != nil {
		w.err = firstError(w.err, err)
		return
	}
	w.parents = append(w.parents, parent)
}

func (rr *rowReader) parent(f *field, m member, at place) (parentRef, *rowError) {
	nested, err := members(m.value)
	if err != nil {
		return parentRef{}, errDeserialize(rr.object.Name, m.value, at)
	}
	typ := ""
	var keys []member
	for _, n := range nested {
		if n.name == "attributes" {
			typ = attributeType(n.value)
		} else {
			keys = append(keys, n)
		}
	}
	if len(f.ReferenceTo) == 1 {
		typ = f.ReferenceTo[0]
	}
	target := rr.org.object(typ)
	if target == nil || !f.targets(target) {
		return parentRef{}, misread("INVALID_FIELD", "Relationship "+m.name+" has several targets and needs attributes.type")
	}
	if len(keys) != 1 {
		return parentRef{}, misread("INVALID_FIELD", "Relationship "+m.name+" needs exactly one external id field")
	}
	return parentByKey(f, target, keys[0], at)
}

func parentByKey(lookup *field, target *object, m member, at place) (parentRef, *rowError) {
	key := target.field(m.name)
	if key == nil {
		return parentRef{}, errNoColumn(m.name, target.Name)
	}
	if !key.indexed() || !key.keyed() {
		return parentRef{}, misread("INVALID_FIELD", m.name+" is not an External ID or indexed field for "+target.Name)
	}
	v, err := key.fromJSON(m.value, at)
	if err == nil && v == "" {
		err = errNoParent(key, v)
	}
	return parentRef{lookup, key, v}, err
}

func attributeType(v jsontext.Value) string { return attribute(v, "type") }

// attribute is the text of one of a record's attributes.
func attribute(v jsontext.Value, name string) string {
	attributes, err := members(v)
	if err != nil {
		return ""
	}
	for _, a := range attributes {
		if a.name == name {
			s, _ := jsonString(a.value)
			return s
		}
	}
	return ""
}

func firstError(a, b *rowError) *rowError {
	if a != nil {
		return a
	}
	return b
}
