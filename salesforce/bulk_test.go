package salesforce

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const jobID = "7500000000000AAAAA"

type recordedAnswer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

func recordedJob(t *testing.T) map[string]recordedAnswer {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "recorded", "bulk-v53.json"))
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]recordedAnswer{}
	if err := json.Unmarshal(raw, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

func (a recordedAnswer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = nil
	for name, v := range a.Headers {
		w.Header().Set(name, v)
	}
	w.WriteHeader(a.Status)
	if string(a.Body) != `""` {
		w.Write(a.Body)
	}
}

func TestJob_StepsAsRecorded(t *testing.T) {
	answers := recordedJob(t)
	org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case "POST":
			answers["create"].ServeHTTP(w, r)
		case "PUT":
			answers["upload"].ServeHTTP(w, r)
		case "PATCH":
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), "Aborted") {
				answers["abort_of_a_complete_job"].ServeHTTP(w, r)
				return
			}
			answers["close"].ServeHTTP(w, r)
		default:
			answers["results_or_delete_of_an_unknown_job"].ServeHTTP(w, r)
		}
	})
	c, ctx := org.client(t), context.Background()
	job, err := c.CreateJob(ctx, JobSpec{Object: "Account", Operation: OpInsert})
	want := Job{ID: jobID, Object: "Account", Operation: "insert", State: StateOpen, CreatedAt: time.Date(2023, 1, 17, 14, 20, 3, 0, time.UTC)}
	if err != nil || job != want {
		t.Fatalf("CreateJob() = %+v, %v, want %+v", job, err, want)
	}
	if err := c.UploadJob(ctx, job.ID, []byte("\"Name\"\n\"x\"\n")); err != nil {
		t.Error(err)
	}
	if job, err = c.CloseJob(ctx, job.ID); err != nil || job.State != StateUploadComplete || job.State.Terminal() {
		t.Errorf("CloseJob() = %+v, %v", job, err)
	}
	_, err = c.AbortJob(ctx, jobID)
	if e, ok := errors.AsType[*APIError](err); !ok || e.Code != "INVALIDJOBSTATE" || e.Class != Retry {
		t.Errorf("AbortJob() = %#v, want INVALIDJOBSTATE, retry", err)
	}
	if err := c.DeleteJob(ctx, jobID); !IsNotFound(err) {
		t.Errorf("DeleteJob() = %v, want not found", err)
	}
	if _, err := c.Job(ctx, jobID); !IsNotFound(err) {
		t.Errorf("Job() = %v, want not found", err)
	}

	calls := org.seen()
	wantCalls := []string{
		"POST /services/data/v66.0/jobs/ingest " + `{"object":"Account","operation":"insert","contentType":"CSV","lineEnding":"LF","columnDelimiter":"COMMA"}`,
		"PUT /services/data/v66.0/jobs/ingest/" + jobID + "/batches \"Name\"\n\"x\"\n",
		"PATCH /services/data/v66.0/jobs/ingest/" + jobID + ` {"state":"UploadComplete"}`,
		"PATCH /services/data/v66.0/jobs/ingest/" + jobID + ` {"state":"Aborted"}`,
	}
	for i, want := range wantCalls {
		if got := calls[i].Method + " " + calls[i].URI + " " + calls[i].Body; got != want {
			t.Errorf("call %d: %s, want %s", i, got, want)
		}
	}
	if got := calls[1].Header.Get("Content-Type"); got != "text/csv; charset=UTF-8" || calls[1].ContentLength == 0 {
		t.Errorf("upload as %q, length %d", got, calls[1].ContentLength)
	}
}

func TestJob_LongFormAndUnknownState(t *testing.T) {
	org := newFakeOrg(t, answering(200, "application/json", `{"id":"`+jobID+`","operation":"upsert","object":"Contact","state":"Pondering","apiVersion":66.0,"externalIdFieldName":"F__c","jobType":"V2Ingest","numberRecordsProcessed":2600,"numberRecordsFailed":7,"retries":2,"totalProcessingTime":0,"errorMessage":"InvalidBatch : Field name not found : X"}`))
	job, err := org.client(t).Job(context.Background(), jobID)
	want := Job{ID: jobID, Object: "Contact", Operation: "upsert", State: "Pondering", Processed: 2600, Failed: 7, Retries: 2, ErrorMessage: "InvalidBatch : Field name not found : X"}
	if err != nil || job != want {
		t.Errorf("Job() = %+v, %v, want %+v", job, err, want)
	}
}

