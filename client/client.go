package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/outboxd/outboxd/api"
)

// ErrUnreachable says that no daemon listens on the socket: it is missing,
// refuses, or may not be opened.
var ErrUnreachable = errors.New("daemon not reachable")

// ErrCut says that the connection ended without a whole answer. What it asked
// for may have happened or not: repeat it with the same key.
var ErrCut = errors.New("connection cut without an answer")

// Problem is an answer that is an error. RetryAfter is how long the daemon
// asked to wait, 0 if it did not.
type Problem struct {
	api.Problem
	RetryAfter time.Duration
}

// Error gives the code and the detail.
func (p *Problem) Error() string { return p.Problem.Error() }

// Bounds of what the client reads and keeps.
const (
	dialTimeout = 5 * time.Second
	maxProblem  = 32 << 20 // an atomic batch of 10,000 names each bad line
	maxLine     = 8 << 20  // a document with its history
	maxIdle     = 128
)

// Client is a connection to one daemon's socket.
type Client struct {
	socket string
	http   *http.Client
	dialer net.Dialer
}

// New returns a client of the socket at path. It does not connect yet.
func New(path string) *Client {
	c := &Client{socket: path, dialer: net.Dialer{Timeout: dialTimeout}}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:         c.dial,
		DisableCompression:  true,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     time.Minute,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// Close drops the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := c.dialer.DialContext(ctx, "unix", c.socket)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return conn, err
}

// call is one request. Path is escaped; the key, if any, goes into the header.
type call struct {
	method, path string
	query        url.Values
	key          string
	media        string
	accept       string
	body         io.Reader
}

// do sends the call. An answer other than 2xx is returned as *Problem, and
// then the body is closed.
func (c *Client) do(ctx context.Context, in call) (*http.Response, error) {
	target := "http://outboxd" + in.path
	if len(in.query) > 0 {
		target += "?" + in.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, in.method, target, in.body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", in.method, in.path, err)
	}
	if in.media != "" {
		req.Header.Set("Content-Type", in.media)
	}
	if in.accept != "" {
		req.Header.Set("Accept", in.accept)
	}
	if in.key != "" {
		req.Header.Set("Idempotency-Key", quoteKey(in.key))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(ctx, in, err)
	}
	if res.StatusCode/100 != 2 {
		defer res.Body.Close()
		return nil, problemOf(res)
	}
	return res, nil
}

// failed says what a request without an answer means.
func (c *Client) failed(ctx context.Context, in call, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", in.method, in.path, context.Cause(ctx))
	case errors.Is(err, ErrUnreachable):
		return fmt.Errorf("socket %s: %w", c.socket, err)
	default:
		return fmt.Errorf("%s %s: %w", in.method, in.path, cut(err))
	}
}

// cut marks the ends of a connection as ErrCut and leaves other errors.
func cut(err error) error {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, end) {
			return fmt.Errorf("%w: %w", ErrCut, err)
		}
	}
	return err
}

// quoteKey writes a key as a quoted string of the Idempotency-Key draft.
func quoteKey(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

func problemOf(res *http.Response) error {
	p := &Problem{}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err == nil && json.Unmarshal(body, &p.Problem) == nil && p.Code != "" {
		return p
	}
	p.Problem = api.Problem{Status: res.StatusCode, Title: "status " + res.Status}
	return p
}

// fetch sends the call and decodes its whole answer.
func fetch[T any](ctx context.Context, c *Client, in call) (answer T, err error) {
	res, err := c.do(ctx, in)
	if err != nil {
		return answer, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return answer, c.failed(ctx, in, err)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, fmt.Errorf("%s %s: answer: %w", in.method, in.path, err)
	}
	return answer, nil
}

// lines sends the call and gives each line of its answer to each.
func lines[T any](ctx context.Context, c *Client, in call, each func(T) error) error {
	in.accept = api.NDJSON
	res, err := c.do(ctx, in)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := eachLine(res.Body, each); err != nil {
		return c.failed(ctx, in, err)
	}
	return nil
}

func eachLine[T any](r io.Reader, each func(T) error) error {
	s := newScanner(r)
	for s.Scan() {
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 {
			continue
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			// A cut answer ends within a line: then the cut is the cause.
			return cmp.Or(s.Err(), fmt.Errorf("answer: %w", err))
		}
		if err := each(v); err != nil {
			return err
		}
	}
	return s.Err()
}

// moveCall is a POST with an optional body and a key that makes the move's
// repeat by the transport recognisable.
func moveCall(path string, query url.Values, body any) (call, error) {
	in := call{method: http.MethodPost, path: path, query: query, key: uuid.NewString()}
	if body == nil {
		return in, nil
	}
	b, err := json.Marshal(body)
	if err != nil {
		return in, fmt.Errorf("POST %s: %w", path, err)
	}
	in.media, in.body = api.JSON, bytes.NewReader(b)
	return in, nil
}
