package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/outboxd/outboxd/simulator"
)

// ceilingRecords bounds the records of a measurement of the ceiling, so that the
// org's memory stays small.
const ceilingRecords = 100_000

// ceiling measures how many records a second the simulator takes from a client
// that does nothing else: it has the rows ready, keeps nothing on a disk, and only
// counts the results.
func (b *Bench) ceiling(ctx context.Context, o Org, records int) (rate float64, err error) {
	sim, base, err := o.simulated()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	c := &bareClient{base: base, poll: o.Poll, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.Jobs}}}
	defer c.http.CloseIdleConnections()
	if err := c.login(ctx); err != nil {
		return 0, err
	}
	records = min(records, ceilingRecords)
	bar := b.screen.Bar("bare client", int64(records))
	defer bar.End()
	return c.run(ctx, o, records, bar)
}

// bareClient does the least that a job needs.
type bareClient struct {
	base   string
	token  string
	poll   config.Range
	http   *http.Client
	failed atomic.Bool // a worker did; the others end
}

func (c *bareClient) login(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {simulator.DefaultClientID}, "client_secret": {simulator.DefaultClientSecret}}
	var answer struct {
		Token string `json:"access_token"`
	}
	err := c.call(ctx, http.MethodPost, "/services/oauth2/token", "application/x-www-form-urlencoded", []byte(form.Encode()), into(&answer))
	c.token = answer.Token
	return err
}

// run shares the records out among as many workers as jobs may run at once.
func (c *bareClient) run(ctx context.Context, o Org, records int, bar *term.Bar) (rate float64, err error) {
	var left atomic.Int64
	left.Store(int64(records))
	var wg sync.WaitGroup
	errs := make([]error, o.Jobs)
	rows := make([]*text, o.Jobs)
	for i := range rows {
		rows[i] = newText(csvHead, csvRow(), min(o.JobRecords, records))
	}
	started := time.Now()
	for i := range o.Jobs {
		wg.Go(func() {
			for !c.failed.Load() && errs[i] == nil {
				n := o.JobRecords + int(min(left.Add(-int64(o.JobRecords)), 0))
				if n <= 0 {
					return
				}
				if errs[i] = c.job(ctx, rows[i], n); errs[i] != nil {
					c.failed.Store(true)
				}
				bar.Add(int64(n))
			}
		})
	}
	wg.Wait()
	return float64(records) / time.Since(started).Seconds(), errors.Join(errs...)
}

const jobsPath = "/services/data/v68.0/jobs/ingest"

type jobState struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Failed int    `json:"numberRecordsFailed"`
}

// job sends n rows and reads what became of them.
func (c *bareClient) job(ctx context.Context, rows *text, n int) error {
	rows.renew(n)
	upload := rows.bytes[:len(csvHead)+n*(len(rows.bytes)-len(csvHead))/len(rows.places)]
	var j jobState
	spec := fmt.Appendf(nil, `{"object":%q,"operation":"upsert","externalIdFieldName":%q,"contentType":"CSV","lineEnding":"LF"}`, object, keyField)
	if err := c.call(ctx, http.MethodPost, jobsPath, "application/json", spec, into(&j)); err != nil {
		return err
	}
	path := jobsPath + "/" + j.ID
	if err := c.call(ctx, http.MethodPut, path+"/batches", "text/csv", upload, drop); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodPatch, path, "application/json", []byte(`{"state":"UploadComplete"}`), into(&j)); err != nil {
		return err
	}
	if err := c.await(ctx, path, &j); err != nil {
		return err
	}
	lines := 0
	for _, set := range []string{"/successfulResults", "/failedResults"} {
		if err := c.call(ctx, http.MethodGet, path+set, "", nil, countLines(&lines)); err != nil {
			return err
		}
	}
	if lines != n+2 {
		return fmt.Errorf("job %s has %d rows of results for %d records", j.ID, lines-2, n)
	}
	return nil
}

// await looks at a job until it has ended, as rarely as the daemon does at first.
func (c *bareClient) await(ctx context.Context, path string, j *jobState) error {
	for wait := c.poll.Min; ; wait = min(wait+wait/2, c.poll.Max) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.call(ctx, http.MethodGet, path, "", nil, into(j)); err != nil {
			return err
		}
		switch {
		case j.State == "JobComplete" && j.Failed == 0:
			return nil
		case j.State == "JobComplete" || j.State == "Failed" || j.State == "Aborted":
			return fmt.Errorf("job %s ended as %s with %d failed records", j.ID, j.State, j.Failed)
		}
	}
}

func (c *bareClient) call(ctx context.Context, method, path, media string, body []byte, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 500)) // what there is of it
		return fmt.Errorf("%s %s was answered with %s: %s", method, path, res.Status, strings.TrimSpace(string(text)))
	}
	return read(res.Body)
}

func into(v any) func(io.Reader) error {
	return func(r io.Reader) error { return json.NewDecoder(r).Decode(v) }
}

func drop(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// countLines adds the line ends of a body.
func countLines(n *int) func(io.Reader) error {
	return func(r io.Reader) error {
		buf := make([]byte, 64<<10)
		for {
			got, err := r.Read(buf)
			*n += bytes.Count(buf[:got], []byte("\n"))
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}
