package salesforce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	idA = ID("0035e00000Kp7QaAAJ")
	idB = ID("0035e00000Kp7QbAAJ")
)

func TestCollections_SendWhatTheGuideAsksFor(t *testing.T) {
	fields := `{"LastName":"Ado/b%c","Balance__c":123456789012345678.10,"Nickname":" ","Email":null,"Account":{"attributes":{"type":"Account"},"Ext__c":"A-9"}}`
	for _, tt := range []struct {
		name, method, uri, body string
		call                    func(*Client) error
	}{
		{
			"create", "POST", "/services/data/v66.0/composite/sobjects",
			`{"allOrNone":false,"records":[{"attributes":{"type":"Contact"},` + fields[1:] + `]}`,
			func(c *Client) error {
				_, err := c.Create(context.Background(), "Contact", []Row{contact(fields)}, noHeaders)
				return err
			},
		},
		{
			"create with an empty text, which is null", "POST", "/services/data/v66.0/composite/sobjects",
			`{"allOrNone":false,"records":[{"attributes":{"type":"Contact"},"LastName":"A","Birthdate":null}]}`,
			func(c *Client) error {
				_, err := c.Create(context.Background(), "Contact", []Row{contact(`{"LastName":"A","Birthdate":""}`)}, noHeaders)
				return err
			},
		},
		{
			"create of nothing but defaults", "POST", "/services/data/v66.0/composite/sobjects",
			`{"allOrNone":false,"records":[{"attributes":{"type":"Contact"}}]}`,
			func(c *Client) error {
				_, err := c.Create(context.Background(), "Contact", []Row{contact(`{}`)}, noHeaders)
				return err
			},
		},
		{
			"update", "PATCH", "/services/data/v66.0/composite/sobjects",
			`{"allOrNone":false,"records":[{"attributes":{"type":"Contact"},"id":"0035e00000Kp7QaAAJ","LastName":"A"}]}`,
			func(c *Client) error {
				_, err := c.Update(context.Background(), "Contact", []Row{{ID: idA, Fields: []byte(`{"LastName":"A","ID":"x"}`)}}, noHeaders)
				return err
			},
		},
		{
			"upsert", "PATCH", "/services/data/v66.0/composite/sobjects/Contact/Shop_Id__c",
			`{"allOrNone":false,"records":[{"attributes":{"type":"Contact"},"Shop_Id__c":7.50,"LastName":"A"}]}`,
			func(c *Client) error {
				_, err := c.Upsert(context.Background(), "Contact", "Shop_Id__c", []Row{upsertRow(`7.50`, `{"shop_id__C":"7.50","LastName":"A"}`)}, noHeaders)
				return err
			},
		},
		{
			"delete", "DELETE", "/services/data/v66.0/composite/sobjects?allOrNone=false&ids=0035e00000Kp7QaAAJ", ``,
			func(c *Client) error { _, err := c.Delete(context.Background(), "Contact", []ID{idA}); return err },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			org := newFakeOrg(t, answering(200, "application/json", createdOne))
			if err := tt.call(org.client(t)); err != nil {
				t.Fatal(err)
			}
			got := org.seen()[0]
			if got.Method != tt.method || got.URI != tt.uri || got.Body != tt.body {
				t.Errorf("sent %s %s\n%s\nwant %s %s\n%s", got.Method, got.URI, got.Body, tt.method, tt.uri, tt.body)
			}
		})
	}
}

