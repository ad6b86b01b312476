package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/outboxd/outboxd/bench/report"
)

// maxConnections is what every server is set up for.
const maxConnections = 256

// peer is a way to store events durably that is reached by a socket.
type peer struct {
	name  string
	event string // what one event is to it
	start func(ctx context.Context, folder string) (server, error)
}

// server is a peer that runs, on an empty store.
type server interface {
	version() string
	// connect makes a connection that sends batch events a request.
	connect(ctx context.Context, batch int) (connection, error)
	// stored is how many events it holds.
	stored(ctx context.Context) (int64, error)
	stop() error
}

// connection sends requests one after another.
type connection interface {
	// put sends new events and returns once all of them are acknowledged.
	put() error
	close()
}

// errMissing is of a server that is not installed.
var errMissing = errors.New("not installed")

// entry gathers the rounds of a peer.
type entry struct {
	peer
	found   report.Peer
	samples map[report.Load][]report.Sample
}

// compare goes through all peers in each round, so that what disturbs the
// machine for a while does not fall on one of them alone.
func compare(ctx context.Context, o options, progress io.Writer) (report.Report, error) {
	r := report.Report{At: time.Now().UTC(), CPUs: runtime.NumCPU(), EventBytes: eventBytes, Rounds: o.rounds, Seconds: o.length.Seconds()}
	entries := wanted(o)
	for round := range o.rounds {
		for _, e := range entries {
			if e.found.Missing != "" {
				continue
			}
			fmt.Fprintf(progress, "round %d of %d: %s\n", round+1, o.rounds, e.name)
			err := e.round(ctx, o)
			switch {
			case errors.Is(err, errMissing):
				e.found.Missing = err.Error()
				fmt.Fprintf(progress, "%s is left out: %v; bench/install installs it\n", e.name, err)
			case ctx.Err() != nil:
				return r, err
			case err != nil: // the rounds that went well are worth having
				e.found.Failures = append(e.found.Failures, fmt.Sprintf("round %d: %v", round+1, err))
				fmt.Fprintf(progress, "%s: %v\n", e.name, err)
			}
		}
	}
	var syncs []float64
	for _, e := range entries {
		for _, load := range o.loads {
			if len(e.samples[load]) == 0 {
				continue
			}
			result := report.Of(load, e.samples[load])
			e.found.Results = append(e.found.Results, result)
			syncs = append(syncs, result.SyncsPerSecond)
		}
		r.Peers = append(r.Peers, e.found)
	}
	r.SyncsPerSecond = report.Median(syncs...)
	return r, nil
}

func wanted(o options) []*entry {
	var entries []*entry
	for _, p := range []peer{rawPeer, outboxdPeer(o.outboxd), redisPeer, postgresPeer, riverPeer} {
		if !o.wants(p.name) {
			continue
		}
		entries = append(entries, &entry{
			peer: p, found: report.Peer{Name: p.name, Event: p.event},
			samples: map[report.Load][]report.Sample{},
		})
	}
	return entries
}

// round measures the disk, and then a new server under every load.
func (e *entry) round(ctx context.Context, o options) (err error) {
	folder, err := newFolder(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	syncs, err := syncRate(filepath.Join(folder, "syncs"), o.length/2)
	if err != nil {
		return err
	}
	s, err := e.start(ctx, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	e.found.Version = s.version()
	return e.underLoads(ctx, s, o, syncs)
}

// underLoads also counts afterwards: what a server acknowledges it must hold.
func (e *entry) underLoads(ctx context.Context, s server, o options, syncs float64) error {
	var acknowledged int64
	for _, load := range o.loads {
		sample, all, err := measure(ctx, s, load, o.length)
		if err != nil {
			return fmt.Errorf("%v: %w", load, err)
		}
		acknowledged += all
		sample.SyncsPerSecond = syncs
		e.samples[load] = append(e.samples[load], sample)
	}
	stored, err := s.stored(ctx)
	if err == nil && stored != acknowledged {
		err = fmt.Errorf("acknowledged %d events and holds %d", acknowledged, stored)
	}
	return err
}

// newFolder makes a folder that servers of another user may get into.
func newFolder(parent string) (string, error) {
	parent, err := filepath.Abs(parent)
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(parent, "outboxd-peers-")
	if err != nil {
		return "", err
	}
	return folder, os.Chmod(folder, 0o755)
}
