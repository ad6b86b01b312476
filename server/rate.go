package server

import (
	"sync"
	"time"
)

// rateLimit is a token bucket for each source, a second's worth deep. Sources
// name themselves, so it keeps honest apps from pushing each other out; it is
// no defence against one that lies.
type rateLimit struct {
	mu      sync.Mutex
	rate    float64 // events a second; 0: no limit
	buckets map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// maxBuckets bounds memory; above it the buckets that are full again go.
const maxBuckets = 10_000

func newRateLimit(rate float64) *rateLimit {
	return &rateLimit{rate: rate, buckets: make(map[string]bucket)}
}

func (l *rateLimit) set(rate float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = rate
	clear(l.buckets)
}

// allow takes one event of the source from its bucket; it is false when the
// bucket is empty.
func (l *rateLimit) allow(source string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate <= 0 {
		return true
	}
	depth := max(l.rate, 1)
	b, ok := l.buckets[source]
	if !ok {
		l.makeRoom(now, depth)
		b = bucket{left: depth, at: now}
	}
	b.left = min(depth, b.left+now.Sub(b.at).Seconds()*l.rate)
	b.at = now
	allowed := b.left >= 1
	if allowed {
		b.left--
	}
	l.buckets[source] = b
	return allowed
}

// giveBack returns an event that was not written after all.
func (l *rateLimit) giveBack(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[source]; ok {
		b.left++
		l.buckets[source] = b
	}
}

// makeRoom drops the buckets that would be full by now, or, where there are
// none, all: for a moment the limit is laxer than it says.
func (l *rateLimit) makeRoom(now time.Time, depth float64) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for source, b := range l.buckets {
		if b.left+now.Sub(b.at).Seconds()*l.rate >= depth {
			delete(l.buckets, source)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}
