package dispatcher

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outboxd/outboxd/store"
)

// verifyEvery is how often events in doubt are looked for at the org.
const verifyEvery = time.Minute

// verify looks from time to time whether the org has the record of an event that
// is in doubt (P7). It can only be found, never be absent: an event is in doubt
// because its write was not protected by a unique field, and whether it carried
// its key at all is not known any more. So what is not found stays in doubt, for
// a person to resolve.
func (d *Dispatcher) verify(ctx context.Context) error {
	for sleep(ctx, verifyEvery) {
		if !d.breaker.allows(reading) {
			continue
		}
		for name, o := range d.config().Objects {
			if o.KeyField == "" {
				continue
			}
			if err := d.verifyObject(ctx, name, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifyObject looks for the creates of one object that are in doubt, a page at a time.
func (d *Dispatcher) verifyObject(ctx context.Context, name string, o ObjectConfig) error {
	filter := store.Filter{States: []store.State{store.InDoubt}, Operation: opCreate, Limit: keysOfQuery}
	for ctx.Err() == nil {
		page, err := durable(ctx, d, "list", func(ctx context.Context) (store.Page, error) { return d.outbox.List(ctx, filter) })
		if err != nil {
			return err
		}
		if err := d.verifyPage(ctx, name, o, page.Records); err != nil {
			return err
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			break
		}
	}
	return nil
}

func (d *Dispatcher) verifyPage(ctx context.Context, name string, o ObjectConfig, records []store.Record) error {
	seqs := make(map[string]store.Seq)
	var keys []string
	var object string
	for _, r := range records {
		if strings.EqualFold(r.Route.Object, name) {
			object = r.Route.Object
			seqs[r.Key] = r.Seq
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	schema, err := d.describe(ctx, object)
	if err != nil {
		return nil // the org's; the next round asks again
	}
	f, ok := schema.Field(o.KeyField)
	if !ok {
		return nil
	}
	b := &batch{judge: judge{route: store.Route{Object: object, Operation: opCreate}, keyField: f.Name}}
	found, err := d.findKeys(ctx, b, keys)
	if err != nil {
		d.log.Debug("events in doubt could not be looked for", "object", object, "err", err)
		return nil
	}
	for key, id := range found {
		seq, ok := seqs[key]
		if !ok {
			continue
		}
		err := d.durably(ctx, "verify", func(ctx context.Context) error {
			return d.outbox.Verify(ctx, d.term, seq, store.Resolution{Delivered: true, ID: string(id)})
		})
		if err != nil && !errors.Is(err, store.ErrTransition) && !errors.Is(err, store.ErrNotFound) {
			return err // moved by an operator meanwhile is none
		}
	}
	return nil
}
