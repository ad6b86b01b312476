// Package server is the socket API: HTTP over a Unix socket, as package api
// shapes it. It turns requests into events and calls of the outbox, and what
// they return into answers.
//
// Its promises: an answer of 2xx to a write stands for what is durable; any
// other status, and any line answered with a problem, for what was not stored.
// Where the store itself does not know (store.ErrUnknown) nobody is answered:
// the connection is cut. Memory is bounded whatever a client sends, and however
// slowly it reads: bodies, lines, queries, waiters, feeds and connections have
// limits, and no read of the store lasts while a client is written to.
//
// The peer of a connection is known by its credentials; rules say who may
// write, read payloads, and operate.
//
// It knows nothing of Salesforce; what dispatches is behind Dispatch.
//
//	s := server.New(server.Config{Version: "1.0.0"}, server.Deps{Outbox: outbox, Dispatch: d, Logger: log})
//	l, err := server.Listen("/run/outboxd/outboxd.sock", server.Socket{Mode: 0o660, Group: "outboxd"})
//	s.Ready()
//	err = s.Serve(ctx, l)
package server
