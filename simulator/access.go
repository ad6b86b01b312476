package simulator

import (
	"slices"
	"strings"
)

// SetViewAll gives the integration user the right to see all data, which it has
// at first, or takes it. Without it, rows of private objects that others own are
// not there for it, though their unique values are taken.
func (s *Simulator) SetViewAll(all bool) {
	s.org.turn.RLock()
	defer s.org.turn.RUnlock()
	s.org.mu.Lock()
	defer s.org.mu.Unlock()
	s.org.confined = !all
}

// hides reports whether the user may not see a row. The caller holds the rows.
func (o *org) hides(r *record) bool {
	if !o.confined || !r.object.Private {
		return false
	}
	f := r.object.field("OwnerId")
	return f != nil && r.get(f) != o.user
}

// named are the rows that a key value names, as the user sees them.
func (o *org) named(key *field, v string) []*record {
	rows := key.find(v)
	if !o.confined {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), o.hides)
}

// mayUpsert refuses upserts by a field that need not name one row alone, where
// the user does not see all of them. That it is refused is documented, the code is a guess.
func (o *org) mayUpsert(key *field) *rowError {
	if o.confined && key.ExternalID && !key.Unique {
		return refuse("INSUFFICIENT_ACCESS", "The external id field "+key.Name+" is not unique: upsert requires the permission View All Data")
	}
	return nil
}

// held refuses to delete a row while rows look up to it, or to its details,
// that forbid it.
func (c *chunk) held(r *record) *rowError {
	for _, name := range c.org.names {
		obj := c.org.objects[name]
		for _, f := range obj.restricts {
			if !f.targets(r.object) {
				continue
			}
			if by := children(obj, f, r); by != nil {
				return refuse("DELETE_FAILED", "Your attempt to delete "+r.id+" could not be completed because it is associated with the following "+
					strings.ToLower(label(obj.Name))+"s.: "+strings.Join(by, ", "))
			}
		}
	}
	for _, detail := range c.org.details(r) {
		if err := c.held(detail); err != nil {
			return err
		}
	}
	return nil
}

// children are the ids of an object's rows whose lookup points to a row.
func children(obj *object, lookup *field, parent *record) (ids []string) {
	for _, r := range obj.order {
		if !r.deleted && !r.purged && r.get(lookup) == parent.id {
			ids = append(ids, r.id)
		}
	}
	return ids
}
