package salesforce

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// Table is the data of a job. A cell is what the org is to read: empty leaves the field alone, Null clears it.
type Table struct {
	Header []string
	Cells  [][]string // a line a row, each as long as Header
	// Rows holds for each line the index of its row among those given: rows with a RowError have no line.
	Rows []int
}

// NewTable makes one table of the rows. They need not have the same fields: the header is the union of their columns,
// the one that names the record first, in describe's letter case where obj, which may be nil, knows the field (the org
// leaves cells of a column in another case blank in its results). Absent is an empty cell; null and "" are
// Null; CR LF and CR in a text become LF, the one alteration there is. A parent that is named by an external id makes
// a column Rel.Field, or Type:Rel.Field where the lookup has several targets.
func NewTable(spec JobSpec, obj *Object, rows []Row) (*Table, []RowError) {
	b := &tableBuilder{flattener: flattener{spec: spec, obj: obj}, index: map[string]int{}}
	var refused []RowError
	lines := make([][]cell, 0, len(rows))
	t := &Table{}
	for i, row := range rows {
		cells, err := b.flatten(row)
		fits := false
		if err == nil {
			fits = true
			err = b.add(cells)
		}
		if err != nil {
			refused = append(refused, RowError{Index: i, Code: "INVALID", Message: err.Error(), Fits: fits})
			continue
		}
		lines = append(lines, cells)
		t.Rows = append(t.Rows, i)
	}
	t.Header = b.header
	t.Cells = make([][]string, len(lines))
	for i, cells := range lines {
		line := make([]string, len(t.Header))
		for _, c := range cells {
			line[b.index[strings.ToLower(c.column)]] = c.text
		}
		t.Cells[i] = line
	}
	return t, refused
}

// WriteCSV writes the table as the Bulk API reads it best: UTF-8 without a mark, every cell quoted, lines ended by LF.
func (t *Table) WriteCSV(w io.Writer) error {
	b := bufio.NewWriter(w)
	writeLine(b, t.Header)
	for _, line := range t.Cells {
		writeLine(b, line)
	}
	return b.Flush()
}

// writeLine leaves errors to the Flush, where bufio reports them again.
func writeLine(b *bufio.Writer, line []string) {
	for i, text := range line {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		for {
			before, after, found := strings.Cut(text, `"`)
			b.WriteString(before)
			if !found {
				break
			}
			b.WriteString(`""`)
			text = after
		}
		b.WriteByte('"')
	}
	b.WriteByte('\n')
}

// Size is the number of bytes that WriteCSV writes.
func (t *Table) Size() int64 {
	size := sizeOfLine(t.Header)
	for _, line := range t.Cells {
		size += sizeOfLine(line)
	}
	return size
}

// sizeOfLine: two quotes and a comma or line end a cell.
func sizeOfLine(line []string) int64 {
	size := int64(3 * len(line))
	if len(line) == 0 {
		size = 1
	}
	for _, text := range line {
		size += int64(len(text) + strings.Count(text, `"`))
	}
	return size
}

// tableBuilder gathers the header.
type tableBuilder struct {
	flattener
	header []string
	index  map[string]int // lower case
	chars  int
}

// add takes the row's new columns into the header, or none if there is no room for them.
func (b *tableBuilder) add(cells []cell) error {
	var fresh []string
	chars := b.chars
	for _, c := range cells {
		if _, ok := b.index[strings.ToLower(c.column)]; !ok {
			fresh = append(fresh, c.column)
			chars += len(c.column) + 3
		}
	}
	if len(b.header)+len(fresh) > maxColumns || chars > maxHeaderChars {
		return errors.New("its columns and those of the rows before are more than a job takes")
	}
	for _, name := range fresh {
		b.index[strings.ToLower(name)] = len(b.header)
		b.header = append(b.header, name)
	}
	b.chars = chars
	return nil
}

type cell struct{ column, text string }

// flattener turns rows into cells.
type flattener struct {
	spec JobSpec
	obj  *Object // may be nil
}

