package crashtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
)

// process is a daemon with a folder of its own, which can be killed and started again.
type process struct {
	t       testing.TB
	program string
	dir     string
	folder  string // of the store
	config  string
	log     *os.File
	client  *client.Client
	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd has ended
}

// settings are YAML: what stands below the keys of those names; and a folder for
// the store, if it is not the daemon's.
type settings struct{ objects, dispatch, maxSize, folder string }

// newProcess writes a configuration for the org at url.
func newProcess(t testing.TB, program, url string, s settings) *process {
	t.Helper()
	p := &process{t: t, program: program, dir: scratch(t)}
	p.folder = cmp.Or(s.folder, p.dir)
	p.client = client.New(p.socket())
	var err error
	if p.log, err = os.Create(filepath.Join(p.dir, "daemon.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	p.config = filepath.Join(p.dir, "outboxd.yaml")
	secret := filepath.Join(p.dir, "secret")
	text := fmt.Sprintf(`
salesforce:
  login_url: %s
  auth: { flow: client_credentials, client_id: fake-client-id, client_secret_file: %s }
store: { path: %s, max_size: %s }
socket: { path: %s, mode: "0600", group: "" }
objects: %s
dispatch: %s`, url, secret, p.store(), cmp.Or(s.maxSize, "10GiB"), p.socket(), s.objects, s.dispatch)
	if err := errors.Join(os.WriteFile(secret, []byte("fake-client-secret"), 0o600), os.WriteFile(p.config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return p
}

// scratch is a folder in memory, if there is one. What a killed process has
// written stays in any case; without a disk below, the cases take half the time.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "outboxd-crash")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (p *process) socket() string { return filepath.Join(p.dir, "outboxd.sock") }
func (p *process) store() string  { return filepath.Join(p.folder, "outbox.db") }

// end tells what the daemon logged, if the test has failed.
func (p *process) end() {
	p.kill()
	p.client.Close()
	if p.t.Failed() {
		b, _ := os.ReadFile(p.log.Name())
		p.t.Logf("the end of the daemon's log:\n%s", b[max(0, len(b)-8000):])
	}
	p.log.Close()
}

// launch starts the daemon and does not wait for it; a wrapper, such as strace,
// stands before its command line.
func (p *process) launch(env []string, wrapper ...string) {
	p.t.Helper()
	line := append(wrapper, p.program, "serve", "--config", p.config)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr, p.cmd.Stdout = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exited, cmd := make(chan struct{}), p.cmd
	p.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is asked for by signal
	}()
}

// start runs the daemon and waits until its socket answers.
func (p *process) start() {
	p.t.Helper()
	p.launch(nil)
	p.until("the daemon answers", func() bool { return p.client.Health(p.t.Context()) == nil })
}

// alive reports whether the daemon has not ended.
func (p *process) alive() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal is what ended the daemon; -1 if it ended by itself.
func (p *process) signal() syscall.Signal {
	<-p.exited
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal()
	}
	return -1
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.cmd = nil
	}
}

// until waits for something that happens in another process, which must not end meanwhile.
func (p *process) until(what string, f func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(10 * time.Millisecond); !f(); <-tick.C {
		if !p.alive() {
			p.t.Fatalf("%s: the daemon has ended: %v", what, p.cmd.ProcessState)
		}
		if time.Now().After(deadline) {
			out, _, _ := p.run(nil, "status", "--json")
			p.t.Fatalf("%s: not within %v; status: %s", what, patience, out)
		}
	}
}

// run runs a command of the daemon's program.
func (p *process) run(stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := exec.Command(p.program, append(args, "--config", p.config, "--socket", p.socket())...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// status must be answered.
func (p *process) status() api.Status {
	p.t.Helper()
	s, err := p.client.Status(p.t.Context())
	if err != nil {
		p.t.Fatalf("status: %v", err)
	}
	return s
}

// drained waits until nothing is pending or in flight.
func (p *process) drained() api.Status {
	p.t.Helper()
	var s api.Status
	p.until("drained", func() bool {
		s = p.status()
		return s.Counts.Pending == 0 && s.Counts.Inflight == 0
	})
	return s
}

// documents are all events by their keys.
func (p *process) documents() map[string]api.Document {
	p.t.Helper()
	all := map[string]api.Document{}
	err := p.client.EachEvent(p.t.Context(), client.Filter{}, func(d api.Document) error {
		all[d.Key] = d
		return nil
	})
	if err != nil {
		p.t.Fatalf("list: %v", err)
	}
	return all
}

// check asks the program whether every invariant of the store holds. The daemon is
// killed first: what is checked is the file.
func (p *process) check() {
	p.t.Helper()
	p.kill()
	if out, errs, code := p.run(nil, "check", "--offline"); code != 0 {
		p.t.Errorf("check: exit %d: %s%s", code, out, errs)
	}
}

// within is a context for one call to a daemon that may die meanwhile.
func (p *process) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.t.Context(), patience)
}
