package dispatcher_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

var (
	drainRecords = flag.Int("drain.records", 100_000, "records that BenchmarkDrain drains")
	drainRows    = flag.Int("drain.rows", 1000, "records of a job in BenchmarkDrain")
	drainDelay   = flag.Duration("drain.delay", 0, "time that the org takes for a job in BenchmarkDrain")
	drainProfile = flag.String("drain.cpuprofile", "", "file for the CPU profile of what BenchmarkDrain drains, without the filling")
)

// orgProcess in the environment makes the test binary a simulator and nothing
// else. Its value is the time that a job takes.
const orgProcess = "OUTBOXD_TEST_ORG"

// serveOrg is the process of an org: it prints its URL and lives until its stdin is closed.
func serveOrg() error {
	delay, err := time.ParseDuration(os.Getenv(orgProcess))
	if err != nil {
		return err
	}
	sim, err := simulator.New(simulator.Config{Seed: 1, JobDelay: delay, APILimit: 1 << 40, BatchLimit: 1 << 40})
	if err != nil {
		return err
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(url)
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, sim.Close())
}

// startOrg runs a simulator in a process of its own, whose work is not counted as ours.
func startOrg(b *testing.B) (url string, pid int) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orgProcess+"="+drainDelay.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

// cpuOf is what another process has used, in the clock ticks of /proc.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkDrain drains records by four jobs at a time from a real store into an
// org in another process. bare is what that org does for a client that has its
// CSVs ready, looks at nothing and keeps nothing: the ceiling.
func BenchmarkDrain(b *testing.B) {
	var drained, bare, cpu, bareCPU, orgCPU time.Duration
	var before, after runtime.MemStats
	var allocs, bytes uint64
	for range b.N {
		url, org := startOrg(b)
		started, spent := time.Now(), cpuTime(b)
		bareDrain(b, url, *drainRecords, *drainRows)
		bare, bareCPU = bare+time.Since(started), bareCPU+cpuTime(b)-spent

		outbox := fill(b, *drainRecords)
		runtime.ReadMemStats(&before)
		stop := profile(b)
		started, spent = time.Now(), cpuTime(b)
		orgSpent := cpuOf(b, org)
		drain(b, outbox, url, *drainRecords)
		drained, cpu = drained+time.Since(started), cpu+cpuTime(b)-spent
		orgCPU += cpuOf(b, org) - orgSpent
		stop()
		runtime.ReadMemStats(&after)
		allocs, bytes = allocs+after.Mallocs-before.Mallocs, bytes+after.TotalAlloc-before.TotalAlloc
	}
	records := float64(*drainRecords) * float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(records/drained.Seconds(), "records/s")
	b.ReportMetric(records/bare.Seconds(), "bare-records/s")
	b.ReportMetric(bare.Seconds()/drained.Seconds(), "of-bare")
	b.ReportMetric(float64(cpu.Microseconds())/records, "cpu-µs/record")
	b.ReportMetric(float64(orgCPU.Microseconds())/records, "org-cpu-µs/record")
	b.ReportMetric(float64(bareCPU.Microseconds())/records, "bare-cpu-µs/record")
	b.ReportMetric(float64(allocs)/records, "allocs/record")
	b.ReportMetric(float64(bytes)/records, "B/record")
}

func profile(b *testing.B) (stop func()) {
	b.Helper()
	if *drainProfile == "" {
		return func() {}
	}
	f, err := os.Create(*drainProfile)
	if err != nil {
		b.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		b.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}
}

// cpuTime is what this process has used, system calls included.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// drainEvent is an upsert of 512 bytes.
func drainEvent() (id, line string) {
	id = uuid.NewString()
	line = fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":%q},`+
		`"fields":{"LastName":"Lovelace","FirstName":"Ada","Email":"ada@example.com","Score__c":71.5,"Description":"`, id, id)
	return id, line + strings.Repeat("x", 512-len(line)-3) + `"}}`
}

