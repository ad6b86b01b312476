package salesforce_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
)

// TestOrg_EveryCodeArrives has the simulator refuse a record with each code of
// the table, in collections, alone and in a job: the client reads the same
// code and text in all three.
func TestOrg_EveryCodeArrives(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	const message = "Some Field: a text, with: colons"
	one := json.RawMessage(`{"LastName":"A"}`)
	var refused []simulator.Fault
	for i, code := range salesforce.Codes() {
		refused = append(refused, simulator.Fault{
			Match: simulator.Match{Kind: "job.close", Nth: []int{i + 1}}, Do: "row_error", Code: code.Name, Message: message,
		})
		o.fault(t, simulator.Fault{Do: "row_error", Code: code.Name, Message: message})
		many, err := c.Create(ctx, "Contact", []salesforce.Row{{Fields: one}}, salesforce.Headers{})
		if err != nil || many[0].Success || many[0].Code != code.Name || many[0].Message != message {
			t.Errorf("%s in collections: %+v, %v", code.Name, many, err)
		}
		alone, err := c.CreateOne(ctx, "Contact", salesforce.Row{Fields: one}, salesforce.Headers{})
		if got := tellResult(alone, err); got.Code != code.Name || got.Message != message || got.Success {
			t.Errorf("%s alone: %+v", code.Name, got)
		}
	}
	o.fault(t, refused...)
	rows := make([]salesforce.Row, len(refused))
	for i := range rows {
		rows[i].Fields = one
	}
	_, r := runJob(t, c, salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpInsert}, rows)
	if len(r.failed) != len(refused) {
		t.Fatalf("%d rows failed, want %d", len(r.failed), len(refused))
	}
	seen := make(map[string]bool)
	for _, row := range r.failed {
		seen[row.Code] = true
		if row.Message != message {
			t.Errorf("%s in a job: %q", row.Code, row.Message)
		}
	}
	for _, code := range salesforce.Codes() {
		if !seen[code.Name] {
			t.Errorf("%s did not come out of the job", code.Name)
		}
	}
}

// TestOrg_CallsThatAreRefused has what only an org's set-up or state brings
// about.
func TestOrg_CallsThatAreRefused(t *testing.T) {
	ctx := context.Background()
	create := func(c *salesforce.Client) error {
		_, err := c.Create(ctx, "Contact", []salesforce.Row{{Fields: json.RawMessage(`{"LastName":"A"}`)}}, salesforce.Headers{})
		return err
	}
	hardDelete := func(c *salesforce.Client) error {
		_, err := c.CreateJob(ctx, salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpHardDelete})
		return err
	}
	second := func(c *salesforce.Client) error {
		job, err := c.CreateJob(ctx, salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpInsert})
		if err != nil {
			return err
		}
		return c.UploadJob(ctx, job.ID, []byte("LastName\nA\n"))
	}
	for _, tt := range []struct {
		name, kind    string
		status        int
		code, message string
		call          func(*salesforce.Client) error
		want          salesforce.Class
	}{
		{"a data call at a login host", "coll.create", 404, "URL_NOT_RESET", "Destination URL not reset.", create, salesforce.PauseOrg},
		{"read-only mode", "coll.create", 400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "Updates can't be made during maintenance", create, salesforce.PauseOrg},
		{"the API switched off", "coll.create", 403, "API_CURRENTLY_DISABLED", "API is currently disabled", create, salesforce.PauseOrg},
		{"full storage", "coll.create", 403, "STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", create, salesforce.PauseQuota},
		{"a hard delete without the permission", "job.create", 400, "FEATURENOTENABLED", "FeatureNotEnabled : hardDelete", hardDelete, salesforce.BadConfig},
		{"a second upload, where the org sees it at once", "job.upload", 400, "INVALIDJOB", "Found multipe contents for job", second, salesforce.BadConfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := startOrg(t, simulator.Config{})
			o.fault(t, simulator.Fault{Match: simulator.Match{Kind: tt.kind}, Do: "status", Status: tt.status, Code: tt.code, Message: tt.message})
			err := tt.call(o.client(t))
			if got := tellError(err); got.Code != tt.code || got.Message != tt.message || salesforce.ClassOf(err) != tt.want {
				t.Errorf("%+v, want %s, %v", got, tt.code, tt.want)
			}
			if n := len(o.Effects()); n != 0 {
				t.Errorf("%d effects", n)
			}
		})
	}
}
