package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in the configuration.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 where the mistake has no place in the file
	Key          string // such as dispatch.bulk.max_records, or ""
	What         string // what is wrong; never holds a secret
	Hint         string // what to do
}

// Error is "file:line:column: key: what"; the hint is for the caller to show.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.What)
	return b.String()
}

// Errors are all mistakes of a configuration, in the order of their places.
type Errors struct {
	List []*Error
}

// Error has a line for each mistake, the hint behind a semicolon.
func (e *Errors) Error() string {
	lines := make([]string, len(e.List))
	for i, m := range e.List {
		lines[i] = m.Error()
		if m.Hint != "" {
			lines[i] += "; " + m.Hint
		}
	}
	return strings.Join(lines, "\n")
}

func (e *Errors) sort() {
	slices.SortStableFunc(e.List, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// mistake is what a value's own parser says of it.
type mistake struct{ what, hint string }

func (m *mistake) Error() string { return m.what + "; " + m.hint }
