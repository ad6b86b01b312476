package simulator

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestToken_BasicCredentials(t *testing.T) {
	o := startOrg(t, Config{})
	grant := url.Values{"grant_type": {"client_credentials"}}
	basic := func(secret string) string {
		r := &http.Request{Header: make(http.Header)}
		r.SetBasicAuth(url.QueryEscape(DefaultClientID), url.QueryEscape(secret))
		return r.Header.Get("Authorization")
	}
	o.form("/services/oauth2/token", grant, "Authorization", basic(DefaultClientSecret)).want(200, "access_token")
	o.form("/services/oauth2/token", grant, "Authorization", basic("wrong")).want(400, "invalid_client")
}

func TestVersions_Resources(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"A"}`)
	for _, tt := range []struct {
		method, path, body string
		since              int
	}{
		{"GET", "jobs/ingest", "", 41},
		{"DELETE", "composite/sobjects?ids=" + id, "", 42},
		{"PATCH", "composite/sobjects/Contact/Shop_Id__c", records(contact(`"LastName":"A","Shop_Id__c":"1"`)), 46},
	} {
		o.do(tt.method, fmt.Sprintf("/services/data/v%d.0/%s", tt.since-1, tt.path), tt.body).refused(404, "NOT_FOUND", "")
		o.do(tt.method, fmt.Sprintf("/services/data/v%d.0/%s", tt.since, tt.path), tt.body).want(200, "")
	}
}

func TestHeaders_OfEveryAnswer(t *testing.T) {
	o := startOrg(t, Config{})
	for _, r := range []*reply{
		o.do("POST", "/sobjects/Account", `{"Name":"A"}`),
		o.do("POST", "/sobjects/Account", `{}`),
		o.do("GET", "/limits", "", "Authorization", "Bearer dead"),
		o.do("GET", "/services/data/", ""),
		o.do("POST", "/jobs/ingest", insertContacts),
	} {
		for name, want := range map[string]string{
			"Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private", "X-Content-Type-Options": "nosniff",
			"Content-Type": jsonType,
		} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%d %s: %q, want %q", r.status, name, got, want)
			}
		}
	}
}

// TestAPILimit_CollectionIsOneCall counts what kinds of work cost.
func TestAPILimit_CollectionIsOneCall(t *testing.T) {
	o := startOrg(t, Config{})
	cost := func(work func()) int64 {
		before := o.sim.Calls().Used
		work()
		return o.sim.Calls().Used - before
	}
	all := make([]string, maxCollection)
	for i := range all {
		all[i] = contact(`"LastName":"A"`)
	}
	if n := cost(func() { item(t, o.do("POST", "/composite/sobjects", records(all...)), maxCollection-1, "", "") }); n != 1 {
		t.Errorf("200 records cost %d calls, want 1", n)
	}
	if n := cost(o.login); n != 0 {
		t.Errorf("a login costs %d calls, want none", n)
	}
	n := cost(func() {
		id := o.job(insertContacts)
		o.upload(id, contactsCSV(1, 0)).want(201, "")
		o.do("PATCH", "/jobs/ingest/"+id, `{"state":"Aborted"}`).want(200, "")
		o.results(id, "unprocessedrecords")
	})
	if n != 4 {
		t.Errorf("four calls of a job cost %d, want 4", n)
	}
}

// TestRow_Values writes a value of each type and reads it back.
func TestRow_Values(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Item__c", Fields: []Field{
		{Name: "Text__c"},
		{Name: "Long__c", Type: "textarea", Length: 131_072},
		{Name: "Int__c", Type: "int"},
		{Name: "Money__c", Type: "currency", Precision: 18, Scale: 2},
		{Name: "Big__c", Type: "double", Precision: 18},
		{Name: "Day__c", Type: "date"},
		{Name: "At__c", Type: "datetime"},
		{Name: "Time__c", Type: "time"},
		{Name: "Tags__c", Type: "multipicklist", Picklist: []string{"a", "b", "c"}},
		{Name: "On__c", Type: "boolean"},
		{Name: "File__c", Type: "base64"},
	}}}})
	long := strings.Repeat("日", 131_072)
	for _, tt := range []struct{ name, field, sent, want string }{
		{"all of Unicode", "Text__c", `"Zo\u00eb \ud83d\ude80 \"x\" ,;\t'"`, `"Zoë 🚀 \"x\" ,;\t'"`},
		{"line breaks", "Long__c", `"a\r\nb\nc"`, `"a\r\nb\nc"`},
		{"a formula is a text", "Text__c", `"=1+1"`, `"=1+1"`},
		{"131,072 characters", "Long__c", `"` + long + `"`, `"` + long + `"`},
		{"empty text", "Text__c", `""`, `null`},
		{"blank text", "Text__c", `"  "`, `null`},
		{"number", "Int__c", `30`, `30`},
		{"number as text", "Int__c", `"30"`, `30`},
		{"money", "Money__c", `100`, `100.0`},
		{"money as text", "Money__c", `"12.50"`, `12.5`},
		{"exponent", "Money__c", `1.25e2`, `125.0`},
		{"18 digits", "Big__c", `123456789012345678`, `123456789012345678.0`},
		{"18 digits with a fraction", "Money__c", `-1234567890123456.78`, `-1234567890123456.78`},
		{"date", "Day__c", `"2024-02-29"`, `"2024-02-29"`},
		{"time in UTC", "At__c", `"2026-01-31T23:59:59Z"`, `"2026-01-31T23:59:59.000+0000"`},
		{"time with an offset", "At__c", `"2026-01-31T23:59:59.999+05:30"`, `"2026-01-31T18:29:59.000+0000"`},
		{"offset without a colon", "At__c", `"2026-01-31T23:59:59.000-0800"`, `"2026-02-01T07:59:59.000+0000"`},
		{"time of day", "Time__c", `"18:30:15.250Z"`, `"18:30:15.250Z"`},
		{"several of a picklist", "Tags__c", `"a;c"`, `"a;c"`},
		{"true", "On__c", `true`, `true`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := o.create("Item__c", `{"`+tt.field+`":`+tt.sent+`}`)
			row := o.do("GET", "/sobjects/Item__c/"+id+"?fields="+tt.field+",OwnerId", "").want(200, "")
			if want := `"` + tt.field + `":` + tt.want + `,"OwnerId":"` + o.sim.org.user + `"`; !strings.Contains(row.body, want) {
				t.Errorf("got %.200s, want %.200s", row.body, want)
			}
		})
	}
	for _, tt := range []struct{ name, field, sent string }{
		{"date of one digit", "Day__c", `"2024-2-9"`},
		{"day that is none", "Day__c", `"2023-02-29"`},
		{"date with a zone", "Day__c", `"2024-02-29Z"`},
		{"time without a zone", "At__c", `"2026-01-31T23:59:59"`},
		{"empty time", "At__c", `""`},
		{"number with a comma", "Money__c", `"1,000"`},
		{"base64 that is none", "File__c", `"a-_="`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o.do("POST", "/sobjects/Item__c", `{"`+tt.field+`":`+tt.sent+`}`).refused(400, "JSON_PARSER_ERROR", "Cannot deserialize")
		})
	}
}

// TestRow_Blob: base64 goes in as a text, and is answered as an address.
func TestRow_Blob(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Item__c", Fields: []Field{{Name: "File__c", Type: "base64"}}}}})
	id := o.create("Item__c", `{"File__c":"AP8="}`)
	want := `/sobjects/Item__c/` + id + `/File__c"`
	o.do("GET", "/sobjects/Item__c/"+id, "").want(200, want)
	o.query("SELECT File__c FROM Item__c").want(200, want)
	o.query("SELECT Id FROM Item__c WHERE File__c = 'AP8='").refused(400, "INVALID_FIELD", "")
	if row := o.sim.Records("Item__c")[0]; row["File__c"] != "AP8=" {
		t.Errorf("the org has %v", row)
	}
}