func TestCollections_OutcomesByIndex(t *testing.T) {
	org := newFakeOrg(t, answering(200, "application/json", `[
		{"id":"0035e00000Kp7QaAAJ","success":true,"errors":[],"created":true},
		{"success":false,"errors":[{"statusCode":"DUPLICATES_DETECTED","message":"Use one of these records?","fields":[]}]},
		{"id":"e015g0000009Qw1AAE","success":true,"errors":[{"statusCode":"OPERATION_ENQUEUED","message":"6f0c2a51"}]},
		{"success":false,"created":false,"errors":[{"errorCode":"STRING_TOO_LONG","message":"m","fields":["Name"]},{"statusCode":"X","fields":["Email"]},{"statusCode":"Y","fields":"Phone"}]},
		{"success":false,"errors":[]}
	]`))
	rows := make([]Row, 5)
	for i := range rows {
		rows[i] = upsertRow(fmt.Sprintf(`"k%d"`, i), `{}`)
	}
	got, err := org.client(t).Upsert(context.Background(), "Contact", "Shop_Id__c", rows, noHeaders)
	want := []Result{
		{ID: idA, Success: true, Created: true},
		{Code: "DUPLICATES_DETECTED", Message: "Use one of these records?"},
		{ID: "e015g0000009Qw1AAE", Success: true},
		{Code: "STRING_TOO_LONG", Message: "m", Fields: []string{"Name", "Email"}},
		{Code: CodeUnknown},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("Upsert() error %v, diff %s", err, cmp.Diff(want, got))
	}
}

func TestCollections_ItemsUnder400AreItems(t *testing.T) {
	org := newFakeOrg(t, answering(400, "application/json", `[{"success":false,"errors":[{"statusCode":"ALL_OR_NONE_OPERATION_ROLLED_BACK","message":"m"}]}]`))
	got, err := org.client(t).Create(context.Background(), "Contact", []Row{contact(`{}`)}, noHeaders)
	if err != nil || len(got) != 1 || got[0].Code != "ALL_OR_NONE_OPERATION_ROLLED_BACK" {
		t.Errorf("Create() = %+v, %v", got, err)
	}
}

func TestCollections_RefuseBeforeSending(t *testing.T) {
	org := newFakeOrg(t, nil)
	c, ctx := org.client(t), context.Background()
	many := make([]Row, MaxRows+1)
	for name, call := range map[string]func() error{
		"too many rows": func() error { _, err := c.Create(ctx, "Contact", many, noHeaders); return err },
		"no rows":       func() error { _, err := c.Create(ctx, "Contact", nil, noHeaders); return err },
		"object":        func() error { _, err := c.Create(ctx, "../Contact", []Row{{}}, noHeaders); return err },
		"field": func() error {
			_, err := c.Upsert(ctx, "Contact", "a/b", []Row{upsertRow(`"k"`, `{}`)}, noHeaders)
			return err
		},
		"id": func() error {
			_, err := c.Update(ctx, "Contact", []Row{{ID: "0035e00000Kp7Q/AAA"}}, noHeaders)
			return err
		},
		"deleted id": func() error { _, err := c.Delete(ctx, "Contact", []ID{"x&ids=y"}); return err },
		"key": func() error {
			_, err := c.Upsert(ctx, "Contact", "F__c", []Row{upsertRow(`null`, `{}`)}, noHeaders)
			return err
		},
		"key of a bad number": func() error {
			_, err := c.Upsert(ctx, "Contact", "F__c", []Row{upsertRow(`007`, `{}`)}, noHeaders)
			return err
		},
		"key with more": func() error {
			_, err := c.Upsert(ctx, "Contact", "F__c", []Row{upsertRow(`"k","Evil":1`, `{}`)}, noHeaders)
			return err
		},
		"fields": func() error { _, err := c.Create(ctx, "Contact", []Row{contact(`{"A":1`)}, noHeaders); return err },
		"list":   func() error { _, err := c.Create(ctx, "Contact", []Row{contact(`[]`)}, noHeaders); return err },
		"name":   func() error { _, err := c.Create(ctx, "Contact", []Row{contact(`{"A\"b":1}`)}, noHeaders); return err },
	} {
		if err := call(); ClassOf(err) != Split {
			t.Errorf("%s: %v, class %v, want split", name, err, ClassOf(err))
		}
	}
	if n := len(org.seen()); n != 0 {
		t.Errorf("%d calls, want none", n)
	}
}

