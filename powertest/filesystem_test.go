package powertest

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// changeKind says what a change does.
type changeKind uint8

const (
	wrote changeKind = iota + 1
	resized
	synced
	created
	renamed
	linked
	removed
	folderSynced
)

// change is one thing that happened to the folder.
type change struct {
	kind     changeKind
	file     int // by order of creation
	name, to string
	data     []byte
	off      int64 // resized: the new length
}

// journal is all that happened, in order.
type journal struct {
	mu      sync.Mutex
	changes []change
	files   map[uint64]int // by the underlying inode, which may be used again
	made    int
}

// now is the number of changes so far.
func (j *journal) now() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.changes)
}

// all are the changes so far, oldest first. What the kernel handed over last is
// behind the lock alone: that its writer has ended orders nothing in this process.
func (j *journal) all() []change {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.changes)
}

func (j *journal) add(c change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes = append(j.changes, c)
}

// create notes a new file; its inode may be that of one that is gone.
func (j *journal) create(ino uint64, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.made++
	j.files[ino] = j.made
	j.changes = append(j.changes, change{kind: created, file: j.made, name: name})
}

func (j *journal) file(n *fs.Inode) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.files[n.StableAttr().Ino]
}

// mount puts a recording file system over the folder backing.
func mount(t *testing.T, backing, at string) *journal {
	t.Helper()
	j := &journal{files: map[uint64]int{}}
	var st syscall.Stat_t
	if err := syscall.Stat(backing, &st); err != nil {
		t.Fatal(err)
	}
	root := &fs.LoopbackRoot{Path: backing, Dev: uint64(st.Dev)}
	top := &node{&fs.LoopbackNode{RootData: root}, j}
	root.RootNode = top
	server, err := fs.Mount(at, top, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "powertest"}})
	if err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return j
}

// node passes on what is asked of a file or the folder, and notes what changes it.
type node struct {
	*fs.LoopbackNode
	j *journal
}

func (n *node) WrapChild(_ context.Context, below fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{below.(*fs.LoopbackNode), n.j}
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, h, fl, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	n.j.create(inode.StableAttr().Ino, name)
	return inode, &handle{h.(*fs.LoopbackFile), n.j, n.j.file(inode)}, fl, 0
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, fl, errno := n.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	id := n.j.file(n.EmbeddedInode())
	if flags&syscall.O_TRUNC != 0 {
		n.j.add(change{kind: resized, file: id})
	}
	return &handle{h.(*fs.LoopbackFile), n.j, id}, fl, 0
}

func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if h, ok := f.(*handle); ok {
		f = h.below
	}
	errno := n.LoopbackNode.Setattr(ctx, f, in, out)
	if size, ok := in.GetSize(); ok && errno == 0 {
		n.j.add(change{kind: resized, file: n.j.file(n.EmbeddedInode()), off: int64(size)})
	}
	return errno
}

func (n *node) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if h, ok := f.(*handle); ok {
		return h.below.Getattr(ctx, out)
	}
	return n.LoopbackNode.Getattr(ctx, nil, out)
}

func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	errno := n.LoopbackNode.Rename(ctx, name, parent, to, flags)
	if errno == 0 {
		n.j.add(change{kind: renamed, name: name, to: to})
	}
	return errno
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	inode, errno := n.LoopbackNode.Link(ctx, target, name, out)
	if errno == 0 {
		n.j.add(change{kind: linked, file: n.j.file(target.EmbeddedInode()), name: name})
	}
	return inode, errno
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	errno := n.LoopbackNode.Unlink(ctx, name)
	if errno == 0 {
		n.j.add(change{kind: removed, name: name})
	}
	return errno
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, fl, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &folder{h.(dirHandle), n.j}, fl, 0
}

// dirHandle is what the folder's handle passes on.
type dirHandle interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
}

// folder is the folder, opened.
type folder struct {
	dirHandle
	j *journal
}

func (d *folder) Fsyncdir(context.Context, uint32) syscall.Errno {
	d.j.add(change{kind: folderSynced})
	return 0
}

// handle is a file, opened. It does not embed what it stands before: that would
// offer the kernel a way past it.
type handle struct {
	below *fs.LoopbackFile
	j     *journal
	file  int
}

func (h *handle) Read(ctx context.Context, b []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return h.below.Read(ctx, b, off)
}

func (h *handle) Write(ctx context.Context, b []byte, off int64) (uint32, syscall.Errno) {
	n, errno := h.below.Write(ctx, b, off)
	if n > 0 {
		h.j.add(change{kind: wrote, file: h.file, data: append([]byte(nil), b[:n]...), off: off})
	}
	return n, errno
}

func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	errno := h.below.Allocate(ctx, off, size, mode)
	var out fuse.AttrOut
	if errno == 0 && h.below.Getattr(ctx, &out) == 0 {
		h.j.add(change{kind: resized, file: h.file, off: int64(out.Size)})
	}
	return errno
}

// Fsync is of what was written before it began.
func (h *handle) Fsync(context.Context, uint32) syscall.Errno {
	h.j.add(change{kind: synced, file: h.file})
	return 0
}

func (h *handle) Flush(ctx context.Context) syscall.Errno   { return h.below.Flush(ctx) }
func (h *handle) Release(ctx context.Context) syscall.Errno { return h.below.Release(ctx) }
