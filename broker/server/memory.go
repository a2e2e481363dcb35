package server

import (
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// What the process may take of the memory that is there: what the kernel counts
// besides, and what is allocated between two garbage collections, has to fit too.
const (
	partOfLimit   = 0.80 // of a limit of its own
	partOfMachine = 0.50 // of a machine that it shares
)

// LimitMemory tells the garbage collector how much memory the process may take, and
// returns that in bytes: GOMEMLIMIT if it is set, else a part of the limit of its
// control group, which is that of the container, else of the machine's memory. It
// is 0 where nothing is known.
func LimitMemory() int64 {
	if set := debug.SetMemoryLimit(-1); set < math.MaxInt64 {
		return set
	}
	limit := memoryLimit(func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			return ""
		}
		return string(b)
	})
	if limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	return limit
}

// memoryLimit finds the limit by what is in files of the kernel's, "" for one that
// is not there.
func memoryLimit(read func(name string) string) int64 {
	machine := memoryOfMachine(read("/proc/meminfo"))
	if group := memoryOfGroup(read); group > 0 && (machine == 0 || group < machine) {
		return int64(partOfLimit * float64(group))
	}
	return int64(partOfMachine * float64(machine))
}

// memoryOfMachine reads /proc/meminfo.
func memoryOfMachine(info string) int64 {
	for line := range strings.Lines(info) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// memoryOfGroup returns the least limit of the control group of the process and
// those above it, 0 if there is none.
func memoryOfGroup(read func(name string) string) (least int64) {
	for line := range strings.Lines(read("/proc/self/cgroup")) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		mount, file := "/sys/fs/cgroup", "memory.max"
		switch controllers {
		case "":
		case "memory":
			mount, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for ; ; group = path.Dir(group) {
			limit, err := strconv.ParseInt(strings.TrimSpace(read(path.Join(mount, group, file))), 10, 64)
			if err == nil && limit > 0 && (least == 0 || limit < least) {
				least = limit
			}
			if group == "/" || group == "." || group == "" {
				break
			}
		}
	}
	return least
}
