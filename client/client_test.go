package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outboxd/outboxd/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers on a Unix socket. The server package's tests run this client
// against the real thing; here are the answers that it does not give.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "obc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	c := New(path)
	t.Cleanup(func() {
		c.Close()
		s.Close()
		<-done
	})
	return c
}

func TestUnreachable_WhenNobodyListens(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{filepath.Join(dir, "none"), stale} {
		_, err := New(path).Status(t.Context())
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(stale).Status(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("a call that was given up: %v", err)
	}
}

func TestProblem_CarriesTheAnswer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.ProblemJSON)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
		json.NewEncoder(w).Encode(api.CodeRateLimited.Problem("too fast"))
	})
	_, err := c.PutEvent(t.Context(), []byte("{}"), "")
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Code != api.CodeRateLimited || p.RetryAfter != 7*time.Second || err.Error() != "rate_limited: too fast" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestProblem_OfSomebodyElse(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(502)
		io.WriteString(w, "<html>")
	})
	_, err := c.Status(t.Context())
	if p, ok := errors.AsType[*Problem](err); !ok || p.Status != 502 || p.Code != "" || err.Error() == "" {
		t.Errorf("got %v", err)
	}
}

func TestCut_IsNoAnswer(t *testing.T) {
	for name, answer := range map[string]string{"at once": "", "within the body": `{"key":"k","s`} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if answer != "" {
					w.Header().Set("Content-Length", "1000")
					io.WriteString(w, answer)
				}
				panic(http.ErrAbortHandler)
			})
			if _, err := c.PutEvent(t.Context(), []byte("{}"), ""); !errors.Is(err, ErrCut) {
				t.Errorf("one: %v", err)
			}
			if err := c.EachEvent(t.Context(), Filter{}, func(api.Document) error { return nil }); !errors.Is(err, ErrCut) {
				t.Errorf("stream: %v", err)
			}
			if _, err := c.Backup(t.Context(), io.Discard); !errors.Is(err, ErrCut) {
				t.Errorf("backup: %v", err)
			}
		})
	}
}

func TestCalls_AreWhatTheContractSays(t *testing.T) {
	var call, body, key string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		call, body, key = r.Method+" "+r.RequestURI, string(b), r.Header.Get("Idempotency-Key")
		io.WriteString(w, "{}")
	})
	ctx := t.Context()
	for want, ask := range map[string]func() error{
		"GET /v1/events/a%2Fb%25?wait=1m0s": func() error { _, err := c.Event(ctx, "a/b%", time.Minute); return err },
		"GET /v1/events?code=C&cursor=x&limit=5&object=O&older_than=1h0m0s&operation=update&payload=true&source=s&state=failed%2Cpending": func() error {
			_, err := c.Events(ctx, Filter{
				States: []string{"failed", "pending"}, Object: "O", Operation: "update", Code: "C", Source: "s",
				OlderThan: time.Hour, Limit: 5, Cursor: "x", Payload: true,
			})
			return err
		},
		"GET /v1/stuck?reason=blocked":         func() error { _, err := c.Stuck(ctx, Filter{Reason: "blocked"}); return err },
		"POST /v1/stuck/retry?dry_run=true":    func() error { _, err := c.RetryMany(ctx, Filter{}, true); return err },
		"POST /v1/stuck/drop?object=O":         func() error { _, err := c.DropMany(ctx, Filter{Object: "O"}, false); return err },
		"POST /v1/events/k/drop":               func() error { _, err := c.Drop(ctx, "k"); return err },
		"POST /v1/pause":                       func() error { _, err := c.Pause(ctx); return err },
		"POST /v1/flush":                       func() error { _, err := c.Flush(ctx); return err },
		"GET /v1/attempts?cursor=c&limit=3":    func() error { _, err := c.Attempts(ctx, 3, "c"); return err },
		"GET /v1/attempts/a-1":                 func() error { _, err := c.Attempt(ctx, "a-1"); return err },
		"GET /v1/outcomes?after=c&follow=true": func() error { return c.Outcomes(ctx, "c", true, func(api.Outcome) error { return nil }) },
		"GET /readyz":                          func() error { return c.Health(ctx) },
	} {
		if err := ask(); err != nil || call != want {
			t.Errorf("got  %s, %v\nwant %s", call, err, want)
		}
		if move := strings.HasPrefix(want, "POST"); move != (key != "") {
			t.Errorf("%s: Idempotency-Key is %q", want, key)
		}
	}
	for want, move := range map[string]func() error{
		`{"fields":{"A":1},"unset":["B"]}`: func() error {
			_, err := c.Retry(ctx, "k", &api.RetryRequest{Fields: json.RawMessage(`{"A":1}`), Unset: []string{"B"}})
			return err
		},
		`{"delivered":true,"id":"0035e"}`:     func() error { _, err := c.Resolve(ctx, "k", true, "0035e"); return err },
		`{"delivered":false}`:                 func() error { _, err := c.Resolve(ctx, "k", false, ""); return err },
		`{"accept_org":true}`:                 func() error { _, err := c.Resume(ctx, api.ResumeRequest{AcceptOrg: true}); return err },
		"":                                    func() error { _, err := c.Retry(ctx, "k", nil); return err },
		`{"object":"A","operation":"create"}`: func() error { _, err := c.Put(ctx, api.Event{Object: "A", Operation: "create"}); return err },
	} {
		if err := move(); err != nil || body != want {
			t.Errorf("got  %s, %v\nwant %s", body, err, want)
		}
	}
	if _, err := c.PutEvent(ctx, []byte("{}"), `a"b\c`); err != nil || key != `"a\"b\\c"` {
		t.Errorf("key %s, %v", key, err)
	}
}

func TestEach_StopsWithTheCallersError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 100_000 {
			if _, err := fmt.Fprintf(w, "{\"key\":\"%d\"}\n\n", i); err != nil {
				return
			}
		}
	})
	enough := errors.New("enough")
	n := 0
	err := c.EachEvent(t.Context(), Filter{}, func(d api.Document) error {
		if n++; n == 10 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 10 {
		t.Errorf("ended after %d with %v", n, err)
	}
}
