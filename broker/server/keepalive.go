package server

import (
	"cmp"
	"math"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Bounds, in seconds, on what a client may leave the server waiting for.
const (
	connectTimeout = 10 // for all that comes before it is connected, and for an exchange
	lingerTimeout  = 2  // for its end of a connection that the server has ended
	// deadPeer is how long a client may acknowledge nothing at the level of TCP, if
	// its keep alive allows for that much. It is how long a probe of an idle
	// connection takes as well.
	deadPeer = 240
)

// lookMost is the number of connections that are looked at before others get
// their turn, where very many are due in one second.
const lookMost = 1024

// tick looks at the connections whose time has come, once a second.
func (l *loop) tick() {
	l.beat.Store(l.worker.Now.UnixNano())
	if l.owed++; !l.looking {
		l.lookOn()
	}
}

// lookOn looks at some of those who are due, and comes back for the others.
func (l *loop) lookOn() {
	l.looking = true
	for range lookMost {
		c := l.nextDue()
		if c == nil {
			l.looking = false
			return
		}
		c.look()
	}
	l.post(l.lookOn)
}

// nextDue returns a connection that is due, nil if none is.
func (l *loop) nextDue() *conn {
	c := l.wheel.due()
	for ; c == nil && l.owed > 0; c = l.wheel.due() {
		l.owed--
		l.wheel.tick()
	}
	return c
}

// look ends c if it has been silent for too long or its certificate is no longer
// good, and comes back otherwise.
func (c *conn) look() {
	defer c.recoverPanic()
	switch c.state {
	case stateClosed:
	case stateLingering:
		c.close()
	case stateOpen:
		if c.tls != nil && c.tls.certified(c.loop.worker.Now) == 0 {
			c.reviewCertificate()
			return
		}
		switch {
		case c.silence() == 0: // [MQTT-3.1.2-22]: one and a half times the keep alive has passed.
			c.disconnect(packet.ReasonKeepAliveTimeout, "no control packet arrived within 1.5 times the keep alive")
		case c.takesNothing() == 0:
			c.disconnect(packet.ReasonKeepAliveTimeout, "nothing that waits was taken within 1.5 times the keep alive")
		case c.enhanced.left(c.loop.wheel.now) == 0: // [MQTT-4.12.1-2]
			c.disconnect(packet.ReasonNotAuthorized, "the client did not authenticate again in time")
		default:
			c.lookAgain()
		}
	default:
		c.expire()
	}
}

// patience is one and a half times a keep alive, in ticks: never less, so that
// the tick under way does not count [MQTT-3.1.2-22]. 0 is no bound.
func patience(keepAlive uint16) uint32 {
	if keepAlive == 0 {
		return 0
	}
	return (3*uint32(keepAlive)+1)/2 + 1
}

// lookAgain has c looked at when the first of what is waited for is due.
func (c *conn) lookAgain() {
	c.loop.wheel.add(c, min(c.silence(), c.takesNothing(), c.enhanced.left(c.loop.wheel.now)))
}

// setPatience takes over a keep alive, in seconds.
func (c *conn) setPatience(keepAlive uint16) {
	c.patience = patience(keepAlive)
	endUnacknowledged(c.fd, min(cmp.Or(c.patience, deadPeer), deadPeer))
}

// stuck is what was seen of a connection whose client took nothing.
type stuck struct {
	blocks uint32 // conn.blocks; 0 if it was not blocked
	left   int32  // unacknowledged bytes
	since  uint32 // wheel time
}

// takesNothing returns how many seconds the client may yet take nothing of what
// waits for it, and at most those after which to look again. 0 says that it has
// taken nothing for as long as it may be silent: what it sends says nothing about
// whether it reads.
func (c *conn) takesNothing() uint32 {
	if c.patience == 0 {
		return math.MaxUint32
	}
	again := max(c.patience/looksAtBlocked, 1)
	c.mu.Lock()
	blocked, blocks := c.blocked, c.blocks
	c.mu.Unlock()
	if !blocked {
		c.stuck = stuck{}
		return again
	}
	now := c.loop.wheel.now
	if left := limit32(unacknowledged(c.fd)); c.stuck.blocks != blocks || left < c.stuck.left {
		c.stuck = stuck{blocks, left, now}
	}
	quiet := now - c.stuck.since
	if quiet >= c.patience {
		return 0
	}
	return min(c.patience-quiet, again)
}

// looksAtBlocked is how often, while a client may be silent, it is looked whether
// it takes anything.
const looksAtBlocked = 8

// silence returns how many seconds the client may yet be silent, and at most those
// after which c is to be looked at for another reason. 0 says that it was silent
// for too long.
func (c *conn) silence() uint32 {
	if c.held != 0 { // the client may have sent what was not read
		c.seen = c.loop.wheel.now
	}
	longest := uint32(len(c.loop.wheel.slots) - 1)
	if c.tls != nil {
		longest = min(longest, max(c.tls.certified(c.loop.worker.Now), 1))
	}
	if c.patience == 0 {
		return longest
	}
	quiet := c.loop.wheel.now - c.seen
	if quiet >= c.patience {
		return 0
	}
	return min(c.patience-quiet, longest)
}

// expire ends a connection that has not come to CONNECT in time.
func (c *conn) expire() {
	if waited := c.loop.wheel.now - c.opened; waited < connectTimeout {
		c.loop.wheel.add(c, connectTimeout-waited)
		return
	}
	c.close()
}
