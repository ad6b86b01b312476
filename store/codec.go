package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/google/uuid"
)

const (
	formatVersion  = 2 // 1 was never released
	recVersion     = 1
	receiptVersion = 1
	jsonVersion    = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDecode = errors.New("can't be decoded")

// recHeader is what stands before the payload of a record.
type recHeader struct {
	accepted  int64 // wall, µs
	work      time.Duration
	route     uint32
	stream    uint32
	digest    Digest
	lane      uint64 // hash; 0 has none
	notBefore int64  // wall, µs; 0: none
	expires   int64
	key       []byte
	source    []byte
	laneName  []byte
	after     []string
	head      []byte
	payload   []byte
}

// Fixed places that the writer fills in when it knows them: version 1, crc 4,
// accepted 8, work 8, route 4, stream 4.
const (
	recCRCAt   = 1
	recTimesAt = 5
	recRouteAt = 21
	recFixed   = 29
)

func appendBytes(dst, v []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(v))), v...)
}

func appendString(dst []byte, v string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(v))), v...)
}

func unixMicro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func microTime(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// recSize is no less than the bytes of an event's record.
func recSize(e *Event) int {
	size := recFixed + len(e.Digest) + 8 + 2*binary.MaxVarintLen64
	for _, v := range [...]int{len(e.Key), len(e.Source), len(e.Lane), len(e.Head), len(e.Payload)} {
		size += binary.MaxVarintLen32 + v
	}
	size += binary.MaxVarintLen32
	for _, k := range e.After {
		size += binary.MaxVarintLen32 + len(k)
	}
	return size
}

// appendRec encodes an event; sealRec completes it in place.
func appendRec(dst []byte, e *Event, lane uint64) []byte {
	dst = append(dst, make([]byte, recFixed)...)
	dst = append(dst, e.Digest[:]...)
	dst = binary.BigEndian.AppendUint64(dst, lane)
	dst = binary.AppendVarint(dst, unixMicro(e.NotBefore))
	dst = binary.AppendVarint(dst, unixMicro(e.ExpiresAt))
	dst = appendString(dst, e.Key)
	dst = appendString(dst, e.Source)
	dst = appendString(dst, e.Lane)
	dst = binary.AppendUvarint(dst, uint64(len(e.After)))
	for _, k := range e.After {
		dst = appendString(dst, k)
	}
	dst = appendBytes(dst, e.Head)
	return appendBytes(dst, e.Payload)
}

func sealRec(rec []byte, accepted int64, work time.Duration, route, stream uint32) {
	rec[0] = recVersion
	binary.BigEndian.PutUint64(rec[recTimesAt:], uint64(accepted))
	binary.BigEndian.PutUint64(rec[recTimesAt+8:], uint64(work))
	binary.BigEndian.PutUint32(rec[recRouteAt:], route)
	binary.BigEndian.PutUint32(rec[recRouteAt+4:], stream)
	binary.BigEndian.PutUint32(rec[recCRCAt:], crc32.Checksum(rec[recTimesAt:], castagnoli))
}

// reader takes a value apart; after an error everything it returns is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.take(max(n, 0)); n <= 0 {
		r.bad = true
		return 0
	}
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.take(max(n, 0)); n <= 0 {
		r.bad = true
		return 0
	}
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

func (r *reader) string() string { return string(r.bytes()) }

// decodeRec reads a record. Its byte slices are the transaction's.
func decodeRec(v []byte) (h recHeader, err error) {
	if len(v) < recFixed || v[0] != recVersion {
		return h, fmt.Errorf("record: %w", errDecode)
	}
	if crc32.Checksum(v[recTimesAt:], castagnoli) != binary.BigEndian.Uint32(v[recCRCAt:]) {
		return h, fmt.Errorf("record: checksum: %w", errDecode)
	}
	h, ok := parseRec(v)
	if !ok {
		return h, fmt.Errorf("record: %w", errDecode)
	}
	return h, nil
}

