package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// mustDecode is an event that is right in every way.
func mustDecode(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string,
) *Event {
	t.Helper()
	e, err := Decode([]byte(text))
	if err != nil {
		t.Fatalf("Decode(%s): %v", text, err)
	}
	if err := e.Validate(); err != nil {
		t.Fatalf("Validate(%s): %v", text, err)
	}
	return e
}

func TestDecode_ReadsEveryMember(t *testing.T) {
	e := mustDecode(t, `{
		"key": "k\u00e9y", "object": "Contact", "operation": "upsert",
		"external_id": {"field": "Shop_Id__c", "value": 1187.50},
		"fields": { "Email": null, "Score__c": 1e0 },
		"lane": "Customer 7", "after": ["a", "b"], "source": "shop",
		"not_before": "2026-11-23T10:00:00+02:00", "expires_at": "2026-11-24T10:00:00.5Z",
		"meta": {"a": "1"}
	}`)
	e.facts, e.acceptedID = fieldFacts{}, ""
	zone := time.FixedZone("", 2*60*60)
	want := &Event{
		Key: "kéy", Object: "Contact", Operation: Upsert,
		ExternalID: &ExternalID{"Shop_Id__c", jsontext.Value(`1187.50`)},
		Fields:     jsontext.Value(`{ "Email": null, "Score__c": 1e0 }`),
		Lane:       "Customer 7", After: []string{"a", "b"}, Source: "shop",
		NotBefore: time.Date(2026, 11, 23, 10, 0, 0, 0, zone),
		ExpiresAt: time.Date(2026, 11, 24, 10, 0, 0, 5e8, time.UTC),
		Meta:      map[string]string{"a": "1"},
	}
	if diff := cmp.Diff(want, e, cmp.AllowUnexported(Event{}, fieldFacts{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecode_SharesNoMemory(t *testing.T) {
	data := []byte(`{"key":"k","object":"A","operation":"update","match":{"any":{"B":"x"}},"fields":{"C":"y"}}`)
	e, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = '!'
	}
	if e.Key != "k" || string(e.Fields) != `{"C":"y"}` || string(e.Match.Any[0].Value) != `"x"` {
		t.Errorf("the event changed with its source: %+v", e)
	}
}

// wrong events, each with the path and a part of the detail of every mistake.
var wrong = []struct {
	name, text string
	want       []string
}{
	{"unknown member", `{"key":"k","object":"A","operation":"create","filds":{}}`, []string{"filds: unknown member; did you mean fields?"}},
	{"unknown member that is nothing like another", `{"key":"k","object":"A","operation":"create","zzz":{}}`, []string{"zzz: unknown member"}},
	{"member in another letter case", `{"key":"k","Object":"A","operation":"create"}`, []string{"Object: unknown member; did you mean object?"}},
	{"member without its underscore", `{"key":"k","object":"A","operation":"upsert","externalId":{}}`, []string{"externalId: unknown member; did you mean external_id?"}},
	{"member of another type and one unknown", `{"key":7,"object":"A","operation":"create","x":1}`, []string{"x: unknown", "key: must be a string, not a number"}},
	{"every mistake at once", `{"key":"","object":"1","operation":"upsrt","after":["a","a"]}`, []string{
		"key: must not be empty", "object: not an API name", "operation: must be create", "did you mean upsert?", "after[1]: named twice",
	}},
	{"doubled member", `{"key":"k","object":"A","object":"A","operation":"create"}`, []string{"object: doubled"}},
	{"doubled member that escapes hide", `{"key":"k","object":"A","\u006fbject":"A","operation":"create"}`, []string{"object: doubled"}},
	{"null member", `{"key":"k","object":"A","operation":"create","lane":null}`, []string{"lane: must be a string, not null"}},
	{"an array", `[]`, []string{"must be an object, not an array"}},
	{"a number", ` 7`, []string{"must be an object, not a number"}},

	{"key with control character", `{"key":"a\u0007b","object":"A","operation":"create"}`, []string{"key: holds a control"}},
	{"key with C1 control character", `{"key":"a\u0085b","object":"A","operation":"create"}`, []string{"key: holds a control"}},
	{"key that begins with a space", `{"key":" k","object":"A","operation":"create"}`, []string{"key: must not begin or end"}},
	{"key that ends with a no-break space", `{"key":"k\u00a0","object":"A","operation":"create"}`, []string{"key: must not begin or end"}},
	{"key of one dot", `{"key":".","object":"A","operation":"create"}`, []string{"key: must not be"}},
	{"key of two dots", `{"key":"..","object":"A","operation":"create"}`, []string{"key: must not be"}},
	{"long key", `{"key":"` + strings.Repeat("k", 256) + `","object":"A","operation":"create"}`, []string{"key: longer than 255 bytes"}},
	{"no key", `{"object":"A","operation":"create"}`, []string{"key: required"}},

	{"nothing", `{}`, []string{"key: required", "object: required", "operation: required"}},
	{"object with a dot", `{"key":"k","object":"A.B","operation":"create"}`, []string{"object: not an API name"}},
	{"object that begins with an underscore", `{"key":"k","object":"_A","operation":"create"}`, []string{"object: not an API name"}},
	{"unknown operation", `{"key":"k","object":"A","operation":"insert"}`, []string{"operation: must be create"}},
	{"operation in another case", `{"key":"k","object":"A","operation":"Create"}`, []string{"did you mean create?"}},
	{"platform event updated", `{"key":"k","object":"A__E","operation":"update","id":"0035e00000Kp7Qa"}`, []string{"operation: a platform event"}},

	{"create with external id", `{"key":"k","object":"A","operation":"create","external_id":{"field":"F","value":"1"}}`, []string{"external_id: a create names no record"}},
	{"create with id", `{"key":"k","object":"A","operation":"create","id":"0035e00000Kp7Qa"}`, []string{"id: a create names no record"}},
	{"create with match", `{"key":"k","object":"A","operation":"create","match":{"all":{"F":1}}}`, []string{"match: a create names no record"}},
	{"upsert of nothing", `{"key":"k","object":"A","operation":"upsert"}`, []string{"external_id: required"}},
	{"upsert with id", `{"key":"k","object":"A","operation":"upsert","id":"0035e00000Kp7Qa"}`, []string{"id: an upsert names"}},
	{"update of nothing", `{"key":"k","object":"A","operation":"update"}`, []string{"id: required"}},
	{"update by external id", `{"key":"k","object":"A","operation":"update","external_id":{"field":"F","value":"1"}}`, []string{"external_id: only for an upsert"}},
	{"id and match", `{"key":"k","object":"A","operation":"delete","id":"0035e00000Kp7Qa","match":{"all":{"F":1}}}`, []string{"match: only one of"}},
	{"external id and match", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":1},"match":{"all":{"F":1}}}`, []string{"match: only one of"}},

	{"external id without its parts", `{"key":"k","object":"A","operation":"upsert","external_id":{}}`, []string{"external_id.field: required", "external_id.value: required"}},
	{"external id with more", `{"key":"k","object":"A","operation":"upsert","external_id":{"feild":"F","value":"1"}}`, []string{"external_id.feild: unknown member; did you mean field?"}},
	{"external id twice", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":"1","value":"2"}}`, []string{"external_id.value: doubled"}},
	{"external id null", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":null}}`, []string{"external_id.value: must be a string or a number, not null"}},
	{"external id boolean", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":true}}`, []string{"external_id.value: must be a string or a number, not a boolean"}},
	{"external id empty", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":""}}`, []string{"external_id.value: must not be blank"}},
	{"external id blank", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":" \t"}}`, []string{"external_id.value: must not be blank"}},
	{"external id that is the Id", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"ID","value":"1"}}`, []string{"external_id.field: Id is no external id"}},
	{"external id field with a bad name", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"a b","value":"1"}}`, []string{"external_id.field: not an API name"}},

	{"id of another length", `{"key":"k","object":"A","operation":"delete","id":"0035e00000Kp7Q"}`, []string{"id: must be a record Id of 15 or 18"}},
	{"id with another suffix", `{"key":"k","object":"A","operation":"delete","id":"0015g00000Kp7QaAAA"}`, []string{"id: the last three"}},
	{"id with a sign", `{"key":"k","object":"A","operation":"delete","id":"0015g00000Kp7Q/"}`, []string{"id: must be a record Id: letters"}},
	{"id empty", `{"key":"k","object":"A","operation":"delete","id":""}`, []string{"id: must not be empty"}},

	{"match of nothing", `{"key":"k","object":"A","operation":"delete","match":{}}`, []string{"match: takes exactly one"}},
	{"match both ways", `{"key":"k","object":"A","operation":"delete","match":{"all":{"F":1},"any":{"F":1}}}`, []string{"match: takes exactly one"}},
	{"match without conditions", `{"key":"k","object":"A","operation":"delete","match":{"all":{}}}`, []string{"match.all: needs at least one"}},
	{"match of null", `{"key":"k","object":"A","operation":"delete","match":{"all":{"F":null}}}`, []string{"match.all.F: must be a string, a number or a boolean, not null"}},
	{"match of an object", `{"key":"k","object":"A","operation":"delete","match":{"any":{"F":{}}}}`, []string{"match.any.F: must be"}},
	{"match of blank", `{"key":"k","object":"A","operation":"delete","match":{"any":{"F":""}}}`, []string{"match.any.F: must not be blank"}},
	{"match of a bad name", `{"key":"k","object":"A","operation":"delete","match":{"any":{"F'":1}}}`, []string{"match.any.F': not an API name"}},
	{"match twice on one field", `{"key":"k","object":"A","operation":"delete","match":{"any":{"F":1,"f":2}}}`, []string{"match.any.f: doubled"}},
	{"match is a list", `{"key":"k","object":"A","operation":"delete","match":[1]}`, []string{"match: must be an object, not an array"}},

	{"fields of a delete", `{"key":"k","object":"A","operation":"hard_delete","id":"0035e00000Kp7Qa","fields":{}}`, []string{"fields: not for hard_delete"}},
	{"fields is a list", `{"key":"k","object":"A","operation":"create","fields":[]}`, []string{"fields: must be an object, not an array"}},
	{"field twice", `{"key":"k","object":"A","operation":"create","fields":{"F":1,"F":2}}`, []string{"fields.F: doubled"}},
	{"field twice in another case", `{"key":"k","object":"A","operation":"create","fields":{"Email":1,"G":2,"EMAIL":3}}`, []string{"fields.EMAIL: doubled"}},
	{"nested field twice", `{"key":"k","object":"A","operation":"create","fields":{"P":{"F":1,"\u0066":2}}}`, []string{"fields.P.f: doubled"}},
	{"field with a bad name", `{"key":"k","object":"A","operation":"create","fields":{"a-b":1,"P":[0,{"":1}]}}`, []string{"fields.a-b: not an API name", "fields.P[1].: not an API name"}},
	{"the Id among the fields", `{"key":"k","object":"A","operation":"create","fields":{"iD":"0035e00000Kp7Qa"}}`, []string{"fields.iD: the record is named by"}},
	{"attributes among the fields", `{"key":"k","object":"A","operation":"create","fields":{"attributes":{"type":"A"}}}`, []string{"fields.attributes: the event's own"}},
	{"external id with another value", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":"1"},"fields":{"f":"2"}}`, []string{"fields.F: differs from external_id.value"}},
	{"external id with null", `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":"1"},"fields":{"F":null}}`, []string{"fields.F: differs from external_id.value"}},

	{"$id_of with company", `{"key":"k","object":"A","operation":"create","fields":{"F":{"$id_of":"a","G":1}}}`, []string{`fields.F: {"$id_of": "key"} stands alone`}},
	{"$id_of in place of the fields", `{"key":"k","object":"A","operation":"create","fields":{"$id_of":"a"}}`, []string{`fields: {"$id_of": "key"} stands alone`}},
	{"$id_of in a list", `{"key":"k","object":"A","operation":"create","fields":{"F":[{"$id_of":"a"}]}}`, []string{`fields.F[0]: {"$id_of": "key"} stands alone`}},
	{"$id_of with a number", `{"key":"k","object":"A","operation":"create","fields":{"F":{"$id_of":1}}}`, []string{"fields.F.$id_of: must be a string, the key of another event, not a number"}},
	{"$id_of with a bad key", `{"key":"k","object":"A","operation":"create","fields":{"F":{"$id_of":""}}}`, []string{"fields.F.$id_of: required"}},
	{"$id_of itself", `{"key":"k","object":"A","operation":"create","fields":{"F":{"$id_of":"k"}}}`, []string{"fields: an event can't wait for itself"}},
	{"another dollar", `{"key":"k","object":"A","operation":"create","fields":{"F":{"$Id_Of":"k"}}}`, []string{"fields.F.$Id_Of: not an API name"}},

	{"after itself", `{"key":"k","object":"A","operation":"create","after":["k"]}`, []string{"after[0]: an event can't wait for itself"}},
	{"after a bad key", `{"key":"k","object":"A","operation":"create","after":["a","."]}`, []string{"after[1]: must not be"}},
	{"after a number", `{"key":"k","object":"A","operation":"create","after":[1]}`, []string{"after: must be a string"}},
	{"after is a string", `{"key":"k","object":"A","operation":"create","after":"a"}`, []string{"after: must be a list of keys, not a string"}},
	{"after too many", `{"key":"k","object":"A","operation":"create","after":[` + numbered(`"a%d"`, 101) + `]}`, []string{"after: more than 100 keys"}},

	{"lane empty", `{"key":"k","object":"A","operation":"create","lane":""}`, []string{"lane: must not be empty"}},
	{"lane blank", `{"key":"k","object":"A","operation":"create","lane":" "}`, []string{"lane: must not be blank"}},
	{"lane long", `{"key":"k","object":"A","operation":"create","lane":"` + strings.Repeat("x", 256) + `"}`, []string{"lane: longer than 255 bytes"}},
	{"source long", `{"key":"k","object":"A","operation":"create","source":"` + strings.Repeat("é", 128) + `"}`, []string{"source: longer than 255 bytes"}},
	{"meta of numbers", `{"key":"k","object":"A","operation":"create","meta":{"a":1}}`, []string{"meta.a: must be a string, not a number"}},
	{"meta twice", `{"key":"k","object":"A","operation":"create","meta":{"a":"1","a":"2"}}`, []string{"meta.a: doubled"}},
	{"meta too many", `{"key":"k","object":"A","operation":"create","meta":{` + numbered(`"a%d":""`, 65) + `}}`, []string{"meta: more than 64"}},

	{"time without zone", `{"key":"k","object":"A","operation":"create","not_before":"2026-11-23T10:00:00"}`, []string{"not_before: must be an RFC 3339 time"}},
	{"time with a comma", `{"key":"k","object":"A","operation":"create","expires_at":"2026-11-23T10:00:00,5Z"}`, []string{"expires_at: must be an RFC 3339 time"}},
	{"time as a number", `{"key":"k","object":"A","operation":"create","expires_at":1}`, []string{"expires_at: must be a string, not a number"}},
	{"time before 1970", `{"key":"k","object":"A","operation":"create","expires_at":"0001-01-01T00:00:00Z"}`, []string{"expires_at: must not lie before 1970"}},
	{"expired before it is due", `{"key":"k","object":"A","operation":"create","not_before":"2026-11-24T10:00:00Z","expires_at":"2026-11-23T10:00:00Z"}`, []string{"expires_at: must be later than not_before"}},
}

func numbered(format string, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(list, ",")
}

// check is Decode and Validate.
func check(data []byte) error {
	e, err := Decode(data)
	if err != nil {
		return err
	}
	return e.Validate()
}

func TestCheck_NamesEveryMistake(t *testing.T) {
	for _, tt := range wrong {
		t.Run(tt.name, func(t *testing.T) {
			err := check([]byte(tt.text))
			problem, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("check(%s) = %v, want an *Error", tt.text, err)
			}
			if problem.Code != CodeInvalid {
				t.Errorf("code %q, want %q", problem.Code, CodeInvalid)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("check(%s) = %q, want %q in it", tt.text, err, want)
				}
			}
			if got := len(problem.Fields); got > len(tt.want) {
				t.Errorf("%d mistakes, want at most %d: %v", got, len(tt.want), err)
			}
		})
	}
}

func TestDecode_RefusesWhatIsNotJSON(t *testing.T) {
	for _, tt := range []struct{ name, text, path, detail string }{
		{"empty", "", "", "empty"},
		{"blank", " \n", "", "empty"},
		{"cut", `{"key":"k"`, "", "too early"},
		{"two values", `{} {}`, "", "something follows"},
		{"something behind", `{}x`, "", "not JSON"},
		{"bad UTF-8", "{\"source\":\"\xff\"}", "source", "UTF-8"},
		{"bad UTF-8 in a name", "{\"\xff\":1}", "", "UTF-8"},
		{"lone surrogate", `{"fields":{"F":"\ud800"}}`, "fields.F", "surrogate"},
		{"low surrogate first", `{"source":"\udc00\ud800"}`, "source", "surrogate"},
		{"control character", "{\"source\":\"a\nb\"}", "source", "character"},
		{"byte order mark", "\ufeff{}", "", "not JSON"},
		{"number with a zero before", `{"fields":{"F":01}}`, "fields", ""},
		{"NaN", `{"fields":{"F":NaN}}`, "fields.F", ""},
		{"comma at the end", `{"key":"k",}`, "", ""},
		{"comment", `{/**/}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode([]byte(tt.text))
			problem, ok := errors.AsType[*Error](err)
			if !ok || problem.Code != CodeMalformed || len(problem.Fields) != 1 {
				t.Fatalf("Decode(%q) = %#v, want one mistake of code malformed", tt.text, err)
			}
			if f := problem.Fields[0]; f.Path != tt.path || !strings.Contains(f.Detail, tt.detail) {
				t.Errorf("Decode(%q): %q: %q, want %q: %q", tt.text, f.Path, f.Detail, tt.path, tt.detail)
			}
		})
	}
}

func TestDecode_Bounds(t *testing.T) {
	nested := func(n int) string { // n objects within fields
		return `{"key":"k","object":"A","operation":"create","fields":` +
			strings.Repeat(`{"P":`, n) + "1" + strings.Repeat("}", n) + "}"
	}
	if err := check([]byte(nested(MaxDepth - 1))); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	if err := check([]byte(nested(MaxDepth))); err == nil || !strings.Contains(err.Error(), "nested deeper than 64") {
		t.Errorf("%d levels: %v", MaxDepth+1, err)
	}
	text := `{"key":"k","object":"A","operation":"create","fields":{"F":""}}`
	full := strings.Replace(text, `""`, `"`+strings.Repeat("x", MaxSize-len(text))+`"`, 1)
	if err := check([]byte(full)); err != nil {
		t.Errorf("%d bytes: %v", len(full), err)
	}
	if err, _ := errors.AsType[*Error](check([]byte(full + " "))); err == nil || err.Code != CodeTooLarge {
		t.Errorf("%d bytes: %v, want too_large", len(full)+1, err)
	}
	many := `{"key":"k","object":"A","operation":"create","fields":{` + numbered(`"-%d":1`, 1000) + `}}`
	if err, _ := errors.AsType[*Error](check([]byte(many))); err == nil || len(err.Fields) != maxProblems {
		t.Errorf("mistakes are not bounded: %v", err)
	}
	wide := `{"key":"k","object":"A","operation":"create","fields":{` + numbered(`"F%d":1`, 100) + `,"f7":1}}`
	if err := check([]byte(wide)); err == nil || !strings.Contains(err.Error(), "fields.f7: doubled") {
		t.Errorf("a doubled name among many: %v", err)
	}
}

func TestCheck_ErrorsHoldNoValues(t *testing.T) {
	for _, text := range []string{
		`{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":"s3cret"},"fields":{"F":"s3cret2","G":{"$id_of":5}}}`,
		`{"key":"k","object":"A","operation":"delete","match":{"all":{"F":["s3cret"]}}}`,
		`{"key":"k","object":"A","operation":"create","fields":{"F":"s3cret","f":"s3cret"}}`,
		`{"key":"k","object":"A","operation":"create","fields":{"F":"s3cret`,
		`{"key":"k","object":"A","operation":"delete","id":"s3cret"}`,
	} {
		if err := check([]byte(text)); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("check(%s) = %v", text, err)
		}
	}
}

func TestValidate_OfAnEventMadeByHand(t *testing.T) {
	good := func() *Event {
		return &Event{
			Key: "k", Object: "Contact", Operation: Upsert,
			ExternalID: &ExternalID{"Shop_Id__c", jsontext.Value(`"7"`)}, Fields: jsontext.Value(`{"F":{"$id_of":"other"}}`),
		}
	}
	e := good()
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := e.IDsOf(); !slices.Equal(got, []string{"other"}) {
		t.Errorf("IDsOf() = %q", got)
	}
	for _, tt := range []struct {
		name  string
		spoil func(*Event)
		want  string
	}{
		{"fields cut", func(e *Event) { e.Fields = jsontext.Value(`{"F":`) }, "fields"},
		{"fields empty", func(e *Event) { e.Fields = jsontext.Value{} }, "fields"},
		{"fields a list", func(e *Event) { e.Fields = jsontext.Value(`[]`) }, "fields: must be an object"},
		{"value cut", func(e *Event) { e.ExternalID.Value = jsontext.Value(`"`) }, "external_id.value: not JSON"},
		{"value empty", func(e *Event) { e.ExternalID.Value = jsontext.Value{} }, "external_id.value: not JSON"},
		{"condition without value", func(e *Event) { e.ExternalID, e.Match = nil, &Match{All: []Condition{{Field: "F"}}} }, "match.all.F: not JSON"},
		{"source not UTF-8", func(e *Event) { e.Source = "\xff" }, "source: not UTF-8"},
		{"meta not UTF-8", func(e *Event) { e.Meta = map[string]string{"a": "\xff"} }, "meta.a: not UTF-8"},
		{"key not UTF-8", func(e *Event) { e.Key = "\xff" }, "key: not UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := good()
			tt.spoil(e)
			if err := e.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestValidate_ExternalIDMayBeRepeated(t *testing.T) {
	for _, tt := range []struct{ value, field string }{
		{`"1187"`, `"1187"`}, {`"é"`, `"\u00e9"`}, {`1187`, `1187.0`}, {`"1187"`, `1187`}, {`1187`, `"1187"`},
	} {
		mustDecode(t, `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":`+tt.value+`},"fields":{"f":`+tt.field+`}}`)
	}
}

func TestParseID(t *testing.T) {
	for _, id := range []string{"0015g00000Kp7Qa", "0015g00000Kp7QaAAJ"} {
		if got, err := ParseID(id); err != nil || got != "0015g00000Kp7QaAAJ" {
			t.Errorf("ParseID(%q) = %q, %v", id, got, err)
		}
	}
	if got, err := ParseID("0015g00000Kp7QaAAj"); err == nil {
		t.Errorf("a suffix in lower case: %q", got)
	}
}

func TestDigest(t *testing.T) {
	const base = `{"key":"k","object":"Contact","operation":"update","match":{"all":{"A":1,"B":"x"}},"fields":{"F":1.0,"G":{"H":"é","I":[1,2]}},"after":["a","b"],"meta":{"m":"1","n":"2"}}`
	want := mustDecode(t, base).Digest()
	for name, text := range map[string]string{
		"another key": strings.Replace(base, `"k"`, `"other"`, 1),
		"spaces":      strings.NewReplacer(":", " : ", ",", "\n,\t").Replace(base),
		"escapes":     strings.NewReplacer("é", `\u00E9`, "Contact", `Co\u006etact`, `"G"`, `"\u0047"`).Replace(base),
		"order":       `{"meta":{"n":"2","m":"1"},"after":["a","b"],"fields":{"G":{"I":[1,2],"H":"é"},"F":1.0},"match":{"all":{"B":"x","A":1}},"operation":"update","object":"Contact","key":"k"}`,
	} {
		if got := mustDecode(t, text).Digest(); got != want {
			t.Errorf("%s: another digest", name)
		}
	}
	for name, text := range map[string]string{
		"digits of a number":  strings.Replace(base, "1.0", "1", 1),
		"order of a list":     strings.Replace(base, "[1,2]", "[2,1]", 1),
		"order of after":      strings.Replace(base, `["a","b"]`, `["b","a"]`, 1),
		"text for number":     strings.Replace(base, `"A":1`, `"A":"1"`, 1),
		"any for all":         strings.Replace(base, `"all"`, `"any"`, 1),
		"object's case":       strings.Replace(base, "Contact", "contact", 1),
		"field moved outward": strings.Replace(base, `"G":{"H":"é","I":[1,2]}`, `"G":{"H":"é"},"I":[1,2]`, 1),
		"a lane":              strings.Replace(base, `"meta"`, `"lane":"x","meta"`, 1),
		"a source":            strings.Replace(base, `"meta"`, `"source":"x","meta"`, 1),
		"a time":              strings.Replace(base, `"meta"`, `"not_before":"2026-11-23T10:00:00Z","meta"`, 1),
		"no fields":           strings.Replace(base, `"fields":{"F":1.0,"G":{"H":"é","I":[1,2]}},`, "", 1),
		"empty fields":        strings.Replace(base, `{"F":1.0,"G":{"H":"é","I":[1,2]}}`, "{}", 1),
	} {
		if got := mustDecode(t, text).Digest(); got == want {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestDigest_KeepsTheFormOfAnID(t *testing.T) {
	const short = `{"key":"k","object":"A","operation":"delete","id":"0015g00000Kp7Qa"}`
	long := strings.Replace(short, "Qa", "QaAAJ", 1)
	a, b := mustDecode(t, short), mustDecode(t, long)
	if a.ID != b.ID || a.LaneKey() != b.LaneKey() {
		t.Errorf("two forms of one Id: %s and %s, lanes %s and %s", a.ID, b.ID, a.LaneKey(), b.LaneKey())
	}
	if a.Digest() == b.Digest() {
		t.Error("the form of the Id is not in the digest")
	}
}

// value draws JSON as a field may hold it.
func value(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.String().AsAny(),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 4).AsAny(),
			object(depth-1).AsAny())
	}
	return rapid.OneOf(kinds...)
}

func object(depth int) *rapid.Generator[map[string]any] {
	field := rapid.StringMatching(`[A-Z][a-z0-9_]{3,12}`)
	return rapid.MapOfN(field, rapid.Deferred(func() *rapid.Generator[any] { return value(depth) }), 0, 20)
}

// write writes v as JSON with members in a drawn order, drawn spaces and drawn escapes.
func write(t *rapid.T, b *strings.Builder, v any) {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	b.WriteString(space.Draw(t, "space"))
	defer func() { b.WriteString(space.Draw(t, "space")) }()
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, name := range rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(t, "order") {
			if i > 0 {
				b.WriteByte(',')
			}
			write(t, b, name)
			b.WriteByte(':')
			write(t, b, v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(t, b, element)
		}
		b.WriteByte(']')
	case string:
		b.WriteByte('"')
		escape := rapid.Bool().Draw(t, "escape")
		for _, r := range v {
			if escape && r < 0x10000 || r < ' ' || r == '"' || r == '\\' {
				fmt.Fprintf(b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		b.WriteByte('"')
	default:
		text, _ := json.Marshal(v)
		b.Write(text)
	}
}

func drawEvent(t *rapid.T) map[string]any {
	text := rapid.StringMatching(`[a-zA-Zé" /\\]{1,20}x`)
	e := map[string]any{"key": text.Draw(t, "key"), "object": "Contact", "operation": "upsert"}
	e["key"] = strings.TrimSpace(e["key"].(string))
	e["external_id"] = map[string]any{"field": "Shop_Id__c", "value": text.Draw(t, "external id")}
	if rapid.Bool().Draw(t, "by match") {
		delete(e, "external_id")
		e["match"] = map[string]any{"any": map[string]any{"Email": text.Draw(t, "email"), "Age": 7, "Old": true}}
	}
	for name, draw := range map[string]func() any{
		"fields":     func() any { return object(2).Draw(t, "fields") },
		"lane":       func() any { return text.Draw(t, "lane") },
		"source":     func() any { return text.Draw(t, "source") },
		"after":      func() any { return []any{"first \\ of all", "\"2\""} },
		"meta":       func() any { return map[string]any{"a\"b": text.Draw(t, "meta"), "c": ""} },
		"not_before": func() any { return "2026-11-23T10:00:00.123456789+05:30" },
		"expires_at": func() any { return "2026-12-23T10:00:00Z" },
	} {
		if rapid.Bool().Draw(t, "has "+name) {
			e[name] = draw()
		}
	}
	return e
}

func TestProperty_DigestIgnoresOrderSpaceAndEscapes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawEvent(t)
		var a, b strings.Builder
		write(t, &a, drawn)
		write(t, &b, drawn)
		one, other := mustDecode(t, a.String()), mustDecode(t, b.String())
		if one.Digest() != other.Digest() {
			t.Fatalf("digests differ:\n%s\n%s", a.String(), b.String())
		}
		if one.LaneKey() != other.LaneKey() {
			t.Fatalf("lanes differ: %q and %q", one.LaneKey(), other.LaneKey())
		}
	})
}

func TestProperty_DigestSeesEveryValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawEvent(t)
		drawn["fields"] = object(2).Draw(t, "fields")
		var a, b strings.Builder
		write(t, &a, drawn)
		fields := object(2).Draw(t, "other fields")
		if reflect.DeepEqual(fields, drawn["fields"]) {
			return
		}
		drawn["fields"] = fields
		write(t, &b, drawn)
		if mustDecode(t, a.String()).Digest() == mustDecode(t, b.String()).Digest() {
			t.Fatalf("one digest:\n%s\n%s", a.String(), b.String())
		}
	})
}

func TestProperty_HeadAndJSONKeepTheEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		write(t, &text, drawEvent(t))
		e := mustDecode(t, text.String())
		e.facts = fieldFacts{}
		head, err := e.Head()
		if err != nil {
			t.Fatal(err)
		}
		back := &Event{Key: e.Key, Object: e.Object, Operation: e.Operation, Source: e.Source, Fields: e.Fields}
		if err := DecodeHead(head, back); err != nil {
			t.Fatalf("DecodeHead(%s): %v", head, err)
		}
		if diff := cmp.Diff(e, back, cmp.AllowUnexported(Event{}, fieldFacts{})); diff != "" {
			t.Fatalf("head %s: %s", head, diff)
		}
		if e.Digest() != back.Digest() {
			t.Fatal("another digest")
		}
		whole, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		again := mustDecode(t, string(whole))
		if e.Digest() != again.Digest() || e.Key != again.Key {
			t.Fatalf("another event: %s", whole)
		}
	})
}

func TestDecodeHead_RefusesWhatIsNone(t *testing.T) {
	for _, head := range []string{"", "[]", `{"key":"k"}`, `{"lane":1}`, `{"lane":"a"`} {
		if err := DecodeHead([]byte(head), new(Event)); err == nil {
			t.Errorf("DecodeHead(%q) = nil", head)
		}
	}
}

func TestDefaultLane(t *testing.T) {
	lane := func(record string) string {
		operation := "upsert"
		if strings.Contains(record, `"id"`) {
			operation = "update"
		}
		return mustDecode(t, `{"key":"k","object":"CONTACT","operation":"`+operation+`",`+record+`}`).LaneKey()
	}
	external := func(value string) string { return lane(`"external_id":{"field":"Shop_Id__c","value":` + value + `}`) }
	for _, value := range []string{`1187`, `"1187"`, `" 1187\t"`, `1187.0`, `1.187e3`, `"+1187"`, `"01187"`, `118700E-2`} {
		if got := external(value); got != "contact/shop_id__c/1187" {
			t.Errorf("lane of %s is %q", value, got)
		}
	}
	for _, same := range [][]string{
		{`"abc"`, `"ABC"`, `" aBc"`, `"ab\u0063"`},
		{`"straße"`, `"STRAẞE"`},
		{`"kelvin"`, `"\u212Aelvin"`},
		{`"ΣΟΦΟΣ"`, `"σοφος"`, `"σοφοσ"`},
		{`0`, `-0`, `0.00`, `0e7`, `"0"`},
		{`0.5`, `5e-1`},
		{`0.001`, `1e-3`, `"0.0010"`},
		{`1e100`, `10e99`, `0.1E101`},
		{`-7`, `"-7.0"`},
	} {
		for _, v := range same {
			if external(v) != external(same[0]) {
				t.Errorf("lanes of %s and %s: %q, %q", v, same[0], external(v), external(same[0]))
			}
		}
	}
	seen := make(map[string]string)
	for _, v := range []string{`1`, `-1`, `10`, `0.1`, `"1a"`, `"a1"`, `"1 0"`, `1e100`, `9007199254740993`, `9007199254740992`, `"1.2.3"`, `"e"`, `"."`, `"+"`, `"1e"`} {
		got := external(v)
		if other, double := seen[got]; double {
			t.Errorf("%s and %s share the lane %q", v, other, got)
		}
		seen[got] = v
	}
	if got := lane(`"id":"0035e00000Kp7Qa"`); got != "contact/0035e00000kp7qaaaj" {
		t.Errorf("lane by Id: %q", got)
	}
	a := lane(`"match":{"all":{"Email":"Ada@Example.com","Age":7.0}}`)
	b := lane(`"match":{"all":{"age":"7","EMAIL":" ada@example.com"}}`)
	if a != b || a != "contact?all:age=7&email=ada@example.com" {
		t.Errorf("lanes by match: %q, %q", a, b)
	}
	if got := lane(`"match":{"any":{"Age":7,"Email":"ada@example.com"}}`); got == a {
		t.Errorf("any and all share the lane %q", got)
	}
	if got := mustDecode(t, `{"key":"k","object":"A","operation":"create"}`).LaneKey(); got != "" {
		t.Errorf("a create has the lane %q", got)
	}
}

func TestLaneKey_OfANamedLane(t *testing.T) {
	lane := func(name string) string {
		return (&Event{Object: "A", Operation: Create, Lane: name}).LaneKey()
	}
	if a, b := lane(" Customer 7"), lane("customer 7 "); a != "customer 7" || b != a {
		t.Errorf("named lanes %q, %q", a, b)
	}
	e := &Event{Object: "Contact", Operation: Upsert, ExternalID: &ExternalID{"Shop_Id__c", jsontext.Value("1187")}}
	if got := lane("contact/shop_id__c/1187"); got != e.LaneKey() {
		t.Errorf("a lane named as the default shows it is %q, want %q", got, e.LaneKey())
	}
}

func TestLaneKey_IsBounded(t *testing.T) {
	long := strings.Repeat("é", 300)
	of := func(text string) string {
		return (&Event{Object: "A", Operation: Upsert, ExternalID: &ExternalID{"F", jsontext.Value(`"` + text + `"`)}}).LaneKey()
	}
	if a, b := of(long+"a"), of(long+"b"); a == b || len(a) > MaxLane || len(b) > MaxLane || strings.ToValidUTF8(a, "") != a {
		t.Errorf("long lanes %q, %q", a, b)
	}
	if of(long) != of(strings.ToUpper(long)) {
		t.Error("letter case tells long lanes apart")
	}
}

func TestFoldRune_MakesOneOfAllThatFoldTogether(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		got := foldRune(r)
		if next := foldRune(unicode.SimpleFold(r)); next != got {
			t.Fatalf("%U folds to %U, its fellow %U to %U", r, got, unicode.SimpleFold(r), next)
		}
		if again := foldRune(got); again != got {
			t.Fatalf("%U folds to %U, and that to %U", r, got, again)
		}
	}
}

func TestProperty_NumbersInAnyWritingMakeOneLane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[1-9][0-9]{0,24}`).Draw(t, "digits")
		shift := rapid.IntRange(0, 30).Draw(t, "shift")
		plain := digits + strings.Repeat("0", shift)
		point := rapid.IntRange(1, len(digits)).Draw(t, "point")
		science := fmt.Sprintf("%s.%s0e%d", digits[:point], digits[point:], shift+len(digits)-point)
		a, okA := normalNumber(plain)
		b, okB := normalNumber(science)
		if !okA || !okB || a != b {
			t.Fatalf("normalNumber(%s) = %s, of %s = %s", plain, a, science, b)
		}
		other, _ := normalNumber(plain + "1")
		if other == a {
			t.Fatalf("%s and %s1 are one", plain, plain)
		}
	})
}

func TestReplaceIDs(t *testing.T) {
	ids := func(key string) (string, bool) {
		id, ok := map[string]string{"a": "001A", "b\n": "001B"}[key]
		return id, ok
	}
	for _, tt := range []struct{ fields, want string }{
		{`{"F": {"$id_of": "a"} , "G":1.0}`, `{"F": "001A" , "G":1.0}`},
		{`{"P":{"F":{"\u0024id_of":"b\n"}},"H":[1,{"X":2}],"G":{ "$id_of" : "a" }}`, `{"P":{"F":"001B"},"H":[1,{"X":2}],"G":"001A"}`},
		{`{"F":"$id_of", "G": {}}`, `{"F":"$id_of", "G": {}}`},
		{`{}`, `{}`},
	} {
		got, err := ReplaceIDs(jsontext.Value(tt.fields), ids)
		if err != nil || string(got) != tt.want {
			t.Errorf("ReplaceIDs(%s) = %s, %v, want %s", tt.fields, got, err, tt.want)
		}
	}
	if got, err := ReplaceIDs(jsontext.Value(`{"F":{"$id_of":"a"},"G":{"$id_of":"c"}}`), ids); err == nil {
		t.Errorf("an Id that is not known: %s", got)
	}
	if got, err := ReplaceIDs(jsontext.Value(`{"F":{"$id_of":`), ids); err == nil {
		t.Errorf("fields that are cut: %s", got)
	}
	if got, err := ReplaceIDs(nil, ids); err != nil || got != nil {
		t.Errorf("no fields: %s, %v", got, err)
	}
}

func TestMerge(t *testing.T) {
	for _, tt := range []struct {
		name, fields, set string
		unset             []string
		merged, old       string
	}{
		{"replaces and keeps the place", `{"A":1.0,"B":"x"}`, `{"a": "é"}`, nil, `{"A":"é","B":"x"}`, `{"A":1.0}`},
		{"adds at the end", `{"A":1}`, `{"Z":1,"B":{"C":2}}`, nil, `{"A":1,"Z":1,"B":{"C":2}}`, ""},
		{"takes out", `{"A":1,"Nope__c":[1,2]}`, "", []string{"nope__C"}, `{"A":1}`, `{"Nope__c":[1,2]}`},
		{"both", `{"A":1,"B":2,"C":3}`, `{"C":null}`, []string{"A"}, `{"B":2,"C":null}`, `{"A":1,"C":3}`},
		{"no fields before", "", `{"A":1}`, nil, `{"A":1}`, ""},
		{"nothing to do", `{ "A" : 1 }`, "", nil, `{"A":1}`, ""},
		{"all taken out", `{"A":1}`, "{}", []string{"A"}, `{}`, `{"A":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			merged, old, err := Merge(raw(tt.fields), raw(tt.set), tt.unset)
			if err != nil || string(merged) != tt.merged || string(old) != tt.old {
				t.Errorf("Merge(%s, %s, %q) = %s, %s, %v, want %s, %s", tt.fields, tt.set, tt.unset, merged, old, err, tt.merged, tt.old)
			}
		})
	}
	for _, tt := range []struct {
		name, fields, set string
		unset             []string
		want              string
	}{
		{"not an object", `{}`, `[1]`, nil, "fields: must be an object"},
		{"not JSON", `{}`, `{"A":}`, nil, "fields"},
		{"set twice", `{}`, `{"A":1,"a":2}`, nil, "fields.a: doubled"},
		{"set and unset", `{"A":1}`, `{"A":1}`, []string{"a"}, "unset: names twice"},
		{"unset twice", `{"A":1}`, ``, []string{"a", "A"}, "unset: names twice"},
		{"unset what is not there", `{"A":1}`, ``, []string{"B"}, "unset: the event has no field B"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Merge(raw(tt.fields), raw(tt.set), tt.unset)
			if problem, ok := errors.AsType[*Error](err); !ok || !strings.Contains(problem.Error(), tt.want) {
				t.Errorf("Merge(%s, %s, %q) = %v, want %q", tt.fields, tt.set, tt.unset, err, tt.want)
			}
		})
	}
}

// raw is nil for the empty text.
func raw(text string) jsontext.Value {
	if text == "" {
		return nil
	}
	return jsontext.Value(text)
}

func TestMerge_CannotChangeTheRecord(t *testing.T) {
	e := mustDecode(t, `{"key":"k","object":"A","operation":"upsert","external_id":{"field":"F","value":"1"},"fields":{"G":1}}`)
	fields, _, err := Merge(e.Fields, jsontext.Value(`{"f":"2"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Fields = fields
	if err := e.Validate(); err == nil {
		t.Error("the edited event names two records")
	}
}
