// Package fidelity holds the table of facts about Salesforce, facts.txt, to
// the tests that it names, and makes docs/fidelity.md of both. It has tests
// only.
package fidelity

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/fidelity.md anew")

const page = "../../docs/fidelity.md"

// fact is an entry of facts.txt.
type fact struct {
	id, sure, text string
	tests          []testName
}

// testName names a test, or a part of one.
type testName struct{ pkg, name, part string }

func (n testName) String() string {
	if n.part != "" {
		return n.name + " (" + n.part + ")"
	}
	return n.name
}

// section is the facts under one heading.
type section struct {
	title string
	facts []fact
}

var factLine = regexp.MustCompile(`^([RB]-[0-9.]+[0-9]) ([DRI]) (.+)$`)

// readFacts reads the table.
func readFacts(t *testing.T) []section {
	t.Helper()
	text, err := os.ReadFile("facts.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []section
	for n, line := range strings.Split(string(text), "\n") {
		switch m := factLine.FindStringSubmatch(line); {
		case line == "" || strings.HasPrefix(line, "#") && len(all) == 0 && !strings.HasPrefix(line, "## "):
		case strings.HasPrefix(line, "## "):
			all = append(all, section{title: line[3:]})
		case m != nil && len(all) > 0:
			s := &all[len(all)-1]
			s.facts = append(s.facts, fact{id: m[1], sure: m[2], text: m[3]})
		case strings.HasPrefix(line, "\t") && len(all) > 0 && len(all[len(all)-1].facts) > 0:
			f := &all[len(all)-1].facts[len(all[len(all)-1].facts)-1]
			f.tests = append(f.tests, readName(line[1:]))
		default:
			t.Fatalf("facts.txt:%d: %q is neither a heading, a fact nor a test", n+1, line)
		}
	}
	return all
}

func readName(s string) testName {
	pkg, name, _ := strings.Cut(s, " ")
	if pkg == jsforce {
		return testName{pkg: pkg, name: name}
	}
	name, part, _ := strings.Cut(name, ": ")
	return testName{pkg, name, part}
}

// jsforce stands for the steps of that client's script.
const jsforce = "jsforce"

// files maps the tests of a package to the text of the file that each is in.
func files(t *testing.T, pkg string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", pkg, "*_test.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("package %s has no tests: %v", pkg, err)
	}
	all := make(map[string]string)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				all[f.Name.Name] = string(text)
			}
		}
	}
	return all
}

// TestFacts_NameTestsThatExist: a test that is renamed takes its facts along.
func TestFacts_NameTestsThatExist(t *testing.T) {
	script, err := os.ReadFile("../../clienttest/jsforce/steps.js")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]map[string]string)
	seen := make(map[string]bool)
	for _, s := range readFacts(t) {
		for _, f := range s.facts {
			if seen[f.id] {
				t.Errorf("%s is there twice", f.id)
			}
			seen[f.id] = true
			for i, n := range f.tests {
				if slices.Contains(f.tests[:i], n) {
					t.Errorf("%s names %s twice", f.id, n)
				}
				if n.pkg == jsforce {
					if !strings.Contains(string(script), "await step('"+n.name+"'") {
						t.Errorf("%s: jsforce has no step %q", f.id, n.name)
					}
					continue
				}
				if known[n.pkg] == nil {
					known[n.pkg] = files(t, n.pkg)
				}
				file, ok := known[n.pkg][n.name]
				if !ok {
					t.Errorf("%s: package %s has no test %s", f.id, n.pkg, n.name)
				} else if !strings.Contains(file, `"`+n.part+`"`) && n.part != "" {
					t.Errorf("%s: the file of %s names no part %q", f.id, n.name, n.part)
				}
			}
		}
	}
}

// TestFidelityDoc_IsMadeFromTheFacts holds docs/fidelity.md to facts.txt.
func TestFidelityDoc_IsMadeFromTheFacts(t *testing.T) {
	got := document(readFacts(t))
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is behind; write it anew with go test ./internal/fidelity -update", page)
	}
}

// tally counts facts.
type tally struct{ all, covered, simulated, client, others int }

func (c *tally) add(f fact) {
	c.all++
	if len(f.tests) > 0 {
		c.covered++
	}
	if len(f.of("simulator")) > 0 {
		c.simulated++
	}
	if len(f.of("salesforce", "dispatcher")) > 0 {
		c.client++
	}
	if len(f.of(jsforce)) > 0 {
		c.others++
	}
}

// of lists the fact's tests in some packages.
func (f fact) of(packages ...string) []string {
	var names []string
	for _, n := range f.tests {
		if slices.Contains(packages, n.pkg) {
			names = append(names, n.String())
		}
	}
	return names
}

const preamble = `# Fidelity

Each fact about Salesforce's wire that a writer of data can meet, with the
tests that hold it. The simulator's tests hold what ` + "`outboxd simulate`" + ` answers;
the client's hold what outboxd sends and what it makes of the answers; jsforce's
steps (` + "`clienttest/jsforce`" + `) are another client's reading of the simulator. Answers
that real orgs were recorded to give are held against the simulator's in
` + "`TestRecordedAnswers_SameShape`" + ` and, as the client reads them, in
` + "`TestRecorded_TellsTheClientWhatTheSimulatorTells`" + `. Where documents and
recordings disagree, the recordings are followed.

Sure: D is documented by Salesforce, R was recorded from real orgs or is relied
on by public clients, I is inferred. R facts are of REST, B facts of Bulk API 2.0
ingest.

This page is made from ` + "`internal/fidelity/facts.txt`" + ` by
` + "`go test ./internal/fidelity -update`" + `. A test fails while it is behind, or when a
test that it names is gone.

`

// document renders the page.
func document(all []section) string {
	var b strings.Builder
	b.WriteString(preamble)
	var total tally
	var bare []fact
	for _, s := range all {
		for _, f := range s.facts {
			total.add(f)
			if len(f.tests) == 0 {
				bare = append(bare, f)
			}
		}
	}
	fmt.Fprintf(&b, "**%d facts, %d covered, %d not.** %d are held by tests of the simulator, %d by tests of the client, %d by jsforce's steps.\n",
		total.all, total.covered, total.all-total.covered, total.simulated, total.client, total.others)
	if len(bare) > 0 {
		b.WriteString("\n## Not covered\n\n| fact | sure | |\n| --- | --- | --- |\n")
	}
	for _, f := range bare {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.id, f.sure, f.text)
	}
	for _, s := range all {
		fmt.Fprintf(&b, "\n## %s\n\n| fact | sure | | simulator | client | jsforce |\n| --- | --- | --- | --- | --- | --- |\n", s.title)
		for _, f := range s.facts {
			if len(f.tests) > 0 {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.id, f.sure, f.text,
					cell(f.of("simulator")), cell(f.of("salesforce", "dispatcher")), cell(f.of(jsforce)))
			}
		}
	}
	return b.String()
}

func cell(names []string) string { return strings.Join(names, "<br>") }
