//go:build !linux

package bench

import (
	"errors"
	"time"
)

// ownCPU is not known here.
func ownCPU() (process, thread time.Duration) { return 0, 0 }

// processUsage is not known here.
func processUsage(int) (cpu time.Duration, resident int64, err error) {
	return 0, 0, errors.New("the CPU time of another process can be read on Linux only")
}

// machineTime is not known here.
func machineTime() (total, idle time.Duration) { return 0, 0 }
