package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/outboxd/outboxd/store"
)

// facts collects lines of a name and a value; empty values are left out.
type facts struct{ table *term.Table }

func (f facts) add(name, value string) { f.styled(name, value, term.Plain) }

func (f facts) styled(name, value string, style term.Style) {
	if value != "" {
		f.table.Cells(term.Cell{Text: name, Style: term.Dim}, term.Cell{Text: value, Style: style})
	}
}

func (f facts) moment(name string, t api.Time) { f.add(name, utc(t)) }

// utc writes a moment of the API: local time on a person's screen would hide
// which zone it is, so it stays in UTC.
func utc(t api.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000Z")
}

func (c *cli) showStatus(s api.Status) error {
	f := facts{c.out.Table()}
	f.add("version", s.Version)
	f.moment("started", s.StartedAt)
	if s.Org != nil {
		f.add("org", strings.TrimSpace(s.Org.ID+" "+s.Org.InstanceURL))
	}
	f.styled("sending", sendingText(s), term.StateStyle(s.Breaker.State))
	for _, n := range counted(s.Counts) {
		f.styled(n.name, c.number(n.count), styleOf(n))
	}
	f.add("accepted", c.number(s.Accepted))
	f.add("forgotten", c.number(s.Forgotten))
	for _, n := range reasons(s.Stuck) {
		f.styled("stuck: "+n.name, c.number(n.count), styleOf(n))
	}
	if s.OldestPendingSeconds > 0 {
		f.add("oldest pending", term.Duration(seconds(s.OldestPendingSeconds)))
	}
	f.add("accepting", fmt.Sprintf("%.1f/s", s.Rates.AcceptedPerSecond))
	f.add("delivering", fmt.Sprintf("%.1f/s", s.Rates.DeliveredPerSecond))
	if b := s.APIBudget; b != nil {
		c.addBudget(f, b)
	}
	f.styled("store", storeText(s.Store), storeStyle(s.Store))
	if err := f.table.Flush(); err != nil {
		return err
	}
	return c.showObjects(s.Objects)
}

func (c *cli) addBudget(f facts, b *api.Budget) {
	f.add("API calls", c.allowanceText(b.Allowance))
	f.moment("calls come back by", b.WindowTurnsAt)
	f.moment("calls used up at", b.ExhaustedAt)
	if b.PacePerHour != nil {
		f.add("calls an hour", paceText(*b.PacePerHour))
	}
	f.add("1,000 records cost", costText(b.CallsPer1000))
	if b.BulkBatches != nil {
		f.add("bulk batches", c.allowanceText(*b.BulkBatches))
	}
	if b.JobsHeld {
		f.styled("jobs", "none is made: the org has no bulk batch left; what may go by REST does", term.StateStyle("open"))
	}
}

func paceText(perHour float64) string {
	if perHour == 0 {
		return "0: none is begun until some come back"
	}
	return fmt.Sprintf("%.1f: they are spread over the day", perHour)
}

func costText(calls map[string]float64) string {
	var ways []string
	for _, way := range slices.Sorted(maps.Keys(calls)) {
		ways = append(ways, fmt.Sprintf("%.1f by %s", calls[way], way))
	}
	if ways == nil {
		return ""
	}
	return "in calls " + strings.Join(ways, ", ")
}

func (c *cli) allowanceText(a api.Allowance) string {
	return fmt.Sprintf("%s of %s used, %s left, %s kept for others", c.number(a.Used), c.number(a.Max), c.number(a.Left), c.number(a.Reserve))
}

func (c *cli) showObjects(objects map[string]api.ObjectCounts) error {
	if len(objects) == 0 || !c.out.TTY() {
		return nil
	}
	fmt.Fprintln(c.out)
	table := c.out.Table("object", "pending", "inflight", "delivered", "failed", "in doubt", "dropped")
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		o := objects[name]
		table.Row(name, c.number(o.Pending), c.number(o.Inflight), c.number(o.Delivered),
			c.number(o.Failed), c.number(o.InDoubt), c.number(o.Dropped))
	}
	return table.Flush()
}

// number is for people on a terminal, and for programs elsewhere.
func (c *cli) number(n int64) string {
	if c.out.TTY() {
		return term.Count(n)
	}
	return strconv.FormatInt(n, 10)
}

// named is a count of something by the name that the API gives it.
type named struct {
	name  string
	count int64
}

func counted(n api.Counts) []named {
	return []named{
		{"pending", n.Pending},
		{"inflight", n.Inflight},
		{"delivered", n.Delivered},
		{"failed", n.Failed},
		{"in_doubt", n.InDoubt},
		{"dropped", n.Dropped},
	}
}

func reasons(n api.StuckCounts) []named {
	return []named{{"failed", n.Failed}, {"in_doubt", n.InDoubt}, {"blocked", n.Blocked}, {"overdue", n.Overdue}}
}

func styleOf(n named) term.Style {
	if n.count == 0 {
		return term.Plain
	}
	return term.StateStyle(n.name)
}

