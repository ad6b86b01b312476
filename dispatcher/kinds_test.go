package dispatcher_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// byBothWays runs a test with a configuration under which records of an object go
// by REST, and with one under which they go by job.
func byBothWays(t *testing.T, object string, run func(t *testing.T, r *rig, kind store.Kind)) {
	t.Helper()
	for _, kind := range []store.Kind{store.KindREST, store.KindBulk} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.Bulk.MinRecords = 1
			if kind == store.KindREST {
				cfg.Bulk.MinRecords = 1_000
				cfg.Objects[object] = dispatcher.ObjectConfig{CreateREST: true}
			}
			cfg.Validate = dispatcher.ValidateReject
			run(t, newPatientRig(t, cfg), kind)
		})
	}
}

// make creates one record by the row resource.
func (r *rig) make(object, fields string) string {
	r.t.Helper()
	got, err := r.client().CreateOne(r.t.Context(), object, salesforce.Row{Fields: json.RawMessage(fields)}, salesforce.Headers{})
	if err != nil || !got.Success {
		r.t.Fatalf("%s: %+v, %v", object, got, err)
	}
	return string(got.ID)
}

// row is a row of the org.
func (r *rig) row(object, id string) simulator.Record {
	r.t.Helper()
	for _, x := range r.sim.Records(object) {
		if x["Id"] == id {
			return x
		}
	}
	r.t.Fatalf("no %s %s", object, id)
	return nil
}

// create is the JSON of a create.
func create(key, object, fields string) string {
	return fmt.Sprintf(`{"key":%q,"object":%q,"operation":"create","fields":{%s}}`, key, object, fields)
}

// TestKinds_PersonAccounts: the record type decides which fields an account has,
// and no check before sending refuses what the org takes.
func TestKinds_PersonAccounts(t *testing.T) {
	byBothWays(t, "account", func(t *testing.T, r *rig, kind store.Kind) {
		account := simulator.DefaultSchema()[0]
		account.RecordTypes = []simulator.RecordType{{Name: "Person", Person: true}, {Name: "Business", Default: true}, {Name: "Closed", Unavailable: true}}
		if err := r.sim.SetSchema([]simulator.Object{account}); err != nil {
			t.Fatal(err)
		}
		types := make(map[any]string)
		for _, x := range r.sim.Records("RecordType") {
			types[x["DeveloperName"]] = `"RecordTypeId":"` + x["Id"].(string) + `"`
		}
		r.put(
			create("person", "Account", types["Person"]+`,"FirstName":"Ada","LastName":"Lovelace","PersonEmail":"a@example.com","PersonMailingCity":"London","Site":"x"`),
			create("person by name", "Account", `"RecordType":{"DeveloperName":"Person"},"LastName":"Byron"`),
			create("business", "Account", types["Business"]+`,"Name":"Firm"`),
			create("business by default", "Account", `"Name":"Firm"`),
			create("person with a name", "Account", types["Person"]+`,"Name":"Ada","LastName":"Lovelace"`),
			create("person without a name", "Account", types["Person"]+`,"FirstName":"Ada"`),
			create("business with a last name", "Account", types["Business"]+`,"Name":"Firm","LastName":"Lovelace"`),
			create("business without a name", "Account", types["Business"]+`,"Site":"x"`),
			create("closed", "Account", types["Closed"]+`,"Name":"Firm"`),
		)
		r.start()
		r.drained()
		for key, code := range map[string]string{
			"person": "", "person by name": "", "business": "", "business by default": "",
			"person with a name":        "INVALID_FIELD_FOR_INSERT_UPDATE",
			"person without a name":     "REQUIRED_FIELD_MISSING",
			"business with a last name": "INVALID_FIELD_FOR_INSERT_UPDATE",
			"business without a name":   "REQUIRED_FIELD_MISSING",
			"closed":                    "INVALID_CROSS_REFERENCE_KEY",
		} {
			x := r.get(key)
			switch {
			case x.Kind != kind:
				t.Errorf("%s went by %s", key, x.Kind)
			case code == "" && x.State != store.Delivered, code != "" && (x.State != store.Failed || x.LastError.Code != code):
				t.Errorf("%s is %s, %.200v; want %q", key, x.State, x.LastError, code)
			}
		}
		if row := r.row("Account", r.get("person").ID); row["LastName"] != "Lovelace" || row["PersonEmail"] != "a@example.com" || row["PersonMailingCity"] != "London" || row["Name"] != nil {
			t.Errorf("the person is %v", row)
		}
	})
}

