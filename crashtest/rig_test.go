package crashtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	// The daemon runs as a process: this tells go test that its result depends on it.
	_ "github.com/outboxd/outboxd/app"
	"github.com/outboxd/outboxd/simulator"
)

// The programs are built once for all tests; faulty dies where it is told to.
var binary, faulty string

// patience bounds every wait of a test.
const patience = 2 * time.Minute

// TestMain runs many small daemons at a time: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "outboxd-crashtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, faulty = filepath.Join(dir, "outboxd"), filepath.Join(dir, "outboxd-faults")
	for _, args := range [][]string{{"-o", binary}, {"-tags", "faults", "-o", faulty}} {
		build := exec.Command("go", append(append([]string{"build"}, args...), "../cmd/outboxd")...)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the daemon:", err)
			return 1
		}
	}
	return m.Run()
}

// rig is an org and a daemon, each a process.
type rig struct {
	*process
	*org
	t testing.TB
}

// newRig starts the simulator and writes a configuration; dispatch is YAML below
// the key of that name.
func newRig(t *testing.T, dispatch string) *rig {
	t.Helper()
	o := at(t, simulate(t))
	return &rig{process: newProcess(t, binary, o.url, settings{objects: "{ Lead: { key_field: Outbox_Key__c } }", dispatch: dispatch}), org: o, t: t}
}

// simulate runs the simulator and returns its URL.
func simulate(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(binary, "simulate", "--listen", "127.0.0.1:0", "--seed", "7")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the simulator's first line: %v", err)
	}
	return strings.TrimSpace(line)
}

func (r *rig) faults(list ...map[string]any) {
	r.t.Helper()
	body, err := json.Marshal(list)
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(http.Post(r.url+"/_sim/faults", "application/json", bytes.NewReader(body)))(nil)
}

// effects are the oracle's lines after the first so many.
func (r *rig) effects(after int) (list []simulator.Effect) {
	r.t.Helper()
	res, err := http.Get(r.url + "/_sim/effects")
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); dec.More(); {
		var e simulator.Effect
		if err := dec.Decode(&e); err != nil {
			r.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list[after:]
}
