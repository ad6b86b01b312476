// Command outboxd is the daemon, its client and the Salesforce simulator in
// one program.
//
// Every command but serve, demo, bench, simulate, config, doctor and explain talks
// to a daemon over its socket and knows nothing of the store; --offline answers questions
// from the store's file instead. Exit codes: 0 ok, 1 failed, 2 usage, 3 stuck
// records found (stuck --check), 4 daemon not reachable.
//
// The package is flags, text and exit codes; the work is done by app, client
// and simulator. Its main type is cli.
package main
