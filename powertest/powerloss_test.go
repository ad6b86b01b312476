package powertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/simulator"
	"github.com/outboxd/outboxd/store"
	"github.com/outboxd/outboxd/store/storetest"
)

var (
	images = flag.Int("images", 500, "folders of power cuts to open")
	seed   = flag.Uint64("images.seed", 0, "of chance; 0 takes one of its own")
)

// contents are what a folder shows once a store was opened in it.
type contents struct {
	Events map[string]string // state and Id by key
	Jobs   map[string]store.Phase
}

// openFolder goes the way of every start in the folder of a power cut, and fails
// unless the store is whole.
func openFolder(dir, _ string) (string, error) {
	ctx := context.Background()
	s, err := store.Open(filepath.Join(dir, "outbox.db"), store.Options{MaxSize: 16 << 20})
	if err != nil {
		return "", err
	}
	defer s.Close()
	violations, err := s.Check(ctx)
	if err != nil || len(violations) > 0 {
		return "", errors.Join(err, fmt.Errorf("check: %v", violations))
	}
	if f, err := s.Facts(ctx); err != nil || f.Restored {
		return "", errors.Join(err, errors.New("it counts as restored"))
	}
	c := contents{Events: map[string]string{}, Jobs: map[string]store.Phase{}}
	for f := (store.Filter{Limit: 1000}); ; {
		p, err := s.List(ctx, f)
		if err != nil {
			return "", err
		}
		for _, r := range p.Records {
			c.Events[r.Key] = r.State.String() + " " + r.ID
		}
		if f.Cursor = p.Next; f.Cursor == "" {
			break
		}
	}
	attempts, _, err := s.Attempts(ctx, 1000, "")
	for _, a := range attempts {
		c.Jobs[a.JobID] = a.Phase
	}
	b, jsonErr := json.Marshal(c)
	return string(b), errors.Join(err, jsonErr)
}

// broken lists the promises that were given before a moment and do not hold.
func (p *promises) broken(c *contents, at int) (list []string) {
	for key, when := range p.accepted {
		if when <= at && c.Events[key] == "" {
			list = append(list, key+" was accepted and is not there")
		}
	}
	for key, d := range p.delivered {
		if got := c.Events[key]; d.at <= at && got != "delivered "+d.id {
			list = append(list, fmt.Sprintf("%s was delivered as %s and is %q", key, d.id, got))
		}
	}
	for job, when := range p.closing {
		if got := c.Jobs[job]; when <= at && got < store.PhaseClosing {
			list = append(list, fmt.Sprintf("job %s was closed and is %s (T3 before N3)", job, got))
		}
	}
	return list
}

func TestPowerLoss_OfTheWholeFolder(t *testing.T) {
	child := storetest.NewChild(t, openFolder)
	needFUSE(t)
	for *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-images.seed %d", *seed)
	base := storetest.MemoryDir(t)
	backing, at := filepath.Join(base, "backing"), filepath.Join(base, "mounted")
	if err := errors.Join(os.Mkdir(backing, 0o700), os.Mkdir(at, 0o700)); err != nil {
		t.Fatal(err)
	}
	j := mount(t, backing, at)
	p := work(t, filepath.Join(at, "outbox.db"), j)
	changes := j.all()
	t.Logf("%d operations; promised: %d accepted, %d delivered, %d jobs closed", len(changes), len(p.accepted), len(p.delivered), len(p.closing))

	c := &cutter{child: child, promises: p, dir: filepath.Join(base, "image")}
	t.Run("every folder is whole", func(t *testing.T) {
		opened, found := c.cut(t, changes, *images)
		t.Logf("%d folders: %d not as promised", opened, len(found))
		for _, f := range found[:min(len(found), 10)] {
			t.Error(f)
		}
	})
	for _, x := range []struct {
		name string
		gone changeKind
	}{{"without the files' syncs", synced}, {"without the folder's syncs", folderSynced}} {
		t.Run(x.name, func(t *testing.T) {
			kept := slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.kind == x.gone })
			bare := &cutter{child: child, promises: p.after(changes, x.gone), dir: c.dir}
			if _, found := bare.cut(t, kept, 40); len(found) == 0 {
				t.Error("no folder was refused")
			}
		})
	}
}

func needFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		_ = f.Close()
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("FUSE is needed: %v", err)
	}
	t.Skipf("FUSE is needed: %v", err)
}

// after are the promises by the count of changes without those of a kind.
func (p *promises) after(changes []change, gone changeKind) *promises {
	left := make([]int, len(changes)+1)
	for i, c := range changes {
		left[i+1] = left[i]
		if c.kind != gone {
			left[i+1]++
		}
	}
	q := newPromises()
	for key, at := range p.accepted {
		q.accepted[key] = left[at]
	}
	for key, d := range p.delivered {
		q.delivered[key] = delivery{left[d.at], d.id}
	}
	for job, at := range p.closing {
		q.closing[job] = left[at]
	}
	return &q
}

type cutter struct {
	child *storetest.Child
	*promises
	dir string
}

// cut cuts the power at moments that are spread by chance; of each five one is
// before the first event was accepted, where these are spread evenly.
func (c *cutter) cut(t *testing.T, changes []change, n int) (opened int, found []string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(*seed, 1))
	first := len(changes)
	for _, at := range c.accepted {
		first = min(first, at)
	}
	moments := make([]int, n)
	for i := range moments {
		moments[i] = rng.IntN(len(changes) + 1)
		if i%5 == 0 {
			moments[i] = i * first / n
		}
	}
	slices.Sort(moments)
	d, done := newDisk(), 0
	for _, at := range moments {
		for ; done < at; done++ {
			d.do(changes[done])
		}
		if err := d.cut(c.dir, rng); err != nil {
			t.Fatal(err)
		}
		opened++
		for _, f := range c.open(at) {
			found = append(found, fmt.Sprintf("cut after %d of %d operations: %s", at, len(changes), f))
		}
	}
	return opened, found
}

// open says what does not hold in the folder as it is.
func (c *cutter) open(at int) []string {
	text, err := c.child.Check(c.dir, "")
	if err != nil {
		return []string{err.Error()}
	}
	var shown contents
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		return []string{err.Error()}
	}
	return c.broken(&shown, at)
}

// work lets a daemon make a store, take events and deliver them, back itself up,
// die twice and stop in order; the store is compacted between.
func work(t *testing.T, path string, j *journal) *promises {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: *seed})
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{journal: j, promises: newPromises()}
	org := httptest.NewServer(watchClosing(sim.Handler(), w.closed))
	t.Cleanup(org.Close)
	d := newDaemon(t, org.URL, path, w)
	for round := range 3 {
		d.start()
		d.putAll(round)
		switch round {
		case 0: // dies with work under way
			d.end(syscall.SIGKILL)
		case 1:
			if _, err := d.client.Backup(t.Context(), io.Discard); err != nil {
				t.Errorf("backup: %v", err)
			}
			d.until("something was delivered", func() bool { return d.deliveries() > 10 })
			d.end(syscall.SIGKILL)
			d.run("compact")
		default:
			d.until("drained", d.drained)
			d.end(syscall.SIGTERM)
		}
	}
	return &w.promises
}

// putAll puts the events of a round: creates that go by jobs and upserts that go
// by REST, some of which the org refuses.
func (d *daemon) putAll(round int) {
	d.t.Helper()
	for i := range 30 {
		key := fmt.Sprintf("event-%d-%02d", round, i)
		e := api.Event{Key: key, Object: "Lead", Operation: "create", Fields: map[string]any{"LastName": key, "Company": strings.Repeat("x", 200)}}
		switch i % 5 {
		case 3:
			e.Object, e.Operation, e.Fields = "Contact", "upsert", map[string]any{"LastName": key}
			e.ExternalID = &api.ExternalID{Field: "Shop_Id__c", Value: json.RawMessage(fmt.Sprintf("%q", fmt.Sprint(i)))}
		case 4:
			delete(e.Fields, "LastName")
		}
		if err := d.put(d.t.Context(), e); err != nil {
			d.t.Fatalf("put %s: %v", key, err)
		}
	}
}

// watchClosing tells of each job that is closed, before the org hears of it.
func watchClosing(next http.Handler, closed func(job string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/jobs/ingest/") {
			body, _ := io.ReadAll(r.Body) // what is lost of it, the org misses
			if bytes.Contains(body, []byte("UploadComplete")) {
				closed(filepath.Base(r.URL.Path))
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, r)
	})
}
