package simtest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// trace keeps one line for each event of a run.
type trace struct {
	began time.Time

	mu       sync.Mutex
	lines    []string
	attempts map[string]string // short names of attempts, whose ids are by chance
}

func newTrace() *trace { return &trace{began: time.Now(), attempts: make(map[string]string)} }

// maxLines bounds what a run that spins can leave behind.
const maxLines = 50_000

func (t *trace) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) < maxLines {
		t.lines = append(t.lines, fmt.Sprintf("%10.4fs ", time.Since(t.began).Seconds())+fmt.Sprintf(format, args...))
	}
}

func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n") + "\n"
}

// attempt is a name that is the same in each run of a seed.
func (t *trace) attempt(id string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.attempts[id] == "" {
		t.attempts[id] = fmt.Sprintf("A%d", len(t.attempts)+1)
	}
	return t.attempts[id]
}

// logTo makes the daemon's log a part of the trace.
func (t *trace) logTo(life int) *slog.Logger { return slog.New(&logLines{trace: t, life: life}) }

type logLines struct {
	*trace
	life int
}

func (l *logLines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logLines) WithGroup(string) slog.Handler                    { return l }

func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		v := a.Value.String()
		switch a.Key {
		case "path":
			return true
		case "err": // the text of a broken connection tells which end was first to notice
			v, _, _ = strings.Cut(v, "TRANSPORT")
		case "attempt":
			v = l.attempt(v)
		}
		fmt.Fprintf(&b, " %s=%s", a.Key, v)
		return true
	})
	l.note("log    %d %s %s%s", l.life, r.Level, r.Message, b.String())
	return nil
}
