package dispatcher

// Line is what Reconcile compares of an event or of a result row.
type Line struct {
	// Exact is the normal form of all that names the record: its external id,
	// Id or key, else the whole row.
	Exact string
	// Loose is the normal form of that part of a whole row which the org surely
	// echoes as it was sent; "" where Exact is no whole row.
	Loose string
	// Raw is a whole row of an event as it was sent; "" where Exact is no whole row.
	Raw string
}

// Answer is a result row. Rows that say the same have the same Verdict.
type Answer struct {
	Line
	Verdict string
}

// Match is the row that tells an event's outcome.
type Match struct {
	Row int // index among the answers, -1 if none tells
	// Shared: the row is one of several that say the same, not surely this
	// event's own. Its Id is not the event's.
	Shared bool
}

// Reconcile tells for each event which result row is its own, by content: the
// order of neither list means anything. Rows of equal content are
// interchangeable, unless they are those of events that were sent unlike and look
// alike in the results only: there the rows must all say the same. Where answers contradict each other, the first ones in the
// list stand: successes go first.
//
// What is left over is matched once more by what the org surely echoes, and
// last as a whole; there only rows that all say the same can be told to be the
// outcome of just as many events. spare are the rows of no event.
func Reconcile(sent []Line, answers []Answer) (matches []Match, spare []int) {
	matches = make([]Match, len(sent))
	for i := range matches {
		matches[i].Row = -1
	}
	left := exactly(sent, answers, matches)
	if len(left) == 0 {
		return matches, nil
	}
	left = together(sent, answers, matches, left, func(l Line) string { return l.Loose })
	left = together(sent, answers, matches, left, func(Line) string { return "" })
	return matches, left
}

// exactly matches equal content and returns the rows that are left.
func exactly(sent []Line, answers []Answer, matches []Match) (left []int) {
	// waiting holds the first event of each content, next the others behind it.
	waiting := make(map[string]int32, len(sent))
	next := make([]int32, len(sent))
	unlike := make(map[string]bool)
	for i := len(sent) - 1; i >= 0; i-- {
		first, ok := waiting[sent[i].Exact]
		switch {
		case !ok:
			first = -1
		case sent[first].Raw != sent[i].Raw:
			unlike[sent[i].Exact] = true
		}
		next[i], waiting[sent[i].Exact] = first, int32(i)
	}
	mixed := contradictory(answers, unlike)
	for row := range answers {
		exact := answers[row].Exact
		event, ok := waiting[exact]
		if !ok || event < 0 || mixed[exact] {
			left = append(left, row)
			continue
		}
		matches[event] = Match{Row: row, Shared: unlike[exact]}
		waiting[exact] = next[event]
	}
	return left
}

// contradictory lists those contents whose rows do not all say the same.
func contradictory(answers []Answer, contents map[string]bool) map[string]bool {
	mixed := make(map[string]bool)
	if len(contents) == 0 {
		return mixed
	}
	says := make(map[string]string)
	for _, a := range answers {
		if !contents[a.Exact] {
			continue
		}
		if verdict, ok := says[a.Exact]; ok && verdict != a.Verdict {
			mixed[a.Exact] = true
		}
		says[a.Exact] = a.Verdict
	}
	return mixed
}

// group is what is left over under one key.
type group struct {
	events, rows []int
	mixed        bool // the rows do not all say the same
}

// together matches the rows and events that are left over under one key, where
// they are equal in number and the rows all say the same. It returns the rows
// that are left then.
func together(sent []Line, answers []Answer, matches []Match, rows []int, key func(Line) string) (left []int) {
	groups := make(map[string]*group)
	of := func(k string) *group {
		if groups[k] == nil {
			groups[k] = &group{}
		}
		return groups[k]
	}
	for _, row := range rows {
		g := of(key(answers[row].Line))
		g.mixed = g.mixed || len(g.rows) > 0 && answers[g.rows[0]].Verdict != answers[row].Verdict
		g.rows = append(g.rows, row)
	}
	for event := range sent {
		if matches[event].Row >= 0 {
			continue
		}
		if g := groups[key(sent[event])]; g != nil {
			g.events = append(g.events, event)
		}
	}
	for _, row := range rows {
		k := key(answers[row].Line)
		g := groups[k]
		if g.mixed || len(g.rows) != len(g.events) {
			left = append(left, row)
			continue
		}
		for i, event := range g.events {
			matches[event] = Match{Row: g.rows[i], Shared: k == "" || len(g.events) > 1}
		}
	}
	return left
}
