//go:build !linux

package bench

import (
	"errors"
	"time"
)

// ownCPU is not known here.
func ownCPU() (process, thread time.Duration) { return 0, 0 }

// processUsage is not known here.
func processUsage(int) (usage, error) {
	return usage{}, errors.New("the CPU time of another process can be read on Linux only")
}

// directorySize is not known here.
func directorySize(string) int64 { return 0 }

// machineTime is not known here.
func machineTime() (total, idle time.Duration) { return 0, 0 }
