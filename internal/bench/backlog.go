package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
)

// Backlog is how the daemon stands with many events pending, before it is measured.
type Backlog struct {
	Pending   int64    `json:"pending"`
	Stuck     int64    `json:"stuck"`
	Status    Question `json:"status"`
	StuckPage Question `json:"stuck_page"`
	Memory    Memory   `json:"memory"`
	FileBytes int64    `json:"file_bytes"`
}

// Question is how long a question took that was asked several times.
type Question struct {
	MedianMillis  float64 `json:"median_ms"`
	LongestMillis float64 `json:"longest_ms"`
}

const (
	questionTimes = 20
	stuckEvents   = 20
)

// fill writes events through the socket.
func (b *Bench) fill(ctx context.Context, d *daemon, n int, what string) error {
	if n == 0 {
		return nil
	}
	bar := b.screen.Bar(what, int64(n))
	defer bar.End()
	l := &load{socket: d.socket, connections: linesConnections, lines: true, limit: int64(n), bar: bar}
	if _, err := l.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return ctx.Err()
}

// backlog puts some stuck events to those that are pending, and asks its questions.
func (b *Bench) backlog(ctx context.Context, d *daemon) (l Backlog, err error) {
	if err := putStuck(ctx, d.client); err != nil {
		return l, fmt.Errorf("stuck events: %w", err)
	}
	l.Status, err = ask(func() error {
		s, err := d.client.Status(ctx)
		l.Pending, l.FileBytes = s.Counts.Pending, s.Store.Bytes
		return err
	})
	if err != nil {
		return l, err
	}
	l.StuckPage, err = ask(func() error {
		page, err := d.client.Stuck(ctx, client.Filter{})
		l.Stuck = page.Total
		return err
	})
	if err != nil {
		return l, err
	}
	l.Memory, err = d.memory()
	return l, err
}

// putStuck writes events that expire at once, and waits until they have failed.
func putStuck(ctx context.Context, c *client.Client) error {
	for i := range stuckEvents {
		expiring := api.Event{
			Key: fmt.Sprintf("stuck-%d", i), Object: object, Operation: "create",
			Fields: map[string]any{"LastName": "Late"}, ExpiresAt: time.Now(),
		}
		if _, err := c.Put(ctx, expiring); err != nil {
			return err
		}
	}
	for i := range stuckEvents {
		doc, err := c.Event(ctx, fmt.Sprintf("stuck-%d", i), startPatience)
		if err != nil {
			return err
		}
		if doc.Reason != "failed" {
			return fmt.Errorf("%s is %s instead of failed", doc.Key, doc.State)
		}
	}
	return nil
}

func ask(question func() error) (Question, error) {
	var all times
	for range questionTimes {
		started := time.Now()
		if err := question(); err != nil {
			return Question{}, err
		}
		all.add(time.Since(started))
	}
	l := all.latency()
	return Question{MedianMillis: l.P50 / 1000, LongestMillis: l.Longest / 1000}, nil
}
