package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/store"
)

// testConfig is a daemon without an org in a folder of its own.
func testConfig(t *testing.T) *config.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "app") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := config.Default()
	cfg.Store.Path, cfg.Store.MaxSize = filepath.Join(dir, "outbox.db"), 16<<20
	cfg.Socket = config.Socket{Path: filepath.Join(dir, "sock"), Mode: 0o600}
	return cfg
}

func quiet() Deps { return Deps{Logger: slog.New(slog.DiscardHandler), Version: "test"} }

// start runs a daemon; stop ends it and returns what Run did.
func start(t *testing.T, cfg *config.Config, d Deps) (a *App, stop func() error) {
	t.Helper()
	a, err := New(cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, func() error { cancel(); return <-ended }
}

func TestRun_ServesUntilTheEndAndLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := testConfig(t)
	cfg.HTTP.Listen = "127.0.0.1:0"
	var mu sync.Mutex
	var told []string
	d := quiet()
	d.Notify = func(state string) { mu.Lock(); told = append(told, state); mu.Unlock() }
	a, stop := start(t, cfg, d)
	socket, addr := a.Addr()

	c := client.New(socket)
	if _, err := c.Put(t.Context(), api.Event{Key: "k", Object: "Contact", Operation: "create"}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil || s.Counts.Pending != 1 || s.Breaker.Reason != "not_configured" {
		t.Errorf("status %+v, %v", s, err)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/metrics": "outboxd_unmatched_rows_total 0", "/v1/status": "not_found"} {
		if body := get(t, "http://"+addr+path); !strings.Contains(body, want) {
			t.Errorf("%s has no %q: %.200s", path, want, body)
		}
	}
	if _, err := New(cfg, quiet()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second daemon on the same outbox: %v, want ErrLocked", err)
	}
	c.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Errorf("an ordered stop ended with %v", err)
	}
	if want := []string{"READY=1", "STOPPING=1"}; !slices.Equal(told, want) {
		t.Errorf("told the service manager %v, want %v", told, want)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestNew_ReleasesEverythingWhenAPartIsMissing(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.Listen = "256.0.0.1:1"
	if _, err := New(cfg, quiet()); err == nil {
		t.Fatal("an impossible address was taken")
	}
	cfg.HTTP.Listen = ""
	_, stop := start(t, cfg, quiet()) // neither store nor socket may still be held
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRun_EndsWhenOneActorFails(t *testing.T) {
	a, err := New(testConfig(t), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.socket.Close(); err != nil { // the server can't accept any more
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "server: ") {
		t.Errorf("Run = %v, want the server's error", err)
	}
}

// What is on the disk is not known after a failed commit: nobody is answered,
// and the daemon ends, so that its next start can look.
func TestRun_EndsWhenACommitIsUnknown(t *testing.T) {
	cfg := testConfig(t)
	a, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context()) }()
	refuseWrites(t, cfg.Store.Path)
	c := client.New(cfg.Socket.Path)
	defer c.Close()
	if _, err := c.Put(t.Context(), api.Event{Key: "k", Object: "Contact", Operation: "create"}); err == nil {
		t.Error("an event was accepted that can't be stored")
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended as if in order")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the daemon goes on")
	}
}

// The daemon ends for the store's sake, whether anybody else has met its error
// or not.
func TestGuardStore_TellsThatACommitIsUnknown(t *testing.T) {
	cfg := testConfig(t)
	a, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	refuseWrites(t, cfg.Store.Path)
	if err := a.store.Pause(t.Context(), "op"); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Pause = %v, want %v", err, store.ErrUnknown)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.guardStore(ctx); err == nil {
		t.Error("the store's failure is told to nobody")
	}
	_ = a.Close() // what can't be written can't be closed in order
}

