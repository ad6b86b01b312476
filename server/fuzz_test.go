package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

// fakeOutbox remembers what it was asked for, so that a fuzzer does not wait for a disk.
type fakeOutbox struct {
	Outbox
	mu     sync.Mutex
	next   store.Seq
	put    []store.Event
	verb   string // of the newest call
	key    string
	filter store.Filter
	edit   *store.Edit
	said   store.Resolution
	accept store.Acceptance
}

func (f *fakeOutbox) Put(_ context.Context, events []store.Event, _ store.PutOptions) ([]store.PutResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]store.PutResult, len(events))
	for i := range all {
		f.next++
		all[i] = store.PutResult{Seq: f.next, State: store.Pending}
	}
	f.put = append(f.put, events...)
	return all, nil
}

func (f *fakeOutbox) called(verb, key string) (store.Record, error) {
	f.verb, f.key = verb, key
	return failedRecord(key), nil
}

func failedRecord(key string) store.Record {
	return store.Record{
		Key: key, State: store.Failed, Reason: store.ReasonFailed, Route: store.Route{Object: "Contact", Operation: "create"},
		Payload: []byte(`{"LastName":"Lovelace"}`),
	}
}

func (f *fakeOutbox) Get(_ context.Context, key string) (store.Record, error) {
	if event.CheckKey(key) != nil {
		return store.Record{}, store.ErrNotFound
	}
	if f.verb == "" {
		f.verb, f.key = "get", key
	}
	return failedRecord(key), nil
}

func (f *fakeOutbox) Retry(_ context.Context, key string, _ store.Move, e *store.Edit) (store.Record, error) {
	f.edit = e
	return f.called("retry", key)
}

func (f *fakeOutbox) Drop(_ context.Context, key string, _ store.Move) (store.Record, error) {
	return f.called("drop", key)
}

func (f *fakeOutbox) Resolve(_ context.Context, key string, _ store.Move, r store.Resolution) (store.Record, error) {
	f.said = r
	return f.called("resolve", key)
}

func (f *fakeOutbox) Resume(_ context.Context, _ string, a store.Acceptance) error {
	f.verb, f.accept = "resume", a
	return nil
}

func (f *fakeOutbox) Pause(context.Context, string) error { f.verb = "pause"; return nil }

func (f *fakeOutbox) Status(context.Context) (store.Status, error) { return store.Status{}, nil }

func (f *fakeOutbox) List(_ context.Context, filter store.Filter) (store.Page, error) {
	f.verb, f.filter = "list", filter
	return store.Page{}, nil
}

func (f *fakeOutbox) Stuck(_ context.Context, filter store.Filter) (store.StuckPage, error) {
	f.verb, f.filter = "stuck", filter
	return store.StuckPage{}, nil
}

func (f *fakeOutbox) RetryMany(_ context.Context, filter store.Filter, _ store.Move, _ bool) (matched, changed int64, err error) {
	f.verb, f.filter = "retry many", filter
	return 0, 0, nil
}

func (f *fakeOutbox) Attempt(_ context.Context, id store.AttemptID) (store.Attempt, error) {
	f.verb, f.key = "attempt", string(id)
	return store.Attempt{ID: id}, nil
}

func (f *fakeOutbox) Attempts(_ context.Context, limit int, cursor string) ([]store.Attempt, string, error) {
	f.verb, f.filter = "attempts", store.Filter{Limit: limit, Cursor: cursor}
	return nil, "", nil
}

func fuzzServer() (*Server, *fakeOutbox) {
	f := &fakeOutbox{}
	s := New(Config{}, Deps{Outbox: f, Dispatch: &fakeDispatch{}, Logger: discard()})
	s.Ready()
	return s, f
}

// serve calls the handler without a connection, as root.
func serve(s *Server, r *http.Request) answer {
	w := &recorder{status: http.StatusOK}
	s.Handler().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{uid: 0})))
	return answer{w.status, w.Header(), w.String()}
}

