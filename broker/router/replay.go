package router

import (
	"slices"
	"strings"
	"time"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// replay is what follows of the retained messages that match a subscription. It
// goes on, page by page, whenever its client has taken what waits.
type replay struct {
	filter string
	next   string // the topic to go on with
	done   bool   // there is none
	// since is the last change of which the client has not got the message anyway,
	// as it was published.
	since uint64
}

// Replay sends the retained messages that match filter, after the SUBACK that
// granted it [MQTT-3.3.1-9]. since is that of Subscribed.
func (w *Worker) Replay(s *Subscriber, link Link, filter string, since uint64) {
	if !strings.ContainsAny(filter, "+#") {
		if _, ok := w.r.retained.Get(filter); !ok {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != link || s.session.Subscription(filter) == nil {
		return
	}
	s.endReplay(filter)
	s.replays = append(s.replays, &replay{filter: filter, since: since})
	w.refill(s)
}

// missed notes that s, which is locked, did not get a message that may be
// retained: a replay makes up for it.
func (w *Worker) missed(s *Subscriber) {
	for _, x := range s.replays {
		x.since = w.r.retained.changes.Load()
	}
}

// endReplay ends what follows for a subscription, which has ended or begins anew.
func (s *Subscriber) endReplay(filter string) {
	s.replays = slices.DeleteFunc(s.replays, func(x *replay) bool { return x.filter == filter })
	if len(s.replays) == 0 {
		s.replays = nil
	}
}

// replayOn reads the next page for s, which is locked and has nothing that waits.
func (w *Worker) replayOn(s *Subscriber) {
	for len(s.replays) > 0 && s.replays[0].done {
		s.endReplay(s.replays[0].filter)
	}
	if len(s.replays) == 0 {
		return
	}
	rd, x, l := &reading{link: s.link}, s.replays[0], lookup{r: w.r, s: s, now: w.Now}
	s.reading = rd
	next, since := x.next, x.since
	w.r.readers.run(func() {
		l.match(x.filter, next, since)
		err := l.read()
		w.post(func() { w.replayed(s, rd, x, &l, err) })
	})
}

// lookup finds a page of retained messages.
type lookup struct {
	r     *Router
	s     *Subscriber
	now   time.Time
	found []finding
	bytes int
	next  string // behind the page; "" if nothing is
}

// finding is a retained message as it was found.
type finding struct {
	name string
	kept
	body *session.Message // nil if it is gone
}

// A page of retained messages.
const (
	replayMessages = 128
	replayBytes    = 512 << 10
)

// match looks from a topic on, and passes over what came after a change.
func (l *lookup) match(filter, from string, since uint64) {
	l.r.retained.MatchFrom(filter, from, func(name string, k kept) bool {
		if len(l.found) == replayMessages || l.bytes >= replayBytes {
			l.next = name
			return false
		}
		if k.change <= since && !k.expired(l.now) && mayReceive(l.s, []byte(name)) {
			l.found = append(l.found, finding{name: name, kept: k, body: k.message})
			l.bytes += int(k.size)
		}
		return true
	})
}

// read reads the bodies. It waits for the disk.
func (l *lookup) read() error {
	var topics []string
	for _, f := range l.found {
		if f.body == nil {
			topics = append(topics, f.name)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	bodies, err := l.r.store.Retained(topics)
	if err != nil {
		return err
	}
	for i := range l.found {
		if f := &l.found[i]; f.body == nil {
			f.body, bodies = bodies[0], bodies[1:]
		}
	}
	return nil
}

// replayed lets a page of retained messages go on.
func (w *Worker) replayed(s *Subscriber, rd *reading, x *replay, l *lookup, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.isRead(s, rd, err) {
		return
	}
	if sub := s.session.Subscription(x.filter); sub == nil || sub.Suspended {
		s.endReplay(x.filter)
	} else if slices.Contains(s.replays, x) {
		w.replayPage(s, sub, x, l)
	}
	w.pump(s)
}

// replayPage queues what was read. What has changed meanwhile comes as it was
// published, unless s has missed that: then it is read again.
func (w *Worker) replayPage(s *Subscriber, sub *session.Subscription, x *replay, l *lookup) {
	x.next, x.done = l.next, l.next == ""
	for _, f := range l.found {
		k, ok := w.r.retained.Get(f.name)
		switch {
		case ok && k.change != f.change && k.change <= x.since:
			x.next, x.done = f.name, false
			return
		case ok && k.change == f.change && f.body != nil && !f.body.Expired(w.Now):
			w.replayOne(s, sub, f.body)
		}
	}
}

// replayOne queues a retained message. The queue's limits are for messages that
// come unasked.
func (w *Worker) replayOne(s *Subscriber, sub *session.Subscription, m *session.Message) {
	d := &session.Delivery{Message: m, QoS: min(m.QoS, sub.QoS), Retain: true}
	if sub.ID != 0 {
		d.IDs = []uint32{sub.ID}
	}
	if store.Durable(d.QoS, &s.session) {
		d.Message, d.Seq = w.r.copied(m), s.session.NextSeq()
	}
	w.persist(s, d)
	s.session.Replay(d)
}

// park lets go of what a durable session, which is locked, holds for its client.
// A replay comes back to what its client has not got.
func (w *Worker) park(s *Subscriber) {
	s.reading = nil
	first := s.session.Park()
	if first == nil || !first.Retain || len(s.replays) == 0 {
		return
	}
	if x := s.replays[0]; x.done || first.Topic < x.next {
		x.next, x.done = first.Topic, false
	}
}
