package router

import (
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// deliverTo hands p to one subscriber at the right quality of service
// [MQTT-3.8.4-8]. shared is the filter of the shared subscription that the
// subscriber was chosen from, if it was.
func (w *Worker) deliverTo(e *topic.Entry[*Subscriber], p *packet.Publish, ids []uint32, shared string) {
	s := e.Subscriber
	s.mu.Lock()
	defer s.mu.Unlock()
	w.deliverLocked(e, p, ids, shared)
}

// deliverLocked is deliverTo for a Subscriber that is locked.
func (w *Worker) deliverLocked(e *topic.Entry[*Subscriber], p *packet.Publish, ids []uint32, shared string) {
	s := e.Subscriber
	q := min(p.QoS, packet.QoS(e.QoS))
	retain := p.Retain && e.RetainAsPublished // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
	switch {
	case q == packet.QoS0 && s.link != nil && s.session.Overtakes():
		w.enqueue(s, w.delivery(s, p, q, retain, ids, shared)) // behind those that wait [MQTT-4.6.0-6]
	case q == packet.QoS0:
		w.sendQoS0(s, retain, ids)
	case s.link != nil && s.session.Ready() && !s.link.Congested() && (q < packet.QoS2 || w.mayHold(s)):
		w.sendTracked(s, p, q, retain, ids, shared)
	case s.link != nil || s.session.Durable && !s.ended:
		w.enqueue(s, w.delivery(s, p, q, retain, ids, shared))
		w.holdBack(s)
	}
}

// encoded returns the bytes for s, or nil where s does not accept a packet of
// that size [MQTT-3.1.2-25].
func (w *Worker) encoded(s *Subscriber, q packet.QoS, retain bool, ids []uint32) (frame []byte, idAt int) {
	assign := false
	if s.version == packet.V5 && (len(ids) > 0 || s.aliases != nil) {
		frame, idAt, assign = w.frames.own(s.aliases, q, retain, ids)
	} else {
		frame, idAt = w.frames.get(s.version, q, retain)
	}
	if s.maxPacket > 0 && len(frame) > int(s.maxPacket) {
		w.dropped(metrics.DroppedTooLarge)
		return nil, 0
	}
	if assign {
		s.aliases.confirm(w.frames.publish.Topic)
	}
	return frame, idAt
}

func (w *Worker) sendQoS0(s *Subscriber, retain bool, ids []uint32) {
	if s.link == nil {
		w.missed(s)
		return
	}
	if s.link.Full() {
		w.dropped(metrics.DroppedSlowConsumer)
		w.missed(s)
		return
	}
	if frame, _ := w.encoded(s, packet.QoS0, retain, ids); frame != nil {
		w.Counts[metrics.PublishSentQoS0]++
		s.link.Write(w, frame)
		if s.link.Behind() {
			w.slow = append(w.slow, s)
		}
	}
}

// sendTracked sends at once a message whose acknowledgement is waited for: one of
// QoS 2 to a durable session as soon as its identifier is durable.
func (w *Worker) sendTracked(s *Subscriber, p *packet.Publish, q packet.QoS, retain bool, ids []uint32, shared string) {
	if s.session.Durable && q == packet.QoS2 {
		d := w.delivery(s, p, q, retain, ids, shared)
		w.persist(s, d)
		w.hold(s, d, s.session.Hold(d))
		return
	}
	frame, idAt := w.encoded(s, q, retain, ids)
	if frame == nil {
		return
	}
	var kept *session.Delivery
	if s.session.Durable || shared != "" {
		kept = w.delivery(s, p, q, retain, ids, shared)
		w.persist(s, kept)
	}
	packet.PutID(frame, idAt, s.session.Send(q, kept))
	w.Counts[metrics.PublishSentQoS0+metrics.Counter(q)]++
	s.link.Write(w, frame)
}

// delivery makes p last for s, with a number if the store is to have it.
func (w *Worker) delivery(s *Subscriber, p *packet.Publish, q packet.QoS, retain bool, ids []uint32, shared string) *session.Delivery {
	d := &session.Delivery{Message: w.message(p), QoS: q, Retain: retain, Shared: shared}
	if len(ids) > 0 {
		d.IDs = append([]uint32(nil), ids...)
	}
	if store.Durable(q, &s.session) {
		d.Seq = s.session.NextSeq()
	}
	return d
}

// persist hands a delivery to the store, if it has a number.
func (w *Worker) persist(s *Subscriber, d *session.Delivery) {
	if d.Seq != 0 {
		w.batch.Deliveries = append(w.batch.Deliveries, store.Delivery{Session: s.ID, Delivery: d})
		w.handsOver(s, d.QoS)
	}
}

// enqueue lets d wait in its session, within the limits. The Subscriber is
// locked.
func (w *Worker) enqueue(s *Subscriber, d *session.Delivery) {
	if w.crowdedOut(s, d) {
		w.full(s, d)
		return
	}
	result := s.session.Enqueue(d, func(old session.Waiting) {
		w.dropped(metrics.DroppedQueueFull)
		w.complete(s, old)
		w.missed(s)
	})
	if result != session.QueueFull {
		w.persist(s, d)
		if s.link != nil && s.session.Crowded() {
			w.slow = append(w.slow, s)
		}
		return
	}
	w.full(s, d)
}

// full drops a delivery that s, which is locked, has no room for.
func (w *Worker) full(s *Subscriber, d *session.Delivery) {
	w.missed(s)
	if d.QoS == packet.QoS0 {
		w.dropped(metrics.DroppedSlowConsumer)
		return
	}
	w.dropped(metrics.DroppedQueueFull)
	if s.overflow == Disconnect && s.link != nil {
		s.link.Kick(packet.ReasonQuotaExceeded, "too many messages are waiting for this client")
	}
}

// pump sends what waits, as far as the window and the connection have room. The
// Subscriber is locked.
func (w *Worker) pump(s *Subscriber) {
	for s.link != nil && !s.link.Congested() {
		w.holdBack(s)
		o, ok := s.session.Next()
		switch {
		case !ok:
			s.allReviewed()
			w.refill(s)
			return
		case o.Delivery == nil:
			w.scratch = packet.AppendAck(w.scratch[:0], packet.TypePubrel, o.ID)
			s.link.Write(w, w.scratch)
		case o.Held:
			w.hold(s, o.Delivery, o.ID)
		default:
			w.sendDelivery(s, o)
		}
	}
}

// sendDelivery sends a delivery that waited, or once more after a reconnect. One
// that has expired before it was first sent [MQTT-3.3.2-5], or that the rules
// withhold by now, or that is too large for this client, is withheld instead.
func (w *Worker) sendDelivery(s *Subscriber, o session.Outgoing) {
	var reason metrics.Counter
	switch {
	case !o.Dup && o.Delivery.Expired(w.Now):
		reason = metrics.DroppedExpired
	case !o.Dup && !s.mayStillReceive(o.Delivery), o.Dup && !s.mayReceiveAgain(o.Delivery):
		reason = metrics.DroppedUnauthorized
	case w.writeDelivery(s, o):
		return
	default:
		reason = metrics.DroppedTooLarge
	}
	w.dropped(reason)
	w.withhold(s, o)
}

// withhold ends the exchange of a delivery that is not sent. Of one at QoS 2 that was
// sent before, the client may have the packet identifier, and would take the next
// message under it for a repeat: that exchange goes on with PUBREL, as soon as the
// store knows that the message does not come again.
func (w *Worker) withhold(s *Subscriber, o session.Outgoing) {
	at := o.Delivery.Waiting()
	if !o.Dup || o.Delivery.QoS < packet.QoS2 {
		if o.ID != 0 {
			s.session.Discard(o.ID)
		}
		w.complete(s, at)
		return
	}
	s.session.Withhold(o.ID)
	w.batch.Sent = append(w.batch.Sent, store.Sent{Session: s.ID, Seq: at.Seq, Message: at.Message, ID: o.ID, Released: true})
	w.held = append(w.held, held{subscriber: s, seq: at.Seq, id: o.ID})
}

func (w *Worker) writeDelivery(s *Subscriber, o session.Outgoing) bool {
	p, d := &w.outgoing, o.Delivery
	d.Fill(p, w.Now)
	p.QoS, p.Retain, p.ID, p.Dup = d.QoS, d.Retain, o.ID, o.Dup
	for _, sub := range d.IDs {
		p.Properties.AddSubscriptionID(sub)
	}
	name := p.Topic
	assign := s.version == packet.V5 && s.aliases.apply(p)
	w.scratch, _ = p.AppendFrame(w.scratch[:0], s.version)
	if s.maxPacket > 0 && len(w.scratch) > int(s.maxPacket) {
		return false
	}
	if assign {
		s.aliases.confirm(name)
	}
	w.Counts[metrics.PublishSentQoS0+metrics.Counter(d.QoS)]++
	s.link.Write(w, w.scratch)
	return true
}

// Drained lets waiting messages go on after link was congested.
func (w *Worker) Drained(s *Subscriber, link Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == link {
		w.pump(s)
	}
}

// Acknowledge takes a PUBACK, PUBREC or PUBCOMP that came over link, and sends
// what it made room for. known is false where no such exchange is under way.
func (w *Worker) Acknowledge(s *Subscriber, link Link, t packet.Type, id uint16, reason packet.ReasonCode) (known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != link {
		return true // the session was taken over: nobody is interested
	}
	d, known := s.session.Acknowledge(t, id, reason)
	switch {
	case !known:
		return t == packet.TypePubrec && s.session.Released(id)
	case t != packet.TypePubrec || reason.IsError():
		w.complete(s, d)
	case d.Seq != 0: // before PUBREL is sent
		w.batch.Sent = append(w.batch.Sent, store.Sent{Session: s.ID, Seq: d.Seq, Message: d.Message, ID: id, Released: true})
	}
	w.pump(s)
	return true
}

// Receive takes the identifier of a QoS 2 PUBLISH; see session.Session.Receive.
func (w *Worker) Receive(s *Subscriber, id uint16) (isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	isNew = s.session.Receive(id)
	if isNew && s.session.Durable {
		w.batch.Received = append(w.batch.Received, store.Identifier{Session: s.ID, ID: id})
	}
	return isNew
}

// Release takes a PUBREL; see session.Session.Release.
func (w *Worker) Release(s *Subscriber, id uint16) (known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known = s.session.Release(id)
	if known && s.session.Durable {
		w.batch.Released = append(w.batch.Released, store.Identifier{Session: s.ID, ID: id})
	}
	return known
}
