package server

import "github.com/godwit-mqtt/godwit/broker/packet"

// Bounds, in seconds, on what a client may leave the server waiting for.
const (
	connectTimeout = 10 // for all that comes before it is connected, and for an exchange
	lingerTimeout  = 2  // for its end of a connection that the server has ended
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
	c.loop.wheel.add(c, min(c.silence(), c.enhanced.left(c.loop.wheel.now)))
}

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
