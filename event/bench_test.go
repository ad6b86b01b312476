package event

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// ordinary is an event of 512 bytes.
var ordinary = []byte(`{"key":"order-1187/contact","object":"Contact","operation":"upsert",` +
	`"external_id":{"field":"Shop_Id__c","value":"1187"},"source":"shop",` +
	`"fields":{"LastName":"Lovelace","FirstName":"Ada","Email":"ada@example.com","Phone":"+44 20 7946 0018",` +
	`"MailingStreet":"12 St James's Square","MailingCity":"London","MailingPostalCode":"SW1Y 4JH",` +
	`"MailingCountry":"United Kingdom","Birthdate":"1815-12-10","Description":"Wrote notes on the engine",` +
	`"Score__c":1187.50,"Account":{"Shop_Id__c":"A-9"}}}`)

// BenchmarkAccept is what the accept path asks of this package for each event.
func BenchmarkAccept(b *testing.B) {
	b.SetBytes(int64(len(ordinary)))
	b.ReportAllocs()
	for b.Loop() {
		e, err := Decode(ordinary)
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
		head, err := e.Head()
		if err != nil || len(head) == 0 || e.LaneKey() == "" || e.Digest() == [16]byte{} {
			b.Fatal("nothing derived", err)
		}
	}
}

func BenchmarkParts(b *testing.B) {
	e, err := Decode(ordinary)
	if err != nil {
		b.Fatal(err)
	}
	for _, part := range []struct {
		name string
		run  func() bool
	}{
		{"jsontext", func() bool { return jsontext.Value(ordinary).IsValid(jsontext.AllowDuplicateNames(true)) }},
		{"parse", func() bool { t := parse(ordinary); t.free(); return true }},
		{"decode", func() bool { e, _ := Decode(ordinary); return e != nil }},
		{"facts", func() bool { return len((&Event{Fields: e.Fields}).fieldFacts().problems) == 0 }},
		{"validate", func() bool { return e.Validate() == nil }},
		{"digest", func() bool { return e.Digest() != [16]byte{} }},
		{"lane", func() bool { return e.LaneKey() != "" }},
		{"head", func() bool { h, _ := e.Head(); return h != nil }},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !part.run() {
					b.Fatal("failed")
				}
			}
		})
	}
}
