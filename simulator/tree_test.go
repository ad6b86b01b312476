package simulator

import (
	"fmt"
	"strings"
	"testing"
)

// branch is a record of a tree.
func branch(object, ref, rest string) string {
	return fmt.Sprintf(`{"attributes":{"type":%q,"referenceId":%q}%s}`, object, ref, rest)
}

// under puts records below another by a relationship.
func under(relation string, records ...string) string {
	return fmt.Sprintf(`,%q:{"records":[%s]}`, relation, strings.Join(records, ","))
}

// chain is an account with so many levels of accounts below it.
func chain(levels int) string {
	rest := `,"Name":"A"`
	if levels > 1 {
		rest += under("Accounts", chain(levels-1))
	}
	return branch("Account", fmt.Sprintf("level%d", levels), rest)
}

// roots are roots of a tree.
func roots(n int) (all []string) {
	for i := range n {
		all = append(all, branch("Account", fmt.Sprintf("r%d", i), `,"Name":"A"`))
	}
	return all
}

func TestTree(t *testing.T) {
	o := startOrg(t, Config{Schema: []Object{{Name: "Order__c", Fields: []Field{
		{Name: "Buyer__c", Type: "reference", ReferenceTo: References{"Contact"}, Relationship: "Buyer__r", MasterDetail: true},
	}}}})
	r := o.do("POST", "/composite/tree/Account/", records(
		branch("Account", "ref1", `,"Name":"A"`+under("Contacts",
			branch("Contact", "ref2", `,"LastName":"Smith"`+under("Orders__r", branch("Order__c", "ref5", ""))),
			branch("Contact", "ref3", `,"LastName":"Evans"`))),
		branch("Account", "ref4", `,"Name":"B"`),
	))
	all := o.effects(5)
	want := `{"hasErrors":false,"results":[`
	for i, ref := range []string{"ref1", "ref4", "ref2", "ref3", "ref5"} {
		want += fmt.Sprintf(`{"referenceId":%q,"id":%q},`, ref, all[i].ID)
		if all[i].Via != "rest" || all[i].Operation != "create" {
			t.Errorf("effect %+v", all[i])
		}
	}
	r.want(201, strings.TrimSuffix(want, ",")+`]}`)
	for child, parent := range map[int]int{2: 0, 3: 0, 4: 2} {
		lookup := map[int]string{2: "AccountId", 3: "AccountId", 4: "Buyer__c"}[child]
		if got := all[child].Fields[lookup]; got != all[parent].ID {
			t.Errorf("%s of record %d is %v, want %s", lookup, child, got, all[parent].ID)
		}
	}
	if used := o.sim.Calls().Used; used != 1 {
		t.Errorf("used %d calls, want 1", used)
	}
}

func TestTree_AllOrNothing(t *testing.T) {
	o := startOrg(t, Config{})
	r := o.do("POST", "/composite/tree/Account", records(branch("Account", "good", `,"Name":"A"`+under("Contacts",
		branch("Contact", "bad", `,"LastName":"B","Email":"123"`), branch("Contact", "fine", `,"LastName":"C"`)))))
	r.want(400, `{"hasErrors":true,"results":[{"referenceId":"bad","errors":[{"statusCode":"INVALID_EMAIL_ADDRESS","message":"Email: invalid email address: 123","fields":["Email"]}]}]}`)
	o.effects(0)
	if rows := o.sim.Records("Account"); len(rows) != 0 {
		t.Errorf("rows stayed: %v", rows)
	}
	o.fault(Fault{Match: Match{Kind: "composite.tree", Object: "Account", Nth: []int{2}}, Do: "lock"})
	o.do("POST", "/composite/tree/Account", records(roots(3)...)).want(400, `"results":[{"referenceId":"r1","errors":[{"statusCode":"UNABLE_TO_LOCK_ROW"`)
	o.effects(0)
}

func TestTree_Refusals(t *testing.T) {
	o := startOrg(t, Config{})
	contact := branch("Contact", "c", `,"LastName":"C"`)
	for name, tt := range map[string]struct{ body, text string }{
		"broken":       {`{"records":[`, "JSON_PARSER_ERROR"},
		"empty":        {records(), "REQUIRED_FIELD_MISSING"},
		"six levels":   {records(chain(6)), "LIMIT_EXCEEDED"},
		"over 200":     {records(roots(201)...), "LIMIT_EXCEEDED"},
		"twice":        {records(append(roots(2), roots(1)...)...), `"results":[{"referenceId":"r0","errors":[{"statusCode":"INVALID_INPUT","message":"Duplicate ReferenceId provided in the request.","fields":[]}]},{"referenceId":"r0",`},
		"no reference": {records(branch("Account", "", `,"Name":"A"`)), "INVALID_INPUT"},
		"another type": {records(contact), `{"referenceId":"c","errors":[{"statusCode":"INVALID_INPUT"`},
		"no type":      {records(branch("Nope", "n", "")), `{"referenceId":"n","errors":[{"statusCode":"INVALID_TYPE"`},
		"no relation":  {records(branch("Account", "a", `,"Name":"A"`+under("Friends", contact))), `{"referenceId":"c","errors":[{"statusCode":"INVALID_FIELD"`},
		"with an Id":   {records(branch("Account", "a", `,"Id":"0015e0000000001"`)), "INVALID_FIELD_FOR_INSERT_UPDATE"},
	} {
		t.Run(name, func(t *testing.T) {
			o.do("POST", "/composite/tree/Account", tt.body).want(400, tt.text)
		})
	}
	o.do("POST", "/composite/tree/Nope", records(contact)).want(404, "NOT_FOUND")
	o.effects(0)
	o.do("POST", "/composite/tree/Account", records(roots(200)...)).want(201, `"referenceId":"r199"`)
	o.effects(200)
}

