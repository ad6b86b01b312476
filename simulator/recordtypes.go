package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// RecordType is a record type of an object beside the master. One that is
// Person makes person accounts of Account's rows.
type RecordType struct {
	Name        string              `json:"name"`            // the developer name
	Label       string              `json:"label,omitempty"` // default: the name
	ID          string              `json:"id,omitempty"`    // 012…; made up when empty
	Default     bool                `json:"default,omitempty"`
	Unavailable bool                `json:"unavailable,omitempty"` // to the integration user
	Person      bool                `json:"person,omitempty"`
	Picklists   map[string][]string `json:"picklists,omitempty"` // the values of restricted picklists that rows of the type may have; default: all
}

// recordType is a RecordType made ready for use.
type recordType struct {
	RecordType
	id     string
	values map[*field]map[string]bool
}

func recordTypeField() Field {
	return Field{Name: "RecordTypeId", Type: "reference", ReferenceTo: References{"RecordType"}, Relationship: "RecordType"}
}

// personFields are what Account has more where person accounts are switched on.
func personFields() []Field {
	return append([]Field{
		{Name: "IsPersonAccount", Type: "boolean", ReadOnly: true},
		text("Salutation", 40),
		text("FirstName", 40),
		text("LastName", 80),
		typed("PersonEmail", "email"),
		typed("PersonMobilePhone", "phone"),
		text("PersonTitle", 80),
		typed("PersonBirthdate", "date"),
		typed("PersonHasOptedOutOfEmail", "boolean"),
	}, address("PersonMailing")...)
}

// ofPerson reports whether only person accounts have the field.
func (f *field) ofPerson() bool {
	switch f.Name {
	case "Salutation", "FirstName", "MiddleName", "LastName", "Suffix":
		return f.object.persons
	}
	return f.object.persons && (strings.HasPrefix(f.Name, "Person") || strings.HasSuffix(f.Name, "__pc"))
}

// typedFields are the fields that come with record types, but those that are declared.
func typedFields(def Object) (fields []Field) {
	if len(def.RecordTypes) == 0 {
		return nil
	}
	fields = []Field{recordTypeField()}
	if def.hasPersons() {
		fields = append(fields, personFields()...)
	}
	return slices.DeleteFunc(fields, func(f Field) bool { return declares(def, f.Name) })
}

func (def Object) hasPersons() bool {
	return slices.ContainsFunc(def.RecordTypes, func(t RecordType) bool { return t.Person })
}

// compileTypes makes the record types ready; their ids come later.
func (o *object) compileTypes() error {
	for _, def := range o.RecordTypes {
		t := &recordType{RecordType: def, values: make(map[*field]map[string]bool)}
		id, ok := canonicalID(def.ID)
		switch {
		case !isName(def.Name):
			return fmt.Errorf("object %s: record type %q: not a developer name", o.Name, def.Name)
		case def.Person && o.Name != "Account":
			return fmt.Errorf("object %s: record type %s: only accounts can be persons", o.Name, def.Name)
		case def.ID != "" && (!ok || id[:3] != "012"):
			return fmt.Errorf("object %s: record type %s: %q is not the id of a record type", o.Name, def.Name, def.ID)
		}
		t.id = id
		for name, values := range def.Picklists {
			f := o.field(name)
			if f == nil || f.values == nil {
				return fmt.Errorf("object %s: record type %s: %s is not a restricted picklist", o.Name, def.Name, name)
			}
			t.values[f] = make(map[string]bool, len(values))
			for _, v := range values {
				t.values[f][v] = true
			}
		}
		o.types = append(o.types, t)
	}
	o.typeField = o.field("RecordTypeId")
	return nil
}

// enrolTypes gives every record type its row. The caller holds schema and rows.
func (o *org) enrolTypes() {
	of := o.object("RecordType")
	if of == nil {
		return
	}
	for _, name := range o.names {
		obj := o.objects[name]
		for _, t := range obj.types {
			if t.id == "" {
				t.id = o.typeID(of, obj, t)
			}
			if of.rows[t.id] != nil {
				continue
			}
			of.insert(o.row(of, t.id, map[string]string{
				"Name": orText(t.Label, t.Name), "DeveloperName": t.Name, "SobjectType": obj.Name, "IsActive": "true",
			}))
		}
	}
}

// typeID is the id of a record type's row: the one that it had, or a new one.
func (o *org) typeID(of, obj *object, t *recordType) string {
	name, owner := of.field("DeveloperName"), of.field("SobjectType")
	for _, r := range of.order {
		if name != nil && owner != nil && r.stored(name) == t.Name && r.stored(owner) == obj.Name {
			return r.id
		}
	}
	of.next++
	return newID(of.prefix, of.next-1)
}

// namesType reports whether rows of RecordType are named by the field, in
// writes of their own object's rows.
func (f *field) namesType() bool {
	return f.object.Name == "RecordType" && (f.Name == "Name" || f.Name == "DeveloperName")
}

