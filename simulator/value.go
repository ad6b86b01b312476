package simulator

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A stored value is a string in a normal form of its kind; "" is null:
// booleans true and false, numbers plain and rounded to the scale, dates
// 2006-01-02, datetimes as storedTime, ids of 18 characters.
const storedTime = "2006-01-02T15:04:05.000+0000"

const storedDate = "2006-01-02"

// formatTime renders a time as Salesforce answers it: whole seconds, no colon
// in the offset.
func formatTime(t time.Time) string {
	return t.UTC().Truncate(time.Second).Format(storedTime)
}

// parse brings the text of a value, which is not empty, into the normal form.
func (f *field) parse(s string) (string, bool) {
	switch f.kind {
	case kindBool:
		return parseBool(s)
	case kindInt:
		return parseInt(s)
	case kindNumber:
		d, ok := parseDecimal(strings.TrimSpace(s))
		if !ok {
			return "", false
		}
		return d.round(f.Scale).String(), true
	case kindDate:
		return parseDate(s)
	case kindDateTime:
		t, ok := parseDateTime(s)
		if !ok {
			return "", false
		}
		return formatTime(t), true
	case kindTime:
		t, err := time.Parse("15:04:05Z07:00", s)
		return t.UTC().Format("15:04:05.000Z"), err == nil
	case kindBlob:
		_, err := base64.StdEncoding.DecodeString(s)
		return s, err == nil
	default:
		return strings.TrimSpace(s), true
	}
}

func parseBool(s string) (string, bool) {
	switch {
	case s == "1" || strings.EqualFold(s, "true"):
		return "true", true
	case s == "0" || strings.EqualFold(s, "false"):
		return "false", true
	default:
		return "", false
	}
}

func parseInt(s string) (string, bool) {
	d, ok := parseDecimal(strings.TrimSpace(s))
	if !ok || !d.integral() {
		return "", false
	}
	return d.String(), true
}

// parseDate takes a date, or cuts a datetime. A Z after a date is swallowed,
// as the Bulk API guide's own sample has one.
func parseDate(s string) (string, bool) {
	if t, err := time.Parse(storedDate, strings.TrimSuffix(s, "Z")); err == nil {
		return t.Format(storedDate), true
	}
	if t, ok := parseDateTime(s); ok {
		return t.UTC().Format(storedDate), true
	}
	return "", false
}

func parseDateTime(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), true
	}
	t, err := time.Parse("2006-01-02T15:04:05Z0700", s)
	return t.UTC(), err == nil
}

// check applies the rules that need no other row to a value in normal form.
func (f *field) check(v string) *rowError {
	if v == "" {
		return nil
	}
	switch f.kind {
	case kindNumber, kindInt:
		return f.checkNumber(v)
	case kindDate, kindDateTime:
		return f.checkYear(v)
	case kindPicklist:
		if f.values != nil && !f.values[v] {
			return f.badPicklist(v)
		}
	case kindMultiPicklist:
		if strings.Count(v, ";") >= maxChosen {
			return refuse("TOO_MANY_ENUM_VALUE", f.label+": too many values in multi-select picklist: more than "+strconv.Itoa(maxChosen), f.Name)
		}
		if bad, found := foreignValue(f.values, v); found {
			return f.badPicklist(bad)
		}
	case kindEmail:
		if !isEmail(v) {
			return refuse("INVALID_EMAIL_ADDRESS", f.label+": invalid email address: "+v, f.Name)
		}
	}
	return f.checkLength(v)
}

func (f *field) checkLength(v string) *rowError {
	if !isTextual(f.kind) || len(v) <= f.Length || utf8.RuneCountInString(v) <= f.Length {
		return nil
	}
	return refuse("STRING_TOO_LONG", f.label+": data value too large: "+v+
		" (max length="+strconv.Itoa(f.Length)+")", f.Name)
}

func (f *field) badPicklist(v string) *rowError {
	return refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f.label+": bad value for restricted picklist field: "+v, f.Name)
}

