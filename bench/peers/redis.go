package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/outboxd/outboxd/bench/report"
)

var redisPeer = peer{
	name: report.Redis,
	event: "MULTI, SET key event NX, RPUSH queue key, EXEC, with appendfsync always: kept under its key if that is new, and queued; " +
		"a repeat is queued again. A batch is so many of these, pipelined.",
	start: startRedis,
}

// redisQueue is the list of keys.
const redisQueue = "outbox"

type redis struct{ *process }

func startRedis(ctx context.Context, folder string) (server, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errMissing
	}
	p, err := newProcess()
	if err != nil {
		return nil, err
	}
	r := redis{p}
	cmd := exec.Command(program, "--port", "0", "--unixsocket", p.socket(), "--dir", folder, "--daemonize", "no",
		"--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--save", "",
		"--loglevel", "warning")
	return r, p.start(ctx, cmd, func(ctx context.Context) error {
		_, err := r.stored(ctx)
		return err
	})
}

func (r redis) version() string {
	for word := range strings.FieldsSeq(programVersion(r.cmd.Path, "--version")) {
		if version, ok := strings.CutPrefix(word, "v="); ok {
			return version
		}
	}
	return ""
}

func (r redis) stop() error { return r.process.stop(syscall.SIGTERM) }

func (r redis) stored(context.Context) (int64, error) {
	c, err := r.dial()
	if err != nil {
		return 0, err
	}
	defer c.close()
	if _, err := c.conn.Write(appendCommand(nil, []byte("LLEN"), []byte(redisQueue))); err != nil {
		return 0, err
	}
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(line[1:])), 10, 64)
}

func (r redis) dial() (*redisConnection, error) {
	conn, err := net.Dial("unix", r.socket())
	if err != nil {
		return nil, err
	}
	return &redisConnection{conn: conn, answers: bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (r redis) connect(_ context.Context, batch int) (connection, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	c.events = newEvents(batch)
	return c, nil
}

// redisConnection speaks Redis's protocol by hand, as httpConnection does HTTP.
type redisConnection struct {
	conn    net.Conn
	answers *bufio.Reader
	events  *events
	request []byte
}

func (c *redisConnection) close() { c.conn.Close() }

func (c *redisConnection) put() error {
	c.events.renew()
	c.request = c.request[:0]
	for i := range c.events.keys {
		c.request = appendTransaction(c.request, c.events.keys[i][:], c.events.event(i))
	}
	if len(c.events.keys) > 1 {
		return writeAndRead(c.conn, c.request, c.acknowledged)
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return c.acknowledged()
}

// acknowledged reads what the transactions are answered with.
func (c *redisConnection) acknowledged() error {
	answers := [...]string{"+OK", "+QUEUED", "+QUEUED", "*2", "+OK", ":"} // and the queue's length
	for range c.events.keys {
		for _, want := range answers {
			line, err := c.line()
			if err != nil {
				return err
			}
			if !strings.HasPrefix(string(line), want) {
				return fmt.Errorf("answered %q instead of %q", line, want)
			}
		}
	}
	return nil
}

func (c *redisConnection) line() ([]byte, error) {
	line, err := c.answers.ReadSlice('\n')
	if err == nil && line[0] == '-' {
		err = fmt.Errorf("answered %q", line)
	}
	return line, err
}

func appendTransaction(b, key, event []byte) []byte {
	b = appendCommand(b, []byte("MULTI"))
	b = appendCommand(b, []byte("SET"), key, event, []byte("NX"))
	b = appendCommand(b, []byte("RPUSH"), []byte(redisQueue), key)
	return appendCommand(b, []byte("EXEC"))
}

// appendCommand writes a command as Redis reads it: how many words, and each
// word after its length.
func appendCommand(b []byte, words ...[]byte) []byte {
	b = append(strconv.AppendInt(append(b, '*'), int64(len(words)), 10), "\r\n"...)
	for _, word := range words {
		b = append(strconv.AppendInt(append(b, '$'), int64(len(word)), 10), "\r\n"...)
		b = append(append(b, word...), "\r\n"...)
	}
	return b
}
