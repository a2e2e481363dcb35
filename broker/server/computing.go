package server

import (
	"cmp"
	"runtime"
	"sync"
	"time"
)

// computing has the scheduler of Go run more threads at a time while something
// computes for long, such as a password hash. With as many threads as cores, an
// event loop that wakes would wait until such a computation has used up its time
// slice of 10 ms. With one more for each computation the operating system shares
// the cores, and event loops come first: computations run at a lower priority.
//
// GOMAXPROCS is the process's, so there is one of these for all servers.
var computing computations

type computations struct {
	mu    sync.Mutex // a leaf
	count int        // computations that are under way
	cores int        // GOMAXPROCS without them; 0 while it is not raised
	calm  *time.Timer
}

// calmAfter is how long GOMAXPROCS stays raised: it stops the world to change it.
const calmAfter = time.Second

// processors returns GOMAXPROCS as it is without computations.
func (c *computations) processors() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.cores, runtime.GOMAXPROCS(0))
}

// atOnce returns how many computations of a kind may run side by side: a core is
// left to the event loops, where there is more than one.
func (c *computations) atOnce() int { return max(1, c.processors()-1) }

// begin is called when something begins to compute, and done when it has ended.
func (c *computations) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if c.cores == 0 {
		c.cores = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(2 * c.cores)
	}
}

func (c *computations) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count--
	if c.count > 0 {
		return
	}
	if c.calm == nil {
		c.calm = time.AfterFunc(calmAfter, c.lower)
		return
	}
	c.calm.Reset(calmAfter)
}

// lower sets GOMAXPROCS back, unless something computes again.
func (c *computations) lower() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 && c.cores > 0 {
		runtime.GOMAXPROCS(c.cores)
		c.cores = 0
	}
}
