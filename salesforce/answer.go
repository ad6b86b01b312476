package salesforce

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// answer is a whole answer, read within its bound.
type answer struct {
	status int
	header http.Header
	body   []byte
	token  string // that the call carried, to be kept out of errors
}

// fault is an error of Salesforce's own, from whichever of its shapes. A call's error has errorCode, an item's statusCode.
type fault struct {
	ErrorCode  string     `json:"errorCode" xml:"errorCode"`
	StatusCode string     `json:"statusCode" xml:"-"`
	Message    string     `json:"message" xml:"message"`
	Fields     fieldNames `json:"fields" xml:"fields"`
}

// fieldNames is a list of names; what else may stand there is no reason not to understand the rest.
type fieldNames []string

func (f *fieldNames) UnmarshalJSON(b []byte) error {
	var names []string
	if json.Unmarshal(b, &names) == nil {
		*f = names
	}
	return nil
}

func (f fault) code() string {
	if f.ErrorCode != "" {
		return f.ErrorCode
	}
	return f.StatusCode
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

func (a *answer) isJSON() bool { return mediaType(a.header) == "application/json" }

func (a *answer) withoutToken(s string) string {
	if a.token == "" {
		return s
	}
	return strings.ReplaceAll(s, a.token, "***")
}

// faults decodes Salesforce's own error, going by the content type first: nothing in a page of HTML is one, but for
// the answer of its OAuth layer to a bad token.
func (a *answer) faults() ([]fault, bool) {
	body := bytes.TrimSpace(a.body)
	switch t := mediaType(a.header); {
	case t == "application/json":
		return jsonFaults(a.status, body)
	case a.status == http.StatusUnauthorized && (t == "text/html" || t == "text/xml" || t == "application/xml"):
		return oauthFault(a.header, body)
	case t == "application/xml":
		var doc struct {
			Errors []fault `xml:"Error"`
		}
		if err := xml.Unmarshal(body, &doc); err != nil {
			return nil, false
		}
		return doc.Errors, wellFormed(doc.Errors)
	}
	return nil, false
}

func jsonFaults(status int, body []byte) ([]fault, bool) {
	if len(body) == 0 {
		return nil, false
	}
	if body[0] == '{' {
		var one fault
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, false
		}
		return []fault{one}, wellFormed([]fault{one})
	}
	var many []fault
	if err := json.Unmarshal(body, &many); err == nil {
		return many, wellFormed(many)
	}
	var urls []string
	if status != http.StatusMultipleChoices || json.Unmarshal(body, &urls) != nil {
		return nil, false
	}
	return []fault{{
		ErrorCode: "DUPLICATE_EXTERNAL_ID",
		Message:   fmt.Sprintf("more than one record found for external id: %d records", len(urls)),
	}}, true
}

// wellFormed asks for an errorCode in each: items of a collection have none and are no error of the call.
func wellFormed(faults []fault) bool {
	for _, f := range faults {
		if f.ErrorCode == "" {
			return false
		}
	}
	return len(faults) > 0
}

// oauthFault reads the XML that a bad token gets on a request whose content type is not JSON.
func oauthFault(h http.Header, body []byte) ([]fault, bool) {
	_, rest, found := bytes.Cut(body, []byte("<faultcode>"))
	text, _, closed := bytes.Cut(rest, []byte("</faultcode>"))
	if !found || !closed || h.Get("Sfdc-OAuth-Error") == "" && !bytes.HasPrefix(text, []byte("LOGIN_OAUTH")) {
		return nil, false
	}
	return []fault{{ErrorCode: "INVALID_SESSION_ID", Message: string(text)}}, true
}

// fail makes the error of an answer that is not the one hoped for.
func (c *call) fail(a *answer) *APIError {
	e := &APIError{
		Status:     a.status,
		Code:       CodeTransport,
		Call:       c.name,
		RetryAfter: retryAfter(a.header, time.Now()),
		RequestID:  clip(a.withoutToken(a.header.Get("X-SFDC-Request-Id")), 100),
	}
	faults, own := a.faults()
	if !own {
		e.Message = fmt.Sprintf("an answer that is not Salesforce's own error: HTTP %d, %d bytes of %q", a.status, len(a.body), clip(a.withoutToken(a.header.Get("Content-Type")), 100))
		e.Class = c.unproved(a.status)
		return e
	}
	e.own = true
	first := faults[0]
	e.Code, e.Message, e.Fields = a.shown(first)
	e.Kind = limitKind(e.Code, e.Message)
	e.Class = classOfCall(a.status, first.code(), first.Message)
	for _, f := range faults[1:] {
		if classOfCall(a.status, f.code(), f.Message) == Ambiguous {
			e.Class = Ambiguous
		}
	}
	switch {
	case e.Class != Ambiguous:
	case !c.write && e.Code == "QUERY_TIMEOUT":
		e.Class = Retry // the query was too much; the org is there
	default:
		e.Class = c.unproved(a.status)
	}
	return e
}

// unproved is the class where nothing proves that a write was not applied. A read has no effect to be in doubt of:
// it is the way to the org that is disturbed, or the answer.
func (c *call) unproved(status int) Class {
	switch {
	case c.write:
		return Ambiguous
	case status == 0 || status >= 300:
		return PauseOrg
	}
	return Retry
}

// malformed is the error of an answer with a good status that can't be what the org meant to say.
func (c *call) malformed(a *answer, why string) *APIError {
	return &APIError{Status: a.status, Code: CodeTransport, Message: why, Call: c.name, Class: c.unproved(a.status), Err: errors.New(why)}
}

// shown is what of a fault is kept and shown to people: bounded, without control characters and the token.
func (a *answer) shown(f fault) (code, message string, fields []string) {
	for _, name := range f.Fields[:min(len(f.Fields), maxFaultFields)] {
		fields = append(fields, clip(a.withoutToken(name), maxName))
	}
	return clip(a.withoutToken(f.code()), maxCode), clip(a.withoutToken(f.Message), maxMessage), fields
}

const (
	maxCode        = 100
	maxName        = 255
	maxFaultFields = 100
	maxMessage     = 4 << 10
	maxDescription = 1 << 10
)

// clip bounds a text from outside to n bytes and takes out of it what is no UTF-8, and control characters.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s[:min(len(s), n)], "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// retryAfter reads both forms of the header. It is not documented, but an edge may send it; an hour is the most.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	d := time.Duration(0)
	if s, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(s, 0), 3600)) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), time.Hour)
}
