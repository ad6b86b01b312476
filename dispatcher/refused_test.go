package dispatcher_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// TestQuota_ThatAJobTellsOf: one of batches keeps jobs back and nothing else, whether
// the job says so or its rows; any other limit of the org's pauses all sending, or jobs
// would be made for ever that nobody hears of.
func TestQuota_ThatAJobTellsOf(t *testing.T) {
	for _, tt := range []struct {
		name, message, row string
		pauses             bool
	}{
		{"batches, by the job", "ExceededQuota : ApiBatchItems Limit exceeded.", "", false},
		{"batches, by its rows", "", "EXCEEDEDQUOTA:ApiBatchItems Limit exceeded.:--", false},
		{"batches, by its rows in the job's spelling", "", "ExceededQuota:ApiBatchItems Limit exceeded.:--", false},
		{"calls, by the job", "REQUEST_LIMIT_EXCEEDED : TotalRequests Limit exceeded.", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newPatientRig(t, quick())
			r.firstJobEnds(tt.message, tt.row)
			r.put(many(goodEvents, upsertContact)...)
			r.start()
			r.delivers(goodEvents)
			if paused := strings.Contains(r.log.String(), "sending is paused"); paused != tt.pauses {
				t.Errorf("sending was paused: %t, want %t", paused, tt.pauses)
			}
			if held := strings.Contains(r.log.String(), "batches of the day are used up"); held == tt.pauses {
				t.Errorf("jobs were kept back: %t, want %t", held, !tt.pauses)
			}
			r.oracle()
		})
	}
}

// firstJobEnds has the org run no row of the first job, and tell of a failure of the
// job's, or else of each row's.
func (r *rig) firstJobEnds(message, row string) {
	var mu sync.Mutex
	var first string
	var csv []byte
	m := r.between(func(req *http.Request, body []byte) ([]byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		if req.Method != http.MethodPut || first != "" {
			return nil, false
		}
		first, csv = jobOf(req), body
		return body[:bytes.IndexByte(body, '\n')+1], true
	}, nil)
	m.bend = func(req *http.Request, body []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case first == "" || jobOf(req) != first:
			return body
		case strings.HasSuffix(req.URL.Path, "/unprocessedrecords") && row == "":
			return csv
		case strings.HasSuffix(req.URL.Path, "/failedResults") && row != "":
			lines := bytes.Split(bytes.TrimSuffix(csv, []byte("\n")), []byte("\n"))
			for i, line := range lines {
				head := fmt.Sprintf(`"",%q,`, row)
				if i == 0 {
					head = `"sf__Id","sf__Error",`
				}
				lines[i] = append([]byte(head), line...)
			}
			return append(bytes.Join(lines, []byte("\n")), '\n')
		case message != "":
			return bytes.Replace(body, []byte(`"state":"JobComplete"`), fmt.Appendf(nil, `"state":"Failed","errorMessage":%q`, message), 1)
		}
		return body
	}
}

// TestJob_ThatIsNeverMade: what may go by REST does, and the rest is tried more and
// more seldom, and says why.
func TestJob_ThatIsNeverMade(t *testing.T) {
	for _, f := range []simulator.Fault{
		{Status: 500, Code: "UNKNOWN_EXCEPTION"}, {Status: 400, Code: "BULK_API_ERROR"}, {Status: 500, Code: "SOMETHING_NEW"},
	} {
		t.Run(f.Code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := newBubbleRig(t, dispatcher.Config{}, simulator.Config{})
				f.Match.Kind, f.Do = "job.create", "status"
				r.faults(f)
				r.put(many(1_000, upsertContact)...)
				r.put(many(goodEvents, createContact)...)
				r.start()
				time.Sleep(2 * time.Hour)
				if c, n := r.counts(), r.sim.Calls().Calls["job.create"]; c.Of(store.Delivered) != 1_000 || c.Of(store.Pending) != goodEvents || n > 150 {
					t.Errorf("%v after %d tries to make a job, want the upserts delivered and fewer tries", c, n)
				}
				if x := r.get("c-0000"); x.LastError == nil || x.LastError.Code != f.Code {
					t.Errorf("the creates say %+v", x.LastError)
				}
				r.faults()
				time.Sleep(time.Hour)
				if c := r.counts(); c.Of(store.Delivered) != 1_000+goodEvents {
					t.Errorf("%v after it has passed; stuck %v", c, r.stuck())
				}
				r.oracle()
			})
		})
	}
}
