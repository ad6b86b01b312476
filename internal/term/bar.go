package term

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	barCells = 24
	barEvery = 100 * time.Millisecond
)

// Bar shows on one line how far long work has come. Away from a terminal it
// writes nothing. Its methods may be called concurrently.
type Bar struct {
	mu      sync.Mutex
	s       *Screen
	label   string
	total   int64 // 0: not known
	done    int64
	note    string
	started time.Time
	drawn   time.Time
	ended   bool
}

// Bar starts a progress bar for total steps; 0 if their number isn't known.
func (s *Screen) Bar(label string, total int64) *Bar {
	return &Bar{s: s, label: label, total: total, started: time.Now()}
}

// Add moves the bar by n steps.
func (b *Bar) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	b.draw()
}

// Set moves the bar to n steps of total (0: not known) and puts a note behind it.
func (b *Bar) Set(n, total int64, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done, b.total, b.note = n, total, note
	b.draw()
}

// Pause clears the line so that something else can be written in its place.
func (b *Bar) Pause() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

// End clears the line. Nothing is drawn after it; it may be called twice.
func (b *Bar) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.ended = true
}

func (b *Bar) clear() {
	if b.s.tty && !b.drawn.IsZero() {
		fmt.Fprint(b.s.w, "\r\x1b[K")
		b.drawn = time.Time{}
	}
}

func (b *Bar) draw() {
	if !b.s.tty || b.ended || time.Since(b.drawn) < barEvery {
		return
	}
	b.drawn = time.Now()
	fmt.Fprint(b.s.w, "\r\x1b[K"+b.text(time.Since(b.started)))
}

func (b *Bar) text(elapsed time.Duration) string {
	var line strings.Builder
	line.WriteString(b.label)
	if b.total > 0 {
		part := min(float64(b.done)/float64(b.total), 1)
		full := int(part * barCells)
		fmt.Fprintf(&line, " %s%s %3.0f %%", strings.Repeat("█", full), strings.Repeat("░", barCells-full), part*100)
	}
	fmt.Fprintf(&line, "  %s", Count(b.done))
	if s := elapsed.Seconds(); s >= 1 {
		fmt.Fprintf(&line, "  %s/s", Count(int64(float64(b.done)/s)))
	}
	if b.note != "" {
		line.WriteString("  " + Clean(b.note))
	}
	return line.String()
}
