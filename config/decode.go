package config

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/outboxd/outboxd/internal/meant"
)

// scalar is a type of value that is written as one YAML scalar.
type scalar interface {
	parse(text string) error // its errors are *mistake
}

// defaulter is made while reading, and begins with its own defaults.
type defaulter interface{ defaults() }

var durationType = reflect.TypeFor[time.Duration]()

// decoder puts a YAML tree into a Config and remembers where each key stands.
// Field tags say the rest: yaml the key, oneof the texts it takes, min and max
// its bounds.
type decoder struct {
	file  string
	found Errors
	wrong map[string]bool       // keys with a mistake
	at    map[string]*yaml.Node // the value of each key in the file, by its path
}

// fail reports a mistake at a node, the first one of each key.
func (d *decoder) fail(n *yaml.Node, key, what, hint string) {
	if d.wrong[key] && key != "" {
		return
	}
	d.wrong[key] = true
	d.found.List = append(d.found.List, &Error{
		File: d.file, Line: n.Line, Column: n.Column, Key: key, What: what, Hint: hint,
	})
}

// failAt reports a mistake at a key, or at what is around it where the file does not have it.
func (d *decoder) failAt(key, what, hint string) {
	for path := key; ; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
		if n := d.at[path]; n != nil {
			d.fail(n, key, what, hint)
			return
		}
		if path == "" {
			d.fail(&yaml.Node{Line: 1, Column: 1}, key, what, hint)
			return
		}
	}
}

// failWith reports what a parser said.
func (d *decoder) failWith(n *yaml.Node, key string, err error) {
	if m, ok := errors.AsType[*mistake](err); ok {
		d.fail(n, key, m.what, m.hint)
		return
	}
	d.fail(n, key, err.Error(), "")
}

// value puts n into v; tag holds the bounds of what is one scalar.
func (d *decoder) value(n *yaml.Node, v reflect.Value, key string, tag reflect.StructTag) {
	d.at[key] = n
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.fail(n, key, "anchors and aliases are not taken", "write the value out")
		return
	}
	switch {
	case isScalar(v):
		d.scalar(n, v, key, tag)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, key)
	case v.Kind() == reflect.Map:
		d.table(n, v, key)
	case v.Kind() == reflect.Slice:
		d.list(n, v, key)
	case v.Kind() == reflect.Pointer && !isNull(n):
		fresh := reflect.New(v.Type().Elem())
		if f, ok := fresh.Interface().(defaulter); ok {
			f.defaults()
		}
		v.Set(fresh)
		d.value(n, fresh.Elem(), key, tag)
	}
}

func isScalar(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(scalar); ok {
		return true
	}
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// structure takes nothing at all for the defaults.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, key string) {
	fields := make(map[string]int)
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		fields[name] = i
		names = append(names, name)
	}
	for name, child := range d.pairs(n, key) {
		i, known := fields[name.Value]
		switch {
		case known:
			d.value(child, v.Field(i), join(key, name.Value), v.Type().Field(i).Tag)
		case key == "" && slices.Contains(laterKeys, name.Value):
			d.later(name, child)
		default:
			d.unknown(name, join(key, name.Value), names)
		}
	}
}

func (d *decoder) table(n *yaml.Node, v reflect.Value, key string) {
	v.Set(reflect.MakeMap(v.Type()))
	for name, child := range d.pairs(n, key) {
		entry := reflect.New(v.Type().Elem())
		if f, ok := entry.Interface().(defaulter); ok {
			f.defaults()
		}
		d.value(child, entry.Elem(), join(key, name.Value), "")
		v.SetMapIndex(reflect.ValueOf(name.Value), entry.Elem())
	}
}

// pairs yields the keys and values of a mapping, each key once.
func (d *decoder) pairs(n *yaml.Node, key string) func(func(name, value *yaml.Node) bool) {
	return func(yield func(name, value *yaml.Node) bool) {
		if isNull(n) {
			return
		}
		if n.Kind != yaml.MappingNode {
			d.fail(n, key, "must be a mapping, not "+kind(n), "write keys and values below it, each key on its own line")
			return
		}
		seen := make(map[string]bool)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			switch {
			case name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge":
				d.fail(name, key, "a key must be a plain text", "write the key out")
			case seen[name.Value]:
				d.fail(name, join(key, name.Value), "given twice", "keep one of the two")
			case !yield(name, value):
				return
			}
			seen[name.Value] = true
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, key string) {
	v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, key, "must be a list, not "+kind(n), `write it in brackets, such as ["*"]`)
		return
	}
	for i, child := range n.Content {
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(child, entry, key+"["+strconv.Itoa(i)+"]", "")
		v.Set(reflect.Append(v, entry))
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, key string, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, key, "must be one value, not "+kind(n), "")
		return
	}
	if isNull(n) {
		if v.Kind() != reflect.String {
			d.fail(n, key, "has no value", "give it one, or leave the key out for the default")
		} else {
			v.SetString("")
		}
		return
	}
	if err := parseScalar(n, v); err != nil {
		d.failWith(n, key, err)
		return
	}
	if m := outside(v, tag); m != nil {
		d.failWith(n, key, m)
	}
}

// parseScalar reads the text of n in the way of v's type.
func parseScalar(n *yaml.Node, v reflect.Value) error {
	text := n.Value
	if s, ok := v.Addr().Interface().(scalar); ok {
		return s.parse(text)
	}
	switch {
	case v.Type() == durationType:
		parsed, err := parseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(parsed))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return &mistake{"must be true or false", "write true or false"}
		}
		v.SetBool(text == "true")
	default:
		parsed, err := strconv.Atoi(text)
		if err != nil {
			return &mistake{"not a whole number", "write digits only, such as 1000"}
		}
		v.SetInt(int64(parsed))
	}
	return nil
}

// outside says how a value breaks the bounds of its tag.
func outside(v reflect.Value, tag reflect.StructTag) error {
	if choices := tag.Get("oneof"); choices != "" && !slices.Contains(strings.Fields(choices), v.String()) {
		list := strings.Join(strings.Fields(choices), ", ")
		return &mistake{"must be one of " + list, "write one of " + list}
	}
	low, high := measure(v)
	if least := tag.Get("min"); least != "" && low < bound(v.Type(), least) {
		return &mistake{"must be at least " + least, "write " + least + " or more"}
	}
	if most := tag.Get("max"); most != "" && high > bound(v.Type(), most) {
		return &mistake{"must be at most " + most, "write " + most + " or less"}
	}
	return nil
}

// measure is the value as numbers that can be compared: of a range both ends.
func measure(v reflect.Value) (low, high float64) {
	if r, ok := v.Interface().(Range); ok {
		return float64(r.Min), float64(r.Max)
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return float64(v.Int()), float64(v.Int())
	case reflect.Float64:
		return v.Float(), v.Float()
	}
	return 0, 0
}

// bound reads a bound of a tag as a value of the field's type.
func bound(t reflect.Type, text string) float64 {
	if t == reflect.TypeFor[Range]() {
		t = durationType
	}
	v := reflect.New(t).Elem()
	if err := parseScalar(&yaml.Node{Value: text}, v); err != nil {
		panic("config: bound " + text + " of a field: " + err.Error())
	}
	low, _ := measure(v)
	return low
}

func (d *decoder) unknown(name *yaml.Node, key string, known []string) {
	hint := "known here: " + strings.Join(known, ", ")
	if near := meant.Name(name.Value, slices.Values(known)); near != "" {
		hint = "did you mean " + near + "?"
	}
	d.fail(name, key, "unknown key", hint)
}

// kind names what stands at a node, never its text.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
