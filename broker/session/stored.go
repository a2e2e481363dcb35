package session

import (
	"cmp"
	"slices"
	"time"
)

// stored is what a durable session has besides: what waits in its store, and
// what is to be sent of what is in flight.
type stored struct {
	ledger   ledger
	parked   bool     // no client takes anything: all that a store has is in the ledger
	shared   bool     // of the deliveries, one or more may be of a shared subscription
	releases []uint16 // PUBRELs of an earlier connection, to be sent again
	again    []uint16 // messages in flight since then, to be sent again
	unsent   []uint16 // messages of QoS 2 that are sent as soon as their identifiers are durable
}

// passed reports whether nothing waits that another message would overtake.
func (st *stored) passed() bool {
	return len(st.releases)+len(st.again) == 0 && st.ledger.len() == 0
}

func (s *Session) store() *stored {
	if s.stored == nil {
		s.stored = &stored{}
	}
	return s.stored
}

// note remembers that d may have to be handed over.
func (s *Session) note(d *Delivery) {
	if d.Shared != "" {
		s.store().shared = true
	}
}

// listed reports whether d, which a store has, is to wait there alone.
func (s *Session) listed(d *Delivery) bool {
	s.note(d)
	if st := s.stored; st != nil && (st.parked || st.ledger.len() > 0) {
		return true
	}
	if s.queue.takes(d) {
		return false
	}
	s.store()
	return true
}

// Hold takes a packet identifier for a message of QoS 2 of a durable session;
// Ready has said yes. The client may not see the identifier before it is durable,
// or a message that was delivered might come again under another one after a
// crash. After Confirm, Next returns it to be sent.
func (s *Session) Hold(d *Delivery) (id uint16) {
	f := s.out.take(stepHeld)
	f.seq, f.message = d.Seq, d.ID
	s.out.keep(f, d)
	s.out.wait(f)
	s.note(d)
	st := s.store()
	st.unsent = append(st.unsent, f.id)
	return f.id
}

// Confirm tells that the identifier of the delivery with a number, which Hold or
// Next has returned, is durable, or that it is withheld.
func (s *Session) Confirm(id uint16, seq uint64) {
	f := s.out.find(id)
	switch {
	case f == nil || f.seq != seq:
	case f.step == stepHeld:
		s.out.step(f, stepConfirmed)
	case f.step == stepWithheld:
		s.out.step(f, stepPubcomp)
		s.store().releases = append(s.stored.releases, id)
	}
}

// nextUnsent returns what is to be sent of what is in flight. blocked says that
// nothing else may be sent before that.
func (s *Session) nextUnsent() (o Outgoing, ok, blocked bool) {
	st := s.stored
	for len(st.releases) > 0 {
		id := st.releases[0]
		st.releases = behindFirst(st.releases)
		if s.Released(id) {
			return Outgoing{ID: id}, true, false
		}
	}
	f, dup := s.firstUnsent()
	switch {
	case f == nil || f.step == stepHeld: // others of QoS 2 are behind it in the same list
		return Outgoing{}, false, false
	case f.delivery == nil || s.out.used-s.out.unsent >= s.Window:
		return Outgoing{}, false, true
	}
	o = Outgoing{Delivery: f.delivery, ID: f.id, Dup: dup}
	s.out.keep(f, nil)
	s.out.sent(f)
	if dup {
		st.again = behindFirst(st.again)
	} else {
		st.unsent = behindFirst(st.unsent)
		s.out.step(f, stepPubrec)
	}
	return o, true, false
}

// firstUnsent returns the message in flight that is to be sent next, nil if there
// is none, and whether it was sent before. It takes those off the lists that were
// acknowledged although they were not sent again.
func (s *Session) firstUnsent() (f *slot, dup bool) {
	for _, list := range []*[]uint16{&s.stored.again, &s.stored.unsent} {
		for len(*list) > 0 {
			if f := s.out.find((*list)[0]); f != nil && f.unsent {
				return f, list == &s.stored.again
			}
			*list = behindFirst(*list)
		}
	}
	return nil, false
}

// behindFirst returns the rest of a list, and lets go of one that is empty.
func behindFirst(ids []uint16) []uint16 {
	if len(ids) == 1 {
		return nil
	}
	return ids[1:]
}

// Park lets go of all bodies, since the client of a durable session is gone: what
// a store has is only listed from here on, and messages of QoS 0 are dropped,
// whose first is returned.
func (s *Session) Park() (dropped *Delivery) {
	st := s.store()
	st.parked = true
	st.releases, st.again = nil, nil
	for i := range s.out.slots {
		s.out.keep(&s.out.slots[i], nil)
	}
	var waiting []Waiting
	for _, d := range s.queue.items[s.queue.head:] {
		switch {
		case d.Seq != 0:
			waiting = append(waiting, d.Waiting())
		case dropped == nil:
			dropped = d
		}
	}
	s.queue = queue{}
	st.ledger.prepend(waiting)
	return dropped
}

