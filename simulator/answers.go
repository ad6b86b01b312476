package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const jsonType = "application/json;charset=UTF-8"

// jsonAnswer carries a body that is JSON already.
func jsonAnswer(status int, body []byte) *answer {
	return &answer{
		status: status,
		header: http.Header{"Content-Type": {jsonType}, "Vary": {"Accept-Encoding"}},
		body:   body,
	}
}

// valueAnswer marshals v.
func valueAnswer(status int, v any) *answer {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("simulator: encode %T: %v", v, err)) // our own types only
	}
	return jsonAnswer(status, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func noContent() *answer { return &answer{status: http.StatusNoContent, header: make(http.Header)} }

// apiError is an element of the error array.
type apiError struct {
	Message   string   `json:"message"`
	ErrorCode string   `json:"errorCode"`
	Fields    []string `json:"fields,omitempty"`
}

func errorAnswer(status int, code, message string) *answer {
	return valueAnswer(status, []apiError{{Message: message, ErrorCode: code}})
}

// rowAnswer is a refused row as the answer of a single-row resource.
func rowAnswer(e *rowError, version string) *answer {
	switch {
	case e.duplicate != nil:
		return duplicateAnswer(e, version)
	case e.unread:
		return errorAnswer(e.httpStatus(), e.code, e.message)
	case e.httpStatus() != http.StatusMultipleChoices:
		return valueAnswer(e.httpStatus(), []struct {
			Message   string   `json:"message"`
			ErrorCode string   `json:"errorCode"`
			Fields    []string `json:"fields"`
		}{{e.message, e.code, nonNil(e.fields)}})
	}
	var urls []string
	for _, id := range e.matches {
		urls = append(urls, version+id)
	}
	return valueAnswer(http.StatusMultipleChoices, urls)
}

func notFound() *answer {
	return errorAnswer(http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
}

func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// appendQuoted appends a JSON string.
func appendQuoted(b []byte, s string) []byte {
	if out, err := jsontext.AppendQuote(b, s); err == nil {
		return out
	}
	out, _ := jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	return out
}

// appendItem appends one result of a Collections call.
func appendItem(b []byte, o outcome, withCreated, event bool) []byte {
	b = append(b, '{')
	switch {
	case o.err != nil:
		b = append(b, `"success":false,"errors":[`...)
		b = appendItemError(b, o.err)
		b = append(b, ']')
	case event:
		b = append(b, `"id":`...)
		b = appendQuoted(b, o.id)
		b = append(b, `,"success":true,"errors":[`...)
		b = appendItemError(b, refuse("OPERATION_ENQUEUED", eventUUID(o.id)))
		b = append(b, ']')
	default:
		b = append(b, `"id":`...)
		b = appendQuoted(b, o.id)
		b = append(b, `,"success":true,"errors":[]`...)
	}
	if withCreated {
		b = fmt.Appendf(b, `,"created":%t`, o.created)
	}
	return append(b, '}')
}

func appendItemError(b []byte, e *rowError) []byte {
	b = append(b, `{"statusCode":`...)
	b = appendQuoted(b, e.code)
	b = append(b, `,"message":`...)
	b = appendQuoted(b, e.message)
	b = append(b, `,"fields":[`...)
	for i, f := range e.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, f)
	}
	return append(b, "]}"...)
}

// eventUUID makes the publish id of a platform event from its row id.
func eventUUID(id string) string {
	return fmt.Sprintf("%x-%x-4%x-8%x-%x", id[11:15], id[:2], id[2:3]+"0", id[3:4]+"1", id[5:11])[:36]
}

// strictJSON decodes one value and refuses unknown members and what follows it.
func strictJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err == io.EOF {
		return fmt.Errorf("no JSON value")
	} else if err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}
