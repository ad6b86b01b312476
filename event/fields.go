package event

import (
	"bytes"
	"crypto/sha256"
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
	ids      []string       // keys named by $id_of, each once
	field    string         // of the external id that was looked for
	external jsontext.Value // its value within of, nil if it is not there
	sum      [sha256.Size]byte
	problems []FieldError
}

// fieldFacts walks over Fields unless Decode has done so.
func (e *Event) fieldFacts() fieldFacts {
	switch {
	case e.Fields == nil:
		return fieldFacts{}
	case len(e.Fields) > 0 && len(e.Fields) == len(e.facts.of) && &e.Fields[0] == &e.facts.of[0] &&
		(e.ExternalID == nil || e.ExternalID.Field == e.facts.field):
		return e.facts
	}
	t, problem := parseObject("fields", e.Fields)
	if problem != nil {
		return fieldFacts{problems: []FieldError{*problem}}
	}
	defer t.free()
	return findFacts(t, 0, e.Fields, e.ExternalID)
}

// parseObject is for JSON that has not come through Decode.
func parseObject(path string, v jsontext.Value) (*tree, *FieldError) {
	t := parse(v)
	if t == nil {
		at, detail := syntaxProblem(v)
		return nil, &FieldError{strings.TrimSuffix(path+"."+at, "."), detail}
	}
	if t.kind(0) != '{' {
		defer t.free()
		return nil, &FieldError{path, t.wrongType("an object", 0)}
	}
	return t, nil
}

// findFacts walks over the object at a node. fields is a copy of its bytes, to keep.
func findFacts(t *tree, object int, fields jsontext.Value, external *ExternalID) fieldFacts {
	w := fieldWalk{t: t}
	w.object(object)
	facts := fieldFacts{of: fields, ids: w.ids, problems: w.p.list, sum: sumOf(t, object)}
	if external != nil {
		facts.field = external.Field
		if v, ok := t.member(object, external.Field); ok {
			begin := t.nodes[object].begin
			facts.external = fields[t.nodes[v].begin-begin : t.nodes[v].end-begin]
		}
	}
	return facts
}

// IDsOf returns the keys that fields name by {"$id_of": "key"}, each once, in
// the order of their places. The event waits for them as for those of After.
func (e *Event) IDsOf() []string { return slices.Clone(e.fieldFacts().ids) }

// fieldWalk checks the names in fields and gathers what they refer to.
type fieldWalk struct {
	t    *tree
	path [MaxDepth]step // to the value at hand
	n    int            // how much of path is in use
	ids  []string
	p    problems
}

// step is one part of a path: the node of a name, or else an index into an array.
type step struct{ name, index int }

func (w *fieldWalk) value(n int) {
	// The event and fields are two levels, each step but the last is one more.
	switch kind := w.t.kind(n); {
	case kind != '{' && kind != '[':
	case w.n+2 > MaxDepth:
		w.problem(fmt.Sprintf("nested deeper than %d", MaxDepth))
	case kind == '[':
		w.array(n)
	default:
		w.object(n)
	}
}

func (w *fieldWalk) object(n int) {
	count, reference := 0, false
	for m := n + 1; m < w.t.behind(n); m = w.t.behind(m + 1) {
		w.enter(step{name: m})
		if name := w.t.text(m); string(name) == idOf {
			reference = true
			w.reference(m + 1)
		} else {
			w.name(name)
		}
		w.value(m + 1)
		w.leave()
		count++
	}
	if count > 1 {
		w.findDoubled(n)
	}
	if reference && (count > 1 || w.n == 0 || w.path[w.n-1].name == 0) {
		w.problem(`{"` + idOf + `": "key"} stands alone, in the place of one field's value`)
	}
}

func (w *fieldWalk) array(n int) {
	for i, m := 0, n+1; m < w.t.behind(n); i, m = i+1, w.t.behind(m) {
		w.enter(step{index: i})
		w.value(m)
		w.leave()
	}
}

func (w *fieldWalk) enter(s step) {
	w.path[w.n] = s
	w.n++
}

func (w *fieldWalk) leave() { w.n-- }

const doubledName = "doubled member; letter case does not tell fields apart"

// findDoubled reports names of one object that letter case alone tells apart, or nothing does.
func (w *fieldWalk) findDoubled(object int) {
	var few [24][]byte
	names := few[:0]
	for m := object + 1; m < w.t.behind(object); m = w.t.behind(m + 1) {
		names = append(names, w.t.text(m))
	}
	for i := range doubled(names) {
		w.p.add(join(w.place(), names[i]), doubledName)
	}
}

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

// name checks one name; at the top some are not the app's to set.
func (w *fieldWalk) name(name []byte) {
	if !isAPIName(name) {
		w.problem(badName)
		return
	}
	if w.n > 1 {
		return
	}
	if len(name) == len("id") && bytes.EqualFold(name, []byte("id")) {
		w.problem("the record is named by the event's own member id, not in fields")
	}
	if len(name) == len("attributes") && bytes.EqualFold(name, []byte("attributes")) {
		w.problem("the event's own member object gives the type; leave attributes out")
	}
}

// reference notes the key that {"$id_of": key} names, key being at a node.
func (w *fieldWalk) reference(n int) {
	if w.t.kind(n) != '"' {
		w.problem(w.t.wrongType("a string, the key of another event", n))
		return
	}
	key := string(w.t.text(n))
	if detail := keyProblem(key); detail != "" {
		w.problem(detail)
	}
	if slices.Contains(w.ids, key) {
		return
	}
	if len(w.ids) == MaxAfter {
		w.problem(fmt.Sprintf("more than %d keys named by %s", MaxAfter, idOf))
		return
	}
	w.ids = append(w.ids, key)
}

func (w *fieldWalk) problem(detail string) { w.p.add(w.place(), detail) }

// place is the path of the value at hand.
func (w *fieldWalk) place() string {
	path := "fields"
	for _, s := range w.path[:w.n] {
		if s.name == 0 {
			path += "[" + strconv.Itoa(s.index) + "]"
		} else {
			path = join(path, w.t.text(s.name))
		}
	}
	return path
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
