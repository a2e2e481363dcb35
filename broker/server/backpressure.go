package server

import "time"

// stall is how long a publisher rests whose message went to a subscriber that
// does not keep up. Each publisher then sends some hundred messages a second at
// the most, until the subscriber has caught up, or has so much waiting that
// messages are dropped: nobody can hold up others for good.
const stall = 5 * time.Millisecond

// price returns how long the connection is to rest after a message of size
// bytes: for the user's quota, and for subscribers that are behind.
func (c *conn) price(size int) (wait time.Duration) {
	if c.quota != nil && c.quota.limited.Load() {
		wait = c.quota.take(c.loop.worker.Now, size)
	}
	if c.loop.worker.Behind {
		c.loop.worker.Behind = false
		wait = max(wait, stall)
	}
	return wait
}

// choke stops reading a client that does not read what it is answered, so that
// answers do not pile up. Flush resumes it. Before CONNECT nobody has a claim to
// that much.
func (c *conn) choke() {
	if c.pending.Load() < congestedAbove {
		return
	}
	if c.state < stateOpen {
		c.linger()
		return
	}
	c.hold(heldReplies)
	c.choked.Store(true)
	if c.pending.Load() < drainedBelow && c.choked.CompareAndSwap(true, false) {
		c.post(func() { c.resume(heldReplies) }) // a flush that ended just before has not seen it
	}
}

// rest does not read the connection for a while: TCP slows the client down, and
// nothing is lost.
func (c *conn) rest(wait time.Duration) {
	if wait == 0 || c.state != stateOpen {
		return
	}
	c.hold(heldRest)
	time.AfterFunc(wait, func() {
		c.post(func() { c.resume(heldRest) })
	})
}