// Resume has Next return what an earlier connection left in flight: PUBRELs in
// the order of their PUBRECs, then messages in the order of their first sending
// [MQTT-4.4.0-1], [MQTT-4.6.0-1]. The window of the new connection bounds that
// too.
func (s *Session) Resume() {
	if s.stored != nil {
		s.stored.parked = false
		s.stored.releases, s.stored.again = s.out.resume()
	}
}

// Missing returns the number of the delivery from which on the store has to be
// read, so that Next can go on; ok is false while that is not so.
func (s *Session) Missing() (from uint64, ok bool) {
	if s.stored == nil {
		return 0, false
	}
	if f, _ := s.firstUnsent(); f != nil && f.delivery == nil {
		return f.seq, true
	}
	if l := &s.stored.ledger; l.len() > 0 && s.queue.low() {
		return l.first().Seq, true
	}
	return 0, false
}

// Room returns how many deliveries, and bytes of them, are to be read.
func (s *Session) Room() (messages, bytes int) { return s.queue.room() }

// Page is what was read of a session's deliveries.
type Page struct {
	// From and To are the first number that was asked for, and the last one that
	// was given to a delivery by then: see LastSeq.
	From, To uint64
	// Deliveries in ascending order of Seq.
	Deliveries []*Delivery
}

// end is the last number of which p tells whether the store has its delivery.
func (p *Page) end() uint64 {
	if n := len(p.Deliveries); n > 0 {
		return min(p.To, p.Deliveries[n-1].Seq)
	}
	return p.To
}

// find returns a delivery; covered says that p would have it if the store did.
func (p *Page) find(seq uint64) (d *Delivery, covered bool) {
	i, found := slices.BinarySearchFunc(p.Deliveries, seq, func(d *Delivery, seq uint64) int {
		return cmp.Compare(d.Seq, seq)
	})
	if found {
		return p.Deliveries[i], true
	}
	return nil, p.From <= seq && seq <= p.end()
}

// Take takes what was read for Missing. lost is called for each delivery that the
// store does not have; where it is nil, Take ends at the first of them and
// returns false.
func (s *Session) Take(p *Page, lost func(Waiting)) (complete bool) {
	for _, list := range [][]uint16{s.stored.again, s.stored.unsent} {
		for _, id := range list {
			f := s.out.find(id)
			if f == nil || !f.unsent || f.delivery != nil {
				continue
			}
			d, covered := p.find(f.seq)
			switch {
			case d != nil:
				s.out.keep(f, d)
			case !covered:
			case lost == nil:
				return false
			default:
				lost(f.waiting())
				s.out.free(f)
			}
		}
	}
	return s.takeListed(p, lost)
}

func (s *Session) takeListed(p *Page, lost func(Waiting)) (complete bool) {
	l := &s.stored.ledger
	for l.len() > 0 {
		d, covered := p.find(l.first().Seq)
		switch {
		case d != nil:
			l.pop()
			s.queue.push(d)
		case !covered:
			return true
		case lost == nil:
			return false
		default:
			lost(l.pop())
		}
	}
	return true
}

// Expire takes out of what only a store has all that has lost its worth, and
// calls gone for each. It returns the number of deliveries that it had to look at.
func (s *Session) Expire(now time.Time, gone func(Waiting)) (looked int) {
	if s.stored == nil {
		return 0
	}
	return s.stored.ledger.expire(now, gone)
}

// Listed returns the number of deliveries that wait in a store alone.
func (s *Session) Listed() int {
	if s.stored == nil {
		return 0
	}
	return s.stored.ledger.len()
}

// Unsent reports whether messages in flight are to be sent.
func (s *Session) Unsent() bool { return s.out.unsent > 0 }

// Shares reports whether deliveries of a durable session may be of a shared
// subscription, so that other members can have them when it ends.
func (s *Session) Shares() bool {
	return s.stored != nil && s.stored.shared
}

// Delivered returns the numbers of the deliveries at QoS 2 that were sent, which
// are nobody else's [MQTT-4.8.2-5].
func (s *Session) Delivered() map[uint64]bool {
	delivered := map[uint64]bool{}
	for i := range s.out.slots {
		if f := &s.out.slots[i]; f.step >= stepPubrec {
			delivered[f.seq] = true
		}
	}
	return delivered
}

// Restore lists a delivery that a store has kept. They come in the order of their
// numbers.
func (s *Session) Restore(w Waiting) {
	s.seq = max(s.seq, w.Seq)
	st := s.store()
	st.ledger.push(w)
	st.shared = true // for all that is known
}

// RestoreSent puts an exchange of QoS 2 back in flight that a store has kept,
// with what names its delivery to the store. They come in the order of their
// numbers.
func (s *Session) RestoreSent(id uint16, w Waiting, released bool) {
	s.seq = max(s.seq, w.Seq)
	at := stepPubrec
	if released {
		at = stepPubcomp
	}
	if f := s.out.restore(id, at); f != nil {
		f.seq, f.message = w.Seq, w.Message
		s.store().shared = true
	}
}

// LastSeq returns the number that was given last.
func (s *Session) LastSeq() uint64 { return s.seq }
