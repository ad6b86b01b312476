package simulator

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// assignment is one field's new value, in normal form.
type assignment struct {
	field *field
	value string
}

// parentRef sets a lookup by the external id of the parent.
type parentRef struct {
	lookup *field
	key    *field // of the parent
	value  string
}

// write is what one row of a request asks for.
type write struct {
	id       string // update, delete: of 18 characters
	keyValue string // upsert: the key's value in normal form
	set      []assignment
	parents  []parentRef
	err      *rowError // found before the org was asked
}

// outcome is what became of a write.
type outcome struct {
	id      string
	created bool
	err     *rowError
}

func failed(err *rowError) outcome { return outcome{err: err} }

// prepare applies all checks that need no other row. It wants schema held for
// reading, not the rows.
func (w *write) prepare(obj *object) {
	if w.err != nil {
		return
	}
	for _, a := range w.set {
		if w.err = a.field.check(a.value); w.err != nil {
			return
		}
	}
	for _, r := range obj.rules {
		for _, a := range w.set {
			if a.field == r.field && a.value != "" && r.pattern.MatchString(a.value) {
				w.err = refuse("FIELD_CUSTOM_VALIDATION_EXCEPTION", r.message, r.field.Name)
				return
			}
		}
	}
}

// chunk is a transaction of up to 200 rows: it holds the org.
type chunk struct {
	org   *org
	via   string
	job   string
	at    time.Time
	first uint64   // rows with higher numbers were created by this chunk
	undo  []func() // kept only when the chunk may be rolled back
	whole bool     // all or nothing

	allowSave bool // duplicate rules that alert let pass
	assigns   bool // assignment rules run
	mark      int  // effects before the chunk
}

// begin locks the rows until end. The caller holds schema for reading.
func (o *org) begin(via, job string, whole bool) *chunk {
	o.mu.Lock()
	return &chunk{org: o, via: via, job: job, at: o.clock.now(), first: o.num, whole: whole, mark: len(o.effects)}
}

// heed reads the headers that steer rules.
func (c *chunk) heed(h http.Header) {
	c.allowSave = allowsSave(h)
	c.assigns = !strings.EqualFold(h.Get("Sforce-Auto-Assign"), "FALSE")
}

// owner gives a new row that names none the owner that the assignment rule chooses.
func (c *chunk) owner(obj *object, w *write) {
	if !c.assigns || obj.AssignTo == "" {
		return
	}
	if f := obj.field("OwnerId"); f != nil && valueOf(w.set, f) == "" {
		w.set = append(w.set, assignment{f, obj.AssignTo})
	}
}

// end gives the rows free, and what was done to a transaction of several
// chunks if there is one.
func (c *chunk) end() {
	if tx := c.org.tx; tx != nil {
		tx.undo = append(tx.undo, c.undo...)
	}
	c.org.mu.Unlock()
}

// rollback undoes everything since begin.
func (c *chunk) rollback() {
	c.org.takeBack(c.undo, c.mark)
	c.undo = nil
}

func (c *chunk) reversible(undo func()) {
	if c.whole || c.org.tx != nil {
		c.undo = append(c.undo, undo)
	}
}

func (c *chunk) record(operation string, r *record, key *field, w *write) {
	e := effect{object: r.object.Name, operation: operation, id: r.id, via: c.via, job: c.job, at: c.at}
	if w != nil {
		e.set = w.set
	}
	if key != nil && key.system == notSystem {
		e.key, e.keyValue = key, w.keyValue
	}
	c.org.effects = append(c.org.effects, e)
}

// create inserts a row. key is the upsert's field, or nil.
func (c *chunk) create(obj *object, key *field, w *write) outcome {
	if err := c.join(obj); err != nil {
		return failed(err)
	}
	if err := c.resolve(w); err != nil {
		return failed(err)
	}
	c.owner(obj, w)
	if err := obj.checkType(w, nil); err != nil {
		return failed(err)
	}
	r := c.org.newRecord(obj, newID(obj.prefix, obj.next))
	r.created, r.modified = c.at, c.at
	r.vals = merge(nil, w.set)
	if missing := obj.missing(r.vals); missing != nil {
		return failed(errMissing(missing))
	}
	if err := c.unique(w.set, nil); err != nil {
		return failed(err)
	}
	if err := c.checkDuplicates(obj, w.set, r.vals, nil); err != nil {
		return failed(err)
	}
	obj.next++
	obj.insert(r)
	c.reversible(func() { obj.purge(r) })
	c.record("create", r, key, w)
	return outcome{id: r.id, created: true}
}

