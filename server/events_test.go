package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

func TestPut_NewThenDuplicateThenReused(t *testing.T) {
	r := start(t)
	first := r.post("/v1/events", contact("order-1187/contact", "1187"))
	if want := `{"key":"order-1187/contact","seq":1,"state":"pending","duplicate":false}` + "\n"; first.status != 201 || first.body != want {
		t.Errorf("got %d %s\nwant 201 %s", first.status, first.body, want)
	}
	again := r.post("/v1/events", "  "+contact("order-1187/contact", "1187"))
	if want := `{"key":"order-1187/contact","seq":1,"state":"pending","duplicate":true}` + "\n"; again.status != 200 || again.body != want {
		t.Errorf("got %d %s\nwant 200 %s", again.status, again.body, want)
	}
	p := wantProblem(t, r.post("/v1/events", contact("order-1187/contact", "1188")), 422, api.CodeKeyReused)
	if p.Key != "order-1187/contact" {
		t.Errorf("the problem names the key %q", p.Key)
	}
	d, err := r.client.Event(t.Context(), "order-1187/contact", 0)
	if err != nil || string(d.ExternalID.Value) != `"1187"` {
		t.Errorf("the stored event changed: %+v, %v", d, err)
	}
}

func TestPut_StateOfADuplicateIsTheOneOfNow(t *testing.T) {
	r := start(t)
	r.put(contact("k", "1"))
	r.settle(store.KindREST, deliver)
	got := want[api.Accepted](t, r.post("/v1/events", contact("k", "1")), 200)
	if got.State != "delivered" || got.Seq != 1 || !got.Duplicate {
		t.Errorf("got %+v", got)
	}
}

func TestPut_KeyComesFromHeaderBodyOrDaemon(t *testing.T) {
	r := start(t)
	const event = `{"object":"Contact","operation":"create","fields":{"LastName":"L"}}`
	for _, tt := range []struct{ name, header, body, key string }{
		{"bare header", "order-1", event, "order-1"},
		{"quoted header", `"order-2"`, event, "order-2"},
		{"quoted header with escapes", `"a\"b\\c"`, event, `a"b\c`},
		{"UTF-8 in the header", `"Zoë"`, event, "Zoë"},
		{"both, equal", "k3", `{"key":"k3",` + event[1:], "k3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := r.do("POST", "/v1/events", tt.body, "Content-Type", api.JSON, "Idempotency-Key", tt.header)
			if got := want[api.Accepted](t, a, 201); got.Key != tt.key {
				t.Errorf("key %q, want %q", got.Key, tt.key)
			}
		})
	}
	a := want[api.Accepted](t, r.post("/v1/events", event), 201)
	if len(a.Key) != 36 || a.Key[14] != '7' {
		t.Errorf("the daemon's key is %q, want a UUIDv7", a.Key)
	}
}

func TestPut_RefusesContradictingKeys(t *testing.T) {
	r := start(t)
	for _, tt := range []struct {
		name, media, body string
		headers           []string
	}{
		{"another key inside", api.JSON, contact("inside", "1"), []string{"outside"}},
		{"twice", api.JSON, contact("k", "1"), []string{"k", "k"}},
		{"empty", api.JSON, contact("k", "1"), []string{`""`}},
		{"dots", api.JSON, `{"object":"A","operation":"create","fields":{}}`, []string{".."}},
		{"not UTF-8", api.JSON, `{"object":"A","operation":"create","fields":{}}`, []string{"\xff"}},
		{"with an array", api.JSON, "[" + contact("k", "1") + "]", []string{"k"}},
		{"with lines", api.NDJSON, contact("k", "1"), []string{"k"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{"Content-Type", tt.media}
			for _, h := range tt.headers {
				headers = append(headers, "Idempotency-Key", h)
			}
			p := wantProblem(t, r.do("POST", "/v1/events", tt.body, headers...), 400, api.CodeInvalidEvent)
			if len(p.Errors) != 1 || p.Errors[0].Path != "key" {
				t.Errorf("errors %+v", p.Errors)
			}
		})
	}
	if st, _ := r.client.Status(t.Context()); st.Accepted != 0 {
		t.Errorf("%d events were stored", st.Accepted)
	}
}