// sendingText says whether anything is sent, and why slowly or not.
func sendingText(s api.Status) string {
	text := breakerText(s.Breaker)
	if s.Breaker.State == api.BreakerClosed && s.APIBudget != nil && s.APIBudget.PacePerHour != nil {
		text += ", saving API calls"
	}
	return text
}

func breakerText(b api.Breaker) string {
	if b.State == api.BreakerClosed {
		return "yes"
	}
	text := "no: " + b.Reason
	if b.State == api.BreakerHalfOpen {
		text = "probing: " + b.Reason
	}
	if detail := strings.TrimSpace(b.Code + " " + b.Message); detail != "" {
		text += " (" + detail + ")"
	}
	if !b.NextProbeAt.IsZero() {
		text += ", tries again at " + utc(b.NextProbeAt)
	}
	return text
}

func storeText(s api.Store) string {
	text := fmt.Sprintf("%s on disk, %s of it free, may grow to %s", term.Bytes(s.Bytes), term.Bytes(s.FreeBytes), term.Bytes(s.MaxBytes))
	switch {
	case s.FullBecause == api.FullDisk:
		text += fmt.Sprintf(": refuses events, the disk has %s free and %s are needed; free room on its file system", term.Bytes(s.DiskFreeBytes), term.Bytes(s.DiskNeededBytes))
	case s.Full:
		text += ": full, refuses events"
	}
	return text
}