// update changes a row found by its id.
func (c *chunk) update(obj *object, w *write) outcome {
	r, err := c.find(obj, w.id)
	if err != nil {
		return failed(err)
	}
	return c.change(r, nil, w)
}

// change gives a row new values. One that alters nothing has no effect.
func (c *chunk) change(r *record, key *field, w *write) outcome {
	if err := c.join(r.object); err != nil {
		return failed(err)
	}
	if err := c.resolve(w); err != nil {
		return failed(err)
	}
	if err := r.object.checkType(w, r); err != nil {
		return failed(err)
	}
	var cleared []string
	changed, required := false, r.object.requiredAfter(r, w.set)
	for _, a := range w.set {
		if a.field.MasterDetail {
			return failed(errReadOnly(a.field.Name)) // though the parent be the same
		}
		changed = changed || !a.field.same(r.stored(a.field), a.value)
		if a.value == "" && slices.Contains(required, a.field) {
			cleared = append(cleared, a.field.Name)
		}
	}
	if cleared != nil {
		return failed(errMissing(cleared))
	}
	if err := c.unique(w.set, r); err != nil {
		return failed(err)
	}
	if r.object.duplicates != nil {
		if err := c.checkDuplicates(r.object, w.set, merge(r.vals, w.set), r); err != nil {
			return failed(err)
		}
	}
	if changed {
		c.assign(r, w.set)
		c.record("update", r, key, w)
	}
	return outcome{id: r.id}
}

func (c *chunk) assign(r *record, set []assignment) {
	before, modified := r.vals, r.modified
	r.replace(set, merge(before, set))
	r.modified = c.at
	c.reversible(func() {
		r.replace(set, before)
		r.modified = modified
	})
}

// replace gives a live row other values, which differ in the fields of set.
func (r *record) replace(set, vals []assignment) {
	for _, a := range set {
		f := a.field
		was, is := r.stored(f), valueOf(vals, f)
		if !f.indexed() || was == is {
			continue
		}
		if was != "" {
			f.live.remove(f.key(was), r)
		}
		if is != "" {
			f.live.add(f.key(is), r)
		}
	}
	r.vals = vals
}

// merge returns the values after a write. It shares set where it can.
func merge(before, set []assignment) []assignment {
	if before == nil && isPlain(set) {
		return slices.Clip(set)
	}
	after := slices.Clone(before)
	for _, a := range set {
		i := slices.IndexFunc(after, func(b assignment) bool { return b.field == a.field })
		switch {
		case i >= 0 && a.value != "":
			after[i].value = a.value
		case i >= 0:
			after = slices.Delete(after, i, i+1)
		case a.value != "":
			after = append(after, a)
		}
	}
	return after
}

// isPlain reports whether no value is null and no field is set twice.
func isPlain(set []assignment) bool {
	for i, a := range set {
		if a.value == "" || valueOf(set[:i], a.field) != "" {
			return false
		}
	}
	return true
}

// upsert updates the row that has the key, or creates one with it. Of the key
// Id there is nothing to create from but null.
func (c *chunk) upsert(obj *object, key *field, w *write, updateOnly bool) outcome {
	if key.system == sysID {
		if w.keyValue == "" {
			return c.create(obj, nil, w)
		}
		w.id = w.keyValue
		return c.update(obj, w)
	}
	if err := c.org.mayUpsert(key); err != nil {
		return failed(err)
	}
	switch rows := c.org.named(key, w.keyValue); {
	case len(rows) > 1:
		return failed(errManyRows(key, rows))
	case len(rows) == 1:
		return c.change(rows[0], key, w)
	case updateOnly:
		return failed(errNoResource())
	default:
		if err := key.check(w.keyValue); err != nil {
			return failed(err)
		}
		w.set = append(w.set, assignment{key, w.keyValue})
		return c.create(obj, key, w)
	}
}

