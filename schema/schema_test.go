package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/schema"
)

// described is an object as describe tells of it, with what the simulator's
// objects lack: person accounts, formulas, namespaces, markup, compounds.
const thing = `{"name":"Thing__c","keyPrefix":"a00","createable":true,"updateable":true,"deletable":false,"fields":[
{"name":"Id","type":"id","idLookup":true,"length":18,"defaultedOnCreate":true},
{"name":"Name","type":"string","length":10,"createable":true,"updateable":true,"idLookup":true},
{"name":"Text__c","type":"string","length":5,"filterable":true,"createable":true,"updateable":true,"nillable":true},
{"name":"acme__Text2__c","type":"string","length":5,"createable":true,"updateable":true,"nillable":true},
{"name":"Rich__c","type":"textarea","length":5,"htmlFormatted":true,"createable":true,"updateable":true,"nillable":true},
{"name":"Formula__c","type":"double","precision":18,"scale":2,"calculated":true,"nillable":true},
{"name":"Insert_Only__c","type":"string","length":5,"createable":true,"nillable":true},
{"name":"Update_Only__c","type":"string","length":5,"updateable":true,"nillable":true},
{"name":"Key__c","type":"string","length":5,"externalId":true,"unique":true,"createable":true,"updateable":true,"nillable":true},
{"name":"By_Formula__c","type":"string","length":50,"defaultValueFormula":"\"x\"","createable":true,"updateable":true},
{"name":"By_Default__c","type":"double","precision":3,"defaultValue":0,"createable":true,"updateable":true},
{"name":"By_Picklist__c","type":"picklist","picklistValues":[{"value":"a","active":true,"defaultValue":true}],"createable":true,"updateable":true},
{"name":"Flag__c","type":"boolean","createable":true,"updateable":true},
{"name":"Int__c","type":"int","digits":9,"createable":true,"updateable":true,"nillable":true},
{"name":"Amount__c","type":"currency","precision":6,"scale":2,"createable":true,"updateable":true,"nillable":true},
{"name":"Day__c","type":"date","createable":true,"updateable":true,"nillable":true},
{"name":"At__c","type":"datetime","createable":true,"updateable":true,"nillable":true},
{"name":"Clock__c","type":"time","createable":true,"updateable":true,"nillable":true},
{"name":"Tier__c","type":"picklist","restrictedPicklist":true,"picklistValues":[{"value":"Gold","label":"Best","active":true},{"value":"Old","label":"Old","active":false}],"createable":true,"updateable":true,"nillable":true},
{"name":"Open__c","type":"picklist","picklistValues":[{"value":"Gold","active":true}],"createable":true,"updateable":true,"nillable":true},
{"name":"Tags__c","type":"multipicklist","restrictedPicklist":true,"picklistValues":[{"value":"red","label":"red","active":true},{"value":"blue","label":"blue","active":true}],"createable":true,"updateable":true,"nillable":true},
{"name":"Parent__c","type":"reference","length":18,"referenceTo":["Boss__c"],"relationshipName":"Parent__r","createable":true,"updateable":true,"nillable":true},
{"name":"Indirect__c","type":"reference","length":255,"referenceTo":["Boss__c"],"referenceTargetField":"Code__c","relationshipName":"Indirect__r","createable":true,"updateable":true,"nillable":true},
{"name":"OwnerId","type":"reference","length":18,"referenceTo":["Group","User"],"relationshipName":"Owner","defaultedOnCreate":true,"createable":true,"updateable":true},
{"name":"Master__c","type":"reference","length":18,"referenceTo":["Boss__c"],"relationshipName":"Master__r","createable":true},
{"name":"RecordTypeId","type":"reference","length":18,"referenceTo":["RecordType"],"relationshipName":"RecordType","defaultedOnCreate":true,"createable":true,"updateable":true,"nillable":true},
{"name":"Place__c","type":"location","nillable":true},
{"name":"CreatedDate","type":"datetime","defaultedOnCreate":true},
{"name":"Future__c","type":"hologram","createable":true,"updateable":true,"nillable":true}]}`

const boss = `{"name":"Boss__c","createable":true,"fields":[{"name":"Id","type":"id","idLookup":true},
{"name":"Code__c","type":"string","externalId":true,"length":9},{"name":"Mood__c","type":"string","length":9},
{"name":"acme__Other__c","type":"string","externalId":true,"length":9}]}`

