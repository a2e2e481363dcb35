package server

import (
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/router"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// handleSubscribe takes subscriptions, answers them, and then sends the retained
// messages that match.
func (c *conn) handleSubscribe(body []byte) error {
	p := &c.loop.subscribe
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	for i := range p.Subscriptions {
		if err := vetSubscription(&p.Subscriptions[i]); err != nil {
			return err
		}
	}
	if c.delaysChange() {
		return c.awaitStore()
	}
	w := c.loop.worker
	limits := router.SubscriptionLimits{Count: int(c.limits.maxSubscriptions), Bytes: int(c.limits.maxFilterBytes)}
	c.loop.subscribed = w.Subscribe(c.subscriber, c, p, limits, c.loop.subscribed[:0])
	ack := packet.Suback{ID: p.ID}
	type replay struct {
		filter string
		since  uint64
	}
	var replays []replay
	for i, r := range c.loop.subscribed {
		ack.Reasons = append(ack.Reasons, r.Reason)
		if r.Reason == packet.ReasonNotAuthorized {
			c.tellDenied("subscribe", p.Subscriptions[i].Filter)
		}
		if r.Replay {
			replays = append(replays, replay{string(p.Subscriptions[i].Filter), r.Since})
		}
	}
	c.afterCommit(func(err error) {
		if err != nil {
			c.disconnect(packet.ReasonQuotaExceeded, "the subscription cannot be stored")
			return
		}
		c.send(ack.Append(c.loop.reply[:0], c.version))
		for _, x := range replays {
			w.Replay(c.subscriber, c, x.filter, x.since)
		}
	})
	return nil
}

// delaysChange reports whether a change of the session has to wait, because so
// much waits for the store already.
func (c *conn) delaysChange() bool { return c.subscriber.ID != 0 && c.loop.worker.Backlogged() }

// vetSubscription refuses filters that are no filters.
func vetSubscription(s *packet.Subscription) error {
	shared, err := vetFilter(packet.TypeSubscribe, s.Filter)
	if err != nil {
		return err
	}
	if shared && s.NoLocal { // [MQTT-3.8.3-4]
		return &packet.Error{Type: packet.TypeSubscribe, Reason: packet.ReasonProtocolError, Detail: "no local on a shared subscription"}
	}
	return nil
}

// vetFilter refuses a filter that is none [MQTT-4.7.3-1], [MQTT-4.13.1-1].
func vetFilter(t packet.Type, filter []byte) (shared bool, err error) {
	_, _, shared, err = topic.ParseShared(string(filter))
	if err != nil {
		return shared, &packet.Error{Type: t, Reason: packet.ReasonMalformedPacket, Detail: err.Error()}
	}
	return shared, nil
}

// handleUnsubscribe takes subscriptions out of force.
func (c *conn) handleUnsubscribe(body []byte) error {
	p := &c.loop.unsubscribe
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	for _, filter := range p.Filters {
		if _, err := vetFilter(packet.TypeUnsubscribe, filter); err != nil {
			return err
		}
	}
	if c.delaysChange() {
		return c.awaitStore()
	}
	c.loop.reasons = c.loop.worker.Unsubscribe(c.subscriber, c, p.Filters, c.loop.reasons[:0])
	ack := packet.Unsuback{ID: p.ID, Reasons: append([]packet.ReasonCode(nil), c.loop.reasons...)}
	c.afterCommit(func(err error) {
		if err != nil {
			c.disconnect(packet.ReasonQuotaExceeded, "the end of the subscription cannot be stored")
			return
		}
		c.send(ack.Append(c.loop.reply[:0], c.version))
	})
	return nil
}
