package salesforce

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Row is one record to write.
type Row struct {
	// ID names the record of an update or delete.
	ID ID
	// External is the value of the external id field of an upsert: a JSON string or number.
	External json.RawMessage
	// Fields is a JSON object of field values as the org takes them; a nested object names a parent by its
	// external id. Numbers keep their digits. Where the object was described, a number in a text field travels as a
	// text, in one of a parent that was described too, and the text true or 1 in a boolean field as a boolean: jobs take
	// both, and REST would not. A member that names the record again (Id of an update, the external id field of an
	// upsert) is left out, and so is "attributes". nil for deletes.
	Fields json.RawMessage
}

// Result is what became of one record. Success alone decides: a platform event succeeds with an entry among its errors.
type Result struct {
	ID      ID // empty on most failures
	Success bool
	Created bool // a new record came of it
	// Code, Message and Fields are the org's reason when Success is false; ClassOfRecord tells what it means.
	Code    string
	Message string
	Fields  []string
}

// Headers steer duplicate rules and assignment rules; nil leaves a header out. REST only: jobs have none.
type Headers struct {
	AllowSave  *bool // true lets pass what duplicate rules only alert about
	AutoAssign *bool // false keeps assignment rules of leads, cases and accounts from running
}

func (h Headers) values() map[string]string {
	v := map[string]string{}
	if h.AllowSave != nil {
		v["Sforce-Duplicate-Rule-Header"] = fmt.Sprintf("allowSave=%t", *h.AllowSave)
	}
	if h.AutoAssign != nil {
		v["Sforce-Auto-Assign"] = strings.ToUpper(fmt.Sprint(*h.AutoAssign))
	}
	return v
}

// CreateOne inserts one record by the single-row resource. What the org says of the record is in the Result; an error
// is of the call: not sent, refused as a whole, or of unknown outcome.
func (c *Client) CreateOne(ctx context.Context, object string, row Row, h Headers) (Result, error) {
	return c.one(ctx, "row create "+object, http.MethodPost, "/sobjects/"+object+"/", object, row, h)
}

// UpdateOne changes the record row.ID by the single-row resource; errors as of CreateOne.
func (c *Client) UpdateOne(ctx context.Context, object string, row Row, h Headers) (Result, error) {
	if err := checkID(row.ID); err != nil {
		return Result{}, invalid("row update "+object, err.Error())
	}
	return c.one(ctx, "row update "+object, http.MethodPatch, "/sobjects/"+object+"/"+string(row.ID), object, row, h)
}

// UpsertOne writes one record by its external id, which travels in the body, never in a path: no
// encoding of a path carries every key through everything on the way. Errors as of CreateOne.
func (c *Client) UpsertOne(ctx context.Context, object, field string, row Row, h Headers) (Result, error) {
	results, err := c.Upsert(ctx, object, field, []Row{row}, h)
	if err != nil {
		return recordOf(err)
	}
	return results[0], nil
}

// DeleteOne deletes a record by the single-row resource; errors as of CreateOne.
func (c *Client) DeleteOne(ctx context.Context, object string, id ID) (Result, error) {
	if err := checkID(id); err != nil {
		return Result{}, invalid("row delete "+object, err.Error())
	}
	return c.one(ctx, "row delete "+object, http.MethodDelete, "/sobjects/"+object+"/"+string(id), object, Row{ID: id}, Headers{})
}

func (c *Client) one(ctx context.Context, name, method, path, object string, row Row, h Headers) (Result, error) {
	if !isName(object) {
		return Result{}, invalid(name, "not the name of an object")
	}
	k := &call{name: name, kind: CallREST, method: method, path: path, write: true, header: h.values()}
	if method != http.MethodDelete {
		var b bytes.Buffer
		if err := writeRecord(&b, row, recordShape{named: "Id", known: c.known(object), parent: c.known}); err != nil {
			return Result{}, invalid(name, err.Error())
		}
		k.body = b.Bytes()
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return recordOf(err)
	}
	if a.status == http.StatusNoContent {
		return Result{ID: row.ID, Success: true}, nil
	}
	var it item
	if !a.isJSON() || json.Unmarshal(a.body, &it) != nil || it.Success == nil {
		return Result{}, k.malformed(a, "not the outcome of a record")
	}
	r := it.result(a)
	r.Created = r.Success && method == http.MethodPost
	return r, nil
}

// recordOf turns the error of a single-record call into that record's outcome, where it is one: Salesforce's own word that
// this record was refused.
func recordOf(err error) (Result, error) {
	e, ok := errors.AsType[*APIError](err)
	if !ok || !e.own {
		return Result{}, err
	}
	switch e.Class {
	case Retry, Split, Permanent, BadConfig:
		return Result{Code: e.Code, Message: e.Message, Fields: e.Fields}, nil
	}
	return Result{}, err
}

// invalid is the error of a call that was never made as it can't be right.
func invalid(name, why string) *APIError {
	return &APIError{Code: "INVALID", Message: why, Class: Split, Call: name, Err: errors.New(why)}
}

// recordShape is what a record carries beside its fields.
type recordShape struct {
	object string                      // attributes.type; "" for the single-row resources
	id     bool                        // a member id
	field  string                      // of an upsert: the external id field
	named  string                      // the field that names the record and is left out of Fields
	known  *Object                     // what was last said of the object; nil where nothing was
	parent func(object string) *Object // the same of another object
}

