// Package powertest cuts the power under the whole folder of a real daemon.
//
// The daemon's store lies on a recording file system (FUSE). From what it wrote,
// synced, created, renamed and removed, folders are built as a power cut could
// have left them at any moment, and opened on the way of every start. It has
// tests only.
package powertest
