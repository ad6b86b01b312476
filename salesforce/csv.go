package salesforce

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The Bulk API's limits of a CSV, in characters.
const (
	maxCellChars   = 131_072
	maxRecordChars = 400_000
	maxHeaderChars = 32_000
	maxColumns     = 5_000
)

// Null is the cell that clears a field. A text that reads so can't travel in a job.
const Null = "#N/A"

// RowError says why a job can't carry a row. REST may.
type RowError struct {
	Index   int    // of the row among those given
	Code    string // INVALID
	Message string // names the field, not its value
	// Fits: the row's columns only don't fit beside those of the rows before it; it fits a job of its own.
	Fits bool
}

// Table is the data of a job: a CSV as the Bulk API reads it best, UTF-8 without a mark, every cell quoted, lines ended
// by LF. Its rows are written as they come, and are not held in another form beside.
type Table struct {
	Header []string
	// Rows holds for each line the index of its row among those given: rows with a RowError have no line.
	Rows []int

	csv  []byte
	ends []int // within csv, of the header and of each line

	has     []uint16 // the columns of each line's cells that are not empty, one line after another
	hasEnds []int    // within has, of each line
}

// CSV is what is uploaded, header and all. It is the table's: do not change it.
func (t *Table) CSV() []byte { return t.csv }

// Forget lets go of the CSV: CSV and Cells can't be asked for any more.
func (t *Table) Forget() { t.csv, t.ends = nil, nil }

// Has reports whether a line's cell in a column of Header holds anything.
func (t *Table) Has(line, column int) bool {
	begin := 0
	if line > 0 {
		begin = t.hasEnds[line-1]
	}
	return slices.Contains(t.has[begin:t.hasEnds[line]], uint16(column))
}

// Cells are the cells of a line, as many as Header has. A cell is what the org is to read: empty leaves the field
// alone, Null clears it.
func (t *Table) Cells(line int) []string {
	cells := make([]string, 0, len(t.Header))
	for rest := t.csv[t.ends[line]:t.ends[line+1]]; len(rest) > 0; {
		end := closingQuote(rest)
		cells = append(cells, strings.ReplaceAll(string(rest[1:end]), `""`, `"`))
		rest = rest[end+2:] // behind it is a comma or the line's end
	}
	return cells
}

// closingQuote finds the quote that ends the cell at the beginning of b.
func closingQuote(b []byte) int {
	for at := 1; ; at += 2 {
		at += bytes.IndexByte(b[at:], '"')
		if b[at+1] != '"' {
			return at
		}
	}
}

// NewTable makes one table of the rows. They need not have the same fields: the header is the union of their columns,
// the one that names the record first, in describe's letter case where obj, which may be nil, knows the field (the org
// leaves cells of a column in another case blank in its results). Absent is an empty cell; null and "" are
// Null; CR LF and CR in a text become LF, the one alteration there is. A parent that is named by an external id makes
// a column Rel.Field, or Type:Rel.Field where the lookup has several targets.
func NewTable(spec JobSpec, obj *Object, rows []Row) (*Table, []RowError) {
	size := 0
	for _, row := range rows {
		size += len(row.Fields) + len(row.External) + len(row.ID) + len(`"",`)
	}
	b := &tableBuilder{
		flattener: flattener{spec: spec, obj: obj, columns: map[string]*column{}, known: map[string]member{}},
		table:     &Table{csv: make([]byte, 0, size)},
	}
	var refused []RowError
	for i, row := range rows {
		fits := false
		err := b.flatten(row)
		if err == nil {
			fits = true
			err = b.add()
		}
		if err != nil {
			refused = append(refused, RowError{Index: i, Code: "INVALID", Message: err.Error(), Fits: fits})
			continue
		}
		b.writeLine()
		b.table.Rows = append(b.table.Rows, i)
	}
	b.pad()
	return b.table, refused
}

// tableBuilder writes the lines. A line has the columns that were known when it was written.
type tableBuilder struct {
	flattener
	table  *Table
	header []*column
	chars  int   // of the header
	widths []int // of the header as it was written, and of each line, in cells
}

