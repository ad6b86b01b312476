package server

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"os/user"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

// Ids that belong to nobody on the host.
const (
	otherUID = 61234
	otherGID = 61235
	teamGID  = 61236
)

func TestAccess_EachRightByItself(t *testing.T) {
	r := start(t, func(s *setup) {
		s.config.Access = Access{Write: []string{"61234"}, Read: []string{"@61236"}, Operate: []string{"*"}}
	})
	r.put(contact("k", "1"))
	event := func() *strings.Reader { return strings.NewReader(contact("o", "2")) }

	writer := r.as(otherUID, otherGID)
	if a := r.doWith(writer, "POST", "/v1/events", event(), "Content-Type", api.JSON); a.status != 201 {
		t.Errorf("the writer is answered %d %s", a.status, a.body)
	}
	stranger := r.as(otherUID+7, otherGID)
	wantProblem(t, r.doWith(stranger, "POST", "/v1/events", event(), "Content-Type", api.JSON), 403, api.CodeForbidden)
	if a := r.doWith(stranger, "POST", "/v1/events/k/drop", strings.NewReader("")); a.status != 200 {
		t.Errorf("the operator is answered %d %s", a.status, a.body)
	}
	reader := r.as(otherUID+7, otherGID, teamGID)
	if a := r.doWith(reader, "GET", "/v1/events/o", strings.NewReader("")); !strings.Contains(a.body, "Lovelace") {
		t.Errorf("the reader does not see the payload: %s", a.body)
	}
	if a := r.doWith(writer, "GET", "/v1/events/o", strings.NewReader("")); strings.Contains(a.body, "Lovelace") {
		t.Errorf("the writer sees the payload: %s", a.body)
	}
	if log := r.log.String(); !strings.Contains(log, "uid=61241") || !strings.Contains(log, "move=drop") {
		t.Error("the audit line does not name the user")
	}
}

func TestAccess_DeniedByDefault(t *testing.T) {
	r := start(t, func(s *setup) { s.config.Access = Access{} })
	r.put(contact("k", "1")) // the daemon's own user may
	other := r.as(otherUID, otherGID)
	for _, call := range []string{
		"POST /v1/events", "POST /v1/events/k/retry", "POST /v1/events/k/drop", "POST /v1/events/k/resolve", "POST /v1/stuck/retry",
		"POST /v1/stuck/drop", "POST /v1/pause", "POST /v1/resume", "POST /v1/flush", "GET /v1/backup", "POST /v1/batch",
	} {
		method, path, _ := strings.Cut(call, " ")
		wantProblem(t, r.doWith(other, method, path, strings.NewReader("{}"), "Content-Type", api.JSON), 403, api.CodeForbidden)
	}
	for _, path := range []string{"/v1/events", "/v1/events/k", "/v1/stuck", "/v1/status", "/v1/attempts", "/v1/outcomes", "/healthz", "/readyz", "/metrics"} {
		if a := r.doWith(other, "GET", path, strings.NewReader("")); a.status != 200 {
			t.Errorf("GET %s is answered %d", path, a.status)
		}
	}
	r.server.Reload(Config{Access: Access{Operate: []string{"*"}}})
	if a := r.doWith(other, "POST", "/v1/pause", strings.NewReader("")); a.status != 200 {
		t.Errorf("after the reload: %d", a.status)
	}
}

func TestAccess_WithoutReadNothingOfThePayloadIsShown(t *testing.T) {
	r := start(t)
	r.put(`{"key":"m","object":"Contact","operation":"update","match":{"all":{"Email":"secret@example.com"}},"fields":{"LastName":"Secret"}}`)
	r.put(strings.Replace(contact("k", "1"), "Lovelace", "Secret", 1))
	r.settle(store.KindREST, failTooLong)
	want[api.Document](t, r.post("/v1/events/k/retry", `{"fields":{"LastName":"Secret too"}}`), 200)
	other := r.as(otherUID, otherGID)
	for _, path := range []string{"/v1/events/m", "/v1/events/k", "/v1/events?payload=true", "/v1/stuck?payload=true", "/v1/outcomes", "/metrics"} {
		own, theirs := r.get(path), r.doWith(other, "GET", path, strings.NewReader(""))
		if theirs.status != 200 || strings.Contains(strings.ToLower(strings.ReplaceAll(theirs.body, "shop_id__c", "")), "secret@") ||
			strings.Contains(theirs.body, `"Secret`) || strings.Contains(theirs.body, `"match"`) || strings.Contains(theirs.body, `"old"`) {
			t.Errorf("%s shows: %s", path, theirs.body)
		}
		if strings.HasPrefix(path, "/v1/events/") && !strings.Contains(own.body, "Secret") {
			t.Errorf("%s hides from the daemon's own user: %s", path, own.body)
		}
	}
}

func TestAccess_NamesAreResolved(t *testing.T) {
	me, err := user.Current()
	must(t, err)
	group, err := user.LookupGroupId(me.Gid)
	must(t, err)
	var log logBuffer
	rules := newRules(Access{
		Write: []string{me.Username}, Read: []string{"@" + group.Name}, Operate: []string{"no-such-user", "@no-such-group"},
	}, slog.New(slog.NewTextHandler(&log, nil)))
	rules.own = 4242
	gid := uint32(os.Getgid())
	for _, tt := range []struct {
		name string
		p    peer
		need right
		want bool
	}{
		{"a user by name", peer{uid: uint32(os.Getuid())}, mayWrite, true},
		{"another user", peer{uid: otherUID}, mayWrite, false},
		{"a group by name", peer{uid: otherUID, groups: []uint32{7, gid}}, mayRead, true},
		{"another group", peer{uid: otherUID, groups: []uint32{7}}, mayRead, false},
		{"a user that nobody knows", peer{uid: otherUID}, mayOperate, false},
		{"root", peer{uid: 0}, mayOperate, true},
		{"the daemon's own", peer{uid: 4242}, mayOperate, true},
		{"nobody", peer{uid: nobody}, mayWrite, false},
		{"nobody asks", peer{uid: nobody}, anyone, true},
	} {
		if got := rules.allow(tt.p, tt.need); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if strings.Count(log.String(), "does not know") != 2 {
		t.Errorf("log: %s", log.String())
	}
}

func TestAccess_WithoutCredentialsThereAreNoRights(t *testing.T) {
	r := start(t, func(s *setup) { s.config.Access = Access{Write: []string{"*"}, Operate: []string{"*"}} })
	web := httptest.NewServer(r.server.Handler()) // TCP, and not through Serve
	defer web.Close()
	res, err := web.Client().Post(web.URL+"/v1/pause", "", nil)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestPublic_ShowsHealthAndMetricsOnly(t *testing.T) {
	r := start(t)
	web := httptest.NewServer(r.server.Public())
	defer web.Close()
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/v1/status": 404, "/v1/events": 404, "/": 404} {
		res, err := web.Client().Get(web.URL + path)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, status)
		}
	}
}
