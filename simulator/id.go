package simulator

const (
	base62   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	suffixes = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	instance = "5e0" // follows the key prefix in every id of this org
)

// newID is the n-th id with a key prefix of three characters.
func newID(prefix string, n uint64) string {
	id := make([]byte, 18)
	copy(id, prefix)
	copy(id[3:], instance)
	for i := 14; i >= 6; i-- {
		id[i] = base62[n%62]
		n /= 62
	}
	addSuffix(id)
	return string(id)
}

// addSuffix fills in characters 15 to 17: each tells which letters of a group
// of five are upper case.
func addSuffix(id []byte) {
	for group := range 3 {
		bits := 0
		for i := range 5 {
			if c := id[group*5+i]; 'A' <= c && c <= 'Z' {
				bits |= 1 << i
			}
		}
		id[15+group] = suffixes[bits]
	}
}

// canonicalID returns the form of 18 characters of an id of 15 or 18, and
// false for anything else, also for a wrong suffix.
func canonicalID(s string) (string, bool) {
	if len(s) != 15 && len(s) != 18 {
		return "", false
	}
	var id [18]byte
	for i := range 15 {
		if !isAlphanumeric(s[i]) {
			return "", false
		}
		id[i] = s[i]
	}
	addSuffix(id[:])
	if len(s) == 15 {
		return string(id[:]), true
	}
	return s, string(id[15:]) == s[15:]
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