// add takes the row's new columns into the header, or none if there is no room for them.
func (b *tableBuilder) add() error {
	fresh, chars := 0, b.chars
	for _, c := range b.cells {
		if !c.used {
			fresh++
			chars += len(c.name) + 3
		}
	}
	if len(b.header)+fresh > maxColumns || chars > maxHeaderChars {
		return errors.New("its columns and those of the rows before are more than a job takes")
	}
	for _, c := range b.cells {
		if !c.used {
			c.used = true
			b.header = append(b.header, c)
			b.table.Header = append(b.table.Header, c.name)
		}
	}
	b.chars = chars
	return nil
}

// writeLine writes the row at hand, and the header before the first.
func (b *tableBuilder) writeLine() {
	t := b.table
	if len(t.ends) == 0 {
		t.csv = appendHeader(t.csv, t.Header)
		b.lineEnds()
	}
	for i, c := range b.header {
		if i > 0 {
			t.csv = append(t.csv, ',')
		}
		t.csv = append(t.csv, '"')
		if c.row == b.row {
			t.csv = appendDoubled(t.csv, b.text[c.begin:c.end])
			t.has = append(t.has, uint16(i))
		}
		t.csv = append(t.csv, '"')
	}
	t.csv = append(t.csv, '\n')
	t.hasEnds = append(t.hasEnds, len(t.has))
	b.lineEnds()
}

func (b *tableBuilder) lineEnds() {
	b.table.ends = append(b.table.ends, len(b.table.csv))
	b.widths = append(b.widths, len(b.header))
}

func appendHeader(b []byte, header []string) []byte {
	for i, name := range header {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), '"') // names have no quotes
	}
	return append(b, '\n')
}

// appendDoubled writes a text with its quotes doubled.
func appendDoubled(b, text []byte) []byte {
	for {
		at := bytes.IndexByte(text, '"')
		if at < 0 {
			return append(b, text...)
		}
		b = append(append(b, text[:at+1]...), '"')
		text = text[at+1:]
	}
}

// pad gives every line a cell for each column, which a later line may have brought.
func (b *tableBuilder) pad() {
	full, missing := len(b.header), 0
	for _, n := range b.widths {
		missing += full - n
	}
	if missing == 0 {
		return
	}
	const blank = `,""`
	t := b.table
	padded := appendHeader(make([]byte, 0, len(t.csv)+b.chars+missing*len(blank)), t.Header)
	ends := append(make([]int, 0, len(t.ends)), len(padded))
	for line, begin := range t.ends[:len(t.ends)-1] {
		padded = append(padded, t.csv[begin:t.ends[line+1]-1]...)
		for range full - b.widths[line+1] {
			padded = append(padded, blank...)
		}
		padded = append(padded, '\n')
		ends = append(ends, len(padded))
	}
	t.csv, t.ends = padded, ends
}

// column is a column of the table, or may become one.
type column struct {
	name       string
	used       bool // it is in the header
	row        int  // the last row that has it
	begin, end int  // of that row's text
}

// member is what a name in the rows means.
type member struct {
	column *column
	// ignored: it names the record once more, or is no field.
	ignored bool
	// parent: it is a relationship, and stands for a lookup.
	parent bool
}

// flattener takes one row after another apart into cells.
type flattener struct {
	spec    JobSpec
	obj     *Object            // may be nil
	columns map[string]*column // by name in lower case
	known   map[string]member  // by the name as the rows have it

	row   int // the row at hand
	cells []*column
	text  []byte // of its cells
}

// flatten makes the row's cells, the one that names the record first. Its errors name fields, never values.
func (f *flattener) flatten(row Row) error {
	f.row++
	f.cells, f.text = f.cells[:0], f.text[:0]
	if err := f.key(row); err != nil {
		return err
	}
	if f.spec.Operation != OpDelete && f.spec.Operation != OpHardDelete {
		if err := EachMember(row.Fields, f.member); err != nil {
			return err
		}
	}
	return f.checkLine()
}

