//go:build !faults

package dispatcher

// crashpoint marks a place at which a crash test kills the process, before and
// after every transaction (T) and every network call (N). It does nothing in a
// binary that was not built for that.
//
//	T1…T5, N1…N5      the steps of a job
//	A.N1, A.N2        of a job that was never closed: the look at it, its abort
//	R.T1, R.N1, R.T2  a collections call
//	Q.T1, Q.N1, Q.T2  a query for the records that events name by a match
//	K.N1, K.T1        the look for creates by their key; what an attempt need not send
//	G.T1              an attempt that is given back
//	D.N1              a describe
//	O.N1, O.T1        the login of a start, the org that it leads to
//	V.N1, V.T1        the search for what an event in doubt may have become, what was found
func crashpoint(string) {}
