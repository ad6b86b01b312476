package dispatcher

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/salesforce"
)

// Code explains a code that an event can end with, or be sent again for.
type Code struct {
	Name string
	// Own: outboxd's rather than Salesforce's.
	Own bool
	// Class is what the code proves of one record.
	Class salesforce.Class
	// Means and Do, what it says and what an operator can do, are one line each; Does is what the daemon does, in sentences.
	Means, Does, Do string
}

// Codes returns the whole table, outboxd's own first, each part by name.
func Codes() []Code {
	own := slices.SortedFunc(slices.Values(ownCodes), byName)
	orgs := make([]Code, 0, len(salesforce.Codes()))
	for _, c := range salesforce.Codes() {
		orgs = append(orgs, ofOrg(c))
	}
	slices.SortFunc(orgs, byName)
	return append(own, orgs...)
}

func byName(a, b Code) int { return strings.Compare(a.Name, b.Name) }

// Explain looks a code up, whatever its letter case. Of Salesforce's that are not
// in the table it explains those that are judged by how they begin or end.
func Explain(name string) (Code, bool) {
	for _, c := range ownCodes {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	if c, ok := salesforce.Explain(name); ok {
		return ofOrg(c), true
	}
	for _, c := range LoginCodes() {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return ofFamily(strings.ToUpper(name))
}

// ExplainError is Explain of a code with the message that it came with, which may tell more.
func ExplainError(name, message string) (Code, bool) {
	c, ok := Explain(name)
	for _, m := range messages {
		if c.Name == m.code && strings.Contains(message, m.holds) {
			class := salesforce.ClassOfRecord(c.Name, message)
			return Code{Name: c.Name, Class: class, Means: m.means, Does: classDoes[class], Do: m.do}, true
		}
	}
	return c, ok
}

// messages are those that make something else of their code.
var messages = []struct{ code, holds, means, do string }{
	{
		"INVALID_FIELD", "Foreign key external ID", "the parent that the record names by an external id is not in the org, or the user may not see it",
		"retry when the parent is there; an event whose parent is another event's record had better name it by $id_of, or wait for it by after",
	},
	{"INVALID_FIELD", "Failed to deserialize field", "the value does not fit the field's type", "correct the value with retry, or drop the event"},
}

// families are Salesforce's codes that are too many to list.
var families = []struct {
	prefix, suffix string
	code           salesforce.Code
}{
	{"EXTERNAL_OBJECT_", "", salesforce.Code{
		Class: salesforce.Retry, CallClass: salesforce.Ambiguous,
		Meaning: "an external data source of the org refused or failed", Remedy: "nothing: it is sent again later",
	}},
	{"", "_LIMIT_EXCEEDED", salesforce.Code{
		Class: salesforce.BadConfig, CallClass: salesforce.BadConfig,
		Meaning: "a limit of the org's set-up was exceeded", Remedy: "change the org's set-up as the message says, then retry",
	}},
}

func ofFamily(name string) (Code, bool) {
	for _, f := range families {
		if len(name) > len(f.prefix+f.suffix) && strings.HasPrefix(name, f.prefix) && strings.HasSuffix(name, f.suffix) {
			f.code.Name = name
			return ofOrg(f.code), true
		}
	}
	return Code{}, false
}

// LoginCodes returns the codes of a login that failed. No event ends with one: status shows it while nothing is sent.
func LoginCodes() []Code {
	var codes []Code
	for _, r := range salesforce.LoginRemedies() {
		if _, known := salesforce.Explain(r.Code); known {
			continue
		}
		last := len(codes) - 1
		again := last >= 0 && codes[last].Name == r.Code
		do := r.Do
		switch {
		case r.Says != "":
			do = fmt.Sprintf("where it says %q, %s", strings.TrimSpace(r.Says), do)
		case again:
			do = "else " + do
		}
		if again {
			codes[last].Do += "; " + do
			continue
		}
		codes = append(codes, Code{
			Name: r.Code, Own: r.Code == strings.ToUpper(r.Code), // OAuth's are lower case
			Class: salesforce.Auth, Means: "the login was refused; the description says why",
			Does: classDoes[salesforce.Auth], Do: do,
		})
	}
	return codes
}

func ofOrg(c salesforce.Code) Code {
	does := classDoes[c.Class]
	switch {
	case c.Name == codeOutOfBatches: // by its class all sending would pause
		does = "No job is made for a while; what may go by REST does, the rest waits. No event is charged an attempt."
	case c.CallClass == c.Class:
	case c.CallClass == salesforce.Ambiguous:
		does += " By REST: " + classDoes[salesforce.Ambiguous]
	default:
		does += " Where it answers a whole call: " + classDoes[c.CallClass]
	}
	if more := codeDoes[c.Name]; more != "" {
		does += " " + more
	}
	return Code{Name: c.Name, Class: c.Class, Means: c.Meaning, Does: does, Do: c.Remedy}
}

// classDoes is what byClass does, in words.
var classDoes = map[salesforce.Class]string{
	salesforce.Ambiguous:  "It is not known whether the record was written. What can be repeated is sent again, from the second time on in halves, what can't is in doubt; later events of the same record wait for the late window.",
	salesforce.Retry:      "The event is sent again after a growing pause, in smaller batches, within the bounds of dispatch.retry.",
	salesforce.Split:      "The batch is sent again in halves until the culprit is alone; alone it is failed.",
	salesforce.Auth:       "Sending pauses with the reason login, and is tried again; no event is charged an attempt.",
	salesforce.PauseOrg:   "Sending pauses, and is tried again; no event is charged an attempt.",
	salesforce.PauseQuota: "Sending pauses with the reason limit, and is tried again; no event is charged an attempt.",
	salesforce.Permanent:  "The event is failed.",
	salesforce.BadConfig:  "The event is failed, and the log warns once: the org's set-up is to blame rather than the record.",
}

// codeDoes tells where more than the class decides.
var codeDoes = map[string]string{
	"DUPLICATE_VALUE":                      "Of an event that was sent before and whose key_field it names, it is the proof of delivery. An upsert is tried once more: it may have lost a race. A record that the batch named twice is sent by itself.",
	"ENTITY_IS_DELETED":                    "A delete that was sent before is delivered. An upsert is tried once more: it may have lost a race.",
	"INVALID_CROSS_REFERENCE_KEY":          "A delete that was sent before is delivered.",
	"INVALID_FIELD":                        "A message with \"Foreign key external ID\" speaks of a parent that is not there, one with \"Failed to deserialize field\" of a value that does not fit: then nobody is warned.",
	"NOT_FOUND":                            "A delete that was sent before is delivered.",
	"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "A code within the message decides instead, if there is one.",
	"CANNOT_EXECUTE_FLOW_TRIGGER":          "A code within the message decides instead, if there is one.",
	"APEX_ERROR":                           "A code within the message decides instead, if there is one.",
	"QUERY_TIMEOUT":                        "A query for many matches is asked again by halves.",
	"CLIENTINPUTERROR":                     "The first time the same is just tried again.",
}

// ownCodes are the codes that are not of Salesforce's lists: outboxd's, and what stands where the org named none.
var ownCodes = []Code{
	{
		Name: "EXPIRED", Own: true, Class: salesforce.Permanent,
		Means: "the event's expires_at passed before it could be sent, or sent again",
		Does:  "The event is failed. It is not sent, or not once more: the message says which.",
		Do:    "if it is still wanted, retry: its expiry then falls away; else drop it",
	},
	{
		Name: codeInvalid, Own: true, Class: salesforce.Permanent,
		Means: "a check before sending found that the event can't be sent as it stands; the message says why",
		Does:  "The event is failed without a call.",
		Do:    "correct it with retry --set and --unset, or change what the message names and retry; else drop it",
	},
	{
		Name: codeKeyExists, Own: true, Class: salesforce.Permanent,
		Means: "a record of the org carries the event's key in key_field, and it can't be told that this event wrote it as it stands now",
		Does:  "The event is failed: a repeat would be refused again.",
		Do:    "look at the record; if its values are right drop the event, else write an update and drop it",
	},
	{
		Name: codeNoMatch, Own: true, Class: salesforce.Permanent,
		Means: "no record that the integration user may see fits the event's match",
		Does:  "The event is failed; an upsert becomes a create instead.",
		Do:    "retry when the record is there, or drop it",
	},
	{
		Name: codeManyMatches, Own: true, Class: salesforce.Permanent,
		Means: "more than one record fits the event's match",
		Does:  "The event is failed: it is not guessed which one was meant.",
		Do:    "merge the records and retry, or write an event that names the record by Id or external id, and drop this one",
	},
	{
		Name: codePoison, Own: true, Class: salesforce.Permanent,
		Means: "the daemon went down several times with this event in its hands",
		Does:  "The events of such an attempt are sent one by one; the one that fells the daemon alone is failed. The message says if it may have reached the org.",
		Do:    "please report it with the daemon's log; retry after an upgrade, or drop it",
	},
	{
		Name: codeTransport, Own: true, Class: salesforce.Ambiguous,
		Means: "there was no answer, or none of Salesforce's: a proxy's, a maintenance page, or one that was cut",
		Does:  classDoes[salesforce.Ambiguous] + " If nothing had left this host, the event just goes back.",
		Do:    "pending: nothing; in doubt: look in the org after the late window, then resolve; failed: retry when the way to the org is mended",
	},
	{
		Name: "UNREADABLE", Own: true, Class: salesforce.Permanent,
		Means: "the stored event can't be read: the disk, or a hand, has changed the file",
		Does:  "The event is failed, and the others are not held up.",
		Do:    "run outboxd check and look after the disk; drop the event, and have the app write it again under another key",
	},
	{
		Name: salesforce.CodeUnknown, Own: true, Class: salesforce.Permanent,
		Means: "Salesforce gave a reason without a code; the message is its text",
		Does:  classDoes[salesforce.Permanent] + " Where it is the reason of a whole job: " + classDoes[salesforce.Split],
		Do:    "go by the message: correct with retry, or drop the event",
	},
	{
		Name: "ABORTED", Own: true, Class: salesforce.Retry,
		Means: "the job was aborted, by somebody in the org, before it came to this row",
		Does:  classDoes[salesforce.Retry],
		Do:    "if it repeats, find out who aborts outboxd's jobs (Setup, Bulk Data Load Jobs)",
	},
	{
		Name: "JOBCOMPLETE", Own: true, Class: salesforce.Retry,
		Means: "the job ended, and lists this row as not processed",
		Does:  classDoes[salesforce.Retry],
		Do:    "nothing: it is sent again later",
	},
}
