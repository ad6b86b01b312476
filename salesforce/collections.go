package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// MaxRows is the most rows that one collections call takes.
const MaxRows = 200

// Create inserts up to MaxRows records of one object in one call. Result i belongs to row i. An error is of the whole
// call: ClassOf tells whether rows may have been written all the same. An insert has no protection against being
// sent twice but a unique field among its own.
func (c *Client) Create(ctx context.Context, object string, rows []Row, h Headers) ([]Result, error) {
	k := &call{name: "collections create " + object, kind: CallREST, method: http.MethodPost, path: "/composite/sobjects", write: true, header: h.values()}
	results, err := c.collection(ctx, k, object, rows, recordShape{object: object})
	for i := range results {
		results[i].Created = results[i].Success
	}
	return results, err
}

// Update changes the records that the rows' IDs name; otherwise as Create.
func (c *Client) Update(ctx context.Context, object string, rows []Row, h Headers) ([]Result, error) {
	k := &call{name: "collections update " + object, kind: CallREST, method: http.MethodPatch, path: "/composite/sobjects", write: true, header: h.values()}
	for _, row := range rows {
		if err := checkID(row.ID); err != nil {
			return nil, invalid(k.name, err.Error())
		}
	}
	return c.collection(ctx, k, object, rows, recordShape{object: object, id: true, named: "Id"})
}

// Upsert writes the records that the rows' External values name by field, and creates those that there are none of;
// otherwise as Create. No value may be named twice: the org would refuse each of its rows.
func (c *Client) Upsert(ctx context.Context, object, field string, rows []Row, h Headers) ([]Result, error) {
	k := &call{name: "collections upsert " + object, kind: CallREST, method: http.MethodPatch, path: "/composite/sobjects/" + object + "/" + field, write: true, header: h.values()}
	if !isName(field) {
		return nil, invalid(k.name, "not the name of a field")
	}
	return c.collection(ctx, k, object, rows, recordShape{object: object, field: field, named: field})
}

// Delete puts up to MaxRows records into the recycle bin; otherwise as Create.
func (c *Client) Delete(ctx context.Context, object string, ids []ID) ([]Result, error) {
	k := &call{name: "collections delete " + object, kind: CallREST, method: http.MethodDelete, write: true}
	if len(ids) == 0 || len(ids) > MaxRows {
		return nil, invalid(k.name, fmt.Sprintf("%d rows in a call that takes 1 to %d", len(ids), MaxRows))
	}
	list := make([]string, len(ids))
	for i, id := range ids {
		if err := checkID(id); err != nil {
			return nil, invalid(k.name, err.Error())
		}
		list[i] = string(id)
	}
	k.path = "/composite/sobjects?allOrNone=false&ids=" + strings.Join(list, ",")
	return c.items(ctx, k, len(ids))
}

func (c *Client) collection(ctx context.Context, k *call, object string, rows []Row, shape recordShape) ([]Result, error) {
	if !isName(object) {
		return nil, invalid(k.name, "not the name of an object")
	}
	if len(rows) == 0 || len(rows) > MaxRows {
		return nil, invalid(k.name, fmt.Sprintf("%d rows in a call that takes 1 to %d", len(rows), MaxRows))
	}
	shape.known, shape.parent = c.known(object), c.known
	var b bytes.Buffer
	b.WriteString(`{"allOrNone":false,"records":[`)
	for i, row := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeRecord(&b, row, shape); err != nil {
			return nil, invalid(k.name, err.Error())
		}
	}
	b.WriteString(`]}`)
	k.body = b.Bytes()
	return c.items(ctx, k, len(rows))
}

// item is one record's outcome on the wire.
type item struct {
	ID      string  `json:"id"`
	Success *bool   `json:"success"`
	Created bool    `json:"created"`
	Errors  []fault `json:"errors"`
}

func (it item) result(a *answer) Result {
	r := Result{Success: *it.Success}
	r.ID, _ = answeredID(it.ID)
	if r.Success {
		r.Created = it.Created
		return r
	}
	r.Code = CodeUnknown
	for i, f := range it.Errors {
		code, message, fields := a.shown(f)
		if i == 0 {
			r.Code, r.Message = code, message
		}
		r.Fields = append(r.Fields, fields...)
	}
	r.Fields = r.Fields[:min(len(r.Fields), maxFaultFields)]
	if r.Code == "" {
		r.Code = CodeUnknown
	}
	return r
}

// items makes the call and reads n outcomes. Their shape decides, not the status: a call that was refused as a whole answers
// with other objects, and items may come under a 400 as well. Not as many as were sent, or one without
// a verdict: nobody knows whose is whose.
func (c *Client) items(ctx context.Context, k *call, n int) ([]Result, error) {
	a, err := c.exchange(ctx, k)
	if err != nil {
		return nil, err
	}
	list, ok := decodeItems(a)
	if !ok {
		if _, own := a.faults(); own || a.status < 200 || a.status > 299 {
			return nil, k.fail(a)
		}
		return nil, k.malformed(a, "not a list of outcomes")
	}
	if len(list) != n {
		return nil, k.malformed(a, fmt.Sprintf("%d outcomes of %d records", len(list), n))
	}
	results := make([]Result, n)
	for i, it := range list {
		if it.Success == nil {
			return nil, k.malformed(a, "an outcome without a verdict")
		}
		results[i] = it.result(a)
	}
	return results, nil
}

func decodeItems(a *answer) ([]item, bool) {
	if !a.isJSON() || a.status != http.StatusOK && a.status != http.StatusCreated && a.status != http.StatusBadRequest {
		return nil, false
	}
	var list []item
	if err := json.Unmarshal(a.body, &list); err != nil {
		return nil, false
	}
	if len(list) > 0 && list[0].Success == nil {
		return nil, false
	}
	return list, true
}
