package simulator

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recordedSchema has what the recorded orgs had.
func recordedSchema() []Object {
	schema := []Object{
		{Name: "Movie__c", Fields: []Field{{Name: "Name"}, {Name: "Rating__c", Type: "picklist", Picklist: []string{"Excellent"}}, typed("ReleaseDate__c", "date")}},
		{Name: "Spaceship__c", Fields: []Field{{Name: "Name"}, must(text("Website__c", 80))}},
	}
	for _, o := range DefaultSchema() {
		switch o.Name {
		case "Account":
			o.Fields = append(o.Fields, Field{Name: "MasterRecordId", Type: "reference", ReferenceTo: References{"Account"}, ReadOnly: true})
		case "Opportunity":
			o.Fields = append(o.Fields, Field{Name: "external_id__c", ExternalID: true})
		default:
			continue
		}
		schema = append(schema, o)
	}
	return schema
}

const (
	upsertOpportunities = `{"object":"Opportunity","operation":"upsert","externalIdFieldName":"external_id__c"}`
	opportunity         = "Name,StageName,external_id__c,CloseDate\nNoemi Miller,GENERATED,external-id-3,2003-04-01\n"
)

// recordedSituations puts the question that a recorded answer answers.
var recordedSituations = map[string]func(*testOrg) *reply{
	"create": func(o *testOrg) *reply {
		return o.do("POST", "/sobjects/Movie__c", `{"Name":"V","Rating__c":"Excellent"}`)
	},
	"create_required_field_missing": func(o *testOrg) *reply {
		return o.do("POST", "/sobjects/Spaceship__c", `{"Name":"Falcon 9"}`)
	},
	"create_unknown_field": func(o *testOrg) *reply { return o.do("POST", "/sobjects/Account", `{"FavoritePet__c":"Dog"}`) },
	"create_restricted_picklist": func(o *testOrg) *reply {
		return o.do("POST", "/sobjects/Movie__c", `{"Name":"VIII","Rating__c":"Terrible"}`)
	},
	"create_unknown_object": func(o *testOrg) *reply { return o.do("POST", "/sobjects/PlayingCard__c", `{"Name":"Ace"}`) },
	"create_read_only_field": func(o *testOrg) *reply {
		return o.do("POST", "/sobjects/Account", `{"Name":"A","MasterRecordId":null}`)
	},
	"unknown_version": func(o *testOrg) *reply {
		return o.do("POST", "/services/data/viAmABadVersion/sobjects/Account", `{"Name":"A"}`)
	},
	"session_ended": func(o *testOrg) *reply {
		return o.do("POST", "/sobjects/Account", `{"Name":"A"}`, "Authorization", "Bearer badToken")
	},
	"update_wrong_id": func(o *testOrg) *reply {
		return o.do("PATCH", "/sobjects/Movie__c/a00B000000FSjVUIB1", `{"ReleaseDate__c":"1980-05-21"}`)
	},
	"delete_deleted": func(o *testOrg) *reply {
		id := o.create("Account", `{"Name":"A"}`)
		o.do("DELETE", "/sobjects/Account/"+id, "").want(204, "")
		return o.do("DELETE", "/sobjects/Account/"+id, "")
	},
	"delete_by_unknown_key": func(o *testOrg) *reply { return o.do("DELETE", "/sobjects/Account/rid", "") },
	"upsert_by_unknown_key": func(o *testOrg) *reply { return o.do("PATCH", "/sobjects/Account/Namez/1", `{"Name":"A"}`) },
	"collections_empty":     func(o *testOrg) *reply { return o.do("POST", "/composite/sobjects", records()) },
	"collections_no_ids":    func(o *testOrg) *reply { return o.do("DELETE", "/composite/sobjects?ids=", "") },
	"collections_create_all_or_none": func(o *testOrg) *reply {
		return o.do("POST", "/composite/sobjects", allOrNone(contact(`"FirstName":"A"`), contact(`"LastName":"B"`)))
	},
	"collections_update_all_or_none": func(o *testOrg) *reply {
		a, b := o.create("Contact", `{"LastName":"A"}`), o.create("Contact", `{"LastName":"B"}`)
		return o.do("PATCH", "/composite/sobjects", allOrNone(contact(`"id":"`+a+`","LastName":"A"`), contact(`"id":"`+b+`","unknownField_LastName":"B"`)))
	},
	"collections_update_without_id": func(o *testOrg) *reply {
		id := o.create("Contact", `{"LastName":"A"}`)
		return o.do("PATCH", "/composite/sobjects", records(contact(`"id":"`+id+`","LastName":"A"`), contact(`"LastName":"B"`)))
	},
	"query_unknown_column": func(o *testOrg) *reply { return o.query("SELECT Bacon__c FROM Account LIMIT 2") },
	"query_unknown_object": func(o *testOrg) *reply { return o.query("SELECT Id,Name,BillingCity,IsDeleted FROM Accout") },
	"job_create": func(o *testOrg) *reply {
		return o.do("POST", "/services/data/v59.0/jobs/ingest", upsertOpportunities)
	},
	"job_abort": func(o *testOrg) *reply {
		id := o.job(`{"object":"Opportunity","operation":"insert"}`)
		return o.do("PATCH", "/jobs/ingest/"+id, `{"state":"Aborted"}`)
	},
	"job_in_progress": func(o *testOrg) *reply {
		o.fault(Fault{Match: Match{Kind: "job.close"}, Do: "slow_job", Delay: 2 * time.Hour})
		id := o.job(upsertOpportunities)
		o.upload(id, opportunity).want(201, "")
		o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
		o.sim.Advance(90 * time.Minute)
		for {
			if r := o.do("GET", "/jobs/ingest/"+id, ""); r.object()["state"] != stateUploaded {
				return r
			}
		}
	},
	"job_complete": func(o *testOrg) *reply {
		return o.do("GET", "/jobs/ingest/"+o.run(upsertOpportunities, opportunity)["id"].(string), "")
	},
	"job_failed": func(o *testOrg) *reply {
		csv := strings.Replace(opportunity, "StageName", "StageName_invalid_field_on_purpose", 1)
		return o.do("GET", "/jobs/ingest/"+o.run(upsertOpportunities, csv)["id"].(string), "")
	},
	"job_failed_results": func(o *testOrg) *reply {
		csv := strings.Replace(opportunity, "2003-04-01", "2003-04-987654321987654321", 1)
		return o.do("GET", "/jobs/ingest/"+o.run(upsertOpportunities, csv)["id"].(string)+"/failedResults", "")
	},
}

