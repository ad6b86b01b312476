package crashtest

import (
	"flag"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
)

var calls = flag.Int("calls", 6, "system calls at which the daemon is killed")

// durable are the system calls that a store becomes what it is by.
const durable = "pwrite64,fdatasync,fsync,ftruncate,fallocate,renameat"

// The daemon is killed instead of a system call that would have written, while it
// makes its store, accepts, sends and settles; and once more after its next start.
// strace counts the calls of each thread.
func TestKilledAtSystemCall(t *testing.T) {
	needs(t, "strace")
	rnd := chance(t)
	all := traffics()
	var died atomic.Int64
	t.Run("calls", func(t *testing.T) {
		for i := range *calls {
			tr := all[rnd.IntN(len(all))]
			first, second := 1+rnd.IntN(10), 1+rnd.IntN(4)
			t.Run(fmt.Sprintf("%d, %s, call %d, then %d", i, tr.name, first, second), func(t *testing.T) {
				t.Parallel()
				f := tr.flow(t, binary, nil)
				for _, n := range []int{first, second} {
					if f.killedAt(n) {
						died.Add(1)
					}
				}
				f.start()
				f.finish()
			})
		}
	})
	t.Logf("%d flows, killed at a call %d times", *calls, died.Load())
	if died.Load() < int64(*calls)/2 {
		t.Errorf("killed only %d times", died.Load())
	}
}

// killedAt runs the daemon until a thread's n-th such call; false if it came to
// the end before.
func (f *flow) killedAt(n int) bool {
	f.t.Helper()
	f.launch(nil, "strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+durable,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", durable, n))
	if !f.dies() {
		f.kill()
		return false
	}
	if got := f.signal(); got != syscall.SIGKILL {
		f.t.Fatalf("ended by signal %d (%v), want a kill", got, f.cmd.ProcessState)
	}
	return true
}
