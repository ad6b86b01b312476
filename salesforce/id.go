package salesforce

import (
	"errors"
	"strings"
)

// ID is a Salesforce record Id in its canonical form of 18 characters, or empty where the org named none.
// Ids are case-sensitive: two that differ in case only are different records.
type ID string

// String returns the Id's 18 characters.
func (id ID) String() string { return string(id) }

// ErrID is returned for a text that is no record Id.
var ErrID = errors.New("not a Salesforce Id of 15 or 18 characters")

const idSuffixAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

// ParseID takes the 15-character form, to which it adds the suffix, or the 18-character form, whose suffix it checks.
// A mistyped or case-folded Id is refused with ErrID rather than sent to the org.
func ParseID(s string) (ID, error) {
	switch {
	case len(s) == 15 && isAlphanumeric(s):
		return ID(s + idSuffix(s)), nil
	case len(s) == 18 && isAlphanumeric(s) && s[15:] == idSuffix(s[:15]):
		return ID(s), nil
	}
	return "", ErrID
}

// answeredID takes an Id as the org wrote it. What the org says its records are called is believed:
// only the shape is checked, and the short form made long.
func answeredID(s string) (ID, bool) {
	if !isAlphanumeric(s) {
		return "", false
	}
	switch len(s) {
	case 15:
		return ID(s + idSuffix(s)), true
	case 18:
		return ID(s), true
	}
	return "", false
}

// checkID looks at the shape only, so that the Id may stand in a path: whether there is such a record the org
// says, of this one alone.
func checkID(id ID) error {
	if _, ok := answeredID(string(id)); !ok {
		return ErrID
	}
	return nil
}

// idSuffix computes the three characters that carry the letter case of the fifteen: one character for each group
// of five, bit i of it set when the group's i-th character is an upper-case letter.
func idSuffix(id string) string {
	var b strings.Builder
	for group := 0; group < 15; group += 5 {
		bits := 0
		for i := range 5 {
			if c := id[group+i]; 'A' <= c && c <= 'Z' {
				bits |= 1 << i
			}
		}
		b.WriteByte(idSuffixAlphabet[bits])
	}
	return b.String()
}

func isAlphanumeric(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// isName reports whether s may stand as an object's or field's API name in a path, a query or a header.
func isName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}