// delete puts a row into the recycle bin, or past it.
func (c *chunk) delete(obj *object, id string, hard bool) outcome {
	r, err := c.find(obj, id)
	if err != nil {
		return failed(err)
	}
	if err := firstError(c.join(obj), c.held(r)); err != nil {
		return failed(err)
	}
	c.remove(r, hard)
	return outcome{id: r.id}
}

// remove deletes a row after its details.
func (c *chunk) remove(r *record, hard bool) {
	for _, detail := range c.org.details(r) {
		c.remove(detail, hard)
	}
	if hard {
		r.object.purge(r)
	} else {
		r.object.bin(r, true)
		before := r.modified
		c.reversible(func() {
			r.object.bin(r, false)
			r.modified = before
		})
	}
	r.modified = c.at
	c.record("delete", r, nil, nil)
}

// details lists the rows of which another one is the master.
func (o *org) details(master *record) []*record {
	var all []*record
	for _, name := range o.names {
		obj := o.objects[name]
		for _, f := range obj.masters {
			if !f.targets(master.object) {
				continue
			}
			for _, r := range obj.order {
				if !r.deleted && !r.purged && r.get(f) == master.id {
					all = append(all, r)
				}
			}
		}
	}
	return all
}

func (o *object) bin(r *record, deleted bool) {
	o.leave(r)
	r.deleted = deleted
	o.enter(r)
}

func (o *object) purge(r *record) {
	o.leave(r)
	r.purged = true
	delete(o.rows, r.id)
}

// find returns the live row with an id of 18 characters.
func (c *chunk) find(obj *object, id string) (*record, *rowError) {
	switch r := obj.rows[id]; {
	case id[:3] != obj.prefix:
		return nil, errWrongID("Record ID", id, "Id")
	case r == nil, c.org.hides(r):
		return nil, errNoRow()
	case r.deleted:
		return nil, errDeleted()
	default:
		return r, nil
	}
}

// resolve turns parents' external ids into ids and looks at every lookup.
func (c *chunk) resolve(w *write) *rowError {
	for _, p := range w.parents {
		id, err := c.parent(p)
		if err != nil {
			return err
		}
		w.set = append(w.set, assignment{p.lookup, id})
	}
	w.parents = nil
	for _, a := range w.set {
		if a.field.kind != kindReference || a.value == "" {
			continue
		}
		if err := c.reference(a.field, a.value); err != nil {
			return err
		}
	}
	return nil
}

// parent finds the row that a parent's external id names. Rows of one object
// that are saved together don't see each other.
func (c *chunk) parent(p parentRef) (string, *rowError) {
	rows := c.org.named(p.key, p.value)
	if p.key.namesType() {
		rows = typesOf(rows, p.lookup.object)
	}
	if p.lookup.object == p.key.object {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r *record) bool { return r.num > c.first })
	}
	switch len(rows) {
	case 0:
		return "", errNoParent(p.key, p.value)
	case 1:
		return rows[0].id, nil
	default:
		return "", errManyRows(p.key, rows).at(0)
	}
}

// reference checks that a lookup's id is of a row it may point to.
func (c *chunk) reference(f *field, id string) *rowError {
	obj := c.org.byPrefix(id)
	if obj == nil || !f.targets(obj) {
		return errWrongID(f.label, id, f.Name)
	}
	switch r := obj.rows[id]; {
	case r == nil:
		return refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
	case r.deleted:
		return refuse("ENTITY_IS_DELETED", "entity is deleted")
	case c.org.hides(r):
		return refuse("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights on cross-reference id: "+id)
	default:
		return nil
	}
}

// unique looks for other rows with the values of unique fields.
func (c *chunk) unique(set []assignment, self *record) *rowError {
	for _, a := range set {
		if !a.field.Unique || a.value == "" {
			continue
		}
		if other := a.field.holder(a.value, self); other != nil {
			return errDuplicateValue(a.field, other, other.num > c.first)
		}
	}
	return nil
}

// missing lists the required fields without a value.
func (o *object) missing(vals []assignment) []string {
	var names []string
	for _, f := range o.requiredOf(vals) {
		if f.kind != kindBool && f.system == notSystem && valueOf(vals, f) == "" {
			names = append(names, f.Name)
		}
	}
	return names
}
