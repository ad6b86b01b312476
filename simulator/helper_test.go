package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testOrg is a simulator on a real socket, with a session.
type testOrg struct {
	testing.TB
	sim   *Simulator
	url   string
	token string
	http  *http.Client
}

func startOrg(t testing.TB, cfg Config) *testOrg {
	t.Helper()
	sim, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	base, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &testOrg{TB: t, sim: sim, url: base, http: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	t.Cleanup(func() {
		o.http.CloseIdleConnections()
		if err := sim.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	o.login()
	return o
}

func (o *testOrg) login() {
	o.Helper()
	r := o.form("/services/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {DefaultClientID}, "client_secret": {DefaultClientSecret},
	})
	o.token = r.json().(map[string]any)["access_token"].(string)
}

// reply is an answer read whole.
type reply struct {
	testing.TB
	status int
	header http.Header
	body   string
}

func (r *reply) json() any {
	r.Helper()
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		r.Fatalf("answer %d is not JSON: %v\n%s", r.status, err, r.body)
	}
	return v
}

// object is the answer as a JSON object.
func (r *reply) object() map[string]any {
	r.Helper()
	m, ok := r.json().(map[string]any)
	if !ok {
		r.Fatalf("answer %d is no object: %s", r.status, r.body)
	}
	return m
}

func (r *reply) items() []map[string]any {
	r.Helper()
	var list []map[string]any
	if err := json.Unmarshal([]byte(r.body), &list); err != nil {
		r.Fatalf("answer %d is no list: %v\n%s", r.status, err, r.body)
	}
	return list
}

// want checks the status and that the body contains a text.
func (r *reply) want(status int, text string) *reply {
	r.Helper()
	if r.status != status || !strings.Contains(r.body, text) {
		r.Fatalf("got %d %s\nwant %d with %s", r.status, r.body, status, text)
	}
	return r
}

// refused checks for an error array with one code and message.
func (r *reply) refused(status int, code, message string) *reply {
	r.Helper()
	var errs []apiError
	if err := json.Unmarshal([]byte(r.body), &errs); err != nil || len(errs) != 1 {
		r.Fatalf("got %d %s\nwant one error", r.status, r.body)
	}
	if r.status != status || errs[0].ErrorCode != code || !strings.Contains(errs[0].Message, message) {
		r.Fatalf("got %d %s\nwant %d %s: %s", r.status, r.body, status, code, message)
	}
	return r
}

// try sends a request with the session.
func (o *testOrg) try(method, path, body string, headers ...string) (*reply, error) {
	o.Helper()
	if strings.HasPrefix(path, "/sobjects") || strings.HasPrefix(path, "/jobs") || strings.HasPrefix(path, "/query") ||
		strings.HasPrefix(path, "/composite") || strings.HasPrefix(path, "/limits") {
		path = "/services/data/v66.0" + path
	}
	req, err := http.NewRequest(method, o.url+path, strings.NewReader(body))
	if err != nil {
		o.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return o.read(o.http.Do(req))
}

func (o *testOrg) read(resp *http.Response, err error) (*reply, error) {
	o.Helper()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := resp.Body.Close(); err != nil {
			o.Error(err)
		}
	}()
	body, err := io.ReadAll(resp.Body)
	return &reply{o.TB, resp.StatusCode, resp.Header, string(body)}, err
}

// do is try where an answer is expected.
func (o *testOrg) do(method, path, body string, headers ...string) *reply {
	o.Helper()
	r, err := o.try(method, path, body, headers...)
	if err != nil {
		o.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// lost expects the connection to end without a whole answer.
func (o *testOrg) lost(method, path, body string) {
	o.Helper()
	r, err := o.try(method, path, body)
	if err == nil {
		o.Fatalf("%s %s: got %d %s, want no answer", method, path, r.status, r.body)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "reset") {
		o.Fatalf("%s %s: %v", method, path, err)
	}
}

func (o *testOrg) form(path string, values url.Values, headers ...string) *reply {
	o.Helper()
	headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	r, err := o.try("POST", path, values.Encode(), headers...)
	if err != nil {
		o.Fatal(err)
	}
	return r
}

// create makes a row and returns its id.
func (o *testOrg) create(object, fields string) string {
	o.Helper()
	return o.do("POST", "/sobjects/"+object, fields).want(201, `"success":true`).object()["id"].(string)
}

// query runs SOQL.
func (o *testOrg) query(soql string) *reply {
	o.Helper()
	return o.do("GET", "/query?q="+url.QueryEscape(soql), "")
}

// ids runs SOQL and returns the ids in order.
func (o *testOrg) ids(soql string) []string {
	o.Helper()
	var out []string
	for _, r := range o.query(soql).want(200, "").object()["records"].([]any) {
		out = append(out, r.(map[string]any)["Id"].(string))
	}
	return out
}

// job makes a job, and returns its id.
func (o *testOrg) job(spec string) string {
	o.Helper()
	return o.do("POST", "/jobs/ingest", spec).want(200, `"state":"Open"`).object()["id"].(string)
}

// run takes a job with data to its end, and returns it as a poll shows it.
func (o *testOrg) run(spec, csv string) map[string]any {
	o.Helper()
	id := o.job(spec)
	o.upload(id, csv).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, `"state":"UploadComplete"`)
	return o.settle(id)
}

func (o *testOrg) upload(id, csv string) *reply {
	o.Helper()
	return o.do("PUT", "/jobs/ingest/"+id+"/batches", csv, "Content-Type", "text/csv")
}

// settle polls a job until its end.
func (o *testOrg) settle(id string) map[string]any {
	o.Helper()
	for {
		j := o.do("GET", "/jobs/ingest/"+id, "").want(200, "").object()
		switch j["state"] {
		case stateComplete, stateFailed, stateAborted:
			return j
		}
	}
}

func (o *testOrg) results(id any, file string) string {
	o.Helper()
	return o.do("GET", fmt.Sprintf("/jobs/ingest/%s/%s", id, file), "").want(200, "").body
}

func (o *testOrg) fault(f ...Fault) {
	o.Helper()
	if err := o.sim.SetFaults(f...); err != nil {
		o.Fatal(err)
	}
}

func (o *testOrg) effects(n int) []Effect {
	o.Helper()
	all := o.sim.Effects()
	if len(all) != n {
		o.Fatalf("got %d effects %+v, want %d", len(all), all, n)
	}
	return all
}

// await polls until a condition holds; the test's own time limit is the bound.
func await(holds func() bool) {
	for !holds() {
		runtime.Gosched()
	}
}

// awaitFault waits until the first fault has happened to something.
func (o *testOrg) awaitFault() {
	await(func() bool {
		o.sim.faults.mu.Lock()
		defer o.sim.faults.mu.Unlock()
		return o.sim.faults.list[0].fired > 0
	})
}
