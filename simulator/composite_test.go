package simulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const v66 = "/services/data/v66.0"

// batchOf is the body of a batch.
func batchOf(options string, requests ...string) string {
	return `{` + options + `"batchRequests":[` + strings.Join(requests, ",") + `]}`
}

// part is a request of a batch or a composite call.
func part(method, url, rest string) string {
	return fmt.Sprintf(`{"method":%q,"url":%q%s}`, method, url, rest)
}

func newContact(member, fields string) string {
	return part("POST", "v66.0/sobjects/Contact", fmt.Sprintf(`,%q:{%s}`, member, fields))
}

// statuses are those of a batch's or a composite call's parts.
func (r *reply) statuses() (all []int) {
	r.Helper()
	var in struct {
		Results           []struct{ StatusCode int }
		CompositeResponse []struct{ HTTPStatusCode int }
	}
	if err := json.Unmarshal([]byte(r.body), &in); err != nil {
		r.Fatalf("%v: %s", err, r.body)
	}
	for _, one := range in.Results {
		all = append(all, one.StatusCode)
	}
	for _, one := range in.CompositeResponse {
		all = append(all, one.HTTPStatusCode)
	}
	return all
}

func (r *reply) wantStatuses(want ...int) *reply {
	r.Helper()
	if got := r.statuses(); fmt.Sprint(got) != fmt.Sprint(want) {
		r.Fatalf("parts have statuses %v, want %v: %s", got, want, r.body)
	}
	return r
}

