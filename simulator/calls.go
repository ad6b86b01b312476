package simulator

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// Calls tells of the calls since the start or the last reset.
type Calls struct {
	Calls map[string]int `json:"calls"` // by kind
	Used  int64          `json:"used"`  // of the daily limit
	Max   int64          `json:"max"`
}

// callLog counts calls by kind, and those of the last 24 hours.
type callLog struct {
	max    int64
	mu     sync.Mutex
	byKind map[string]int
	window window
	under  map[*request]time.Time // calls under way, and since when
}

// A call that lasts for longAfter is a long one, of which the org takes so many at a time.
const (
	longAfter    = 20 * time.Second
	maxLongCalls = 25
)

// enter notes a call that begins, unless too many long ones are under way.
func (l *callLog) enter(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, long := l.window.clock.now(), 0
	for _, began := range l.under {
		if now.Sub(began) >= longAfter {
			long++
		}
	}
	if long >= maxLongCalls {
		return false
	}
	l.under[r] = now
	return true
}

func (l *callLog) leave(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.under, r)
}

func newCallLog(c *clock, max int64) *callLog {
	return &callLog{max: max, byKind: make(map[string]int), window: window{clock: c}, under: make(map[*request]time.Time)}
}

// arrive counts a call by its kind, whatever becomes of it.
func (l *callLog) arrive(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byKind[kind]++
}

// spend takes one call from the allocation, and reports false when none is left.
func (l *callLog) spend() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.window.sum() >= l.max {
		return false
	}
	l.window.add(1)
	return true
}

func (l *callLog) used() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.window.sum()
}

// header is the value of Sforce-Limit-Info.
func (l *callLog) header() string { return fmt.Sprintf("api-usage=%d/%d", l.used(), l.max) }

func (l *callLog) snapshot() Calls {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Calls{Calls: maps.Clone(l.byKind), Used: l.window.sum(), Max: l.max}
}

func (l *callLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.byKind)
	l.window = window{clock: l.window.clock}
}

// window is a sum over the last 24 hours, to the minute.
type window struct {
	clock   *clock
	minutes [24 * 60]int64
	total   int64
	last    int64 // the minute up to which minutes are valid
}

// roll forgets what is older than a day.
func (w *window) roll() int64 {
	now := w.clock.now().Unix() / 60
	size := int64(len(w.minutes))
	if now-w.last >= size {
		w.minutes, w.total = [24 * 60]int64{}, 0
		w.last = now
	}
	for w.last < now {
		w.last++
		slot := &w.minutes[w.last%size]
		w.total -= *slot
		*slot = 0
	}
	return now % size
}

func (w *window) add(n int64) {
	w.minutes[w.roll()] += n
	w.total += n
}

func (w *window) sum() int64 {
	w.roll()
	return w.total
}

// day is the unit of what expires: jobs, results, cursors.
const day = 24 * time.Hour
