package event

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// tree is a JSON text that is well formed, taken apart once, so that all that
// is asked of an event later need not look at its bytes again. It is as strict
// as jsontext (RFC 7493: UTF-8, no lone surrogates), but for doubled names,
// which its readers find: they know which of them letter case tells apart. The
// fuzz test FuzzTree holds it to that.
type tree struct {
	b     []byte
	nodes []node // the root is the first; a value is followed by all that is in it
}

// node is a value or the name of a member. In an object names and values
// alternate.
type node struct {
	begin, end int32 // of its bytes
	next       int32 // the node behind it and all that is in it
	escaped    bool  // a string with a backslash in it
}

// deepest bounds the recursion, far above MaxDepth, as jsontext does.
const deepest = 10000

var trees = sync.Pool{New: func() any { return new(tree) }}

// parse is nil for what is not one well-formed value. The tree holds on to b,
// and is given back by free.
func parse(b []byte) *tree {
	t := trees.Get().(*tree)
	t.b, t.nodes = b, t.nodes[:0]
	end := t.value(skipSpace(b, 0), 1)
	if end < 0 || skipSpace(b, end) != len(b) {
		t.free()
		return nil
	}
	return t
}

func (t *tree) free() {
	const worthKeeping = 4096
	t.b = nil
	if cap(t.nodes) <= worthKeeping {
		trees.Put(t)
	}
}

// bad is where a text that is not well formed ends.
const bad = -1

// value reads the value that begins at i and returns where it ends.
func (t *tree) value(i, depth int) int {
	if i >= len(t.b) {
		return bad
	}
	at := len(t.nodes)
	t.nodes = append(t.nodes, node{begin: int32(i)})
	end, escaped := bad, false
	switch c := t.b[i]; c {
	case '"':
		end, escaped = scanString(t.b, i)
	case '{':
		end = t.object(i, depth)
	case '[':
		end = t.array(i, depth)
	case 't':
		end = scanLiteral(t.b, i, "true")
	case 'f':
		end = scanLiteral(t.b, i, "false")
	case 'n':
		end = scanLiteral(t.b, i, "null")
	default:
		end = scanNumber(t.b, i)
	}
	n := &t.nodes[at]
	n.end, n.next, n.escaped = int32(end), int32(len(t.nodes)), escaped
	return end
}

func (t *tree) object(i, depth int) int {
	if depth > deepest {
		return bad
	}
	i = skipSpace(t.b, i+1)
	if i < len(t.b) && t.b[i] == '}' {
		return i + 1
	}
	for i < len(t.b) && t.b[i] == '"' {
		begin := i
		end, escaped := scanString(t.b, i)
		if end < 0 {
			return bad
		}
		t.nodes = append(t.nodes, node{int32(begin), int32(end), int32(len(t.nodes) + 1), escaped})
		if i = skipSpace(t.b, end); i >= len(t.b) || t.b[i] != ':' {
			return bad
		}
		if i = t.value(skipSpace(t.b, i+1), depth+1); i < 0 {
			return bad
		}
		i = skipSpace(t.b, i)
		switch {
		case i >= len(t.b):
			return bad
		case t.b[i] == '}':
			return i + 1
		case t.b[i] != ',':
			return bad
		}
		i = skipSpace(t.b, i+1)
	}
	return bad
}

