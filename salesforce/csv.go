package salesforce

import "io"

// RowError says why a job can't carry a row; REST may.
type RowError struct {
	Index   int    // of the row among those given
	Code    string // "INVALID"
	Message string
	// Fits: the row would fit a job of its own.
	Fits bool
}

// Table is the CSV of a job.
type Table struct {
	Header []string
	Cells  [][]string
	// Rows holds, for each line of Cells, the index of its row among those given: rows with a RowError have no line.
	Rows []int
}

func NewTable(spec JobSpec, obj *Object, rows []Row) (*Table, []RowError) { panic("stub") }
func Columns(spec JobSpec, obj *Object, row Row) ([]string, error)        { panic("stub") }
func (t *Table) WriteCSV(w io.Writer) error                               { panic("stub") }
func (t *Table) Size() int64                                              { panic("stub") }
