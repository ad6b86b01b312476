package event

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Digest is that of the event as it was accepted, without its key: SHA-256, cut
// to 16 bytes. The order of members, white space and the way a text is escaped
// make no difference; digits of numbers do, and so does the form of an Id.
//
// It is taken when the event is accepted, from an event that Validate passed;
// an event put together from a stored head has another where its Id was sent
// with 15 characters.
func (e *Event) Digest() [16]byte {
	c := canons.Get().(*canon)
	defer c.free()
	accepted := *e
	if id, _ := canonicalID(e.acceptedID); id != "" && id == e.ID {
		accepted.ID = e.acceptedID
	}
	accepted.Match = e.Match.sorted()

	c.out = append(c.out[:0], '{')
	if e.Fields != nil {
		c.out = append(c.out, `"fields":`...)
		c.value(e.Fields, skipSpace(e.Fields, 0))
		c.out = append(c.out, ',')
	}
	c.out = accepted.appendHead(c.out, appendCanonical)
	c.out = appendMember(c.out, "object", e.Object)
	c.out = appendMember(c.out, "operation", string(e.Operation))
	if e.Source != "" {
		c.out = appendMember(c.out, "source", e.Source)
	}
	sum := sha256.Sum256(append(c.out, '}'))
	return [16]byte(sum[:])
}

// sorted is the match with its conditions in the order of their fields.
func (m *Match) sorted() *Match {
	if m == nil {
		return nil
	}
	byField := func(a, b Condition) int { return strings.Compare(a.Field, b.Field) }
	return &Match{
		All: slices.SortedFunc(slices.Values(m.All), byField),
		Any: slices.SortedFunc(slices.Values(m.Any), byField),
	}
}

// canon writes the canonical form of JSON values, one behind the other, to out:
// members sorted by name, each followed by a comma, texts escaped in one way,
// numbers as they are. It is for hashing, not for reading back.
type canon struct {
	out, sorted []byte
	spans       []span
}

// span is a member in out, and its name within.
type span struct{ begin, nameEnd, end int }

var canons = sync.Pool{New: func() any { return new(canon) }}

func (c *canon) free() {
	const worthKeeping = 64 << 10
	if cap(c.out)+cap(c.sorted) <= worthKeeping {
		canons.Put(c)
	}
}

// value writes the value that begins at i, and returns where it ends.
func (c *canon) value(b []byte, i int) int {
	switch b[i] {
	case '{':
		return c.object(b, i)
	case '[':
		return c.array(b, i)
	}
	end := skipValue(b, i)
	c.out = appendCanonical(c.out, jsontext.Value(b[i:end]))
	return end
}

func (c *canon) object(b []byte, i int) int {
	first := len(c.spans)
	c.out = append(c.out, '{')
	ordered := true
	for i = skipSpace(b, i+1); b[i] != '}'; {
		begin, nameEnd := len(c.out), skipString(b, i)
		c.out = appendCanonical(c.out, jsontext.Value(b[i:nameEnd]))
		s := span{begin: begin, nameEnd: len(c.out)}
		c.out = append(c.out, ':')
		i = skipComma(b, c.value(b, skipColon(b, nameEnd)))
		c.out = append(c.out, ',')
		s.end = len(c.out)
		c.spans = append(c.spans, s)
		if n := len(c.spans); n-1 > first {
			ordered = ordered && c.compare(c.spans[n-2], s) <= 0
		}
	}
	if !ordered {
		c.sort(c.spans[first:])
	}
	c.spans = c.spans[:first]
	c.out = append(c.out, '}')
	return i + 1
}

func (c *canon) array(b []byte, i int) int {
	c.out = append(c.out, '[')
	for i = skipSpace(b, i+1); b[i] != ']'; {
		i = skipComma(b, c.value(b, i))
		c.out = append(c.out, ',')
	}
	c.out = append(c.out, ']')
	return i + 1
}

func (c *canon) compare(a, b span) int {
	return bytes.Compare(c.out[a.begin:a.nameEnd], c.out[b.begin:b.nameEnd])
}

// sort puts members that lie side by side at the end of out into order.
func (c *canon) sort(spans []span) {
	begin := spans[0].begin
	slices.SortFunc(spans, c.compare)
	c.sorted = c.sorted[:0]
	for _, s := range spans {
		c.sorted = append(c.sorted, c.out[s.begin:s.end]...)
	}
	copy(c.out[begin:], c.sorted)
}

// appendCanonical writes a string, number or literal. A string without escapes
// is canonical as it stands.
func appendCanonical(dst []byte, v jsontext.Value) []byte {
	if v[0] == '"' && bytes.IndexByte(v, '\\') >= 0 {
		return appendText(dst, string(unquote(v)))
	}
	return append(dst, v...)
}
