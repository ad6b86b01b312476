package dispatcher

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/salesforce"
)

func TestCodes_EachSaysAllAndIsFoundByItsName(t *testing.T) {
	all := Codes()
	if want := len(salesforce.Codes()) + len(ownCodes); len(all) != want {
		t.Errorf("%d codes, want %d", len(all), want)
	}
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.Name] {
			t.Errorf("%s: twice", c.Name)
		}
		seen[c.Name] = true
		if c.Means == "" || c.Does == "" || c.Do == "" {
			t.Errorf("%+v: incomplete", c)
		}
		if got, ok := Explain(strings.ToLower(c.Name)); !ok || got != c {
			t.Errorf("Explain(%s) = %+v, %t", c.Name, got, ok)
		}
	}
	for _, c := range LoginCodes() {
		if seen[c.Name] || c.Do == "" {
			t.Errorf("%+v: twice, or incomplete", c)
		}
		seen[c.Name] = true
		if got, ok := Explain(strings.ToUpper(c.Name)); !ok || got != c {
			t.Errorf("Explain(%s) = %+v, %t", c.Name, got, ok)
		}
	}
	for name := range codeDoes {
		if !seen[name] {
			t.Errorf("more is said of %s, which is no code", name)
		}
	}
	if _, ok := Explain("NOPE"); ok {
		t.Error("Explain knows NOPE")
	}
}

// TestExplainError_GoesByTheMessage: who lacks a parent need not look after the rights to a field.
func TestExplainError_GoesByTheMessage(t *testing.T) {
	plain, _ := Explain("INVALID_FIELD")
	for message, differs := range map[string]bool{
		"No such column 'X' on sobject of type Contact":                              false,
		"Foreign key external ID: A-1 not found for field Shop_Id__c in entity A":    true,
		"Failed to deserialize field at col 2. Due to, 'x' is not a valid value for": true,
	} {
		c, ok := ExplainError("INVALID_FIELD", message)
		if !ok || (c != plain) != differs || c.Class != salesforce.ClassOfRecord("INVALID_FIELD", message) || c.Means == "" || c.Does == "" || c.Do == "" {
			t.Errorf("%s: %+v", message, c)
		}
	}
	if c, ok := ExplainError("NOPE", "Foreign key external ID: A-1 not found"); ok {
		t.Errorf("%+v", c)
	}
}

// TestExplain_FamiliesAreWhatTheClientTakesThemFor, and a code of the table is not of its family.
func TestExplain_FamiliesAreWhatTheClientTakesThemFor(t *testing.T) {
	for _, name := range []string{"EXTERNAL_OBJECT_EXCEPTION", "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION", "CUSTOM_METADATA_LIMIT_EXCEEDED", "NEW_LIMIT_EXCEEDED"} {
		c, ok := Explain(strings.ToLower(name))
		if !ok || c.Name != name || c.Own || c.Class != salesforce.ClassOfRecord(name, "") || c.Means == "" || c.Do == "" {
			t.Errorf("%s: %+v, %t", name, c, ok)
		}
	}
	if c, _ := Explain("STORAGE_LIMIT_EXCEEDED"); !slices.Contains(Codes(), c) {
		t.Errorf("%+v, want the table's", c)
	}
	for _, name := range []string{"_LIMIT_EXCEEDED", "EXTERNAL_OBJECT_"} {
		if c, ok := Explain(name); ok {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestCodes_CoverAllThatTheCodePutsOnAnEvent reads the packages whose code makes
// up codes of events. Each constant that it gives to a Code must be explained, and what
// is no constant must be known to come from the org.
func TestCodes_CoverAllThatTheCodePutsOnAnEvent(t *testing.T) {
	const orgs, copied, login = "the org's answer", "a code that was given elsewhere", "of the login or the breaker: no event's"
	answered := map[string]string{
		"a.Code": orgs, "r.Code": orgs, "code": orgs, "first.code()": orgs, "strings.ToUpper(head)": orgs,
		"e.Code": copied, "f.Code": copied, "p.Code": copied,
		"strings.ToUpper(string(job.State))": "below",
		"cause.Code":                         login, "b.Code": login,
		`strings.ReplaceAll(e.Code, secret, "***")`: login, `strings.ReplaceAll(inner.Code, secret, "***")`: login,
	}
	named := 0
	for _, dir := range []string{".", "../store", "../salesforce"} {
		for _, given := range codesGiven(t, dir) {
			switch {
			case given.name != "":
				named++
				if _, ok := Explain(given.name); !ok {
					t.Errorf("%s: %s is not explained", given.at, given.name)
				}
			case answered[given.expr] == "":
				t.Errorf("%s: what is %s? explain its codes, and add it here", given.at, given.expr)
			}
		}
	}
	for _, state := range []salesforce.JobState{salesforce.StateAborted, salesforce.StateJobComplete} { // a Failed job has a fault
		if _, ok := Explain(string(state)); !ok {
			t.Errorf("%s is not explained", state)
		}
	}
	if named < 20 {
		t.Errorf("only %d codes found: does this test still look in the right place?", named)
	}
}

type givenCode struct{ at, name, expr string }

// codesGiven lists what the files of a folder give to anything named Code or
// ErrorCode, but for errors of the login, which no event ends with.
func codesGiven(t *testing.T, dir string) []givenCode {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".":
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(files, dir+"/"+path, nil, parser.SkipObjectResolution)
		parsed = append(parsed, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]string{"salesforce.CodeTransport": salesforce.CodeTransport, "salesforce.CodeUnknown": salesforce.CodeUnknown}
	for _, f := range parsed {
		readConstants(f, constants)
	}
	var all []givenCode
	note := func(e ast.Expr) {
		g := givenCode{at: files.Position(e.Pos()).String(), expr: types.ExprString(e)}
		if l, ok := e.(*ast.BasicLit); ok {
			g.name, _ = strconv.Unquote(l.Value)
		} else {
			g.name = constants[g.expr]
		}
		if g.expr != `""` {
			all = append(all, g)
		}
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool { return visitCodes(n, note) })
	}
	return all
}

func visitCodes(n ast.Node, note func(ast.Expr)) bool {
	switch n := n.(type) {
	case *ast.CompositeLit:
		if n.Type != nil && slices.Contains([]string{"AuthError", "transition", "Transition", "StuckGroup", "store.Warning"}, types.ExprString(n.Type)) {
			return false // the login's; places where codes of events are kept; what is only noted
		}
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && isCodeField(k.Name) {
			note(n.Value)
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if s, ok := left.(*ast.SelectorExpr); ok && isCodeField(s.Sel.Name) && len(n.Rhs) == len(n.Lhs) {
				note(n.Rhs[i])
			}
		}
	}
	return true
}

func isCodeField(name string) bool { return name == "Code" || name == "ErrorCode" }

// readConstants adds the texts that a file declares by name.
func readConstants(f *ast.File, constants map[string]string) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if i >= len(v.Values) {
					continue
				}
				if l, ok := v.Values[i].(*ast.BasicLit); ok && l.Kind == token.STRING {
					constants[name.Name], _ = strconv.Unquote(l.Value)
				} else if text, known := constants[types.ExprString(v.Values[i])]; known {
					constants[name.Name] = text
				}
			}
		}
	}
}
