package server

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// credentials asks the kernel who opened the connection: SO_PEERCRED for user
// and group, SO_PEERGROUPS for the supplementary groups, both as they were at
// that moment. A connection that is no Unix socket has no credentials.
func credentials(c net.Conn) (peer, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return peer{}, errors.New("no socket behind the connection")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return peer{}, fmt.Errorf("peer credentials: %w", err)
	}
	var p peer
	var inner error
	err = raw.Control(func(fd uintptr) { p, inner = credentialsOf(int(fd)) })
	if err = errors.Join(err, inner); err != nil {
		return peer{}, fmt.Errorf("peer credentials: %w", err)
	}
	return p, nil
}

func credentialsOf(fd int) (peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{}, fmt.Errorf("SO_PEERCRED: %w", err)
	}
	groups, err := peerGroups(fd)
	if err != nil {
		return peer{}, fmt.Errorf("SO_PEERGROUPS: %w", err)
	}
	return peer{uid: cred.Uid, groups: append(groups, cred.Gid)}, nil
}

// peerGroups reads SO_PEERGROUPS. When its list is longer than the buffer the
// kernel answers ERANGE with the length it needs.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		have := int(size / 4)
		switch {
		case errno == 0:
			return groups[:have], nil
		case errno == unix.ERANGE && have > len(groups):
			groups = make([]uint32, have)
		default:
			return nil, errno
		}
	}
}