func TestOne_RecordsOutcomeIsNoError(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		call   func(*Client) (Result, error)
		want   Result
		uri    string
	}{
		{
			"created", answering(201, "application/json", `{"id":"0035e00000Kp7Qa","success":true,"errors":[]}`),
			func(c *Client) (Result, error) { return c.CreateOne(ctx, "Contact", contact(`{"A":1}`), noHeaders) },
			Result{ID: idA, Success: true, Created: true},
			"/services/data/v66.0/sobjects/Contact/",
		},
		{
			"event enqueued", answering(201, "application/json", `{"id":"e015g0000009Qw1AAE","success":true,"errors":[{"statusCode":"OPERATION_ENQUEUED","message":"u"}]}`),
			func(c *Client) (Result, error) { return c.CreateOne(ctx, "E__e", contact(`{"A":1}`), noHeaders) },
			Result{ID: "e015g0000009Qw1AAE", Success: true, Created: true},
			"/services/data/v66.0/sobjects/E__e/",
		},
		{
			"updated", answering(204, "", ""),
			func(c *Client) (Result, error) {
				return c.UpdateOne(ctx, "Contact", Row{ID: idA, Fields: []byte(`{"A":1,"Id":"x"}`)}, noHeaders)
			},
			Result{ID: idA, Success: true},
			"/services/data/v66.0/sobjects/Contact/0035e00000Kp7QaAAJ",
		},
		{
			"upserted", answering(200, "application/json", `[{"id":"0035e00000Kp7QaAAJ","success":true,"created":false,"errors":[]}]`),
			func(c *Client) (Result, error) {
				return c.UpsertOne(ctx, "Contact", "F__c", upsertRow(`"a/../b"`, `{}`), noHeaders)
			},
			Result{ID: idA, Success: true},
			"/services/data/v66.0/composite/sobjects/Contact/F__c",
		},
		{
			"deleted already", salesforceSays(404, "ENTITY_IS_DELETED", "entity is deleted"),
			func(c *Client) (Result, error) { return c.DeleteOne(ctx, "Contact", idA) },
			Result{Code: "ENTITY_IS_DELETED", Message: "entity is deleted"},
			"/services/data/v66.0/sobjects/Contact/0035e00000Kp7QaAAJ",
		},
		{
			"duplicates", answering(400, "application/json", `[{"duplicateResut":{"allowSave":true,"matchResults":[]},"errorCode":"DUPLICATES_DETECTED","message":"You're creating a duplicate record."}]`),
			func(c *Client) (Result, error) { return c.CreateOne(ctx, "Contact", contact(`{}`), noHeaders) },
			Result{Code: "DUPLICATES_DETECTED", Message: "You're creating a duplicate record."},
			"/services/data/v66.0/sobjects/Contact/",
		},
		{
			"several match", answering(300, "application/json", `["/services/data/v60.0/sobjects/Item__c/a0B5g000002Tz1XEAS","/services/data/v60.0/sobjects/Item__c/a0B5g000002Tz1YEAS"]`),
			func(c *Client) (Result, error) { return c.DeleteOne(ctx, "Contact", idA) },
			Result{Code: "DUPLICATE_EXTERNAL_ID", Message: "more than one record found for external id: 2 records"},
			"/services/data/v66.0/sobjects/Contact/0035e00000Kp7QaAAJ",
		},
		{
			"key field unknown", salesforceSays(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: F__c"),
			func(c *Client) (Result, error) {
				return c.UpsertOne(ctx, "Contact", "F__c", upsertRow(`"k"`, `{}`), noHeaders)
			},
			Result{Code: "NOT_FOUND", Message: "Provided external ID field does not exist or is not accessible: F__c"},
			"/services/data/v66.0/composite/sobjects/Contact/F__c",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			org := newFakeOrg(t, tt.handle)
			got, err := tt.call(org.client(t))
			if err != nil || !cmp.Equal(got, tt.want) {
				t.Errorf("%v, %s", err, cmp.Diff(tt.want, got))
			}
			if uri := org.seen()[0].URI; uri != tt.uri {
				t.Errorf("asked %s, want %s", uri, tt.uri)
			}
		})
	}
}

