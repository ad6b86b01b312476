package server

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/event"
	"github.com/outboxd/outboxd/store"
)

// storeEvent is a valid event as the store keeps it.
func storeEvent(e *event.Event) (store.Event, error) {
	head, err := e.Head()
	if err != nil {
		return store.Event{}, err
	}
	route := store.Route{Object: e.Object, Operation: string(e.Operation), Match: e.Match != nil}
	if e.ExternalID != nil {
		route.ExternalID = e.ExternalID.Field
	}
	return store.Event{
		Key: e.Key, Digest: store.Digest(e.Digest()), Route: route,
		Lane: e.LaneKey(), After: waitsFor(e),
		NotBefore: e.NotBefore, ExpiresAt: e.ExpiresAt, Source: e.Source,
		Head: head, Payload: e.Fields,
	}, nil
}

// waitsFor is After and the keys that fields name by $id_of, each once.
func waitsFor(e *event.Event) []string {
	ids := e.IDsOf()
	if len(ids) == 0 {
		return e.After
	}
	all := slices.Clone(e.After)
	for _, key := range ids {
		if !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	return all
}

// acceptedEvent is the event of a record, put together again. With an error it
// lacks what could not be read.
func acceptedEvent(r *store.Record) (*event.Event, error) {
	e := &event.Event{
		Key: r.Key, Object: r.Route.Object, Operation: event.Operation(r.Route.Operation), Source: r.Source,
	}
	if len(r.Payload) > 0 {
		e.Fields = r.Payload
	}
	if len(r.Head) == 0 {
		return e, nil
	}
	return e, event.DecodeHead(r.Head, e)
}

// document shows a record, also one of which parts can't be read: it is the
// operator's way to find it. Payloads are left out unless the peer may read them.
func document(r *store.Record, mayRead bool) api.Document {
	e, _ := acceptedEvent(r)
	d := api.Document{
		Key: r.Key, Seq: uint64(r.Seq), State: r.State.String(), Object: e.Object, Operation: string(e.Operation),
		ID: e.ID, Lane: r.Lane, After: e.After, NotBefore: at(e.NotBefore), ExpiresAt: at(e.ExpiresAt),
		Source: e.Source, Meta: e.Meta, Attempts: r.Attempts,
		Reason: string(r.Reason), BlockedBy: r.BlockedBy,
		Via: via(r.Kind), AttemptID: string(r.AttemptID), JobID: r.JobID,
		AcceptedAt: at(r.AcceptedAt), SentAt: at(r.SentAt), HistoryCut: r.HistoryCut,
	}
	if x := e.ExternalID; x != nil {
		d.ExternalID = &api.ExternalID{Field: x.Field, Value: json.RawMessage(x.Value)}
	}
	if mayRead {
		d.Fields, d.Match = json.RawMessage(e.Fields), match(e.Match)
	} else if e.Match != nil && e.Lane == "" {
		d.Lane = "" // the default lane repeats the match
	}
	for _, w := range r.Warnings {
		d.Warnings = append(d.Warnings, api.Warning{Path: w.Path, Reason: w.Code, Detail: w.Detail})
	}
	standing(&d, r)
	for _, t := range r.History {
		d.History = append(d.History, transition(t, mayRead))
	}
	return d
}

// standing adds what belongs to the state that the event is in.
func standing(d *api.Document, r *store.Record) {
	if r.Reason != "" {
		d.Since = at(r.Since)
	}
	switch r.State {
	case store.Delivered:
		d.SalesforceID, d.Created = r.ID, &r.Created
	case store.Pending:
		d.NextAt = at(r.NextAt)
	case store.InDoubt:
		d.Doubt = &api.Doubt{SentAt: at(r.SentAt), Matches: r.Matches}
		if r.LastError != nil {
			d.Doubt.Code, d.Doubt.Message = r.LastError.Code, r.LastError.Message
		}
	}
	if r.State.Terminal() {
		d.EndedAt, d.Fields = at(r.EndedAt), nil
	}
	if e := r.LastError; e != nil {
		d.LastError = &api.LastError{
			Code: e.Code, Message: e.Message, Fields: e.Fields, At: at(e.At), AttemptID: string(e.AttemptID),
		}
	}
}

func transition(t store.Transition, mayRead bool) api.Transition {
	a := api.Transition{At: at(t.At), To: t.To.String(), AttemptID: string(t.AttemptID), Code: t.Code, By: t.By}
	if t.From != 0 {
		a.From = t.From.String()
	}
	if mayRead && len(t.Old) > 0 {
		a.Old = json.RawMessage(t.Old)
	}
	return a
}

// match writes a match as it was accepted.
func match(m *event.Match) json.RawMessage {
	if m == nil {
		return nil
	}
	name, list := "all", m.All
	if m.Any != nil {
		name, list = "any", m.Any
	}
	b := append([]byte(`{"`), name...)
	b = append(b, `":{`...)
	for i, c := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, c.Field)
		b = append(b, ':')
		b = append(b, c.Value...)
	}
	return append(b, `}}`...)
}

// via names the way that an event travelled; a query only looked for its record.
func via(k store.Kind) string {
	if k == store.KindQuery {
		return ""
	}
	return string(k)
}

func at(t time.Time) api.Time { return api.Time{Time: t} }

func attempt(a *store.Attempt) api.Attempt {
	return api.Attempt{
		ID: string(a.ID), Kind: string(a.Kind), Object: a.Route.Object, Operation: a.Route.Operation,
		ExternalID: a.Route.ExternalID, Phase: a.Phase.String(), JobID: a.JobID,
		Counts:    api.AttemptCounts{Claimed: a.Claimed, Succeeded: a.Succeeded, Failed: a.Failed, Unprocessed: a.Unprocessed},
		Starts:    a.Starts,
		StartedAt: at(a.StartedAt), EndedAt: at(a.EndedAt), Note: a.Note,
	}
}

func outcome(o *store.OutcomeEntry) api.Outcome {
	a := api.Outcome{
		Cursor: o.Cursor, Key: o.Key, Seq: uint64(o.Seq), State: o.State.String(),
		Object: o.Route.Object, Operation: o.Route.Operation, SalesforceID: o.ID,
		Via: via(o.Kind), JobID: o.JobID, Source: o.Source, At: at(o.At),
	}
	if o.State == store.Delivered {
		a.Created = &o.Created
	}
	if p := o.Problem; p != nil && o.State != store.Delivered {
		a.Code, a.Message, a.ErrorFields = p.Code, p.Message, p.Fields
	}
	return a
}
