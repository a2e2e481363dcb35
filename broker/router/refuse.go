package router

import (
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Refuses reports whether p, which came from a client, cannot be taken, because
// the store takes nothing new and something would have to be stored for it. A
// message that was received already is not refused.
func (w *Worker) Refuses(from *Publisher, p *packet.Publish) bool {
	return w.r.refusing.Load() && w.writes(from, p, false)
}

// Delays reports whether p, which came from a client, has to wait, because so much
// waits for the store already and something would have to be written for it.
func (w *Worker) Delays(from *Publisher, p *packet.Publish) bool {
	return w.Backlogged() && w.writes(from, p, p.Retain)
}

// Backlogged reports whether so much waits for the store that whatever would add
// to it has to wait: see CatchUp.
func (w *Worker) Backlogged() bool {
	most := w.r.limits.Load().Backlog
	return most > 0 && w.r.store.Backlog() >= most
}

// CatchUp calls done on the worker's loop, later, once the store has all that was
// handed to it before, or has failed.
func (w *Worker) CatchUp(done func()) { w.Commit(func(error) { done() }) }

// writes reports whether p, which came from a client, makes the store write
// something: for a session, or because it is retained as the caller says.
func (w *Worker) writes(from *Publisher, p *packet.Publish, retained bool) bool {
	route, ok := w.routeOf(from, p.Topic)
	if !ok || !from.permits(p) {
		return false
	}
	known, durable := from.receives(p)
	switch {
	case known:
		return false
	case durable, retained:
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
		if anyKeeps(g.Offline()) || anyKeeps(g.Online()) {
			return true
		}
	}
	return false
}

func anyKeeps(members *topic.Roster[*Subscriber]) bool {
	for i := range members.Len() {
		if e := members.At(i); e != nil && keeps(e) {
			return true
		}
	}
	return false
}

// keeps reports whether a subscription is one of a durable session at QoS 1 or 2.
func keeps(e *topic.Entry[*Subscriber]) bool { return e.QoS > 0 && e.Subscriber.ID != 0 }
