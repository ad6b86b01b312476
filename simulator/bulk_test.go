package simulator

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	insertContacts = `{"object":"Contact","operation":"insert"}`
	upsertContacts = `{"object":"Contact","operation":"upsert","externalIdFieldName":"Shop_Id__c"}`
)

// rowsOf parses a result file, without its header.
func rowsOf(t testing.TB, file string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatalf("%v in %q", err, file)
	}
	return rows[1:]
}

func TestJob_Creation(t *testing.T) {
	o := startOrg(t, Config{})
	for _, tt := range []struct {
		name, body, code, message string
	}{
		{"unknown object", `{"object":"blah","operation":"insert"}`, "INVALIDJOB", "InvalidJob : Unable to find object: blah"},
		{"empty key", `{"object":"Account","operation":"upsert","externalIdFieldName":""}`, "INVALIDJOB", "InvalidJob : Field name provided,  does not match an External ID for Account"},
		{"not a key", `{"object":"Account","operation":"upsert","externalIdFieldName":"Name"}`, "INVALIDJOB", "InvalidJob : Field name provided, Name does not match an External ID for Account"},
		{"no key", `{"object":"Account","operation":"upsert"}`, "INVALIDJOB", "InvalidJob : External ID was blank for Account. An External ID must be specified for upsert."},
		{"no operation", `{"object":"Account"}`, "API_ERROR", "Invalid value: '' supplied for property: 'operation'"},
		{"wrong case", `{"object":"Account","operation":"Insert"}`, "API_ERROR", "Invalid value: 'Insert' supplied for property: 'operation'"},
		{"content type", `{"object":"Account","operation":"insert","contentType":"JSON"}`, "API_ERROR", "Invalid value: 'JSON' supplied for property: 'contentType'"},
		{"line ending", `{"object":"Account","operation":"insert","lineEnding":"CR"}`, "API_ERROR", "'lineEnding'"},
		{"delimiter", `{"object":"Account","operation":"insert","columnDelimiter":","}`, "API_ERROR", "'columnDelimiter'"},
		{"broken", `{"object"`, "JSON_PARSER_ERROR", ""},
	} {
		t.Run(tt.name, func(t *testing.T) { o.do("POST", "/jobs/ingest/", tt.body).refused(400, tt.code, tt.message) })
	}
	r := o.do("POST", "/jobs/ingest/", `{"object":"contact","operation":"upsert","externalIdFieldName":"shop_id__C","lineEnding":"CRLF"}`).want(200, `"object":"Contact"`)
	r.want(200, `"externalIdFieldName":"Shop_Id__c"`).want(200, `"apiVersion":66.0`).want(200, `"lineEnding":"CRLF"`)
	o.do("POST", "/jobs/ingest", `{}`, "Content-Type", "text/plain").refused(415, "UNSUPPORTED_MEDIA_TYPE", "")
}

