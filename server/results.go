package server

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

// The results of writes are put together by appending: they are the one answer
// of which there are a hundred thousand a second.

func appendText(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text) // fails only on what is not UTF-8, which no event is
	return b
}

// appendAccepted writes {key, seq, state, duplicate}.
func appendAccepted(b []byte, key string, r store.PutResult) []byte {
	b = append(b, `{"key":`...)
	b = appendText(b, key)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, uint64(r.Seq), 10)
	b = append(b, `,"state":"`...)
	b = append(b, r.State.String()...)
	b = append(b, `","duplicate":`...)
	b = strconv.AppendBool(b, r.Duplicate)
	return append(b, '}')
}

// appendProblem writes the problem of a line or element.
func appendProblem(b []byte, p *api.Problem) []byte {
	text, err := marshal(p)
	if err != nil {
		panic(err) // a struct of texts and numbers
	}
	return append(b, text[:len(text)-1]...)
}

// lineProblem is a problem with its place and key.
func lineProblem(p *api.Problem, line int, key string) *api.Problem {
	q := *p
	q.Line = line
	if q.Key == "" {
		q.Key = key
	}
	return &q
}

// format is how several results are joined.
type format struct{ open, between, close string }

var (
	asLines = format{between: "\n", close: "\n"}
	asArray = format{open: "[", between: ",\n", close: "]\n"}
)
