package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/outboxd/outboxd/bench/report"
	"github.com/outboxd/outboxd/internal/bench"
)

// delivered events have left free pages in the file, as in that of a daemon that
// has run for a while.
const delivered = 200_000

func outboxdPeer(program string) peer {
	return peer{
		name: report.Outboxd,
		event: "an upsert by POST /v1/events, answered with 201: parsed, validated, its key checked, put into its lane. " +
			"A batch is one request of NDJSON, and each event is answered by a line as its commit ends.",
		start: func(ctx context.Context, folder string) (server, error) { return startOutboxd(ctx, program, folder) },
	}
}

type outboxd struct {
	*process
	http http.Client
}

func startOutboxd(ctx context.Context, program, folder string) (server, error) {
	program, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%w; name the program with -outboxd", err)
	}
	p, err := newProcess()
	if err != nil {
		return nil, err
	}
	d := &outboxd{process: p}
	d.http.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", p.socket())
	}}
	path, config := filepath.Join(folder, "outbox.db"), filepath.Join(folder, "outboxd.yaml")
	if err := bench.Delivered(ctx, path, delivered, func(int) {}); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("store: {path: %q, max_size: 100GiB}\nsocket: {path: %q, mode: \"0600\", group: \"\"}\n",
		path, p.socket())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return d, p.start(ctx, exec.Command(program, "serve", "--config", config), func(ctx context.Context) error {
		_, err := d.stored(ctx)
		return err
	})
}

func (d *outboxd) version() string { return "" } // it is the checkout's

func (d *outboxd) stored(ctx context.Context) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://outboxd/v1/status", nil)
	if err != nil {
		return 0, err
	}
	res, err := d.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var status struct {
		Counts struct {
			Pending int64 `json:"pending"`
		} `json:"counts"`
	}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
		return 0, fmt.Errorf("status: %s: %w", res.Status, err)
	}
	return status.Counts.Pending, nil
}

func (d *outboxd) stop() error {
	d.http.CloseIdleConnections()
	return d.process.stop(syscall.SIGTERM)
}

func (d *outboxd) connect(_ context.Context, batch int) (connection, error) {
	conn, err := net.Dial("unix", d.socket())
	if err != nil {
		return nil, err
	}
	c := &httpConnection{conn: conn, answers: bufio.NewReaderSize(conn, 64<<10), events: newEvents(batch)}
	if batch == 1 {
		c.events.text = c.events.event(0) // without its newline
	}
	media := "application/json"
	if batch > 1 {
		media = "application/x-ndjson"
	}
	head := fmt.Appendf(nil, "POST /v1/events HTTP/1.1\r\nHost: outboxd\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", media, len(c.events.text))
	c.request = append(head, c.events.text...)
	c.events.text = c.request[len(head):] // where they are renewed
	return c, nil
}

// httpConnection speaks HTTP by hand, to take little of the time that the
// daemon could have.
type httpConnection struct {
	conn    net.Conn
	answers *bufio.Reader
	events  *events
	request []byte
	body    bytes.Buffer
}

func (c *httpConnection) close() { c.conn.Close() }

func (c *httpConnection) put() error {
	c.events.renew()
	if len(c.events.keys) > 1 {
		return writeAndRead(c.conn, c.request, c.results)
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return c.created()
}

// writeAndRead reads while it writes, as answers begin before the request has ended.
func writeAndRead(conn net.Conn, request []byte, read func() error) error {
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(request)
		wrote <- err
	}()
	err := read()
	if err != nil {
		conn.Close() // so that the writer ends
	}
	return errors.Join(err, <-wrote)
}

// created reads the answer to one event.
func (c *httpConnection) created() error {
	line, err := c.answers.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 201 ")) {
		return fmt.Errorf("an event was answered with %q", line)
	}
	length := -1
	for {
		if line, err = c.answers.ReadSlice('\n'); err != nil {
			return err
		}
		name, value, isHeader := bytes.Cut(line, []byte(":"))
		if !isHeader {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("an answer without a length")
	}
	_, err = c.answers.Discard(length)
	return err
}

// results reads the answer to NDJSON, a line for each event.
func (c *httpConnection) results() error {
	res, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	c.body.Reset()
	if _, err := io.Copy(&c.body, res.Body); err != nil {
		return err
	}
	body := c.body.Bytes()
	if created := bytes.Count(body, []byte(`"duplicate":false`)); res.StatusCode != http.StatusOK || created != len(c.events.keys) {
		return fmt.Errorf("of %d events %d were accepted: %s: %.300s", len(c.events.keys), created, res.Status, body)
	}
	return nil
}
