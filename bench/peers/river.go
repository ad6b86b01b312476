package main

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/outboxd/outboxd/bench/report"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

var riverPeer = peer{
	name: report.River,
	event: "client.Insert of a job whose arguments are the event, into the same PostgreSQL. No check for duplicates, which would cost it more. " +
		"A batch is one InsertManyFast.",
	start: startRiver,
}

// riverServer is a PostgreSQL with River's tables, and a client that only inserts.
type riverServer struct {
	postgres
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

func startRiver(ctx context.Context, folder string) (server, error) {
	p, err := startPostgres(ctx, folder)
	if err != nil {
		return nil, err
	}
	r := &riverServer{postgres: p}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func (r *riverServer) prepare(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(r.address())
	if err != nil {
		return err
	}
	config.MaxConns = maxConnections
	if r.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	driver := riverpgxv5.New(r.pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	r.client, err = river.NewClient(driver, &river.Config{})
	return err
}

func (r *riverServer) version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/riverqueue/river" {
			return m.Version + " on PostgreSQL " + r.postgres.version()
		}
	}
	return ""
}

func (r *riverServer) stored(ctx context.Context) (int64, error) { return r.count(ctx, "river_job") }

func (r *riverServer) stop() error {
	if r.pool != nil {
		r.pool.Close()
	}
	return r.postgres.stop()
}

// connect gives no connection of its own: River takes them from its pool, which
// has as many as there are callers at once.
func (r *riverServer) connect(_ context.Context, batch int) (connection, error) {
	return &riverConnection{client: r.client, events: newEvents(batch)}, nil
}

type riverConnection struct {
	client *river.Client[pgx.Tx]
	events *events
}

// riverArgs are a job's arguments: the text of an event as it is.
type riverArgs json.RawMessage

func (riverArgs) Kind() string { return "event" }

func (a riverArgs) MarshalJSON() ([]byte, error) { return a, nil }

func (c *riverConnection) put() error {
	c.events.renew()
	ctx := context.Background()
	if len(c.events.keys) == 1 {
		_, err := c.client.Insert(ctx, riverArgs(c.events.event(0)), nil)
		return err
	}
	jobs := make([]river.InsertManyParams, len(c.events.keys))
	for i := range jobs {
		jobs[i].Args = riverArgs(c.events.event(i))
	}
	n, err := c.client.InsertManyFast(ctx, jobs)
	return inserted(int64(n), len(jobs), err)
}

func (c *riverConnection) close() {}