func TestJob_EndsThatProveNothing(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"no id":     answering(200, "application/json", `{"state":"Open"}`),
		"no state":  answering(200, "application/json", `{"id":"`+jobID+`"}`),
		"HTML":      answering(200, "text/html", `<html>`),
		"cut":       cutting("application/json", `{"id":"`+jobID+`","state":"Open"}`),
		"proxy 404": answering(404, "text/html", `<html>`),
	} {
		c := newFakeOrg(t, handle).client(t)
		if _, err := c.CloseJob(context.Background(), jobID); err == nil || ClassOf(err) != Ambiguous {
			t.Errorf("%s: CloseJob() = %v, class %v, want ambiguous", name, err, ClassOf(err))
		}
		if _, err := c.Job(context.Background(), jobID); err == nil || ClassOf(err) == Ambiguous || IsNotFound(err) {
			t.Errorf("%s: Job() = %v, class %v", name, err, ClassOf(err))
		}
	}
	org := newFakeOrg(t, answering(200, "text/html", `<html>`))
	if err := org.client(t).UploadJob(context.Background(), jobID, []byte("x")); ClassOf(err) != Ambiguous {
		t.Errorf("UploadJob() = %v, class %v, want ambiguous", err, ClassOf(err))
	}
	for _, id := range []string{"", "../" + jobID, jobID + "/batches", "750"} {
		if _, err := org.client(t).Job(context.Background(), id); ClassOf(err) != Split {
			t.Errorf("Job(%q) = %v, want a refusal", id, err)
		}
	}
}

func readRecorded(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "recorded", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

type collected struct {
	header []string
	rows   []ResultRow
}

func (c *collected) add(header []string, r ResultRow) error {
	c.header = header
	c.rows = append(c.rows, r)
	return nil
}

var accountHeader = []string{"Name", "Description", "NumberOfEmployees"}

func TestResults_Recorded(t *testing.T) {
	success, failure := readRecorded(t, "successfulResults-v53.csv"), readRecorded(t, "failedResults-v53.csv")
	wantOK := []ResultRow{
		{ID: "0010000000000AAAAA", Created: true, Cells: []string{"TestAccount1", "Description of TestAccount1", "30"}},
		{ID: "0010000000000BAAAA", Created: true, Cells: []string{"TestAccount2", "Another description", "40"}},
		{ID: "0010000000000CAAAA", Created: true, Cells: []string{"TestAccount3", "Yet another description", "50"}},
	}
	wantFailed := []ResultRow{{Code: "REQUIRED_FIELD_MISSING", Message: "Required fields are missing: [Name]", ErrorFields: []string{"Name"}, Cells: []string{"", "Description of TestAccount1", "30"}}}
	type results func(context.Context, string, int, func([]string, ResultRow) error) error
	for _, tt := range []struct {
		name, body string
		of         func(*Client) results
		want       []ResultRow
	}{
		{"successes", success, func(c *Client) results { return c.SuccessfulResults }, wantOK},
		{"successes, CRLF", strings.ReplaceAll(success, "\n", "\r\n"), func(c *Client) results { return c.SuccessfulResults }, wantOK},
		{"successes, no end of line", strings.TrimSuffix(success, "\n"), func(c *Client) results { return c.SuccessfulResults }, wantOK},
		{"failures", failure, func(c *Client) results { return c.FailedResults }, wantFailed},
		{"no failures", readRecorded(t, "failedResults-none-v53.csv"), func(c *Client) results { return c.FailedResults }, nil},
		{"none unprocessed", readRecorded(t, "unprocessedrecords-none-v53.csv"), func(c *Client) results { return c.UnprocessedRecords }, nil},
		{"unprocessed, raw", "Name,Description,NumberOfEmployees\nTestAccount3,Yet another description,50\n", func(c *Client) results { return c.UnprocessedRecords }, []ResultRow{{Cells: wantOK[2].Cells}}},
		{"no body", "", func(c *Client) results { return c.FailedResults }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			org := newFakeOrg(t, answering(200, "text/csv; charset=UTF-8", tt.body))
			var got collected
			err := tt.of(org.client(t))(context.Background(), jobID, 3, got.add)
			if err != nil || !cmp.Equal(got.rows, tt.want) || len(tt.want) > 0 && !cmp.Equal(got.header, accountHeader) {
				t.Errorf("%v, header %v, %s", err, got.header, cmp.Diff(tt.want, got.rows))
			}
		})
	}
	org := newFakeOrg(t, answering(204, "", ""))
	var got collected
	if err := org.client(t).SuccessfulResults(context.Background(), jobID, 3, got.add); err != nil || len(got.rows) != 0 {
		t.Errorf("204: %v, %v", got.rows, err)
	}
}