// fit makes a value what the org's parser takes for the field, where a job would
// take it as it is: a record can go either way, and must fare alike. A number or
// a boolean in a text field becomes a text, true and false in a text, and 1 and 0, a
// boolean. The empty text clears a field as null does, of any type, and the org takes null
// alone for a date or a number.
func (s recordShape) fit(name string, v jsontext.Value) jsontext.Value {
	switch kind := v.Kind(); {
	case string(v) == `""`:
		return jsontext.Value("null")
	case s.known == nil, kind == 'n', kind == '[':
		return v
	case kind == '{':
		return s.fitParent(name, v)
	case kind == '"' && truth(v) == "":
		return v
	}
	f, ok := s.known.Field(name)
	switch {
	case ok && f.Type == "boolean":
		return jsontext.Value(cmp.Or(truth(v), string(v)))
	case ok && v[0] != '"' && textTypes[f.Type]:
		return jsontext.Value(`"` + string(v) + `"`)
	}
	return v
}

// fitParent does the same with what names a parent.
func (s recordShape) fitParent(relationship string, v jsontext.Value) jsontext.Value {
	f, ok := s.known.Relationship(relationship)
	if !ok || s.parent == nil {
		return v
	}
	target, fits := "", true
	err := EachMember([]byte(v), func(name []byte, value jsontext.Value) (err error) {
		if string(name) == "attributes" {
			target, err = typeOf(value)
			return err
		}
		fits = fits && value.Kind() == '"'
		return nil
	})
	if target == "" && len(f.ReferenceTo) == 1 {
		target = f.ReferenceTo[0]
	}
	parent := s.parent(target)
	if err != nil || fits || parent == nil {
		return v
	}
	fitted := []byte{'{'}
	err = EachMember([]byte(v), func(name []byte, value jsontext.Value) (err error) {
		if len(fitted) > 1 {
			fitted = append(fitted, ',')
		}
		if fitted, err = jsontext.AppendQuote(fitted, name); err != nil {
			return err
		}
		fitted = append(append(fitted, ':'), recordShape{known: parent}.fit(string(name), value)...)
		return nil
	})
	if err != nil {
		return v
	}
	return append(fitted, '}')
}

// truth is the boolean that a job makes of a text or a number, "" if none.
func truth(v jsontext.Value) string {
	switch text := string(v); {
	case text == "1", text == `"1"`, strings.EqualFold(text, `"true"`):
		return "true"
	case text == "0", text == `"0"`, strings.EqualFold(text, `"false"`):
		return "false"
	}
	return ""
}

// textTypes are the types of fields whose values are texts.
var textTypes = map[string]bool{
	"string": true, "textarea": true, "email": true, "phone": true, "url": true, "combobox": true,
	"encryptedstring": true, "picklist": true, "multipicklist": true,
}

// writeRecord writes one record of a JSON body. The values of Fields are copied byte for byte, but for what fit changes.
func writeRecord(b *bytes.Buffer, row Row, shape recordShape) error {
	sep := byte('{')
	member := func(name string, value []byte) {
		b.WriteByte(sep)
		sep = ','
		b.WriteString(`"` + name + `":`)
		b.Write(value)
	}
	if shape.object != "" {
		member("attributes", []byte(`{"type":"`+shape.object+`"}`))
	}
	if shape.id {
		member("id", []byte(`"`+string(row.ID)+`"`))
	}
	if shape.field != "" {
		external := jsontext.Value(row.External)
		if kind := external.Kind(); kind != '"' && kind != '0' || !external.IsValid() {
			return errors.New("external id: must be a string or a number")
		}
		member(shape.field, shape.fit(shape.field, external))
	}
	err := EachMember(row.Fields, func(text []byte, value jsontext.Value) error {
		name := string(text)
		if name != "" && strings.EqualFold(name, shape.named) || name == "attributes" {
			return nil
		}
		if !isName(name) {
			return fmt.Errorf("%q is not the name of a field", clip(name, 100))
		}
		member(name, shape.fit(name, value))
		return nil
	})
	if sep == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return err
}

// EachMember calls f with the members of a JSON object in their order: the text of the name and the value, both valid
// during the call only. Doubled names and bad UTF-8 are errors, nil has no members.
func EachMember(object json.RawMessage, f func(name []byte, value jsontext.Value) error) error {
	if len(object) == 0 {
		return nil
	}
	r := memberReaders.Get().(*memberReader)
	defer memberReaders.Put(r)
	return r.read(object, f)
}

// memberReader is what EachMember needs for an object. It is kept: there is one for each record and each parent in it.
type memberReader struct {
	source bytes.Buffer
	json   jsontext.Decoder
	name   []byte
}

var memberReaders = sync.Pool{New: func() any { return new(memberReader) }}

var errNoObject = errors.New("fields: not a JSON object")

func (r *memberReader) read(object json.RawMessage, f func(name []byte, value jsontext.Value) error) error {
	r.source = *bytes.NewBuffer(object) // which the decoder reads in place
	r.json.Reset(&r.source)
	defer func() { r.source = bytes.Buffer{} }()
	if start, err := r.json.ReadToken(); err != nil || start.Kind() != '{' {
		return errNoObject
	}
	for r.json.PeekKind() == '"' {
		quoted, err := r.json.ReadValue()
		if err != nil {
			return errNoObject
		}
		if r.name, err = jsontext.AppendUnquote(r.name[:0], quoted); err != nil {
			return errNoObject
		}
		value, err := r.json.ReadValue()
		if err != nil {
			return errNoObject
		}
		if err := f(r.name, value); err != nil {
			return err
		}
	}
	if end, err := r.json.ReadToken(); err != nil || end.Kind() != '}' {
		return errNoObject
	}
	if _, err := r.json.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("fields: something follows the JSON object")
	}
	return nil
}
