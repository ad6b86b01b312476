package storetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"sync"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// sector is what a disk writes whole.
const sector = 512

// hookWrites replaces the function by which a database writes pages, and
// returns what puts the old one back. bbolt offers no way in: its OpenFile
// option is bound to *os.File.
func hookWrites(db *bolt.DB, f func(next func([]byte, int64) (int, error)) func([]byte, int64) (int, error)) (unhook func()) {
	v := reflect.ValueOf(db).Elem().FieldByName("ops").FieldByName("writeAt")
	p := (*func([]byte, int64) (int, error))(unsafe.Pointer(v.UnsafeAddr()))
	old := *p
	*p = f(old)
	return func() { *p = old }
}

// write is one write of a page or several, with the length that the file had.
type write struct {
	data []byte
	off  int64
	size int64
}

// Recorder keeps every write of a bbolt database since Record, so that the
// files that a power cut would have left at any moment can be built.
//
// A commit is: data pages, fdatasync, one meta page, fdatasync. So a meta page
// finds all that came before it on the disk, and what follows it finds it there.
type Recorder struct {
	base   []byte
	meta   int64 // meta pages end here
	unhook func()

	mu     sync.Mutex
	writes []write
}

// Record begins to record db. No transaction may be under way, here and at Stop.
func Record(db *bolt.DB) (*Recorder, error) {
	base, err := os.ReadFile(db.Path())
	if err != nil {
		return nil, fmt.Errorf("record writes: %w", err)
	}
	r := &Recorder{base: base, meta: 2 * int64(db.Info().PageSize)}
	path := db.Path()
	r.unhook = hookWrites(db, func(next func([]byte, int64) (int, error)) func([]byte, int64) (int, error) {
		return func(b []byte, off int64) (int, error) {
			r.note(path, b, off)
			return next(b, off)
		}
	})
	return r, nil
}

func (r *Recorder) note(path string, b []byte, off int64) {
	var size int64
	if st, err := os.Stat(path); err == nil {
		size = st.Size()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, write{slices.Clone(b), off, size})
}

// Stop ends the recording; what was recorded stays.
func (r *Recorder) Stop() { r.unhook() }

// Writes returns the number of writes so far. What was acknowledged when it
// was n is in every image of more than n writes.
func (r *Recorder) Writes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.writes)
}

// Image writes to path the file of a power cut after the first n writes: all
// that was synced, and of the rest a random choice of sectors.
func (r *Recorder) Image(path string, n int, rng *rand.Rand) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < 0 || n > len(r.writes) {
		return fmt.Errorf("image after %d of %d writes", n, len(r.writes))
	}
	synced := r.synced(n)
	image := slices.Clone(r.base)
	for _, w := range r.writes[:synced] {
		image = w.apply(image, nil)
	}
	keep := chooser(rng)
	for _, w := range r.writes[synced:n] {
		image = w.apply(image, keep)
	}
	if err := os.WriteFile(path, image, 0o600); err != nil {
		return fmt.Errorf("image after %d writes: %w", n, err)
	}
	return nil
}

// synced returns how many of the first n writes are surely on the disk.
func (r *Recorder) synced(n int) int {
	if n > 0 && r.isMeta(n-1) {
		return n - 1
	}
	for n > 0 && !r.isMeta(n-1) {
		n--
	}
	return n
}

func (r *Recorder) isMeta(i int) bool { return r.writes[i].off < r.meta }

// chooser decides which unsynced sectors reach the disk: none, all, the first
// ones, or each by chance.
func chooser(rng *rand.Rand) func() bool {
	switch rng.IntN(5) {
	case 0:
		return func() bool { return false }
	case 1:
		return func() bool { return true }
	case 2:
		left := rng.IntN(64)
		return func() bool { left--; return left >= 0 }
	default:
		p := rng.Float64()
		return func() bool { return rng.Float64() < p }
	}
}

// apply writes w into an image, sector by sector where keep says so (nil: all).
func (w write) apply(image []byte, keep func() bool) []byte {
	if grow := max(w.size, w.off+int64(len(w.data))) - int64(len(image)); grow > 0 {
		image = append(image, make([]byte, grow)...)
	}
	for at := 0; at < len(w.data); at += sector {
		if keep == nil || keep() {
			copy(image[w.off+int64(at):], w.data[at:min(at+sector, len(w.data))])
		}
	}
	return image
}

// FailWrites makes writes of db fail: f is asked with the number of each write,
// from 1, and answers how many of its bytes are written and with which error; a
// nil error writes all. The returned function ends it. No transaction may be
// under way at either time.
func FailWrites(db *bolt.DB, f func(n int) (part int, err error)) (restore func()) {
	n := 0
	return hookWrites(db, func(next func([]byte, int64) (int, error)) func([]byte, int64) (int, error) {
		return func(b []byte, off int64) (int, error) {
			n++
			part, err := f(n)
			if err == nil {
				return next(b, off)
			}
			if part = min(part, len(b)); part > 0 {
				if _, werr := next(b[:part], off); werr != nil {
					return 0, werr
				}
			}
			return part, err
		}
	})
}
