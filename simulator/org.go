package simulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Record is one row as the control side shows it.
type Record map[string]any

// record is one row.
type record struct {
	id       string
	num      uint64 // of creation, over all objects
	object   *object
	vals     []assignment // what is not null; replaced as a whole, never changed
	created  time.Time
	modified time.Time
	deleted  bool // in the recycle bin
	purged   bool // not even there
}

// org is the schema, the rows and the oracle. Who follows a pointer to an
// object or a field holds schema for reading; who touches rows or effects
// holds mu too. turn comes before both.
type org struct {
	clock *clock
	id    string // of the organization
	user  string // the integration user's id

	schema   sync.RWMutex
	objects  map[string]*object // by lower-case name
	names    []string           // in the order of definition
	prefixes map[string]*object
	defined  time.Time // of the last change of the schema

	turn sync.RWMutex // a transaction of several requests has it whole, others for reading
	tx   *transaction // that is under way

	mu      sync.Mutex
	num     uint64 // rows created so far
	effects []effect

	confined bool // the user may not see all data
}

func newOrg(seed uint64, c *clock) *org {
	n := rand.New(rand.NewPCG(seed, 0x0a6)).Uint64N(62 * 62 * 62 * 62)
	return &org{
		clock:    c,
		id:       newID("00D", n),
		user:     newID("005", firstNumber),
		objects:  make(map[string]*object),
		prefixes: make(map[string]*object),
	}
}

// firstNumber makes ids start with letters of both cases in sight.
const firstNumber = 20*62*62*62*62 + 51*62*62*62 + 7*62*62 + 26*62 + 36

// define replaces or adds objects, or none if one is not valid.
func (o *org) define(defs []Object) error {
	compiled := make([]*object, 0, len(defs))
	for _, def := range defs {
		obj, err := compile(def)
		if err != nil {
			return err
		}
		compiled = append(compiled, obj)
	}
	o.turn.RLock()
	defer o.turn.RUnlock()
	o.schema.Lock()
	defer o.schema.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, obj := range compiled {
		if err := o.install(obj); err != nil {
			return err
		}
	}
	o.enrolTypes()
	o.defined = o.clock.now()
	return nil
}

// install puts an object in place of an older one of the same name, and takes
// over its rows.
func (o *org) install(obj *object) error {
	name := strings.ToLower(obj.Name)
	old := o.objects[name]
	prefix, err := o.choosePrefix(obj, old)
	if err != nil {
		return err
	}
	obj.prefix, obj.next, obj.owner = prefix, firstNumber, o.user
	if old == nil {
		o.names = append(o.names, name)
	} else {
		obj.adopt(old)
	}
	o.objects[name], o.prefixes[prefix] = obj, obj
	return nil
}

// choosePrefix takes the definition's key prefix, the old one, or a free one.
func (o *org) choosePrefix(obj, old *object) (string, error) {
	switch prefix := obj.KeyPrefix; {
	case old != nil && (prefix == "" || prefix == old.prefix):
		return old.prefix, nil
	case old != nil:
		return "", fmt.Errorf("object %s: its key prefix is %s and can't become %s", obj.Name, old.prefix, prefix)
	case prefix == "":
		return o.freePrefix(obj.event), nil
	case len(prefix) != 3 || strings.ContainsFunc(prefix, func(r rune) bool { return r > 127 || !isAlphanumeric(byte(r)) }):
		return "", fmt.Errorf("object %s: key prefix %q is not three letters or digits", obj.Name, prefix)
	case o.prefixes[prefix] != nil:
		return "", fmt.Errorf("object %s: key prefix %s belongs to %s", obj.Name, prefix, o.prefixes[prefix].Name)
	default:
		return prefix, nil
	}
}

// freePrefix makes up a prefix as custom objects (a00…) and events (e00…) have.
func (o *org) freePrefix(event bool) string {
	first := byte('a')
	if event {
		first = 'e'
	}
	for n := 0; ; n++ {
		prefix := string([]byte{first, base62[n/62], base62[n%62]})
		if o.prefixes[prefix] == nil {
			return prefix
		}
	}
}

// adopt moves the rows of an older definition over by field name.
func (o *object) adopt(old *object) {
	o.next = old.next
	for _, r := range old.order {
		if r.purged {
			continue
		}
		var vals []assignment
		for _, v := range r.vals {
			if f := o.field(v.field.Name); f != nil && f.system == notSystem {
				vals = append(vals, assignment{f, v.value})
			}
		}
		r.vals, r.object = vals, o
		o.rows[r.id] = r
		o.order = append(o.order, r)
		o.enter(r)
	}
}

// enter puts a row into the indexes of its state.
func (o *object) enter(r *record) {
	for _, v := range r.vals {
		if v.field.indexed() {
			v.field.indexOf(r).add(v.field.key(v.value), r)
		}
	}
}

// leave is the reverse of enter.
func (o *object) leave(r *record) {
	for _, v := range r.vals {
		if v.field.indexed() {
			v.field.indexOf(r).remove(v.field.key(v.value), r)
		}
	}
}

