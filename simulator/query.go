package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// column is a field of the queried object, or of a parent one level up.
type column struct {
	lookup *field // nil: of the object itself
	field  *field
}

// of is the column's value in a row; a missing parent's is null.
func (c column) of(o *org, r *record) string {
	if c.lookup != nil {
		if r = o.parent(r, c.lookup); r == nil {
			return ""
		}
	}
	return r.get(c.field)
}

// parent follows a lookup.
func (o *org) parent(r *record, lookup *field) *record {
	id := r.get(lookup)
	if id == "" {
		return nil
	}
	if obj := o.byPrefix(id); obj != nil {
		return obj.rows[id]
	}
	return nil
}

// query is a statement bound to the schema.
type query struct {
	org     *org
	object  *object
	columns []column
	filter  *filter
	order   []boundOrder
	st      *statement
	deleted bool // rows of the recycle bin too
}

type boundOrder struct {
	column
	ordering
}

// filter is a condition bound to the schema.
type filter struct {
	connect  string
	parts    []*filter
	column   column
	operator string
	values   []string // in the form in which the field is compared; "" is null
}

// bind finds everything that a statement names.
func (o *org) bind(st *statement, deleted bool) (*query, *rowError) {
	obj := o.object(st.from)
	if obj == nil {
		return nil, refuse("INVALID_TYPE", errorAt(st.text, st.from, "sObject type '"+st.from+"' is not supported."+
			" If you are attempting to use a custom object, be sure to append the '__c' after the entity name."+seeDescribe))
	}
	if obj.event {
		return nil, refuse("INVALID_TYPE_FOR_OPERATION", "entity type "+obj.Name+" does not support query")
	}
	q := &query{org: o, object: obj, st: st, deleted: deleted}
	for _, p := range st.fields {
		c, err := q.column(p)
		if err != nil {
			return nil, err
		}
		if slices.Contains(q.columns, c) {
			return nil, malformed("duplicate field selected: %s", p)
		}
		q.columns = append(q.columns, c)
	}
	for _, ord := range st.order {
		c, err := q.column(ord.path)
		if err != nil {
			return nil, err
		}
		q.order = append(q.order, boundOrder{c, ord})
	}
	var err *rowError
	if st.where != nil {
		q.filter, err = q.bindFilter(st.where)
	}
	return q, err
}

// shownBefore is how much of a statement an error shows before its place.
const shownBefore = 32

// seeDescribe ends the errors about names.
const seeDescribe = " Please reference your WSDL or the describe call for the appropriate names."

func errorAt(text, token, message string) string {
	at := max(strings.Index(text, token), 0)
	from := max(at-shownBefore, 0)
	for from > 0 && !utf8.RuneStart(text[from]) {
		from++
	}
	return fmt.Sprintf("\n%s\n%s^\nERROR at Row:1:Column:%d\n%s", text[from:], strings.Repeat(" ", at-from), at+1, message)
}

// column finds a field, or one of a parent.
func (q *query) column(p fieldPath) (column, *rowError) {
	obj := q.object
	c := column{}
	if p.relation != "" {
		c.lookup = q.object.byRel[strings.ToLower(p.relation)]
		if c.lookup == nil {
			return c, refuse("INVALID_FIELD", errorAt(q.st.text, p.String(),
				"Didn't understand relationship '"+p.relation+"' in field path."))
		}
		if obj = q.org.object(c.lookup.ReferenceTo[0]); obj == nil || len(c.lookup.ReferenceTo) > 1 {
			return c, refuse("INVALID_FIELD", "Relationship "+p.relation+" has several targets")
		}
	}
	if c.field = obj.field(p.name); c.field == nil {
		return c, refuse("INVALID_FIELD", errorAt(q.st.text, p.name, "No such column '"+p.name+"' on entity '"+obj.Name+
			"'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."+seeDescribe))
	}
	return c, nil
}

func (q *query) bindFilter(c *condition) (*filter, *rowError) {
	f := &filter{connect: c.connect, operator: c.operator}
	for _, part := range c.parts {
		bound, err := q.bindFilter(part)
		if err != nil {
			return nil, err
		}
		f.parts = append(f.parts, bound)
	}
	if c.connect != "" {
		return f, nil
	}
	var err *rowError
	if f.column, err = q.column(c.path); err != nil {
		return nil, err
	}
	if !f.column.field.filterable() {
		return nil, refuse("INVALID_FIELD", errorAt(q.st.text, c.path.String(),
			"field '"+c.path.String()+"' can not be filtered in a query call"))
	}
	for _, lit := range c.literals {
		v, err := f.column.field.literal(lit, q.st.text)
		if err != nil {
			return nil, err
		}
		f.values = append(f.values, v)
	}
	return f, nil
}

