package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is the bare sync: an append of EventBytes, and its fdatasync.
type Disk struct {
	SyncsPerSecond float64   `json:"syncs_per_second"`
	TwoSyncsMicros float64   `json:"two_syncs_us"` // what bbolt waits for at least
	Rounds         []float64 `json:"rounds_syncs_per_second"`
}

// disk measures the bare sync once more.
func (b *Bench) disk(ctx context.Context, length time.Duration, d *Disk) error {
	syncs, err := b.rawSyncs(ctx, length)
	if err != nil {
		return fmt.Errorf("raw syncs: %w", err)
	}
	d.Rounds = append(d.Rounds, syncs)
	d.SyncsPerSecond = median(d.Rounds)
	d.TwoSyncsMicros = ratio(2e6, d.SyncsPerSecond)
	return nil
}

// rawCommits measures what the disk gives to any program that answers only after
// a sync: writers that each wait for their own record of some events, and one goroutine that
// appends all that waits and syncs once for them. It returns events a second.
func (b *Bench) rawCommits(ctx context.Context, writers, eventsARecord int, length time.Duration) (rate float64, err error) {
	f, err := os.Create(filepath.Join(b.folder, "raw"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	log := &rawLog{f: f, waiting: make(chan rawWrite, writers)}
	timed, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	started := time.Now()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { log.write(timed, make([]byte, eventsARecord*EventBytes)) })
	}
	go func() { wg.Wait(); close(log.waiting) }()
	if err := log.commitAll(); err != nil {
		return 0, err
	}
	return float64(log.records*eventsARecord) / time.Since(started).Seconds(), ctx.Err()
}

// rawSyncs measures how often a second the disk takes an append of EventBytes and a sync.
func (b *Bench) rawSyncs(ctx context.Context, length time.Duration) (rate float64, err error) {
	f, err := os.Create(filepath.Join(b.folder, "raw"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	log := &rawLog{f: f}
	record := make([]byte, EventBytes)
	started := time.Now()
	for n := 1; ; n++ {
		if err := log.commit(record); err != nil {
			return 0, err
		}
		if passed := time.Since(started); passed >= length || ctx.Err() != nil {
			return float64(n) / passed.Seconds(), ctx.Err()
		}
	}
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
	for more := true; more; more = ctx.Err() == nil {
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
