package dispatcher_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
)

// travel is a way in which a batch of good events goes that has a poison among it.
type travel struct {
	name      string
	operation string
	job       bool // else by REST
}

var travels = []travel{
	{"creates by REST", "create", false},
	{"updates by REST", "update", false},
	{"upserts by REST", "upsert", false},
	{"deletes by REST", "delete", false},
	{"creates by job", "create", true},
	{"updates by job", "update", true},
	{"upserts by job", "upsert", true},
	{"deletes by job", "delete", true},
	{"hard deletes by job", "hard_delete", true},
}

// travelsThat picks the ways.
func travelsThat(ok func(travel) bool) []travel {
	return slices.DeleteFunc(slices.Clone(travels), func(w travel) bool { return !ok(w) })
}

func (w travel) byREST() bool { return !w.job }

// writes tells whether fields are sent.
func (w travel) writes() bool { return w.operation != "delete" && w.operation != "hard_delete" }

// onlyByJob tells whether what a job can't carry is failed.
func (w travel) onlyByJob() bool { return w.job && w.operation == "create" }

const goodEvents = 40

// poisoned runs good events with one that has these fields in their midst,
// and expects the good ones to be delivered, once each.
func (w travel) poisoned(r *rig, fields string) store.Record {
	r.t.Helper()
	if !strings.Contains(fields, `"LastName"`) {
		fields = `"LastName":"x",` + fields
	}
	fields = `{"Description":"poison",` + fields + `}`
	switch w.operation {
	case "create":
		return w.among(r, many(goodEvents, createContact), `{"key":"poison","object":"Contact","operation":"create","fields":`+fields+`}`)
	case "upsert":
		return w.among(r, many(goodEvents, upsertContact),
			`{"key":"poison","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"P"},"fields":`+fields+`}`)
	}
	ids := r.contacts(goodEvents + 1)
	return w.among(r, w.goodWithIDs(ids), fmt.Sprintf(`{"key":"poison","object":"Contact","operation":"update","id":%q,"fields":%s}`, ids[goodEvents], fields))
}

// poisonedID is poisoned for an event that names its record by this Id.
func (w travel) poisonedID(r *rig, id string) store.Record {
	r.t.Helper()
	fields := ""
	if w.writes() {
		fields = `,"fields":{"LastName":"x","Description":"poison"}`
	}
	return w.among(r, w.goodWithIDs(r.contacts(goodEvents)), fmt.Sprintf(`{"key":"poison","object":"Contact","operation":%q,"id":%q%s}`, w.operation, id, fields))
}

// goodWithIDs are good events on the first of these records.
func (w travel) goodWithIDs(ids []string) []string {
	return many(goodEvents, func(i int) string {
		fields := ""
		if w.writes() {
			fields = fmt.Sprintf(`,"fields":{"LastName":"L%d",%q:"g-%04d"}`, i, marker, i)
		}
		return fmt.Sprintf(`{"key":"g-%04d","object":"Contact","operation":%q,"id":%q%s}`, i, w.operation, ids[i], fields)
	})
}

// among puts the poison in the midst of the good ones, and runs them.
func (w travel) among(r *rig, good []string, poison string) store.Record {
	r.t.Helper()
	r.put(slices.Insert(good, len(good)/2, poison)...)
	r.start()
	r.drained()
	delivered := make(map[store.Kind]int)
	for _, x := range r.list(store.Delivered) {
		if x.Key != "poison" {
			delivered[x.Kind]++
		}
	}
	if kinds := [...]int{delivered[store.KindREST], delivered[store.KindBulk]}; kinds[0]+kinds[1] != goodEvents {
		r.t.Errorf("%v of %d good events are delivered; stuck %v", kinds, goodEvents, r.stuck())
	} else if n := r.sim.Calls().Calls["job.create"]; w.job != (n > 0) {
		r.t.Errorf("%v went by REST and by job, of which there were %d", kinds, n) // what is left of a job that is split may go by REST
	}
	r.oracle()
	return r.get("poison")
}

// contacts creates records to write to.
func (r *rig) contacts(n int) (ids []string) {
	r.t.Helper()
	return r.people(n, func(i int) string { return fmt.Sprintf(`{"LastName":"seed %d"}`, i) })
}

func (w travel) config() dispatcher.Config {
	cfg := quick()
	if !w.job {
		cfg.Bulk.MinRecords = 1_000
		cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	}
	return cfg
}

// failedAs expects of the poison that it failed with its own code; "" that it did not fail.
func failedAs(t *testing.T, x store.Record, code string) {
	t.Helper()
	switch {
	case code == "" && x.State != store.Delivered:
		t.Errorf("the poison is %s, %.300v; want it delivered", x.State, x.LastError)
	case code != "" && (x.State != store.Failed || x.LastError == nil || x.LastError.Code != code):
		t.Errorf("the poison is %s, %.300v; want it failed as %s", x.State, x.LastError, code)
	}
}