// recKey is a record's key, also of one whose checksum is wrong; nil if none can be read.
func recKey(v []byte) []byte {
	if len(v) < recFixed {
		return nil
	}
	h, _ := parseRec(v)
	return h.key
}

func parseRec(v []byte) (h recHeader, ok bool) {
	r := reader{b: v[recTimesAt:]}
	h.accepted = int64(r.u64())
	h.work = time.Duration(r.u64())
	h.route, h.stream = r.u32(), r.u32()
	copy(h.digest[:], r.take(len(h.digest)))
	h.lane = r.u64()
	h.notBefore, h.expires = r.varint(), r.varint()
	h.key, h.source, h.laneName = r.bytes(), r.bytes(), r.bytes()
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		h.after = append(h.after, r.string())
	}
	h.head, h.payload = r.bytes(), r.bytes()
	return h, !r.bad
}

// recNames reads route and lane of a record that can't be decoded otherwise.
func recNames(v []byte) (route uint32, lane uint64) {
	if len(v) < recFixed+len(Digest{})+8 {
		return ^uint32(0), 0
	}
	return binary.BigEndian.Uint32(v[recRouteAt:]), binary.BigEndian.Uint64(v[recFixed+len(Digest{}):])
}

// note is what happened to an event beside the usual way.
type note struct {
	State    State         `json:"s"`
	Attempts int           `json:"n,omitempty"`
	Rev      uint64        `json:"r,omitempty"`
	Due      time.Duration `json:"d,omitempty"` // store time; 0: see the lane, or wait
	DueWork  time.Duration `json:"q,omitempty"` // Due on the work clock
	Since    int64         `json:"i,omitempty"` // wall µs, of failed and in_doubt
	Work     time.Duration `json:"w,omitempty"` // age counts from here instead of acceptance
	MaxBatch int           `json:"m,omitempty"`
	RESTOnly bool          `json:"o,omitempty"`
	Sent     bool          `json:"t,omitempty"`
	SentKey  string        `json:"tk,omitempty"`
	First    int64         `json:"f,omitempty"`  // Sent: wall µs, since when the org may have seen it
	OtherOrg bool          `json:"oo,omitempty"` // Sent: but not to the org of Orgs
	Stale    bool          `json:"xs,omitempty"` // Sent: with another payload, which an edit replaced
	Absent   Seq           `json:"ta,omitempty"` // SentBelow when it was found not to have arrived
	Located  bool          `json:"l,omitempty"`  // Route and Target replace those of the record
	Route    uint32        `json:"u,omitempty"`
	Target   string        `json:"g,omitempty"`
	Orgs     int           `json:"og,omitempty"` // Facts.Orgs when it travelled last
	NoExpiry bool          `json:"e,omitempty"`
	Edited   bool          `json:"x,omitempty"`
	Payload  []byte        `json:"p,omitempty"` // Edited
	Error    *LastError    `json:"c,omitempty"`
	Warnings []Warning     `json:"ww,omitempty"`
	Matches  []string      `json:"h,omitempty"`
	Kind     Kind          `json:"k,omitempty"` // newest attempt
	Attempt  AttemptID     `json:"a,omitempty"`
	Job      string        `json:"j,omitempty"`
	SentAt   int64         `json:"b,omitempty"`
	History  []transition  `json:"y,omitempty"`
	Cut      int           `json:"z,omitempty"`
	Move     string        `json:"v,omitempty"` // id of the newest move
}

type transition struct {
	At      int64     `json:"t"`
	From    State     `json:"f,omitempty"`
	To      State     `json:"o"`
	Attempt AttemptID `json:"a,omitempty"`
	Code    string    `json:"c,omitempty"`
	By      string    `json:"b,omitempty"`
	Old     []byte    `json:"v,omitempty"`
}

// maxHistory bounds the history of one event; older lines are counted only.
const maxHistory = 50

func (n *note) log(t transition) {
	n.History = append(n.History, t)
	if cut := len(n.History) - maxHistory; cut > 0 {
		n.History = n.History[cut:]
		n.Cut += cut
	}
}

func encodeJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: encode %T: %v", v, err)) // our own plain structs
	}
	return append([]byte{jsonVersion}, b...)
}

func decodeJSON(b []byte, v any) error {
	if len(b) == 0 || b[0] != jsonVersion {
		return errDecode
	}
	return json.Unmarshal(b[1:], v)
}

// receipt is what stays of a terminal event for the dedup window.
type receipt struct {
	state    State
	created  bool
	attempts int
	kind     Kind
	route    uint32
	orgs     int // Facts.Orgs when it travelled last
	digest   Digest
	accepted int64 // wall, µs
	sent     int64
	ended    int64
	key      []byte
	source   []byte
	laneName []byte
	head     []byte
	id       []byte
	attempt  AttemptID
	job      []byte
	note     []byte // JSON of a note with history and last error; empty is usual
}

var kindCodes = map[Kind]byte{"": 0, KindREST: 1, KindBulk: 2, KindQuery: 3}

var kindNames = [...]Kind{"", KindREST, KindBulk, KindQuery}

func appendReceipt(dst []byte, r *receipt) []byte {
	flags := kindCodes[r.kind] << 1
	if r.created {
		flags |= 1
	}
	dst = append(dst, receiptVersion, byte(r.state), flags)
	dst = binary.AppendUvarint(dst, uint64(r.attempts))
	dst = binary.AppendUvarint(dst, uint64(r.route))
	dst = binary.AppendUvarint(dst, uint64(r.orgs))
	dst = append(dst, r.digest[:]...)
	dst = binary.AppendVarint(dst, r.accepted)
	dst = binary.AppendVarint(dst, r.sent)
	dst = binary.AppendVarint(dst, r.ended)
	for _, v := range [...][]byte{r.key, r.source, r.laneName, r.head, r.id} {
		dst = appendBytes(dst, v)
	}
	dst = appendAttemptID(dst, r.attempt)
	dst = appendBytes(dst, r.job)
	return appendBytes(dst, r.note)
}

func decodeReceipt(v []byte) (x receipt, err error) {
	r := reader{b: v}
	if r.u8() != receiptVersion {
		return x, fmt.Errorf("receipt: %w", errDecode)
	}
	x.state = State(r.u8())
	flags := r.u8()
	x.created = flags&1 != 0
	if k := int(flags >> 1); k < len(kindNames) {
		x.kind = kindNames[k]
	} else {
		r.bad = true
	}
	x.attempts, x.route, x.orgs = int(r.uvarint()), uint32(r.uvarint()), int(r.uvarint())
	copy(x.digest[:], r.take(len(x.digest)))
	x.accepted, x.sent, x.ended = r.varint(), r.varint(), r.varint()
	x.key, x.source, x.laneName, x.head, x.id = r.bytes(), r.bytes(), r.bytes(), r.bytes(), r.bytes()
	x.attempt = r.attemptID()
	x.job, x.note = r.bytes(), r.bytes()
	if r.bad || !x.state.Terminal() || x.attempts < 0 {
		return x, fmt.Errorf("receipt: %w", errDecode)
	}
	return x, nil
}

// appendAttemptID writes 16 bytes where the id is a UUID, which ours are.
func appendAttemptID(dst []byte, id AttemptID) []byte {
	if u, err := uuid.Parse(string(id)); err == nil && u.String() == string(id) {
		return append(append(dst, 1), u[:]...)
	}
	return appendString(append(dst, 0), string(id))
}

func (r *reader) attemptID() AttemptID {
	if r.u8() == 0 {
		return AttemptID(r.string())
	}
	u, err := uuid.FromBytes(r.take(16))
	if err != nil {
		r.bad = true
		return ""
	}
	return AttemptID(u.String())
}

// stuckEntry is the value of the stuck index: all that the summary needs.
type stuckEntry struct {
	state  State
	since  int64
	route  uint32
	lane   uint64 // 0: nobody waits behind it
	code   string
	source string
}

