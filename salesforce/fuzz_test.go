package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	fuzzToken  = "00D!AQ.to-ken"
	fuzzSecret = "s3cret-of-the-app"
)

// sameAnswer gives each call the same answer, without a network.
type sameAnswer struct {
	status int
	header http.Header
	body   string
	calls  []*http.Request
}

func (a *sameAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	a.calls = append(a.calls, r)
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

// answered is a client that is logged in and gets that answer; a status of none is made one.
func answered(t testing.TB, status int, content, body string) (*Client, *sameAnswer) {
	t.Helper()
	c, err := New(Config{
		LoginURL: "https://acme.my.salesforce.com", APIVersion: "auto",
		Auth: Credentials{Flow: FlowClientCredentials, ClientID: "id", ClientSecret: fuzzSecret},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &sameAnswer{status: 200 + int(uint(status)%400), header: http.Header{"Content-Type": {content}}, body: body}
	c.http.Transport, c.auth.transport = a, a
	c.tokens.current = &grant{token: fuzzToken, identity: Identity{InstanceURL: "https://acme.my.salesforce.com", APIVersion: MaxAPIVersion}}
	return c, a
}

// seedAnswers are bodies that a call may get, of the org and of others.
var seedAnswers = []string{
	expired, createdOne, `{"message":"m","errorCode":"X"}`, `["a","b"]`, `[{"success":false,"errors":[{"statusCode":"A"}]}]`,
	`<response><faultcode>LOGIN_OAUTH_INVALID_TOKEN(x)</faultcode>`, `<Errors><Error><errorCode>X</errorCode><message>m</message></Error></Errors>`,
	`null`, `[null]`, `[{"errorCode":"APEX_ERROR","message":"` + fuzzToken + ` said UNABLE_TO_LOCK_ROW"}]`,
	`[{"errorCode":"` + fuzzToken + `","fields":["` + fuzzToken + `","\u0007"]}]`, `[{"errorCode":"NOBODY_KNOWS_IT","message":"\u0000\u009b\u2028"}]`,
	`[{"id":"0015g00000Kp7Qa","success":true,"errors":[]},{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"` + fuzzToken + `","fields":["` + fuzzToken + `"]}]}]`,
	`{"done":true,"totalSize":1,"records":[{"Id":"0015g00000Kp7Qa"},null]}`,
	`{"done":false,"nextRecordsUrl":"/services/data/v66.0/query/01g-2000","records":[{"Id":"0015g00000Kp7Qa"}]}`,
	`{"done":false,"nextRecordsUrl":"//evil.example/services/data/v66.0/","records":[{}]}`, `{"done":true,"records":[]}`,
	`{"id":"7505g000003AbCdAAK","state":"JobComplete","numberRecordsProcessed":3,"numberRecordsFailed":1,"apiVersion":66.0,"createdDate":"2026-11-23T10:00:00.000+0000"}`,
	`{"id":"7505g000003AbCdAAK","state":"Failed","errorMessage":"InvalidBatch : Field name not found : X\u001b[2J"}`, contactDescribe,
	`{"id":"7505g000003AbCeAAK","state":"JobComplete"}`, `{"id":"7505g000003AbCd","state":"JobComplete","numberRecordsProcessed":-1}`,
	`{"DailyApiRequests":{"Max":15000,"Remaining":-2}}`, `<html>` + fuzzToken + `</html>`, `{`, ``,
}

func addAnswers(f *testing.F, statuses ...int) {
	f.Helper()
	for _, s := range seedAnswers {
		for _, status := range statuses {
			f.Add(status, "application/json", s)
		}
		f.Add(400, "text/html", s)
	}
}

// checkError holds for the error of every call: it is bounded, can be shown, gives no secret away, and proves nothing of a
// write that only Salesforce's own word proves.
func checkError(t *testing.T, err error, write bool) {
	t.Helper()
	e, ok := errors.AsType[*APIError](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	checkText(t, e.Code, 100)
	checkText(t, e.Message, maxMessage)
	checkText(t, e.RequestID, 100)
	checkNames(t, e.Fields)
	checkText(t, e.Error(), 3*maxMessage)
	switch {
	case e.Class < Ambiguous || e.Class > BadConfig:
		t.Errorf("class %v", e.Class)
	case write && !e.own && e.Class != Ambiguous:
		t.Errorf("class %v of an answer that is not Salesforce's: %v", e.Class, e)
	case write && e.own && !isKnownAnywhere(e) && e.Status >= 500 && e.Class != Ambiguous:
		t.Errorf("class %v of a code that nobody knows: %v", e.Class, e)
	case e.RetryAfter < 0 || e.RetryAfter > time.Hour:
		t.Errorf("retry after %v", e.RetryAfter)
	}
}

// isKnownAnywhere reports whether an error holds a word that the table of codes explains, or one of a family.
func isKnownAnywhere(e *APIError) bool {
	text := strings.ToUpper(e.Code + " " + e.Message)
	for _, c := range Codes() {
		if strings.Contains(text, c.Name) {
			return true
		}
	}
	for _, mark := range []string{"LIMIT", "TOO MANY", "EXTERNAL_OBJECT_", "EXCLUSIVE ACCESS", "CPU TIME", "HEAP SIZE"} {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}

func checkNames(t *testing.T, names []string) {
	t.Helper()
	if len(names) > maxFaultFields {
		t.Errorf("%d fields are blamed", len(names))
	}
	for _, name := range names {
		checkText(t, name, maxName)
	}
}

func checkText(t *testing.T, s string, most int) {
	t.Helper()
	if len(s) > most || !utf8.ValidString(s) || strings.Contains(s, fuzzToken) {
		t.Errorf("a text of %d bytes, of %d at most, that is not fit to be shown: %q", len(s), most, s)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			t.Fatalf("%q holds %U", s, r)
		}
	}
}

// FuzzAnswer: of an answer that is not the one hoped for, only Salesforce's own error proves something of a write.
func FuzzAnswer(f *testing.F) {
	addAnswers(f, 200, 400, 401, 500)
	f.Fuzz(func(t *testing.T, status int, content, body string) {
		a := &answer{status: status, header: http.Header{"Content-Type": {content}, "Retry-After": {body}, "X-Sfdc-Request-Id": {body}}, body: []byte(body), token: fuzzToken}
		for _, k := range []*call{{name: "x", write: true}, {name: "x"}} {
			e := k.fail(a)
			faults, own := a.faults()
			if own != e.own || own && len(faults) == 0 {
				t.Errorf("own %t, %v", own, faults)
			}
			checkError(t, e, k.write)
			if !k.write && e.Class == Ambiguous && !own {
				t.Error("a read that is in doubt")
			}
			if items, ok := decodeItems(a); ok && own && len(items) > 0 {
				t.Errorf("both items and an error: %s", body)
			}
			if own && content == "application/json" && !json.Valid([]byte(body)) {
				t.Errorf("an error of Salesforce's from a body that is no JSON: %s", body)
			}
		}
	})
}

// FuzzItems: an answer to n records tells of n, each with a verdict, or it is an error.
func FuzzItems(f *testing.F) {
	addAnswers(f, 0, 200)
	f.Fuzz(func(t *testing.T, status int, content, body string) {
		c, a := answered(t, status, content, body)
		results, err := c.items(context.Background(), &call{name: "x", method: http.MethodPost, write: true}, 2)
		if err != nil {
			checkFailure(t, err, true)
			return
		}
		var list []struct{ Success *bool }
		if json.Unmarshal([]byte(body), &list) != nil || len(list) != 2 || len(results) != 2 || len(a.calls) != 1 {
			t.Fatalf("%d results after %d calls of %s", len(results), len(a.calls), body)
		}
		for i, r := range results {
			if list[i].Success == nil || *list[i].Success != r.Success || r.Success && r.Code != "" || !r.Success && r.Code == "" {
				t.Errorf("result %d of %s: %+v", i, body, r)
			}
			checkResult(t, r)
		}
	})
}

func checkResult(t *testing.T, r Result) {
	t.Helper()
	checkText(t, r.Code, 100)
	checkText(t, r.Message, maxMessage)
	checkNames(t, r.Fields)
	if r.ID != "" && checkID(r.ID) != nil {
		t.Errorf("Id %q", r.ID)
	}
	if c := ClassOfRecord(r.Code, r.Message); c == Ambiguous {
		t.Errorf("%+v is ambiguous", r)
	}
}

// checkFailure is checkError for calls that may have to log in anew.
func checkFailure(t *testing.T, err error, write bool) {
	t.Helper()
	e, ok := errors.AsType[*AuthError](err)
	if !ok {
		checkError(t, err, write)
		return
	}
	checkText(t, e.Code, 100)
	checkText(t, e.Description, maxDescription)
	if strings.Contains(e.Error(), fuzzSecret) {
		t.Errorf("tells a secret: %v", e)
	}
}

// FuzzOne: a single-record call succeeds only by the org's word, and what it says of the record is the record's.
func FuzzOne(f *testing.F) {
	addAnswers(f, 1, 4, 200)
	f.Fuzz(func(t *testing.T, status int, content, body string) {
		c, a := answered(t, status, content, body)
		r, err := c.CreateOne(context.Background(), "Contact", Row{Fields: json.RawMessage(`{"LastName":"x"}`)}, Headers{})
		if err != nil {
			checkFailure(t, err, true)
			return
		}
		checkResult(t, r)
		var said struct{ Success *bool }
		if r.Success && a.status != http.StatusNoContent && (a.status > 299 || json.Unmarshal([]byte(body), &said) != nil || said.Success == nil || !*said.Success) {
			t.Errorf("%d %s is a success", a.status, body)
		}
	})
}

// FuzzQuery: no more rows than asked for, and no call but to the org's data.
func FuzzQuery(f *testing.F) {
	addAnswers(f, 0)
	f.Fuzz(func(t *testing.T, status int, content, body string) {
		const most = 5
		c, a := answered(t, status, content, body)
		rows, err := c.Query(context.Background(), "SELECT Id FROM Contact", false, most)
		if len(rows) > most || len(a.calls) > most+2 {
			t.Errorf("%d rows by %d calls of %s", len(rows), len(a.calls), body)
		}
		for _, r := range a.calls {
			if r.URL.Host != "acme.my.salesforce.com" || !strings.HasPrefix(r.URL.Path, "/services/") || strings.Contains(r.URL.Path, "/..") {
				t.Errorf("a call to %s by %s", r.URL, body)
			}
		}
		if err != nil && !errors.Is(err, ErrMoreRows) {
			checkFailure(t, err, false)
		}
	})
}

// FuzzJob: what is taken for a job is the one that was asked for, with a state.
func FuzzJob(f *testing.F) {
	addAnswers(f, 0)
	f.Fuzz(func(t *testing.T, status int, content, body string) {
		c, _ := answered(t, status, content, body)
		const id = "7505g000003AbCdAAK"
		j, err := c.Job(context.Background(), id)
		if err != nil {
			checkFailure(t, err, false)
			return
		}
		if !strings.HasPrefix(j.ID, id[:15]) || j.State == "" || j.Processed < 0 || j.Failed < 0 {
			t.Errorf("%s is %+v", body, j)
		}
		checkText(t, j.ErrorMessage, maxMessage)
		checkText(t, string(j.State), 100)
		_ = j.Fault()
	})
}

// FuzzDescribe: each field is found by its name, and what is no description is an error.
func FuzzDescribe(f *testing.F) {
	addAnswers(f, 0)
	f.Fuzz(func(t *testing.T, status int, content, body string) {
		c, _ := answered(t, status, content, body)
		o, err := c.Describe(context.Background(), "Contact")
		if err != nil {
			checkFailure(t, err, false)
			return
		}
		for _, field := range o.Fields {
			if found, ok := o.Field(field.Name); !ok || len(found.Name) == 0 && len(field.Name) > 0 {
				t.Errorf("%q is not found", field.Name)
			}
		}
		if !strings.EqualFold(o.Name, "Contact") {
			t.Errorf("asked for Contact, got %q", o.Name)
		}
	})
}

// FuzzLogin: whatever the token endpoint answers, a token goes to Salesforce's hosts alone, and no error tells a secret.
func FuzzLogin(f *testing.F) {
	for _, s := range append(slices.Clone(seedAnswers),
		`{"access_token":"t","instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/00D5e000000abcdEAA/0055e000000abcdAAA"}`,
		`{"access_token":"t","instance_url":"https://evil.example","id":"https://login.salesforce.com/id/00D5e000000abcdEAA/0055e000000abcdAAA"}`,
		`{"access_token":"t","instance_url":"https://acme.my.salesforce.com@evil.example"}`, `{"access_token":"t","instance_url":"https://x.salesforce.com:444/"}`,
		`{"error":"invalid_grant","error_description":"`+fuzzSecret+`\u001b[2J"}`, `access_token=t&instance_url=https%3A%2F%2Fx.salesforce.mil`,
	) {
		f.Add(0, "application/json", s)
		f.Add(200, "application/json", s)
		f.Add(0, "application/x-www-form-urlencoded", s)
	}
	f.Fuzz(func(t *testing.T, status int, content, body string) {
		c, a := answered(t, status, content, strings.ReplaceAll(body, fuzzToken, "t")) // there is no token yet
		c.tokens.current = nil
		_, err := c.Login(context.Background())
		for _, r := range a.calls {
			if host := r.URL.Hostname(); r.URL.Scheme != "https" || !strings.HasSuffix(strings.ToLower(host), ".salesforce.com") && !strings.HasSuffix(strings.ToLower(host), ".salesforce.mil") {
				t.Errorf("a call to %s by %s", r.URL, body)
			}
		}
		if err == nil {
			t.Errorf("logged in though the list of versions is %s", body) // the same answer serves both
			return
		}
		checkFailure(t, err, false)
	})
}

// FuzzRetryAfter: never negative, never longer than an hour.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"30", "-5", "999999999999", "Mon, 23 Nov 2026 10:01:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "soon", "+7", " 7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
		got := retryAfter(http.Header{"Retry-After": {s}}, now)
		if got < 0 || got > time.Hour {
			t.Errorf("retryAfter(%q) = %v", s, got)
		}
		if got > 0 && !strings.ContainsAny(s, "0123456789") {
			t.Errorf("retryAfter(%q) = %v without a figure", s, got)
		}
	})
}

// FuzzParseID: what is taken has the fifteen characters that were given, and is taken again as it is.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"0015g00000Kp7Qa", "0015g00000Kp7QaAAJ", "0015g00000kp7qaAAJ", "0015g00000Kp7Q/", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			if id != "" {
				t.Errorf("ParseID(%q) = %q, %v", s, id, err)
			}
			return
		}
		if again, err := ParseID(string(id)); err != nil || again != id || !strings.HasPrefix(string(id), s[:15]) || checkID(id) != nil {
			t.Errorf("ParseID(%q) = %q, again %q, %v", s, id, again, err)
		}
	})
}
