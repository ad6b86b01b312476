package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Markdown writes the report as tables: rates, latencies, outboxd's ratios, goals.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Events of %d bytes, %d rounds of %g s, medians, %d CPUs; append and fdatasync: %s a second.\n",
		r.EventBytes, r.Rounds, r.Seconds, r.CPUs, number(r.SyncsPerSecond))
	loads := r.Loads()
	table(&b, "events/s", loads)
	for _, p := range r.Peers {
		r.row(&b, p, loads, func(result Result) string { return number(result.EventsPerSecond) })
	}
	table(&b, "p50 / p99 / longest request, ms", loads)
	for _, p := range r.Peers {
		r.row(&b, p, loads, func(result Result) string {
			return fmt.Sprintf("%s / %s / %s", millis(result.P50), millis(result.P99), millis(result.Longest))
		})
	}
	table(&b, "outboxd against", loads)
	for _, p := range r.Peers {
		if p.Name == Outboxd {
			continue
		}
		r.row(&b, p, loads, func(result Result) string {
			ratio, ok := r.Ratio(p.Name, result.Load)
			if !ok {
				return "–"
			}
			return short(ratio)
		})
	}
	r.goals(&b)
	r.peers(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func table(b *strings.Builder, what string, loads []Load) {
	fmt.Fprintf(b, "\n| %s |", what)
	for _, l := range loads {
		fmt.Fprintf(b, " %s |", l)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(loads)) + "\n")
}

// row leaves out a peer that was not there.
func (r Report) row(b *strings.Builder, p Peer, loads []Load, cell func(Result) string) {
	if len(p.Results) == 0 {
		return
	}
	fmt.Fprintf(b, "| %s |", p.Name)
	for _, l := range loads {
		text := "–"
		if result, ok := r.Result(p.Name, l); ok {
			text = cell(result)
		}
		fmt.Fprintf(b, " %s |", text)
	}
	b.WriteByte('\n')
}

func (r Report) goals(b *strings.Builder) {
	b.WriteString("\n| goal | at least | measured |  |\n| --- | --- | --- | --- |\n")
	for _, g := range Goals {
		what, write := "events/s", number
		if g.Peer != "" {
			what, write = "against "+g.Peer, short
		}
		measured, verdict := "–", "not measured"
		if reached, ok := g.Reached(r); ok {
			measured, verdict = write(reached), "missed"
			if reached >= g.Least {
				verdict = "reached"
			}
		}
		fmt.Fprintf(b, "| %s, %s | %s | %s | %s |\n", what, g.Load, write(g.Least), measured, verdict)
	}
}

func (r Report) peers(b *strings.Builder) {
	b.WriteString("\nOne event is:\n\n")
	for _, p := range r.Peers {
		fmt.Fprintf(b, "- %s: %s\n", strings.TrimSpace(p.Name+" "+p.Version), p.Event)
		if p.Missing != "" {
			fmt.Fprintf(b, "  Not measured: %s.\n", p.Missing)
		}
		for _, failure := range p.Failures {
			fmt.Fprintf(b, "  Failed in %s.\n", failure)
		}
	}
}

// String names a load as a column of a table does.
func (l Load) String() string {
	if l.Batch > 1 {
		return fmt.Sprintf("batches of %s on %d", number(float64(l.Batch)), l.Connections)
	}
	if l.Connections == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", l.Connections)
}

func millis(us float64) string { return short(us / 1000) }

// short has three digits, or all before the point.
func short(v float64) string {
	switch {
	case v >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// number is whole and not negative, its thousands set off.
func number(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