func TestPut_MistakesNameTheirPlace(t *testing.T) {
	r := start(t)
	p := wantProblem(t, r.post("/v1/events", strings.Replace(contact("order-1", "1"), "fields", "filds", 1)), 400, api.CodeInvalidEvent)
	want := "filds: unknown member; did you mean fields?"
	if p.Detail != want || p.Key != "order-1" || len(p.Errors) == 0 || p.Errors[0].Path != "filds" {
		t.Errorf("got %+v, want detail %q", p, want)
	}
	p = wantProblem(t, r.post("/v1/events", "{}"), 400, api.CodeInvalidEvent)
	if p.Key != "" {
		t.Errorf("the problem names a key that nobody gave: %q", p.Key)
	}
	p = wantProblem(t, r.do("POST", "/v1/events", "{}", "Content-Type", api.JSON, "Idempotency-Key", "mine"), 400, api.CodeInvalidEvent)
	if p.Key != "mine" {
		t.Errorf("the problem names the key %q", p.Key)
	}
	for name, body := range map[string]string{"empty": " ", "cut": `{"key":"k"`, "not UTF-8": "{\"key\":\"\xff\"}", "two": contact("a", "1") + contact("b", "1"), "cut array": `[{}`, "array and more": `[] []`} {
		t.Run(name, func(t *testing.T) { wantProblem(t, r.post("/v1/events", body), 400, api.CodeMalformed) })
	}
}

func TestPut_TakesTheMediaTypesOfTheContractOnly(t *testing.T) {
	r := start(t)
	for _, tt := range []struct {
		media, encoding string
		status          int
	}{
		{api.JSON, "", 201},
		{"application/json; charset=UTF-8", "", 200},
		{"Application/JSON", "identity", 200},
		{"application/json; charset=latin1", "", 415},
		{"", "", 415},
		{"text/json", "", 415},
		{"application/x-www-form-urlencoded", "", 415},
		{api.JSON, "gzip", 415},
	} {
		var headers []string
		if tt.media != "" {
			headers = append(headers, "Content-Type", tt.media)
		}
		if tt.encoding != "" {
			headers = append(headers, "Content-Encoding", tt.encoding)
		}
		a := r.do("POST", "/v1/events", contact("k", "1"), headers...)
		if a.status != tt.status {
			t.Errorf("%q %q: status %d, want %d", tt.media, tt.encoding, a.status, tt.status)
		}
		if a.status == 415 {
			wantProblem(t, a, 415, api.CodeUnsupportedMediaType)
		}
	}
}

func TestPut_SizesAreBounded(t *testing.T) {
	r := start(t)
	big := func(n int) string {
		head := `{"key":"big","object":"Contact","operation":"create","fields":{"Description":"`
		return head + strings.Repeat("x", n-len(head)-3) + `"}}`
	}
	want[api.Accepted](t, r.post("/v1/events", big(api.MaxEvent)), 201)
	wantProblem(t, r.post("/v1/events", big(api.MaxEvent+1)), 413, api.CodeTooLarge)
	wantProblem(t, r.post("/v1/events", strings.Repeat(" ", api.MaxBatch+1)), 413, api.CodeTooLarge)
	many := "[" + strings.Repeat("{},", api.MaxEvents) + "{}]"
	wantProblem(t, r.post("/v1/events", many), 413, api.CodeTooLarge)
	wantProblem(t, r.ndjson("/v1/events?atomic=true", strings.Repeat("{}\n", api.MaxEvents+1)), 413, api.CodeTooLarge)

	// One line too long spoils neither its neighbours nor the stream.
	for _, length := range []int64{-1, 0} {
		body := contact("a", "1") + "\n" + big(api.MaxEvent+1) + "\n" + contact("b", "2") + "\n"
		var reader io.Reader = strings.NewReader(body)
		if length < 0 {
			reader = struct{ io.Reader }{reader} // chunked
		}
		all := results(t, r.doWith(r.http, "POST", "/v1/events", reader, "Content-Type", api.NDJSON))
		if len(all) != 3 || all[0].Problem != nil || all[2].Problem != nil || all[1].Problem == nil ||
			all[1].Problem.Code != api.CodeTooLarge || all[1].Problem.Line != 2 {
			t.Errorf("got %+v", all)
		}
	}
}

