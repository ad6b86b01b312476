package salesforce

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxAnswer bounds the answers that are read whole; a describe of a big object has some 2 MB.
	maxAnswer = 32 << 20
	maxFault  = 64 << 10
	// maxTarget bounds a path with its query: Salesforce takes 16,384 bytes of URI and headers together, and a token may have some thousand.
	maxTarget = 12 << 10
)

// call is one call of the API. Its body is complete before the first byte is sent: the org counts the time of a slow
// upload as a long transaction's.
type call struct {
	name     string // for errors and logs, without values: "collections upsert Contact"
	kind     CallKind
	method   string
	path     string // escaped, below /services/data/vXX.X unless absolute
	absolute bool   // path is the whole path
	body     []byte
	content  string // content type of body, application/json by default
	header   map[string]string
	job      string        // the job that the call is about, if any
	write    bool          // may change the org: what is not proved is ambiguous
	timeout  time.Duration // the client's by default
}

// send makes the call, with one login and one replay where a 401 of Salesforce's shows that the token has ended. The
// caller closes the answer's body, which is bounded and unpacked. Any status is an answer; errors are *AuthError (not
// sent) and *APIError without a status (sent or not, as its class says).
func (c *Client) send(ctx context.Context, k *call) (*http.Response, *grant, error) {
	g, err := c.tokens.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	response, err := c.try(ctx, k, g)
	if err != nil {
		return nil, nil, err
	}
	if isMoved(response.StatusCode) {
		c.tokens.invalidate(g.token) // the next login tells where the org is now
	}
	if response.StatusCode != http.StatusUnauthorized {
		return response, g, nil
	}
	a, err := readAnswer(k, response, maxFault, g)
	if err != nil {
		return nil, nil, err
	}
	if !k.tokenEnded(a) {
		return replay(a), g, nil
	}
	c.tokens.invalidate(g.token)
	fresh, err := c.tokens.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	if fresh.token == g.token {
		return replay(a), g, nil // the org gave the same token again: another try would end the same
	}
	response, err = c.try(ctx, k, fresh)
	return response, fresh, err
}

// tokenEnded reports whether a 401 is cured by a new login. Some texts say that it is not; and of a write only
// Salesforce's own word proves that it was not executed.
func (k *call) tokenEnded(a *answer) bool {
	faults, own := a.faults()
	if !own {
		return !k.write
	}
	f := faults[0]
	return f.code() == "INVALID_SESSION_ID" &&
		!mentions(f.Message, "not valid for use with the rest api", "not attached to agent")
}

// isMoved: an org that was renamed or moved redirects, or its edge no longer knows the host.
func isMoved(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308, 420:
		return true
	}
	return false
}

// try sends the call once, to the host that the grant was issued for and to no other.
func (c *Client) try(ctx context.Context, k *call, g *grant) (*http.Response, error) {
	path := k.path
	if !k.absolute {
		path = "/services/data/v" + g.identity.APIVersion + k.path
	}
	sent := &sending{}
	r, err := http.NewRequestWithContext(sent.trace(ctx), k.method, g.identity.InstanceURL+path, bodyOf(k.body))
	if err != nil {
		return nil, &APIError{Code: CodeTransport, Class: BadConfig, Call: k.name, Err: withoutURL(err)}
	}
	c.setHeaders(r, k, g)
	start := time.Now()
	response, err := c.http.Do(r)
	if err == nil || !sent.nothingLeft() {
		c.calls.add(k.kind)
	}
	if err != nil {
		err = k.lost(ctx, err, sent.nothingLeft())
		c.log.Debug("request", "call", k.name, "duration", time.Since(start), "err", err)
		return nil, err
	}
	c.log.Debug("request", "call", k.name, "duration", time.Since(start), "status", response.StatusCode)
	c.observe(response.Header)
	if response.Body, err = unpack(response); err != nil {
		response.Body.Close()
		return nil, &APIError{Status: response.StatusCode, Code: CodeTransport, Class: k.unproved(response.StatusCode), Call: k.name, Err: err}
	}
	return response, nil
}

// bodyOf is nil without a body; net/http sets Content-Length and GetBody of a bytes.Reader. It sends again by itself only
// what left no byte, as there is no Idempotency-Key header.
func bodyOf(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}

