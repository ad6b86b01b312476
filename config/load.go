package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds the configuration and each file of a secret, in bytes.
const maxFile = 1 << 20

// Options say where Parse finds what a configuration refers to.
type Options struct {
	// Dir is where relative paths of secrets begin; empty: the working directory.
	Dir string
	// CredentialsDir is searched before it: systemd's $CREDENTIALS_DIRECTORY, or "".
	CredentialsDir string
}

// Load reads a configuration file and the secrets that it names. Its error is
// an *Errors with all mistakes, or that of reading the file.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, Options{
		Dir:            filepath.Dir(path),
		CredentialsDir: os.Getenv("CREDENTIALS_DIRECTORY"),
	})
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: longer than 1 MiB", path)
	}
	return data, err
}

// Parse is Load for a configuration that is in memory; name stands for the file in
// errors.
func Parse(name string, data []byte, o Options) (*Config, error) {
	c, d := decode(name, data)
	d.validate(c)
	if c.Salesforce != nil {
		d.readSecrets(&c.Salesforce.Auth, o)
	}
	if len(d.found.List) > 0 {
		d.found.sort()
		return nil, &d.found
	}
	return c, nil
}

// decode puts what can be read over the defaults.
func decode(name string, data []byte) (*Config, *decoder) {
	c := Default()
	d := &decoder{file: name, wrong: make(map[string]bool), at: make(map[string]*yaml.Node)}
	if root := d.tree(data); root != nil {
		d.value(root, reflect.ValueOf(c).Elem(), "", "")
	}
	return c, d
}

// tree is the YAML of the only document, nil where there is none or it can't be read.
func (d *decoder) tree(data []byte) *yaml.Node {
	if !utf8.Valid(data) {
		at := bytes.IndexFunc(data, func(r rune) bool { return r == utf8.RuneError })
		before := data[:at]
		n := &yaml.Node{Line: 1 + bytes.Count(before, []byte("\n")), Column: at - bytes.LastIndexByte(before, '\n')}
		d.fail(n, "", "not UTF-8", "save the file as UTF-8")
		return nil
	}
	var first, second yaml.Node
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err == nil {
		err = loader.Load(&first)
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntax(data, err)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		d.fail(&second, "", "a second document", "keep one document, and take the line --- out")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(data, err)
	}
	if len(first.Content) == 0 {
		return nil
	}
	return first.Content[0]
}

// syntax reports what is no YAML at all.
func (d *decoder) syntax(data []byte, err error) {
	at := &yaml.Node{Line: 1, Column: 1}
	what := err.Error()
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		what = e.Message
		if e.Mark.Line > 0 {
			at.Line, at.Column = e.Mark.Line, e.Mark.Column
		}
	}
	lines := bytes.Split(data, []byte("\n"))
	if last := len(lines); at.Line > last { // what ends too early is missed on the next line
		at.Line, at.Column = last, utf8.RuneCount(lines[last-1])+1
	}
	d.fail(at, "", "not YAML: "+what, "check indents (spaces, no tabs), colons and quotes up to here")
}
