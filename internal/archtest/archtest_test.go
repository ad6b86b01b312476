package archtest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/outboxd/outboxd"

// may says which packages of the project each one may depend on, directly or
// not. A package that is not named here may be used by none but by its tests.
var may = map[string][]string{
	"api":              {},
	"event":            {"internal/meant"},
	"store":            {},
	"salesforce":       {},
	"schema":           {"event", "internal/meant", "salesforce"}, // not simulator, which its tests hold it against
	"simulator":        {},                                        // above all not salesforce: two readings of one reference
	"config":           {"internal/meant"},
	"internal/fsx":     {},
	"internal/meant":   {},
	"internal/simflag": {}, // for tests
	"internal/term":    {},
	"client":           {"api"},
	"server":           {"api", "event", "internal/meant", "store"},
	"dispatcher":       {"event", "internal/meant", "salesforce", "schema", "store"},
	"app":              {"api", "config", "dispatcher", "event", "internal/fsx", "internal/meant", "salesforce", "schema", "server", "store"},
	"internal/bench":   {"api", "client", "config", "internal/meant", "internal/term", "simulator", "store"},
	"internal/doctor":  {"config", "event", "internal/meant", "salesforce", "store"},
	"cmd/outboxd": {
		"api", "app", "client", "config", "dispatcher", "event", "internal/bench", "internal/doctor",
		"internal/fsx", "internal/meant", "internal/term",
		"salesforce", "schema", "server", "simulator", "store",
	},
}

// testOnly are modules for tests; none of them may be in the program.
var testOnly = []string{
	"github.com/google/go-cmp", "github.com/hanwen/go-fuse", "github.com/rogpeppe/go-internal",
	"go.uber.org/goleak", "pgregory.net/rapid", "testing",
}

func TestImports_FollowThePicture(t *testing.T) {
	for _, name := range packages(t) {
		t.Run(name, func(t *testing.T) {
			if testsOnly(t, name) {
				return // it may use what it tests
			}
			allowed, known := may[name]
			if !known {
				t.Fatal("is not in the picture: say there what it may depend on")
			}
			for _, dep := range deps(t, name) {
				inner, ours := strings.CutPrefix(dep, module+"/")
				if ours && inner != name && !slices.Contains(allowed, inner) {
					t.Errorf("depends on %s", inner)
				}
			}
		})
	}
}

// TestFlags_AreKnownToEveryTest: the go command gives the flags of the simulation
// to each test binary.
func TestFlags_AreKnownToEveryTest(t *testing.T) {
	const flags = module + "/internal/simflag"
	lines := list(t, "-f", `{{.ImportPath}}:{{join .TestImports ","}},{{join .XTestImports ","}}`, module+"/...")
	for _, line := range lines {
		name, imports, _ := strings.Cut(line, ":")
		if imports != "," && !slices.Contains(strings.Split(imports, ","), flags) {
			t.Errorf("%s: one of its tests must import _ %q", name, flags)
		}
	}
}

func TestBinary_LinksNoTestLibrary(t *testing.T) {
	for _, dep := range deps(t, "cmd/outboxd") {
		for _, library := range testOnly {
			if dep == library || strings.HasPrefix(dep, library+"/") {
				t.Errorf("the program links %s", dep)
			}
		}
	}
}

// packages are the project's, without the module's own prefix.
func packages(t *testing.T) []string {
	t.Helper()
	all := list(t, "-f", "{{.ImportPath}}", module+"/...")
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], module+"/")
	}
	return all
}

// testsOnly reports whether a package is there for tests: it has no other
// files, or is used by tests alone, as its name says.
func testsOnly(t *testing.T, name string) bool {
	t.Helper()
	if strings.HasSuffix(name, "test") {
		return true
	}
	return len(list(t, "-f", "{{range .GoFiles}}{{.}} {{end}}", module+"/"+name)) == 0
}

func deps(t *testing.T, name string) []string {
	t.Helper()
	return list(t, "-deps", module+"/"+name)
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	var complaint strings.Builder
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, complaint.String())
	}
	return strings.Fields(string(out))
}