func (c *Client) setHeaders(r *http.Request, k *call, g *grant) {
	h := r.Header
	h.Set("Authorization", "Bearer "+g.token)
	h.Set("User-Agent", c.agent)
	h.Set("Accept", "application/json")
	h.Set("Accept-Encoding", "gzip")
	h.Set("Sforce-Call-Options", "client="+c.agent)
	if k.write {
		h.Set("Sforce-Mru", "updateMru=false")
	}
	if k.body != nil {
		h.Set("Content-Type", "application/json; charset=UTF-8")
		if k.content != "" {
			h.Set("Content-Type", k.content)
		}
	}
	for name, value := range k.header {
		h.Set(name, value)
	}
}

// lost is the error of a call that had no answer. Of a write that left the house nobody knows what became.
func (k *call) lost(ctx context.Context, err error, nothingLeft bool) *APIError {
	e := &APIError{Code: CodeTransport, Message: "no answer", Call: k.name, Err: withoutURL(err)}
	switch {
	case k.write && !nothingLeft:
		e.Class = Ambiguous
	case errors.Is(ctx.Err(), context.Canceled):
		e.Class = Retry
	default:
		e.Class = PauseOrg
	}
	return e
}

// withoutURL takes the URL out of net/http's error: a query's holds values of fields.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// do makes the call and reads its answer, which must have a status of 200 to 299.
func (c *Client) do(ctx context.Context, k *call) (*answer, error) {
	a, err := c.exchange(ctx, k)
	if err != nil {
		return nil, err
	}
	if a.status < 200 || a.status > 299 {
		return nil, k.fail(a)
	}
	return a, nil
}

// exchange makes the call and reads its answer whatever the status.
func (c *Client) exchange(ctx context.Context, k *call) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, max(k.timeout, c.timeout))
	defer cancel()
	response, g, err := c.send(ctx, k)
	if err != nil {
		return nil, err
	}
	return readAnswer(k, response, maxAnswer, g)
}

// readAnswer reads the whole body. One that ends early, or is longer than it may be, proves nothing.
func readAnswer(k *call, response *http.Response, limit int64, g *grant) (*answer, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("answer longer than %d bytes", limit)
	}
	if err != nil {
		return nil, &APIError{Status: response.StatusCode, Code: CodeTransport, Message: "the answer was cut", Class: k.unproved(response.StatusCode), Call: k.name, Err: err}
	}
	return &answer{status: response.StatusCode, header: response.Header, body: body, token: g.token}, nil
}

// replay makes an answer that was read a response again.
func replay(a *answer) *http.Response {
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body))}
}

// observe takes from each answer what it says beside its body.
func (c *Client) observe(h http.Header) {
	if used, limit, ok := parseLimitInfo(h.Values(limitInfo)); ok {
		c.usage.Store(&Usage{Used: used, Max: limit, At: time.Now()})
	}
	for _, w := range h.Values("Warning") {
		if strings.HasPrefix(strings.TrimSpace(w), "299") {
			c.warned.Do(func() { c.log.Warn("salesforce warns of the api version", "warning", clip(w, maxDescription)) })
		}
	}
}

const (
	// A body may grow to this size whatever its ratio, beyond it by maxRatio at most: rows that repeat themselves pack
	// well, a bomb packs better.
	freeGrowth = 64 << 20
	maxRatio   = 200
)

// unpack undoes the gzip that we asked for.
func unpack(response *http.Response) (io.ReadCloser, error) {
	switch encoding := response.Header.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
		return response.Body, nil
	case "gzip", "x-gzip":
	default:
		return response.Body, fmt.Errorf("content encoding %q was not asked for", clip(encoding, 50))
	}
	packed := &countingReader{r: response.Body}
	z := &gunzip{packed: packed, body: response.Body}
	return z, nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// gunzip opens at the first read, as an answer without a body may name the encoding all the same.
type gunzip struct {
	packed *countingReader
	body   io.Closer
	z      *gzip.Reader
	n      int64
}

var errRatio = errors.New("packed body grows beyond any use")

func (g *gunzip) Read(p []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.packed)
		if err != nil {
			return 0, err // io.EOF of an empty body
		}
		g.z = z
	}
	n, err := g.z.Read(p)
	g.n += int64(n)
	if g.n > freeGrowth && g.n > maxRatio*g.packed.n {
		return n, errRatio
	}
	return n, err
}

func (g *gunzip) Close() error { return g.body.Close() }
