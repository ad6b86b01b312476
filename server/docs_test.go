package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

var update = flag.Bool("update", false, "write docs/api.md and docs/problems.md")

// TestDocs_APIPageIsWhatTheServerSays runs every call of docs/api.md against
// the server; -update writes the page.
func TestDocs_APIPageIsWhatTheServerSays(t *testing.T) {
	p := &page{rig: start(t, func(s *setup) {
		s.config.Access = Access{Write: []string{"*"}, Read: []string{"*"}, Operate: []string{"*"}}
	})}
	p.client.Close()
	intro, err := os.ReadFile("testdata/api.md")
	must(t, err)
	p.out.Write(intro)
	p.prepare()
	p.writing()
	p.asking()
	p.moving()
	p.watching()
	p.errors()
	compare(t, "../docs/api.md", p.out.String())
}

// compare holds a page against its file, or writes it.
func compare(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	old, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(strings.Split(string(old), "\n"), strings.Split(text, "\n")); diff != "" {
		t.Errorf("%s is not what the server says (go test ./server -run Docs -update writes it):\n%s", path, diff)
	}
}

// page is the transcript as it grows.
type page struct {
	*rig
	out bytes.Buffer
}

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.out, format+"\n\n", args...) }

// call makes a request and writes it down with its answer.
func (p *page) call(line, body string, headers ...string) answer {
	p.Helper()
	method, path, _ := strings.Cut(line, " ")
	if body != "" && len(headers) == 0 {
		headers = []string{"Content-Type", api.JSON}
	}
	a := p.do(method, path, body, headers...)
	p.out.WriteString("```http\n" + line + "\n")
	for i := 0; i < len(headers); i += 2 {
		p.out.WriteString(headers[i] + ": " + headers[i+1] + "\n")
	}
	if body != "" {
		p.out.WriteString("\n" + strings.TrimSuffix(body, "\n") + "\n")
	}
	p.out.WriteString("```\n\n```http\n" + fmt.Sprint(a.status, " ", http.StatusText(a.status)) + "\n")
	for _, name := range []string{"Content-Type", "Allow", "Retry-After"} {
		if v := a.header.Get(name); v != "" {
			p.out.WriteString(name + ": " + v + "\n")
		}
	}
	if text := shown(a); text != "" {
		p.out.WriteString("\n" + text + "\n")
	}
	p.out.WriteString("```\n\n")
	return a
}

// shown is an answer's body: laid out where it is long, and without what
// changes from run to run.
func shown(a answer) string {
	text := strings.TrimSpace(a.body)
	var out bytes.Buffer
	const long = 110
	if media := a.header.Get("Content-Type"); len(text) > long && media != api.NDJSON && media != api.SSE && json.Indent(&out, []byte(text), "", "  ") == nil {
		text = short(out.String())
	}
	for _, m := range masks {
		text = m.pattern.ReplaceAllString(text, m.with)
	}
	return text
}

