package router

import (
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// deliverShared hands p to one member of a shared subscription.
func (w *Worker) deliverShared(g *topic.SharedGroup[*Subscriber], p *packet.Publish) {
	e := w.pick(g, p)
	if e == nil {
		return
	}
	w.ids = w.ids[:0]
	if e.ID != 0 {
		w.ids = append(w.ids, e.ID)
	}
	w.deliverTo(e, p, w.ids, g.Subscription())
}

// pick chooses the member of a shared subscription who gets p: in turn, those
// who are connected before those who are not. It is nil if nobody can have it.
func (w *Worker) pick(g *topic.SharedGroup[*Subscriber], p *packet.Publish) *topic.Entry[*Subscriber] {
	members := g.Members()
	if len(members) == 0 {
		return nil
	}
	first := int(g.Next() % uint32(len(members)))
	var offline *topic.Entry[*Subscriber]
	for i := range members {
		e := &members[(first+i)%len(members)]
		switch {
		case !mayReceiveShared(e.Subscriber, g.Name(), p.Topic):
		case e.Subscriber.online.Load():
			return e
		case offline == nil:
			offline = e
		}
	}
	return offline
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
	w.frames.message = w.r.copied(d.Message)
	for _, g := range rt.result.Shared {
		if g.Subscription() == d.Shared {
			w.deliverShared(g, &p)
		}
	}
}