func post(path string, body []byte, media string, chunked bool) *http.Request {
	r, _ := http.NewRequest(http.MethodPost, "http://o"+path, bytes.NewReader(body))
	if chunked {
		r.ContentLength = -1
	}
	r.Header.Set("Content-Type", media)
	return r
}

// recorder is an answer that is kept.
type recorder struct {
	deadlineRecorder
	status int
}

func (r *recorder) WriteHeader(status int) { r.status = status }
func (r *recorder) Flush()                 {}

// checkProblem holds for every answer that is none of the good ones: the request was wrong, not the daemon.
func checkProblem(t *testing.T, a answer) {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != a.status || p.Code == "" || p.Code == api.CodeInternal || a.status >= 500 {
		t.Errorf("answered %d %q", a.status, a.body)
	}
}

// FuzzPut: an object, the elements of an array and the lines of NDJSON are each judged as if they came alone, each
// has one result, in their order and with its number, and what is stored is the event that was written.
func FuzzPut(f *testing.F) {
	for _, seed := range []string{
		contact("k", "1"), "[" + contact("a", "1") + ",{}]", contact("a", "1") + "\n\n{}\r\n", "[]", "", "\n", "[[],{\"a\":[1]}]", "{\"key\":\"\xff\"}", "[1", "\"", "nul", "[null]",
		"{\n}", contact("a", "1") + contact("b", "2"), contact("a", "1") + "\r" + contact("b", "2"), "\ufeff" + contact("a", "1"), contact("a", "1") + "\n" + contact("a", "1"),
		`{"object":"A","operation":"update","id":"0015g00000Kp7Qa","lane":" L ","after":["x"],"fields":{"B":{"$id_of":"y"},"C":1.50}}` + "\n[1]\n\x00\n",
	} {
		f.Add([]byte(seed), true, false)
		f.Add([]byte(seed), true, true)
		f.Add([]byte(seed), false, false)
	}
	s, outbox := fuzzServer()
	f.Fuzz(func(t *testing.T, body []byte, lines, chunked bool) {
		media := api.JSON
		if lines {
			media = api.NDJSON
		}
		outbox.put = nil
		a := serve(s, post("/v1/events", body, media, chunked))
		switch {
		case a.status == 200 && lines:
			checkResults(t, s, splitLinesSlowly(body), eachResult(t, a.body), outbox.put)
		case a.status == 200:
			var elements, results []json.RawMessage
			if json.Unmarshal(body, &elements) != nil || json.Unmarshal([]byte(a.body), &results) != nil {
				t.Fatalf("answered %q", a.body)
			}
			checkResults(t, s, numbered(elements), results, outbox.put)
		case a.status == 201 && !lines:
			checkResults(t, s, []element{{body, 1}}, eachResult(t, a.body), outbox.put)
		default:
			checkProblem(t, a)
			if len(outbox.put) > 0 {
				t.Errorf("refused, and stored all the same: %+v", outbox.put)
			}
		}
	})
}

// splitLinesSlowly cuts a body by the rule alone: lines end with LF, and blank ones count.
func splitLinesSlowly(body []byte) (all []element) {
	for i, line := range strings.Split(string(body), "\n") {
		if line = strings.Trim(line, " \t\r"); line != "" {
			all = append(all, element{[]byte(line), i + 1})
		}
	}
	return all
}

func numbered(elements []json.RawMessage) (all []element) {
	for i, e := range elements {
		all = append(all, element{e, i + 1})
	}
	return all
}

func eachResult(t *testing.T, body string) (all []json.RawMessage) {
	t.Helper()
	for line := range strings.Lines(body) {
		if !strings.HasSuffix(line, "\n") || !json.Valid([]byte(line)) {
			t.Fatalf("the result %q is not a line of JSON", line)
		}
		all = append(all, json.RawMessage(line))
	}
	return all
}

