package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
)

// writers are apps: each takes a few lines after the other, and repeats what has
// no answer, with the same keys, until it has.
type writers struct {
	mu       sync.Mutex
	cond     *sync.Cond
	released int // lines that may be written
	taken    int // lines that a writer has taken
	answered int
	tries    atomic.Int64 // lines that were written, repeats and all
}

// way writes some lines in one go and returns those that have no answer.
type writing struct {
	size  int // of a go, at most
	write func(ctx context.Context, p *process, some []line) (left []line, err error)
}

var writings = []writing{
	{1, writeOne}, {1, writeOne}, {1, writeOne}, {20, writeAtomic}, {200, writeAtomic}, {300, writeStream}, {500, writeCommand},
}

// write starts the writers. What it returns is closed when every line was answered, or ctx has ended.
func (w *writers) write(ctx context.Context, p *process, lines []line) <-chan struct{} {
	w.cond = sync.NewCond(&w.mu)
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cond.Broadcast()
	})
	var all sync.WaitGroup
	for _, how := range writings {
		all.Go(func() {
			for some := w.take(ctx, how.size, lines); len(some) > 0; some = w.take(ctx, how.size, lines) {
				w.insist(ctx, p, how, some)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
		stop()
	}()
	return done
}

// release lets the writers go on to the n-th line.
func (w *writers) release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.released = n
	w.cond.Broadcast()
}

// idle reports whether everything that was released was answered.
func (w *writers) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answered == w.released
}

func (w *writers) take(ctx context.Context, n int, lines []line) []line {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.taken == w.released && w.taken < len(lines) && ctx.Err() == nil {
		w.cond.Wait()
	}
	if ctx.Err() != nil {
		return nil
	}
	some := lines[w.taken:min(w.taken+n, w.released)]
	w.taken += len(some)
	return some
}

// insist writes until everything has an answer.
func (w *writers) insist(ctx context.Context, p *process, how writing, some []line) {
	left := some
	for pause := time.NewTicker(10 * time.Millisecond); len(left) > 0; {
		w.tries.Add(int64(len(left)))
		var err error
		if left, err = how.write(ctx, p, left); err != nil {
			p.t.Errorf("a writer was refused: %v", err)
			return
		}
		if len(left) == 0 {
			break
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered += len(some)
}

// unanswered tells a refusal from the end of a daemon: only a repeat settles the latter.
func unanswered(err error) error {
	if problem := (*client.Problem)(nil); errors.As(err, &problem) && problem.Status < 500 {
		return err
	}
	return nil
}

func writeOne(ctx context.Context, p *process, some []line) ([]line, error) {
	body, err := json.Marshal(some[0].event)
	if err != nil {
		return nil, err
	}
	if _, err := p.client.PutEvent(ctx, body, ""); err != nil {
		return some, unanswered(err)
	}
	return nil, nil
}

func writeAtomic(ctx context.Context, p *process, some []line) ([]line, error) {
	if _, err := p.client.PutAtomic(ctx, ndjson(some)); err != nil {
		return some, unanswered(err)
	}
	return nil, nil
}

func writeStream(ctx context.Context, p *process, some []line) ([]line, error) {
	n := 0
	err := p.client.PutStream(ctx, bytes.NewReader(ndjson(some)), func(r api.Result) error {
		if r.Problem != nil {
			return &client.Problem{Problem: *r.Problem}
		}
		n++
		return nil
	})
	return some[n:], unanswered(err)
}

// writeCommand is a process of its own, which a shell loop would run again.
func writeCommand(_ context.Context, p *process, some []line) ([]line, error) {
	file := filepath.Join(p.dir, "put.ndjson") // there is one writer of this kind
	if err := os.WriteFile(file, ndjson(some), 0o600); err != nil {
		return nil, err
	}
	switch _, errs, code := p.run(nil, "put", file); code {
	case 0:
		return nil, nil
	case 2:
		return nil, fmt.Errorf("put: %s", errs)
	}
	return some, nil
}

func ndjson(lines []line) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, l := range lines {
		if err := enc.Encode(l.event); err != nil {
			panic(err) // they are maps of texts
		}
	}
	return b.Bytes()
}

// The writers' own test: a line that was not answered is written again, and a
// refusal is no reason to repeat.
func TestUnanswered_TellsARefusalFromAnEnd(t *testing.T) {
	refused := &client.Problem{Problem: api.Problem{Status: 422}}
	for _, tt := range []struct {
		err, want error
	}{{refused, refused}, {&client.Problem{Problem: api.Problem{Status: 503}}, nil}, {client.ErrCut, nil}, {client.ErrUnreachable, nil}} {
		if got := unanswered(tt.err); !errors.Is(got, tt.want) {
			t.Errorf("unanswered(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}
