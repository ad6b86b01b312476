package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/outboxd/outboxd/bench/report"
)

// measure puts a server under a load: for a fifth of the length to warm up,
// then for the length. It counts the requests that end within that. It also
// returns how many events were acknowledged in all.
func measure(ctx context.Context, s server, load report.Load, length time.Duration) (report.Sample, int64, error) {
	connections := make([]connection, load.Connections)
	for i := range connections {
		c, err := s.connect(ctx, load.Batch)
		if err != nil {
			return report.Sample{}, 0, err
		}
		defer c.close()
		connections[i] = c
	}
	begin := time.Now().Add(length / 5)
	w := window{begin: begin, end: begin.Add(length)}
	runs := make([]requests, load.Connections)
	var wg sync.WaitGroup
	for i, c := range connections {
		wg.Go(func() { runs[i] = w.repeat(ctx, c) })
	}
	wg.Wait()
	var all requests
	for _, r := range runs {
		all.total += r.total
		all.times = append(all.times, r.times...)
		all.err = errors.Join(all.err, r.err)
	}
	if all.err == nil && len(all.times) == 0 {
		all.err = errors.New("no request ended in time: measure for longer, with -d")
	}
	return report.Sample{
		EventsPerSecond: float64(len(all.times)*load.Batch) / length.Seconds(),
		Latency:         report.Latencies(all.times),
	}, int64(all.total * load.Batch), all.err
}

// window is the time in which requests count.
type window struct{ begin, end time.Time }

// requests are those of a connection.
type requests struct {
	total int             // all that were acknowledged
	times []time.Duration // how long those took that count
	err   error
}

// repeat sends requests until the window closes.
func (w window) repeat(ctx context.Context, c connection) requests {
	r := requests{times: slices.Grow([]time.Duration(nil), 1<<16)}
	for started := time.Now(); started.Before(w.end); {
		if r.err = ctx.Err(); r.err != nil {
			return r
		}
		if r.err = c.put(); r.err != nil {
			return r
		}
		r.total++
		ended := time.Now()
		if !ended.Before(w.begin) && ended.Before(w.end) {
			r.times = append(r.times, ended.Sub(started))
		}
		started = ended
	}
	return r
}