// flatten makes the row's cells, the one that names the record first. Its errors name fields, never values.
func (f *flattener) flatten(row Row) ([]cell, error) {
	cells, named, err := f.key(row)
	if err != nil {
		return nil, err
	}
	if f.spec.Operation != OpDelete && f.spec.Operation != OpHardDelete {
		err = eachMember(row.Fields, func(name string, value jsontext.Value) error {
			if name != "" && strings.EqualFold(name, named) || name == "attributes" {
				return nil
			}
			c, err := f.member(name, value)
			cells = append(cells, c)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return cells, checkLine(cells)
}

// key makes the cell that names the record, and tells the field that it stands for.
func (f *flattener) key(row Row) ([]cell, string, error) {
	switch f.spec.Operation {
	case OpInsert:
		return nil, "", nil
	case OpUpsert:
		name := f.column(f.spec.ExternalIDField)
		text, err := textOf(name, jsontext.Value(row.External))
		if err == nil && (text == Null || !jsontext.Value(row.External).IsValid()) {
			err = errors.New(name + ": must have a value")
		}
		return []cell{{name, text}}, f.spec.ExternalIDField, err
	}
	if err := checkID(row.ID); err != nil {
		return nil, "", fmt.Errorf("id: %w", err)
	}
	return []cell{{"Id", string(row.ID)}}, "Id", nil
}

// column spells a field as describe does.
func (f *flattener) column(name string) string {
	if f.obj != nil {
		if field, ok := f.obj.Field(name); ok {
			return field.Name
		}
	}
	return name
}

func (f *flattener) member(name string, value jsontext.Value) (cell, error) {
	if !isName(name) {
		return cell{}, fmt.Errorf("%q is not the name of a field", clip(name, 100))
	}
	if value.Kind() == '{' {
		return f.parent(name, value)
	}
	if f.isRelationship(name) {
		return cell{}, errCleared(name)
	}
	column := f.column(name)
	text, err := textOf(column, value)
	return cell{column, text}, err
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

// parent makes the column of a lookup that names its parent by a field of the parent's.
func (f *flattener) parent(name string, value jsontext.Value) (cell, error) {
	var field, text, target string
	count := 0
	err := eachMember([]byte(value), func(member string, v jsontext.Value) error {
		if member == "attributes" {
			var err error
			target, err = typeOf(v)
			return err
		}
		count++
		field = member
		var err error
		text, err = textOf(name+"."+member, v)
		return err
	})
	switch {
	case err != nil:
		return cell{}, err
	case count != 1 || !isName(field):
		return cell{}, fmt.Errorf("%s: must name its parent by one field", name)
	case text == Null:
		return cell{}, errCleared(name)
	}
	return f.lookup(name, target, field, text)
}

// lookup spells relationship and type as describe does. Without a describe a type that is given is needed.
func (f *flattener) lookup(name, target, field, text string) (cell, error) {
	if f.obj != nil {
		if reference, ok := f.obj.Relationship(name); ok {
			name = reference.RelationshipName
			if !reference.Polymorphic() {
				return cell{name + "." + field, text}, nil
			}
			if target == "" {
				return cell{}, fmt.Errorf("%s: has several targets, attributes.type must name one", name)
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
	return cell{name + "." + field, text}, nil
}

func typeOf(attributes jsontext.Value) (target string, err error) {
	err = eachMember([]byte(attributes), func(name string, v jsontext.Value) error {
		if name != "type" {
			return nil
		}
		text, err := textOf("attributes.type", v)
		if err != nil || !isName(text) {
			return errors.New("attributes.type: not the name of an object")
		}
		target = text
		return nil
	})
	return target, err
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// textOf writes a value as a cell. Numbers keep their digits.
func textOf(name string, value jsontext.Value) (string, error) {
	switch value.Kind() {
	case 'n':
		return Null, nil
	case 't':
		return "true", nil
	case 'f':
		return "false", nil
	case '0':
		return string(value), nil
	case '"':
	default:
		return "", fmt.Errorf("%s: lists and objects can't travel in a job", name)
	}
	raw, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "", fmt.Errorf("%s: not a text", name)
	}
	text := string(raw)
	switch {
	case text == "":
		return Null, nil
	case strings.TrimSpace(text) == Null:
		return "", fmt.Errorf("%s: the text %s can't travel in a job, where it clears the field", name, Null)
	case strings.IndexByte(text, 0) >= 0:
		return "", fmt.Errorf("%s: holds a NUL character", name)
	}
	return lineEnds.Replace(text), nil
}

// checkLine holds a row against the limits. A column that is there twice would make the org refuse the whole job.
func checkLine(cells []cell) error {
	if len(cells) == 0 {
		return errors.New("has no fields")
	}
	if len(cells) > maxColumns {
		return fmt.Errorf("has more than %d fields", maxColumns)
	}
	seen := make(map[string]bool, len(cells))
	total, header := 0, 0
	for _, c := range cells {
		folded := strings.ToLower(c.column)
		if seen[folded] {
			return fmt.Errorf("%s: given twice", c.column)
		}
		seen[folded] = true
		n := charsOf(c.text)
		if n > maxCellChars {
			return fmt.Errorf("%s: longer than %d characters", c.column, maxCellChars)
		}
		total += n
		header += len(c.column) + 3
	}
	switch {
	case total > maxRecordChars:
		return fmt.Errorf("longer than %d characters in all", maxRecordChars)
	case header > maxHeaderChars:
		return fmt.Errorf("its columns are longer than %d characters in all", maxHeaderChars)
	}
	return nil
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
