package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket says who may open the socket. Group is a name or number; "" leaves
// the group of the daemon.
type Socket struct {
	Mode  fs.FileMode
	Group string
}

// Listen makes the Unix socket at path. There is no moment in which it can be
// opened with another mode: it is bound under a temporary name and renamed. A
// socket that a daemon left behind is replaced, one that somebody listens on
// is not, nor is anything that is no socket of our user. Closing the listener
// removes the socket.
func Listen(path string, o Socket) (net.Listener, error) {
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := checkStale(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	temp := filepath.Join(filepath.Dir(path), ".s"+rand.Text()[:8])
	l, err := bind(temp)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	info, err := settle(temp, path, o)
	if err != nil {
		l.Close()
		os.Remove(temp)
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return &socket{UnixListener: l, path: path, info: info}, nil
}

// bind makes a socket that nobody but us can open: the mode that the inode has
// before bind is the one that the file gets (unix(7), "Pathname socket
// ownership and permissions", on Linux).
func bind(path string) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) { inner = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, inner)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	return ul, nil
}

// settle gives the socket its group and mode, and then its name.
func settle(temp, path string, o Socket) (fs.FileInfo, error) {
	if o.Group != "" {
		gid, err := lookup(o.Group, true)
		if err != nil {
			return nil, err
		}
		if err := os.Lchown(temp, -1, int(gid)); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(temp, o.Mode.Perm()); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// checkFolder refuses a folder in which others could put a socket of theirs.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("folder %s can be written by everybody; use one of the daemon's own", dir)
	case ok && st.Uid != 0 && int(st.Uid) != os.Getuid():
		return fmt.Errorf("folder %s belongs to another user", dir)
	}
	return nil
}

// listenerWait is how long somebody who may listen on the socket is given to take
// a connection. Nobody there is told at once; only a machine that is very busy needs it.
const listenerWait = 10 * time.Second

// checkStale is nil when path is free, or a socket of ours that nobody listens on.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("something that is not a socket is in its place")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Getuid() {
		return errors.New("a socket of another user is in its place")
	}
	c, err := net.DialTimeout("unix", path, listenerWait)
	if err == nil {
		c.Close()
		return errors.New("another daemon listens on it")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("ask whether somebody listens on it: %w", err)
	}
	return nil
}

// socket is a listener that takes its file along when it closes.
type socket struct {
	*net.UnixListener
	path  string
	info  fs.FileInfo
	close sync.Once
}

// Close stops listening and removes the file, unless another has taken its place.
func (s *socket) Close() error {
	err := net.ErrClosed
	s.close.Do(func() {
		if now, gone := os.Lstat(s.path); gone == nil && os.SameFile(now, s.info) {
			os.Remove(s.path)
		}
		err = s.UnixListener.Close()
	})
	return err
}