func allOrNone(all ...string) string {
	return strings.Replace(records(all...), `"allOrNone":false`, `"allOrNone":true`, 1)
}

// TestRecordedAnswers_SameShape holds the simulator's answers against real
// ones: the status, the headers, members and their types, of errors the words
// too, of a CSV file every byte.
func TestRecordedAnswers_SameShape(t *testing.T) {
	var answers map[string]recordedStep
	recorded(t, "answers.json", &answers)
	for name, want := range answers {
		t.Run(name, func(t *testing.T) {
			ask, ok := recordedSituations[name]
			if !ok {
				t.Fatal("no situation asks for it")
			}
			got := ask(startOrg(t, Config{Schema: recordedSchema()}))
			if got.status != want.Status {
				t.Errorf("status %d, want %d: %s", got.status, want.Status, got.body)
			}
			sameHeaders(t, want.Headers, got.header)
			sameBody(t, string(want.Body), got)
		})
	}
}

func sameHeaders(t *testing.T, want map[string]string, got http.Header) {
	t.Helper()
	for name, value := range want {
		switch v := got.Get(name); name {
		case "Location", "Sforce-Limit-Info": // have values of their own
			if shape(v) != shape(value) {
				t.Errorf("%s: %q, want one like %q", name, v, value)
			}
		default:
			if v != value {
				t.Errorf("%s: %q, want %q", name, v, value)
			}
		}
	}
}

var anyValue = regexp.MustCompile(`\b[0-9A-Za-z]{18}\b|\d+`)

// shape keeps what is no number and no Id.
func shape(s string) string { return anyValue.ReplaceAllString(s, "…") }

func sameBody(t *testing.T, want string, got *reply) {
	t.Helper()
	if strings.HasPrefix(want, `"`) { // a CSV file
		if diff := cmp.Diff(unquoted(t, want), strings.TrimSuffix(got.body, "\n")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return
	}
	if got.status >= 400 {
		if diff := cmp.Diff((&reply{TB: t, body: want}).json(), got.json()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return
	}
	if diff := cmp.Diff(types((&reply{TB: t, body: want}).json()), types(got.json())); diff != "" {
		t.Errorf("members (-want +got):\n%s\n%s", diff, got.body)
	}
}

func unquoted(t *testing.T, text string) string {
	t.Helper()
	s, _ := (&reply{TB: t, body: text}).json().(string)
	return s
}

// types keeps of a JSON value the names of its members and what their values
// are.
func types(v any) any {
	switch v := v.(type) {
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, value := range v {
			all[name] = types(value)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, value := range v {
			all[i] = types(value)
		}
		return all
	default:
		return fmt.Sprintf("%T", v)
	}
}
