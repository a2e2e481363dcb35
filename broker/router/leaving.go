package router

import (
	"time"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// leaving is a session that has ended, and whose deliveries of shared
// subscriptions are read from the store and handed over to other members, page
// by page. Until that is over its client cannot come back, and after a crash the
// session is there again with what was not handed over.
type leaving struct {
	subscriber *Subscriber
	from       uint64          // the number to go on with
	delivered  map[uint64]bool // what nobody else can have
	expired    bool            // what else there is has expired with the session
	failed     bool            // the store could not be read, and is when the timer goes off
	waiting    []func()        // guarded by the Subscriber, as is failed
}

// leave begins to hand over what s, which is locked, has left.
func (w *Worker) leave(s *Subscriber, published bool) {
	l := &leaving{subscriber: s, delivered: s.session.Delivered()}
	s.leaving = l
	if published { // its will, which is not published again
		w.batch.Sessions = append(w.batch.Sessions, s.record())
	}
	w.r.workers.settled(func() { w.readLeft(l) })
}

// wait calls done once the session is gone.
func (l *leaving) wait(done func()) {
	s := l.subscriber
	s.mu.Lock()
	over := s.leaving == nil
	if !over {
		l.waiting = append(l.waiting, done)
	}
	s.mu.Unlock()
	if over {
		done()
	}
}

// readLeft reads the next page.
func (w *Worker) readLeft(l *leaving) {
	w.r.readers.run(func() {
		page, err := w.r.store.Deliveries(l.subscriber.ID, l.from, leftMessages, leftBytes)
		w.post(func() { w.handOverPage(l, page, err) })
	})
}

// A page of what was left.
const (
	leftMessages = 256
	leftBytes    = 1 << 20
)

// readLater reads the page once more when the timer of the session goes off.
func (w *Worker) readLater(l *leaving) {
	s := l.subscriber
	s.mu.Lock()
	defer s.mu.Unlock()
	l.failed = true
	w.r.wakeAt(s, w.Now.Add(readAgain))
}

// wakeLeaving is what the timer of a session that leaves, and is locked, does. One
// that had gone off before the session ended has nothing to do any more.
func (w *Worker) wakeLeaving(l *leaving) {
	if l.failed {
		l.failed = false
		w.readLeft(l)
	}
}

// readAgain is how long a store is left alone that could not be read.
const readAgain = time.Second

// handOverPage hands over what was read. Each page is stored with its new owners
// in the batch in which it is taken from the old one.
func (w *Worker) handOverPage(l *leaving, page []*session.Delivery, err error) {
	switch {
	case err != nil:
		w.readLater(l)
		return
	case len(page) == 0:
		w.gone(l)
		return
	}
	for _, d := range page {
		w.batch.Done = append(w.batch.Done, store.Done{Session: l.subscriber.ID, Seq: d.Seq, Message: d.ID})
		switch {
		case d.Shared != "" && !l.delivered[d.Seq]:
			w.handOver(d)
		case l.expired:
			w.dropped(metrics.DroppedExpired)
		}
	}
	w.Settle()
	l.from = page[len(page)-1].Seq + 1
	w.readLeft(l)
}

// gone removes a session that has nothing left.
func (w *Worker) gone(l *leaving) {
	s := l.subscriber
	sh := w.r.sessions.shard(s.ClientID)
	sh.mu.Lock()
	s.mu.Lock()
	w.forget(s)
	w.Settle()
	s.session, s.leaving = session.Session{}, nil
	delete(sh.byID, s.ClientID)
	waiting := l.waiting
	s.mu.Unlock()
	sh.mu.Unlock()
	for _, done := range waiting {
		done()
	}
}
