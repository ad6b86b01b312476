package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/outboxd/outboxd/salesforce"
)

// TestReconcile_EachEventItsOwnRow: whatever the order and however many rows
// have the same content, every event gets a row of its content, no row twice.
func TestReconcile_EachEventItsOwnRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		contents := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 1, 30).Draw(t, "contents")
		sent := make([]Line, len(contents))
		answers := make([]Answer, len(contents))
		for i, c := range contents {
			sent[i] = Line{Exact: c}
			answers[i] = Answer{Line{Exact: c}, rapid.SampledFrom([]string{"ok", "no"}).Draw(t, "verdict")}
		}
		order := rapid.Permutation(answers).Draw(t, "order")
		matches, spare := Reconcile(sent, order)
		if len(spare) > 0 {
			t.Fatalf("spare rows %v", spare)
		}
		used := make(map[int]bool)
		for i, m := range matches {
			if m.Row < 0 || m.Shared || used[m.Row] || order[m.Row].Exact != sent[i].Exact {
				t.Fatalf("event %d (%s) got %+v", i, sent[i].Exact, m)
			}
			used[m.Row] = true
		}
	})
}

// TestReconcile_NeverGuesses: rows that are missing, garbled or doubled never
// give an event a verdict that is not surely its own.
func TestReconcile_NeverGuesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "events")
		truth := make(map[string]string) // content → verdict
		sent := make([]Line, n)
		var answers []Answer
		for i := range sent {
			content := fmt.Sprintf("row %d", i)
			verdict := rapid.SampledFrom([]string{"ok", "no", "later"}).Draw(t, "verdict")
			truth[content] = verdict
			sent[i] = Line{Exact: content, Loose: content[:5]}
			shown := Answer{Line{Exact: content, Loose: content[:5]}, verdict}
			switch rapid.IntRange(0, 5).Draw(t, "fault") {
			case 0:
				continue // lost
			case 1:
				shown.Exact, shown.Loose = "garbled", "garbled"
			}
			answers = append(answers, shown)
		}
		answers = rapid.Permutation(append(answers, Answer{Line{Exact: "foreign"}, "ok"})[:len(answers)]).Draw(t, "order")
		matches, spare := Reconcile(sent, answers)
		used := make(map[int]bool)
		for i, m := range matches {
			if m.Row < 0 {
				continue
			}
			if used[m.Row] {
				t.Fatalf("row %d told twice", m.Row)
			}
			used[m.Row] = true
			if got := answers[m.Row].Verdict; !m.Shared && got != truth[sent[i].Exact] && answers[m.Row].Exact == sent[i].Exact {
				t.Fatalf("event %d got %q, the truth is %q", i, got, truth[sent[i].Exact])
			}
		}
		if len(used)+len(spare) != len(answers) {
			t.Fatalf("%d rows used, %d spare, of %d", len(used), len(spare), len(answers))
		}
	})
}

func TestReconcile_Leftovers(t *testing.T) {
	line := func(exact, loose string) Line { return Line{Exact: exact, Loose: loose} }
	for _, tt := range []struct {
		name    string
		sent    []Line
		answers []Answer
		want    []Match
		spare   []int
	}{
		{
			"all of one outcome are theirs",
			[]Line{line("a", ""), line("b", "")},
			[]Answer{{line("x", ""), "ok"}, {line("y", ""), "ok"}},
			[]Match{{0, true}, {1, true}},
			nil,
		},
		{
			"of two outcomes nobody knows whose",
			[]Line{line("a", ""), line("b", "")},
			[]Answer{{line("x", ""), "ok"}, {line("y", ""), "no"}},
			[]Match{{-1, false}, {-1, false}},
			[]int{0, 1},
		},
		{
			"fewer rows than events tell nothing",
			[]Line{line("a", ""), line("b", "")},
			[]Answer{{line("x", ""), "ok"}},
			[]Match{{-1, false}, {-1, false}},
			[]int{0},
		},
		{
			"more rows than events are an alarm",
			[]Line{line("a", "")},
			[]Answer{{line("a", ""), "ok"}, {line("a", ""), "no"}},
			[]Match{{0, false}},
			[]int{1},
		},
		{
			"texts tell rows apart whose numbers came back rounded",
			[]Line{line("Ada 1.005", "Ada"), line("Bob 2.005", "Bob")},
			[]Answer{{line("Bob 2.01", "Bob"), "no"}, {line("Ada 1.01", "Ada"), "ok"}},
			[]Match{{1, false}, {0, false}},
			nil,
		},
		{
			"a success goes before a failure of the same content",
			[]Line{line("a", "")},
			[]Answer{{line("a", ""), "ok"}, {line("a", ""), "no"}},
			[]Match{{0, false}},
			[]int{1},
		},
		{"nothing sent", nil, nil, []Match{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, spare := Reconcile(tt.sent, tt.answers)
			if !slices.Equal(got, tt.want) || !slices.Equal(spare, tt.spare) {
				t.Errorf("got %+v spare %v, want %+v spare %v", got, spare, tt.want, tt.spare)
			}
		})
	}
}