func (f *field) indexOf(r *record) *index {
	if r.deleted {
		return f.bin
	}
	return f.live
}

// object finds an object by name, in any case; nil if there is none. The
// caller holds schema.
func (o *org) object(name string) *object { return o.objects[strings.ToLower(name)] }

// populate puts in what no org is without: itself and its integration user.
func (o *org) populate() {
	o.schema.RLock()
	defer o.schema.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	user := o.object("User")
	user.insert(o.row(user, o.user, map[string]string{
		"Username": "integration@example.com", "LastName": "Integration", "Alias": "integ",
		"Email": "integration@example.com", "IsActive": "true",
	}))
	user.next = firstNumber + 1
	o.enrolTypes()
	organization := o.object("Organization")
	organization.insert(o.row(organization, o.id, map[string]string{
		"Name": "Simulated", "InstanceName": "SIM1", "OrganizationType": "Developer Edition", "IsSandbox": "true",
	}))
}

// row makes a row of the fields that the object has.
func (o *org) row(obj *object, id string, values map[string]string) *record {
	r := o.newRecord(obj, id)
	for name, v := range values {
		if f := obj.field(name); f != nil && f.system == notSystem {
			r.vals = append(r.vals, assignment{f, v})
		}
	}
	return r
}

func (o *org) newRecord(obj *object, id string) *record {
	o.num++
	now := o.clock.now()
	return &record{id: id, num: o.num, object: obj, created: now, modified: now}
}

func (o *object) insert(r *record) {
	o.rows[r.id] = r
	o.order = append(o.order, r)
	o.enter(r)
}

// clear empties the org but for the schema.
func (o *org) clear() {
	o.turn.RLock()
	defer o.turn.RUnlock()
	o.schema.RLock()
	defer o.schema.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.effects = nil
	for _, obj := range o.objects {
		obj.rows = make(map[string]*record)
		obj.order = nil
		for _, f := range obj.fields {
			if f.indexed() {
				f.live, f.bin = newIndex(), newIndex()
			}
		}
	}
}

func (o *org) identity() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.id
}

// rename gives the org another id.
func (o *org) rename(id string) {
	o.turn.RLock()
	defer o.turn.RUnlock()
	o.schema.RLock()
	defer o.schema.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	obj := o.object("Organization")
	if r := obj.rows[o.id]; r != nil {
		delete(obj.rows, o.id)
		r.id = id
		obj.rows[id] = r
	}
	o.id = id
}

// get is the stored value of any field of a row.
func (r *record) get(f *field) string {
	switch f.system {
	case notSystem:
		switch {
		case f.Name == "OwnerId":
			return orText(r.stored(f), r.object.owner)
		case f.Name == "Name" && r.object.persons && r.typeOf().isPerson():
			return r.fullName()
		}
		return r.stored(f)
	case sysID:
		return r.id
	case sysIsDeleted:
		if r.deleted {
			return "true"
		}
		return "false"
	case sysCreatedDate:
		return formatTime(r.created)
	case sysModifiedDate, sysModstamp:
		return formatTime(r.modified)
	case sysFullName:
		return r.fullName()
	case sysIsPerson:
		return strconv.FormatBool(r.typeOf().isPerson())
	default:
		return ""
	}
}

// stored is the value of a field that is not computed.
func (r *record) stored(f *field) string { return valueOf(r.vals, f) }

func valueOf(vals []assignment, f *field) string {
	for i := range vals {
		if vals[i].field == f {
			return vals[i].value
		}
	}
	return ""
}

func (r *record) fullName() string {
	var parts []string
	for _, name := range []string{"FirstName", "LastName"} {
		if f := r.object.field(name); f != nil && r.stored(f) != "" {
			parts = append(parts, r.stored(f))
		}
	}
	return strings.Join(parts, " ")
}

// pageSize bounds how long the control side holds the org.
const pageSize = 1_000

// page returns live rows of an object from a position on, and the position
// after them.
func (o *org) page(name string, from int) ([]Record, int) {
	o.turn.RLock()
	defer o.turn.RUnlock()
	o.schema.RLock()
	defer o.schema.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	obj := o.object(name)
	if obj == nil {
		return nil, 0
	}
	var page []Record
	for ; from < len(obj.order) && len(page) < pageSize; from++ {
		if r := obj.order[from]; !r.deleted && !r.purged {
			page = append(page, r.public())
		}
	}
	return page, from
}

func (r *record) public() Record {
	row := Record{"Id": r.id}
	for _, v := range r.vals {
		row[v.field.Name] = v.field.public(v.value)
	}
	return row
}

// exists reports whether an object is defined.
func (o *org) exists(name string) bool {
	o.schema.RLock()
	defer o.schema.RUnlock()
	return o.object(name) != nil
}

// byPrefix finds the object that an id belongs to; nil if none.
func (o *org) byPrefix(id string) *object { return o.prefixes[id[:3]] }

// targets reports whether a lookup may point to an object.
func (f *field) targets(obj *object) bool {
	return slices.ContainsFunc(f.ReferenceTo, func(name string) bool { return strings.EqualFold(name, obj.Name) })
}
