package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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
	HTMLFormatted     bool `json:"htmlFormatted"`

	DefaultValue        json.RawMessage `json:"defaultValue"` // absent or null: none
	DefaultValueFormula string          `json:"defaultValueFormula"`
	CompoundFieldName   string          `json:"compoundFieldName"` // the field that this one is a part of

	ReferenceTo          []string `json:"referenceTo"`          // objects that a lookup may point to
	ReferenceTargetField string   `json:"referenceTargetField"` // what a lookup holds instead of Ids; "" is usual

	RestrictedPicklist bool            `json:"restrictedPicklist"`
	PicklistValues     []PicklistValue `json:"picklistValues"`
}

// PicklistValue is one value of a picklist; Value is what is written, not the label.
type PicklistValue struct {
	Value        string `json:"value"`
	Label        string `json:"label"`
	Active       bool   `json:"active"`
	DefaultValue bool   `json:"defaultValue"`
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
	global  *described
}

// described is the cached answer; its lock is held during the call, so that those who wait for the same object ask once.
type described struct {
	lock chan struct{} // holds one element while somebody is at work
	last atomic.Pointer[description]
}

// description is what the org said, and when it said so last. It is replaced as a whole.
type description struct {
	object   *Object
	names    []string // of all objects, where the global list was asked for
	absent   error
	modified string // since when to ask for changes
	asked    time.Time
}

// lasts reports whether the org need not be asked again. An object that is not there is asked for more often.
func (d *description) lasts(age time.Duration) bool {
	if d == nil {
		return false
	}
	if d.absent != nil {
		age = min(age, absenceAge)
	}
	return time.Since(d.asked) < age
}

// forOrg empties the cache when another org is behind the login.
func (dc *describeCache) forOrg(org ID) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	if dc.org != org {
		dc.org, dc.entries, dc.global = org, nil, nil
	}
}

func newDescribed() *described { return &described{lock: make(chan struct{}, 1)} }

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
	e := newDescribed()
	dc.entries[name] = e
	return e
}

func (dc *describeCache) list() *described {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	if dc.global == nil {
		dc.global = newDescribed()
	}
	return dc.global
}

// known is what was last said of an object, nil if nothing was.
func (dc *describeCache) known(object string) *description {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	if e, ok := dc.entries[strings.ToLower(object)]; ok {
		return e.last.Load()
	}
	return nil
}

// maxDescribed bounds the cache: names come from apps, and need not exist.
const maxDescribed = 2000

// Described is what the cache has of an object, and how long ago the org said so last; it makes no call. absent: the org
// has no such object. Without either nothing is known.
func (c *Client) Described(object string) (o *Object, absent bool, age time.Duration) {
	d := c.describes.known(object)
	if d == nil {
		return nil, false, 0
	}
	return d.object, d.absent != nil, time.Since(d.asked)
}

// known is what the cache has of an object, however old; nil if it has nothing.
func (c *Client) known(object string) *Object {
	if d := c.describes.known(object); d != nil {
		return d.object
	}
	return nil
}

// Describe tells about an object, from the cache for ten minutes; after that the org is asked whether anything changed. An
// object that is not there (IsNotFound) is remembered for a minute.
func (c *Client) Describe(ctx context.Context, object string) (*Object, error) {
	return c.DescribeWithin(ctx, object, describeAge)
}

// DescribeWithin is Describe for those who need to know what the org said not longer than age ago.
func (c *Client) DescribeWithin(ctx context.Context, object string, age time.Duration) (*Object, error) {
	if !isName(object) {
		return nil, invalid("describe", "not the name of an object")
	}
	if _, err := c.tokens.get(ctx); err != nil {
		return nil, err // a login may empty the cache: before the entry is taken from it
	}
	d, err := c.learn(ctx, c.describes.entry(object), age, "describe "+object, "/sobjects/"+object+"/describe", readObject)
	if err != nil {
		return nil, err
	}
	return d.object, d.absent
}

// ObjectNames lists the objects that the user may know of, from the cache for ten minutes.
func (c *Client) ObjectNames(ctx context.Context) ([]string, error) {
	if _, err := c.tokens.get(ctx); err != nil {
		return nil, err
	}
	d, err := c.learn(ctx, c.describes.list(), describeAge, "describe global", "/sobjects", readNames)
	if err != nil {
		return nil, err
	}
	return d.names, d.absent
}

// learn asks the org for a description unless the cached one lasts. Its errors are of the call: that there is no
// such thing is a description too.
func (c *Client) learn(ctx context.Context, e *described, age time.Duration, name, path string, read func([]byte) *description) (*description, error) {
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return nil, &APIError{Code: CodeTransport, Class: Retry, Call: name, Err: ctx.Err()}
	}
	last := e.last.Load()
	if last.lasts(age) {
		return last, nil
	}
	k := &call{name: name, kind: CallDescribe, method: http.MethodGet, path: path}
	if last != nil && last.absent == nil && last.modified != "" {
		k.header = map[string]string{"If-Modified-Since": last.modified}
	}
	a, err := c.exchange(ctx, k)
	if err != nil {
		return nil, err
	}
	fresh, err := k.description(a, last, read)
	if err != nil {
		return nil, err
	}
	fresh.asked = time.Now()
	e.last.Store(fresh)
	return fresh, nil
}

// description is what the answer says, with last the description that the question was based on.
func (k *call) description(a *answer, last *description, read func([]byte) *description) (*description, error) {
	switch {
	case a.status == http.StatusNotModified && k.header != nil:
		same := *last
		return &same, nil
	case a.status != http.StatusOK:
		err := k.fail(a)
		if !IsNotFound(err) {
			return nil, err
		}
		return &description{absent: err}, nil
	case !a.isJSON():
		return nil, k.malformed(a, "not a description")
	}
	fresh := read(a.body)
	if fresh == nil {
		return nil, k.malformed(a, "not a description")
	}
	fresh.modified = askedAt(a.header)
	return fresh, nil
}

// askedAt is the time to ask for changes since: that of the fetch, a second earlier, so that a change in the second of the
// fetch is not missed.
func askedAt(h http.Header) string {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return h.Get("Last-Modified")
	}
	return date.Add(-time.Second).UTC().Format(http.TimeFormat)
}

// ReadObject reads an object's description, as the org wrote it.
func ReadObject(text []byte) (*Object, error) {
	o := &Object{}
	if err := json.Unmarshal(text, o); err != nil {
		return nil, fmt.Errorf("description of an object: %w", err)
	}
	if o.Name == "" || len(o.Fields) == 0 {
		return nil, errors.New("description of an object: without a name or fields")
	}
	o.index()
	return o, nil
}

// readObject is nil for what is not the description of an object.
func readObject(body []byte) *description {
	o, err := ReadObject(body)
	if err != nil {
		return nil
	}
	return &description{object: o}
}

func readNames(body []byte) *description {
	var list struct {
		Objects []struct {
			Name string `json:"name"`
		} `json:"sobjects"`
	}
	if json.Unmarshal(body, &list) != nil || len(list.Objects) == 0 {
		return nil
	}
	names := make([]string, len(list.Objects))
	for i, o := range list.Objects {
		names[i] = o.Name
	}
	return &description{names: names}
}
