package simulator

import (
	"fmt"
	"slices"
)

// DuplicateRule refuses a row whose Fields have the values of another row that
// is there; one with an empty field has no duplicates. A rule that Blocks can't
// be overridden, another one alerts and lets pass who asks for it.
type DuplicateRule struct {
	Name    string   `json:"name"`
	Fields  []string `json:"fields"`
	Blocks  bool     `json:"blocks,omitempty"`
	Message string   `json:"message,omitempty"`
	Code    string   `json:"code,omitempty"` // of an index rather than a rule, which rows of one call see too; default DUPLICATES_DETECTED
}

const useAnother = "You're creating a duplicate record. We recommend you use an existing record instead."

// duplicateRule is a DuplicateRule made ready for use.
type duplicateRule struct {
	DuplicateRule
	fields []*field // the first has an index
}

// compared reports whether a duplicate rule begins with the field, which then
// has an index.
func (o *object) compared(name string) bool {
	return slices.ContainsFunc(o.DuplicateRules, func(r DuplicateRule) bool { return len(r.Fields) > 0 && r.Fields[0] == name })
}

func (o *object) compileDuplicates() error {
	for _, def := range o.DuplicateRules {
		r := duplicateRule{DuplicateRule: def}
		r.Message = orText(def.Message, useAnother)
		for _, name := range def.Fields {
			f := o.field(name)
			if f == nil || f.Name != name || f.system != notSystem {
				return fmt.Errorf("object %s: duplicate rule %s: unknown field %q", o.Name, def.Name, name)
			}
			r.fields = append(r.fields, f)
		}
		if len(r.fields) == 0 {
			return fmt.Errorf("object %s: duplicate rule %s: no fields", o.Name, def.Name)
		}
		o.duplicates = append(o.duplicates, r)
	}
	return nil
}

// duplicate is what a duplicate rule has found; single-row answers tell of it.
type duplicate struct {
	rule    string
	blocks  bool
	matches []*record
}

// checkDuplicates holds a row's coming values against the rows that are there.
// Those of the same chunk are not there yet.
func (c *chunk) checkDuplicates(obj *object, set, vals []assignment, self *record) *rowError {
	for _, rule := range obj.duplicates {
		touched := slices.ContainsFunc(set, func(a assignment) bool { return slices.Contains(rule.fields, a.field) })
		if !touched || c.allowSave && !rule.Blocks && rule.Code == "" {
			continue
		}
		found := &duplicate{rule: rule.Name, blocks: rule.Blocks}
		for _, r := range rule.fields[0].live.all(rule.fields[0].key(valueOf(vals, rule.fields[0]))) {
			if r != self && (r.num <= c.first || rule.Code != "") && rule.matches(r, vals) {
				found.matches = append(found.matches, r)
			}
		}
		switch {
		case found.matches == nil:
		case rule.Code != "":
			return refuse(rule.Code, rule.Message)
		default:
			err := refuse("DUPLICATES_DETECTED", rule.Message)
			err.duplicate = found
			return err
		}
	}
	return nil
}

func (rule *duplicateRule) matches(r *record, vals []assignment) bool {
	for _, f := range rule.fields {
		if v := valueOf(vals, f); v == "" || f.key(r.stored(f)) != f.key(v) {
			return false
		}
	}
	return true
}

// duplicateAnswer is the single-row answer with what was found, under the name
// that is misspelt on the wire.
func duplicateAnswer(e *rowError, base string) *answer {
	type object = map[string]any
	obj := e.duplicate.matches[0].object.Name
	matches := make([]object, len(e.duplicate.matches))
	for i, r := range e.duplicate.matches {
		matches[i] = object{
			"additionalInformation": []string{}, "fieldDiffs": []string{}, "matchConfidence": 100.0,
			"record": object{"attributes": object{"type": obj, "url": base + r.id}, "Id": r.id},
		}
	}
	return valueAnswer(e.httpStatus(), []object{{
		"duplicateResut": object{
			"allowSave": !e.duplicate.blocks, "duplicateRule": e.duplicate.rule, "duplicateRuleEntityType": obj, "errorMessage": e.message,
			"matchResults": []object{{
				"entityType": obj, "errors": []string{}, "matchEngine": "ExactMatchEngine", "matchRecords": matches,
				"rule": e.duplicate.rule, "size": len(matches), "success": true,
			}},
		},
		"errorCode": e.code, "message": e.message,
	}})
}