// key makes the cell that names the record.
func (f *flattener) key(row Row) (err error) {
	switch f.spec.Operation {
	case OpInsert:
		return nil
	case OpUpsert:
		name := f.spell(f.spec.ExternalIDField)
		f.text, err = appendCell(f.text, name, jsontext.Value(row.External))
		if err == nil && (string(f.text) == Null || !jsontext.Value(row.External).IsValid()) {
			err = errors.New(name + ": must have a value")
		}
		if err != nil {
			return err
		}
		return f.put(f.column(name), 0)
	}
	if err := checkID(row.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	f.text = append(f.text, row.ID...)
	return f.put(f.column("Id"), 0)
}

// named is the field that the cell of key stands for.
func (f *flattener) named() string {
	switch f.spec.Operation {
	case OpInsert:
		return ""
	case OpUpsert:
		return f.spec.ExternalIDField
	}
	return "Id"
}

// column is the one of a name, whatever the letter case.
func (f *flattener) column(name string) *column {
	folded := strings.ToLower(name)
	c := f.columns[folded]
	if c == nil {
		c = &column{name: name}
		f.columns[folded] = c
	}
	return c
}

// put makes a cell of the text from begin on. A column that is there twice would make the org refuse the whole job.
func (f *flattener) put(c *column, begin int) error {
	if c.row == f.row {
		return fmt.Errorf("%s: given twice", c.name)
	}
	c.row, c.begin, c.end = f.row, begin, len(f.text)
	f.cells = append(f.cells, c)
	return nil
}

// spell spells a field as describe does.
func (f *flattener) spell(name string) string {
	if f.obj != nil {
		if field, ok := f.obj.Field(name); ok {
			return field.Name
		}
	}
	return name
}

func (f *flattener) member(name []byte, value jsontext.Value) error {
	m, ok := f.known[string(name)]
	if !ok {
		var err error
		if m, err = f.meet(string(name)); err != nil {
			return err
		}
		f.known[string(name)] = m
	}
	switch {
	case m.ignored:
		return nil
	case value.Kind() == '{':
		return f.parent(string(name), value)
	case m.parent:
		return errCleared(string(name))
	}
	begin := len(f.text)
	var err error
	if f.text, err = appendCell(f.text, m.column.name, value); err != nil {
		return err
	}
	return f.put(m.column, begin)
}

// meet finds out what a name means.
func (f *flattener) meet(name string) (member, error) {
	switch {
	case name != "" && strings.EqualFold(name, f.named()) || name == "attributes":
		return member{ignored: true}, nil
	case !isName(name):
		return member{}, fmt.Errorf("%q is not the name of a field", clip(name, 100))
	case f.isRelationship(name):
		return member{parent: true}, nil
	case f.isBlob(name):
		return member{}, fmt.Errorf("%s: holds base64, which no job takes", name)
	}
	return member{column: f.column(f.spell(name))}, nil
}

func (f *flattener) isBlob(name string) bool {
	if f.obj == nil {
		return false
	}
	field, ok := f.obj.Field(name)
	return ok && field.Type == "base64"
}

func errCleared(name string) error {
	return fmt.Errorf("%s: names a parent; a lookup is cleared by its Id field", name)
}

func (f *flattener) isRelationship(name string) bool {
	if f.obj == nil {
		return false
	}
	_, field := f.obj.Field(name)
	_, relationship := f.obj.Relationship(name)
	return relationship && !field
}

// parent makes the cell of a lookup that names its parent by a field of the parent's.
func (f *flattener) parent(name string, value jsontext.Value) error {
	var field, target string
	begin, count := len(f.text), 0
	err := EachMember([]byte(value), func(member []byte, v jsontext.Value) (err error) {
		if string(member) == "attributes" {
			target, err = typeOf(v)
			return err
		}
		count++
		field = string(member)
		f.text, err = appendCell(f.text[:begin], name+"."+field, v)
		return err
	})
	switch {
	case err != nil:
		return err
	case count != 1 || !isName(field):
		return fmt.Errorf("%s: must name its parent by one field", name)
	case string(f.text[begin:]) == Null:
		return errCleared(name)
	}
	heading, err := f.lookup(name, target, field)
	if err != nil {
		return err
	}
	return f.put(f.column(heading), begin)
}

// lookup spells relationship and type as describe does. Without a describe a type that is given is needed.
func (f *flattener) lookup(name, target, field string) (string, error) {
	if f.obj != nil {
		if reference, ok := f.obj.Relationship(name); ok {
			name = reference.RelationshipName
			if !reference.Polymorphic() {
				return name + "." + field, nil
			}
			if target == "" {
				return "", fmt.Errorf("%s: has several targets, attributes.type must name one", name)
			}
			for _, t := range reference.ReferenceTo {
				if strings.EqualFold(t, target) {
					target = t
				}
			}
		}
	}
	if target != "" {
		name = target + ":" + name
	}
	return name + "." + field, nil
}

func typeOf(attributes jsontext.Value) (target string, err error) {
	err = EachMember([]byte(attributes), func(name []byte, v jsontext.Value) error {
		if string(name) != "type" {
			return nil
		}
		text, err := appendCell(nil, "attributes.type", v)
		if err != nil || !isName(string(text)) {
			return errors.New("attributes.type: not the name of an object")
		}
		target = string(text)
		return nil
	})
	return target, err
}

// appendCell writes a value as a cell. Numbers keep their digits.
func appendCell(b []byte, name string, value jsontext.Value) ([]byte, error) {
	switch value.Kind() {
	case 'n':
		return append(b, Null...), nil
	case 't', 'f', '0':
		return append(b, value...), nil
	case '"':
	default:
		return b, fmt.Errorf("%s: lists and objects can't travel in a job", name)
	}
	begin := len(b)
	b, err := jsontext.AppendUnquote(b, value)
	if err != nil {
		return b, fmt.Errorf("%s: not a text", name)
	}
	text := b[begin:]
	switch {
	case len(text) == 0:
		return append(b, Null...), nil
	case string(bytes.TrimSpace(text)) == Null:
		return b, fmt.Errorf("%s: the text %s can't travel in a job, where it clears the field", name, Null)
	case bytes.IndexByte(text, 0) >= 0:
		return b, fmt.Errorf("%s: holds a NUL character", name)
	}
	return b[:begin+len(onlyLF(text))], nil
}

// onlyLF makes CR LF and CR one LF, in place.
func onlyLF(text []byte) []byte {
	at := bytes.IndexByte(text, '\r')
	if at < 0 {
		return text
	}
	short := text[:at]
	for i := at; i < len(text); i++ {
		switch {
		case text[i] != '\r':
			short = append(short, text[i])
		case i+1 == len(text) || text[i+1] != '\n':
			short = append(short, '\n')
		}
	}
	return short
}

// checkLine holds the row at hand against the limits.
func (f *flattener) checkLine() error {
	if len(f.cells) == 0 {
		return errors.New("has no fields")
	}
	if len(f.cells) > maxColumns {
		return fmt.Errorf("has more than %d fields", maxColumns)
	}
	header := 0
	for _, c := range f.cells {
		if longer(f.text[c.begin:c.end], maxCellChars) {
			return fmt.Errorf("%s: longer than %d characters", c.name, maxCellChars)
		}
		header += len(c.name) + 3
	}
	switch {
	case longer(f.text, maxRecordChars):
		return fmt.Errorf("longer than %d characters in all", maxRecordChars)
	case header > maxHeaderChars:
		return fmt.Errorf("its columns are longer than %d characters in all", maxHeaderChars)
	}
	return nil
}

// longer counts as the org does, in units of UTF-16, of which there are never more than bytes.
func longer(text []byte, limit int) bool {
	return len(text) > limit && charsOf(string(text)) > limit
}

// charsOf counts as the org does, in units of UTF-16.
func charsOf(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}
