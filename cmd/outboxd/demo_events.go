package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/simulator"
)

// demoEvent is an event and what is remembered of it to judge by. Its key
// stands in the record's Description, where the oracle finds it.
type demoEvent struct {
	api.Event
	state string
}

// demoSchema adds a validation rule to the default schema.
func demoSchema() []simulator.Object {
	objects := simulator.DefaultSchema()
	for i := range objects {
		if objects[i].Name == "Case" {
			objects[i].Rules = append(objects[i].Rules, simulator.Rule{
				Field: "Subject", Pattern: `(?i)do not reply`, Message: "Cases from automatic mail are not wanted here.",
			})
		}
	}
	return objects
}

// demoFaults lose answers after the write took effect, before it did, and in
// the middle, and lock some rows for a moment.
func demoFaults() []simulator.Fault {
	at := func(kind, do string, nth ...int) simulator.Fault {
		return simulator.Fault{Match: simulator.Match{Kind: kind, Nth: nth}, Do: do}
	}
	cut := at("coll.update", "cut", 2)
	cut.Part = 0.5
	short := at("job.ok", "cut", 2)
	short.Part = 0.7
	return []simulator.Fault{
		at("coll.upsert", "drop_after", 2, 4),
		at("coll.create", "drop_after", 1, 3),
		at("coll.delete", "error_after", 1),
		at("job.create", "drop_after", 2),
		at("job.upload", "drop_after", 3),
		at("job.close", "drop_after", 1, 4),
		at("job.get", "html", 5),
		at("query", "drop_before", 1),
		cut, short,
		{Match: simulator.Match{Object: "Contact", Probability: 0.02, Times: 20}, Do: "lock"},
	}
}

