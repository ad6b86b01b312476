package config

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const docFile = "../docs/configuration.md"

const docHead = `# Configuration

<!-- Made from the comments in config/config.go by: go test ./config -run TestDocs -update -->

One YAML file, ` + "`/etc/outboxd/outboxd.yaml`" + ` unless ` + "`--config` or `OUTBOXD_CONFIG`" + ` names another. Every
key has a default, and an empty file is a configuration: outboxd then accepts events and keeps them.

The file is read strictly. A key that does not exist, a value that makes no sense, or a secret's file that others could
read keeps the daemon from starting, and ` + "`outboxd config check`" + ` tells all mistakes at once, each with its line, its
column and a remedy:

` + "```" + `
outboxd.yaml:7:5: store.max_sise: unknown key; did you mean max_size?
outboxd.yaml:12:25: salesforce.auth.private_key_file: others can read it: its mode is 0644; chmod 0600 salesforce.key, or hand it over by systemd's LoadCredential
` + "```" + `

` + "`outboxd config show`" + ` prints the configuration in force, with secrets as ` + "`***`" + `.

## How values are written

| kind | written as |
| --- | --- |
| duration | ` + "`500ms`, `30s`, `10m`, `72h`" + `, as Go writes them |
| size | ` + "`512MiB`, `10GiB`" + `: a whole number and B, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB (of 1000) |
| range | ` + "`1s..30s`" + `: two durations, the smaller one first |
| percentage | ` + "`20%`, `12.5%`" + ` |
| mode | ` + "`\"0660\"`" + `: permissions in octal |

Anchors, aliases and merge keys are not taken.

## Secrets

Each secret is written out in the file or, better, kept in a file of its own that a key ending in ` + "`_file`" + ` names. A
relative path is looked for in ` + "`$CREDENTIALS_DIRECTORY`" + ` first, which is where systemd puts what ` + "`LoadCredential`" + `
names, then beside the configuration file. Outside the credentials folder such a file must belong to the daemon's user
or to root, and nobody else may have any right to it (` + "`chmod 0600`" + `). White space around the secret is dropped.
Who can read a configuration is not looked at: one with a secret written out in it is yours to close (` + "`chmod 0600`" + `).

## Later releases

` + "`segment` and `mappings`" + ` (Segment-shaped calls) belong to later releases. Until then a configuration that asks for them
is refused by name; an empty ` + "`mappings`" + ` and a ` + "`segment`" + ` without ` + "`listen`" + ` ask for nothing.

## Example

` + "```yaml\nEXAMPLE```" + `

## Keys
`

// TestDocs_AreCurrent compares docs/configuration.md with the comments of the fields.
func TestDocs_AreCurrent(t *testing.T) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc bytes.Buffer
	doc.WriteString(strings.Replace(docHead, "EXAMPLE", string(example), 1))
	w := docWriter{t: t, out: &doc, comments: fieldComments(t)}
	w.group("", "", reflect.ValueOf(Default()).Elem())
	if *update {
		if err := os.WriteFile(docFile, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	current, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(current, doc.Bytes()) {
		t.Errorf("%s is not current: run go test ./config -run TestDocs -update", docFile)
	}
}

// docWriter writes a section for each group of keys.
type docWriter struct {
	t        *testing.T
	out      *bytes.Buffer
	comments map[string]string // by "Type.Field"
}

// group writes the keys of one struct that are single values as a table, then the groups in it.
func (w *docWriter) group(key, comment string, v reflect.Value) {
	var rows bytes.Buffer
	var groups []func()
	for i := range v.NumField() {
		f, child := v.Type().Field(i), v.Field(i)
		name := join(key, f.Tag.Get("yaml"))
		text := w.comments[v.Type().Name()+"."+f.Name]
		if text == "" {
			w.t.Errorf("%s.%s has no comment", v.Type().Name(), f.Name)
		}
		if inner, ok := w.inner(child); ok {
			if child.Kind() == reflect.Map {
				name += ".NAME"
			}
			groups = append(groups, func() { w.group(name, text, inner) })
			continue
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", f.Tag.Get("yaml"), defaultText(child), text+boundsText(f.Tag))
	}
	if key != "" {
		fmt.Fprintf(w.out, "\n### %s\n\n%s\n", key, comment)
	}
	if rows.Len() > 0 {
		fmt.Fprintf(w.out, "\n| key | default | meaning |\n| --- | --- | --- |\n%s", rows.String())
	}
	for _, group := range groups {
		group()
	}
}

// inner is the struct whose keys stand below a field, with its defaults.
func (w *docWriter) inner(v reflect.Value) (reflect.Value, bool) {
	t := v.Type()
	_, single := v.Addr().Interface().(scalar)
	switch {
	case single:
		return v, false
	case t.Kind() == reflect.Struct:
		return v, true
	case t.Kind() == reflect.Map || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		fresh := reflect.New(t.Elem())
		fresh.Interface().(defaulter).defaults()
		return fresh.Elem(), true
	}
	return v, false
}

func defaultText(v reflect.Value) string {
	n := encode(v)
	switch {
	case n == nil:
		return ""
	case v.Kind() == reflect.Slice:
		quoted := make([]string, v.Len())
		for i := range quoted {
			quoted[i] = fmt.Sprintf("%q", v.Index(i).String())
		}
		return "`[" + strings.Join(quoted, ", ") + "]`"
	case n.Value == "":
		return ""
	case v.Type() == reflect.TypeFor[Mode]():
		return "`\"" + n.Value + "\"`"
	}
	return "`" + n.Value + "`"
}

func boundsText(tag reflect.StructTag) string {
	least, most := tag.Get("min"), tag.Get("max")
	switch {
	case tag.Get("oneof") != "":
		return " One of `" + strings.Join(strings.Fields(tag.Get("oneof")), "`, `") + "`."
	case least != "" && most != "":
		return " From " + least + " to " + most + "."
	case least != "" && strings.Trim(least, "0s%") != "":
		return " At least " + least + "."
	}
	return ""
}

// fieldComments reads the comments of all fields in config.go, as one line each.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				comments[spec.Name.Name+"."+f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
		return true
	})
	return comments
}
