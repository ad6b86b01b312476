package simulator

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestControl_RecordsAndEffects(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"L","Score__c":7.50,"DoNotCall":true,"Email":"a@b.example"}`)
	o.do("PATCH", "/sobjects/Contact/"+id, `{"Email":null}`).want(204, "")
	rows := o.do("GET", "/_sim/records/contact", "").want(200, "")
	if got := rows.object(); got["Id"] != id || got["LastName"] != "L" || got["Score__c"] != 7.5 || got["DoNotCall"] != true || got["Email"] != nil {
		t.Errorf("%v", got)
	}
	o.do("GET", "/_sim/records/Nope", "").want(404, "Nope: no such object")
	var all []Effect
	lines := bufio.NewScanner(strings.NewReader(o.do("GET", "/_sim/effects", "").want(200, "").body))
	for lines.Scan() {
		var e Effect
		if err := strictJSON(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) != 2 || all[1].N != 2 || all[1].Operation != "update" || all[1].At.IsZero() {
		t.Errorf("%+v", all)
	}
	if v, has := all[1].Fields["Email"]; !has || v != nil {
		t.Errorf("cleared field: %v", all[1].Fields)
	}
}

func TestControl_Calls(t *testing.T) {
	o := startOrg(t, Config{APILimit: 50})
	o.run(insertContacts, contactsCSV(1, 0))
	var got Calls
	if err := strictJSON([]byte(o.do("GET", "/_sim/calls", "").want(200, "").body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Calls["token"] != 1 || got.Calls["job.create"] != 1 || got.Calls["job.upload"] != 1 || got.Calls["job.close"] != 1 || got.Max != 50 {
		t.Errorf("%+v", got)
	}
	sum := -int64(got.Calls["token"])
	for _, n := range got.Calls {
		sum += int64(n)
	}
	if got.Used != sum {
		t.Errorf("used %d, want %d", got.Used, sum)
	}
}

func TestControl_Commands(t *testing.T) {
	o := startOrg(t, Config{})
	o.do("POST", "/_sim/schema", `[{"name":"Item__c","fields":[{"name":"Sku__c","type":"text","length":10,"external_id":true,"unique":true},
		{"name":"Contact__c","type":"lookup","reference_to":"Contact","relationship":"Contact__r"}],
		"rules":[{"field":"Sku__c","pattern":"x","message":"no x"}]}]`).want(200, "")
	o.do("POST", "/sobjects/Item__c", `{"Sku__c":"x"}`).refused(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "no x")
	o.create("Item__c", `{"Sku__c":"1"}`)
	o.do("POST", "/_sim/faults", `[{"match":{"kind":"row.create","times":1},"do":"status","status":500}]`).want(200, "")
	o.do("POST", "/sobjects/Item__c", `{"Sku__c":"2"}`).want(500, "")
	before := o.sim.Now()
	o.do("POST", "/_sim/clock", `{"advance":"25h"}`).want(200, "")
	if moved := o.sim.Now().Sub(before); moved < 25*time.Hour {
		t.Errorf("the clock moved by %s", moved)
	}
	o.do("POST", "/_sim/org", `{"id":"00D5e0000000XYZ"}`).want(200, "")
	if o.sim.OrgID() != "00D5e0000000XYZEA2" {
		t.Errorf("org %s", o.sim.OrgID())
	}
	o.login()
	o.do("POST", "/_sim/reset", "").want(200, "")
	o.effects(0)
	if n := len(o.sim.Records("Item__c")); n != 0 || len(o.sim.Calls().Calls) != 0 {
		t.Errorf("after the reset %d rows, %v", n, o.sim.Calls())
	}
	o.create("Item__c", `{"Sku__c":"1"}`) // schema and token stay
	o.query("SELECT Id FROM Organization").want(200, o.sim.OrgID())
}

func TestControl_Refusals(t *testing.T) {
	o := startOrg(t, Config{})
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "schema", `{}`, "schema: json"},
		{"POST", "schema", `[{"name":"X__c","fields":[],"colour":"red"}]`, `unknown field "colour"`},
		{"POST", "schema", `[{"name":"X__c","fields":[{"name":"F__c","type":"blob"}]}]`, `object X__c: field F__c: unknown type "blob"`},
		{"POST", "schema", `[{"name":"not a name","fields":[]}]`, "not an API name"},
		{"POST", "schema", `[{"name":"X__c","fields":[{"name":"F__c"},{"name":"f__C"}]}]`, "defined twice"},
		{"POST", "schema", `[{"name":"X__c","fields":[],"rules":[{"field":"F__c"}]}]`, `rule for unknown field "F__c"`},
		{"POST", "schema", `[{"name":"X__c","fields":[{"name":"F__c"}],"rules":[{"field":"F__c","pattern":"("}]}]`, "missing closing"},
		{"POST", "schema", `[{"name":"X__c","key_prefix":"001","fields":[]}]`, "key prefix 001 belongs to Account"},
		{"POST", "schema", `[{"name":"Account","key_prefix":"a01","fields":[]}]`, "can't become a01"},
		{"POST", "schema", `[{"name":"X__c","key_prefix":"a0é","fields":[]}]`, "is not three letters or digits"},
		{"POST", "faults", `[{"do":"explode"}]`, "unknown do"},
		{"POST", "faults", `[{"do":"html"}] []`, "more than one JSON value"},
		{"POST", "faults", ``, "no JSON value"},
		{"POST", "clock", `{"advance":"soon"}`, "advance: "},
		{"POST", "clock", `{"advance":"-1h"}`, "does not go back"},
		{"POST", "clock", `{"back":"1h"}`, "unknown field"},
		{"POST", "org", `{"id":"x"}`, "is not the id of an org"},
	} {
		r := o.do(tt.method, "/_sim/"+tt.path, tt.body)
		if r.status != 400 || !strings.Contains(r.body, tt.want) {
			t.Errorf("%s %s: got %d %q, want 400 with %s", tt.path, tt.body, r.status, r.body, tt.want)
		}
	}
	o.do("POST", "/_sim/nope", "{}").want(404, "no such call")
	o.do("GET", "/_sim/nope", "").want(404, "no such call")
}

func TestSetSchema_KeepsRows(t *testing.T) {
	o := startOrg(t, Config{})
	id := o.create("Contact", `{"LastName":"L","Shop_Id__c":"1","Email":"a@b.example"}`)
	gone := o.create("Contact", `{"LastName":"M","Shop_Id__c":"2"}`)
	o.do("DELETE", "/sobjects/Contact/"+gone, "").want(204, "")
	if err := o.sim.SetSchema([]Object{{Name: "Contact", Fields: []Field{
		{Name: "LastName", Type: "string", Required: true}, {Name: "Shop_Id__c", ExternalID: true, Unique: true}, {Name: "New__c"},
	}}}); err != nil {
		t.Fatal(err)
	}
	o.do("PATCH", "/sobjects/Contact/Shop_Id__c/1", `{"New__c":"n"}`).want(200, `"id":"`+id+`"`)
	o.do("PATCH", "/sobjects/Contact/"+gone, `{"New__c":"n"}`).refused(404, "ENTITY_IS_DELETED", "")
	rows := o.sim.Records("Contact")
	if len(rows) != 1 || rows[0]["LastName"] != "L" || rows[0]["New__c"] != "n" || rows[0]["Email"] != nil {
		t.Errorf("%v", rows)
	}
	if next := o.create("Contact", `{"LastName":"N"}`); next == id || next == gone {
		t.Errorf("id %s is used again", next)
	}
}

func TestSetSchema_UnderARunningJob(t *testing.T) {
	o := startOrg(t, Config{JobDelay: time.Hour})
	id := o.job(insertContacts)
	o.upload(id, contactsCSV(300, 0)).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
	o.sim.Advance(25 * time.Minute)
	await(func() bool { return len(o.sim.Effects()) == 200 })
	if err := o.sim.SetSchema([]Object{{Name: "Contact", Fields: []Field{{Name: "LastName", Type: "string"}}}}); err != nil {
		t.Fatal(err)
	}
	o.sim.Advance(time.Hour)
	if j := o.settle(id); j["state"] != stateFailed || j["errorMessage"] != "InvalidBatch : Field name not found : Shop_Id__c" {
		t.Errorf("%v", j)
	}
	if n := len(rowsOf(t, o.results(id, "unprocessedrecords"))); n != 100 {
		t.Errorf("%d rows are unprocessed, want 100", n)
	}
}

func TestReset_UnderARunningJob(t *testing.T) {
	o := startOrg(t, Config{JobDelay: time.Hour})
	id := o.job(insertContacts)
	o.upload(id, contactsCSV(300, 0)).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
	o.sim.Reset()
	o.sim.Advance(2 * time.Hour)
	if err := o.sim.Close(); err != nil {
		t.Fatal(err)
	}
	o.effects(0)
}

func TestParseSchema(t *testing.T) {
	const text = `[{"name":"Item__c","fields":[{"name":"Any__c","type":"lookup","reference_to":["Account","Contact"],"relationship":"Any__r"}]}]`
	objects, err := ParseSchema(strings.NewReader(text))
	if err != nil || len(objects[0].Fields[0].ReferenceTo) != 2 {
		t.Fatalf("%+v %v", objects, err)
	}
	out, err := json.Marshal(objects)
	if err != nil || string(out) != text {
		t.Errorf("%s %v, want %s", out, err, text)
	}
}

// pipes is a listener of memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// TestServe_InMemory runs a slow job in no time, in a bubble.
func TestServe_InMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := New(Config{JobDelay: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		served := make(chan error)
		go func() { served <- sim.Serve(l) }()
		transport := &http.Transport{DialContext: dialPipes(l)}
		o := &testOrg{TB: t, sim: sim, url: "http://sim.example", http: &http.Client{Transport: transport}}
		o.login()
		id := o.job(insertContacts)
		o.upload(id, contactsCSV(1, 0)).want(201, "")
		o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
		time.Sleep(time.Hour)
		synctest.Wait()
		o.do("GET", "/jobs/ingest/"+id, "").want(200, stateComplete)
		transport.CloseIdleConnections()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestClose_CutsDelays(t *testing.T) {
	o := startOrg(t, Config{JobDelay: 1_000 * time.Hour})
	id := o.job(insertContacts)
	o.upload(id, contactsCSV(1, 0)).want(201, "")
	o.do("PATCH", "/jobs/ingest/"+id, `{"state":"UploadComplete"}`).want(200, "")
	for range 2 {
		if err := o.sim.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := o.sim.Start("127.0.0.1:0"); err == nil {
		t.Error("started after Close")
	}
	o.effects(0)
}

func dialPipes(l *pipes) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case l.conns <- server:
			return client, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var curlCommand = regexp.MustCompile(`curl -sS http://127\.0\.0\.1:8089(/\S+)(?: -d '([^']*)')?`)

// TestDocs_Examples sends what docs/simulator.md tells people to send.
func TestDocs_Examples(t *testing.T) {
	page, err := os.ReadFile("../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	o := startOrg(t, Config{})
	commands := curlCommand.FindAllStringSubmatch(string(page), -1)
	if len(commands) < 5 {
		t.Fatalf("%d commands are found", len(commands))
	}
	for _, c := range commands {
		method := "GET"
		if c[2] != "" {
			method = "POST"
		}
		o.do(method, c[1], c[2]).want(200, "")
	}
	o.create("Contact", `{"LastName":"L","Shop_Id__c":"1"}`)
	o.do("PATCH", "/sobjects/Order__c/Number__c/N-1", `{"Total__c":12.5,"Buyer__r":{"Shop_Id__c":"1"}}`).want(201, `"created":true`)
	for _, do := range slices.Concat(beforeFaults, afterFaults, jobFaults, rowFaults) {
		if !strings.Contains(string(page), "| `"+do+"` |") {
			t.Errorf("the page does not explain %s", do)
		}
	}
}
