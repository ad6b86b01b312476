package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/config"
)

// defaultGroup is the socket's group that nobody asked for: a host may do without.
var defaultGroup = config.Default().Socket.Group

// configMode looks at who can write, or with secrets in it read, the configuration.
// Files that hold secrets were looked at when it was loaded.
func (r *report) configMode(path string, cfg *config.Config) {
	info, err := os.Stat(path)
	if err != nil {
		r.wrong("config_unreadable", path, "%v", err)
		return
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o022 != 0:
		r.wrong("config_mode", path, "others can write it: its mode is %04o", mode)
	case mode&0o044 != 0 && holdsSecret(cfg):
		r.wrong("config_mode", path, "it holds a secret, and others can read it: its mode is %04o", mode)
	default:
		r.ok("config_mode", path, "mode %04o", mode)
	}
}

func holdsSecret(cfg *config.Config) bool {
	if cfg.Salesforce == nil {
		return false
	}
	a := cfg.Salesforce.Auth
	within := func(s config.Secret, file string) bool { return !s.IsZero() && file == "" }
	return within(a.PrivateKey, a.PrivateKeyFile) || within(a.ClientSecret, a.ClientSecretFile) || within(a.RefreshToken, a.RefreshTokenFile)
}

// store looks at the folder and the files of the outbox.
func (r *report) store(cfg *config.Config) {
	dir := filepath.Dir(cfg.Store.Path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && cfg.Store.Path == config.Default().Store.Path:
		r.warn("store_folder", dir, "is not there yet")
		return
	case err != nil:
		r.wrong("store_folder", dir, "%v", err)
		return
	case !info.IsDir():
		r.wrong("store_folder", dir, "is not a folder")
		return
	case unix.Access(dir, unix.W_OK|unix.X_OK) != nil:
		r.wrong("store_unwritable", dir, "can't be written by uid %d; it belongs to uid %d", os.Geteuid(), owner(info))
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		r.wrong("store_mode", dir, "others can write it: its mode is %04o", mode)
		return
	}
	if file, err := os.Stat(cfg.Store.Path); err == nil && file.Mode().Perm()&0o077 != 0 {
		r.wrong("store_mode", cfg.Store.Path, "others can read it: its mode is %04o", file.Mode().Perm())
		return
	}
	r.ok("store", cfg.Store.Path, "folder of uid %d, mode %04o", owner(info), info.Mode().Perm())
}

func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// ownsStore reports whether files that this process writes beside the store are the daemon's own.
func ownsStore(cfg *config.Config) bool {
	info, err := os.Stat(filepath.Dir(cfg.Store.Path))
	return err == nil && owner(info) == os.Geteuid()
}

// socket looks at the folder of the socket and its group.
func (r *report) socket(cfg *config.Config) {
	dir := filepath.Dir(cfg.Socket.Path)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		r.warn("socket_folder", dir, "%v", err)
	case info.Mode().Perm()&0o002 != 0:
		r.wrong("socket_mode", dir, "can be written by everybody: the daemon makes no socket there")
	default:
		r.ok("socket_folder", dir, "mode %04o", info.Mode().Perm())
	}
	name := cfg.Socket.Group
	if name == "" {
		return
	}
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return
	}
	_, err = user.LookupGroup(name)
	var unknown user.UnknownGroupError
	switch {
	case errors.As(err, &unknown) && name == defaultGroup:
		r.warn("socket_group", name, "this host has no such group: the socket keeps the daemon's own")
	case err != nil:
		r.wrong("socket_group", name, "%v", err)
	}
}
