package simulator

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// rowCall is a request on one row: the org is locked while it runs.
type rowCall struct {
	*chunk
	sim    *Simulator
	req    *request
	object *object
	fault  call
}

// onRow runs a call on the object of the path.
func onRow(s *Simulator, r *request, kind string, run func(*rowCall) *answer) *answer {
	s.org.schema.RLock()
	defer s.org.schema.RUnlock()
	obj := s.org.object(r.segments[1])
	if obj == nil {
		return notFound()
	}
	if obj.event && kind != "row.create" {
		return errorAnswer(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED",
			"HTTP Method '"+r.method+"' not allowed. Allowed are HEAD,GET,POST")
	}
	c := s.org.begin("rest", "", false)
	defer c.end()
	c.heed(r.Header)
	return run(&rowCall{c, s, r, obj, call{kind, r.method, r.URL.Path, obj.Name}})
}

// body reads the record of the request.
func (c *rowCall) body(key *field, update bool) (*write, *answer) {
	record, err := members(c.req.body)
	if err != nil {
		return nil, badJSON(err)
	}
	rr := rowReader{org: c.org, object: c.object, key: key, update: update, body: c.req.body}
	w := rr.read(record)
	w.err = firstError(w.err, c.sim.rowFault(c.fault, c.req.Header))
	if w.err != nil {
		return nil, c.refused(w.err)
	}
	return &w, nil
}

func (c *rowCall) refused(e *rowError) *answer {
	return rowAnswer(e, versionPath(c.req.version)+"/sobjects/"+c.object.Name+"/")
}

// rowFault is the refusal that a fault wants for a row, or nil.
func (s *Simulator) rowFault(c call, h http.Header) *rowError {
	f := s.faults.pick(c, []string{"row_error", "lock"})
	if f == nil || f.Code == "DUPLICATES_DETECTED" && allowsSave(h) {
		return nil
	}
	return f.refusal()
}