// literal wants a literal of the field's type and returns the form in which
// values are compared.
func (f *field) literal(lit literal, text string) (string, *rowError) {
	want, name := literalString, "string"
	switch f.kind {
	case kindBool:
		want, name = literalBool, "boolean"
	case kindInt, kindNumber:
		want, name = literalNumber, f.Type
	case kindDate:
		want, name = literalDate, "date"
	case kindDateTime:
		want, name = literalDateTime, "dateTime"
	}
	switch {
	case lit.kind == literalNull:
		return "", nil
	case lit.kind != want && want == literalString:
		return "", refuse("INVALID_FIELD", errorAt(text, f.Name, "value of filter criterion for field '"+f.Name+
			"' must be of type "+name+" and should be enclosed in quotes"))
	case lit.kind != want:
		return "", refuse("INVALID_FIELD", errorAt(text, f.Name, "value of filter criterion for field '"+f.Name+
			"' must be of type "+name+" and should not be enclosed in quotes"))
	case f.kind == kindReference || f.kind == kindID:
		id, ok := canonicalID(lit.text)
		if !ok {
			return "", refuse("INVALID_QUERY_FILTER_OPERATOR", errorAt(text, f.Name, "invalid ID field: "+lit.text))
		}
		return id, nil
	default:
		return f.key(lit.text), nil
	}
}

// matches evaluates the filter for a row.
func (f *filter) matches(o *org, r *record) bool {
	switch f.connect {
	case "AND":
		return !slices.ContainsFunc(f.parts, func(p *filter) bool { return !p.matches(o, r) })
	case "OR":
		return slices.ContainsFunc(f.parts, func(p *filter) bool { return p.matches(o, r) })
	case "NOT":
		return !f.parts[0].matches(o, r)
	}
	field := f.column.field
	v := field.key(f.column.of(o, r))
	if v == "" && field.kind == kindBool {
		v = "false"
	}
	switch f.operator {
	case "=", "IN":
		return slices.Contains(f.values, v)
	case "!=", "NOTIN":
		return !slices.Contains(f.values, v)
	}
	if v == "" || f.values[0] == "" {
		return false
	}
	switch n := field.compare(v, f.values[0]); f.operator {
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case ">":
		return n > 0
	default:
		return n >= 0
	}
}

