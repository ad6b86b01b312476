package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// Bounds of a compaction.
const (
	compactOver = 1 << 30  // a start compacts when so much is free, and more than half,
	compactMost = 4 << 30  // and no more than this is used: apps wait for it
	compactStep = 16 << 20 // bytes of one of its transactions
	sparseUse   = 16       // less than this part of a file is quicker read page by page
)

// Compaction is the length of the file before and after.
type Compaction struct{ Before, After int64 }

// Compact makes the file at path as long as what is in it. No daemon may run on it.
// The store is copied beside itself; the copy takes its place once it is durable,
// so that a crash at any moment leaves the one or the other.
//
// Errors: ErrLocked, ErrNewer, ErrDiskFull, and what the file system says.
func Compact(path string, o Options) (Compaction, error) {
	c, err := compact(path, o)
	if err != nil {
		return Compaction{}, fmt.Errorf("compact store %s: %w", path, err)
	}
	return c, nil
}

func compact(path string, o Options) (c Compaction, err error) {
	if err := o.defaults(); err != nil {
		return c, err
	}
	s := &Store{path: path, opts: o, log: o.Logger}
	if _, err := os.Stat(path); err != nil {
		return c, err
	}
	if err := s.lockFolder(); err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	s.disk = newDisk(path, o.MaxSize, s.log)
	if c.Before, err = s.prepareFile(); err != nil {
		return c, err
	}
	if err := s.openBolt(c.Before); err != nil {
		return c, err
	}
	if err := s.db.View(checkFormat); err != nil {
		return c, err
	}
	if err := s.makeCopy(); err != nil {
		return c, err
	}
	c.After, err = s.takeCopy()
	return c, err
}

// copyPath is where a compaction makes its copy. What a crash leaves there is
// removed by the next start.
func (s *Store) copyPath() string { return s.path + ".compact" }

// compactAtStart compacts a store that is mostly free. It may be left as it is:
// its free pages are used again, and a start must not depend on it.
func (s *Store) compactAtStart() error {
	used, free, err := s.use()
	if err != nil || free <= s.opts.compactOver || free <= used {
		return err
	}
	leave := func(why error) error {
		s.log.Warn("the store's file is mostly free, but stays as long as it is", "path", s.path, "bytes", s.length, "free_bytes", free, "err", why)
		return nil
	}
	if used > compactMost {
		return leave(errors.New("a start copies at most 4 GiB; run outboxd compact while the daemon is stopped"))
	}
	if err := s.makeCopy(); err != nil {
		return leave(err)
	}
	before := s.length
	after, err := s.takeCopy()
	if notMoved(err) {
		return leave(errors.Join(err, removeFile(s.copyPath())))
	}
	if err != nil {
		return fmt.Errorf("put the compacted file in place: %w", err)
	}
	s.log.Info("store compacted", "path", s.path, "bytes", after, "bytes_before", before)
	return nil
}

// use is how much of the file is used, and how much is free.
func (s *Store) use() (used, free int64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		length, n := s.fileUse(tx)
		used, free = length-n, n
		return nil
	})
	return used, free, err
}

// makeCopy copies what the store holds to a file beside it, durably. Pages are
// filled to the brim, and the list of the free ones is written, so that it opens
// without being read.
func (s *Store) makeCopy() (err error) {
	if err := s.copyFits(); err != nil {
		return err
	}
	path := s.copyPath()
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFile(path))
		}
	}()
	defer damaged(&err)
	to, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := errors.Join(bolt.Compact(to, s.db, compactStep), to.Close()); err != nil {
		return err
	}
	return s.dressCopy(path)
}

// copyFits refuses a copy for which there is no room, or whose place is not the
// file's own.
func (s *Store) copyFits() error {
	fi, err := os.Lstat(s.path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return errors.New("it is reached by a link, which a compacted file would replace; name the file itself")
	}
	used, _, err := s.use()
	if err != nil {
		return err
	}
	if err := s.disk.measure(); err != nil {
		return err
	}
	d := s.disk.state()
	if need := used + used/8 + d.NeedBytes; d.FreeBytes < need {
		return fmt.Errorf("%w: the copy is made beside the store, for which %d bytes have to be free, not %d", ErrDiskFull, need, d.FreeBytes)
	}
	if used > s.length/sparseUse {
		return readThrough(s.file)
	}
	return nil
}

// dressCopy gives the copy the owner and the mode of the store and makes it
// durable. Where they are the same already it asks for nothing: a service may be
// barred from it.
func (s *Store) dressCopy(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	was, err := s.file.Stat()
	if err != nil {
		return err
	}
	is, err := f.Stat()
	if err != nil {
		return err
	}
	old, now := was.Sys().(*syscall.Stat_t), is.Sys().(*syscall.Stat_t)
	if old.Uid != now.Uid || old.Gid != now.Gid {
		if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil {
			return err
		}
	}
	if was.Mode() != is.Mode() {
		if err := f.Chmod(was.Mode().Perm()); err != nil {
			return err
		}
	}
	return f.Sync()
}

// takeCopy puts the copy in the place of the store and opens it.
func (s *Store) takeCopy() (size int64, err error) {
	if err := s.opts.rename(s.copyPath(), s.path); err != nil {
		return 0, err
	}
	if err := syncDir(filepath.Dir(s.path)); err != nil {
		return 0, err
	}
	if err := s.db.Close(); err != nil {
		return 0, err
	}
	s.db = nil
	if size, err = fileSize(s.path); err != nil {
		return 0, err
	}
	return size, s.openBolt(size)
}

// notMoved reports whether a rename has surely done nothing: the file is a mount
// by itself, or the folder is barred.
func notMoved(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)
}

// removeFile removes a file that may not be there.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
