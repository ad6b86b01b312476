package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/outboxd/outboxd/api"
	"github.com/spf13/cobra"
)

// bulkFlags say how a file is to be read.
type bulkFlags struct {
	format                             string
	keyColumn, externalIDColumn        string
	idColumn, laneColumn, sourceColumn string
}

func (b *bulkFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.format, "format", "auto", "of the file: ndjson, json, csv, or auto")
	f.StringVar(&b.keyColumn, "key-column", "", "CSV `column` that holds the idempotency key")
	f.StringVar(&b.externalIDColumn, "external-id-column", "", "CSV `column` that is the external id, named as its field")
	f.StringVar(&b.idColumn, "id-column", "", "CSV `column` that holds the Salesforce Id")
	f.StringVar(&b.laneColumn, "lane-column", "", "CSV `column` that holds the lane")
	f.StringVar(&b.sourceColumn, "source-column", "", "CSV `column` that holds the app's name")
}

var csvOnly = []string{"key-column", "external-id-column", "id-column", "lane-column", "source-column"}

func (b *bulkFlags) given(cmd *cobra.Command) bool {
	return anyChanged(cmd, append([]string{"format"}, csvOnly...))
}

// lines turns the input into NDJSON. Each event stands on the line where it
// stood in the input (an element of an array: on that of its number), so that
// the daemon's line numbers are the input's.
func (b *bulkFlags) lines(cmd *cobra.Command, in *input, e *eventFlags) (*lineReader, error) {
	r := bufio.NewReaderSize(in, 64<<10)
	format, err := b.detect(cmd, in.name, r)
	if err != nil {
		return nil, err
	}
	if anyChanged(cmd, single) {
		return nil, usage("flags of a single event do not go with a file")
	}
	if format != "csv" {
		if anyChanged(cmd, append([]string{"object", "operation", "source"}, csvOnly...)) {
			return nil, usage("--object, --operation, --source and columns go with CSV only; %s is read as %s", in.name, format)
		}
	}
	switch format {
	case "ndjson":
		return &lineReader{src: r}, nil
	case "json":
		return newLineReader(valueLines(r)), nil
	case "csv":
		next, err := b.csvLines(r, e)
		return newLineReader(next), err
	}
	return nil, usage("--format %s: want ndjson, json, csv or auto", b.format)
}

// detect decides by the flags, then by the name, then by the first bytes.
func (b *bulkFlags) detect(cmd *cobra.Command, name string, r *bufio.Reader) (string, error) {
	if b.format != "auto" {
		return b.format, nil
	}
	if anyChanged(cmd, csvOnly) {
		return "csv", nil
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return "csv", nil
	case ".ndjson", ".jsonl":
		return "ndjson", nil
	case ".json":
		return "json", nil
	}
	head, err := r.Peek(64 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	first, _, whole := bytes.Cut(head, []byte("\n"))
	switch {
	case len(head) == 0:
		return "", usage("%s is empty: give events, or flags for one", name)
	case head[0] == '[', head[0] == '{' && whole && !json.Valid(first):
		return "json", nil
	case head[0] == '{':
		return "ndjson", nil
	}
	return "", usage("%s is neither JSON nor, by its name, CSV: say --format", name)
}

// badLine is a line that can't be made an event of.
type badLine struct {
	line int
	err  error
}

// A nextLine gives the line of the next event in the input and its JSON; io.EOF
// ends, a *badLine is skipped.
type nextLine func() (line int, event []byte, err error)

func (b *badLine) Error() string { return b.err.Error() }

// lineReader is read by the HTTP transport, in a goroutine of its own.
type lineReader struct {
	src  io.Reader // NDJSON as it is
	next nextLine  // or made line by line
	at   int       // line that the next byte written stands on
	buf  []byte

	mu  sync.Mutex // guards what the other goroutine asks for
	bad []badLine
	err error
}

func newLineReader(next nextLine) *lineReader { return &lineReader{next: next, at: 1} }

// maxBadLines bounds what is kept of rows that were refused before sending.
const maxBadLines = 10_000

func (l *lineReader) Read(p []byte) (int, error) {
	if l.next == nil {
		n, err := l.src.Read(p)
		return n, l.keep(err)
	}
	for len(l.buf) == 0 {
		if err := l.fill(); err != nil {
			return 0, l.keep(err)
		}
	}
	n := copy(p, l.buf)
	l.buf = l.buf[n:]
	return n, nil
}

func (l *lineReader) fill() error {
	line, event, err := l.next()
	if bad := (*badLine)(nil); errors.As(err, &bad) {
		return l.refuse(*bad)
	}
	if err != nil {
		return err
	}
	l.buf = l.buf[:0]
	for ; l.at < line; l.at++ {
		l.buf = append(l.buf, '\n')
	}
	l.buf = append(append(l.buf, event...), '\n')
	l.at++
	return nil
}

func (l *lineReader) refuse(bad badLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.bad) == maxBadLines {
		return fmt.Errorf("more than %d rows are broken, the last in line %d: %w", maxBadLines, bad.line, bad.err)
	}
	l.bad = append(l.bad, bad)
	return nil
}

func (l *lineReader) keep(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err = err
	}
	return err
}

