package store

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The values of the store's file are our own, but disks rot. Where a value is taken
// all the same, it is written as it was read.

// FuzzDecodeRec: what is decoded is encoded to the same again, and a record of which any bit is turned is refused.
func FuzzDecodeRec(f *testing.F) {
	e := Event{Key: "k", Route: contactRoute, After: []string{"a", ""}, Head: []byte("{}"), Payload: []byte("{}"), NotBefore: time.UnixMicro(1), Lane: "l", Source: "s"}
	rec := appendRec(nil, &e, 7)
	sealRec(rec, 1, 2, 3, 4)
	f.Add(rec, uint16(9))
	f.Add(rec[:recFixed], uint16(0))
	f.Fuzz(func(t *testing.T, v []byte, bit uint16) {
		if len(v) < recFixed {
			if _, err := decodeRec(v); err == nil {
				t.Fatalf("%x was taken", v)
			}
			return
		}
		v = append([]byte(nil), v...) // a right checksum lets the fuzzer past it
		sealRec(v, int64(binary.BigEndian.Uint64(v[recTimesAt:])), 0, 3, 4)
		if h, err := decodeRec(v); err == nil {
			checkRec(t, h)
		}
		v[int(bit/8)%len(v)] ^= 1 << (bit % 8)
		if h, err := decodeRec(v); err == nil {
			t.Fatalf("a turned bit is not seen: %+v", h)
		}
	})
}

func checkRec(t *testing.T, h recHeader) {
	t.Helper()
	e := Event{
		Key: string(h.key), Source: string(h.source), Lane: string(h.laneName), Digest: h.digest, After: h.after, Head: h.head, Payload: h.payload,
		NotBefore: microTime(h.notBefore), ExpiresAt: microTime(h.expires),
	}
	rec := appendRec(nil, &e, h.lane)
	sealRec(rec, h.accepted, h.work, h.route, h.stream)
	again, err := decodeRec(rec)
	if err != nil || !reflect.DeepEqual(h, again) {
		t.Fatalf("decoded %+v, again %+v, %v", h, again, err)
	}
}

// FuzzDecodeReceipt: a receipt is of an end, and is encoded to the same again.
func FuzzDecodeReceipt(f *testing.F) {
	whole := receipt{state: Delivered, created: true, attempts: 2, kind: KindBulk, route: 1, key: []byte("k"), id: []byte("003"), attempt: "0197f3a0-0000-7000-8000-000000000000"}
	f.Add(appendReceipt(nil, &whole))
	whole.state, whole.attempt = Dropped, "by hand"
	f.Add(appendReceipt(nil, &whole))
	whole.state = Failed
	f.Add(appendReceipt(nil, &whole))
	f.Fuzz(func(t *testing.T, v []byte) {
		x, err := decodeReceipt(v)
		if err != nil {
			return
		}
		if !x.state.Terminal() || x.attempts < 0 {
			t.Fatalf("took %+v", x)
		}
		if again, err := decodeReceipt(appendReceipt(nil, &x)); err != nil || !reflect.DeepEqual(x, again) {
			t.Fatalf("decoded %+v, again %+v, %v", x, again, err)
		}
	})
}

