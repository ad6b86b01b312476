package bench

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/outboxd/outboxd/internal/term"
)

// Bench is the place where measurements are made: a folder of their own on the
// disk that they are about.
type Bench struct {
	folder string
	screen *term.Screen
}

// Open makes the folder in parent, "." if that is empty. Progress goes to the screen.
func Open(parent string, screen *term.Screen) (*Bench, error) {
	parent, err := filepath.Abs(cmp.Or(parent, "."))
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(parent, "outboxd-bench-")
	if err != nil {
		return nil, err
	}
	return &Bench{folder: folder, screen: screen}, nil
}

// Close removes the folder and what is in it.
func (b *Bench) Close() error { return os.RemoveAll(b.folder) }

// fresh makes a new folder within the bench's.
func (b *Bench) fresh() (string, error) { return os.MkdirTemp(b.folder, "run-") }
