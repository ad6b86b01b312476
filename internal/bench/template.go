package bench

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
)

// EventBytes is the size of each event as it is sent.
const EventBytes = 512

const (
	blankKey = "00000000-0000-4000-8000-000000000000"
	object   = "Contact"
	keyField = "Shop_Id__c"
)

// text is bytes in which random UUIDs are written over, in place, for each use:
// who sends must not be what is measured.
type text struct {
	bytes  []byte
	places []place
	chance *rand.ChaCha8
}

// place is where the UUID of one event stands, once or twice.
type place [2]int

// newText repeats a unit, with one or two blank keys in it, behind a head.
func newText(head, unit []byte, n int) *text {
	t := &text{bytes: bytes.Clone(head), places: make([]place, n)}
	first := bytes.Index(unit, []byte(blankKey))
	second := bytes.LastIndex(unit, []byte(blankKey))
	for i := range t.places {
		t.places[i] = place{len(t.bytes) + first, len(t.bytes) + second}
		t.bytes = append(t.bytes, unit...)
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	t.chance = rand.NewChaCha8(seed)
	return t
}

// renew gives the first n events keys that nobody has used.
func (t *text) renew(n int) {
	var raw [16]byte
	var key [len(blankKey)]byte
	key[8], key[13], key[18], key[23] = '-', '-', '-', '-'
	for _, at := range t.places[:n] {
		_, _ = t.chance.Read(raw[:]) // never fails
		hex.Encode(key[0:8], raw[0:4])
		hex.Encode(key[9:13], raw[4:6])
		hex.Encode(key[14:18], raw[6:8])
		hex.Encode(key[19:23], raw[8:10])
		hex.Encode(key[24:36], raw[10:16])
		copy(t.bytes[at[0]:], key[:])
		copy(t.bytes[at[1]:], key[:])
	}
}

const (
	eventHead = `{"key":"` + blankKey + `","object":"` + object + `","operation":"upsert","external_id":{"field":"` + keyField +
		`","value":"` + blankKey + `"},"fields":{"LastName":"Lovelace","Email":"ada@example.com","Description":"`
	eventTail = `"}}`
)

// event is an upsert of EventBytes whose key is its external id.
func event() []byte { return fmt.Appendf(nil, "%s%s%s", eventHead, description(), eventTail) }

func description() []byte { return bytes.Repeat([]byte("x"), EventBytes-len(eventHead)-len(eventTail)) }

// csvHead and csvRow are what the daemon makes of such events for a job.
var csvHead = []byte(keyField + ",LastName,Email,Description\n")

func csvRow() []byte {
	return fmt.Appendf(nil, "%s,Lovelace,ada@example.com,%s\n", blankKey, description())
}

// newRequest is a request with one event.
func newRequest() *text {
	head := fmt.Appendf(nil, "POST /v1/events HTTP/1.1\r\nHost: outboxd\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", EventBytes)
	return newText(head, event(), 1)
}
