package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/internal/meant"
	"github.com/outboxd/outboxd/salesforce"
)

// Finding is one thing of an event that the org would refuse.
type Finding struct {
	Path   string // such as "object", "fields.LastName" or "external_id.field"
	Reason Reason
	Detail string // for people; holds no value of the event
}

// Reason is what kind of mistake a Finding is. Reasons are never renamed.
type Reason string

// The reasons of findings.
const (
	UnknownObject Reason = "unknown_object"
	NotAllowed    Reason = "operation_not_allowed" // the user may not do this with the object
	UnknownField  Reason = "unknown_field"
	NotWritable   Reason = "not_writable"
	Required      Reason = "required_missing"
	TooLong       Reason = "too_long"
	OutOfRange    Reason = "out_of_range"
	BadNumber     Reason = "bad_number"
	BadDate       Reason = "bad_date"
	BadID         Reason = "bad_id"
	NotInPicklist Reason = "not_in_picklist"
	WrongType     Reason = "wrong_type"
	NoExternalID  Reason = "no_external_id"
	NotFilterable Reason = "not_filterable" // records can't be looked for by the field
	UnknownParent Reason = "unknown_relationship"
)

var means = map[Reason]string{
	UnknownObject: "the org has no object of this name, or hides it from the integration user",
	NotAllowed:    "the integration user may not do this with the object",
	UnknownField:  "the object has no field of this name, or hides it from the integration user",
	NotWritable:   "the operation can't set the field: it is read-only, or closed to the integration user",
	Required:      "a create leaves out a required field for which the org has no default",
	TooLong:       "the text is longer than the field",
	OutOfRange:    "the number has more digits before the point than the field takes",
	BadNumber:     "the value is not a number, or not a whole one where the field is",
	BadDate:       "the value is not a date or time, or not one of the calendar",
	BadID:         "the value is not an Id: its length, its characters or the checksum of its last three are wrong",
	NotInPicklist: "the picklist is restricted, and the value is not one of its values",
	WrongType:     "a boolean, list, object or text where the field takes none",
	NoExternalID:  "the field is no external id, so that it can't name records",
	NotFilterable: "a match can't use this field: the org lets no query compare it",
	UnknownParent: "the object has no parent relationship of this name",
}

// Means is one line for people, "" of what is no reason.
func (r Reason) Means() string { return means[r] }

// maxFindings bounds what is said of one event.
const maxFindings = 20

// Checker compares events with one object.
type Checker struct {
	Object *salesforce.Object
	// Parent is the description of an object that a lookup points to, nil where
	// it is not at hand: then nothing is said of the parent.
	Parent func(object string) *salesforce.Object
	// Filled is a field that is filled in on the way when an event is a create; "" is none.
	Filled string
}

// Check lists what the org would refuse of a valid event, in the order of its
// members. nil is the usual answer. The event is for the Checker's object.
func (c Checker) Check(e *event.Event) []Finding {
	w := walk{Checker: c, e: e}
	w.operation()
	w.externalID()
	w.id()
	w.match()
	if !e.Operation.Deletes() {
		w.fields()
		w.required()
	}
	return w.found
}

// NoObject is the finding of an event whose object the org does not know. known
// are the names of those that it does, nil if they are not at hand.
func NoObject(name string, known []string) Finding {
	return Finding{"object", UnknownObject, "the org has no object of this name, or hides it from the user" + meaning(meant.Name(name, slices.Values(known)))}
}

// walk is one check under way.
type walk struct {
	Checker
	e     *event.Event
	given []member // of fields
	found []Finding
}

// place is a path in two parts, put together where something is found.
type place struct{ in, name string }

func (w *walk) find(at place, r Reason, detail string) {
	if len(w.found) < maxFindings {
		w.found = append(w.found, Finding{at.in + at.name, r, detail})
	}
}

// operation asks whether the user may do this with the object at all.
func (w *walk) operation() {
	o := w.Object
	allowed := true
	switch w.e.Operation {
	case event.Create:
		allowed = o.Createable
	case event.Update:
		allowed = o.Updateable
	case event.Upsert:
		allowed = o.Createable || o.Updateable
	case event.Delete, event.HardDelete:
		allowed = o.Deletable
	}
	if !allowed {
		w.find(place{name: "operation"}, NotAllowed, fmt.Sprintf("the user may not %s records of %s", verbs[w.e.Operation], o.Name))
	}
}

var verbs = map[event.Operation]string{
	event.Create: "create", event.Update: "update", event.Upsert: "create or update", event.Delete: "delete", event.HardDelete: "delete",
}

func (w *walk) externalID() {
	x := w.e.ExternalID
	if x == nil {
		return
	}
	f, ok := w.Object.Field(x.Field)
	switch {
	case !ok:
		w.unknown(place{"external_id.", "field"}, x.Field, keys(w.Object))
	case !isKey(f):
		w.find(place{"external_id.", "field"}, NoExternalID, f.Name+" is no external id field"+meaning(meant.Name(x.Field, keys(w.Object))))
	default:
		w.value(place{"external_id.", "value"}, f, x.Value)
	}
}

// id asks whether the Id can be of the object.
func (w *walk) id() {
	if id, prefix := w.e.ID, w.Object.KeyPrefix; id != "" && prefix != "" && !strings.HasPrefix(id, prefix) {
		w.find(place{name: "id"}, BadID, "not the Id of a record of "+w.Object.Name+": those begin with "+prefix)
	}
}

// isKey reports whether records may be named by the field.
func isKey(f *salesforce.Field) bool { return f.ExternalID || f.IDLookup || f.Type == "id" }

