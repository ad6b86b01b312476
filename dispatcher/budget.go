package dispatcher

import (
	"fmt"
	"sync"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

// Budget is how much of the org's API calls of the rolling 24 hours is used.
type Budget struct {
	Used, Max int64
	Reserve   int64 // left for others
	At        time.Time
}

// Left is how many calls the dispatcher may still make; it may be negative.
func (b Budget) Left() int64 { return b.Max - b.Reserve - b.Used }

// message says in words that the budget is used up.
func (b Budget) message() string {
	return fmt.Sprintf("%d of %d API calls are used, %d are kept for others", b.Used, b.Max, b.Reserve)
}

// budget follows what the org says about the use of its API, and how many calls
// it stands at a time.
type budget struct {
	reserve float64

	mu       sync.Mutex
	now      Budget
	known    bool
	slots    int // calls at a time, at most the configured number
	streak   int // good calls since slots was last changed
	maxSlots int
}

// slotStreak is how many calls must go well before one more is made at a time.
const slotStreak = 20

func newBudget(reserve float64, slots int) *budget {
	return &budget{reserve: reserve, slots: slots, maxSlots: slots}
}

// note takes the org's newest numbers.
func (b *budget) note(u salesforce.Usage) Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !u.At.Before(b.now.At) {
		b.now = Budget{Used: u.Used, Max: u.Max, Reserve: int64(float64(u.Max) * b.reserve), At: u.At}
		b.known = true
	}
	return b.now
}

// current returns the newest numbers; false before the first answer.
func (b *budget) current() (Budget, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now, b.known
}

// exhausted reports whether only the reserve is left.
func (b *budget) exhausted() bool {
	now, known := b.current()
	return known && now.Max > 0 && now.Left() <= 0
}

// linger is how long a REST call waits for company so that the calls that are
// left last for the day: nothing while half of them are there, never more than
// most. A call with 200 records costs what one with a single record costs.
func (b *budget) linger(most time.Duration) time.Duration {
	now, known := b.current()
	left := now.Left()
	if !known || now.Max <= 0 || left > (now.Max-now.Reserve)/2 {
		return 0
	}
	if left <= 0 {
		return most
	}
	return min(most, 24*time.Hour/time.Duration(left))
}

// crowded halves the calls at a time: the org has too many of ours.
func (b *budget) crowded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slots, b.streak = max(1, b.slots/2), 0
}

// fine counts a good call towards one more at a time.
func (b *budget) fine() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.streak++; b.streak >= slotStreak && b.slots < b.maxSlots {
		b.slots, b.streak = b.slots+1, 0
	}
}

// concurrency is how many REST calls may be under way at a time.
func (b *budget) concurrency() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots
}