func TestOne_CallsFailureIsAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		class  Class
	}{
		"limit":              {salesforceSays(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), PauseQuota},
		"down":               {salesforceSays(503, "SERVER_UNAVAILABLE", ""), PauseOrg},
		"fault":              {salesforceSays(500, "UNKNOWN_EXCEPTION", ""), Ambiguous},
		"404 of a proxy":     {answering(404, "text/html", "<html>"), Ambiguous},
		"no verdict":         {answering(201, "application/json", `{"id":"0035e00000Kp7QaAAJ"}`), Ambiguous},
		"created, then HTML": {answering(201, "text/html", `<html>`), Ambiguous},
	} {
		org := newFakeOrg(t, tt.handle)
		_, err := org.client(t).CreateOne(context.Background(), "Contact", contact(`{}`), noHeaders)
		if err == nil || ClassOf(err) != tt.class {
			t.Errorf("%s: %v, class %v, want %v", name, err, ClassOf(err), tt.class)
		}
	}
}

func TestQuery_FollowsPagesWithinBounds(t *testing.T) {
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/services/data/v66.0/queryAll":
			answerJSON(w, 200, `{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v66.0/query/01g5g00000ZyXwVAAV-2","records":[{"Id":"1","N__c":12345678901234567890},{"Id":"2"}]}`)
		case r.URL.Path == "/services/data/v66.0/query/01g5g00000ZyXwVAAV-2":
			answerJSON(w, 200, `{"totalSize":3,"done":true,"records":[{"Id":"3"}]}`)
		}
	})
	c, ctx := org.client(t), context.Background()
	soql := "SELECT Id FROM Contact WHERE Key__c = " + Quote("a+b & c%")
	rows, err := c.Query(ctx, soql, true, 3)
	if err != nil || len(rows) != 3 || string(rows[0]["N__c"]) != "12345678901234567890" {
		t.Errorf("Query() = %v, %v, want 3 rows, digits kept", rows, err)
	}
	for _, limit := range []int{1, 2} {
		rows, err := c.Query(ctx, soql, true, limit)
		if !errors.Is(err, ErrMoreRows) || len(rows) != limit {
			t.Errorf("Query(%d) = %d rows, %v, want %v", limit, len(rows), err, ErrMoreRows)
		}
	}
	if _, err := c.Query(ctx, strings.Repeat("x", maxTarget), false, 1); !errors.Is(err, ErrQueryTooLong) {
		t.Errorf("Query(long) = %v, want %v", err, ErrQueryTooLong)
	}
	for _, includeDeleted := range []bool{false, true} {
		longest := strings.Repeat("'", MaxQuery/QueryLength("'"))
		if _, err := c.Query(ctx, longest, includeDeleted, 1); errors.Is(err, ErrQueryTooLong) {
			t.Errorf("a query of %d bytes does not fit, MaxQuery is %d", QueryLength(longest), MaxQuery)
		}
	}
}

