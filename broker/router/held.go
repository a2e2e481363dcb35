package router

import (
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// A message of QoS 2 is sent to a durable session when the store has its packet
// identifier, and all that came before it for the session. Two workers may have a
// part of that: the one of the publisher and the one of the subscriber. Each hands
// its batches over by itself.

// handover is a batch of a worker.
type handover struct {
	worker *Worker
	batch  uint64 // the number of those before
}

// visible reports whether what h holds reaches the store no later than the batch
// that w is filling.
func (h handover) visible(w *Worker) bool {
	return h.worker == w || h.worker.handed.Load() > h.batch
}

// handovers are the batches that had something of QoS 2 for a durable session
// last, of each worker.
type handovers struct {
	last    []handover
	waiting bool // pump is called when they have reached the store
}

// handsOver notes that the batch of w has something of QoS 2 for s, which is
// locked.
func (w *Worker) handsOver(s *Subscriber) {
	if s.handovers == nil {
		s.handovers = new(handovers)
	}
	h := handover{worker: w, batch: w.handed.Load()}
	for i := range s.handovers.last {
		if s.handovers.last[i].worker == w {
			s.handovers.last[i] = h
			return
		}
	}
	s.handovers.last = append(s.handovers.last, h)
}

// mayHold reports whether the next packet identifier of s, which is locked, may
// be in the batch of w: the store has what came before, or gets it with it. After
// a crash it would else know the later message alone, which would be sent before
// the others, or an identifier of a message that it does not know, which would come
// again under another one.
func (w *Worker) mayHold(s *Subscriber) bool {
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
	w.handsOver(s)
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
