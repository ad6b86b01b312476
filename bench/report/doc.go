// Package report holds what the comparison found: the JSON that the program in
// peers writes and the one in plot reads, the ratios and goals that follow from
// it, and its tables.
package report
