package event

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outboxd/outboxd/internal/meant"
)

// Validate checks every rule of an event, also of one that Decode has not made,
// and turns ID into its 18 characters. Its error is an *Error with all mistakes.
func (e *Event) Validate() error {
	var p problems
	e.validate(&p)
	return p.err(e.Key)
}

func (e *Event) validate(p *problems) {
	if detail := keyProblem(e.Key); detail != "" {
		p.add("key", detail)
	}
	e.validateObject(p)
	e.validateRecord(p)
	e.validateFields(p)
	e.validateAfter(p)
	e.validateLabels(p)
	if !e.NotBefore.IsZero() && !e.ExpiresAt.IsZero() && !e.NotBefore.Before(e.ExpiresAt) {
		p.add("expires_at", "must be later than not_before")
	}
}

// CheckKey says what is wrong with an idempotency key. Its text does not hold the key.
func CheckKey(key string) error {
	if detail := keyProblem(key); detail != "" {
		return &Error{Code: CodeInvalid, Fields: []FieldError{{"key", detail}}}
	}
	return nil
}

func keyProblem(key string) string {
	switch {
	case key == "":
		return "required"
	case len(key) > MaxKey:
		return fmt.Sprintf("longer than %d bytes", MaxKey)
	case key == "." || key == "..":
		return `must not be "." or ".."`
	case !utf8.ValidString(key):
		return "not UTF-8"
	case strings.ContainsFunc(key, unicode.IsControl):
		return "holds a control character"
	}
	first, _ := utf8.DecodeRuneInString(key)
	last, _ := utf8.DecodeLastRuneInString(key)
	if unicode.IsSpace(first) || unicode.IsSpace(last) {
		return "must not begin or end with white space, which the org would trim"
	}
	return ""
}

func (e *Event) validateObject(p *problems) {
	if e.Object == "" {
		p.add("object", "required: an API name such as Contact")
	} else if !isAPIName(e.Object) {
		p.add("object", badName)
	}
	switch e.Operation {
	case Create, Update, Upsert, Delete, HardDelete:
		if e.Operation != Create && IsPlatformEvent(e.Object) {
			p.add("operation", "a platform event can only be created")
		}
	case "":
		p.add("operation", "required: create, update, upsert, delete or hard_delete")
	default:
		detail := "must be create, update, upsert, delete or hard_delete"
		ops := []string{string(Create), string(Update), string(Upsert), string(Delete), string(HardDelete)}
		if near := meant.Name(string(e.Operation), slices.Values(ops)); near != "" {
			detail += "; did you mean " + near + "?"
		}
		p.add("operation", detail)
	}
}

// IsPlatformEvent says whether the object is published rather than stored: its name ends in __e.
func IsPlatformEvent(object string) bool {
	const suffix = "__e"
	return len(object) > len(suffix) && strings.EqualFold(object[len(object)-len(suffix):], suffix)
}

// validateRecord checks which members name the record, and how.
func (e *Event) validateRecord(p *problems) {
	e.validateNaming(p)
	if e.ExternalID != nil {
		e.ExternalID.validate(p)
	}
	if e.ID != "" {
		id, detail := canonicalID(e.ID)
		if detail != "" {
			p.add("id", detail)
		} else {
			e.ID = id
		}
	}
	if e.Match != nil {
		e.Match.validate(p)
	}
}

func (e *Event) validateNaming(p *problems) {
	const one = "only one of external_id, id and match names the record"
	byExternalID, byID, byMatch := e.ExternalID != nil, e.ID != "", e.Match != nil
	if byMatch && (byExternalID || byID) && e.Operation != Create {
		p.add("match", one)
	}
	switch e.Operation {
	case Create:
		if byExternalID {
			p.add("external_id", "a create names no record; put the value into fields, or use upsert")
		}
		if byID {
			p.add("id", "a create names no record; its Id comes from the org")
		}
		if byMatch {
			p.add("match", "a create names no record")
		}
	case Upsert:
		if byID {
			p.add("id", "an upsert names its record by external_id or match; with an Id it is an update")
		} else if !byExternalID && !byMatch {
			p.add("external_id", "required for an upsert, unless match is given")
		}
	case Update, Delete, HardDelete:
		if byExternalID {
			p.add("external_id", fmt.Sprintf("only for an upsert; %s takes id or match", e.Operation))
		} else if !byID && !byMatch {
			p.add("id", fmt.Sprintf("required for %s, unless match is given", e.Operation))
		}
	}
}

func (x *ExternalID) validate(p *problems) {
	switch {
	case x.Field == "":
		p.add("external_id.field", "required: the API name of the external id field")
	case !isAPIName(x.Field):
		p.add("external_id.field", badName)
	case strings.EqualFold(x.Field, "id"):
		p.add("external_id.field", "Id is no external id; use the operation update with the member id")
	}
	const path = "external_id.value"
	switch {
	case x.Value == nil:
		p.add(path, "required")
	case !isJSON(x.Value):
		p.add(path, "not JSON")
	case !isText(x.Value) && !isNumber(x.Value):
		p.add(path, wrongType("a string or a number", x.Value[0]))
	case isBlank(x.Value):
		p.add(path, "must not be blank")
	}
}

func (m *Match) validate(p *problems) {
	if (m.All != nil) == (m.Any != nil) {
		p.add("match", "takes exactly one of all and any")
		return
	}
	path, list := "match.all", m.All
	if m.Any != nil {
		path, list = "match.any", m.Any
	}
	if len(list) == 0 {
		p.add(path, "needs at least one field")
	}
	names := make([]string, len(list))
	for i, c := range list {
		c.validate(p, join(path, []byte(c.Field)))
		names[i] = c.Field
	}
	for i := range doubled(names) {
		p.add(join(path, []byte(names[i])), doubledName)
	}
}

