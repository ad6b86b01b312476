package simulator

import (
	"strings"
	"unicode/utf8"
)

// Bounds of an uploaded file, in characters.
const (
	maxHeaderChars = 32_000
	maxCellChars   = 131_072
	maxRecordChars = 400_000
	maxColumns     = 5_000
)

// table is an uploaded file, cut into cells. The cells share its memory.
type table struct {
	header string   // the first line as it was, without its end
	names  []string // its cells
	cells  []string // of all rows, one after the other
	rows   []csvRow
	data   string
}

// csvRow is a row: its cells from first on, and where it stood in the file.
type csvRow struct {
	first, count int32
	from, to     int32
}

func (t *table) row(i int) []string {
	r := t.rows[i]
	return t.cells[r.first : r.first+r.count]
}

// raw is the row as uploaded, with its line end if it had one.
func (t *table) raw(i int) string { return t.data[t.rows[i].from:t.rows[i].to] }

const (
	errQuote = "InvalidBatch : Failed to parse CSV. Found unescaped quote. A value with quote should be within a quote"
	errUTF8  = "InvalidBatch : Failed to parse CSV. The data is not UTF-8"
	errSize  = "InvalidBatch : Failed to parse CSV. A header, value or record exceeds its maximum size"
)

// csvReader cuts a file into cells.
type csvReader struct {
	data  string
	pos   int
	comma byte
	end   string // of lines
}

// parseCSV cuts a file, or returns the errorMessage with which its job fails.
func parseCSV(data string, comma byte, lineEnd string) (*table, string) {
	if !utf8.ValidString(data) {
		return &table{data: data}, errUTF8
	}
	r := &csvReader{data: data, comma: comma, end: lineEnd}
	t := &table{data: data}
	var ok bool
	if t.names, ok = r.record(nil); !ok {
		return t, errQuote
	}
	t.header = strings.TrimSuffix(data[:r.pos], lineEnd)
	if setting := wrongLineEnd(data, lineEnd); setting != "" {
		return t, "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is " + setting
	}
	if len(t.names) > maxColumns || utf8.RuneCountInString(t.header) > maxHeaderChars {
		return t, errSize
	}
	return t, t.readRows(r)
}

func (t *table) readRows(r *csvReader) string {
	lines := strings.Count(t.data, "\n")
	t.rows = make([]csvRow, 0, lines)
	t.cells = make([]string, 0, (lines+1)*len(t.names))
	for r.pos < len(r.data) {
		row := csvRow{first: int32(len(t.cells)), from: int32(r.pos)}
		var ok bool
		if t.cells, ok = r.record(t.cells); !ok {
			return errQuote
		}
		row.count = int32(len(t.cells)) - row.first
		row.to = int32(r.pos)
		if tooLong(t.data[row.from:row.to], t.cells[row.first:]) {
			return errSize
		}
		t.rows = append(t.rows, row)
	}
	return ""
}

func tooLong(raw string, cells []string) bool {
	if len(raw) <= maxCellChars {
		return false
	}
	if utf8.RuneCountInString(raw) > maxRecordChars {
		return true
	}
	for _, c := range cells {
		if utf8.RuneCountInString(c) > maxCellChars {
			return true
		}
	}
	return false
}

// wrongLineEnd names the job's setting if the file breaks it anywhere, within
// quotes too.
func wrongLineEnd(data, lineEnd string) string {
	crlf := strings.Count(data, "\r\n")
	switch {
	case lineEnd == "\n" && crlf > 0:
		return "LF"
	case lineEnd == "\r\n" && strings.Count(data, "\n") > crlf:
		return "CRLF"
	default:
		return ""
	}
}

// record appends the cells of the next line.
func (r *csvReader) record(cells []string) ([]string, bool) {
	for {
		cell, last, ok := r.cell()
		if !ok {
			return cells, false
		}
		cells = append(cells, cell)
		if last {
			return cells, true
		}
	}
}

// cell reads one cell and what ends it; last tells whether that was a line's end.
func (r *csvReader) cell() (text string, last, ok bool) {
	if r.pos < len(r.data) && r.data[r.pos] == '"' {
		if text, ok = r.quoted(); !ok {
			return "", false, false
		}
		last, ok = r.separator()
		return text, last, ok
	}
	start := r.pos
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			return "", false, false
		case c == r.comma:
			r.pos++
			return r.data[start : r.pos-1], false, true
		case c == r.end[0] && strings.HasPrefix(r.data[r.pos:], r.end):
			r.pos += len(r.end)
			return r.data[start : r.pos-len(r.end)], true, true
		}
		r.pos++
	}
	return r.data[start:], true, true
}

// quoted reads a cell in quotes up to behind the closing one.
func (r *csvReader) quoted() (string, bool) {
	rest := r.data[r.pos+1:]
	doubled := false
	for i := 0; ; {
		n := strings.IndexByte(rest[i:], '"')
		if n < 0 {
			return "", false
		}
		i += n
		if i+1 < len(rest) && rest[i+1] == '"' {
			doubled = true
			i += 2
			continue
		}
		r.pos += i + 2
		if doubled {
			return strings.ReplaceAll(rest[:i], `""`, `"`), true
		}
		return rest[:i], true
	}
}

// separator reads what must follow a closing quote.
func (r *csvReader) separator() (last, ok bool) {
	rest := r.data[r.pos:]
	switch {
	case rest == "":
		return true, true
	case rest[0] == r.comma:
		r.pos++
		return false, true
	case strings.HasPrefix(rest, r.end):
		r.pos += len(r.end)
		return true, true
	default:
		return false, false
	}
}

// appendCell appends a cell in quotes.
func appendCell(b []byte, cell string) []byte {
	b = append(b, '"')
	for {
		i := strings.IndexByte(cell, '"')
		if i < 0 {
			break
		}
		b = append(b, cell[:i]...)
		b = append(b, '"', '"')
		cell = cell[i+1:]
	}
	b = append(b, cell...)
	return append(b, '"')
}
