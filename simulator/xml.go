package simulator

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
)

// xmlErrors turns an error array into XML for who asks for it. (Rows and results
// are answered in JSON alone.)
func xmlErrors(r *http.Request, ans *answer) *answer {
	accept := r.Header.Get("Accept")
	if ans.status < http.StatusBadRequest || ans.header.Get("Content-Type") != jsonType ||
		!strings.Contains(accept, "application/xml") || strings.Contains(accept, "json") {
		return ans
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
		return ans
	}
	body, err := xml.Marshal(doc)
	if err != nil {
		return ans
	}
	ans.header.Set("Content-Type", "application/xml;charset=UTF-8")
	ans.body = append([]byte(xml.Header), body...)
	return ans
}
