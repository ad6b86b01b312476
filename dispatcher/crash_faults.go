//go:build faults

package dispatcher

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// crashpoint kills the process at the n-th pass of the point that OUTBOXD_CRASH
// names, for example T3.after:1. Nothing gets a chance to tidy up.
func crashpoint(name string) {
	if name == crashName && crashLeft.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

var (
	crashName string
	crashLeft atomic.Int64
)

func init() {
	name, n, ok := strings.Cut(os.Getenv("OUTBOXD_CRASH"), ":")
	if passes, err := strconv.ParseInt(n, 10, 64); ok && err == nil {
		crashName = name
		crashLeft.Store(passes)
	}
}
