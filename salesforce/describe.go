package salesforce

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	describeAge = 10 * time.Minute
	// An object that is not there is asked for again after this time, so that its creation is soon noticed.
	absenceAge = time.Minute
)

// Object is what the integration user may know of an object. Fields that are hidden from the user are
// absent. It is shared: do not change it.
type Object struct {
	Name       string  `json:"name"`
	KeyPrefix  string  `json:"keyPrefix"` // the first three characters of its Ids
	Createable bool    `json:"createable"`
	Updateable bool    `json:"updateable"`
	Deletable  bool    `json:"deletable"`
	Queryable  bool    `json:"queryable"`
	Fields     []Field `json:"fields"`

	byName         map[string]*Field // as it is written, and in lower case
	byRelationship map[string]*Field // the same
}

// Field is one field of an Object.
type Field struct {
	Name             string `json:"name"`
	Label            string `json:"label"`
	Type             string `json:"type"` // string, double, date, reference, …
	RelationshipName string `json:"relationshipName"`
	Length           int    `json:"length"`    // characters of a text
	Precision        int    `json:"precision"` // digits of a number in all
	Scale            int    `json:"scale"`     // of them after the point
	Digits           int    `json:"digits"`    // of an int

	Createable        bool `json:"createable"`
	Updateable        bool `json:"updateable"`
	Nillable          bool `json:"nillable"`
	DefaultedOnCreate bool `json:"defaultedOnCreate"`
	ExternalID        bool `json:"externalId"`
	IDLookup          bool `json:"idLookup"`
	Unique            bool `json:"unique"`
	CaseSensitive     bool `json:"caseSensitive"`
	AutoNumber        bool `json:"autoNumber"`
	Calculated        bool `json:"calculated"`
	Filterable        bool `json:"filterable"`

	ReferenceTo        []string        `json:"referenceTo"` // objects that a lookup may point to
	RestrictedPicklist bool            `json:"restrictedPicklist"`
	PicklistValues     []PicklistValue `json:"picklistValues"`
}

// PicklistValue is one value of a picklist; Value is what is written, not the label.
type PicklistValue struct {
	Value  string `json:"value"`
	Active bool   `json:"active"`
}

// Field finds a field by its name, whatever the letter case.
func (o *Object) Field(name string) (*Field, bool) {
	return find(o.byName, name)
}

// Relationship finds the lookup field that a nested object of this name stands for, whatever the letter case.
func (o *Object) Relationship(name string) (*Field, bool) {
	return find(o.byRelationship, name)
}

// find tries the letter case of describe first, which is the usual one and costs no folding.
func find(fields map[string]*Field, name string) (*Field, bool) {
	f, ok := fields[name]
	if !ok {
		f, ok = fields[strings.ToLower(name)]
	}
	return f, ok
}

// Polymorphic reports whether a lookup has several targets, so that a nested object must say which.
func (f *Field) Polymorphic() bool { return len(f.ReferenceTo) > 1 }

// index makes the lookup tables.
func (o *Object) index() {
	o.byName = make(map[string]*Field, 2*len(o.Fields))
	o.byRelationship = map[string]*Field{}
	for i := range o.Fields {
		f := &o.Fields[i]
		o.byName[f.Name], o.byName[strings.ToLower(f.Name)] = f, f
		if name := f.RelationshipName; name != "" {
			o.byRelationship[name], o.byRelationship[strings.ToLower(name)] = f, f
		}
	}
}

// describeCache keeps one entry an object of one org.
type describeCache struct {
	mu      sync.Mutex
	org     ID
	entries map[string]*described
}

// described is the cached answer; its lock is held during the call, so that those who wait for the same object ask once.
type described struct {
	lock     chan struct{} // holds one element while somebody is at work
	object   *Object
	modified string // Last-Modified, or the Date of the answer
	asked    time.Time
	absent   error
}

// forOrg empties the cache when another org is behind the login.
func (dc *describeCache) forOrg(org ID) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	if dc.org != org {
		dc.org, dc.entries = org, nil
	}
}

func (dc *describeCache) entry(object string) *described {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	name := strings.ToLower(object)
	if e, ok := dc.entries[name]; ok {
		return e
	}
	if dc.entries == nil {
		dc.entries = map[string]*described{}
	}
	if len(dc.entries) >= maxDescribed {
		clear(dc.entries)
	}
	e := &described{lock: make(chan struct{}, 1)}
	dc.entries[name] = e
	return e
}

// maxDescribed bounds the cache: names come from apps, and need not exist.
const maxDescribed = 2000

// Describe tells about an object, from the cache for ten minutes; after that the org is asked whether anything changed. An
// object that is not there (IsNotFound) is remembered for a minute.
func (c *Client) Describe(ctx context.Context, object string) (*Object, error) {
	if !isName(object) {
		return nil, invalid("describe", "not the name of an object")
	}
	if _, err := c.tokens.get(ctx); err != nil {
		return nil, err // a login may empty the cache: before the entry is taken from it
	}
	e := c.describes.entry(object)
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return nil, &APIError{Code: CodeTransport, Class: Retry, Call: "describe " + object, Err: ctx.Err()}
	}
	switch age := time.Since(e.asked); {
	case e.object != nil && age < describeAge:
		return e.object, nil
	case e.absent != nil && age < absenceAge:
		return nil, e.absent
	}
	return c.describe(ctx, object, e)
}

func (c *Client) describe(ctx context.Context, object string, e *described) (*Object, error) {
	k := &call{name: "describe " + object, method: http.MethodGet, path: "/sobjects/" + object + "/describe"}
	if e.object != nil && e.modified != "" {
		k.header = map[string]string{"If-Modified-Since": e.modified}
	}
	a, err := c.exchange(ctx, k)
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusNotModified && e.object != nil:
		e.asked = time.Now()
		return e.object, nil
	case a.status != http.StatusOK:
		err := k.fail(a)
		if IsNotFound(err) {
			e.object, e.absent, e.asked = nil, err, time.Now()
		}
		return nil, err
	}
	o := &Object{}
	if !a.isJSON() || json.Unmarshal(a.body, o) != nil || o.Name == "" || len(o.Fields) == 0 {
		return nil, k.malformed(a, "not the description of an object")
	}
	o.index()
	e.object, e.absent, e.asked, e.modified = o, nil, time.Now(), a.header.Get("Last-Modified")
	if e.modified == "" {
		e.modified = a.header.Get("Date")
	}
	return o, nil
}
