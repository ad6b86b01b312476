package event

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
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
	named := e.ID
	if id, _ := canonicalID(e.acceptedID); id != "" && id == e.ID {
		named = e.acceptedID
	}
	c := canons.Get().(*canon)
	defer c.free()
	out := append(c.out[:0], '{')
	if e.Fields != nil {
		sum := e.fieldFacts().sum
		out = append(append(append(out, `"fields":`...), sum[:]...), ',')
	}
	out = e.appendHead(out, named, e.Match.sorted(), appendCanonical)
	out = appendMember(out, "object", e.Object)
	out = appendMember(out, "operation", string(e.Operation))
	if e.Source != "" {
		out = appendMember(out, "source", e.Source)
	}
	c.out = append(out, '}')
	sum := sha256.Sum256(c.out)
	return [16]byte(sum[:])
}

// sumOf is the hash of a value's canonical form.
func sumOf(t *tree, n int) [sha256.Size]byte {
	c := canons.Get().(*canon)
	defer c.free()
	c.t, c.out = t, c.out[:0]
	c.value(n)
	return sha256.Sum256(c.out)
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

// canon writes the canonical form of a JSON value to out: members sorted by
// name, each followed by a comma, texts escaped in one way, numbers as they
// are. It is for hashing, not for reading back.
type canon struct {
	t           *tree
	out, sorted []byte
	spans       []span
}

// span is a member in out, and its name within.
type span struct {
	begin, nameEnd, end int
	start               uint64 // the first bytes of the name, which mostly decide the order
}

var canons = sync.Pool{New: func() any { return new(canon) }}

func (c *canon) free() {
	const worthKeeping = 64 << 10
	c.t = nil
	if cap(c.out)+cap(c.sorted) <= worthKeeping {
		canons.Put(c)
	}
}

func (c *canon) value(n int) {
	switch c.t.kind(n) {
	case '{':
		c.object(n)
	case '[':
		c.out = append(c.out, '[')
		for m := n + 1; m < c.t.behind(n); m = c.t.behind(m) {
			c.value(m)
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, ']')
	default:
		c.scalar(n)
	}
}

func (c *canon) object(n int) {
	first := len(c.spans)
	c.out = append(c.out, '{')
	ordered := true
	for m := n + 1; m < c.t.behind(n); m = c.t.behind(m + 1) {
		s := span{begin: len(c.out)}
		c.scalar(m)
		s.nameEnd = len(c.out)
		var start [8]byte
		copy(start[:], c.out[s.begin:])
		s.start = binary.BigEndian.Uint64(start[:])
		c.out = append(c.out, ':')
		c.value(m + 1)
		c.out = append(c.out, ',')
		s.end = len(c.out)
		if count := len(c.spans); count > first {
			ordered = ordered && c.compare(c.spans[count-1], s) <= 0
		}
		c.spans = append(c.spans, s)
	}
	if !ordered {
		c.sort(c.spans[first:])
	}
	c.spans = c.spans[:first]
	c.out = append(c.out, '}')
}

func (c *canon) compare(a, b span) int {
	if a.start != b.start {
		return cmp.Compare(a.start, b.start)
	}
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

// scalar writes a string, number or literal.
func (c *canon) scalar(n int) {
	if c.t.nodes[n].escaped {
		c.out = appendText(c.out, string(c.t.text(n)))
		return
	}
	c.out = append(c.out, c.t.raw(n)...)
}

// appendCanonical writes a string, number or literal. A string without escapes
// is canonical as it stands.
func appendCanonical(dst []byte, v jsontext.Value) []byte {
	if v[0] == '"' && bytes.IndexByte(v, '\\') >= 0 {
		return appendText(dst, string(unquote(v)))
	}
	return append(dst, v...)
}