func (t *tree) array(i, depth int) int {
	if depth > deepest {
		return bad
	}
	i = skipSpace(t.b, i+1)
	if i < len(t.b) && t.b[i] == ']' {
		return i + 1
	}
	for {
		if i = t.value(i, depth+1); i < 0 {
			return bad
		}
		i = skipSpace(t.b, i)
		switch {
		case i >= len(t.b):
			return bad
		case t.b[i] == ']':
			return i + 1
		case t.b[i] != ',':
			return bad
		}
		i = skipSpace(t.b, i+1)
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

func scanLiteral(b []byte, i int, literal string) int {
	if len(b)-i < len(literal) || string(b[i:i+len(literal)]) != literal {
		return bad
	}
	return i + len(literal)
}

// scanNumber follows RFC 8259: no zeros before, digits on both sides of the point.
func scanNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	switch whole := scanDigits(b, i); {
	case whole == i, b[i] == '0' && whole > i+1:
		return bad
	default:
		i = whole
	}
	if i < len(b) && b[i] == '.' {
		end := scanDigits(b, i+1)
		if end == i+1 {
			return bad
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := scanDigits(b, i)
		if end == i {
			return bad
		}
		i = end
	}
	return i
}

func scanDigits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// special are the bytes within a string that need a closer look.
var special = func() (table [256]bool) {
	for c := range table {
		table[c] = c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return table
}()

// scanString returns the end of the string whose opening quote is at i.
func scanString(b []byte, i int) (end int, escaped bool) {
	i++
	for {
		for i < len(b) && !special[b[i]] {
			i++
		}
		switch {
		case i >= len(b):
			return bad, escaped
		case b[i] == '"':
			return i + 1, escaped
		case b[i] == '\\':
			escaped = true
			if i = scanEscape(b, i); i < 0 {
				return bad, escaped
			}
		case b[i] < ' ':
			return bad, escaped
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return bad, escaped
			}
			i += size
		}
	}
}

// scanEscape returns the end of the escape that begins at i; a pair of surrogates is one.
func scanEscape(b []byte, i int) int {
	if i+1 >= len(b) {
		return bad
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
	default:
		return bad
	}
	const firstLow, lastSurrogate, firstHigh = 0xdc00, 0xdfff, 0xd800
	r := scanHex(b, i)
	switch {
	case r < 0:
		return bad
	case r < firstHigh || r > lastSurrogate:
		return i + 6
	case r >= firstLow || i+7 >= len(b) || b[i+6] != '\\' || b[i+7] != 'u':
		return bad
	}
	if low := scanHex(b, i+6); low < firstLow || low > lastSurrogate {
		return bad
	}
	return i + 12
}

// scanHex is the number in the escape \u1234 at i, or below 0.
func scanHex(b []byte, i int) int {
	if i+6 > len(b) {
		return bad
	}
	n := 0
	for _, c := range b[i+2 : i+6] {
		n <<= 4
		switch {
		case '0' <= c && c <= '9':
			n |= int(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n |= int(c|0x20-'a') + 10
		default:
			return bad
		}
	}
	return n
}

// kind is the first byte of a value, which tells its type.
func (t *tree) kind(n int) byte { return t.b[t.nodes[n].begin] }

// raw is the bytes of a node. They are the tree's.
func (t *tree) raw(n int) jsontext.Value {
	at := t.nodes[n]
	return jsontext.Value(t.b[at.begin:at.end:at.end])
}

// copied is raw for keeping.
func (t *tree) copied(n int) jsontext.Value { return bytes.Clone(t.raw(n)) }

// text is what a string or a name says. It may be the tree's bytes.
func (t *tree) text(n int) []byte {
	at := t.nodes[n]
	if at.escaped {
		return unquote(t.b[at.begin:at.end])
	}
	return t.b[at.begin+1 : at.end-1]
}

// behind is the node behind a value and all that is in it. What is in an object
// begins one node after it, name and value in turn:
//
//	for m := object + 1; m < t.behind(object); m = t.behind(m + 1) {
//		name, value := m, m+1
//	}
func (t *tree) behind(n int) int { return int(t.nodes[n].next) }

// member returns the value of an object's member, whatever the letter case of its name.
func (t *tree) member(object int, name string) (value int, ok bool) {
	for m := object + 1; m < t.behind(object); m = t.behind(m + 1) {
		if text := t.text(m); len(text) == len(name) && strings.EqualFold(string(text), name) {
			return m + 1, true
		}
	}
	return 0, false
}

// unquote returns the text of a JSON string that is well formed.
func unquote(s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, s)
	return text
}
