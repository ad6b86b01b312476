package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
)

// Object is an sObject of the schema. One whose name ends in __e is a
// platform event. Id, IsDeleted, OwnerId and the audit fields come by
// themselves.
type Object struct {
	Name      string  `json:"name"`
	KeyPrefix string  `json:"key_prefix,omitempty"` // of its ids, three characters; made up when empty
	Fields    []Field `json:"fields"`
	Rules     []Rule  `json:"rules,omitempty"`

	RecordTypes    []RecordType    `json:"record_types,omitempty"`
	DuplicateRules []DuplicateRule `json:"duplicate_rules,omitempty"`
	Private        bool            `json:"private,omitempty"`   // rows of other owners are hidden from a user who may not see all data
	AssignTo       string          `json:"assign_to,omitempty"` // Id of the owner that the active assignment rule gives to new rows
}

// Field is a field of an object. Type is one of Salesforce's names (string,
// textarea, picklist, multipicklist, email, phone, url, boolean, int, double,
// currency, percent, date, datetime, time, reference, encryptedstring,
// combobox, base64) or text, number, checkbox or lookup.
type Field struct {
	Name          string     `json:"name"`
	Type          string     `json:"type"`
	Length        int        `json:"length,omitempty"`    // characters; 0: the type's usual length
	Precision     int        `json:"precision,omitempty"` // digits in all; 0: 18
	Scale         int        `json:"scale,omitempty"`     // digits after the point
	Required      bool       `json:"required,omitempty"`
	ExternalID    bool       `json:"external_id,omitempty"`
	Unique        bool       `json:"unique,omitempty"`
	CaseSensitive bool       `json:"case_sensitive,omitempty"`
	Picklist      []string   `json:"picklist,omitempty"`
	Unrestricted  bool       `json:"unrestricted,omitempty"` // values beside the picklist are taken too
	ReferenceTo   References `json:"reference_to,omitempty"`
	Relationship  string     `json:"relationship,omitempty"`  // name of the parent in queries and writes
	MasterDetail  bool       `json:"master_detail,omitempty"` // a lookup that is required, stays as it is, and takes the row along when its parent is deleted
	ReadOnly      bool       `json:"read_only,omitempty"`
	// RestrictDelete: a lookup whose parent can't be deleted while rows point to it.
	RestrictDelete bool `json:"restrict_delete,omitempty"`
}

// References lists the objects a lookup may point to. In JSON a single one
// may be given as a string.
type References []string

// MarshalJSON writes a single target as a string.
func (r References) MarshalJSON() ([]byte, error) {
	if len(r) == 1 {
		return json.Marshal(r[0])
	}
	return json.Marshal([]string(r))
}

// UnmarshalJSON reads a string or a list of strings.
func (r *References) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*r = nil
		if one != "" {
			*r = References{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(r))
}

// Rule is a validation rule: a write that gives Field a value in which
// Pattern, a regular expression, matches is refused with Message.
type Rule struct {
	Field   string `json:"field"`
	Pattern string `json:"pattern"`
	Message string `json:"message"`
}

// ParseSchema reads a JSON list of objects; an unknown member is an error.
func ParseSchema(r io.Reader) ([]Object, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var objects []Object
	if err := dec.Decode(&objects); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("schema: more than one JSON value")
	}
	return objects, nil
}

// kind groups the types whose values are read, stored and written alike.
type kind int

const (
	kindText kind = iota
	kindPicklist
	kindMultiPicklist
	kindEmail
	kindBool
	kindInt
	kindNumber
	kindDate
	kindDateTime
	kindTime
	kindReference
	kindID
	kindBlob
	kindAddress // read whole, written by its parts
)

// kinds maps every accepted type to its kind, Salesforce's name for it and
// the usual length.
var kinds = map[string]struct {
	kind   kind
	name   string
	length int
}{
	"":                {kindText, "string", 255},
	"string":          {kindText, "string", 255},
	"text":            {kindText, "string", 255},
	"textarea":        {kindText, "textarea", 32_768},
	"encryptedstring": {kindText, "encryptedstring", 175},
	"combobox":        {kindText, "combobox", 255},
	"phone":           {kindText, "phone", 40},
	"url":             {kindText, "url", 255},
	"email":           {kindEmail, "email", 80},
	"picklist":        {kindPicklist, "picklist", 255},
	"multipicklist":   {kindMultiPicklist, "multipicklist", 4_099},
	"boolean":         {kindBool, "boolean", 0},
	"checkbox":        {kindBool, "boolean", 0},
	"int":             {kindInt, "int", 0},
	"double":          {kindNumber, "double", 0},
	"number":          {kindNumber, "double", 0},
	"currency":        {kindNumber, "currency", 0},
	"percent":         {kindNumber, "percent", 0},
	"date":            {kindDate, "date", 0},
	"datetime":        {kindDateTime, "datetime", 0},
	"time":            {kindTime, "time", 0},
	"reference":       {kindReference, "reference", 18},
	"lookup":          {kindReference, "reference", 18},
	"id":              {kindID, "id", 18},
	"base64":          {kindBlob, "base64", 0},
	"address":         {kindAddress, "address", 0},
}

