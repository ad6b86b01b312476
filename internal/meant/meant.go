// Package meant finds the name that somebody probably meant who wrote another.
package meant

import (
	"iter"
	"slices"
	"strings"
)

const (
	longest  = 80 // bytes of a name that is compared
	maxSlips = 3  // letters between a name and what it may mean
)

// Name is the known name that was probably meant by a given one, "" if none is
// near. Letter case, underscores, blanks, dashes and the suffix of Salesforce's
// custom names count for nothing: they are what is forgotten most easily.
func Name(given string, known iter.Seq[string]) string {
	for _, name := range Names(given, known, 1) {
		return name
	}
	return ""
}

// Names are the known names that may have been meant, the nearest first, at most so many.
func Names(given string, known iter.Seq[string], most int) (names []string) {
	if len(given) > longest {
		return nil
	}
	slipped := map[string]int{}
	folded := fold(given)
	for k := range known {
		other := fold(k)
		if d := slips(folded, other, maxSlips+1); d <= maxSlips && 3*d <= len(other) {
			slipped[k] = d
			names = append(names, k)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return slipped[a] - slipped[b] })
	return names[:min(len(names), most)]
}

var ignored = strings.NewReplacer("_", "", "-", "", " ", "")

// fold takes away in what names are alike.
func fold(name string) string {
	name = strings.ToLower(name)
	for _, suffix := range [...]string{"__c", "__r", "__e"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return ignored.Replace(name)
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
