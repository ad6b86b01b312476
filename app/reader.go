package app

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/server"
	"github.com/outboxd/outboxd/store"
)

// Reader answers questions about a store that no daemon works on. It changes nothing.
type Reader struct {
	store  *store.Store
	server *server.Server
	socket net.Listener
}

// OpenReader opens the configured store read-only and binds a socket at path,
// which only the own user may open. Run must follow.
func OpenReader(cfg *config.Config, path string, d Deps) (*Reader, error) {
	o := storeOptions(cfg, d.Logger)
	o.ReadOnly = true
	s, err := store.Open(cfg.Store.Path, o)
	if err != nil {
		return nil, err
	}
	l, err := server.Listen(path, server.Socket{Mode: 0o600})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	r := &Reader{store: s, socket: l}
	r.server = server.New(server.Config{Version: d.Version}, server.Deps{Outbox: s, Dispatch: asleep{}, Logger: d.Logger})
	r.server.Ready()
	return r, nil
}

// Run answers until ctx ends, and closes everything.
func (r *Reader) Run(ctx context.Context) error {
	err := r.server.Serve(ctx, r.socket)
	if err := errors.Join(err, r.store.Close()); err != nil {
		return fmt.Errorf("read offline: %w", err)
	}
	return nil
}

// asleep is the dispatcher of a store that no daemon works on.
type asleep struct{}

func (asleep) Breaker() api.Breaker {
	return api.Breaker{State: api.BreakerOpen, Message: "no daemon is running"}
}
func (asleep) Budget() *api.Budget { return nil }
func (asleep) Flush()              {}
func (asleep) Poke()               {}