// field is a Field made ready for use.
type field struct {
	Field
	kind   kind
	label  string
	system systemField     // which of the computed ones
	live   *index          // rows by value; nil when not indexed
	bin    *index          // the same of the recycle bin
	object *object         // it belongs to
	values map[string]bool // of a restricted picklist
}

type systemField int

const (
	notSystem systemField = iota
	sysID
	sysIsDeleted
	sysCreatedDate
	sysCreatedBy
	sysModifiedDate
	sysModifiedBy
	sysModstamp
	sysFullName // of people: made of FirstName and LastName
	sysIsPerson
	sysAddress
)

var systemFields = []struct {
	name, typ string
	system    systemField
}{
	{"Id", "id", sysID},
	{"IsDeleted", "boolean", sysIsDeleted},
	{"CreatedDate", "datetime", sysCreatedDate},
	{"CreatedById", "reference", sysCreatedBy},
	{"LastModifiedDate", "datetime", sysModifiedDate},
	{"LastModifiedById", "reference", sysModifiedBy},
	{"SystemModstamp", "datetime", sysModstamp},
}

// keyed reports whether rows can be named by the field's value.
func (f *field) keyed() bool { return f.ExternalID || f.system == sysID || f.idLookup() }

// idLookup reports the standard fields that serve as keys though they are no
// external ids.
func (f *field) idLookup() bool {
	return !f.ExternalID && ((f.Name == "Email" || f.Name == "Username") && f.kind == kindEmail || f.namesType())
}

func (f *field) indexed() bool { return f.live != nil }

// filterable reports whether a query may compare the field: long and encrypted
// texts and blobs can't be.
func (f *field) filterable() bool {
	return f.kind != kindBlob && f.kind != kindAddress && f.Type != "encryptedstring" && (f.kind != kindText || f.Length <= 255)
}

// rule is a Rule made ready for use.
type rule struct {
	field   *field
	pattern *regexp.Regexp
	message string
}

// object is an Object made ready for use, and its rows.
type object struct {
	Object
	prefix    string
	fields    []*field // in the order of describe
	byName    map[string]*field
	byRel     map[string]*field // lookups by the relationship's name
	rules     []rule
	required  []*field
	masters   []*field // lookups to a master
	restricts []*field // lookups that keep their parents from being deleted
	event     bool
	persons   bool   // some rows can be person accounts
	owner     string // of rows that name none

	types      []*recordType
	typeField  *field // RecordTypeId, where there are types
	duplicates []duplicateRule

	rows  map[string]*record
	order []*record // by creation; those purged from the bin too
	next  uint64    // number of the next id
}

func (o *object) field(name string) *field {
	if f, ok := o.byName[name]; ok {
		return f
	}
	return o.byName[strings.ToLower(name)]
}

// compile checks an object's definition.
func compile(def Object) (*object, error) {
	if !isName(def.Name) {
		return nil, fmt.Errorf("object %q: not an API name", def.Name)
	}
	o := &object{
		Object: def,
		byName: make(map[string]*field),
		byRel:  make(map[string]*field),
		event:  strings.HasSuffix(def.Name, "__e"), persons: def.hasPersons(),
		rows: make(map[string]*record),
	}
	for _, sys := range systemFields {
		f := Field{Name: sys.name, Type: sys.typ, ReadOnly: true}
		if err := o.add(f, sys.system); err != nil {
			return nil, err
		}
	}
	fields := def.Fields
	if !o.event && !declares(def, "OwnerId") {
		owner := Field{Name: "OwnerId", Type: "reference", ReferenceTo: References{"User"}, Relationship: "Owner"}
		fields = append([]Field{owner}, fields...)
	}
	fields = append(fields[:len(fields):len(fields)], typedFields(def)...)
	for _, f := range fields {
		if err := o.add(f, notSystem); err != nil {
			return nil, err
		}
	}
	for _, f := range addresses(fields, func(name string) bool { return o.field(name) != nil }) {
		if err := o.add(f, notSystem); err != nil {
			return nil, err
		}
	}
	if err := o.compileTypes(); err != nil {
		return nil, err
	}
	if err := o.compileDuplicates(); err != nil {
		return nil, err
	}
	return o, o.compileRules()
}

