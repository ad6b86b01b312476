package simulator

import (
	"fmt"
	"strings"
	"testing"
)

// contact is a record of a Collections call.
func contact(members string) string { return `{"attributes":{"type":"Contact"},` + members + `}` }

func records(all ...string) string {
	return `{"allOrNone":false,"records":[` + strings.Join(all, ",") + `]}`
}

// item checks one result of a Collections call.
func item(t *testing.T, r *reply, i int, code, message string) map[string]any {
	t.Helper()
	it := r.want(200, "").items()[i]
	if code == "" {
		if it["success"] != true || len(it["errors"].([]any)) != 0 {
			t.Errorf("item %d: %v, want success", i, it)
		}
		return it
	}
	errs := it["errors"].([]any)
	if it["success"] != false || len(errs) != 1 {
		t.Fatalf("item %d: %v, want one error", i, it)
	}
	e := errs[0].(map[string]any)
	if _, has := it["id"]; has || e["statusCode"] != code || !strings.Contains(e["message"].(string), message) || e["fields"] == nil {
		t.Errorf("item %d: %v, want %s %s", i, it, code, message)
	}
	return it
}

func TestCollections_Create(t *testing.T) {
	o := startOrg(t, Config{})
	r := o.do("POST", "/composite/sobjects", records(
		contact(`"LastName":"A","Shop_Id__c":"1"`),
		contact(`"LastName":"B","Birthdate":""`),
		contact(`"LastName":"C","x__c":1`),
		contact(`"LastName":"D","Shop_Id__c":"1"`),
		`{"attributes":{"type":"Account"},"Name":"Acme"}`,
		contact(`"LastName":"E","Id":"0035e0000000001"`),
	))
	first := item(t, r, 0, "", "")
	if _, ok := first["created"]; ok {
		t.Error("a create tells created")
	}
	item(t, r, 1, "JSON_PARSER_ERROR", "Cannot deserialize instance of date from VALUE_STRING value  or request may be missing a required field at [Source: N/A; line: -1, column: -1]")
	item(t, r, 2, "INVALID_FIELD", "No such column 'x__c' on sobject of type Contact")
	item(t, r, 3, "DUPLICATE_VALUE", "duplicate value found: <unknown> duplicates value on record with id: <unknown>")
	item(t, r, 4, "", "")
	item(t, r, 5, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id")
	for _, e := range o.effects(2) {
		if e.Via != "collections" {
			t.Errorf("via %s", e.Via)
		}
	}
	r = o.do("POST", "/composite/sobjects", records(contact(`"LastName":"A","Shop_Id__c":"1"`)))
	item(t, r, 0, "DUPLICATE_VALUE", "duplicate value found: Shop_Id__c duplicates value on record with id: "+first["id"].(string)[:15])
}

func TestCollections_Update(t *testing.T) {
	o := startOrg(t, Config{})
	a, b := o.create("Contact", `{"LastName":"A"}`), o.create("Contact", `{"LastName":"B"}`)
	r := o.do("PATCH", "/composite/sobjects", records(
		contact(`"id":"`+a+`","LastName":"A2"`),
		contact(`"LastName":"?"`),
		contact(`"Id":"0035e0000000001","LastName":"?"`),
		contact(`"Id":"nonsense","LastName":"?"`),
		contact(`"Id":"`+b+`","LastName":null`),
	))
	item(t, r, 0, "", "")
	item(t, r, 1, "MISSING_ARGUMENT", "Id not specified in an update call")
	item(t, r, 2, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
	item(t, r, 3, "MALFORMED_ID", "Contact ID: id value of incorrect type: nonsense")
	item(t, r, 4, "REQUIRED_FIELD_MISSING", "[LastName]")
	o.effects(3)
	r = o.do("PATCH", "/composite/sobjects", records(
		contact(`"Id":"`+a+`","LastName":"1"`), contact(`"Id":"`+b+`","LastName":"2"`), contact(`"Id":"`+a[:15]+`","LastName":"3"`)))
	item(t, r, 0, "DUPLICATE_VALUE", "duplicate id in list")
	item(t, r, 1, "", "")
	item(t, r, 2, "DUPLICATE_VALUE", "duplicate id in list")
}

func TestCollections_Upsert(t *testing.T) {
	o := startOrg(t, Config{})
	const path = "/composite/sobjects/Contact/Shop_Id__c"
	r := o.do("PATCH", path, records(
		contact(`"Shop_Id__c":"1","LastName":"A"`),
		contact(`"Shop_Id__c":"a-1","LastName":"B"`),
		contact(`"Shop_Id__c":"A-1","LastName":"C"`),
		contact(`"LastName":"D"`),
		contact(`"Shop_Id__c":"2","LastName":"E","Id":"0035e0000000001"`),
	))
	if it := item(t, r, 0, "", ""); it["created"] != true {
		t.Errorf("%v", it)
	}
	item(t, r, 1, "DUPLICATE_VALUE", "Duplicate external id specified: a-1")
	item(t, r, 2, "DUPLICATE_VALUE", "Duplicate external id specified: A-1")
	item(t, r, 3, "MISSING_ARGUMENT", "Shop_Id__c not specified")
	item(t, r, 4, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
	r = o.do("PATCH", path, records(contact(`"Shop_Id__c":"1","LastName":"A"`)))
	if it := item(t, r, 0, "", ""); it["created"] != false {
		t.Errorf("%v", it)
	}
	o.effects(1)
	r = o.do("PATCH", "/composite/sobjects/Contact/Id", records(contact(`"Id":null,"LastName":"N"`)))
	if it := item(t, r, 0, "", ""); it["created"] != true {
		t.Errorf("%v", it)
	}
	o.do("PATCH", "/composite/sobjects/Contact/Nope__c", records(contact(`"LastName":"A"`))).refused(404, "NOT_FOUND", "not accessible: Nope__c")
	o.do("PATCH", "/composite/sobjects/Nope/Id", records(contact(`"LastName":"A"`))).refused(404, "NOT_FOUND", "")
	o.do("PATCH", path, records(`{"attributes":{"type":"Account"},"Shop_Id__c":"1"}`)).want(400, "INVALID_INPUT")
}

func TestCollections_Delete(t *testing.T) {
	o := startOrg(t, Config{})
	a, b, c := o.create("Contact", `{"LastName":"A"}`), o.create("Account", `{"Name":"B"}`), o.create("Account", `{"Name":"C"}`)
	r := o.do("DELETE", "/composite/sobjects?ids="+strings.Join([]string{a, b, "nonsense", "0035e0000000001"}, ",")+"&allOrNone=false", "")
	item(t, r, 0, "", "")
	item(t, r, 1, "", "")
	item(t, r, 2, "MALFORMED_ID", "")
	item(t, r, 3, "INVALID_CROSS_REFERENCE_KEY", "")
	r = o.do("DELETE", "/composite/sobjects?ids="+a+","+c, "")
	item(t, r, 0, "ENTITY_IS_DELETED", "entity is deleted")
	item(t, r, 1, "", "")
	o.do("DELETE", "/composite/sobjects", "").refused(400, "REQUIRED_FIELD_MISSING", "At least 1 Id is required.")
}

func TestCollections_Read(t *testing.T) {
	o := startOrg(t, Config{})
	a := o.create("Contact", `{"LastName":"A"}`)
	r := o.do("GET", "/composite/sobjects/Contact?ids="+a+",0035e0000000001&fields=LastName", "")
	r.want(200, `"LastName":"A"`).want(200, ",null]")
	o.do("POST", "/composite/sobjects/Contact", `{"ids":["`+a+`"],"fields":["LastName"]}`).want(200, `"LastName":"A"`)
	o.do("GET", "/composite/sobjects/Contact?ids="+a+"&fields=Nope", "").refused(400, "INVALID_FIELD", "")
}

func TestCollections_WholeCallRefused(t *testing.T) {
	o := startOrg(t, Config{})
	var many, mixed []string
	for i := range 201 {
		many = append(many, contact(`"LastName":"A"`))
		if i < 11 {
			mixed = append(mixed, fmt.Sprintf(`{"attributes":{"type":%q},"Name":"A","LastName":"B"}`, []string{"Account", "Contact"}[i%2]))
		}
	}
	for _, tt := range []struct {
		name, body, code, message string
	}{
		{"empty", records(), "REQUIRED_FIELD_MISSING", "At least 1 record is required"},
		{"over 200", records(many...), "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records into this call"},
		{"over 10 chunks", records(mixed...), "LIMIT_EXCEEDED", "chunks"},
		{"no type", records(`{"LastName":"A"}`), "INVALID_INPUT", "attributes.type"},
		{"unknown type", records(`{"attributes":{"type":"Nope"}}`), "INVALID_TYPE", "sObject type 'Nope' is not supported."},
		{"broken", `{"records":[{]}`, "JSON_PARSER_ERROR", ""},
		{"cut", `{"records":[`, "JSON_PARSER_ERROR", ""},
		{"followed by more", records(contact(`"LastName":"A"`)) + "x", "JSON_PARSER_ERROR", ""},
		{"unknown member", `{"record":[]}`, "JSON_PARSER_ERROR", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o.do("POST", "/composite/sobjects", tt.body).refused(400, tt.code, tt.message)
		})
	}
	o.effects(0)
}

func TestCollections_AllOrNone(t *testing.T) {
	o := startOrg(t, Config{})
	old := o.create("Contact", `{"LastName":"Old","Shop_Id__c":"1"}`)
	body := strings.Replace(records(
		contact(`"Shop_Id__c":"1","LastName":"New"`), contact(`"Shop_Id__c":"2","LastName":"B"`), contact(`"Shop_Id__c":"3"`)),
		`"allOrNone":false`, `"allOrNone":true`, 1)
	r := o.do("PATCH", "/composite/sobjects/Contact/Shop_Id__c", body)
	item(t, r, 0, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "")
	item(t, r, 1, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "")
	item(t, r, 2, "REQUIRED_FIELD_MISSING", "")
	o.effects(1)
	o.query("SELECT LastName FROM Contact").want(200, `"totalSize":1`).want(200, `"LastName":"Old"`)
	r = o.do("DELETE", "/composite/sobjects?allOrNone=true&ids="+old+",0035e0000000001", "")
	item(t, r, 0, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "")
	if got := o.ids("SELECT Id FROM Contact WHERE Shop_Id__c = '1'"); len(got) != 1 {
		t.Errorf("the deletion was not rolled back: %v", got)
	}
}

func TestCollections_ManyMatches(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Item__c", Fields: []Field{{Name: "Sku__c", ExternalID: true}}}}})
	a, b := o.create("Item__c", `{"Sku__c":"k"}`), o.create("Item__c", `{"Sku__c":"k"}`)
	r := o.do("PATCH", "/composite/sobjects/Item__c/Sku__c", records(`{"attributes":{"type":"Item__c"},"Sku__c":"k"}`))
	item(t, r, 0, "DUPLICATE_EXTERNAL_ID", "Sku: more than one record found for external id field: ["+a+", "+b+"]")
}
