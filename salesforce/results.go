package salesforce

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// ResultRow is one row of a job's results. The caller may keep it.
type ResultRow struct {
	ID      ID   // of a success
	Created bool // of a success: a new record
	// Code, Message and ErrorFields are the parts of a failure's sf__Error.
	Code        string
	Message     string
	ErrorFields []string
	// Cells are the uploaded columns as the org echoes them, in the order of the header handed beside: after typed
	// parsing, so that 71 may come back as 7.1E1.
	Cells []string
}

const (
	// maxRecord bounds a row in memory: 400,000 characters are its most, of up to four bytes, quotes doubled.
	maxRecord = 4 << 20
	// maxRowShare times the rows asked for bounds a body.
	maxRowShare = 3 << 19
)

// ErrTooManyResults is returned when a job has more result rows than limit.
var ErrTooManyResults = errors.New("more result rows than expected")

// SuccessfulResults streams the rows that were written, in no particular order, at most limit of them. header holds the uploaded
// columns, and is the same each time. each's error ends it and is returned as it is. Rows already handed over are
// void when it ends in an error: a cut or malformed body is one, and then the results are fetched again.
func (c *Client) SuccessfulResults(ctx context.Context, id string, limit int, each func(header []string, r ResultRow) error) error {
	return c.results(ctx, id, resultKind{"job results ok", "/successfulResults", []string{"sf__Id", "sf__Created"}}, limit, each)
}

// FailedResults streams the rows that were refused, as SuccessfulResults.
func (c *Client) FailedResults(ctx context.Context, id string, limit int, each func(header []string, r ResultRow) error) error {
	return c.results(ctx, id, resultKind{"job results failed", "/failedResults", []string{"sf__Id", "sf__Error"}}, limit, each)
}

// UnprocessedRecords streams the rows that the job didn't come to, as SuccessfulResults.
func (c *Client) UnprocessedRecords(ctx context.Context, id string, limit int, each func(header []string, r ResultRow) error) error {
	return c.results(ctx, id, resultKind{"job results unprocessed", "/unprocessedrecords", nil}, limit, each)
}

type resultKind struct {
	name, resource string
	leading        []string // headings before the uploaded ones
}

func (c *Client) results(ctx context.Context, id string, kind resultKind, limit int, each func([]string, ResultRow) error) error {
	k := &call{name: kind.name, kind: CallBulk, method: http.MethodGet, header: map[string]string{"Accept": "text/csv"}}
	if err := k.onJob(id, kind.resource); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, max(minBulkTimeout, c.timeout))
	defer cancel()
	response, g, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, header: response.Header}
	switch t := mediaType(a.header); {
	case a.status == http.StatusNoContent:
		return nil
	case a.status != http.StatusOK:
		if a, err = readAnswer(k, response, maxFault, g); err != nil {
			return err
		}
		return k.fail(a)
	case t != "" && t != "text/csv":
		return k.malformed(a, "not a CSV")
	}
	p := newResultParser(kind, response.Body, limit)
	err = p.run(each)
	if err != nil && !p.stopped {
		return &APIError{Status: a.status, Code: CodeTransport, Message: "the results are cut or malformed", Class: Retry, Call: k.name, Err: err}
	}
	return err
}

// resultParser reads a result CSV row by row.
type resultParser struct {
	kind    resultKind
	body    *bounded
	csv     *csv.Reader
	limit   int
	stopped bool // the caller ended it
}

func newResultParser(kind resultKind, body io.Reader, limit int) *resultParser {
	b := &bounded{r: body, total: int64(limit)*maxRowShare + maxRecord, record: maxRecord}
	return &resultParser{kind: kind, body: b, csv: csv.NewReader(b), limit: limit}
}

// run hands over each row. No body at all, or the heading alone, is no row.
func (p *resultParser) run(each func([]string, ResultRow) error) error {
	heading, err := p.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	heading[0] = strings.TrimPrefix(heading[0], "\ufeff")
	n := len(p.kind.leading)
	if len(heading) < n || !slices.Equal(heading[:n], p.kind.leading) {
		return errors.New("not the headings of such results")
	}
	for rows := 0; ; rows++ {
		p.body.record = maxRecord
		cells, err := p.csv.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if rows == p.limit {
			return fmt.Errorf("%w: over %d", ErrTooManyResults, p.limit)
		}
		if err := each(heading[n:], p.row(cells)); err != nil {
			p.stopped = true
			return err
		}
	}
}

func (p *resultParser) row(cells []string) ResultRow {
	n := len(p.kind.leading)
	r := ResultRow{Cells: cells[n:]}
	if n == 0 {
		return r
	}
	r.ID, _ = answeredID(cells[0])
	if p.kind.leading[1] == "sf__Created" {
		r.Created = strings.EqualFold(cells[1], "true")
		return r
	}
	r.Code, r.Message, r.ErrorFields = ParseRowError(cells[1])
	r.Message = clip(r.Message, maxMessage)
	return r
}

// bounded ends a body that is longer than its rows may be, and a row that is longer than a row may be: an open quote
// would gather the rest of the body in memory.
type bounded struct {
	r             io.Reader
	total, record int64
}

var errTooLong = errors.New("longer than it may be")

func (b *bounded) Read(p []byte) (int, error) {
	allowed := min(b.total, b.record)
	if allowed <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), allowed)])
	b.total -= int64(n)
	b.record -= int64(n)
	return n, err
}