func TestJob_Polls(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.job(insertContacts)
	open := o.do("GET", "/jobs/ingest/"+id[:15]+"/", "").want(200, "").object()
	if open["contentUrl"] != "services/data/v66.0/jobs/ingest/"+id+"/batches" || open["jobType"] != "V2Ingest" {
		t.Errorf("open: %v", open)
	}
	if _, has := open["numberRecordsProcessed"]; has {
		t.Errorf("an open job counts: %v", open)
	}
	o.upload(id, "LastName\nA\n\nB\n").want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"id":"x","state":"UploadComplete"}`).want(200, "")
	done := o.settle(id)
	if _, has := done["contentUrl"]; has {
		t.Errorf("contentUrl after the end: %v", done)
	}
	for key, want := range map[string]float64{"numberRecordsProcessed": 3, "numberRecordsFailed": 1, "retries": 0, "apexProcessingTime": 0} {
		if done[key] != want {
			t.Errorf("%s = %v, want %v", key, done[key], want)
		}
	}
	if _, has := done["errorMessage"]; has || done["state"] != stateComplete {
		t.Errorf("done: %v", done)
	}
}

// TestJob_States tries each change in each state.
func TestJob_States(t *testing.T) {
	o := startOrg(t, Config{JobDelay: 24 * time.Hour})
	states := map[string]func() string{
		stateOpen: func() string {
			id := o.job(insertContacts)
			o.upload(id, contactsCSV(1, 0)).want(201, "")
			return id
		},
	}
	states[stateUploaded] = func() string {
		id := states[stateOpen]()
		o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
		return id
	}
	states[stateRunning] = func() string {
		id := states[stateUploaded]()
		o.sim.Advance(13 * time.Hour)
		o.login()
		for o.do("GET", "/jobs/ingest/"+id, "").object()["state"] != stateRunning {
		}
		return id
	}
	states[stateComplete] = func() string {
		id := states[stateUploaded]()
		o.sim.Advance(25 * time.Hour)
		o.login()
		o.settle(id)
		return id
	}
	states[stateFailed] = func() string {
		o.fault(Fault{Do: "fail_job"})
		id := states[stateComplete]()
		o.fault()
		return id
	}
	states[stateAborted] = func() string {
		id := states[stateOpen]()
		o.do("PATCH", "/jobs/ingest/"+id, `{"state":"Aborted"}`).want(200, `"state":"Aborted"`)
		return id
	}
	for _, tt := range []struct {
		state                  string
		closing, aborting, del string // the refusal; "" is success
	}{
		{stateOpen, "", "", "the job is not terminated"},
		{stateUploaded, "Closing already closed Job not allowed", "", ""},
		{stateRunning, "Closing already closed Job not allowed", "", "the job is not terminated"},
		{stateComplete, "Closing already Completed Job not allowed", "Aborting already Completed Job not allowed", ""},
		{stateFailed, "Closing already Failed Job not allowed", "Aborting already Failed Job not allowed", ""},
		{stateAborted, "Closing already aborted Job not allowed", "", ""},
	} {
		change := func(state, refusal string) {
			r := o.do("PATCH", "/jobs/ingest/"+states[tt.state](), `{"state":"`+state+`"}`)
			if refusal == "" {
				r.want(200, `"state":"`+state+`"`)
			} else {
				r.refused(400, "INVALIDJOBSTATE", refusal)
			}
		}
		t.Run(tt.state, func(t *testing.T) {
			change(stateUploaded, tt.closing)
			change(stateAborted, tt.aborting)
			id := states[tt.state]()
			r := o.do("DELETE", "/jobs/ingest/"+id, "")
			if tt.del == "" {
				r.want(204, "")
				o.do("GET", "/jobs/ingest/"+id, "").refused(404, "NOT_FOUND", "")
			} else {
				r.refused(400, "API_ERROR", tt.del)
			}
			id = states[tt.state]()
			if put := o.upload(id, "x"); tt.state == stateOpen {
				put.want(201, "")
			} else {
				put.refused(400, "INVALIDJOBSTATE", "Current job state is '"+tt.state+"'")
			}
			early := o.do("GET", "/jobs/ingest/"+states[tt.state]()+"/successfulResults", "")
			if tt.state == stateComplete || tt.state == stateFailed || tt.state == stateAborted {
				early.want(200, `"sf__Id","sf__Created",`)
			} else {
				early.refused(400, "INVALIDJOBSTATE", tt.state)
			}
		})
	}
	o.do("PATCH", "/jobs/ingest/"+states[stateOpen](), `{"state":"JobComplete"}`).refused(400, "API_ERROR", "Invalid value: 'JobComplete' supplied for property: 'state'")
}

func TestJob_TwoUploads(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.job(insertContacts)
	o.upload(id, contactsCSV(1, 0)).want(201, "")
	o.upload(id, contactsCSV(1, 1)).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).refused(400, "INVALIDJOB", "Found multipe contents for job: <"+id[:15]+">")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"Aborted"}`).want(200, "")
	o.effects(0)
}

