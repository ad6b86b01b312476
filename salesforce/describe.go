package salesforce

// Object is what the integration user may know of an object. Fields that are hidden from the user are absent.
type Object struct {
	Name, KeyPrefix                              string
	Createable, Updateable, Deletable, Queryable bool
	Fields                                       []Field

	byName map[string]*Field
}

// Field is one field of an Object.
type Field struct {
	Name, Type, RelationshipName     string
	Length, Precision, Scale, Digits int
	Createable, Updateable           bool
	Nillable, DefaultedOnCreate      bool
	ExternalID, IDLookup             bool
	Unique, CaseSensitive            bool
	AutoNumber, Calculated           bool
	ReferenceTo                      []string
	RestrictedPicklist               bool
	Picklist                         []string // active values
}
