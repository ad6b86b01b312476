package dispatcher

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/outboxd/outboxd/salesforce"
)

// mark is what tells a value from others at any org. Which texts are equal is the
// org's matter: letter case, accents, blanks. That two values are apart is said
// only where no rule that an org could have takes one for the other.
type mark interface {
	// apart compares with another mark of the same field.
	apart(mark) bool
}

// markOf is nil where the type of the field, or the value, tells nothing: a
// picklist may be compared by its labels, amounts in several currencies.
func markOf(f *salesforce.Field, v json.RawMessage) mark {
	if v == nil {
		return nil
	}
	text := soqlText(v) // what is asked for
	null := v[0] == 'n'
	switch f.Type {
	case "string", "textarea", "email", "phone", "url":
		if null {
			text = ""
		}
		return outlineOf(text)
	case "int", "long", "double", "percent", "date", "datetime", "id", "reference":
		if null {
			return emptiness{}
		}
	}
	if null {
		return nil // of a boolean it may count as false
	}
	switch f.Type {
	case "int", "long", "double", "percent":
		if n, ok := parseNumber(text); ok {
			value, _ := n.Float64()
			return number{value, math.Pow10(-f.Scale)}
		}
	case "boolean":
		return exact(normalBool(text))
	case "date":
		return exact(text)
	case "datetime":
		if t, ok := parseTime(text); ok {
			return instant(t)
		}
	case "id", "reference":
		if id, err := salesforce.ParseID(text); err == nil {
			return exact(id)
		}
	}
	return nil
}

// emptiness is of a field without a value, which no match asks for.
type emptiness struct{}

func (emptiness) apart(other mark) bool { return other != emptiness{} }

// exact is of what is written in one way only.
type exact string

func (e exact) apart(other mark) bool { return other != e }

// instant is of times. The org stores whole seconds; how it compares parts of one is not known.
type instant time.Time

func (t instant) apart(other mark) bool {
	u, ok := other.(instant)
	return !ok || time.Time(t).Sub(time.Time(u)).Abs() >= 2*time.Second
}

// number is of numbers. The org may round them to the field's scale, whose unit is
// the least step, before it compares, and answers with the digits of a float64.
type number struct{ value, unit float64 }

func (n number) apart(other mark) bool {
	m, ok := other.(number)
	if !ok {
		return true
	}
	const step, blur = 0.99, 1e-14 // of a unit; of the number
	distance := math.Abs(n.value - m.value)
	return distance > step*n.unit && distance > blur*math.Abs(n.value)
}

// outline is of texts: their letters and digits, without what an org may overlook.
// What is adorned is a gap that may stand for anything.
type outline string

const gap = '*'

// unadorned are the letters beyond ASCII that no accent, width or ligature has to do
// with: of Greek, Cyrillic (but й, which is и with a breve) and Han.
var unadorned = &unicode.RangeTable{R16: []unicode.Range16{
	{0x0391, 0x03a9, 1}, {0x03b1, 0x03c9, 1}, {0x0410, 0x0418, 1}, {0x041a, 0x0438, 1}, {0x043a, 0x044f, 1}, {0x3400, 0x4dbf, 1}, {0x4e00, 0x9fff, 1},
}}

func outlineOf(text string) outline {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		switch {
		case 'A' <= r && r <= 'Z':
			b = append(b, byte(r)+'a'-'A')
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b = append(b, byte(r))
		case r < utf8.RuneSelf:
		case r == 'ς': // σ at the end of a word
			b = append(b, "σ"...)
		case unicode.Is(unadorned, r):
			b = utf8.AppendRune(b, unicode.ToLower(r))
		default:
			b = append(b, gap)
		}
	}
	return outline(b)
}

// apart compares what stands before the first gap and behind the last.
func (o outline) apart(other mark) bool {
	a, b := string(o), ""
	if p, ok := other.(outline); ok {
		b = string(p)
	}
	i, j := strings.IndexByte(a, gap), strings.IndexByte(b, gap)
	if i < 0 && j < 0 {
		return a != b
	}
	n := min(start(a, i), start(b, j))
	if a[:n] != b[:n] {
		return true
	}
	n = min(ending(a), ending(b))
	return a[len(a)-n:] != b[len(b)-n:]
}

// start is how long a text is before its first gap, at i or nowhere.
func start(text string, i int) int {
	if i < 0 {
		return len(text)
	}
	return i
}

// ending is how long a text is behind its last gap.
func ending(text string) int { return len(text) - 1 - strings.LastIndexByte(text, gap) }
