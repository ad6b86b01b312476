package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/outboxd/outboxd/api"
)

// Filter selects events. Zero members do not restrict.
type Filter struct {
	States    []string
	Reason    string // of stuck events only
	Object    string
	Operation string
	Code      string
	Source    string
	OlderThan time.Duration // since acceptance
	Limit     int           // 1 to 1000; 0: a page of 100, or all where they are streamed
	Cursor    string        // from the page before
	Payload   bool          // with fields and history
}

func (f Filter) query() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("state", strings.Join(f.States, ","))
	set("reason", f.Reason)
	set("object", f.Object)
	set("operation", f.Operation)
	set("code", f.Code)
	set("source", f.Source)
	set("cursor", f.Cursor)
	if f.OlderThan > 0 {
		q.Set("older_than", f.OlderThan.String())
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if f.Payload {
		q.Set("payload", "true")
	}
	return q
}

func eventPath(key string) string { return "/v1/events/" + url.PathEscape(key) }

// Put writes one event. It is durable when Put returns without an error.
func (c *Client) Put(ctx context.Context, e api.Event) (api.Accepted, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return api.Accepted{}, fmt.Errorf("put %q: %w", e.Key, err)
	}
	return c.PutEvent(ctx, body, "")
}

// PutEvent writes one event given as JSON. A key that is not empty is sent as
// header Idempotency-Key; the event may then leave it out.
func (c *Client) PutEvent(ctx context.Context, body []byte, key string) (api.Accepted, error) {
	in := call{method: http.MethodPost, path: "/v1/events", key: key, media: api.JSON, body: bytes.NewReader(body)}
	return fetch[api.Accepted](ctx, c, in)
}

// PutAtomic writes all events of a body of NDJSON, or none.
func (c *Client) PutAtomic(ctx context.Context, ndjson []byte) ([]api.Result, error) {
	in := call{
		method: http.MethodPost, path: "/v1/events", query: url.Values{"atomic": {"true"}},
		media: api.NDJSON, body: bytes.NewReader(ndjson),
	}
	var all []api.Result
	err := lines(ctx, c, in, func(r api.Result) error { all = append(all, r); return nil })
	return all, err
}

// PutStream writes events from r, one a line, and calls each with the results
// in the lines' order while it still sends. Memory does not grow with their
// number: a slow each holds back the reading of r. Blank lines have no result.
// It ends early with the error that each returns. Lines whose result was not
// seen may have been stored or not.
func (c *Client) PutStream(ctx context.Context, r io.Reader, each func(api.Result) error) error {
	// The reader is hidden so that the transport neither asks for its length
	// nor repeats it.
	in := call{method: http.MethodPost, path: "/v1/events", media: api.NDJSON, body: struct{ io.Reader }{r}}
	return lines(ctx, c, in, each)
}

// Event asks for an event's document. With a wait, at most five minutes, the
// answer is held until the event is terminal or stuck.
func (c *Client) Event(ctx context.Context, key string, wait time.Duration) (api.Document, error) {
	in := call{method: http.MethodGet, path: eventPath(key)}
	if wait > 0 {
		in.query = url.Values{"wait": {wait.String()}}
	}
	return fetch[api.Document](ctx, c, in)
}

// Events asks for a page of events in order of their seq.
func (c *Client) Events(ctx context.Context, f Filter) (api.EventPage, error) {
	return fetch[api.EventPage](ctx, c, call{method: http.MethodGet, path: "/v1/events", query: f.query()})
}

// EachEvent calls each with every event that the filter selects, or the first
// Limit of them, in order of their seq, until each returns an error.
func (c *Client) EachEvent(ctx context.Context, f Filter, each func(api.Document) error) error {
	return lines(ctx, c, call{method: http.MethodGet, path: "/v1/events", query: f.query()}, each)
}

// Stuck asks for a page of stuck events and the summary of all.
func (c *Client) Stuck(ctx context.Context, f Filter) (api.StuckPage, error) {
	return fetch[api.StuckPage](ctx, c, call{method: http.MethodGet, path: "/v1/stuck", query: f.query()})
}

// EachStuck calls each with every stuck event that the filter selects, or the
// first Limit of them.
func (c *Client) EachStuck(ctx context.Context, f Filter, each func(api.Document) error) error {
	return lines(ctx, c, call{method: http.MethodGet, path: "/v1/stuck", query: f.query()}, each)
}

// Outcomes calls each with the feed's entries after the cursor; "" begins with
// the oldest that is kept. Without follow it ends at the present, else with
// ctx or the error that each returns.
func (c *Client) Outcomes(ctx context.Context, after string, follow bool, each func(api.Outcome) error) error {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if follow {
		q.Set("follow", "true")
	}
	return lines(ctx, c, call{method: http.MethodGet, path: "/v1/outcomes", query: q}, each)
}

func newScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	return s
}