// allowsSave reports whether the request overrides alerting duplicate rules.
func allowsSave(h http.Header) bool {
	for option := range strings.SplitSeq(h.Get("Sforce-Duplicate-Rule-Header"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		if strings.EqualFold(name, "allowSave") && strings.EqualFold(value, "true") {
			return true
		}
	}
	return false
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// createRow answers POST /sobjects/{Object}.
func createRow(s *Simulator, r *request) *answer {
	return onRow(s, r, "row.create", func(c *rowCall) *answer {
		w, refusal := c.body(nil, false)
		if refusal != nil {
			return refusal
		}
		out := c.create(c.object, nil, w)
		if out.err != nil {
			return c.refused(out.err)
		}
		return c.createdAnswer(out, c.object.event, false)
	})
}

func (c *rowCall) createdAnswer(out outcome, event, withCreated bool) *answer {
	ans := jsonAnswer(http.StatusCreated, appendItem(nil, out, withCreated, event))
	ans.header.Set("Location", versionPath(c.req.version)+"/sobjects/"+c.object.Name+"/"+out.id)
	return ans
}

// createByID answers POST /sobjects/{Object}/Id, the upsert of a row that has
// no id yet.
func createByID(s *Simulator, r *request) *answer {
	if !strings.EqualFold(r.segments[2], "Id") {
		return notFound()
	}
	return onRow(s, r, "row.upsert", func(c *rowCall) *answer {
		w, refusal := c.body(nil, false)
		if refusal != nil {
			return refusal
		}
		out := c.create(c.object, nil, w)
		if out.err != nil {
			return c.refused(out.err)
		}
		return c.createdAnswer(out, false, r.version >= sinceCreated)
	})
}

// updateRow answers PATCH /sobjects/{Object}/{id}.
func updateRow(s *Simulator, r *request) *answer {
	return onRow(s, r, "row.update", func(c *rowCall) *answer {
		id, refusal := c.pathID()
		if refusal != nil {
			return refusal
		}
		w, refusal := c.body(nil, true)
		if refusal != nil {
			return refusal
		}
		w.id = id
		if row, _ := c.find(c.object, id); row != nil {
			if refusal := c.condition(row); refusal != nil {
				return refusal
			}
		}
		out := c.update(c.object, w)
		if out.err != nil && out.err.code == "INVALID_CROSS_REFERENCE_KEY" && out.err.status != 0 {
			return notFound()
		}
		if out.err != nil {
			return c.refused(out.err)
		}
		return noContent()
	})
}

// pathID is the id in a path.
func (c *rowCall) pathID() (string, *answer) {
	text := c.req.segments[2]
	id, ok := canonicalID(text)
	switch {
	case ok:
		return id, nil
	case len(text) == 15 || len(text) == 18:
		return "", c.refused(c.object.errNoID(text))
	default:
		return "", errorAnswer(http.StatusNotFound, "NOT_FOUND",
			"Provided external ID field does not exist or is not accessible: "+text)
	}
}

// pathKey is the key field and value in a path.
func (c *rowCall) pathKey() (*field, string, *answer) {
	name, text := c.req.segments[2], c.req.segments[3]
	f := c.object.field(name)
	if f == nil || !f.keyed() {
		return nil, "", errorAnswer(http.StatusNotFound, "NOT_FOUND",
			"Provided external ID field does not exist or is not accessible: "+name)
	}
	if f.system == sysID {
		id, ok := canonicalID(text)
		if !ok {
			return nil, "", c.refused(c.object.errNoID(text))
		}
		return f, id, nil
	}
	if strings.HasSuffix(text, ".inc") {
		return nil, "", notFound() // a known weakness of the path
	}
	v, ok := f.parse(text)
	if !ok || v == "" {
		return nil, "", errorAnswer(http.StatusBadRequest, "INVALID_FIELD", f.label+": value not of required type: "+text)
	}
	return f, v, nil
}

// upsertRow answers PATCH /sobjects/{Object}/{Field}/{value}.
func upsertRow(s *Simulator, r *request) *answer {
	return onRow(s, r, "ext.upsert", func(c *rowCall) *answer {
		key, value, refusal := c.pathKey()
		if refusal != nil {
			return refusal
		}
		w, refusal := c.body(key, true)
		if refusal != nil {
			return refusal
		}
		w.keyValue = value
		out := c.upsert(c.object, key, w, r.query.Get("updateOnly") == "true")
		switch told := r.version >= sinceCreated; {
		case out.err != nil:
			return c.refused(out.err)
		case out.created:
			return c.createdAnswer(out, false, told)
		case told:
			return jsonAnswer(http.StatusOK, appendItem(nil, out, true, false))
		default:
			return noContent()
		}
	})
}

// pathRow finds the row that a path names by id or key.
func (c *rowCall) pathRow() (*record, *answer) {
	if len(c.req.segments) == 3 {
		id, refusal := c.pathID()
		if refusal != nil {
			return nil, refusal
		}
		r, err := c.find(c.object, id)
		if err != nil {
			return nil, c.refused(err)
		}
		return r, nil
	}
	key, value, refusal := c.pathKey()
	if refusal != nil {
		return nil, refusal
	}
	if key.system == sysID {
		r, err := c.find(c.object, value)
		if err != nil {
			return nil, c.refused(err)
		}
		return r, nil
	}
	switch rows := c.org.named(key, value); len(rows) {
	case 0:
		return nil, notFound()
	case 1:
		return rows[0], nil
	default:
		return nil, c.refused(errManyRows(key, rows))
	}
}

// deleteRow answers DELETE by id and by external id.
func deleteRow(s *Simulator, r *request) *answer {
	kind := "row.delete"
	if len(r.segments) == 4 {
		kind = "ext.delete"
	}
	return onRow(s, r, kind, func(c *rowCall) *answer {
		row, refusal := c.pathRow()
		if refusal != nil {
			return refusal
		}
		if err := s.rowFault(c.fault, r.Header); err != nil {
			return c.refused(err)
		}
		if out := c.delete(c.object, row.id, false); out.err != nil {
			return c.refused(out.err)
		}
		return noContent()
	})
}

// blob is the answer to a path that ends in an id and a field of base64: its bytes.
func (c *rowCall) blob() *answer {
	if len(c.req.segments) != 4 {
		return nil
	}
	id, ok := canonicalID(c.req.segments[2])
	f := c.object.field(c.req.segments[3])
	if !ok || f == nil || f.kind != kindBlob {
		return nil
	}
	row, err := c.find(c.object, id)
	if err != nil || row.stored(f) == "" {
		return notFound()
	}
	body, _ := base64.StdEncoding.DecodeString(row.stored(f)) // was read when it was written
	return &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/octetstream"}}, body: body}
}

// getRow answers GET by id and by external id.
func getRow(s *Simulator, r *request) *answer {
	return onRow(s, r, "row.get", func(c *rowCall) *answer {
		if blob := c.blob(); blob != nil {
			return blob
		}
		row, refusal := c.pathRow()
		if refusal != nil {
			if refusal.status == http.StatusNotFound {
				return notFound() // deleted or never there: a read makes no difference
			}
			return refusal
		}
		if refusal := c.condition(row); refusal != nil {
			return refusal
		}
		fields, err := c.chosenFields(r.query.Get("fields"))
		if err != nil {
			return c.refused(err)
		}
		ans := jsonAnswer(http.StatusOK, appendRow(nil, row, fields, versionPath(r.version)))
		ans.header.Set("Last-Modified", row.modified.Format(http.TimeFormat))
		if tag := row.etag(); tag != "" {
			ans.header.Set("ETag", tag)
		}
		return ans
	})
}

// chosenFields reads the parameter fields; empty means all.
func (c *rowCall) chosenFields(names string) ([]*field, *rowError) {
	if names == "" {
		return c.object.fields, nil
	}
	return c.object.choose(strings.Split(names, ","))
}

// choose finds fields by name. The Id is always among them.
func (o *object) choose(names []string) ([]*field, *rowError) {
	var fields []*field
	for _, name := range names {
		f := o.field(strings.TrimSpace(name))
		if f == nil {
			return nil, errNoColumn(name, o.Name)
		}
		if !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	if id := o.field("Id"); !slices.Contains(fields, id) {
		fields = append(fields, id)
	}
	return fields, nil
}

// appendRow appends a row as GET shows it.
func appendRow(b []byte, r *record, fields []*field, base string) []byte {
	b = appendAttributes(b, r, base)
	for _, f := range fields {
		b = append(b, ',')
		b = appendQuoted(b, f.Name)
		b = append(b, ':')
		b = appendField(b, r, f, base)
	}
	return append(b, '}')
}

func appendAttributes(b []byte, r *record, base string) []byte {
	b = append(b, `{"attributes":{"type":`...)
	b = appendQuoted(b, r.object.Name)
	b = append(b, `,"url":`...)
	b = appendQuoted(b, base+"/sobjects/"+r.object.Name+"/"+r.id)
	return append(b, '}')
}
