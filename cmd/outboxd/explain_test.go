package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/dispatcher"
)

// TestErrorsDoc_IsTheTable holds docs/errors.md to what explain says.
func TestErrorsDoc_IsTheTable(t *testing.T) {
	golden(t, "../../docs/errors.md", errorsDoc())
}

const errorsDocHead = `# Error codes

Each event that ends badly, or is sent again, says why by a code: outboxd's own, or Salesforce's in Salesforce's
words. This page is made from the table by which the daemon itself goes; ` + "`outboxd explain CODE`" + ` says the
same. How to look at such events, retry and drop them: [operations](operations.md#stuck-records).

Those behind a failed event in its lane wait for it, unless the object has ` + "`on_failure: skip`" + `.

Salesforce has more codes than are listed. Of those, one that begins with ` + "`EXTERNAL_OBJECT_`" + ` is taken for
passing, and one that ends with ` + "`_LIMIT_EXCEEDED`" + ` for a matter of the org's set-up. Any other fails its event where it
speaks of one record; where it answers a whole call, the HTTP status decides.
`

func errorsDoc() string {
	var b strings.Builder
	b.WriteString(errorsDocHead)
	for _, own := range []bool{true, false} {
		title := "Salesforce's"
		if own {
			title = "outboxd's own"
		}
		fmt.Fprintf(&b, "\n## %s\n\n| code | means | the daemon | do |\n| --- | --- | --- | --- |\n", title)
		for _, c := range dispatcher.Codes() {
			if c.Own == own {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Name, sentence(c.Means), c.Does, sentence(c.Do))
			}
		}
	}
	b.WriteString("\n## Of the login\n\nNo event ends with one of these: `status` shows them while nothing is sent, and `outboxd doctor` picks the remedy that fits.\n\n| code | do |\n| --- | --- |\n")
	for _, c := range dispatcher.LoginCodes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, sentence(c.Do))
	}
	return b.String()
}

func TestNearestCodes(t *testing.T) {
	for name, want := range map[string]string{
		"string_to_long":   "STRING_TOO_LONG",
		"DUPLICATE-VALUES": "DUPLICATE_VALUE",
		"expire":           "EXPIRED",
	} {
		if got := nearestCodes(name); len(got) == 0 || got[0] != want {
			t.Errorf("nearest of %s: %v, want %s first", name, got, want)
		}
	}
	if got := nearestCodes("hello world"); len(got) != 0 {
		t.Errorf("nearest of nonsense: %v", got)
	}
}
