package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// heldOrg is an org whose claims keep their accounts from being deleted.
func heldOrg(t *testing.T) *testOrg {
	return startOrg(t, Config{Schema: []Object{
		{Name: "Claim__c", Fields: []Field{{Name: "Account__c", Type: "reference", ReferenceTo: References{"Account"}, Relationship: "Account__r", RestrictDelete: true}}},
		{Name: "Site__c", Fields: []Field{{Name: "Account__c", Type: "reference", ReferenceTo: References{"Account"}, Relationship: "Account__r", MasterDetail: true}}},
		{Name: "Visit__c", Fields: []Field{{Name: "Site__c", Type: "reference", ReferenceTo: References{"Site__c"}, Relationship: "Site__r", RestrictDelete: true}}},
	}})
}

func TestDelete_ThatChildrenForbid(t *testing.T) {
	o := heldOrg(t)
	account := func() string { return o.create("Account", `{"Name":"A"}`) }
	free, held, above := account(), account(), account()
	claim := o.create("Claim__c", `{"Account__c":"`+held+`"}`)
	site := o.create("Site__c", `{"Account__c":"`+above+`"}`)
	o.create("Visit__c", `{"Site__c":"`+site+`"}`)
	o.do("DELETE", "/sobjects/Account/"+held, "").refused(400, "DELETE_FAILED", "associated with the following claims.: "+claim)
	o.do("DELETE", "/sobjects/Account/"+above, "").refused(400, "DELETE_FAILED", "associated with the following visits.") // of a detail
	r := o.do("DELETE", "/composite/sobjects?ids="+free+","+held, "").want(200, "")
	if items := r.items(); items[0]["success"] != true || items[1]["success"] != false || !strings.Contains(r.body, `"statusCode":"DELETE_FAILED"`) {
		t.Errorf("collections: %s", r.body)
	}
	job := o.run(`{"object":"Account","operation":"delete"}`, "Id\n"+held+"\n"+account()+"\n")
	if got := o.results(job["id"], "failedResults"); job["numberRecordsFailed"] != 1.0 || !strings.Contains(got, "DELETE_FAILED:Your attempt to delete") {
		t.Errorf("job %v\n%s", job, got)
	}
	o.do("DELETE", "/sobjects/Claim__c/"+claim, "").want(204, "")
	o.do("DELETE", "/sobjects/Account/"+held, "").want(204, "")
	o.do("GET", "/sobjects/Claim__c/describe", "").want(200, `"restrictedDelete":true`)
}

// TestRows_OutOfSight: what the user may not see is not there, and yet in the way.
func TestRows_OutOfSight(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Secret__c", Private: true, Fields: []Field{
		{Name: "Key__c", ExternalID: true, Unique: true}, {Name: "Loose__c", ExternalID: true}, {Name: "Text__c"},
	}}, {Name: "Child__c", Fields: []Field{{Name: "Secret__c", Type: "reference", ReferenceTo: References{"Secret__c"}, Relationship: "Secret__r"}}}}})
	other := o.create("User", `{"Username":"o@example.com","LastName":"Other"}`)
	hidden := o.create("Secret__c", `{"Key__c":"h","OwnerId":"`+other+`"}`)
	own := o.create("Secret__c", `{"Key__c":"o","Loose__c":"l"}`)
	o.do("GET", "/sobjects/Secret__c/"+hidden, "").want(200, "")
	o.do("POST", "/_sim/user", `{"view_all":false}`).want(200, "")

	o.do("GET", "/sobjects/Secret__c/"+own, "").want(200, "")
	o.do("GET", "/sobjects/Secret__c/"+hidden, "").refused(404, "NOT_FOUND", "")
	o.do("GET", "/sobjects/Secret__c/Key__c/h", "").refused(404, "NOT_FOUND", "")
	o.do("PATCH", "/sobjects/Secret__c/"+hidden, `{"Text__c":"x"}`).refused(404, "NOT_FOUND", "")
	o.do("DELETE", "/sobjects/Secret__c/"+hidden, "").refused(404, "INVALID_CROSS_REFERENCE_KEY", "")
	o.do("PATCH", "/sobjects/Secret__c/Key__c/h", `{"Text__c":"x"}`).refused(400, "DUPLICATE_VALUE", hidden[:15])
	o.do("POST", "/sobjects/Child__c", `{"Secret__c":"`+hidden+`"}`).refused(400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "")
	o.do("POST", "/sobjects/Child__c", `{"Secret__r":{"Key__c":"h"}}`).refused(400, "INVALID_FIELD", "Foreign key external ID: h not found")
	if ids := o.ids("SELECT Id FROM Secret__c"); len(ids) != 1 || ids[0] != own {
		t.Errorf("query finds %v, want the user's own", ids)
	}
	o.do("GET", "/composite/sobjects/Secret__c?ids="+hidden+"&fields=Id", "").want(200, "[null]")
	job := o.run(`{"object":"Secret__c","operation":"update"}`, "Id,Text__c\n"+hidden+",x\n"+own+",x\n")
	if got := o.results(job["id"], "failedResults"); job["numberRecordsFailed"] != 1.0 || !strings.Contains(got, "INVALID_CROSS_REFERENCE_KEY") {
		t.Errorf("job %v\n%s", job, got)
	}

	// An external id that is not unique could name rows that the user does not see.
	o.do("PATCH", "/sobjects/Secret__c/Loose__c/l", `{"Text__c":"y"}`).refused(400, "INSUFFICIENT_ACCESS", "View All Data")
	o.sim.SetViewAll(true)
	o.do("PATCH", "/sobjects/Secret__c/Loose__c/l", `{"Text__c":"y"}`).want(200, `"created":false`)
}

