package term

import (
	"bufio"
	"strings"
	"unicode/utf8"
)

// The widest a cell gets on a terminal, in characters; the rest is cut. A line of
// a list should stay one; a table without a header holds one fact a line, whose end
// tells what to do. Away from a terminal nothing is cut.
const (
	maxCell = 80
	maxFact = 1000
)

// Table collects rows and writes them at Flush: aligned under a header on a
// terminal, else tab-separated and without the header. It may be flushed after
// each page of a long listing; columns then never get narrower.
type Table struct {
	s      *Screen
	header []string
	rows   [][]Cell
	widths []int
	headed bool
}

// Cell is a text and the style that it has on a terminal.
type Cell struct {
	Text  string
	Style Style
}

// Table starts a table. A header of no names makes one without a heading.
func (s *Screen) Table(header ...string) *Table { return &Table{s: s, header: header} }

// Row adds a row of plain cells.
func (t *Table) Row(cells ...string) {
	row := make([]Cell, len(cells))
	for i, text := range cells {
		row[i] = Cell{Text: text}
	}
	t.Cells(row...)
}

// Cells adds a row. The texts are cleaned.
func (t *Table) Cells(cells ...Cell) {
	for i := range cells {
		cells[i].Text = Clean(cells[i].Text)
	}
	t.rows = append(t.rows, cells)
}

// Len is the number of rows not flushed yet.
func (t *Table) Len() int { return len(t.rows) }

// Flush writes the rows and forgets them.
func (t *Table) Flush() error {
	w := bufio.NewWriter(t.s.w)
	if t.s.tty {
		t.aligned(w)
	} else {
		t.separated(w)
	}
	t.rows = t.rows[:0]
	return w.Flush()
}

func (t *Table) separated(w *bufio.Writer) {
	for _, row := range t.rows {
		for i, c := range row {
			if i > 0 {
				w.WriteByte('\t')
			}
			w.WriteString(c.Text)
		}
		w.WriteByte('\n')
	}
}

func (t *Table) aligned(w *bufio.Writer) {
	if len(t.rows) == 0 {
		return
	}
	head := make([]Cell, len(t.header))
	for i, name := range t.header {
		head[i] = Cell{name, Bold}
	}
	t.widen(head)
	most := maxCell
	if len(head) == 0 {
		most = maxFact
	}
	for _, row := range t.rows {
		for i := range row {
			row[i].Text = cut(row[i].Text, most)
		}
		t.widen(row)
	}
	if !t.headed && len(head) > 0 {
		t.line(w, head)
		t.headed = true
	}
	for _, row := range t.rows {
		t.line(w, row)
	}
}

func (t *Table) widen(row []Cell) {
	for len(t.widths) < len(row) {
		t.widths = append(t.widths, 0)
	}
	for i, c := range row {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c.Text))
	}
}

func (t *Table) line(w *bufio.Writer, row []Cell) {
	for i, c := range row {
		w.WriteString(t.s.Paint(c.Style, c.Text))
		if i < len(row)-1 {
			pad := t.widths[i] - utf8.RuneCountInString(c.Text) + 2
			w.WriteString(strings.Repeat(" ", pad))
		}
	}
	w.WriteByte('\n')
}

func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
