package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of one Collections call.
const (
	maxCollection = 200
	maxTypes      = 10 // runs of records of one type
	maxReadGET    = 800
	maxReadPOST   = 2_000
)

// collection is the body of a Collections call.
type collection struct {
	whole   bool // allOrNone
	records [][]member
	types   []string
}

// readRecords parses a body and applies the rules that make the whole call fail.
func readRecords(r *request) (*collection, *answer) {
	col := &collection{}
	in := newJSONReader(r.body)
	err := in.each('{', func() error {
		name, err := in.dec.ReadToken()
		if err != nil {
			return err
		}
		switch name.String() {
		case "allOrNone":
			whole, err := in.dec.ReadToken()
			col.whole = err == nil && whole.Kind() == 't'
			return err
		case "records":
			return in.each('[', func() error { return col.add(in) })
		default:
			return fmt.Errorf("unrecognized field %s", name.String())
		}
	})
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return nil, badJSON(err)
	}
	return col, col.check()
}

// add reads one record.
func (col *collection) add(in *jsonReader) error {
	record, err := in.object()
	if err != nil {
		return err
	}
	typ := ""
	for _, m := range record {
		if m.name == "attributes" {
			typ = attributeType(m.value)
		}
	}
	col.records, col.types = append(col.records, record), append(col.types, typ)
	return nil
}

func (col *collection) check() *answer {
	runs := 0
	for i, typ := range col.types {
		if i == 0 || !strings.EqualFold(typ, col.types[i-1]) {
			runs++
		}
	}
	switch {
	case len(col.records) == 0:
		return errorAnswer(http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "At least 1 record is required")
	case len(col.records) > maxCollection:
		return tooManyRecords()
	case runs > maxTypes:
		return errorAnswer(http.StatusBadRequest, "LIMIT_EXCEEDED", "The request has more than 10 chunks of records of one type")
	default:
		return nil
	}
}

func tooManyRecords() *answer {
	return errorAnswer(http.StatusBadRequest, "EXCEEDED_ID_LIMIT",
		"record limit reached. cannot submit more than 200 records into this call")
}

// objects finds the objects of the records' types.
func (col *collection) objects(o *org) ([]*object, *answer) {
	all := make([]*object, len(col.types))
	for i, typ := range col.types {
		if typ == "" {
			return nil, errorAnswer(http.StatusBadRequest, "INVALID_INPUT", "attributes.type is missing in a record")
		}
		if all[i] = o.object(typ); all[i] == nil {
			return nil, errorAnswer(http.StatusBadRequest, "INVALID_TYPE", "sObject type '"+typ+"' is not supported.")
		}
	}
	return all, nil
}

// batch is a Collections call being worked.
type batch struct {
	sim     *Simulator
	req     *request
	kind    string
	objects []*object
	writes  []write
	whole   bool
	created bool // the results tell it
}

// run applies op to the writes in order and answers with one result each.
func (b *batch) run(op func(c *chunk, i int) outcome) *answer {
	b.refuseMixed()
	c := b.sim.org.begin("collections", "", b.whole)
	defer c.end()
	b.whole = b.whole || c.org.tx != nil
	c.heed(b.req.Header)
	out := make([]outcome, len(b.writes))
	anyFailed := false
	for i := range b.writes {
		w := &b.writes[i]
		fault := b.sim.rowFault(call{b.kind, b.req.method, b.req.URL.Path, b.objects[i].Name}, b.req.Header)
		w.err = firstError(w.err, fault)
		out[i] = failed(w.err)
		if w.err == nil {
			out[i] = op(c, i)
		}
		anyFailed = anyFailed || out[i].err != nil
	}
	if anyFailed && b.whole {
		c.rollback()
		for i := range out {
			if out[i].err == nil {
				out[i] = failed(refuse("ALL_OR_NONE_OPERATION_ROLLED_BACK",
					"Record rolled back because not all records were valid and the request was using AllOrNone header"))
			}
		}
	}
	ans := b.answer(out)
	ans.failed = anyFailed && b.whole
	return ans
}

func (b *batch) answer(out []outcome) *answer {
	body := []byte{'['}
	for i, o := range out {
		if i > 0 {
			body = append(body, ',')
		}
		event := b.objects[i] != nil && b.objects[i].event
		body = appendItem(body, o, b.created, event)
	}
	return jsonAnswer(http.StatusOK, append(body, ']'))
}

