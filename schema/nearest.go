package schema

import (
	"iter"

	"github.com/outboxd/outboxd/salesforce"
)

type seq = iter.Seq[string]

func names(o *salesforce.Object) seq {
	return some(o, func(f *salesforce.Field) string { return f.Name })
}

// keys are the names of the fields that name records.
func keys(o *salesforce.Object) seq {
	return some(o, func(f *salesforce.Field) string {
		if !isKey(f) {
			return ""
		}
		return f.Name
	})
}

func relationships(o *salesforce.Object) seq {
	return some(o, func(f *salesforce.Field) string { return f.RelationshipName })
}

// some yields what of each field is not empty.
func some(o *salesforce.Object, of func(*salesforce.Field) string) seq {
	return func(yield func(string) bool) {
		for i := range o.Fields {
			if name := of(&o.Fields[i]); name != "" && !yield(name) {
				return
			}
		}
	}
}

func meaning(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}
