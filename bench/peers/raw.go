package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/outboxd/outboxd/bench/report"
)

// syncRate is how often a second the disk appends and syncs the bytes of one event.
func syncRate(path string, length time.Duration) (rate float64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	event := newEvents(1).event(0)
	started, n := time.Now(), 0
	for time.Since(started) < length {
		if err := appendSync(f, event); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(started).Seconds(), nil
}

func appendSync(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return os.NewSyscallError("fdatasync", syscall.Fdatasync(int(f.Fd())))
}

// rawPeer is the limit for all that answers after a sync: as many writers, in
// this process, and one goroutine that appends what waits and syncs once for it.
var rawPeer = peer{
	name:  report.Raw,
	event: "the bare bytes, appended to a file in this process; one fdatasync for all that wait. No key, no check, no socket.",
	start: startRaw,
}

type rawLog struct {
	f       *os.File
	waiting chan rawWrite
	events  int64
	done    chan struct{}
}

type rawWrite struct {
	data   []byte
	events int
	done   chan error
}

func startRaw(_ context.Context, folder string) (server, error) {
	f, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	l := &rawLog{f: f, waiting: make(chan rawWrite, maxConnections), done: make(chan struct{})}
	go l.commitAll()
	return l, nil
}

func (l *rawLog) commitAll() {
	defer close(l.done)
	var data []byte
	var batch []rawWrite
	for first := range l.waiting {
		batch, data = append(batch[:0], first), append(data[:0], first.data...)
		for len(l.waiting) > 0 {
			w := <-l.waiting
			batch, data = append(batch, w), append(data, w.data...)
		}
		err := appendSync(l.f, data)
		for _, w := range batch {
			l.events += int64(w.events)
			w.done <- err
		}
	}
}

func (l *rawLog) version() string { return "" }

func (l *rawLog) connect(_ context.Context, batch int) (connection, error) {
	return &rawConnection{log: l, events: newEvents(batch), done: make(chan error, 1)}, nil
}

// stored is asked when nobody writes.
func (l *rawLog) stored(context.Context) (int64, error) { return l.events, nil }

func (l *rawLog) stop() error {
	close(l.waiting)
	<-l.done
	return l.f.Close()
}

type rawConnection struct {
	log    *rawLog
	events *events
	done   chan error
}

func (c *rawConnection) put() error {
	c.events.renew()
	c.log.waiting <- rawWrite{c.events.text, len(c.events.keys), c.done}
	return <-c.done
}

func (c *rawConnection) close() {}
