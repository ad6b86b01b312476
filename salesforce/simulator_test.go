package salesforce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type org struct {
	*simulator.Simulator
	url string
}

func startOrg(t testing.TB, cfg simulator.Config) *org {
	t.Helper()
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return &org{sim, url}
}

func (o *org) client(t testing.TB, change ...func(*salesforce.Config)) *salesforce.Client {
	t.Helper()
	cfg := salesforce.Config{
		LoginURL: o.url,
		Auth: salesforce.Credentials{
			Flow:         salesforce.FlowClientCredentials,
			ClientID:     simulator.DefaultClientID,
			ClientSecret: simulator.DefaultClientSecret,
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := salesforce.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (o *org) fault(t testing.TB, faults ...simulator.Fault) {
	t.Helper()
	if err := o.SetFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

func upsertOf(key, lastName string) salesforce.Row {
	return salesforce.Row{
		External: json.RawMessage(strconv.Quote(key)),
		Fields:   json.RawMessage(fmt.Sprintf(`{"LastName":%q}`, lastName)),
	}
}

func TestOrg_LoginByEachFlow(t *testing.T) {
	key, public, err := simulator.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	o := startOrg(t, simulator.Config{PublicKey: public, Username: "ada@example.com", RotateTokens: true})
	var saved []string
	for name, auth := range map[string]salesforce.Credentials{
		salesforce.FlowJWT:               {ClientID: simulator.DefaultClientID, Username: "ada@example.com", PrivateKeyPEM: key},
		salesforce.FlowClientCredentials: {ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret},
		salesforce.FlowRefreshToken: {
			ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret, RefreshToken: simulator.DefaultRefreshToken,
			SaveRefreshToken: func(s string) error { saved = append(saved, s); return nil },
		},
	} {
		auth.Flow = name
		c := o.client(t, func(cfg *salesforce.Config) { cfg.Auth = auth })
		for range 2 {
			id, err := c.Login(context.Background())
			if err != nil || string(id.OrgID) != o.OrgID() || id.InstanceURL != o.url || id.APIVersion != salesforce.MaxAPIVersion {
				t.Fatalf("%s: Login() = %+v, %v", name, id, err)
			}
			o.ExpireTokens()
			if err := c.Probe(context.Background()); err != nil {
				t.Errorf("%s: Probe() = %v after the token expired", name, err)
			}
		}
	}
	if len(saved) < 2 || saved[0] == saved[1] {
		t.Errorf("saved refresh tokens: %d, want one for each login", len(saved))
	}
}

func TestOrg_LoginRefused(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c := o.client(t, func(cfg *salesforce.Config) { cfg.Auth.ClientSecret = "wrong" })
	_, err := c.Login(context.Background())
	e, ok := errors.AsType[*salesforce.AuthError](err)
	if !ok || e.Transient || e.Code != "invalid_client" || salesforce.ClassOf(err) != salesforce.Auth {
		t.Errorf("Login() = %#v", err)
	}
}

func TestOrg_AnotherOrgBehindTheLoginIsRefused(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c := o.client(t)
	pinned := salesforce.ID(o.OrgID())
	errOther := errors.New("another org")
	c.OnIdentity(func(id salesforce.Identity) error {
		if id.OrgID != pinned {
			return errOther
		}
		return nil
	})
	ctx := context.Background()
	if _, err := c.Upsert(ctx, "Contact", "Shop_Id__c", []salesforce.Row{upsertOf("1", "a")}, salesforce.Headers{}); err != nil {
		t.Fatal(err)
	}
	if err := o.SetOrgID("00D5e000000zzzzEAA"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Upsert(ctx, "Contact", "Shop_Id__c", []salesforce.Row{upsertOf("2", "b")}, salesforce.Headers{})
	if !errors.Is(err, errOther) || salesforce.ClassOf(err) != salesforce.Auth || len(o.Effects()) != 1 {
		t.Errorf("Upsert() = %v, %d effects, want a refusal, 1", err, len(o.Effects()))
	}
}

func TestOrg_CollectionsWriteAndReport(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	rows := []salesforce.Row{upsertOf("a/b%c", "Ada"), {External: json.RawMessage(`"2"`), Fields: json.RawMessage(`{"FirstName":"x"}`)}, upsertOf("3", strings.Repeat("x", 81))}
	got, err := c.Upsert(ctx, "Contact", "Shop_Id__c", rows, salesforce.Headers{})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, r := range got {
		codes = append(codes, r.Code)
	}
	if want := []string{"", "REQUIRED_FIELD_MISSING", "STRING_TOO_LONG"}; !slices.Equal(codes, want) || !got[0].Success || !got[0].Created {
		t.Errorf("Upsert() = %+v, want codes %q", got, want)
	}
	id := got[0].ID
	if again, err := c.Upsert(ctx, "Contact", "Shop_Id__c", rows[:1], salesforce.Headers{}); err != nil || again[0].ID != id || again[0].Created {
		t.Errorf("again: %+v, %v", again, err)
	}
	if upd, err := c.Update(ctx, "Contact", []salesforce.Row{{ID: id, Fields: json.RawMessage(`{"FirstName":"Ada","Email":null}`)}}, salesforce.Headers{}); err != nil || !upd[0].Success {
		t.Errorf("Update() = %+v, %v", upd, err)
	}
	created, err := c.Create(ctx, "Contact", []salesforce.Row{{Fields: json.RawMessage(`{"LastName":"B"}`)}}, salesforce.Headers{})
	if err != nil || !created[0].Success || !created[0].Created || created[0].ID == "" {
		t.Fatalf("Create() = %+v, %v", created, err)
	}
	deleted, err := c.Delete(ctx, "Contact", []salesforce.ID{id, created[0].ID})
	if err != nil || !deleted[0].Success || !deleted[1].Success {
		t.Errorf("Delete() = %+v, %v", deleted, err)
	}
	again, err := c.Delete(ctx, "Contact", []salesforce.ID{id})
	if err != nil || again[0].Success || again[0].Code != "ENTITY_IS_DELETED" {
		t.Errorf("Delete() again = %+v, %v", again, err)
	}

	soql := "SELECT Id, Shop_Id__c FROM Contact WHERE Shop_Id__c = " + salesforce.Quote("a/b%c")
	if rows, err := c.Query(ctx, soql, false, 10); err != nil || len(rows) != 0 {
		t.Errorf("Query() = %v, %v, want none", rows, err)
	}
	if rows, err := c.Query(ctx, soql, true, 10); err != nil || len(rows) != 1 || string(rows[0]["Id"]) != strconv.Quote(string(id)) {
		t.Errorf("Query(all) = %v, %v, want the deleted row", rows, err)
	}
}

func TestOrg_SingleRows(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	created, err := c.CreateOne(ctx, "Contact", salesforce.Row{Fields: json.RawMessage(`{"LastName":"A","Shop_Id__c":"k"}`)}, salesforce.Headers{})
	if err != nil || !created.Success || !created.Created {
		t.Fatalf("CreateOne() = %+v, %v", created, err)
	}
	if r, err := c.UpdateOne(ctx, "Contact", salesforce.Row{ID: created.ID, Fields: json.RawMessage(`{"LastName":"B"}`)}, salesforce.Headers{}); err != nil || !r.Success {
		t.Errorf("UpdateOne() = %+v, %v", r, err)
	}
	if r, err := c.UpsertOne(ctx, "Contact", "Shop_Id__c", upsertOf("K", "C"), salesforce.Headers{}); err != nil || !r.Success || r.Created || r.ID != created.ID {
		t.Errorf("UpsertOne() = %+v, %v", r, err)
	}
	if r, err := c.UpdateOne(ctx, "Contact", salesforce.Row{ID: created.ID, Fields: json.RawMessage(`{"Nope__c":1}`)}, salesforce.Headers{}); err != nil || r.Code != "INVALID_FIELD" || salesforce.ClassOfRecord(r.Code, r.Message) != salesforce.BadConfig {
		t.Errorf("UpdateOne(unknown field) = %+v, %v", r, err)
	}
	if r, err := c.DeleteOne(ctx, "Contact", created.ID); err != nil || !r.Success {
		t.Errorf("DeleteOne() = %+v, %v", r, err)
	}
	if r, err := c.DeleteOne(ctx, "Contact", created.ID); err != nil || r.Code != "ENTITY_IS_DELETED" {
		t.Errorf("DeleteOne() again = %+v, %v", r, err)
	}
}

func TestOrg_Describe(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	obj, err := c.Describe(ctx, "contact")
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := obj.Field("outbox_key__c"); !ok || !f.ExternalID || !f.Unique || !f.CaseSensitive || f.Length < 255 {
		t.Errorf("Outbox_Key__c = %+v, %t", f, ok)
	}
	if f, ok := obj.Relationship("Account"); !ok || f.Name != "AccountId" || f.Polymorphic() {
		t.Errorf("Account = %+v, %t", f, ok)
	}
	if _, err := c.Describe(ctx, "Nope__c"); !salesforce.IsNotFound(err) {
		t.Errorf("Describe(Nope__c) = %v, want not found", err)
	}
	if _, err := c.Describe(ctx, "Contact"); err != nil || o.Calls().Calls["describe"] != 2 {
		t.Errorf("%v, %d calls, want 2", err, o.Calls().Calls["describe"])
	}
}

func TestOrg_UsageComesWithEveryAnswer(t *testing.T) {
	o := startOrg(t, simulator.Config{APILimit: 15000})
	c, ctx := o.client(t), context.Background()
	for range 3 {
		if _, err := c.Limits(ctx); err != nil {
			t.Fatal(err)
		}
	}
	u, ok := c.Usage()
	if !ok || u.Max != 15000 || u.Used != o.Calls().Used {
		t.Errorf("Usage() = %+v, %t, want %+v", u, ok, o.Calls())
	}
}

// TestOrg_CallsAreCountedAsTheOrgDoes: by kind, and none too few.
func TestOrg_CallsAreCountedAsTheOrgDoes(t *testing.T) {
	o := startOrg(t, simulator.Config{BatchLimit: 100})
	c, ctx := o.client(t), context.Background()
	for range 2 {
		if _, err := c.Limits(ctx); err != nil {
			t.Fatal(err)
		}
	}
	o.ExpireTokens() // the call after it is sent twice
	job, _ := runJob(t, c, salesforce.JobSpec{Object: "Contact", Operation: "insert"}, []salesforce.Row{{Fields: []byte(`{"LastName":"A"}`)}})
	if job.State != salesforce.StateJobComplete {
		t.Fatal(job.State)
	}
	if _, err := c.Query(ctx, "SELECT Id FROM Contact", false, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(ctx, "Contact", []salesforce.Row{{Fields: []byte(`{"LastName":"B"}`)}}, salesforce.Headers{}); err != nil {
		t.Fatal(err)
	}
	want := make(map[salesforce.CallKind]int64)
	for kind, n := range o.Calls().Calls {
		k := map[string]salesforce.CallKind{"describe": salesforce.CallDescribe, "query": salesforce.CallQuery, "limits": salesforce.CallLimits, "coll.create": salesforce.CallREST}[kind]
		if strings.HasPrefix(kind, "job.") {
			k = salesforce.CallBulk
		}
		if k != "" {
			want[k] += int64(n)
		}
	}
	if got := c.Calls(); !maps.Equal(got, want) || len(got) != 5 {
		t.Errorf("counted %v, the org %v", got, want)
	}
	if u, ok := c.Batches(); !ok || u.Max != 100 || u.Used != 0 {
		t.Errorf("Batches() = %+v, %t before the job", u, ok)
	}
	if _, err := c.Limits(ctx); err != nil {
		t.Fatal(err)
	}
	if u, _ := c.Batches(); u.Used != 1 {
		t.Errorf("Batches() = %+v after a job", u)
	}
}

// runJob takes a table through a job's whole life and returns its results.
func runJob(t *testing.T, c *salesforce.Client, spec salesforce.JobSpec, rows []salesforce.Row) (salesforce.Job, results) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	obj, err := c.Describe(ctx, spec.Object)
	if err != nil {
		t.Fatal(err)
	}
	table, refused := salesforce.NewTable(spec, obj, rows)
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	job, err := c.CreateJob(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UploadJob(ctx, job.ID, table.CSV()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CloseJob(ctx, job.ID); err != nil {
		t.Fatal(err)
	}
	for wait := time.NewTicker(5 * time.Millisecond); !job.State.Terminal(); <-wait.C {
		if job, err = c.Job(ctx, job.ID); err != nil {
			t.Fatal(err)
		}
	}
	return job, resultsOf(t, ctx, c, job.ID, len(rows))
}

type results struct{ ok, failed, unprocessed []salesforce.ResultRow }

func resultsOf(t *testing.T, ctx context.Context, c *salesforce.Client, id string, limit int) results {
	t.Helper()
	var r results
	gather := func(into *[]salesforce.ResultRow) func([]string, salesforce.ResultRow) error {
		return func(_ []string, row salesforce.ResultRow) error {
			*into = append(*into, row)
			return nil
		}
	}
	if err := c.SuccessfulResults(ctx, id, limit, gather(&r.ok)); err != nil {
		t.Fatal(err)
	}
	if err := c.FailedResults(ctx, id, limit, gather(&r.failed)); err != nil {
		t.Fatal(err)
	}
	if err := c.UnprocessedRecords(ctx, id, limit, gather(&r.unprocessed)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOrg_JobsOfEachOperation(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c := o.client(t)
	text := "say \"x\", \n=1+1 é😀"
	quoted, _ := json.Marshal(text)
	insert := salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpInsert}
	job, r := runJob(t, c, insert, []salesforce.Row{
		{Fields: json.RawMessage(`{"LastName":"A","Shop_Id__c":"1","Description":` + string(quoted) + `}`)},
		{Fields: json.RawMessage(`{"FirstName":"nobody"}`)},
	})
	if job.State != salesforce.StateJobComplete || job.Processed != 2 || job.Failed != 1 || len(r.ok) != 1 || len(r.failed) != 1 || r.failed[0].Code != "REQUIRED_FIELD_MISSING" {
		t.Fatalf("insert: %+v, %+v", job, r)
	}
	if !r.ok[0].Created || !slices.Contains(r.ok[0].Cells, text) {
		t.Errorf("inserted %+v, want the text as it was sent", r.ok[0])
	}
	id := r.ok[0].ID

	upsert := salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpUpsert, ExternalIDField: "shop_id__c"}
	_, r = runJob(t, c, upsert, []salesforce.Row{upsertOf("1", "B"), upsertOf("2", "C")})
	if len(r.ok) != 2 || r.ok[0].Created == r.ok[1].Created {
		t.Errorf("upsert: %+v, want one created of two", r)
	}

	update := salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpUpdate}
	_, r = runJob(t, c, update, []salesforce.Row{{ID: id, Fields: json.RawMessage(`{"Description":"","FirstName":"Ada"}`)}})
	if len(r.ok) != 1 || r.ok[0].ID != id || r.ok[0].Created {
		t.Errorf("update: %+v", r)
	}
	row := o.Records("Contact")[0]
	if row["Description"] != nil || row["FirstName"] != "Ada" || row["LastName"] != "B" {
		t.Errorf("row = %v, want Description cleared, LastName left alone", row)
	}

	remove := salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpDelete}
	_, r = runJob(t, c, remove, []salesforce.Row{{ID: id}})
	if len(r.ok) != 1 || len(o.Records("Contact")) != 1 {
		t.Errorf("delete: %+v, %v", r, o.Records("Contact"))
	}
}

func TestOrg_JobNamesParents(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	account, err := c.CreateOne(ctx, "Account", salesforce.Row{Fields: json.RawMessage(`{"Name":"Acme","Shop_Id__c":"A-9"}`)}, salesforce.Headers{})
	if err != nil || !account.Success {
		t.Fatal(account, err)
	}
	insert := salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpInsert}
	_, r := runJob(t, c, insert, []salesforce.Row{
		{Fields: json.RawMessage(`{"LastName":"A","account":{"attributes":{"type":"Account"},"Shop_Id__c":"A-9"}}`)},
		{Fields: json.RawMessage(`{"LastName":"B","Account":{"Shop_Id__c":"A-10"}}`)},
	})
	if len(r.ok) != 1 || len(r.failed) != 1 || !salesforce.IsMissingParent(r.failed[0].Code, r.failed[0].Message) {
		t.Fatalf("results %+v", r)
	}
	if got := o.Records("Contact")[0]["AccountId"]; got != string(account.ID) {
		t.Errorf("AccountId = %v, want %v", got, account.ID)
	}
}

func TestOrg_JobThatIsRefusedAsAWhole(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	job, r := runJob(t, o.client(t), salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpInsert},
		[]salesforce.Row{{Fields: json.RawMessage(`{"LastName":"A","Nope__c":1}`)}})
	fault := job.Fault()
	if job.State != salesforce.StateFailed || !fault.Data || fault.Column != "Nope__c" || len(r.ok)+len(r.failed) != 0 {
		t.Errorf("job %+v, fault %+v, results %+v", job, fault, r)
	}
}

func TestOrg_JobStates(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	job, err := c.CreateJob(ctx, salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpInsert})
	if err != nil || job.State != salesforce.StateOpen {
		t.Fatalf("CreateJob() = %+v, %v", job, err)
	}
	if job, err := c.AbortJob(ctx, job.ID); err != nil || job.State != salesforce.StateAborted {
		t.Errorf("AbortJob() = %+v, %v", job, err)
	}
	_, err = c.CloseJob(ctx, job.ID)
	if e, ok := errors.AsType[*salesforce.APIError](err); !ok || e.Code != "INVALIDJOBSTATE" || e.Class != salesforce.Retry {
		t.Errorf("CloseJob() of an aborted job = %v", err)
	}
	if err := c.DeleteJob(ctx, job.ID); err != nil {
		t.Errorf("DeleteJob() = %v", err)
	}
	if _, err := c.Job(ctx, job.ID); !salesforce.IsNotFound(err) {
		t.Errorf("Job() after its deletion = %v", err)
	}
	_, err = c.CreateJob(ctx, salesforce.JobSpec{Object: "Nope__c", Operation: salesforce.OpInsert})
	if salesforce.ClassOf(err) != salesforce.BadConfig {
		t.Errorf("CreateJob(Nope__c) = %v, class %v", err, salesforce.ClassOf(err))
	}
}

func TestOrg_ResultsCutAreAnErrorEveryTime(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	var rows []salesforce.Row
	for i := range 50 {
		rows = append(rows, upsertOf(strconv.Itoa(i), "x"))
	}
	job, _ := runJob(t, c, salesforce.JobSpec{Object: "Contact", Operation: salesforce.OpUpsert, ExternalIDField: "Shop_Id__c"}, rows)
	for part := 0.0; part < 1; part += 0.05 {
		o.fault(t, simulator.Fault{Match: simulator.Match{Kind: "job.ok"}, Do: "cut", Part: part})
		err := c.SuccessfulResults(ctx, job.ID, 50, func([]string, salesforce.ResultRow) error { return nil })
		if salesforce.ClassOf(err) != salesforce.Retry {
			t.Errorf("cut at %.2f: %v, class %v, want retry", part, err, salesforce.ClassOf(err))
		}
	}
}

func TestOrg_ExpiryInTheMiddleOfManyCallsLogsInOnce(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	if _, err := c.Login(ctx); err != nil {
		t.Fatal(err)
	}
	const rounds, writers = 5, 10
	for round := range rounds {
		o.ExpireTokens()
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				key := fmt.Sprintf("%d-%d", round, w)
				if r, err := c.Upsert(ctx, "Contact", "Shop_Id__c", []salesforce.Row{upsertOf(key, "x")}, salesforce.Headers{}); err != nil || !r[0].Created {
					t.Errorf("Upsert(%s) = %+v, %v", key, r, err)
				}
			})
		}
		all.Wait()
	}
	if n := o.Calls().Calls["token"]; n != rounds+1 {
		t.Errorf("%d logins, want %d", n, rounds+1)
	}
	if n := len(o.Effects()); n != rounds*writers {
		t.Errorf("%d effects, want %d", n, rounds*writers)
	}
}

