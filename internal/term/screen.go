package term

import (
	"io"
	"os"

	xterm "golang.org/x/term"
)

// Screen is where text for people goes.
type Screen struct {
	w      io.Writer
	tty    bool
	colour bool
}

// New returns a Screen on w. It is a terminal's only if w is an *os.File that
// is one; colour is used if so and if NO_COLOR is empty and TERM is not "dumb".
func New(w io.Writer) *Screen {
	s := &Screen{w: w}
	if f, ok := w.(*os.File); ok {
		s.tty = xterm.IsTerminal(int(f.Fd()))
	}
	s.colour = s.tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// TTY reports whether the screen is a terminal's.
func (s *Screen) TTY() bool { return s.tty }

// Write passes bytes on as they are.
func (s *Screen) Write(p []byte) (int, error) { return s.w.Write(p) }

// Style is a way to set text off.
type Style string

// The styles, as SGR parameters.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Paint returns the text in a style, or as it is without colour.
func (s *Screen) Paint(style Style, text string) string {
	if !s.colour || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// StateStyle is the style of an event's state or stuck reason.
func StateStyle(state string) Style {
	switch state {
	case "delivered", "closed", "done":
		return Green
	case "failed":
		return Red
	case "in_doubt", "blocked", "overdue", "open", "half_open":
		return Yellow
	case "dropped":
		return Dim
	}
	return Plain
}
