package store

import (
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Facts returns the small durable truths.
func (s *Store) Facts(ctx context.Context) (f Facts, err error) {
	err = s.view(ctx, func(*bolt.Tx) error {
		f = s.facts
		return nil
	})
	return f, err
}

// Pause stops dispatching until Resume, over restarts too.
func (s *Store) Pause(ctx context.Context, by string) error {
	return s.setFacts(ctx, "pause", func(t *txn) error {
		if !t.facts.Paused {
			t.facts.Paused, t.facts.PausedBy, t.facts.PausedAt = true, by, microTime(t.wall)
		}
		return nil
	})
}

// Resume ends the operator's pause. Where another org was met or the store was
// restored, the acceptance of it must be given, else ErrConfirmation and nothing
// changes. After a restore every event that is pending then counts as sent
// before.
func (s *Store) Resume(ctx context.Context, by string, a Acceptance) error {
	return s.setFacts(ctx, "resume", func(t *txn) error {
		f := &t.facts
		if f.OtherOrg != "" && !a.Org {
			return fmt.Errorf("%w: the login leads to org %s, the outbox belongs to %s; accept_org goes on with the other one", ErrConfirmation, f.OtherOrg, f.OrgID)
		}
		if f.Restored && !a.Restore {
			return fmt.Errorf("%w: the store was restored; what it calls pending may have been delivered since; accept_restore goes on", ErrConfirmation)
		}
		if f.OtherOrg != "" {
			f.OrgID, f.OtherOrg, f.InstanceURL = f.OtherOrg, "", ""
			f.Orgs++ // what was found and sent at the old one is not believed of this
		}
		if f.Restored {
			f.Restored = false
			t.num.SentBelow = t.num.Next
		}
		f.Paused, f.PausedBy = false, ""
		f.PausedAt = microTime(0)
		return nil
	})
}

// SetOrg records the org of the first login. A later login to another one is
// noted as OtherOrg and changes nothing else; back at the recorded one, the note
// falls away.
func (s *Store) SetOrg(ctx context.Context, orgID, instanceURL string) (Facts, error) {
	err := s.setFacts(ctx, "set org", func(t *txn) error {
		f := &t.facts
		switch {
		case f.OrgID == "" || f.OrgID == orgID:
			f.OrgID, f.InstanceURL, f.OtherOrg = orgID, instanceURL, ""
		default:
			f.OtherOrg = orgID
		}
		return nil
	})
	if err != nil {
		return Facts{}, err
	}
	return s.Facts(ctx)
}

func (s *Store) setFacts(ctx context.Context, what string, change func(*txn) error) error {
	err := s.update(ctx, func(t *txn) error {
		before := t.facts
		if err := change(t); err != nil {
			return err
		}
		t.changed = t.facts != before || t.num.SentBelow != t.s.num.SentBelow
		t.wake = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// SetPausedClock stops the clock of ages while nothing may be sent: neither
// overdue nor max_age counts that time.
func (s *Store) SetPausedClock(_ context.Context, term Term, paused bool) error {
	select {
	case <-s.stop:
		return ErrClosed
	default:
	}
	if err := s.fenced(term); err != nil {
		return err
	}
	s.clock.setIdle(paused)
	return nil
}
