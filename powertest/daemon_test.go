package powertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"

	// The daemon runs as a process: this tells go test that its result depends on it.
	_ "github.com/outboxd/outboxd/app"
)

// patience bounds every wait.
const patience = time.Minute

// daemon is the real program, with its store on the recording file system.
type daemon struct {
	t       *testing.T
	program string
	config  string
	log     *os.File
	client  *client.Client
	cmd     *exec.Cmd
	feed    sync.WaitGroup
	*witness
}

// witness keeps what was told to somebody.
type witness struct {
	journal *journal
	mu      sync.Mutex
	promises
}

// promises are what was told to somebody, with how much had happened by then.
type promises struct {
	accepted  map[string]int
	delivered map[string]delivery
	closing   map[string]int // jobs that the org was asked to process
}

type delivery struct {
	at int
	id string
}

func newPromises() promises {
	return promises{accepted: map[string]int{}, delivered: map[string]delivery{}, closing: map[string]int{}}
}

func newDaemon(t *testing.T, url, store string, w *witness) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{t: t, program: filepath.Join(dir, "outboxd"), config: filepath.Join(dir, "outboxd.yaml"), witness: w}
	if out, err := exec.Command("go", "build", "-o", d.program, "../cmd/outboxd").CombinedOutput(); err != nil {
		t.Fatalf("build the daemon: %v: %s", err, out)
	}
	socket, secret := filepath.Join(dir, "sock"), filepath.Join(dir, "secret")
	d.client = client.New(socket)
	text := fmt.Sprintf(`
salesforce:
  login_url: %s
  auth: { flow: client_credentials, client_id: fake-client-id, client_secret_file: %s }
store: { path: %s, max_size: 16MiB }
socket: { path: %s, mode: "0600", group: "" }
dispatch: { bulk: { min_records: 5, max_wait: 20ms, poll: 10ms..50ms }, rest: { late_window: 300ms }, retry: { initial: 20ms, max: 100ms } }
`, url, secret, store, socket)
	err := errors.Join(os.WriteFile(secret, []byte("fake-client-secret"), 0o600), os.WriteFile(d.config, []byte(text), 0o600))
	if err == nil {
		d.log, err = os.Create(filepath.Join(dir, "log"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.end(syscall.SIGKILL)
		d.client.Close()
		if t.Failed() {
			b, _ := os.ReadFile(d.log.Name())
			t.Logf("the end of the daemon's log:\n%s", b[max(0, len(b)-4000):])
		}
		_ = d.log.Close()
	})
	return d
}

// start runs the daemon and listens to its outcomes until it ends.
func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command(d.program, "serve", "--config", d.config)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.until("the daemon answers", func() bool { return d.client.Health(d.t.Context()) == nil })
	d.feed.Go(func() {
		_ = d.client.Outcomes(d.t.Context(), "", true, d.told) // until it dies
	})
}

// run runs another command on the store while no daemon does.
func (d *daemon) run(command string) {
	d.t.Helper()
	cmd := exec.Command(d.program, command, "--config", d.config)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func (d *daemon) until(what string, f func() bool) {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(5 * time.Millisecond); !f(); <-tick.C {
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// end ends the process by a signal.
func (d *daemon) end(s os.Signal) {
	if d.cmd != nil {
		_ = d.cmd.Process.Signal(s)
		_ = d.cmd.Wait()
		d.feed.Wait()
		d.cmd = nil
	}
}

// put sends one event and notes when it was accepted.
func (d *daemon) put(ctx context.Context, e api.Event) error {
	if _, err := d.client.Put(ctx, e); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accepted[e.Key] = d.journal.now()
	return nil
}

// told notes an outcome that the daemon told of.
func (w *witness) told(o api.Outcome) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.delivered[o.Key]; o.State == "delivered" && !known {
		w.delivered[o.Key] = delivery{w.journal.now(), o.SalesforceID}
	}
	return nil
}

// closed notes that the org was asked to process a job.
func (w *witness) closed(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.closing[job]; !known {
		w.closing[job] = w.journal.now()
	}
}

func (w *witness) deliveries() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.delivered)
}

func (d *daemon) drained() bool {
	s, err := d.client.Status(d.t.Context())
	return err == nil && s.Counts.Pending+s.Counts.Inflight == 0
}
