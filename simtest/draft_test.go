package simtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"
)

// epoch is when the time of every bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// marker is the field that tells the oracle whose effect a write is.
const marker = "Description"

// Records that the org has before a run.
const (
	seededAccounts = 4
	seededContacts = 4
	seededLeads    = 10
)

// draft is an event as an app sends it. {lead-3} in it stands for the Id of that record.
type draft struct {
	key   string
	json  string
	bad   bool   // the org refuses it as it stands
	fixed string // the fields with which it would not
}

// drafter makes up events, each of which can name earlier ones.
type drafter struct {
	n       int
	named   []string     // keys of events that write accounts, whose Ids others may ask for
	deleted map[int]bool // leads that an event deletes
}

func newDrafter() *drafter { return &drafter{deleted: map[int]bool{}} }

// drafts are what is put at one time, sometimes many.
func (d *drafter) drafts(rng *rand.Rand) []draft {
	list := make([]draft, 1+rng.IntN(3))
	if rng.IntN(3) == 0 {
		list = make([]draft, 4+rng.IntN(12))
	}
	for i := range list {
		list[i] = d.draft(rng)
	}
	return list
}

type object = map[string]any

func (d *drafter) draft(rng *rand.Rand) draft {
	d.n++
	key := fmt.Sprintf("e%02d", d.n)
	e := object{"key": key}
	maps.Copy(e, d.content(rng, key))
	d.conditions(rng, e)
	bad, fixed := spoil(rng, e)
	if e["object"] == "Account" {
		d.named = append(d.named, key)
	}
	return draft{key: key, json: text(e), bad: bad, fixed: fixed}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// content is what an event does to which record.
func (d *drafter) content(rng *rand.Rand, key string) object {
	switch rng.IntN(12) {
	case 0, 1:
		return object{
			"object": "Account", "operation": "upsert", "external_id": object{"field": "Shop_Id__c", "value": shopID(rng, "acc", 6)},
			"fields": object{"Name": "N " + key, marker: key},
		}
	case 2, 3, 4:
		fields := object{"LastName": "L " + key, "Score__c": d.n, marker: key}
		if rng.IntN(3) == 0 {
			fields["Account"] = object{"Shop_Id__c": shopID(rng, "acc", seededAccounts)}
		}
		return object{
			"object": "Contact", "operation": "upsert",
			"external_id": object{"field": "Shop_Id__c", "value": shopID(rng, "con", 5)}, "fields": fields,
		}
	case 5:
		return object{"object": "Contact", "operation": "create", "fields": object{"LastName": "L", "Score__c": 71664061, marker: key}}
	case 6, 7:
		return object{"object": "Case", "operation": "create", "fields": d.child(rng, object{"Subject": "S", marker: key}, "AccountId")}
	case 8:
		return object{"object": "Lead", "operation": "create", "fields": object{"LastName": "L", "Company": "C", marker: key}}
	case 9:
		return d.lead(rng, key)
	case 10:
		return matched(rng, key)
	default:
		return object{
			"object": "Opportunity", "operation": "create",
			"fields": d.child(rng, object{"Name": "O", "StageName": "Prospecting", "CloseDate": "2001-02-03", marker: key}, "AccountId"),
		}
	}
}

// shopID is one of few external ids, in one of the ways of writing it that the org takes for one.
func shopID(rng *rand.Rand, prefix string, n int) string {
	id := fmt.Sprintf("%s-%d", prefix, 1+rng.IntN(n))
	if rng.IntN(4) == 0 {
		id = strings.ToUpper(id)
	}
	return id
}

// child has the record belong to an account that another event makes.
func (d *drafter) child(rng *rand.Rand, fields object, lookup string) object {
	if len(d.named) > 0 && rng.IntN(4) == 0 {
		fields[lookup] = object{"$id_of": d.named[rng.IntN(len(d.named))]}
	}
	return fields
}

// lead updates or deletes one of the leads that there were before, by Id.
func (d *drafter) lead(rng *rand.Rand, key string) object {
	i := rng.IntN(seededLeads)
	for d.deleted[i] {
		if i = (i + 1) % seededLeads; len(d.deleted) == seededLeads {
			return matched(rng, key)
		}
	}
	e := object{"object": "Lead", "id": fmt.Sprintf("{lead-%d}", i)}
	switch rng.IntN(4) {
	case 0:
		d.deleted[i] = true
		e["operation"] = "delete"
	case 1:
		d.deleted[i] = true
		e["operation"] = "hard_delete"
	default:
		e["operation"], e["fields"] = "update", object{"Title": "T " + key, marker: key}
	}
	return e
}

// matched names its record by a query.
func matched(rng *rand.Rand, key string) object {
	operation := "update"
	if rng.IntN(2) == 0 {
		operation = "upsert"
	}
	email := fmt.Sprintf("m%d@example.com", rng.IntN(seededContacts+2)) // two of them nobody has yet
	return object{
		"object": "Contact", "operation": operation, "match": object{"all": object{"Email": email}},
		"fields": object{"LastName": "M " + key, "Email": email, marker: key},
	}
}

// conditions say before and after what an event may be sent.
func (d *drafter) conditions(rng *rand.Rand, e object) {
	if e["operation"] == "create" && rng.IntN(4) == 0 {
		e["lane"] = fmt.Sprintf("lane %d", rng.IntN(3))
	}
	if d.n > 1 && rng.IntN(7) == 0 {
		e["after"] = []string{fmt.Sprintf("e%02d", 1+rng.IntN(d.n-1))}
	}
	at := func(most time.Duration) string {
		return epoch.Add(time.Duration(rng.Int64N(int64(most)))).Format(time.RFC3339)
	}
	if rng.IntN(12) == 0 {
		e["not_before"] = at(lasts)
	}
	if rng.IntN(25) == 0 {
		e["expires_at"] = at(3 * lasts)
		delete(e, "not_before")
	}
}

// spoil makes some events such that the org refuses them.
func spoil(rng *rand.Rand, e object) (bad bool, fixed string) {
	fields, ok := e["fields"].(object)
	if !ok || rng.IntN(9) > 0 {
		return false, ""
	}
	fixed = text(fields)
	switch rng.IntN(3) {
	case 0:
		fields["Nope__c"] = "x" // a job fails over such a column as a whole
	case 1:
		fields["Email"] = "no address"
	default:
		fields["OwnerId"] = "not an id"
	}
	return true, fixed
}
