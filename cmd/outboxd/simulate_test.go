package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outboxd/outboxd/internal/term"
	"github.com/outboxd/outboxd/simulator"
)

func TestSimulate_SaysItsURLFirstAndServesUntilTheEnd(t *testing.T) {
	read, write := io.Pipe()
	c := &cli{out: term.New(write)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- c.runSimulator(ctx, simulator.Config{}, "127.0.0.1:0") }()

	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(strings.TrimSpace(line) + "/_sim/calls")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("GET /_sim/calls: %s", res.Status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