func TestResults_CutOrMalformedIsAnError(t *testing.T) {
	body := readRecorded(t, "successfulResults-v53.csv")
	csvType := "text/csv"
	for name, handle := range map[string]http.HandlerFunc{
		"cut before its length": cutting(csvType, body),
		"cut in its chunks":     cuttingChunks(csvType, body),
		"cut in a row's end":    answering(200, csvType, body[:strings.Index(body, `,"40"`)]),
		"cut within quotes":     answering(200, csvType, body[:strings.Index(body, `nother`)]),
		"a bare quote":          answering(200, csvType, "\"sf__Id\",\"sf__Created\",Name\n\"1\",\"true\",a\"b\n"),
		"HTML":                  answering(200, "text/html", "<html>"),
		"HTML called CSV":       answering(200, csvType, "<html>\n"),
		"JSON":                  answering(200, "application/json", "[]"),
		"of the other kind":     answering(200, csvType, readRecorded(t, "failedResults-v53.csv")),
		"packed and cut":        packed(body, -6),
		"too many":              answering(200, csvType, body+`"0010000000000DAAAA","true","x","y","1"`+"\n"),
	} {
		org := newFakeOrg(t, handle)
		err := org.client(t).SuccessfulResults(context.Background(), jobID, 3, (&collected{}).add)
		if err == nil || ClassOf(err) != Retry {
			t.Errorf("%s: %v, class %v, want retry", name, err, ClassOf(err))
		}
		if name == "too many" && !errors.Is(err, ErrTooManyResults) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func packed(body string, cut int) http.HandlerFunc {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, body)
	z.Close()
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		answering(200, "text/csv", b.String()[:b.Len()+cut])(w, r)
	}
}

func TestResults_Packed(t *testing.T) {
	org := newFakeOrg(t, packed(readRecorded(t, "successfulResults-v53.csv"), 0))
	var got collected
	if err := org.client(t).SuccessfulResults(context.Background(), jobID, 3, got.add); err != nil || len(got.rows) != 3 {
		t.Errorf("%d rows, %v", len(got.rows), err)
	}
}

func TestResults_GoneAndCallersError(t *testing.T) {
	org := newFakeOrg(t, salesforceSays(404, "NOT_FOUND", "The requested resource does not exist"))
	if err := org.client(t).FailedResults(context.Background(), jobID, 3, (&collected{}).add); !IsNotFound(err) {
		t.Errorf("FailedResults() = %v, want not found", err)
	}
	org.handle = answering(200, "text/csv", readRecorded(t, "failedResults-v53.csv"))
	mine := errors.New("mine")
	if err := org.client(t).FailedResults(context.Background(), jobID, 3, func([]string, ResultRow) error { return mine }); err != mine {
		t.Errorf("FailedResults() = %v, want the caller's error as it is", err)
	}
}

