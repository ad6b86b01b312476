package dispatcher

import (
	"context"
	"sync"
)

// Jobs go through three stages: they are made, up to the upload; the org works on
// them, from the close to the end; their results are read and recorded. Each has
// room for Bulk.MaxJobs, so that the org has its next job as soon as it is done
// with one, and memory is bounded. A job keeps its place until it has one in the
// next stage. For the first the loop counts slots; the others are this.
type stage struct {
	mu    sync.Mutex
	taken int
	left  chan struct{} // closed when a place becomes free; nil: nobody waits for one
}

// enter takes a place, when one of most is free; false if ctx ended first.
func (s *stage) enter(ctx context.Context, most int) bool {
	for {
		s.mu.Lock()
		if s.taken < most {
			s.taken++
			s.mu.Unlock()
			return true
		}
		if s.left == nil {
			s.left = make(chan struct{})
		}
		left := s.left
		s.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return false
		}
	}
}

// take takes a place whether there is room or not.
func (s *stage) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
}

func (s *stage) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.left != nil {
		close(s.left)
		s.left = nil
	}
}

// pass moves the job into its next stage, unless it is there already; false if ctx
// ended first.
func (j *job) pass(ctx context.Context, next *stage) bool {
	if j.stage == next {
		return true
	}
	if !next.enter(ctx, j.cfg.Bulk.MaxJobs) {
		return false
	}
	j.depart()
	j.stage = next
	return true
}

// begin puts a job that a start found into the stage that it is in, full or not.
func (j *job) begin(in *stage) {
	in.take()
	j.depart()
	j.stage = in
}

// depart gives up the place that the job has.
func (j *job) depart() {
	if j.stage == nil {
		j.free()
		return
	}
	j.stage.leave()
	j.stage = nil
}