// typesOf keeps the record types of one object.
func typesOf(rows []*record, obj *object) []*record {
	return slices.DeleteFunc(slices.Clone(rows), func(r *record) bool {
		f := r.object.field("SobjectType")
		return f != nil && r.stored(f) != obj.Name
	})
}

// typeByID finds a record type; nil is the master.
func (o *object) typeByID(id string) *recordType {
	for _, t := range o.types {
		if t.id == id {
			return t
		}
	}
	return nil
}

// typeOf is the record type of a row; nil is the master.
func (r *record) typeOf() *recordType {
	if r.object.types == nil {
		return nil
	}
	return r.object.typeByID(r.stored(r.object.typeField))
}

func (t *recordType) isPerson() bool { return t != nil && t.Person }

// chooseType finds out which record type a row is to have, and gives a new one
// the default.
func (o *object) chooseType(w *write, before *record) (*recordType, *rowError) {
	for _, a := range w.set {
		if a.field != o.typeField || a.value == "" {
			continue
		}
		t := o.typeByID(a.value)
		if t == nil || t.Unavailable {
			return nil, refuse("INVALID_CROSS_REFERENCE_KEY", "Record Type ID: this ID value isn't valid for the user: "+a.value, a.field.Name)
		}
		return t, nil
	}
	if before != nil {
		return before.typeOf(), nil
	}
	for _, t := range o.types {
		if t.Default {
			w.set = append(w.set, assignment{o.typeField, t.id})
			return t, nil
		}
	}
	return nil, nil
}

// checkType applies the rules of record types and person accounts.
func (o *object) checkType(w *write, before *record) *rowError {
	if o.types == nil {
		return nil
	}
	t, err := o.chooseType(w, before)
	if err != nil {
		return err
	}
	if t != nil {
		for _, a := range w.set {
			if bad, found := foreignValue(t.values[a.field], a.value); found {
				return a.field.badPicklist(bad)
			}
		}
	}
	if !o.persons {
		return nil
	}
	if before != nil && before.typeOf().isPerson() != t.isPerson() {
		return o.convert(w, before)
	}
	return o.checkPerson(w, t.isPerson())
}

// checkPerson refuses what accounts of the other kind have.
func (o *object) checkPerson(w *write, person bool) *rowError {
	var others []string
	for _, a := range w.set {
		switch {
		case person && a.field.Name == "Name", !person && a.field.ofPerson():
			others = append(others, a.field.Name)
		case person && a.field.Name == "LastName" && a.value == "":
			return errMissing([]string{"LastName"})
		}
	}
	if others != nil {
		return errReadOnly(others...)
	}
	return nil
}

// convert makes a person of a business account, or the reverse: by the record
// type alone.
func (o *object) convert(w *write, before *record) *rowError {
	for _, a := range w.set {
		if a.field != o.typeField {
			return refuse("INVALID_FIELD_FOR_INSERT_UPDATE", "The specified field cannot be combined with a person account record type change.", a.field.Name)
		}
	}
	name, last := o.field("Name"), o.field("LastName")
	if !before.typeOf().isPerson() {
		w.set = append(w.set, assignment{last, before.stored(name)}, assignment{name, ""})
		return nil
	}
	w.set = append(w.set, assignment{name, before.fullName()})
	for _, v := range before.vals {
		if v.field.ofPerson() {
			w.set = append(w.set, assignment{v.field, ""})
		}
	}
	return nil
}

// requiredOf lists the fields that a new row must have.
func (o *object) requiredOf(vals []assignment) []*field {
	if !o.persons || !o.typeByID(valueOf(vals, o.typeField)).isPerson() {
		return o.required
	}
	need := slices.DeleteFunc(slices.Clone(o.required), func(f *field) bool { return f.Name == "Name" })
	return append(need, o.field("LastName"))
}

// requiredAfter lists the fields that a row must have once it has these values too.
func (o *object) requiredAfter(r *record, set []assignment) []*field {
	if !o.persons {
		return o.required
	}
	return o.requiredOf(merge(r.vals, set))
}

// typeInfos is what describe tells of the record types.
func (o *object) typeInfos(base string) []recordTypeInfo {
	layout := func(id string) map[string]string {
		return map[string]string{"layout": base + "/sobjects/" + o.Name + "/describe/layouts/" + id}
	}
	infos := make([]recordTypeInfo, 0, len(o.types)+1)
	master := recordTypeInfo{
		Active: true, Available: true, DefaultRecordTypeMapping: true, Master: true,
		DeveloperName: "Master", Name: "Master", RecordTypeID: "012000000000000AAA", URLs: layout("012000000000000AAA"),
	}
	for _, t := range o.types {
		infos = append(infos, recordTypeInfo{
			Active: true, Available: !t.Unavailable, DefaultRecordTypeMapping: t.Default,
			DeveloperName: t.Name, Name: orText(t.Label, t.Name), RecordTypeID: t.id, URLs: layout(t.id),
		})
		master.DefaultRecordTypeMapping = master.DefaultRecordTypeMapping && !t.Default
	}
	return append(infos, master)
}