func TestJob_OnlyAborted(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.job(insertContacts)
	o.upload(id, contactsCSV(2, 0)).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"Aborted"}`).want(200, "")
	if got := o.results(id, "unprocessedrecords"); got != contactsCSV(2, 0) {
		t.Errorf("unprocessed %q", got)
	}
	o.effects(0)
}

func TestJob_WithoutRows(t *testing.T) {
	o := startOrg(t, Config{})
	for _, upload := range []string{"", "LastName,Email\n", "LastName,Email"} {
		j := o.run(insertContacts, upload)
		if j["state"] != stateComplete || j["numberRecordsProcessed"] != 0.0 {
			t.Errorf("%q: %v", upload, j)
		}
	}
	id := o.job(insertContacts)
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
	if j := o.settle(id); j["state"] != stateComplete {
		t.Errorf("without upload: %v", j)
	}
}

// TestJob_FailsAsAWhole has the faults of files and headers.
func TestJob_FailsAsAWhole(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Item__c", Fields: []Field{
		{Name: "Sku__c", ExternalID: true},
		{Name: "Parent__c", Type: "reference", ReferenceTo: References{"Account"}, Relationship: "Parent__r"},
		{Name: "Any__c", Type: "reference", ReferenceTo: References{"Account", "Contact"}, Relationship: "Any__r"},
		{Name: "File__c", Type: "base64"},
	}}}})
	const noField = "InvalidBatch : Field name not found : "
	for _, tt := range []struct{ name, operation, csv, message string }{
		{"unknown column, the first only", "insert", "Sku__c,Foo__c,Bar__c\na,b,c\n", noField + "Foo__c"},
		{"no Id", "update", "Sku__c\na\n", noField + "Id"},
		{"no Id to delete by", "delete", "Sku__c\na\n", noField + "Id"},
		{"more than the Id", "delete", "Id,Sku__c\na,b\n", "InvalidBatch : 'delete' batches must contain only ids"},
		{"no key", "upsert", "Parent__c\na\n", noField + "Sku__c"},
		{"column twice", "insert", "Sku__c,sku__C\na,b\n", "InvalidBatch : Field name is duplicated : sku__C"},
		{"wrong delimiter", "insert", "Sku__c;Parent__c\na;b\n", noField + "Sku__c;Parent__c"},
		{"byte order mark", "insert", "\ufeffSku__c\na\n", noField + "\ufeffSku__c"},
		{"byte order mark before a quote", "insert", "\ufeff\"Sku__c\"\na\n", errQuote},
		{"CRLF", "insert", "Sku__c\r\na\r\n", "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"},
		{"CRLF in quotes", "insert", "Sku__c\n\"a\r\nb\"\n", "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"},
		{"quote in a cell", "insert", "Sku__c\na\"b\n", errQuote},
		{"text after a quote", "insert", "Sku__c,Parent__c\n\"a\" ,b\n", errQuote},
		{"quote never closed", "insert", "Sku__c\n\"a\n", errQuote},
		{"not UTF-8", "insert", "Sku__c\n\xff\n", errUTF8},
		{"swapped type and relationship", "insert", "Any__r:Account.Shop_Id__c\na\n", "InvalidBatch : Unable to find relationship: Account"},
		{"needless type", "insert", "Account:Parent__r.Shop_Id__c\na\n", "InvalidBatch : type is not needed for non polymorphic foreign key references: Parent__r"},
		{"colons without a dot", "insert", "Any__r:Account:Shop_Id__c\na\n", noField + "Any__r:Account:Shop_Id__c"},
		{"no type", "insert", "Any__r.Shop_Id__c\na\n", "InvalidBatch : type is needed for polymorphic foreign key references: Any__r"},
		{"wrong type", "insert", "Lead:Any__r.Shop_Id__c\na\n", noField + "Lead:Any__r.Shop_Id__c"},
		{"parent by no key", "insert", "Parent__r.Name\na\n", noField + "Parent__r.Name"},
		{"blob", "insert", "File__c\nAA==\n", noField + "File__c"},
		{"unknown relationship", "insert", "Foo__r.Shop_Id__c\na\n", noField + "Foo__r.Shop_Id__c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := o.run(`{"object":"Item__c","operation":"`+tt.operation+`","externalIdFieldName":"Sku__c"}`, tt.csv)
			if j["state"] != stateFailed || j["errorMessage"] != tt.message || j["numberRecordsProcessed"] != 0.0 || j["numberRecordsFailed"] != 0.0 {
				t.Errorf("got %v, want Failed with %q", j, tt.message)
			}
			if got := o.results(j["id"], "unprocessedrecords"); got != tt.csv {
				t.Errorf("unprocessed %q, want the upload", got)
			}
			if got := o.results(j["id"], "failedResults"); !strings.HasPrefix(got, `"sf__Id","sf__Error",`) || strings.Count(got, "\n") != 1 {
				t.Errorf("failed %q, want the header", got)
			}
		})
	}
	o.effects(0)
	crlf := `{"object":"Item__c","operation":"insert","lineEnding":"CRLF","columnDelimiter":"SEMICOLON"}`
	if j := o.run(crlf, "Sku__c;Parent__c\na;\n"); j["errorMessage"] != "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is CRLF" {
		t.Errorf("LF in a CRLF job: %v", j)
	}
	j := o.run(crlf, "Sku__c;Parent__c\r\na;\r\n")
	if got := o.results(j["id"], "successfulResults"); !strings.HasPrefix(got, "\"sf__Id\";\"sf__Created\";Sku__c;Parent__c\r\n\"") || !strings.HasSuffix(got, ";\"true\";\"a\";\"\"\r\n") {
		t.Errorf("results of a CRLF job: %q", got)
	}
}

// TestJob_RowErrors has one bad row of each sort among good ones.
func TestJob_RowErrors(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{
		Name: "Item__c",
		Fields: []Field{
			{Name: "Sku__c", ExternalID: true, Unique: true},
			{Name: "Name__c", Length: 5, Required: true},
			{Name: "Qty__c", Type: "int"},
			{Name: "On__c", Type: "boolean"},
			{Name: "Day__c", Type: "date"},
			{Name: "Kind__c", Type: "picklist", Picklist: []string{"a"}},
			{Name: "Mail__c", Type: "email"},
			{Name: "Sum__c", Type: "double", ReadOnly: true},
			{Name: "Parent__c", Type: "reference", ReferenceTo: References{"Account"}, Relationship: "Parent__r"},
		},
		Rules: []Rule{{Field: "Name__c", Pattern: "^no", Message: "not: this, one"}},
	}}})
	const header = "Sku__c,Name__c,Qty__c,On__c,Day__c,Kind__c,Mail__c,Parent__r.Shop_Id__c,Parent__c,Sum__c"
	cells := func(change map[int]string) string {
		row := []string{"", "n", "", "", "", "", "", "", "", ""}
		for i, v := range change {
			row[i] = v
		}
		return strings.Join(row, ",") + "\n"
	}
	for i, tt := range []struct {
		row, want string
	}{
		{cells(map[int]string{0: "k", 1: "#N/A"}), "REQUIRED_FIELD_MISSING:Required fields are missing: [Name__c]:Name__c --"},
		{cells(map[int]string{0: "k", 1: "longer"}), "STRING_TOO_LONG:Name: data value too large: longer (max length=5):Name__c --"},
		{cells(map[int]string{0: "k", 1: "no"}), "FIELD_CUSTOM_VALIDATION_EXCEPTION:not: this, one:Name__c --"},
		{cells(map[int]string{0: "k", 2: "x"}), "INVALID_FIELD:Failed to deserialize field at col 2. Due to, 'x' is not a valid value for the type xsd:int:Qty__c --"},
		{cells(map[int]string{0: "k", 3: "yes"}), "INVALID_FIELD:Failed to deserialize field at col 3. Due to, 'yes' is not a valid value for the type xsd:boolean:On__c --"},
		{cells(map[int]string{0: "k", 4: "null"}), "INVALID_FIELD:Failed to deserialize field at col 4. Due to, 'null' is not a valid value for the type xsd:date:Day__c --"},
		{cells(map[int]string{0: "k", 5: "b"}), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST:Kind: bad value for restricted picklist field: b:Kind__c --"},
		{cells(map[int]string{0: "k", 6: "b"}), "INVALID_EMAIL_ADDRESS:Mail: invalid email address: b:Mail__c --"},
		{cells(map[int]string{0: "k", 7: "A-9"}), "INVALID_FIELD:Foreign key external ID: A-9 not found for field Shop_Id__c in entity Account:--"},
		{cells(map[int]string{0: "k", 8: "A-9"}), "MALFORMED_ID:Parent: id value of incorrect type: A-9:Parent__c --"},
		{cells(map[int]string{0: "k", 9: "1"}), "INVALID_FIELD_FOR_INSERT_UPDATE:Unable to create/update fields: Sum__c. Please check the security settings of this field and verify that it is read/write for your profile or permission set.:Sum__c --"},
		{cells(nil), "MISSING_ARGUMENT:Sku__c not specified:--"},
		{cells(map[int]string{0: "#N/A"}), "MISSING_ARGUMENT:Sku__c not specified:--"},
		{"a,b\n", "INVALID_FIELD:Number of fields in header is different from the row. header = 10 row = 2:--"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			good := cells(map[int]string{0: fmt.Sprintf("good%d", i)})
			j := o.run(`{"object":"Item__c","operation":"upsert","externalIdFieldName":"Sku__c"}`, header+"\n"+good+tt.row)
			if j["state"] != stateComplete || j["numberRecordsProcessed"] != 2.0 || j["numberRecordsFailed"] != 1.0 {
				t.Errorf("job %v", j)
			}
			bad := rowsOf(t, o.results(j["id"], "failedResults"))
			if len(bad) != 1 || bad[0][0] != "" || bad[0][1] != tt.want {
				t.Errorf("got %q, want %q", bad, tt.want)
			}
			if strings.HasPrefix(tt.want, "INVALID_FIELD:Number") && strings.Join(bad[0][2:], "") != "" {
				t.Errorf("a row of the wrong size is echoed: %q", bad)
			}
			if got := rowsOf(t, o.results(j["id"], "successfulResults")); len(got) != 1 || got[0][2] != fmt.Sprintf("good%d", i) {
				t.Errorf("good rows %q", got)
			}
			if got := o.results(j["id"], "unprocessedrecords"); got != header+"\n" {
				t.Errorf("unprocessed %q", got)
			}
		})
	}
}

func TestJob_AllRowsFailed_IsComplete(t *testing.T) {
	o := startOrg(t, Config{})
	if j := o.run(insertContacts, "FirstName\nA\n"); j["state"] != stateComplete || j["numberRecordsFailed"] != 1.0 {
		t.Errorf("%v", j)
	}
}

func TestJob_Operations(t *testing.T) {
	o := startOrg(t, Config{})
	account := o.create("Account", `{"Name":"A","Shop_Id__c":"A-9"}`)
	j := o.run(upsertContacts, "Shop_Id__c,LastName,Account.Shop_Id__c,Email\n1,Ada,A-9,ada@example.com\n2,Bob,,\n")
	ok := rowsOf(t, o.results(j["id"], "successfulResults"))
	ids := make(map[string]string)
	for _, r := range ok {
		if r[1] != "true" {
			t.Errorf("not created: %q", r)
		}
		ids[r[2]] = r[0]
	}
	if got := o.sim.Records("Contact"); got[0]["AccountId"] != account {
		t.Errorf("parent not set: %v", got)
	}
	// An empty cell leaves the field alone, #N/A clears it.
	j = o.run(upsertContacts, "Shop_Id__c,LastName,Account.Shop_Id__c,Email\n1,,#N/A,\n2,Bo,A-9,#N/A\n")
	for _, r := range rowsOf(t, o.results(j["id"], "successfulResults")) {
		if r[1] != "false" {
			t.Errorf("not updated: %q", r)
		}
	}
	want := []Record{
		{"Id": ids["1"], "Shop_Id__c": "1", "LastName": "Ada", "Email": "ada@example.com"},
		{"Id": ids["2"], "Shop_Id__c": "2", "LastName": "Bo", "AccountId": account},
	}
	got := o.sim.Records("Contact")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.run(`{"object":"Contact","operation":"update"}`, "Id,LastName\n"+ids["1"]+",Eva\n"+ids["2"][:15]+",Bo\n")
	deleted := o.run(`{"object":"Contact","operation":"delete"}`, "Id\n"+ids["1"]+"\n")
	if r := rowsOf(t, o.results(deleted["id"], "successfulResults")); len(r) != 1 || r[0][1] != "false" {
		t.Errorf("deleted %q", r)
	}
	again := o.run(`{"object":"Contact","operation":"delete"}`, "Id\n"+ids["1"]+"\n0035e0000000001\n")
	texts := []string{}
	for _, r := range rowsOf(t, o.results(again["id"], "failedResults")) {
		texts = append(texts, r[1])
	}
	slices.Sort(texts)
	if diff := cmp.Diff([]string{"ENTITY_IS_DELETED:entity is deleted:--", "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--"}, texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.run(`{"object":"Contact","operation":"hardDelete"}`, "Id\n"+ids["2"]+"\n")
	o.do("GET", "/queryAll?q=SELECT+Id+FROM+Contact", "").want(200, `"totalSize":1`)
	operations := []string{}
	for _, e := range o.sim.Effects()[1:] {
		operations = append(operations, e.Operation)
		if e.Via != "bulk" || len(e.Job) != 18 {
			t.Errorf("effect %+v", e)
		}
	}
	if diff := cmp.Diff([]string{"create", "create", "update", "update", "update", "delete", "delete"}, operations); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestJob_OfSomebodyElse: is listed, and can't be ended without a right that the user has not.
func TestJob_OfSomebodyElse(t *testing.T) {
	o := startOrg(t, Config{})
	own := o.job(insertContacts)
	user := newID("005", 7)
	o.do("POST", "/_sim/jobs", `{"user":"`+user+`","object":"account","operation":"update"}`).want(200, "")
	if _, err := o.sim.AddJob(Job{Object: "Lead", Classic: true}); err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]int)
	other := ""
	for _, one := range o.do("GET", "/jobs/ingest", "").want(200, "").object()["records"].([]any) {
		j := one.(map[string]any)
		kinds[j["jobType"].(string)]++
		if j["createdById"] == user {
			other = j["id"].(string)
		}
	}
	if kinds["V2Ingest"] != 2 || kinds["Classic"] != 1 || other == "" {
		t.Errorf("listed are %v, of the other user %q", kinds, other)
	}
	for kind, n := range kinds {
		if all := o.do("GET", "/jobs/ingest?jobType="+kind, "").object()["records"].([]any); len(all) != n {
			t.Errorf("%d of type %s, want %d", len(all), kind, n)
		}
	}
	o.do("PATCH", "/jobs/ingest/"+other, `{"state":"Aborted"}`).refused(400, "INVALIDUSER", "another user")
	o.do("GET", "/jobs/ingest/"+other, "").want(200, `"state":"Open"`)
	o.do("PATCH", "/jobs/ingest/"+own, `{"state":"Aborted"}`).want(200, "")
	for _, def := range []Job{{Object: "Nope"}, {Object: "Lead", User: own}} {
		if _, err := o.sim.AddJob(def); err == nil {
			t.Errorf("%+v was taken", def)
		}
	}
}

// TestJob_BatchesSideBySide: a row of the second internal batch can come before one of the first.
func TestJob_BatchesSideBySide(t *testing.T) {
	o := startOrg(t, Config{})
	const rows, early, late = 20_101, 9_900, 10_000 // a row in the last chunk of the first batch, one in the first of the second
	var csv strings.Builder
	csv.WriteString("LastName,Shop_Id__c\n")
	for i := range rows {
		key := i
		if i == early {
			key = late
		}
		fmt.Fprintf(&csv, "L%d,%d\n", i, key)
	}
	job := o.run(insertContacts, csv.String())
	if job["numberRecordsProcessed"] != float64(rows) || job["numberRecordsFailed"] != 1.0 {
		t.Fatalf("job %v", job)
	}
	failed := rowsOf(t, o.results(job["id"], "failedResults"))
	if len(failed) != 1 || failed[0][2] != fmt.Sprintf("L%d", early) || !strings.HasPrefix(failed[0][1], "DUPLICATE_VALUE") {
		t.Errorf("failed %v, want the row that stands first and came second", failed)
	}
	if n := len(rowsOf(t, o.results(job["id"], "successfulResults"))); n != rows-1 {
		t.Errorf("%d rows succeeded", n)
	}
	if got := len(o.sim.Effects()); got != rows-1 {
		t.Errorf("%d effects", got)
	}
}

func TestJob_DoubleKeys(t *testing.T) {
	o := startOrg(t, Config{})
	j := o.run(upsertContacts, "Shop_Id__c,LastName\na-1,A\nA-1,B\nc,C\n")
	bad := rowsOf(t, o.results(j["id"], "failedResults"))
	if len(bad) != 2 || !strings.HasPrefix(bad[0][1], "DUPLICATE_VALUE:Duplicate external id specified: ") || !strings.HasSuffix(bad[0][1], "-1:Shop_Id__c --") {
		t.Errorf("both rows of a key must fail: %q", bad)
	}
	var far strings.Builder
	far.WriteString("Shop_Id__c,LastName\nk,first\n")
	for i := range chunkRows {
		fmt.Fprintf(&far, "n%d,x\n", i)
	}
	far.WriteString("k,last\n")
	if j := o.run(upsertContacts, far.String()); j["numberRecordsFailed"] != 0.0 {
		t.Errorf("in another chunk the second is an update: %v", j)
	}
	o.query("SELECT LastName FROM Contact WHERE Shop_Id__c = 'k'").want(200, `"LastName":"last"`)
	j = o.run(insertContacts, "Shop_Id__c,LastName\nu,A\nu,B\n")
	if bad := rowsOf(t, o.results(j["id"], "failedResults")); len(bad) != 1 || bad[0][1] != "DUPLICATE_VALUE:duplicate value found: <unknown> duplicates value on record with id: <unknown>:--" {
		t.Errorf("%q", bad)
	}
	id := o.ids("SELECT Id FROM Contact WHERE Shop_Id__c = 'u'")[0]
	j = o.run(insertContacts, "Shop_Id__c,LastName\nU,A\n")
	if bad := rowsOf(t, o.results(j["id"], "failedResults")); bad[0][1] != "DUPLICATE_VALUE:duplicate value found: Shop_Id__c duplicates value on record with id: "+id[:15]+":--" {
		t.Errorf("%q", bad)
	}
}

func TestResults_AreRerenderedAndShuffled(t *testing.T) {
	o := startOrg(t, Config{Seed: 3})
	csv := "lastname,Score__c,Last_Seen__c,DoNotCall,\"Notes__c\"\n" +
		"A,71,2025-11-25T03:45:21.14287Z,TRUE,\"say \"\"hi\"\",\nthere\"\n"
	j := o.run(insertContacts, csv)
	got := o.results(j["id"], "successfulResults")
	header, row, _ := strings.Cut(got, "\n")
	if header != `"sf__Id","sf__Created",lastname,Score__c,Last_Seen__c,DoNotCall,"Notes__c"` {
		t.Errorf("header %s", header)
	}
	if want := ",\"true\",\"A\",\"7.1E1\",\"2025-11-25T03:45:21.142Z\",\"true\",\"say \"\"hi\"\",\nthere\"\n"; !strings.HasSuffix(row, want) {
		t.Errorf("row %q, want …%q", row, want)
	}
	j = o.run(insertContacts, "lastname,FirstName\n,A\n")
	if got := rowsOf(t, o.results(j["id"], "failedResults")); got[0][2] != "" || got[0][3] != "A" {
		t.Errorf("%q", got)
	}
	j = o.run(insertContacts, "lastname,Email\nLovelace,x\n")
	if got := rowsOf(t, o.results(j["id"], "failedResults")); got[0][2] != "" || got[0][3] != "x" {
		t.Errorf("a heading in the wrong case has no value in failedResults: %q", got)
	}
	j = o.run(insertContacts, contactsCSV(100, 0))
	var order []string
	for _, r := range rowsOf(t, o.results(j["id"], "successfulResults")) {
		order = append(order, r[2])
	}
	if len(order) != 100 || slices.IsSortedFunc(order, func(a, b string) int { return len(a) - len(b) }) {
		t.Errorf("rows come in the order of the upload: %v", order)
	}
	if again := o.results(j["id"], "successfulResults"); rowsOf(t, again)[0][2] != order[0] {
		t.Error("the same file comes in another order")
	}
	r := o.do("GET", fmt.Sprintf("/jobs/ingest/%s/successfulResults", j["id"]), "", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(strings.NewReader(r.body))
	if err != nil || r.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v %v", err, r.header)
	}
	plain, err := io.ReadAll(z)
	if err != nil || string(plain) != o.results(j["id"], "successfulResults") {
		t.Errorf("unzipped file differs: %v", err)
	}
}

func TestJob_Delay_SpreadsTheChunks(t *testing.T) {
	o := startOrg(t, Config{JobDelay: time.Hour})
	id := o.job(insertContacts)
	o.upload(id, contactsCSV(500, 0)).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
	until := func(processed float64) map[string]any {
		for {
			j := o.do("GET", "/jobs/ingest/"+id, "").object()
			if j["numberRecordsProcessed"] == processed {
				return j
			}
		}
	}
	if j := until(0); j["state"] != stateUploaded {
		t.Errorf("%v", j)
	}
	o.sim.Advance(16 * time.Minute)
	if j := until(200); j["state"] != stateRunning || j["totalProcessingTime"] != 0.0 {
		t.Errorf("%v", j)
	}
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"Aborted"}`).want(200, "")
	if n := len(rowsOf(t, o.results(id, "successfulResults"))); n != 200 {
		t.Errorf("%d rows are committed, want 200", n)
	}
	rest := o.results(id, "unprocessedrecords")
	if n := len(rowsOf(t, rest)); n != 300 || !strings.Contains(rest, "\n\"s-499\",\"Lovelace 499\",") {
		t.Errorf("%d rows are unprocessed, want 300 as uploaded", n)
	}
	o.sim.Advance(time.Hour)
	o.effects(200)
}

