package term

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
)

func screen(tty, colour bool) (*Screen, *bytes.Buffer) {
	var b bytes.Buffer
	return &Screen{w: &b, tty: tty, colour: colour}, &b
}

func TestClean_LeavesNothingThatMovesTheCursor(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain text stays", "order-1/Ærø 🙂", "order-1/Ærø 🙂"},
		{"title sequence", "a\x1b]0;owned\x07b", "a\ufffd]0;owned\ufffdb"},
		{"line feed", "a\nb\r", "a\ufffdb\ufffd"},
		{"C1", "a\u009bb", "a\ufffdb"},
		{"right-to-left override", "abc\u202etxt", "abc\ufffdtxt"},
		{"isolate", "\u2066x\u2069", "\ufffdx\ufffd"},
		{"broken UTF-8", "a\xffb", "a\ufffdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Clean(tt.in); got != tt.want {
				t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31m\u202e")
	f.Fuzz(func(t *testing.T, in string) {
		for _, r := range Clean(in) {
			if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("Clean(%q) holds %U", in, r)
			}
		}
	})
}

func TestTable_AlignsOnATerminalOnly(t *testing.T) {
	fill := func(s *Screen) {
		table := s.Table("key", "state")
		table.Row("a", "pending")
		table.Cells(Cell{Text: "long-key"}, Cell{"failed", Red})
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
		table.Row("b", "x")
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s, out := screen(true, false)
	fill(s)
	if want := "key       state\na         pending\nlong-key  failed\nb         x\n"; out.String() != want {
		t.Errorf("terminal:\n%q, want\n%q", out, want)
	}
	s, out = screen(false, false)
	fill(s)
	if want := "a\tpending\nlong-key\tfailed\nb\tx\n"; out.String() != want {
		t.Errorf("pipe:\n%q, want\n%q", out, want)
	}
}

func TestTable_CutsWideCellsOnATerminalOnly(t *testing.T) {
	wide := strings.Repeat("é", 2*maxFact)
	cells := func(n int) string { return strings.Repeat("é", n-1) + "…" }
	s, out := screen(true, false)
	table := s.Table("a", "b")
	table.Row(wide, "x")
	_ = table.Flush()
	if _, row, _ := strings.Cut(out.String(), "\n"); row != cells(maxCell)+"  x\n" {
		t.Errorf("a list got %q", row)
	}
	s, out = screen(true, false)
	table = s.Table()
	table.Row("x", wide)
	_ = table.Flush()
	if want := "x  " + cells(maxFact) + "\n"; out.String() != want {
		t.Errorf("facts got %q", out)
	}
	s, out = screen(false, false)
	table = s.Table()
	table.Row(wide)
	_ = table.Flush()
	if out.String() != wide+"\n" {
		t.Errorf("a pipe got a cut cell: %q", out)
	}
}

func TestPaint_NeedsColour(t *testing.T) {
	s, _ := screen(true, true)
	if got := s.Paint(Red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("got %q", got)
	}
	s, _ = screen(true, false)
	if got := s.Paint(Red, "x"); got != "x" {
		t.Errorf("without colour: %q", got)
	}
}

func TestNew_ABufferIsNoTerminal(t *testing.T) {
	if s := New(&bytes.Buffer{}); s.TTY() || s.colour {
		t.Error("a buffer was taken for a terminal")
	}
}

func TestBar_IsSilentWithoutATerminal(t *testing.T) {
	s, out := screen(false, false)
	b := s.Bar("writing", 10)
	b.Add(10)
	b.End()
	if out.Len() != 0 {
		t.Errorf("wrote %q", out)
	}
}

func TestBar_DrawsAndClears(t *testing.T) {
	s, out := screen(true, false)
	b := s.Bar("writing", 10)
	b.Set(5, 10, "half\n")
	b.End()
	b.Set(6, 10, "")
	want := "\r\x1b[Kwriting ████████████░░░░░░░░░░░░  50 %  5  half\ufffd\r\x1b[K"
	if out.String() != want {
		t.Errorf("got %q\nwant %q", out, want)
	}
}

func TestFormats(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Count(0), "0"},
		{Count(999), "999"},
		{Count(1000), "1,000"},
		{Count(-1234567), "-1,234,567"},
		{Bytes(0), "0 B"},
		{Bytes(1023), "1023 B"},
		{Bytes(1536), "1.5 KiB"},
		{Bytes(10 << 30), "10.0 GiB"},
		{Duration(12 * time.Millisecond), "12ms"},
		{Duration(4200 * time.Millisecond), "4.2s"},
		{Duration(37 * time.Second), "37s"},
		{Duration(12*time.Minute + 5*time.Second), "12m5s"},
		{Duration(200 * time.Minute), "3h20m"},
		{Duration(52 * time.Hour), "2d4h"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
