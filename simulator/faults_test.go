package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const newAccount = `{"Name":"A"}`

func TestFaults_NotProcessed(t *testing.T) {
	for _, tt := range []struct {
		fault  Fault
		status int // 0: no answer
		body   string
	}{
		{Fault{Do: "drop_before"}, 0, ""},
		{Fault{Do: "status"}, 503, ""},
		{Fault{Do: "status", Status: 500, Code: "UNKNOWN_EXCEPTION", Message: "boom"}, 500, `[{"message":"boom","errorCode":"UNKNOWN_EXCEPTION"}]`},
		{Fault{Do: "status", Status: 400, Message: "Bad Request"}, 400, "Bad Request"},
		{Fault{Do: "html"}, 503, "<html>"},
		{Fault{Do: "html", Status: 200}, 200, "<html>"},
		{Fault{Do: "limit"}, 403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`},
		{Fault{Do: "limit", Code: "ConcurrentRequests"}, 403, "ConcurrentRequests (Concurrent API Requests) Limit exceeded."},
		{Fault{Do: "limit", Code: "ConcurrentPerOrgLongTxn", Status: 503}, 503, "ConcurrentPerOrgLongTxn Limit exceeded."},
		{Fault{Do: "expire_token"}, 401, "INVALID_SESSION_ID"},
	} {
		t.Run(fmt.Sprintf("%s %d %s", tt.fault.Do, tt.status, tt.fault.Code), func(t *testing.T) {
			o := startOrg(t, Config{})
			o.fault(tt.fault)
			if tt.status == 0 {
				o.lost("POST", "/sobjects/Account", newAccount)
			} else {
				r := o.do("POST", "/sobjects/Account", newAccount).want(tt.status, tt.body)
				if tt.body == "" && r.body != "" {
					t.Errorf("body %q, want none", r.body)
				}
				if tt.fault.Do == "limit" && tt.fault.Code == "" && r.header.Get("Sforce-Limit-Info") != "api-usage=1000000/1000000" {
					t.Errorf("Sforce-Limit-Info %q", r.header.Get("Sforce-Limit-Info"))
				}
			}
			o.effects(0)
		})
	}
}

func TestFaults_Processed(t *testing.T) {
	for _, tt := range []struct {
		fault  Fault
		status int
		body   string
	}{
		{Fault{Do: "drop_after"}, 0, ""},
		{Fault{Do: "cut"}, 0, ""},
		{Fault{Do: "cut", Part: 1}, 201, `"success":true,"errors":[]}`},
		{Fault{Do: "short"}, 201, `{"id":"001`},
		{Fault{Do: "error_after"}, 500, "UNKNOWN_EXCEPTION"},
		{Fault{Do: "error_after", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "later"}, 503, "SERVER_UNAVAILABLE"},
		{Fault{Do: "html_after"}, 503, "<html>"},
		{Fault{Do: "delay_after", Delay: time.Millisecond}, 201, `"success":true`},
		{Fault{Do: "delay_before", Delay: time.Millisecond}, 201, `"success":true`},
	} {
		t.Run(fmt.Sprintf("%s %d %v", tt.fault.Do, tt.status, tt.fault.Part), func(t *testing.T) {
			o := startOrg(t, Config{})
			o.fault(tt.fault)
			if tt.status == 0 {
				o.lost("POST", "/sobjects/Account", newAccount)
			} else {
				o.do("POST", "/sobjects/Account", newAccount).want(tt.status, tt.body)
			}
			o.effects(1)
		})
	}
}

// TestFaults_Zombie has a request processed after its client gave up, and
// after a later request of the same client.
func TestFaults_Zombie(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Account", newAccount)
	o.fault(Fault{Match: Match{Kind: "row.update"}, Do: "delay_before", Delay: time.Hour})
	ctx, leave := context.WithCancel(t.Context())
	var client sync.WaitGroup
	client.Go(func() {
		req, err := http.NewRequestWithContext(ctx, "PATCH", o.url+"/services/data/v66.0/sobjects/Account/"+id, strings.NewReader(`{"Name":"first"}`))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+o.token)
		req.Header.Set("Content-Type", "application/json")
		if r, err := o.read(o.http.Do(req)); err == nil {
			t.Errorf("the client had its answer %+v", r)
		}
	})
	o.awaitFault()
	leave()
	client.Wait()
	o.do("PATCH", "/composite/sobjects", records(`{"attributes":{"type":"Account"},"Id":"`+id+`","Name":"second"}`)).want(200, `"success":true`)
	o.sim.Advance(time.Hour)
	await(func() bool { return len(o.sim.Effects()) == 3 })
	if got := o.effects(3)[2].Fields["Name"]; got != "first" {
		t.Errorf("the last write is of %v, want the first request's", got)
	}
}

