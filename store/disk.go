package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the ballast.
const (
	minBallast  = 256 << 10
	maxBallast  = 16 << 20
	ballastPart = 8           // it takes up at most this part of what is free
	lookApart   = time.Second // between two looks at the disk
)

// disk watches the room beside the store and keeps the ballast: a file that only
// takes up room. It is given up when the disk is full, so that what frees room can
// still be written; new events are refused until it is there again.
type disk struct {
	path string // of the ballast
	max  int64
	log  *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	free    int64 // for us, when it was looked at
	ballast int64 // 0: there is none
	lost    int64 // size of the one that was given up
	failed  bool  // the last try to make it
}

// newDisk takes up the ballast that an earlier process left.
func newDisk(store string, maxSize int64, log *slog.Logger) *disk {
	d := &disk{path: store + ".ballast", max: min(reserve(maxSize), maxBallast), log: log}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) == nil && limit.Cur < uint64(d.max) {
		d.max = int64(limit.Cur)
	}
	var st unix.Stat_t
	if unix.Lstat(d.path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return d
	}
	if st.Blocks*512 >= st.Size {
		d.ballast = st.Size
	} else {
		d.lost = st.Size
	}
	return d
}

// look sees how much room there is, if the last look was a while ago, and makes
// the ballast as large as that asks for.
func (d *disk) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.looked.IsZero() && time.Since(d.looked) < lookApart {
		return
	}
	d.looked = time.Now()
	if err := d.measure(); err != nil {
		d.log.Warn("the disk's room is not known", "path", d.path, "err", err)
		return
	}
	want := d.wanted()
	if want == 0 || want < 2*d.ballast {
		return
	}
	if err := d.make(want); err != nil {
		if !d.failed {
			d.log.Warn("no ballast could be made; new events are refused", "path", d.path, "bytes", want, "err", err)
		}
		d.failed = true
		return
	}
	d.failed = false
	d.log.Info("ballast made", "path", d.path, "bytes", want)
}

func (d *disk) measure() error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(d.path), &st); err != nil {
		return err
	}
	d.free = int64(st.Bavail) * st.Bsize
	return nil
}

// wanted is how large the ballast should be; 0: as it is. It grows with what is
// free. One that was given up comes back when there is room for two of it.
func (d *disk) wanted() int64 {
	if d.ballast == 0 && d.lost > 0 {
		if d.free < 2*d.lost {
			return 0
		}
		return d.lost
	}
	want := min((d.free+d.ballast)/ballastPart, d.max) &^ 4095
	if want < minBallast {
		return 0
	}
	return want
}

// make makes the ballast, or enlarges it, durably.
func (d *disk) make(size int64) (err error) {
	f, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = fallocate(f, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		// What can't be compressed away.
		_, err = io.CopyN(io.NewOffsetWriter(f, 0), rand.Reader, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(filepath.Dir(d.path))
	}
	if err != nil {
		d.ballast, d.lost = 0, max(d.lost, d.ballast)
		return errors.Join(err, f.Truncate(0))
	}
	d.free -= size - d.ballast
	d.ballast, d.lost = size, 0
	return nil
}

// giveUp frees the ballast's room; false if there is none. The file keeps its
// length, without blocks, so that the next start knows how large it was.
func (d *disk) giveUp() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ballast == 0 {
		return false
	}
	size := d.ballast
	d.ballast, d.lost = 0, size
	d.log.Error("the disk is full: the ballast is given up and new events are refused; free room on its file system", "path", d.path, "bytes", size)
	if err := errors.Join(os.Truncate(d.path, 0), os.Truncate(d.path, size)); err != nil {
		d.log.Error("the ballast could not be given up", "path", d.path, "err", err)
		return false
	}
	d.free += size
	d.looked = time.Now()
	return true
}

// accepts reports whether the file may grow for new events: the ballast is whole,
// and as much again is free beside it. What is missing of the ballast has to be
// kept elsewhere.
func (d *disk) accepts() (roomy bool, missing int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ballast == 0 {
		return false, max(d.lost, minBallast)
	}
	return d.free >= d.ballast, 0
}

// room is what the file can still get from the disk.
func (d *disk) room() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free + d.ballast
}

// use takes n bytes off what is known to be free.
func (d *disk) use(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free -= n
}

// state is what Status tells.
func (d *disk) state() Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Disk{FreeBytes: max(d.free, 0), BallastBytes: d.ballast, NeedBytes: d.ballast}
	switch {
	case d.ballast > 0:
	case d.lost > 0:
		s.NeedBytes = 2 * d.lost
	default:
		s.NeedBytes = ballastPart * minBallast
	}
	return s
}

// fallocate gives a file blocks for a range and makes it that long.
func fallocate(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, off, n)
		if err != unix.EINTR {
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// isNoRoom reports whether an error says that a file can't get longer: the disk
// is full, or a quota or a limit of the process is reached.
func isNoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// isWrite reports whether an error is of a write, not of a sync.
func isWrite(err error) bool {
	p, ok := errors.AsType[*fs.PathError](err)
	return ok && p.Op == "write"
}

// diskFull wraps an error that says that there is no room on the disk.
func diskFull(err error) error { return fmt.Errorf("%w: %w", ErrDiskFull, err) }
