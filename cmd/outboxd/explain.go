package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/internal/doctor"
	"github.com/outboxd/outboxd/internal/meant"
	"github.com/outboxd/outboxd/schema"
)

// explanation is how --json shows a code.
type explanation struct {
	Code  string `json:"code"`
	From  string `json:"from"`
	Class string `json:"class"`
	Means string `json:"means"`
	Does  string `json:"does"`
	Do    string `json:"do"`
}

func explanationOf(c dispatcher.Code) explanation {
	from := "salesforce"
	if c.Own {
		from = "outboxd"
	}
	return explanation{Code: c.Name, From: from, Class: c.Class.String(), Means: c.Means, Does: c.Does, Do: c.Do}
}

func (c *cli) explain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Say what an event's code means, what the daemon does, and what to do",
		Long: "Say what a code that an event ended with means, what the daemon does about it, and what a person can do; letter case makes no difference, " +
			"and a whole message will do, of which the first code is taken. Without a code all are listed. It asks nobody: docs/errors.md is made from the same table.",
		Example: "  outboxd explain STRING_TOO_LONG\n  outboxd explain --json | jq -r 'select(.class == \"bad_config\").code'",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if len(given) == 0 {
				return c.explainAll()
			}
			code, ok := codeIn(given[0])
			if !ok {
				return unknownCode(given[0])
			}
			if c.json {
				return c.printJSON(explanationOf(code))
			}
			return c.showCode(code)
		},
	}
	c.jsonFlag(cmd, "it, or all, one a line,")
	return cmd
}

func (c *cli) explainAll() error {
	table := c.out.Table("code", "from", "class", "means")
	for _, code := range dispatcher.Codes() {
		e := explanationOf(code)
		if c.json {
			if err := c.printJSON(e); err != nil {
				return err
			}
			continue
		}
		table.Row(e.Code, e.From, e.Class, e.Means)
	}
	return table.Flush()
}

// showCode prints sentences rather than a table, which would cut them.
func (c *cli) showCode(code dispatcher.Code) error {
	from := "Salesforce's"
	if code.Own {
		from = "outboxd's own"
	}
	_, err := fmt.Fprintf(c.out, "%s (%s)\n\nmeans:  %s\ndaemon: %s\ndo:     %s\n", code.Name, from, sentence(code.Means), code.Does, sentence(code.Do))
	return err
}

// sentence makes one of a line of the table.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// codeIn is the code that a text is or begins with, or else the first within that is written as one.
func codeIn(text string) (dispatcher.Code, bool) {
	if code, ok := dispatcher.Explain(text); ok {
		return code, true
	}
	for i, word := range strings.FieldsFunc(text, notOfCode) {
		if i > 0 && word != strings.ToUpper(word) {
			continue
		}
		if code, ok := dispatcher.ExplainError(word, text); ok {
			return code, true
		}
	}
	return dispatcher.Code{}, false
}

func notOfCode(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

func unknownCode(name string) error {
	hint := "outboxd explain lists all that are known. Salesforce has others: of a record, one that is not known fails the event, and its message says more"
	if other := otherCode(strings.ToLower(name)); other != "" {
		hint = "no event ends with it, but " + other
	} else if near := nearestCodes(name); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return hinted(fmt.Errorf("%s: no code that is known", name), hint)
}

// pauses are what status gives for the reason why nothing is sent.
var pauses = []dispatcher.BreakerReason{
	dispatcher.ReasonNotConfigured, dispatcher.ReasonOrgChanged, dispatcher.ReasonRestored, dispatcher.ReasonOperator,
	dispatcher.ReasonLimit, dispatcher.ReasonBudget, dispatcher.ReasonUnavailable, dispatcher.ReasonMaintenance, dispatcher.ReasonLogin,
}

// otherCode explains codes that are somebody else's than an event's.
func otherCode(name string) string {
	if slices.Contains(pauses, dispatcher.BreakerReason(name)) {
		return `sending pauses for this reason: "Why is it not sending?" in docs/operations.md says what to do`
	}
	if means := schema.Reason(name).Means(); means != "" {
		return "a warning, or schema_mismatch, has it for its reason: " + means
	}
	if info := api.Code(name).Info(); string(info.Code) == name {
		return fmt.Sprintf("the socket answers with it: %s. %s", info.Title, info.Do)
	}
	if remedy := doctor.Remedy(name); remedy != "" {
		return "outboxd doctor finds it: " + remedy
	}
	return ""
}

// nearestCodes are at most three codes that may have been meant.
func nearestCodes(name string) []string {
	const most = 3
	var known []string
	for _, c := range dispatcher.Codes() {
		known = append(known, c.Name)
	}
	return meant.Names(name, slices.Values(known), most)
}
