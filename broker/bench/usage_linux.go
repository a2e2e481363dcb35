package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Linux counts the time of the whole machine in ticks of a hundredth of a second.
const clockTick = 10 * time.Millisecond

// ownCPU is the CPU time of this process, and of the calling thread.
func ownCPU() (process, thread time.Duration) {
	return rusage(unix.RUSAGE_SELF), rusage(unix.RUSAGE_THREAD)
}

func rusage(who int) time.Duration {
	var u unix.Rusage
	if unix.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processUsage is what a process has used up.
func processUsage(pid int) (u usage, err error) {
	// The kernel's clock of the CPU time of a process, with all threads that it
	// has or had. See clock_getcpuclockid(3).
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return usage{}, fmt.Errorf("the CPU time of process %d: %w", pid, err)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return usage{}, err
	}
	var size, pages int64
	if _, err := fmt.Fscan(bytes.NewReader(statm), &size, &pages); err != nil {
		return usage{}, fmt.Errorf("/proc/%d/statm: %w", pid, err)
	}
	return usage{cpu: time.Duration(t.Nano()), resident: pages * int64(os.Getpagesize()), written: written(pid)}, nil
}

// written is what a process had the kernel write to disk, page by page. It is
// zero for a process of somebody else, of whom only root may know.
func written(pid int) int64 {
	counters, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	return ioCounter(counters, "write_bytes")
}

func ioCounter(counters []byte, name string) int64 {
	for line := range bytes.Lines(counters) {
		if value, found := bytes.CutPrefix(line, []byte(name+":")); found {
			n, _ := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			return n
		}
	}
	return 0
}

// directorySize is the space that the files in a directory take, whatever the
// depth. Files that vanish meanwhile count as nothing.
func directorySize(name string) (size int64) {
	_ = filepath.WalkDir(name, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it has vanished
		}
		if info, err := entry.Info(); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				size += stat.Blocks * 512
			}
		}
		return nil
	})
	return size
}

// machineTime is the time that all CPUs of the machine have had, and the part of
// it that they were idle.
func machineTime() (total, idle time.Duration) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	for i, field := range bytes.Fields(line) {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil || i > 8 { // after steal come parts of what was counted
			continue
		}
		total += time.Duration(n) * clockTick
		if i == 4 || i == 5 { // idle, iowait
			idle += time.Duration(n) * clockTick
		}
	}
	return total, idle
}
