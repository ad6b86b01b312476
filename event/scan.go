package event

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file walk over JSON that is known to be well formed:
// jsontext has checked grammar, UTF-8 and surrogates before. Positions are
// indexes into the same slice.

// skipSpace returns where the next token begins.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// skipString returns the end of the string whose opening quote is at i.
func skipString(b []byte, i int) int {
	for begin := i + 1; ; {
		i += 1 + bytes.IndexByte(b[i+1:], '"')
		escapes := 0
		for i-escapes > begin && b[i-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// skipScalar returns the end of the number or literal that begins at i.
func skipScalar(b []byte, i int) int {
	for i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']' {
		i++
	}
	return i
}

// skipValue returns the end of the value that begins at i.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
	default:
		return skipScalar(b, i)
	}
	for depth := 0; ; i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// skipComma returns where the next member or element begins, or the closing
// bracket is, behind a value that ends at i.
func skipComma(b []byte, i int) int {
	i = skipSpace(b, i)
	if b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

// memberAt returns the name of the member that begins at i, and where its value does.
func memberAt(b []byte, i int) (name []byte, value int) {
	end := skipString(b, i)
	return unquote(b[i:end]), skipColon(b, end)
}

// skipColon returns where the value of a member begins whose name ends at i.
func skipColon(b []byte, i int) int { return skipSpace(b, skipSpace(b, i)+1) }

// members yields the members of an object in their order: the name, unquoted,
// and the value without the space around it.
func members(object []byte) iter.Seq2[[]byte, jsontext.Value] {
	return func(yield func([]byte, jsontext.Value) bool) {
		i := skipSpace(object, 0)
		for i = skipSpace(object, i+1); object[i] != '}'; {
			name, at := memberAt(object, i)
			end := skipValue(object, at)
			if !yield(name, jsontext.Value(object[at:end:end])) {
				return
			}
			i = skipComma(object, end)
		}
	}
}

// elements yields the elements of an array.
func elements(array []byte) iter.Seq[jsontext.Value] {
	return func(yield func(jsontext.Value) bool) {
		for i := skipSpace(array, 1); array[i] != ']'; {
			end := skipValue(array, i)
			if !yield(jsontext.Value(array[i:end:end])) {
				return
			}
			i = skipComma(array, end)
		}
	}
}

// unquote returns the text of a JSON string; without escapes it shares memory with it.
func unquote(s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, s) // fails only on what jsontext refused before
	return text
}

// checkSyntax reports JSON that is not well formed, not UTF-8, or followed by
// something else. Doubled names are for the callers to find: they know more of them.
func checkSyntax(data []byte) *Error {
	if jsontext.Value(data).IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil
	}
	path, detail := syntaxProblem(data)
	return &Error{Code: CodeMalformed, Fields: []FieldError{{path, detail}}}
}
