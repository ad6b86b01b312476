package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = time.Minute
	stopTime  = time.Minute
)

// process is a server. Its socket is in a folder of its own, as a socket's path
// must be short.
type process struct {
	sockets string
	cmd     *exec.Cmd
	output  tail
	ended   chan struct{} // closed once it has ended
	err     error
}

// newProcess makes the folder for sockets; start starts the program.
func newProcess() (*process, error) {
	sockets, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return nil, err
	}
	return &process{sockets: sockets, ended: make(chan struct{})}, nil
}

func (p *process) socket() string { return filepath.Join(p.sockets, "s") }

// start starts the program and waits until ready gives no error.
func (p *process) start(ctx context.Context, cmd *exec.Cmd, ready func(context.Context) error) error {
	p.cmd = cmd
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // it must not outlive us, whatever happens
	cmd.SysProcAttr.Setpgid = true              // an interrupt is for us; we stop it
	if err := cmd.Start(); err != nil {
		p.remove()
		return err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	if err := p.wait(ctx, ready); err != nil {
		_ = p.stop(syscall.SIGTERM) // that it did not start is the error
		return err
	}
	return nil
}

func (p *process) wait(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%s ended at its start: %v: %s", p.cmd.Path, p.err, &p.output)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.cmd.Path, err, &p.output)
		}
	}
}

// stop ends the program and waits for it.
func (p *process) stop(signal os.Signal) error {
	defer p.remove()
	_ = p.cmd.Process.Signal(signal) // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", p.cmd.Path, p.err, &p.output)
	}
	return nil
}

func (p *process) remove() { os.RemoveAll(p.sockets) }

// programVersion is what the program says about itself, in one line.
func programVersion(program string, args ...string) string {
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const limit = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	t.bytes = t.bytes[max(len(t.bytes)-limit, 0):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.bytes))
}