func storeStyle(s api.Store) term.Style {
	if s.Full {
		return term.Red
	}
	return term.Plain
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (c *cli) showStuck(page api.StuckPage) error {
	if c.json {
		return c.printJSON(page)
	}
	if c.out.TTY() {
		if err := c.showSummary(page.Summary); err != nil {
			return err
		}
	}
	table := c.out.Table("key", "reason", "object", "operation", "since", "code", "what Salesforce or outboxd says")
	for _, d := range page.Stuck {
		code, message := whyStuck(d)
		table.Cells(term.Cell{Text: d.Key}, term.Cell{Text: d.Reason, Style: term.StateStyle(d.Reason)}, term.Cell{Text: d.Object},
			term.Cell{Text: d.Operation}, term.Cell{Text: utc(d.Since)}, term.Cell{Text: code}, term.Cell{Text: message})
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if n := int64(len(page.Stuck)); c.out.TTY() && n < page.Total {
		fmt.Fprintf(c.out, "%s of %s; more with --limit\n", term.Count(n), term.Count(page.Total))
	}
	return nil
}

func (c *cli) showSummary(groups []api.StuckGroup) error {
	if len(groups) == 0 {
		_, err := fmt.Fprintln(c.out, "nothing is stuck")
		return err
	}
	table := c.out.Table("count", "reason", "object", "code", "oldest", "example")
	for _, g := range groups {
		table.Cells(term.Cell{Text: c.number(g.Count)}, term.Cell{Text: g.Reason, Style: term.StateStyle(g.Reason)}, term.Cell{Text: g.Object},
			term.Cell{Text: g.Code}, term.Cell{Text: utc(g.Oldest)}, term.Cell{Text: g.Example})
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out)
	return err
}

// whyStuck is the code and the words that tell a person what is wrong.
func whyStuck(d api.Document) (code, message string) {
	switch {
	case d.BlockedBy != "":
		return "", "waits for " + d.BlockedBy
	case d.Doubt != nil && d.Doubt.Code != "":
		return d.Doubt.Code, d.Doubt.Message
	case d.LastError != nil:
		return d.LastError.Code, d.LastError.Message
	}
	return "", ""
}

func (c *cli) listPage(table *term.Table, events []api.Document) error {
	for _, d := range events {
		if c.json {
			if err := c.printJSON(d); err != nil {
				return err
			}
			continue
		}
		detail := d.SalesforceID
		if code, message := whyStuck(d); detail == "" && (code != "" || message != "") {
			detail = strings.TrimSpace(code + " " + message)
		}
		table.Cells(term.Cell{Text: strconv.FormatUint(d.Seq, 10)}, term.Cell{Text: d.Key}, term.Cell{Text: d.State, Style: term.StateStyle(d.State)},
			term.Cell{Text: d.Object}, term.Cell{Text: d.Operation}, term.Cell{Text: strconv.Itoa(d.Attempts)},
			term.Cell{Text: utc(d.AcceptedAt)}, term.Cell{Text: detail})
	}
	return table.Flush()
}

// more tells on stderr that a listing was cut, and how it goes on.
func (c *cli) more(cursor string) error {
	_, err := fmt.Fprintf(c.err, "there are more: --limit 0 lists all, --cursor %s goes on here\n", cursor)
	return err
}

// attemptNote tells what is noted of an event's newest attempt, such as that the org
// itself has retried the job; "" if nothing is known of it any more.
func attemptNote(ctx context.Context, d *client.Client, id string) string {
	if id == "" {
		return ""
	}
	a, err := d.Attempt(ctx, id)
	if err != nil {
		return "" // attempts are kept for a shorter time than events
	}
	return a.Note
}

func (c *cli) showEvent(d api.Document, note string) error {
	f := facts{c.out.Table()}
	f.add("key", d.Key)
	f.add("seq", strconv.FormatUint(d.Seq, 10))
	f.styled("state", d.State, term.StateStyle(d.State))
	f.styled("stuck", d.Reason, term.StateStyle(d.Reason))
	f.add("blocked by", d.BlockedBy)
	f.add("object", d.Object)
	f.add("operation", d.Operation)
	if x := d.ExternalID; x != nil {
		f.add("external id", x.Field+" = "+string(x.Value))
	}
	f.add("id", d.ID)
	f.add("match", string(d.Match))
	f.add("salesforce id", d.SalesforceID)
	if d.Created != nil {
		f.add("created", strconv.FormatBool(*d.Created))
	}
	f.add("fields", string(d.Fields))
	f.add("lane", d.Lane)
	f.add("after", strings.Join(d.After, " "))
	f.add("source", d.Source)
	for _, name := range slices.Sorted(maps.Keys(d.Meta)) {
		f.add("meta "+name, d.Meta[name])
	}
	f.add("attempts", strconv.Itoa(d.Attempts))
	f.add("via", strings.TrimSpace(d.Via+" "+d.JobID))
	f.add("attempt", d.AttemptID)
	f.add("attempt note", note)
	eventTimes(f, d)
	eventError(f, d)
	if err := f.table.Flush(); err != nil {
		return err
	}
	return c.showHistory(d.History)
}

func eventTimes(f facts, d api.Document) {
	f.moment("not before", d.NotBefore)
	f.moment("expires", d.ExpiresAt)
	f.moment("accepted", d.AcceptedAt)
	f.moment("last try", d.SentAt) // of which nothing need have left the host
	f.moment("next try", d.NextAt)
	f.moment("ended", d.EndedAt)
}

func eventError(f facts, d api.Document) {
	if e := d.LastError; e != nil {
		f.styled("last error", e.Code+": "+e.Message, term.Red)
		f.add("error fields", strings.Join(e.Fields, " "))
		f.moment("error at", e.At)
		if code, ok := dispatcher.ExplainError(e.Code, e.Message); ok {
			f.add("means", code.Means)
			if d.State != store.Delivered.String() { // an error of an earlier attempt wants nothing
				f.add("do", code.Do)
			}
		}
	}
	for _, w := range d.Warnings {
		f.styled("warning", w.Path+": "+w.Detail, term.Yellow)
	}
	if x := d.Doubt; x != nil {
		f.styled("in doubt", strings.Trim(x.Code+": "+x.Message, ": "), term.Yellow)
		f.moment("perhaps sent", x.SentAt)
		f.add("may be", strings.Join(x.Matches, " "))
	}
}

func (c *cli) showHistory(history []api.Transition) error {
	if len(history) == 0 {
		return nil
	}
	fmt.Fprintln(c.out)
	table := c.out.Table("at", "from", "to", "code", "by", "attempt")
	for _, t := range history {
		table.Row(utc(t.At), t.From, t.To, t.Code, t.By, t.AttemptID)
	}
	return table.Flush()
}

func (c *cli) showAttempts(attempts []api.Attempt) error {
	table := c.out.Table("id", "kind", "phase", "object", "operation", "claimed", "succeeded", "failed", "back", "started", "took", "job", "note")
	for _, a := range attempts {
		table.Cells(
			term.Cell{Text: a.ID}, term.Cell{Text: a.Kind}, term.Cell{Text: a.Phase, Style: term.StateStyle(a.Phase)},
			term.Cell{Text: a.Object}, term.Cell{Text: a.Operation}, term.Cell{Text: strconv.Itoa(a.Counts.Claimed)},
			term.Cell{Text: strconv.Itoa(a.Counts.Succeeded)}, term.Cell{Text: strconv.Itoa(a.Counts.Failed)},
			term.Cell{Text: strconv.Itoa(a.Counts.Unprocessed)}, term.Cell{Text: utc(a.StartedAt)}, term.Cell{Text: took(a)},
			term.Cell{Text: a.JobID}, term.Cell{Text: a.Note},
		)
	}
	return table.Flush()
}

func took(a api.Attempt) string {
	if a.EndedAt.IsZero() || a.StartedAt.IsZero() {
		return ""
	}
	return term.Duration(a.EndedAt.Sub(a.StartedAt.Time))
}

func (c *cli) showAttempt(a api.Attempt) error {
	f := facts{c.out.Table()}
	f.add("id", a.ID)
	f.add("kind", a.Kind)
	f.styled("phase", a.Phase, term.StateStyle(a.Phase))
	f.add("object", a.Object)
	f.add("operation", strings.TrimSpace(a.Operation+" "+a.ExternalID))
	f.add("job", a.JobID)
	f.add("claimed", strconv.Itoa(a.Counts.Claimed))
	f.add("succeeded", strconv.Itoa(a.Counts.Succeeded))
	f.add("failed", strconv.Itoa(a.Counts.Failed))
	f.add("back", strconv.Itoa(a.Counts.Unprocessed))
	f.moment("started", a.StartedAt)
	f.moment("ended", a.EndedAt)
	f.add("note", a.Note)
	return f.table.Flush()
}
