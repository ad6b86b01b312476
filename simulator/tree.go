package simulator

import (
	"cmp"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of one tree call.
const (
	maxTreeRecords = 200
	maxTreeLevels  = 5
	maxTreeTypes   = 5
)

// treeRecord is a record of a tree that is to be created.
type treeRecord struct {
	referenceID string
	object      *object
	write       write
	parent      *treeRecord
	lookup      *field // points to the parent
	id          string // once it is created
	children    []treeChildren
}

// treeChildren are a record's children of one relationship, as they were sent.
type treeChildren struct {
	name    string
	records []jsontext.Value
}

// tree is the records of a call, each level after the one it hangs on.
type tree struct {
	org    *org
	levels [][]*treeRecord
}

// treeResult is what became of a record: if any failed, of those alone.
type treeResult struct {
	ReferenceID string      `json:"referenceId"`
	ID          string      `json:"id,omitempty"`
	Errors      []itemError `json:"errors,omitempty"`
}

// itemError is an error as Collections tell it.
type itemError struct {
	StatusCode string   `json:"statusCode"`
	Message    string   `json:"message"`
	Fields     []string `json:"fields"`
}

// createTree answers POST /composite/tree/{Object}.
func createTree(s *Simulator, r *request) *answer {
	roots, err := treeRoots(r.body)
	if err != nil {
		return badJSON(err)
	}
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	obj := s.org.object(r.segments[2])
	if obj == nil || obj.event {
		return notFound()
	}
	t := &tree{org: s.org}
	if err := t.grow(obj, roots); err != nil {
		return badJSON(err)
	}
	if refusal := t.check(); refusal != nil {
		return refusal
	}
	return t.create(s, r)
}

// treeRoots splits the body into the records of the first level.
func treeRoots(body []byte) (roots []jsontext.Value, err error) {
	all, err := members(body)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.name == "records" {
			return elements(m.value)
		}
	}
	return nil, nil
}

// elements splits a JSON array.
func elements(list jsontext.Value) (all []jsontext.Value, err error) {
	in := newJSONReader(list)
	err = in.each('[', func() error {
		v, err := in.dec.ReadValue()
		all = append(all, v.Clone())
		return err
	})
	return all, err
}

// grow reads level after level.
func (t *tree) grow(root *object, roots []jsontext.Value) error {
	var level []*treeRecord
	for _, v := range roots {
		record, err := t.read(v, nil, "")
		if err != nil {
			return err
		}
		if record.object != nil && record.object != root {
			record.write.err = refuse("INVALID_INPUT", "The type of the record is not "+root.Name)
		}
		level = append(level, record)
	}
	for len(level) > 0 {
		t.levels = append(t.levels, level)
		next, err := t.children(level)
		if err != nil {
			return err
		}
		level = next
	}
	return nil
}

// children reads the records that hang on those of a level.
func (t *tree) children(level []*treeRecord) (next []*treeRecord, err error) {
	for _, parent := range level {
		for _, c := range parent.children {
			for _, v := range c.records {
				record, err := t.read(v, parent, c.name)
				if err != nil {
					return nil, err
				}
				next = append(next, record)
			}
		}
	}
	return next, nil
}

// read reads a record that hangs on parent by a relationship, if on any.
func (t *tree) read(v jsontext.Value, parent *treeRecord, relation string) (*treeRecord, error) {
	all, err := members(v)
	if err != nil {
		return nil, err
	}
	record := &treeRecord{parent: parent}
	typ := ""
	var fields []member
	for _, m := range all {
		if m.name == "attributes" {
			typ, record.referenceID = attribute(m.value, "type"), attribute(m.value, "referenceId")
		} else if records, ok := nestedRecords(m.value); ok {
			record.children = append(record.children, treeChildren{m.name, records})
		} else {
			fields = append(fields, m)
		}
	}
	record.object = t.org.object(typ)
	if record.object == nil {
		record.write.err = refuse("INVALID_TYPE", "sObject type '"+typ+"' is not supported.")
		return record, nil
	}
	rr := rowReader{org: t.org, object: record.object}
	record.write = rr.read(fields)
	record.hang(relation)
	return record, nil
}

// nestedRecords are the children in a member's value, if it has children.
func nestedRecords(v jsontext.Value) ([]jsontext.Value, bool) {
	if v.Kind() != '{' {
		return nil, false
	}
	all, err := members(v)
	if err != nil || len(all) != 1 || all[0].name != "records" {
		return nil, false
	}
	records, err := elements(all[0].value)
	return records, err == nil
}

