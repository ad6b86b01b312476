package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/simulator"
)

// Org is how an org is used, and how slow it is.
type Org struct {
	Jobs       int           // at once
	JobRecords int           // most records of a job
	Poll       config.Range  // range of the waits between two looks at a job
	JobTime    time.Duration // that the org takes for each job; 0: as quick as it can
}

// simulated starts an org of memory in this process.
func (o Org) simulated() (*simulator.Simulator, string, error) {
	sim, err := simulator.New(simulator.Config{Seed: 1, JobDelay: o.JobTime})
	if err != nil {
		return nil, "", err
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		return nil, "", errors.Join(err, sim.Close())
	}
	return sim, url, nil
}

// configure makes the daemon's configuration beside its paths.
func (o Org) configure(folder, url string) (string, error) {
	secret := filepath.Join(folder, "secret")
	if err := os.WriteFile(secret, []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		return "", err
	}
	return fmt.Sprintf(`salesforce:
  login_url: %s
  auth: {flow: client_credentials, client_id: %s, client_secret_file: %q}
dispatch:
  bulk: {min_records: 1, max_records: %d, max_jobs: %d, poll: %s}
`, url, simulator.DefaultClientID, secret, o.JobRecords, o.Jobs, o.Poll), nil
}

// delivery is a daemon that delivers to an org of its own.
type delivery struct {
	*daemon
	sim *simulator.Simulator
}

// startDelivery starts both, the daemon paused.
func (b *Bench) startDelivery(ctx context.Context, o Org) (*delivery, error) {
	folder, err := b.fresh()
	if err != nil {
		return nil, err
	}
	sim, url, err := o.simulated()
	if err != nil {
		return nil, err
	}
	text, err := o.configure(folder, url)
	if err != nil {
		return nil, errors.Join(err, sim.Close())
	}
	d, err := startDaemon(ctx, folder, text)
	if err != nil {
		return nil, errors.Join(err, sim.Close())
	}
	v := &delivery{daemon: d, sim: sim}
	if _, err := d.client.Pause(ctx); err != nil {
		return nil, errors.Join(err, v.stop())
	}
	return v, nil
}

func (v *delivery) stop() error { return errors.Join(v.daemon.stop(), v.sim.Close()) }

// calls is how often the org was called, by kind.
func (v *delivery) calls() callCounts {
	c := v.sim.Calls()
	return callCounts{byKind: c.Calls, used: c.Used}
}

type callCounts struct {
	byKind map[string]int
	used   int64 // of the org's allowance
}

// Calls are the calls between two counts, by kind.
type Calls struct {
	PerThousandByKind map[string]float64 `json:"api_calls_per_1000_records_by_kind"`
	ByKind            map[string]int     `json:"calls"`
}

func (c callCounts) since(before callCounts, records int64) Calls {
	out := Calls{PerThousandByKind: map[string]float64{}, ByKind: map[string]int{}}
	for kind, n := range c.byKind {
		if n -= before.byKind[kind]; n > 0 {
			out.ByKind[kind] = n
			out.PerThousandByKind[kind] = ratio(float64(n)*1000, float64(records))
		}
	}
	return out
}