// TestPoison_FailsAloneWithItsOwnCode: for each way in which an event can make
// Salesforce, or the client, refuse more than the event itself.
func TestPoison_FailsAloneWithItsOwnCode(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	manyFields := func(n, width int) string {
		fields := make([]string, n)
		for i := range fields {
			fields[i] = fmt.Sprintf(`"F%0*d__c":"x"`, width, i)
		}
		return strings.Join(fields, ",")
	}
	for _, p := range []struct {
		name, fields string
		rest         string // the code by REST; a job leaves the poison to it unless job says otherwise
		job          string // of a job that could read the row; "": the row never gets so far
		create       string // of a create that only a job may carry; "": as job, or else as rest
	}{
		{"unknown field", `"Nope__c":"x"`, "INVALID_FIELD", "", ""},
		{"two unknown fields", `"Nope__c":"x","Nada__c":"y"`, "INVALID_FIELD", "", ""},
		{"list", `"Title":["x"]`, "JSON_PARSER_ERROR", "", "INVALID"},
		{"object where a text belongs", `"Title":{"x":"y"}`, "JSON_PARSER_ERROR", "", "INVALID_FIELD"},
		{"unknown relationship", `"Nope__r":{"Shop_Id__c":"x"}`, "INVALID_FIELD", "", ""},
		{"parent by an unknown field", `"Account":{"Nope__c":"x"}`, "INVALID_FIELD", "", ""},
		{"parent by a field that is no key", `"Account":{"Site":"x"}`, "INVALID_FIELD", "", ""},
		{"parent that is not there", `"Account":{"Shop_Id__c":"x"}`, "INVALID_FIELD", "INVALID_FIELD", ""},
		{"parent by two fields", `"Account":{"Shop_Id__c":"x","Name":"y"}`, "INVALID_FIELD", "", "INVALID"},
		{"parent by no field", `"Account":{}`, "INVALID_FIELD", "", "INVALID"},
		{"parent of a parent", `"Account":{"Parent":{"Shop_Id__c":"x"}}`, "INVALID_FIELD", "", "INVALID"},
		{"nested as deep as an event may be", `"Account":` + strings.Repeat(`{"Parent":`, 60) + `{"Shop_Id__c":"x"}` + strings.Repeat(`}`, 60), "INVALID_FIELD", "", "INVALID"},
		{"parent that is null", `"Account":null`, "JSON_PARSER_ERROR", "", "INVALID"},
		{"parent that is a text", `"Account":"x"`, "JSON_PARSER_ERROR", "", "INVALID"},
		{"needless type of a parent", `"Account":{"attributes":{"type":"Lead"},"Shop_Id__c":"x"}`, "INVALID_FIELD", "INVALID_FIELD", ""},
		{"parent of a type that there is not", `"Account":{"attributes":{"type":"Nope__c"},"Shop_Id__c":"x"}`, "INVALID_FIELD", "INVALID_FIELD", ""},
		{"read-only field", `"Name":"x"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_FIELD_FOR_INSERT_UPDATE", ""},
		{"compound address written whole", `"MailingAddress":{"city":"x"}`, "INVALID_FIELD_FOR_INSERT_UPDATE", "", "INVALID_FIELD"},
		{"record type of an object that has none", `"RecordTypeId":"012000000000001AAA"`, "INVALID_FIELD", "", ""},
		{"field of the system", `"CreatedDate":"2026-01-01T00:00:00Z"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_FIELD_FOR_INSERT_UPDATE", ""},
		{"text in a date", `"Birthdate":"never"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"text in a number", `"Score__c":"much"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"text in a time", `"Last_Seen__c":"now"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"text in a boolean", `"DoNotCall":"perhaps"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"null in a boolean", `"DoNotCall":null`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"number in a date", `"Birthdate":20260131`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"too many digits", `"Score__c":12345678901234567890`, "NUMBER_OUTSIDE_VALID_RANGE", "NUMBER_OUTSIDE_VALID_RANGE", ""},
		{"a number beyond all", `"Score__c":1e999`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"year out of range", `"Birthdate":"0001-01-01"`, "NUMBER_OUTSIDE_VALID_RANGE", "NUMBER_OUTSIDE_VALID_RANGE", ""},
		{"bad Id", `"AccountId":"x"`, "MALFORMED_ID", "MALFORMED_ID", ""},
		{"Id of another object", `"AccountId":"003000000000001AAA"`, "MALFORMED_ID", "MALFORMED_ID", ""},
		{"Id that never was", `"AccountId":"001000000000001AAA"`, "INVALID_CROSS_REFERENCE_KEY", "INVALID_CROSS_REFERENCE_KEY", ""},
		{"bad e-mail address", `"Email":"x"`, "INVALID_EMAIL_ADDRESS", "INVALID_EMAIL_ADDRESS", ""},
		{"value not in the picklist", `"Tier__c":"Glod"`, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ""},
		{"required field cleared", `"LastName":null`, "REQUIRED_FIELD_MISSING", "REQUIRED_FIELD_MISSING", ""},
		{"too long for its field", `"Title":"` + long(200) + `"`, "STRING_TOO_LONG", "STRING_TOO_LONG", ""},
		{"too long for a cell", `"Notes__c":"` + long(131_073) + `"`, "STRING_TOO_LONG", "", "INVALID"},
		{"too long for a row", `"Notes__c":"` + long(131_000) + `","Title":"` + long(131_000) + `","Department":"` + long(131_000) + `","FirstName":"` + long(131_000) + `"`, "STRING_TOO_LONG", "", "INVALID"},
		{"more fields than a job has columns", manyFields(5_001, 4), "INVALID_FIELD", "", "INVALID"},
		{"names longer than a job's header", manyFields(900, 40), "INVALID_FIELD", "", "INVALID"},
		{"quotes, commas and line breaks in a bad value", `"Birthdate":"a\",\"b\r\nc\n\"\",,"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"text that clears a field in a job", `"Title":"#N/A"`, "", "", "INVALID"},
		{"NUL in a text", `"Title":"a\u0000b"`, "", "", "INVALID"},
	} {
		for _, w := range travelsThat(travel.writes) {
			t.Run(p.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				want := p.rest
				switch {
				case w.job && p.job != "":
					want = p.job
				case w.onlyByJob() && p.create != "":
					want = p.create
				}
				failedAs(t, w.poisoned(newPatientRig(t, w.config()), p.fields), want)
			})
		}
	}
}

// TestPoison_OfIDs: for each Id that the org refuses.
func TestPoison_OfIDs(t *testing.T) {
	for _, p := range []struct {
		name string
		id   func(r *rig) string
		code string
	}{
		{"never was", func(*rig) string { return "003000000000001AAA" }, "INVALID_CROSS_REFERENCE_KEY"},
		{"deleted", (*rig).deletedContact, "ENTITY_IS_DELETED"},
		{"that others keep from being deleted", (*rig).keptContact, "DELETE_FAILED"},
		{"of no object", func(*rig) string { return "zzz000000000001AAA" }, "MALFORMED_ID"},
		{"of another object", func(r *rig) string { return r.make("Account", `{"Name":"A"}`) }, "MALFORMED_ID"},
	} {
		for _, w := range travelsThat(func(w travel) bool { return w.operation != "create" && w.operation != "upsert" }) {
			t.Run(p.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				if p.code == "DELETE_FAILED" && w.writes() {
					return
				}
				r := newPatientRig(t, w.config())
				code := p.code
				if code == "MALFORMED_ID" && !w.writes() {
					code = "INVALID" // found before: a call that deletes takes Ids of all objects
				}
				id := p.id(r)
				failedAs(t, w.poisonedID(r, id), code)
				if strings.HasPrefix(id, "001") {
					r.row("Account", id) // is there still
				}
			})
		}
	}
}

// keptContact is the Id of a record that another one needs.
func (r *rig) keptContact() string {
	r.t.Helper()
	if err := r.sim.SetSchema([]simulator.Object{{Name: "Claim__c", Fields: []simulator.Field{
		{Name: "By__c", Type: "reference", ReferenceTo: simulator.References{"Contact"}, Relationship: "By__r", RestrictDelete: true},
	}}}); err != nil {
		r.t.Fatal(err)
	}
	id := r.contacts(1)[0]
	r.make("Claim__c", fmt.Sprintf(`{"By__c":%q}`, id))
	return id
}

// deletedContact is the Id of a record in the recycle bin, where no effect of a test's events is.
func (r *rig) deletedContact() string {
	r.t.Helper()
	id := r.contacts(1)[0]
	if got, err := r.client().DeleteOne(r.t.Context(), "Contact", salesforce.ID(id)); err != nil || !got.Success {
		r.t.Fatalf("%+v, %v", got, err)
	}
	return id
}

// TestPoison_OfKeys: for each external id that the org refuses, or only REST carries.
func TestPoison_OfKeys(t *testing.T) {
	for _, p := range []struct{ name, field, key, rest, job string }{
		{"too long", "Shop_Id__c", quoted(strings.Repeat("x", 81)), "STRING_TOO_LONG", "STRING_TOO_LONG"},
		{"text for a number", "Number__c", `"x"`, "JSON_PARSER_ERROR", "INVALID_FIELD"},
		{"number for a text", "Shop_Id__c", `7000`, "", ""},
		{"number with too many digits", "Number__c", `1234567890123456789`, "NUMBER_OUTSIDE_VALID_RANGE", "NUMBER_OUTSIDE_VALID_RANGE"},
		{"what means null in a job", "Shop_Id__c", `"#N/A"`, "", ""},
		{"quotes, commas and line breaks", "Shop_Id__c", `"\"a\",,\nb,\"\"\n"`, "", ""},
	} {
		for _, w := range travelsThat(func(w travel) bool { return w.operation == "upsert" }) {
			t.Run(p.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				r := newPatientRig(t, w.config())
				people := simulator.DefaultSchema()[1]
				people.Fields = append(people.Fields, simulator.Field{Name: "Number__c", Type: "double", Precision: 18, ExternalID: true, Unique: true})
				if err := r.sim.SetSchema([]simulator.Object{people}); err != nil {
					t.Fatal(err)
				}
				line := func(key, value, description string) string {
					return fmt.Sprintf(`{"key":%q,"object":"Contact","operation":"upsert","external_id":{"field":%q,"value":%s},"fields":{"LastName":"x",%q:%q}}`,
						key, p.field, value, marker, description)
				}
				good := many(goodEvents, func(i int) string { return line(fmt.Sprint("g-", i), fmt.Sprintf(`"%d"`, i+1), fmt.Sprint("g-", i)) })
				code := p.rest
				if w.job {
					code = p.job
				}
				failedAs(t, w.among(r, good, line("poison", p.key, "poison")), code)
			})
		}
	}
}

// TestPoison_OfAKeyThatTheOrgTakesForAnother: both records are refused, and pass
// one after the other. The client sends none together of which it knows.
func TestPoison_OfAKeyThatTheOrgTakesForAnother(t *testing.T) {
	for _, w := range travelsThat(func(w travel) bool { return w.operation == "upsert" }) {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := newPatientRig(t, w.config())
			var twice atomic.Bool
			r.between(func(_ *http.Request, body []byte) ([]byte, bool) {
				other := `"S-3"` // the name of its record, wherever it stands
				if !bytes.Contains(body, []byte(other)) {
					return nil, false
				}
				same := bytes.ReplaceAll(body, []byte(`"P"`), []byte(other))
				if !bytes.Equal(same, body) {
					twice.Store(true)
				}
				return same, true
			}, nil)
			failedAs(t, w.poisoned(r, `"Title":"x"`), "")
			if !twice.Load() {
				t.Error("the two never travelled together")
			}
		})
	}
}

// TestPoison_OfAJobWithoutAColumn: a job that fails as a whole over its data names
// no row, or blames a column that no event has. Halves find which one it is; where
// REST may carry it, it goes there.
func TestPoison_OfAJobWithoutAColumn(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	const cell, heading = "poisonous", `"Title"`
	for _, p := range []struct {
		name, old, becomes string
		code               string
	}{
		{"line ending", cell, "a\r\nb", "CLIENTINPUTERROR"},
		{"encoding", cell, "\xff\xfe", "INVALIDBATCH"},
		{"quoting", cell, `a"b`, "INVALIDBATCH"},
		{"blank behind a quote", cell + `"`, `a" `, "INVALIDBATCH"},
		{"quote that never closes", cell, `a""" `, "INVALIDBATCH"},
		{"cell too big", cell, long(131_073), "INVALIDBATCH"},
		{"record too big", cell, strings.Repeat(long(131_000)+`","`, 4), "INVALIDBATCH"},
		{"unknown column that is nobody's", heading, `"Nope__c"`, "INVALIDBATCH"},
		{"heading that is a piece of data", heading, `"399700"`, "INVALIDBATCH"},
		{"wrong delimiter", heading, `"LastName;Title"`, "INVALIDBATCH"},
		{"column twice", heading, `"LASTNAME"`, "INVALIDBATCH"},
		{"needless type", heading, `"Account:Account.Shop_Id__c"`, "INVALIDBATCH"},
		{"type and relationship swapped", heading, `"Account:Nope.Shop_Id__c"`, "INVALIDBATCH"},
		{"colon without a dot", heading, `"Account:Title"`, "INVALIDBATCH"},
		{"header too long", heading, `"` + long(32_001) + `"`, "INVALIDBATCH"},
		{"too many columns", heading, `"Title"` + strings.Repeat(`,""`, 5_000), "INVALIDBATCH"},
	} {
		for _, w := range travelsThat(func(w travel) bool { return w.job && w.writes() }) {
			t.Run(p.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				r := newPatientRig(t, w.config())
				r.between(func(req *http.Request, body []byte) ([]byte, bool) {
					return bytes.Replace(body, []byte(p.old), []byte(p.becomes), 1), req.Method == http.MethodPut && bytes.Contains(body, []byte(cell))
				}, nil)
				x := w.poisoned(r, `"Title":"poisonous"`)
				switch {
				case !w.onlyByJob() && (x.State != store.Delivered || x.Kind != store.KindREST):
					t.Errorf("the poison is %s by %s, %v; want it delivered by REST", x.State, x.Kind, x.LastError)
				case w.onlyByJob():
					failedAs(t, x, p.code)
				}
			})
		}
	}
}

// TestPoison_OfARowThatComesBackBlank: a row with a wrong number of cells is told
// without what names it. It is the one that is left over.
func TestPoison_OfARowThatComesBackBlank(t *testing.T) {
	for _, cells := range []string{`a","b`, `a","`} {
		for _, w := range travelsThat(func(w travel) bool { return w.job && w.writes() }) {
			t.Run(cells+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				r := newPatientRig(t, w.config())
				r.between(func(req *http.Request, body []byte) ([]byte, bool) {
					return bytes.ReplaceAll(body, []byte("poisonous"), []byte(cells)), req.Method == http.MethodPut
				}, nil)
				failedAs(t, w.poisoned(r, `"Title":"poisonous"`), "INVALID_FIELD")
			})
		}
	}
}

