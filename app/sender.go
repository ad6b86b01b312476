package app

import (
	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/server"
)

// sender shows the dispatcher to the server in the words of the socket API.
type sender struct{ *dispatcher.Dispatcher }

var _ server.Dispatch = sender{}

// Breaker implements server.Dispatch.
func (s sender) Breaker() api.Breaker {
	b := s.Dispatcher.Breaker()
	return api.Breaker{
		State: string(b.State), Reason: string(b.Reason), Code: b.Code, Message: b.Message,
		Since: api.Time{Time: b.Since}, NextProbeAt: api.Time{Time: b.NextProbe},
	}
}

// Budget implements server.Dispatch.
func (s sender) Budget() *api.Budget {
	b, known := s.Dispatcher.Budget()
	if !known {
		return nil
	}
	return &api.Budget{Used: b.Used, Max: b.Max, Reserve: b.Reserve, At: api.Time{Time: b.At}}
}
