package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
)

// sector is what a disk writes whole.
const sector = 512

// opKind says what happened to a file.
type opKind uint8

const (
	wrote opKind = iota + 1
	resized
	synced
	syncFailed // what was not on the disk yet never gets there, as the kernel forgets that it has to
	answered   // the newest contents were promised to somebody
)

type op struct {
	kind  opKind
	data  []byte
	off   int64 // resized: the new length
	meta  bool
	shows string // meta pages: what a reader finds once they are written
	lock  []byte // what the lock file says
}

// Recording is what happened to the file of a store, and beside it.
type Recording struct {
	base  []byte
	lock  []byte
	shows string
	ops   []op
}

// newest is what a reader finds at the end.
func (l *Recording) newest() string {
	for i := len(l.ops) - 1; i >= 0; i-- {
		if l.ops[i].meta {
			return l.ops[i].shows
		}
	}
	return l.shows
}

// Commits counts the meta pages that were written.
func (l *Recording) Commits() (n int) {
	for _, o := range l.ops {
		if o.meta {
			n++
		}
	}
	return n
}

// WithoutSyncs is the recording as it would be if nothing were ever synced, to
// show that it would be noticed.
func (l *Recording) WithoutSyncs() *Recording {
	bare := *l
	bare.ops = nil
	for _, o := range l.ops {
		if o.kind != synced {
			bare.ops = append(bare.ops, o)
		}
	}
	return &bare
}

// Cut is what a power cut leaves: the store's file and its lock file. May are the
// contents that it may show: those of the last commit that was answered, or of
// one after it. Gone are contents that may not be shown any more.
type Cut struct {
	After int // of so many operations
	Image []byte
	Lock  []byte
	May   []string
	Gone  []string
}

// Save writes the files of a cut to path and beside it.
func (c *Cut) Save(path string) error {
	if err := overwrite(path, c.Image); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	if err := overwrite(path+".lock", c.Lock); err != nil {
		return fmt.Errorf("lock of the image: %w", err)
	}
	return nil
}

// overwrite writes a file in place: its pages are there already. What lies in
// zeros at the end stays a hole.
func overwrite(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	used := len(b)
	for used >= len(zeros) && bytes.Equal(b[used-len(zeros):used], zeros[:]) {
		used -= len(zeros)
	}
	if _, err := f.WriteAt(b[:used], 0); err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(used)), f.Truncate(int64(len(b))))
}

var zeros [4096]byte

// Cuts cuts the power after every operation: each times while something is not
// synced, and once where all is. A cut is valid until the next one.
func (l *Recording) Cuts(rng *rand.Rand, each int) iter.Seq[*Cut] {
	return func(yield func(*Cut) bool) {
		d := disk{image: append([]byte(nil), l.base...)}
		c := &Cut{Lock: l.lock, May: []string{l.shows}}
		for i, o := range l.ops {
			d.do(o, rng)
			c.After, c.Lock = i+1, o.lock
			switch {
			case o.kind == answered:
				last := len(c.May) - 1
				c.Gone = append(c.Gone, c.May[:last]...)
				c.May = append([]string(nil), c.May[last])
			case o.meta:
				c.May = append(c.May, o.shows)
			}
			times := each
			if len(d.pending) == 0 {
				times = 1
			}
			for range times {
				c.Image = d.cut(rng)
				if !yield(c) {
					return
				}
			}
		}
	}
}

// disk is what is surely there, and what may or may not be.
type disk struct {
	image   []byte
	pending []op
	scratch []byte
}

func (d *disk) do(o op, rng *rand.Rand) {
	switch o.kind {
	case wrote, resized:
		d.pending = append(d.pending, o)
	case synced:
		d.image, d.pending = d.apply(d.image, nil), nil
	case syncFailed:
		d.image, d.pending = d.apply(d.image, chooser(rng)), nil
	}
}

// cut returns a copy with a random choice of what is not synced.
func (d *disk) cut(rng *rand.Rand) []byte {
	d.scratch = append(d.scratch[:0], d.image...)
	d.scratch = d.apply(d.scratch, chooser(rng))
	return d.scratch
}

// apply does what is pending to an image, sector by sector where keep says so
// (nil: all).
func (d *disk) apply(image []byte, keep func() bool) []byte {
	for _, o := range d.pending {
		if o.kind == resized {
			if keep == nil || keep() {
				image = resize(image, o.off)
			}
			continue
		}
		for at := 0; at < len(o.data); at += sector {
			if keep == nil || keep() {
				part := o.data[at:min(at+sector, len(o.data))]
				begin := o.off + int64(at)
				image = resize(image, max(int64(len(image)), begin+int64(len(part))))
				copy(image[begin:], part)
			}
		}
	}
	return image
}

func resize(image []byte, size int64) []byte {
	if more := size - int64(len(image)); more > 0 {
		return append(image, make([]byte, more)...)
	}
	return image[:size]
}

// chooser decides which unsynced sectors reach the disk: none, all, the first
// ones, all but a few, or each by chance.
func chooser(rng *rand.Rand) func() bool {
	switch rng.IntN(6) {
	case 0:
		return func() bool { return false }
	case 1:
		return func() bool { return true }
	case 2:
		left := rng.IntN(64)
		return func() bool { left--; return left >= 0 }
	case 3:
		left := rng.IntN(64)
		return func() bool { left--; return left < 0 }
	default:
		p := rng.Float64()
		return func() bool { return rng.Float64() < p }
	}
}
