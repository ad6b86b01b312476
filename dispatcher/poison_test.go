package dispatcher_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/store"
)

// travel is a way in which a batch of good events goes that has a poison among it.
type travel struct {
	name   string
	create bool // else upserts
	job    bool // else by REST
}

var travels = []travel{
	{"upserts by REST", false, false},
	{"creates by REST", true, false},
	{"upserts by job", false, true},
	{"creates by job", true, true},
}

// poisoned runs 40 good events with one that has these fields in their midst,
// and expects the good ones to be delivered, once each.
func (w travel) poisoned(r *rig, fields string) store.Record {
	r.t.Helper()
	const n = 40
	line := upsertContact
	poison := `{"key":"poison","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"P"},"fields":{"LastName":"x","Description":"poison",` + fields + `}}`
	if w.create {
		line = createContact
		poison = `{"key":"poison","object":"Contact","operation":"create","fields":{"LastName":"x","Description":"poison",` + fields + `}}`
	}
	lines := many(n, line)
	lines = append(lines[:n/2:n/2], append([]string{poison}, lines[n/2:]...)...)
	r.put(lines...)
	r.start()
	r.drained()
	delivered := make(map[store.Kind]int)
	for _, x := range r.list(store.Delivered) {
		if x.Key != "poison" {
			delivered[x.Kind]++
		}
	}
	if kinds := [...]int{delivered[store.KindREST], delivered[store.KindBulk]}; kinds[0]+kinds[1] != n {
		r.t.Errorf("%v of %d good events are delivered; stuck %v", kinds, n, r.stuck())
	} else if w.job && kinds[1] == 0 || !w.job && kinds[0] != n {
		r.t.Errorf("%v went by REST and by job", kinds) // what is left of a job that is split may go by REST
	}
	r.oracle()
	return r.get("poison")
}

func (w travel) config() dispatcher.Config {
	cfg := quick()
	if !w.job {
		cfg.Bulk.MinRecords = 1_000
		cfg.Objects["contact"] = dispatcher.ObjectConfig{CreateREST: true}
	}
	return cfg
}

// TestPoison_FailsAloneWithItsOwnCode: for each way in which an event can make
// Salesforce, or the client, refuse more than the event itself.
func TestPoison_FailsAloneWithItsOwnCode(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, p := range []struct {
		name, fields string
		rest         string // the code by REST; an upsert's job leaves the poison to it unless job says otherwise
		job          string // of a job that could read the row; "": the row never gets so far
		create       string // of a create that only a job may carry; "": as job, or else as rest
	}{
		{"unknown field", `"Nope__c":"x"`, "INVALID_FIELD", "", ""},
		{"two unknown fields", `"Nope__c":"x","Nada__c":"y"`, "INVALID_FIELD", "", ""},
		{"list", `"Title":["x"]`, "JSON_PARSER_ERROR", "", "INVALID"},
		{"unknown relationship", `"Nope__r":{"Shop_Id__c":"x"}`, "INVALID_FIELD", "", ""},
		{"parent by an unknown field", `"Account":{"Nope__c":"x"}`, "INVALID_FIELD", "", ""},
		{"parent by a field that is no key", `"Account":{"Site":"x"}`, "INVALID_FIELD", "", ""},
		{"parent that is not there", `"Account":{"Shop_Id__c":"x"}`, "INVALID_FIELD", "INVALID_FIELD", ""},
		{"parent by two fields", `"Account":{"Shop_Id__c":"x","Name":"y"}`, "INVALID_FIELD", "", "INVALID"},
		{"needless type of a parent", `"Account":{"attributes":{"type":"Lead"},"Shop_Id__c":"x"}`, "INVALID_FIELD", "INVALID_FIELD", ""},
		{"read-only field", `"Name":"x"`, "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_FIELD_FOR_INSERT_UPDATE", ""},
		{"text in a date", `"Birthdate":"never"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"text in a number", `"Score__c":"much"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"text in a time", `"Last_Seen__c":"now"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"text in a boolean", `"DoNotCall":"perhaps"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
		{"bad Id", `"AccountId":"x"`, "MALFORMED_ID", "MALFORMED_ID", ""},
		{"value not in the picklist", `"Tier__c":"Glod"`, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ""},
		{"too long for its field", `"Title":"` + long(200) + `"`, "STRING_TOO_LONG", "STRING_TOO_LONG", ""},
		{"too long for a cell", `"Notes__c":"` + long(131_073) + `"`, "STRING_TOO_LONG", "", "INVALID"},
		{"too long for a row", `"Notes__c":"` + long(131_000) + `","Title":"` + long(131_000) + `","Department":"` + long(131_000) + `","FirstName":"` + long(131_000) + `"`, "STRING_TOO_LONG", "", "INVALID"},
		{"quotes, commas and line breaks in a bad value", `"Birthdate":"a\",\"b\r\nc\n\"\",,"`, "JSON_PARSER_ERROR", "INVALID_FIELD", ""},
	} {
		for _, w := range travels {
			t.Run(p.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				want := p.rest
				switch {
				case w.job && p.job != "":
					want = p.job
				case w.job && w.create && p.create != "":
					want = p.create
				}
				x := w.poisoned(newRig(t, w.config()), p.fields)
				if x.State != store.Failed || x.LastError == nil || x.LastError.Code != want {
					t.Errorf("the poison is %s, %.300v; want it failed as %s", x.State, x.LastError, want)
				}
			})
		}
	}
}

