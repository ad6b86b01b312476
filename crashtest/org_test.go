package crashtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/outboxd/outboxd/simulator"
)

// org is an org as seen from outside, which a test writes to without the daemon.
type org struct {
	t     testing.TB
	url   string
	token string
}

// at logs in to the org at an address.
func at(t testing.TB, address string) *org {
	t.Helper()
	o := &org{t: t, url: address}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"fake-client-id"}, "client_secret": {"fake-client-secret"}}
	o.must(http.PostForm(o.url+"/services/oauth2/token", form))(&answer)
	o.token = answer.AccessToken
	return o
}

// simulated is an org in this process.
func simulated(t testing.TB, cfg simulator.Config) (*simulator.Simulator, *org) {
	t.Helper()
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	address, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim, at(t, address)
}

// must reads a JSON answer that has to be a success.
func (o *org) must(res *http.Response, err error) func(into any) {
	o.t.Helper()
	return func(into any) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode >= 300 {
			o.t.Fatalf("%s: %s %s %v", res.Request.URL, res.Status, body, err)
		}
		if into != nil {
			if err := json.Unmarshal(body, into); err != nil {
				o.t.Fatalf("%s: %v in %s", res.Request.URL, err, body)
			}
		}
	}
}

// create makes records without the daemon and returns their Ids.
func (o *org) create(object string, n int, fields func(i int) map[string]any) []string {
	o.t.Helper()
	var ids []string
	for start := 0; start < n; start += 200 {
		var records []map[string]any
		for i := start; i < min(start+200, n); i++ {
			f := fields(i)
			f["attributes"] = map[string]string{"type": object}
			records = append(records, f)
		}
		body, err := json.Marshal(map[string]any{"allOrNone": false, "records": records})
		if err != nil {
			o.t.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPost, o.url+"/services/data/v66.0/composite/sobjects", bytes.NewReader(body))
		if err != nil {
			o.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+o.token)
		req.Header.Set("Content-Type", "application/json")
		var answers []struct {
			ID      string `json:"id"`
			Success bool   `json:"success"`
		}
		o.must(http.DefaultClient.Do(req))(&answers)
		for _, a := range answers {
			if !a.Success {
				o.t.Fatalf("create %s: %+v", object, answers[0])
			}
			ids = append(ids, a.ID)
		}
	}
	return ids
}
