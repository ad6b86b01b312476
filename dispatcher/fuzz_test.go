package dispatcher

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/salesforce"
)

// FuzzNormalCell: the normal form of a cell is its own, and that of a number also of its echo as a float64; whatever a
// description says of the field, it costs little.
func FuzzNormalCell(f *testing.F) {
	types := []string{"string", "int", "double", "boolean", "date", "datetime", "id", "reference"}
	for _, text := range []string{"71", "7.1E1", "-0.005", "1e400", "1e-400", "0x10", "1_0", "TRUE", "2026-11-23T10:00:00.000Z", "2026-11-23T10:00:00+01:00", "0015g00000Kp7Qa", " #N/A ", "a\r\nb", ""} {
		for kind := range types {
			f.Add(text, kind, 2)
		}
	}
	f.Add("1", 2, math.MaxInt32)
	f.Fuzz(func(t *testing.T, text string, kind, scale int) {
		field := &salesforce.Field{Type: types[uint(kind)%uint(len(types))], Scale: scale}
		n := normalCell(field, text)
		if field.Type == "date" || strings.Contains(text, "\r") {
			return // cut, or joined, to what may have a blank or another end of line at its end
		}
		if again := normalCell(field, n); again != n {
			t.Errorf("%s %q is %q, and that is %q", field.Type, text, n, again)
		}
		v, ok := parseNumber(n)
		if field.Type != "double" || !ok {
			return
		}
		number, _ := v.Float64()
		if echo := strconv.FormatFloat(number, 'E', -1, 64); normalCell(field, echo) != n {
			t.Errorf("%q is %q, and its echo %s is %q", text, n, echo, normalCell(field, echo))
		}
	})
}