// TestPoison_OfAJobWithoutAColumn: a job that fails as a whole over its data names
// no row. Halves find which one it is; where REST may carry it, it goes there.
func TestPoison_OfAJobWithoutAColumn(t *testing.T) {
	for _, p := range []struct{ name, becomes, code string }{
		{"line ending", "a\r\nb", "CLIENTINPUTERROR"},
		{"encoding", "\xff\xfe", "INVALIDBATCH"},
		{"quoting", `a"b`, "INVALIDBATCH"},
		{"cell too big", strings.Repeat("x", 131_073), "INVALIDBATCH"},
	} {
		for _, w := range travels[2:] {
			t.Run(p.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, w.config())
				r.between(func(req *http.Request, body []byte) ([]byte, bool) {
					return bytes.ReplaceAll(body, []byte("poisonous"), []byte(p.becomes)), req.Method == http.MethodPut
				}, nil)
				x := w.poisoned(r, `"Title":"poisonous"`)
				switch {
				case !w.create && (x.State != store.Delivered || x.Kind != store.KindREST):
					t.Errorf("the poison is %s by %s, %v; want it delivered by REST", x.State, x.Kind, x.LastError)
				case w.create && (x.State != store.Failed || x.LastError.Code != p.code):
					t.Errorf("the poison is %s, %v; want it failed as %s", x.State, x.LastError, p.code)
				}
			})
		}
	}
}

// TestPoison_OfACallThatIsRefusedAsAWhole: what the org says of all is true of one.
func TestPoison_OfACallThatIsRefusedAsAWhole(t *testing.T) {
	for _, code := range []string{"JSON_PARSER_ERROR", "INVALID_FIELD", "INVALID_INPUT", "APEX_ERROR", "OPERATION_TOO_LARGE", "MALFORMED_ID"} {
		for _, w := range travels[:2] {
			t.Run(code+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, w.config())
				r.between(func(_ *http.Request, body []byte) ([]byte, bool) {
					return nil, bytes.Contains(body, []byte("poisonous"))
				},
					func(rw http.ResponseWriter) {
						rw.Header().Set("Content-Type", "application/json;charset=UTF-8")
						rw.WriteHeader(http.StatusBadRequest)
						fmt.Fprintf(rw, `[{"message":"no","errorCode":%q}]`, code)
					})
				x := w.poisoned(r, `"Title":"poisonous"`)
				if x.State != store.Failed || x.LastError.Code != code {
					t.Errorf("the poison is %s, %v; want it failed as %s", x.State, x.LastError, code)
				}
			})
		}
	}
}

// between puts something between the client and the org that changes the bodies
// which it picks, or answers them itself.
func (r *rig) between(pick func(*http.Request, []byte) ([]byte, bool), answer func(http.ResponseWriter)) {
	r.t.Helper()
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
		org.ServeHTTP(w, req)
	}))
	r.t.Cleanup(s.Close)
	r.url = s.URL
}