// A page of somebody in between says nothing of the job.
func TestIsNotFound_OfSalesforcesOwnOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		want   bool
	}{
		"Salesforce's own": {salesforceSays(404, "NOT_FOUND", "The requested resource does not exist"), true},
		"a page":           {answering(404, "text/html", "<html>Not Found</html>"), false},
		"a gateway's JSON": {answering(404, "application/json", `{"message":"no Route matched"}`), false},
		"nothing":          {answering(404, "", ""), false},
		"another status":   {salesforceSays(400, "NOT_FOUND", ""), false},
	} {
		_, err := newFakeOrg(t, tt.handle).client(t).Job(context.Background(), jobID)
		if err == nil || IsNotFound(err) != tt.want {
			t.Errorf("%s: %v is not found: %v, want %v", name, err, IsNotFound(err), tt.want)
		}
	}
}

func TestJob_IsTheOneAskedFor(t *testing.T) {
	long := jobID[:15] + "AAB"
	for id, ok := range map[string]bool{jobID: true, jobID[:15]: true, long: true, "7500000000000BAAAA": false} {
		org := newFakeOrg(t, answering(200, "application/json", `{"id":"`+id+`","state":"JobComplete"}`))
		if _, err := org.client(t).Job(context.Background(), jobID); (err == nil) != ok {
			t.Errorf("asked for %s, answered of %s: %v", jobID, id, err)
		}
	}
}

// repeated is an endless body.
type repeated string

func (r repeated) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], r)
	}
	return len(p), nil
}

func TestResults_AreBounded(t *testing.T) {
	kind := resultKind{leading: []string{"sf__Id", "sf__Error"}}
	for name, body := range map[string]io.Reader{
		"an open quote": io.MultiReader(strings.NewReader("\"sf__Id\",\"sf__Error\",Name\n\""), repeated("x")),
		"blank lines":   io.MultiReader(strings.NewReader("\"sf__Id\",\"sf__Error\",Name\n"), repeated("\n")),
		"long heading":  repeated("x"),
	} {
		counted := &countingReader{r: body}
		err := newResultParser(kind, counted, 1).run((&collected{}).add)
		if !errors.Is(err, errTooLong) || counted.n > maxRecord+maxRowShare+4096 {
			t.Errorf("%s: %v after %d bytes", name, err, counted.n)
		}
	}
}

// FuzzResults: a CSV without oddities is read as RFC 4180 says; and one that is cut is an error, or shows fewer
// rows, of which only the last cell of the last may be short.
func FuzzResults(f *testing.F) {
	for _, name := range []string{"successfulResults-v53.csv", "failedResults-v53.csv", "failedResults-none-v53.csv", "unprocessedrecords-none-v53.csv"} {
		f.Add(readRecorded(f, name), 150)
	}
	f.Add("\"sf__Id\",\"sf__Created\",A\r\n\"0015g00000Kp7Qa\",\"TRUE\",\"say \"\"x\"\",\r\n y\"\r\n", 40)
	f.Add("A,B\n,\n\nx", 3)
	kinds := []resultKind{{leading: []string{"sf__Id", "sf__Created"}}, {leading: []string{"sf__Id", "sf__Error"}}, {}}
	f.Fuzz(func(t *testing.T, body string, at int) {
		for _, kind := range kinds {
			whole, err := readResults(kind, body)
			if err != nil {
				continue
			}
			if rows, strict := readStrict(body); strict {
				checkRows(t, kind, body, whole, rows)
			}
			cut := body[:uint(at)%uint(len(body)+1)]
			if part, err := readResults(kind, cut); err == nil {
				checkCut(t, cut, whole, part)
			}
		}
	})
}

func readResults(kind resultKind, body string) (*collected, error) {
	got := &collected{}
	return got, newResultParser(kind, strings.NewReader(body), 50).run(got.add)
}

