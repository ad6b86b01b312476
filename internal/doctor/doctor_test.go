package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/salesforce"
)

var update = flag.Bool("update", false, "write docs/doctor.md")

// fakeOrg answers what the simulator can't.
type fakeOrg struct {
	skew   time.Duration
	login  error
	limits map[string]salesforce.Limit
	refuse error // of limits
	object *salesforce.Object
}

func (f *fakeOrg) Skew(context.Context) (time.Duration, error) { return f.skew, nil }

func (f *fakeOrg) Login(context.Context) (salesforce.Identity, error) {
	return salesforce.Identity{OrgID: "00D5e000000abcdEAA", UserID: "0055e000000abcdAAA", APIVersion: "66.0"}, f.login
}

func (f *fakeOrg) Limits(context.Context) (map[string]salesforce.Limit, error) {
	return f.limits, f.refuse
}

func (f *fakeOrg) Describe(context.Context, string) (*salesforce.Object, error) {
	if f.object == nil {
		return nil, errors.New("no answer")
	}
	return f.object, nil
}

func (f *fakeOrg) Query(context.Context, string, bool, int) ([]salesforce.Record, error) {
	return []salesforce.Record{{"DeveloperName": json.RawMessage(`"Rule"`), "SobjectType": json.RawMessage(`"Lead"`), "IsActive": json.RawMessage("true")}}, nil
}

func (f *fakeOrg) Close() {}

// configured is a configuration with the flow and objects of the test.
func configured(t *testing.T, flow, objects string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test", []byte(objects), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Salesforce = &config.Salesforce{LoginURL: "https://login.salesforce.com", APIVersion: "auto", Auth: config.Auth{Flow: flow}}
	cfg.Store.Path = filepath.Join(t.TempDir(), "outbox.db")
	return cfg
}

// problems are the findings that are not ok, as "level code".
func problems(findings []Finding) []string {
	var all []string
	for _, f := range findings {
		if f.Level != OK {
			all = append(all, fmt.Sprint(f.Level, " ", f.Code))
		}
	}
	return all
}

func examine(t *testing.T, cfg *config.Config, org Org, d daemon) []Finding {
	t.Helper()
	r := &report{}
	r.org(t.Context(), cfg, Options{Org: func(*config.Config) (Org, error) { return org, nil }}, d)
	for _, f := range r.findings {
		if (f.Level == OK) != (f.Remedy == "") || f.Text == "" || f.Subject == "" {
			t.Errorf("%+v: incomplete", f)
		}
	}
	return r.findings
}

func TestOrg_Clock(t *testing.T) {
	for _, tt := range []struct {
		skew time.Duration
		flow string
		want string
	}{
		{10 * time.Second, "jwt", ""},
		{-30 * time.Second, "jwt", "warn clock_skew"},
		{90 * time.Second, "jwt", "wrong clock_skew"},
		{-90 * time.Second, "jwt", "warn clock_skew"},
		{-3 * time.Minute, "jwt", "wrong clock_skew"},
		{time.Hour, "client_credentials", "warn clock_skew"},
	} {
		got := problems(examine(t, configured(t, tt.flow, ""), &fakeOrg{skew: tt.skew}, daemon{}))
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s with the flow %s: %v, want %q", tt.skew, tt.flow, got, tt.want)
		}
	}
}

func TestOrg_Login(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"refused", &salesforce.AuthError{Code: "invalid_grant", Status: 400}, "wrong login_refused"},
		{"no such version", &salesforce.AuthError{Code: "UNSUPPORTED_API_VERSION", Description: "not listed"}, "wrong api_version"},
		{"no answer", &salesforce.AuthError{Code: salesforce.CodeTransport, Transient: true}, "wrong org_unreachable"},
	} {
		got := problems(examine(t, configured(t, "jwt", ""), &fakeOrg{login: tt.err}, daemon{}))
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, got, tt.want)
		}
	}
}

// A daemon that runs has the refresh token in its memory: another login could end it.
func TestOrg_RefreshTokenIsLeftToTheDaemon(t *testing.T) {
	cfg := configured(t, "refresh_token", "")
	got := problems(examine(t, cfg, &fakeOrg{}, daemon{running: true}))
	if diff := cmp.Diff([]string{"warn login_not_tried"}, got); diff != "" {
		t.Error("while the daemon runs:", diff)
	}
	if got := problems(examine(t, cfg, &fakeOrg{}, daemon{})); got != nil {
		t.Errorf("while it does not: %v", got)
	}
}

