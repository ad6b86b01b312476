// Package event is the event that an app hands to the outbox: one record to
// create, update, upsert or delete, under an idempotency key.
//
// [Decode] reads one from strict JSON and says everything that is wrong with it
// at once; [Event.Validate] checks the rules that need the key, which may come
// from elsewhere. From there the package derives what the rest of the daemon
// keeps of it: the payload digest that tells an honest repeat from a reused key,
// the lane in which it is ordered, and the head, which is what of the event
// outlives its payload.
//
// Values are kept as they were sent: digits of numbers, letter case and unknown
// characters of texts reach the org as the app wrote them.
//
// The package knows nothing of the store, of HTTP or of an org: whether an
// object or a field exists is not its question.
//
//	e, err := event.Decode(line)
//	if err != nil {
//		return err // *event.Error, with a path for every mistake
//	}
//	if err := e.Validate(); err != nil {
//		return err
//	}
//	digest, lane := e.Digest(), e.LaneKey()
package event