func TestBatch(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"Old"}`)
	parts := []string{
		part("PATCH", "v66.0/sobjects/Contact/"+id, `,"richInput":{"LastName":"New"}`),
		part("GET", "/services/data/v66.0/sobjects/Contact/"+id+"?fields=LastName", ""),
		newContact("richInput", `"FirstName":"Nameless"`),
		part("GET", "v66.0/query?q=SELECT+Id+FROM+Contact", ""),
		part("GET", "v66.0/limits", ""),
		part("GET", "v66.0/jobs/ingest", ""),
		part("GET", "v66.0/nothing", ""),
	}
	r := o.do("POST", "/composite/batch", batchOf("", parts...)).want(200, `"hasErrors":true`)
	r.wantStatuses(204, 200, 400, 200, 200, 400, 404)
	r.want(200, `{"statusCode":204,"result":null}`).want(200, `"LastName":"New"`).
		want(200, `"errorCode":"REQUIRED_FIELD_MISSING"`).want(200, `"totalSize":1`)
	e := o.effects(2)[1]
	if e.Via != "rest" || e.Operation != "update" || e.ID != id {
		t.Errorf("effect %+v", e)
	}
	o.do("POST", "/composite/batch", batchOf("", parts[:2]...)).want(200, `"hasErrors":false`)
}

func TestBatch_HaltOnError(t *testing.T) {
	o := startOrg(t, Config{})
	body := func(halt string) string {
		return batchOf(halt, newContact("richInput", `"LastName":"A"`), newContact("richInput", `"Nope":1`), newContact("richInput", `"LastName":"B"`))
	}
	r := o.do("POST", "/composite/batch", body(`"haltOnError":true,`)).want(200, `"errorCode":"BATCH_PROCESSING_HALTED"`)
	r.wantStatuses(201, 400, 412)
	o.effects(1) // what came before stays
	o.do("POST", "/composite/batch", body("")).wantStatuses(201, 400, 201)
	o.effects(3)
}

func TestBatch_EachCounts(t *testing.T) {
	o := startOrg(t, Config{APILimit: 4})
	a := newContact("richInput", `"LastName":"A"`)
	o.do("POST", "/composite/batch", batchOf("", a, a, a)).wantStatuses(201, 201, 201)
	if used := o.sim.Calls().Used; used != 3 {
		t.Errorf("used %d calls, want 3", used)
	}
	r := o.do("POST", "/composite/batch", batchOf("", a, a)).wantStatuses(201, 403)
	r.want(200, "REQUEST_LIMIT_EXCEEDED")
	if got := r.header.Get("Sforce-Limit-Info"); got != "api-usage=4/4" {
		t.Errorf("limit info %q", got)
	}
	o.effects(4)
}

func TestBatch_WholeCallRefused(t *testing.T) {
	o := startOrg(t, Config{})
	a := newContact("richInput", `"LastName":"A"`)
	many := strings.TrimSuffix(strings.Repeat(a+",", 26), ",")
	for name, tt := range map[string]struct{ body, code string }{
		"empty":      {`{"batchRequests":[]}`, "REQUIRED_FIELD_MISSING"},
		"broken":     {`{"batchRequests":[`, "JSON_PARSER_ERROR"},
		"over 25":    {batchOf("", many), "LIMIT_EXCEEDED"},
		"bad method": {batchOf("", a, part("FETCH", "v66.0/limits", "")), "INVALID_INPUT"},
		"no url":     {batchOf("", a, part("GET", "", "")), "INVALID_INPUT"},
	} {
		t.Run(name, func(t *testing.T) {
			o.do("POST", "/composite/batch", tt.body).refused(400, tt.code, "")
		})
	}
	o.effects(0)
}

// compose is the body of a composite call.
func compose(options string, requests ...string) string {
	return `{` + options + `"compositeRequest":[` + strings.Join(requests, ",") + `]}`
}

// post is a create in a composite call.
func post(ref, object, fields string) string {
	return part("POST", v66+"/sobjects/"+object, fmt.Sprintf(`,"referenceId":%q,"body":{%s}`, ref, fields))
}

func get(ref, path string) string {
	return part("GET", v66+path, fmt.Sprintf(`,"referenceId":%q`, ref))
}

func TestComposite_References(t *testing.T) {
	o := startOrg(t, Config{})
	r := o.do("POST", "/composite", compose("",
		post("a", "Account", `"Name":"Lace & Co"`),
		post("c", "Contact", `"LastName":"Lovelace","AccountId":"@{a.id}","Description":"of @{a.id}."`),
		get("row", "/sobjects/Account/@{a.id}"),
		get("list", "/query?q=SELECT+Id,AccountId+FROM+Contact+WHERE+Account.Name='@{row.Name}'"),
		part("PATCH", v66+"/sobjects/Contact/@{list.records[0].Id}", `,"referenceId":"p","body":{"FirstName":"@{row.Name}","Email":"@{row.Phone}","DoNotCall":"@{a.success}"}`),
		part("PATCH", v66+"/composite/sobjects", `,"referenceId":"coll","body":{"records":[{"attributes":{"type":"Contact"},"id":"@{c.id}","LastName":"Byron"}]}`),
	))
	r.wantStatuses(201, 201, 200, 200, 204, 200)
	if used := o.sim.Calls().Used; used != 1 {
		t.Errorf("used %d calls, want 1", used)
	}
	all := o.effects(4)
	account, contact := all[0].ID, all[1]
	if contact.Fields["AccountId"] != account || contact.Fields["Description"] != "of "+account+"." {
		t.Errorf("references in a body: %v", contact.Fields)
	}
	if f := all[2].Fields; f["FirstName"] != "Lace & Co" || f["Email"] != nil || f["DoNotCall"] != true {
		t.Errorf("references of other types: %v", f)
	}
	for i, via := range []string{"rest", "rest", "rest", "collections"} {
		if all[i].Via != via {
			t.Errorf("effect %d is via %s, want %s", i, all[i].Via, via)
		}
	}
	r.want(200, `"httpHeaders":{"Location":"/services/data/v66.0/sobjects/Account/`+account+`"},"httpStatusCode":201,"referenceId":"a"}`)
}

func TestComposite_FailureHaltsWhatRefersToIt(t *testing.T) {
	o := startOrg(t, Config{})
	r := o.do("POST", "/composite", compose("",
		post("a", "Account", `"Nope":1`),
		post("c", "Contact", `"LastName":"Lovelace","AccountId":"@{a.id}"`),
		post("d", "Contact", `"LastName":"Byron"`),
		get("e", "/sobjects/Contact/@{d.Id}"),
		get("f", "/sobjects/Contact/@{nobody.id}"),
	))
	r.wantStatuses(400, 400, 201, 400, 400)
	r.want(200, `[{"message":"Invalid reference specified. No value for a.id found in a","errorCode":"PROCESSING_HALTED"}]`)
	r.want(200, `No value for d.Id found in d`) // the answer to a create has id
	o.effects(1)
}

func TestComposite_AllOrNone(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"Old","Shop_Id__c":"s-1"}`)
	gone := o.create("Contact", `{"LastName":"Gone"}`)
	shown := func() string {
		return o.query("SELECT Id,LastName,Shop_Id__c,IsDeleted,LastModifiedDate FROM Contact").want(200, id).body
	}
	before := shown()
	o.sim.Advance(time.Minute)
	r := o.do("POST", "/composite", compose(`"allOrNone":true,`,
		post("a", "Account", `"Name":"A"`),
		part("PATCH", v66+"/sobjects/Contact/"+id, `,"referenceId":"u","body":{"LastName":"New","Shop_Id__c":"s-2"}`),
		part("PATCH", v66+"/sobjects/Contact/"+id, `,"referenceId":"again","body":{"LastName":"Newer","Shop_Id__c":"s-3"}`),
		part("DELETE", v66+"/sobjects/Contact/"+gone, `,"referenceId":"x"`),
		post("bad", "Contact", `"FirstName":"Nameless"`),
		post("late", "Contact", `"LastName":"Late"`),
	))
	r.wantStatuses(400, 400, 400, 400, 400, 400)
	r.want(200, `"errorCode":"REQUIRED_FIELD_MISSING"`)
	if n := strings.Count(r.body, "The transaction was rolled back since another operation in the same transaction failed."); n != 5 {
		t.Errorf("%d of 5 parts tell of the roll-back: %s", n, r.body)
	}
	o.effects(2)
	if after := shown(); after != before {
		t.Errorf("rows after  %s\nrows before %s", after, before)
	}
	if len(o.sim.Records("Account")) != 0 {
		t.Error("the account stayed")
	}
	o.create("Contact", `{"LastName":"Other","Shop_Id__c":"s-2"}`) // its index knows nothing
	o.do("POST", "/composite", compose(`"allOrNone":true,`, post("a", "Account", `"Name":"A"`))).wantStatuses(201)
	o.effects(4)
}

