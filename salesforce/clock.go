package salesforce

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Skew tells by how much this host's clock is ahead of the login host's, to about a second and half the time of the call. It
// needs no login: a clock that is off is one reason why that fails.
func (c *Client) Skew(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	const name = "clock"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.login.Scheme+"://"+c.login.Host+"/services/data/", nil)
	if err != nil {
		return 0, &APIError{Code: CodeTransport, Class: BadConfig, Call: name, Err: withoutURL(err)}
	}
	r.Header.Set("User-Agent", c.agent)
	start := time.Now()
	response, err := c.http.Do(r)
	if err != nil {
		return 0, &APIError{Code: CodeTransport, Class: PauseOrg, Call: name, Err: withoutURL(err)}
	}
	took := time.Since(start)
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxFault)) // only the header matters
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return 0, &APIError{Status: response.StatusCode, Code: CodeTransport, Class: PauseOrg, Call: name, Err: fmt.Errorf("the answer has no date: %w", err)}
	}
	const cut = time.Second / 2 // a Date has no fractions: on average half a second is missing
	return start.Add(took / 2).Sub(date.Add(cut)), nil
}
