// Package api holds the shapes of the socket API: what an app sends, what the
// daemon answers, and the table of problem codes. It has no behaviour and
// imports nothing of the project, so that the server, the client and other
// programs can share it.
//
// In an answer a member that does not apply is absent, never null. Times are
// RFC 3339 in UTC with milliseconds; lengths of time are seconds in members
// whose names end in _seconds. Answers may gain members, so a reader must
// ignore those that it does not know.
package api
