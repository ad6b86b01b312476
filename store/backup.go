package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// Backup writes a consistent copy of the store to w. The copy is made in a file
// beside the store first, so that a slow reader keeps no page from being freed.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	if err := s.backup(ctx, w); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, w io.Writer) (err error) {
	if err := s.roomForCopy(); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".backup-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	err = s.db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(contextWriter{ctx, f})
		return err
	})
	if err != nil {
		return err
	}
	if err := markCopy(f.Name()); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(contextWriter{ctx, w}, f)
	return err
}

// roomForCopy refuses a copy that would leave new events without room.
func (s *Store) roomForCopy() error {
	if s.disk == nil {
		return nil
	}
	s.disk.look()
	var size int64
	if err := s.db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		return err
	}
	d := s.disk.state()
	if need := size + d.NeedBytes; d.FreeBytes < need {
		return fmt.Errorf("%w: the copy is made beside the store first, for which %d bytes have to be free, not %d", ErrDiskFull, need, d.FreeBytes)
	}
	return nil
}

// markCopy gives a copy a generation of its own: wherever it is put in place, and
// however soon, it is known for a restored store.
func markCopy(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType, OpenFile: openExisting})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		var n numbers
		if err := json.Unmarshal(tx.Bucket(bMeta).Get(kState), &n); err != nil {
			return err
		}
		n.Generation = "copy " + rand.Text()
		return putNumbers(tx, n)
	})
	return errors.Join(err, db.Close())
}

// removeCopies clears away what a crash left of backups.
func removeCopies(path string) error {
	left, err := filepath.Glob(path + ".backup-*")
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// contextWriter stops a copy when its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

func fileSize(path string) (int64, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
