// Package mutation takes the guards of the delivery protocol out, one at a
// time, and requires that a named test notices each.
//
// A mutant is a small change of the product's source that removes one guard. It
// never touches the tree: it is handed to the compiler as an overlay. Without
// flags the tests of this package only look whether the table still fits the
// source. With -mutate each mutant is built and its test run:
//
//	go test ./internal/mutation -mutate -v
//	go test ./internal/mutation -mutate -v -mutate.only 'late window'
//
// A mutant whose test passes is a guard that nobody watches.
package mutation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	mutate = flag.Bool("mutate", false, "build every mutant and run its test, which must fail")
	only   = flag.String("mutate.only", "", "a regular expression: mutants whose guard matches")
	part   = flag.Int("mutate.part", 0, "with -mutate.of: which part")
	of     = flag.Int("mutate.of", 1, "in how many parts to run them")
	update = flag.Bool("update", false, "write the table into docs/testing.md")
)

// mutant is one guard and the change that takes it out.
type mutant struct {
	guard string // what the protocol asks for
	does  string // what the mutant does instead
	edits []edit
	test  string // that must fail: package, test, perhaps its subtest
}

// edit replaces a text that is in its file exactly once.
type edit struct{ file, old, new string }

// root is the module's folder.
const root = "../.."

// all lists the mutants, in the order of an event's life.
func all() []mutant { return slices.Concat(acceptance, ordering, jobs, calls, wire, identity, files) }

// target splits a mutant's test into its package and the names of -test.run.
func (m mutant) target() (pkg string, names []string) {
	pkg, test, _ := strings.Cut(m.test, " ")
	return pkg, strings.Split(test, "/")
}

// pattern is the -test.run that runs the mutant's test alone.
func pattern(names []string) string {
	exact := make([]string, len(names))
	for i, n := range names {
		exact[i] = "^" + regexp.QuoteMeta(n) + "$"
	}
	return strings.Join(exact, "/")
}

// apply returns the mutated files.
func (m mutant) apply() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, e := range m.edits {
		source, ok := files[e.file]
		if !ok {
			var err error
			if source, err = os.ReadFile(filepath.Join(root, e.file)); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(source, []byte(e.old)); n != 1 {
			return nil, fmt.Errorf("%s holds the text %d times, want once:\n%s", e.file, n, e.old)
		}
		files[e.file] = bytes.Replace(source, []byte(e.old), []byte(e.new), 1)
	}
	return files, nil
}

func TestTable_FitsTheSource(t *testing.T) {
	tests := make(map[string]map[string]bool)
	seen := make(map[string]bool)
	for _, m := range all() {
		if seen[m.guard] {
			t.Errorf("two mutants are named %q", m.guard)
		}
		seen[m.guard] = true
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.guard, err)
		}
		pkg, names := m.target()
		if tests[pkg] == nil {
			tests[pkg] = testsOf(t, pkg)
		}
		if !tests[pkg][names[0]] {
			t.Errorf("%s: package %s has no test %s", m.guard, pkg, names[0])
		}
	}
}

// testsOf lists the functions in a package's test files.
func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for name := range f.Scope.Objects {
			found[name] = true
		}
	}
	return found
}

const (
	docs  = root + "/docs/testing.md"
	begin = "<!-- mutants: begin -->\n"
	end   = "<!-- mutants: end -->\n"
)

