package event

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outboxd/outboxd/internal/meant"
)

// headNames are the members that the head keeps, memberNames all that an event has.
var (
	headNames   = []string{"external_id", "id", "match", "lane", "after", "not_before", "expires_at", "meta"}
	memberNames = append([]string{"key", "object", "operation", "fields", "source"}, headNames...)

	externalIDNames = []string{"field", "value"}
	matchNames      = []string{"all", "any"}
)

// Decode reads one event. It refuses unknown and doubled members (of fields also
// those that differ in letter case only), text that is not UTF-8, lone
// surrogates, what nests deeper than MaxDepth or is longer than MaxSize, and
// values of a wrong type. What it can know of the rules that Validate checks
// goes into the same *Error; an event that it returns has still to be validated,
// since its key may come from elsewhere.
//
// Numbers keep their digits. The event shares no memory with data.
func Decode(data []byte) (*Event, error) {
	e := new(Event)
	if err := e.Decode(data); err != nil {
		return nil, err
	}
	return e, nil
}

// Decode does the same into e, whatever it was before. After an error e means nothing.
func (e *Event) Decode(data []byte) error {
	*e = Event{}
	if len(data) > MaxSize {
		return &Error{Code: CodeTooLarge, Fields: []FieldError{{Detail: "an event has at most 1 MiB"}}}
	}
	t := parse(data)
	if t == nil {
		path, detail := syntaxProblem(data)
		return &Error{Code: CodeMalformed, Fields: []FieldError{{path, detail}}}
	}
	defer t.free()
	if t.kind(0) != '{' {
		return &Error{Code: CodeInvalid, Fields: []FieldError{{Detail: t.wrongType("an object", 0)}}}
	}
	d := decoder{t: t, e: e}
	d.envelope()
	if len(d.p.list) == 0 {
		return nil
	}
	if !d.keyed {
		d.meant = append(d.meant, "key") // may come from elsewhere
	}
	d.p.settle(d.meant...)
	e.validate(&d.p)
	return d.p.err(e.Key)
}

// decoder fills an event from a tree. Its methods take the numbers of nodes.
type decoder struct {
	t     *tree
	e     *Event
	p     problems
	keyed bool     // the event names a key
	meant []string // members that an unknown one was probably meant to be
}

func (d *decoder) envelope() {
	fields := 0
	for name, v := range d.known("", 0, memberNames) {
		switch name {
		case "key":
			d.keyed = true
			d.e.Key = d.nonEmpty("key", v, "leave it out to get a new one")
		case "object":
			d.e.Object = d.text("object", v)
		case "operation":
			d.e.Operation = d.operation(v)
		case "fields":
			if d.object("fields", v) {
				fields = v
			}
		case "source":
			d.e.Source = d.text("source", v)
		default:
			d.headMember(name, v)
		}
	}
	if fields > 0 {
		d.e.Fields = d.t.copied(fields)
		d.e.facts = findFacts(d.t, fields, d.e.Fields, d.e.ExternalID)
		d.p.list = append(d.p.list, d.e.facts.problems...)
	}
}

// known yields the members of an object that names has, each once, and reports the others.
func (d *decoder) known(parent string, object int, names []string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		seen := 0
		for m := object + 1; m < d.t.behind(object); m = d.t.behind(m + 1) {
			name := d.t.text(m)
			i := slices.Index(names, string(name))
			switch {
			case i < 0:
				d.unknown(parent, name, names)
				continue
			case seen&(1<<i) != 0:
				d.p.add(join(parent, name), "doubled member")
			case !yield(names[i], m+1):
				return
			}
			seen |= 1 << i
		}
	}
}

// headMember reads one of headNames.
func (d *decoder) headMember(name string, v int) {
	switch name {
	case "external_id":
		d.e.ExternalID = d.externalID(v)
	case "id":
		d.e.ID = d.nonEmpty("id", v, "leave it out where another member names the record")
		d.e.acceptedID = d.e.ID
	case "match":
		d.e.Match = d.match(v)
	case "lane":
		d.e.Lane = d.nonEmpty("lane", v, "leave it out for the default lane")
	case "after":
		d.e.After = d.keys(v)
	case "not_before":
		d.e.NotBefore = d.time("not_before", v)
	case "expires_at":
		d.e.ExpiresAt = d.time("expires_at", v)
	case "meta":
		d.e.Meta = d.meta(v)
	}
}

func (d *decoder) text(path string, v int) string {
	if d.t.kind(v) != '"' {
		d.p.add(path, d.t.wrongType("a string", v))
		return ""
	}
	return string(d.t.text(v))
}

func (d *decoder) nonEmpty(path string, v int, hint string) string {
	if string(d.t.raw(v)) == `""` {
		d.p.add(path, "must not be empty; "+hint)
	}
	return d.text(path, v)
}

