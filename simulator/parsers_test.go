package simulator

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCSV_RoundTrip writes cells with the simulator's writer and reads them
// back with its reader.
func TestCSV_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		comma := rapid.SampledFrom([]byte{',', '\t', '|', ';', '^', '`'}).Draw(t, "comma")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end")
		cell := rapid.Custom(func(t *rapid.T) string {
			s := rapid.StringOf(rapid.SampledFrom([]rune{'a', 'é', '"', ',', ';', '|', '^', '`', '\t', ' ', '\r', '\n'})).Draw(t, "cell")
			s = strings.ReplaceAll(strings.ReplaceAll(s, "\r", ""), "\n", end)
			return s
		})
		width := rapid.IntRange(1, 5).Draw(t, "width")
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, width, width), 1, 8).Draw(t, "rows")
		var b []byte
		for _, row := range rows {
			for i, c := range row {
				if i > 0 {
					b = append(b, comma)
				}
				b = appendCell(b, c)
			}
			b = append(b, end...)
		}
		if rapid.Bool().Draw(t, "last line end missing") {
			b = b[:len(b)-len(end)]
		}
		got, message := parseCSV(string(b), comma, end)
		if message != "" {
			t.Fatalf("%s in %q", message, b)
		}
		if !slices.Equal(got.names, rows[0]) || len(got.rows) != len(rows)-1 {
			t.Fatalf("got %q and %d rows of %q", got.names, len(got.rows), b)
		}
		raw := got.header + end
		for i, row := range rows[1:] {
			if !slices.Equal(got.row(i), row) {
				t.Fatalf("row %d: got %q, want %q", i, got.row(i), row)
			}
			raw += got.raw(i)
		}
		if strings.TrimSuffix(raw, end) != strings.TrimSuffix(string(b), end) {
			t.Fatalf("raw rows give %q of %q", raw, b)
		}
	})
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"", "a\n", "a,b\n1,\"2\"\n", "\"a\"\"b\",c\n\n", "\"", "a\r\nb", "\ufeff\"a\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		got, message := parseCSV(data, ',', "\n")
		if message != "" {
			return
		}
		end := len(got.header)
		if len(got.header) < len(data) {
			end++
		}
		for i, r := range got.rows {
			if int(r.from) != end || r.count < 1 {
				t.Fatalf("row %d of %q begins at %d, want %d", i, data, r.from, end)
			}
			end = int(r.to)
		}
		if end != len(data) {
			t.Fatalf("%q is read up to %d", data, end)
		}
	})
}

func FuzzSOQL(f *testing.F) {
	for _, s := range []string{
		"SELECT Id FROM Contact", "SELECT COUNT() FROM Contact WHERE Score__c >= -1.5e3",
		`SELECT Id, Account.Name FROM Contact WHERE (LastName = 'O\'Neil \\' OR Id IN ('x', null)) AND NOT DoNotCall = true ORDER BY Id DESC NULLS LAST LIMIT 5 OFFSET 1`,
		"SELECT Id FROM Contact WHERE Birthdate < 2026-01-01 AND CreatedDate > 2026-01-01T10:00:00Z", "SELECT", "((((", `'\u00e9'`,
	} {
		f.Add(s)
	}
	sim, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		st, refusal := parseSOQL(text)
		if refusal != nil {
			if refusal.code == "" || refusal.message == "" {
				t.Fatalf("%q: refusal without words: %+v", text, refusal)
			}
			return
		}
		if st.from == "" || !st.count && len(st.fields) == 0 {
			t.Fatalf("%q: %+v", text, st)
		}
		if q, refusal := sim.org.bind(st, true); refusal == nil {
			q.run()
		}
	})
}

func FuzzRequestJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"LastName":"A","Account":{"Shop_Id__c":"x"},"Score__c":1e3}`, `[`, `{"a":{"a":{"a":[1,2]}}}`} {
		f.Add([]byte(s))
	}
	sim, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := members(body)
		if err != nil {
			return
		}
		for _, m := range all {
			if m.end > int64(len(body)) || len(m.value) == 0 {
				t.Fatalf("%q: %+v", body, m)
			}
		}
		rr := rowReader{org: sim.org, object: sim.org.object("Contact"), body: body}
		w := rr.read(all)
		c := sim.org.begin("rest", "", true)
		defer c.end()
		if w.err == nil {
			c.create(rr.object, nil, &w)
		}
		c.rollback()
	})
}
