package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/outboxd/outboxd/bench/report"
)

var postgresPeer = peer{
	name: report.Postgres,
	event: "INSERT … ON CONFLICT DO NOTHING into a table with a sequence, a unique UUID and the bytes, as a transaction of its own, " +
		"with fsync and synchronous_commit on. A batch is one INSERT of unnested arrays.",
	start: func(ctx context.Context, folder string) (server, error) {
		p, err := startPostgres(ctx, folder)
		if err != nil {
			return nil, err
		}
		err = p.exec(ctx, `create table outbox (seq bigserial primary key, key uuid not null unique, event bytea not null)`)
		if err != nil {
			return nil, errors.Join(err, p.stop())
		}
		return p, nil
	},
}

type postgres struct{ *process }

func startPostgres(ctx context.Context, folder string) (postgres, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return postgres{}, err
	}
	as, err := postgresUser()
	if err != nil {
		return postgres{}, err
	}
	proc, err := newProcess()
	if err != nil {
		return postgres{}, err
	}
	p := postgres{proc}
	data := filepath.Join(folder, "data")
	if err := errors.Join(os.Mkdir(data, 0o700), as.own(data), as.own(p.sockets)); err != nil {
		p.remove()
		return p, err
	}
	create := as.command(filepath.Join(programs, "initdb"), "-D", data, "-A", "trust", "-U", "bench", "--no-locale", "-E", "UTF8")
	create.Dir = data
	if out, err := create.CombinedOutput(); err != nil {
		p.remove()
		return p, fmt.Errorf("initdb: %w: %s", err, out)
	}
	run := as.command(filepath.Join(programs, "postgres"), "-D", data, "-k", p.sockets, "-c", "listen_addresses=",
		"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB",
		"-c", "max_connections="+strconv.Itoa(maxConnections+20), "-c", "logging_collector=off")
	run.Dir = data
	return p, p.start(ctx, run, func(ctx context.Context) error { return p.exec(ctx, "select 1") })
}

// postgresPrograms is the folder of the newest version that is installed.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	newest, folder := 0, ""
	for _, program := range found {
		bin := filepath.Dir(program)
		if version, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))); version > newest {
			newest, folder = version, bin
		}
	}
	if folder != "" {
		return folder, nil
	}
	program, err := exec.LookPath("postgres")
	if err != nil {
		return "", errMissing
	}
	return filepath.Dir(program), nil
}

// account is another user than root, as whom PostgreSQL refuses to run; the
// zero value is ourselves.
type account struct{ credential *syscall.Credential }

func postgresUser() (account, error) {
	if os.Getuid() != 0 {
		return account{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL cannot run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, also := strconv.ParseUint(u.Gid, 10, 32)
	return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, errors.Join(err, also)
}

func (a account) own(path string) error {
	if a.credential == nil {
		return nil
	}
	return os.Chown(path, int(a.credential.Uid), int(a.credential.Gid))
}

func (a account) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
	return cmd
}

func (p postgres) version() string {
	_, version, _ := strings.Cut(programVersion(p.cmd.Path, "--version"), "(PostgreSQL) ")
	version, _, _ = strings.Cut(version, " ")
	return version
}

// stop is a fast shutdown: it ends sessions instead of waiting for them.
func (p postgres) stop() error { return p.process.stop(syscall.SIGINT) }

func (p postgres) address() string { return "host=" + p.sockets + " user=bench dbname=postgres" }

func (p postgres) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, p.address())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func (p postgres) stored(ctx context.Context) (int64, error) { return p.count(ctx, "outbox") }

func (p postgres) count(ctx context.Context, table string) (n int64, err error) {
	conn, err := pgx.Connect(ctx, p.address())
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, "select count(*) from "+table).Scan(&n)
	return n, errors.Join(err, conn.Close(ctx))
}

func (p postgres) connect(ctx context.Context, batch int) (connection, error) {
	conn, err := pgx.Connect(ctx, p.address())
	if err != nil {
		return nil, err
	}
	c := &pgConnection{conn: conn, events: newEvents(batch), keys: make([][16]byte, batch), texts: make([][]byte, batch)}
	for i := range c.texts {
		c.texts[i] = c.events.event(i)
	}
	return c, nil
}

// pgConnection sends statements that pgx prepares when they are first used.
type pgConnection struct {
	conn   *pgx.Conn
	events *events
	keys   [][16]byte
	texts  [][]byte
}

func (c *pgConnection) close() { _ = c.conn.Close(context.Background()) } // the server may be gone

func (c *pgConnection) put() error {
	c.events.renew()
	for i, k := range c.events.keys {
		c.keys[i] = k
	}
	ctx := context.Background() // one that can end costs a goroutine for each statement
	if len(c.keys) == 1 {
		tag, err := c.conn.Exec(ctx, `insert into outbox (key, event) values ($1, $2) on conflict do nothing`, c.keys[0], c.texts[0])
		return inserted(tag.RowsAffected(), 1, err)
	}
	tag, err := c.conn.Exec(ctx, `insert into outbox (key, event) select * from unnest($1::uuid[], $2::bytea[]) on conflict do nothing`, c.keys, c.texts)
	return inserted(tag.RowsAffected(), len(c.keys), err)
}

func inserted(rows int64, want int, err error) error {
	if err == nil && rows != int64(want) {
		err = fmt.Errorf("%d rows inserted of %d", rows, want)
	}
	return err
}
