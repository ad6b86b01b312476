package main

import (
	"encoding/json"
	"strings"
)

// assignments reads flags of the form Name=value. A value that is JSON is taken
// as such, so that 12, true and null are what they look like; any other is text.
func assignments(flag string, given []string) (map[string]any, error) {
	fields := make(map[string]any, len(given))
	for _, text := range given {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usage("--%s %s: want Name=value", flag, text)
		}
		if _, twice := fields[name]; twice {
			return nil, usage("--%s %s: given twice", flag, name)
		}
		fields[name] = jsonOrText(value)
	}
	return fields, nil
}

func jsonOrText(value string) json.RawMessage {
	if json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	text, _ := json.Marshal(value) // a string can always be marshalled
	return text
}

// texts reads flags of the form name=text.
func texts(flag string, given []string) (map[string]string, error) {
	all := make(map[string]string, len(given))
	for _, text := range given {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usage("--%s %s: want name=text", flag, text)
		}
		all[name] = value
	}
	return all, nil
}

// object reads a flag that is a JSON object. Its values stay as they were
// written, so that no digit of a number is lost.
func object(flag, text string) (map[string]any, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, usage("--%s: not a JSON object: %v", flag, err)
	}
	members := make(map[string]any, len(raw))
	for name, value := range raw {
		members[name] = value
	}
	return members, nil
}
