// Package simulator is a Salesforce org made of memory, served over real HTTP.
//
// It answers OAuth, REST rows, sObject Collections, Composite, queries, describe, limits
// and Bulk API 2.0 ingest with the statuses, bodies, headers, CSV bytes and
// error texts of the real thing, and refuses what the real thing refuses. Its
// rows obey a schema: required fields, lengths, picklists, unique external
// ids, lookups. Beside that it keeps an oracle, the list of every write that
// changed the org, and injects faults: answers lost before or after the work,
// cut bodies, slow and failing jobs, refused rows.
//
// The package knows nothing of outboxd. In particular it shares no code with
// the Salesforce client that is tested against it: two readings of the same
// reference find each other's mistakes.
//
// The main type is [Simulator]:
//
//	sim, err := simulator.New(simulator.Config{Seed: 1})
//	url, err := sim.Start("127.0.0.1:0")
//	defer sim.Close()
//	// … point a client at url, then ask the oracle:
//	for _, e := range sim.Effects() { … }
//
// Everything a test can do through the Go methods it can also do through HTTP
// below /_sim, see docs/simulator.md.
package simulator