func (d *decoder) object(path string, v int) bool {
	if d.t.kind(v) != '{' {
		d.p.add(path, d.t.wrongType("an object", v))
		return false
	}
	return true
}

// operation saves the known ones an allocation each.
func (d *decoder) operation(v int) Operation {
	switch string(d.t.raw(v)) {
	case `"create"`:
		return Create
	case `"update"`:
		return Update
	case `"upsert"`:
		return Upsert
	case `"delete"`:
		return Delete
	case `"hard_delete"`:
		return HardDelete
	}
	return Operation(d.text("operation", v))
}

func (d *decoder) externalID(v int) *ExternalID {
	if !d.object("external_id", v) {
		return nil
	}
	x := new(ExternalID)
	for name, v := range d.known("external_id", v, externalIDNames) {
		switch name {
		case "field":
			x.Field = d.text("external_id.field", v)
		case "value":
			x.Value = d.t.copied(v)
		}
	}
	return x
}

func (d *decoder) match(v int) *Match {
	if !d.object("match", v) {
		return nil
	}
	m := new(Match)
	for name, v := range d.known("match", v, matchNames) {
		switch name {
		case "all":
			m.All = d.conditions("match.all", v)
		case "any":
			m.Any = d.conditions("match.any", v)
		}
	}
	return m
}

// conditions are not nil, so that an empty object is told from an absent one.
func (d *decoder) conditions(path string, v int) []Condition {
	list := []Condition{}
	if !d.object(path, v) {
		return list
	}
	for m := v + 1; m < d.t.behind(v); m = d.t.behind(m + 1) {
		list = append(list, Condition{Field: string(d.t.text(m)), Value: d.t.copied(m + 1)})
	}
	return list
}

func (d *decoder) keys(v int) []string {
	if d.t.kind(v) != '[' {
		d.p.add("after", d.t.wrongType("a list of keys", v))
		return nil
	}
	var keys []string
	for n := v + 1; n < d.t.behind(v) && len(keys) <= MaxAfter; n = d.t.behind(n) { // one too many is enough for Validate
		keys = append(keys, d.text("after", n))
	}
	return keys
}

func (d *decoder) time(path string, v int) (t time.Time) {
	text := d.text(path, v)
	switch {
	case d.t.kind(v) != '"':
	case t.UnmarshalText([]byte(text)) != nil || strings.Contains(text, ","): // which package time lets pass
		d.p.add(path, "must be an RFC 3339 time such as 2026-11-23T10:00:00Z")
	case t.Unix() < 0:
		d.p.add(path, "must not lie before 1970")
	}
	return t
}

func (d *decoder) meta(v int) map[string]string {
	if !d.object("meta", v) {
		return nil
	}
	meta := make(map[string]string)
	for m := v + 1; m < d.t.behind(v) && len(meta) <= MaxMeta; m = d.t.behind(m + 1) {
		name := string(d.t.text(m))
		path := join("meta", []byte(name))
		if _, old := meta[name]; old {
			d.p.add(path, "doubled member")
		}
		meta[name] = d.text(path, m+1)
	}
	return meta
}

// unknown reports a member that does not exist, with the one that was probably meant.
func (d *decoder) unknown(parent string, name []byte, known []string) {
	detail := "unknown member"
	if near := meant.Name(string(name), slices.Values(known)); near != "" {
		detail += "; did you mean " + near + "?"
		if parent == "" {
			d.meant = append(d.meant, near)
		}
	}
	d.p.add(join(parent, name), detail)
}

// wrongType names the JSON type of a node, never its value.
func (t *tree) wrongType(want string, n int) string { return wrongType(want, t.kind(n)) }

func wrongType(want string, kind byte) string {
	var got string
	switch kind {
	case '{':
		got = "an object"
	case '[':
		got = "an array"
	case '"':
		got = "a string"
	case 't', 'f':
		got = "a boolean"
	case 'n':
		got = "null"
	default:
		got = "a number"
	}
	return "must be " + want + ", not " + got
}

// join is a path; a name longer than any that is right is cut.
func join(parent string, name []byte) string {
	const most = 80
	if len(name) > most {
		name = append(bytes.ToValidUTF8(name[:most], nil), "…"...)
	}
	if parent == "" {
		return string(name)
	}
	return parent + "." + string(name)
}

// syntaxProblem says where JSON breaks off and why.
func syntaxProblem(data []byte) (path, detail string) {
	if len(bytes.TrimSpace(data)) == 0 {
		return "", "empty; an event is a JSON object"
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	_, err := dec.ReadValue()
	if err == nil {
		if _, err = dec.ReadToken(); err == nil {
			return "", "something follows the JSON object"
		}
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "", "not JSON: it ends too early"
	case !ok:
		return "", "not JSON"
	}
	var names []string
	for name := range syntax.JSONPointer.Tokens() {
		names = append(names, join("", []byte(name)))
	}
	return strings.Join(names, "."), "not JSON: " + syntax.Err.Error()
}
