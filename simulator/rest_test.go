package simulator

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestVersions(t *testing.T) {
	o := startOrg(t, Config{})
	used := o.sim.Calls().Used
	list := o.do("GET", "/services/data/", "", "Authorization", "").want(200, "").items()
	if first, last := list[0], list[len(list)-1]; first["version"] != "31.0" || last["label"] != "Winter '27" || last["url"] != "/services/data/v68.0" {
		t.Errorf("from %v to %v", first, last)
	}
	if got := o.sim.Calls().Used; got != used {
		t.Errorf("listing the versions cost %d calls", got-used)
	}
	o.do("GET", "/services/data/v66.0", "").want(200, "/services/data/v66.0/sobjects")
	o.do("GET", "/services/data/v69.0/limits", "").refused(404, "NOT_FOUND", "The requested resource does not exist")
	o.do("GET", "/services/data/v66/limits", "").refused(404, "NOT_FOUND", "")
	o.do("GET", "/services/data/v30.0/limits", "").refused(410, "UNSUPPORTED_API_VERSION", "")
	if warning := o.do("GET", "/services/data/v40.0/limits", "").want(200, "").header.Get("Warning"); !strings.HasPrefix(warning, "299 - ") {
		t.Errorf("Warning %q", warning)
	}
	o.do("GET", "/services/data/v40.0/jobs/ingest", "").refused(404, "NOT_FOUND", "")
}

func TestRow_Life(t *testing.T) {
	o := startOrg(t, Config{})
	r := o.do("POST", "/sobjects/Contact/", `{"LastName":"Lovelace","Score__c":71,"DoNotCall":true,"Birthdate":"1815-12-10",
		"Last_Seen__c":"2026-11-23T12:00:00.5+02:00","Tier__c":"Gold","FirstName":" Ada "}`).want(201, `"success":true,"errors":[]`)
	id := r.object()["id"].(string)
	if want := "/services/data/v66.0/sobjects/Contact/" + id; r.header.Get("Location") != want {
		t.Errorf("Location %q, want %s", r.header.Get("Location"), want)
	}
	row := o.do("GET", "/sobjects/contact/"+id[:15], "").want(200, `"Score__c":71.0`)
	row.want(200, `"Last_Seen__c":"2026-11-23T10:00:00.000+0000"`).want(200, `"FirstName":"Ada"`).want(200, `"Name":"Ada Lovelace"`)
	row.want(200, `"Email":null`).want(200, `"IsDeleted":false`).want(200, `"HasOptedOutOfEmail":false`)
	up := o.do("PATCH", "/sobjects/Contact/"+id, `{"Score__c":null,"DoNotCall":false}`)
	if up.status != 204 || up.body != "" || up.header.Get("Content-Type") != "" {
		t.Errorf("update answered %d %q %v", up.status, up.body, up.header)
	}
	o.do("PATCH", "/sobjects/Contact/"+id, `{"Score__c":null}`).want(204, "")
	o.do("GET", "/sobjects/Contact/"+id+"?fields=Score__c", "").want(200, `"Score__c":null,"Id":"`+id+`"}`)
	o.do("DELETE", "/sobjects/Contact/"+id, "").want(204, "")
	o.do("DELETE", "/sobjects/Contact/"+id, "").refused(404, "ENTITY_IS_DELETED", "entity is deleted")
	o.do("PATCH", "/sobjects/Contact/"+id, `{}`).refused(404, "ENTITY_IS_DELETED", "entity is deleted")
	o.do("GET", "/sobjects/Contact/"+id, "").refused(404, "NOT_FOUND", "")
	all := o.effects(3)
	for i, want := range []string{"create", "update", "delete"} {
		if all[i].Operation != want || all[i].ID != id || all[i].Via != "rest" || all[i].N != i+1 || all[i].Object != "Contact" {
			t.Errorf("effect %d: %+v", i+1, all[i])
		}
	}
	if v, ok := all[1].Fields["Score__c"]; !ok || v != nil || all[1].Fields["DoNotCall"] != false {
		t.Errorf("update wrote %v", all[1].Fields)
	}
}

