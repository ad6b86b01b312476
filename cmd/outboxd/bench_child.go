package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/outboxd/outboxd/client"
)

// child is a daemon in a process of its own, started from this program.
type child struct {
	cmd    *exec.Cmd
	socket string
	client *client.Client
	output *tailBuffer
	ended  chan struct{} // closed once it has ended
	err    error
}

const (
	childStart = 2 * time.Minute
	childStop  = time.Minute
)

// startChild starts a daemon on a new store in folder and waits until it
// accepts. The configuration beside paths is given as YAML.
func startChild(ctx context.Context, folder, config string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "outboxd-") // a socket's path must be short
	if err != nil {
		return nil, err
	}
	c := &child{socket: filepath.Join(sockets, "s"), output: &tailBuffer{limit: 4096}, ended: make(chan struct{})}
	file := filepath.Join(folder, "outboxd.yaml")
	text := fmt.Sprintf("store: {path: %q, max_size: 100GiB}\nsocket: {path: %q, mode: \"0600\", group: \"\"}\n%s",
		filepath.Join(folder, "outbox.db"), c.socket, config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	c.cmd = exec.Command(program, "serve", "--config", file)
	c.cmd.Stderr = c.output
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.client = client.New(c.socket)
	go func() {
		c.err = c.cmd.Wait()
		os.RemoveAll(sockets)
		close(c.ended)
	}()
	if err := c.ready(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *child) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, childStart)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.client.Health(ctx) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return fmt.Errorf("the daemon did not start: %w: %s", c.err, c.output)
		case <-ctx.Done():
			return fmt.Errorf("the daemon did not start: %w", ctx.Err())
		}
	}
}

// stop ends the daemon and waits for it.
func (c *child) stop() error {
	c.client.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-c.ended:
	case <-time.After(childStop):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
	if c.err != nil {
		return fmt.Errorf("the daemon: %w: %s", c.err, c.output)
	}
	return nil
}

// memory is what the daemon holds, in bytes: its peak, which counts pages of
// the store that the kernel may take back, and its own part now.
func (c *child) memory() (peak, own int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmHWM":
			peak = kib << 10
		case "RssAnon":
			own = kib << 10
		}
	}
	return peak, own, lines.Err()
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