// TestPoison_OfAnUploadThatIsRefused: the org does not take the data of a job.
func TestPoison_OfAnUploadThatIsRefused(t *testing.T) {
	for _, p := range []struct {
		name   string
		answer func(http.ResponseWriter)
		code   string
	}{
		{"too large", answer{400, "CLIENTINPUTERROR"}.send, "CLIENTINPUTERROR"},
		{"too large for the edge", answer{413, "REQUEST_TOO_LARGE"}.send, "REQUEST_TOO_LARGE"},
		{"too large for what is between", page(413), "TRANSPORT"},
		{"no answer", cut, "TRANSPORT"},
		{"a fault of the server", answer{500, "UNKNOWN_EXCEPTION"}.send, "UNKNOWN_EXCEPTION"},
		{"a code that nobody knows", answer{400, "SOMETHING_NEW"}.send, "SOMETHING_NEW"},
		{"batch", answer{400, "INVALIDBATCH"}.send, "INVALIDBATCH"},
		{"refused", answer{400, "API_ERROR"}.send, "API_ERROR"},
	} {
		for _, w := range travelsThat(func(w travel) bool { return w.job && w.writes() }) {
			t.Run(p.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				cfg := w.config()
				cfg.Retry.MaxAttempts = 3 // of who is alone, where nothing is said of it
				r := newPatientRig(t, cfg)
				r.between(func(req *http.Request, body []byte) ([]byte, bool) {
					return nil, req.Method == http.MethodPut && bytes.Contains(body, []byte("poisonous"))
				}, p.answer)
				code := ""
				if w.onlyByJob() {
					code = p.code
				}
				failedAs(t, w.poisoned(r, `"Title":"poisonous"`), code)
			})
		}
	}
}

