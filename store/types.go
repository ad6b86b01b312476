package store

import (
	"errors"
	"fmt"
	"time"
)

// Seq is the order of acceptance. It grows and has holes; a difference of two
// is not a count.
type Seq uint64

// AttemptID names an attempt. The caller makes it before the first try, so
// that a repeated Claim is recognised.
type AttemptID string

// Digest is the fingerprint of an event as it was accepted; two events of one
// key with different digests are different events (P3).
type Digest [16]byte

// State is where an event stands.
type State uint8

// The states of the delivery protocol. Zero is no state.
const (
	Pending State = iota + 1
	Inflight
	Delivered
	Failed
	InDoubt
	Dropped
)

// States lists every state in the order in which answers show them.
var States = [...]State{Pending, Inflight, Delivered, Failed, InDoubt, Dropped}

var stateNames = [...]string{"", "pending", "inflight", "delivered", "failed", "in_doubt", "dropped"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// ParseState reads the name of a state; ok is false for any other text.
func ParseState(name string) (s State, ok bool) {
	for _, s := range States {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// Terminal reports whether nothing moves an event in this state any more.
func (s State) Terminal() bool { return s == Delivered || s == Dropped }

// Route says what may travel together: one object, one operation, one
// external id field. Match marks events whose record a query has to find
// first; they travel alone to the query and come back with another route.
type Route struct {
	Object     string
	Operation  string
	ExternalID string
	Match      bool
}

// Kind is the way an attempt travels.
type Kind string

// The ways of an attempt. A query attempt only reads at the org.
const (
	KindREST  Kind = "rest"
	KindBulk  Kind = "bulk"
	KindQuery Kind = "query"
)

// Phase is how far an attempt has come. Phases only move forward.
type Phase uint8

// The phases of a bulk job; a REST or query attempt knows the first and the
// last. From PhaseClosing on an attempt may have been processed by the org.
const (
	PhaseClaimed Phase = iota + 1
	PhaseOpen
	PhaseClosing
	PhaseProcessing
	PhaseDone
)

var phaseNames = [...]string{"", "claimed", "open", "closing", "processing", "done"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown"
}

// Event is what Put stores. Head and Payload are opaque: Head stays with the
// receipt for the dedup window, Payload is freed when the event is terminal.
// Their bytes are copied before Put returns.
type Event struct {
	Key       string
	Digest    Digest
	Route     Route
	Lane      string // ordering key in normal form; "" has none
	After     []string
	NotBefore time.Time // wall clock, zero: at once
	ExpiresAt time.Time // wall clock, zero: never
	Source    string
	Head      []byte
	Payload   []byte
}

// PutOptions says how a batch is stored. Atomic: all of its events or none.
type PutOptions struct{ Atomic bool }

// PutResult is the answer for one event: new, duplicate, or refused. Err is
// nil, ErrKeyReused, ErrFull, or ErrAborted for the good ones of an atomic batch
// that was refused for another's sake.
type PutResult struct {
	Seq       Seq
	State     State
	Duplicate bool
	Err       error
}

// Term is the right to dispatch, given by Hold. A later Hold fences it.
type Term struct{ gen uint64 }

// RouteStat says what could be claimed on one route. Counts are of the
// look-ahead, so they are exact for short queues and a lower bound for long ones.
type RouteStat struct {
	Route    Route
	Ready    int           // claimable now by REST or by a job
	RESTOnly int           // of these, what only REST may carry
	Bytes    int64         // of Ready, as stored
	Oldest   time.Duration // how long the oldest of Ready has been due
}

// ClaimSpec bounds a claim. MaxRecords and MaxBytes, of events as stored, must be
// positive; one event is handed out even if it alone is larger than MaxBytes.
type ClaimSpec struct {
	Route      Route
	Kind       Kind
	MaxRecords int
	MaxBytes   int64
	Note       string // kept with the attempt from its claim on
}

// Attempt is one REST request or one bulk job with the events it holds.
type Attempt struct {
	ID          AttemptID
	Kind        Kind
	Route       Route
	Phase       Phase
	JobID       string
	Starts      int // how many starts of the daemon found it unfinished
	Crashes     int // how many of these found that the holder before had not ended in order
	Claimed     int // events at the start
	Succeeded   int
	Failed      int
	Unprocessed int // went back to pending
	StartedAt   time.Time
	EndedAt     time.Time
	Note        string // why it was released or how the job ended; "" is usual
	Orgs        int    // Facts.Orgs at its claim
}

// Claimed is an event in the hands of an attempt.
type Claimed struct {
	Seq        Seq
	Key        string
	Source     string
	Head       []byte
	Payload    []byte
	Attempts   int           // charged before this one
	Age        time.Duration // since acceptance (or the operator's retry), pauses not counted
	Sent       bool          // an earlier attempt may have reached the org
	SentKey    string        // what made that sending recognisable, as Outcome.SentKey said
	FirstSent  time.Time     // Sent: since when the org may have seen it
	Stale      bool          // Sent: with a payload that an edit has replaced since
	OtherOrg   bool          // Sent: only to an org that the outbox belonged to before
	Restored   bool          // Sent only because the store came from a backup
	Target     string        // record Id that a query found, stored before the write
	FirstError *Problem      // last error so far, nil if none
}

// PhaseData travels with Advance. Empty members leave what is stored.
type PhaseData struct {
	JobID string
	Note  string
}

// Problem is an outcome's reason: a code, a text in the org's own words, and
// the fields it names.
type Problem struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Fields  []string `json:"fields,omitempty"`
}

// Warning is what was noted about an event before it was sent. It changes nothing.
type Warning struct {
	Path   string `json:"path"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Verdict is what became of one event of an attempt.
type Verdict uint8

// Verdicts of an Outcome.
const (
	Deliver Verdict = iota + 1 // → delivered
	Fail                       // → failed
	Doubt                      // → in_doubt
	Again                      // → pending, due after Delay
	Reroute                    // → pending on another route, with Target
)

// Outcome settles one event.
type Outcome struct {
	Seq     Seq
	Verdict Verdict
	ID      string   // Deliver: the record's Id, "" if unknown
	Created bool     // Deliver
	Problem *Problem // Fail, Doubt: required; Again: the last error, if any
	Skip    bool     // Fail, Doubt: its lane's followers do not wait (on_failure: skip)
	Matches []string // Doubt: Ids that may be it
	// Warnings are kept with the event, in the place of earlier ones.
	Warnings []Warning

	Delay    time.Duration // Again: backoff; 0 is due at once
	Charge   bool          // Again: counts as an attempt
	MaxBatch int           // Again, Reroute: largest batch it may travel in; 0 keeps the bound it had, -1 lifts it
	RESTOnly bool          // Again: a job can't carry it
	Sent     bool          // the org may have seen it; kept with the event, whatever the verdict
	SentKey  string        // with Sent: what makes that sending recognisable, as a field that carried the key
	OtherOrg bool          // with Sent: it was to another org only, as Claimed said

	// Hold keeps the followers of its lane back for this long, whatever
	// becomes of the event itself (late window). Any verdict.
	Hold time.Duration

	Route  Route  // Reroute
	Target string // Reroute: the record's Id; "" for a create
}

// Settlement ends events of an attempt; the attempt is done when none is left.
type Settlement struct {
	Outcomes []Outcome
	Note     string // kept with the attempt
}

// Move is an operator's act. ID makes a repeat recognisable; By names the user.
type Move struct {
	ID string
	By string
}

// Edit replaces an event's payload at Retry. Rev is the Record.Rev the new
// payload was made from; another one is ErrConflict. Old is kept in the history.
type Edit struct {
	Payload []byte
	Old     []byte
	Rev     uint64
}

// Resolution ends a doubt: delivered with an Id (may be ""), or not. Open leaves
// it in doubt, with Ids of records that may be it, for a person to look at.
type Resolution struct {
	Delivered bool
	ID        string
	Open      bool
	Matches   []string
}

// Reason says why an event is stuck.
type Reason string

// Reasons of stuck events.
const (
	ReasonFailed  Reason = "failed"
	ReasonInDoubt Reason = "in_doubt"
	ReasonBlocked Reason = "blocked"
	ReasonOverdue Reason = "overdue"
)

// Reasons lists them in the order in which answers show them.
var Reasons = [...]Reason{ReasonFailed, ReasonInDoubt, ReasonBlocked, ReasonOverdue}

// Record is all that is known of one event.
type Record struct {
	Seq        Seq
	Key        string
	Digest     Digest
	State      State
	Route      Route // as accepted
	Lane       string
	After      []string
	Source     string
	Head       []byte
	Payload    []byte // nil once terminal, or when not asked for
	Rev        uint64 // changes with each operator's move
	Attempts   int
	AcceptedAt time.Time
	SentAt     time.Time // start of the newest attempt; zero if never
	EndedAt    time.Time // terminal
	NextAt     time.Time // pending with a due time
	Kind       Kind      // of the newest attempt
	AttemptID  AttemptID
	JobID      string
	ID         string // delivered: the record's
	Created    bool
	FirstSent  time.Time // in doubt: since when the org may have seen it
	Stale      bool      // in doubt: the org may have seen a payload that an edit has replaced
	SentKey    string    // in doubt: what made the sending recognisable, as Outcome.SentKey said
	OtherOrg   bool      // its sending, and ID, were at an org that the outbox belonged to before
	LastError  *LastError
	Warnings   []Warning
	Matches    []string // in doubt
	Reason     Reason   // stuck, else ""
	Since      time.Time
	BlockedBy  string
	History    []Transition
	HistoryCut int // older transitions that were dropped from History
}

// LastError is the newest problem with its time and attempt.
type LastError struct {
	Problem
	At        time.Time `json:"at"`
	AttemptID AttemptID `json:"attempt_id,omitempty"`
}

// Transition is one line of an event's history.
type Transition struct {
	At        time.Time
	From, To  State // From 0: accepted
	AttemptID AttemptID
	Code      string
	By        string
	Old       []byte // replaced values of an edit
}

// Filter selects events. Zero members do not restrict.
type Filter struct {
	States    []State
	Reason    Reason // Stuck only
	Object    string
	Operation string
	Code      string
	Source    string
	OlderThan time.Duration // since acceptance
	Limit     int           // 1 to 1000; 0 means 100
	Cursor    string        // opaque, from Page.Next; ErrCursor if it is none
	Payload   bool          // with payloads and history
}

// Page is a part of a listing in order of Seq. Next is "" on the last one. A
// page may be short, even empty, while Next is set: its work is bounded.
type Page struct {
	Records []Record
	Next    string
}

// StuckGroup is a line of the summary of stuck events.
type StuckGroup struct {
	Reason  Reason
	Object  string
	Code    string
	Count   int64
	Oldest  time.Time
	Example string
}

// StuckPage is a page of stuck events; Total and Summary are of all that the
// filter matches, whatever the page.
type StuckPage struct {
	Page
	Total   int64
	Summary []StuckGroup
}

// OutcomeEntry is one line of the outcomes feed, in commit order.
type OutcomeEntry struct {
	Cursor  string // resumes after this entry
	Seq     Seq
	Key     string
	State   State
	Route   Route
	Source  string
	ID      string
	Created bool
	Kind    Kind
	JobID   string
	Problem *Problem
	At      time.Time
}

// Counts is a number for each state.
type Counts [len(stateNames)]int64

// Of returns the count of one state.
func (c Counts) Of(s State) int64 { return c[s] }

// Sum returns the count of all states.
func (c Counts) Sum() (n int64) {
	for _, v := range c {
		n += v
	}
	return n
}

// Status is a consistent picture of the whole outbox.
type Status struct {
	Counts        Counts
	Objects       map[string]Counts
	Accepted      int64
	Forgotten     int64
	Stuck         map[Reason]int64
	OldestPending time.Duration // 0 when nothing is pending
	Facts         Facts
	Bytes         int64 // length of the file
	FreeBytes     int64 // of these, reusable
	MaxBytes      int64
	Full          Fullness // why new events are refused; "" if they are not
	Disk          Disk
	Commits       int64 // since Open
	Syncs         int64 // of the file, since Open: two of each commit, one each time it grew
	Written       int64 // bytes of pages, since Open
	AsOf          time.Time
}

// Disk is the room beside the store; zero when it is opened read-only.
type Disk struct {
	FreeBytes    int64 // of its file system, as of some seconds ago
	BallastBytes int64 // kept for outcomes; 0 while it is given up
	NeedBytes    int64 // that must be free for new events
}

// Facts are small durable truths about the outbox.
type Facts struct {
	OrgID       string // recorded at the first login; "" before
	InstanceURL string
	Paused      bool // by the operator
	PausedBy    string
	PausedAt    time.Time
	OtherOrg    string // the org that a login met instead of OrgID; "" if none
	Restored    bool   // the store came from a backup; nothing is sent until accepted
	Orgs        int    // how many other orgs were accepted since the first
}

// Acceptance is what the operator confirms when resuming.
type Acceptance struct {
	Org     bool
	Restore bool
}

// Violation is a broken invariant that Check found.
type Violation struct {
	Invariant string // I1, I6, I7, or "layout"
	Detail    string
}

// Errors of the store. Put answers ErrKeyReused, ErrFull and ErrAborted for each event.
var (
	// ErrNotFound: no event with this key, or no attempt with this id.
	ErrNotFound = errors.New("not found")
	// ErrKeyReused: the key belongs to an event with another digest.
	ErrKeyReused = errors.New("key was used for another payload")
	// ErrTransition: the event's state does not allow the move.
	ErrTransition = errors.New("state does not allow it")
	// ErrSuperseded: a follower of the event's lane has been sent.
	ErrSuperseded = errors.New("superseded by a later event of its lane")
	// ErrConflict: the event changed since the edit was made.
	ErrConflict = errors.New("changed meanwhile")
	// ErrConfirmation: Resume needs an acceptance that was not given.
	ErrConfirmation = errors.New("resume needs a confirmation")
	// ErrFull: the outbox is at its size limit; nothing was stored.
	ErrFull = errors.New("outbox is full")
	// ErrDiskFull is an ErrFull: the disk has no room; nothing was stored.
	ErrDiskFull = fmt.Errorf("%w: no room on the disk", ErrFull)
	// ErrAborted: another event of the atomic batch was refused.
	ErrAborted = errors.New("batch refused")
	// ErrCursor: the cursor is not one that the store gave.
	ErrCursor = errors.New("not a cursor")
	// ErrCursorGone: the feed no longer reaches back to the cursor.
	ErrCursorGone = errors.New("cursor is older than the dedup window")
	// ErrFenced: the term is over; stop at once, send nothing more.
	ErrFenced = errors.New("term is over")
	// ErrUnknown: whether the commit took place is not known; repeat with the same arguments.
	ErrUnknown = errors.New("commit outcome unknown")
	// ErrUnavailable: nothing happened; try later.
	ErrUnavailable = errors.New("store unavailable")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrLocked: another process works this outbox.
	ErrLocked = errors.New("another process works this outbox")
	// ErrNewer: the file is of a newer format than this program knows.
	ErrNewer = errors.New("store is of a newer format")
)
