// Package crashtest runs the real daemon and the real simulator as processes of
// their own, over real sockets, kills the daemon, and asks the org's oracle what
// was lost or doubled. It has tests only.
package crashtest