func TestCampaignMembers(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{
		{Name: "Campaign", KeyPrefix: "701", Fields: []Field{{Name: "Name", Required: true}}},
		{Name: "CampaignMember", KeyPrefix: "00v", DuplicateRules: []DuplicateRule{
			{Name: "Contact", Fields: []string{"ContactId", "CampaignId"}, Code: "DUPLICATE_VALUE", Message: "Already a campaign member."},
		}, Fields: []Field{
			{Name: "CampaignId", Type: "reference", ReferenceTo: References{"Campaign"}, Relationship: "Campaign", Required: true},
			{Name: "ContactId", Type: "reference", ReferenceTo: References{"Contact"}, Relationship: "Contact"},
		}},
	}})
	campaign, contact := o.create("Campaign", `{"Name":"C"}`), o.create("Contact", `{"LastName":"L"}`)
	member := `"attributes":{"type":"CampaignMember"},"CampaignId":"` + campaign + `","ContactId":"` + contact + `"`
	r := o.do("POST", "/composite/sobjects", records(`{`+member+`}`, `{`+member+`}`)).want(200, "")
	if items := r.items(); items[0]["success"] != true || items[1]["success"] != false {
		t.Errorf("two in one call: %s", r.body)
	}
	o.do("POST", "/sobjects/CampaignMember", `{`+member+`}`, "Sforce-Duplicate-Rule-Header", "allowSave=true").
		refused(400, "DUPLICATE_VALUE", "Already a campaign member.")
	o.create("CampaignMember", `{"CampaignId":"`+o.create("Campaign", `{"Name":"D"}`)+`","ContactId":"`+contact+`"}`)
}

func TestErrors_InXML(t *testing.T) {
	o := startOrg(t, Config{})
	r := o.do("POST", "/sobjects/Contact", `{"Title":"<x>"}`, "Accept", "application/xml").want(400,
		`<Errors><Error><fields>LastName</fields><errorCode>REQUIRED_FIELD_MISSING</errorCode><message>Required fields are missing: [LastName]</message></Error></Errors>`)
	if got := r.header.Get("Content-Type"); got != "application/xml;charset=UTF-8" {
		t.Errorf("content type %s", got)
	}
	o.do("GET", "/sobjects/Nope/describe", "", "Accept", "application/xml").want(404, "<errorCode>NOT_FOUND</errorCode>")
	o.do("GET", "/sobjects/Nope/describe", "", "Accept", "application/json, application/xml;q=0.1").refused(404, "NOT_FOUND", "")
}

func TestRow_Conditions(t *testing.T) {
	o := startOrg(t, Config{})
	account, contact := "/sobjects/Account/"+o.create("Account", `{"Name":"A"}`), "/sobjects/Contact/"+o.create("Contact", `{"LastName":"A"}`)
	past, future := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	tag := o.do("GET", account, "").header.Get("ETag")
	if other := o.do("GET", contact, "").header.Get("ETag"); tag == "" || other != "" {
		t.Errorf("the account's tag is %q, the contact's %q", tag, other)
	}
	for i, tt := range []struct {
		method, path, header, value string
		status                      int
	}{
		{"GET", contact, "If-Modified-Since", past, 200},
		{"GET", contact, "If-Modified-Since", future, 304},
		{"GET", contact, "If-Unmodified-Since", past, 412},
		{"GET", account, "If-None-Match", tag, 304},
		{"GET", account, "If-None-Match", `"other"`, 200},
		{"GET", contact, "If-None-Match", tag, 200}, // of accounts alone
		{"PATCH", contact, "If-Unmodified-Since", past, 412},
		{"PATCH", contact, "If-Unmodified-Since", future, 204},
		{"PATCH", contact, "If-Unmodified-Since", "then", 400},
		{"PATCH", account, "If-Match", `"other"`, 412},
		{"PATCH", account, "If-Match", tag, 204},
		{"PATCH", account, "If-Match", tag, 412}, // as it was changed meanwhile
	} {
		body := ""
		if tt.method == "PATCH" {
			body = fmt.Sprintf(`{"Description":"%d"}`, i)
		}
		if r := o.do(tt.method, tt.path, body, tt.header, tt.value); r.status != tt.status {
			t.Errorf("%s %s, %s: %s: got %d, want %d", tt.method, tt.path, tt.header, tt.value, r.status, tt.status)
		}
	}
}

// TestLongCalls: 25 calls that have lasted for 20 s are the most at a time.
func TestLongCalls(t *testing.T) {
	o := startOrg(t, Config{})
	o.fault(Fault{Match: Match{Kind: "row.create", Times: maxLongCalls}, Do: "delay_before", Delay: time.Hour})
	var held sync.WaitGroup
	for range maxLongCalls {
		held.Go(func() {
			if r, err := o.try("POST", "/sobjects/Contact", `{"LastName":"A"}`); err != nil || r.status != 201 {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	await(func() bool {
		o.sim.calls.mu.Lock()
		defer o.sim.calls.mu.Unlock()
		return len(o.sim.calls.under) == maxLongCalls
	})
	o.do("GET", "/limits", "").want(200, "") // short ones have no bound
	o.sim.Advance(longAfter)
	o.do("GET", "/limits", "").refused(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
	o.sim.Advance(time.Hour)
	held.Wait()
	o.do("GET", "/limits", "").want(200, "")
}
