package storetest

import (
	"slices"
	"time"

	"github.com/outboxd/outboxd/store"
)

// slack is how far ages and waits may differ from the model's.
const slack = time.Second

// plight is what the model says of an event being stuck: the reason that it
// must have, or the reasons that it may have ("" among them: it need not be).
type plight []store.Reason

func (p plight) allows(r store.Reason) bool { return slices.Contains(p, r) }

// stuck says whether and why e is stuck.
func (m *model) stuck(e *entry) plight {
	switch e.state {
	case store.Failed:
		return plight{store.ReasonFailed}
	case store.InDoubt:
		return plight{store.ReasonInDoubt}
	case store.Pending:
	default:
		return plight{""}
	}
	blocked, overdue := m.blocked(e, nil), m.isOverdue(e)
	if blocked == yes {
		return plight{store.ReasonBlocked}
	}
	var p plight
	if blocked == maybe {
		p = append(p, store.ReasonBlocked)
	}
	if overdue != no {
		p = append(p, store.ReasonOverdue)
	}
	if overdue != yes {
		p = append(p, "")
	}
	return p
}

// blocked says whether e waits behind what will not move by itself: surely
// when that stands right before it, perhaps when it is further away.
func (m *model) blocked(e *entry, path []*entry) sure {
	if slices.Contains(path, e) {
		return maybe // a circle, but one that passes through a lane
	}
	path = append(path, e)
	s := no
	before, _ := m.lane(e)
	for _, o := range before {
		switch {
		case (o.state == store.Failed || o.state == store.InDoubt) && !o.skip:
			return yes
		case o.state == store.Pending && m.blocked(o, path) != no:
			s = maybe
		}
	}
	for _, k := range e.After {
		o := m.keys[k]
		switch {
		case o == nil, o.state == store.Dropped, o.state == store.Failed, o.state == store.InDoubt:
			return yes
		case o.state == store.Pending && m.waitsFor(o, e, nil):
			return yes
		case o.state == store.Pending && m.blocked(o, path) != no:
			s = maybe
		}
	}
	return s
}

// waitsFor reports whether o waits for e by after alone, through others too.
func (m *model) waitsFor(o, e *entry, seen []*entry) bool {
	if o == e {
		return true
	}
	if slices.Contains(seen, o) {
		return false
	}
	seen = append(seen, o)
	for _, k := range o.After {
		if next := m.keys[k]; next != nil && next.state == store.Pending && m.waitsFor(next, e, seen) {
			return true
		}
	}
	return false
}

// isOverdue says whether e is pending for too long since it was due. An event
// that waits for another one, or for a wall clock, has no sure beginning.
func (m *model) isOverdue(e *entry) sure {
	if m.ages-e.readyMin < m.overdue-slack || m.wall.Before(e.NotBefore) || e.due > m.now {
		return no
	}
	before, _ := m.lane(e)
	waits := len(before) > 0 || len(e.After) > 0 || !e.NotBefore.IsZero() || m.held(e) != yes
	if waits || m.ages-e.readyMax <= m.overdue+slack {
		return maybe
	}
	return yes
}

// mayBlock lists the keys that a stuck e may name as its obstacle.
func (m *model) mayBlock(e *entry) []string {
	var keys []string
	before, _ := m.lane(e)
	for _, o := range before {
		if !o.state.Terminal() {
			keys = append(keys, o.Key)
		}
	}
	for _, k := range e.After {
		if o := m.keys[k]; o == nil || o.state != store.Delivered {
			keys = append(keys, k)
		}
	}
	return keys
}

// nextDue returns the longest time that may pass until the next event becomes
// claimable by time alone. waits is false when there is no time to wait for.
func (m *model) nextDue() (wait time.Duration, found, waits bool) {
	waits = slices.ContainsFunc(m.holds, func(h hold) bool { return h.latest > m.now })
	for _, e := range m.events {
		if e.state != store.Pending {
			continue
		}
		d := max(e.due-m.now, e.mayWait-m.now, e.NotBefore.Sub(m.wall), 0)
		if e.wasDue && m.wall.Before(e.NotBefore) {
			continue
		}
		for _, h := range m.holds {
			if h.lane == e.Lane && h.seq != e.seq {
				d = max(d, h.latest-m.now)
			}
		}
		waits = waits || d > 0 || !e.ExpiresAt.IsZero()
		before, after := m.lane(e)
		free := !slices.ContainsFunc(before, (*entry).blocks) && m.afterDone(e) && !m.expired(e) &&
			!slices.ContainsFunc(after, func(o *entry) bool { return o.state == store.Inflight })
		if free && d > 0 && (!found || d < wait) {
			wait, found = d, true
		}
	}
	return wait, found, waits
}
