package crashtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/simulator"
)

// mute keeps jobs open: the org does not tell how far they are.
var mute = simulator.Fault{Match: simulator.Match{Kind: "job.get"}, Do: "status", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "down"}

// away is an org that does not answer.
var away = simulator.Fault{Do: "status", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "down"}

func (v *volume) faults(list ...simulator.Fault) {
	v.t.Helper()
	if err := v.sim.SetFaults(list...); err != nil {
		v.t.Fatal(err)
	}
}

func (v *volume) pause() {
	v.t.Helper()
	if _, err := v.client.Pause(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
}

func (v *volume) resume() {
	v.t.Helper()
	if _, err := v.client.Resume(v.t.Context(), api.ResumeRequest{}); err != nil {
		v.t.Fatal(err)
	}
}

// refusal waits until new events are refused for want of room on the disk.
func (v *volume) refusal() {
	v.t.Helper()
	v.until("new events are refused", func() bool { return v.refused.Load() > 0 && v.room().FullBecause == "disk" })
}

// Events fill a small disk while the org is away: new ones are refused, everything
// accepted is there and can be read; once they are delivered there is room again.
func TestDisk_FilledByAccepting(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"a small file system", "a limit of the file's size"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			var v *volume
			if limit == "a small file system" {
				v = newVolume(t, tmpfs(t, 4<<20))
				v.start()
			} else {
				needs(t, "prlimit")
				v = newVolume(t, "")
				v.launch(nil, "prlimit", "--fsize=2097152")
				v.until("the daemon answers", func() bool { return v.client.Health(t.Context()) == nil })
			}
			v.faults(away)
			ctx, stop := context.WithCancel(t.Context())
			v.write(ctx, "event", 4, 1000, 10_000)
			v.refusal()
			stop()
			v.apps.Wait()
			if known := v.documents(); len(known) < v.accepted() {
				t.Errorf("%d are listed, %d were accepted", len(known), v.accepted())
			}
			if out, _, _ := v.run(nil, "status"); !strings.Contains(out, "free room on its file system") {
				t.Errorf("status says nothing of the disk:\n%s", out)
			}
			first := v.accepted()
			v.faults()
			v.drained()
			v.write(t.Context(), "later", 2, 20, 10_000)
			v.apps.Wait()
			t.Logf("%d accepted before the disk was full, %d refusals", first, v.refused.Load())
			v.verify()
			if v.exits > 0 {
				t.Errorf("the daemon ended %d times", v.exits)
			}
		})
	}
}

// Another program fills the disk while jobs are open at the org: their outcomes
// are recorded, and when there is room again the daemon accepts without a restart.
func TestDisk_FilledWhileJobsAreOpen(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			folder := ""
			if kind == "ext4" {
				folder, _ = ext4(t, t.TempDir(), 16<<20)
			} else {
				folder = tmpfs(t, 16<<20)
			}
			v := newVolume(t, folder)
			v.faults(mute)
			v.start()
			v.pause()
			v.write(t.Context(), "event", 60, 1, 1000)
			v.apps.Wait()
			v.resume()
			v.until("a job is open", func() bool { return v.status().Counts.Inflight >= 20 })
			empty := fill(t, folder)
			v.write(t.Context(), "late", 3, 50, 10_000)
			v.refusal()
			v.faults()
			v.until("what was under way is delivered", func() bool { return v.status().Counts.Delivered >= 60 })
			empty()
			v.verify()
			if v.exits > 0 {
				t.Errorf("the daemon ended %d times", v.exits)
			}
			t.Logf("%d refusals", v.refused.Load())
		})
	}
}

// A disk under the file system that gives way, without a word from the file
// system before: a sync fails. The daemon ends, does not start while the disk is
// broken, and once that is mended everything accepted is there.
func TestDisk_SyncFails(t *testing.T) {
	t.Parallel()
	below := tmpfs(t, 12<<20)
	folder, image := ext4(t, below, 128<<20)
	v := newVolume(t, folder)
	v.faults(away)
	v.start()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	v.write(ctx, "event", 4, 400, 30_000)
	v.ended()
	stop()
	v.apps.Wait()
	if err := unix.Mount("", below, "", unix.MS_REMOUNT, "size=200m"); err != nil {
		t.Fatal(err)
	}
	v.mend(folder, image)
	v.faults()
	v.launch(nil)
	v.write(t.Context(), "later", 2, 5, 100)
	before := v.accepted()
	v.verify()
	t.Logf("%d accepted before, exit code %d, %d starts more", before, v.last, v.exits)
}

// mend unmounts a file system, repairs it, and mounts it again.
func (v *volume) mend(folder, image string) {
	v.t.Helper()
	v.kill()
	shell(v.t, "umount", folder)
	fsck(v.t, image)
	shell(v.t, "mount", "-o", "loop", image, folder)
}

// The file system aborts its journal and is read-only from then on: the daemon
// ends, and says at each start why it can't; questions are still answered offline.
func TestDisk_BecomesReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder, image := ext4(t, dir, 32<<20)
	v := newVolume(t, folder)
	v.faults(away)
	v.start()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	v.write(ctx, "event", 2, 50, 1000)
	v.until("some are accepted", func() bool { return v.accepted() > 20 })
	shell(t, "mount", "-o", "remount,abort", folder)
	v.ended()
	stop()
	v.apps.Wait()
	v.launch(nil)
	v.ended()
	if b, _ := os.ReadFile(v.log.Name()); !strings.Contains(string(b), "read-only file system") {
		t.Errorf("the log does not say that the file system is read-only:\n%s", b)
	}
	if out, errs, code := v.run(nil, "status", "--offline"); code != 0 {
		t.Errorf("status --offline on a read-only file system: exit %d: %s%s", code, out, errs)
	}
	v.mend(folder, image)
	v.faults()
	v.launch(nil)
	v.verify()
}

// A start on a full disk works: what is there is read and delivered.
func TestDisk_StartsOnAFullDisk(t *testing.T) {
	t.Parallel()
	folder := tmpfs(t, 8<<20)
	v := newVolume(t, folder)
	v.faults(away)
	v.start()
	v.write(t.Context(), "event", 4, 10, 10_000)
	v.apps.Wait()
	v.kill()
	empty := fill(t, folder)
	v.faults()
	v.start()
	v.until("what was accepted is delivered", func() bool { return v.status().Counts.Delivered >= 40 })
	v.faults(away) // or the room of what leaves would do for what comes
	v.write(t.Context(), "late", 3, 50, 10_000)
	v.refusal()
	empty()
	v.faults()
	v.verify()
	if v.exits > 0 {
		t.Errorf("the daemon ended %d times", v.exits)
	}
}

// A new store can't be made on a full disk; the daemon says what to do.
func TestDisk_NoRoomForANewStore(t *testing.T) {
	t.Parallel()
	folder := tmpfs(t, 1<<20)
	v := newVolume(t, folder)
	fill(t, folder)
	v.launch(nil)
	v.ended()
	b, err := os.ReadFile(v.log.Name())
	if err != nil || !strings.Contains(string(b), "hint: free some room") || !strings.Contains(string(b), filepath.Join(folder, "outbox.db")) {
		t.Errorf("the error does not say what to do: %s, %v", b, err)
	}
}
