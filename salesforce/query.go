package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Record is a row of a query: field name, in the letter case of the query, to its JSON value.
type Record = map[string]json.RawMessage

// ErrMoreRows is returned by Query, beside the rows, when the org has more than were asked for.
var ErrMoreRows = errors.New("the query has more rows than asked for")

// ErrQueryTooLong is returned for a query that does not fit the URL: ask for fewer values at a time.
var ErrQueryTooLong = errors.New("the query does not fit a URL")

// MaxQuery is how long a query may be in its URL, see QueryLength.
const MaxQuery = maxTarget - len("/queryAll?q=")

// QueryLength is how many bytes of a URL a query takes, or a part of one.
func QueryLength(soql string) int { return len(url.QueryEscape(soql)) }

// Query runs soql and returns at most maxRows rows, and ErrMoreRows with them if there are more: a caller that concludes
// from a row's absence must not take a part for the whole. includeDeleted also finds rows of the recycle bin
// (queryAll). Values come into soql by Quote, names from Describe.
func (c *Client) Query(ctx context.Context, soql string, includeDeleted bool, maxRows int) ([]Record, error) {
	k := &call{name: "query", kind: CallQuery, method: http.MethodGet, path: "/query?q="}
	if includeDeleted {
		k.name, k.path = "query all", "/queryAll?q="
	}
	k.path += url.QueryEscape(soql)
	if len(k.path) > maxTarget {
		return nil, &APIError{Code: "INVALID", Message: ErrQueryTooLong.Error(), Class: Split, Call: k.name, Err: ErrQueryTooLong}
	}
	var rows []Record
	for {
		page, err := c.queryPage(ctx, k)
		if err != nil {
			return nil, err
		}
		rows = append(rows, page.Records...)
		if len(rows) > maxRows || !page.Done && len(rows) == maxRows {
			return rows[:maxRows], ErrMoreRows
		}
		if page.Done {
			return rows, nil
		}
		k = &call{name: k.name, kind: k.kind, method: http.MethodGet, path: page.NextRecordsURL, absolute: true}
	}
}

type queryPage struct {
	Done           bool     `json:"done"`
	NextRecordsURL string   `json:"nextRecordsUrl"`
	Records        []Record `json:"records"`
}

// queryPage reads one page. Each brings a row at least, or says that it is the last.
func (c *Client) queryPage(ctx context.Context, k *call) (*queryPage, error) {
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	var page queryPage
	if !a.isJSON() || json.Unmarshal(a.body, &page) != nil || page.Records == nil {
		return nil, k.malformed(a, "not a page of rows")
	}
	if !page.Done && (len(page.Records) == 0 || !isDataPath(page.NextRecordsURL)) {
		return nil, k.malformed(a, "a page that leads nowhere")
	}
	return &page, nil
}

// isDataPath accepts a path below /services/data, as it is: no other host, no way out.
func isDataPath(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.Fragment == "" &&
		strings.HasPrefix(s, "/services/data/v") && path.Clean(u.Path) == strings.TrimSuffix(u.Path, "/") &&
		!strings.ContainsAny(s, "%\\ ") && len(s) <= maxTarget
}

// Quote writes s as a literal of SOQL, quotes included. What it holds can't end the literal: backslash
// and quotes are escaped, and so are control characters. It is not for LIKE.
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\\' || r == '\'' || r == '"':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
