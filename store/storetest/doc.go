// Package storetest is the conformance suite of the outbox.
//
// Run drives an engine through every rule of the delivery protocol that the
// store has to keep: one subtest a rule, then a random walk beside a model
// that holds the whole state machine in maps, and last the same calls with
// faults injected before and after each of them. The suite sees an engine
// only through Outbox, and asks it only for what the interface promises; where
// the interface leaves a choice (which of the claimable events a claim hands
// out, how long past the dedup window a receipt stays), every choice passes.
//
// An engine's own test is one call:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(dir string, cfg storetest.Config) (storetest.Outbox, error) {
//			return store.Open(filepath.Join(dir, "outbox.db"), store.Options{
//				DedupWindow: cfg.DedupWindow, OverdueAfter: cfg.OverdueAfter, LateWindow: cfg.LateWindow, MaxSize: cfg.MaxSize,
//				Wall: cfg.Clock.Wall, Monotonic: cfg.Clock.Monotonic,
//			})
//		})
//	}
//
// Faults wraps an Outbox and injects the errors that every method may return.
// Recorder watches the writes of a bbolt file and builds the files that a power
// cut could leave behind. Neither knows anything of HTTP or of an org.
package storetest
