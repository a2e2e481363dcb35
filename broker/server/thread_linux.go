package server

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// computingPriority is that of threads that compute for long, as nice(1) has it:
// they get a tenth of what event loops get where there is not enough for both.
const computingPriority = 10

// keepThread gives the goroutine a thread of its own, of a lower priority, which
// ends with it: no thread may raise its priority again.
func keepThread() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), computingPriority) // a sandbox may refuse; it computes all the same
}