// TestKinds_PolymorphicLookups: by Id and by external id, of each of their objects.
func TestKinds_PolymorphicLookups(t *testing.T) {
	task := simulator.Object{Name: "Task", KeyPrefix: "00T", Fields: []simulator.Field{
		{Name: "Subject"},
		{Name: "WhoId", Type: "reference", ReferenceTo: simulator.References{"Contact", "Lead"}, Relationship: "Who"},
		{Name: "WhatId", Type: "reference", ReferenceTo: simulator.References{"Account", "Opportunity", "Case"}, Relationship: "What"},
		{Name: "OwnerId", Type: "reference", ReferenceTo: simulator.References{"Group", "User"}, Relationship: "Owner"},
	}}
	byBothWays(t, "task", func(t *testing.T, r *rig, kind store.Kind) {
		if err := r.sim.SetSchema([]simulator.Object{task}); err != nil {
			t.Fatal(err)
		}
		contact := r.make("Contact", `{"LastName":"C","Shop_Id__c":"k"}`)
		lead := r.make("Lead", `{"LastName":"L","Company":"C","Shop_Id__c":"k"}`)
		account := r.make("Account", `{"Name":"A","Shop_Id__c":"k"}`)
		group := r.make("Group", `{"Name":"Queue","Type":"Queue"}`)
		user := r.sim.Records("User")[0]
		typed := func(member, object, field, value string) string {
			return fmt.Sprintf(`%q:{"attributes":{"type":%q},%q:%q}`, member, object, field, value)
		}
		type want struct{ field, id, code string }
		expected := map[string]want{}
		expect := func(fields string, w want) {
			key := fmt.Sprint("t", len(expected))
			expected[key] = w
			r.put(create(key, "Task", `"Subject":"`+key+`",`+fields))
		}
		expect(`"WhoId":"`+contact+`"`, want{"WhoId", contact, ""})
		expect(`"WhoId":"`+lead+`"`, want{"WhoId", lead, ""})
		expect(typed("Who", "Contact", "Shop_Id__c", "k"), want{"WhoId", contact, ""})
		expect(typed("Who", "Lead", "Shop_Id__c", "K"), want{"WhoId", lead, ""})
		expect(typed("What", "account", "Shop_Id__c", "k"), want{"WhatId", account, ""})
		expect(`"WhatId":"`+account[:15]+`"`, want{"WhatId", account, ""})
		expect(`"OwnerId":"`+group+`"`, want{"OwnerId", group, ""})
		expect(typed("Owner", "User", "Username", user["Username"].(string)), want{"OwnerId", user["Id"].(string), ""})
		expect(`"WhoId":"`+account+`"`, want{code: "MALFORMED_ID"})
		expect(typed("Who", "Lead", "Shop_Id__c", "nobody"), want{code: "INVALID_FIELD"})
		r.start()
		r.drained()
		for key, w := range expected {
			x := r.get(key)
			switch {
			case x.Kind != kind:
				t.Errorf("%s went by %s", key, x.Kind)
			case w.code != "" && (x.State != store.Failed || x.LastError.Code != w.code):
				t.Errorf("%s is %s, %+v; want it failed as %s", key, x.State, x.LastError, w.code)
			case w.code == "" && x.State != store.Delivered:
				t.Errorf("%s is %s, %+v", key, x.State, x.LastError)
			case w.code == "" && r.row("Task", x.ID)[w.field] != w.id:
				t.Errorf("%s points to %v, want %s", key, r.row("Task", x.ID)[w.field], w.id)
			}
		}
	})
}

