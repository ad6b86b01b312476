// Package store is the outbox: it keeps events, their state and their
// outcomes in one bbolt file, and is the only place where an event changes
// state.
//
// It promises that what a method reported as done is on disk (P1), that a key
// has one event (P2, P3), that no two events of a lane are handed out at once
// and none before an earlier one of its lane (P4), and that every event is in
// exactly one state, counted in the transaction that changes it (P5). It knows
// nothing of HTTP or Salesforce: payloads are bytes, routes are names.
//
// # Flow
//
//	Put ──▶ pending ──Claim──▶ inflight ──Settle──▶ delivered | failed | in_doubt
//	            ▲                  │                      │ Retry, Drop, Resolve, Verify
//	            └──Settle(Again)───┴──────────────────────┘
//
// One goroutine, the writer, runs every transaction. Puts that wait together
// commit together; each other method is a transaction of its own. A result is
// handed out only after the commit's last sync. A commit that fails for any
// reason but a clean one leaves its outcome unknown: the store answers
// [ErrUnknown] from then on and closes the channel of [Store.Failed]; the
// process must end and open the store anew.
//
// # Layout
//
// Records are written once, in the order of acceptance, and deleted once.
// Everything that happens on the usual way (accept, claim, deliver) appends or
// deletes in that order. What leaves the usual way, by an error, a delay, a
// dependency or an operator, gets a note and entries in small indexes; memory
// and disk then follow the number of exceptions and not the backlog. keys.go
// lists the buckets.
//
// Ready work is found through windows: each stream (the events of one object
// that have lanes, those that have none, and all events of named lanes) has an
// index in order of acceptance and a bounded look-ahead in memory. Lanes never
// cross streams, so a stream that stands still holds up no other. The window
// is a hint: Claim reads the truth from disk in its own transaction.
//
// # Time
//
// Windows, ages, backoff and holds run on the store's own clock, which counts
// monotonic time while the store is open and stands still otherwise. Only
// NotBefore and ExpiresAt follow the wall clock.
package store
