package app

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
)

// mistake is one kind of event that the org refuses.
type mistake struct {
	body   string // %d is a number of its own
	path   string // reject's
	reason string
	code   string // the org's own
}

func upserting(fields string) string {
	return `"object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"B-%[1]d"},"fields":` + fields
}

func contactWith(field string) string { return upserting(`{"LastName":"A",` + field + `}`) }

func creating(object, fields string) string {
	return `"object":"` + object + `","operation":"create","fields":` + fields
}

// mistakes are the kinds of the file.
func mistakes() []mistake {
	long := strings.Repeat("a", 256)
	return []mistake{
		{contactWith(`"LastNam":"B"`), "fields.LastNam", "unknown_field", "INVALID_FIELD"},
		{contactWith(`"Tier":"Gold"`), "fields.Tier", "unknown_field", "INVALID_FIELD"},
		{contactWith(`"Zip_Code__c":"1"`), "fields.Zip_Code__c", "unknown_field", "INVALID_FIELD"},
		{creating("Case", `{"Subjct":"x"}`), "fields.Subjct", "unknown_field", "INVALID_FIELD"},
		{contactWith(`"Name":"A B"`), "fields.Name", "not_writable", "INVALID_FIELD_FOR_INSERT_UPDATE"},
		{creating("Contact", `{"LastName":"A","Name":"A B"}`), "fields.Name", "not_writable", "INVALID_FIELD_FOR_INSERT_UPDATE"},
		{contactWith(`"IsDeleted":true`), "fields.IsDeleted", "not_writable", "INVALID_FIELD_FOR_INSERT_UPDATE"},
		{creating("Contact", `{"FirstName":"A"}`), "fields.LastName", "required_missing", "REQUIRED_FIELD_MISSING"},
		{creating("Contact", `{"LastName":"  "}`), "fields.LastName", "required_missing", "REQUIRED_FIELD_MISSING"},
		{creating("Contact", `{"LastName":null}`), "fields.LastName", "required_missing", "REQUIRED_FIELD_MISSING"},
		{creating("Lead", `{"LastName":"A"}`), "fields.Company", "required_missing", "REQUIRED_FIELD_MISSING"},
		{creating("Opportunity", `{"Name":"A","StageName":"Proposal"}`), "fields.CloseDate", "required_missing", "REQUIRED_FIELD_MISSING"},
		{contactWith(`"FirstName":"` + long + `"`), "fields.FirstName", "too_long", "STRING_TOO_LONG"},
		{contactWith(`"MailingStreet":"` + long + `"`), "fields.MailingStreet", "too_long", "STRING_TOO_LONG"},
		{contactWith(`"Phone":"` + long + `"`), "fields.Phone", "too_long", "STRING_TOO_LONG"},
		{creating("Account", `{"Name":"A","Website":"`+long+`"}`), "fields.Website", "too_long", "STRING_TOO_LONG"},
		{contactWith(`"Score__c":12345678901234567`), "fields.Score__c", "out_of_range", "NUMBER_OUTSIDE_VALID_RANGE"},
		{creating("Account", `{"Name":"A","NumberOfEmployees":3000000000}`), "fields.NumberOfEmployees", "out_of_range", "NUMBER_OUTSIDE_VALID_RANGE"},
		{creating("Opportunity", `{"Name":"A","StageName":"Proposal","CloseDate":"2026-12-31","Probability":1234}`), "fields.Probability", "out_of_range", "NUMBER_OUTSIDE_VALID_RANGE"},
		{contactWith(`"Score__c":"dear"`), "fields.Score__c", "bad_number", "JSON_PARSER_ERROR"},
		{contactWith(`"Score__c":true`), "fields.Score__c", "wrong_type", "JSON_PARSER_ERROR"},
		{creating("Account", `{"Name":"A","NumberOfEmployees":1.5}`), "fields.NumberOfEmployees", "bad_number", "JSON_PARSER_ERROR"},
		{contactWith(`"DoNotCall":"maybe"`), "fields.DoNotCall", "wrong_type", "JSON_PARSER_ERROR"},
		{contactWith(`"DoNotCall":7`), "fields.DoNotCall", "wrong_type", "JSON_PARSER_ERROR"},
		{contactWith(`"Birthdate":"2026-02-30"`), "fields.Birthdate", "bad_date", "JSON_PARSER_ERROR"},
		{contactWith(`"Birthdate":"31.12.2026"`), "fields.Birthdate", "bad_date", "JSON_PARSER_ERROR"},
		{contactWith(`"Birthdate":"yesterday"`), "fields.Birthdate", "bad_date", "JSON_PARSER_ERROR"},
		{contactWith(`"Birthdate":"1066-10-14"`), "fields.Birthdate", "bad_date", "NUMBER_OUTSIDE_VALID_RANGE"},
		{contactWith(`"Birthdate":true`), "fields.Birthdate", "wrong_type", "JSON_PARSER_ERROR"},
		{contactWith(`"Last_Seen__c":"2026-13-01T10:00:00Z"`), "fields.Last_Seen__c", "bad_date", "JSON_PARSER_ERROR"},
		{contactWith(`"Last_Seen__c":"2026-01-01T25:00:00Z"`), "fields.Last_Seen__c", "bad_date", "JSON_PARSER_ERROR"},
		{contactWith(`"Last_Seen__c":"just now"`), "fields.Last_Seen__c", "bad_date", "JSON_PARSER_ERROR"},
		{creating("Thing__c", `{"Name":"A","Opens__c":"25:00:00Z"}`), "fields.Opens__c", "bad_date", "JSON_PARSER_ERROR"},
		{contactWith(`"AccountId":"0015e00000Kp7QaAAK"`), "fields.AccountId", "bad_id", "MALFORMED_ID"},
		{contactWith(`"AccountId":"0015e00000kp7qaaaj"`), "fields.AccountId", "bad_id", "MALFORMED_ID"},
		{contactWith(`"AccountId":"1187"`), "fields.AccountId", "bad_id", "MALFORMED_ID"},
		{contactWith(`"ReportsToId":"0035e00000Kp-Qa"`), "fields.ReportsToId", "bad_id", "MALFORMED_ID"},
		{contactWith(`"Tier__c":"Glod"`), "fields.Tier__c", "not_in_picklist", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"},
		{contactWith(`"Tier__c":"Platinum"`), "fields.Tier__c", "not_in_picklist", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"},
		{creating("Thing__c", `{"Name":"A","Tags__c":"red;pink"}`), "fields.Tags__c", "not_in_picklist", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"},
		{strings.Replace(contactWith(`"FirstName":"B"`), "Shop_Id__c", "Department", 1), "external_id.field", "no_external_id", "INVALIDJOB"},
		{strings.Replace(contactWith(`"FirstName":"B"`), "Shop_Id__c", "Shop_ID", 1), "external_id.field", "unknown_field", "INVALIDJOB"},
		{contactWith(`"Acount":{"Shop_Id__c":"A-1"}`), "fields.Acount", "unknown_relationship", "INVALID_FIELD"},
		{contactWith(`"Account":{"Shop_ID":"A-1"}`), "fields.Account.Shop_ID", "unknown_field", "INVALID_FIELD"},
		{contactWith(`"Account":{"Site":"A-1"}`), "fields.Account.Site", "no_external_id", "INVALID_FIELD"},
		{contactWith(`"Account":"A-1"`), "fields.Account", "wrong_type", "JSON_PARSER_ERROR"},
		{contactWith(`"Title":["B"]`), "fields.Title", "wrong_type", "JSON_PARSER_ERROR"},
		{strings.Replace(contactWith(`"FirstName":"B"`), "Contact", "Contct", 1), "object", "unknown_object", "NOT_FOUND"},
	}
}

// good events are near to the mistakes, and taken all the same.
var good = []string{
	contactWith(`"FirstName":"  ` + strings.Repeat("語", 40) + ` "`),
	contactWith(`"fIRSTnAME":"B"`),
	contactWith(`"Score__c":"17.255"`),
	contactWith(`"Birthdate":"2024-02-29","Last_Seen__c":"2026-01-31T10:00:00.123+02:00"`),
	contactWith(`"Tier__c":"Gold","DoNotCall":true`),
	contactWith(`"Account":{"Shop_Id__c":"A-1"}`),
	contactWith(`"LeadSource":"Hearsay","Title":null,"Department":""`),
	creating("Lead", `{"LastName":"A","Company":"B"}`),
	creating("Thing__c", `{"Name":"A","Tags__c":"red;blue","Opens__c":"09:30:00Z"}`),
}

const (
	perMistake = 5
	fileLines  = 1000
)

// file makes the lines; wrong is the mistake of each bad one by its key.
func file() (ndjson []byte, wrong map[string]mistake) {
	var b bytes.Buffer
	wrong = map[string]mistake{}
	n := 0
	line := func(key, body string) {
		if strings.Contains(body, "%[1]d") {
			body = fmt.Sprintf(body, n)
		}
		fmt.Fprintf(&b, "{\"key\":%q,%s}\n", key, body)
		n++
	}
	for _, m := range mistakes() {
		for range perMistake {
			key := fmt.Sprint("bad-", n)
			wrong[key] = m
			line(key, m.body)
		}
	}
	for n < fileLines {
		line(fmt.Sprint("good-", n), good[n%len(good)])
	}
	return b.Bytes(), wrong
}

// validatingDaemon is a daemon with a simulated org, in which the parent that good events name exists.
func validatingDaemon(t *testing.T, how string) (*App, *client.Client, *simulator.Simulator) {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	key := simulator.Field{Name: "Outbox_Key__c", Type: "string", Length: 255, ExternalID: true, Unique: true, CaseSensitive: true}
	err = sim.SetSchema([]simulator.Object{{Name: "Thing__c", KeyPrefix: "a0T", Fields: []simulator.Field{
		{Name: "Name", Type: "string", Length: 80, Required: true},
		{Name: "Opens__c", Type: "time"},
		{Name: "Tags__c", Type: "multipicklist", Picklist: []string{"red", "blue"}},
		key,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	cfg.Validate = how
	cfg.Store.MaxSize = 64 << 20
	cfg.Dispatch.Bulk.MaxWait, cfg.Dispatch.Bulk.Poll.Min = 10*time.Millisecond, 10*time.Millisecond // an upsert that is not idempotent goes by job
	cfg.Salesforce = &config.Salesforce{LoginURL: url, APIVersion: "auto", Auth: config.Auth{
		Flow: salesforce.FlowClientCredentials, ClientID: simulator.DefaultClientID, ClientSecret: config.NewSecret(simulator.DefaultClientSecret),
	}}
	for _, name := range []string{"Contact", "Lead", "Account", "Opportunity", "Case", "Thing__c"} {
		cfg.Objects[name] = config.Object{KeyField: "Outbox_Key__c", OnFailure: "block", CreateVia: "bulk"}
	}
	a, stop := start(t, cfg, quiet())
	c := client.New(cfg.Socket.Path)
	t.Cleanup(func() {
		c.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	parent := `{"key":"parent","object":"Account","operation":"create","fields":{"Name":"A","Shop_Id__c":"A-1"}}`
	if _, err := c.PutEvent(t.Context(), []byte(parent), ""); err != nil {
		t.Fatal(err)
	}
	await(t, "the parent", func() bool { return countsOf(t, c).Delivered == 1 })
	return a, c, sim
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func countsOf(t *testing.T, c *client.Client) api.Counts {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Counts
}

// schemaIsKnown waits until the check finds something in each kind of mistake.
func schemaIsKnown(t *testing.T, a *App) {
	t.Helper()
	for _, m := range mistakes() {
		e, err := event.Decode([]byte(`{"key":"k",` + strings.ReplaceAll(m.body, "%[1]d", "1") + `}`))
		if err != nil {
			t.Fatal(err)
		}
		await(t, m.path, func() bool { return len(a.mismatches(e)) > 0 })
	}
}

func send(t *testing.T, c *client.Client, ndjson []byte) map[string]api.Result {
	t.Helper()
	results := map[string]api.Result{}
	err := c.PutStream(t.Context(), bytes.NewReader(ndjson), func(r api.Result) error {
		key := r.Key
		if r.Problem != nil {
			key = r.Problem.Key
		}
		results[key] = r
		return nil
	})
	if err != nil || len(results) != fileLines {
		t.Fatalf("%d results, %v", len(results), err)
	}
	return results
}

// TestValidate_RejectAnswersEachMistakeWithItsFieldAndReason, and touches no good event.
func TestValidate_RejectAnswersEachMistakeWithItsFieldAndReason(t *testing.T) {
	a, c, sim := validatingDaemon(t, "reject")
	schemaIsKnown(t, a)
	described := sim.Calls().Calls["describe"]
	ndjson, wrong := file()
	for key, r := range send(t, c, ndjson) {
		m, bad := wrong[key]
		switch {
		case !bad && r.Problem != nil:
			t.Errorf("%s is good, and refused: %+v", key, r.Problem)
		case !bad:
		case r.Problem == nil:
			t.Errorf("%s is taken, want %s %s", key, m.path, m.reason)
		case r.Problem.Code != api.CodeSchemaMismatch || r.Problem.Status != 422 || len(r.Problem.Errors) != 1 ||
			r.Problem.Errors[0].Path != m.path || r.Problem.Errors[0].Reason != m.reason:
			t.Errorf("%s: %+v, want %s %s", key, r.Problem, m.path, m.reason)
		}
	}
	want := int64(fileLines - len(wrong) + 1)
	await(t, "the good ones", func() bool { n := countsOf(t, c); return n.Pending+n.Inflight == 0 })
	if n := countsOf(t, c); n.Delivered != want || n.Failed != 0 {
		t.Errorf("%+v, want %d delivered and none failed", n, want)
	}
	if more := sim.Calls().Calls["describe"] - described; more > len(good) {
		t.Errorf("%d describes for %d events", more, fileLines)
	}
}

// TestValidate_OffLeavesEachMistakeToTheOrg, whose own code it ends with; the good ones are delivered.
func TestValidate_OffLeavesEachMistakeToTheOrg(t *testing.T) {
	_, c, _ := validatingDaemon(t, "off")
	ndjson, wrong := file()
	for key, r := range send(t, c, ndjson) {
		if r.Problem != nil {
			t.Errorf("%s: %+v", key, r.Problem)
		}
	}
	await(t, "the end", func() bool { n := countsOf(t, c); return n.Pending+n.Inflight == 0 })
	if n := countsOf(t, c); n.Delivered != int64(fileLines-len(wrong)+1) || n.Failed != int64(len(wrong)) {
		t.Errorf("%+v, want %d failed", n, len(wrong))
	}
	for key, m := range wrong {
		d, err := c.Event(t.Context(), key, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d.LastError == nil || d.LastError.Code != m.code || d.Warnings != nil {
			t.Errorf("%s (%s): %+v, want the org's %s", key, m.path, d.LastError, m.code)
		}
	}
}

func TestMistakes_AreManyKinds(t *testing.T) {
	if n := len(mistakes()); n < 40 {
		t.Errorf("%d kinds", n)
	}
}
