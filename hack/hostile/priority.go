package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// preferMeasuring gives this process a higher priority, if it may, so that what
// the pair waits for is the broker.
func preferMeasuring() {
	const priority = -10                             // as nice(1) has it
	threads, _ := filepath.Glob("/proc/self/task/*") // none elsewhere
	for _, t := range threads {
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, priority) // it is an ordinary process then
		}
	}
}

// asBroker is the command line that runs a program at the usual priority.
func asBroker(command ...string) []string {
	const zero = 20 // what getpriority returns for the priority 0
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, os.Getpid())
	if err != nil {
		return command
	}
	return append([]string{"nice", "-n", strconv.Itoa(raw - zero)}, command...)
}

// asAttacker is the command line that runs a program on what others leave of the
// processors: an attacker has machines of its own.
func asAttacker(command ...string) []string {
	if _, err := exec.LookPath("chrt"); err != nil {
		return append([]string{"nice", "-n", "29"}, command...)
	}
	return append([]string{"chrt", "--idle", "0"}, command...)
}