func BenchmarkReconcile(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			sent, answers := make([]Line, n), make([]Answer, n)
			for i := range sent {
				sent[i].Exact = fmt.Sprintf("order-%07d/contact", i)
				answers[i] = Answer{Line{Exact: sent[i].Exact}, "0"}
			}
			rng := rand.New(rand.NewPCG(1, 2))
			rng.Shuffle(n, func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
			b.ReportAllocs()
			for b.Loop() {
				if m, spare := Reconcile(sent, answers); len(spare) > 0 || m[0].Row < 0 {
					b.Fatal("not matched")
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// TestNormalCell_EqualsTheEcho pairs what is sent with what the org is known to
// answer for it.
func TestNormalCell_EqualsTheEcho(t *testing.T) {
	double := &salesforce.Field{Type: "double", Scale: 2}
	for _, tt := range []struct {
		name       string
		f          *salesforce.Field
		sent, echo string
		equal      bool
	}{
		{"java's doubles", double, "71664061", "7.1664061E7", true},
		{"a trailing zero", double, "100", "100.0", true},
		{"rounded to the scale", double, "1.005", "1.01", true},
		{"digits beyond a double's", &salesforce.Field{Type: "double"}, "123456789012345678", "1.23456789012345677E17", true},
		{"another number", double, "71", "7.2E1", false},
		{"a sign is kept", double, "-71", "7.1E1", false},
		{"zero has no sign", double, "-0", "0.0", true},
		{"an int", &salesforce.Field{Type: "int"}, "2676", "2676", true},
		{"milliseconds", &salesforce.Field{Type: "datetime"}, "2025-11-25T03:45:21.14287Z", "2025-11-25T03:45:21.142Z", true},
		{"another offset", &salesforce.Field{Type: "datetime"}, "2025-11-25T04:45:21+01:00", "2025-11-25T03:45:21.000+0000", true},
		{"a date with a swallowed zone", &salesforce.Field{Type: "date"}, "1940-06-07Z", "1940-06-07", true},
		{"booleans", &salesforce.Field{Type: "boolean"}, "1", "TRUE", true},
		{"blanks are trimmed", &salesforce.Field{Type: "string"}, " Ada ", "Ada", true},
		{"letter case of a text is its own", &salesforce.Field{Type: "string"}, "Ada", "ada", false},
		{"line ends", &salesforce.Field{Type: "textarea"}, "a\nb", "a\r\nb", true},
		{"cleared", &salesforce.Field{Type: "string"}, "#N/A", "", true},
		{"short and long Ids", &salesforce.Field{Type: "reference"}, "0018Z00002rGc7Y", "0018Z00002rGc7YQAS", true},
		{"a text that looks like a number", &salesforce.Field{Type: "string"}, "00123", "123", false},
		{"not a number at all", double, "1/3", "0.33", false},
		{"an exponent out of this world", double, "1e999999999", "1e999999999", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent, echo := normalCell(tt.f, tt.sent), normalCell(tt.f, tt.echo)
			if (sent == echo) != tt.equal {
				t.Errorf("%q is %q, %q is %q", tt.sent, sent, tt.echo, echo)
			}
		})
	}
}

func TestNormalKey_FoldsLikeLanes(t *testing.T) {
	for _, pair := range [][2]string{{" ABC ", "abc"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"Straße", "straße"}} {
		if a, b := normalKey(nil, pair[0]), normalKey(nil, pair[1]); a != b {
			t.Errorf("%q and %q: %q, %q", pair[0], pair[1], a, b)
		}
	}
	number := &salesforce.Field{Type: "double"}
	if a, b := normalKey(number, "00123"), normalKey(number, "1.23E2"); a != b {
		t.Errorf("numbers: %q, %q", a, b)
	}
}