// match looks for fields that can't be in the query.
func (w *walk) match() {
	m := w.e.Match
	if m == nil {
		return
	}
	path, list := "match.all.", m.All
	if m.Any != nil {
		path, list = "match.any.", m.Any
	}
	for _, c := range list {
		switch f, ok := w.Object.Field(c.Field); {
		case !ok:
			w.unknown(place{path, c.Field}, c.Field, names(w.Object))
		case !f.Filterable:
			w.find(place{path, c.Field}, NotFilterable, f.Name+" can't be compared in a query: it is a long or encrypted text, or one of its kind")
		}
	}
}

// unknown is for a name that is no field. One that may be short for a name with a
// namespace is let pass: the org may complete it.
func (w *walk) unknown(at place, name string, others seq) {
	if hasNamespaced(w.Object, name) {
		return
	}
	detail := "no such field on " + w.Object.Name + ", or it is hidden from the user"
	w.find(at, UnknownField, detail+meaning(meant.Name(name, others)))
}

// hasNamespaced reports whether a field, or its relationship, has the name behind a namespace.
func hasNamespaced(o *salesforce.Object, name string) bool {
	suffix := "__" + name
	for i := range o.Fields {
		if f := &o.Fields[i]; hasSuffixFold(f.Name, suffix) || hasSuffixFold(f.RelationshipName, suffix) {
			return true
		}
	}
	return false
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) > len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

func (w *walk) fields() {
	w.given = members(w.e.Fields)
	for _, m := range w.given {
		if x := w.e.ExternalID; x != nil && strings.EqualFold(m.name, x.Field) {
			continue // names the record, and was looked at
		}
		w.member(m)
	}
}

func (w *walk) member(m member) {
	at := place{"fields.", m.name}
	f, isField := w.Object.Field(m.name)
	isObject := m.value.Kind() == '{'
	if !isField || isObject {
		if lookup, ok := w.Object.Relationship(m.name); ok {
			w.parent(at, lookup, m)
			return
		}
	}
	switch {
	case isField:
		w.writable(at, f)
		w.value(at, f, m.value)
	case isObject && !isReference(m.value):
		if !hasNamespaced(w.Object, m.name) {
			w.find(at, UnknownParent, "no such parent relationship on "+w.Object.Name+meaning(meant.Name(m.name, relationships(w.Object))))
		}
	default:
		w.unknown(at, m.name, names(w.Object))
	}
}

// audit are fields that some users may set on a create, by a permission of their own.
var audit = []string{"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById"}

// writable asks whether the operation may set the field. An upsert that may only
// insert it, or only update it, does the one or the other.
func (w *walk) writable(at place, f *salesforce.Field) {
	if f.Type == "address" || f.Type == "location" || slices.Contains(audit, f.Name) {
		return
	}
	switch op := w.e.Operation; {
	case op == event.Create && !f.Createable:
		w.find(at, NotWritable, f.Name+" can't be set on a create: it is read-only, or closed to the user")
	case op == event.Update && !f.Updateable:
		w.find(at, NotWritable, f.Name+" can't be updated: it is read-only, or closed to the user")
	case op == event.Upsert && !f.Createable && !f.Updateable:
		w.find(at, NotWritable, f.Name+" can't be set: it is read-only, or closed to the user")
	}
}

// required looks for what a create must not leave out.
func (w *walk) required() {
	if _, persons := w.Object.Field("IsPersonAccount"); w.e.Operation != event.Create || persons {
		return
	}
	for i := range w.Object.Fields {
		f := &w.Object.Fields[i]
		if !isRequired(f) || w.isMade(f) || strings.EqualFold(f.Name, w.Filled) || w.isGiven(f) || w.isCompound(f) {
			continue
		}
		w.find(place{"fields.", f.Name}, Required, "required on a create, and the org has no default for it")
	}
}

// isRequired leaves out what the org fills in by itself, in all the ways in which describe may tell.
func isRequired(f *salesforce.Field) bool {
	if !f.Createable || f.Nillable || f.DefaultedOnCreate || f.Type == "boolean" || f.AutoNumber || f.Calculated {
		return false
	}
	if f.DefaultValueFormula != "" || len(f.DefaultValue) > 0 && string(f.DefaultValue) != "null" {
		return false
	}
	return !slices.ContainsFunc(f.PicklistValues, func(v salesforce.PicklistValue) bool { return v.DefaultValue })
}

// makers are objects with standard fields that the org fills in though it describes them as required and without a
// default: the document of a file's first version, the nickname of a user, the price of an entry that takes the standard one.
var makers = []string{"ContentVersion", "ContentDocumentLink", "FeedItem", "FeedComment", "EmailMessage", "User", "PricebookEntry"}

// isMade reports whether the org may make the field's value by itself.
func (w *walk) isMade(f *salesforce.Field) bool {
	return slices.Contains(makers, w.Object.Name) && !hasSuffixFold(f.Name, "__c")
}

// isGiven reports whether the event gives the field a value, or its lookup a parent.
func (w *walk) isGiven(f *salesforce.Field) bool {
	return slices.ContainsFunc(w.given, func(m member) bool {
		if strings.EqualFold(m.name, f.Name) {
			return !isBlank(m.value)
		}
		return f.RelationshipName != "" && strings.EqualFold(m.name, f.RelationshipName)
	})
}

// isCompound reports whether other fields are parts of this one.
func (w *walk) isCompound(f *salesforce.Field) bool {
	return slices.ContainsFunc(w.Object.Fields, func(part salesforce.Field) bool { return part.CompoundFieldName == f.Name && part.Name != f.Name })
}