// polymorphic is an object whose parent may be of two kinds.
func polymorphic() []Object {
	return []Object{{Name: "Item__c", Fields: []Field{
		{Name: "Sku__c", ExternalID: true},
		{Name: "Any__c", Type: "reference", ReferenceTo: References{"Account", "Contact"}, Relationship: "Any__r"},
		{Name: "Up__c", Type: "reference", ReferenceTo: References{"Item__c"}, Relationship: "Up__r"},
	}}}
}

func TestRow_PolymorphicParent(t *testing.T) {
	o := startOrg(t, Config{Schema: polymorphic()})
	a, c := o.create("Account", `{"Name":"A","Shop_Id__c":"1"}`), o.create("Contact", `{"LastName":"C","Shop_Id__c":"1"}`)
	for typ, want := range map[string]string{"Account": a, "Contact": c} {
		id := o.create("Item__c", `{"Any__r":{"attributes":{"type":"`+typ+`"},"Shop_Id__c":"1"}}`)
		o.do("GET", "/sobjects/Item__c/"+id, "").want(200, `"Any__c":"`+want+`"`)
	}
	o.do("POST", "/sobjects/Item__c", `{"Any__r":{"attributes":{"type":"Lead"},"Shop_Id__c":"1"}}`).refused(400, "INVALID_FIELD", "")
}

