package salesforce

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkResults reads a job's results of 1,000 rows, from the body of the answer
// to the rows that are handed over.
func BenchmarkResults(b *testing.B) {
	const rows = 1000
	var ok, failed strings.Builder
	ok.WriteString(`"sf__Id","sf__Created","Shop_Id__c","LastName","Email","Description"` + "\n")
	failed.WriteString(`"sf__Id","sf__Error","Shop_Id__c","LastName","Email","Description"` + "\n")
	for i := range rows {
		cells := fmt.Sprintf(`"%d","Lovelace","ada%d@example.com","%s"`, i, i, strings.Repeat("x", 300))
		fmt.Fprintf(&ok, "\"0035e00000Kp7QaAAJ\",\"true\",%s\n", cells)
		fmt.Fprintf(&failed, "\"\",\"STRING_TOO_LONG:First Name: data value too large: (max length=40):FirstName --\",%s\n", cells)
	}
	for _, set := range []struct {
		name, body string
		read       func(*Client, func([]string, ResultRow) error) error
	}{
		{"successful", ok.String(), func(c *Client, each func([]string, ResultRow) error) error {
			return c.SuccessfulResults(b.Context(), jobID, rows, each)
		}},
		{"failed", failed.String(), func(c *Client, each func([]string, ResultRow) error) error {
			return c.FailedResults(b.Context(), jobID, rows, each)
		}},
	} {
		b.Run(set.name, func(b *testing.B) {
			c, _ := answered(b, 0, "text/csv", set.body)
			b.SetBytes(int64(len(set.body)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := set.read(c, func([]string, ResultRow) error { n++; return nil })
				if err != nil || n != rows {
					b.Fatalf("%d rows, %v", n, err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