func TestFaults_Match(t *testing.T) {
	for _, tt := range []struct {
		name  string
		match Match
		hits  string // of four calls: row.create Account, row.create Contact, query Account, row.create Account
	}{
		{"everything", Match{}, "1111"},
		{"kind", Match{Kind: "row.create"}, "1101"},
		{"group", Match{Kind: "row.*"}, "1101"},
		{"method", Match{Method: "GET"}, "0010"},
		{"path", Match{Path: "/Contact$"}, "0100"},
		{"object", Match{Object: "account"}, "1011"},
		{"nth", Match{Kind: "row.create", Nth: []int{2, 3}}, "0101"},
		{"times", Match{Times: 2}, "1100"},
		{"another kind", Match{Kind: "job.*"}, "0000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := startOrg(t, Config{})
			o.fault(Fault{Match: tt.match, Do: "status", Status: 418})
			got := ""
			for _, call := range [][3]string{
				{"POST", "/sobjects/Account", newAccount},
				{"POST", "/sobjects/Contact", `{"LastName":"L"}`},
				{"GET", "/query?q=SELECT+Id+FROM+Account", ""},
				{"POST", "/sobjects/Account", newAccount},
			} {
				if o.do(call[0], call[1], call[2]).status == 418 {
					got += "1"
				} else {
					got += "0"
				}
			}
			if got != tt.hits {
				t.Errorf("hits %s, want %s", got, tt.hits)
			}
		})
	}
}

func TestFaults_ObjectsOfEveryKind(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Account", newAccount)
	job := o.job(`{"object":"Account","operation":"insert"}`)
	for _, call := range [][3]string{
		{"POST", "/composite/sobjects", `{"records":[{"attributes":{"type":"Account"},"Name":"x"}]}`},
		{"PATCH", "/composite/sobjects", `{"records":[{"attributes":{"type":"Account"},"Id":"` + id + `"}]}`},
		{"PATCH", "/composite/sobjects/Account/Shop_Id__c", `{"records":[]}`},
		{"DELETE", "/composite/sobjects?ids=" + id, ""},
		{"GET", "/composite/sobjects/Account?ids=" + id + "&fields=Name", ""},
		{"GET", "/sobjects/Account/describe", ""},
		{"GET", "/sobjects/Account/" + id, ""},
		{"POST", "/jobs/ingest", `{"object":"Account","operation":"insert"}`},
		{"GET", "/jobs/ingest/" + job, ""},
		{"PATCH", "/jobs/ingest/" + job, `{"state":"Aborted"}`},
	} {
		o.fault(Fault{Match: Match{Object: "Account"}, Do: "status", Status: 418})
		o.do(call[0], call[1], call[2]).want(418, "")
		o.fault(Fault{Match: Match{Object: "Contact"}, Do: "status", Status: 418})
		if r := o.do(call[0], call[1], call[2]); r.status == 418 {
			t.Errorf("%v was taken for Contact", call)
		}
	}
}

func TestFaults_SeedRepeats(t *testing.T) {
	run := func(seed uint64) string {
		o := startOrg(t, Config{Seed: seed})
		o.fault(Fault{Match: Match{Kind: "limits", Probability: 0.5}, Do: "status"})
		got := ""
		for range 64 {
			got += fmt.Sprint(o.do("GET", "/limits", "").status/100, " ")
		}
		return got
	}
	first := run(1)
	if first != run(1) {
		t.Error("the same seed gave other faults")
	}
	if first == run(2) || !strings.Contains(first, "5") || !strings.Contains(first, "2") {
		t.Errorf("not by chance: %s", first)
	}
}

