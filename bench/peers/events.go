package main

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
)

// eventBytes is the size of every event, whoever stores it.
const eventBytes = 512

type key [16]byte

// events are the JSON texts of a request, line by line, whose keys are written
// over for each use: to make them must cost next to nothing, as this process
// shares the machine with what it measures.
type events struct {
	text   []byte // eventBytes and a newline each
	keys   []key
	places []int // of the key's text in an event
	chance *rand.ChaCha8
}

func newEvents(n int) *events {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	text, places := blankEvent()
	return &events{
		text: bytes.Repeat(append(text, '\n'), n), keys: make([]key, n),
		places: places, chance: rand.NewChaCha8(seed),
	}
}

// blankEvent is an upsert as an app sends it, and where in it the key stands.
func blankEvent() (text []byte, places []int) {
	const blank = "00000000-0000-4000-8000-000000000000"
	head := `{"key":"` + blank + `","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"` + blank +
		`"},"fields":{"LastName":"Lovelace","Email":"ada@example.com","Description":"`
	tail := `"}}`
	text = append([]byte(head), bytes.Repeat([]byte("x"), eventBytes-len(head)-len(tail))...)
	text = append(text, tail...)
	first := bytes.Index(text, []byte(blank))
	return text, []int{first, first + 1 + bytes.Index(text[first+1:], []byte(blank))}
}

// event is the text of one event, without its newline.
func (e *events) event(i int) []byte {
	at := i * (eventBytes + 1)
	return e.text[at : at+eventBytes]
}

// renew gives every event a key that nobody has used.
func (e *events) renew() {
	var text [36]byte
	for i := range e.keys {
		k := &e.keys[i]
		_, _ = e.chance.Read(k[:]) // never fails
		k[6], k[8] = k[6]&0x0f|0x40, k[8]&0x3f|0x80
		k.write(&text)
		event := e.event(i)
		for _, at := range e.places {
			copy(event[at:], text[:])
		}
	}
}

// write gives the key as UUIDs are written.
func (k *key) write(text *[36]byte) {
	hex.Encode(text[0:8], k[0:4])
	hex.Encode(text[9:13], k[4:6])
	hex.Encode(text[14:18], k[6:8])
	hex.Encode(text[19:23], k[8:10])
	hex.Encode(text[24:36], k[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
}
