package app

import (
	"context"
	"math"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/server"
	"github.com/outboxd/outboxd/store"
)

// sender shows the dispatcher to the server in the words of the socket API.
// What an operator has just changed is told from the store's facts, since the
// dispatcher takes a moment to notice.
type sender struct {
	*dispatcher.Dispatcher
	facts func(context.Context) (store.Facts, error)
}

var _ server.Dispatch = sender{}

// Breaker implements server.Dispatch.
func (s sender) Breaker() api.Breaker {
	b := s.Dispatcher.Breaker()
	shown := api.Breaker{
		State: string(b.State), Reason: string(b.Reason), Code: b.Code, Message: b.Message,
		Since: api.Time{Time: b.Since}, NextProbeAt: api.Time{Time: b.NextProbe},
	}
	facts, err := s.facts(context.Background())
	if err != nil || b.Reason == dispatcher.ReasonNotConfigured {
		return shown
	}
	reason := condition(facts)
	switch {
	case reason == b.Reason:
	case reason != "":
		return api.Breaker{State: api.BreakerOpen, Reason: string(reason), Since: api.Time{Time: facts.PausedAt}}
	case settledByPerson(b.Reason):
		return api.Breaker{State: api.BreakerClosed}
	}
	return shown
}

// condition is what keeps an outbox from sending until a person says otherwise.
func condition(f store.Facts) dispatcher.BreakerReason {
	switch {
	case f.OtherOrg != "":
		return dispatcher.ReasonOrgChanged
	case f.Restored:
		return dispatcher.ReasonRestored
	case f.Paused:
		return dispatcher.ReasonOperator
	}
	return ""
}

func settledByPerson(r dispatcher.BreakerReason) bool {
	return r == dispatcher.ReasonOrgChanged || r == dispatcher.ReasonRestored || r == dispatcher.ReasonOperator
}

// Budget implements server.Dispatch.
func (s sender) Budget() *api.Budget {
	b, known := s.Dispatcher.Budget()
	if !known {
		return nil
	}
	shown := &api.Budget{
		Allowance: allowance(b.Allowance), WindowTurnsAt: api.Time{Time: b.Turns}, ExhaustedAt: api.Time{Time: b.Exhausted},
		CallsPer1000: make(map[string]float64), JobsHeld: b.JobsHeld,
	}
	if b.Saved {
		pace := tenths(b.Pace)
		shown.PacePerHour = &pace
	}
	if b.Batches.Max > 0 {
		batches := allowance(b.Batches)
		shown.BulkBatches = &batches
	}
	for k, n := range s.Metrics().CallsPerThousand() {
		shown.CallsPer1000[string(k)] = tenths(n)
	}
	return shown
}

func allowance(a dispatcher.Allowance) api.Allowance {
	return api.Allowance{Used: a.Used, Max: a.Max, Reserve: a.Reserve, Left: max(0, a.Left()), At: api.Time{Time: a.At}}
}

// tenths rounds to one decimal.
func tenths(f float64) float64 { return math.Round(f*10) / 10 }

// mismatches is the dispatcher's check of an event, in the words of the socket API.
func (a *App) mismatches(e *event.Event) []api.ProblemError {
	var list []api.ProblemError
	for _, f := range a.dispatcher.Check(e) {
		list = append(list, api.ProblemError{Path: f.Path, Reason: string(f.Reason), Detail: f.Detail})
	}
	return list
}
