package server

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// socketFolder is a short path: a socket's has 107 bytes at most.
func socketFolder(t *testing.T) string {
	dir, err := os.MkdirTemp("", "obl")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListen_ModeAndGroupFromTheStart(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(socketFolder(t), "s")
	l, err := Listen(path, Socket{Mode: 0o660, Group: "61236"})
	if os.Getuid() != 0 {
		t.Skip("needs root to give the socket away")
	}
	must(t, err)
	info, err := os.Lstat(path)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	if info.Mode() != os.ModeSocket|0o660 || st.Gid != 61236 {
		t.Errorf("mode %v, group %d", info.Mode(), st.Gid)
	}
	must(t, l.Close())
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListen_IsNeverOpenToAll(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(socketFolder(t), "s")
	l, err := bind(path)
	must(t, err)
	defer l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode before chmod: %v, %v", info.Mode(), err)
	}
}

func TestListen_ReplacesAStaleSocketOnly(t *testing.T) {
	dir := socketFolder(t)
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	if _, err := Listen(path, Socket{Mode: 0o600}); err == nil || !strings.Contains(err.Error(), "another daemon") {
		t.Errorf("over a live socket: %v", err)
	}
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	again, err := Listen(path, Socket{Mode: 0o600})
	must(t, err)
	// A newer socket in its place is not taken along.
	must(t, os.Remove(path))
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	defer other.Close()
	must(t, again.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("closing took another's socket along: %v", err)
	}
	if again.Close() == nil {
		t.Error("a second Close says nothing")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".s*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestListen_RefusesWhatIsNotItsOwn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		build func(dir, path string) error
		says  string
	}{
		{"a symlink", func(dir, path string) error { return os.Symlink(filepath.Join(dir, "elsewhere"), path) }, "not a socket"},
		{"a file", func(_, path string) error { return os.WriteFile(path, nil, 0o600) }, "not a socket"},
		{"a folder for all", func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "written by everybody"},
		{"a sticky folder for all", func(dir, _ string) error { return os.Chmod(dir, os.ModeSticky|0o777) }, "written by everybody"},
		{"no folder", func(dir, _ string) error { return os.Remove(dir) }, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := socketFolder(t)
			path := filepath.Join(dir, "s")
			must(t, tt.build(dir, path))
			if _, err := Listen(path, Socket{Mode: 0o600}); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Listen() = %v, want %q in it", err, tt.says)
			}
		})
	}
	path := filepath.Join(socketFolder(t), "s")
	if _, err := Listen(path, Socket{Mode: 0o600, Group: "no-such-group"}); err == nil {
		t.Error("an unknown group is no mistake")
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("a socket was left: %v", err)
	}
}
