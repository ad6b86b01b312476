package simulator

import (
	"bytes"
	"fmt"
	"testing"
)

// contactsCSV makes an upload of n rows of six columns.
func contactsCSV(n, offset int) string {
	var b bytes.Buffer
	b.WriteString("Shop_Id__c,LastName,FirstName,Email,Score__c,Outbox_Key__c\n")
	for i := offset; i < offset+n; i++ {
		fmt.Fprintf(&b, "\"s-%d\",\"Lovelace %d\",\"Ada\",\"ada%d@example.com\",\"%d.5\",\"event-%d\"\n", i, i, i, i%1000, i)
	}
	return b.String()
}

// BenchmarkBulk runs whole jobs of 1,000 rows over HTTP: create, upload,
// close, poll, results.
func BenchmarkBulk(b *testing.B) {
	for _, operation := range []string{"insert", "upsert"} {
		b.Run(operation, func(b *testing.B) {
			o := startOrg(b, Config{})
			spec := fmt.Sprintf(`{"object":"Contact","operation":%q,"externalIdFieldName":"Shop_Id__c"}`, operation)
			uploads := make([]string, b.N)
			for i := range uploads {
				uploads[i] = contactsCSV(1_000, i*1_000)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, csv := range uploads {
				j := o.run(spec, csv)
				if j["numberRecordsFailed"] != 0.0 {
					b.Fatal(o.results(j["id"], "failedResults"))
				}
				o.results(j["id"], "successfulResults")
				o.results(j["id"], "failedResults")
			}
			b.ReportMetric(float64(b.N)*1_000/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkCollections upserts 200 rows a call.
func BenchmarkCollections(b *testing.B) {
	o := startOrg(b, Config{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var body bytes.Buffer
		body.WriteString(`{"records":[`)
		for n := range 200 {
			if n > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `{"attributes":{"type":"Contact"},"Shop_Id__c":"s-%d","LastName":"L","Email":"a%d@example.com"}`, i*200+n, n)
		}
		body.WriteString("]}")
		o.do("PATCH", "/composite/sobjects/Contact/Shop_Id__c", body.String()).want(200, `"success":true`)
	}
	b.ReportMetric(float64(b.N)*200/b.Elapsed().Seconds(), "rows/s")
}