func encodeStuck(e stuckEntry) []byte {
	b := append(make([]byte, 0, 32+len(e.code)+len(e.source)), jsonVersion, byte(e.state))
	b = binary.BigEndian.AppendUint64(b, uint64(e.since))
	b = binary.BigEndian.AppendUint32(b, e.route)
	b = binary.BigEndian.AppendUint64(b, e.lane)
	return appendString(appendString(b, e.code), e.source)
}

func decodeStuck(v []byte) (e stuckEntry, err error) {
	r := reader{b: v}
	if r.u8() != jsonVersion {
		return e, fmt.Errorf("stuck entry: %w", errDecode)
	}
	e.state, e.since, e.route, e.lane = State(r.u8()), int64(r.u64()), r.u32(), r.u64()
	e.code, e.source = r.string(), r.string()
	if r.bad || e.state != Failed && e.state != InDoubt {
		return e, fmt.Errorf("stuck entry: %w", errDecode)
	}
	return e, nil
}

// laneKind says what an entry of the lane index is.
type laneKind byte

const (
	laneFree       laneKind = iota // nothing but a hold
	laneAside                      // waits for a time or for others, or is in flight so
	laneFollower                   // waits behind another one of its lane
	laneStuck                      // failed or in doubt, and its followers wait
	laneSkipped                    // failed or in doubt, and they don't (on_failure: skip)
	laneSuperseded                 // the same, and one of them was sent
)

type laneEntry struct {
	kind laneKind
	hold time.Duration // store time until which followers wait; 0: none
}

func encodeLane(e laneEntry) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(e.kind)}, uint64(e.hold))
}

func decodeLane(v []byte) laneEntry {
	if len(v) != 9 || laneKind(v[0]) > laneSuperseded {
		return laneEntry{kind: laneAside} // unreadable: the safe side is to wait
	}
	return laneEntry{laneKind(v[0]), time.Duration(binary.BigEndian.Uint64(v[1:]))}
}

// blocks reports whether a later event of the lane has to wait for it.
func (e laneEntry) blocks(now time.Duration) bool {
	return e.kind == laneAside || e.kind == laneFollower || e.kind == laneStuck || e.hold > now
}

// idxEntry is one event in its stream's index.
type idxEntry struct {
	seq   Seq
	route uint32
	lane  uint64
	size  uint32
	aside bool // was set aside at acceptance: not_before or after
}

func appendIdx(dst []byte, first Seq, e idxEntry) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.seq-first)<<1|b2u(e.aside))
	dst = binary.AppendUvarint(dst, uint64(e.route))
	dst = binary.AppendUvarint(dst, uint64(e.size))
	return binary.BigEndian.AppendUint64(dst, e.lane)
}

func decodeIdx(first Seq, v []byte, each func(idxEntry)) error {
	r := reader{b: v}
	for len(r.b) > 0 && !r.bad {
		d := r.uvarint()
		e := idxEntry{seq: first + Seq(d>>1), aside: d&1 != 0, route: uint32(r.uvarint()), size: uint32(r.uvarint()), lane: r.u64()}
		if !r.bad {
			each(e)
		}
	}
	if r.bad {
		return fmt.Errorf("index of %d: %w", first, errDecode)
	}
	return nil
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func encodeSeqs(seqs []Seq) []byte {
	b := []byte{jsonVersion}
	var last Seq
	for _, s := range seqs {
		b = binary.AppendVarint(b, int64(s)-int64(last))
		last = s
	}
	return b
}

func decodeSeqs(v []byte) (seqs []Seq, err error) {
	r := reader{b: v}
	if r.u8() != jsonVersion {
		return nil, fmt.Errorf("claim: %w", errDecode)
	}
	var last int64
	for len(r.b) > 0 && !r.bad {
		last += r.varint()
		seqs = append(seqs, Seq(last))
	}
	if r.bad {
		return nil, fmt.Errorf("claim: %w", errDecode)
	}
	return seqs, nil
}
