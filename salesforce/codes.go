package salesforce

import (
	"strings"
	"unicode"
)

// Code explains one of Salesforce's error codes.
type Code struct {
	Name string
	// Class is what the code means of one record: as an item of a collections answer, as sf__Error of a job, as
	// the answer of a single-record call.
	Class Class
	// CallClass is what it means as the answer to a whole call.
	CallClass Class
	// Meaning is one line; Remedy is what a person can do.
	Meaning, Remedy string
}

// Explain looks a code up, whatever its letter case.
func Explain(name string) (Code, bool) {
	c, ok := codeIndex[strings.ToUpper(name)]
	return c, ok
}

// Codes returns the whole table, in the order of its groups.
func Codes() []Code {
	return append([]Code(nil), codeTable...)
}

var codeIndex = func() map[string]Code {
	index := make(map[string]Code, len(codeTable))
	for _, c := range codeTable {
		index[c.Name] = c
	}
	return index
}()

// ClassOfRecord says what an error of one record means: the org has answered that this record was not saved, so it
// is never Ambiguous. Some codes wrap others (triggers, flows) or have several meanings; there the message decides.
// An unknown code is Permanent: shown to a person at once instead of being repeated without an end.
func ClassOfRecord(code, message string) Class {
	code = strings.ToUpper(code)
	if class, ok := classByMessage(code, message); ok {
		return class
	}
	if c, ok := lookup(code); ok {
		return c.Class
	}
	return Permanent
}

// classOfCall says what Salesforce's own error means as the answer to a whole call.
func classOfCall(status int, code, message string) Class {
	code = strings.ToUpper(code)
	if code == "LIMIT_EXCEEDED" && mentions(message, "event", "publish", "hour") {
		return PauseQuota
	}
	if class, ok := classByMessage(code, message); ok {
		return class
	}
	if c, ok := lookup(code); ok {
		return c.CallClass
	}
	return classOfStatus(status)
}

// classOfStatus judges an error of Salesforce's own whose code nobody knows.
func classOfStatus(status int) Class {
	switch {
	case status == 401:
		return Auth
	case status == 403, status == 404, status == 405, status == 415:
		return BadConfig
	case status == 410:
		return PauseOrg
	case status == 429:
		return PauseOrg
	case status >= 400 && status < 500:
		return Split
	}
	return Ambiguous
}

func lookup(code string) (Code, bool) {
	if c, ok := codeIndex[code]; ok {
		return c, true
	}
	switch {
	case strings.HasPrefix(code, "EXTERNAL_OBJECT_"):
		return Code{Class: Retry, CallClass: Ambiguous}, true // what the external system did is not known
	case strings.HasSuffix(code, "_LIMIT_EXCEEDED"):
		return Code{Class: BadConfig, CallClass: BadConfig}, true
	}
	return Code{}, false
}

// classByMessage decides where the code alone does not.
func classByMessage(code, message string) (Class, bool) {
	if mentions(message, "too many batch retries in the presence of apex triggers") {
		return Split, true
	}
	switch code {
	case "REQUEST_LIMIT_EXCEEDED":
		if limitKind(code, message) == DailyLimit {
			return PauseQuota, true
		}
		return PauseOrg, true
	case "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER", "APEX_ERROR":
		return classInside(message)
	case "INVALID_FIELD":
		if IsMissingParent(code, message) || mentions(message, "number of fields in header", "failed to deserialize field") {
			return Permanent, true
		}
	case "DUPLICATE_VALUE":
		if IsRepeatedInCall(code, message) {
			return Retry, true
		}
	}
	return 0, false
}

// classInside looks for what a trigger's or flow's failure is about.
func classInside(message string) (Class, bool) {
	switch {
	case mentions(message, "unable_to_lock_row", "unable to obtain exclusive access", "too many lock failure"):
		return Retry, true
	case mentions(message, "limitexception", "too many soql", "too many dml", "too many query rows", "cpu time limit", "heap size", "concurrentperorg"):
		return Split, true
	}
	for _, word := range strings.FieldsFunc(message, notOfCode) {
		c, ok := codeIndex[word]
		if !ok || isWrapper(word) {
			continue
		}
		if c.Class == Auth || c.Class == PauseOrg || c.Class == PauseQuota {
			return Split, true // of what the automation called; the org itself has answered
		}
		return c.Class, true
	}
	return 0, false
}

func isWrapper(code string) bool {
	return code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" || code == "CANNOT_EXECUTE_FLOW_TRIGGER" || code == "APEX_ERROR"
}

func notOfCode(r rune) bool { return r != '_' && !unicode.IsUpper(r) && !unicode.IsDigit(r) }

// limitKind reads which limit a REQUEST_LIMIT_EXCEEDED is about. Only the text tells; one that says
// nothing of concurrency is taken for the daily limit, the longer pause.
func limitKind(code, message string) LimitKind {
	switch {
	case code != "REQUEST_LIMIT_EXCEEDED":
		return NotLimit
	case mentions(message, "concurrentperorg"):
		return LongTxnLimit
	case mentions(message, "concurrent"):
		return ConcurrentLimit
	}
	return DailyLimit
}

// IsMissingParent reports whether a record was refused because the parent that it names by an external id isn't in
// the org (yet).
func IsMissingParent(code, message string) bool {
	return code == "INVALID_FIELD" && mentions(message, "foreign key external id")
}

// IsRepeatedInCall reports whether a record was refused because the same call or job named it twice: sent one
// after the other both would pass.
func IsRepeatedInCall(code, message string) bool {
	return code == "DUPLICATE_VALUE" && mentions(message, "duplicate external id specified", "duplicate id in list", "duplicate id specified")
}

// ParseDuplicate reads the field and the record from the message of a DUPLICATE_VALUE, "duplicate value found: F
// duplicates value on record with id: I". The Id is a hint only and may be empty; ok is false if no field is named.
func ParseDuplicate(message string) (field string, id ID, ok bool) {
	_, rest, found := strings.Cut(message, "duplicate value found: ")
	if !found {
		return "", "", false
	}
	field, rest, found = strings.Cut(rest, " duplicates value on record with id:")
	if !found || !isName(field) {
		return "", "", false
	}
	if words := strings.Fields(rest); len(words) > 0 {
		id, _ = answeredID(words[0])
	}
	return field, id, true
}

// mentions reports whether text holds one of the lower-case marks, whatever its own letter case.
func mentions(text string, marks ...string) bool {
	text = strings.ToLower(text)
	for _, m := range marks {
		if strings.Contains(text, m) {
			return true
		}
	}
	return false
}
