// Package simtest runs the daemon's parts, a real store, a real dispatcher, a
// real Salesforce client, against a simulated org in one process, under virtual
// time and over a network made of memory. One seed decides what the apps send,
// what the operator does, which calls go wrong and how, and when the process
// dies. After each run the promises of docs/delivery.md are checked against the
// org's own record of what was written to it. It has tests only.
package simtest