// hang finds the lookup by which a record hangs on its parent.
func (record *treeRecord) hang(relation string) {
	if record.parent == nil || record.parent.object == nil {
		return
	}
	for _, f := range record.object.fields {
		if f.kind == kindReference && f.targets(record.parent.object) && strings.EqualFold(relation, record.object.plural()) {
			record.lookup = f
			return
		}
	}
	record.write.err = cmp.Or(record.write.err, errNoColumn(relation, record.parent.object.Name))
}

// plural is the name that a lookup's target has for the object's rows: Contacts,
// Opportunities, Orders__r.
func (o *object) plural() string {
	name, custom := strings.CutSuffix(o.Name, "__c")
	if stem, ok := strings.CutSuffix(name, "y"); ok {
		name = stem + "ies"
	} else {
		name += "s"
	}
	if custom {
		name += "__r"
	}
	return name
}

// check wants what must be right before anything is created. That these calls
// are refused is documented, the codes are guesses.
func (t *tree) check() *answer {
	n, types := 0, make(map[*object]bool)
	for _, level := range t.levels {
		n += len(level)
		for _, record := range level {
			types[record.object] = true
		}
	}
	switch {
	case n == 0:
		return errorAnswer(http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "At least 1 record is required")
	case n > maxTreeRecords:
		return exceeded(maxTreeRecords, "records")
	case len(t.levels) > maxTreeLevels:
		return exceeded(maxTreeLevels, "levels")
	case len(types) > maxTreeTypes:
		return exceeded(maxTreeTypes, "types of records")
	}
	return t.checkReferences()
}

func exceeded(limit int, of string) *answer {
	return errorAnswer(http.StatusBadRequest, "LIMIT_EXCEEDED", "The request can't contain more than "+strconv.Itoa(limit)+" "+of+".")
}

// checkReferences wants each record to have a referenceId of its own.
func (t *tree) checkReferences() *answer {
	count := make(map[string]int)
	for record := range t.all() {
		count[record.referenceID]++
	}
	var refused []treeResult
	for record := range t.all() {
		switch id := record.referenceID; {
		case id == "":
			refused = append(refused, refusedRecord(id, refuse("INVALID_INPUT", "A record has no referenceId.")))
		case count[id] > 1:
			refused = append(refused, refusedRecord(id, refuse("INVALID_INPUT", "Duplicate ReferenceId provided in the request.")))
		}
	}
	if refused == nil {
		return nil
	}
	return treeAnswer(refused, true)
}

// all goes through the records, level by level.
func (t *tree) all() iter.Seq[*treeRecord] {
	return func(yield func(*treeRecord) bool) {
		for _, level := range t.levels {
			for _, record := range level {
				if !yield(record) {
					return
				}
			}
		}
	}
}

// create inserts the records, or none.
func (t *tree) create(s *Simulator, r *request) *answer {
	c := s.org.begin("rest", "", true)
	defer c.end()
	c.heed(r.Header)
	var created []treeResult
	for _, level := range t.levels {
		var refused []treeResult
		for _, record := range level {
			if err := record.create(s, r, c); err != nil {
				refused = append(refused, refusedRecord(record.referenceID, err))
			}
			created = append(created, treeResult{ReferenceID: record.referenceID, ID: record.id})
		}
		if refused != nil {
			c.rollback()
			return treeAnswer(refused, true)
		}
	}
	return treeAnswer(created, false)
}

func (record *treeRecord) create(s *Simulator, r *request, c *chunk) *rowError {
	w := &record.write
	if w.err != nil {
		return w.err
	}
	if err := s.rowFault(call{"composite.tree", r.method, r.URL.Path, record.object.Name}, r.Header); err != nil {
		return err
	}
	if record.lookup != nil {
		w.set = append(w.set, assignment{record.lookup, record.parent.id})
	}
	out := c.create(record.object, nil, w)
	record.id = out.id
	return out.err
}

func refusedRecord(referenceID string, err *rowError) treeResult {
	return treeResult{ReferenceID: referenceID, Errors: []itemError{{err.code, err.message, nonNil(err.fields)}}}
}

func treeAnswer(results []treeResult, failed bool) *answer {
	status := http.StatusCreated
	if failed {
		status = http.StatusBadRequest
	}
	return valueAnswer(status, struct {
		HasErrors bool         `json:"hasErrors"`
		Results   []treeResult `json:"results"`
	}{failed, results})
}
