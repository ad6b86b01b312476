package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

func TestOutcomes_EndAtThePresentAndResume(t *testing.T) {
	r := start(t)
	for i := range 3 {
		r.put(contact(fmt.Sprint("k-", i), fmt.Sprint(i)))
	}
	r.settle(store.KindBulk, func(c store.Claimed) store.Outcome {
		if c.Key == "k-1" {
			return failTooLong(c)
		}
		return deliver(c)
	})
	all := r.outcomesAfter("")
	if len(all) != 3 {
		t.Fatalf("got %+v", all)
	}
	first, failed := all[0], all[1]
	if first.Key != "k-0" || first.State != "delivered" || first.SalesforceID == "" || first.Created == nil || !*first.Created ||
		first.Via != "bulk" || first.Object != "Contact" || first.Operation != "upsert" || first.At.IsZero() || first.Code != "" {
		t.Errorf("delivered: %+v", first)
	}
	if failed.State != "failed" || failed.Code != "STRING_TOO_LONG" || failed.Message == "" || len(failed.ErrorFields) != 1 || failed.Created != nil {
		t.Errorf("failed: %+v", failed)
	}
	if rest := r.outcomesAfter(first.Cursor); len(rest) != 2 || rest[0].Key != "k-1" {
		t.Errorf("after the first: %+v", rest)
	}
	if rest := r.outcomesAfter(all[2].Cursor); len(rest) != 0 {
		t.Errorf("after the last: %+v", rest)
	}
}

func (r *rig) outcomesAfter(cursor string) (all []api.Outcome) {
	r.Helper()
	must(r, r.client.Outcomes(r.ctx, cursor, false, func(o api.Outcome) error { all = append(all, o); return nil }))
	return all
}

func TestOutcomes_FollowAsTheyHappen(t *testing.T) {
	r := start(t)
	seen := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- r.client.Outcomes(ctx, "", true, func(o api.Outcome) error { seen <- o.Key; return nil })
	}()
	for i := range 3 {
		key := fmt.Sprint("k-", i)
		r.put(contact(key, fmt.Sprint(i)))
		r.settle(store.KindREST, deliver)
		if got := <-seen; got != key {
			t.Errorf("got %q, want %q", got, key)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the feed ended with %v", err)
	}
}

func TestOutcomes_ServerSentEventsCarryTheirCursor(t *testing.T) {
	r := start(t)
	for i := range 2 {
		r.put(contact(fmt.Sprint("k-", i), fmt.Sprint(i)))
	}
	r.settle(store.KindREST, deliver)
	read := func(path string, headers ...string) (id, data string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://outboxd"+path, nil)
		must(t, err)
		req.Header.Set("Accept", api.SSE)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := r.http.Do(req)
		must(t, err)
		defer res.Body.Close()
		if got := res.Header.Get("Content-Type"); got != api.SSE {
			t.Errorf("media type %q", got)
		}
		lines := bufio.NewReader(res.Body)
		id, err = lines.ReadString('\n')
		must(t, err)
		data, err = lines.ReadString('\n')
		must(t, err)
		return strings.TrimPrefix(strings.TrimSpace(id), "id: "), strings.TrimPrefix(data, "data: ")
	}
	id, data := read("/v1/outcomes")
	if id == "" || !strings.Contains(data, `"key":"k-0"`) || !strings.Contains(data, `"cursor":"`+id+`"`) {
		t.Errorf("got id %q, data %s", id, data)
	}
	// The browser's own header wins over the address that it repeats.
	if _, data := read("/v1/outcomes?after=", "Last-Event-ID", id); !strings.Contains(data, `"key":"k-1"`) {
		t.Errorf("resumed at %s", data)
	}
	until(t, func() bool { return len(r.server.feeds) == 0 })
}

func TestOutcomes_OlderThanTheWindowAre410(t *testing.T) {
	now := time.Now()
	var clock atomic.Int64
	passed := func() time.Duration { return time.Duration(clock.Load()) }
	r := start(t, func(s *setup) {
		s.store.DedupWindow = time.Hour
		s.store.Wall = func() time.Time { return now.Add(passed()) }
		s.store.Monotonic = passed
	})
	r.put(contact("k", "1"))
	r.settle(store.KindREST, deliver)
	r.put(contact("l", "2"))
	r.settle(store.KindREST, deliver)
	cursor := r.outcomesAfter("")[0].Cursor
	clock.Add(int64(100 * time.Hour))
	for more := true; more; {
		var err error
		more, err = r.store.Sweep(t.Context(), r.term)
		must(t, err)
	}
	wantProblem(t, r.get("/v1/outcomes?after="+cursor), 410, api.CodeCursorGone)
	if rest := r.outcomesAfter(""); len(rest) != 0 {
		t.Errorf("from the beginning: %+v", rest)
	}
}

func TestOutcomes_FeedsAreBoundedAndEndWithTheServer(t *testing.T) {
	r := start(t)
	for range maxFeeds - 1 {
		r.server.feeds.take()
	}
	ended := make(chan error, 1)
	go func() {
		ended <- r.client.Outcomes(r.ctx, "", true, func(api.Outcome) error { return nil })
	}()
	until(t, func() bool { return len(r.server.feeds) == maxFeeds })
	wantProblem(t, r.get("/v1/outcomes?follow=true"), 429, api.CodeRateLimited)
	if a := r.get("/v1/outcomes"); a.status != 200 {
		t.Errorf("a feed that does not follow is answered %d", a.status)
	}
	r.server.Stop()
	if err := <-ended; err != nil {
		t.Errorf("the feed ended with %v", err)
	}
}

func TestOutcomes_SlowReaderHoldsNobody(t *testing.T) {
	r := start(t)
	var lines []string
	for i := range 1000 {
		lines = append(lines, contact(fmt.Sprint("k-", i), fmt.Sprint(i)))
	}
	results(t, r.ndjson("/v1/events", lines...))
	r.settle(store.KindBulk, deliver)
	conn, err := r.dial(t.Context(), "", "")
	must(t, err)
	defer conn.Close()
	io.WriteString(conn, "GET /v1/outcomes?follow=true HTTP/1.1\r\nHost: o\r\n\r\n") // and never reads
	until(t, func() bool { return len(r.server.feeds) == 1 })
	r.put(contact("other", "other"))
	r.settle(store.KindREST, deliver)
	if all := r.outcomesAfter(""); len(all) != 1001 {
		t.Errorf("another reader has %d outcomes", len(all))
	}
}

func TestFeed_BeatsAreWhatReadersIgnore(t *testing.T) {
	for _, sse := range []bool{false, true} {
		w := &recorder{}
		f := &feed{out: newStream(w, api.NDJSON), sse: sse}
		must(t, f.beat())
		if want := map[bool]string{false: "\n", true: ":\n\n"}[sse]; w.String() != want {
			t.Errorf("a beat is %q", w.String())
		}
	}
}
