package salesforce

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const expired = `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`

func TestCall_ReplaysOnceAfterTheSessionEnded(t *testing.T) {
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-2" {
			answerJSON(w, 401, expired)
			return
		}
		answerJSON(w, 200, createdOne)
	})
	if err := createOne(org.client(t)); err != nil {
		t.Fatal(err)
	}
	calls := org.seen()
	if len(calls) != 2 || org.loginCount() != 2 || calls[0].Body != calls[1].Body {
		t.Errorf("%d calls, %d logins, want the same body twice and 2 logins", len(calls), org.loginCount())
	}
}

func TestCall_401ThatNoLoginCures(t *testing.T) {
	for _, tt := range []struct {
		name          string
		token         string // of every login
		content, body string
		header        string
		class         Class
		calls, logins int
	}{
		{"the same token again", "same", "application/json", expired, "", Auth, 1, 2},
		{"again with the new token", "", "application/json", expired, "", Auth, 2, 2},
		{"not for the REST API", "", "application/json", `[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]`, "", Auth, 1, 1},
		{"app not attached", "", "application/json", `[{"message":"Connected app is not attached to Agent","errorCode":"INVALID_SESSION_ID"}]`, "", Auth, 1, 1},
		{"bad header", "", "application/json", `[{"message":"INVALID_HEADER_TYPE","errorCode":"INVALID_AUTH_HEADER"}]`, "", Auth, 1, 1},
		{"a proxy's", "", "text/html", `<html>login to the proxy</html>`, "", Ambiguous, 1, 1},
		{"no body", "", "", ``, "", Ambiguous, 1, 1},
		{"XML of the OAuth layer", "", "text/html", `<response><faultcode>LOGIN_OAUTH_INVALID_TOKEN(x)</faultcode></response>`, "1703", Auth, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
				if tt.header != "" {
					w.Header().Set("Sfdc-OAuth-Error", tt.header)
				}
				answering(401, tt.content, tt.body)(w, r)
			})
			if tt.token != "" {
				org.token = func(int) string { return tt.token }
			}
			err := createOne(org.client(t))
			if ClassOf(err) != tt.class {
				t.Errorf("Create() = %v, class %v, want %v", err, ClassOf(err), tt.class)
			}
			if calls := len(org.seen()); calls != tt.calls || org.loginCount() != tt.logins {
				t.Errorf("%d calls, %d logins, want %d, %d", calls, org.loginCount(), tt.calls, tt.logins)
			}
		})
	}
}

func TestCall_ConcurrentExpiryLogsInOnce(t *testing.T) {
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			answerJSON(w, 401, expired)
			return
		}
		answerJSON(w, 200, createdOne)
	})
	c := org.client(t)
	if _, err := c.Login(context.Background()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := createOne(c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := org.loginCount(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestCall_403NeverLogsInAgain(t *testing.T) {
	org := newFakeOrg(t, answering(403, "application/json", `[{"message":"no","errorCode":"INSUFFICIENT_ACCESS"}]`))
	err := createOne(org.client(t))
	if ClassOf(err) != BadConfig || org.loginCount() != 1 {
		t.Errorf("Create() = %v, class %v, %d logins, want bad_config, 1", err, ClassOf(err), org.loginCount())
	}
}

func TestCall_CarriesWhatItShould(t *testing.T) {
	org := newFakeOrg(t, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "BrowserId", Value: "x"})
		answerJSON(w, 200, createdOne)
	})
	yes, no := true, false
	c := org.client(t)
	for range 2 {
		if _, err := c.Create(context.Background(), "Lead", []Row{contact(`{}`)}, Headers{AllowSave: &yes, AutoAssign: &no}); err != nil {
			t.Fatal(err)
		}
	}
	got := org.seen()[1]
	for name, want := range map[string]string{
		"Authorization":                "Bearer token-1",
		"Content-Type":                 "application/json; charset=UTF-8",
		"Accept":                       "application/json",
		"Sforce-Call-Options":          "client=outboxd/1.0",
		"Sforce-Mru":                   "updateMru=false",
		"Sforce-Duplicate-Rule-Header": "allowSave=true",
		"Sforce-Auto-Assign":           "FALSE",
		"Idempotency-Key":              "",
		"X-Idempotency-Key":            "",
		"Cookie":                       "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if got.ContentLength != int64(len(got.Body)) || len(got.Transfer) != 0 {
		t.Errorf("length %d of %d bytes, transfer %v, want a length", got.ContentLength, len(got.Body), got.Transfer)
	}
}