// demoConfig is a configuration in which nothing waits long.
func demoConfig(folder, url string) (*config.Config, error) {
	secret := filepath.Join(folder, "secret")
	if err := os.WriteFile(secret, []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`salesforce:
  login_url: %s
  auth: { flow: client_credentials, client_id: %s, client_secret_file: %q }
store: { path: %q, max_size: 256MiB }
socket: { path: %q, mode: "0600", group: "" }
dispatch:
  bulk: { min_records: 300, max_wait: 500ms, poll: 50ms..500ms }
  rest: { late_window: 1s }
  retry: { initial: 100ms, max: 1s }
objects:
  Contact: { key_field: Outbox_Key__c }
  Lead: { key_field: Outbox_Key__c }
  Opportunity: { key_field: Outbox_Key__c }
`, url, simulator.DefaultClientID, secret, filepath.Join(folder, "outbox.db"), filepath.Join(folder, "sock"))
	path := filepath.Join(folder, "outboxd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return config.Load(path)
}

// How many events of each kind there are: 5,000 in all.
const (
	demoAccounts      = 700  // upserts
	demoContacts      = 1500 // upserts, every fifth after its account
	demoLeads         = 600  // creates with a key field
	demoOpportunities = 200  // creates that need the Id of their account
	demoCases         = 400  // creates without a key field: by job only

	demoSeconds    = 700 // contacts once more, in order after the first time
	demoUpdates    = 296 // by Id
	demoGone       = 4   // updates of a record that is not there
	demoMatches    = 50  // updates of what a query finds, three of which find nothing
	demoDeletes    = 200 // by Id
	demoHard       = 100
	demoCreates    = 250
	secondWaveSize = demoSeconds + demoUpdates + demoGone + demoMatches + demoDeletes + demoHard + demoCreates
)

func newDemoEvent(kind string, n int, object, operation string, fields map[string]any) demoEvent {
	key := demoKey(kind, n)
	if fields != nil {
		fields["Description"] = key
	}
	return demoEvent{Event: api.Event{Key: key, Object: object, Operation: operation, Source: "demo", Fields: fields}}
}

func demoKey(kind string, n int) string { return fmt.Sprintf("demo/%s/%04d", kind, n) }

func firstWave() []demoEvent {
	var all []demoEvent
	for n := range demoAccounts {
		e := newDemoEvent("account", n, "Account", "upsert", map[string]any{
			"Name": fmt.Sprintf("Analytical Engines No. %d", n), "AccountNumber": fmt.Sprintf("N-%04d", n),
		})
		e.ExternalID = externalID("Shop_Id__c", fmt.Sprintf("A-%04d", n))
		all = append(all, e)
	}
	for n := range demoContacts {
		all = append(all, demoContact(n))
	}
	for n := range demoLeads {
		fields := map[string]any{"LastName": fmt.Sprintf("Byron %d", n), "Company": "Newstead Abbey"}
		if n%100 == 13 {
			delete(fields, "Company") // required
		}
		all = append(all, newDemoEvent("lead", n, "Lead", "create", fields))
	}
	for n := range demoOpportunities {
		all = append(all, newDemoEvent("opportunity", n, "Opportunity", "create", map[string]any{
			"Name": fmt.Sprintf("Engine %d", n), "StageName": "Prospecting", "CloseDate": "2027-01-31",
			"AccountId": map[string]string{"$id_of": demoKey("account", n)},
		}))
	}
	for n := range demoCases {
		subject := fmt.Sprintf("Cog %d is worn", n)
		if n%100 == 42 {
			subject = "Do not reply: out of office"
		}
		all = append(all, newDemoEvent("case", n, "Case", "create", map[string]any{"Subject": subject}))
	}
	return all
}

// demoContact is an upsert; some are bad in ways that only the org can tell.
func demoContact(n int) demoEvent {
	fields := map[string]any{"LastName": fmt.Sprintf("Lovelace %d", n), "Email": fmt.Sprintf("ada.%d@example.com", n)}
	switch {
	case n%150 == 7:
		fields["FirstName"] = strings.Repeat("Augusta ", 8)
	case n%190 == 11:
		fields["Tier__c"] = "Platinum"
	case n%250 == 17:
		fields["Nope__c"] = "no such field"
	case n%300 == 23:
		fields["Email"] = "not an address"
	}
	e := newDemoEvent("contact", n, "Contact", "upsert", fields)
	e.ExternalID = externalID("Shop_Id__c", fmt.Sprintf("C-%04d", n))
	if n%5 == 0 {
		e.After = []string{demoKey("account", n%demoAccounts)}
		fields["Account"] = map[string]string{"Shop_Id__c": fmt.Sprintf("A-%04d", n%demoAccounts)}
	}
	return e
}

// secondWave writes to what the first one delivered; ids has its records.
func secondWave(ids map[string]string) []demoEvent {
	var all []demoEvent
	for n := range demoSeconds { // who follows a contact that failed is blocked
		e := newDemoEvent("contact-again", n, "Contact", "upsert", map[string]any{"LastName": fmt.Sprintf("King %d", n)})
		e.ExternalID = externalID("Shop_Id__c", fmt.Sprintf("C-%04d", n+demoFollow))
		all = append(all, e)
	}
	all = append(all, demoByID(ids, "lead", "Lead", "update", "lead-update", demoUpdates, demoDeletes)...)
	for n := range demoGone {
		e := newDemoEvent("lead-gone", n, "Lead", "update", map[string]any{"Title": "Countess"})
		e.ID = fmt.Sprintf("00Q5e00000AAAA%c", 'A'+n)
		all = append(all, e)
	}
	for n := range demoMatches {
		number := fmt.Sprintf("N-%04d", n)
		if n%20 == 5 {
			number = fmt.Sprintf("none of ours %d", n)
		}
		e := newDemoEvent("account-match", n, "Account", "update", map[string]any{"Rating": "Hot"})
		e.Match = map[string]any{"all": map[string]string{"AccountNumber": number}}
		all = append(all, e)
	}
	all = append(all, demoByID(ids, "lead", "Lead", "delete", "lead-delete", demoDeletes, 0)...)
	all = append(all, demoByID(ids, "case", "Case", "hard_delete", "case-delete", demoHard, 0)...)
	for n := range demoCreates {
		all = append(all, newDemoEvent("contact-new", n, "Contact", "create", map[string]any{"LastName": fmt.Sprintf("Menabrea %d", n)}))
	}
	return all
}

// demoFollow is the first contact that is written again: four of those that
// failed are among the ones from it on.
const demoFollow = 800

// demoByID writes to count delivered records of the first wave, without the
// first skip of them.
func demoByID(ids map[string]string, kind, object, operation, name string, count, skip int) []demoEvent {
	var all []demoEvent
	for n := 0; len(all) < count; n++ {
		id := ids[demoKey(kind, n)]
		if n >= demoCases+demoLeads {
			return all // fewer were delivered than there should be: the total will tell
		}
		if id == "" {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		var fields map[string]any
		if operation == "update" {
			fields = map[string]any{"Title": "Countess"}
		}
		e := newDemoEvent(name, len(all), object, operation, fields)
		e.ID = id
		all = append(all, e)
	}
	return all
}

// verdict compares what the daemon says with every write that changed the org.
// Lost is what was said to be delivered, or not known at all, and left no
// trace; doubled is what took effect more often than the daemon says.
func verdict(written []demoEvent, effects []simulator.Effect) (lost, doubled int64) {
	writes := map[string]int64{}
	deletes := map[string]int64{}
	for _, e := range effects {
		if e.Operation == "delete" {
			deletes[e.ID]++
		} else if key, ok := e.Fields["Description"].(string); ok {
			writes[key]++
		}
	}
	for _, e := range written {
		took := writes[e.Key]
		if strings.HasSuffix(e.Operation, "delete") {
			took = deletes[e.ID]
		}
		var want int64
		if e.state == "delivered" {
			want = 1
		}
		doubled += max(took-want, 0)
		if took < want || e.state == "" {
			lost++
		}
	}
	return lost, doubled
}
