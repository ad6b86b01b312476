// Package term writes for people: aligned tables and colour on a terminal,
// tab-separated lines and plain text anywhere else, and a progress bar that
// only a terminal sees.
//
// All text that goes through a Screen's tables is cleaned of control and
// direction-changing characters, since keys and messages come from outside and
// must not move the cursor or turn a line around. The package knows nothing of
// outboxd. Its main type is [Screen]; a Screen is for one goroutine, but a [Bar]
// may be set from several.
package term
