package salesforce

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How long a failed login is remembered, so that those who waited for it don't each fail again in turn: failed logins
// count against the user and may get the address blocked.
const (
	memoryOfTransient = time.Second
	memoryOfFailure   = 3 * time.Second
)

// grant is a login: a token and the only place where it may be sent.
type grant struct {
	token    string
	identity Identity
}

// tokenSource holds the token in use. Salesforce's tokens don't say when they end, so it is kept until somebody
// met a 401 with it. One login runs at a time, in the call of the first who needs it; the others wait.
type tokenSource struct {
	login func(context.Context) (*grant, error)

	mu      sync.Mutex
	current *grant
	flight  chan struct{} // closed when the login under way has ended; nil when none is
	failure error
	until   time.Time // how long failure is remembered
}

// get returns the token in use or logs in. All its errors are *AuthError.
func (s *tokenSource) get(ctx context.Context) (*grant, error) {
	for {
		s.mu.Lock()
		switch {
		case s.current != nil:
			g := s.current
			s.mu.Unlock()
			return g, nil
		case s.failure != nil && time.Now().Before(s.until):
			err := s.failure
			s.mu.Unlock()
			return nil, err
		case s.flight == nil:
			s.flight = make(chan struct{})
			s.mu.Unlock()
			return s.fly(ctx)
		}
		flight := s.flight
		s.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, &AuthError{Code: CodeTransport, Transient: true, Err: ctx.Err()}
		}
	}
}

// fly logs in for everybody. A failure that comes of this caller's own context is not the others': one of them tries.
func (s *tokenSource) fly(ctx context.Context) (*grant, error) {
	g, err := s.login(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.flight)
	s.flight, s.failure = nil, nil
	if err == nil {
		s.current = g
		return g, nil
	}
	if ctx.Err() == nil {
		s.failure, s.until = err, time.Now().Add(memoryOf(err))
	}
	return nil, err
}

func memoryOf(err error) time.Duration {
	if e, ok := errors.AsType[*AuthError](err); ok && e.Transient {
		return memoryOfTransient
	}
	return memoryOfFailure
}

// invalidate forgets the token that failed. Ten calls that met a 401 with one token cause one login: the later
// ones find that another is in use.
func (s *tokenSource) invalidate(failed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.token == failed {
		s.current = nil
	}
}
