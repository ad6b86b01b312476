// Package dispatcher drains the outbox into Salesforce: it claims events, sends
// them by REST or by Bulk API 2.0 jobs, and settles every one of them by its own
// outcome.
//
// It promises that each record takes effect once (P2), whatever is lost, cut or
// killed on the way: before a write goes out the attempt is on disk, whose phase
// tells a restart how far it may have come (recover.go has the table); an answer
// proves something or it is taken as ambiguous; and what is ambiguous is sent
// again only where a repeat can't do harm, else it is in doubt (P7). A record's
// failure is its own (P6); the org's failure is nobody's: it opens the breaker,
// and no event is charged for it.
//
// The memory of a Dispatcher may vanish at any moment. Everything that must
// outlive it is in the store: attempts with their phase and job, and what an
// outcome leaves with its event for the next try.
//
// It does not know which events may be handed out: order within lanes, holds,
// due times and dependencies are the store's business, in its Claim. It does not
// know how an answer looks on the wire: that is package salesforce's.
//
// [Dispatcher] is the main type:
//
//	d := dispatcher.New(cfg, outbox, org, logger)
//	err := d.Run(ctx) // until ctx ends
package dispatcher
