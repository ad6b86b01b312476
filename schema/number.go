package schema

import (
	"strconv"
	"strings"
)

// number is a decimal number as far as a field's bounds go.
type number struct {
	sign     string // "-" or ""
	whole    string // digits before the point, without zeros in front
	fraction bool   // something but zeros is behind the point
}

// widestExponent bounds the digits that an exponent stands for.
const widestExponent = 400

// parseNumber reads a plain number, or one with an exponent.
func parseNumber(text string) (*number, bool) {
	n := &number{}
	mantissa, shift := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exponent, err := strconv.Atoi(text[i+1:])
		if err != nil || exponent > widestExponent || exponent < -widestExponent {
			return nil, false
		}
		mantissa, shift = text[:i], exponent
	}
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		n.sign = strings.TrimPrefix(mantissa[:1], "+")
		mantissa = mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return nil, false
	}
	point := len(whole) + shift
	digits += strings.Repeat("0", max(0, point-len(digits)))
	point = max(0, point)
	n.whole = strings.TrimLeft(digits[:point], "0")
	n.fraction = strings.Trim(digits[point:], "0") != ""
	return n, true
}
