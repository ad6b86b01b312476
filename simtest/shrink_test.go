package simtest

import "slices"

// shrinkRuns bounds the runs that a shrink may take.
const shrinkRuns = 400

// shrink leaves out of a failing plan what it can and still fails: halves at
// first, then ever smaller parts of its steps, faults and deaths.
func shrink(p *plan, fails func(*plan) bool) *plan {
	runs := 0
	try := func(q *plan) bool {
		runs++
		return runs <= shrinkRuns && fails(q)
	}
	for smaller := true; smaller; {
		smaller = false
		for _, cut := range []func(*plan, int, int) (*plan, int){
			func(q *plan, from, n int) (*plan, int) {
				return with(q, func(q *plan) { q.kills = without(q.kills, from, n) }), len(q.kills)
			},
			func(q *plan, from, n int) (*plan, int) {
				return with(q, func(q *plan) { q.faults = without(q.faults, from, n) }), len(q.faults)
			},
			func(q *plan, from, n int) (*plan, int) {
				return with(q, func(q *plan) { q.rows = without(q.rows, from, n) }), len(q.rows)
			},
			func(q *plan, from, n int) (*plan, int) {
				return with(q, func(q *plan) { q.storms = without(q.storms, from, n) }), len(q.storms)
			},
			func(q *plan, from, n int) (*plan, int) {
				return with(q, func(q *plan) { q.steps = without(q.steps, from, n) }), len(q.steps)
			},
			cutEvents,
		} {
			var less bool
			p, less = leaveOut(p, cut, try)
			smaller = smaller || less
		}
	}
	return p
}

// leaveOut takes parts of one list away for as long as the plan fails.
func leaveOut(p *plan, cut func(*plan, int, int) (*plan, int), fails func(*plan) bool) (_ *plan, less bool) {
	_, size := cut(p, 0, 0)
	for n := (size + 1) / 2; n > 0; n /= 2 {
		for from := 0; from < size; {
			q, _ := cut(p, from, n)
			if !fails(q) {
				from += n
				continue
			}
			p, less = q, true
			_, size = cut(p, 0, 0)
		}
	}
	return p, less
}

// cutEvents leaves out events of the steps that put them, counted through.
func cutEvents(p *plan, from, n int) (*plan, int) {
	size := 0
	q := with(p, func(q *plan) {
		for i := range q.steps {
			list := q.steps[i].events
			q.steps[i].events = without(list, from-size, n)
			size += len(list)
		}
	})
	return q, size
}

func with(p *plan, change func(*plan)) *plan {
	q := *p
	q.steps = slices.Clone(p.steps)
	change(&q)
	return &q
}

// without is a copy of a list that lacks n members from an index on, as far as it has them.
func without[T any](list []T, from, n int) []T {
	until := min(max(from+n, 0), len(list))
	from = min(max(from, 0), len(list))
	return slices.Delete(slices.Clone(list), from, max(from, until))
}