func TestJob_PolymorphicParent(t *testing.T) {
	o := startOrg(t, Config{Schema: polymorphic()})
	a, c := o.create("Account", `{"Name":"A","Shop_Id__c":"1"}`), o.create("Contact", `{"LastName":"C","Shop_Id__c":"1"}`)
	for typ, want := range map[string]string{"Account": a, "Contact": c} {
		j := o.run(`{"object":"Item__c","operation":"insert"}`, typ+":Any__r.Shop_Id__c\n1\n")
		id := rowsOf(t, o.results(j["id"], "successfulResults"))[0][0]
		o.do("GET", "/sobjects/Item__c/"+id, "").want(200, `"Any__c":"`+want+`"`)
	}
}

func TestJob_RowsAreNoParentsOfEachOther(t *testing.T) {
	o := startOrg(t, Config{Schema: polymorphic()})
	j := o.run(`{"object":"Item__c","operation":"insert"}`, "Sku__c,Up__r.Sku__c\nparent,\nchild,parent\n")
	bad := rowsOf(t, o.results(j["id"], "failedResults"))
	want := [][]string{{"", "INVALID_FIELD:Foreign key external ID: parent not found for field Sku__c in entity Item__c:--", "child", "parent"}}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCollections_ParentInTheSameCall(t *testing.T) {
	o := startOrg(t, Config{Schema: polymorphic()})
	sku := func(members string) string { return `{"attributes":{"type":"Item__c"},` + members + `}` }
	r := o.do("POST", "/composite/sobjects", records(
		`{"attributes":{"type":"Account"},"Name":"A","Shop_Id__c":"1"}`,
		contact(`"LastName":"C","Account":{"Shop_Id__c":"1"}`),
		sku(`"Sku__c":"parent"`),
		sku(`"Sku__c":"child","Up__r":{"Sku__c":"parent"}`),
	))
	for i := range 3 {
		item(t, r, i, "", "")
	}
	item(t, r, 3, "INVALID_FIELD", "Foreign key external ID: parent not found for field Sku__c in entity Item__c")
}

func TestCollections_SetupObjectsApart(t *testing.T) {
	o := startOrg(t, Config{})
	user := `{"attributes":{"type":"User"},"Username":"a@example.com","LastName":"A"}`
	r := o.do("POST", "/composite/sobjects", records(contact(`"LastName":"A"`), user))
	item(t, r, 0, "", "")
	item(t, r, 1, "MIXED_DML_OPERATION", "(or vice versa): User, original object: Contact")
	item(t, o.do("POST", "/composite/sobjects", records(user)), 0, "", "")
}

func TestJob_ManyMatches(t *testing.T) {
	o := startOrg(t, Config{Schema: polymorphic()})
	a, b := o.create("Item__c", `{"Sku__c":"k"}`), o.create("Item__c", `{"Sku__c":"k"}`)
	j := o.run(`{"object":"Item__c","operation":"upsert","externalIdFieldName":"Sku__c"}`, "Sku__c\nk\nother\n")
	bad := rowsOf(t, o.results(j["id"], "failedResults"))
	if want := "DUPLICATE_EXTERNAL_ID:Sku: more than one record found for external id field: [" + a + ", " + b + "]:"; len(bad) != 1 || !strings.HasPrefix(bad[0][1], want) {
		t.Errorf("%q, want one row with %s", bad, want)
	}
}

func TestMasterDetail(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Line__c", Fields: []Field{
		{Name: "Sku__c", ExternalID: true, Unique: true},
		{Name: "Account__c", Type: "reference", ReferenceTo: References{"Account"}, Relationship: "Account__r", MasterDetail: true},
	}}}})
	for _, f := range o.do("GET", "/sobjects/Line__c/describe", "").object()["fields"].([]any) {
		if f := f.(map[string]any); f["name"] == "Account__c" &&
			(f["createable"] != true || f["updateable"] != false || f["nillable"] != false || f["cascadeDelete"] != true) {
			t.Errorf("%v", f)
		}
	}
	master := o.create("Account", `{"Name":"A","Shop_Id__c":"1"}`)
	o.do("POST", "/sobjects/Line__c", `{"Sku__c":"a"}`).refused(400, "REQUIRED_FIELD_MISSING", "[Account__c]")
	const path, line = "/sobjects/Line__c/Sku__c/a", `{"Account__r":{"Shop_Id__c":"1"}}`
	id := o.do("PATCH", path, line).want(201, "").object()["id"].(string)
	const refusal = "Unable to create/update fields: Account__c."
	o.do("PATCH", path, line).refused(400, "INVALID_FIELD_FOR_INSERT_UPDATE", refusal)
	o.do("PATCH", "/sobjects/Line__c/"+id, `{"Account__c":"`+master+`"}`).refused(400, "INVALID_FIELD_FOR_INSERT_UPDATE", refusal)
	o.do("PATCH", path, `{}`).want(200, "")

	r := o.do("DELETE", "/composite/sobjects?allOrNone=true&ids="+master+",0015e0000000001", "")
	item(t, r, 0, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "")
	o.effects(2)
	o.do("GET", "/sobjects/Line__c/"+id, "").want(200, "")
	o.do("DELETE", "/sobjects/Account/"+master, "").want(204, "")
	all := o.effects(4)
	if all[2].ID != id || all[3].ID != master || all[2].Operation != "delete" {
		t.Errorf("deleted %+v", all[2:])
	}
	o.do("DELETE", "/sobjects/Line__c/"+id, "").refused(404, "ENTITY_IS_DELETED", "")
	if _, err := New(Config{Schema: []Object{{Name: "X__c", Fields: []Field{{Name: "F__c", MasterDetail: true}}}}}); err == nil {
		t.Error("a text is a master")
	}
}