// TestTable_IsInTheDocs keeps docs/testing.md abreast.
func TestTable_IsInTheDocs(t *testing.T) {
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table of mutants", docs)
	}
	table := rendered()
	if old == table {
		return
	}
	if !*update {
		t.Fatalf("the table of mutants in %s is old; -update writes it anew", docs)
	}
	if err := os.WriteFile(docs, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func rendered() string {
	var b strings.Builder
	b.WriteString("| guard | the mutant | is caught by |\n| --- | --- | --- |\n")
	for _, m := range all() {
		pkg, names := m.target()
		fmt.Fprintf(&b, "| %s | %s | `%s` `%s` |\n", m.guard, m.does, pkg, strings.Join(names, "/"))
	}
	return b.String()
}

// patience bounds one test of one mutant: some mutants wait in vain.
const patience = 60 * time.Second

// TestMutants builds each mutant and requires that its test fails, and passes
// without it.
func TestMutants(t *testing.T) {
	if !*mutate {
		t.Skip("takes minutes; -mutate runs it")
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: t.TempDir(), whole: make(map[string]func() (string, error))}
	for i, m := range all() {
		if !wanted.MatchString(m.guard) || i%*of != *part%*of {
			continue
		}
		t.Run(m.guard, func(t *testing.T) {
			t.Parallel()
			b.try(t, filepath.Join(b.dir, fmt.Sprint("mutant-", i)), m)
		})
	}
}

// bench builds test programs and runs them.
type bench struct {
	dir string

	mu    sync.Mutex
	whole map[string]func() (string, error) // without a mutant, by package
}

// try requires that the test of a mutant passes without and fails with it.
func (b *bench) try(t *testing.T, dir string, m mutant) {
	pkg, names := m.target()
	program, err := b.unmutated(pkg)()
	if err != nil {
		t.Fatal(err)
	}
	flags := flagsOf(program)
	switch verdict, out := run(t, program, pkg, names, flags); verdict {
	case passed:
	case skipped:
		t.Skipf("%s is skipped:\n%s", m.test, tail(out))
	default:
		t.Fatalf("without the mutant %s %s:\n%s", m.test, verdict, tail(out))
	}
	overlay, err := m.overlay(dir)
	if err != nil {
		t.Fatal(err)
	}
	if program, err = build(pkg, filepath.Join(dir, "mutant.test"), "-overlay="+overlay); err != nil {
		t.Fatal(err)
	}
	verdict, out := run(t, program, pkg, names, flags)
	switch verdict {
	case failed:
		t.Logf("caught by %s\n\t%s", m.test, complaint(out))
	default:
		t.Errorf("NOT caught: %s; %s %s:\n%s", m.does, m.test, verdict, tail(out))
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// unmutated builds a package's tests once.
func (b *bench) unmutated(pkg string) func() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.whole[pkg] == nil {
		path := filepath.Join(b.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
		b.whole[pkg] = sync.OnceValues(func() (string, error) { return build(pkg, path) })
	}
	return b.whole[pkg]
}

// overlay writes the mutated files and what tells the compiler of them.
func (m mutant) overlay(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	files, err := m.apply()
	if err != nil {
		return "", err
	}
	replace := make(map[string]string)
	for name, source := range files {
		original, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		mutated := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(mutated, source, 0o600); err != nil {
			return "", err
		}
		replace[original] = mutated
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// build compiles the tests of a package into a program.
func build(pkg, path string, flags ...string) (string, error) {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-w", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, "./"+pkg)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return filepath.Abs(path)
}

// flagsOf are the flags that keep a program from writing into the tree what made
// it fail, if it is one that would.
func flagsOf(program string) []string {
	quiet := []string{"-rapid.nofailfile", "-rapid.shrinktime=0s"}
	if exec.Command(program, append(quiet, "-test.list=^$")...).Run() != nil {
		return nil // it doesn't know them
	}
	return quiet
}

// verdict is how a test ended.
type verdict string

const (
	passed  verdict = "passes"
	failed  verdict = "fails"
	skipped verdict = "is skipped"
	absent  verdict = "does not exist"
	broken  verdict = "dies of the mutant's own mistake"
)

// run runs one test. One that takes the whole program down, or doesn't end, has failed.
func run(t *testing.T, program, pkg string, names, flags []string) (verdict, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	args := append([]string{"-test.v", "-test.run=" + pattern(names), "-test.timeout=" + patience.String()}, flags...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = filepath.Join(root, pkg)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("%s: %v", cmd, err)
	}
	name := strings.Join(names, "/")
	switch {
	case !bytes.Contains(out, []byte("=== RUN   "+name+"\n")):
		return absent, string(out)
	case bytes.Contains(out, []byte("panic: runtime error")):
		return broken, string(out)
	case bytes.Contains(out, []byte("--- SKIP: "+name+" (")):
		return skipped, string(out)
	case err != nil:
		return failed, string(out)
	case !bytes.Contains(out, []byte("--- PASS: "+name+" (")):
		return absent, string(out)
	}
	return passed, string(out)
}

// complaint is the first line in which a test says what is wrong.
func complaint(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, ".go:") || strings.HasPrefix(line, "panic: ") {
			line = strings.TrimSpace(line)
			return line[:min(len(line), 200)]
		}
	}
	return "it ended without a word"
}

// tail is the end of a program's output, for messages.
func tail(out string) string {
	const most = 4000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return out
}
