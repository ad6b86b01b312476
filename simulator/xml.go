package simulator

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// asXML turns an answer into XML for who asks for it, where the resource has
// that format. Rows, their attributes, and lists as elements that are repeated
// are as documented; what is shown nowhere follows the same rules.
func asXML(r *request, ep endpoint, ans *answer) *answer {
	accept := r.Header.Get("Accept")
	if !strings.Contains(accept, "application/xml") || strings.Contains(accept, "json") ||
		len(ans.body) == 0 || ans.header.Get("Content-Type") != jsonType {
		return ans
	}
	body := xmlErrors(ans)
	if root := xmlRoot(ep.kind, r); body == nil && root != "" && ans.status != http.StatusMultipleChoices {
		body = xmlDocument(root, ans.body)
	}
	if body == nil {
		return ans
	}
	ans.header.Set("Content-Type", "application/xml;charset=UTF-8")
	ans.body = append([]byte(xml.Header), body...)
	return ans
}

// xmlErrors is an error array as XML, nil if the answer is none.
func xmlErrors(ans *answer) []byte {
	if ans.status < http.StatusBadRequest {
		return nil
	}
	var doc struct {
		XMLName xml.Name `xml:"Errors"`
		Errors  []struct {
			Fields    []string `json:"fields" xml:"fields"`
			ErrorCode string   `json:"errorCode" xml:"errorCode"`
			Message   string   `json:"message" xml:"message"`
		} `xml:"Error"`
	}
	if json.Unmarshal(ans.body, &doc.Errors) != nil {
		return nil
	}
	body, err := xml.Marshal(doc)
	if err != nil {
		return nil
	}
	return body
}

// xmlRoot is the name of the root element of a resource's answers; "" is that
// it has only JSON.
func xmlRoot(kind string, r *request) string {
	switch kind {
	case "query":
		return "QueryResult"
	case "composite.tree":
		return "SObjectTreeResponse"
	case "composite.batch":
		return "batchResults"
	case "describe":
		return [...]string{"DescribeGlobal", "SObject", "DescribeSObject"}[len(r.segments)-1]
	}
	switch group(kind) {
	case "row", "ext":
		return "Result"
	case "coll":
		return "Results"
	default:
		return ""
	}
}

// xmlDocument renders a JSON document. A row has its type as the name of its
// element, where no other name is given.
func xmlDocument(root string, body []byte) []byte {
	var out bytes.Buffer
	v := jsontext.Value(body)
	switch v.Kind() {
	case '[':
		out.WriteString("<" + root + ">")
		items, _ := elements(v)
		for _, item := range items {
			writeElement(&out, rowName(item, "Result"), item)
		}
		out.WriteString("</" + root + ">")
	default:
		root = rowName(v, root)
		writeElement(&out, root, v)
	}
	if !bytes.Contains(out.Bytes(), []byte(" xsi:nil=")) {
		return out.Bytes()
	}
	begin := "<" + root
	return append([]byte(begin+` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`), out.Bytes()[len(begin):]...)
}

// rowName is the type of a row, or another name for what is none.
func rowName(v jsontext.Value, otherwise string) string {
	if v.Kind() != '{' {
		return otherwise
	}
	all, _ := members(v)
	for _, m := range all {
		if m.name == "attributes" {
			return orText(attributeType(m.value), otherwise)
		}
	}
	return otherwise
}

// writeElement renders a value of a body of our own making; a list is one
// element for each of its values.
func writeElement(out *bytes.Buffer, name string, v jsontext.Value) {
	switch v.Kind() {
	case '{':
		writeObject(out, name, v)
	case '[':
		items, _ := elements(v)
		for _, item := range items {
			writeElement(out, name, item)
		}
	case 'n':
		out.WriteString("<" + name + ` xsi:nil="true"/>`)
	default:
		text := string(v)
		if s, ok := jsonString(v); ok {
			text = s
		}
		out.WriteString("<" + name + ">")
		writeText(out, text)
		out.WriteString("</" + name + ">")
	}
}

// writeObject renders an object, and a row's attributes as the element's.
func writeObject(out *bytes.Buffer, name string, v jsontext.Value) {
	all, _ := members(v)
	out.WriteString("<" + name)
	for _, m := range all {
		if m.name == "attributes" {
			writeAttributes(out, m.value)
		}
	}
	out.WriteString(">")
	for _, m := range all {
		if m.name != "attributes" {
			writeElement(out, m.name, m.value)
		}
	}
	out.WriteString("</" + name + ">")
}

func writeAttributes(out *bytes.Buffer, v jsontext.Value) {
	all, _ := members(v)
	for _, m := range all {
		text, _ := jsonString(m.value)
		out.WriteString(" " + m.name + `="`)
		writeText(out, text)
		out.WriteString(`"`)
	}
}

func writeText(out *bytes.Buffer, text string) {
	_ = xml.EscapeText(out, []byte(text)) // a Buffer takes everything
}
