package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/outboxd/outboxd/api"
)

// Retry makes a failed event pending again. A change, which may be nil, is
// merged into its payload.
func (c *Client) Retry(ctx context.Context, key string, change *api.RetryRequest) (api.Document, error) {
	if change == nil {
		return c.move(ctx, key, "/retry", nil)
	}
	return c.move(ctx, key, "/retry", change)
}

// Drop gives up a failed or pending event.
func (c *Client) Drop(ctx context.Context, key string) (api.Document, error) {
	return c.move(ctx, key, "/drop", nil)
}

// Resolve ends the doubt about an event: it was delivered, with the record's
// Id if it is known, or not.
func (c *Client) Resolve(ctx context.Context, key string, delivered bool, id string) (api.Document, error) {
	return c.move(ctx, key, "/resolve", api.ResolveRequest{Delivered: &delivered, ID: id})
}

func (c *Client) move(ctx context.Context, key, verb string, body any) (api.Document, error) {
	in, err := moveCall(eventPath(key)+verb, nil, body)
	if err != nil {
		return api.Document{}, err
	}
	return fetch[api.Document](ctx, c, in)
}

// RetryMany retries the stuck events that the filter selects; with dryRun it
// only counts them.
func (c *Client) RetryMany(ctx context.Context, f Filter, dryRun bool) (api.Moved, error) {
	return c.moveMany(ctx, "/v1/stuck/retry", f, dryRun)
}

// DropMany drops the stuck events that the filter selects; with dryRun it only
// counts them.
func (c *Client) DropMany(ctx context.Context, f Filter, dryRun bool) (api.Moved, error) {
	return c.moveMany(ctx, "/v1/stuck/drop", f, dryRun)
}

func (c *Client) moveMany(ctx context.Context, path string, f Filter, dryRun bool) (api.Moved, error) {
	q := f.query()
	if dryRun {
		q.Set("dry_run", "true")
	}
	in, err := moveCall(path, q, nil)
	if err != nil {
		return api.Moved{}, err
	}
	return fetch[api.Moved](ctx, c, in)
}

// Status asks for the picture of the whole outbox.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return fetch[api.Status](ctx, c, call{method: http.MethodGet, path: "/v1/status"})
}

// Pause stops sending; accepting goes on.
func (c *Client) Pause(ctx context.Context) (api.Status, error) {
	return c.control(ctx, "/v1/pause", nil)
}

// Resume goes on sending, with what the operator confirms.
func (c *Client) Resume(ctx context.Context, accept api.ResumeRequest) (api.Status, error) {
	return c.control(ctx, "/v1/resume", accept)
}

// Flush sends now what waits for a fuller request or job.
func (c *Client) Flush(ctx context.Context) (api.Status, error) {
	return c.control(ctx, "/v1/flush", nil)
}

func (c *Client) control(ctx context.Context, path string, body any) (api.Status, error) {
	in, err := moveCall(path, nil, body)
	if err != nil {
		return api.Status{}, err
	}
	return fetch[api.Status](ctx, c, in)
}

// Attempts asks for a page of attempts, newest first; limit 0 leaves its size
// to the daemon.
func (c *Client) Attempts(ctx context.Context, limit int, cursor string) (api.AttemptPage, error) {
	q := url.Values{}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return fetch[api.AttemptPage](ctx, c, call{method: http.MethodGet, path: "/v1/attempts", query: q})
}

// Attempt asks for one attempt.
func (c *Client) Attempt(ctx context.Context, id string) (api.Attempt, error) {
	return fetch[api.Attempt](ctx, c, call{method: http.MethodGet, path: "/v1/attempts/" + url.PathEscape(id)})
}

// Backup writes a consistent copy of the database to w and returns its length.
// The copy is whole only if the error is nil.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	in := call{method: http.MethodGet, path: "/v1/backup"}
	res, err := c.do(ctx, in)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, c.failed(ctx, in, fmt.Errorf("copy: %w", err))
	}
	return n, nil
}

// Health asks whether the daemon lives and accepts.
func (c *Client) Health(ctx context.Context) error {
	_, err := fetch[api.Health](ctx, c, call{method: http.MethodGet, path: "/readyz"})
	return err
}