func TestPut_ArrayIsAnsweredInItsOwnFormat(t *testing.T) {
	r := start(t)
	a := r.post("/v1/events", "[ "+contact("a", "1")+",\n{\"object\":7}, "+contact("b", "2")+" ,"+contact("a", "9")+"]")
	all := want[[]api.Result](t, a, 200)
	if got := a.header.Get("Content-Type"); got != api.JSON {
		t.Errorf("media type %q", got)
	}
	if len(all) != 4 || all[0].Key != "a" || all[2].Key != "b" || all[1].Problem == nil || all[1].Problem.Line != 2 ||
		all[3].Problem == nil || all[3].Problem.Code != api.CodeKeyReused || all[3].Problem.Key != "a" || all[3].Problem.Line != 4 {
		t.Errorf("got %s", a.body)
	}
	if a := r.post("/v1/events", "[]"); a.status != 200 || strings.TrimSpace(a.body) != "[]" {
		t.Errorf("an empty array is answered %d %q", a.status, a.body)
	}
}

func TestPut_LinesHaveResultsInOrder(t *testing.T) {
	for _, way := range []string{"length known", "chunked"} {
		t.Run(way, func(t *testing.T) {
			r := start(t)
			var body bytes.Buffer
			const n = 5000
			for i := range n {
				switch {
				case i%1000 == 7:
					body.WriteString("\n  \r\n")
				case i%100 == 3:
					body.WriteString("{\"bad\":1}\r\n")
				default:
					body.WriteString(contact(fmt.Sprint("k-", i), fmt.Sprint(i)) + "\n")
				}
			}
			body.Truncate(body.Len() - 1) // the last line has no line feed
			var reader io.Reader = bytes.NewReader(body.Bytes())
			if way == "chunked" {
				reader = struct{ io.Reader }{reader}
			}
			all := results(t, r.doWith(r.http, "POST", "/v1/events", reader, "Content-Type", api.NDJSON))
			checkOrder(t, all, n)
		})
	}
}

// checkOrder: line i of the test above has its result at its place.
func checkOrder(t *testing.T, all []api.Result, n int) {
	t.Helper()
	next, line, seq := 0, 0, uint64(0)
	for i := range n {
		line++
		if i%1000 == 7 {
			line++
			continue
		}
		if next >= len(all) {
			t.Fatalf("only %d results", len(all))
		}
		got := all[next]
		next++
		if i%100 == 3 {
			if got.Problem == nil || got.Problem.Code != api.CodeInvalidEvent || got.Problem.Line != line {
				t.Fatalf("event %d: got %+v, want a problem of line %d", i, got, line)
			}
			continue
		}
		if got.Problem != nil || got.Key != fmt.Sprint("k-", i) || got.Seq <= seq {
			t.Fatalf("event %d: got %+v after seq %d", i, got, seq)
		}
		seq = got.Seq
	}
	if next != len(all) {
		t.Errorf("%d results too many", len(all)-next)
	}
}

func TestPut_StreamAnswersWhileItIsSent(t *testing.T) {
	r := start(t)
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://outboxd/v1/events", pr)
	must(t, err)
	req.Header.Set("Content-Type", api.NDJSON)
	go io.WriteString(pw, contact("k-0", "0")+"\n")
	res, err := r.http.Do(req)
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 5 {
		line, err := lines.ReadString('\n')
		must(t, err)
		var got api.Result
		must(t, json.Unmarshal([]byte(line), &got))
		if got.Key != fmt.Sprint("k-", i) {
			t.Fatalf("result %d is %s", i, line)
		}
		// The next line is only sent once this one was answered.
		io.WriteString(pw, contact(fmt.Sprint("k-", i+1), fmt.Sprint(i+1))+"\n")
	}
	pw.Close()
	rest, err := io.ReadAll(lines)
	if err != nil || strings.Count(string(rest), "\n") != 1 {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

func TestPut_EmptyLinesAreNoMistake(t *testing.T) {
	r := start(t)
	for _, body := range []string{"", "\n", "\n \r\n\n"} {
		if a := r.do("POST", "/v1/events", body, "Content-Type", api.NDJSON); a.status != 200 || a.body != "" {
			t.Errorf("%q is answered %d %q", body, a.status, a.body)
		}
	}
	if a := r.ndjson("/v1/events?atomic=true", ""); a.status != 200 || a.body != "" {
		t.Errorf("nothing, atomic, is answered %d %q", a.status, a.body)
	}
}

func TestPut_CutStreamKeepsWhatWasAnsweredAndNoHalfLine(t *testing.T) {
	r := start(t)
	pr, pw := io.Pipe()
	go func() {
		io.WriteString(pw, contact("whole", "1")+"\n"+contact("half", "2"))
		pw.CloseWithError(errors.New("cut"))
	}()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://outboxd/v1/events", pr)
	must(t, err)
	req.Header.Set("Content-Type", api.NDJSON)
	if res, err := r.http.Do(req); err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			t.Error("a cut stream was answered as if it were whole")
		}
	}
	if _, err := r.client.Event(t.Context(), "half", 0); problemCode(err) != api.CodeUnknownKey {
		t.Errorf("half a line: %v", err)
	}
}

