// Package archtest holds the project to its import picture: which way packages
// may depend on each other, and what the program must not link. It has tests only.
package archtest
