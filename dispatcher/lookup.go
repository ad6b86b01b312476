package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

const (
	// queriesOfAttempt is after how many queries an attempt gives its slot up; what it has not asked for goes back. A
	// group that fails needs ten at most until its first event is asked for alone, so each attempt gets somewhere.
	queriesOfAttempt = 25
	// rowsOfQuery bounds the rows of one query for many events. It fits one page.
	rowsOfQuery = 1000
	// longestText is how long a text in a condition may be (R-8.3.10 in docs/fidelity.md).
	longestText = 4000
)

// seeker is an event whose record is looked for.
type seeker struct {
	record
	event event.Event
	terms []term // of its match, by the name of the field
	any   bool   // one term is enough
	shape string // those of one shape are asked for together; "" asks alone
	most  int    // with how many it may be asked for next; 0: no bound
}

// term is one condition of a match.
type term struct {
	field *salesforce.Field
	value string // as SOQL has it
	mark  mark   // nil: a row's value tells nothing
}

// seekers reads the claimed events, and settles those that have nothing to look
// for. An error is the org's; the groups are as they were then.
func (d *Dispatcher) seekers(ctx context.Context, b *batch, claimed []store.Claimed) (groups [][]seeker, err error) {
	var all []seeker
	for _, c := range claimed {
		s := seeker{record: record{Claimed: c}}
		switch err := event.DecodeHead(c.Head, &s.event); {
		case s.Sent:
			p := store.Problem{Code: codeTransport, Message: "an earlier sending may have reached the org; which record it wrote is not known, and the match may find another one now"}
			b.settled = append(b.settled, b.doubt(s.record, p))
		case err != nil || s.event.Match == nil:
			b.settled = append(b.settled, b.fail(s.record, *invalid("the stored event can't be read")))
		default:
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	b.schema, err = d.describe(ctx, b.route.Object)
	if err != nil && orgsFault(ctx, err) {
		return [][]seeker{all}, err
	}
	var fit []seeker
	for _, s := range all {
		if err != nil {
			b.settled = append(b.settled, d.unknown(ctx, b, s.record, err))
			continue
		}
		s.event.Fields = s.Payload
		if p := d.examine(ctx, b, &s.record, &s.event, fresh); p != nil {
			b.settled = append(b.settled, b.fail(s.record, *p))
			continue
		}
		s.analyse(b.schema)
		fit = append(fit, s)
	}
	return askTogether(b.route.Object, fit), nil
}

// unknown is the outcome of an event whose object can't be described.
func (d *Dispatcher) unknown(ctx context.Context, b *batch, r record, err error) store.Outcome {
	if isRefusal(err) {
		return b.fail(r, d.undescribed(ctx, b, r.Seq, err))
	}
	return b.retry(r, problemOf(err))
}

// orgsFault reports whether a query or describe failed for no reason of its own.
func orgsFault(ctx context.Context, err error) bool {
	return errors.Is(err, errPaused) || speaksOfOrg(err) || ctx.Err() != nil
}

// analyse finds out what the seeker may be asked for together with. It asks alone
// where the org might refuse the query on its account, or where no row could
// be seen not to be meant.
func (s *seeker) analyse(schema *salesforce.Object) {
	list := slices.Concat(s.event.Match.All, s.event.Match.Any) // one of them is empty
	s.any = s.event.Match.Any != nil || len(list) == 1
	telling := 0
	for _, c := range list {
		f, ok := schema.Field(c.Field)
		if !ok || !f.Filterable {
			return
		}
		value, fits := soqlValue(f, []byte(c.Value))
		if !fits || len(value) > longestText {
			return
		}
		t := term{f, value, markOf(f, []byte(c.Value))}
		if t.mark != nil {
			telling++
		}
		s.terms = append(s.terms, t)
	}
	if telling == 0 || s.any && telling < len(list) {
		return
	}
	slices.SortFunc(s.terms, func(a, b term) int { return strings.Compare(a.field.Name, b.field.Name) })
	s.shape = fmt.Sprint(s.any)
	for _, t := range s.terms {
		s.shape += " " + t.field.Name
	}
}

// askTogether puts together seekers of one shape, as many as one query holds.
func askTogether(object string, all []seeker) (groups [][]seeker) {
	type group struct{ at, size int }
	last := make(map[string]group)
	for _, s := range all {
		one := []seeker{s}
		if s.shape == "" {
			groups = append(groups, one)
			continue
		}
		g, ok := last[s.shape]
		if g.size += s.length(); ok && g.size <= salesforce.MaxQuery {
			groups[g.at] = append(groups[g.at], s)
		} else {
			g = group{len(groups), salesforce.QueryLength(seekersQuery(object, one))}
			groups = append(groups, one)
		}
		last[s.shape] = g
	}
	return groups
}

// seekersQuery is the SOQL for every row that one of the seekers asks for.
func seekersQuery(object string, asked []seeker) string {
	columns := "Id"
	var conditions []string
	for i, t := range asked[0].terms {
		if t.mark != nil && !strings.EqualFold(t.field.Name, "Id") {
			columns += ", " + t.field.Name
		}
		if asked[0].any {
			values := make([]string, len(asked))
			for j, s := range asked {
				values[j] = s.terms[i].value
			}
			conditions = append(conditions, t.field.Name+" IN ("+strings.Join(values, ",")+")")
		}
	}
	if !asked[0].any {
		for _, s := range asked {
			conditions = append(conditions, s.condition())
		}
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s LIMIT %d", columns, object, strings.Join(conditions, " OR "), rowsOfQuery)
}

// condition is that of a seeker whose terms must all hold.
func (s *seeker) condition() string {
	terms := make([]string, len(s.terms))
	for i, t := range s.terms {
		terms[i] = t.field.Name + " = " + t.value
	}
	return "(" + strings.Join(terms, " AND ") + ")"
}

// length is what the seeker adds to a query's.
func (s *seeker) length() (n int) {
	if !s.any {
		return salesforce.QueryLength(s.condition() + " OR ")
	}
	for _, t := range s.terms {
		n += salesforce.QueryLength(t.value + ",")
	}
	return n
}

// seek makes one query for all of a group and settles those whose records it shows.
// The others come back, in the groups in which they are to be asked for next. An
// error is the org's, never an event's.
func (d *Dispatcher) seek(ctx context.Context, b *batch, group []seeker) (rest [][]seeker, err error) {
	if len(group) == 1 {
		return nil, d.seekAlone(ctx, b, group[0])
	}
	rows, more, err := d.search(ctx, seekersQuery(b.route.Object, group), rowsOfQuery)
	switch {
	case err != nil && orgsFault(ctx, err):
		if errors.Is(err, context.DeadlineExceeded) {
			narrow(group)
		}
		return nil, err
	case err != nil:
		return halves(group), nil // until what it is about is alone
	}
	whole := !more && len(rows) < rowsOfQuery
	answers, ok := attribute(group, rows)
	if !ok {
		return singly(group), nil
	}
	var open []seeker
	for i, s := range group {
		if a := answers[i]; len(a.ids) > 1 || whole && !a.open {
			b.settled = append(b.settled, b.matched(s.record, a.ids))
			continue
		}
		open = append(open, s)
	}
	switch {
	case whole:
		return singly(open), nil
	case len(open) == len(group):
		return halves(group), nil
	case len(open) > 0:
		rest = [][]seeker{open}
	}
	return rest, nil
}

// narrow has a group come back in halves: its query may be what took too long,
// and would do so again after each pause.
func narrow(group []seeker) {
	for i := range group {
		group[i].most = half(len(group))
	}
}

func halves(group []seeker) [][]seeker {
	n := half(len(group))
	return [][]seeker{group[:n:n], group[n:]}
}

func singly(group []seeker) (groups [][]seeker) {
	for _, s := range group {
		groups = append(groups, []seeker{s})
	}
	return groups
}

// answer is what the rows of a query say of one seeker.
type answer struct {
	ids  []string // of rows that nobody else can have asked for
	open bool     // some row may be its own, or another's
}

// attribute gives rows to those who asked for them. The org returns a row because
// at least one seeker's match is met by it, by the org's own rules; so all that is
// decided here is whom it can't be for. If only one is left, it is that one's. A
// row that is nobody's shows that the org compares otherwise than it is believed to: not ok.
func attribute(asked []seeker, rows []salesforce.Record) (answers []answer, ok bool) {
	answers = make([]answer, len(asked))
	marks := make([]mark, len(asked[0].terms))
	for _, row := range rows {
		for i, t := range asked[0].terms {
			marks[i] = markOf(t.field, valueOf(row, t.field.Name))
		}
		var meant []int
		for i := range asked {
			if asked[i].mayMean(marks) {
				meant = append(meant, i)
			}
		}
		id := textOf(valueOf(row, "Id"))
		switch {
		case len(meant) == 0 || id == "":
			return nil, false
		case len(meant) > 1:
			for _, i := range meant {
				answers[i].open = true
			}
		case !slices.Contains(answers[meant[0]].ids, id):
			answers[meant[0]].ids = append(answers[meant[0]].ids, id)
		}
	}
	return answers, true
}

// mayMean reports whether a row of such values may be one that the seeker asks for.
func (s *seeker) mayMean(row []mark) bool {
	for i, t := range s.terms {
		out := t.mark != nil && row[i] != nil && t.mark.apart(row[i])
		if out != s.any {
			return s.any
		}
	}
	return !s.any
}
