package salesforce

import (
	"maps"
	"sync"
)

// CallKind says what a call of the API is for, in the counts of Calls.
type CallKind string

// The kinds of calls. Logins and the list of versions are none: the org does not count them.
const (
	CallREST     CallKind = "rest"     // writes records, by collections or alone
	CallBulk     CallKind = "bulk"     // of a job's life, its results included
	CallQuery    CallKind = "query"    // each page of a query
	CallDescribe CallKind = "describe" // of an object or of all, changed or not
	CallLimits   CallKind = "limits"
)

// tally counts the calls that were sent, answered or not.
type tally struct {
	mu sync.Mutex
	n  map[CallKind]int64
}

func (t *tally) add(k CallKind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[CallKind]int64)
	}
	t.n[k]++
}

// Calls returns how many calls of each kind the Client has sent since New. The org counts each of them against its
// daily limit, replays after a login too.
func (c *Client) Calls() map[CallKind]int64 {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	return maps.Clone(c.calls.n)
}
