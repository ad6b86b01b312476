package schema

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/internal/meant"
	"github.com/outboxd/outboxd/salesforce"
)

// value checks a value by the field's type. Of types that are not known here
// nothing is said. JSON's null and blank texts are left to the org.
func (w *walk) value(at place, f *salesforce.Field, v jsontext.Value) {
	check, known := checks[f.Type]
	if !known || isReference(v) || isBlank(v) {
		return
	}
	switch v.Kind() {
	case '[':
		w.find(at, WrongType, "a list is no value of a field")
	case '{':
		detail := "an object is no value of this field"
		if f.RelationshipName != "" {
			detail += "; a parent is named as " + f.RelationshipName
		}
		w.find(at, WrongType, detail)
	default:
		if r, detail := check(f, v); r != "" {
			w.find(at, r, detail)
		}
	}
}

// check is "" where nothing was found.
type check func(f *salesforce.Field, v jsontext.Value) (Reason, string)

// checks are by the type that describe gives. A text field takes other JSON than
// strings in jobs, and perhaps by REST.
var checks = map[string]check{
	"string":          ifText(checkLength),
	"textarea":        ifText(checkLength),
	"email":           ifText(checkLength),
	"phone":           ifText(checkLength),
	"url":             ifText(checkLength),
	"combobox":        ifText(checkLength),
	"encryptedstring": nothing,
	"picklist":        ifText(checkPicklist),
	"multipicklist":   ifText(checkMultiPicklist),
	"boolean":         checkBoolean,
	"int":             checkInt,
	"double":          checkNumber,
	"currency":        checkNumber,
	"percent":         checkNumber,
	"date":            noBoolean(ifText(checkDate)),
	"datetime":        noBoolean(ifText(checkDateTime)),
	"time":            noBoolean(ifText(checkTime)),
	"reference":       noBoolean(ifText(checkReference)),
}

func nothing(*salesforce.Field, jsontext.Value) (Reason, string) { return "", "" }

// ifText looks at strings only, without the blanks around them.
func ifText(check func(*salesforce.Field, string) (Reason, string)) check {
	return func(f *salesforce.Field, v jsontext.Value) (Reason, string) {
		if v.Kind() != '"' {
			return "", ""
		}
		return check(f, strings.TrimSpace(textOf(v)))
	}
}

func isBoolean(v jsontext.Value) bool { return v.Kind() == 't' || v.Kind() == 'f' }

func noBoolean(check check) check {
	return func(f *salesforce.Field, v jsontext.Value) (Reason, string) {
		if isBoolean(v) {
			return WrongType, "a boolean is no " + f.Type
		}
		return check(f, v)
	}
}

// checkLength counts characters in the most favourable way: a line end is one, a
// control character none, an emoji one. What the org makes of markup is not known.
func checkLength(f *salesforce.Field, text string) (Reason, string) {
	if f.Length <= 0 || len(text) <= f.Length || f.HTMLFormatted {
		return "", ""
	}
	n := 0
	for _, r := range text {
		if r >= ' ' || r == '\n' || r == '\t' {
			n++
		}
	}
	if n <= f.Length {
		return "", ""
	}
	return TooLong, fmt.Sprintf("%d characters, and the field takes %d", n, f.Length)
}

func checkPicklist(f *salesforce.Field, text string) (Reason, string) {
	if !f.RestrictedPicklist || len(f.PicklistValues) == 0 || isListed(f, text) {
		return "", ""
	}
	return NotInPicklist, "not a value of the restricted picklist" + offered(f, text)
}

// separator stands between the values of a multi-select picklist.
const separator = ";"

func checkMultiPicklist(f *salesforce.Field, text string) (Reason, string) {
	if !f.RestrictedPicklist || len(f.PicklistValues) == 0 {
		return "", ""
	}
	for part := range strings.SplitSeq(text, separator) {
		if part = strings.TrimSpace(part); part != "" && !isListed(f, part) {
			return NotInPicklist, "holds what is not a value of the restricted picklist" + offered(f, part)
		}
	}
	return "", ""
}

// isListed takes labels for values, and any letter case; whether a value is
// active is for the org to say.
func isListed(f *salesforce.Field, text string) bool {
	return slices.ContainsFunc(f.PicklistValues, func(v salesforce.PicklistValue) bool {
		return strings.EqualFold(v.Value, text) || strings.EqualFold(v.Label, text)
	})
}

// offered names the value that was meant, or all of a short list.
func offered(f *salesforce.Field, text string) string {
	const short = 8
	values := make([]string, len(f.PicklistValues))
	for i, v := range f.PicklistValues {
		values[i] = v.Value
	}
	if near := meant.Name(text, slices.Values(values)); near != "" {
		return meaning(near)
	}
	if len(values) > short {
		return fmt.Sprintf(", which has %d", len(values))
	}
	return ": " + strings.Join(values, ", ")
}

// truths are what some way or other takes for a boolean.
var truths = []string{"true", "false", "1", "0", "yes", "no", "y", "n", "t", "f", "on", "off"}

func checkBoolean(_ *salesforce.Field, v jsontext.Value) (Reason, string) {
	text := strings.ToLower(strings.TrimSpace(textOf(v)))
	if slices.Contains(truths, text) || v.Kind() == '0' && strings.ContainsAny(text, ".e") {
		return "", ""
	}
	return WrongType, "neither true nor false"
}

func checkInt(_ *salesforce.Field, v jsontext.Value) (Reason, string) {
	n, r, detail := numberOf(v)
	switch {
	case r != "" || n == nil:
		return r, detail
	case n.fraction && v.Kind() == '0':
		return BadNumber, "a whole number is needed"
	}
	if _, err := strconv.ParseInt(n.sign+n.whole, 10, 32); n.whole != "" && errors.Is(err, strconv.ErrRange) {
		return OutOfRange, "does not fit 32 bits"
	}
	return "", ""
}

// checkNumber counts the digits before the point. Those behind it that are too
// many are rounded away, so they are no mistake.
func checkNumber(f *salesforce.Field, v jsontext.Value) (Reason, string) {
	n, r, detail := numberOf(v)
	if r != "" || n == nil {
		return r, detail
	}
	if room := f.Precision - f.Scale; f.Precision > 0 && len(n.whole) > room {
		return OutOfRange, fmt.Sprintf("%d digits before the point, and the field takes %d", len(n.whole), room)
	}
	return "", ""
}

// numberOf is nil without a reason where it is not sure what the org makes of
// the text, as of marks between thousands.
func numberOf(v jsontext.Value) (*number, Reason, string) {
	if isBoolean(v) {
		return nil, WrongType, "a boolean is no number"
	}
	text := strings.TrimSpace(textOf(v))
	if n, ok := parseNumber(text); ok {
		return n, "", ""
	}
	if !strings.ContainsFunc(text, unicode.IsNumber) && !strings.EqualFold(text, "NaN") && !strings.Contains(strings.ToLower(text), "inf") {
		return nil, BadNumber, "not a number"
	}
	return nil, "", ""
}

// checkReference is silent about lookups that hold something else than Ids.
func checkReference(f *salesforce.Field, text string) (Reason, string) {
	if f.ReferenceTargetField != "" || f.Length != 18 {
		return "", ""
	}
	_, err := event.ParseID(text)
	if e, ok := errors.AsType[*event.Error](err); ok {
		return BadID, e.Fields[0].Detail
	}
	return "", ""
}
