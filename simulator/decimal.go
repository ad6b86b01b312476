package simulator

import (
	"strconv"
	"strings"
)

// decimal is 0.DIGITS × 10^exp, without zeros at either end of the digits;
// zero has none.
type decimal struct {
	negative bool
	digits   string
	exp      int
}

// parseDecimal reads a plain or scientific number.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	s, power, ok := cutExponent(s)
	if !ok {
		return d, false
	}
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return d, false
	}
	significant := strings.TrimLeft(digits, "0")
	d.exp = len(whole) - (len(digits) - len(significant)) + power
	d.digits = strings.TrimRight(significant, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

// cutExponent splits the power of ten off a number.
func cutExponent(s string) (mantissa string, power int, ok bool) {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return s, 0, true
	}
	power, err := strconv.Atoi(s[i+1:])
	return s[:i], power, err == nil && -400 < power && power < 400
}

// round keeps scale digits after the point, half away from zero.
func (d decimal) round(scale int) decimal {
	keep := d.exp + scale
	if keep >= len(d.digits) {
		return d
	}
	if keep < 0 || keep == 0 && d.digits[0] < '5' {
		return decimal{}
	}
	up := d.digits[keep] >= '5'
	digits := []byte(d.digits[:keep])
	for i := keep - 1; up && i >= 0; i-- {
		if digits[i]++; digits[i] <= '9' {
			up = false
		} else {
			digits[i] = '0'
		}
	}
	if up {
		digits = append([]byte{'1'}, digits...)
		d.exp++
	}
	d.digits = strings.TrimRight(string(digits), "0")
	if d.digits == "" {
		return decimal{}
	}
	return d
}

// integral reports whether there is nothing after the point.
func (d decimal) integral() bool { return len(d.digits) <= d.exp || d.digits == "" }

// String is the plain form: -0.25, 71, 1200.
func (d decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	sign := ""
	if d.negative {
		sign = "-"
	}
	switch {
	case d.exp <= 0:
		return sign + "0." + strings.Repeat("0", -d.exp) + d.digits
	case d.integral():
		return sign + d.digits + strings.Repeat("0", d.exp-len(d.digits))
	default:
		return sign + d.digits[:d.exp] + "." + d.digits[d.exp:]
	}
}

// java is the form of result files: 7.1E1, 9.12260031E8, 5.0.
func (d decimal) java() string {
	if d.digits == "" {
		return "0.0"
	}
	b := make([]byte, 0, 24)
	if d.negative {
		b = append(b, '-')
	}
	b = append(b, d.digits[0], '.')
	if len(d.digits) > 1 {
		b = append(b, d.digits[1:]...)
	} else {
		b = append(b, '0')
	}
	if d.exp != 1 {
		b = append(b, 'E')
		b = strconv.AppendInt(b, int64(d.exp-1), 10)
	}
	return string(b)
}
