package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recordedStep is one answer of a real org.
type recordedStep struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

func recorded(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := v.(*string); ok {
		*s = string(text)
		return
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// keysInOrder lists the names of a JSON object's members, or of each object
// in an array, with the kind of their values.
func keysInOrder(t *testing.T, text string) []string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	var keys []string
	expectKey := false
	depth := 0
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return keys
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' {
				depth++
				expectKey = true
			} else if v == '}' {
				depth--
			}
		default:
			if expectKey {
				keys = append(keys, v.(string))
			} else {
				keys[len(keys)-1] += fmt.Sprintf(" %T", v)
			}
			expectKey = !expectKey && depth > 0
		}
	}
}

const accounts = "Name,Description,NumberOfEmployees\n" +
	"TestAccount1,Description of TestAccount1,30\n" +
	"TestAccount2,Another description,40\n" +
	"TestAccount3,Yet another description,50\n"

func TestRecordedJob_SameStatusHeadersAndKeys(t *testing.T) {
	var steps map[string]recordedStep
	recorded(t, "bulk-v53.json", &steps)
	o := startOrg(t, Config{})
	const jobs = "/services/data/v53.0/jobs/ingest/"
	answers := make(map[string]*reply)
	answers["create"] = o.do("POST", jobs, `{"object":"Account","operation":"insert"}`)
	id := answers["create"].object()["id"].(string)
	answers["upload"] = o.do("PUT", jobs+id+"/batches", accounts, "Content-Type", "text/csv")
	answers["close"] = o.do("PATCH", jobs+id, `{"state":"UploadComplete"}`)
	o.settle(id)
	answers["abort_of_a_complete_job"] = o.do("PATCH", jobs+id, `{"state":"Aborted"}`)
	answers["results_or_delete_of_an_unknown_job"] = o.do("GET", jobs+"7500000000000AAAAA/failedResults", "")
	for name, want := range steps {
		t.Run(name, func(t *testing.T) {
			got := answers[name]
			if got == nil || got.status != want.Status {
				t.Fatalf("got %+v, want status %d", got, want.Status)
			}
			for header, value := range want.Headers {
				if got.header.Get(header) != value {
					t.Errorf("%s: got %q, want %q", header, got.header.Get(header), value)
				}
			}
			if name == "upload" {
				if got.body != "" {
					t.Errorf("body %q, want none", got.body)
				}
				return
			}
			wantKeys := keysInOrder(t, string(want.Body))
			gotKeys := keysInOrder(t, got.body)
			slices.Sort(wantKeys) // errors are recorded with their members the other way round
			slices.Sort(gotKeys)
			if diff := cmp.Diff(wantKeys, gotKeys); diff != "" {
				t.Errorf("keys (-want +got):\n%s\n%s", diff, got.body)
			}
		})
	}
	if name := "create"; !slices.Equal(keysInOrder(t, string(steps[name].Body)), keysInOrder(t, answers[name].body)) {
		t.Errorf("order of keys: %s", answers[name].body)
	}
	answers["close"].want(200, `"apiVersion":53.0`)
}

func TestRecordedJob_SameTexts(t *testing.T) {
	var steps map[string]recordedStep
	recorded(t, "bulk-v53.json", &steps)
	o := startOrg(t, Config{})
	j := o.run(`{"object":"Account","operation":"insert"}`, accounts)
	abort := o.do("PATCH", fmt.Sprintf("/jobs/ingest/%s", j["id"]), `{"state":"Aborted"}`)
	missing := o.do("DELETE", "/jobs/ingest/7500000000000AAAAA", "")
	for name, got := range map[string]*reply{"abort_of_a_complete_job": abort, "results_or_delete_of_an_unknown_job": missing} {
		var want any
		if err := json.Unmarshal(steps[name].Body, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.json()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

var anyID = regexp.MustCompile(`"[0-9A-Za-z]{18}"`)

// normal makes result files comparable: without ids, rows in order.
func normal(csv string) []string {
	lines := strings.Split(strings.TrimSuffix(anyID.ReplaceAllString(csv, `"ID"`), "\n"), "\n")
	slices.Sort(lines[1:])
	return lines
}

func TestRecordedResults_SameBytes(t *testing.T) {
	o := startOrg(t, Config{})
	good := o.run(`{"object":"Account","operation":"insert"}`, accounts)
	bad := o.run(`{"object":"Account","operation":"insert"}`,
		"Name,Description,NumberOfEmployees\n,Description of TestAccount1,30\n")
	for _, tt := range []struct {
		file string
		got  string
	}{
		{"successfulResults-v53.csv", o.results(good["id"], "successfulResults")},
		{"failedResults-none-v53.csv", o.results(good["id"], "failedResults")},
		{"unprocessedrecords-none-v53.csv", o.results(good["id"], "unprocessedrecords")},
		{"failedResults-v53.csv", o.results(bad["id"], "failedResults")},
	} {
		var want string
		recorded(t, tt.file, &want)
		if diff := cmp.Diff(normal(want), normal(tt.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.file, diff)
		}
	}
}

func TestRecordedLock_SameError(t *testing.T) {
	var want map[string]any
	recorded(t, "rest-errors.json", &want)
	o := startOrg(t, Config{})
	id := o.create("Account", `{"Name":"A"}`)
	o.fault(Fault{Do: "lock"})
	got := o.do("PATCH", "/sobjects/Account/"+id, `{"Name":"B"}`)
	if got.status != 400 {
		t.Errorf("status %d, want 400", got.status)
	}
	if diff := cmp.Diff(want["lock_short"], got.json()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
