package event

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// idOf is the one member of an object that stands for the Id of another event's record.
const idOf = "$id_of"

// fieldFacts is what one walk over fields finds.
type fieldFacts struct {
	of       jsontext.Value
	ids      []string // keys named by $id_of, each once
	problems []FieldError
}

// fieldFacts walks over Fields unless Decode has done so.
func (e *Event) fieldFacts() fieldFacts {
	switch {
	case e.Fields == nil:
		return fieldFacts{}
	case len(e.Fields) > 0 && len(e.Fields) == len(e.facts.of) && &e.Fields[0] == &e.facts.of[0]:
		return e.facts
	}
	if err := checkObject("fields", e.Fields); err != nil {
		return fieldFacts{problems: []FieldError{*err}}
	}
	return scanFields(e.Fields)
}

// checkObject is for JSON that has not come through Decode.
func checkObject(path string, v jsontext.Value) *FieldError {
	if err := checkSyntax(v); err != nil {
		f := err.Fields[0]
		return &FieldError{strings.TrimSuffix(path+"."+f.Path, "."), f.Detail}
	}
	if v = v[skipSpace(v, 0):]; v[0] != '{' {
		return &FieldError{path, wrongType("an object", v)}
	}
	return nil
}

// IDsOf returns the keys that fields name by {"$id_of": "key"}, each once, in
// the order of their places. The event waits for them as for those of After.
func (e *Event) IDsOf() []string { return slices.Clone(e.fieldFacts().ids) }

// fieldWalk checks the names in fields and gathers what they refer to.
type fieldWalk struct {
	b     []byte
	path  []step
	names [][]byte // of the objects around the place at hand, innermost last
	facts fieldFacts
	p     problems
}

// step is one part of a path: a name, or an index into an array.
type step struct {
	name  []byte
	index int
}

// scanFields walks over an object that is well formed.
func scanFields(fields jsontext.Value) fieldFacts {
	w := fieldWalk{b: fields, path: make([]step, 0, 8), names: make([][]byte, 0, 24)}
	w.facts.of = fields
	w.object(skipSpace(fields, 0))
	w.facts.problems = w.p.list
	return w.facts
}

// value returns the end of the value that begins at i.
func (w *fieldWalk) value(i int) int {
	// The event and fields are two levels, each step but the last is one more.
	if c := w.b[i]; c != '{' && c != '[' {
		return skipValue(w.b, i)
	} else if len(w.path)+2 > MaxDepth {
		w.problem(fmt.Sprintf("nested deeper than %d", MaxDepth))
		return skipValue(w.b, i)
	} else if c == '[' {
		return w.array(i)
	}
	return w.object(i)
}

func (w *fieldWalk) object(i int) int {
	mine, reference := len(w.names), false
	for i = skipSpace(w.b, i+1); w.b[i] != '}'; {
		name, at := memberAt(w.b, i)
		w.path = append(w.path, step{name: name})
		if string(name) == idOf {
			reference = true
			w.reference(at)
		} else {
			w.name(name)
		}
		w.names = append(w.names, name)
		i = skipComma(w.b, w.value(at))
		w.path = w.path[:len(w.path)-1]
	}
	w.findDoubled(w.names[mine:])
	if reference && (len(w.names)-mine > 1 || !w.atField()) {
		w.problem(`{"` + idOf + `": "key"} stands alone, in the place of one field's value`)
	}
	w.names = w.names[:mine]
	return i + 1
}

// findDoubled reports names of one object that letter case alone tells apart, or nothing does.
func (w *fieldWalk) findDoubled(names [][]byte) {
	for i := range doubled(names) {
		w.path = append(w.path, step{name: names[i]})
		w.problem(doubledName)
		w.path = w.path[:len(w.path)-1]
	}
}

const doubledName = "doubled member; letter case does not tell fields apart"

// doubled yields the index of each name that an earlier one equals but for letter case.
func doubled[T ~string | ~[]byte](names []T) iter.Seq[int] {
	return func(yield func(int) bool) {
		const few = 24 // to compare with each other
		var earlier map[string]bool
		if len(names) > few {
			earlier = make(map[string]bool, len(names))
		}
		for i, name := range names {
			double := false
			if earlier != nil {
				low := strings.ToLower(string(name))
				double, earlier[low] = earlier[low], true
			} else {
				for _, n := range names[:i] {
					double = double || len(n) == len(name) && strings.EqualFold(string(n), string(name))
				}
			}
			if double && !yield(i) {
				return
			}
		}
	}
}

func (w *fieldWalk) array(i int) int {
	i = skipSpace(w.b, i+1)
	for n := 0; w.b[i] != ']'; n++ {
		w.path = append(w.path, step{index: n})
		i = skipComma(w.b, w.value(i))
		w.path = w.path[:len(w.path)-1]
	}
	return i + 1
}

// atField says whether the value at hand is a member's.
func (w *fieldWalk) atField() bool {
	return len(w.path) > 0 && w.path[len(w.path)-1].name != nil
}

// name checks one name; at the top some are not the app's to set.
func (w *fieldWalk) name(name []byte) {
	if !isAPIName(name) {
		w.problem(badName)
		return
	}
	if len(w.path) > 1 {
		return
	}
	if len(name) == len("id") && bytes.EqualFold(name, []byte("id")) {
		w.problem("the record is named by the event's own member id, not in fields")
	}
	if len(name) == len("attributes") && bytes.EqualFold(name, []byte("attributes")) {
		w.problem("the event's own member object gives the type; leave attributes out")
	}
}

// reference notes the key that {"$id_of": key} names, its value being at i.
func (w *fieldWalk) reference(i int) {
	if w.b[i] != '"' {
		w.problem(wrongType("a string, the key of another event", w.b[i:]))
		return
	}
	key := string(unquote(w.b[i:skipString(w.b, i)]))
	if detail := keyProblem(key); detail != "" {
		w.problem(detail)
	}
	if slices.Contains(w.facts.ids, key) {
		return
	}
	if len(w.facts.ids) == MaxAfter {
		w.problem(fmt.Sprintf("more than %d keys named by %s", MaxAfter, idOf))
		return
	}
	w.facts.ids = append(w.facts.ids, key)
}

func (w *fieldWalk) problem(detail string) {
	path := "fields"
	for _, s := range w.path {
		if s.name == nil {
			path += "[" + strconv.Itoa(s.index) + "]"
		} else {
			path = join(path, s.name)
		}
	}
	w.p.add(path, detail)
}

// fieldValue returns the value of a top-level field, whatever the letter case of its name.
func fieldValue(fields jsontext.Value, field string) (jsontext.Value, bool) {
	for name, v := range members(fields) {
		if len(name) == len(field) && strings.EqualFold(string(name), field) {
			return v, true
		}
	}
	return nil, false
}

const badName = "not an API name: a letter, then letters, digits and underscores"

// isAPIName says whether name matches ^[A-Za-z][A-Za-z0-9_]*$.
func isAPIName[T ~string | ~[]byte](name T) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return len(name) > 0
}
