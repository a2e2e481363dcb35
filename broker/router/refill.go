package router

import (
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// reading is a page on its way from the store to a connected client. What has
// ended meanwhile is told by it being another one than that of its Subscriber.
type reading struct {
	link Link
	page session.Page
	// sure: all that was known when it began had been handed to the store, so that
	// what is not there is lost.
	sure bool
}

// refill has the store read as soon as the client can take more than is in
// memory. s is locked.
func (w *Worker) refill(s *Subscriber) {
	if s.link == nil || s.reading != nil {
		return
	}
	if from, ok := s.session.Missing(); ok {
		w.read(s, from, false)
		return
	}
	if waiting, _ := s.session.Queue(); waiting == 0 {
		w.replayOn(s)
	}
}

// read reads a page of the deliveries of s, which is locked.
func (w *Worker) read(s *Subscriber, from uint64, sure bool) {
	rd := &reading{link: s.link, page: session.Page{From: from, To: s.session.LastSeq()}, sure: sure}
	s.reading = rd
	messages, bytes := s.session.Room()
	begin := func() {
		w.r.readers.run(func() {
			var err error
			rd.page.Deliveries, err = w.r.store.Deliveries(s.ID, from, messages, bytes)
			w.post(func() { w.take(s, rd, err) })
		})
	}
	if sure {
		w.r.workers.settled(begin)
	} else {
		begin()
	}
}

// take lets a page of deliveries go on. What is not in it may be on its way to
// the store from another Worker: then the page is read again behind that.
func (w *Worker) take(s *Subscriber, rd *reading, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.isRead(s, rd, err) {
		return
	}
	var lost func(session.Waiting)
	if rd.sure {
		lost = func(d session.Waiting) {
			w.dropped(metrics.DroppedLost)
			w.complete(s, d)
		}
	}
	complete := s.session.Take(&rd.page, lost)
	if from, ok := s.session.Missing(); !complete && ok {
		w.read(s, from, true) // before pump reads it as before
	}
	w.pump(s)
}

// isRead ends a reading of s, which is locked, and reports whether it is of use.
func (w *Worker) isRead(s *Subscriber, rd *reading, err error) bool {
	if s.reading != rd {
		return false
	}
	s.reading = nil
	if err != nil {
		s.link.Kick(packet.ReasonUnspecifiedError, "what waits for this client cannot be read")
		return false
	}
	return true
}
