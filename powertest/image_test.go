package powertest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// sector is what a disk writes whole.
const sector = 512

// disk is what of a folder is surely there, and what may or may not be.
type disk struct {
	files  map[int]*file
	names  map[string]int // that are synced
	naming []change       // since then
	live   map[string]int // as a process sees them
}

type file struct {
	data    []byte
	pending []change
}

func newDisk() *disk {
	return &disk{files: map[int]*file{}, names: map[string]int{}, live: map[string]int{}}
}

func (d *disk) do(c change) {
	switch c.kind {
	case created:
		d.files[c.file] = &file{}
		d.rename(c)
	case renamed:
		c.file = d.live[c.name]
		d.rename(c)
	case linked, removed:
		d.rename(c)
	case folderSynced:
		d.names, d.naming = maps.Clone(d.live), nil
	case synced:
		f := d.files[c.file]
		f.data, f.pending = f.with(f.data, always), nil
	default:
		f := d.files[c.file]
		f.pending = append(f.pending, c)
	}
}

func (d *disk) rename(c change) {
	c.rename(d.live)
	d.naming = append(d.naming, c)
}

func (c *change) rename(names map[string]int) {
	switch c.kind {
	case renamed:
		delete(names, c.name)
		names[c.to] = c.file
	case removed:
		delete(names, c.name)
	default:
		names[c.name] = c.file
	}
}

// cut writes to dir what a power cut may leave: everything that was synced, and
// of the rest a random choice, each file and the names by themselves. A file may
// have its new length before its data, which reads as zeros then.
func (d *disk) cut(dir string, rng *rand.Rand) error {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return err
	}
	names, keep := maps.Clone(d.names), chooser(rng)
	for _, c := range d.naming {
		if keep() {
			c.rename(names)
		}
	}
	for name, id := range names {
		f := d.files[id]
		data := append([]byte(nil), f.data...)
		if rng.IntN(2) == 0 {
			for _, c := range f.pending {
				data = resize(data, max(len(data), int(c.off)+len(c.data)))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), f.with(data, chooser(rng)), 0o600); err != nil {
			return fmt.Errorf("image: %w", err)
		}
	}
	return nil
}

// with does to data what is pending, as far as keep says so.
func (f *file) with(data []byte, keep func() bool) []byte {
	for _, c := range f.pending {
		if c.kind == resized {
			if keep() {
				data = resize(data, int(c.off))
			}
			continue
		}
		for at := 0; at < len(c.data); {
			n := min(sector-(int(c.off)+at)%sector, len(c.data)-at)
			if keep() {
				begin := int(c.off) + at
				data = resize(data, max(len(data), begin+n))
				copy(data[begin:], c.data[at:at+n])
			}
			at += n
		}
	}
	return data
}

func resize(data []byte, size int) []byte {
	if more := size - len(data); more > 0 {
		return append(data, make([]byte, more)...)
	}
	return data[:size]
}

func always() bool { return true }

// chooser decides which changes reach the disk: none, all, the first ones, all but
// those, or each by chance.
func chooser(rng *rand.Rand) func() bool {
	switch left := rng.IntN(32); rng.IntN(6) {
	case 0:
		return func() bool { return false }
	case 1:
		return always
	case 2:
		return func() bool { left--; return left >= 0 }
	case 3:
		return func() bool { left--; return left < 0 }
	default:
		p := rng.Float64()
		return func() bool { return rng.Float64() < p }
	}
}
