package event

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// LaneKey returns the lane in force: events of equal lane keys are applied in the
// order of their acceptance. It is the normal form (trimmed, case folded) of Lane,
// or DefaultLane where the app named none; "" is no lane at all.
//
// Both live in one name space: an app that names the lane which the
// daemon shows for another event, "contact/shop_id__c/1187", is ordered with it.
// A lane that is too wide costs only time, one that is too narrow costs the order.
func (e *Event) LaneKey() string {
	if e.Lane != "" {
		return bounded(Fold(e.Lane))
	}
	return e.DefaultLane()
}

// DefaultLane derives the lane from what names the record: object, external id
// field and value ("contact/shop_id__c/1187"), object and Id, or object and match.
// Letter case, the space around texts, and the way a number is written (1, 1.0,
// "1", 1e0) make no difference. A create has none. At most MaxLane bytes: what is
// longer ends in a hash.
func (e *Event) DefaultLane() string {
	object := strings.ToLower(e.Object)
	switch {
	case e.Operation == Create:
		return ""
	case e.ExternalID != nil:
		return bounded(object + "/" + strings.ToLower(e.ExternalID.Field) + "/" + normalValue(e.ExternalID.Value))
	case e.ID != "":
		id := e.ID
		if canonical, problem := canonicalID(id); problem == "" {
			id = canonical
		}
		return bounded(object + "/" + strings.ToLower(id))
	case e.Match != nil:
		return bounded(object + e.Match.lane())
	}
	return ""
}

// lane is "?all:email=ada@example.com&lastname=lovelace". The order of the
// conditions makes no difference.
func (m *Match) lane() string {
	kind, list := "?all:", m.All
	if m.Any != nil {
		kind, list = "?any:", m.Any
	}
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = strings.ToLower(c.Field) + "=" + normalValue(c.Value)
	}
	slices.Sort(parts)
	return kind + strings.Join(parts, "&")
}

// bounded keeps a lane within MaxLane bytes.
func bounded(lane string) string {
	if len(lane) <= MaxLane {
		return lane
	}
	sum := sha256.Sum256([]byte(lane))
	hash := "~" + hex.EncodeToString(sum[:16])
	cut := MaxLane - len(hash)
	for !utf8.RuneStart(lane[cut]) {
		cut--
	}
	return lane[:cut] + hash
}

// normalValue is the normal form of a JSON string, number or boolean.
func normalValue(v jsontext.Value) string {
	text := string(v)
	if isText(v) {
		text = string(unquote(v))
	}
	text = strings.TrimSpace(text)
	if number, ok := normalNumber(text); ok {
		return number
	}
	return Fold(text)
}

// Fold makes texts one that differ in letter case or in blanks around them only.
func Fold(text string) string {
	return strings.Map(foldRune, strings.TrimSpace(text))
}

// foldRune maps all letters that simple case folding takes for one to the same,
// and that to lower case.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least)
}

// normalNumber writes a decimal number in the one way that its worth allows:
// plain digits where they are few, else digits and an exponent. It is false for
// what is no number. Nothing is rounded: long numbers that differ stay apart.
func normalNumber(text string) (string, bool) {
	rest, negative := strings.CutPrefix(text, "-")
	if !negative {
		rest = strings.TrimPrefix(rest, "+")
	}
	mantissa, exponent, ok := cutExponent(rest)
	if !ok {
		return "", false
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return "0", true
	}
	exponent -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	number := placePoint(trimmed, exponent)
	if negative {
		number = "-" + number
	}
	return number, true
}

// cutExponent splits "1.5e3". An exponent that no field can hold is no number's.
func cutExponent(text string) (mantissa string, exponent int, ok bool) {
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return text, 0, true
	}
	if strings.Trim(strings.TrimLeft(text[i+1:], "+-"), "0123456789") != "" {
		return text, 0, false // as of most texts with an e in them; an error of Atoi would cost more
	}
	exponent, err := strconv.Atoi(text[i+1:])
	const most = 1 << 20
	return text[:i], exponent, err == nil && -most <= exponent && exponent <= most
}

// placePoint writes digits × 10^exponent; digits neither begin nor end with 0.
func placePoint(digits string, exponent int) string {
	const widest = 40
	switch point := len(digits) + exponent; {
	case point > widest || point < -widest/2:
		return digits + "e" + strconv.Itoa(exponent)
	case exponent >= 0:
		return digits + strings.Repeat("0", exponent)
	case point > 0:
		return digits[:point] + "." + digits[point:]
	default:
		return "0." + strings.Repeat("0", -point) + digits
	}
}