// TestKinds_ParentWithoutItsType: of a lookup with several targets the type must be
// said. REST has the org's word for it, a job is not asked.
func TestKinds_ParentWithoutItsType(t *testing.T) {
	byBothWays(t, "lead", func(t *testing.T, r *rig, kind store.Kind) {
		r.put(create("untyped", "Lead", `"LastName":"L","Company":"C","Owner":{"Username":"x"}`), create("good", "Lead", `"LastName":"L","Company":"C"`))
		r.start()
		r.drained()
		code := map[store.Kind]string{store.KindREST: "INVALID_FIELD", store.KindBulk: "INVALID"}[kind]
		if x := r.get("untyped"); x.State != store.Failed || x.LastError.Code != code {
			t.Errorf("%s, %+v; want it failed as %s", x.State, x.LastError, code)
		}
		if x := r.get("good"); x.State != store.Delivered || x.Kind != kind {
			t.Errorf("the other one is %s by %s", x.State, x.Kind)
		}
	})
}

// TestKinds_Attachments: the body comes back byte for byte.
func TestKinds_Attachments(t *testing.T) {
	r := newPatientRig(t, quick())
	err := r.sim.SetSchema([]simulator.Object{
		{Name: "Attachment", KeyPrefix: "00P", Fields: []simulator.Field{
			{Name: "Name", Required: true},
			{Name: "Body", Type: "base64", Required: true},
			{Name: "ContentType", Length: 120},
			{Name: "ParentId", Type: "reference", ReferenceTo: simulator.References{"Account", "Contact"}, Relationship: "Parent"},
			{Name: "Sku__c", ExternalID: true, Unique: true, CaseSensitive: true},
		}},
		{Name: "ContentVersion", KeyPrefix: "068", Fields: []simulator.Field{
			{Name: "Title"},
			{Name: "PathOnClient", Length: 500, Required: true},
			{Name: "VersionData", Type: "base64"},
			{Name: "Sku__c", ExternalID: true, Unique: true, CaseSensitive: true},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	account := r.make("Account", `{"Name":"A"}`)
	body := strings.Repeat("\x00\xff\r\n\"#N/A,", 20_000)
	text := base64.StdEncoding.EncodeToString([]byte(body))
	const n = 30 // a job would be made of so many
	for i := range n {
		r.put(
			fmt.Sprintf(`{"key":"a-%d","object":"Attachment","operation":"upsert","external_id":{"field":"Sku__c","value":"%d"},"fields":{"Name":"n.bin","Body":%q,"ParentId":%q}}`, i, i, text, account),
			fmt.Sprintf(`{"key":"v-%d","object":"ContentVersion","operation":"upsert","external_id":{"field":"Sku__c","value":"%d"},"fields":{"PathOnClient":"n.bin","VersionData":%q}}`, i, i, text),
		)
	}
	r.start()
	r.delivers(2 * n)
	token, instance := r.session()
	for key, path := range map[string]string{"a-7": "Attachment/%s/Body", "v-7": "ContentVersion/%s/VersionData"} {
		x := r.get(key)
		if x.Kind != store.KindREST {
			t.Errorf("%s went by %s", key, x.Kind)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, instance+"/services/data/v66.0/sobjects/"+fmt.Sprintf(path, x.ID), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if got := fetch(t, req); got != body {
			t.Errorf("%s: got %d bytes back, want %d", key, len(got), len(body))
		}
	}
}

// session logs in by hand.
func (r *rig) session() (token, instance string) {
	r.t.Helper()
	form := "grant_type=client_credentials&client_id=" + simulator.DefaultClientID + "&client_secret=" + simulator.DefaultClientSecret
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/services/oauth2/token", strings.NewReader(form))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var grant struct {
		Token    string `json:"access_token"`
		Instance string `json:"instance_url"`
	}
	if err := json.Unmarshal([]byte(fetch(r.t, req)), &grant); err != nil {
		r.t.Fatal(err)
	}
	return grant.Token, grant.Instance
}

func fetch(t testing.TB, req *http.Request) string {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", req.URL.Path, resp.StatusCode, err)
	}
	return string(body)
}

// TestKinds_DuplicateRules: allow_save lets pass what a rule alerts of, of that
// object alone, and never what it blocks.
func TestKinds_DuplicateRules(t *testing.T) {
	for _, allow := range []bool{false, true} {
		t.Run(fmt.Sprint("allow_save ", allow), func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.Objects["contact"] = dispatcher.ObjectConfig{AllowSave: allow}
			r := newPatientRig(t, cfg)
			schema := simulator.DefaultSchema()
			for i := range 3 { // Account, Contact, Lead
				schema[i].DuplicateRules = []simulator.DuplicateRule{
					{Name: "Alert", Fields: []string{"Phone"}, Message: "Use one of these records?"},
					{Name: "Block", Fields: []string{"Description"}, Blocks: true},
				}
			}
			if err := r.sim.SetSchema(schema[:3]); err != nil {
				t.Fatal(err)
			}
			r.make("Contact", `{"LastName":"C","Phone":"1","Description":"same"}`)
			r.make("Lead", `{"LastName":"L","Company":"C","Phone":"1"}`)
			line := func(key, object, fields string) string {
				return fmt.Sprintf(`{"key":%q,"object":%q,"operation":"upsert","external_id":{"field":"Shop_Id__c","value":%q},"fields":{"LastName":"x",%s}}`, key, object, key, fields)
			}
			const n = 30 // so many would make a job, which has no header
			r.put(many(n, func(i int) string { return line(fmt.Sprint("c-", i), "Contact", `"Phone":"1"`) })...)
			r.put(line("block", "Contact", `"Description":"same"`), line("lead", "Lead", `"Company":"C","Phone":"1"`), line("good", "Contact", `"Phone":"2"`))
			r.start()
			r.drained()
			want := map[string]store.State{"block": store.Failed, "lead": store.Failed, "good": store.Delivered, "c-7": store.Failed}
			if allow {
				want["c-7"] = store.Delivered
			}
			for key, state := range want {
				x := r.get(key)
				if x.State != state || state == store.Failed && x.LastError.Code != "DUPLICATES_DETECTED" {
					t.Errorf("%s is %s, %+v; want %s", key, x.State, x.LastError, state)
				}
				if allow && strings.HasPrefix(key, "c-") && x.Kind != store.KindREST {
					t.Errorf("%s went by %s, which has no header", key, x.Kind)
				}
			}
		})
	}
}

// TestKinds_AssignmentRules: auto_assign, by object, decides whether they run.
func TestKinds_AssignmentRules(t *testing.T) {
	no, yes := false, true
	for name, tt := range map[string]struct {
		auto *bool
		runs bool
	}{"left to the org": {nil, true}, "yes": {&yes, true}, "no": {&no, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.Bulk.MinRecords = 1_000
			cfg.Objects["lead"] = dispatcher.ObjectConfig{AutoAssign: tt.auto, CreateREST: true}
			cfg.Objects["case"] = dispatcher.ObjectConfig{CreateREST: true}
			r := newPatientRig(t, cfg)
			group := r.make("Group", `{"Name":"Queue"}`)
			schema := simulator.DefaultSchema()
			lead, kase := schema[2], schema[4]
			lead.AssignTo, kase.AssignTo = group, group
			if err := r.sim.SetSchema([]simulator.Object{lead, kase}); err != nil {
				t.Fatal(err)
			}
			r.put(create("lead", "Lead", `"LastName":"L","Company":"C"`), create("case", "Case", `"Subject":"S"`))
			r.start()
			r.delivers(2)
			if got := r.row("Lead", r.get("lead").ID)["OwnerId"] == group; got != tt.runs {
				t.Errorf("the rule of leads ran: %v", got)
			}
			if r.row("Case", r.get("case").ID)["OwnerId"] != group {
				t.Error("the rule of cases did not run")
			}
		})
	}
}

// TestKinds_RowsOutOfSight: a record that the user may not see is not there to be
// written to, and yet keeps its unique value. Each fails alone.
func TestKinds_RowsOutOfSight(t *testing.T) {
	byBothWays(t, "contact", func(t *testing.T, r *rig, kind store.Kind) {
		people := simulator.DefaultSchema()[1]
		people.Private = true
		if err := r.sim.SetSchema([]simulator.Object{people}); err != nil {
			t.Fatal(err)
		}
		other := r.make("User", `{"Username":"o@example.com","LastName":"O"}`)
		hidden := r.make("Contact", `{"LastName":"H","Shop_Id__c":"hidden","OwnerId":"`+other+`"}`)
		second := r.make("Contact", `{"LastName":"S","OwnerId":"`+other+`"}`)
		own := r.make("Contact", `{"LastName":"O","Shop_Id__c":"own"}`)
		r.sim.SetViewAll(false)
		upsert := func(key, shop string) string {
			return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":%q},"fields":{"LastName":"x"}}`, key, shop)
		}
		update := func(key, id string) string {
			return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"update","id":%q,"fields":{"LastName":"y"}}`, key, id)
		}
		r.put(upsert("upsert hidden", "hidden"), upsert("upsert new", "new"), update("update hidden", hidden), update("update own", own),
			fmt.Sprintf(`{"key":"delete hidden","object":"Contact","operation":"delete","id":%q}`, second))
		r.start()
		r.drained()
		for key, code := range map[string]string{
			"upsert hidden": "DUPLICATE_VALUE", "update hidden": "INVALID_CROSS_REFERENCE_KEY", "delete hidden": "INVALID_CROSS_REFERENCE_KEY",
			"upsert new": "", "update own": "",
		} {
			x := r.get(key)
			if code == "" && x.State != store.Delivered || code != "" && (x.State != store.Failed || x.LastError.Code != code) {
				t.Errorf("%s is %s by %s, %+v; want %q", key, x.State, x.Kind, x.LastError, code)
			}
		}
	})
}

// TestKinds_ACreateThatIsOutOfSightOnceItIsThere: an assignment rule gives the new
// record to somebody else, the answer is lost, and the user can't see it. Its key
// is in the way of a second one all the same.
func TestKinds_ACreateThatIsOutOfSightOnceItIsThere(t *testing.T) {
	cfg := quick()
	cfg.Objects["lead"] = dispatcher.ObjectConfig{KeyField: "Outbox_Key__c"}
	r := newPatientRig(t, cfg)
	leads := simulator.DefaultSchema()[2]
	leads.Private, leads.AssignTo = true, r.make("Group", `{"Name":"Queue"}`)
	if err := r.sim.SetSchema([]simulator.Object{leads}); err != nil {
		t.Fatal(err)
	}
	r.sim.SetViewAll(false)
	r.faults(simulator.Fault{Match: simulator.Match{Kind: "coll.create", Nth: []int{1}}, Do: "drop_after"})
	r.put(create("k", "Lead", `"LastName":"L","Company":"C","Description":"k"`))
	r.start()
	r.delivers(1)
	r.oracle()
}

// TestKinds_CampaignMembers: who is a member already is refused, and nobody else.
func TestKinds_CampaignMembers(t *testing.T) {
	byBothWays(t, "campaignmember", func(t *testing.T, r *rig, kind store.Kind) {
		err := r.sim.SetSchema([]simulator.Object{
			{Name: "Campaign", KeyPrefix: "701", Fields: []simulator.Field{{Name: "Name", Required: true}}},
			{Name: "CampaignMember", KeyPrefix: "00v", DuplicateRules: []simulator.DuplicateRule{
				{Name: "Contact", Fields: []string{"ContactId", "CampaignId"}, Code: "DUPLICATE_VALUE", Message: "Already a campaign member."},
			}, Fields: []simulator.Field{
				{Name: "CampaignId", Type: "reference", ReferenceTo: simulator.References{"Campaign"}, Relationship: "Campaign", Required: true},
				{Name: "ContactId", Type: "reference", ReferenceTo: simulator.References{"Contact"}, Relationship: "Contact"},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		campaign, ids := r.make("Campaign", `{"Name":"C"}`), r.contacts(20)
		r.make("CampaignMember", fmt.Sprintf(`{"CampaignId":%q,"ContactId":%q}`, campaign, ids[3]))
		r.put(many(len(ids), func(i int) string {
			return create(fmt.Sprint("m", i), "CampaignMember", fmt.Sprintf(`"CampaignId":%q,"ContactId":%q`, campaign, ids[i]))
		})...)
		r.start()
		c := r.drained()
		x := r.get("m3")
		if c.Of(store.Delivered) != int64(len(ids)-1) || x.State != store.Failed || x.LastError.Code != "DUPLICATE_VALUE" {
			t.Errorf("%v; the member is %s, %+v; stuck %v", c, x.State, x.LastError, r.stuck())
		}
		if n := len(r.sim.Records("CampaignMember")); n != len(ids) {
			t.Errorf("%d members, want %d", n, len(ids))
		}
	})
}