// What a write's end proves. The whole point of the package: everything is ambiguous but what is listed as not.
func TestWrite_WhatItsEndProves(t *testing.T) {
	ok := createdOne
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		class  Class
	}{
		{"connection cut", dropping, Ambiguous},
		{"body cut", cutting("application/json", ok), Ambiguous},
		{"chunks cut", cuttingChunks("application/json", ok), Ambiguous},
		{"200 with HTML", answering(200, "text/html", "<html>"), Ambiguous},
		{"200 with JSON called HTML", answering(200, "text/html", ok), Ambiguous},
		{"200 without a type", answering(200, "", ok), Ambiguous},
		{"200 and half a JSON", answering(200, "application/json", ok[:20]), Ambiguous},
		{"200 and nothing", answering(200, "application/json", ""), Ambiguous},
		{"200 and no items", answering(200, "application/json", "[]"), Ambiguous},
		{"200 and null", answering(200, "application/json", "null"), Ambiguous},
		{"200 and too many items", answering(200, "application/json", "["+ok[1:len(ok)-1]+","+ok[1:]), Ambiguous},
		{"204", answering(204, "", ""), Ambiguous},
		{"500 with HTML", answering(500, "text/html", "<html>"), Ambiguous},
		{"502 empty", answering(502, "", ""), Ambiguous},
		{"503 maintenance page", answering(503, "text/html", "We are down for maintenance."), Ambiguous},
		{"503 of a proxy in JSON", answering(503, "application/json", `{"error":"upstream"}`), Ambiguous},
		{"504", answering(504, "text/plain", "timeout"), Ambiguous},
		{"400 bare", answering(400, "text/plain", "Bad Request"), Ambiguous},
		{"404 of a proxy", answering(404, "text/html", "<html>"), Ambiguous},
		{"406 empty", answering(406, "", ""), Ambiguous},
		{"420", answering(420, "text/html", "<html>"), Ambiguous},
		{"429 of an edge", answering(429, "text/plain", "slow down"), Ambiguous},
		{"gzip that was cut", gzipped(ok, -4), Ambiguous},
		{"an encoding not asked for", encoded("br", ok), Ambiguous},

		{"unknown exception", salesforceSays(500, "UNKNOWN_EXCEPTION", "ErrorId: 1-2 (3)"), Ambiguous},
		{"unknown code with 500", salesforceSays(500, "NEVER_SEEN", ""), Ambiguous},
		{"ran too long", salesforceSays(503, "REQUEST_RUNNING_TOO_LONG", ""), Ambiguous},
		{"unavailable", salesforceSays(503, "SERVER_UNAVAILABLE", ""), PauseOrg},
		{"daily limit", salesforceSays(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), PauseQuota},
		{"concurrent limit", salesforceSays(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."), PauseOrg},
		{"long transactions", salesforceSays(503, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."), PauseOrg},
		{"read-only", salesforceSays(400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", ""), PauseOrg},
		{"no API for the user", salesforceSays(403, "API_DISABLED_FOR_ORG", ""), Auth},
		{"object unknown", salesforceSays(404, "NOT_FOUND", "The requested resource does not exist"), BadConfig},
		{"malformed", salesforceSays(400, "JSON_PARSER_ERROR", ""), Split},
		{"unknown code with 400", salesforceSays(400, "NEVER_SEEN", ""), Split},
		{"too many rows", salesforceSays(400, "EXCEEDED_ID_LIMIT", ""), Split},
		{"version retired", salesforceSays(410, "UNSUPPORTED_API_VERSION", ""), PauseOrg},
		{"an error object, not a list", answering(503, "application/json", `{"message":"m","errorCode":"SERVER_UNAVAILABLE"}`), PauseOrg},
		{"two errors, one ambiguous", answering(500, "application/json", `[{"errorCode":"SERVER_UNAVAILABLE"},{"errorCode":"UNKNOWN_EXCEPTION"}]`), Ambiguous},
		{"a call's error with 200", salesforceSays(200, "SERVER_UNAVAILABLE", ""), PauseOrg},
	} {
		t.Run(tt.name, func(t *testing.T) {
			org := newFakeOrg(t, tt.handle)
			err := createOne(org.client(t))
			if err == nil || ClassOf(err) != tt.class {
				t.Errorf("Create() = %v, class %v, want %v", err, ClassOf(err), tt.class)
			}
			if n := len(org.seen()); n != 1 {
				t.Errorf("sent %d times, want once", n)
			}
		})
	}
}

func salesforceSays(status int, code, message string) http.HandlerFunc {
	return answering(status, "application/json;charset=UTF-8", fmt.Sprintf(`[{"message":%q,"errorCode":%q}]`, message, code))
}

func gzipped(body string, cut int) http.HandlerFunc {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, body)
	z.Close()
	return encoded("gzip", b.String()[:b.Len()+cut])
}

func encoded(encoding, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", encoding)
		answering(200, "application/json", body)(w, r)
	}
}

func TestCall_UnpacksWhatItAskedFor(t *testing.T) {
	org := newFakeOrg(t, gzipped(createdOne, 0))
	if err := createOne(org.client(t)); err != nil {
		t.Error(err)
	}
	if got := org.seen()[0].Header.Get("Accept-Encoding"); got != "gzip" {
		t.Errorf("Accept-Encoding: %q", got)
	}
}

func TestUnpack_RefusesABomb(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	zeros := make([]byte, 1<<20)
	for range 80 {
		z.Write(zeros)
	}
	z.Close()
	body, err := unpack(&http.Response{Header: http.Header{"Content-Encoding": {"gzip"}}, Body: io.NopCloser(&packed)})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, body)
	if !errors.Is(err, errRatio) || n > freeGrowth+1<<20 {
		t.Errorf("read %d bytes, %v, want %v after some %d", n, err, errRatio, freeGrowth)
	}
}

func TestWrite_NothingLeftIsProved(t *testing.T) {
	refusing := func(t *testing.T) func(*Config) {
		return func(cfg *Config) {
			cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("connect: connection refused")
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T) func(*Config)
	}{
		{"refused", refusing},
		{"never connected", func(*testing.T) func(*Config) {
			return func(cfg *Config) {
				cfg.Timeout = time.Millisecond
				cfg.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			org := newFakeOrg(t, nil)
			logged := org.client(t)
			g, err := logged.tokens.get(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			c := org.client(t, tt.change(t))
			c.tokens.current = g
			err = createOne(c)
			e, ok := errors.AsType[*APIError](err)
			if !ok || e.Class != PauseOrg || e.Code != CodeTransport || e.Status != 0 || !e.Unavailable() {
				t.Errorf("Create() = %#v, want PauseOrg, TRANSPORT", err)
			}
		})
	}
}

func TestWrite_TLSFailureIsProved(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	server.Config.ErrorLog = (&logBuffer{}).stdLogger()
	org := newFakeOrg(t, nil)
	c := org.client(t)
	c.tokens.current = &grant{token: "t", identity: Identity{InstanceURL: server.URL, APIVersion: "66.0"}} // a certificate that nobody knows
	err := createOne(c)
	if ClassOf(err) != PauseOrg {
		t.Errorf("Create() = %v, class %v, want pause_org", err, ClassOf(err))
	}
}

func TestWrite_TimeoutIsAmbiguous(t *testing.T) {
	arrived := make(chan struct{})
	org := newFakeOrg(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	c := org.client(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := c.Create(ctx, "Contact", []Row{contact(`{}`)}, noHeaders)
	if ClassOf(err) != Ambiguous || !errors.Is(err, context.Canceled) {
		t.Errorf("Create() = %v, class %v, want ambiguous, canceled", err, ClassOf(err))
	}
}

func TestWrite_CancelledBeforeItLeftIsRetry(t *testing.T) {
	org := newFakeOrg(t, answering(200, "application/json", createdOne))
	c := org.client(t)
	if err := createOne(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.Create(ctx, "Contact", []Row{contact(`{}`)}, noHeaders)
	if ClassOf(err) != Retry || len(org.seen()) != 1 {
		t.Errorf("Create() = %v, class %v, %d calls, want retry, 1", err, ClassOf(err), len(org.seen()))
	}
}

// A server that closes its idle connections is met at the next write. Either nothing was written to the closed one, or the
// end is ambiguous; in no case does the write arrive twice.
func TestWrite_OnADyingConnectionArrivesOnce(t *testing.T) {
	org := newFakeOrg(t, answering(200, "application/json", createdOne))
	c := org.client(t)
	for range 20 {
		before := len(org.seen())
		org.Server.CloseClientConnections()
		err := createOne(c)
		n := len(org.seen()) - before
		if n > 1 || err == nil && n != 1 {
			t.Fatalf("arrived %d times, %v", n, err)
		}
		if err != nil && ClassOf(err) != Ambiguous && n != 0 {
			t.Fatalf("Create() = %v, class %v, and it arrived", err, ClassOf(err))
		}
	}
}

// With one of these headers Go's transport takes a write for idempotent, and
// sends it again by itself.
func TestWrite_IsNoneThatGoRepeats(t *testing.T) {
	org := newFakeOrg(t, answering(200, "application/json", createdOne))
	c, ctx := org.client(t), context.Background()
	id := ID("0035e00000Kp7QaAAJ")
	for _, write := range []func() error{
		func() error { return createOne(c) },
		func() error { _, err := c.Update(ctx, "Contact", []Row{{ID: id}}, noHeaders); return err },
		func() error {
			_, err := c.Upsert(ctx, "Contact", "Shop_Id__c", []Row{upsertRow(`"a"`, `{}`)}, noHeaders)
			return err
		},
		func() error { _, err := c.Delete(ctx, "Contact", []ID{id}); return err },
		func() error { return c.UploadJob(ctx, jobID, []byte("Id\n")) },
		func() error { _, err := c.CloseJob(ctx, jobID); return err },
	} {
		_ = write() // its answer fits none but the first
	}
	seen := org.seen()
	if len(seen) != 6 {
		t.Errorf("%d calls, want 6", len(seen))
	}
	for _, r := range seen {
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			if _, ok := r.Header[name]; ok {
				t.Errorf("%s %s has the header %s", r.Method, r.URI, name)
			}
		}
	}
}

func TestWire_SealedBeforeTheFirstWriteOnly(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	w := &wire{Conn: near}
	go io.Copy(io.Discard, far)
	mark := w.count()
	if _, err := w.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if w.seal(mark) {
		t.Error("seal after a write: true")
	}
	if !w.seal(w.count()) {
		t.Error("seal without a write: false")
	}
	if _, err := w.Write([]byte("b")); err == nil {
		t.Error("writes after the seal")
	}
}

func TestSending_LooksIntoTLS(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go io.Copy(io.Discard, far)
	w := &wire{Conn: near}
	var s sending
	s.gotConn(httptrace.GotConnInfo{Conn: tls.Client(w, &tls.Config{})})
	if !s.nothingLeft() {
		t.Error("nothing was written, and no proof")
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a connection that proved it still writes")
	}
	s.gotConn(httptrace.GotConnInfo{Conn: far})
	if s.nothingLeft() {
		t.Error("a proof of a connection that can't be looked into")
	}
}

func TestClassOf_WhatItDoesNotKnowIsAmbiguous(t *testing.T) {
	login := &AuthError{Transient: true, Err: &APIError{Class: Retry}}
	for name, tt := range map[string]struct {
		err  error
		want Class
	}{
		"an error":     {io.ErrUnexpectedEOF, Ambiguous},
		"no class":     {&APIError{}, Ambiguous},
		"wrapped":      {fmt.Errorf("x: %w", &APIError{Class: Split}), Split},
		"of a login":   {fmt.Errorf("x: %w", login), PauseOrg},
		"of set-up":    {&AuthError{}, Auth},
		"caller's end": {&AuthError{Transient: true, Err: context.Canceled}, Retry},
	} {
		if got := ClassOf(tt.err); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestRead_IsNeverAmbiguous(t *testing.T) {
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		class  Class
	}{
		"connection cut":   {dropping, PauseOrg},
		"body cut":         {cutting("application/json", "{}"), Retry},
		"HTML":             {answering(200, "text/html", "<html>"), Retry},
		"maintenance page": {answering(503, "text/html", "<html>"), PauseOrg},
		"server fault":     {salesforceSays(500, "UNKNOWN_EXCEPTION", ""), PauseOrg},
		"query timeout":    {salesforceSays(400, "QUERY_TIMEOUT", ""), Retry},
	} {
		org := newFakeOrg(t, tt.handle)
		if _, err := org.client(t).Limits(context.Background()); ClassOf(err) != tt.class {
			t.Errorf("%s: Limits() = %v, class %v, want %v", name, err, ClassOf(err), tt.class)
		}
	}
}

func TestErrorsAndLogs_HoldNeitherTokensNorValues(t *testing.T) {
	const token, value = "00D!secret.token", "Lovelace"
	for name, handle := range map[string]http.HandlerFunc{
		"echo":  salesforceSays(400, "STRING_TOO_LONG", "Last Name: data value too large: "+value+" "+token),
		"limit": salesforceSays(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests "+token),
		"cut":   dropping,
		"page":  answering(503, "text/html", token+value),
	} {
		var log logBuffer
		org := newFakeOrg(t, handle)
		org.token = func(int) string { return token }
		c := org.client(t, func(cfg *Config) { cfg.Logger = log.logger() })
		err := createOne(c)
		mustNotHold(t, name+" error", err.Error(), token, value)
		if e, ok := errors.AsType[*APIError](err); ok {
			mustNotHold(t, name+" message", e.Message, token)
		}
		_, err = c.Query(context.Background(), "SELECT Id FROM Contact WHERE LastName = "+Quote(value), false, 1)
		mustNotHold(t, name+" query error", err.Error(), token, value)
		mustNotHold(t, name+" log", log.String(), token, value, "s3cret")
	}
}

func TestCall_KeepsUsageAndWarnsOnce(t *testing.T) {
	var log logBuffer
	n := 0
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/15000", n))
		w.Header().Set("Warning", `299 - "This API is deprecated and will be removed by Summer '28."`)
		salesforceSays(400, "MALFORMED_QUERY", "")(w, r)
	})
	c := org.client(t, func(cfg *Config) { cfg.Logger = log.logger() })
	if _, ok := c.Usage(); ok {
		t.Error("Usage before any call")
	}
	for range 3 {
		createOne(c)
	}
	u, ok := c.Usage()
	if !ok || u.Used != 3 || u.Max != 15000 || u.At.IsZero() {
		t.Errorf("Usage() = %+v, %t, want 3/15000 of an error's answer", u, ok)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, log.String())
	}
}

func TestParseLimitInfo(t *testing.T) {
	for _, tt := range []struct {
		header    string
		used, max int64
		ok        bool
	}{
		{"api-usage=12034/115000", 12034, 115000, true},
		{"api-usage=1/2; api-bursts=1/750", 1, 2, true},
		{"per-app-api-usage=40/1000(appName=outboxd); api-usage=812/15000", 812, 15000, true},
		{"per-app-api-usage=40/1000(appName=outboxd), api-usage = 812 / 15000", 812, 15000, true},
		{"per-app-api-usage=40/1000(appName=outboxd)", 0, 0, false},
		{"api-usage=40/1000(appName=x)", 0, 0, false},
		{"api-usage=-1/10", 0, 0, false},
		{"api-usage=1/0", 0, 0, false},
		{"api-usage", 0, 0, false},
		{"", 0, 0, false},
	} {
		used, limit, ok := parseLimitInfo([]string{tt.header})
		if used != tt.used || limit != tt.max || ok != tt.ok {
			t.Errorf("parseLimitInfo(%q) = %d, %d, %t, want %d, %d, %t", tt.header, used, limit, ok, tt.used, tt.max, tt.ok)
		}
	}
}

// usageMember is the one member that tells of the org's calls.
var usageMember = regexp.MustCompile(`(?:^|[;,])\s*api-usage\s*=\s*\+?0*(\d+)\s*/\s*\+?0*(\d+)\s*(?:$|[;,])`)

// FuzzParseLimitInfo: the figures are those of the first member of that very name that has any.
func FuzzParseLimitInfo(f *testing.F) {
	f.Add("api-usage=12034/115000; per-app-api-usage=40/1000(appName=x)")
	f.Add("per-app-api-usage=40/1000, api-usage = 7/10")
	f.Add("api-usage=-1/10;api-usage=9223372036854775808/1;api-usage=1/2")
	f.Fuzz(func(t *testing.T, s string) {
		used, limit, ok := parseLimitInfo([]string{s})
		if !ok {
			return
		}
		for _, m := range usageMember.FindAllStringSubmatch(strings.NewReplacer(";", ";;", ",", ",,").Replace(s), -1) {
			if m[1] == strconv.FormatInt(used, 10) && m[2] == strconv.FormatInt(limit, 10) && limit > 0 {
				return
			}
		}
		t.Errorf("parseLimitInfo(%q) = %d/%d", s, used, limit)
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                              0,
		"30":                            30 * time.Second,
		"-5":                            0,
		"999999999999":                  time.Hour,
		"99999":                         time.Hour,
		"Mon, 23 Nov 2026 10:01:00 GMT": time.Minute,
		"Mon, 23 Nov 2026 09:00:00 GMT": 0,
		"soon":                          0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", v, got, want)
		}
	}
}

func TestProbe_AnOrgThatRefusesJustThisCallIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		alive  bool
	}{
		"answers":       {answering(200, "application/json", `{"DailyApiRequests":{"Max":15000,"Remaining":-2,"App":{"Max":0,"Remaining":0}}}`), true},
		"no right":      {salesforceSays(403, "FORBIDDEN", ""), true},
		"over limit":    {salesforceSays(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), false},
		"down":          {answering(503, "text/html", "<html>"), false},
		"403 of a edge": {answering(403, "text/html", "<html>"), false},
	} {
		org := newFakeOrg(t, tt.handle)
		if err := org.client(t).Probe(context.Background()); (err == nil) != tt.alive {
			t.Errorf("%s: Probe() = %v, want alive %t", name, err, tt.alive)
		}
	}
}
