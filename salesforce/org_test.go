package salesforce

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	testOrg  = "00D5e000000abcdEAA"
	testUser = "0055e000000xyzAAAQ"
)

// request is what reached the fake org.
type request struct {
	Method, URI, Body string
	Header            http.Header
	ContentLength     int64
	Transfer          []string
}

// fakeOrg answers logins and the list of versions as an org does, and leaves the rest to the test's handler: for answers
// that the simulator can't give. Its n-th token is "token-n".
type fakeOrg struct {
	*httptest.Server
	handle http.HandlerFunc

	mu       sync.Mutex
	logins   []request
	calls    []request
	instance string // in the token's answer; the server's own URL by default
	token    func(n int) string
	login    http.HandlerFunc // replaces the token endpoint
	versions string
}

func newFakeOrg(t testing.TB, handle http.HandlerFunc) *fakeOrg {
	t.Helper()
	o := &fakeOrg{
		handle:   handle,
		token:    func(n int) string { return fmt.Sprintf("token-%d", n) },
		versions: `[{"label":"Spring '11","url":"/services/data/v21.0","version":"21.0"},{"version":"66.0"},{"version":"64.0"},{"version":"68.0"},{"version":"9.0"}]`,
	}
	o.Server = httptest.NewServer(o)
	o.instance = o.URL
	t.Cleanup(o.Server.Close)
	return o
}

func (o *fakeOrg) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	seen := request{r.Method, r.RequestURI, string(body), r.Header.Clone(), r.ContentLength, r.TransferEncoding}
	o.mu.Lock()
	switch r.URL.Path {
	case "/services/oauth2/token":
		o.logins = append(o.logins, seen)
		n := len(o.logins)
		o.mu.Unlock()
		if o.login != nil {
			o.login(w, r)
			return
		}
		o.answerLogin(w, o.token(n))
		return
	case "/services/data/":
		o.mu.Unlock()
		answerJSON(w, 200, o.versions)
		return
	}
	o.calls = append(o.calls, seen)
	o.mu.Unlock()
	if o.handle == nil {
		answerJSON(w, 500, `[]`)
		return
	}
	o.handle(w, r)
}

func (o *fakeOrg) answerLogin(w http.ResponseWriter, token string) {
	answerJSON(w, 200, fmt.Sprintf(`{"access_token":%q,"instance_url":%q,"id":"https://login.salesforce.com/id/%s/%s","token_type":"Bearer","issued_at":"1763912345678"}`,
		token, o.instance, testOrg, testUser))
}

func (o *fakeOrg) seen() []request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.calls)
}

func (o *fakeOrg) loginCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.logins)
}

func (o *fakeOrg) client(t testing.TB, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		LoginURL: o.URL,
		Auth:     Credentials{Flow: FlowClientCredentials, ClientID: "app", ClientSecret: "s3cret"},
		Version:  "1.0",
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		} else {
			w.Header()["Content-Type"] = nil
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// cutting announces more than it sends.
func cutting(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body)+10, body)
		rw.Flush()
	}
}

// cuttingChunks ends a chunked body without its last chunk.
func cuttingChunks(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", contentType, len(body), body)
		rw.Flush()
	}
}

// dropping cuts the connection after the request was read.
func dropping(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	conn.Close()
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func contact(fields string) Row { return Row{Fields: []byte(fields)} }

func upsertRow(key, fields string) Row {
	return Row{External: []byte(key), Fields: []byte(fields)}
}

var noHeaders = Headers{}

func createOne(c *Client) error {
	_, err := c.Create(context.Background(), "Contact", []Row{contact(`{"LastName":"Lovelace"}`)}, noHeaders)
	return err
}

const createdOne = `[{"id":"0035e00000Kp7QaAAJ","success":true,"errors":[]}]`

func mustNotHold(t *testing.T, what, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s holds %q: %s", what, s, text)
		}
	}
}

func (l *logBuffer) stdLogger() *log.Logger { return log.New(l, "", 0) }
