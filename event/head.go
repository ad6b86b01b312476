package event

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Head is what of an event outlives its payload: a compact JSON object of all
// members but key, object, operation, source and fields. The event must be valid.
func (e *Event) Head() ([]byte, error) {
	b := make([]byte, 0, 128)
	return closeObject(e.appendHead(append(b, '{'), e.ID, e.Match, appendRaw)), nil
}

// DecodeHead puts what Head kept back into e, and leaves the other members alone.
func DecodeHead(head []byte, e *Event) error {
	t, problem := parseObject("head", head)
	if problem != nil {
		return fmt.Errorf("event head: %s", problem.Detail)
	}
	defer t.free()
	d := decoder{t: t, e: e}
	for name, v := range d.known("", 0, headNames) {
		d.headMember(name, v)
	}
	if err := d.p.err(e.Key); err != nil {
		return fmt.Errorf("event head: %w", err)
	}
	return nil
}

// MarshalJSON writes the event as Decode reads it, compact, but for its fields,
// which stay as they are.
func (e *Event) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 256+len(e.Fields)), '{')
	if e.Key != "" {
		b = appendMember(b, "key", e.Key)
	}
	b = appendMember(b, "object", e.Object)
	b = appendMember(b, "operation", string(e.Operation))
	b = e.appendHead(b, e.ID, e.Match, appendRaw)
	if e.Fields != nil {
		b = append(append(append(b, `"fields":`...), e.Fields...), ',')
	}
	if e.Source != "" {
		b = appendMember(b, "source", e.Source)
	}
	return closeObject(b), nil
}

// UnmarshalJSON is Decode.
func (e *Event) UnmarshalJSON(data []byte) error { return e.Decode(data) }

// appendHead writes the head's members in a fixed order, a comma behind each;
// raw writes the values that are kept as JSON. id and m stand for ID and Match.
func (e *Event) appendHead(b []byte, id string, m *Match, raw func([]byte, jsontext.Value) []byte) []byte {
	if x := e.ExternalID; x != nil {
		b = append(b, `"external_id":{`...)
		b = appendMember(b, "field", x.Field)
		b = append(b, `"value":`...)
		b = append(raw(b, x.Value), `},`...)
	}
	if id != "" {
		b = appendMember(b, "id", id)
	}
	if m != nil {
		b = m.append(b, raw)
	}
	if e.Lane != "" {
		b = appendMember(b, "lane", e.Lane)
	}
	if len(e.After) > 0 {
		b = append(b, `"after":[`...)
		for _, key := range e.After {
			b = append(appendText(b, key), ',')
		}
		b[len(b)-1] = ']'
		b = append(b, ',')
	}
	b = appendTime(b, "not_before", e.NotBefore)
	b = appendTime(b, "expires_at", e.ExpiresAt)
	if len(e.Meta) > 0 {
		b = append(b, `"meta":{`...)
		for _, name := range slices.Sorted(maps.Keys(e.Meta)) {
			b = appendMember(b, name, e.Meta[name])
		}
		b = append(closeObject(b), ',')
	}
	return b
}

func (m *Match) append(b []byte, raw func([]byte, jsontext.Value) []byte) []byte {
	kind, list := "all", m.All
	if len(m.Any) > 0 {
		kind, list = "any", m.Any
	}
	b = append(append(append(b, `"match":{"`...), kind...), `":{`...)
	for _, c := range list {
		b = append(appendText(b, c.Field), ':')
		b = append(raw(b, c.Value), ',')
	}
	return append(closeObject(b), `},`...)
}

func appendRaw(b []byte, v jsontext.Value) []byte { return append(b, v...) }

func appendMember(b []byte, name, text string) []byte {
	b = append(appendText(b, name), ':')
	return append(appendText(b, text), ',')
}

func appendText(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text) // fails only on what is not UTF-8; Validate has refused that
	return b
}

func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendMember(b, name, t.Format(time.RFC3339Nano))
}

// closeObject ends an object whose members have a comma behind each.
func closeObject(b []byte) []byte {
	if b[len(b)-1] == ',' {
		b[len(b)-1] = '}'
		return b
	}
	return append(b, '}')
}