func TestOrg_Limits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits map[string]salesforce.Limit
		err    error
		want   string
	}{
		{"enough", map[string]salesforce.Limit{"DailyApiRequests": {Max: 1000, Remaining: 500}, "DataStorageMB": {Max: 100, Remaining: 50}}, nil, ""},
		{"low", map[string]salesforce.Limit{"DailyApiRequests": {Max: 1000, Remaining: 250}}, nil, "warn api_calls_low"},
		{"at the reserve", map[string]salesforce.Limit{"DailyApiRequests": {Max: 1000, Remaining: 200}}, nil, "wrong api_calls_reserve"},
		{"storage", map[string]salesforce.Limit{"DataStorageMB": {Max: 100}}, nil, "wrong data_storage"},
		{"batches", map[string]salesforce.Limit{"DailyBulkApiBatches": {Max: 100, Remaining: 5}}, nil, "warn bulk_batches"},
		{"hidden", nil, &salesforce.APIError{Code: "FORBIDDEN", Class: salesforce.BadConfig}, "warn limits_hidden"},
		{"no API for the user", nil, &salesforce.APIError{Code: "API_DISABLED_FOR_ORG", Class: salesforce.Auth}, "wrong call_refused"},
		{"read-only", nil, &salesforce.APIError{Code: "SERVER_UNAVAILABLE", Class: salesforce.PauseOrg}, "wrong call_refused"},
		{"no such code", nil, &salesforce.APIError{Code: "NEWER_THAN_THIS", Class: salesforce.Ambiguous}, "wrong call_refused"},
		{"maintenance page", nil, &salesforce.APIError{Code: salesforce.CodeTransport, Class: salesforce.PauseOrg}, "wrong org_unreachable"},
		{"logged out, and no login", nil, &salesforce.AuthError{Code: "invalid_grant"}, "wrong login_refused"},
		{"used up", nil, &salesforce.APIError{Code: "REQUEST_LIMIT_EXCEEDED", Class: salesforce.PauseQuota}, "wrong limits_reached"},
	} {
		got := problems(examine(t, configured(t, "jwt", ""), &fakeOrg{limits: tt.limits, refuse: tt.err}, daemon{}))
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, got, tt.want)
		}
	}
}

// TestOrg_RemediesAreThoseOfSalesforcesCode: an app without the API is not helped by other rights.
func TestOrg_RemediesAreThoseOfSalesforcesCode(t *testing.T) {
	disabled := &salesforce.APIError{Code: "API_DISABLED_FOR_ORG", Class: salesforce.Auth}
	found := examine(t, configured(t, "jwt", ""), &fakeOrg{refuse: disabled}, daemon{})
	if last := found[len(found)-1]; last.Remedy != "give the user the permission API Enabled" {
		t.Errorf("%+v", last)
	}
}

// described makes an object whose every right and key field are as they should be, but for a change.
func described(t *testing.T, change func(o *salesforce.Object, key *salesforce.Field)) *salesforce.Object {
	t.Helper()
	o := &salesforce.Object{Name: "Lead", Createable: true, Updateable: true, Deletable: true, Queryable: true}
	o.Fields = []salesforce.Field{
		{Name: "Key__c", Type: "string", Length: 255, Createable: true, Updateable: true, ExternalID: true, Unique: true, CaseSensitive: true, Filterable: true},
	}
	if change != nil {
		change(o, &o.Fields[0])
	}
	return o
}

func TestObject(t *testing.T) {
	const keyed, bare = "objects: { Lead: { key_field: key__C } }", "objects: { Lead: {} }"
	for _, tt := range []struct {
		name    string
		objects string
		change  func(o *salesforce.Object, key *salesforce.Field)
		want    []string
	}{
		{"all is well", keyed, nil, nil},
		{"may not create", keyed, func(o *salesforce.Object, _ *salesforce.Field) { o.Createable = false }, []string{"wrong object_create"}},
		{"may not create, and need not", bare, func(o *salesforce.Object, _ *salesforce.Field) { o.Createable = false }, []string{"warn object_create"}},
		{"may not update", keyed, func(o *salesforce.Object, _ *salesforce.Field) { o.Updateable = false }, []string{"warn object_update"}},
		{"may not query", keyed, func(o *salesforce.Object, _ *salesforce.Field) { o.Queryable = false }, []string{"wrong object_read"}},
		{"a number", keyed, func(_ *salesforce.Object, f *salesforce.Field) { f.Type = "double" }, []string{"wrong key_field_type"}},
		{"too short", keyed, func(_ *salesforce.Object, f *salesforce.Field) { f.Length = 254 }, []string{"wrong key_field_short"}},
		{"no external id", keyed, func(_ *salesforce.Object, f *salesforce.Field) { f.ExternalID = false }, []string{"wrong key_field_not_external_id"}},
		{"not unique", keyed, func(_ *salesforce.Object, f *salesforce.Field) { f.Unique = false }, []string{"warn external_id_not_unique", "wrong key_field_not_unique"}},
		{"any case", keyed, func(_ *salesforce.Object, f *salesforce.Field) { f.CaseSensitive = false }, []string{"wrong key_field_not_case_sensitive"}},
		{"encrypted", keyed, func(_ *salesforce.Object, f *salesforce.Field) { f.Filterable = false }, []string{"wrong key_field_not_filterable"}},
		{
			"may not write it", keyed, func(_ *salesforce.Object, f *salesforce.Field) { f.Createable, f.Updateable = false, false },
			[]string{"warn fields_read_only", "wrong key_field_read_only"},
		},
		{"none named", bare, nil, []string{"warn key_field_recommended"}},
		{"none named, by REST", "objects: { Lead: { create_via: rest } }", nil, []string{"warn key_field_recommended"}},
		{"headers that a job can't carry", "objects: { Lead: { auto_assign: true } }", nil, []string{"wrong headers_need_rest"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := configured(t, "jwt", tt.objects)
			got := problems(examine(t, cfg, &fakeOrg{object: described(t, tt.change)}, daemon{}))
			if diff := cmp.Diff(append(tt.want, "warn duplicate_rules"), got); diff != "" {
				t.Error(diff)
			}
		})
	}
	got := problems(examine(t, configured(t, "jwt", "objects: { Lead: { key_field: Key__c, allow_save: true } }"), &fakeOrg{object: described(t, nil)}, daemon{}))
	if got != nil {
		t.Errorf("duplicate rules of an object with allow_save: %v", got)
	}
}