func TestComposite_AllOrNoneIsStrongerThanCollections(t *testing.T) {
	o := startOrg(t, Config{})
	list := `,"referenceId":"l","body":` + records(contact(`"LastName":"A"`), contact(`"FirstName":"B"`)) + `}`
	list = `{"method":"POST","url":"` + v66 + `/composite/sobjects"` + list
	r := o.do("POST", "/composite", compose(`"allOrNone":true,`, post("a", "Account", `"Name":"A"`), list))
	r.wantStatuses(400, 200).want(200, "ALL_OR_NONE_OPERATION_ROLLED_BACK")
	o.effects(0)
	o.do("POST", "/composite", compose("", post("a", "Account", `"Name":"A"`), list)).wantStatuses(201, 200)
	o.effects(2)
}

func TestComposite_SetupObjectsApart(t *testing.T) {
	o := startOrg(t, Config{})
	group := post("g", "Group", `"Name":"G"`)
	parts := []string{post("a", "Account", `"Name":"A"`), group}
	o.do("POST", "/composite", compose(`"allOrNone":true,`, parts...)).wantStatuses(400, 400).want(200, "MIXED_DML_OPERATION")
	o.effects(0)
	o.do("POST", "/composite", compose("", parts...)).wantStatuses(201, 201) // two transactions
	o.do("POST", "/composite", compose(`"allOrNone":true,`, group)).wantStatuses(201)
}

func TestComposite_Headers(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Account", `{"Name":"A"}`)
	r := o.do("POST", "/composite", compose("",
		part("GET", v66+"/sobjects/Account/"+id, `,"referenceId":"r","httpHeaders":{"If-Modified-Since":"Tue, 31 May 2033 18:00:00 GMT"}`),
		get("s", "/sobjects/Account/"+id),
	)).wantStatuses(304, 200)
	r.want(200, `"body":null`).want(200, `"ETag":`)
}