// TestPoison_OfResultsThatTellNothing: what can be repeated is, in smaller jobs, until
// the one is alone whose results never tell of any row.
func TestPoison_OfResultsThatTellNothing(t *testing.T) {
	cfg := quick()
	cfg.Chance = func() float64 { return 1 } // or chance would take the batch apart
	r := newPatientRig(t, cfg)
	r.put(many(goodEvents, upsertContact)...)
	r.put(`{"key":"poison","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"P"},"fields":{"LastName":"x"}}`)
	r.startWith(&oddOrg{Org: r.client(), rows: func(_ string, _ []string, rows []salesforce.ResultRow) []salesforce.ResultRow {
		if slices.ContainsFunc(rows, func(row salesforce.ResultRow) bool { return slices.Contains(row.Cells, "P") }) {
			return nil
		}
		return rows
	}})
	r.until("the good ones are delivered", func() bool { return r.counts().Of(store.Delivered) >= goodEvents })
	for _, x := range r.list(store.Failed, store.InDoubt) {
		t.Errorf("%s is %s, %+v", x.Key, x.State, x.LastError)
	}
}

// TestPoison_OfAJobThatTheServerGivesUp: an internal batch that fails again and
// again leaves its rows unprocessed and does not say over which.
func TestPoison_OfAJobThatTheServerGivesUp(t *testing.T) {
	for _, message := range []string{
		"InternalServerError : The job failed on the server.", "TooManyLockFailure : Too many lock failure 200 Trying again later.",
		"Too many retries", "Timeout : Processing took too long.",
	} {
		for _, w := range travelsThat(func(w travel) bool { return w.job && w.writes() }) {
			t.Run(message+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				cfg := w.config()
				cfg.Retry.MaxAttempts = 15 // what passes by itself is tried as often as may be
				r := newPatientRig(t, cfg)
				var mu sync.Mutex
				doomed := make(map[string][]byte) // by job
				m := r.between(func(req *http.Request, body []byte) ([]byte, bool) {
					mu.Lock()
					defer mu.Unlock()
					if id := jobOf(req); req.Method == http.MethodPut && bytes.Contains(body, []byte("poisonous")) {
						doomed[id] = body
						return body[:bytes.IndexByte(body, '\n')+1], true // of which it runs no row
					}
					return nil, false
				}, nil)
				m.bend = func(req *http.Request, body []byte) []byte {
					mu.Lock()
					defer mu.Unlock()
					csv := doomed[jobOf(req)]
					switch {
					case csv == nil:
					case strings.HasSuffix(req.URL.Path, "/unprocessedrecords"):
						return csv
					default:
						return bytes.Replace(body, []byte(`"state":"JobComplete"`), fmt.Appendf(nil, `"state":"Failed","errorMessage":%q`, message), 1)
					}
					return body
				}
				x := w.poisoned(r, `"Title":"poisonous"`)
				if x.State == store.Failed && !w.onlyByJob() || x.State != store.Failed && x.State != store.Delivered {
					t.Errorf("the poison is %s, %v", x.State, x.LastError)
				}
			})
		}
	}
}