// FuzzDecodeIndexes: claims, the stuck index, streams, lanes, counts and the feed are encoded to the same again; what a lane's
// entry does not say is for its followers to wait.
func FuzzDecodeIndexes(f *testing.F) {
	f.Add(encodeSeqs([]Seq{9, 3, 1 << 40}))
	f.Add(encodeStuck(stuckEntry{Failed, 1, 2, 3, "CODE", "app"}))
	f.Add(appendIdx(appendIdx(nil, 7, idxEntry{7, 1, 2, 3, true}), 7, idxEntry{9, 1, 2, 3, false}))
	f.Add(encodeLane(laneEntry{laneStuck, time.Minute}))
	f.Add([]byte("\x63\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(encodeCounts(Counts{Pending: 1}))
	f.Add(append(make([]byte, 17), "\x05\x03\x00\x06\x04\x02{}"...))
	f.Fuzz(func(t *testing.T, v []byte) {
		if seqs, err := decodeSeqs(v); err == nil {
			again, err := decodeSeqs(encodeSeqs(seqs))
			same(t, seqs, again, err)
		}
		if e, err := decodeStuck(v); err == nil {
			again, err := decodeStuck(encodeStuck(e))
			same(t, e, again, err)
			if e.state != Failed && e.state != InDoubt {
				t.Fatalf("%v is stuck", e.state)
			}
		}
		if c, err := decodeCounts(v); err == nil && v != nil {
			again, err := decodeCounts(encodeCounts(c))
			same(t, c, again, err)
		}
		checkIdx(t, v)
		e := decodeLane(v)
		same(t, e, decodeLane(encodeLane(e)), nil)
		if unknown := len(v) != 9 || laneKind(v[0]) > laneSuperseded; unknown && !e.blocks(math.MaxInt64) {
			t.Fatalf("%x lets followers pass", v)
		}
		_ = (&reading{}).feedValue(v, func(_ Seq, state State, _ int64, blob []byte) error {
			if len(blob) > len(v) || state.String() == "" {
				t.Fatalf("feed: %v, %q", state, blob)
			}
			return nil
		})
	})
}

func checkIdx(t *testing.T, v []byte) {
	t.Helper()
	const first = 7
	var entries, again []idxEntry
	if decodeIdx(first, v, func(e idxEntry) { entries = append(entries, e) }) != nil {
		return
	}
	var b []byte
	for _, e := range entries {
		b = appendIdx(b, first, e)
	}
	err := decodeIdx(first, b, func(e idxEntry) { again = append(again, e) })
	same(t, entries, again, err)
}

func same(t *testing.T, a, b any, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Fatalf("decoded %+v, again %+v, %v", a, b, err)
	}
}

// FuzzDecodeNote: notes, attempts, slices and facts are encoded to the same again, and other versions are refused.
func FuzzDecodeNote(f *testing.F) {
	n := note{State: InDoubt, Attempts: 2, Due: time.Second, Sent: true, Error: &LastError{Problem: Problem{Code: "X"}, At: time.Unix(1, 0).UTC()}}
	n.log(transition{From: Pending, To: InDoubt, Old: []byte("{}")})
	f.Add(encodeJSON(n))
	f.Add(encodeJSON(Attempt{ID: "a"}))
	f.Add(encodeJSON(sliceRec{Last: 9, Tally: map[uint32]Counts{1: {Delivered: 3}}}))
	f.Add(encodeJSON(Facts{OrgID: "00D", PausedAt: time.Unix(1, 0).UTC()}))
	f.Add(encodeJSON(numbers{Next: 1}))
	f.Add([]byte("\x02{}"))
	f.Fuzz(func(t *testing.T, v []byte) {
		for _, make := range []func() any{
			func() any { return &note{} }, func() any { return &Attempt{} }, func() any { return &sliceRec{} }, func() any { return &Facts{} }, func() any { return &numbers{} },
		} {
			first, again := make(), make()
			if decodeJSON(v, first) != nil {
				continue
			}
			if v[0] != jsonVersion {
				t.Fatalf("%q was taken", v)
			}
			if err := decodeJSON(encodeJSON(first), again); err != nil || string(encodeJSON(again)) != string(encodeJSON(first)) {
				t.Fatalf("decoded %+v, again %+v, %v", first, again, err)
			}
		}
	})
}

// FuzzKeyRun: a run has each of its keys with its number and no other key; one that is damaged crashes nothing.
func FuzzKeyRun(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdeg0123456789abcdef"), []byte("0123456789abcdeh"))
	f.Add([]byte{}, []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, hashes, damaged []byte) {
		const first = 1000
		keys := map[keyHash]Seq{}
		for i := 0; i+16 <= len(hashes); i += 16 {
			keys[keyHash(hashes[i:])] = first + Seq(i)
		}
		run, filter := buildRun(first, keys)
		for h, want := range keys {
			if got, ok := searchRun(run, first, h); !ok || got != want || !filter.has(h) {
				t.Fatalf("%x is %d, %t, want %d", h, got, ok, want)
			}
		}
		if len(damaged) < 16 {
			return
		}
		h := keyHash(damaged)
		if _, ok := searchRun(run, first, h); ok != (keys[h] != 0) {
			t.Fatalf("%x is found: %t", h, ok)
		}
		searchRun(damaged, first, h)
	})
}

func TestRun_RefusesACutPart(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "outbox.db"), Options{})
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := putRun(tx.Bucket(bKrun), 1, make([]byte, 2*runEntry-1)); err != nil {
			return err
		}
		if err := eachOfRun(tx.Bucket(bKrun), 1, func(keyHash, Seq) {}); !errors.Is(err, errDecode) {
			t.Errorf("eachOfRun = %v; want errDecode", err)
		}
		return errStop
	})
	if !errors.Is(err, errStop) {
		t.Fatal(err)
	}
}

