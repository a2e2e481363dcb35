package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Linux counts the CPU time of processes in ticks of a hundredth of a second.
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

// processUsage is the CPU time and the resident memory of a process.
func processUsage(pid int) (cpu time.Duration, resident int64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime, rss = 11, 12, 21
	if len(fields) <= rss {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var n [3]int64
	for i, field := range []int{utime, stime, rss} {
		if n[i], err = strconv.ParseInt(string(fields[field]), 10, 64); err != nil {
			return 0, 0, err
		}
	}
	return time.Duration(n[0]+n[1]) * clockTick, n[2] * int64(os.Getpagesize()), nil
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
