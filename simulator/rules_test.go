package simulator

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// personOrg is an org with person accounts.
func personOrg(t *testing.T) (o *testOrg, person, business, closed string) {
	t.Helper()
	ids := []string{newID("012", 1), newID("012", 2), newID("012", 3)}
	account := DefaultSchema()[0]
	account.Fields = append(account.Fields, Field{Name: "Level__c", Type: "picklist", Picklist: []string{"a", "b", "c"}}, Field{Name: "Hobby__pc"})
	account.RecordTypes = []RecordType{
		{Name: "Person", ID: ids[0], Person: true, Picklists: map[string][]string{"Level__c": {"a"}}},
		{Name: "Business", Label: "A business", ID: ids[1], Default: true},
		{Name: "Closed", ID: ids[2], Unavailable: true},
	}
	return startOrg(t, Config{Schema: []Object{account}}), ids[0], ids[1], ids[2]
}

func TestRecordTypes(t *testing.T) {
	o, person, business, closed := personOrg(t)
	infos := o.do("GET", "/sobjects/Account/describe", "").object()["recordTypeInfos"].([]any)
	if len(infos) != 4 || infos[0].(map[string]any)["recordTypeId"] != person || infos[1].(map[string]any)["defaultRecordTypeMapping"] != true ||
		infos[2].(map[string]any)["available"] != false || infos[3].(map[string]any)["defaultRecordTypeMapping"] != false {
		t.Errorf("describe has the record types %v", infos)
	}
	if ids := o.ids("SELECT Id FROM RecordType WHERE SobjectType = 'Account' AND DeveloperName = 'Business'"); len(ids) != 1 || ids[0] != business {
		t.Errorf("query finds the record types %v", ids)
	}
	account := func(fields string) *reply { return o.do("POST", "/sobjects/Account", `{`+fields+`}`) }
	typeOf := func(r *reply) any {
		return o.do("GET", "/sobjects/Account/"+r.want(201, "").object()["id"].(string), "").object()["RecordTypeId"]
	}
	for _, tt := range []struct{ name, fields, want string }{
		{"none: the default", `"Name":"A"`, business},
		{"by Id", `"Name":"A","RecordTypeId":"` + business + `"`, business},
		{"by developer name", `"LastName":"A","RecordType":{"DeveloperName":"Person"}`, person},
		{"by label", `"Name":"A","RecordType":{"Name":"A business"}`, business},
	} {
		if got := typeOf(account(tt.fields)); got != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct{ name, fields, code, message string }{
		{"not open to the user", `"Name":"A","RecordTypeId":"` + closed + `"`, "INVALID_CROSS_REFERENCE_KEY", "this ID value isn't valid for the user: " + closed},
		{"that there is not", `"Name":"A","RecordTypeId":"` + newID("012", 99) + `"`, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"},
		{"of another object", `"Name":"A","RecordTypeId":"` + o.sim.org.user + `"`, "MALFORMED_ID", "id value of incorrect type"},
		{"by a name that there is not", `"Name":"A","RecordType":{"DeveloperName":"Nope"}`, "INVALID_FIELD", "Foreign key external ID: Nope not found for field DeveloperName in entity RecordType"},
		{"by a field that is no key", `"Name":"A","RecordType":{"IsActive":true}`, "INVALID_FIELD", "is not an External ID"},
		{"a value that the type has not", `"LastName":"A","Level__c":"b","RecordTypeId":"` + person + `"`, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist field: b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := *o
			o.TB = t
			o.do("POST", "/sobjects/Account", `{`+tt.fields+`}`).refused(400, tt.code, tt.message)
		})
	}
	o.do("POST", "/sobjects/Contact", `{"LastName":"A","RecordTypeId":"`+business+`"}`).
		refused(400, "INVALID_FIELD", "No such column 'RecordTypeId' on sobject of type Contact")
	job := o.run(`{"object":"Account","operation":"insert"}`, "Name,LastName,RecordType.Name\nB,,A business\n,P,Person\n,Q,Nope\n")
	if fmt.Sprint(job["numberRecordsProcessed"], job["numberRecordsFailed"]) != "3 1" {
		t.Errorf("job %v", job)
	}
}

func TestPersonAccounts(t *testing.T) {
	o, person, business, _ := personOrg(t)
	id := o.create("Account", `{"FirstName":"Ada","LastName":"Lovelace","PersonEmail":"a@example.com","Hobby__pc":"x","PersonMailingCity":"London","RecordTypeId":"`+person+`"}`)
	row := o.do("GET", "/sobjects/Account/"+id, "").object()
	if row["IsPersonAccount"] != true || row["Name"] != "Ada Lovelace" || row["PersonMailingAddress"].(map[string]any)["city"] != "London" {
		t.Errorf("person account %v", row)
	}
	firm := o.create("Account", `{"Name":"Firm"}`)
	if row := o.do("GET", "/sobjects/Account/"+firm, "").object(); row["IsPersonAccount"] != false {
		t.Errorf("business account %v", row)
	}
	for _, tt := range []struct{ name, method, path, fields, code, message string }{
		{"Name of a person", "POST", "", `"Name":"A","LastName":"A","RecordTypeId":"` + person + `"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name."},
		{"Name of one that is there", "PATCH", id, `"Name":"A"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name."},
		{"person without a name", "POST", "", `"FirstName":"A","RecordTypeId":"` + person + `"`, "REQUIRED_FIELD_MISSING", "[LastName]"},
		{"person's name cleared", "PATCH", id, `"LastName":null`, "REQUIRED_FIELD_MISSING", "[LastName]"},
		{"business account without a name", "POST", "", `"Site":"x"`, "REQUIRED_FIELD_MISSING", "[Name]"},
		{"first and last name of a business", "POST", "", `"FirstName":"A","LastName":"B"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: FirstName, LastName."},
		{"fields of persons on a business", "PATCH", firm, `"PersonEmail":"a@example.com","Hobby__pc":"x"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "PersonEmail, Hobby__pc."},
		{"IsPersonAccount", "PATCH", firm, `"IsPersonAccount":true`, "INVALID_FIELD_FOR_INSERT_UPDATE", "IsPersonAccount"},
		{"another kind and a field", "PATCH", id, `"Site":"x","RecordTypeId":"` + business + `"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot be combined with a person account record type change"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := *o
			o.TB = t
			o.do(tt.method, "/sobjects/Account/"+tt.path, `{`+tt.fields+`}`).refused(400, tt.code, tt.message)
		})
	}
	o.do("PATCH", "/sobjects/Account/"+id, `{"RecordTypeId":"`+business+`"}`).want(204, "")
	o.do("PATCH", "/sobjects/Account/"+firm, `{"RecordTypeId":"`+person+`"}`).want(204, "")
	was, is := o.do("GET", "/sobjects/Account/"+id, "").object(), o.do("GET", "/sobjects/Account/"+firm, "").object()
	if was["Name"] != "Ada Lovelace" || was["LastName"] != nil || is["Name"] != "Firm" || is["LastName"] != "Firm" {
		t.Errorf("after the change: %v, %v", was, is)
	}
	job := o.run(`{"object":"Account","operation":"insert"}`, "Name,LastName,RecordTypeId\nB,,"+business+"\n,P,"+person+"\nX,P,"+person+"\n")
	if got := o.results(job["id"], "failedResults"); !strings.Contains(got, "INVALID_FIELD_FOR_INSERT_UPDATE:Unable to create/update fields: Name.") ||
		fmt.Sprint(job["numberRecordsFailed"]) != "1" {
		t.Errorf("job %v\n%s", job, got)
	}
}

func TestDuplicateRules(t *testing.T) {
	people := DefaultSchema()[1]
	people.DuplicateRules = []DuplicateRule{
		{Name: "By_Email", Fields: []string{"Email"}, Message: "Use one of these records?"},
		{Name: "By_Name_And_Phone", Fields: []string{"Phone", "LastName"}, Blocks: true},
	}
	const allow = "allowSave=true; includeRecordDetails=false; runAsCurrentUser=true"
	o := startOrg(t, Config{Schema: []Object{people}})
	id := o.create("Contact", `{"LastName":"A","Email":"a@example.com","Phone":"1"}`)

	r := o.do("POST", "/sobjects/Contact", `{"LastName":"B","Email":"A@example.com"}`).refused(400, "DUPLICATES_DETECTED", "Use one of these records?")
	told := r.items()[0]["duplicateResut"].(map[string]any)
	if told["allowSave"] != true || told["duplicateRule"] != "By_Email" || !strings.Contains(r.body, `"Id":"`+id+`"`) {
		t.Errorf("details %v", told)
	}
	o.do("POST", "/sobjects/Contact", `{"LastName":"B","Email":"a@example.com"}`, "Sforce-Duplicate-Rule-Header", allow).want(201, "")
	r = o.do("POST", "/sobjects/Contact", `{"LastName":"a","Phone":"1"}`, "Sforce-Duplicate-Rule-Header", allow).refused(400, "DUPLICATES_DETECTED", "")
	if r.items()[0]["duplicateResut"].(map[string]any)["allowSave"] != false {
		t.Errorf("a rule that blocks can be overridden: %s", r.body)
	}
	o.do("POST", "/sobjects/Contact", `{"LastName":"C","Phone":"1"}`).want(201, "")            // one field alone is no match
	o.do("PATCH", "/sobjects/Contact/"+id, `{"LastName":"A","Description":"x"}`).want(204, "") // nor is the row itself
	other := o.create("Contact", `{"LastName":"D","Email":"d@example.com"}`)
	o.do("PATCH", "/sobjects/Contact/"+other, `{"Email":"a@example.com"}`).refused(400, "DUPLICATES_DETECTED", "")
	o.do("PATCH", "/sobjects/Contact/"+other, `{"Title":"x"}`).want(204, "")

	call := o.do("POST", "/composite/sobjects", records(
		contact(`"LastName":"E","Email":"e@example.com"`), contact(`"LastName":"F","Email":"e@example.com"`), contact(`"LastName":"G","Email":"a@example.com"`)))
	if items := call.want(200, "").items(); items[0]["success"] != true || items[1]["success"] != true ||
		!strings.Contains(call.body, `"errors":[{"statusCode":"DUPLICATES_DETECTED","message":"Use one of these records?","fields":[]}]`) {
		t.Errorf("collections: %s", call.body)
	}
	job := o.run(insertContacts, "LastName,Email\nH,a@example.com\nI,i@example.com\n")
	if got := o.results(job["id"], "failedResults"); !strings.Contains(got, "DUPLICATES_DETECTED:Use one of these records?:--") || job["numberRecordsFailed"] != 1.0 {
		t.Errorf("a job has no header to override with: %s", got)
	}
}

func TestAssignmentRule(t *testing.T) {
	lead := DefaultSchema()[2]
	lead.AssignTo = newID("00G", 7)
	o := startOrg(t, Config{Schema: []Object{lead}})
	owner := func(id string) any { return o.do("GET", "/sobjects/Lead/"+id, "").object()["OwnerId"] }
	const fields = `{"LastName":"A","Company":"C"}`
	for _, tt := range []struct {
		name, fields, header string
		want                 string
	}{
		{"by default", fields, "", lead.AssignTo},
		{"TRUE", fields, "TRUE", lead.AssignTo},
		{"FALSE", fields, "FALSE", o.sim.org.user},
		{"an owner is named", `{"LastName":"A","Company":"C","OwnerId":"` + o.sim.org.user + `"}`, "TRUE", o.sim.org.user},
	} {
		headers := []string{"Sforce-Auto-Assign", tt.header}
		if tt.header == "" {
			headers = nil
		}
		id := o.do("POST", "/sobjects/Lead", tt.fields, headers...).want(201, "").object()["id"].(string)
		if got := owner(id); got != tt.want {
			t.Errorf("%s: owner %v, want %s", tt.name, got, tt.want)
		}
	}
	o.run(`{"object":"Lead","operation":"insert"}`, "LastName,Company\nbulk,C\n")
	o.run(`{"object":"Lead","operation":"insert","assignmentRuleId":"01Q000000000001AAA"}`, "LastName,Company\nruled,C\n")
	for name, want := range map[string]string{"bulk": o.sim.org.user, "ruled": lead.AssignTo} {
		if ids := o.ids("SELECT Id FROM Lead WHERE LastName = '" + name + "'"); len(ids) != 1 || owner(ids[0]) != want {
			t.Errorf("%s: %v", name, ids)
		}
	}
}

func TestCompoundAddress(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"A","MailingStreet":"1 Way\nFloor 2","MailingCity":"Ürzig"}`)
	row := o.do("GET", "/sobjects/Contact/"+id+"?fields=MailingAddress,MailingCity", "").object()
	address, _ := row["MailingAddress"].(map[string]any)
	if len(address) != 8 || address["street"] != "1 Way\nFloor 2" || address["city"] != "Ürzig" || address["postalCode"] != nil || row["MailingCity"] != "Ürzig" {
		t.Errorf("read whole: %v", row)
	}
	if row := o.do("GET", "/sobjects/Contact/"+o.create("Contact", `{"LastName":"B"}`), "").object(); row["MailingAddress"] != nil {
		t.Errorf("without parts: %v", row["MailingAddress"])
	}
	o.query("SELECT MailingAddress FROM Contact WHERE Id = '"+id+"'").want(200, `"MailingAddress":{"city":"Ürzig"`)
	o.do("PATCH", "/sobjects/Contact/"+id, `{"MailingAddress":{"city":"X"}}`).refused(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "MailingAddress")
	job := o.run(insertContacts, "LastName,MailingCity\nC,Trier\n")
	if job["numberRecordsFailed"] != 0.0 {
		t.Errorf("parts by a job: %v", job)
	}
	for _, f := range o.do("GET", "/sobjects/Contact/describe", "").object()["fields"].([]any) {
		m := f.(map[string]any)
		switch m["name"] {
		case "MailingCity", "MailingPostalCode":
			if m["compoundFieldName"] != "MailingAddress" || m["createable"] != true {
				t.Errorf("part %v", m)
			}
		case "MailingAddress":
			if m["type"] != "address" || m["createable"] != false || m["updateable"] != false || m["compoundFieldName"] != nil {
				t.Errorf("whole %v", m)
			}
		case "LastName":
			if m["compoundFieldName"] != "Name" {
				t.Errorf("part of the name %v", m)
			}
		}
	}
}

func TestBlob(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Attachment", KeyPrefix: "00P", Fields: []Field{
		{Name: "Name", Required: true},
		{Name: "Body", Type: "base64"},
		{Name: "ParentId", Type: "reference", ReferenceTo: References{"Account", "Contact"}, Relationship: "Parent"},
	}}}})
	body := strings.Repeat("\x00\xff\r\n", 5_000)
	id := o.create("Attachment", `{"Name":"a","Body":"`+base64.StdEncoding.EncodeToString([]byte(body))+`","ParentId":"`+o.create("Account", `{"Name":"A"}`)+`"}`)
	path := o.do("GET", "/sobjects/Attachment/"+id, "").object()["Body"].(string)
	if r := o.do("GET", path, "").want(200, ""); r.body != body {
		t.Errorf("got %d bytes back, want %d", len(r.body), len(body))
	}
	o.do("GET", "/sobjects/Attachment/"+o.create("Attachment", `{"Name":"b"}`)+"/Body", "").refused(404, "NOT_FOUND", "")
	o.do("POST", "/sobjects/Attachment", `{"Name":"c","Body":"?"}`).refused(400, "JSON_PARSER_ERROR", "base64")
}

func TestMultiPicklist_ManyValues(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Tags__c", Fields: []Field{{Name: "Tags__c", Type: "multipicklist"}}}}})
	o.create("Tags__c", `{"Tags__c":"`+strings.TrimSuffix(strings.Repeat("a;", 100), ";")+`"}`)
	o.do("POST", "/sobjects/Tags__c", `{"Tags__c":"`+strings.TrimSuffix(strings.Repeat("a;", 101), ";")+`"}`).refused(400, "TOO_MANY_ENUM_VALUE", "")
}