// refuseDoubles fails every write that shares its name with another of the call.
func refuseDoubles(writes []write, name func(*write) string, refusal func(*write) *rowError) {
	count := make(map[string]int, len(writes))
	for i := range writes {
		count[name(&writes[i])]++
	}
	if len(count) == len(writes) {
		return
	}
	for i := range writes {
		if n := name(&writes[i]); n != "" && count[n] > 1 {
			writes[i].err = refusal(&writes[i])
		}
	}
}

func writeID(w *write) string { return w.id }

func errDoubleID(w *write) *rowError {
	return refuse("DUPLICATE_VALUE", "duplicate id in list: "+w.id)
}

func errDoubleKey(key *field) func(*write) *rowError {
	return func(w *write) *rowError {
		return refuse("DUPLICATE_VALUE", "Duplicate external id specified: "+w.keyValue, key.Name)
	}
}

// refuseMixed fails the records that are set-up objects where the first is
// none, and the other way round: they can't be saved together.
func (b *batch) refuseMixed() {
	first := b.objects[0]
	for i, o := range b.objects {
		b.writes[i].err = firstError(b.writes[i].err, errMixed(o, first))
	}
}

// errMixed tells of an object that can't be saved together with an earlier
// one; nil if it can.
func errMixed(o, first *object) *rowError {
	if o.setup() == first.setup() {
		return nil
	}
	return refuse("MIXED_DML_OPERATION",
		"DML operation on setup object is not permitted after you have updated a non-setup object (or vice versa): "+
			o.Name+", original object: "+first.Name)
}

// setup reports whether the object belongs to the org's administration.
func (o *object) setup() bool {
	return o.Name == "User" || o.Name == "Group" || o.Name == "Organization"
}

// notForEvents fails the writes that platform events know nothing of.
func (b *batch) notForEvents(operation string) {
	for i := range b.writes {
		if w := &b.writes[i]; b.objects[i].event && w.err == nil {
			w.err = refuse("INVALID_TYPE_FOR_OPERATION", "entity type "+b.objects[i].Name+" does not support "+operation)
		}
	}
}

// readWrites turns the records into writes.
func (b *batch) readWrites(col *collection, key *field, update bool) {
	b.whole = col.whole
	for i, record := range col.records {
		rr := rowReader{org: b.sim.org, object: b.objects[i], key: key, update: update}
		b.writes = append(b.writes, rr.read(record))
	}
}

// createCollection answers POST /composite/sobjects.
func createCollection(s *Simulator, r *request) *answer {
	col, refusal := readRecords(r)
	if refusal != nil {
		return refusal
	}
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	objects, refusal := col.objects(s.org)
	if refusal != nil {
		return refusal
	}
	b := &batch{sim: s, req: r, kind: "coll.create", objects: objects}
	b.readWrites(col, nil, false)
	return b.run(func(c *chunk, i int) outcome { return c.create(objects[i], nil, &b.writes[i]) })
}

// updateCollection answers PATCH /composite/sobjects.
func updateCollection(s *Simulator, r *request) *answer {
	col, refusal := readRecords(r)
	if refusal != nil {
		return refusal
	}
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	objects, refusal := col.objects(s.org)
	if refusal != nil {
		return refusal
	}
	b := &batch{sim: s, req: r, kind: "coll.update", objects: objects}
	b.readWrites(col, nil, true)
	b.notForEvents("update")
	refuseDoubles(b.writes, writeID, errDoubleID)
	return b.run(func(c *chunk, i int) outcome { return c.update(objects[i], &b.writes[i]) })
}

