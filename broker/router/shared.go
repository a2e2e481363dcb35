package router

import (
	"cmp"
	"math"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// deliverShared hands p to one member of a shared subscription: to one that can
// take it, in turn, while there is one. Those who are connected come before those
// who are not. Where nobody can take it, the member whose turn it was has its
// overflow policy decide.
func (w *Worker) deliverShared(g *topic.SharedGroup[*Subscriber], p *packet.Publish) {
	online, taken := w.offer(g, g.Online(), math.MaxInt, p)
	if taken {
		return
	}
	offline, taken := w.offer(g, g.Offline(), mostOffline, p)
	if e := cmp.Or(online, offline); e != nil && !taken {
		w.deliverTo(e, p, w.sharedIDs(e), g.Subscription())
	}
}

// mostOffline is the number of members without a connection that a message is
// offered to.
const mostOffline = 16

// offer hands p to the first member, in turn, that can take it. Up to most of them
// are asked who may receive it. turn is the first of those, nil if there is none.
func (w *Worker) offer(g *topic.SharedGroup[*Subscriber], members *topic.Roster[*Subscriber], most int, p *packet.Publish) (turn *topic.Entry[*Subscriber], taken bool) {
	n := members.Len()
	if n == 0 {
		return nil, false
	}
	first, asked := int(g.Next()%uint32(n)), 0
	for i := 0; i < n && asked < most; i++ {
		e := members.At((first + i) % n)
		if e == nil || !mayReceiveShared(e.Subscriber, g.Name(), p.Topic) {
			continue
		}
		if w.deliverIfTaken(e, p, w.sharedIDs(e), g.Subscription()) {
			return e, true
		}
		if asked++; turn == nil {
			turn = e
		}
	}
	return turn, false
}

// sharedIDs returns the subscription identifier of a member, nil if it has none.
func (w *Worker) sharedIDs(e *topic.Entry[*Subscriber]) []uint32 {
	if e.ID == 0 {
		return nil
	}
	w.ids = append(w.ids[:0], e.ID)
	return w.ids
}

// deliverIfTaken is deliverTo for a member that can take p.
func (w *Worker) deliverIfTaken(e *topic.Entry[*Subscriber], p *packet.Publish, ids []uint32, shared string) (taken bool) {
	s := e.Subscriber
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.canTake(s, e, p, ids, shared) {
		return false
	}
	w.deliverLocked(e, p, ids, shared)
	return true
}

// canTake reports whether a member, which is locked, gets p: it accepts a packet of
// that size, and takes it now or has room for it to wait.
func (w *Worker) canTake(s *Subscriber, e *topic.Entry[*Subscriber], p *packet.Publish, ids []uint32, shared string) bool {
	q := min(p.QoS, packet.QoS(e.QoS))
	switch {
	case s.ended, s.link == nil && (q == packet.QoS0 || !s.session.Durable):
		return false
	case s.link != nil && !w.fits(s, q, p.Retain && e.RetainAsPublished, ids):
		return false
	case q == packet.QoS0 && !s.session.Overtakes():
		return !s.link.Full()
	case q > packet.QoS0 && s.link != nil && s.session.Ready() && !s.link.Congested():
		return true
	}
	d := session.Delivery{Message: w.message(p), QoS: q, IDs: ids, Shared: shared}
	return s.session.HasRoom(&d) && !w.crowdedOut(s, &d)
}

// fits reports whether s accepts a packet of the size that p has at most.
func (w *Worker) fits(s *Subscriber, q packet.QoS, retain bool, ids []uint32) bool {
	const identifier, alias = 1 + 4 + 3, 3 // with what the length of all properties may grow by
	if s.maxPacket == 0 {
		return true
	}
	frame, _ := w.frames.get(s.version, q, retain)
	return len(frame)+identifier*len(ids)+alias <= int(s.maxPacket)
}

// handOver gives what a member of shared subscriptions has left, when its
// session ended, to another member. No Subscriber is locked.
func (w *Worker) handOver(d *session.Delivery) {
	if d.Expired(w.Now) {
		w.dropped(metrics.DroppedExpired)
		return
	}
	var p packet.Publish
	d.Fill(&p, w.Now)
	p.QoS, p.Retain = d.Message.QoS, d.Message.Retain
	rt, ok := w.lookup(p.Topic)
	if !ok {
		return
	}
	w.frames.reset(&p, packet.V5, nil)
	w.slow = w.slow[:0]
	w.frames.message = w.r.copied(d.Message)
	for _, g := range rt.result.Shared {
		if g.Subscription() == d.Shared {
			w.deliverShared(g, &p)
		}
	}
}
