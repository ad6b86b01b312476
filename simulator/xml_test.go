package simulator

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"
)

// xml asks for XML, wants it well-formed, and returns it without its heading.
func (o *testOrg) xml(method, path, body string, status int) string {
	o.Helper()
	r := o.do(method, path, body, "Accept", "application/xml").want(status, "")
	if got := r.header.Get("Content-Type"); got != "application/xml;charset=UTF-8" {
		o.Fatalf("%s %s: content type %s: %s", method, path, got, r.body)
	}
	dec := xml.NewDecoder(strings.NewReader(r.body))
	for {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			o.Fatalf("%v: %s", err, r.body)
		}
	}
	return strings.TrimPrefix(r.body, xml.Header)
}

const nilSpace = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`

func TestXML_Rows(t *testing.T) {
	o := startOrg(t, Config{})
	account := o.create("Account", `{"Name":"Lace & <Co>"}`)
	url := func(object, id string) string { return v66 + "/sobjects/" + object + "/" + id }
	row := func(name, object, id, space, fields string) string {
		return fmt.Sprintf(`<%s%s type=%q url=%q>%s</%s>`, name, space, object, url(object, id), fields, name)
	}
	fields := `<Name>Lace &amp; &lt;Co&gt;</Name><Phone xsi:nil="true"/><Id>` + account + `</Id>`
	if got, want := o.xml("GET", "/sobjects/Account/"+account+"?fields=Name,Phone", "", 200), row("Account", "Account", account, nilSpace, fields); got != want {
		t.Errorf("a row: got  %s\nwant %s", got, want)
	}
	contact := o.create("Contact", `{"LastName":"L","AccountId":"`+account+`"}`)
	got := o.xml("GET", "/query?q=SELECT+Id,Account.Name+FROM+Contact", "", 200)
	parent := row("Account", "Account", account, "", "<Name>Lace &amp; &lt;Co&gt;</Name>")
	want := "<QueryResult><totalSize>1</totalSize><done>true</done>" + row("records", "Contact", contact, "", "<Id>"+contact+"</Id>"+parent) + "</QueryResult>"
	if got != want {
		t.Errorf("a query: got  %s\nwant %s", got, want)
	}
	got = o.xml("GET", "/composite/sobjects/Account?ids="+account+",0015e0000000001&fields=Id", "", 200)
	want = "<Results" + nilSpace + ">" + row("Account", "Account", account, "", "<Id>"+account+"</Id>") + `<Result xsi:nil="true"/></Results>`
	if got != want {
		t.Errorf("rows by Id: got  %s\nwant %s", got, want)
	}
}

func TestXML_Results(t *testing.T) {
	o := startOrg(t, Config{})
	got := o.xml("PATCH", "/sobjects/Contact/Shop_Id__c/s-1", `{"LastName":"A"}`, 201)
	id := o.effects(1)[0].ID
	if want := "<Result><id>" + id + "</id><success>true</success><created>true</created></Result>"; got != want {
		t.Errorf("an upsert: got  %s\nwant %s", got, want)
	}
	o.do("PATCH", "/sobjects/Contact/"+id, `{"LastName":"B"}`, "Accept", "application/xml").want(204, "")
	got = o.xml("POST", "/composite/sobjects", records(contact(`"LastName":"C"`), contact(`"FirstName":"D"`)), 200)
	id = o.effects(3)[2].ID
	want := "<Results><Result><id>" + id + "</id><success>true</success></Result><Result><success>false</success><errors>" +
		"<statusCode>REQUIRED_FIELD_MISSING</statusCode><message>Required fields are missing: [LastName]</message><fields>LastName</fields>" +
		"</errors></Result></Results>"
	if got != want {
		t.Errorf("Collections: got  %s\nwant %s", got, want)
	}
	got = o.xml("POST", "/composite/tree/Account", records(roots(1)...), 201)
	id = o.effects(4)[3].ID
	if want := "<SObjectTreeResponse><hasErrors>false</hasErrors><results><referenceId>r0</referenceId><id>" + id + "</id></results></SObjectTreeResponse>"; got != want {
		t.Errorf("a tree: got  %s\nwant %s", got, want)
	}
	got = o.xml("POST", "/composite/tree/Account", records(branch("Account", "x", "")), 400)
	if !strings.HasPrefix(got, "<SObjectTreeResponse><hasErrors>true</hasErrors><results><referenceId>x</referenceId><errors><statusCode>") {
		t.Errorf("a refused tree: %s", got)
	}
	got = o.xml("POST", "/composite/batch", batchOf("", part("DELETE", "v66.0/sobjects/Account/"+id, "")), 200)
	if want := "<batchResults" + nilSpace + `><hasErrors>false</hasErrors><results><statusCode>204</statusCode><result xsi:nil="true"/></results></batchResults>`; got != want {
		t.Errorf("a batch: got  %s\nwant %s", got, want)
	}
}

func TestXML_Describe(t *testing.T) {
	o := startOrg(t, Config{})
	for path, parts := range map[string][]string{
		"/sobjects":                  {"<DescribeGlobal", "<maxBatchSize>200</maxBatchSize>", "<sobjects>", "<name>Contact</name>"},
		"/sobjects/Contact":          {"<objectDescribe>", "<name>Contact</name>"},
		"/sobjects/Contact/describe": {"<DescribeSObject", "<fields>", "<name>LastName</name>", "<nillable>false</nillable>"},
	} {
		got := o.xml("GET", path, "", 200)
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("%s lacks %s: %.300s", path, p, got)
			}
		}
	}
}

// What asks for JSON too, or has no XML, is answered in JSON.
func TestXML_OnlyWhereAsked(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"L"}`)
	for _, accept := range []string{"", "*/*", "application/json", "application/json, application/xml;q=0.5"} {
		o.do("GET", "/sobjects/Contact/"+id, "", "Accept", accept).object()
	}
	o.do("GET", "/limits", "", "Accept", "application/xml").object()
	o.do("POST", "/composite", compose("", get("r", "/sobjects/Contact/"+id)), "Accept", "application/xml").wantStatuses(200)
}
