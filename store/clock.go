package store

import (
	"sync"
	"time"
)

// clock is the store's own time: it counts monotonic time while the store is
// open, stands still while it is closed, and never shows a value twice. Beside
// it runs the work clock, which also stands still while nothing may be sent.
type clock struct {
	wall func() time.Time
	mono func() time.Duration

	mu      sync.Mutex
	base    time.Duration // store time at open
	start   time.Duration // mono() at open
	last    time.Duration
	idle    time.Duration // time spent paused until now
	idling  bool
	idledAt time.Duration
}

func newClock(wall func() time.Time, mono func() time.Duration) *clock {
	if wall == nil {
		wall = time.Now
	}
	if mono == nil {
		began := time.Now()
		mono = func() time.Duration { return time.Since(began) }
	}
	return &clock{wall: wall, mono: mono, start: mono()}
}

// restore sets the store time that was saved last.
func (c *clock) restore(now, idle time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.last, c.idle = now, now, idle
}

// now is the store time; it grows with every call.
func (c *clock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *clock) nowLocked() time.Duration {
	c.last = max(c.last+1, c.base+c.mono()-c.start)
	return c.last
}

// work is the store time less the time spent paused.
func (c *clock) work() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	if c.idling {
		return c.idledAt - c.idle
	}
	return now - c.idle
}

// setIdle stops or starts the work clock.
func (c *clock) setIdle(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on == c.idling {
		return
	}
	now := c.nowLocked()
	if c.idling {
		c.idle += now - c.idledAt
	}
	c.idling, c.idledAt = on, now
}

// saved returns what restore needs: the store time and the idle total.
func (c *clock) saved() (now, idle time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now = c.nowLocked()
	idle = c.idle
	if c.idling {
		idle += now - c.idledAt
	}
	return now, idle
}

// wallAt turns a store time into a wall time for answers.
func (c *clock) wallAt(at time.Duration) time.Time {
	now := c.now()
	return c.wall().Add(at - now).UTC()
}
