package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/simulator"
)

var update = flag.Bool("update", false, "write golden files and docs/cli.md anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"outboxd": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/script with the real program. Each script has a
// simulator of its own at $SIM, and a configuration for it; "daemon" starts the
// daemon and waits until it accepts.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup:               setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"ready":  ready,
			"await":  await,
			"figure": figure,
		},
	})
}

const scriptConfig = `salesforce:
  login_url: %s
  auth: { flow: client_credentials, client_id: %s, client_secret_file: secret }
store: { path: %q, max_size: 64MiB }
socket: { path: %q, mode: "0600", group: "" }
dispatch:
  bulk: { max_wait: 50ms, poll: 10ms..100ms }
  rest: { late_window: 100ms }
  retry: { initial: 20ms, max: 200ms }
objects:
  Lead: { key_field: Outbox_Key__c }
`

func setupScript(env *testscript.Env) error {
	sim, url, err := startSimulator(simulator.Config{Seed: 1})
	if err != nil {
		return err
	}
	env.Defer(func() {
		if err := sim.Close(); err != nil {
			env.T().Log(err)
		}
	})
	config := fmt.Sprintf(scriptConfig, url, simulator.DefaultClientID, env.WorkDir+"/outbox.db", env.WorkDir+"/sock")
	env.Setenv("SIM", url)
	env.Setenv("OUTBOXD_CONFIG", env.WorkDir+"/outboxd.yaml")
	env.Setenv("OUTBOXD_SOCKET", env.WorkDir+"/sock")
	return errors.Join(
		os.Chmod(env.WorkDir, 0o700),
		os.WriteFile(env.WorkDir+"/outboxd.yaml", []byte(config), 0o600),
		os.WriteFile(env.WorkDir+"/secret", []byte(simulator.DefaultClientSecret), 0o600),
	)
}

// exits runs a command that must end with an exit code: exits 3 outboxd stuck --check.
// What it prints is left to "stdout" and "stderr".
func exits(ts *testscript.TestScript, neg bool, given []string) {
	if neg || len(given) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT...]")
	}
	want, err := strconv.Atoi(given[0])
	ts.Check(err)
	err = ts.Exec(given[1], given[2:]...)
	got := 0
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		got = ended.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", strings.Join(given[1:], " "), err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(given[1:], " "), got, want)
	}
}

const scriptPatience = 30 * time.Second

// ready waits until the daemon, started in the background, accepts.
func ready(ts *testscript.TestScript, neg bool, given []string) {
	c := client.New(ts.Getenv("OUTBOXD_SOCKET"))
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Health(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("the daemon does not accept: %v", err)
		}
	}
}

// await waits until an event is in a state, or is stuck for a reason: await hello-1 delivered.
func await(ts *testscript.TestScript, neg bool, given []string) {
	if neg || len(given) != 2 {
		ts.Fatalf("usage: await KEY STATE")
	}
	c := client.New(ts.Getenv("OUTBOXD_SOCKET"))
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	doc, err := c.Event(ctx, given[0], scriptPatience)
	ts.Check(err)
	if doc.State != given[1] && doc.Reason != given[1] {
		ts.Fatalf("%s is %s, want %s: %+v", given[0], doc.State, given[1], doc.LastError)
	}
}

// golden compares text with a file, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is behind; write it anew with -update\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}
