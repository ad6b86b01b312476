package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// rawLimit measures what the disk gives to any program that answers only after
// a sync: writers that each wait for their own record, and one goroutine that
// appends all that waits and syncs once for them. It returns events a second.
func rawLimit(ctx context.Context, path string, writers, eventsARecord int, length time.Duration) (rate float64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	log := &rawLog{f: f, waiting: make(chan rawWrite, writers)}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	started := time.Now()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { log.write(ctx, make([]byte, eventsARecord*eventBytes)) })
	}
	go func() { wg.Wait(); close(log.waiting) }()
	if err := log.commitAll(); err != nil {
		return 0, err
	}
	return float64(log.records*eventsARecord) / time.Since(started).Seconds(), nil
}

// rawLog is the simplest durable log there is.
type rawLog struct {
	f       *os.File
	waiting chan rawWrite
	records int
}

type rawWrite struct {
	data []byte
	done chan struct{}
}

func (l *rawLog) write(ctx context.Context, data []byte) {
	done := make(chan struct{}, 1)
	for ctx.Err() == nil {
		l.waiting <- rawWrite{data, done} // the committer reads until all writers have ended
		<-done
	}
}

// commitAll appends and syncs until the last writer has ended. After an error
// it only lets the writers go.
func (l *rawLog) commitAll() error {
	var failure error
	var buf []byte
	var batch []rawWrite
	for first := range l.waiting {
		batch, buf = append(batch[:0], first), append(buf[:0], first.data...)
		for len(l.waiting) > 0 {
			w := <-l.waiting
			batch, buf = append(batch, w), append(buf, w.data...)
		}
		if failure == nil {
			failure = l.commit(buf)
			l.records += len(batch)
		}
		for _, w := range batch {
			w.done <- struct{}{}
		}
	}
	return failure
}

func (l *rawLog) commit(buf []byte) error {
	if _, err := l.f.Write(buf); err != nil {
		return err
	}
	return unix.Fdatasync(int(l.f.Fd()))
}
