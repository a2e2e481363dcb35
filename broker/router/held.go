package router

import (
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Two workers may have a part of what the store is to know of a delivery: the one
// of the publisher has the message, and the one of the subscriber its packet
// identifier, or that it is complete. Each hands its batches over by itself, so the
// second waits for the first:
//
//   - A message of QoS 2 is sent to a durable session when the store has its packet
//     identifier, and all that came before it for the session.
//   - A delivery that is complete before the store has it is removed behind it.
//     Else its record would stay.

// handover is a batch of a worker.
type handover struct {
	worker *Worker
	batch  uint64 // the number of those before
	exact  bool   // it has something of QoS 2
}

// visible reports whether what h holds reaches the store no later than the batch
// that w is filling.
func (h handover) visible(w *Worker) bool {
	return h.worker == w || h.worker.handed.Load() > h.batch
}

// handovers are batches with deliveries of a durable session, one of each worker
// at most.
type handovers struct {
	last    []handover
	waiting bool // pump is called when they have reached the store
}

// handsOver notes that the batch of w has something of a delivery of s, which is
// locked. What has reached the store by now is forgotten, so that there are few.
func (w *Worker) handsOver(s *Subscriber, q packet.QoS) {
	if s.handovers == nil {
		s.handovers = new(handovers)
	}
	h := handover{worker: w, batch: w.handed.Load(), exact: q == packet.QoS2}
	kept := s.handovers.last[:0]
	for _, other := range s.handovers.last {
		switch {
		case !other.visible(w):
			kept = append(kept, other)
		case other.worker == w && other.batch == h.batch:
			h.exact = h.exact || other.exact
		}
	}
	s.handovers.last = append(kept, h)
}

// follows reports whether the batch of w reaches the store behind all that it is
// to have of the deliveries of s, which is locked, or with it.
func (w *Worker) follows(s *Subscriber) bool {
	if s.handovers == nil {
		return true
	}
	for _, h := range s.handovers.last {
		if !h.visible(w) {
			return false
		}
	}
	return true
}

// mayHold reports whether the next packet identifier of s, which is locked, may
// be in the batch of w. After a crash the store would else know the later message
// alone, which would be sent before the others, or an identifier of a message that
// it does not know, which would come again under another one.
func (w *Worker) mayHold(s *Subscriber) bool {
	if s.handovers == nil {
		return true
	}
	for _, h := range s.handovers.last {
		if h.exact && !h.visible(w) {
			return false
		}
	}
	return true
}

// complete takes a delivery of s, which is locked, out of the store, if that has
// it or is about to.
func (w *Worker) complete(s *Subscriber, d session.Waiting) {
	if d.Seq == 0 {
		return
	}
	done := store.Done{Session: s.ID, Seq: d.Seq, Message: d.Message}
	if w.follows(s) {
		w.batch.Done = append(w.batch.Done, done)
		return
	}
	if w.late = append(w.late, done); !w.following {
		w.follow()
	}
}

// follow has what is late in a batch of w once all workers have handed over what
// they had before. What comes to it meanwhile is next.
func (w *Worker) follow() {
	late := w.late
	w.late, w.following = nil, true
	w.r.workers.settled(func() {
		w.post(func() {
			w.batch.Done = append(w.batch.Done, late...)
			if w.following = false; len(w.late) > 0 {
				w.follow()
			}
		})
	})
}

// holdBack lets s, which is locked, wait until w may hold its next message.
func (w *Worker) holdBack(s *Subscriber) {
	s.session.HoldBack = !w.mayHold(s)
	if !s.session.HoldBack || s.handovers.waiting {
		return
	}
	s.handovers.waiting = true
	w.r.workers.settled(func() {
		w.post(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.handovers.waiting = false
			w.pump(s)
		})
	})
}

// hold makes the packet identifier of a delivery durable.
func (w *Worker) hold(s *Subscriber, d *session.Delivery, id uint16) {
	w.batch.Sent = append(w.batch.Sent, store.Sent{Session: s.ID, Seq: d.Seq, Message: d.ID, ID: id})
	w.held = append(w.held, held{subscriber: s, seq: d.Seq, id: id})
	w.handsOver(s, packet.QoS2)
}

// held is a delivery whose packet identifier is about to be durable.
type held struct {
	subscriber *Subscriber
	seq        uint64
	id         uint16
}

// confirm sends what was held.
func (w *Worker) confirm(all []held) {
	for _, h := range all {
		s := h.subscriber
		s.mu.Lock()
		s.session.Confirm(h.id, h.seq)
		w.pump(s)
		s.mu.Unlock()
	}
}
