package router

import (
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Refuses reports whether p, which came from a client, cannot be taken, because
// the store takes nothing new and something would have to be stored for it. A
// message that was received already is not refused.
func (w *Worker) Refuses(from *Publisher, p *packet.Publish) bool {
	if !w.r.refusing.Load() {
		return false
	}
	route, ok := w.routeOf(from, p.Topic)
	if !ok || !from.permits(p) {
		return false
	}
	known, durable := from.receives(p)
	switch {
	case known:
		return false
	case durable, p.Retain && len(p.Payload) > 0:
		return true
	}
	return p.QoS > packet.QoS0 && route.durable(from.Subscriber)
}

// receives reports whether p was received already, and whether it is new and its
// packet identifier is to be stored.
func (s *Subscriber) receives(p *packet.Publish) (known, durable bool) {
	if p.QoS < packet.QoS2 {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known = s.session.Receiving(p.ID)
	return known, s.session.Durable && !known
}

// durable reports whether a message of QoS 1 or 2 of a client may go to a durable
// session.
func (rt *route) durable(from *Subscriber) bool {
	for i := range rt.result.Entries {
		e := &rt.result.Entries[i]
		local := e.NoLocal && e.Subscriber == from
		if e.Subscriber != nil && !local && keeps(e) {
			return true
		}
	}
	for _, g := range rt.result.Shared {
		members := g.Members()
		for i := range members {
			if keeps(&members[i]) {
				return true
			}
		}
	}
	return false
}

// keeps reports whether a subscription is one of a durable session at QoS 1 or 2.
func keeps(e *topic.Entry[*Subscriber]) bool { return e.QoS > 0 && e.Subscriber.ID != 0 }