// compare orders two values that are not null.
func (f *field) compare(a, b string) int {
	if f.kind == kindInt || f.kind == kindNumber {
		x, _ := strconv.ParseFloat(a, 64) // stored numbers are numbers
		y, _ := strconv.ParseFloat(b, 64)
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// candidates narrows the rows down by an index; false: it can't.
func (q *query) candidates(f *filter) ([]*record, bool) {
	switch {
	case f == nil || f.connect == "NOT":
		return nil, false
	case f.connect == "AND":
		for _, p := range f.parts {
			if rows, ok := q.candidates(p); ok {
				return rows, true
			}
		}
		return nil, false
	case f.connect == "OR":
		var all []*record
		for _, p := range f.parts {
			rows, ok := q.candidates(p)
			if !ok {
				return nil, false
			}
			all = append(all, rows...)
		}
		return all, true
	default:
		return q.lookUp(f)
	}
}

func (q *query) lookUp(f *filter) ([]*record, bool) {
	field := f.column.field
	usable := f.operator == "=" || f.operator == "IN"
	if !usable || f.column.lookup != nil || slices.Contains(f.values, "") || !field.indexed() && field.system != sysID {
		return nil, false
	}
	var rows []*record
	for _, v := range f.values {
		if field.system == sysID {
			if r := q.object.rows[v]; r != nil {
				rows = append(rows, r)
			}
			continue
		}
		rows = append(rows, field.live.all(v)...)
		if q.deleted {
			rows = append(rows, field.bin.all(v)...)
		}
	}
	return rows, true
}

// run returns the rows in order. The caller holds the rows.
func (q *query) run() []*record {
	source, indexed := q.candidates(q.filter)
	if !indexed {
		source = q.object.order
	} else {
		slices.SortFunc(source, byNumber)
		source = slices.Compact(source)
	}
	var rows []*record
	for _, r := range source {
		if r.purged || r.deleted && !q.deleted || q.org.hides(r) || q.filter != nil && !q.filter.matches(q.org, r) {
			continue
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, q.compare)
	rows = rows[min(q.st.offset, len(rows)):]
	if q.st.limit >= 0 {
		rows = rows[:min(q.st.limit, len(rows))]
	}
	return rows
}

func (q *query) compare(a, b *record) int {
	for _, o := range q.order {
		x, y := o.field.key(o.of(q.org, a)), o.field.key(o.of(q.org, b))
		n := 0
		switch {
		case x == y:
			continue
		case x == "" || y == "":
			n = cmp.Compare(len(x), len(y)) // nulls are first
			if o.nullsLast {
				n = -n
			}
			return n
		default:
			n = o.field.compare(x, y)
		}
		if o.down {
			return -n
		}
		return n
	}
	return 0
}

// appendRecord appends a row with the columns of the query.
func (q *query) appendRecord(b []byte, r *record, base string) []byte {
	b = appendAttributes(b, r, base)
	for i, c := range q.columns {
		switch {
		case c.lookup == nil:
			b = append(b, ',')
			b = appendQuoted(b, c.field.Name)
			b = append(b, ':')
			b = appendField(b, r, c.field, base)
		case slices.IndexFunc(q.columns, func(other column) bool { return other.lookup == c.lookup }) == i:
			b = append(b, ',')
			b = q.appendParent(b, r, c.lookup, base)
		}
	}
	return append(b, '}')
}

// appendParent appends all columns of one parent.
func (q *query) appendParent(b []byte, r *record, lookup *field, base string) []byte {
	b = appendQuoted(b, lookup.Relationship)
	b = append(b, ':')
	parent := q.org.parent(r, lookup)
	if parent == nil {
		return append(b, "null"...)
	}
	b = appendAttributes(b, parent, base)
	for _, c := range q.columns {
		if c.lookup == lookup {
			b = append(b, ',')
			b = appendQuoted(b, c.field.Name)
			b = append(b, ':')
			b = appendField(b, parent, c.field, base)
		}
	}
	return append(b, '}')
}

// cursor is the rest of a query's answer.
type cursor struct {
	query   *query
	rows    []*record
	size    int // rows a page
	expires time.Time
}

// cursors keeps the queries that have more pages.
type cursors struct {
	clock *clock
	mu    sync.Mutex
	next  uint64
	open  map[string]*cursor
	order []string
}

// maxCursors bounds the open ones; the oldest goes.
const maxCursors = 1_000

func newCursors(c *clock) *cursors { return &cursors{clock: c, open: make(map[string]*cursor)} }

func (cs *cursors) add(c *cursor) string {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	id := newID("01g", firstNumber+cs.next)
	cs.next++
	c.expires = cs.clock.now().Add(2 * day)
	cs.open[id] = c
	cs.order = append(cs.order, id)
	if len(cs.order) > maxCursors {
		delete(cs.open, cs.order[0])
		cs.order = cs.order[1:]
	}
	return id
}

func (cs *cursors) get(id string) *cursor {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.open[id]
	if c == nil || c.expires.Before(cs.clock.now()) {
		return nil
	}
	return c
}

func (cs *cursors) clear() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	clear(cs.open)
	cs.order = nil
}

// runQuery answers GET /query, /queryAll and their further pages.
func runQuery(s *Simulator, r *request) *answer {
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	if len(r.segments) == 2 {
		return s.nextPage(r)
	}
	st, err := parseSOQL(r.query.Get("q"))
	if err != nil {
		return queryRefused(err)
	}
	q, err := s.org.bind(st, r.segments[0] == "queryAll")
	if err != nil {
		return queryRefused(err)
	}
	s.org.mu.Lock()
	defer s.org.mu.Unlock()
	rows := q.run()
	if st.count {
		return jsonAnswer(http.StatusOK, fmt.Appendf(nil, `{"totalSize":%d,"done":true,"records":[]}`, len(rows)))
	}
	c := &cursor{query: q, rows: rows, size: pageRows(r)}
	id := ""
	if len(rows) > c.size {
		id = s.cursor.add(c)
	}
	return c.page(r, id, 0)
}

func queryRefused(err *rowError) *answer {
	return errorAnswer(http.StatusBadRequest, err.code, err.message)
}

// pageRows is the page size that the client wishes, 200 to 2,000.
func pageRows(r *request) int {
	_, size, _ := strings.Cut(r.Header.Get("Sforce-Query-Options"), "batchSize=")
	n, err := strconv.Atoi(size)
	if err != nil {
		return 2_000
	}
	return min(max(n, 200), 2_000)
}

// nextPage answers a locator: the cursor's id and the number of rows before.
func (s *Simulator) nextPage(r *request) *answer {
	id, offset, _ := strings.Cut(r.segments[1], "-")
	from, err := strconv.Atoi(offset)
	c := s.cursor.get(id)
	stale := c == nil || s.org.object(c.query.object.Name) != c.query.object
	if err != nil || stale || from < 0 || from > len(c.rows) {
		return errorAnswer(http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
	}
	s.org.mu.Lock()
	defer s.org.mu.Unlock()
	return c.page(r, id, from)
}

// page renders the rows from an offset on. The caller holds the rows.
func (c *cursor) page(r *request, id string, from int) *answer {
	to := min(from+c.size, len(c.rows))
	b := fmt.Appendf(nil, `{"totalSize":%d,"done":%t,`, len(c.rows), to == len(c.rows))
	if to < len(c.rows) {
		b = fmt.Appendf(b, `"nextRecordsUrl":"%s/query/%s-%d",`, versionPath(r.version), id, to)
	}
	b = append(b, `"records":[`...)
	for i, row := range c.rows[from:to] {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.query.appendRecord(b, row, versionPath(r.version))
	}
	return jsonAnswer(http.StatusOK, append(b, "]}"...))
}

var fromObject = regexp.MustCompile(`(?i)\sFROM\s+(\w+)`)

// queriedObject is what a query asks for, for faults.
func queriedObject(_ *Simulator, r *request) string {
	if m := fromObject.FindStringSubmatch(r.query.Get("q")); m != nil {
		return m[1]
	}
	return ""
}
