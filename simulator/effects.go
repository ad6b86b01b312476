package simulator

import "time"

// Effect is one write that changed the org.
type Effect struct {
	N          int            `json:"n"` // from 1
	Object     string         `json:"object"`
	Operation  string         `json:"operation"` // what happened: create, update or delete
	ID         string         `json:"id"`
	ExternalID *ExternalID    `json:"external_id,omitempty"` // by which an upsert named the row
	Fields     map[string]any `json:"fields,omitempty"`      // as written; null is nil
	Via        string         `json:"via"`                   // rest, collections or bulk
	Job        string         `json:"job,omitempty"`
	At         time.Time      `json:"at"`
}

// ExternalID names a row by a field's value.
type ExternalID struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// effect is an Effect in little memory.
type effect struct {
	object    string
	operation string
	id        string
	key       *field
	keyValue  string
	set       []assignment
	via       string
	job       string
	at        time.Time
}

// effectsFrom returns at most a page of effects, without the first n.
func (o *org) effectsFrom(n int) []Effect {
	o.turn.RLock()
	defer o.turn.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	rest := o.effects[min(n, len(o.effects)):]
	page := make([]Effect, min(len(rest), pageSize))
	for i := range page {
		page[i] = rest[i].public(n + i + 1)
	}
	return page
}

func (e *effect) public(n int) Effect {
	out := Effect{N: n, Object: e.object, Operation: e.operation, ID: e.id, Via: e.via, Job: e.job, At: e.at}
	if e.key != nil {
		out.ExternalID = &ExternalID{e.key.Name, e.keyValue}
	}
	if len(e.set) > 0 {
		out.Fields = make(map[string]any, len(e.set))
		for _, a := range e.set {
			out.Fields[a.field.Name] = a.field.public(a.value)
		}
	}
	return out
}
