package server

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

// Parameters that several calls take.
var (
	filterParams = []string{"state", "object", "operation", "code", "source", "older_than"}
	pageParams   = []string{"limit", "cursor", "payload"}
)

// query reads parameters and keeps the first mistake. A parameter that is
// empty is taken for absent.
type query struct {
	values url.Values
	err    *api.Problem
}

// parseQuery refuses parameters that the call does not take, and doubled ones.
func parseQuery(r *http.Request, takes ...string) *query {
	if r.URL.RawQuery == "" {
		return &query{}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = api.CodeInvalidQuery.Problem("the query is not well formed")
		return q
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(takes, name):
			detail := "unknown parameter"
			if len(takes) > 0 {
				detail += "; this call takes " + strings.Join(takes, ", ")
			}
			q.wrong(name, detail)
		case len(values[name]) > 1:
			q.wrong(name, "given more than once")
		}
	}
	return q
}

func (q *query) wrong(name, detail string) {
	if q.err == nil {
		q.err = invalidQuery(name, detail)
	}
}

// done is the first mistake, if any.
func (q *query) done() error {
	if q.err != nil {
		return q.err
	}
	return nil
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) flag(name string) bool {
	switch q.text(name) {
	case "true":
		return true
	case "", "false":
	default:
		q.wrong(name, "must be true or false")
	}
	return false
}

// duration reads a length of time of at most limit; 0: any.
func (q *query) duration(name string, limit time.Duration) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0:
		q.wrong(name, "must be a length of time such as 30s, 5m or 36h")
	case limit > 0 && d > limit:
		q.wrong(name, "must be at most "+limit.String())
	}
	return d
}

// limit reads the size of a page; 0: none was given.
func (q *query) limit() int {
	text := q.text("limit")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > api.MaxPage {
		q.wrong("limit", "must be 1 to "+strconv.Itoa(api.MaxPage))
	}
	return n
}

func (q *query) states() []store.State {
	text := q.text("state")
	if text == "" {
		return nil
	}
	var states []store.State
	for name := range strings.SplitSeq(text, ",") {
		state, ok := store.ParseState(strings.TrimSpace(name))
		if !ok {
			q.wrong("state", "must be of pending, inflight, delivered, failed, in_doubt and dropped, with commas")
			return nil
		}
		if !slices.Contains(states, state) {
			states = append(states, state)
		}
	}
	return states
}

func (q *query) reason() store.Reason {
	reason := store.Reason(q.text("reason"))
	if reason != "" && !slices.Contains(store.Reasons[:], reason) {
		q.wrong("reason", "must be failed, in_doubt, blocked or overdue")
	}
	return reason
}

func (q *query) operation() string {
	name := q.text("operation")
	switch name {
	case "", "create", "update", "upsert", "delete", "hard_delete":
	default:
		q.wrong("operation", "must be create, update, upsert, delete or hard_delete")
	}
	return name
}

// filter reads what the parameters of filterParams and pageParams select.
func (q *query) filter() store.Filter {
	return store.Filter{
		States: q.states(), Reason: q.reason(), Object: q.text("object"), Operation: q.operation(),
		Code: q.text("code"), Source: q.text("source"), OlderThan: q.duration("older_than", 0),
		Limit: q.limit(), Cursor: q.text("cursor"), Payload: q.flag("payload"),
	}
}