// maxChosen is how many values of a multi-select picklist a row can have.
const maxChosen = 100

// foreignValue finds a value, of one or several, that is not in a list; nil is any.
func foreignValue(list map[string]bool, v string) (string, bool) {
	if list == nil || v == "" {
		return "", false
	}
	for part := range strings.SplitSeq(v, ";") {
		if !list[part] {
			return part, true
		}
	}
	return "", false
}

// checkNumber wants 32 bits of an int, and of the others no more digits
// before the point than precision less scale.
func (f *field) checkNumber(v string) *rowError {
	outside := false
	if f.kind == kindInt {
		_, err := strconv.ParseInt(v, 10, 32)
		outside = err != nil
	} else {
		whole, _, _ := strings.Cut(strings.TrimPrefix(v, "-"), ".")
		outside = len(whole) > f.Precision-f.Scale && whole != "0"
	}
	if !outside {
		return nil
	}
	return refuse("NUMBER_OUTSIDE_VALID_RANGE", f.label+": value outside of valid range on numeric field: "+v, f.Name)
}

func (f *field) checkYear(v string) *rowError {
	if v >= "1700" && v < "4001" {
		return nil
	}
	return refuse("NUMBER_OUTSIDE_VALID_RANGE", f.label+": invalid date: "+v, f.Name)
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && !strings.ContainsAny(s, " \t\r\n,;<>()") && !strings.Contains(domain, "@") &&
		strings.Contains(domain, ".") && !strings.HasPrefix(domain, ".") && !strings.HasSuffix(domain, ".")
}

// echo renders a cell as the result files of a job do: what was understood,
// not what was sent. A cell that can't be understood comes back as it is.
func (f *field) echo(cell string) string {
	switch f.kind {
	case kindNumber:
		if d, ok := parseDecimal(strings.TrimSpace(cell)); ok {
			return d.round(f.Scale).java()
		}
	case kindDateTime:
		if t, ok := parseDateTime(cell); ok {
			return t.Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
		}
	case kindBool, kindInt, kindDate:
		if v, ok := f.parse(cell); ok {
			return v
		}
	case kindReference, kindID:
		if id, ok := canonicalID(cell); ok {
			return id
		}
	}
	return cell
}

// appendJSON renders a stored value as the REST API does.
func (f *field) appendJSON(b []byte, v string) []byte {
	switch {
	case v == "" && f.kind == kindBool:
		return append(b, "false"...)
	case v == "":
		return append(b, "null"...)
	case f.kind == kindBool, f.kind == kindInt:
		return append(b, v...)
	case f.kind == kindNumber:
		b = append(b, v...)
		if !strings.Contains(v, ".") {
			b = append(b, ".0"...)
		}
		return b
	default:
		return appendQuoted(b, v)
	}
}

// appendField renders a row's value as the REST API does: of a blob the
// address where it can be had.
func appendField(b []byte, r *record, f *field, base string) []byte {
	if f.kind == kindAddress {
		return appendAddress(b, r, f)
	}
	v := r.get(f)
	if f.kind == kindBlob && v != "" {
		v = base + "/sobjects/" + r.object.Name + "/" + r.id + "/" + f.Name
	}
	return f.appendJSON(b, v)
}

// public renders a stored value for the control side.
func (f *field) public(v string) any {
	switch {
	case v == "":
		return nil
	case f.kind == kindBool:
		return v == "true"
	case f.kind == kindInt, f.kind == kindNumber:
		return json.Number(v)
	default:
		return v
	}
}

// key is the form in which values are indexed and compared: the case of a
// text counts only where the field says so.
func (f *field) key(v string) string {
	if !f.CaseSensitive && isTextual(f.kind) {
		return strings.ToLower(v)
	}
	return v
}

// same reports whether two stored values are one; a boolean is never null.
func (f *field) same(a, b string) bool {
	return a == b || f.kind == kindBool && a != "true" && b != "true"
}
