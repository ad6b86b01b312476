package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// describer is an org that only describes.
type describer struct {
	Org
	object *salesforce.Object
}

func (d describer) Describe(context.Context, string) (*salesforce.Object, error) {
	return d.object, nil
}

// BenchmarkBuildJob measures a job of 1,000 rows from what the store hands out to
// the bytes that are uploaded.
func BenchmarkBuildJob(b *testing.B) {
	const rows = 1000
	object := &salesforce.Object{Name: "Contact"}
	for _, name := range []string{"Shop_Id__c", "LastName", "FirstName", "Email", "Phone", "MailingStreet", "MailingCity", "Description"} {
		object.Fields = append(object.Fields, salesforce.Field{Name: name, Type: "string", Length: 255, Createable: true, Updateable: true, ExternalID: true, Unique: true})
	}
	d := New(Config{}, nil, describer{object: object}, slog.New(slog.DiscardHandler))
	claimed := make([]store.Claimed, rows)
	for i := range claimed {
		claimed[i] = store.Claimed{
			Seq: store.Seq(i + 1), Key: fmt.Sprintf("order-%d/contact", i),
			Head:    fmt.Appendf(nil, `{"external_id":{"field":"Shop_Id__c","value":"%d"}}`, i),
			Payload: fmt.Appendf(nil, `{"LastName":"Lovelace","FirstName":"Ada","Email":"ada%d@example.com","Phone":"+44 20 7946 0018","MailingStreet":"12 St James's Square","MailingCity":"London","Description":"First programmer","Account":{"Shop_Id__c":"A-%d"}}`, i, i%10),
		}
	}
	a := store.Attempt{ID: "a", Kind: store.KindBulk, Route: store.Route{Object: "Contact", Operation: opUpsert, ExternalID: "Shop_Id__c"}}
	b.ReportAllocs()
	for b.Loop() {
		batch, err := d.prepare(b.Context(), a, claimed, fresh)
		if err != nil {
			b.Fatal(err)
		}
		j := &job{batch: batch}
		if out := j.fit(); len(out) > 0 || j.size != rows {
			b.Fatalf("%d rows, %d left out", j.size, len(out))
		}
		b.SetBytes(int64(len(j.table.CSV())))
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