// refuseWrites makes every write to a file that this process holds open fail:
// the descriptors lead to the same file then, opened for reading.
func refuseWrites(t *testing.T, path string) {
	t.Helper()
	reading, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range open {
		fd, err := strconv.Atoi(x.Name())
		if target, _ := os.Readlink("/proc/self/fd/" + x.Name()); err != nil || target != path || fd == int(reading.Fd()) {
			continue
		}
		if err := unix.Dup3(int(reading.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReader_AnswersAndChangesNothing(t *testing.T) {
	cfg := testConfig(t)
	_, stop := start(t, cfg, quiet())
	c := client.New(cfg.Socket.Path)
	if _, err := c.Put(t.Context(), api.Event{Key: "k", Object: "Contact", Operation: "create"}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(cfg.Store.Path)
	if err != nil {
		t.Fatal(err)
	}

	r, err := OpenReader(cfg, cfg.Socket.Path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if doc, err := c.Event(ctx, "k", 0); err != nil || doc.State != "pending" {
		t.Errorf("Event = %+v, %v", doc, err)
	}
	if _, err := c.Put(ctx, api.Event{Key: "new", Object: "Contact", Operation: "create"}); err == nil {
		t.Error("a reader accepted an event")
	}
	if _, err := c.Drop(ctx, "k"); err == nil {
		t.Error("a reader dropped an event")
	}
	c.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(cfg.Store.Path); err != nil || !slices.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
}

func TestCondition_TheGravestComesFirst(t *testing.T) {
	for _, tt := range []struct {
		name  string
		facts store.Facts
		want  dispatcher.BreakerReason
	}{
		{"nothing", store.Facts{OrgID: "00D"}, ""},
		{"paused", store.Facts{Paused: true}, dispatcher.ReasonOperator},
		{"restored and paused", store.Facts{Restored: true, Paused: true}, dispatcher.ReasonRestored},
		{"another org", store.Facts{OtherOrg: "00D", Restored: true, Paused: true}, dispatcher.ReasonOrgChanged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := condition(tt.facts); got != tt.want {
				t.Errorf("condition = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSender_TellsAPauseAtOnce(t *testing.T) {
	paused := store.Facts{Paused: true, PausedAt: time.Unix(1, 0)}
	d := dispatcher.New(dispatcher.Config{}, nil, stubOrg{}, slog.New(slog.DiscardHandler))
	s := sender{d, func(context.Context) (store.Facts, error) { return paused, nil }}
	if b := s.Breaker(); b.State != api.BreakerOpen || b.Reason != "operator" || !b.Since.Equal(paused.PausedAt) {
		t.Errorf("paused: %+v", b)
	}
	paused = store.Facts{}
	if b := s.Breaker(); b.State != api.BreakerClosed {
		t.Errorf("resumed: %+v", b)
	}
}

// stubOrg is an org that is never called.
type stubOrg struct{ dispatcher.Org }

func TestRotation_KeepsTheNewestTokenOfTheConfiguredOne(t *testing.T) {
	cfg := testConfig(t)
	cfg.Salesforce = &config.Salesforce{Auth: config.Auth{RefreshToken: config.NewSecret("first")}}
	r := newRotation(cfg)
	expect := func(r rotation, configured, want string) {
		t.Helper()
		if got, err := r.token(configured); err != nil || got != want {
			t.Errorf("token = %q, %v, want %q", got, err, want)
		}
	}
	expect(r, "first", "first")
	if err := r.save("second"); err != nil {
		t.Fatal(err)
	}
	expect(newRotation(cfg), "first", "second")
	if info, err := os.Stat(r.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kept with %v, %v", info, err)
	}
	cfg.Salesforce.Auth.RefreshToken = config.NewSecret("another") // the operator gave a new one
	expect(newRotation(cfg), "another", "another")
	if err := os.WriteFile(r.path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newRotation(cfg).token("another"); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestDispatch_SaysTheConfigurationInTheDispatchersWords(t *testing.T) {
	cfg := config.Default()
	yes := true
	cfg.Objects = map[string]config.Object{"Lead": {KeyField: "K__c", OnFailure: "skip", CreateVia: "rest", AllowSave: &yes}}
	got := dispatch(cfg)
	if got.Budget.Reserve != 0.2 || got.Bulk.PollMax != 30*time.Second || got.REST.LateWindow != 11*time.Minute {
		t.Errorf("defaults: %+v", got)
	}
	if o := got.Objects["lead"]; o.KeyField != "K__c" || !o.Skip || !o.CreateREST || !o.AllowSave {
		t.Errorf("object: %+v", o)
	}
	cfg.Dispatch.APIBudget.Reserve = 0
	if got := dispatch(cfg); got.Budget.Reserve >= 0 {
		t.Errorf("no reserve became %v, which the dispatcher takes for its default", got.Budget.Reserve)
	}
}
