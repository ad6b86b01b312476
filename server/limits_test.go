package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/store/storetest"
)

func TestRate_IsOfEachSource(t *testing.T) {
	r := start(t, func(s *setup) { s.config.Rate = 3 })
	event := func(key, source string) string {
		return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"create","source":%q,"fields":{}}`, key, source)
	}
	all := results(t, r.ndjson("/v1/events", event("a", "shop"), event("b", "shop"), event("c", "shop"), event("d", "shop"), event("e", "shop"), event("f", "web")))
	for i, refused := range []bool{false, false, false, true, true, false} {
		if got := all[i].Problem != nil; got != refused {
			t.Errorf("event %d: %+v", i, all[i])
		}
	}
	if p := all[3].Problem; p.Code != api.CodeRateLimited || p.Line != 4 || p.Key != "d" {
		t.Errorf("got %+v", p)
	}
	wantProblem(t, r.post("/v1/events", event("d", "shop")), 429, api.CodeRateLimited)
	wantProblem(t, r.get("/v1/events/d"), 404, api.CodeUnknownKey)
	r.server.Reload(Config{Access: Access{Write: []string{"*"}}})
	r.put(event("d", "shop"))
}

func TestRate_FillsAgainAndStaysBounded(t *testing.T) {
	l := newRateLimit(2)
	now := time.Now()
	take := func(source string) bool { return l.allow(source, now) }
	for i, want := range []bool{true, true, false} {
		if got := take("a"); got != want {
			t.Errorf("take %d of a bucket that is two deep = %t", i+1, got)
		}
	}
	now = now.Add(500 * time.Millisecond)
	if !take("a") || take("a") {
		t.Error("half a second did not bring one event")
	}
	l.giveBack("a")
	if !take("a") {
		t.Error("what was given back is gone")
	}
	for i := range 3 * maxBuckets {
		l.allow(fmt.Sprint("s-", i), now)
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
}

func TestConnections_OneUserDoesNotStopAnother(t *testing.T) {
	r := start(t, func(s *setup) { s.config.Connections = 4 })
	greedy := r.as(otherUID, otherGID) // skips without root
	var held []net.Conn
	for range 4 {
		conn, err := dialAs(r.socket, otherUID, otherGID, nil)
		must(t, err)
		held = append(held, conn)
	}
	until(t, func() bool { return r.server.conns.total() >= 4 })
	a := r.doWith(greedy, "GET", "/healthz", strings.NewReader(""))
	wantProblem(t, a, 429, api.CodeRateLimited)
	r.put(contact("k", "1")) // somebody else still may
	for _, c := range held {
		c.Close()
	}
	until(t, func() bool {
		return r.doWith(greedy, "GET", "/healthz", strings.NewReader("")).status == 200
	})
}

func TestConnections_FarAboveTheLimitAreClosed(t *testing.T) {
	r := start(t, func(s *setup) { s.config.Connections = 1 })
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range 1 + connectionSlack {
		c, err := r.dial(t.Context(), "", "")
		must(t, err)
		held = append(held, c)
	}
	c, err := r.dial(t.Context(), "", "")
	must(t, err)
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want EOF", err)
	}
}

func TestServer_StartsAndStops(t *testing.T) {
	r := start(t, func(s *setup) { s.notYet = true })
	wantProblem(t, r.post("/v1/events", contact("k", "1")), 503, api.CodeStarting)
	wantProblem(t, r.get("/readyz"), 503, api.CodeStarting)
	if a := r.get("/healthz"); a.status != 200 || a.body != `{"status":"ok"}`+"\n" {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
	if a := r.get("/metrics"); a.status != 200 {
		t.Errorf("metrics: %d", a.status)
	}
	r.server.Ready()
	r.server.Ready()
	must(t, r.client.Health(t.Context()))
	r.put(contact("k", "1"))
	r.server.Stop()
	wantProblem(t, r.post("/v1/events", contact("l", "1")), 503, api.CodeStopping)
	wantProblem(t, r.get("/readyz"), 503, api.CodeStopping)
	if a := r.get("/healthz"); a.status != 200 {
		t.Errorf("healthz: %d", a.status)
	}
	r.stop()
	if err := r.client.Health(t.Context()); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestServer_FinishesWhatIsUnderWay(t *testing.T) {
	r := start(t)
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://outboxd/v1/events", pr)
	must(t, err)
	req.Header.Set("Content-Type", api.NDJSON)
	go io.WriteString(pw, contact("k", "1")+"\n")
	res, err := r.http.Do(req)
	must(t, err)
	defer res.Body.Close()
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	text, err := io.ReadAll(res.Body)
	if err == nil || !strings.Contains(string(text), `"key":"k"`) {
		t.Errorf("the stream ended with %q, %v: want its result, then a cut", text, err)
	}
	pw.Close()
	<-stopped
}

func TestServer_CutsWhatOutlastsTheGrace(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	r := start(t, func(s *setup) {
		s.config.Grace = time.Millisecond
		s.deps.Segment = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(begun); <-release })
	})
	status := make(chan int)
	go func() { status <- r.raw("POST /v1/track HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n") }()
	<-begun
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	if got := <-status; got != 0 {
		t.Errorf("the request was answered %d", got)
	}
	select {
	case <-stopped:
		t.Error("Serve returned before its last request had ended")
	default:
	}
	close(release)
	<-stopped
}

func TestRoutes_MethodsAndHead(t *testing.T) {
	r := start(t)
	for call, allow := range map[string]string{
		"DELETE /v1/events": "GET, HEAD, POST", "POST /v1/status": "GET, HEAD", "GET /v1/pause": "POST",
		"PUT /v1/events/k": "GET, HEAD", "GET /v1/events/k/retry": "POST", "GET /v1/batch/": "POST", "OPTIONS /healthz": "GET, HEAD",
	} {
		method, path, _ := strings.Cut(call, " ")
		a := r.do(method, path, "")
		wantProblem(t, a, 405, api.CodeMethodNotAllowed)
		if got := a.header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, want %q", call, got, allow)
		}
	}
	for _, path := range []string{"/v1/status", "/v1/events", "/v1/outcomes?follow=true", "/v1/backup", "/healthz"} {
		if a := r.do("HEAD", path, ""); a.status != 200 || a.body != "" {
			t.Errorf("HEAD %s: %d %q", path, a.status, a.body)
		}
	}
	if a := r.do("HEAD", "/v1/events", "", "Accept", api.NDJSON); a.status != 200 || a.header.Get("Content-Type") != api.NDJSON {
		t.Errorf("HEAD of a stream: %d %v", a.status, a.header)
	}
}

func TestSegment_CallsGoToTheirHandler(t *testing.T) {
	r := start(t)
	wantProblem(t, r.post("/v1/track", "{}"), 404, api.CodeNotFound)
	with := start(t, func(s *setup) {
		s.deps.Segment = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	})
	for _, path := range []string{"/v1/batch", "/v1/track/", "/v1/import", "/v1/alias/"} {
		if a := with.post(path, "{}"); a.status != 200 || a.body != path {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
}

func TestInternal_CauseIsLoggedNotSent(t *testing.T) {
	r := start(t)
	r.failAt("Status", storetest.Fault{Err: errors.New("the secret cause")})
	p := wantProblem(t, r.get("/v1/status"), 500, api.CodeInternal)
	if strings.Contains(p.Detail, "secret") || p.RequestID == "" {
		t.Errorf("got %+v", p)
	}
	if log := r.log.String(); !strings.Contains(log, "the secret cause") || !strings.Contains(log, p.RequestID) {
		t.Errorf("log: %s", log)
	}
}

func TestMetrics_HaveNoKeysAndBoundedSources(t *testing.T) {
	r := start(t)
	var lines []string
	for i := range 2 * maxSources {
		lines = append(lines, fmt.Sprintf(`{"key":"secret-%d","object":"Contact","operation":"create","source":"s-%d","fields":{}}`, i, i))
	}
	results(t, r.ndjson("/v1/events", append(lines, lines[0], "{}")...))
	r.dispatch.mu.Lock()
	r.dispatch.budget = &api.Budget{
		Allowance: api.Allowance{Used: 12, Max: 100, Reserve: 20, Left: 68}, WindowTurnsAt: api.Time{Time: time.Unix(1000, 0)},
		ExhaustedAt: api.Time{Time: time.Unix(2000, 0)}, PacePerHour: new(2.5), BulkBatches: &api.Allowance{Used: 3, Max: 10, Left: 7},
	}
	r.dispatch.breaker = api.Breaker{State: api.BreakerOpen, Reason: "limit"}
	r.dispatch.mu.Unlock()
	text := r.get("/metrics").body
	for _, want := range []string{
		`outboxd_events{state="pending"} 200`, `outboxd_events_accepted_total{source="other"} 100`, `outboxd_events_accepted_total{source="s-0"} 1`,
		"outboxd_events_duplicate_total 1", `outboxd_problems_total{code="invalid_event"} 1`, `outboxd_breaker_open{reason="limit"} 1`, "outboxd_api_budget_used 12", "outboxd_api_budget_max 100",
		"outboxd_api_budget_left 68", "outboxd_api_budget_window_turns_timestamp_seconds 1000", "outboxd_api_budget_exhausted_timestamp_seconds 2000",
		"outboxd_api_budget_pace_per_hour 2.5", "outboxd_bulk_batches_used 3", "outboxd_bulk_batches_max 10", "outboxd_bulk_batches_left 7",
		`outboxd_build_info{version="1.0.0"} 1`, "outboxd_connections", "outboxd_put_seconds_count 1", `path="/v1/events"`, "outboxd_store_max_bytes",
		"outboxd_store_commits_total ", "outboxd_store_syncs_total ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret-") {
		t.Error("a key is in the metrics")
	}
}

func TestRaw_WhatNoClientSends(t *testing.T) {
	r := start(t)
	for name, text := range map[string]string{
		"no HTTP":          "hello\r\n\r\n",
		"header too large": "GET /healthz HTTP/1.1\r\nHost: o\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n",
		"two lengths":      "POST /v1/events HTTP/1.1\r\nHost: o\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"two hosts":        "GET /healthz HTTP/1.1\r\nHost: o\r\nHost: p\r\n\r\n",
		"bad escape":       "GET /v1/events/%zz HTTP/1.1\r\nHost: o\r\n\r\n",
		"line feed in key": "POST /v1/events HTTP/1.1\r\nHost: o\r\nIdempotency-Key: a\x01b\r\nContent-Length: 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			if status := r.raw(text); status < 400 || status >= 500 {
				t.Errorf("status %d", status)
			}
		})
	}
	for path, status := range map[string]int{"*": 404, "http://x/healthz": 200, "/v1/../healthz": 404, "/v1/events/..": 404, "//healthz": 404} {
		if got := r.raw("GET " + path + " HTTP/1.1\r\nHost: o\r\n\r\n"); got != status {
			t.Errorf("GET %s: %d, want %d", path, got, status)
		}
	}
}

// raw sends text and returns the status of the first answer, 0 if there is none.
func (r *rig) raw(text string) int {
	r.Helper()
	conn, err := r.dial(context.Background(), "", "")
	must(r, err)
	defer conn.Close()
	must(r, conn.SetDeadline(time.Now().Add(20*time.Second)))
	go io.WriteString(conn, text)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}