// TestObject_SaysWhatTheUserMay: an app that deletes wants to know, one that does not is not to be warned.
func TestObject_SaysWhatTheUserMay(t *testing.T) {
	o := described(t, nil)
	if got := userMay(o); got != "the integration user may create, update, delete, read" {
		t.Error(got)
	}
	o.Deletable = false
	if got := userMay(o); got != "the integration user may create, update, read; not delete" {
		t.Error(got)
	}
}

func TestDamagedByFastCommit(t *testing.T) {
	for release, want := range map[string]bool{
		"5.4.0-100-generic": false, "5.10.93": true, "5.10.94": false, "5.10.0-28-amd64": true, "5.13.19": true,
		"5.15.26-1": true, "5.15.27": false, "5.16.20": true, "5.17.0": false, "6.18.44-fc": false, "?": false,
	} {
		if got := damagedByFastCommit(release); got != want {
			t.Errorf("%s: %t", release, got)
		}
	}
}

func TestExt4(t *testing.T) {
	block := make([]byte, 1024)
	if _, ok := superBlock(block); ok {
		t.Error("zeros are taken for a super block")
	}
	block[0x38], block[0x39], block[0x5c], block[0x5d] = 0x53, 0xef, 0x3c, 0x04
	features, ok := superBlock(block)
	if !ok || features&extJournal == 0 || features&extFastCommit == 0 {
		t.Errorf("features %#x, %t", features, ok)
	}
	if !countsFastCommits("fc stats:\n12 commits\n0 ineligible\n") || countsFastCommits("fc stats:\n0 commits\n0 ineligible\n") || countsFastCommits("") {
		t.Error("fast commits are miscounted")
	}
}

// TestRemedies_EachCodeHasOne reads which codes the checks give.
func TestRemedies_EachCodeHasOne(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{"config_invalid": true, "login_refused": true} // with remedies of their own
	call := regexp.MustCompile(`r\.(?:warn|wrong)\("(\w+)"|r\.exhausted\(all, "\w+", "(\w+)"|r\.add\(\w+, "(\w+)"|"(fs_\w+)"`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") || name == "remedies.go" {
			continue
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			given[strings.Join(m[1:], "")] = true
		}
	}
	has := map[string]bool{"config_invalid": true, "login_refused": true}
	for code := range remedies {
		has[code] = true
	}
	if diff := cmp.Diff(has, given); diff != "" {
		t.Errorf("codes with a remedy (-), codes that are given (+):\n%s", diff)
	}
}

const docHead = `# What doctor finds

` + "`outboxd doctor`" + ` checks what keeps a daemon from delivering and says what to do, see
[operations](operations.md#the-doctor). With ` + "`--json`" + ` each finding has a code, which is never
renamed: if it is not ok one of these, ` + "`config_invalid`" + ` or ` + "`login_refused`" + `. Beside it
stand a level (` + "`ok`, `warn`, `wrong`" + `), its subject, a text and the remedy. The remedies of ` + "`config_invalid`" + `
and ` + "`login_refused`" + ` go by the mistake and by Salesforce's words. This page is made from the program's own table.

| code | do |
| --- | --- |
`

func TestDoc_IsTheTable(t *testing.T) {
	var b strings.Builder
	b.WriteString(docHead)
	for _, code := range slices.Sorted(maps.Keys(remedies)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", code, remedies[code])
	}
	const path = "../../docs/doctor.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), b.String()); diff != "" {
		t.Errorf("%s is behind; write it anew with -update\n%s", path, diff)
	}
}
