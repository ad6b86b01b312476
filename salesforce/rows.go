package salesforce

import "encoding/json"

// MaxRows is the most rows that one collections call takes.
const MaxRows = 200

// Row is one record to write.
type Row struct {
	// ID names the record of an update or delete.
	ID ID
	// External is the value of the external id field of an upsert: a JSON string or number.
	External json.RawMessage
	// Fields is a JSON object of field values as the org takes them; a nested object names a parent by its
	// external id. Numbers keep their digits. A member that names the record again (Id, the external id
	// field) is left out. nil for deletes.
	Fields json.RawMessage
}

// Result is what became of one record. Test Success only: a platform event succeeds with an entry among its errors.
type Result struct {
	ID      ID   // empty on most failures
	Success bool //
	Created bool // of an upsert or create: a new record
	// Code, Message and Fields are the org's reason when Success is false; ClassOfRecord tells what it means.
	Code    string
	Message string
	Fields  []string
}

// Headers steer duplicate rules and assignment rules. nil leaves a header out. REST only: jobs have none.
type Headers struct {
	AllowSave  *bool // true lets alert-only duplicate rules pass
	AutoAssign *bool // false suppresses assignment rules of leads, cases, accounts
}
