package schema

import (
	"iter"
	"strings"

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

const (
	longest  = 80 // of names that are compared
	maxSlips = 3  // letters between a name and what it may mean
)

// nearest is the name that was probably meant, "" if none is near. The suffix of
// custom names, letter case and underscores are what is forgotten most easily.
func nearest(name string, known seq) string {
	if len(name) > longest {
		return ""
	}
	folded := fold(name)
	best, meant := maxSlips+1, ""
	for k := range known {
		other := fold(k)
		if d := slips(folded, other, best); d < best && 2*d < len(other) {
			best, meant = d, k
		}
	}
	return meant
}

// fold takes away in what names are alike.
func fold(name string) string {
	name = strings.ToLower(name)
	for _, suffix := range [...]string{"__c", "__r", "__e"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return strings.ReplaceAll(name, "_", "")
}

// slips is the number of letters to add, drop, change or swap between a and b; it
// may stop counting at enough.
func slips(a, b string, enough int) int {
	if d := len(a) - len(b); d >= enough || -d >= enough {
		return enough
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