// upsertCollection answers PATCH /composite/sobjects/{Object}/{Field}.
func upsertCollection(s *Simulator, r *request) *answer {
	col, refusal := readRecords(r)
	if refusal != nil {
		return refusal
	}
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	obj := s.org.object(r.segments[2])
	if obj == nil || obj.event {
		return notFound()
	}
	key := obj.field(r.segments[3])
	if key == nil || !key.keyed() {
		return errorAnswer(http.StatusNotFound, "NOT_FOUND",
			"Provided external ID field does not exist or is not accessible: "+r.segments[3])
	}
	objects, refusal := col.objects(s.org)
	if refusal != nil {
		return refusal
	}
	for _, o := range objects {
		if o != obj {
			return errorAnswer(http.StatusBadRequest, "INVALID_INPUT", "The type of a record is not "+obj.Name)
		}
	}
	b := &batch{sim: s, req: r, kind: "coll.upsert", objects: objects, created: true}
	b.readWrites(col, key, false)
	refuseDoubles(b.writes, func(w *write) string { return key.key(w.keyValue) }, errDoubleKey(key))
	return b.run(func(c *chunk, i int) outcome { return c.upsert(obj, key, &b.writes[i], false) })
}

// deleteCollection answers DELETE /composite/sobjects?ids=….
func deleteCollection(s *Simulator, r *request) *answer {
	ids := strings.Split(r.query.Get("ids"), ",")
	switch {
	case r.query.Get("ids") == "":
		return errorAnswer(http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "At least 1 Id is required.")
	case len(ids) > maxCollection:
		return tooManyRecords()
	}
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	b := &batch{sim: s, req: r, kind: "coll.delete"}
	b.whole, _ = strconv.ParseBool(r.query.Get("allOrNone"))
	for _, text := range ids {
		w, obj := s.org.deletion(strings.TrimSpace(text))
		b.writes, b.objects = append(b.writes, w), append(b.objects, obj)
	}
	refuseDoubles(b.writes, writeID, errDoubleID)
	return b.run(func(c *chunk, i int) outcome { return c.delete(b.objects[i], b.writes[i].id, false) })
}

// nowhere stands for the object of an id that belongs to none.
var nowhere = &object{}

// deletion is the write that deletes by id, of whatever object.
func (o *org) deletion(text string) (write, *object) {
	id, ok := canonicalID(text)
	if !ok {
		return write{err: refuse("MALFORMED_ID", "malformed id "+text)}, nowhere
	}
	obj := o.byPrefix(id)
	if obj == nil {
		return write{id: id, err: errNoRow()}, nowhere
	}
	return write{id: id}, obj
}

// readCollection answers GET and POST /composite/sobjects/{Object}.
func readCollection(s *Simulator, r *request) *answer {
	ids, names := strings.Split(r.query.Get("ids"), ","), strings.Split(r.query.Get("fields"), ",")
	limit := maxReadGET
	if r.method == http.MethodPost {
		var in struct{ IDs, Fields []string }
		if err := json.Unmarshal(r.body, &in); err != nil {
			return badJSON(err)
		}
		ids, names, limit = in.IDs, in.Fields, maxReadPOST
	}
	if len(ids) > limit {
		return errorAnswer(http.StatusBadRequest, "EXCEEDED_ID_LIMIT", "record limit reached. cannot read more than "+
			strconv.Itoa(limit)+" records in this call")
	}
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	obj := s.org.object(r.segments[2])
	if obj == nil || obj.event {
		return notFound()
	}
	fields, err := obj.choose(names)
	if err != nil {
		return rowAnswer(err, "")
	}
	return jsonAnswer(http.StatusOK, s.org.show(obj, ids, fields, versionPath(r.version)))
}

// show renders rows by id, null for those that are not there.
func (o *org) show(obj *object, ids []string, fields []*field, base string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	body := []byte{'['}
	for i, text := range ids {
		if i > 0 {
			body = append(body, ',')
		}
		id, _ := canonicalID(text)
		if r := obj.rows[id]; r != nil && !r.deleted && !o.hides(r) {
			body = appendRow(body, r, fields, base)
		} else {
			body = append(body, "null"...)
		}
	}
	return append(body, ']')
}

var typeMember = regexp.MustCompile(`"type"\s*:\s*"(\w+)"`)

// firstType is the object of a Collections call's first record, for faults.
func firstType(_ *Simulator, r *request) string {
	if m := typeMember.FindSubmatch(r.body); m != nil {
		return string(m[1])
	}
	return ""
}

// firstPrefix is the object of a delete's first id, for faults.
func firstPrefix(s *Simulator, r *request) string {
	id, _, _ := strings.Cut(r.query.Get("ids"), ",")
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	if id, ok := canonicalID(id); ok && s.org.byPrefix(id) != nil {
		return s.org.byPrefix(id).Name
	}
	return ""
}