// The promise of the package, against the org's own count: when a write's error says that nothing was written,
// nothing was; and without an error the org did what the results say.
func TestOrg_ClassesTellTheTruth(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	o := startOrg(t, simulator.Config{Seed: seed})
	c, ctx := o.client(t), context.Background()
	faults := []simulator.Fault{
		{Do: "drop_before"},
		{Do: "drop_after"},
		{Do: "html", Status: 503},
		{Do: "html", Status: 200},
		{Do: "html", Status: 401},
		{Do: "html_after", Status: 200},
		{Do: "error_after", Status: 500, Code: "UNKNOWN_EXCEPTION"},
		{Do: "error_after", Status: 502},
		{Do: "status", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "down"},
		{Do: "status", Status: 429},
		{Do: "status", Status: 302},
		{Do: "status", Status: 406},
		{Do: "status", Status: 400, Message: "Bad Request"},
		{Do: "limit"},
		{Do: "expire_token"},
		{Do: "cut", Part: 0.3},
		{Do: "cut", Part: 0.99},
		{Do: "short", Part: 0.5},
	}
	tally := map[salesforce.Class]int{}
	for i := range 300 {
		f := faults[rng.IntN(len(faults))]
		f.Match = simulator.Match{Path: "/composite/", Nth: []int{1}, Probability: 1}
		if rng.IntN(6) == 0 {
			o.fault(t)
		} else {
			o.fault(t, f)
		}
		before := len(o.Effects())
		n := 1 + rng.IntN(5)
		var rows []salesforce.Row
		for j := range n {
			rows = append(rows, upsertOf(fmt.Sprintf("%d-%d", i, j), strings.Repeat("x", 78+rng.IntN(5))))
		}
		got, err := c.Upsert(ctx, "Contact", "Shop_Id__c", rows, salesforce.Headers{})
		after := len(o.Effects())
		if err != nil {
			class := salesforce.ClassOf(err)
			tally[class]++
			if class != salesforce.Ambiguous && after != before {
				t.Fatalf("call %d, fault %+v: %v says %v, but %d rows were written", i, f, err, class, after-before)
			}
			continue
		}
		written := 0
		for _, r := range got {
			if r.Success {
				written++
			}
		}
		if len(got) != n || after-before != written {
			t.Fatalf("call %d, fault %+v: %d of %d rows reported, %d written", i, f, written, n, after-before)
		}
	}
	if tally[salesforce.Ambiguous] == 0 || tally[salesforce.PauseOrg] == 0 || tally[salesforce.PauseQuota] == 0 {
		t.Errorf("classes met: %v, want ambiguous, pause_org and pause_quota among them", tally)
	}
}

