package crashtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/simulator"
)

// line is one event of the workload and what is to become of it.
type line struct {
	key     string
	event   map[string]any
	refused bool   // at the socket
	code    string // fails with this code; "" is delivered
	lane    string // events of one lane write their marks in order
	mark    string // is in a field of the effect
	deletes string // Id of the record that it deletes
}

func (l line) json(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(l.event)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// workload is events of all operations over three objects, 1 % of them bad.
type workload struct {
	lines   []line
	seeded  int // effects at the org before it
	bad     int
	refused int
}

// records that the workload updates and deletes.
type seeds struct{ accounts, doomed []string }

// sow makes them for n lines.
func sow(o *org, n int) seeds {
	return seeds{
		accounts: o.create("Account", n/10, func(i int) map[string]any { return map[string]any{"Name": fmt.Sprint("seed ", i)} }),
		doomed:   o.create("Lead", n/10, func(i int) map[string]any { return map[string]any{"LastName": "doomed", "Company": fmt.Sprint(i)} }),
	}
}

const badKinds = 8

// newWorkload makes n lines. Every one of the bad has a lane of its own.
func newWorkload(r *rig, n int, rnd *rand.Rand) *workload {
	s := sow(r.org, n)
	w := &workload{seeded: len(r.effects(0))}
	for i := range n {
		key := fmt.Sprintf("event-%06d", i)
		if i%100 == 37 {
			w.lines = append(w.lines, badLine(key, i/100, s))
			w.bad++
			if w.lines[i].refused {
				w.refused++
			}
			continue
		}
		w.lines = append(w.lines, goodLine(key, i, s, rnd))
	}
	return w
}

func goodLine(key string, i int, s seeds, rnd *rand.Rand) line {
	l := line{key: key, mark: key}
	e := map[string]any{"key": key}
	switch i % 10 {
	case 0, 1: // create without key field
		maps.Copy(e, map[string]any{"object": "Account", "operation": "create", "fields": map[string]any{"Name": "new", "Description": key}})
	case 2, 3: // create with key field
		maps.Copy(e, map[string]any{"object": "Lead", "operation": "create", "fields": map[string]any{"LastName": key, "Company": "c"}})
	case 4, 5, 6: // upsert; some records are written several times, so that order shows
		id := fmt.Sprint("shop-", rnd.IntN(3000))
		l.lane = "contact/" + id
		maps.Copy(e, map[string]any{"object": "Contact", "operation": "upsert", "external_id": map[string]any{"field": "Shop_Id__c", "value": id}, "fields": map[string]any{"LastName": "u", "Notes__c": key}})
	case 7, 8: // update
		id := s.accounts[rnd.IntN(len(s.accounts))]
		l.lane = "account/" + id
		maps.Copy(e, map[string]any{"object": "Account", "operation": "update", "id": id, "fields": map[string]any{"Description": key}})
	case 9:
		id := s.doomed[i/10]
		l.deletes, l.mark = id, ""
		maps.Copy(e, map[string]any{"object": "Lead", "operation": "delete", "id": id})
	}
	l.event = e
	return l
}

func badLine(key string, n int, s seeds) line {
	upsert := func(fields map[string]any) map[string]any {
		fields["LastName"] = cmpOr(fields["LastName"], "bad")
		if fields["LastName"] == missing {
			delete(fields, "LastName")
		}
		return map[string]any{"key": key, "object": "Contact", "operation": "upsert", "external_id": map[string]any{"field": "Shop_Id__c", "value": "bad-" + key}, "fields": fields}
	}
	l := line{key: key}
	switch n % badKinds {
	case 0:
		l.code, l.event = "REQUIRED_FIELD_MISSING", upsert(map[string]any{"LastName": missing})
	case 1:
		l.code, l.event = "*", upsert(map[string]any{"Nope__c": "x"}) // REST and jobs have different codes for it
	case 2:
		l.code, l.event = "STRING_TOO_LONG", upsert(map[string]any{"FirstName": strings.Repeat("long", 30)})
	case 3:
		l.code, l.event = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", upsert(map[string]any{"Tier__c": "Platinum"})
	case 4:
		l.code, l.event = "INVALID_FIELD", upsert(map[string]any{"Account": map[string]any{"Shop_Id__c": "no such parent"}})
	case 5:
		l.refused = true
		l.event = map[string]any{"key": key, "object": "Account", "operation": "update", "fields": map[string]any{"Name": "x"}}
	case 6:
		l.code = "INVALID_CROSS_REFERENCE_KEY"
		l.event = map[string]any{"key": key, "object": "Account", "operation": "update", "id": wrongID(s.accounts[0], n), "fields": map[string]any{"Name": "x"}}
	case 7:
		l.refused = true
		l.event = map[string]any{"key": key, "object": "Contact", "operation": "upsert", "external_id": map[string]any{"field": "Shop_Id__c", "value": "x"}, "filds": map[string]any{}}
	}
	return l
}

const missing = "\x00missing"

func cmpOr(v, other any) any {
	if v == nil {
		return other
	}
	return v
}

// wrongID is a well-formed Id of the object that no record has, another one for each n.
func wrongID(like string, n int) string {
	return like[:3] + fmt.Sprintf("zz%010d", n)
}

func (w *workload) ndjson(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, l := range w.lines {
		b.WriteString(l.json(t))
		b.WriteByte('\n')
	}
	return b.String()
}

// verify asks the oracle: each delivered event has its effect once and in the
// order of its lane; nobody else has one.
func (w *workload) verify(t *testing.T, r *rig) {
	t.Helper()
	byMark, byDelete := map[string]int{}, map[string]int{}
	lastOfLane := map[string]int{}
	order := map[string]int{} // mark → place in the workload
	lanes := map[string]string{}
	for i, l := range w.lines {
		if l.mark != "" {
			order[l.mark], lanes[l.mark] = i, l.lane
		}
	}
	outOfOrder := 0
	for _, e := range r.effects(w.seeded) {
		if e.Operation == "delete" {
			byDelete[e.ID]++
			continue
		}
		mark := markOf(e)
		byMark[mark]++
		if lane := lanes[mark]; lane != "" {
			if order[mark] < lastOfLane[lane] {
				outOfOrder++
			}
			lastOfLane[lane] = order[mark]
		}
	}
	lost, doubled := 0, 0
	for _, l := range w.lines {
		n, want := byMark[l.mark], 1
		if l.deletes != "" {
			n = byDelete[l.deletes]
		}
		if l.refused || l.code != "" {
			n, want = byMark[l.key], 0
		}
		switch {
		case n < want:
			lost++
		case n > want:
			doubled++
		}
	}
	t.Logf("oracle: %d events, lost %d, doubled %d, out of order %d", len(w.lines), lost, doubled, outOfOrder)
	if lost+doubled+outOfOrder > 0 {
		t.Errorf("lost %d, doubled %d, out of order %d", lost, doubled, outOfOrder)
	}
}

// markOf finds the key that an effect carries.
func markOf(e simulator.Effect) string {
	for _, field := range [...]string{"Outbox_Key__c", "Notes__c", "Description", "LastName", "Subject"} {
		if v, ok := e.Fields[field].(string); ok && strings.HasPrefix(v, "event-") {
			return v
		}
	}
	return ""
}
