package term

import (
	"strings"
	"unicode/utf8"
)

// Clean returns text that is safe to print on a line: every control character
// (C0, DEL, C1), line and paragraph separator, and character that changes the
// writing direction becomes U+FFFD, and so does a byte that is not UTF-8.
func Clean(text string) string {
	if isClean(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unsafeRune(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
}

func isClean(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || unsafeRune(r) {
			return false
		}
	}
	return true
}

func unsafeRune(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f: // C0, DEL, C1
		return true
	case r == 0x61c, r == 0x200e, r == 0x200f: // direction marks
		return true
	case r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // separators, embeddings, overrides, isolates
		return true
	case r == 0xfeff, r >= 0xe0000 && r <= 0xe007f: // invisible: byte order mark, tags
		return true
	}
	return false
}
