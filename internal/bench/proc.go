package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Memory is what a process holds, in bytes.
type Memory struct {
	Own  int64 `json:"own_bytes"`  // RssAnon
	Peak int64 `json:"peak_bytes"` // VmHWM: counts pages of files, which the kernel may take back
}

func memoryOf(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(status)
}

func parseMemory(status []byte) (m Memory, err error) {
	if m.Own, err = procNumber(status, "RssAnon"); err != nil {
		return m, err
	}
	m.Peak, err = procNumber(status, "VmHWM")
	return Memory{Own: m.Own << 10, Peak: m.Peak << 10}, err
}

// procNumber finds a line such as "name:   12 kB" in a file of /proc.
func procNumber(file []byte, name string) (int64, error) {
	lines := bufio.NewScanner(bytes.NewReader(file))
	for lines.Scan() {
		if label, value, _ := strings.Cut(lines.Text(), ":"); label == name {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s in the kernel's account of the process", name)
}

// cpuOf is the processor time of all threads of a process, to the nanosecond. The
// kernel gives each process a clock of it, whose number is made of the pid.
func cpuOf(pid int) (time.Duration, error) {
	const ofScheduler = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|ofScheduler, &ts); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// memoryEvery is how often a process's own memory is looked at while it works.
const memoryEvery = 50 * time.Millisecond

// watchMemory looks at a process until the function that it returns is called, which
// tells the most own memory that was seen, and the peak.
func watchMemory(pid int) func() (Memory, error) {
	stop, done := make(chan struct{}), make(chan struct{})
	var most Memory
	var err error
	look := func() {
		m, failure := memoryOf(pid)
		if failure != nil {
			err = failure
			return
		}
		most.Own, most.Peak = max(most.Own, m.Own), max(most.Peak, m.Peak)
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				look()
			}
		}
	}()
	return func() (Memory, error) {
		close(stop)
		<-done
		look()
		return most, err
	}
}