func TestOrg_WriteThatOutlivesItsCallerIsAmbiguous(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c := o.client(t, func(cfg *salesforce.Config) { cfg.Timeout = 200 * time.Millisecond })
	ctx := context.Background()
	if _, err := c.Login(ctx); err != nil {
		t.Fatal(err)
	}
	o.fault(t, simulator.Fault{Match: simulator.Match{Kind: "coll.create", Nth: []int{1}}, Do: "delay_after", Delay: time.Minute})
	_, err := c.Create(ctx, "Contact", []salesforce.Row{{Fields: json.RawMessage(`{"LastName":"A"}`)}}, salesforce.Headers{})
	if salesforce.ClassOf(err) != salesforce.Ambiguous || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Create() = %v, class %v, want ambiguous, deadline exceeded", err, salesforce.ClassOf(err))
	}
}

func TestOrg_RowFaultsAreJudged(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	o.fault(t, simulator.Fault{Match: simulator.Match{Object: "Contact", Nth: []int{1}}, Do: "lock"})
	got, err := c.Upsert(ctx, "Contact", "Shop_Id__c", []salesforce.Row{upsertOf("1", "x")}, salesforce.Headers{})
	if err != nil || got[0].Success || salesforce.ClassOfRecord(got[0].Code, got[0].Message) != salesforce.Retry {
		t.Errorf("Upsert() = %+v, %v, want a lock", got, err)
	}
	o.fault(t)
	key := json.RawMessage(`{"LastName":"A","Outbox_Key__c":"k-1"}`)
	for _, want := range []string{"", "DUPLICATE_VALUE"} {
		got, err := c.Create(ctx, "Contact", []salesforce.Row{{Fields: key}}, salesforce.Headers{})
		if err != nil || got[0].Code != want {
			t.Fatalf("Create() = %+v, %v, want code %q", got, err, want)
		}
		if want == "" {
			continue
		}
		field, id, ok := salesforce.ParseDuplicate(got[0].Message)
		if !ok || field != "Outbox_Key__c" || string(id) != o.Records("Contact")[0]["Id"] {
			t.Errorf("ParseDuplicate(%q) = %s, %s, %t", got[0].Message, field, id, ok)
		}
	}
}

