// Package app is the whole daemon in one process: it opens the store, joins it
// with the dispatcher and the server, and runs them as actors that end together.
// serve, demo and the tests use it; it knows no flags and no terminal.
//
// Its promises are about order. The socket is opened only when the store is
// recovered and locked, and is the first to be told to stop; the store is
// closed after everything that uses it has ended. A commit that failed ends the
// process with an error, since nobody may write after it. A stop is bounded: it
// leaves bulk jobs where they are, for their phase is on disk, and is as safe as
// being killed, only quicker to resume from.
//
// It does not know what an event or a Salesforce record is. [App] is the main type:
//
//	a, err := app.New(cfg, app.Deps{Logger: log, Version: "1.0.0"})
//	err = a.Run(ctx) // until ctx ends or something fails
package app