func checkResults(t *testing.T, s *Server, elements []element, results []json.RawMessage, stored []store.Event) {
	t.Helper()
	if len(results) != len(elements) {
		t.Fatalf("%d results of %d events: %s", len(results), len(elements), results)
	}
	for i, e := range elements {
		var got api.Result
		if err := json.Unmarshal(results[i], &got); err != nil {
			t.Fatalf("result %s: %v", results[i], err)
		}
		want, p := s.read(e.raw, "")
		switch {
		case p != nil && (got.Problem == nil || got.Problem.Code != p.Code || got.Problem.Line != e.line || got.Problem.Key != p.Key):
			t.Errorf("line %d, %q: got %s, alone it is %v", e.line, e.raw, results[i], p)
		case p == nil && got.Problem != nil:
			t.Errorf("line %d, %q: got %s, and alone it is good", e.line, e.raw, results[i])
		case p == nil && len(stored) == 0:
			t.Errorf("line %d, %q: %s, and not stored", e.line, e.raw, results[i])
		case p == nil:
			checkStored(t, e.raw, got.Key, want, stored[0])
			stored = stored[1:]
		}
	}
	if len(stored) > 0 {
		t.Errorf("stored besides: %+v", stored)
	}
}

// checkStored compares what went to the store with the event of the same JSON, and reads it back.
func checkStored(t *testing.T, raw []byte, key string, want, got store.Event) {
	t.Helper()
	var own struct{ Key, ID string }
	if json.Unmarshal(raw, &own); own.Key == "" {
		want.Key = got.Key // made by the server
	}
	if key != got.Key || !cmp.Equal(want, got) {
		t.Errorf("of %q, key %q: %s", raw, key, cmp.Diff(want, got))
	}
	back, err := acceptedEvent(&store.Record{Key: got.Key, Route: got.Route, Source: got.Source, Head: got.Head, Payload: got.Payload})
	if err == nil {
		err = back.Validate()
	}
	long := own.ID == "" || len(own.ID) == 18 // the short form is in the digest, and stored long
	if err != nil || long && store.Digest(back.Digest()) != got.Digest || back.LaneKey() != got.Lane || !slices.Equal(waitsFor(back), got.After) {
		t.Errorf("%q is stored as %+v, which reads %+v, %v", raw, got, back, err)
	}
}