// TestFaults_OfWholeChunks: a lock or a trigger that takes a chunk along is a
// fault of each of its rows, so often as there are rows.
func TestFaults_OfWholeChunks(t *testing.T) {
	o := startOrg(t, Config{})
	o.fault(Fault{Match: Match{Kind: "coll.create", Times: 2}, Do: "lock"})
	two := records(contact(`"LastName":"A"`), contact(`"LastName":"B"`))
	r := o.do("POST", "/composite/sobjects", two)
	item(t, r, 0, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access")
	item(t, r, 1, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access")
	item(t, o.do("POST", "/composite/sobjects", two), 1, "", "")
	o.effects(2)
	const trigger = "T: execution of BeforeInsert caused by: System.LimitException: Too many SOQL queries: 101"
	o.fault(Fault{Match: Match{Kind: "job.close", Times: chunkRows}, Do: "row_error", Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Message: trigger})
	j := o.run(insertContacts, contactsCSV(chunkRows+50, 0))
	if j["state"] != stateComplete || j["numberRecordsFailed"] != float64(chunkRows) {
		t.Errorf("%v", j)
	}
	o.effects(52)
}

func TestResults_NullComesBackInTwoWays(t *testing.T) {
	o := startOrg(t, Config{Seed: 1})
	seen := make(map[string]bool)
	for i := range 20 {
		j := o.run(insertContacts, fmt.Sprintf("LastName,Email\nA%d,#N/A\n", i))
		seen[rowsOf(t, o.results(j["id"], "successfulResults"))[0][3]] = true
	}
	if diff := cmp.Diff(map[string]bool{"": true, "#N/A": true}, seen); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}
