package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/outboxd/outboxd/store"
)

// Delivered makes a store at path in which n events were accepted and delivered,
// as it stands with a daemon that has run for a while: their keys are known, and
// the pages of their records are free to be used again. done hears of each share.
func Delivered(ctx context.Context, path string, n int, done func(n int)) (err error) {
	s, err := store.Open(path, store.Options{MaxSize: 1 << 40})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	term, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	for left := n; left > 0; {
		share := min(left, deliveredAtOnce)
		if err := deliver(ctx, s, term, share); err != nil {
			return fmt.Errorf("deliver events: %w", err)
		}
		left -= share
		done(share)
	}
	return nil
}

// deliveredAtOnce is enough for the records of a share to take more pages than a
// commit of the daemon does.
const deliveredAtOnce = 10_000

var deliveredRoute = store.Route{Object: object, Operation: "upsert", ExternalID: keyField}

func deliver(ctx context.Context, s *store.Store, term store.Term, n int) error {
	events := make([]store.Event, n)
	payload := make([]byte, EventBytes-len(blankKey))
	for i := range payload {
		payload[i] = 'x'
	}
	for i := range events {
		key := uuid.NewString()
		events[i] = store.Event{Key: key, Route: deliveredRoute, Lane: "contact/shop_id__c/" + key, Payload: payload}
	}
	if _, err := s.Put(ctx, events, store.PutOptions{}); err != nil {
		return err
	}
	id := store.AttemptID(uuid.NewString())
	_, claimed, err := s.Claim(ctx, term, id, store.ClaimSpec{Route: deliveredRoute, Kind: store.KindBulk, MaxRecords: n, MaxBytes: 1 << 30})
	if err != nil {
		return err
	}
	if len(claimed) != n {
		return fmt.Errorf("%d of %d events were claimed", len(claimed), n)
	}
	outcomes := make([]store.Outcome, n)
	for i, c := range claimed {
		outcomes[i] = store.Outcome{Seq: c.Seq, Verdict: store.Deliver, ID: "0035e00000Kp7QaAAJ", Created: true}
	}
	return s.Settle(ctx, term, id, store.Settlement{Outcomes: outcomes})
}
