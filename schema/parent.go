package schema

import (
	"github.com/outboxd/outboxd/internal/meant"
	"github.com/outboxd/outboxd/salesforce"
)

// parent checks a member that names a relationship: an object with a field that
// names the parent record.
func (w *walk) parent(at place, lookup *salesforce.Field, m member) {
	switch kind := m.value.Kind(); {
	case kind == 'n' || isReference(m.value):
		return
	case kind != '{':
		w.find(at, WrongType, "stands for the parent of "+lookup.Name+": give an object with an external id of the parent, or an Id to "+lookup.Name)
		return
	}
	w.writable(at, lookup)
	var key string
	target, count := "", 0
	for _, inner := range members(m.value) {
		if inner.name == "attributes" {
			target = typeOf(inner.value)
			continue
		}
		key = inner.name
		count++
	}
	if count != 1 {
		return // the org's own words are better
	}
	w.parentKey(at, lookup, target, key)
}

// parentKey checks the field that names the parent.
func (w *walk) parentKey(at place, lookup *salesforce.Field, target, key string) {
	if !lookup.Polymorphic() && len(lookup.ReferenceTo) == 1 {
		target = lookup.ReferenceTo[0]
	}
	if target == "" || target == "RecordType" || w.Parent == nil {
		return // one of several, or one whose names are keys too
	}
	object := w.Parent(target)
	if object == nil {
		return
	}
	at = place{at.in + at.name + ".", key}
	switch f, ok := object.Field(key); {
	case !ok && hasNamespaced(object, key):
	case !ok:
		w.find(at, UnknownField, "no such field on the parent "+object.Name+", or it is hidden from the user"+meaning(meant.Name(key, keys(object))))
	case !isKey(f):
		w.find(at, NoExternalID, f.Name+" is no external id field of the parent "+object.Name+meaning(meant.Name(key, keys(object))))
	}
}