// FuzzKey: a key that is accepted is found again under its percent-encoded URL, by each call on events, and in the
// header, quoted; no other key finds anything.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"k", "a/b", "%", "..%2f", "ü", "\"", "\\", "a b", "/", "\x00", "x/retry", "+", ";", ".", "..", "?", "#", "a?b#c", "%2F", "~", "//o/v1", "\u202e", ":"} {
		f.Add(seed)
	}
	s, outbox := fuzzServer()
	f.Fuzz(func(t *testing.T, key string) {
		for _, verb := range []string{"get", "retry", "drop"} {
			method, path := http.MethodPost, "/v1/events/"+url.PathEscape(key)+"/"+verb
			if verb == "get" {
				method, path = http.MethodGet, "/v1/events/"+url.PathEscape(key)
			}
			r, err := http.NewRequest(method, "http://o"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			outbox.verb, outbox.key = "", ""
			a := serve(s, r)
			switch valid := event.CheckKey(key) == nil; {
			case valid && (a.status != 200 || outbox.verb != verb || outbox.key != key):
				t.Errorf("%s %q is answered %d, %s of %q", verb, key, a.status, outbox.verb, outbox.key)
			case !valid && verb == "get" && key != "" && a.status != 404:
				t.Errorf("%q is answered %d", key, a.status)
			}
		}
		if event.CheckKey(key) != nil {
			return
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		got, err := headerKey(&http.Request{Header: http.Header{"Idempotency-Key": {quoted}}})
		if err != nil || got != key {
			t.Errorf("header %s gave %q, %v", quoted, got, err)
		}
	})
}

// FuzzPath: whatever a request line asks for, a call that names one thing names what its one segment says.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/v1/events/a%2Fb", "/v1/events/a/retry", "/v1/events/a%2Fretry", "/v1/events//retry", "/v1/events/%2e%2e/drop", "/v1/events/../status", "//v1/events/a",
		"/v1%2Fevents/a", "http://x/v1/events/a?b", "/v1/events/a;b", "/v1/events/%zz", "/v1/events/a#b", "*", "/v1/attempts/a%20b", "/v1/events/a/retry/", "/v1/events/retry",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	s, outbox := fuzzServer()
	f.Fuzz(func(t *testing.T, target string, get bool) {
		method := "POST"
		if get {
			method = "GET"
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: o\r\n\r\n")))
		if err != nil || r.URL.Path == "/metrics" || r.URL.Path == "/v1/outcomes" || r.URL.Path == "/v1/backup" {
			return // they ask for more than this outbox has
		}
		outbox.verb, outbox.key = "", ""
		a := serve(s, r)
		if a.status != 200 {
			checkProblem(t, a)
			return
		}
		if outbox.key == "" {
			return
		}
		path, _, _ := strings.Cut(r.RequestURI, "?")
		if !strings.HasPrefix(path, "/") { // it begins with a scheme, and a host perhaps
			_, path, _ = strings.Cut(path, ":")
			if host, ok := strings.CutPrefix(path, "//"); ok {
				path = host[max(0, strings.IndexByte(host, '/')):]
			}
		}
		segments := append(strings.Split(path, "/"), "get")
		want := map[string][]string{"get": {"", "v1", "events"}, "attempt": {"", "v1", "attempts"}}[outbox.verb]
		if want == nil {
			want = []string{"", "v1", "events"}
		}
		name, err := url.PathUnescape(segments[3])
		if err != nil || name != outbox.key || !slices.Equal(segments[:3], want) {
			t.Errorf("%s %q is %s of %q", method, target, outbox.verb, outbox.key)
		}
		if !get && (len(segments) != 6 || segments[4] != outbox.verb) {
			t.Errorf("%s %q is %s", method, target, outbox.verb)
		}
	})
}

// FuzzFilters: parameters select what they say, within their bounds, or are refused.
func FuzzFilters(f *testing.F) {
	for _, seed := range []string{
		"", "state=failed,in_doubt&limit=10", "object=Contact&operation=create&code=X&source=s", "older_than=36h&payload=true", "cursor=abc", "limit=0", "limit=1001", "limit=%2B5",
		"older_than=-1s", "older_than=2540400h", "state=,", "a=b", "object=a&object=b", "reason=blocked", "dry_run=true", "limit=1;state=failed", "object=%zz", "object=&limit=",
	} {
		f.Add(seed)
	}
	s, outbox := fuzzServer()
	f.Fuzz(func(t *testing.T, query string) {
		for verb, line := range map[string]string{"list": "GET /v1/events", "stuck": "GET /v1/stuck", "attempts": "GET /v1/attempts", "retry many": "POST /v1/stuck/retry"} {
			method, path, _ := strings.Cut(line, " ")
			r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, Body: http.NoBody}
			outbox.verb, outbox.filter = "", store.Filter{}
			a := serve(s, r)
			if a.status != 200 {
				checkProblem(t, a)
				if outbox.verb != "" {
					t.Errorf("%s?%s is answered %d after it was done", line, query, a.status)
				}
				continue
			}
			if outbox.verb != verb {
				t.Errorf("%s?%s is %s", line, query, outbox.verb)
			}
			checkFilter(t, query, outbox.filter)
		}
	})
}

