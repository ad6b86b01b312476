package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
)

// object compares what the configuration wants of an object with what the org
// shows of it to the integration user. rules are the names of its duplicate rules.
func (r *report) object(name string, o config.Object, schema *salesforce.Object, rules []string) {
	before := r.problems()
	r.rights(name, o, schema)
	r.fields(name, schema)
	switch {
	case isPlatformEvent(name): // has no key field, and no records to find
	case o.KeyField != "":
		r.keyField(name, o.KeyField, schema)
	case schema.Createable:
		r.noKeyField(name, o, schema)
	}
	if len(rules) > 0 && (o.AllowSave == nil || !*o.AllowSave) {
		r.warn("duplicate_rules", name, "active duplicate rules: %s", some(rules))
	}
	if r.problems() == before {
		r.ok("object", name, "%s", userMay(schema))
	}
}

// userMay lists the rights to an object: those that are not warned of may be missed by some events all the same.
func userMay(o *salesforce.Object) string {
	var may, not []string
	for _, right := range []struct {
		name  string
		given bool
	}{{"create", o.Createable}, {"update", o.Updateable}, {"delete", o.Deletable}, {"read", o.Queryable}} {
		if right.given {
			may = append(may, right.name)
			continue
		}
		not = append(not, right.name)
	}
	text := "the integration user may " + strings.Join(may, ", ")
	if not != nil {
		text += "; not " + strings.Join(not, ", ")
	}
	return text
}

func (r *report) problems() int {
	n := 0
	for _, f := range r.findings {
		if f.Level != OK {
			n++
		}
	}
	return n
}

func isPlatformEvent(object string) bool { return strings.HasSuffix(strings.ToLower(object), "__e") }

// rights are those to the object as a whole. Which of them events need is not known, but what the
// configuration says of creates.
func (r *report) rights(name string, o config.Object, schema *salesforce.Object) {
	creates := o.KeyField != "" || o.CreateVia == "rest" || isPlatformEvent(name)
	if !schema.Createable {
		level := Warn
		if creates {
			level = Wrong
		}
		r.add(level, "object_create", name, remedies["object_create"], "the integration user may not create records")
	}
	if isPlatformEvent(name) {
		return
	}
	if !schema.Updateable {
		r.warn("object_update", name, "the integration user may not change records")
	}
	if !schema.Queryable {
		r.wrong("object_read", name, "the integration user may not query records")
	}
}

// fields looks at custom ones: of the standard fields many are the org's own.
func (r *report) fields(name string, schema *salesforce.Object) {
	var readOnly []string
	for i := range schema.Fields {
		f := &schema.Fields[i]
		custom := strings.HasSuffix(f.Name, "__c")
		if custom && !f.Createable && !f.Updateable && !f.Calculated && !f.AutoNumber {
			readOnly = append(readOnly, f.Name)
		}
		if custom && f.ExternalID && !f.Unique {
			r.warn("external_id_not_unique", name+"."+f.Name, "an external id that is not unique")
		}
	}
	if len(readOnly) > 0 {
		r.warn("fields_read_only", name, "fields that the integration user may read and not write: %s", some(readOnly))
	}
}

// keyField looks for what the dispatcher asks of it.
func (r *report) keyField(name, field string, schema *salesforce.Object) {
	subject := name + "." + field
	at := slices.IndexFunc(schema.Fields, func(f salesforce.Field) bool { return strings.EqualFold(f.Name, field) })
	if at < 0 {
		r.wrong("key_field_missing", subject, "the object has no such field, or the integration user may not see it")
		return
	}
	f, before := &schema.Fields[at], r.problems()
	if f.Type != "string" {
		r.wrong("key_field_type", subject, "is of type %s, not text", f.Type)
		return
	}
	if f.Length < event.MaxKey {
		r.wrong("key_field_short", subject, "takes %d characters, a key may have %d", f.Length, event.MaxKey)
	}
	if !f.Createable {
		r.wrong("key_field_read_only", subject, "the integration user may not write it")
	}
	if !f.ExternalID {
		r.wrong("key_field_not_external_id", subject, "is not an external id")
	}
	switch {
	case !f.Unique:
		r.wrong("key_field_not_unique", subject, "is not unique")
	case !f.CaseSensitive:
		r.wrong("key_field_not_case_sensitive", subject, "is unique without regard to letter case")
	}
	if !f.Filterable {
		r.wrong("key_field_not_filterable", subject, "can't be searched by")
	}
	if r.problems() == before {
		r.ok("key_field", subject, "makes creates exactly once")
	}
}

// noKeyField recommends one: the best way to have creates exactly once.
func (r *report) noKeyField(name string, o config.Object, schema *salesforce.Object) {
	if o.CreateVia != "rest" && (o.AllowSave != nil && *o.AllowSave || o.AutoAssign != nil) {
		r.wrong("headers_need_rest", name, "allow_save or auto_assign, and neither key_field nor create_via: rest")
		return
	}
	text := "no key_field: creates go by jobs only, slower and a little less safe"
	if o.CreateVia == "rest" {
		text = "no key_field: a create whose answer is lost is in doubt until an operator looks"
	}
	remedy := remedies["key_field_recommended"]
	if f := readyKeyField(schema); f != "" {
		remedy = fmt.Sprintf("%s would do: set key_field: %s, unless it has another use", f, f)
	}
	r.add(Warn, "key_field_recommended", name, remedy, text)
}

// readyKeyField is a field that could carry keys as it is, or "".
func readyKeyField(schema *salesforce.Object) string {
	for _, f := range schema.Fields {
		if f.Type == "string" && f.Length >= event.MaxKey && f.Createable && f.ExternalID && f.Unique && f.CaseSensitive && f.Filterable {
			return f.Name
		}
	}
	return ""
}

// some lists the first few names.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
