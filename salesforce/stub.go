package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

type Record = map[string]json.RawMessage
type Limit struct{ Max, Remaining int64 }
type Usage struct {
	Used, Max int64
	At        time.Time
}

var ErrMoreRows = errors.New("more rows than asked for")

func (s JobState) Terminal() bool                             { panic("stub") }
func ClassOfRecord(code, message string) Class                { panic("stub") }
func (c *Client) Login(ctx context.Context) (Identity, error) { panic("stub") }
func (c *Client) Probe(ctx context.Context) error             { panic("stub") }
func (c *Client) Usage() (Usage, bool)                        { panic("stub") }
func (c *Client) OnIdentity(func(Identity) error)             { panic("stub") }
func (c *Client) Create(ctx context.Context, object string, rows []Row, h Headers) ([]Result, error) {
	panic("stub")
}
func (c *Client) Update(ctx context.Context, object string, rows []Row, h Headers) ([]Result, error) {
	panic("stub")
}
func (c *Client) Upsert(ctx context.Context, object, field string, rows []Row, h Headers) ([]Result, error) {
	panic("stub")
}
func (c *Client) Delete(ctx context.Context, object string, ids []ID) ([]Result, error) {
	panic("stub")
}
func (c *Client) CreateOne(ctx context.Context, object string, row Row, h Headers) (Result, error) {
	panic("stub")
}
func (c *Client) UpdateOne(ctx context.Context, object string, row Row, h Headers) (Result, error) {
	panic("stub")
}
func (c *Client) UpsertOne(ctx context.Context, object, field string, row Row, h Headers) (Result, error) {
	panic("stub")
}
func (c *Client) DeleteOne(ctx context.Context, object string, id ID) (Result, error) { panic("stub") }
func (c *Client) Query(ctx context.Context, soql string, includeDeleted bool, maxRows int) ([]Record, error) {
	panic("stub")
}
func Quote(s string) string                                                    { panic("stub") }
func (c *Client) Describe(ctx context.Context, object string) (*Object, error) { panic("stub") }
func (o *Object) Field(name string) (*Field, bool)                             { panic("stub") }
func (c *Client) Limits(ctx context.Context) (map[string]Limit, error)         { panic("stub") }
func (c *Client) CreateJob(ctx context.Context, spec JobSpec) (Job, error)     { panic("stub") }
func (c *Client) UploadJob(ctx context.Context, id string, csv []byte) error   { panic("stub") }
func (c *Client) CloseJob(ctx context.Context, id string) (Job, error)         { panic("stub") }
func (c *Client) AbortJob(ctx context.Context, id string) (Job, error)         { panic("stub") }
func (c *Client) Job(ctx context.Context, id string) (Job, error)              { panic("stub") }
func (c *Client) DeleteJob(ctx context.Context, id string) error               { panic("stub") }
func (c *Client) SuccessfulResults(ctx context.Context, id string, max int, each func(header []string, r ResultRow) error) error {
	panic("stub")
}
func (c *Client) FailedResults(ctx context.Context, id string, max int, each func(header []string, r ResultRow) error) error {
	panic("stub")
}
func (c *Client) UnprocessedRecords(ctx context.Context, id string, max int, each func(header []string, r ResultRow) error) error {
	panic("stub")
}