// short puts small objects and lists back on one line.
func short(text string) string {
	return smallValue.ReplaceAllStringFunc(text, func(value string) string {
		line := strings.Join(strings.Fields(strings.ReplaceAll(value, "\n", " ")), " ")
		line = strings.NewReplacer("{ ", "{", " }", "}", "[ ", "[", " ]", "]").Replace(line)
		if len(line) > 100 || strings.Contains(value, `\`) {
			return value
		}
		return line
	})
}

var smallValue = regexp.MustCompile(`[{\[][^{}\[\]]*[}\]]`)

var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "2026-11-23T10:00:07.120Z"},
	{regexp.MustCompile(`"window_turns_at": ?"[^"]*"`), `"window_turns_at": "2026-11-24T10:00:00.000Z"`},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "01936d2e-7c1a-7f0e-9b1d-2c5a8e4f6071"},
	{regexp.MustCompile(`"((?:disk_)?(?:free_|needed_|ballast_)?bytes)": ?\d+`), `"$1": 1048576`},
	{regexp.MustCompile(`"(\w+_per_second|oldest_pending_seconds)": ?[\d.]+`), `"$1": 0.5`},
	{regexp.MustCompile(`"by": ?"[^"]*"`), `"by": "ada"`},
}

// prepare makes the world that the page shows.
func (p *page) prepare() {
	p.dispatch.budget = &api.Budget{
		Allowance:     api.Allowance{Used: 12034, Max: 115000, Reserve: 23000, Left: 79966, At: api.Time{Time: time.Now()}},
		WindowTurnsAt: api.Time{Time: time.Now()},
		CallsPer1000:  map[string]float64{"rest": 5.4, "bulk": 6.9},
		BulkBatches:   &api.Allowance{Used: 40, Max: 15000, Reserve: 3000, Left: 11960, At: api.Time{Time: time.Now()}},
	}
	_, err := p.store.SetOrg(p.ctx, "00D5e000000abcdEAA", "https://acme.my.salesforce.com")
	must(p, err)
}

func (p *page) writing() {
	const ada = `{"key":"order-1187/contact","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"1187"},"fields":{"LastName":"Lovelace","FirstName":"Ada","Email":null},"source":"shop"}`
	p.say("## Writing events")
	p.say("### One event\n\n`201` says that it is new, and durable.")
	p.call("POST /v1/events", ada)
	p.say("The same again is a duplicate: the first `seq`, and the state as it is now.")
	p.call("POST /v1/events", ada)
	p.say("The same key with another payload is refused; the stored event stays as it is.")
	p.call("POST /v1/events", strings.Replace(ada, "Lovelace", "Byron", 1))
	p.say("The key may come as a header, bare or quoted. Every mistake is named with its place.")
	p.call("POST /v1/events", `{"object":"Contact","operation":"create","filds":{"LastName":"Byron"}}`, "Content-Type", api.JSON, "Idempotency-Key", `"order-1188/contact"`)

	p.say("### Many events\n\nNDJSON has one result a line, in order, while it is still being sent. A bad line carries a problem with its number and does not stop the others.")
	p.call("POST /v1/events", contact("order-1188/contact", "1188")+"\n"+`{"key":"order-1189/contact","object":"Contact"}`+"\n"+contact("order-1190/contact", "1190")+"\n", "Content-Type", api.NDJSON)
	p.say("An array is answered by an array.")
	p.call("POST /v1/events", "["+contact("order-1191/contact", "1191")+", {}]")
	p.say("With `?atomic=true` all are stored or none; if none, `errors` names each bad one.")
	p.call("POST /v1/events?atomic=true", contact("order-1192/contact", "1192")+"\n"+`{"key":"order-1187/contact","object":"Contact","operation":"create","fields":{}}`+"\n", "Content-Type", api.NDJSON)
	p.say("Another media type is refused, and so is a body that is too large or in a Content-Encoding.")
	p.call("POST /v1/events", "key,object", "Content-Type", "text/csv")
}

func (p *page) asking() {
	p.settle(store.KindBulk, func(c store.Claimed) store.Outcome {
		switch c.Key {
		case "order-1187/contact":
			return deliver(c)
		case "order-1188/contact":
			return failTooLong(c)
		case "order-1190/contact":
			return doubt(c)
		}
		return store.Outcome{Verdict: store.Again, Problem: &store.Problem{Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access"}, Charge: true}
	})
	p.put(contact("order-1193/contact", "1188"))
	p.look()
	p.say("## Questions")
	p.say("### One event\n\nThe key is percent-encoded. `?wait=30s`, at most 5m, holds the answer until the event is terminal or stuck. `warnings`, if there are any, lists what did not fit the org's schema when the event was about to be sent, as `{\"path\": \"fields.Tier__c\", \"reason\": \"not_in_picklist\", \"detail\": \"…\"}`.")
	p.call("GET /v1/events/order-1187%2Fcontact?wait=30s", "")
	p.call("GET /v1/events/order-1188%2Fcontact", "")
	p.call("GET /v1/events/order-1%2Fcontact", "")

	p.say("### Lists\n\nFilters: `state` (several with commas), `object`, `operation`, `code`, `source`, `older_than` (an age since acceptance); `limit` (1 to 1,000, 100 if absent), `cursor`, `payload=true`.")
	p.call("GET /v1/events?state=delivered,failed&object=Contact&limit=2", "")
	p.say("As NDJSON all are streamed, or the first `limit`.")
	p.call("GET /v1/events?state=in_doubt", "", "Accept", api.NDJSON)
	p.call("GET /v1/events?limit=5000", "")

	p.say("### Stuck events\n\nThe same filters, and `reason`: `failed`, `in_doubt`, `blocked`, `overdue`. `total` and `summary` are of all that the filter selects, whatever the page; of overdue events they count those among the oldest 4,096 records and of the page. Behind a large backlog there may be more, to which `next_cursor` leads, and a page may have fewer than `limit`.")
	p.call("GET /v1/stuck?reason=blocked", "")
	p.call("GET /v1/stuck?reason=lazy", "")

	p.say("### Status\n\n`accepted` counts all events of this store, `forgotten` those whose receipts are past the dedup window. What `api_budget` tells, and which of its members are absent when, is in [operations](operations.md#the-orgs-daily-limits); before the org's first answer it is absent itself.")
	p.call("GET /v1/status", "")
	p.call("GET /v1/status?verbose=1", "")

	p.say("### Attempts\n\nRunning and recent ones, newest first.")
	a := p.call("GET /v1/attempts?limit=1", "")
	var list api.AttemptPage
	must(p, json.Unmarshal([]byte(a.body), &list))
	id := list.Attempts[0].ID
	p.maskedCall("GET /v1/attempts/"+id, "", id, "01936d2e-7c1a-7f0e-9b1d-2c5a8e4f6071")
	p.call("GET /v1/attempts/no-such", "")
}

// maskedCall is a call whose address changes from run to run.
func (p *page) maskedCall(line, body, from, to string, headers ...string) {
	p.Helper()
	before := p.out.Len()
	p.call(line, body, headers...)
	text := strings.ReplaceAll(p.out.String()[before:], from, to)
	p.out.Truncate(before)
	p.out.WriteString(text)
}

// briefly is a call whose answer the page has shown before.
func (p *page) briefly(line, body string) {
	p.Helper()
	before := p.out.Len()
	p.call(line, body)
	text := p.out.String()[before:]
	p.out.Truncate(before)
	if i := strings.LastIndex(text, "\n{\n"); i >= 0 {
		text = text[:i] + "\n{ … }\n```\n\n"
	}
	p.out.WriteString(text)
}

func (p *page) moving() {
	p.say("## Moves")
	p.say("### Retry\n\nFrom `failed` to `pending`. `fields` are merged into the payload and `unset` are taken out of it; the old values stay in the history. The record that the event names can't be changed.")
	p.call("POST /v1/events/order-1188%2Fcontact/retry", `{"fields":{"Shop_Id__c":"1"}}`)
	p.call("POST /v1/events/order-1188%2Fcontact/retry", `{"fields":{"LastName":"King"}}`)
	p.say("### Drop\n\nFrom `failed` or `pending` to `dropped`.")
	p.call("POST /v1/events/order-1193%2Fcontact/drop", "")
	p.call("POST /v1/events/order-1187%2Fcontact/drop", "")
	p.say("### Resolve\n\nFrom `in_doubt` to `delivered`, with the record's Id where it is known, or to `pending`.")
	p.call("POST /v1/events/order-1190%2Fcontact/resolve", `{"id":"0035e00000Kp7QaAAJ"}`)
	p.call("POST /v1/events/order-1190%2Fcontact/resolve", `{"delivered":true,"id":"0035e00000Kp7QaAAJ"}`)
	p.settle(store.KindREST, failTooLong)
	p.say("### Many at once\n\n`POST /v1/stuck/retry` and `/drop` take the filters in the query; with `dry_run=true` they only count. `limit` and `cursor` are refused: a move is of all that the filter selects.")
	p.call("POST /v1/stuck/retry?code=STRING_TOO_LONG&dry_run=true", "")
	p.call("POST /v1/stuck/drop?code=STRING_TOO_LONG", "")
	p.call("POST /v1/stuck/drop?limit=10", "")
	p.say("### Pause, resume, flush\n\nEach is answered with the status. While paused, events are accepted and not sent, over a restart too. `flush` sends now what waits for a fuller request or job; while calls are saved, as soon as their pace allows.")
	p.call("POST /v1/pause", "")
	p.say("`resume` takes `{\"accept_org\": true}` or `{\"accept_restore\": true}` where sending stopped for one of these.")
	_, err := p.store.SetOrg(p.ctx, "00D5e000000otheEAA", "https://other.my.salesforce.com")
	must(p, err)
	p.call("POST /v1/resume", "")
	p.briefly("POST /v1/resume", `{"accept_org":true}`)
	p.briefly("POST /v1/flush", "")
	p.call("POST /v1/flush", `{"now":true}`)
}

func (p *page) watching() {
	p.say("## Feed of outcomes\n\nOne entry when an event becomes delivered, dropped, failed or in doubt; the last two may change later. It begins after the cursor `after`, or with the oldest that is kept, and ends at the present unless `follow=true`. As `text/event-stream` it follows, the `id` of each event is the cursor, and `Last-Event-ID` resumes. Lines that are blank, and comments, only show that the feed is alive. A cursor that is older than the dedup window is answered with 410.")
	p.call("GET /v1/outcomes", "", "Accept", api.NDJSON)
	p.call("GET /v1/outcomes?follow=false", "", "Accept", api.SSE)
	p.call("GET /v1/outcomes?after=nonsense", "")
	p.say("## Backup\n\n`GET /v1/backup` answers with a consistent copy of the database, `application/octet-stream`, while the daemon runs. A connection that is cut before the end says that the copy is not whole. Only one is made at a time.")
	p.server.backups.take()
	p.call("GET /v1/backup", "")
	p.server.backups.done()
	p.say("## Health\n\n`/healthz` answers as long as the process lives, `/readyz` once it accepts, whatever the org's state. `/metrics` has the numbers in Prometheus' format.")
	p.call("GET /healthz", "")
	p.call("GET /readyz", "")
}

func (p *page) errors() {
	p.say("## Other problems\n\nA path that does not exist, a method that a path does not take, and a peer that lacks the right. [problems.md](problems.md) lists every code.")
	p.call("GET /v2/events", "")
	p.call("DELETE /v1/events/order-1187%2Fcontact", "")
	p.server.Reload(Config{})
	if os.Getuid() == 0 {
		other := p.as(otherUID, otherGID)
		old := p.rig.http
		p.rig.http = other
		p.call("POST /v1/pause", "")
		p.rig.http = old
	} else {
		p.Skip("the rest of the page needs root")
	}
	p.server.Stop()
	p.call("GET /readyz", "")
	text := strings.TrimRight(p.out.String(), "\n") + "\n"
	p.out.Reset()
	p.out.WriteString(text)
}

// TestDocs_ProblemsPageIsTheTable holds docs/problems.md against the codes.
func TestDocs_ProblemsPageIsTheTable(t *testing.T) {
	intro, err := os.ReadFile("testdata/problems.md")
	must(t, err)
	var out bytes.Buffer
	out.Write(intro)
	out.WriteString("| status | `code` | means | do |\n| --- | --- | --- | --- |\n")
	for _, c := range api.Codes {
		status := fmt.Sprint(c.Status)
		if _, ok := retryAfterSeconds[c.Code]; ok {
			status += " ⏱"
		}
		fmt.Fprintf(&out, "| %s | `%s` | **%s.** %s | %s |\n", status, c.Code, c.Title, c.Means, c.Do)
	}
	compare(t, "../docs/problems.md", out.String())
}
