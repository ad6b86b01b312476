package dispatcher

import (
	"math/bits"
	"sync"
	"time"

	"github.com/outboxd/outboxd/store"
)

// paces knows for each kind of job how long after its close it is worth a look.
//
// A look too early costs a call and a pause, one too late a little time. So the
// time is moved forward by a little for each job that had ended by then, and back
// by much for each that had not: it settles where one look in nine comes too
// early. When several in a row had not, the org has become slower, and the time is
// moved to where they were seen running, by no more than its double for each. So
// no memory of single jobs is needed, nor the org's clock, which tells whole
// seconds only.
type paces struct {
	mu    sync.Mutex
	known map[jobKind]pace
}

type pace struct {
	look  time.Duration // after the close
	early bool          // the last look came too early
}

// jobKind is what jobs have in common that take about as long.
type jobKind struct {
	object, operation string
	size              int // binary digits of the number of records
}

const (
	earlier = 32 // part of the time by which it is moved forward
	later   = 4  // the same, back
	// maxKinds bounds the memory: names come from apps.
	maxKinds = 1000
)

func kindOf(r store.Route, records int) jobKind {
	return jobKind{r.Object, r.Operation, bits.Len(uint(records))}
}

// expected is when a job is worth its first look; 0: nothing is known.
func (p *paces) expected(k jobKind) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[k].look
}

// learn takes in a job that was seen running for the last time at one time after
// its close, 0 if never, and ended at the next.
func (p *paces) learn(k jobKind, running, ended time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, ok := p.known[k]
	switch {
	case !ok:
		now.look = (running + ended) / 2
	case running < now.look:
		now.look -= now.look / earlier
		now.early = false
	case !now.early:
		now.look += now.look / later
		now.early = true
	default:
		now.look = min(max(running, now.look+now.look/later), 2*now.look)
	}
	if p.known == nil || !ok && len(p.known) >= maxKinds {
		p.known = make(map[jobKind]pace)
	}
	p.known[k] = now
}

// forget starts anew, for another org.
func (p *paces) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = nil
}

// looks are the times at which one job is looked at.
type looks struct {
	pause    // between looks once the job is overdue
	closed   time.Time
	expected time.Duration // after closed; 0: not known, or overdue
}

// wait is how long it is until the next look: never longer than the longest pause.
func (l *looks) wait() time.Duration {
	if l.expected == 0 {
		return l.step()
	}
	left := l.expected - time.Since(l.closed)
	if left > l.most {
		return l.most
	}
	l.expected = 0 // from then on it is overdue
	return max(left, 0)
}
