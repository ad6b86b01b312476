package doctor

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/store"
)

// File systems that a store had better not be on, though it may, by their magic numbers.
var unfit = map[uint32]struct{ code, name string }{
	0x794c7630: {"fs_stacked", "overlay"}, 0x65735546: {"fs_stacked", "fuse"},
	0x01021994: {"fs_volatile", "tmpfs"}, 0x858458f6: {"fs_volatile", "ramfs"},
}

const (
	magicExt = 0xef53
	// minFree is less than the store keeps for outcomes.
	minFree = 32 << 20
)

// disk looks at the file system below the store.
func (r *report) disk(cfg *config.Config) {
	dir := filepath.Dir(cfg.Store.Path)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return // the folder is not there, which was said
	}
	r.room(cfg, int64(st.Bavail)*st.Bsize)
	kind := uint32(st.Type)
	network, shared := store.NetworkFS(kind)
	f, known := unfit[kind]
	switch {
	case shared && !cfg.Store.AllowNetworkFS:
		r.wrong("fs_network", dir, "is on a network file system (%s): the daemon refuses to open a store there", network)
	case shared:
		r.warn("fs_network", dir, "is on %s", network)
	case known:
		r.warn(f.code, dir, "is on %s", f.name)
	case kind == magicExt:
		r.ext(dir)
	default:
		r.ok("fs", dir, "file system type %#x", kind)
	}
}

func (r *report) room(cfg *config.Config, free int64) {
	dir := filepath.Dir(cfg.Store.Path)
	var length int64
	if info, err := os.Stat(cfg.Store.Path); err == nil {
		length = info.Size()
	}
	switch grow := int64(cfg.Store.MaxSize) - length; {
	case free < minFree:
		r.wrong("disk_full", dir, "%d MiB are free", free>>20)
	case free < grow:
		r.warn("disk_small", dir, "%d MiB are free, and by store.max_size the store may grow by %d MiB", free>>20, grow>>20)
	default:
		r.ok("disk", dir, "%d MiB are free, the store may grow by %d MiB", free>>20, grow>>20)
	}
}

// ext looks for what is known to lose or damage data on ext4. Without the right to read the
// device it goes by what the kernel tells everybody.
func (r *report) ext(dir string) {
	release := kernelRelease()
	name, err := device(dir)
	if err != nil {
		r.ok("fs", dir, "ext4; its features are not known: %v", err)
		return
	}
	features, readable := extFeatures("/dev/" + name)
	fast := readable && features&extFastCommit != 0 || fastCommits(name)
	switch {
	case fast && damagedByFastCommit(release):
		r.wrong("fs_fast_commit", dir, "ext4 with the feature fast_commit, on Linux %s", release)
	case readable && features&extJournal == 0:
		r.warn("fs_no_journal", dir, "ext4 without a journal")
	case readable:
		r.ok("fs", dir, "ext4 with a journal, on Linux %s", release)
	default:
		r.ok("fs", dir, "ext4, on Linux %s; its features are not known: the device can't be read from here", release)
	}
}

// device is the kernel's name of the block device below a folder.
func device(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", err
	}
	link := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	to, err := os.Readlink(link)
	return filepath.Base(to), err
}

// Compatible features of ext4's super block.
const (
	extJournal    = 0x4
	extFastCommit = 0x400
)

// extFeatures reads the compatible features from the super block of a device.
func extFeatures(device string) (features uint32, ok bool) {
	f, err := os.Open(device)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	block := make([]byte, 1024)
	if _, err := f.ReadAt(block, 1024); err != nil {
		return 0, false
	}
	return superBlock(block)
}

func superBlock(block []byte) (features uint32, ok bool) {
	const magicAt, compatAt = 0x38, 0x5c
	if binary.LittleEndian.Uint16(block[magicAt:]) != magicExt {
		return 0, false
	}
	return binary.LittleEndian.Uint32(block[compatAt:]), true
}

// fastCommits reports whether the kernel has counted fast commits of a file system.
func fastCommits(name string) bool {
	text, err := os.ReadFile("/proc/fs/ext4/" + name + "/fc_info")
	return err == nil && countsFastCommits(string(text))
}

func countsFastCommits(info string) bool {
	for line := range strings.Lines(info) {
		if count, ok := strings.CutSuffix(strings.TrimSpace(line), " commits"); ok {
			return count != "0"
		}
	}
	return false
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// damagedByFastCommit reports whether a kernel may replay fast commits wrongly after a power cut: from their beginning in
// 5.10 until 5.17, but for 5.10.94 and 5.15.27 and what came after these.
func damagedByFastCommit(release string) bool {
	var n [3]int
	for i, part := range strings.SplitN(release, ".", 3) {
		end := strings.IndexFunc(part, func(c rune) bool { return c < '0' || c > '9' })
		if end < 0 {
			end = len(part)
		}
		n[i], _ = strconv.Atoi(part[:end])
	}
	if n[0] != 5 || n[1] < 10 || n[1] >= 17 {
		return false
	}
	fixed, series := map[int]int{10: 94, 15: 27}[n[1]]
	return !series || n[2] < fixed
}