func TestQuery_NextPageStaysAtTheOrg(t *testing.T) {
	for _, next := range []string{
		"", "https://evil.example/services/data/v66.0/query/1", "//evil.example/services/data/v66.0/query/1", "@evil.example/",
		"/services/oauth2/token", "/services/data/v66.0/../../oauth2", "/services/data/v66.0/query/%2e%2e", "services/data/v66.0/query/1",
	} {
		org := newFakeOrg(t, answering(200, "application/json", fmt.Sprintf(`{"done":false,"nextRecordsUrl":%q,"records":[{"Id":"1"}]}`, next)))
		if _, err := org.client(t).Query(context.Background(), "SELECT Id FROM Contact", false, 10); err == nil || len(org.seen()) != 1 {
			t.Errorf("next page %q: %v after %d calls, want an error after 1", next, err, len(org.seen()))
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		`a`:             `'a'`,
		`O'Hara`:        `'O\'Hara'`,
		`ends in \`:     `'ends in \\'`,
		"a\nb\rc\td":    `'a\nb\rc\td'`,
		`say "x"`:       `'say \"x\"'`,
		"nul\x00\x1b":   `'nul\u0000\u001b'`,
		"grüße 💡 100%_": `'grüße 💡 100%_'`,
		``:              `''`,
	} {
		if got := Quote(s); got != want {
			t.Errorf("Quote(%q) = %s, want %s", s, got, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add(`a'b\`)
	f.Add("x' OR Name != '")
	f.Fuzz(func(t *testing.T, s string) {
		got, rest, ok := readLiteral(Quote(s))
		if !ok || rest != "" || got != string([]rune(s)) {
			t.Errorf("Quote(%q) = %s, which reads %q, rest %q", s, Quote(s), got, rest)
		}
	})
}

// readLiteral reads a SOQL literal by the grammar's escapes alone.
func readLiteral(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '\'' {
		return "", s, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\'':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", s, false
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '"', '\'', '\\':
				b.WriteByte(s[i])
			case 'u':
				var r rune
				if n, err := fmt.Sscanf(s[i+1:min(len(s), i+5)], "%04x", &r); n != 1 || err != nil {
					return "", s, false
				}
				b.WriteRune(r)
				i += 4
			default:
				return "", s, false
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", s, false
}

const contactDescribe = `{"name":"Contact","keyPrefix":"003","createable":true,"updateable":true,"deletable":true,"fields":[
	{"name":"Id","type":"id","length":18},
	{"name":"LastName","type":"string","length":80,"createable":true,"updateable":true},
	{"name":"Shop_Id__c","type":"string","length":40,"externalId":true,"idLookup":true,"unique":true,"caseSensitive":false},
	{"name":"AccountId","type":"reference","relationshipName":"Account","referenceTo":["Account"]},
	{"name":"OwnerId","type":"reference","relationshipName":"Owner","referenceTo":["Group","User"]},
	{"name":"Tier__c","type":"picklist","restrictedPicklist":true,"picklistValues":[{"value":"Gold","label":"gold","active":true}]}]}`

func TestDescribe_AsksAgainOnlyWhetherItChanged(t *testing.T) {
	changed := true
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Mon, 23 Nov 2026 10:00:00 GMT")
		if !changed && r.Header.Get("If-Modified-Since") == "Mon, 23 Nov 2026 09:59:59 GMT" {
			w.WriteHeader(304)
			return
		}
		answerJSON(w, 200, contactDescribe)
	})
	c, ctx := org.client(t), context.Background()
	first, err := c.Describe(ctx, "contact")
	if err != nil {
		t.Fatal(err)
	}
	f, ok := first.Field("SHOP_ID__C")
	if !ok || f.Name != "Shop_Id__c" || !f.ExternalID || !f.Unique || f.CaseSensitive || f.Length != 40 {
		t.Errorf("Field() = %+v, %t", f, ok)
	}
	if owner, ok := first.Relationship("owner"); !ok || !owner.Polymorphic() {
		t.Errorf("Relationship(owner) = %+v, %t", owner, ok)
	}
	if _, err := c.Describe(ctx, "Contact"); err != nil || len(org.seen()) != 1 {
		t.Errorf("%d calls, %v, want 1: the cache knows it", len(org.seen()), err)
	}
	changed = false
	c.describes.known("CONTACT").asked = c.describes.known("CONTACT").asked.Add(-describeAge)
	again, err := c.Describe(ctx, "Contact")
	if err != nil || again != first || len(org.seen()) != 2 {
		t.Errorf("after its age: the same %t, %v, %d calls, want the same after a 304", again == first, err, len(org.seen()))
	}
}

func TestDescribe_RemembersWhatIsNotThere(t *testing.T) {
	org := newFakeOrg(t, salesforceSays(404, "NOT_FOUND", "The requested resource does not exist"))
	c := org.client(t)
	for range 3 {
		if _, err := c.Describe(context.Background(), "Nope__c"); !IsNotFound(err) || ClassOf(err) != BadConfig {
			t.Errorf("Describe() = %v, class %v", err, ClassOf(err))
		}
	}
	if n := len(org.seen()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	org.handle = answering(404, "text/html", "<html>")
	if _, err := c.Describe(context.Background(), "Other__c"); IsNotFound(err) {
		t.Errorf("a proxy's 404 is taken for the org's")
	}
}

func TestDescribe_OfAnotherOrgIsForgotten(t *testing.T) {
	var dc describeCache
	dc.forOrg("A")
	dc.entry("Contact").last.Store(&description{object: &Object{Name: "Contact"}})
	dc.list().last.Store(&description{names: []string{"Contact"}})
	dc.forOrg("A")
	if dc.known("contact") == nil || dc.list().last.Load() == nil {
		t.Error("forgotten after a login to the same org")
	}
	dc.forOrg("B")
	if dc.known("contact") != nil || dc.list().last.Load() != nil {
		t.Error("kept for another org")
	}
}

// TestDescribeWithin_AsksWhenTheOrgsWordIsTooOld: who is about to refuse an event
// wants a newer word than who only plans with it; what nobody needs to ask for is told without a call.
func TestDescribeWithin_AsksWhenTheOrgsWordIsTooOld(t *testing.T) {
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(304)
			return
		}
		answerJSON(w, 200, contactDescribe)
	})
	c, ctx := org.client(t), context.Background()
	if o, absent, _ := c.Described("Contact"); o != nil || absent || len(org.seen()) != 0 {
		t.Errorf("Described() = %v, %t with %d calls before the first describe", o, absent, len(org.seen()))
	}
	if _, err := c.Describe(ctx, "Contact"); err != nil {
		t.Fatal(err)
	}
	k := c.describes.known("Contact")
	k.asked = k.asked.Add(-2 * time.Minute)
	if o, _, age := c.Described("CONTACT"); o == nil || age < 2*time.Minute {
		t.Errorf("Described() = %v, %v old, want the object, two minutes old", o, age)
	}
	for _, step := range []struct {
		within time.Duration
		calls  int
	}{{3 * time.Minute, 1}, {time.Minute, 2}, {time.Minute, 2}} {
		if _, err := c.DescribeWithin(ctx, "Contact", step.within); err != nil || len(org.seen()) != step.calls {
			t.Errorf("within %v: %d calls, %v, want %d", step.within, len(org.seen()), err, step.calls)
		}
	}
}