// graphs is the body of a graph call.
func graphs(all ...string) string { return `{"graphs":[` + strings.Join(all, ",") + `]}` }

func oneGraph(id string, requests ...string) string {
	return fmt.Sprintf(`{"graphId":%q,%s`, id, compose("", requests...)[1:])
}

func TestGraph(t *testing.T) {
	o := startOrg(t, Config{})
	r := o.do("POST", "/composite/graph", graphs(
		oneGraph("one", post("a", "Account", `"Name":"A"`), post("c", "Contact", `"LastName":"C","AccountId":"@{a.id}"`)),
		oneGraph("two", post("a", "Account", `"Name":"B"`), post("c", "Contact", `"FirstName":"C","AccountId":"@{a.id}"`)),
		oneGraph("three", post("c", "Contact", `"LastName":"D"`)),
		oneGraph("four", get("q", "/query?q=SELECT+Id+FROM+Contact")),
	)).want(200, `{"graphs":[{"graphId":"one","graphResponse":{"compositeResponse":[{"body":{"id":`)
	all := o.effects(3)
	if all[1].Fields["AccountId"] != all[0].ID || all[2].Fields["LastName"] != "D" {
		t.Errorf("effects %+v", all)
	}
	for i, want := range []bool{true, false, true, false} {
		g := r.object()["graphs"].([]any)[i].(map[string]any)
		if g["isSuccessful"] != want {
			t.Errorf("graph %d: %v", i, g)
		}
	}
	r.want(200, "PROCESSING_HALTED").want(200, "REQUIRED_FIELD_MISSING")
	if used := o.sim.Calls().Used; used != 1 {
		t.Errorf("used %d calls, want 1", used)
	}
}

func TestGraph_ManyFailures(t *testing.T) {
	o := startOrg(t, Config{})
	var all []string
	for i := range 15 {
		all = append(all, oneGraph(fmt.Sprint(i), post("c", "Contact", `"FirstName":"C"`)))
	}
	good := oneGraph("good", post("c", "Contact", `"LastName":"C"`))
	o.do("POST", "/composite/graph", graphs(append(all[:14:14], good)...)).want(200, `"isSuccessful":true`)
	o.effects(1)
	r := o.do("POST", "/composite/graph", graphs(append(all, good)...)).want(200, "PROCESSING_HALTED")
	if strings.Contains(r.body, `"isSuccessful":true`) {
		t.Errorf("a graph ran after 15 that failed: %s", r.body)
	}
	o.effects(1)
}

func TestGraph_Refusals(t *testing.T) {
	o := startOrg(t, Config{})
	a := post("a", "Account", `"Name":"A"`)
	var many, nodes, kinds, deep []string
	for i := range 76 {
		many = append(many, oneGraph(fmt.Sprint(i), a))
	}
	for i := range 501 {
		nodes = append(nodes, post(fmt.Sprintf("n%d", i), "Account", `"Name":"A"`))
	}
	for i := range 16 {
		kinds = append(kinds, post(fmt.Sprintf("n%d", i), fmt.Sprintf("Object%d__c", i), ""))
		deep = append(deep, post(fmt.Sprintf("n%d", i), "Account", fmt.Sprintf(`"Name":"@{n%d.id}"`, i-1)))
	}
	for name, tt := range map[string]struct{ body, code string }{
		"none":            {graphs(), "REQUIRED_FIELD_MISSING"},
		"broken":          {`{"graphs":`, "JSON_PARSER_ERROR"},
		"76 graphs":       {graphs(many...), "LIMIT_EXCEEDED"},
		"501 nodes":       {graphs(oneGraph("g", nodes...)), "LIMIT_EXCEEDED"},
		"16 kinds":        {graphs(oneGraph("g", kinds...)), "LIMIT_EXCEEDED"},
		"16 levels":       {graphs(oneGraph("g", deep...)), "LIMIT_EXCEEDED"},
		"no id":           {graphs(oneGraph("", a)), "JSON_PARSER_ERROR"},
		"an id twice":     {graphs(oneGraph("g", a), oneGraph("g", a)), "JSON_PARSER_ERROR"},
		"nothing in it":   {graphs(oneGraph("g")), "REQUIRED_FIELD_MISSING"},
		"a node is wrong": {graphs(oneGraph("g", a, post("", "Account", `"Name":"A"`))), "JSON_PARSER_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			o.do("POST", "/composite/graph", tt.body).refused(400, tt.code, "")
		})
	}
	o.effects(0)
	o.do("POST", "/composite/graph", graphs(oneGraph("g", nodes[:500]...))).want(200, `"isSuccessful":true`)
	o.do("POST", "/services/data/v49.0/composite/graph", graphs(oneGraph("g", a))).want(404, "NOT_FOUND")
}
