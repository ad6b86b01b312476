package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// lockFile keeps other processes away. It is never renamed or removed, unlike
// the store, which restore and compact replace. It also remembers the
// generation of the store that it stands beside.
type lockFile struct {
	f *os.File
	lockContent
	garbled bool // it says something, which can't be read
}

type lockContent struct {
	Generation string `json:"generation"`       // of the newest start
	Next       string `json:"next,omitempty"`   // being put into the store
	Failed     bool   `json:"failed,omitempty"` // that start was ended by the disk
}

func lockStore(path string) (*lockFile, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w (%s.lock is held)", ErrLocked, path)
	}
	l := &lockFile{f: f}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s.lock: %w", path, err)
	}
	if len(b) > 0 && json.Unmarshal(b, &l.lockContent) != nil {
		// A power cut may leave a file with its length and without its data.
		l.lockContent, l.garbled = lockContent{}, true
	}
	return l, nil
}

func (l *lockFile) write(c lockContent) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	// One write of one length: it is replaced as a whole or not at all.
	b = append(b, make([]byte, max(0, 256-len(b)))...)
	for i := range b {
		if b[i] == 0 {
			b[i] = ' '
		}
	}
	if _, err := l.f.WriteAt(b, 0); isNoRoom(err) {
		return diskFull(err)
	} else if err != nil {
		return err
	}
	l.lockContent = c
	return l.f.Sync()
}

func (l *lockFile) Close() error { return l.f.Close() }

// Magic numbers of file systems that other hosts may write to.
var networkFS = map[uint32]string{
	0x6969: "nfs", 0x517b: "smb", 0xff534d42: "cifs", 0xfe534d42: "smb2", 0x01021997: "9p",
	0x5346414f: "afs", 0x00c36400: "ceph", 0x0bd00bd0: "lustre", 0x01161970: "gfs2", 0x7461636f: "ocfs2",
}

// NetworkFS names the file system of a magic number (statfs(2)) if it is one that
// other hosts may write to: Open refuses a store there, unless AllowNetworkFS.
func NetworkFS(magic uint32) (name string, ok bool) {
	name, ok = networkFS[magic]
	return name, ok
}

func (s *Store) refuseNetworkFS() error {
	if s.opts.AllowNetworkFS {
		return nil
	}
	dir := filepath.Dir(s.path)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if name, ok := NetworkFS(uint32(st.Type)); ok {
		return fmt.Errorf("%s is on a network file system (%s), where locks and syncs can't be trusted; move the store or set store.allow_network_fs", dir, name)
	}
	return nil
}

// prepareFile makes a new store or readies an existing one for bbolt, and
// returns its length.
func (s *Store) prepareFile() (int64, error) {
	if err := errors.Join(removeCopies(s.path), removeFile(s.copyPath())); err != nil {
		return 0, err
	}
	fi, err := os.Stat(s.path)
	known := s.lock.Generation != "" || s.lock.Next != "" || s.lock.garbled
	switch {
	case errors.Is(err, os.ErrNotExist) && known:
		return 0, fmt.Errorf("the store is gone, but %s.lock says that there was one; put it back from a backup, or remove the lock file to begin anew", s.path)
	case errors.Is(err, os.ErrNotExist):
		return s.create()
	case err != nil:
		return 0, err
	case !fi.Mode().IsRegular():
		return 0, errors.New("not a regular file")
	case fi.Size() == 0:
		return 0, errors.New("the file is empty: it is not an outbox; remove it, or put a backup in its place")
	}
	return fi.Size(), settleMeta(s.path, fi.Size(), s.opts.writeMeta)
}

// create builds a new store under another name and moves it into place, so that
// a crash leaves a whole store or none.
func (s *Store) create() (int64, error) {
	tmp := s.path + ".new"
	if err := removeFile(tmp); err != nil {
		return 0, err
	}
	db, err := bolt.Open(tmp, 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return 0, err
	}
	err = errors.Join(db.Update(initialise), db.Close())
	if err != nil {
		return 0, err
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return 0, err
	}
	fi, err := os.Stat(s.path)
	if err != nil {
		return 0, err
	}
	return fi.Size(), syncDir(filepath.Dir(s.path))
}

func initialise(tx *bolt.Tx) error {
	for _, name := range allBuckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bMeta)
	facts, err := json.Marshal(Facts{})
	if err != nil {
		return err
	}
	return errors.Join(meta.Put(kFormat, []byte{formatVersion}), meta.Put(kFacts, facts), putNumbers(tx, numbers{Next: 1, Clean: true}))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// begin marks this start. On a full disk it takes the room of the ballast.
func (s *Store) begin() error {
	s.disk.look()
	err := s.startGeneration()
	for errors.Is(err, ErrFull) && s.makeRoom(err) {
		err = s.startGeneration()
	}
	if errors.Is(err, ErrDiskFull) {
		return fmt.Errorf("free some room on the disk of %s: %w", filepath.Dir(s.path), err)
	}
	return err
}

