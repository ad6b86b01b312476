package simtest

import (
	"context"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// deed is one effect at the org of one event.
type deed struct {
	n      int
	effect simulator.Effect
}

// judge compares what the outbox says with what the org has.
func (w *world) judge() {
	if err := w.life.check(); err != nil {
		w.wrong("I6: %v", err)
	}
	deeds := w.deeds()
	for _, s := range w.sent {
		if s.lost {
			continue
		}
		r, err := w.life.store.Get(context.Background(), s.key)
		if err != nil {
			w.wrong("I1: %s: %v", s.key, err)
			continue
		}
		w.note("end    %s %s %s by %s: %d effects %v", s.key, r.State, r.Reason, r.BlockedBy, len(deeds[s.key]), problemOf(r))
		w.judgeEffects(s, r, deeds[s.key])
		w.judgeState(s, r)
	}
	if !w.restored { // which sends again what was sent since, as its operator is told
		w.judgeOrder(deeds)
	}
	if n, most := w.net.calls(), 500+50*len(w.sent); n > most {
		w.wrong("%d calls for %d events", n, len(w.sent))
	}
}

func problemOf(r store.Record) string {
	if r.LastError == nil {
		return ""
	}
	return r.LastError.Code + ": " + r.LastError.Message
}

// deeds are the effects by the key of their event.
func (w *world) deeds() map[string][]deed {
	deletes := map[string]string{}
	for _, s := range w.sent {
		if s.parsed.Operation.Deletes() {
			deletes[s.parsed.ID] = s.key
		}
	}
	deeds := map[string][]deed{}
	for i, e := range w.sim.Effects() {
		key, _ := e.Fields[marker].(string)
		if e.Operation == "delete" {
			key = deletes[e.ID]
		}
		if key != "" {
			deeds[key] = append(deeds[key], deed{i, e})
		}
	}
	return deeds
}

// judgeEffects is I2 and I3.
func (w *world) judgeEffects(s *sent, r store.Record, deeds []deed) {
	// A match is repeated by the Id that it found, or not at all.
	repeatable := s.parsed.Operation != "create" && (s.parsed.Match == nil || oneRecord(deeds))
	if len(deeds) > 1+s.edited && !(w.restored && repeatable) {
		w.wrong("I2: %s took effect %d times", s.key, len(deeds))
	}
	if r.State == store.Delivered && len(deeds) == 0 {
		w.wrong("I2: %s is delivered and took no effect", s.key)
	}
	if r.State == store.Delivered && r.ID != "" && len(deeds) > 0 && deeds[len(deeds)-1].effect.ID != r.ID {
		w.wrong("I3: %s is delivered as %s, but wrote %s", s.key, r.ID, deeds[len(deeds)-1].effect.ID)
	}
}

// oneRecord reports whether all effects are on the same record.
func oneRecord(deeds []deed) bool {
	return !slices.ContainsFunc(deeds, func(d deed) bool { return d.effect.ID != deeds[0].effect.ID })
}

// judgeState is I5: each event is where it may be.
func (w *world) judgeState(s *sent, r store.Record) {
	switch r.State {
	case store.Delivered:
		if s.bad {
			w.wrong("%s is delivered, which the org should have refused", s.key)
		}
	case store.Failed:
		if !s.bad && !w.mayFail(s, r) {
			w.wrong("I5: %s is failed for no reason: %s", s.key, problemOf(r))
		}
	case store.InDoubt:
		if !w.mayDoubt(s) {
			w.wrong("I5: %s is in doubt for no reason: %s", s.key, problemOf(r))
		}
	case store.Dropped:
		if !s.dropped {
			w.wrong("I5: nobody has dropped %s", s.key)
		}
	case store.Pending:
		w.judgeBlocked(s, r)
	default:
		w.wrong("I5: %s is %s", s.key, r.State)
	}
}

func (w *world) judgeBlocked(s *sent, r store.Record) {
	if r.Reason != store.ReasonBlocked || r.BlockedBy == "" {
		w.wrong("I5: %s is pending and not blocked: %s", s.key, r.Reason)
		return
	}
	by, err := w.life.store.Get(context.Background(), r.BlockedBy)
	if other := w.byKey[r.BlockedBy]; other == nil || other.lost {
		return // it waits for a key that the outbox does not know
	}
	if err != nil || by.State == store.Delivered {
		w.wrong("I5: %s is blocked by %s, which is %s (%v)", s.key, r.BlockedBy, by.State, err)
	}
}

// mayFail names the reasons for which a good event may have failed.
func (w *world) mayFail(s *sent, r store.Record) bool {
	p := r.LastError
	switch {
	case p == nil:
		return false
	case w.restored && (s.edited > 0 || p.Code == "ENTITY_IS_DELETED" || p.Code == "INVALID_CROSS_REFERENCE_KEY"):
		return true // the edit, or the delete that came later, is forgotten
	case p.Code == "FIELD_CUSTOM_VALIDATION_EXCEPTION": // which the plan has the org say
		return true
	case !s.event.ExpiresAt.IsZero() && strings.Contains(strings.ToLower(p.Code), "expired"):
		return true
	case p.Code == "INVALID" && strings.Contains(p.Message, "the Id of the record of"):
		return len(s.parsed.IDsOf()) > 0
	case p.Code == "NO_MATCH":
		return s.parsed.Operation == "update" && s.parsed.Match != nil
	case p.Code == "POISON":
		return w.lives > 3
	}
	return false
}

// mayDoubt is the table of docs/delivery.md: only what nothing protects from a
// repeat, and only where its answer was lost or can't be read.
func (w *world) mayDoubt(s *sent) bool {
	if w.restored && s.parsed.Match != nil {
		return true // a match is not asked again
	}
	object := strings.ToLower(s.parsed.Object)
	creates := s.parsed.Operation == "create" || s.parsed.Operation == "upsert" && s.parsed.Match != nil
	if !creates || object == "case" && w.plan.keyed {
		return false
	}
	if w.restored || w.plan.cfg.Objects[object].CreateREST {
		return true
	}
	unread := func(f fault) bool { return f.do == gone || f.do == short || f.do == cut }
	lost := func(f simulator.Fault) bool { return f.Do == "lose_row" }
	return slices.ContainsFunc(w.plan.faults, unread) || slices.ContainsFunc(w.plan.rows, lost)
}

// judgeOrder is I4: within a lane the effects are in the order of acceptance.
func (w *world) judgeOrder(deeds map[string][]deed) {
	type done struct {
		n   int
		seq store.Seq
		key string
	}
	lanes := map[string][]done{}
	for _, s := range w.sent {
		if s.event.Lane == "" {
			continue
		}
		for _, d := range deeds[s.key] {
			lanes[s.event.Lane] = append(lanes[s.event.Lane], done{d.n, s.seq, s.key})
		}
	}
	for lane, list := range lanes {
		slices.SortFunc(list, func(a, b done) int { return a.n - b.n })
		for i := range list[1:] {
			if list[i].seq > list[i+1].seq {
				w.wrong("I4: in lane %s %s took effect after %s", lane, list[i+1].key, list[i].key)
			}
		}
	}
}
