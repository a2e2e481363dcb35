package server

import (
	"fmt"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/router"
)

// join gives the connection its session. One that another connection has is
// taken over: that one ends first, on its own loop, so that nothing it has sent
// is handled behind what its successor sends again. One that has ended leaves
// first.
func (c *conn) join(req *router.Connect, ack *packet.Connack) {
	w := c.loop.worker
	sub, present, wait, reason := w.Connect(req)
	switch {
	case wait != nil:
		c.await()
		wait(func() { c.post(func() { c.joinAgain(req, ack) }) })
		return
	case reason.IsError():
		c.refuse(reason, fmt.Errorf("user %q, client identifier %q: no session: %s",
			clip(req.Principal.Username, longestName), clip(req.Principal.ClientID, longestName), reason))
		return
	}
	ack.SessionPresent = present // [MQTT-3.2.2-2], [MQTT-3.2.2-3]
	c.subscriber, c.publisher = sub, router.Publisher{Subscriber: sub, Version: req.Version}
	c.quota = c.quotaOf(req.Principal)
	if !w.Dirty() {
		c.welcome(ack)
		return
	}
	c.await()
	w.Commit(func(err error) {
		defer c.recoverPanic()
		switch {
		case c.state != stateAuth:
		case err != nil:
			c.refuse(packet.ReasonServerUnavailable, fmt.Errorf("store the session: %w", err))
		default:
			c.welcome(ack)
		}
	})
}

// await handles nothing until the CONNECT is answered.
func (c *conn) await() {
	c.state = stateAuth
	c.server.newcomers.leave(c)
	c.hold(heldConnect)
}

func (c *conn) joinAgain(req *router.Connect, ack *packet.Connack) {
	if c.state == stateAuth {
		c.join(req, ack)
	}
}

func (c *conn) quotaOf(who auth.Principal) *quota {
	return c.server.quotas.of(who, c.server.access.Load())
}

// reviewQuota has the publish rates of now hold for an anonymous client.
func (c *conn) reviewQuota() {
	if c.subscriber == nil {
		return
	}
	switch who := c.subscriber.Principal(); {
	case !who.Anonymous:
	case c.quota == nil:
		c.quota = c.quotaOf(who)
	default:
		c.quota.set(c.server.access.Load().Limits(who))
	}
}

// Yield implements router.Link.
func (c *conn) Yield(done func()) {
	c.post(func() {
		defer done()
		c.disconnect(packet.ReasonSessionTakenOver, "another connection uses this client identifier")
	})
}

// welcome opens the connection and goes on with what came behind CONNECT.
func (c *conn) welcome(ack *packet.Connack) {
	c.state = stateOpen
	c.server.newcomers.leave(c)
	c.lookAgain()
	c.send(ack.Append(c.loop.reply[:0], c.version))
	c.welcomed.Store(true)
	c.loop.worker.Resume(c.subscriber, c)
	c.resume(heldConnect)
}