func TestFaults_OfJobs(t *testing.T) {
	o := startOrg(t, Config{})
	o.fault(Fault{Match: Match{Kind: "job.*", Object: "Contact"}, Do: "fail_job", Part: 0.5, Message: "TooManyLockFailure : 200"})
	j := o.run(insertContacts, contactsCSV(10, 0))
	if j["state"] != stateFailed || j["numberRecordsProcessed"] != 5.0 || j["errorMessage"] != "TooManyLockFailure : 200" {
		t.Errorf("%v", j)
	}
	if ok, rest := rowsOf(t, o.results(j["id"], "successfulResults")), rowsOf(t, o.results(j["id"], "unprocessedrecords")); len(ok) != 5 || len(rest) != 5 {
		t.Errorf("%d done, %d unprocessed", len(ok), len(rest))
	}
	o.effects(5)
	o.fault(Fault{Do: "slow_job", Delay: time.Hour})
	id := o.job(insertContacts)
	o.upload(id, contactsCSV(1, 50)).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
	if j := o.do("GET", "/jobs/ingest/"+id, "").object(); j["state"] != stateUploaded {
		t.Errorf("%v", j)
	}
	o.sim.Advance(time.Hour)
	if j := o.settle(id); j["state"] != stateComplete {
		t.Errorf("%v", j)
	}
}

func TestFaults_OfRows(t *testing.T) {
	o := startOrg(t, Config{})
	o.fault(
		Fault{Match: Match{Nth: []int{2}}, Do: "lock"},
		Fault{Match: Match{Nth: []int{3}}, Do: "row_error", Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Message: "Trigger: boom"},
		Fault{Match: Match{Nth: []int{4}}, Do: "lose_row"},
	)
	j := o.run(insertContacts, contactsCSV(5, 0))
	if j["numberRecordsProcessed"] != 5.0 || j["numberRecordsFailed"] != 2.0 {
		t.Errorf("%v", j)
	}
	bad := o.results(j["id"], "failedResults")
	for _, want := range []string{
		`"UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--","s-1"`,
		`"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:Trigger: boom:--","s-2"`,
	} {
		if !strings.Contains(bad, want) {
			t.Errorf("no %s in %s", want, bad)
		}
	}
	if ok := o.results(j["id"], "successfulResults"); strings.Contains(ok, `"s-3"`) || len(rowsOf(t, ok)) != 2 {
		t.Errorf("the lost row is told of: %s", ok)
	}
	o.effects(3)
}

func TestFaults_OfRows_InCollections(t *testing.T) {
	o := startOrg(t, Config{})
	o.fault(Fault{Match: Match{Kind: "coll.create", Nth: []int{2}}, Do: "row_error", Code: "DUPLICATES_DETECTED", Message: "Use one of these records?"})
	body := records(contact(`"LastName":"A"`), contact(`"LastName":"B"`))
	r := o.do("POST", "/composite/sobjects", body)
	item(t, r, 0, "", "")
	item(t, r, 1, "DUPLICATES_DETECTED", "Use one of these records?")
	o.fault(Fault{Do: "row_error", Code: "DUPLICATES_DETECTED"})
	r = o.do("POST", "/composite/sobjects", body, "Sforce-Duplicate-Rule-Header", "allowSave=true; runAsCurrentUser=true")
	item(t, r, 0, "", "")
	o.do("POST", "/sobjects/Contact", `{"LastName":"A"}`).refused(400, "DUPLICATES_DETECTED", "")
}

func TestFaults_ShortResults_EndAtALine(t *testing.T) {
	o := startOrg(t, Config{})
	j := o.run(insertContacts, contactsCSV(10, 0))
	o.fault(Fault{Match: Match{Kind: "job.ok", Nth: []int{1}}, Do: "short"})
	short := o.results(j["id"], "successfulResults")
	if n := len(rowsOf(t, short)); n == 0 || n == 10 || !strings.HasSuffix(short, "\n") {
		t.Errorf("%d rows", n)
	}
	if n := len(rowsOf(t, o.results(j["id"], "successfulResults"))); n != 10 {
		t.Errorf("%d rows the second time", n)
	}
}

func TestFaults_LostAnswersOfAJob(t *testing.T) {
	for _, kind := range []string{"job.create", "job.upload", "job.close"} {
		t.Run(kind, func(t *testing.T) {
			o := startOrg(t, Config{})
			o.fault(Fault{Match: Match{Kind: kind}, Do: "drop_after"})
			if kind == "job.create" {
				o.lost("POST", "/jobs/ingest", insertContacts)
				if all := o.do("GET", "/jobs/ingest", "").object()["records"].([]any); len(all) != 1 {
					t.Errorf("%v, want the orphan", all)
				}
				return
			}
			id := o.job(insertContacts)
			if kind == "job.upload" {
				if _, err := o.try("PUT", "/jobs/ingest/"+id+"/batches", contactsCSV(1, 0), "Content-Type", "text/csv"); err == nil {
					t.Fatal("answered")
				}
				o.fault()
				o.do("PATCH", "/jobs/ingest/"+id, `{"state":"Aborted"}`).want(200, "")
				o.effects(0)
				return
			}
			o.upload(id, contactsCSV(1, 0)).want(201, "")
			o.lost("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`)
			o.fault()
			o.settle(id)
			o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).refused(400, "INVALIDJOBSTATE", "")
			o.effects(1)
		})
	}
}