func checkRows(t *testing.T, kind resultKind, body string, got *collected, rows [][]string) {
	t.Helper()
	if len(rows) < 2 {
		if len(got.rows) > 0 {
			t.Errorf("%q has no rows, read were %+v", body, got.rows)
		}
		return
	}
	n := len(kind.leading)
	if len(got.rows) != len(rows)-1 || !slices.Equal(got.header, rows[0][n:]) {
		t.Fatalf("%d rows under %q of %q, want %d under %q", len(got.rows), got.header, body, len(rows)-1, rows[0][n:])
	}
	for i, r := range got.rows {
		want := rows[i+1]
		if !slices.Equal(r.Cells, want[n:]) {
			t.Errorf("row %d of %q: %q, want %q", i, body, r.Cells, want[n:])
		}
		if n > 0 && r.ID != "" && !strings.HasPrefix(string(r.ID), want[0]) {
			t.Errorf("row %d of %q: Id %q, want %q", i, body, r.ID, want[0])
		}
	}
}

func checkCut(t *testing.T, cut string, whole, part *collected) {
	t.Helper()
	if len(part.rows) > len(whole.rows) {
		t.Fatalf("%q shows more rows than the whole", cut)
	}
	for i, r := range part.rows {
		want := whole.rows[i]
		if last := i == len(part.rows)-1; last && len(r.Cells) > 0 {
			// Nothing tells a short cell from a whole one, as the last line need not have an end.
			n := len(r.Cells) - 1
			r.Cells, want.Cells = r.Cells[:n], want.Cells[:n]
		} else if last {
			return
		}
		if !cmp.Equal(r, want) {
			t.Errorf("row %d of %q: %s", i, cut, cmp.Diff(want, r))
		}
	}
}

// readStrict reads a CSV by the grammar of RFC 4180, blank lines left out and CR LF in a cell as LF; strict is false of
// whatever it does not describe.
func readStrict(s string) (rows [][]string, strict bool) {
	for s != "" {
		if rest, blank := strings.CutPrefix(strings.TrimPrefix(s, "\r"), "\n"); blank {
			s = rest
			continue
		}
		var row []string
		for more := true; more; {
			var cell string
			var ok bool
			if cell, s, more, ok = cutCell(s); !ok {
				return nil, false
			}
			row = append(row, cell)
		}
		if len(rows) > 0 && len(row) != len(rows[0]) {
			return nil, false
		}
		rows = append(rows, row)
	}
	return rows, true
}

var (
	quotedCell = regexp.MustCompile(`^"((?:[^"]|"")*)"`)
	plainCell  = regexp.MustCompile(`^[^",\r\n]*`)
	cellEnd    = regexp.MustCompile(`^(?:,|\r?\n|$)`)
)

// cutCell takes one cell and what ends it off s; more says that the row goes on.
func cutCell(s string) (cell, rest string, more, ok bool) {
	if m := quotedCell.FindStringSubmatch(s); m != nil {
		cell, s = strings.ReplaceAll(strings.ReplaceAll(m[1], `""`, `"`), "\r\n", "\n"), s[len(m[0]):]
	} else {
		cell = plainCell.FindString(s)
		s = s[len(cell):]
	}
	end := cellEnd.FindString(s)
	return cell, s[len(end):], end == ",", end != "" || s == ""
}

func TestUpload_IsPrebuilt(t *testing.T) {
	org := newFakeOrg(t, answering(201, "", ""))
	data := []byte(strings.Repeat("\"Name\"\n", 100_000))
	if err := org.client(t).UploadJob(context.Background(), jobID, data); err != nil {
		t.Fatal(err)
	}
	got := org.seen()[0]
	if got.ContentLength != int64(len(data)) || len(got.Transfer) != 0 || got.Body != string(data) {
		t.Errorf("length %d, transfer %v", got.ContentLength, got.Transfer)
	}
}

func ExampleTable() {
	table, _ := NewTable(JobSpec{Object: "Contact", Operation: OpUpsert, ExternalIDField: "Shop_Id__c"}, nil, []Row{
		{External: []byte(`"1187"`), Fields: []byte(`{"LastName":"Lovelace","Email":null}`)},
		{External: []byte(`"1188"`), Fields: []byte(`{"LastName":"O\"Hara","Account":{"Ext__c":"A-9"}}`)},
	})
	fmt.Printf("%s", table.CSV())
	// Output:
	// "Shop_Id__c","LastName","Email","Account.Ext__c"
	// "1187","Lovelace","#N/A",""
	// "1188","O""Hara","","A-9"
}
