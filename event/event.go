package event

import (
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of one event.
const (
	MaxSize  = 1 << 20 // bytes of its JSON
	MaxDepth = 64      // of nested objects and arrays, the event itself counted
	MaxKey   = 255     // bytes of a key
	MaxLane  = 255     // bytes of a lane, named or derived
	MaxAfter = 100     // keys in After, and keys named by $id_of
	MaxMeta  = 64      // members of Meta

	maxSource = 255
)

// Operation is what happens to the record.
type Operation string

// The operations there are.
const (
	Create     Operation = "create"
	Update     Operation = "update"
	Upsert     Operation = "upsert"
	Delete     Operation = "delete"
	HardDelete Operation = "hard_delete"
)

// Deletes says whether the operation takes the record away, and so carries no fields.
func (o Operation) Deletes() bool { return o == Delete || o == HardDelete }

// Event is one write that an app asks for. The raw JSON in it must be well
// formed and must not be changed in place: put a new value there instead.
type Event struct {
	// Key is the idempotency key. Decode leaves it empty where the event names none.
	Key string
	// Object is the API name, in the letter case that the app used.
	Object    string
	Operation Operation

	// ExternalID, ID and Match name the record; exactly one is set, none for a create.
	ExternalID *ExternalID
	// ID is the record Id: as accepted after Decode, its 18 characters after Validate.
	ID    string
	Match *Match

	// Fields is a JSON object, byte for byte as it was accepted; nil if absent.
	Fields jsontext.Value
	// Lane is the ordering key that the app named, as it named it, or "".
	// See LaneKey for the one in force.
	Lane string
	// After holds the keys that must be delivered before this event is sent;
	// those named by $id_of come on top (IDsOf).
	After []string
	// NotBefore and ExpiresAt follow the wall clock; zero if absent.
	NotBefore, ExpiresAt time.Time
	// Source is the app's name, or "".
	Source string
	// Meta is kept and shown, never sent.
	Meta map[string]string

	acceptedID string     // ID in the form in which it was accepted, for the digest
	facts      fieldFacts // of Fields as Decode read them
}

// ExternalID names a record by the value of a field that is unique at the org.
type ExternalID struct {
	Field string
	Value jsontext.Value // a JSON string or number, as accepted
}

// Match names a record by a query: one of All and Any is set.
type Match struct {
	All, Any []Condition
}

// Condition is met by records whose field has the value.
type Condition struct {
	Field string
	Value jsontext.Value // a JSON string, number or boolean, as accepted
}

// Codes of an Error.
const (
	CodeMalformed = "malformed"     // not JSON, not UTF-8, empty or cut
	CodeInvalid   = "invalid_event" // JSON, but not an event
	CodeTooLarge  = "too_large"     // longer than MaxSize
)

// Error is everything that is known to be wrong with an event. Its text holds
// names of members, never their values.
type Error struct {
	Code   string
	Key    string // of the event, where it could be read
	Fields []FieldError
}

// FieldError is one mistake.
type FieldError struct {
	Path   string // such as "external_id.value" or "fields.Account.Shop_Id__c"; "" is the whole event
	Detail string
}

// Error lists the mistakes in the order of their places.
func (e *Error) Error() string {
	var b strings.Builder
	for i, f := range e.Fields {
		if i > 0 {
			b.WriteString("; ")
		}
		if f.Path != "" {
			b.WriteString(f.Path)
			b.WriteString(": ")
		}
		b.WriteString(f.Detail)
	}
	return b.String()
}

// maxProblems bounds the mistakes that one Error lists.
const maxProblems = 100

// problems gathers mistakes. Members in settled have had theirs told already.
type problems struct {
	list    []FieldError
	settled []string
}

func (p *problems) add(path, detail string) {
	if len(p.list) < maxProblems && !slices.Contains(p.settled, root(path)) {
		p.list = append(p.list, FieldError{path, detail})
	}
}

// settle keeps add from saying more about the members that have a problem by
// now. Those that name the record stand for each other.
func (p *problems) settle(more ...string) {
	for _, f := range p.list {
		more = append(more, root(f.Path))
	}
	naming := []string{"external_id", "id", "match"}
	if slices.ContainsFunc(more, func(member string) bool { return slices.Contains(naming, member) }) {
		more = append(more, naming...)
	}
	p.settled = more
}

// root is the event's member that a path begins with.
func root(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

// err is nil where nothing was found.
func (p *problems) err(key string) error {
	if len(p.list) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Key: key, Fields: p.list}
}
