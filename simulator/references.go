package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// answers are the bodies of earlier subrequests by referenceId, to which later
// ones refer as @{referenceId.member[0].member}.
type answers map[string]any

var (
	reference     = regexp.MustCompile(`@\{(\w*)([^}]*)\}`)
	referenceStep = regexp.MustCompile(`^(?:\.(\w+)|\[(\d+)\])`)
)

// keep remembers a body.
func (a *answers) keep(id string, ans *answer) {
	dec := json.NewDecoder(bytes.NewReader(ans.body))
	dec.UseNumber()
	var body any
	if dec.Decode(&body) != nil {
		return // there is nothing to refer to
	}
	if *a == nil {
		*a = make(answers)
	}
	(*a)[id] = body
}

// find follows a reference to a single value.
func (a answers) find(text string) (any, *answer) {
	match := reference.FindStringSubmatch(text)
	id, path := match[1], match[2]
	missing := halted("Invalid reference specified. No value for " + id + path + " found in " + id)
	v, ok := a[id]
	for ok && path != "" {
		step := referenceStep.FindStringSubmatch(path)
		if step == nil {
			return nil, missing
		}
		v, ok = inside(v, step[1], step[2])
		path = path[len(step[0]):]
	}
	switch v.(type) {
	case map[string]any, []any:
		return nil, missing // it can't be put into a field
	}
	if !ok {
		return nil, missing
	}
	return v, nil
}

// inside is a member of an object or, where name is empty, an element of a list.
func inside(v any, name, index string) (any, bool) {
	if name != "" {
		object, _ := v.(map[string]any)
		v, ok := object[name]
		return v, ok
	}
	list, _ := v.([]any)
	i, err := strconv.Atoi(index)
	if err != nil || i >= len(list) {
		return nil, false
	}
	return list[i], true
}

// fill puts values in place of the references in a text.
func (a answers) fill(text string, encode func(string) string) (string, *answer) {
	var refusal *answer
	filled := reference.ReplaceAllStringFunc(text, func(ref string) string {
		v, missing := a.find(ref)
		if missing == nil && v != nil {
			return encode(fmt.Sprint(v))
		}
		if missing == nil {
			missing = halted("Invalid reference specified. The value of " + ref + " is null")
		}
		refusal = missing
		return ""
	})
	return filled, refusal
}

// fillURL puts values into a path and query.
func (a answers) fillURL(text string) (string, *answer) {
	return a.fill(text, func(v string) string { return strings.ReplaceAll(url.QueryEscape(v), "+", "%20") })
}

// fillBody puts values into the strings of a body. A string that is nothing but
// a reference becomes the value itself; one that is null only where nulls are
// allowed.
func (a answers) fillBody(body []byte, nulls bool) ([]byte, *answer) {
	if !reference.Match(body) {
		return body, nil
	}
	var out bytes.Buffer
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	enc := jsontext.NewEncoder(&out, jsontext.AllowDuplicateNames(true))
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return out.Bytes(), nil // the end: the body was parsed before
		}
		value, refusal := a.fillToken(token, nameRead(dec), nulls)
		if refusal != nil {
			return nil, refusal
		}
		if err := enc.WriteToken(value); err != nil {
			return nil, badJSON(err)
		}
	}
}

// nameRead reports whether the token just read is the name of a member.
func nameRead(dec *jsontext.Decoder) bool {
	kind, n := dec.StackIndex(dec.StackDepth())
	return kind == '{' && n%2 == 1
}

func (a answers) fillToken(token jsontext.Token, name, nulls bool) (jsontext.Token, *answer) {
	if token.Kind() != '"' || name {
		return token, nil
	}
	text := token.String()
	if reference.FindString(text) != text || text == "" {
		filled, refusal := a.fill(text, func(v string) string { return v })
		return jsontext.String(filled), refusal
	}
	v, refusal := a.find(text)
	if refusal != nil {
		return token, refusal
	}
	switch v := v.(type) {
	case bool:
		return jsontext.Bool(v), nil
	case nil:
		if !nulls {
			return token, halted("Invalid reference specified. The value of " + text + " is null")
		}
		return jsontext.Null, nil
	default:
		return jsontext.String(fmt.Sprint(v)), nil // number fields take text too
	}
}
