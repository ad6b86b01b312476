package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/store"
)

var (
	benchRoute   = store.Route{Object: "Contact", Operation: "upsert", ExternalID: "Shop_Id__c"}
	benchPayload = bytes.Repeat([]byte("x"), 512)
)

func benchEvent() store.Event {
	key := uuid.NewString()
	return store.Event{Key: key, Route: benchRoute, Lane: "contact/shop_id__c/" + key, Head: []byte(`{}`), Payload: benchPayload}
}

func openBench(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(filepath.Join(b.TempDir(), "outbox.db"), store.Options{MaxSize: 64 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func putMany(b *testing.B, s *store.Store, n int) {
	b.Helper()
	for n > 0 {
		batch := make([]store.Event, min(n, 4096))
		for i := range batch {
			batch[i] = benchEvent()
		}
		if _, err := s.Put(context.Background(), batch, store.PutOptions{}); err != nil {
			b.Fatal(err)
		}
		n -= len(batch)
	}
}

// deliverMany leaves known keys behind, and pages that are free to be used again.
func deliverMany(b *testing.B, s *store.Store, n int) {
	b.Helper()
	term, err := s.Hold(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	for n > 0 {
		share := min(n, 10_000)
		putMany(b, s, share)
		for left := share; left > 0; {
			id, events := claimThousand(b, s, term)
			settleAll(b, s, term, id, events)
			left -= len(events)
		}
		n -= share
	}
}

func status(b *testing.B, s *store.Store) store.Status {
	b.Helper()
	st, err := s.Status(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return st
}

// BenchmarkPut is the rate of durable acknowledgements of one event each, by
// writers that wait for theirs, in an outbox that has delivered known events
// before: none is a new file, which has to grow.
func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		for _, known := range []int{0, 100_000, 1_000_000, 5_000_000} {
			b.Run(fmt.Sprintf("writers=%d/known=%d", writers, known), func(b *testing.B) {
				s := openBench(b)
				deliverMany(b, s, known)
				before := status(b, s)
				b.SetBytes(int64(len(benchPayload)))
				b.ReportAllocs()
				b.ResetTimer()
				share(b, writers, func() error {
					r, err := s.Put(context.Background(), []store.Event{benchEvent()}, store.PutOptions{})
					if err == nil {
						err = r[0].Err
					}
					return err
				})
				after := status(b, s)
				b.ReportMetric(float64(after.Written-before.Written)/float64(b.N*len(benchPayload)), "bytes/byte")
				b.ReportMetric(float64(b.N)/float64(after.Commits-before.Commits), "events/commit")
			})
		}
	}
}

// BenchmarkRawGroupCommit is the limit that BenchmarkPut is measured against:
// one appender, one fdatasync for all who wait.
func BenchmarkRawGroupCommit(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			queue := make(chan chan error, 1024)
			var wg sync.WaitGroup
			wg.Go(func() { appendLoop(f, queue) })
			b.SetBytes(int64(len(benchPayload)))
			b.ResetTimer()
			share(b, writers, func() error {
				done := make(chan error, 1)
				queue <- done
				return <-done
			})
			close(queue)
			wg.Wait()
		})
	}
}

func appendLoop(f *os.File, queue chan chan error) {
	for first := range queue {
		waiting, buf := []chan error{first}, bytes.Clone(benchPayload)
		for more := true; more; {
			select {
			case d, ok := <-queue:
				if !ok {
					more = false
					break
				}
				waiting, buf = append(waiting, d), append(buf, benchPayload...)
			default:
				more = false
			}
		}
		_, err := f.Write(buf)
		if err == nil {
			err = unix.Fdatasync(int(f.Fd()))
		}
		for _, d := range waiting {
			d <- err
		}
	}
}

// share runs f b.N times by a number of goroutines.
func share(b *testing.B, workers int, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkDrain claims and settles 1,000 events at a time, and tells what each
// of the two takes.
func BenchmarkDrain(b *testing.B) {
	for _, pending := range []int{20_000, 1_000_000} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			ctx := context.Background()
			s := openBench(b)
			putMany(b, s, pending)
			term, err := s.Hold(ctx)
			if err != nil {
				b.Fatal(err)
			}
			left := pending
			var claiming, settling time.Duration
			b.ReportAllocs()
			for b.Loop() {
				if left < 1000 {
					b.StopTimer()
					putMany(b, s, pending)
					left = pending
					b.StartTimer()
				}
				started := time.Now()
				id, events := claimThousand(b, s, term)
				claimed := time.Now()
				settleAll(b, s, term, id, events)
				claiming += claimed.Sub(started)
				settling += time.Since(claimed)
				left -= len(events)
			}
			b.ReportMetric(float64(claiming.Microseconds())/float64(b.N), "claim-µs")
			b.ReportMetric(float64(settling.Microseconds())/float64(b.N), "settle-µs")
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func claimThousand(b *testing.B, s *store.Store, term store.Term) (store.AttemptID, []store.Claimed) {
	b.Helper()
	id := store.AttemptID(uuid.NewString())
	_, events, err := s.Claim(context.Background(), term, id, store.ClaimSpec{Route: benchRoute, Kind: store.KindBulk, MaxRecords: 1000, MaxBytes: 100 << 20})
	if err != nil || len(events) == 0 {
		b.Fatalf("claim: %d events, %v", len(events), err)
	}
	return id, events
}

func settleAll(b *testing.B, s *store.Store, term store.Term, id store.AttemptID, events []store.Claimed) {
	b.Helper()
	outcomes := make([]store.Outcome, len(events))
	for i, e := range events {
		outcomes[i] = store.Outcome{Seq: e.Seq, Verdict: store.Deliver, ID: "0035e00000Kp7QaAAJ", Created: true}
	}
	if err := s.Settle(context.Background(), term, id, store.Settlement{Outcomes: outcomes}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPutBatch is the rate of durable events by two writers that put 1,000
// at a time.
func BenchmarkPutBatch(b *testing.B) {
	s := openBench(b)
	const size = 1000
	b.ReportAllocs()
	share(b, 2, func() error {
		batch := make([]store.Event, size)
		for i := range batch {
			batch[i] = benchEvent()
		}
		_, err := s.Put(context.Background(), batch, store.PutOptions{})
		return err
	})
	b.ReportMetric(float64(b.N)*size/b.Elapsed().Seconds(), "events/s")
}
