package config

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// Show writes the configuration in force as YAML: every key, secrets as ***.
// What it writes can be read again, but for the secrets.
func (c *Config) Show(w io.Writer) error {
	out, err := yaml.Dump(encode(reflect.ValueOf(c).Elem()))
	if err != nil {
		return fmt.Errorf("show configuration: %w", err)
	}
	_, err = w.Write(out)
	return err
}

// encode is the reverse of decode; nil for what has no value to show.
func encode(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case Secret:
		if x.IsZero() || x.fromFile { // the key of the file is shown
			return nil
		}
		return text(x.String(), yaml.SingleQuotedStyle)
	case Mode:
		return text(x.String(), yaml.DoubleQuotedStyle)
	case time.Duration:
		return text(formatDuration(x), 0)
	case fmt.Stringer:
		return text(x.String(), 0)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return encode(v.Elem())
	case reflect.Struct:
		return encodeStruct(v)
	case reflect.Map:
		return encodeMap(v)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, encode(v.Index(i)))
		}
		return n
	case reflect.Bool:
		return text(strconv.FormatBool(v.Bool()), 0)
	case reflect.Int:
		return text(strconv.FormatInt(v.Int(), 10), 0)
	}
	n := &yaml.Node{}
	n.SetString(v.String()) // quoted where it has to be
	return n
}

func encodeStruct(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		if child := encode(v.Field(i)); child != nil {
			n.Content = append(n.Content, text(v.Type().Field(i).Tag.Get("yaml"), 0), child)
		}
	}
	return n
}

func encodeMap(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	if v.Len() == 0 {
		n.Style = yaml.FlowStyle
	}
	objects := v.Interface().(map[string]Object)
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		n.Content = append(n.Content, text(name, 0), encode(reflect.ValueOf(objects[name])))
	}
	return n
}

func text(s string, style yaml.Style) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: s, Style: style}
}
