package store

import (
	"encoding/binary"
	"math/bits"
)

// Shape of a key filter: a Bloom filter in blocks of one cache line, so that a
// key that is not known costs one miss of the processor's cache. It wrongly says
// "perhaps" of about one in two hundred keys.
const (
	filterBits   = 12 // a key
	filterProbes = 7  // bits of one block that a key sets; 9 bits of hash choose each
	blockWords   = 8  // of 64 bits
)

// keyFilter tells keys that are surely not in a set from those that may be. nil
// knows nothing: every key may be in it.
type keyFilter []uint64

func newKeyFilter(keys int) keyFilter {
	blocks := (keys*filterBits + blockWords*64 - 1) / (blockWords * 64)
	return make(keyFilter, max(blocks, 1)*blockWords)
}

// block returns a key's block and the hash that chooses bits in it. Keys are
// hashes, so their own bits serve.
func (f keyFilter) block(h keyHash) (block []uint64, probes uint64) {
	at, _ := bits.Mul64(binary.LittleEndian.Uint64(h[:8]), uint64(len(f)/blockWords))
	return f[at*blockWords : (at+1)*blockWords], binary.LittleEndian.Uint64(h[8:])
}

func (f keyFilter) add(h keyHash) {
	block, probes := f.block(h)
	for range filterProbes {
		block[probes>>6%blockWords] |= 1 << (probes % 64)
		probes >>= 9
	}
}

func (f keyFilter) has(h keyHash) bool {
	if f == nil {
		return true
	}
	block, probes := f.block(h)
	for range filterProbes {
		if block[probes>>6%blockWords]&(1<<(probes%64)) == 0 {
			return false
		}
		probes >>= 9
	}
	return true
}