// refused are the lines that were not sent.
func (l *lineReader) refused() []badLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.bad)
}

// broken is the error that ended the reading early.
func (l *lineReader) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// valueLines reads an array of events, or events one after another, in as many
// lines as they like.
func valueLines(r io.Reader) nextLine {
	dec := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // the daemon judges these
	number, inArray := 0, false
	return func() (int, []byte, error) {
		if number == 0 && dec.PeekKind() == '[' {
			if _, err := dec.ReadToken(); err != nil {
				return 0, nil, err
			}
			inArray = true
		}
		if inArray && dec.PeekKind() == ']' {
			_, err := dec.ReadToken()
			inArray = false
			if err != nil {
				return 0, nil, err
			}
		}
		value, err := dec.ReadValue()
		if err != nil {
			return 0, nil, err
		}
		number++
		value = value.Clone()
		if err := value.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true)); err != nil {
			return 0, nil, err
		}
		return number, value, nil
	}
}

// csvLines makes an event of each row under the header.
func (b *bulkFlags) csvLines(r io.Reader, e *eventFlags) (nextLine, error) {
	if e.object == "" || e.operation == "" || b.keyColumn == "" {
		return nil, usage("CSV needs --object, --operation and --key-column")
	}
	rows := csv.NewReader(skipMark(r))
	rows.FieldsPerRecord = -1 // told apart below, with the line
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	header = slices.Clone(header)
	if err := b.checkHeader(header); err != nil {
		return nil, err
	}
	base := api.Event{Object: e.object, Operation: e.operation, Source: e.source}
	return func() (int, []byte, error) {
		row, err := rows.Read()
		if err != nil {
			return 0, nil, err
		}
		line, _ := rows.FieldPos(0)
		if err := checkCells(header, row); err != nil {
			return 0, nil, &badLine{line, err}
		}
		event, err := json.Marshal(b.event(base, header, row))
		return line, event, err
	}, nil
}

// skipMark drops the byte order mark that spreadsheets write.
func skipMark(r io.Reader) io.Reader {
	buffered := bufio.NewReader(r)
	if head, _ := buffered.Peek(3); string(head) == "\ufeff" {
		_, _ = buffered.Discard(3) // it was just seen
	}
	return buffered
}

func (b *bulkFlags) columns() map[string]string {
	all := map[string]string{
		"key-column": b.keyColumn, "external-id-column": b.externalIDColumn,
		"id-column": b.idColumn, "lane-column": b.laneColumn, "source-column": b.sourceColumn,
	}
	maps.DeleteFunc(all, func(_, column string) bool { return column == "" })
	return all
}

func (b *bulkFlags) checkHeader(header []string) error {
	for flag, column := range b.columns() {
		if !slices.Contains(header, column) {
			return usage("--%s %s: the header has no such column", flag, column)
		}
	}
	seen := map[string]bool{}
	for i, name := range header {
		if name == "" {
			return usage("column %d has no name in the header", i+1)
		}
		if seen[name] {
			return usage("the header names column %s twice", name)
		}
		if !utf8.ValidString(name) {
			return usage("the header's column %q is not UTF-8: convert the file", name)
		}
		seen[name] = true
	}
	return b.checkParents(header)
}

// checkParents refuses a column that is a field and a parent: an event has room for one of them.
func (b *bulkFlags) checkParents(header []string) error {
	own := slices.Collect(maps.Values(b.columns()))
	for _, name := range header {
		parent, _, nested := strings.Cut(name, ".")
		if nested && !slices.Contains(own, name) && !slices.Contains(own, parent) && slices.Contains(header, parent) {
			return usage("the header has both %s and %s: a field can't be a parent too", parent, name)
		}
	}
	return nil
}

// checkCells refuses what JSON can't carry as it is.
func checkCells(header, row []string) error {
	if len(row) != len(header) {
		return fmt.Errorf("%d cells under %d columns", len(row), len(header))
	}
	for i, cell := range row {
		if !utf8.ValidString(cell) {
			return fmt.Errorf("column %s: %q is not UTF-8", header[i], cell)
		}
	}
	return nil
}

func (b *bulkFlags) event(e api.Event, header, row []string) api.Event {
	e.Fields = map[string]any{}
	for i, name := range header {
		cell := row[i]
		switch {
		case name == b.keyColumn:
			e.Key = cell
		case name == b.externalIDColumn:
			e.ExternalID = externalID(name, cell)
		case name == b.idColumn:
			e.ID = cell
		case name == b.laneColumn:
			e.Lane = cell
		case name == b.sourceColumn:
			e.Source = cell
		case cell == "#N/A":
			setField(e.Fields, name, nil)
		case cell != "":
			setField(e.Fields, name, cell)
		}
	}
	if e.Operation == "delete" || e.Operation == "hard_delete" {
		e.Fields = nil
	}
	return e
}

// setField puts Parent.Field into an object of its own, as the parent's
// external id.
func setField(fields map[string]any, name string, value any) {
	parent, field, nested := strings.Cut(name, ".")
	if !nested {
		fields[name] = value
		return
	}
	inner, ok := fields[parent].(map[string]any)
	if !ok {
		inner = map[string]any{}
		fields[parent] = inner
	}
	inner[field] = value
}