// The recorded results are also what the simulator's look like, heading by heading.
func TestOrg_ResultsLookAsRecorded(t *testing.T) {
	recorded, err := os.ReadFile(filepath.Join("testdata", "recorded", "successfulResults-v53.csv"))
	if err != nil {
		t.Fatal(err)
	}
	o := startOrg(t, simulator.Config{})
	c, ctx := o.client(t), context.Background()
	spec := salesforce.JobSpec{Object: "Account", Operation: salesforce.OpInsert}
	job, r := runJob(t, c, spec, []salesforce.Row{{Fields: json.RawMessage(`{"Name":"TestAccount1","Description":"Description of TestAccount1"}`)}})
	var header []string
	if err := c.SuccessfulResults(ctx, job.ID, 1, func(h []string, _ salesforce.ResultRow) error { header = h; return nil }); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(recorded), "\n")
	for _, name := range header {
		if !strings.Contains(first, name) {
			t.Errorf("heading %s is not in %s", name, first)
		}
	}
	if want := []string{"TestAccount1", "Description of TestAccount1"}; len(r.ok) != 1 || !cmp.Equal(r.ok[0].Cells, want) {
		t.Errorf("rows %+v, want cells %q", r.ok, want)
	}
}

// TestDescribe_SeesAChangeAndSparesTheRest: what did not change is not sent again (the
// same object comes back), and a new field is seen at the next question.
func TestDescribe_SeesAChangeAndSparesTheRest(t *testing.T) {
	o := startOrg(t, simulator.Config{Seed: 1})
	o.Advance(time.Minute) // the schema is older than its first description
	c, ctx := o.client(t), context.Background()
	first, err := c.Describe(ctx, "Contact")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again, err := c.DescribeWithin(ctx, "Contact", 0)
		if err != nil || again != first {
			t.Errorf("the same %t, %v, want the same after a 304", again == first, err)
		}
	}
	if err := o.SetSchema([]simulator.Object{{Name: "Contact", KeyPrefix: "003", Fields: []simulator.Field{{Name: "New__c", Type: "string"}}}}); err != nil {
		t.Fatal(err)
	}
	changed, err := c.DescribeWithin(ctx, "Contact", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := changed.Field("New__c"); !ok {
		t.Error("a new field is not seen")
	}
}
