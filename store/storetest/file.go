package storetest

import (
	"reflect"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// hookWrites replaces the function by which a database writes pages, and
// returns what puts the old one back. bbolt offers no way in: its OpenFile
// option is bound to *os.File.
func hookWrites(db *bolt.DB, f func(next func([]byte, int64) (int, error)) func([]byte, int64) (int, error)) (unhook func()) {
	v := reflect.ValueOf(db).Elem().FieldByName("ops").FieldByName("writeAt")
	p := (*func([]byte, int64) (int, error))(unsafe.Pointer(v.UnsafeAddr()))
	old := *p
	*p = f(old)
	return func() { *p = old }
}

// FailWrites makes writes of db fail: f is asked with the number of each write,
// from 1, and answers how many of its bytes are written and with which error; a
// nil error writes all. The returned function ends it. No transaction may be
// under way at either time.
func FailWrites(db *bolt.DB, f func(n int) (part int, err error)) (restore func()) {
	n := 0
	return hookWrites(db, func(next func([]byte, int64) (int, error)) func([]byte, int64) (int, error) {
		return func(b []byte, off int64) (int, error) {
			n++
			part, err := f(n)
			if err == nil {
				return next(b, off)
			}
			if part = min(part, len(b)); part > 0 {
				if _, werr := next(b[:part], off); werr != nil {
					return 0, werr
				}
			}
			return part, err
		}
	})
}
