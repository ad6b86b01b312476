// Command plot draws what was measured as SVG, in light and in dark colours:
// the JSON of the comparison in ../peers and of outboxd bench accept, and the
// JSON lines of a long run. See ../README.md for the formats.
package main
