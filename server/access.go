package server

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/outboxd/outboxd/api"
)

// Access says who may do what: names of users, "@name" for members of a group,
// numeric ids in the same places, or "*" for whom the socket lets in. Root and
// the daemon's own user may do all. What is named nowhere is denied.
type Access struct {
	Write   []string // events
	Read    []string // payloads
	Operate []string // moves, pause, backup
}

// right is what a call needs. Questions without payloads need none.
type right uint8

const (
	anyone right = iota
	mayWrite
	mayRead
	mayOperate
)

var rightNames = [...]string{"", "write", "read payloads", "operate"}

// peer is who opened a connection.
type peer struct {
	uid    uint32
	groups []uint32 // primary and supplementary
	over   bool     // its user holds more connections than allowed
}

// nobody is the peer of a connection without credentials.
const nobody = ^uint32(0)

type peerKey struct{}

func peerOf(ctx context.Context) peer {
	if p, ok := ctx.Value(peerKey{}).(peer); ok {
		return p
	}
	return peer{uid: nobody}
}

// rule is one right's list with its names resolved.
type rule struct {
	all    bool
	uids   []uint32
	groups []uint32
}

func (r rule) allows(p peer) bool {
	if r.all || slices.Contains(r.uids, p.uid) {
		return true
	}
	return slices.ContainsFunc(p.groups, func(g uint32) bool { return slices.Contains(r.groups, g) })
}

// rules are the three lists, and the uids that may do all.
type rules struct {
	own   uint32
	lists [mayOperate + 1]rule
}

func newRules(a Access, log *slog.Logger) *rules {
	return &rules{own: uint32(os.Getuid()), lists: [...]rule{
		anyone:     {all: true},
		mayWrite:   newRule(a.Write, log),
		mayRead:    newRule(a.Read, log),
		mayOperate: newRule(a.Operate, log),
	}}
}

func newRule(names []string, log *slog.Logger) rule {
	var r rule
	for _, name := range names {
		if name == "*" {
			r.all = true
			continue
		}
		group, isGroup := strings.CutPrefix(name, "@")
		id, err := lookup(group, isGroup)
		switch {
		case err != nil:
			log.Warn("access names someone whom the host does not know", "name", name, "err", err)
		case isGroup:
			r.groups = append(r.groups, id)
		default:
			r.uids = append(r.uids, id)
		}
	}
	return r
}

// lookup returns the id of a user or group; a number stands for itself.
func lookup(name string, isGroup bool) (uint32, error) {
	text := name
	if _, err := strconv.ParseUint(name, 10, 32); err != nil && isGroup {
		g, err := user.LookupGroup(name)
		if err != nil {
			return 0, err
		}
		text = g.Gid
	} else if err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, err
		}
		text = u.Uid
	}
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err
}

func (r *rules) allow(p peer, need right) bool {
	if need == anyone {
		return true
	}
	if p.uid == nobody {
		return false
	}
	return p.uid == 0 || p.uid == r.own || r.lists[need].allows(p)
}

// forbidden is the problem of a peer that lacks a right.
func forbidden(need right) *api.Problem {
	return api.CodeForbidden.Problem("the peer's user may not " + rightNames[need] + "; access in the configuration says who may")
}

// userNames remembers the names of uids.
type userNames struct {
	mu    sync.Mutex
	known map[uint32]string
}

// of returns the user's name, or "uid:" and the number for one without a name.
func (n *userNames) of(uid uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.known[uid]; ok {
		return name
	}
	id := strconv.FormatUint(uint64(uid), 10)
	name := "uid:" + id
	if u, err := user.LookupId(id); err == nil {
		name = u.Username
	}
	if n.known == nil || len(n.known) >= maxNames {
		n.known = make(map[uint32]string)
	}
	n.known[uid] = name
	return name
}

const maxNames = 4096