func (c Condition) validate(p *problems, path string) {
	if !isAPIName(c.Field) {
		p.add(path, badName)
	}
	switch {
	case !isJSON(c.Value):
		p.add(path, "not JSON")
	case isText(c.Value):
		if isBlank(c.Value) {
			p.add(path, "must not be blank: it would match every record without a value")
		}
	case !isNumber(c.Value) && c.Value[0] != 't' && c.Value[0] != 'f':
		p.add(path, wrongType("a string, a number or a boolean", c.Value[0]))
	}
}

// isJSON is true of one value without space around it.
func isJSON(v jsontext.Value) bool {
	t := parse(v)
	if t == nil {
		return false
	}
	defer t.free()
	return int(t.nodes[0].end-t.nodes[0].begin) == len(v)
}

func isText(v jsontext.Value) bool { return v[0] == '"' }

func isNumber(v jsontext.Value) bool { return v[0] == '-' || '0' <= v[0] && v[0] <= '9' }

// isBlank is true of a text that the org would trim to nothing.
func isBlank(v jsontext.Value) bool {
	return isText(v) && len(bytes.TrimSpace(unquote(v))) == 0
}

func (e *Event) validateFields(p *problems) {
	if e.Fields == nil {
		return
	}
	if e.Operation.Deletes() {
		p.add("fields", fmt.Sprintf("not for %s", e.Operation))
		return
	}
	facts := e.fieldFacts()
	for _, f := range facts.problems {
		p.add(f.Path, f.Detail)
	}
	if facts.external != nil && !sameValue(facts.external, e.ExternalID.Value) {
		p.add(join("fields", []byte(e.ExternalID.Field)), "differs from external_id.value, which names the record")
	}
}

// sameValue compares texts exactly and numbers by their worth; a number equals
// the text of its own digits.
func sameValue(a, b jsontext.Value) bool {
	switch {
	case len(b) == 0: // told elsewhere
		return true
	case isText(a) && isText(b):
		return bytes.Equal(unquote(a), unquote(b))
	case isNumber(a) && isNumber(b):
		return normalValue(a) == normalValue(b)
	case isText(a) && isNumber(b):
		return bytes.Equal(unquote(a), b)
	case isNumber(a) && isText(b):
		return bytes.Equal(a, unquote(b))
	}
	return false
}

func (e *Event) validateAfter(p *problems) {
	if len(e.After) > MaxAfter {
		p.add("after", fmt.Sprintf("more than %d keys", MaxAfter))
		return
	}
	seen := make(map[string]bool, len(e.After))
	for i, key := range e.After {
		path := fmt.Sprintf("after[%d]", i)
		detail := keyProblem(key)
		switch {
		case detail != "":
			p.add(path, detail)
		case key == e.Key:
			p.add(path, "an event can't wait for itself")
		case seen[key]:
			p.add(path, "named twice")
		}
		seen[key] = true
	}
	for _, key := range e.fieldFacts().ids {
		if key == e.Key {
			p.add("fields", "an event can't wait for itself: "+idOf+" names its own key")
		}
	}
}

// validateLabels checks the texts that are only the app's.
func (e *Event) validateLabels(p *problems) {
	checkLabel(p, "lane", e.Lane, MaxLane)
	if e.Lane != "" && strings.TrimSpace(e.Lane) == "" {
		p.add("lane", "must not be blank; leave it out for the default lane")
	}
	checkLabel(p, "source", e.Source, maxSource)
	for name, text := range e.Meta {
		checkLabel(p, "meta", name, MaxSize)
		checkLabel(p, join("meta", []byte(name)), text, MaxSize)
	}
	if len(e.Meta) > MaxMeta {
		p.add("meta", fmt.Sprintf("more than %d members", MaxMeta))
	}
}

func checkLabel(p *problems, path, text string, most int) {
	if len(text) > most {
		p.add(path, fmt.Sprintf("longer than %d bytes", most))
	}
	if !utf8.ValidString(text) {
		p.add(path, "not UTF-8")
	}
}

// ParseID returns the 18 characters of a record Id of 15 or 18. Its error does not hold the Id.
func ParseID(id string) (string, error) {
	id, detail := canonicalID(id)
	if detail != "" {
		return "", &Error{Code: CodeInvalid, Fields: []FieldError{{"id", detail}}}
	}
	return id, nil
}

// canonicalID adds, or checks, the three characters that tell the letter case
// of the first fifteen: one bit for each, five bits a character (REST API
// Developer Guide, "Record ID formats").
func canonicalID(id string) (canonical, problem string) {
	if len(id) != 15 && len(id) != 18 {
		return "", "must be a record Id of 15 or 18 characters"
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	var suffix [3]byte
	for group := range suffix {
		bits := 0
		for i, c := range []byte(id[group*5 : group*5+5]) {
			switch {
			case 'A' <= c && c <= 'Z':
				bits |= 1 << i
			case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
				return "", "must be a record Id: letters and digits only"
			}
		}
		suffix[group] = digits[bits]
	}
	if len(id) == 18 && id[15:] != string(suffix[:]) {
		return "", "the last three characters don't fit the first fifteen: mistyped, or the letter case was changed"
	}
	return id[:15] + string(suffix[:]), ""
}
