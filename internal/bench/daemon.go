package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/outboxd/outboxd/client"
)

// daemon is one in a process of its own, started from this program.
type daemon struct {
	cmd    *exec.Cmd
	socket string
	client *client.Client
	http   *http.Client
	output *tailBuffer
	ended  chan struct{} // closed once it has ended
	err    error
}

const (
	startPatience = 2 * time.Minute
	stopPatience  = time.Minute
)

// storeName is the store's file in a daemon's folder.
const storeName = "outbox.db"

// startDaemon starts a daemon on the store in folder, a new one unless it is
// there, and waits until it accepts. The configuration beside paths is given as YAML.
func startDaemon(ctx context.Context, folder, config string) (*daemon, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "outboxd-") // a socket's path must be short
	if err != nil {
		return nil, err
	}
	d := &daemon{socket: filepath.Join(sockets, "s"), output: &tailBuffer{limit: 4096}, ended: make(chan struct{})}
	file := filepath.Join(folder, "outboxd.yaml")
	text := fmt.Sprintf("store: {path: %q, max_size: 100GiB}\nsocket: {path: %q, mode: \"0600\", group: \"\"}\n%s",
		filepath.Join(folder, storeName), d.socket, config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	d.cmd = exec.Command(program, "serve", "--config", file)
	d.cmd.Stderr = d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	d.client = client.New(d.socket)
	d.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.socket)
		},
	}}
	go func() {
		d.err = d.cmd.Wait()
		os.RemoveAll(sockets)
		close(d.ended)
	}()
	if err := d.ready(ctx); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

func (d *daemon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if d.client.Health(ctx) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return fmt.Errorf("the daemon did not start: %w: %s", d.err, d.output)
		case <-ctx.Done():
			return fmt.Errorf("the daemon did not start: %w", ctx.Err())
		}
	}
}

// stop ends the daemon and waits for it.
func (d *daemon) stop() error {
	d.client.Close()
	d.http.CloseIdleConnections()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-d.ended:
	case <-time.After(stopPatience):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	if d.err != nil {
		return fmt.Errorf("the daemon: %w: %s", d.err, d.output)
	}
	return nil
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

func (d *daemon) memory() (Memory, error) { return memoryOf(d.pid()) }

// get asks for what the client has no call for.
func (d *daemon) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://outboxd"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := d.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s was answered with %s", path, res.Status), res.Body.Close())
	}
	return res, nil
}

// tailBuffer keeps the last bytes that were written to it.
type tailBuffer struct {
	limit int
	bytes []byte
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	if extra := len(b.bytes) - b.limit; extra > 0 {
		b.bytes = append(b.bytes[:0], b.bytes[extra:]...)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string { return strings.TrimSpace(string(b.bytes)) }
