package simulator

import (
	"sync"
	"time"
)

// clock is real time plus what Advance added.
type clock struct {
	base func() time.Time

	mu     sync.Mutex
	offset time.Duration
	moved  chan struct{} // closed and replaced by each advance
}

func newClock(base func() time.Time) *clock {
	return &clock{base: base, moved: make(chan struct{})}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base().Add(c.offset).UTC()
}

// real is the time without what Advance added.
func (c *clock) real() time.Time { return c.base().UTC() }

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	close(c.moved)
	c.moved = make(chan struct{})
}

// until returns how long t is away, and a channel that tells of the next
// advance.
func (c *clock) until(t time.Time) (time.Duration, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Sub(c.base().Add(c.offset)), c.moved
}