func declares(def Object, name string) bool {
	for _, f := range def.Fields {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// add appends one field to the object.
func (o *object) add(def Field, system systemField) error {
	typ, ok := kinds[strings.ToLower(def.Type)]
	switch {
	case !isName(def.Name):
		return fmt.Errorf("object %s: field %q: not an API name", o.Name, def.Name)
	case !ok:
		return fmt.Errorf("object %s: field %s: unknown type %q", o.Name, def.Name, def.Type)
	case o.byName[strings.ToLower(def.Name)] != nil:
		return fmt.Errorf("object %s: field %s: defined twice", o.Name, def.Name)
	case def.MasterDetail && (typ.kind != kindReference || len(def.ReferenceTo) != 1):
		return fmt.Errorf("object %s: field %s: a master is a lookup to one object", o.Name, def.Name)
	}
	if def.RestrictDelete && (typ.kind != kindReference || def.MasterDetail) {
		return fmt.Errorf("object %s: field %s: only a lookup can keep its parent from being deleted", o.Name, def.Name)
	}
	def.Type = typ.name
	if def.Length == 0 {
		def.Length = typ.length
	}
	if typ.kind == kindNumber && def.Precision == 0 {
		def.Precision = 18
	}
	switch {
	case def.Name == "Name" && def.ReadOnly && o.field("LastName") != nil:
		system = sysFullName
	case def.Name == "IsPersonAccount":
		system = sysIsPerson
	case typ.kind == kindAddress:
		system, def.ReadOnly = sysAddress, true
	}
	f := &field{Field: def, kind: typ.kind, label: label(def.Name), system: system, object: o}
	switch {
	case system == sysID && isCustom(o.Name):
		f.label = "Record ID"
	case system == sysID:
		f.label = label(o.Name) + " ID"
	}
	if def.ExternalID || def.Unique || f.idLookup() || o.compared(def.Name) {
		f.live, f.bin = newIndex(), newIndex()
	}
	if typ.kind == kindPicklist || typ.kind == kindMultiPicklist {
		f.restrict()
	}
	if def.MasterDetail {
		f.Required = true
		o.masters = append(o.masters, f)
	}
	if def.RestrictDelete {
		o.restricts = append(o.restricts, f)
	}
	if f.Required {
		o.required = append(o.required, f)
	}
	o.fields = append(o.fields, f)
	o.byName[def.Name] = f
	o.byName[strings.ToLower(def.Name)] = f
	if def.Relationship != "" {
		o.byRel[strings.ToLower(def.Relationship)] = f
	}
	return nil
}

func (f *field) restrict() {
	if f.Unrestricted || len(f.Picklist) == 0 {
		return
	}
	f.values = make(map[string]bool, len(f.Picklist))
	for _, v := range f.Picklist {
		f.values[v] = true
	}
}

func (o *object) compileRules() error {
	for _, r := range o.Rules {
		f := o.field(r.Field)
		if f == nil || f.system != notSystem {
			return fmt.Errorf("object %s: rule for unknown field %q", o.Name, r.Field)
		}
		pattern, err := regexp.Compile(r.Pattern)
		if err != nil {
			return fmt.Errorf("object %s: rule for %s: %w", o.Name, r.Field, err)
		}
		o.rules = append(o.rules, rule{f, pattern, r.Message})
	}
	return nil
}

func isTextual(k kind) bool {
	switch k {
	case kindText, kindEmail, kindPicklist, kindMultiPicklist:
		return true
	default:
		return false
	}
}

// isName reports whether s may be an API name.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// label is what people see: "Last Name" for LastName, "Account ID" for
// AccountId, "Shop Id" for Shop_Id__c.
func label(name string) string {
	custom, isCustom := strings.CutSuffix(name, "__c")
	if isCustom {
		return strings.ReplaceAll(custom, "_", " ")
	}
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && !unicode.IsUpper(rune(name[i-1])) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	if words, ok := strings.CutSuffix(b.String(), " Id"); ok {
		return words + " ID"
	}
	return b.String()
}