func TestSetFaults_RefusesNonsense(t *testing.T) {
	o := startOrg(t, Config{})
	for _, tt := range []struct {
		fault Fault
		want  string
	}{
		{Fault{Do: "explode"}, `fault 1: unknown do "explode"`},
		{Fault{}, "unknown do"},
		{Fault{Do: "html", Match: Match{Kind: "job.explode"}}, "unknown kind"},
		{Fault{Do: "html", Match: Match{Kind: "explode.*"}}, "unknown kind"},
		{Fault{Do: "html", Match: Match{Path: "("}}, "error parsing regexp"},
		{Fault{Do: "html", Match: Match{Probability: 2}}, "probability"},
		{Fault{Do: "html", Match: Match{Nth: []int{0}}}, "nth"},
		{Fault{Do: "cut", Part: 1.5}, "part"},
		{Fault{Do: "html", Status: 42}, "status"},
		{Fault{Do: "html", Delay: -1}, "negative"},
		{Fault{Do: "slow_job", Match: Match{Kind: "job.upload"}}, "job.close"},
	} {
		if err := o.sim.SetFaults(tt.fault); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.fault, err, tt.want)
		}
	}
}

func TestFault_JSON(t *testing.T) {
	const text = `{"match":{"kind":"job.*","nth":[1]},"do":"slow_job","part":0.5,"delay":"1m30s"}`
	var f Fault
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatal(err)
	}
	if f.Delay != 90*time.Second || f.Part != 0.5 || f.Match.Nth[0] != 1 {
		t.Errorf("%+v", f)
	}
	if out, err := json.Marshal(f); err != nil || string(out) != text {
		t.Errorf("%s %v, want %s", out, err, text)
	}
	for _, bad := range []string{`{"do":"html","delai":"1s"}`, `{"do":"html","delay":"soon"}`, `{"match":{"kinds":"x"}}`} {
		if err := json.Unmarshal([]byte(bad), &f); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestConcurrency has everything at once; it is for the race detector.
func TestConcurrency(t *testing.T) {
	o := startOrg(t, Config{Seed: 5})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 5 {
				j := o.run(upsertContacts, contactsCSV(300, 100*(worker+i)))
				o.results(j["id"], "successfulResults")
				o.do("PATCH", "/composite/sobjects/Contact/Shop_Id__c", records(contact(fmt.Sprintf(`"Shop_Id__c":"s-%d","LastName":"C"`, worker)))).want(200, "success")
				o.query("SELECT Id, LastName FROM Contact WHERE Shop_Id__c IN ('s-1','s-2')").want(200, "")
				o.do("POST", "/composite", compose(`"allOrNone":true,`,
					get("read", fmt.Sprintf("/sobjects/Contact/Shop_Id__c/s-%d", worker)),
					part("PATCH", v66+"/sobjects/Contact/@{read.Id}", `,"referenceId":"u","body":{"LastName":"D"}`),
					post("bad", "Contact", `"FirstName":"Nameless"`))).wantStatuses(400, 400, 400)
			}
		})
	}
	all.Go(func() {
		for range 10 {
			if err := o.sim.SetSchema([]Object{{Name: "Item__c", Fields: []Field{{Name: "Sku__c"}}}}); err != nil {
				t.Error(err)
			}
			o.sim.Records("Contact")
			o.sim.Effects()
			o.sim.Calls()
		}
	})
	all.Wait()
	seen := make(map[any]bool)
	for _, r := range o.sim.Records("Contact") {
		if seen[r["Shop_Id__c"]] {
			t.Errorf("%v twice", r["Shop_Id__c"])
		}
		seen[r["Shop_Id__c"]] = true
	}
	if len(seen) != 1_000 {
		t.Errorf("%d rows, want 1000", len(seen))
	}
}
