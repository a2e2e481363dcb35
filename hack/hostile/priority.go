package main

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Priorities, as those of nice(1). The pair is measured at a higher one, where
// that is allowed, so that what it waits for is the broker.
const (
	measuringPriority = -10
	brokerPriority    = 0
	attackerPriority  = 19
)

// preferMeasuring gives this process its priority, if it may.
func preferMeasuring() {
	threads, _ := filepath.Glob("/proc/self/task/*") // none elsewhere
	for _, t := range threads {
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, measuringPriority) // it is an ordinary process then
		}
	}
}

// withPriority is the command line that runs another one at a priority.
func withPriority(priority int, command ...string) []string {
	const zero = 20 // what getpriority returns for the priority 0
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, os.Getpid())
	if err != nil {
		return command
	}
	return append([]string{"nice", "-n", strconv.Itoa(priority - (zero - raw))}, command...)
}
