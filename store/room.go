package store

import (
	"errors"
	"os"

	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// Fullness says why new events are refused; "" if they are not.
type Fullness string

// Why new events are refused.
const (
	FullSize Fullness = "max_size" // the file has its greatest length
	FullDisk Fullness = "disk"     // the disk has no room for more
)

func (f Fullness) err() error {
	if f == FullDisk {
		return ErrDiskFull
	}
	return ErrFull
}

// slack are the pages that a transaction dirties whatever it does.
const slack = 64

// reserve is the part of the size limit that new events may not use.
func reserve(limit int64) int64 { return min(max(limit/16, 1<<20), 256<<20) }

// step is by how much the file grows at least, and how much of it is kept beyond
// what new events use: so much can be recorded without the file getting longer.
func (s *Store) step() int64 { return min(max(s.length/8, 256<<10), 16<<20) }

func (s *Store) pageSize() int64 { return int64(s.db.Info().PageSize) }

// fullness says why events of this size can't be taken, if that is so: enough has
// to be left for every open attempt to record its outcome. Where the file is too
// short for them it grows.
func (t *txn) fullness(size int) (Fullness, error) {
	need := int64(size) * 3 / 2
	if t.room()-need <= reserve(t.s.opts.MaxSize) {
		return FullSize, nil
	}
	need += t.s.step()
	roomy, missing := t.s.disk.accepts()
	if roomy {
		if err := t.extend(need); err == nil || !errors.Is(err, ErrFull) {
			return "", err
		}
	}
	// What was delivered left free pages. They may take the ballast's place too.
	if t.inFile() < need+missing {
		return FullDisk, nil
	}
	return "", nil
}

// sweepRoom looks whether an outbox that was full has room again for events of
// any size.
func (t *txn) sweepRoom() (bool, error) {
	if t.s.full == "" {
		return false, nil
	}
	full, err := t.fullness(anySize)
	if err == nil && full == "" {
		t.s.setFull("")
	}
	return false, err
}

// anySize is more than any event has.
const anySize = 2 << 20

// room is how many bytes the file can still take within the size limit: free
// pages, and what it may grow.
func (t *txn) room() int64 {
	return t.freePages() + max(t.s.opts.MaxSize-t.tx.Size(), 0) - slack*t.s.pageSize()
}

// inFile is how many bytes the file can take as long as it is.
func (t *txn) inFile() int64 {
	return t.freePages() + max(t.s.length-t.tx.Size(), 0) - slack*t.s.pageSize()
}

func (t *txn) freePages() int64 {
	st := t.s.db.Stats()
	return int64(st.FreePageN+st.PendingPageN) * t.s.pageSize()
}

// extend makes sure that the file has so many bytes behind its last page in use.
func (t *txn) extend(need int64) error {
	if lack := need - (t.s.length - t.tx.Size()); lack > 0 {
		return t.s.grow(lack + t.s.step())
	}
	return nil
}

// grow makes the file longer, within the size limit. The store does that itself,
// with blocks that are really there, before bbolt would have to: a full disk then
// shows before anything of a transaction is written, and nothing has happened.
// bbolt's own limit follows, so that it never grows the file. Errors: ErrFull,
// ErrDiskFull, ErrUnknown.
func (s *Store) grow(by int64) error {
	to := min(s.length+by, s.opts.MaxSize) &^ (s.pageSize() - 1)
	if to <= s.length {
		return ErrFull
	}
	err := fallocate(s.file, s.length, to-s.length)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = s.file.Truncate(to)
	}
	if isNoRoom(err) {
		// Part of it may have been given; others can use that.
		if err := s.file.Truncate(s.length); err != nil {
			s.log.Debug("the file stays longer than it has to be", "err", err)
		}
		return diskFull(err)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return s.fail(err)
	}
	s.growths.Add(1)
	s.disk.use(to - s.length)
	s.setLength(to)
	return nil
}

func (s *Store) setLength(n int64) {
	s.length = n
	s.db.AllocSize, s.db.MaxSize = 0, int(n)
}

// fillHoles gives the file blocks to its end: a copy may have come without those
// of empty pages.
func (s *Store) fillHoles() error {
	err := fallocate(s.file, 0, s.length)
	switch {
	case isNoRoom(err):
		s.log.Warn("the store's file has holes, and the disk no room for them", "path", s.path, "err", err)
		return nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil
	}
	return err
}

// makeRoom is asked when what happened can't be recorded: the file gets longer, or
// the ballast is given up. It is false when there is nothing left to be done.
func (s *Store) makeRoom(why error) bool {
	if errors.Is(why, berrors.ErrMaxSizeReached) {
		why = s.grow(s.step())
		if why == nil {
			return true
		}
	}
	spaceLess := errors.Is(why, unix.ENOSPC) || errors.Is(why, unix.EDQUOT)
	return spaceLess && s.disk.giveUp()
}

// lengthen is makeRoom for new events, which the ballast is not for.
func (s *Store) lengthen(why error) bool {
	return errors.Is(why, berrors.ErrMaxSizeReached) && s.grow(s.step()) == nil
}

// keepFile opens files as bbolt wants them and keeps the last one.
func (s *Store) keepFile(name string, flag int, mode os.FileMode) (f *os.File, err error) {
	f, err = openExisting(name, flag, mode)
	s.file = f
	return f, err
}