func TestObjectNames_AreAskedForOnce(t *testing.T) {
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/sobjects") {
			t.Errorf("asked for %s", r.URL.Path)
		}
		answerJSON(w, 200, `{"encoding":"UTF-8","sobjects":[{"name":"Account"},{"name":"Contact"}]}`)
	})
	c := org.client(t)
	for range 2 {
		names, err := c.ObjectNames(context.Background())
		if err != nil || !slices.Equal(names, []string{"Account", "Contact"}) {
			t.Errorf("ObjectNames() = %v, %v", names, err)
		}
	}
	if n := len(org.seen()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	org.handle = answering(200, "application/json", `{}`)
	c.describes.forOrg("another")
	if _, err := c.ObjectNames(context.Background()); err == nil {
		t.Error("an empty answer is taken for a list")
	}
}

func TestAnswer_XMLError(t *testing.T) {
	a := &answer{status: 400, header: http.Header{"Content-Type": {"application/xml"}}, body: []byte(`<?xml version="1.0" encoding="UTF-8"?><Errors><Error><errorCode>MALFORMED_QUERY</errorCode><message>m</message></Error></Errors>`)}
	if faults, ok := a.faults(); !ok || faults[0].ErrorCode != "MALFORMED_QUERY" || faults[0].Message != "m" {
		t.Errorf("faults() = %v, %t", faults, ok)
	}
}