// object decodes a description as the client does.
func object(t testing.TB, text string) *salesforce.Object {
	t.Helper()
	o, err := salesforce.ReadObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func checker(t testing.TB) schema.Checker {
	parent := object(t, boss)
	return schema.Checker{Object: object(t, thing), Parent: func(name string) *salesforce.Object {
		if name == "Boss__c" {
			return parent
		}
		return nil
	}}
}

// TestCheck_FindsWhatTheOrgWouldRefuse has a line a kind of mistake.
func TestCheck_FindsWhatTheOrgWouldRefuse(t *testing.T) {
	c := checker(t)
	for _, tt := range []struct {
		fields string // of an update; "create: ", "upsert: " and so on in front for others
		path   string
		reason schema.Reason
		holds  string
	}{
		{`{"Txet__c":"a"}`, "fields.Txet__c", schema.UnknownField, "did you mean Text__c?"},
		{`{"Text":"a"}`, "fields.Text", schema.UnknownField, "did you mean Text__c?"},
		{`{"Elsewhere":"a"}`, "fields.Elsewhere", schema.UnknownField, "no such field on Thing__c"},
		{`{"Formula__c":1}`, "fields.Formula__c", schema.NotWritable, "read-only"},
		{`{"Insert_Only__c":"a"}`, "fields.Insert_Only__c", schema.NotWritable, "updated"},
		{`create: {"Name":"a","Master__c":"001000000000001AAA","Update_Only__c":"a"}`, "fields.Update_Only__c", schema.NotWritable, "create"},
		{`upsert: {"Formula__c":1}`, "fields.Formula__c", schema.NotWritable, "can't be set"},
		{`create: {"Name":"a"}`, "fields.Master__c", schema.Required, "no default"},
		{`create: {"Name":" ","Master__c":"001000000000001AAA"}`, "fields.Name", schema.Required, ""},
		{`create: {"Name":null,"Master__c":"001000000000001AAA"}`, "fields.Name", schema.Required, ""},
		{`{"Text__c":"sixsix"}`, "fields.Text__c", schema.TooLong, "6 characters, and the field takes 5"},
		{`{"Amount__c":12345}`, "fields.Amount__c", schema.OutOfRange, "5 digits before the point, and the field takes 4"},
		{`{"Amount__c":"-1e9"}`, "fields.Amount__c", schema.OutOfRange, "10 digits"},
		{`{"Amount__c":"dear"}`, "fields.Amount__c", schema.BadNumber, "not a number"},
		{`{"Amount__c":true}`, "fields.Amount__c", schema.WrongType, "boolean"},
		{`{"Int__c":2147483648}`, "fields.Int__c", schema.OutOfRange, "32 bits"},
		{`{"Int__c":1.5}`, "fields.Int__c", schema.BadNumber, "whole"},
		{`{"Day__c":"2026-02-30"}`, "fields.Day__c", schema.BadDate, "calendar"},
		{`{"Day__c":"31.12.2026"}`, "fields.Day__c", schema.BadDate, "2026-01-31"},
		{`{"Day__c":"tomorrow"}`, "fields.Day__c", schema.BadDate, "2026-01-31"},
		{`{"Day__c":"1066-10-14"}`, "fields.Day__c", schema.BadDate, "1700"},
		{`{"Day__c":false}`, "fields.Day__c", schema.WrongType, "date"},
		{`{"At__c":"2026-13-01T10:00:00Z"}`, "fields.At__c", schema.BadDate, "calendar"},
		{`{"At__c":"2026-01-01T25:00:00Z"}`, "fields.At__c", schema.BadDate, "time"},
		{`{"At__c":"soon"}`, "fields.At__c", schema.BadDate, ""},
		{`{"Clock__c":"10:61:00Z"}`, "fields.Clock__c", schema.BadDate, "time"},
		{`{"Clock__c":"noon"}`, "fields.Clock__c", schema.BadDate, "14:05"},
		{`{"Flag__c":"maybe"}`, "fields.Flag__c", schema.WrongType, "neither"},
		{`{"Flag__c":7}`, "fields.Flag__c", schema.WrongType, "neither"},
		{`{"Tier__c":"Glod"}`, "fields.Tier__c", schema.NotInPicklist, "did you mean Gold?"},
		{`{"Tier__c":"Platinum"}`, "fields.Tier__c", schema.NotInPicklist, "Gold, Old"},
		{`{"Tags__c":"red;green"}`, "fields.Tags__c", schema.NotInPicklist, "red, blue"},
		{`{"Parent__c":"0035e00000Kp7QaAAK"}`, "fields.Parent__c", schema.BadID, "three characters"},
		{`{"Parent__c":"0035e00000kp7qaaaj"}`, "fields.Parent__c", schema.BadID, "letter case"},
		{`{"Parent__c":"1187"}`, "fields.Parent__c", schema.BadID, "15 or 18"},
		{`{"Parent__c":"0035e00000Kp-Qa"}`, "fields.Parent__c", schema.BadID, "letters and digits"},
		{`{"Parent__c":{"Code__c":"x"}}`, "fields.Parent__c", schema.WrongType, "Parent__r"},
		{`{"Parent__r":"x"}`, "fields.Parent__r", schema.WrongType, "Parent__c"},
		{`{"Parnet__r":{"Code__c":"x"}}`, "fields.Parnet__r", schema.UnknownParent, "did you mean Parent__r?"},
		{`{"Parent__r":{"Coed__c":"x"}}`, "fields.Parent__r.Coed__c", schema.UnknownField, "did you mean Code__c?"},
		{`{"Parent__r":{"Mood__c":"x"}}`, "fields.Parent__r.Mood__c", schema.NoExternalID, "Mood__c"},
		{`{"Master__r":{"Code__c":"x"}}`, "fields.Master__r", schema.NotWritable, "Master__c"},
		{`{"Text__c":["a"]}`, "fields.Text__c", schema.WrongType, "list"},
		{`key Kye__c: {}`, "external_id.field", schema.UnknownField, "did you mean Key__c?"},
		{`key Text__c: {}`, "external_id.field", schema.NoExternalID, "Text__c"},
		{`upsert: {"Tier__c":"x"}`, "fields.Tier__c", schema.NotInPicklist, "Gold"},
		{`delete: `, "operation", schema.NotAllowed, "delete records of Thing__c"},
		{`match Txet__c: {}`, "match.all.Txet__c", schema.UnknownField, "did you mean Text__c?"},
		{`match Rich__c: {}`, "match.all.Rich__c", schema.NotFilterable, "Rich__c can't be compared"},
	} {
		t.Run(tt.fields, func(t *testing.T) {
			found := c.Check(parse(t, tt.fields))
			if len(found) != 1 || found[0].Path != tt.path || found[0].Reason != tt.reason || !strings.Contains(found[0].Detail, tt.holds) {
				t.Errorf("Check() = %+v, want %s %s …%s…", found, tt.path, tt.reason, tt.holds)
			}
		})
	}
}

// TestCheck_IDOfAnotherObject: of which nothing is said where describe names no prefix.
func TestCheck_IDOfAnotherObject(t *testing.T) {
	c := checker(t)
	c.Object.Deletable = true
	for _, how := range []string{`update: {"Text__c":"a"}`, `delete: `, `hard_delete: `} {
		e := parse(t, how)
		e.ID = "0035e00000Kp7QaAAJ"
		if found := c.Check(e); len(found) != 1 || found[0].Path != "id" || found[0].Reason != schema.BadID || !strings.Contains(found[0].Detail, "begin with a00") {
			t.Errorf("%s: %+v", how, found)
		}
		c.Object.KeyPrefix = ""
		if found := c.Check(e); found != nil {
			t.Errorf("%s, without a prefix: %+v", how, found)
		}
		c.Object.KeyPrefix = "a00"
	}
}

// TestCheck_SendsWhenUnsure: what the org takes, or what is not known of it, is no finding.
func TestCheck_SendsWhenUnsure(t *testing.T) {
	c := checker(t)
	for _, fields := range []string{
		`{"tExT__C":"a"}`,                    // letter case does not tell fields apart
		`{"Text__c":"  five5\u00a0 "}`,       // the org trims
		`{"Text__c":"👩‍🚀ab"}`,                // 5 characters, 11 bytes
		`{"Text__c":"ab\r\ncd"}`,             // a line end may be one
		`{"Text__c":123456}`,                 // a job carries text
		`{"Text2__c":"a"}`,                   // the org may complete the namespace
		`{"Rich__c":"<b>long</b>"}`,          // what markup becomes is not known
		`{"Amount__c":"1234.5678"}`,          // digits behind the point are rounded away
		`{"Amount__c":"1.234,56"}`,           // a locale
		`{"Amount__c":"٣"}`,                  // a digit somewhere
		`{"Amount__c":9999.999}`,             // may round, may not
		`{"Amount__c":" 12 "}`,               // numbers as strings
		`{"Amount__c":"0001234"}`,            // zeros in front are no digits
		`{"Amount__c":""}`,                   // null
		`{"Int__c":2.0}`, `{"Int__c":"1.5"}`, // a job may round
		`{"Flag__c":"TRUE"}`, `{"Flag__c":1}`, `{"Flag__c":null}`, `{"Flag__c":"yes"}`,
		`{"Day__c":"2026-01-31T10:00:00Z"}`, `{"Day__c":"2026-01-31Z"}`, `{"Day__c":"20260131"}`, `{"Day__c":"2026-1-31"}`,
		`{"Day__c":""}`, `{"Day__c":20260131}`, `{"Day__c":"4001-01-01Z"}`,
		`{"At__c":"2026-01-31"}`, `{"At__c":"2026-01-31 10:00"}`, `{"At__c":"2026-01-31T10:00:00.123+0200"}`, `{"At__c":"2026-01-31T24:00:00Z"}`,
		`{"Clock__c":"9:05"}`, `{"Clock__c":"14:05:00.000Z"}`,
		`{"Tier__c":"gOLD"}`, `{"Tier__c":"Best"}`, `{"Tier__c":"old"}`, `{"Tier__c":" Gold "}`, `{"Open__c":"anything"}`,
		`{"Tags__c":"RED; blue;"}`,
		`{"Parent__c":"0035e00000Kp7Qa"}`, `{"Parent__c":" 0035e00000Kp7QaAAJ "}`, `{"Parent__c":null}`, `{"Parent__c":{"$id_of":"other"}}`,
		`{"Indirect__c":"C-1"}`,
		`{"Parent__r":{"code__C":"x"}}`, `{"parent__R":{"Id":"x"}}`, `{"Parent__r":null}`, `{"Parent__r":{"Other__c":"x"}}`,
		`{"Owner":{"Code__c":"x"}}`, `{"Owner":{"attributes":{"type":"User"},"Nope":"x"}}`, // users are not described
		`{"RecordType":{"DeveloperName":"x"}}`,
		`{"Place__c":{"latitude":1}}`, `create: {"Name":"a","Master__c":"001000000000001AAA","CreatedDate":"2026-01-31T10:00:00Z"}`,
		`{"Future__c":["what","ever"]}`,
		`create: {"Name":"a","Master__r":{"Code__c":"x"}}`,   // a parent is a value of its lookup
		`create: {"Name":"a","Master__c":{"$id_of":"boss"}}`, // known when it is sent
		`upsert: {}`, `upsert: {"Insert_Only__c":"a","Update_Only__c":"a"}`, // it may be there, or not
		`key Name: {}`, `key kEY__c: {}`, `match Text__c: {}`,
	} {
		t.Run(fields, func(t *testing.T) {
			if found := c.Check(parse(t, fields)); found != nil {
				t.Errorf("Check() = %+v", found)
			}
		})
	}
}

// parse makes an event of the tables' short form.
func parse(t testing.TB, text string) *event.Event {
	t.Helper()
	how, fields, ok := strings.Cut(text, ": ")
	if !ok || strings.HasPrefix(text, "{") {
		how, fields = "update", text
	}
	e := map[string]any{"key": "k", "object": "Thing__c", "operation": "upsert"}
	if fields != "" {
		e["fields"] = json.RawMessage(fields)
	}
	field, byKey := strings.CutPrefix(how, "key ")
	matched, byMatch := strings.CutPrefix(how, "match ")
	switch {
	case byKey, how == "upsert":
		if !byKey {
			field = "Key__c"
		}
		e["external_id"] = map[string]string{"field": field, "value": "v"}
	case byMatch:
		e["match"] = map[string]any{"all": map[string]string{matched: "v"}}
	default:
		e["operation"] = how
		if how != "create" {
			e["id"] = "a005e00000Kp7Qa"
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := event.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := decoded.Validate(); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// TestCheck_NamesNoValue: findings are shown to those who may not read payloads.
func TestCheck_NamesNoValue(t *testing.T) {
	c := checker(t)
	for _, field := range []string{"Text__c", "Amount__c", "Day__c", "At__c", "Clock__c", "Flag__c", "Tier__c", "Tags__c", "Parent__c", "Parent__r"} {
		found := c.Check(parse(t, fmt.Sprintf(`{%q:"geheim?"}`, field)))
		if len(found) != 1 || strings.Contains(found[0].Detail, "geheim") {
			t.Errorf("%s: %+v", field, found)
		}
	}
}

// TestCheck_BelievesPersonAccountsAndCompounds: of these describe does not say what a create needs.
func TestCheck_BelievesPersonAccountsAndCompounds(t *testing.T) {
	for _, text := range []string{
		`{"name":"Account","createable":true,"fields":[{"name":"Name","type":"string","createable":true,"length":255},{"name":"IsPersonAccount","type":"boolean"},{"name":"LastName","type":"string","length":80,"createable":true,"nillable":true}]}`,
		`{"name":"Odd__c","createable":true,"fields":[{"name":"Name","type":"string","createable":true,"length":255},{"name":"LastName","type":"string","length":80,"createable":true,"nillable":true,"compoundFieldName":"Name"}]}`,
	} {
		c := schema.Checker{Object: object(t, text)}
		if found := c.Check(parse(t, `create: {"LastName":"a"}`)); found != nil {
			t.Errorf("%s: %+v", c.Object.Name, found)
		}
	}
}

// TestCheck_KnowsWhatTheOrgMakesByItself: the first version of a file has no document yet, and none is missed.
func TestCheck_KnowsWhatTheOrgMakesByItself(t *testing.T) {
	const file = `{"name":%q,"createable":true,"fields":[{"name":"ContentDocumentId","type":"reference","length":18,"createable":true},
		{"name":"Title","type":"string","length":255,"createable":true},{"name":"PathOnClient","type":"string","length":500,"createable":true,"nillable":true},
		{"name":"Case_No__c","type":"string","length":9,"createable":true}]}`
	e := parse(t, `create: {"PathOnClient":"a.pdf"}`)
	if found := (schema.Checker{Object: object(t, fmt.Sprintf(file, "ContentVersion"))}).Check(e); len(found) != 1 || found[0].Path != "fields.Case_No__c" {
		t.Errorf("%+v, want the custom field alone", found)
	}
	if found := (schema.Checker{Object: object(t, fmt.Sprintf(file, "Thing__c"))}).Check(e); len(found) != 3 {
		t.Errorf("%+v, want all three of an object of the org's own", found)
	}
}

func TestCheck_LeavesOutWhatIsFilledInOnTheWay(t *testing.T) {
	c := schema.Checker{Object: object(t, `{"name":"A","createable":true,"fields":[{"name":"Outbox_Key__c","type":"string","createable":true,"length":255}]}`)}
	e := parse(t, `create: {}`)
	if len(c.Check(e)) != 1 {
		t.Error("a required field is not missed")
	}
	if c.Filled = "outbox_key__C"; c.Check(e) != nil {
		t.Error("the key's field is missed, which is written on the way")
	}
}

func TestCheck_IsBounded(t *testing.T) {
	fields := map[string]int{}
	for i := range 50 {
		fields[fmt.Sprintf("No%d", i)] = i
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(checker(t).Check(parse(t, string(text)))); n != 20 {
		t.Errorf("%d findings, want 20", n)
	}
}

func TestNoObject_NamesTheNearest(t *testing.T) {
	names := []string{"Account", "Contact", "Order__c"}
	for name, want := range map[string]string{"Contct": "did you mean Contact?", "order": "did you mean Order__c?", "Zebra": "hides it from the user"} {
		f := schema.NoObject(name, names)
		if f.Path != "object" || f.Reason != schema.UnknownObject || !strings.HasSuffix(f.Detail, want) {
			t.Errorf("%s: %+v, want …%s", name, f, want)
		}
	}
}

// TestReason_EachIsExplained here and in the guide.
func TestReason_EachIsExplained(t *testing.T) {
	source, err := os.ReadFile("schema.go")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`\w+ +Reason = "(\w+)"`).FindAllSubmatch(source, -1)
	if len(reasons) < 14 {
		t.Fatalf("%d reasons: does this test still look in the right place?", len(reasons))
	}
	for _, m := range reasons {
		if schema.Reason(m[1]).Means() == "" || !bytes.Contains(guide, []byte("`"+string(m[1])+"`")) {
			t.Errorf("%s is not explained", m[1])
		}
	}
	if schema.Reason("nope").Means() != "" {
		t.Error("nope is explained")
	}
}

// BenchmarkCheck is of an ordinary event against an object of 300 fields.
func BenchmarkCheck(b *testing.B) {
	o := &salesforce.Object{}
	if err := json.Unmarshal([]byte(thing), o); err != nil {
		b.Fatal(err)
	}
	for i := range 300 {
		o.Fields = append(o.Fields, salesforce.Field{Name: fmt.Sprintf("F%d__c", i), Type: "string", Length: 80, Createable: true, Updateable: true, Nillable: true})
	}
	text, err := json.Marshal(o)
	if err != nil {
		b.Fatal(err)
	}
	c := schema.Checker{Object: object(b, string(text))}
	e := parse(b, `create: {"Name":"Ada","Text__c":"Byron","Master__c":"0035e00000Kp7QaAAJ","Amount__c":12.5,"Day__c":"1815-12-10","Flag__c":true,"Tier__c":"Gold","F17__c":"12 St James's Square","F99__c":"London"}`)
	b.ReportAllocs()
	for b.Loop() {
		if found := c.Check(e); found != nil {
			b.Fatal(found)
		}
	}
}
