package simulator

import (
	"net/http"
	"time"
)

// describeField is what describe tells of a field.
type describeField struct {
	Aggregatable             bool           `json:"aggregatable"`
	AIPredictionField        bool           `json:"aiPredictionField"`
	AutoNumber               bool           `json:"autoNumber"`
	ByteLength               int            `json:"byteLength"`
	Calculated               bool           `json:"calculated"`
	CalculatedFormula        *string        `json:"calculatedFormula"`
	CascadeDelete            bool           `json:"cascadeDelete"`
	CaseSensitive            bool           `json:"caseSensitive"`
	CompoundFieldName        *string        `json:"compoundFieldName"`
	ControllerName           *string        `json:"controllerName"`
	Createable               bool           `json:"createable"`
	Custom                   bool           `json:"custom"`
	DefaultValue             any            `json:"defaultValue"`
	DefaultValueFormula      *string        `json:"defaultValueFormula"`
	DefaultedOnCreate        bool           `json:"defaultedOnCreate"`
	DependentPicklist        bool           `json:"dependentPicklist"`
	DeprecatedAndHidden      bool           `json:"deprecatedAndHidden"`
	Digits                   int            `json:"digits"`
	DisplayLocationInDecimal bool           `json:"displayLocationInDecimal"`
	Encrypted                bool           `json:"encrypted"`
	ExternalID               bool           `json:"externalId"`
	ExtraTypeInfo            *string        `json:"extraTypeInfo"`
	Filterable               bool           `json:"filterable"`
	FilteredLookupInfo       *struct{}      `json:"filteredLookupInfo"`
	FormulaTreatNullAsZero   bool           `json:"formulaTreatNullNumberAsZero"`
	Groupable                bool           `json:"groupable"`
	HighScaleNumber          bool           `json:"highScaleNumber"`
	HTMLFormatted            bool           `json:"htmlFormatted"`
	IDLookup                 bool           `json:"idLookup"`
	InlineHelpText           *string        `json:"inlineHelpText"`
	Label                    string         `json:"label"`
	Length                   int            `json:"length"`
	Mask                     *string        `json:"mask"`
	MaskType                 *string        `json:"maskType"`
	Name                     string         `json:"name"`
	NameField                bool           `json:"nameField"`
	NamePointing             bool           `json:"namePointing"`
	Nillable                 bool           `json:"nillable"`
	Permissionable           bool           `json:"permissionable"`
	PicklistValues           []picklistItem `json:"picklistValues"`
	PolymorphicForeignKey    bool           `json:"polymorphicForeignKey"`
	Precision                int            `json:"precision"`
	QueryByDistance          bool           `json:"queryByDistance"`
	ReferenceTargetField     *string        `json:"referenceTargetField"`
	ReferenceTo              []string       `json:"referenceTo"`
	RelationshipName         *string        `json:"relationshipName"`
	RelationshipOrder        *int           `json:"relationshipOrder"`
	RestrictedDelete         bool           `json:"restrictedDelete"`
	RestrictedPicklist       bool           `json:"restrictedPicklist"`
	Scale                    int            `json:"scale"`
	SearchPrefilterable      bool           `json:"searchPrefilterable"`
	SoapType                 string         `json:"soapType"`
	Sortable                 bool           `json:"sortable"`
	Type                     string         `json:"type"`
	Unique                   bool           `json:"unique"`
	Updateable               bool           `json:"updateable"`
	WriteRequiresMasterRead  bool           `json:"writeRequiresMasterRead"`
}

type picklistItem struct {
	Active       bool    `json:"active"`
	DefaultValue bool    `json:"defaultValue"`
	Label        string  `json:"label"`
	ValidFor     *string `json:"validFor"`
	Value        string  `json:"value"`
}

// describeSummary is what the list of all objects tells of one.
type describeSummary struct {
	Activateable        bool              `json:"activateable"`
	AssociateEntity     *string           `json:"associateEntityType"`
	AssociateParent     *string           `json:"associateParentEntity"`
	Createable          bool              `json:"createable"`
	Custom              bool              `json:"custom"`
	CustomSetting       bool              `json:"customSetting"`
	DeepCloneable       bool              `json:"deepCloneable"`
	Deletable           bool              `json:"deletable"`
	DeprecatedAndHidden bool              `json:"deprecatedAndHidden"`
	FeedEnabled         bool              `json:"feedEnabled"`
	HasSubtypes         bool              `json:"hasSubtypes"`
	IsInterface         bool              `json:"isInterface"`
	IsSubtype           bool              `json:"isSubtype"`
	KeyPrefix           string            `json:"keyPrefix"`
	Label               string            `json:"label"`
	LabelPlural         string            `json:"labelPlural"`
	Layoutable          bool              `json:"layoutable"`
	Mergeable           bool              `json:"mergeable"`
	MRUEnabled          bool              `json:"mruEnabled"`
	Name                string            `json:"name"`
	Queryable           bool              `json:"queryable"`
	Replicateable       bool              `json:"replicateable"`
	Retrieveable        bool              `json:"retrieveable"`
	Searchable          bool              `json:"searchable"`
	Triggerable         bool              `json:"triggerable"`
	Undeletable         bool              `json:"undeletable"`
	Updateable          bool              `json:"updateable"`
	URLs                map[string]string `json:"urls"`
}