func TestComposite_WholeCallRefused(t *testing.T) {
	o := startOrg(t, Config{})
	a := post("a", "Account", `"Name":"A"`)
	var queries []string
	for i := range 6 {
		queries = append(queries, get(fmt.Sprintf("q%d", i), "/query?q=SELECT+Id+FROM+Account"))
	}
	for name, tt := range map[string]struct{ body, code string }{
		"empty":             {compose(""), "REQUIRED_FIELD_MISSING"},
		"broken":            {`{"compositeRequest":`, "JSON_PARSER_ERROR"},
		"no referenceId":    {compose("", a, post("", "Account", `"Name":"B"`)), "JSON_PARSER_ERROR"},
		"twice":             {compose("", a, a), "JSON_PARSER_ERROR"},
		"characters":        {compose("", a, post("b[1]", "Account", `"Name":"B"`)), "JSON_PARSER_ERROR"},
		"relative url":      {compose("", a, part("GET", "v66.0/sobjects", `,"referenceId":"l"`)), "JSON_PARSER_ERROR"},
		"method":            {compose("", a, part("get", v66+"/sobjects", `,"referenceId":"l"`)), "JSON_PARSER_ERROR"},
		"its own media":     {compose("", a, part("GET", v66+"/sobjects", `,"referenceId":"l","httpHeaders":{"accept":"application/xml"}`)), "JSON_PARSER_ERROR"},
		"six queries":       {compose("", append(queries, a)...), "LIMIT_EXCEEDED"},
		"an unknown member": {compose(`"nope":1,`, a), "JSON_PARSER_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			o.do("POST", "/composite", tt.body).refused(400, tt.code, "")
		})
	}
	o.do("POST", "/composite", compose("", queries[:5]...)).wantStatuses(200, 200, 200, 200, 200)
	var many []string
	for i := range 26 {
		many = append(many, post(fmt.Sprintf("r%d", i), "Account", `"Name":"A"`))
	}
	o.do("POST", "/composite", compose("", many...)).want(200, `"errorCode":"LIMIT_EXCEEDED"`).
		want(200, `"httpStatusCode":400,"referenceId":null`)
	o.effects(0)
	o.do("POST", "/composite", compose("", many[:25]...)).want(200, `"r24"`)
	o.effects(25)
}

func TestComposite_ByVersion(t *testing.T) {
	o := startOrg(t, Config{})
	o.do("POST", "/services/data/v37.0/composite", "{}").want(404, "NOT_FOUND")
	o.do("GET", "/composite", "").want(200, `"batch":"/services/data/v66.0/composite/batch"`)
	id := o.create("Contact", `{"LastName":"L"}`)
	body := compose("", get("row", "/sobjects/Contact/"+id), post("b[1]", "Contact", `"LastName":"M","FirstName":"@{row.FirstName}"`),
		get("c", "/sobjects/Contact/@{b[1].id}"))
	o.do("POST", "/services/data/v51.0/composite", body).wantStatuses(200, 400, 400).want(200, "PROCESSING_HALTED")
}

// Subrequests meet faults as requests do; what can only happen to a connection
// happens to the call.
func TestComposite_Faults(t *testing.T) {
	o := startOrg(t, Config{})
	body := compose("", post("a", "Account", `"Name":"A"`), post("b", "Contact", `"LastName":"B"`))
	whole := compose(`"allOrNone":true,`, post("a", "Account", `"Name":"A"`), post("b", "Contact", `"LastName":"B"`))
	o.fault(Fault{Match: Match{Object: "Contact"}, Do: "lock"})
	o.do("POST", "/composite", body).wantStatuses(201, 400).want(200, "UNABLE_TO_LOCK_ROW")
	o.effects(1)
	o.do("POST", "/composite", whole).wantStatuses(400, 400)
	o.effects(1)
	o.fault(Fault{Match: Match{Kind: "row.create", Object: "Contact"}, Do: "error_after"})
	o.do("POST", "/composite", whole).wantStatuses(400, 500).want(200, "UNKNOWN_EXCEPTION")
	o.effects(1)
	o.fault(Fault{Match: Match{Kind: "composite.run"}, Do: "drop_after"})
	o.lost("POST", "/composite", whole)
	o.effects(3)
	o.fault(Fault{Match: Match{Kind: "row.create", Nth: []int{2}}, Do: "status", Message: "plain"})
	o.do("POST", "/composite", body).wantStatuses(201, 503).want(200, `"body":"plain"`)
}

// Nobody sees a transaction before its end.
func TestComposite_NobodySeesHalf(t *testing.T) {
	o := startOrg(t, Config{})
	stop := make(chan struct{})
	seen := make(chan int)
	go func() {
		most := 0
		for {
			select {
			case <-stop:
				seen <- most
				return
			default:
				most = max(most, len(o.sim.Effects()), len(o.sim.Records("Account")))
			}
		}
	}()
	parts := []string{post("a", "Account", `"Name":"A"`), post("b", "Account", `"Name":"B"`), post("c", "Contact", `"FirstName":"C"`)}
	for range 50 {
		o.do("POST", "/composite", compose(`"allOrNone":true,`, parts...)).wantStatuses(400, 400, 400)
	}
	close(stop)
	if most := <-seen; most != 0 {
		t.Errorf("%d rows of a transaction were seen that was rolled back", most)
	}
}