func jobOf(req *http.Request) string {
	_, rest, _ := strings.Cut(req.URL.Path, "/jobs/ingest/")
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// answer is an error of Salesforce's own.
type answer struct {
	status int
	code   string
}

func (a answer) send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(a.status)
	fmt.Fprintf(w, `[{"message":"no","errorCode":%q}]`, a.code)
}

// page is an answer of somebody between the client and the org.
func page(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, "<html>no</html>")
	}
}

// cut is no answer.
func cut(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// refusals are answers to a whole call, each of which a single row could be the
// reason of: what is not proven to be of the route is not taken for it.
var refusals = []answer{
	{400, "JSON_PARSER_ERROR"},
	{400, "INVALID_FIELD"},
	{400, "INVALID_FIELD_FOR_INSERT_UPDATE"},
	{400, "INVALID_INPUT"},
	{400, "INVALID_ARGUMENT_TYPE"},
	{400, "INVALID_BATCH_OPERATION"},
	{400, "INVALID_TYPE"},
	{400, "INVALID_TYPE_FOR_OPERATION"},
	{400, "INVALID_TYPE_ON_FIELD_IN_RECORD"},
	{400, "INVALID_ID_FIELD"},
	{400, "INVALID_CROSS_REFERENCE_KEY"},
	{400, "MALFORMED_ID"},
	{400, "MISSING_ARGUMENT"},
	{400, "REQUIRED_FIELD_MISSING"},
	{400, "STRING_TOO_LONG"},
	{400, "TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET"},
	{400, "DUPLICATE_VALUE"},
	{400, "DUPLICATE_EXTERNAL_ID"},
	{400, "DUPLICATES_DETECTED"},
	{400, "MIXED_DML_OPERATION"},
	{400, "APEX_ERROR"},
	{400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"},
	{400, "CANNOT_EXECUTE_FLOW_TRIGGER"},
	{400, "EXCEEDED_ID_LIMIT"},
	{400, "LIMIT_EXCEEDED"},
	{400, "OPERATION_TOO_LARGE"},
	{400, "SOMETHING_NEW"},
	{403, "FORBIDDEN"},
	{403, "INSUFFICIENT_ACCESS"},
	{403, "INSUFFICIENT_ACCESS_OR_READONLY"},
	{403, "SOMETHING_NEW"},
	{404, "NOT_FOUND"},
	{404, "ENTITY_IS_DELETED"},
	{404, "SOMETHING_NEW"},
	{405, "METHOD_NOT_ALLOWED"},
	{413, "REQUEST_TOO_LARGE"},
	{414, "URI_TOO_LONG"},
	{415, "UNSUPPORTED_MEDIA_TYPE"},
}

// TestPoison_OfACallThatIsRefusedAsAWhole: what the org says of all is true of one.
func TestPoison_OfACallThatIsRefusedAsAWhole(t *testing.T) {
	for _, a := range refusals {
		for _, w := range travelsThat(travel.byREST) {
			t.Run(fmt.Sprint(a.status, " ", a.code, "/", w.name), func(t *testing.T) {
				t.Parallel()
				failedAs(t, w.poisonsCalls(newPatientRig(t, w.config()), a.send), a.code)
			})
		}
	}
}

// poisonsCalls runs a poison whose calls end with this answer, unread by the org.
func (w travel) poisonsCalls(r *rig, answer func(http.ResponseWriter)) store.Record {
	r.t.Helper()
	if w.writes() {
		r.between(func(_ *http.Request, body []byte) ([]byte, bool) {
			return nil, bytes.Contains(body, []byte("poisonous"))
		}, answer)
		return w.poisoned(r, `"Title":"poisonous"`)
	}
	id := r.contacts(1)[0]
	r.between(func(req *http.Request, _ []byte) ([]byte, bool) { return nil, strings.Contains(req.URL.RawQuery, id) }, answer)
	return w.poisonedID(r, id)
}

// TestPoison_OfACallThatPassesNever: what passes by itself does not of one record.
// It is sent again in smaller batches, until it is alone.
func TestPoison_OfACallThatPassesNever(t *testing.T) {
	for _, p := range []struct {
		name   string
		answer func(http.ResponseWriter)
		code   string
		doubt  bool // it is not known whether it was written
	}{
		{"a lock", answer{400, "UNABLE_TO_LOCK_ROW"}.send, "UNABLE_TO_LOCK_ROW", false},
		{"a fault of the server", answer{500, "UNKNOWN_EXCEPTION"}.send, "UNKNOWN_EXCEPTION", true},
		{"a call that ran too long", answer{400, "REQUEST_RUNNING_TOO_LONG"}.send, "REQUEST_RUNNING_TOO_LONG", true},
		{"too large for the edge", page(413), "TRANSPORT", true},
		{"no answer", cut, "TRANSPORT", true},
	} {
		for _, w := range travelsThat(travel.byREST) {
			if p.doubt && w.operation == "create" {
				continue // all of the call are in doubt: a repeat could double them (P7)
			}
			for _, attempts := range []int{1, 12} {
				if !p.doubt && attempts == 1 {
					continue // who is charged for a lock has had its chance
				}
				t.Run(fmt.Sprint(p.name, "/", w.name, "/", attempts), func(t *testing.T) {
					t.Parallel()
					cfg := w.config()
					cfg.Retry.MaxAttempts = attempts
					cfg.Chance = func() float64 { return 1 } // or chance would take the batch apart
					failedAs(t, w.poisonsCalls(newPatientRig(t, cfg), p.answer), p.code)
				})
			}
		}
	}
}

// TestPoison_OfACallOfWhichAllRecordsFail: a trigger's failure, a lock or too many
// retries come to all records of a call, and say nothing of most of them.
func TestPoison_OfACallOfWhichAllRecordsFail(t *testing.T) {
	for _, p := range []struct{ code, message string }{
		{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: execution of BeforeInsert caused by: System.NullPointerException"},
		{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: System.LimitException: Apex CPU time limit exceeded"},
		{"UNKNOWN", "Too many batch retries in the presence of Apex triggers and partial failures."},
		{"UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 41 records"},
		{"ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because not all records were valid"},
		{"PROCESSING_HALTED", "another operation in the same transaction failed"},
		{"LIMIT_EXCEEDED", "too much"},
		{"UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1-2 (3)"},
	} {
		for _, w := range travelsThat(travel.byREST) {
			if p.code == "UNKNOWN_EXCEPTION" && w.operation == "create" {
				continue // all of the call are in doubt: a repeat could double them (P7)
			}
			t.Run(fmt.Sprintf("%s %.20s/%s", p.code, p.message, w.name), func(t *testing.T) {
				t.Parallel()
				cfg := w.config()
				cfg.Retry.MaxAttempts = 12
				cfg.Chance = func() float64 { return 1 } // or chance would take the batch apart
				r := newPatientRig(t, cfg)
				var records atomic.Int64 // of the call with the poison, of which there is one at a time
				poison := []byte("poisonous")
				if !w.writes() {
					poison = []byte(r.contacts(1)[0])
				}
				r.between(func(req *http.Request, body []byte) ([]byte, bool) {
					picked := bytes.Contains(body, poison) || strings.Contains(req.URL.RawQuery, string(poison))
					if picked {
						records.Store(int64(max(bytes.Count(body, []byte(`"attributes"`)), strings.Count(req.URL.RawQuery, ",")+1)))
					}
					return nil, picked
				}, func(rw http.ResponseWriter) {
					rw.Header().Set("Content-Type", "application/json")
					item := fmt.Sprintf(`{"success":false,"errors":[{"statusCode":%q,"message":%q,"fields":[]}]}`, p.code, p.message)
					fmt.Fprint(rw, "["+strings.TrimSuffix(strings.Repeat(item+",", int(records.Load())), ",")+"]")
				})
				var x store.Record
				if w.writes() {
					x = w.poisoned(r, `"Title":"poisonous"`)
				} else {
					x = w.poisonedID(r, string(poison))
				}
				failedAs(t, x, p.code)
			})
		}
	}
}

// TestRefusal_OfTheRouteFailsAllAtOnce: where the org's description says so too,
// smaller calls would fare no better and are not made.
func TestRefusal_OfTheRouteFailsAllAtOnce(t *testing.T) {
	for _, tt := range []struct {
		operation string
		answer    answer
		rights    []string // that the user has not
	}{
		{"create", answer{403, "FORBIDDEN"}, []string{"createable"}},
		{"update", answer{400, "INSUFFICIENT_ACCESS"}, []string{"updateable"}},
		{"delete", answer{400, "INVALID_TYPE_FOR_OPERATION"}, []string{"deletable"}},
		{"upsert", answer{404, "NOT_FOUND"}, []string{"createable", "updateable"}},
	} {
		t.Run(tt.operation, func(t *testing.T) {
			t.Parallel()
			w := travelsThat(func(w travel) bool { return w.operation == tt.operation && !w.job })[0]
			r := newPatientRig(t, w.config())
			var lines []string
			switch tt.operation {
			case "create":
				lines = many(goodEvents, createContact)
			case "upsert":
				lines = many(goodEvents, upsertContact)
			default:
				lines = w.goodWithIDs(r.contacts(goodEvents))
			}
			var writes atomic.Int64
			m := r.between(func(req *http.Request, _ []byte) ([]byte, bool) {
				written := strings.Contains(req.URL.Path, "/composite/")
				if written {
					writes.Add(1)
				}
				return nil, written
			}, tt.answer.send)
			m.bend = func(req *http.Request, body []byte) []byte {
				if strings.HasSuffix(req.URL.Path, "/describe") {
					for _, right := range tt.rights {
						body = bytes.ReplaceAll(body, []byte(`"`+right+`":true`), []byte(`"`+right+`":false`))
					}
				}
				return body
			}
			r.put(lines...)
			r.start()
			c := r.drained()
			if c.Of(store.Failed) != goodEvents || writes.Load() != 1 {
				t.Errorf("%v after %d calls, want all failed after one; stuck %v", c, writes.Load(), r.stuck())
			}
			if x := r.list(store.Failed)[0]; x.LastError.Code != tt.answer.code {
				t.Errorf("failed as %+v", x.LastError)
			}
		})
	}
}

// TestRefusal_OfAnObjectThatIsNotThere: one call shows it.
func TestRefusal_OfAnObjectThatIsNotThere(t *testing.T) {
	for _, operation := range []string{"create", "update", "delete"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.Bulk.MinRecords = 1_000
			cfg.Objects["nope__c"] = dispatcher.ObjectConfig{CreateREST: true}
			r := newPatientRig(t, cfg)
			r.put(many(goodEvents, func(i int) string {
				what := fmt.Sprintf(`"id":"0035e%010d"`, i)
				switch operation {
				case "create":
					what = `"fields":{"Name":"x"}`
				case "update":
					what += `,"fields":{"Name":"x"}`
				}
				return fmt.Sprintf(`{"key":"n-%d","object":"Nope__c","operation":%q,%s}`, i, operation, what)
			})...)
			r.start()
			c := r.drained()
			if n := r.sim.Calls().Calls; c.Of(store.Failed) != goodEvents || n["coll.create"]+n["coll.update"]+n["coll.delete"] > 1 {
				t.Errorf("%v after %v; stuck %v", c, n, r.stuck())
			}
			code := "INVALID_TYPE"
			if operation == "delete" {
				code = "NOT_FOUND" // no call for it: its Ids could be of another object
			}
			if x := r.list(store.Failed)[0]; x.LastError.Code != code {
				t.Errorf("failed as %+v, want %s", x.LastError, code)
			}
		})
	}
}

// TestRefusal_OfAJobsCreation: the call names the route and no row. Its refusal is
// of all, but what nobody knows fails nobody.
func TestRefusal_OfAJobsCreation(t *testing.T) {
	for _, tt := range []struct {
		answer answer
		states string // of creates, which only a job may carry, and of upserts
	}{
		{answer{400, "INVALIDJOB"}, "failed delivered"},
		{answer{400, "INVALIDENTITY"}, "failed delivered"},
		{answer{400, "FEATURENOTENABLED"}, "failed delivered"},
		{answer{400, "API_ERROR"}, "failed delivered"},
		{answer{400, "SOMETHING_NEW"}, "delivered delivered"},
		{answer{403, "SOMETHING_NEW"}, "delivered delivered"},
		{answer{400, "SOME_NEW_LIMIT_EXCEEDED"}, "delivered delivered"},
		{answer{400, "LIMIT_EXCEEDED"}, "delivered delivered"},
	} {
		t.Run(fmt.Sprint(tt.answer.status, " ", tt.answer.code), func(t *testing.T) {
			t.Parallel()
			r := newPatientRig(t, quick())
			var mu sync.Mutex
			left := 3 // that are refused
			r.between(func(req *http.Request, _ []byte) ([]byte, bool) {
				mu.Lock()
				defer mu.Unlock()
				refused := req.Method == http.MethodPost && strings.HasSuffix(strings.TrimSuffix(req.URL.Path, "/"), "/jobs/ingest") && left > 0
				if refused {
					left--
				}
				return nil, refused
			}, tt.answer.send)
			r.put(many(goodEvents, createContact)...)
			r.put(many(goodEvents, upsertContact)...)
			r.start()
			r.drained()
			if got := fmt.Sprint(r.get("c-0000").State, " ", r.get("u-0000").State); got != tt.states {
				t.Errorf("%s, want %s; stuck %v", got, tt.states, r.stuck())
			}
			r.oracle()
		})
	}
}

// middle stands between the client and the org.
type middle struct {
	// bend changes the body of an answer; nil: none.
	bend func(req *http.Request, body []byte) []byte
}

// between puts something between the client and the org that changes the bodies
// which it picks, or answers them itself.
func (r *rig) between(pick func(*http.Request, []byte) ([]byte, bool), answer func(http.ResponseWriter)) *middle {
	r.t.Helper()
	m := &middle{}
	org := r.sim.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		changed, picked := pick(req, body)
		switch {
		case picked && answer != nil:
			answer(w)
			return
		case picked:
			body = changed
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if m.bend == nil {
			org.ServeHTTP(w, req)
			return
		}
		req.Header.Del("Accept-Encoding")
		told := httptest.NewRecorder()
		org.ServeHTTP(told, req)
		maps.Copy(w.Header(), told.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(told.Code)
		if _, err := w.Write(m.bend(req, told.Body.Bytes())); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(http.ErrAbortHandler)
		}
	}))
	r.t.Cleanup(s.Close)
	r.url = s.URL
	return m
}
