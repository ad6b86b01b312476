package simulator

import (
	"net/http"
	"time"
)

// describeField is what describe tells of a field.
type describeField struct {
	AutoNumber            bool           `json:"autoNumber"`
	ByteLength            int            `json:"byteLength"`
	Calculated            bool           `json:"calculated"`
	CaseSensitive         bool           `json:"caseSensitive"`
	Createable            bool           `json:"createable"`
	Custom                bool           `json:"custom"`
	DefaultedOnCreate     bool           `json:"defaultedOnCreate"`
	DependentPicklist     bool           `json:"dependentPicklist"`
	Digits                int            `json:"digits"`
	ExternalID            bool           `json:"externalId"`
	Filterable            bool           `json:"filterable"`
	IDLookup              bool           `json:"idLookup"`
	Label                 string         `json:"label"`
	Length                int            `json:"length"`
	Name                  string         `json:"name"`
	NamePointing          bool           `json:"namePointing"`
	Nillable              bool           `json:"nillable"`
	PicklistValues        []picklistItem `json:"picklistValues"`
	PolymorphicForeignKey bool           `json:"polymorphicForeignKey"`
	Precision             int            `json:"precision"`
	ReferenceTo           []string       `json:"referenceTo"`
	RelationshipName      *string        `json:"relationshipName"`
	RestrictedPicklist    bool           `json:"restrictedPicklist"`
	Scale                 int            `json:"scale"`
	SoapType              string         `json:"soapType"`
	Type                  string         `json:"type"`
	Unique                bool           `json:"unique"`
	Updateable            bool           `json:"updateable"`
}

type picklistItem struct {
	Active       bool   `json:"active"`
	DefaultValue bool   `json:"defaultValue"`
	Label        string `json:"label"`
	Value        string `json:"value"`
}

// describeResult is what describe tells of an object; the global list has it
// without fields.
type describeResult struct {
	Name            string            `json:"name"`
	Label           string            `json:"label"`
	KeyPrefix       string            `json:"keyPrefix"`
	Custom          bool              `json:"custom"`
	CustomSetting   bool              `json:"customSetting"`
	Createable      bool              `json:"createable"`
	Updateable      bool              `json:"updateable"`
	Deletable       bool              `json:"deletable"`
	Undeletable     bool              `json:"undeletable"`
	Queryable       bool              `json:"queryable"`
	Retrieveable    bool              `json:"retrieveable"`
	Triggerable     bool              `json:"triggerable"`
	Mergeable       bool              `json:"mergeable"`
	URLs            map[string]string `json:"urls"`
	Fields          []describeField   `json:"fields,omitempty"`
	RecordTypeInfos *[]struct{}       `json:"recordTypeInfos,omitempty"`
	ChildRelations  *[]struct{}       `json:"childRelationships,omitempty"`
}

func (o *object) describe(base string, whole bool) describeResult {
	url := base + "/sobjects/" + o.Name
	d := describeResult{
		Name: o.Name, Label: label(o.Name), KeyPrefix: o.prefix, Custom: o.event || isCustom(o.Name),
		Createable: true, Updateable: !o.event, Deletable: !o.event, Undeletable: !o.event, Queryable: !o.event,
		Retrieveable: !o.event, Triggerable: true,
		URLs: map[string]string{"sobject": url, "describe": url + "/describe", "rowTemplate": url + "/{ID}"},
	}
	if !whole {
		return d
	}
	for _, f := range o.fields {
		d.Fields = append(d.Fields, f.describe())
	}
	d.RecordTypeInfos, d.ChildRelations = &[]struct{}{}, &[]struct{}{}
	return d
}

func isCustom(name string) bool { return len(name) > 3 && name[len(name)-3:] == "__c" }

func (f *field) describe() describeField {
	writable := f.system == notSystem && !f.ReadOnly
	d := describeField{
		Name: f.Name, Label: f.label, Type: f.Type, SoapType: f.soapType(), Custom: isCustom(f.Name),
		Length: f.length(), ByteLength: 3 * f.length(), CaseSensitive: f.CaseSensitive,
		Createable: writable, Updateable: writable, Filterable: f.filterable(),
		Calculated: f.system == sysFullName,
		Nillable:   !f.Required && f.kind != kindBool && f.system == notSystem,
		// The org gives these a value by itself.
		DefaultedOnCreate: f.kind == kindBool || f.Name == "OwnerId" || f.system != notSystem && f.system != sysFullName,
		ExternalID:        f.ExternalID, IDLookup: f.keyed(), Unique: f.Unique,
		ReferenceTo: nonNil(f.ReferenceTo), PolymorphicForeignKey: len(f.ReferenceTo) > 1,
		RestrictedPicklist: f.values != nil, PicklistValues: []picklistItem{},
	}
	switch f.kind {
	case kindNumber:
		d.Precision, d.Scale = f.Precision, f.Scale
	case kindInt:
		d.Digits = 9
	}
	if f.Relationship != "" {
		d.RelationshipName = &f.Relationship
	}
	for _, v := range f.Picklist {
		d.PicklistValues = append(d.PicklistValues, picklistItem{Active: true, Label: v, Value: v})
	}
	return d
}

// length is 0 for what is not text.
func (f *field) length() int {
	if isTextual(f.kind) || f.kind == kindReference || f.kind == kindID {
		return f.Length
	}
	return 0
}

func (f *field) soapType() string {
	switch f.kind {
	case kindBool:
		return "xsd:boolean"
	case kindInt:
		return "xsd:int"
	case kindNumber:
		return "xsd:double"
	case kindDate:
		return "xsd:date"
	case kindDateTime:
		return "xsd:dateTime"
	case kindTime:
		return "xsd:time"
	case kindReference, kindID:
		return "tns:ID"
	default:
		return "xsd:string"
	}
}

// notModified reports whether the schema is older than the client's copy. In
// the second of a change both are possible, so the answer is no.
func (o *org) notModified(r *request) bool {
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	return err == nil && o.defined.Truncate(time.Second).Before(since)
}

func (o *org) modifiedAnswer(r *request, v any) *answer {
	if o.notModified(r) {
		return &answer{status: http.StatusNotModified, header: make(http.Header)}
	}
	ans := valueAnswer(http.StatusOK, v)
	ans.header.Set("Last-Modified", o.defined.Format(http.TimeFormat))
	return ans
}

// describeObject answers GET /sobjects/{Object}/describe.
func describeObject(s *Simulator, r *request) *answer {
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	obj := s.org.object(r.segments[1])
	if obj == nil {
		return notFound()
	}
	return s.org.modifiedAnswer(r, obj.describe(versionPath(r.version), true))
}

// describeBasic answers GET /sobjects/{Object}.
func describeBasic(s *Simulator, r *request) *answer {
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	obj := s.org.object(r.segments[1])
	if obj == nil {
		return notFound()
	}
	return valueAnswer(http.StatusOK, map[string]any{
		"objectDescribe": obj.describe(versionPath(r.version), false),
		"recentItems":    []string{},
	})
}

// describeGlobal answers GET /sobjects.
func describeGlobal(s *Simulator, r *request) *answer {
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	all := make([]describeResult, 0, len(s.org.names))
	for _, name := range s.org.names {
		all = append(all, s.org.objects[name].describe(versionPath(r.version), false))
	}
	return s.org.modifiedAnswer(r, map[string]any{"encoding": "UTF-8", "maxBatchSize": maxCollection, "sobjects": all})
}