func checkFilter(t *testing.T, query string, f store.Filter) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil || f.Limit < 0 || f.Limit > api.MaxPage || f.OlderThan < 0 {
		t.Errorf("%q selects %+v, %v", query, f, err)
	}
	for name, got := range map[string]string{
		"object": f.Object, "operation": f.Operation, "code": f.Code, "source": f.Source, "cursor": f.Cursor, "reason": string(f.Reason),
	} {
		if want := values[name]; len(want) > 1 || len(want) == 1 && want[0] != got || len(want) == 0 && got != "" {
			t.Errorf("%q selects %s %q", query, name, got)
		}
	}
	for _, state := range f.States {
		if !strings.Contains(values.Get("state"), state.String()) {
			t.Errorf("%q selects state %v", query, state)
		}
	}
	if values.Get("state") != "" && len(f.States) == 0 || values.Get("older_than") != "" && f.OlderThan == 0 && strings.ContainsAny(values.Get("older_than"), "123456789") && !strings.Contains(values.Get("older_than"), ".") {
		t.Errorf("%q selects %+v: everything", query, f)
	}
}

// FuzzMove: a move that is refused does nothing, and one that is made does what its body says.
func FuzzMove(f *testing.F) {
	for _, seed := range []string{
		"", " ", "{}", `{"delivered":true,"id":"0015g00000Kp7Qa"}`, `{"delivered":false}`, `{"delivered":false,"id":"0015g00000Kp7Qa"}`, `{"fields":{"LastName":"x"},"unset":["Email"]}`,
		`{"fields":{"A":{"$id_of":"k"}}}`, `{"unset":[]}`, `{"accept_org":true}`, `{"accept_restore":true,"accept_restore":false}`, `{"Delivered":true}`, `null`, `[]`, `{"fields":null}`, `{"delivered":null}`,
	} {
		for verb := range uint8(5) {
			f.Add(verb, []byte(seed), false)
		}
		f.Add(uint8(2), []byte(seed), true)
	}
	s, outbox := fuzzServer()
	f.Fuzz(func(t *testing.T, verb uint8, body []byte, chunked bool) {
		paths := []string{"/v1/events/k/retry", "/v1/events/k/drop", "/v1/events/k/resolve", "/v1/resume", "/v1/pause"}
		path := paths[int(verb)%len(paths)]
		*outbox = fakeOutbox{}
		a := serve(s, post(path, body, api.JSON, chunked))
		if a.status != 200 {
			checkProblem(t, a)
			if outbox.verb != "" && outbox.verb != "get" {
				t.Errorf("%s %q is answered %d after %s", path, body, a.status, outbox.verb)
			}
			return
		}
		if !strings.HasSuffix(path, "/"+outbox.verb) {
			t.Errorf("%s %q is %s", path, body, outbox.verb)
		}
		checkMove(t, body, outbox)
	})
}

func checkMove(t *testing.T, body []byte, outbox *fakeOutbox) {
	t.Helper()
	var said struct {
		Delivered     *bool
		ID            string
		AcceptOrg     bool `json:"accept_org"`
		AcceptRestore bool `json:"accept_restore"`
		Fields        map[string]json.RawMessage
		Unset         []string
	}
	if len(bytes.TrimSpace(body)) > 0 && json.Unmarshal(body, &said) != nil {
		t.Fatalf("%s by %q", outbox.verb, body)
	}
	switch outbox.verb {
	case "resolve":
		if said.Delivered == nil || *said.Delivered != outbox.said.Delivered || !strings.HasPrefix(outbox.said.ID, said.ID) || said.ID == "" && outbox.said.ID != "" {
			t.Errorf("%q is %+v", body, outbox.said)
		}
	case "resume":
		if said.AcceptOrg != outbox.accept.Org || said.AcceptRestore != outbox.accept.Restore {
			t.Errorf("%q is %+v", body, outbox.accept)
		}
	case "retry":
		if (len(said.Fields) > 0 || len(said.Unset) > 0) && (outbox.edit == nil || !json.Valid(outbox.edit.Payload)) {
			t.Errorf("%q is %+v", body, outbox.edit)
		}
	}
}
