//go:build !faults

package dispatcher

// crashpoint marks a place at which a crash test kills the process: before and
// after every transaction (T) and every network call (N). It does nothing in a
// binary that was not built for that.
func crashpoint(string) {}
