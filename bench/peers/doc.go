// Command peers measures how many events a second outboxd accepts durably over
// its socket, beside Redis, PostgreSQL and River over theirs, and beside what
// the disk gives at best, all in one run on one folder. This process only makes
// load: each server is a process of its own, on a folder of its own that is new,
// and none runs beside another. See ../README.md.
package main
