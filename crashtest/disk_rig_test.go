package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/simulator"
)

// volume is a daemon whose store is in a folder of its own, on a disk that fails
// or is full, and apps that write to it until each of their events is accepted.
type volume struct {
	*process
	t       testing.TB
	sim     *simulator.Simulator
	refused atomic.Int64 // answers 507
	exits   int          // how often the daemon ended by itself
	last    int          // its exit code then
	apps    sync.WaitGroup
	mu      sync.Mutex
	acked   map[string]bool
}

const volumeDispatch = "{ bulk: { min_records: 20, max_wait: 20ms, poll: 10ms..50ms }, rest: { late_window: 300ms }, retry: { initial: 20ms, max: 100ms } }"

// newVolume puts the store into a folder; "" is the daemon's own.
func newVolume(t testing.TB, folder string) *volume {
	t.Helper()
	sim, o := simulated(t, simulator.Config{})
	set := settings{objects: "{}", dispatch: volumeDispatch, maxSize: "64MiB", folder: folder}
	return &volume{process: newProcess(t, binary, o.url, set), t: t, sim: sim, acked: map[string]bool{}}
}

// write runs apps: each puts its events one after the other, and repeats what was
// not answered, or refused for want of room, until it is accepted or ctx ends. It
// fails if that takes too long.
func (v *volume) write(ctx context.Context, name string, apps, events, payload int) {
	deadline := time.Now().Add(patience)
	for app := range apps {
		v.apps.Go(func() {
			for i := range events {
				key := fmt.Sprintf("%s-%d-%03d", name, app, i)
				for !v.put(ctx, key, fmt.Sprint(name, app), payload) {
					if time.Now().After(deadline) {
						v.t.Errorf("%s is not accepted within %v", key, patience)
						return
					}
					if ctx.Err() != nil {
						return
					}
					time.Sleep(20 * time.Millisecond) // an app's pause, not a wait for something
				}
			}
		})
	}
}

// put reports whether one event was accepted.
func (v *volume) put(ctx context.Context, key, record string, payload int) bool {
	e := contact("upsert", key, map[string]any{"external_id": map[string]any{"field": "Shop_Id__c", "value": record}})
	e["fields"].(map[string]any)[marker("Contact")] = key + " " + strings.Repeat("x", payload)
	body, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = v.client.PutEvent(ctx, body, "")
	if problem := (*client.Problem)(nil); errors.As(err, &problem) && problem.Status == 507 {
		v.refused.Add(1)
	}
	if err == nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.acked[key] = true
	}
	return err == nil
}

// accepted is how many events were.
func (v *volume) accepted() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.acked)
}

// supervise starts the daemon again, as systemd does, whenever it has ended by
// itself, until done; it may not end more often than systemd would let it.
func (v *volume) supervise(done func() bool) {
	v.t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(20 * time.Millisecond); !done(); <-tick.C {
		if time.Now().After(deadline) {
			out, _, _ := v.run(nil, "status", "--json")
			v.t.Fatalf("not done within %v; %d accepted, %d exits; status: %s", patience, v.accepted(), v.exits, out)
		}
		if v.alive() {
			continue
		}
		v.ended()
		if v.exits > 4 {
			v.t.Fatalf("the daemon goes in circles: it ended %d times", v.exits)
		}
		v.launch(nil)
	}
}

// ended waits for an exit, which must not be a success, and notes it.
func (v *volume) ended() {
	v.t.Helper()
	select {
	case <-v.exited:
	case <-time.After(patience):
		out, _, _ := v.run(nil, "status", "--json")
		v.t.Fatalf("the daemon has not ended within %v; %d accepted; status: %s", patience, v.accepted(), out)
	}
	v.exits++
	if v.last = v.cmd.ProcessState.ExitCode(); v.last == 0 {
		v.t.Error("the daemon ended with exit code 0")
	}
}

// idle reports whether the daemon answers and nothing is under way.
func (v *volume) idle() bool {
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Second)
	defer cancel()
	s, err := v.client.Status(ctx)
	return err == nil && s.Counts.Pending+s.Counts.Inflight == 0
}

// verify waits until everything is delivered and compares: what was accepted with
// what the store knows, and both with what the org saw.
func (v *volume) verify() {
	v.t.Helper()
	v.apps.Wait()
	v.supervise(v.idle)
	known := v.documents()
	for key := range v.acked {
		if d, ok := known[key]; !ok || d.State != "delivered" {
			v.t.Errorf("%s was accepted and is %q", key, d.State)
		}
	}
	count, newest := map[string]int{}, map[string]string{}
	for _, e := range v.sim.Effects() {
		key, _, _ := strings.Cut(e.Fields[marker("Contact")].(string), " ")
		record := e.ID
		if count[key]++; count[key] > 1 && newest[record] != key {
			v.t.Errorf("%s took effect %d times, and over a later one", key, count[key])
		}
		if key < newest[record] {
			v.t.Errorf("%s took effect after %s", key, newest[record])
		}
		newest[record] = key
	}
	for key, d := range known {
		if d.State == "delivered" && count[key] == 0 {
			v.t.Errorf("%s is delivered and had no effect", key)
		}
	}
	v.check()
}

// needs skips a test where a program is missing; in CI it has to be there.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			unavailable(t, name)
		}
	}
}

// unavailable ends a test that can't be made here; in CI that is a failure.
func unavailable(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}

// tmpfs mounts a file system of so many bytes in memory.
func tmpfs(t testing.TB, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("outboxd-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size))
	if errors.Is(err, unix.EPERM) {
		unavailable(t, "the right to mount file systems")
	}
	if err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// shell runs a command that has to succeed.
func shell(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// fsck repairs a file system; it exits 1 when there was something to repair.
func fsck(t testing.TB, image string) {
	t.Helper()
	out, err := exec.Command("e2fsck", "-f", "-y", image).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) {
		t.Fatalf("e2fsck: %v: %s", err, out)
	}
}

// ext4 mounts a file system of so many bytes from a file below dir.
func ext4(t testing.TB, dir string, size int64) (mounted, image string) {
	t.Helper()
	needs(t, "mkfs.ext4", "mount", "umount", "e2fsck")
	mounted, image = t.TempDir(), filepath.Join(dir, "image")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	shell(t, "mkfs.ext4", "-q", "-m", "0", image)
	if _, err := os.Stat("/dev/loop-control"); err != nil || os.Geteuid() != 0 {
		unavailable(t, "the right to mount a file")
	}
	shell(t, "mount", "-o", "loop", image, mounted)
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) })
	return mounted, image
}

// fill takes up what is free on a file system, as another program would.
func fill(t testing.TB, dir string) (empty func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1024; size /= 4 {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
	_ = f.Sync()
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

// room is what status says of it.
func (v *volume) room() api.Store { return v.status().Store }