// describeResult is what describe tells of an object.
type describeResult struct {
	describeSummary
	ActionOverrides       []struct{}       `json:"actionOverrides"`
	ChildRelationships    []struct{}       `json:"childRelationships"`
	CompactLayoutable     bool             `json:"compactLayoutable"`
	Fields                []describeField  `json:"fields"`
	Listviewable          *bool            `json:"listviewable"`
	LookupLayoutable      *bool            `json:"lookupLayoutable"`
	NamedLayoutInfos      []struct{}       `json:"namedLayoutInfos"`
	NetworkScopeFieldName *string          `json:"networkScopeFieldName"`
	RecordTypeInfos       []recordTypeInfo `json:"recordTypeInfos"`
	SearchLayoutable      bool             `json:"searchLayoutable"`
	SupportedScopes       []scopeInfo      `json:"supportedScopes"`
}

type recordTypeInfo struct {
	Active                   bool              `json:"active"`
	Available                bool              `json:"available"`
	DefaultRecordTypeMapping bool              `json:"defaultRecordTypeMapping"`
	DeveloperName            string            `json:"developerName"`
	Master                   bool              `json:"master"`
	Name                     string            `json:"name"`
	RecordTypeID             string            `json:"recordTypeId"`
	URLs                     map[string]string `json:"urls"`
}

type scopeInfo struct {
	Label string `json:"label"`
	Name  string `json:"name"`
}

func (o *object) summary(base string) describeSummary {
	url := base + "/sobjects/" + o.Name
	rows := !o.event
	return describeSummary{
		Name: o.Name, Label: label(o.Name), LabelPlural: label(o.Name) + "s", KeyPrefix: o.prefix,
		Custom: o.event || isCustom(o.Name), Createable: true, Triggerable: true,
		Updateable: rows, Deletable: rows, Undeletable: rows, Queryable: rows, Retrieveable: rows,
		Replicateable: rows, Layoutable: rows, Searchable: rows,
		URLs: map[string]string{"sobject": url, "describe": url + "/describe", "rowTemplate": url + "/{ID}"},
	}
}

// describe is the whole of it. Every object has the master record type.
func (o *object) describe(base string) describeResult {
	d := describeResult{
		describeSummary: o.summary(base),
		ActionOverrides: []struct{}{}, ChildRelationships: []struct{}{}, NamedLayoutInfos: []struct{}{},
		RecordTypeInfos:  o.typeInfos(base),
		SearchLayoutable: !o.event,
		SupportedScopes:  []scopeInfo{{"All " + label(o.Name) + "s", "everything"}},
	}
	for _, f := range o.fields {
		d.Fields = append(d.Fields, f.describe())
	}
	return d
}

func isCustom(name string) bool { return len(name) > 3 && name[len(name)-3:] == "__c" }

func (f *field) describe() describeField {
	writable := f.system == notSystem && !f.ReadOnly
	short := f.filterable() && f.kind != kindMultiPicklist
	d := describeField{
		Name: f.Name, Label: f.label, Type: f.Type, SoapType: f.soapType(), Custom: isCustom(f.Name),
		Length: f.length(), ByteLength: 3 * f.length(), CaseSensitive: f.CaseSensitive,
		Createable: writable, Updateable: writable && !f.MasterDetail, CascadeDelete: f.MasterDetail, RestrictedDelete: f.RestrictDelete, Filterable: f.filterable(),
		Calculated: f.system == sysFullName,
		Nillable:   !f.Required && f.kind != kindBool && (f.system == notSystem || f.system == sysAddress),
		// The org gives these a value by itself.
		DefaultedOnCreate: f.kind == kindBool || f.Name == "OwnerId" || f.system != notSystem && f.system != sysFullName,
		ExternalID:        f.ExternalID, IDLookup: f.keyed(), Unique: f.Unique,
		ReferenceTo: nonNil(f.ReferenceTo), PolymorphicForeignKey: len(f.ReferenceTo) > 1,
		RestrictedPicklist: f.values != nil, PicklistValues: []picklistItem{},
		Sortable: short, Groupable: short && f.kind != kindNumber && f.kind != kindDateTime && f.kind != kindTime,
		Aggregatable: short && f.kind != kindBool, NameField: f.Name == "Name",
		Permissionable: writable && !f.Required, Encrypted: f.Type == "encryptedstring",
		SearchPrefilterable: f.kind == kindReference,
	}
	switch f.kind {
	case kindNumber:
		d.Precision, d.Scale = f.Precision, f.Scale
	case kindInt:
		d.Digits = 9
	case kindBool:
		d.DefaultValue = false
	}
	if name := f.compound(); name != "" {
		d.CompoundFieldName = &name
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
	case kindBlob:
		return "xsd:base64Binary"
	case kindAddress:
		return "urn:address"
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
	return s.org.modifiedAnswer(r, obj.describe(versionPath(r.version)))
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
		"objectDescribe": obj.summary(versionPath(r.version)),
		"recentItems":    []string{},
	})
}

// describeGlobal answers GET /sobjects.
func describeGlobal(s *Simulator, r *request) *answer {
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	all := make([]describeSummary, 0, len(s.org.names))
	for _, name := range s.org.names {
		all = append(all, s.org.objects[name].summary(versionPath(r.version)))
	}
	return s.org.modifiedAnswer(r, map[string]any{"encoding": "UTF-8", "maxBatchSize": maxCollection, "sobjects": all})
}