func TestJob_Expires(t *testing.T) {
	o := startOrg(t, Config{})
	open := o.job(insertContacts)
	done := o.run(insertContacts, contactsCSV(1, 0))["id"].(string)
	o.sim.Advance(25 * time.Hour)
	o.login()
	o.do("GET", "/jobs/ingest/"+open, "").refused(404, "NOT_FOUND", "")
	o.results(done, "successfulResults")
	o.sim.Advance(7 * 24 * time.Hour)
	o.login()
	o.do("GET", "/jobs/ingest/"+done+"/successfulResults", "").refused(404, "NOT_FOUND", "")
}

func TestJob_List(t *testing.T) {
	o := startOrg(t, Config{})
	o.do("GET", "/jobs/ingest", "").want(200, `{"done":true,"records":[],"nextRecordsUrl":null}`)
	want := make(map[any]bool)
	for range listPage + 5 {
		want[o.job(insertContacts)] = true
	}
	page := o.do("GET", "/jobs/ingest?jobType=V2Ingest", "").want(200, `"done":false`).object()
	first := page["records"].([]any)
	second := o.do("GET", page["nextRecordsUrl"].(string), "").want(200, `"nextRecordsUrl":null`).object()["records"].([]any)
	for _, j := range append(first, second...) {
		delete(want, j.(map[string]any)["id"])
	}
	if len(first) != listPage || len(want) != 0 {
		t.Errorf("pages of %d and %d, %d missing", len(first), len(second), len(want))
	}
	o.do("GET", "/jobs/ingest?jobType=Classic", "").want(200, `"records":[]`)
}

