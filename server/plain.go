package server

import (
	"bytes"
	"strings"
)

// maxPlainHeader bounds the header of a plain request in bytes.
const maxPlainHeader = 2 << 10

// plainHeader is the header of a plain request: POST /v1/events of HTTP/1.1 with
// a body of known length of at most smallBody bytes, and nothing about it that
// HTTP has rules for beyond these members. Whatever else it says means nothing
// to the call.
type plainHeader struct {
	size        int    // of the header, with its empty line
	length      int    // of the body
	contentType []byte // nil: none
	key         []byte // Idempotency-Key; nil: none
}

// plainness says what the beginning of a request is.
type plainness uint8

const (
	isPlain     plainness = iota // a plain request with its whole header
	maybePlain                   // one so far
	notPlain                     // for net/http to judge
	plainLine   = "POST /v1/events HTTP/1.1\r\n"
	headerEnds  = "\r\n\r\n"
	lengthBytes = 6 // digits of a length that is worth reading
)

// parsePlain reads the header of a request. It takes nothing that net/http
// would refuse or read otherwise (FuzzPlain). The header holds on to b.
func parsePlain(b []byte) (h plainHeader, p plainness) {
	if len(b) < len(plainLine) {
		if strings.HasPrefix(plainLine, string(b)) {
			return h, maybePlain
		}
		return h, notPlain
	}
	if string(b[:len(plainLine)]) != plainLine {
		return h, notPlain
	}
	end := bytes.Index(b[len(plainLine)-2:min(len(b), maxPlainHeader)], []byte(headerEnds))
	if end < 0 {
		if len(b) >= maxPlainHeader {
			return h, notPlain
		}
		return h, maybePlain
	}
	h.size = len(plainLine) - 2 + end + len(headerEnds)
	h.length = -1
	hosts := 0
	for lines := b[len(plainLine) : h.size-2]; len(lines) > 0; {
		at := bytes.Index(lines, []byte("\r\n"))
		if !h.line(lines[:at], &hosts) {
			return h, notPlain
		}
		lines = lines[at+2:]
	}
	if hosts != 1 || h.length < 0 {
		return h, notPlain
	}
	return h, isPlain
}

// line takes one line of the header; it is false for one that is not plain.
func (h *plainHeader) line(line []byte, hosts *int) bool {
	at := bytes.IndexByte(line, ':')
	if at <= 0 || !isToken(line[:at]) {
		return false
	}
	name, value := line[:at], bytes.Trim(line[at+1:], " \t")
	if !isText(value) {
		return false
	}
	switch {
	case is(name, "host"):
		*hosts++
		return isHost(value)
	case is(name, "content-type"):
		was := h.contentType
		h.contentType = value
		return was == nil && len(value) > 0
	case is(name, "idempotency-key"):
		was := h.key
		h.key = value
		return was == nil && len(value) > 0
	case is(name, "content-length"):
		if h.length >= 0 {
			return false
		}
		h.length = plainLength(value)
		return h.length >= 0
	case is(name, "connection"):
		return is(value, "keep-alive")
	}
	return !hasRules(name)
}

// is compares without regard to letter case; text is in small letters.
func is(b []byte, text string) bool {
	if len(b) != len(text) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != text[i] {
			return false
		}
	}
	return true
}

// hasRules reports whether a name changes how the message or its connection is
// to be read.
func hasRules(name []byte) bool {
	const content = "content-"
	if len(name) > len(content) && is(name[:len(content)], content) {
		return true
	}
	for _, text := range [...]string{"transfer-encoding", "expect", "upgrade", "te", "trailer", "proxy-connection", "keep-alive", "http2-settings"} {
		if is(name, text) {
			return true
		}
	}
	return false
}

// plainLength is a body's length, or -1 for one that is not plain.
func plainLength(value []byte) int {
	if len(value) == 0 || len(value) > lengthBytes {
		return -1
	}
	n := 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	if n > smallBody {
		return -1
	}
	return n
}

func isToken(name []byte) bool {
	for _, c := range name {
		if letter := c | 0x20; (letter < 'a' || letter > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isText reports whether a value is of visible ASCII and spaces.
func isText(value []byte) bool {
	for _, c := range value {
		if (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

// isHost takes the names that clients of a socket make up.
func isHost(value []byte) bool {
	for _, c := range value {
		if letter := c | 0x20; (letter < 'a' || letter > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':' && c != '_' {
			return false
		}
	}
	return true
}