// FuzzCursor: a listing begins behind its cursor or says that it is none; what it hands out leads through all.
func FuzzCursor(f *testing.F) {
	s, err := Open(filepath.Join(f.TempDir(), "outbox.db"), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	events := []Event{{Key: "a", Route: contactRoute}, {Key: "b", Route: contactRoute}, {Key: "c", Route: contactRoute}}
	if _, err := s.Put(f.Context(), events, PutOptions{}); err != nil {
		f.Fatal(err)
	}
	for _, c := range []string{"", encodeCursor('e', seqKey(1)), encodeCursor('e', seqKey(math.MaxUint64)), encodeCursor('a', []byte("x")), encodeCursor('o', u64key(0)), encodeCursor('s', seqKey(2)), "e", "\x00", "ZQ=="} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		page, err := s.List(t.Context(), Filter{Cursor: cursor, Limit: 2})
		checkCursor(t, 'e', cursor, err)
		b, _ := base64.RawURLEncoding.DecodeString(cursor)
		for i, r := range page.Records {
			if i > 0 && r.Seq <= page.Records[i-1].Seq || cursor != "" && r.Seq <= seqOf(b) {
				t.Fatalf("%q lists %d", cursor, r.Seq)
			}
		}
		if page.Next != "" {
			if _, err := s.List(t.Context(), Filter{Cursor: page.Next}); err != nil {
				t.Fatalf("the next of %q: %v", cursor, err)
			}
		}
		_, err = s.Stuck(t.Context(), Filter{Cursor: cursor})
		checkCursor(t, 's', cursor, err)
		_, _, err = s.Attempts(t.Context(), 2, cursor)
		checkCursor(t, 'a', cursor, err)
		_, next, err := s.Outcomes(t.Context(), cursor, 2)
		checkCursor(t, 'o', cursor, err)
		if _, _, again := s.Outcomes(t.Context(), next, 2); err == nil && again != nil {
			t.Fatalf("the next of %q: %v", cursor, again)
		}
	})
}

func checkCursor(t *testing.T, kind byte, cursor string, err error) {
	t.Helper()
	b, decodeErr := base64.RawURLEncoding.DecodeString(cursor)
	own := cursor == "" || decodeErr == nil && len(b) > 1 && b[0] == kind
	if err != nil && !errors.Is(err, ErrCursor) && !errors.Is(err, ErrCursorGone) || err == nil && !own {
		t.Fatalf("cursor %q of %c: %v", cursor, kind, err)
	}
}

// FuzzMeta: whatever stands where the meta pages were, the file is left as it is, and taken only if it is as long
// as a whole one of them says.
func FuzzMeta(f *testing.F) {
	path := filepath.Join(f.TempDir(), "outbox.db")
	s, err := Open(path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	page := os.Getpagesize()
	f.Add(whole[:metaAt+metaLen], whole[page:page+metaAt+metaLen], uint8(16))
	f.Add(whole[:metaAt+metaLen], []byte{}, uint8(1))
	huge := append([]byte(nil), whole[:metaAt+metaLen]...)
	binary.NativeEndian.PutUint64(huge[metaAt+40:], 1<<62)
	f.Add(huge, []byte{}, uint8(16))
	f.Fuzz(func(t *testing.T, first, second []byte, pages uint8) {
		text := make([]byte, int(pages%32)*page)
		copy(text, first)
		if len(text) > page {
			copy(text[page:], second)
		}
		sealMeta(text)
		path := filepath.Join(t.TempDir(), "meta")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		err := settleMeta(path, int64(len(text)), func(f *os.File, pages []byte) error {
			_, err := f.WriteAt(pages, 0)
			return err
		})
		after, readErr := os.ReadFile(path)
		if readErr != nil || string(after) != string(text) {
			t.Fatalf("the file has changed: %v", readErr)
		}
		m, ok := parseMeta(text)
		if err == nil && ok && int(m.pageSize) == page && m.txid > 0 && (m.highWater > uint64(pages%32)) && !newerMeta(text, page, m) {
			t.Fatalf("%d pages are taken where %d were promised", pages, m.highWater)
		}
	})
}

// sealMeta gives the first page a right checksum, which lets the fuzzer past it.
func sealMeta(text []byte) {
	if len(text) < metaAt+metaLen {
		return
	}
	b := text[metaAt:]
	binary.NativeEndian.PutUint32(b, boltMagic)
	binary.NativeEndian.PutUint64(b[56:], metaSum(b))
}

func newerMeta(text []byte, page int, m boltMeta) bool {
	if len(text) <= page {
		return false
	}
	second, ok := parseMeta(text[page:])
	return ok && second.txid > m.txid
}