func TestJob_Multipart(t *testing.T) {
	o := startOrg(t, Config{})
	body := "--B\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n" + insertContacts +
		"\r\n--B\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name=\"content\"; filename=\"content\"\r\n\r\nLastName\nA\n\r\n--B--\r\n"
	r := o.do("POST", "/jobs/ingest", body, "Content-Type", `multipart/form-data; boundary="B"`).want(200, "")
	if _, has := r.object()["contentUrl"]; has {
		t.Errorf("contentUrl in %s", r.body)
	}
	if j := o.settle(r.object()["id"].(string)); j["numberRecordsProcessed"] != 1.0 {
		t.Errorf("%v", j)
	}
}

func TestJob_BatchLimit(t *testing.T) {
	o := startOrg(t, Config{BatchLimit: 1})
	o.run(insertContacts, contactsCSV(1, 0))
	o.do("POST", "/jobs/ingest", insertContacts).refused(400, "EXCEEDEDQUOTA", "ExceededQuota : ApiBatchItems Limit exceeded.")
	o.do("GET", "/limits", "").want(200, `"DailyBulkApiBatches":{"Max":1,"Remaining":0}`)
	o.sim.Advance(25 * time.Hour)
	o.login()
	early, late := o.job(insertContacts), o.job(insertContacts)
	for i, id := range []string{early, late} {
		o.upload(id, contactsCSV(1, i+1)).want(201, "")
		o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
		o.settle(id)
	}
	if j := o.settle(late); j["state"] != stateFailed || j["errorMessage"] != "ExceededQuota : ApiBatchItems Limit exceeded." {
		t.Errorf("%v", j)
	}
	for _, file := range []string{"successfulResults", "failedResults", "unprocessedrecords"} {
		if rows := rowsOf(t, o.results(late, file)); len(rows) != 0 {
			t.Errorf("%s has %q", file, rows)
		}
	}
}

func TestUpload_TooLarge(t *testing.T) {
	o := startOrg(t, Config{})
	o.upload(o.job(insertContacts), strings.Repeat("x", maxUploadBytes+1)).refused(400, "CLIENTINPUTERROR", "Exceeded max size limit")
	o.do("PUT", "/jobs/ingest/"+o.job(insertContacts)+"/batches", "x", "Content-Type", "application/json").refused(415, "UNSUPPORTED_MEDIA_TYPE", "")
	o.do("PUT", "/jobs/ingest/"+o.job(insertContacts)+"/batches", "x", "Content-Type", "text/csv", "Content-Encoding", "gzip").refused(415, "UNSUPPORTED_MEDIA_TYPE", "")
	o.upload("7505e0000000001", "x").refused(404, "NOT_FOUND", "")
}
