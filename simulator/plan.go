package simulator

import "strings"

// csvColumn is what a column of an upload means.
type csvColumn struct {
	role   columnRole
	field  *field
	parent *field // key of the parent that the lookup field is set by
	exact  bool   // the header spells the field as describe does
}

type columnRole int

const (
	roleField columnRole = iota
	roleParent
	roleID  // names the row
	roleKey // names the row of an upsert
	roleReadOnly
	roleForeignID // an Id where none may be
)

// jobPlan is how the rows of a job are read.
type jobPlan struct {
	object    *object
	operation string
	key       *field // of an upsert
	columns   []csvColumn
}

// plan judges the header of an upload, and returns the errorMessage with
// which its job fails. The caller holds schema.
func (o *org) plan(j *job, names []string) (*jobPlan, string) {
	obj := o.object(j.object)
	p := &jobPlan{object: obj, operation: j.spec.Operation}
	if j.key != "" {
		p.key = obj.field(j.key)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		c, message := o.column(p, name)
		if message != "" {
			return nil, message
		}
		if seen[strings.ToLower(name)] {
			return nil, "InvalidBatch : Field name is duplicated : " + name
		}
		seen[strings.ToLower(name)] = true
		p.columns = append(p.columns, c)
	}
	return p, p.complete()
}

func notAField(name string) string { return "InvalidBatch : Field name not found : " + name }

// complete looks for the column that names the rows.
func (p *jobPlan) complete() string {
	has := make(map[columnRole]bool)
	for _, c := range p.columns {
		has[c.role] = true
	}
	switch p.operation {
	case "upsert":
		if !has[roleKey] {
			return notAField(p.key.Name)
		}
	case "update":
		if !has[roleID] {
			return notAField("Id")
		}
	case "delete", "hardDelete":
		if !has[roleID] {
			return notAField("Id")
		}
		if len(p.columns) > 1 {
			return "InvalidBatch : '" + p.operation + "' batches must contain only ids"
		}
	}
	return ""
}

// column reads one heading.
func (o *org) column(p *jobPlan, name string) (csvColumn, string) {
	typ, path, typed := strings.Cut(name, ":")
	if !typed {
		path = name
	}
	relation, key, dotted := strings.Cut(path, ".")
	if typed || dotted {
		if !dotted {
			return csvColumn{}, notAField(name)
		}
		return o.parentColumn(p.object, name, typ, relation, key, typed)
	}
	f := p.object.field(name)
	if f == nil || f.kind == kindBlob { // no job takes blobs; its words for it are a guess
		return csvColumn{}, notAField(name)
	}
	return csvColumn{role: p.role(f), field: f, exact: f.Name == name}, ""
}

func (p *jobPlan) role(f *field) columnRole {
	switch {
	case f == p.key:
		return roleKey
	case f.system == sysID && (p.operation == "insert" || p.operation == "upsert"):
		return roleForeignID
	case f.system == sysID:
		return roleID
	case f.ReadOnly:
		return roleReadOnly
	default:
		return roleField
	}
}

// parentColumn reads Relationship.Key and Type:Relationship.Key.
func (o *org) parentColumn(obj *object, name, typ, relation, key string, typed bool) (csvColumn, string) {
	lookup := obj.byRel[strings.ToLower(relation)]
	switch {
	case lookup == nil && typed:
		return csvColumn{}, "InvalidBatch : Unable to find relationship: " + relation
	case lookup == nil:
		return csvColumn{}, notAField(name)
	case typed && len(lookup.ReferenceTo) == 1:
		return csvColumn{}, "InvalidBatch : type is not needed for non polymorphic foreign key references: " + relation
	case !typed && len(lookup.ReferenceTo) > 1:
		return csvColumn{}, "InvalidBatch : type is needed for polymorphic foreign key references: " + relation
	case !typed:
		typ = lookup.ReferenceTo[0]
	}
	target := o.object(typ)
	if target == nil || !lookup.targets(target) {
		return csvColumn{}, notAField(name)
	}
	f := target.field(key)
	if f == nil || !f.keyed() || !f.indexed() {
		return csvColumn{}, notAField(name)
	}
	return csvColumn{role: roleParent, field: lookup, parent: f, exact: true}, ""
}

// null is the cell that clears a field.
const null = "#N/A"

// read turns a row into a write that uses arena for its assignments, and
// returns the rest of the arena.
func (p *jobPlan) read(w *write, cells []string, arena []assignment) []assignment {
	if len(cells) != len(p.columns) {
		w.err = refuse("INVALID_FIELD", "Number of fields in header is different from the row. header = "+
			itoa(len(p.columns))+" row = "+itoa(len(cells)))
		return arena
	}
	start := len(arena)
	for i := range p.columns {
		if w.err != nil {
			break
		}
		arena = p.columns[i].read(w, i, cells[i], arena)
	}
	end := len(arena)
	arena = append(arena, assignment{}) // room for the key of an upsert that creates
	w.set = arena[start:end:len(arena)]
	if w.err == nil {
		w.err = p.unnamed(w)
	}
	w.prepare(p.object)
	return arena
}

// unnamed tells what a row lacks that names no record.
func (p *jobPlan) unnamed(w *write) *rowError {
	switch {
	case p.operation == "upsert" && w.keyValue == "":
		return refuse("MISSING_ARGUMENT", p.key.Name+" not specified")
	case p.operation == "update" && w.id == "":
		return refuse("MISSING_ARGUMENT", "Id not specified in an update call")
	case (p.operation == "delete" || p.operation == "hardDelete") && w.id == "":
		return refuse("MISSING_ARGUMENT", "Id not specified in a delete call")
	default:
		return nil
	}
}

// read takes the cell of the column number at. An empty one leaves the field
// alone.
func (c *csvColumn) read(w *write, at int, cell string, arena []assignment) []assignment {
	if cell == "" {
		return arena
	}
	switch c.role {
	case roleID:
		if id, ok := canonicalID(cell); ok {
			w.id = id
		} else {
			w.err = errWrongID(c.field.label, cell, c.field.Name)
		}
		return arena
	case roleKey:
		if cell != null {
			w.keyValue, w.err = c.field.fromCell(cell, at)
		}
		return arena
	case roleReadOnly:
		w.err = errReadOnly(c.field.Name)
		return arena
	case roleForeignID:
		w.err = refuse("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id")
		return arena
	case roleParent:
		if cell != null {
			var v string
			v, w.err = c.parent.fromCell(cell, at)
			w.parents = append(w.parents, parentRef{c.field, c.parent, v})
			return arena
		}
	}
	v, err := c.field.fromCell(cell, at)
	w.err = err
	return append(arena, assignment{c.field, v})
}

// fromCell brings a cell that is not empty into the field's normal form.
func (f *field) fromCell(cell string, at int) (string, *rowError) {
	if cell == null && f.kind != kindBool {
		return "", nil
	}
	if f.kind == kindReference || f.kind == kindID {
		id, ok := canonicalID(cell)
		if !ok {
			return "", errWrongID(f.label, cell, f.Name)
		}
		return id, nil
	}
	v, ok := f.parse(cell)
	if !ok {
		return "", errBadCell(f, cell, at)
	}
	return v, nil
}