func TestRow_Refusals(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{
		Name: "Item__c",
		Fields: []Field{
			{Name: "Email__c", Type: "email"},
			{Name: "Count__c", Type: "int"},
			{Name: "Price__c", Type: "double", Precision: 5, Scale: 2},
			{Name: "Code__c", Type: "string"},
			{Name: "Tags__c", Type: "multipicklist", Picklist: []string{"a", "b"}},
			{Name: "Computed__c", Type: "string", ReadOnly: true},
			{Name: "At__c", Type: "time"},
			{Name: "Any__c", Type: "reference", ReferenceTo: References{"Account", "Contact"}, Relationship: "Any__r"},
		},
		Rules: []Rule{{Field: "Code__c", Pattern: "^X", Message: "no code begins with X"}},
	}}})
	account := o.create("Account", `{"Name":"A"}`)
	gone := o.create("Account", `{"Name":"B"}`)
	o.do("DELETE", "/sobjects/Account/"+gone, "").want(204, "")
	for _, tt := range []struct {
		name, object, body string
		code, message      string
		fields             string // <nil>: the answer has no such member
	}{
		{"required", "Contact", `{"FirstName":"Ada"}`, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", "[LastName]"},
		{"required and blank", "Contact", `{"LastName":" "}`, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", "[LastName]"},
		{"unknown column", "Account", `{"Name":"A","Foo__c":1}`, "INVALID_FIELD", "No such column 'Foo__c' on sobject of type Account", "<nil>"},
		{"too long", "Contact", `{"LastName":"A","FirstName":"` + strings.Repeat("é", 41) + `"}`, "STRING_TOO_LONG", "First Name: data value too large: éé", "[FirstName]"},
		{"picklist", "Contact", `{"LastName":"A","Tier__c":"Iron"}`, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Tier: bad value for restricted picklist field: Iron", "[Tier__c]"},
		{"multi-select picklist", "Item__c", `{"Tags__c":"a;c"}`, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "field: c", "[Tags__c]"},
		{"text in a number", "Contact", `{"LastName":"A","Score__c":"n/a"}`, "JSON_PARSER_ERROR", "Cannot deserialize instance of double from VALUE_STRING value n/a or request may be missing a required field at [line:1, column:", "<nil>"},
		{"number in a text", "Contact", `{"LastName":5}`, "JSON_PARSER_ERROR", "Cannot deserialize instance of string from VALUE_NUMBER_INT value 5", "<nil>"},
		{"null in a boolean", "Contact", `{"LastName":"A","DoNotCall":null}`, "JSON_PARSER_ERROR", "instance of boolean from VALUE_NULL", "<nil>"},
		{"text in a boolean", "Contact", `{"LastName":"A","DoNotCall":"true"}`, "JSON_PARSER_ERROR", "instance of boolean from VALUE_STRING", "<nil>"},
		{"empty date", "Contact", `{"LastName":"A","Birthdate":""}`, "JSON_PARSER_ERROR", "Cannot deserialize instance of date from VALUE_STRING value  or request", "<nil>"},
		{"datetime in a date", "Contact", `{"LastName":"A","Birthdate":"2026-01-01T00:00:00Z"}`, "JSON_PARSER_ERROR", "instance of date", "<nil>"},
		{"blank in a datetime", "Contact", `{"LastName":"A","Last_Seen__c":"2024-07-30 20:54:16 UTC"}`, "JSON_PARSER_ERROR", "instance of datetime", "<nil>"},
		{"year", "Contact", `{"LastName":"A","Birthdate":"1600-01-01"}`, "NUMBER_OUTSIDE_VALID_RANGE", "Birthdate", "[Birthdate]"},
		{"email", "Item__c", `{"Email__c":"123"}`, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: 123", "[Email__c]"},
		{"more than 32 bits", "Item__c", `{"Count__c":3000000000}`, "NUMBER_OUTSIDE_VALID_RANGE", "Count", "[Count__c]"},
		{"fraction in an int", "Item__c", `{"Count__c":1.5}`, "JSON_PARSER_ERROR", "instance of int from VALUE_NUMBER_FLOAT value 1.5", "<nil>"},
		{"precision", "Item__c", `{"Price__c":1000}`, "NUMBER_OUTSIDE_VALID_RANGE", "Price", "[Price__c]"},
		{"rule", "Item__c", `{"Code__c":"X1"}`, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "no code begins with X", "[Code__c]"},
		{"read only", "Item__c", `{"Computed__c":"a"}`, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Computed__c. Please check", "[Computed__c]"},
		{"system field", "Account", `{"Name":"A","CreatedDate":"2026-01-01T00:00:00Z"}`, "INVALID_FIELD_FOR_INSERT_UPDATE", "CreatedDate", "[CreatedDate]"},
		{"id on insert", "Account", `{"Name":"A","Id":"` + account + `"}`, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "[Id]"},
		{"not an id", "Contact", `{"LastName":"A","AccountId":"acme"}`, "MALFORMED_ID", "Account ID: id value of incorrect type: acme", "[AccountId]"},
		{"id of another object", "Contact", `{"LastName":"A","AccountId":"0035e0000000001"}`, "MALFORMED_ID", "Account ID: id value of incorrect type: 003", "[AccountId]"},
		{"id that never was", "Contact", `{"LastName":"A","AccountId":"0015e0000000001"}`, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", "[]"},
		{"id of a deleted row", "Contact", `{"LastName":"A","AccountId":"` + gone + `"}`, "ENTITY_IS_DELETED", "entity is deleted", "[]"},
		{"missing parent", "Contact", `{"LastName":"A","Account":{"Shop_Id__c":"A-9"}}`, "INVALID_FIELD", "Foreign key external ID: A-9 not found for field Shop_Id__c in entity Account", "[]"},
		{"parent by no key", "Contact", `{"LastName":"A","Account":{"Name":"A"}}`, "INVALID_FIELD", "Name is not an External ID", "<nil>"},
		{"parent without its type", "Item__c", `{"Any__r":{"Shop_Id__c":"A-9"}}`, "INVALID_FIELD", "attributes.type", "<nil>"},
		{"parent by two keys", "Contact", `{"LastName":"A","Account":{"Shop_Id__c":"1","Outbox_Key__c":"2"}}`, "INVALID_FIELD", "exactly one", "<nil>"},
		{"unknown relationship", "Contact", `{"LastName":"A","Firm":{"Shop_Id__c":"1"}}`, "INVALID_FIELD", "No such column 'Firm'", "<nil>"},
		{"dotted key", "Contact", `{"LastName":"A","Account.Shop_Id__c":"1"}`, "INVALID_FIELD", "No such column", "<nil>"},
		{"broken JSON", "Contact", `{"LastName":`, "JSON_PARSER_ERROR", "Unexpected", ""},
		{"no object", "Contact", `[]`, "JSON_PARSER_ERROR", "Unexpected", ""},
		{"member twice", "Contact", `{"LastName":"A","LastName":"B"}`, "JSON_PARSER_ERROR", "Unexpected", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := o.do("POST", "/sobjects/"+tt.object, tt.body).refused(400, tt.code, tt.message)
			if got := fmt.Sprint(r.items()[0]["fields"]); tt.fields != "" && got != tt.fields {
				t.Errorf("fields %s, want %s", got, tt.fields)
			}
		})
	}
	o.effects(3)
}

func TestRow_ParentByExternalID(t *testing.T) {
	o := startOrg(t, Config{})
	account := o.create("Account", `{"Name":"A","Shop_Id__c":"A-9"}`)
	id := o.create("Contact", `{"LastName":"L","Account":{"Shop_Id__c":"a-9"}}`)
	o.do("GET", "/sobjects/Contact/"+id, "").want(200, `"AccountId":"`+account+`"`)
	o.do("PATCH", "/sobjects/Contact/"+id, `{"AccountId":null}`).want(204, "")
	o.do("GET", "/sobjects/Contact/"+id, "").want(200, `"AccountId":null`)
}

func TestUpsert_ByExternalID(t *testing.T) {
	o := startOrg(t, Config{})
	const path = "/sobjects/Contact/Shop_Id__c/"
	created := o.do("PATCH", path+"a%2Fb%20%2B1", `{"LastName":"L"}`).want(201, `"success":true,"errors":[],"created":true`)
	id := created.object()["id"].(string)
	if o.sim.Records("Contact")[0]["Shop_Id__c"] != "a/b +1" {
		t.Errorf("key stored as %v", o.sim.Records("Contact"))
	}
	o.do("PATCH", path+"A%2FB%20+1", `{"LastName":"M"}`).want(200, `{"id":"`+id+`","success":true,"errors":[],"created":false}`)
	o.do("PATCH", path+"A%2FB%20+1", `{"LastName":"M"}`).want(200, `"created":false`)
	e := o.effects(2)
	if e[0].ExternalID == nil || *e[0].ExternalID != (ExternalID{"Shop_Id__c", "a/b +1"}) {
		t.Errorf("external id of the effect: %+v", e[0].ExternalID)
	}
	o.do("PATCH", "/services/data/v45.0"+path+"a%2Fb%20+1", `{"LastName":"N"}`).want(204, "")
	if r := o.do("PATCH", "/services/data/v45.0"+path+"new", `{"LastName":"N"}`).want(201, ""); strings.Contains(r.body, "created") {
		t.Errorf("v45 tells created: %s", r.body)
	}
	o.do("PATCH", path+"k?updateOnly=true", `{"LastName":"L"}`).refused(404, "NOT_FOUND", "")
	o.do("PATCH", path+"k", `{"LastName":"L","Shop_Id__c":"k"}`).refused(400, "INVALID_FIELD", "The Shop_Id__c field should not be specified in the sobject data.")
	o.do("PATCH", "/sobjects/Contact/"+id, `{"Id":"`+id+`"}`).refused(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
	o.do("PATCH", "/sobjects/Contact/Foo__c/1", `{}`).refused(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: Foo__c")
	o.do("PATCH", "/sobjects/Contact/LastName/1", `{}`).refused(404, "NOT_FOUND", "not accessible: LastName")
	o.do("PATCH", path+"me@example.inc", `{"LastName":"L"}`).refused(404, "NOT_FOUND", "")
	o.do("GET", path+"A%2Fb%20+1", "").want(200, `"Id":"`+id+`"`)
	o.do("DELETE", path+"a%2Fb%20+1", "").want(204, "")
	o.do("DELETE", path+"a%2Fb%20+1", "").refused(404, "NOT_FOUND", "")
	o.do("PATCH", path+"a%2Fb%20+1", `{"LastName":"O"}`).want(201, `"created":true`)
}

func TestUpsert_ByID(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.do("POST", "/sobjects/Account/Id", `{"Name":"A"}`).want(201, `"created":true`).object()["id"].(string)
	o.do("PATCH", "/sobjects/Account/Id/"+id, `{"Name":"B"}`).want(200, `"created":false`)
	o.do("POST", "/sobjects/Account/Name", `{"Name":"A"}`).refused(404, "NOT_FOUND", "")
}

func TestUpsert_SeveralMatches(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Item__c", Fields: []Field{{Name: "Sku__c", ExternalID: true}, {Name: "Qty__c", Type: "int"}}}}})
	a := o.create("Item__c", `{"Sku__c":"k"}`)
	b := o.create("Item__c", `{"Sku__c":"k"}`)
	o.create("Item__c", `{"Sku__c":"K"}`) // not unique, so the case counts
	r := o.do("PATCH", "/sobjects/Item__c/Sku__c/k", `{"Qty__c":1}`)
	if want := fmt.Sprintf(`["/services/data/v66.0/sobjects/Item__c/%s","/services/data/v66.0/sobjects/Item__c/%s"]`, a, b); r.status != 300 || r.body != want {
		t.Errorf("got %d %s, want 300 %s", r.status, r.body, want)
	}
	o.do("PATCH", "/sobjects/Item__c/Sku__c/K", `{"Qty__c":1}`).want(200, "")
}

func TestUnique(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"L","Shop_Id__c":"abc","Outbox_Key__c":"abc"}`)
	o.do("POST", "/sobjects/Contact", `{"LastName":"L","Shop_Id__c":"ABC"}`).refused(400, "DUPLICATE_VALUE",
		"duplicate value found: Shop_Id__c duplicates value on record with id: "+id[:15])
	o.do("POST", "/sobjects/Contact", `{"LastName":"L","Outbox_Key__c":"abc"}`).refused(400, "DUPLICATE_VALUE", "Outbox_Key__c")
	other := o.create("Contact", `{"LastName":"L","Outbox_Key__c":"ABC"}`)
	o.do("PATCH", "/sobjects/Contact/"+other, `{"Shop_Id__c":"Abc"}`).refused(400, "DUPLICATE_VALUE", "")
	o.do("PATCH", "/sobjects/Contact/"+id, `{"Shop_Id__c":"Abc"}`).want(204, "")
	o.do("DELETE", "/sobjects/Contact/"+id, "").want(204, "")
	o.create("Contact", `{"LastName":"L","Shop_Id__c":"ABC","Outbox_Key__c":"abc"}`)
	o.create("Contact", `{"LastName":"L"}`)
	o.create("Contact", `{"LastName":"L"}`)
}

func TestIDs_InPaths(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Account", `{"Name":"A"}`)
	for _, tt := range []struct {
		name, method, path string
		status             int
		code, message      string
	}{
		{"15 characters", "PATCH", "Account/" + id[:15], 204, "", ""},
		{"never existed", "PATCH", "Account/0015e0000000001", 404, "NOT_FOUND", "The requested resource does not exist"},
		{"never existed, delete", "DELETE", "Account/0015e0000000001", 404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"},
		{"of another object", "PATCH", "Contact/" + id, 400, "MALFORMED_ID", "id value of incorrect type"},
		{"wrong suffix", "PATCH", "Account/" + id[:15] + "ZZZ", 400, "MALFORMED_ID", "Account ID: id value of incorrect type: "},
		{"neither id nor key", "PATCH", "Account/acme", 404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: acme"},
		{"unknown object", "PATCH", "Acme/" + id, 404, "NOT_FOUND", "The requested resource does not exist"},
		{"method", "PUT", "Account/" + id, 405, "METHOD_NOT_ALLOWED", "HTTP Method 'PUT' not allowed. Allowed are DELETE,GET,PATCH,POST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := ""
			if tt.method == "PATCH" {
				body = `{}`
			}
			r := o.do(tt.method, "/sobjects/"+tt.path, body)
			if tt.code == "" {
				r.want(tt.status, "")
				return
			}
			r.refused(tt.status, tt.code, tt.message)
		})
	}
}

func TestRequest_Limits(t *testing.T) {
	o := startOrg(t, Config{})
	o.do("POST", "/sobjects/Account", `{"Name":"A"}`, "Content-Type", "text/plain").refused(415, "UNSUPPORTED_MEDIA_TYPE", "text/plain")
	o.do("POST", "/sobjects/Account", `{"Name":"A"}`, "Content-Type", "application/json; charset=UTF-8").want(201, "")
	o.do("GET", "/query?q="+strings.Repeat("x", maxHeadBytes), "").want(414, "URI_TOO_LONG")
	o.do("GET", "/limits", "", "X-Long", strings.Repeat("x", maxHeadBytes)).want(431, "HEADERS_TOO_LARGE")
	o.do("POST", "/sobjects/Account/"+o.create("Account", `{"Name":"A"}`)+"?_HttpMethod=PATCH", `{"Name":"B"}`).want(204, "")
	var zipped strings.Builder
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(`{"Name":"zipped"}`)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	o.do("POST", "/sobjects/Account", zipped.String(), "Content-Encoding", "gzip").want(201, "")
	if r := o.do("HEAD", "/sobjects/Account/describe", ""); r.status != 200 || r.body != "" {
		t.Errorf("HEAD: %d %q", r.status, r.body)
	}
	if r := o.do("GET", "/sobjects/Account/describe", "", "Accept-Encoding", "gzip").want(200, ""); r.header.Get("Content-Encoding") != "gzip" {
		t.Error("describe is not compressed though asked for")
	}
}

func TestAPILimit_IsOfTheLast24Hours(t *testing.T) {
	o := startOrg(t, Config{APILimit: 3})
	for i := 1; i <= 3; i++ {
		info := o.do("GET", "/limits", "").want(200, `"DailyApiRequests":{"Max":3,`).header.Get("Sforce-Limit-Info")
		if want := fmt.Sprintf("api-usage=%d/3", i); info != want {
			t.Errorf("Sforce-Limit-Info %q, want %q", info, want)
		}
	}
	r := o.do("POST", "/sobjects/Account", `{"Name":"A"}`).refused(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
	if r.header.Get("Sforce-Limit-Info") != "api-usage=3/3" {
		t.Errorf("Sforce-Limit-Info %q", r.header.Get("Sforce-Limit-Info"))
	}
	o.effects(0)
	o.sim.Advance(23 * time.Hour)
	o.login()
	o.do("GET", "/limits", "").refused(403, "REQUEST_LIMIT_EXCEEDED", "")
	o.sim.Advance(61 * time.Minute)
	o.do("GET", "/limits", "").want(200, "")
}

func TestDescribe(t *testing.T) {
	o := startOrg(t, Config{})
	d := o.do("GET", "/sobjects/contact/describe/", "").want(200, "")
	fields := make(map[string]map[string]any)
	for _, f := range d.object()["fields"].([]any) {
		m := f.(map[string]any)
		fields[m["name"].(string)] = m
	}
	for _, tt := range []struct {
		field, attribute string
		want             any
	}{
		{"LastName", "nillable", false},
		{"LastName", "length", 80.0},
		{"Shop_Id__c", "unique", true},
		{"Shop_Id__c", "externalId", true},
		{"Shop_Id__c", "caseSensitive", false},
		{"Outbox_Key__c", "caseSensitive", true},
		{"Outbox_Key__c", "length", 255.0},
		{"AccountId", "relationshipName", "Account"},
		{"Tier__c", "restrictedPicklist", true},
		{"LeadSource", "restrictedPicklist", false},
		{"Score__c", "precision", 18.0},
		{"Score__c", "scale", 2.0},
		{"Id", "createable", false},
		{"DoNotCall", "defaultedOnCreate", true},
		{"Email", "idLookup", true},
		{"Name", "calculated", true},
	} {
		if got := fields[tt.field][tt.attribute]; got != tt.want {
			t.Errorf("%s.%s = %v, want %v", tt.field, tt.attribute, got, tt.want)
		}
	}
	if d.object()["keyPrefix"] != "003" {
		t.Errorf("key prefix %v", d.object()["keyPrefix"])
	}
	types, _ := d.object()["recordTypeInfos"].([]any)
	if len(types) != 1 || types[0].(map[string]any)["master"] != true {
		t.Errorf("record types %v, want the master alone", types)
	}
	future := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	past := time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat)
	if r := o.do("GET", "/sobjects/Contact/describe", "", "If-Modified-Since", future); r.status != 304 || r.body != "" {
		t.Errorf("got %d, want 304", r.status)
	}
	o.do("GET", "/sobjects/Contact/describe", "", "If-Modified-Since", past).want(200, "")
	o.do("GET", "/sobjects/Nope/describe", "").refused(404, "NOT_FOUND", "")
	for _, one := range o.do("GET", "/sobjects", "").want(200, `"name":"Organization"`).object()["sobjects"].([]any) {
		for member := range one.(map[string]any) {
			if _, ok := d.object()[member]; !ok {
				t.Errorf("the list of all objects has %s, describe has not", member)
			}
		}
	}
	o.do("GET", "/sobjects/Account", "").want(200, "objectDescribe")
}

func TestPlatformEvent(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Order_Event__e", Fields: []Field{{Name: "Key__c"}}}}})
	r := o.do("POST", "/sobjects/Order_Event__e", `{"Key__c":"1"}`).want(201, `"success":true,"errors":[{"statusCode":"OPERATION_ENQUEUED"`)
	id := r.object()["id"].(string)
	if !strings.HasPrefix(id, "e0") {
		t.Errorf("id %s", id)
	}
	o.do("PATCH", "/sobjects/Order_Event__e/"+id, `{"Key__c":"1"}`).refused(405, "METHOD_NOT_ALLOWED", "")
	o.do("DELETE", "/sobjects/Order_Event__e/"+id, "").refused(405, "METHOD_NOT_ALLOWED", "")
	o.query("SELECT Id FROM Order_Event__e").refused(400, "INVALID_TYPE_FOR_OPERATION", "")
	o.do("POST", "/composite/sobjects", `{"records":[{"attributes":{"type":"Order_Event__e"},"Key__c":"1"}]}`).want(200, "OPERATION_ENQUEUED")
	o.do("POST", "/jobs/ingest", `{"object":"Order_Event__e","operation":"update"}`).refused(400, "INVALIDENTITY", "not supported by the Bulk API")
	j := o.run(`{"object":"Order_Event__e","operation":"insert"}`, "Key__c\n1\n")
	if j["numberRecordsFailed"] != 0.0 {
		t.Error(o.results(j["id"], "failedResults"))
	}
	o.effects(3)
}

func TestQuery(t *testing.T) {
	o := startOrg(t, Config{})
	account := o.create("Account", `{"Name":"O'Neil \\ Sons","Shop_Id__c":"A-9"}`)
	a := o.create("Contact", `{"LastName":"Ada","Shop_Id__c":"k1","Outbox_Key__c":"K1","Score__c":71.5,"AccountId":"`+account+`","Birthdate":"1815-12-10","DoNotCall":true}`)
	b := o.create("Contact", `{"LastName":"Bob","Shop_Id__c":"k2","Score__c":9,"Email":"Bob@Example.com","Last_Seen__c":"2026-01-02T03:04:05Z"}`)
	c := o.create("Contact", `{"LastName":"Cyd"}`)
	gone := o.create("Contact", `{"LastName":"Dan","Shop_Id__c":"k4"}`)
	o.do("DELETE", "/sobjects/Contact/"+gone, "").want(204, "")
	for _, tt := range []struct {
		where string
		want  []string
	}{
		{"", []string{a, b, c}},
		{"WHERE Shop_Id__c = 'K1'", []string{a}},
		{"WHERE Outbox_Key__c = 'k1'", nil},
		{"WHERE Outbox_Key__c = 'K1'", []string{a}},
		{"WHERE LastName = 'ada'", []string{a}},
		{"WHERE Email = 'bob@example.COM'", []string{b}},
		{"WHERE Shop_Id__c IN ('k2','k1','nope')", []string{a, b}},
		{"WHERE Shop_Id__c NOT IN ('k1')", []string{b, c}},
		{"WHERE Shop_Id__c = null", []string{c}},
		{"WHERE Shop_Id__c != null", []string{a, b}},
		{"WHERE Shop_Id__c <> 'k1'", []string{b, c}},
		{"WHERE Score__c > 9", []string{a}},
		{"WHERE Score__c >= 9.00 AND Score__c < 72", []string{a, b}},
		{"WHERE Score__c = 71.50", []string{a}},
		{"WHERE DoNotCall = TRUE", []string{a}},
		{"WHERE DoNotCall != true", []string{b, c}},
		{"WHERE Birthdate < 1900-01-01", []string{a}},
		{"WHERE Last_Seen__c = 2026-01-02T04:04:05+01:00", []string{b}},
		{"WHERE (Shop_Id__c = 'k1' OR Shop_Id__c = 'k2') AND LastName != 'Ada'", []string{b}},
		{"WHERE NOT (LastName = 'Ada' OR LastName = 'Bob')", []string{c}},
		{"WHERE Account.Shop_Id__c = 'a-9'", []string{a}},
		{"WHERE Account.Name = 'O\\'Neil \\\\ Sons'", []string{a}},
		{"WHERE AccountId = '" + account[:15] + "'", []string{a}},
		{"WHERE Id = '" + b + "'", []string{b}},
		{"WHERE Id IN ('" + c + "','" + a + "')", []string{a, c}},
		{"WHERE Name = 'Ada'", []string{a}},
		{"ORDER BY Id DESC", []string{c, b, a}},
		{"ORDER BY Score__c", []string{c, b, a}},
		{"ORDER BY Score__c DESC NULLS LAST, Id", []string{a, b, c}},
		{"ORDER BY LastName LIMIT 1 OFFSET 1", []string{b}},
		{"LIMIT 2", []string{a, b}},
		{"WHERE LastName = 'Dan'", nil},
	} {
		t.Run(tt.where, func(t *testing.T) {
			if got := o.ids("SELECT Id FROM Contact " + tt.where); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	all := o.do("GET", "/queryAll?q="+url.QueryEscape("SELECT Id, IsDeleted FROM Contact WHERE Shop_Id__c = 'K4'"), "")
	all.want(200, `"Id":"`+gone+`","IsDeleted":true`)
	o.query("SELECT COUNT() FROM Contact").want(200, `{"totalSize":3,"done":true,"records":[]}`)
	o.query("select id, account.name, Account.Shop_Id__c from contact where Shop_Id__c='k1'").want(200,
		`"Account":{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/`+account+`"},"Name":"O'Neil \\ Sons","Shop_Id__c":"A-9"}`)
	o.query("SELECT Account.Name FROM Contact WHERE Shop_Id__c='k2'").want(200, `"Account":null`)
	o.query("SELECT Id FROM Organization").want(200, o.sim.OrgID())
}

func TestQuery_Refusals(t *testing.T) {
	o := startOrg(t, Config{})
	for _, tt := range []struct {
		soql, code, message string
	}{
		{"", "MALFORMED_QUERY", "unexpected token: '<EOF>'"},
		{"SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported."},
		{"SELECT Foo FROM Contact", "INVALID_FIELD", "No such column 'Foo' on entity 'Contact'"},
		{"SELECT Id, id FROM Contact", "MALFORMED_QUERY", "duplicate field selected"},
		{"SELECT Foo.Name FROM Contact", "INVALID_FIELD", "Didn't understand relationship 'Foo' in field path."},
		{"SELECT Account.Owner.Name FROM Contact", "MALFORMED_QUERY", "unexpected token"},
		{"SELECT Id FROM Contact WHERE Score__c = '1'", "INVALID_FIELD", "must be of type double and should not be enclosed in quotes"},
		{"SELECT Id FROM Contact WHERE LastName = 1", "INVALID_FIELD", "must be of type string and should be enclosed in quotes"},
		{"SELECT Id FROM Contact WHERE Birthdate = '2026-01-01'", "INVALID_FIELD", "should not be enclosed in quotes"},
		{"SELECT Id FROM Contact WHERE Notes__c = 'x'", "INVALID_FIELD", "can not be filtered in a query call"},
		{"SELECT Id FROM Contact WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"},
		{"SELECT Id FROM Contact WHERE LastName = 'a", "MALFORMED_QUERY", "expecting '''"},
		{`SELECT Id FROM Contact WHERE LastName = 'a\q'`, "MALFORMED_QUERY", "illegal escape"},
		{`SELECT Id FROM Contact WHERE LastName = 'a\'`, "MALFORMED_QUERY", "expecting '''"},
		{"SELECT Id FROM Contact WHERE LastName = 'a' AND Id = null OR Id = null", "MALFORMED_QUERY", "unexpected token: 'OR'"},
		{"SELECT Id FROM Contact WHERE LastName LIKE 'a'", "MALFORMED_QUERY", "unexpected token: 'LIKE'"},
		{"SELECT Id FROM Contact LIMIT x", "MALFORMED_QUERY", "unexpected token: 'x'"},
		{"SELECT Id FROM Contact WHERE LastName = ~", "MALFORMED_QUERY", "no viable alternative"},
		{"SELECT Id FROM Contact; DELETE", "MALFORMED_QUERY", ""},
	} {
		t.Run(tt.soql, func(t *testing.T) { o.query(tt.soql).refused(400, tt.code, tt.message) })
	}
	if err := o.sim.SetSchema([]Object{{Name: "Vault__c", Fields: []Field{{Name: "Secret__c", Type: "encryptedstring"}}}}); err != nil {
		t.Fatal(err)
	}
	o.query("SELECT Id FROM Vault__c WHERE Secret__c = 'x'").refused(400, "INVALID_FIELD", "can not be filtered in a query call")
}

func TestQuery_Pages(t *testing.T) {
	o := startOrg(t, Config{})
	o.run(`{"object":"Contact","operation":"insert"}`, contactsCSV(450, 0))
	var ids []any
	r := o.do("GET", "/query?q=SELECT+Id+FROM+Contact", "", "Sforce-Query-Options", "batchSize=200").want(200, `"totalSize":450,"done":false`)
	for {
		page := r.object()
		for _, row := range page["records"].([]any) {
			ids = append(ids, row.(map[string]any)["Id"])
		}
		next, more := page["nextRecordsUrl"].(string)
		if !more {
			break
		}
		r = o.do("GET", next, "").want(200, "")
	}
	if len(ids) != 450 {
		t.Errorf("%d rows in all", len(ids))
	}
	o.do("GET", "/query/01g5e0000000001AAA-200", "").refused(400, "INVALID_QUERY_LOCATOR", "")
	next := o.do("GET", "/query?q=SELECT+Id+FROM+Contact", "", "Sforce-Query-Options", "batchSize=200").object()["nextRecordsUrl"].(string)
	o.sim.Advance(49 * time.Hour)
	o.login()
	o.do("GET", next, "").refused(400, "INVALID_QUERY_LOCATOR", "")
}