// startGeneration marks this start in the store and beside it. A store whose
// mark is not the one beside it was put there by somebody: a restored backup.
// It stays known for one until the mark is in it.
func (s *Store) startGeneration() error {
	num, facts, beside := s.num, s.facts, s.lock.lockContent
	restored := num.Generation != "" && num.Generation != beside.Generation && num.Generation != beside.Next
	if restored {
		facts.Restored = true
	} else {
		beside.Generation = num.Generation
	}
	beside.Next = rand.Text()
	if err := s.lock.write(beside); err != nil {
		return fmt.Errorf("write %s.lock: %w", s.path, err)
	}
	num.Generation, num.Clean = beside.Next, false
	err := s.updateAlone(0, func(tx *bolt.Tx) error {
		v, err := json.Marshal(facts)
		if err != nil {
			return err
		}
		return errors.Join(s.keys.dropLeft(tx), putNumbers(tx, num), tx.Bucket(bMeta).Put(kFacts, v))
	})
	if err != nil {
		return err
	}
	s.crashed = !s.num.Clean && !beside.Failed
	s.log.Info("store open", "path", s.path, "clean", s.num.Clean, "next_seq", uint64(num.Next))
	if restored {
		s.log.Warn("the store is not the one that ran here last: it starts paused until the operator accepts it", "path", s.path)
	}
	s.num, s.facts = num, facts
	if err := s.lock.write(lockContent{Generation: num.Generation}); err != nil {
		return fmt.Errorf("write %s.lock: %w", s.path, err)
	}
	return syncDir(filepath.Dir(s.path))
}

// boltMeta is what settleMeta needs of a bbolt meta page.
type boltMeta struct {
	pageSize  uint32
	freelist  uint64
	highWater uint64 // pages
	txid      uint64
}

const (
	metaAt     = 16 // page header
	metaLen    = 64
	boltMagic  = 0xED0CDAED
	noFreelist = ^uint64(0)
)

func parseMeta(b []byte) (m boltMeta, ok bool) {
	if len(b) < metaAt+metaLen {
		return m, false
	}
	b = b[metaAt:]
	if binary.NativeEndian.Uint32(b) != boltMagic || metaSum(b) != binary.NativeEndian.Uint64(b[56:]) {
		return m, false
	}
	return boltMeta{
		pageSize: binary.NativeEndian.Uint32(b[8:]), freelist: binary.NativeEndian.Uint64(b[32:]),
		highWater: binary.NativeEndian.Uint64(b[40:]), txid: binary.NativeEndian.Uint64(b[48:]),
	}, true
}

// metaSum is bbolt's checksum of a meta page without its header.
func metaSum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b[:56])
	return h.Sum64()
}

// settleMeta makes sure that what bbolt is about to see is what the disk has.
// After a failed sync of a meta page the two may differ, and the next commit
// would write over pages that the disk's meta page still needs: so both meta
// pages are written again, unchanged, and synced. A file shorter than its meta
// page says would end the process by SIGBUS: it is refused.
func settleMeta(path string, size int64, write func(f *os.File, pages []byte) error) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	newest, pageSize, err := readMetas(f)
	if err != nil {
		return err
	}
	if newest.highWater > math.MaxInt64/uint64(pageSize) {
		return errors.New("a meta page that no file can have; put a backup in its place")
	}
	if need := int64(newest.highWater) * pageSize; size < need {
		return fmt.Errorf("the file is cut: %d bytes, its meta page counts on %d; put a backup in its place", size, need)
	}
	pages := make([]byte, 2*pageSize)
	if _, err := f.ReadAt(pages, 0); err != nil {
		return fmt.Errorf("read the meta pages: %w", err)
	}
	if err := write(f, pages); err != nil {
		return err
	}
	if newest.freelist == noFreelist {
		return readThrough(f)
	}
	return nil
}

func writeMeta(f *os.File, pages []byte) error {
	if _, err := f.WriteAt(pages, 0); err != nil {
		return fmt.Errorf("write the meta pages again: %w", err)
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the meta pages: %w", err)
	}
	return nil
}

// readMetas finds the newest whole meta page. The second one tells the page
// size if the first is torn.
func readMetas(f *os.File) (newest boltMeta, pageSize int64, err error) {
	buf := make([]byte, metaAt+metaLen)
	found := false
	look := func(at int64) {
		if _, err := f.ReadAt(buf, at); err != nil {
			return
		}
		if m, ok := parseMeta(buf); ok && m.pageSize >= 512 && m.pageSize <= 1<<20 && (!found || m.txid > newest.txid) {
			newest, pageSize, found = m, int64(m.pageSize), true
		}
	}
	look(0)
	if found {
		look(pageSize)
	}
	for at := int64(512); !found && at <= 1<<20; at *= 2 {
		look(at)
	}
	if !found {
		return newest, 0, errors.New("no whole meta page: not an outbox, or damaged; put a backup in its place")
	}
	return newest, pageSize, nil
}

// readThrough brings the file into the page cache. After an unclean stop bbolt
// walks all pages in use through a map without readahead, which on a cold disk
// takes many times as long as reading the file once.
func readThrough(f *os.File) error {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL); err != nil {
		return fmt.Errorf("read ahead: %w", err)
	}
	if _, err := io.Copy(io.Discard, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return fmt.Errorf("read through: %w", err)
	}
	return nil
}
