package server

import (
	"time"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// stall is how long a publisher rests whose message went to a subscriber that
// does not keep up. Each publisher then sends some hundred messages a second at
// the most, until the subscriber has caught up or has held up publishers for long
// enough; see router.Worker.Behind.
const stall = 5 * time.Millisecond

// price returns how long the connection is to rest after a message of size
// bytes: for the user's quota, and for subscribers that are behind. For a debt
// beyond longestWait it does not rest, so that the client is served otherwise.
func (c *conn) price(size int) (wait time.Duration) {
	if c.quota != nil && c.quota.limited.Load() {
		if wait = c.quota.take(c.loop.worker.Now, size); wait > longestWait {
			wait = 0
		}
		if wait > 0 {
			c.rested += wait
			c.loop.worker.Counts[metrics.PublishThrottled]++
		}
	}
	if c.loop.worker.Behind {
		c.loop.worker.Behind = false
		wait = max(wait, stall)
	}
	return wait
}

// longestWait is how long a message may wait for its turn because its user has
// published too much. The client's PINGREQ waits behind it, and most clients take
// a broker that answers none for half a minute or more to be gone. Tests have less
// time.
var longestWait = 30 * time.Second

// tooFast ends the connection of a user whose next message would have to wait for
// longer than longestWait, or has waited that long since it was read. The message
// is not taken.
func (c *conn) tooFast() bool {
	if c.quota == nil || !c.quota.limited.Load() {
		return false
	}
	if c.rested <= longestWait && c.quota.debt(c.loop.worker.Now) <= longestWait {
		return false
	}
	c.tellTooFast()
	c.disconnect(packet.ReasonMessageRateTooHigh, "far more is published than the user's rate")
	return true
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
