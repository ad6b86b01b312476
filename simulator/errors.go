package simulator

import (
	"fmt"
	"net/http"
	"strings"
)

// rowError is why one row was refused, in Salesforce's words.
type rowError struct {
	code    string
	message string
	fields  []string
	status  int      // of the single-row resource; 0: 400
	unread  bool     // met while the request was read: the single-row answer has no fields then
	matches []string // ids, when several rows have the external id

	duplicate *duplicate // what a duplicate rule has found
}

// refuse is a rowError of status 400.
func refuse(code, message string, fields ...string) *rowError {
	return &rowError{code: code, message: message, fields: fields}
}

// misread is a rowError of a request that makes no sense against the schema.
func misread(code, message string) *rowError {
	return &rowError{code: code, message: message, unread: true}
}

// at gives a rowError another status.
func (e *rowError) at(status int) *rowError {
	e.status = status
	return e
}

// httpStatus is the answer's status when the row was the whole request.
func (e *rowError) httpStatus() int {
	if e.status == 0 {
		return http.StatusBadRequest
	}
	return e.status
}

// bulk is the text of column sf__Error.
func (e *rowError) bulk() string {
	var b strings.Builder
	b.WriteString(e.code)
	b.WriteByte(':')
	b.WriteString(e.message)
	b.WriteByte(':')
	if len(e.fields) > 0 {
		b.WriteString(strings.Join(e.fields, ","))
		b.WriteByte(' ')
	}
	b.WriteString("--")
	return b.String()
}

func errNoColumn(name, object string) *rowError {
	return misread("INVALID_FIELD", "No such column '"+name+"' on sobject of type "+object)
}

func errReadOnly(names ...string) *rowError {
	return refuse("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: "+strings.Join(names, ", ")+
		". Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
		names...)
}

func errMissing(names []string) *rowError {
	return refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: ["+strings.Join(names, ", ")+"]", names...)
}

func errDeleted() *rowError {
	return refuse("ENTITY_IS_DELETED", "entity is deleted").at(http.StatusNotFound)
}

func errNoRow() *rowError {
	return refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").at(http.StatusNotFound)
}

func errNoResource() *rowError {
	return refuse("NOT_FOUND", "The requested resource does not exist").at(http.StatusNotFound)
}

func errWrongID(label, id, name string) *rowError {
	return refuse("MALFORMED_ID", label+": id value of incorrect type: "+id, name)
}

// errNoID tells of an Id that is none, or one of another object.
func (o *object) errNoID(id string) *rowError { return errWrongID(o.field("Id").label, id, "Id") }

// errBadCell tells of a cell that is not of the field's type; columns count
// from 0.
func errBadCell(f *field, cell string, column int) *rowError {
	return refuse("INVALID_FIELD", fmt.Sprintf("Failed to deserialize field at col %d. Due to, '%s' is not a valid value for the type %s",
		column, cell, f.soapType()), f.Name)
}

// errDuplicateValue tells of a unique value that another row has. Within one
// chunk Salesforce does not know which.
func errDuplicateValue(f *field, other *record, sameChunk bool) *rowError {
	name, id := f.Name, other.id[:15]
	if sameChunk {
		name, id = "<unknown>", "<unknown>"
	}
	return refuse("DUPLICATE_VALUE", "duplicate value found: "+name+" duplicates value on record with id: "+id)
}

func errManyRows(f *field, rows []*record) *rowError {
	e := refuse("DUPLICATE_EXTERNAL_ID", "", f.Name).at(http.StatusMultipleChoices)
	for _, r := range rows {
		e.matches = append(e.matches, r.id)
	}
	e.message = f.label + ": more than one record found for external id field: [" + strings.Join(e.matches, ", ") + "]"
	return e
}

func errNoParent(key *field, value string) *rowError {
	return refuse("INVALID_FIELD", "Foreign key external ID: "+value+" not found for field "+key.Name+
		" in entity "+key.object.Name)
}