func TestPut_AtomicIsAllOrNothing(t *testing.T) {
	for _, way := range []string{api.JSON, api.NDJSON} {
		t.Run(way, func(t *testing.T) {
			r := start(t)
			send := func(events ...string) answer {
				if way == api.JSON {
					return r.post("/v1/events?atomic=true", "["+strings.Join(events, ",")+"]")
				}
				return r.ndjson("/v1/events?atomic=true", events...)
			}
			r.put(contact("old", "1"))
			p := wantProblem(t, send(contact("a", "1"), contact("old", "2"), contact("b", "3")), 422, api.CodeKeyReused)
			if len(p.Errors) != 1 || p.Errors[0].Line != 2 || p.Errors[0].Code != api.CodeKeyReused || p.Errors[0].Key != "old" {
				t.Errorf("errors %+v", p.Errors)
			}
			p = wantProblem(t, send(contact("a", "1"), `{"object":7}`, `{"objct":"A"}`), 400, api.CodeInvalidEvent)
			if len(p.Errors) < 2 || p.Errors[0].Line != 2 || p.Errors[len(p.Errors)-1].Line != 3 {
				t.Errorf("errors %+v", p.Errors)
			}
			if st, _ := r.client.Status(t.Context()); st.Accepted != 1 {
				t.Errorf("%d events are stored, want 1", st.Accepted)
			}
			if a := send(contact("a", "1"), contact("old", "1"), contact("b", "3")); a.status != 200 || strings.Count(a.body, `"seq"`) != 3 {
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}
}

func TestPut_FullOutboxIs507AndStoresNothing(t *testing.T) {
	r := start(t, func(s *setup) { s.store.MaxSize = store.MinSize })
	filler := func(i int) string {
		return fmt.Sprintf(`{"key":"f-%d","object":"Contact","operation":"create","fields":{"Description":"%s"}}`, i, strings.Repeat("x", 900<<10))
	}
	var a answer
	for i := range 20 {
		if a = r.post("/v1/events", filler(i)); a.status != 201 {
			break
		}
	}
	wantProblem(t, a, 507, api.CodeOutboxFull)
	all := results(t, r.ndjson("/v1/events", filler(100), `{"bad":1}`))
	if len(all) != 2 || all[0].Problem == nil || all[0].Problem.Code != api.CodeOutboxFull || all[1].Problem.Code != api.CodeInvalidEvent {
		t.Errorf("got %+v", all)
	}
	wantProblem(t, r.ndjson("/v1/events?atomic=true", filler(100)), 507, api.CodeOutboxFull)
	wantProblem(t, r.get("/v1/events/f-100"), 404, api.CodeUnknownKey)
}

func TestPut_UnknownCommitCutsTheConnection(t *testing.T) {
	for _, applied := range []bool{false, true} {
		fault := storetest.UnknownBefore
		if applied {
			fault = storetest.UnknownApplied
		}
		for name, send := range map[string]func(r *rig) error{
			"one":    func(r *rig) error { _, err := r.client.PutEvent(r.ctx, []byte(contact("k", "1")), ""); return err },
			"atomic": func(r *rig) error { _, err := r.client.PutAtomic(r.ctx, []byte(contact("k", "1"))); return err },
			"stream": func(r *rig) error {
				return r.client.PutStream(r.ctx, strings.NewReader(contact("k", "1")+"\n"), func(api.Result) error { return nil })
			},
		} {
			t.Run(fmt.Sprint(name, applied), func(t *testing.T) {
				r := start(t)
				r.failAt("Put", fault)
				if err := send(r); !errors.Is(err, client.ErrCut) {
					t.Fatalf("got %v, want ErrCut", err)
				}
				r.fail(nil)
				got := r.post("/v1/events", contact("k", "1"))
				if wantStatus := map[bool]int{false: 201, true: 200}[applied]; got.status != wantStatus {
					t.Errorf("the repeat is answered %d, want %d", got.status, wantStatus)
				}
			})
		}
	}
}

func TestPut_UnavailableStoreIs503(t *testing.T) {
	r := start(t)
	r.fail(func(string) storetest.Fault { return storetest.Unavailable })
	wantProblem(t, r.post("/v1/events", contact("k", "1")), 503, api.CodeUnavailable)
	all := results(t, r.ndjson("/v1/events", contact("k", "1"), contact("l", "2")))
	if len(all) != 2 || all[0].Problem.Code != api.CodeUnavailable || all[1].Problem.Line != 2 {
		t.Errorf("got %+v", all)
	}
	wantProblem(t, r.get("/v1/status"), 503, api.CodeUnavailable)
}

func TestPut_SchemaMismatchIsRefused(t *testing.T) {
	r := start(t, func(s *setup) { s.deps.Schema = refuseNope })
	p := wantProblem(t, r.post("/v1/events", strings.Replace(contact("k", "1"), "LastName", "Nope__c", 1)), 422, api.CodeSchemaMismatch)
	if len(p.Errors) != 1 || p.Errors[0].Path != "fields.Nope__c" || p.Key != "k" {
		t.Errorf("got %+v", p)
	}
	r.put(contact("k", "1"))
}

// Of a line of many the detail is all that a person is shown.
func TestPut_SchemaMismatchSaysThatThereAreMore(t *testing.T) {
	r := start(t, func(s *setup) {
		s.deps.Schema = func(e *event.Event) []api.ProblemError {
			return []api.ProblemError{{Path: "fields.A", Detail: "no"}, {Path: "fields.B", Detail: "no"}, {Path: "fields.C", Detail: "no"}}
		}
	})
	p := wantProblem(t, r.post("/v1/events", contact("k", "1")), 422, api.CodeSchemaMismatch)
	if p.Detail != "fields.A: no (and 2 more)" || len(p.Errors) != 3 {
		t.Errorf("got %+v", p)
	}
}

// What was accepted before the org's schema was known is recognised all the
// same: its honest repeat must not be told that it was never stored.
func TestPut_RepeatOfWhatWasAcceptedIsNoMismatch(t *testing.T) {
	var known atomic.Bool
	r := start(t, func(s *setup) {
		s.deps.Schema = func(e *event.Event) []api.ProblemError {
			if !known.Load() {
				return nil
			}
			return refuseNope(e)
		}
	})
	bad := strings.Replace(contact("k", "1"), "LastName", "Nope__c", 1)
	r.put(bad)
	known.Store(true)
	if a := want[api.Accepted](t, r.post("/v1/events", bad), 200); !a.Duplicate {
		t.Errorf("got %+v, want a duplicate", a)
	}
	wantProblem(t, r.post("/v1/events", strings.Replace(bad, "Nope__c", "Nope__c\":1,\"Other__c", 1)), 422, api.CodeKeyReused)
	wantProblem(t, r.post("/v1/events", strings.Replace(bad, `"k"`, `"l"`, 1)), 422, api.CodeSchemaMismatch)
}

func problemCode(err error) api.Code {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return p.Code
	}
	return ""
}

func TestPut_WaitsForTheEventsThatFieldsReferTo(t *testing.T) {
	r := start(t)
	r.put(`{"key":"c","object":"Contact","operation":"create","after":["a"],"fields":{"AccountId":{"$id_of":"acc"},"ReportsToId":{"$id_of":"a"}}}`)
	record, err := r.store.Get(t.Context(), "c")
	if err != nil || strings.Join(record.After, " ") != "a acc" {
		t.Errorf("it waits for %v, %v", record.After, err)
	}
	if d := want[api.Document](t, r.get("/v1/events/c"), 200); strings.Join(d.After, " ") != "a" {
		t.Errorf("shown as its own: %v", d.After)
	}
}

func TestPut_CutBodyIsMalformed(t *testing.T) {
	r := start(t)
	for _, media := range []string{api.JSON, api.NDJSON} {
		conn, err := r.dial(t.Context(), "", "")
		must(t, err)
		body := contact("k", "1")
		fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: o\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", media, len(body)+1, body)
		must(t, conn.(*net.UnixConn).CloseWrite())
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		text, err := io.ReadAll(res.Body)
		must(t, err)
		conn.Close()
		wantProblem(t, answer{res.StatusCode, res.Header, string(text)}, 400, api.CodeMalformed)
	}
	wantProblem(t, r.get("/v1/events/k"), 404, api.CodeUnknownKey)
}
