package crashtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	// The daemon runs as a process: these tell go test that its result depends on them.
	_ "github.com/outboxd/outboxd/app"
	_ "github.com/outboxd/outboxd/client"
	_ "github.com/outboxd/outboxd/simulator"
)

// binary is the daemon, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "outboxd-crashtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "outboxd")
	build := exec.Command("go", "build", "-o", binary, "../cmd/outboxd")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the daemon:", err)
		return 1
	}
	return m.Run()
}

// patience bounds every wait of a test.
const patience = 2 * time.Minute

// rig is an org and a daemon, each a process.
type rig struct {
	t      *testing.T
	dir    string
	org    string // URL of the simulator
	token  string
	config string
	daemon *exec.Cmd
	log    *os.File
}

// newRig starts the simulator and writes a configuration; dispatch is YAML below
// the key of that name.
func newRig(t *testing.T, dispatch string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	var err error
	if r.log, err = os.Create(filepath.Join(r.dir, "daemon.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(r.log.Name())
			t.Logf("the end of the daemon's log:\n%s", b[max(0, len(b)-8000):])
		}
		r.log.Close()
	})
	r.simulate()
	r.config = filepath.Join(r.dir, "outboxd.yaml")
	secret := filepath.Join(r.dir, "secret")
	text := fmt.Sprintf(`
salesforce:
  login_url: %s
  auth: { flow: client_credentials, client_id: fake-client-id, client_secret_file: %s }
store: { path: %s }
socket: { path: %s, mode: "0600", group: "" }
objects:
  Lead: { key_field: Outbox_Key__c }
dispatch:
%s`, r.org, secret, filepath.Join(r.dir, "outbox.db"), r.socket(), dispatch)
	if err := errors.Join(os.WriteFile(secret, []byte("fake-client-secret"), 0o600), os.WriteFile(r.config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) socket() string { return filepath.Join(r.dir, "outboxd.sock") }

func (r *rig) simulate() {
	r.t.Helper()
	cmd := exec.Command(binary, "simulate", "--listen", "127.0.0.1:0", "--seed", "7")
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		r.t.Fatalf("the simulator's first line: %v", err)
	}
	r.org = strings.TrimSpace(line)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"fake-client-id"}, "client_secret": {"fake-client-secret"}}
	r.must(http.PostForm(r.org+"/services/oauth2/token", form))(&answer)
	r.token = answer.AccessToken
}

// must reads a JSON answer that has to be a success.
func (r *rig) must(res *http.Response, err error) func(into any) {
	r.t.Helper()
	return func(into any) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode >= 300 {
			r.t.Fatalf("%s: %s %s %v", res.Request.URL, res.Status, body, err)
		}
		if into != nil {
			if err := json.Unmarshal(body, into); err != nil {
				r.t.Fatalf("%s: %v in %s", res.Request.URL, err, body)
			}
		}
	}
}

// create makes records at the org without the daemon and returns their Ids.
func (r *rig) create(object string, n int, fields func(i int) map[string]any) []string {
	r.t.Helper()
	var ids []string
	for start := 0; start < n; start += 200 {
		var records []map[string]any
		for i := start; i < min(start+200, n); i++ {
			f := fields(i)
			f["attributes"] = map[string]string{"type": object}
			records = append(records, f)
		}
		body, err := json.Marshal(map[string]any{"allOrNone": false, "records": records})
		if err != nil {
			r.t.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPost, r.org+"/services/data/v66.0/composite/sobjects", bytes.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.token)
		req.Header.Set("Content-Type", "application/json")
		var answers []struct {
			ID      string `json:"id"`
			Success bool   `json:"success"`
		}
		r.must(http.DefaultClient.Do(req))(&answers)
		for _, a := range answers {
			if !a.Success {
				r.t.Fatalf("create %s: %+v", object, answers[0])
			}
			ids = append(ids, a.ID)
		}
	}
	return ids
}

func (r *rig) faults(list ...map[string]any) {
	r.t.Helper()
	body, err := json.Marshal(list)
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(http.Post(r.org+"/_sim/faults", "application/json", bytes.NewReader(body)))(nil)
}

// effect is one line of the oracle.
type effect struct {
	N         int            `json:"n"`
	Object    string         `json:"object"`
	Operation string         `json:"operation"`
	ID        string         `json:"id"`
	Fields    map[string]any `json:"fields"`
	Via       string         `json:"via"`
}

// effects are the oracle's lines after the first so many.
func (r *rig) effects(after int) (list []effect) {
	r.t.Helper()
	res, err := http.Get(r.org + "/_sim/effects")
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); dec.More(); {
		var e effect
		if err := dec.Decode(&e); err != nil {
			r.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list[after:]
}

// start runs the daemon and waits until its socket answers.
func (r *rig) start() {
	r.t.Helper()
	r.daemon = exec.Command(binary, "serve", "--config", r.config)
	r.daemon.Stderr, r.daemon.Stdout = r.log, r.log
	r.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.daemon.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.kill)
	r.until("the daemon answers", func() bool {
		_, _, code := r.run(nil, "status", "--json")
		return code == 0
	})
}

// kill is kill -9.
func (r *rig) kill() {
	if r.daemon != nil {
		_ = r.daemon.Process.Kill()
		_ = r.daemon.Wait()
		r.daemon = nil
	}
}

// until waits for something that happens in another process.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(50 * time.Millisecond); !f(); <-tick.C {
		if time.Now().After(deadline) {
			out, _, _ := r.run(nil, "status", "--json")
			r.t.Fatalf("%s: not within %v; status: %s", what, patience, out)
		}
	}
}

// run runs a command of the daemon's binary.
func (r *rig) run(stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	cmd := exec.Command(binary, append(args, "--config", r.config, "--socket", r.socket())...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// status is what the tests look at of GET /v1/status.
type status struct {
	Counts struct {
		Pending   int64 `json:"pending"`
		Inflight  int64 `json:"inflight"`
		Delivered int64 `json:"delivered"`
		Failed    int64 `json:"failed"`
		InDoubt   int64 `json:"in_doubt"`
		Dropped   int64 `json:"dropped"`
	} `json:"counts"`
	Accepted int64 `json:"accepted"`
	Breaker  struct {
		State       string    `json:"state"`
		Reason      string    `json:"reason"`
		Code        string    `json:"code"`
		NextProbeAt time.Time `json:"next_probe_at"`
	} `json:"breaker"`
}

func (r *rig) status() (s status) {
	r.t.Helper()
	out, errs, code := r.run(nil, "status", "--json")
	if code != 0 {
		r.t.Fatalf("status: exit %d: %s", code, errs)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		r.t.Fatalf("status: %v in %s", err, out)
	}
	return s
}

// drained waits until nothing is pending or in flight.
func (r *rig) drained() status {
	r.t.Helper()
	var s status
	r.until("drained", func() bool {
		s = r.status()
		return s.Counts.Pending == 0 && s.Counts.Inflight == 0
	})
	return s
}