// fill makes a store with pending events.
func fill(b *testing.B, n int) *store.Store {
	b.Helper()
	s, err := store.Open(filepath.Join(b.TempDir(), "outbox.db"), store.Options{MaxSize: 64 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	r := &rig{t: b}
	for n > 0 {
		events := make([]store.Event, min(n, 4096))
		for i := range events {
			_, line := drainEvent()
			events[i] = r.parse(line)
		}
		if _, err := s.Put(b.Context(), events, store.PutOptions{}); err != nil {
			b.Fatal(err)
		}
		n -= len(events)
	}
	return s
}

func drainClient(b *testing.B, url string) *salesforce.Client {
	b.Helper()
	c, err := salesforce.New(salesforce.Config{
		LoginURL: url,
		Auth:     salesforce.Credentials{Flow: salesforce.FlowClientCredentials, ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// drainJobs is how many jobs run at a time.
const drainJobs = 4

func drain(b *testing.B, outbox *store.Store, url string, n int) {
	b.Helper()
	cfg := dispatcher.Config{Bulk: dispatcher.Bulk{MinRecords: 1, MaxRecords: *drainRows, MaxJobs: drainJobs, PollMin: 50 * time.Millisecond, PollMax: time.Second}}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	d := dispatcher.New(cfg, outbox, drainClient(b, url), slog.New(slog.DiscardHandler))
	go func() { done <- d.Run(ctx) }()
	for {
		changed := outbox.Watch()
		s, err := outbox.Status(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if s.Counts.Of(store.Delivered) == int64(n) {
			break
		}
		select {
		case <-changed:
		case err := <-done:
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// bareDrain sends as many records of the same kind with as little work as possible.
func bareDrain(b *testing.B, url string, n, rows int) {
	b.Helper()
	var csv bytes.Buffer
	csv.WriteString("Shop_Id__c,LastName,FirstName,Email,Score__c,Description\n")
	for range rows {
		id, line := drainEvent()
		_, rest, _ := strings.Cut(line, `"Description":"`)
		fmt.Fprintf(&csv, "%q,\"Lovelace\",\"Ada\",\"ada@example.com\",\"71.5\",%q\n", id, strings.TrimSuffix(rest, `"}}`))
	}
	org := newBareOrg(b, url)
	todo := make(chan struct{}, n/rows)
	for range n / rows {
		todo <- struct{}{}
	}
	close(todo)
	var wg sync.WaitGroup
	for worker := range drainJobs {
		wg.Go(func() {
			data := bytes.Clone(csv.Bytes())
			for job := 0; ; job++ {
				if _, ok := <-todo; !ok {
					return
				}
				stamp(data, fmt.Sprintf("%02d%06d", worker, job))
				if err := org.job(b.Context(), data); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// stamp makes the external ids of a CSV new.
func stamp(csv []byte, with string) {
	for at := bytes.IndexByte(csv, '\n') + 1; at < len(csv); at += bytes.IndexByte(csv[at:], '\n') + 1 {
		copy(csv[at+1:], with)
	}
}

// bareOrg speaks to an org by hand.
type bareOrg struct{ jobs, token string }

func newBareOrg(b *testing.B, url string) bareOrg {
	b.Helper()
	answer, err := http.PostForm(url+"/services/oauth2/token", neturl.Values{
		"grant_type": {"client_credentials"}, "client_id": {simulator.DefaultClientID}, "client_secret": {simulator.DefaultClientSecret},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&token); err != nil || token.AccessToken == "" {
		b.Fatalf("no token: %v", err)
	}
	return bareOrg{url + "/services/data/v66.0/jobs/ingest", token.AccessToken}
}

// call returns the answer's body, or only whether there was one where it is as large as the upload.
func (o bareOrg) call(ctx context.Context, method, path, content string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, o.jobs+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+o.token)
	r.Header.Set("Content-Type", content)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode > 299 {
		return nil, fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	if strings.HasSuffix(path, "Results") {
		_, err = io.Copy(io.Discard, answer.Body)
		return nil, err
	}
	return io.ReadAll(answer.Body)
}

func (o bareOrg) job(ctx context.Context, data []byte) error {
	var job struct{ ID, State string }
	body, err := o.call(ctx, "POST", "", "application/json", []byte(`{"object":"Contact","operation":"upsert","externalIdFieldName":"Shop_Id__c","contentType":"CSV","lineEnding":"LF"}`))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &job); err != nil {
		return err
	}
	path := "/" + job.ID
	if _, err := o.call(ctx, "PUT", path+"/batches", "text/csv", data); err != nil {
		return err
	}
	if _, err := o.call(ctx, "PATCH", path, "application/json", []byte(`{"state":"UploadComplete"}`)); err != nil {
		return err
	}
	for job.State != string(salesforce.StateJobComplete) {
		time.Sleep(5 * time.Millisecond)
		body, err := o.call(ctx, "GET", path, "application/json", nil)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(body, &job); err != nil {
			return err
		}
	}
	for _, set := range []string{"/successfulResults", "/failedResults"} {
		if _, err := o.call(ctx, "GET", path+set, "application/json", nil); err != nil {
			return err
		}
	}
	return nil
}
