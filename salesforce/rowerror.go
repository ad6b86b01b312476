package salesforce

import "strings"

// CodeUnknown stands where the org gave a reason without a code.
const CodeUnknown = "UNKNOWN"

// ParseRowError takes apart the sf__Error of a failed row, "CODE:message:fields --". The message may hold
// colons, commas and line breaks; without fields it reads "CODE:message:--"; older answers are a bare code or
// "CODE:message". A text that does not begin with a code has CodeUnknown.
func ParseRowError(s string) (code, message string, fields []string) {
	code, rest, found := strings.Cut(s, ":")
	code = strings.TrimSpace(code)
	if !isCode(code) {
		return CodeUnknown, strings.TrimSpace(s), nil
	}
	if !found {
		return code, "", nil
	}
	body, closed := strings.CutSuffix(strings.TrimRight(rest, " \r\n"), "--")
	if !closed {
		return code, strings.TrimSpace(rest), nil
	}
	at := strings.LastIndexByte(body, ':')
	if at < 0 {
		return code, strings.TrimSpace(body), nil
	}
	fields, ok := fieldList(body[at+1:])
	if !ok {
		return code, strings.TrimSpace(body), nil
	}
	return code, strings.TrimSpace(body[:at]), fields
}

// fieldList reads "A, B"; what does not look like names belongs to the message.
func fieldList(s string) ([]string, bool) {
	if strings.TrimSpace(s) == "" {
		return nil, true
	}
	var fields []string
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if !isName(strings.ReplaceAll(name, ".", "_")) {
			return nil, false
		}
		fields = append(fields, name)
	}
	return fields, true
}

// isCode accepts both spellings of codes, STRING_TOO_LONG and the Bulk API's InvalidBatch.
func isCode(s string) bool { return isName(s) && len(s) <= 100 }

// JobFault is why a job failed as a whole.
type JobFault struct {
	// Code is upper case, for example INVALIDBATCH; Message is the org's text without it.
	Code, Message string
	// Column is the column that the org blames; empty if it names none. It may also hold a piece of data, where unbalanced
	// quotes made the org read one as a heading.
	Column string
	// Data: the message speaks of the job's header or data, so that with nothing processed and nothing failed no row ran.
	Data bool
}

// Fault reads the job's ErrorMessage, "InvalidBatch : Field name not found : X".
func (j Job) Fault() JobFault {
	head, message, found := strings.Cut(j.ErrorMessage, ":")
	head = strings.TrimSpace(head)
	if !found || !isCode(head) {
		return JobFault{Code: CodeUnknown, Message: strings.TrimSpace(j.ErrorMessage)}
	}
	f := JobFault{Code: strings.ToUpper(head), Message: strings.TrimSpace(message)}
	f.Data = f.Code == "INVALIDBATCH" || f.Code == "CLIENTINPUTERROR"
	if _, column, ok := strings.Cut(f.Message, "Field name not found :"); ok {
		f.Column = strings.TrimSpace(column)
	}
	return f
}
