package dispatcher

import (
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
)

// The org echoes a row as it has understood it, not as it was sent: 71664061
// comes back as 7.1664061E7, a time in UTC and cut to milliseconds, text without
// the blanks around it. So both sides are brought into one form before they are
// compared, by the type of the field.

// normalCell is the normal form of a cell. f is nil where the type is not known,
// as of a parent's field.
func normalCell(f *salesforce.Field, text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	if text == "" || text == "#N/A" {
		return ""
	}
	if f == nil {
		return text
	}
	switch f.Type {
	case "int", "double", "currency", "percent", "long":
		return normalNumber(text, f)
	case "boolean":
		return normalBool(text)
	case "date":
		return text[:min(len(text), len("2006-01-02"))]
	case "datetime":
		return normalTime(text)
	case "id", "reference":
		return normalID(text)
	}
	return text
}

// echoesText reports whether cells of the field surely come back as they were
// sent, blanks around them aside.
func echoesText(f *salesforce.Field) bool {
	if f == nil {
		return false
	}
	switch f.Type {
	case "string", "textarea", "email", "phone", "url", "picklist", "multipicklist", "combobox", "id", "reference":
		return true
	}
	return false
}

// normalKey is the normal form of a value that names a record: texts that differ
// in letter case only are one, as they are for lanes.
func normalKey(f *salesforce.Field, text string) string {
	return event.Fold(normalCell(f, text))
}

// echoDigits is how many digits of a number survive the org's echo, which is
// that of a float64.
const echoDigits = 15

// normalNumber rounds to the field's scale and to the digits that the echo has.
func normalNumber(text string, f *salesforce.Field) string {
	v, ok := parseNumber(text)
	if !ok {
		return text
	}
	if f.Type != "int" && f.Type != "long" {
		v = roundHalfUp(v, f.Scale)
	}
	number, _ := v.Float64()
	if number == 0 {
		number = 0 // no sign
	}
	return strconv.FormatFloat(number, 'g', echoDigits, 64)
}

// widestExponent bounds the work that parsing a number may cost.
const widestExponent = 400

func parseNumber(text string) (*big.Rat, bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exp, err := strconv.Atoi(text[i+1:])
		if err != nil || exp > widestExponent || exp < -widestExponent {
			return nil, false
		}
	}
	if strings.ContainsAny(text, "/_xXpPbBoO") {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// roundHalfUp rounds to so many digits after the point, a half away from zero.
func roundHalfUp(v *big.Rat, scale int) *big.Rat {
	text := v.FloatString(min(max(scale, 0), widestExponent)) // rounds halves away from zero
	if rounded, ok := new(big.Rat).SetString(text); ok {
		return rounded
	}
	return v
}

func normalBool(text string) string {
	switch strings.ToLower(text) {
	case "true", "1":
		return "true"
	case "false", "0":
		return "false"
	}
	return text
}

// timeForms are the ways in which the org takes and writes a time.
var timeForms = [...]string{
	"2006-01-02T15:04:05.999999999Z07:00",
	"2006-01-02T15:04:05.999999999Z0700",
}

func parseTime(text string) (t time.Time, ok bool) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return t, false
}

// normalTime is the instant in UTC, cut to milliseconds; of a date it is midnight.
func normalTime(text string) string {
	t, ok := parseTime(text)
	if !ok {
		var err error
		if t, err = time.Parse(time.DateOnly, text); err != nil {
			return text
		}
	}
	return t.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000")
}

func normalID(text string) string {
	if id, err := salesforce.ParseID(text); err == nil {
		return string(id)
	}
	return text
}