func TestFail_WhatIsShownIsBoundedAndTellsNoToken(t *testing.T) {
	many := `["` + strings.Repeat(`x","`, 1000) + `tok"]`
	a := &answer{
		status: 400, token: "tok",
		header: http.Header{"Content-Type": {"application/json"}, "X-Sfdc-Request-Id": {"tok\xff\u009b"}},
		body:   []byte(`[{"errorCode":"A_tok","message":"\u007f\u009b[2J","fields":` + many + `}]`),
	}
	e := (&call{name: "x"}).fail(a)
	if e.Code != "A_***" || e.Message != "[2J" || e.RequestID != "***" || len(e.Fields) != maxFaultFields {
		t.Errorf("fail() = %q, %q, %q, %d fields", e.Code, e.Message, e.RequestID, len(e.Fields))
	}
}

func TestClip_NeverGrows(t *testing.T) {
	if got := clip(strings.Repeat("\xff", 10), 10); got != "" {
		t.Errorf("clip() = %q", got)
	}
}

// TestWriteRecord_FitsWhatIsKnown: only where a field is known, and only what jobs
// take as it is.
func TestWriteRecord_FitsWhatIsKnown(t *testing.T) {
	known, err := ReadObject([]byte(strings.Replace(contactDescribe, `{"name":"Id",`, `{"name":"On__c","type":"boolean"},{"name":"Score__c","type":"double"},{"name":"Id",`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	parent := func(object string) *Object {
		if object == "Account" {
			return known
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		known  *Object
		row    Row
		wanted string
	}{
		{
			"known", known,
			Row{External: []byte(`1187`), Fields: []byte(`{"LASTNAME":123456789012345678.50,"Tier__c":true,"On__c":"TRUE","Score__c":"5","AccountId":5,"Nope__c":5,"Title":null}`)},
			`{"Shop_Id__c":"1187","LASTNAME":"123456789012345678.50","Tier__c":"true","On__c":true,"Score__c":"5","AccountId":5,"Nope__c":5,"Title":null}`,
		},
		{"values that no job takes either", known, Row{External: []byte(`"a"`), Fields: []byte(`{"LastName":["x"],"On__c":"yes","Owner":{"x":1}}`)}, `{"Shop_Id__c":"a","LastName":["x"],"On__c":"yes","Owner":{"x":1}}`},
		{
			"parents", known,
			Row{External: []byte(`"a"`), Fields: []byte(`{"account":{"Shop_Id__c":1187},"Owner":{"attributes":{"type":"User"},"Shop_Id__c":1},"Nope":{"Shop_Id__c":1}}`)},
			`{"Shop_Id__c":"a","account":{"Shop_Id__c":"1187"},"Owner":{"attributes":{"type":"User"},"Shop_Id__c":1},"Nope":{"Shop_Id__c":1}}`,
		},
		{"not known", nil, Row{External: []byte(`1187`), Fields: []byte(`{"LastName":5,"On__c":"true","Title":""}`)}, `{"Shop_Id__c":1187,"LastName":5,"On__c":"true","Title":null}`},
	} {
		var b bytes.Buffer
		if err := writeRecord(&b, tt.row, recordShape{field: "Shop_Id__c", named: "Shop_Id__c", known: tt.known, parent: parent}); err != nil || b.String() != tt.wanted {
			t.Errorf("%s: %s, %v; want %s", tt.name, b.String(), err, tt.wanted)
		}
	}
}
