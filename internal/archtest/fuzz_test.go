package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// TestFuzzing_TheTableListsEveryTarget: docs/testing.md says of each one what has to hold.
func TestFuzzing_TheTableListsEveryTarget(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("\\| `([\\w/]+)` `(Fuzz\\w+)` \\|").FindAllSubmatch(text, -1) {
		listed = append(listed, string(m[1])+" "+string(m[2]))
	}
	var found []string
	for _, name := range packages(t) {
		files, err := filepath.Glob(filepath.Join(root, name, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			code, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range fuzzTarget.FindAllSubmatch(code, -1) {
				found = append(found, strings.TrimPrefix(name+" "+string(m[1]), "./"))
			}
		}
	}
	slices.Sort(listed)
	slices.Sort(found)
	if !slices.Equal(listed, found) {
		t.Errorf("the table lists\n%s\nand there are\n%s", strings.Join(listed, "\n"), strings.Join(found, "\n"))
	}
}
