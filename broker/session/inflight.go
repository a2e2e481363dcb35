package session

import (
	"cmp"
	"slices"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// step is how far the exchange of one packet identifier has come.
type step uint8

const (
	stepFree      step = iota
	stepHeld           // it is not sent before its identifier is durable
	stepConfirmed      // its identifier is, and it was not sent
	stepPuback
	stepPubrec
	stepPubcomp
	stepWithheld // PUBREL follows once it is durable that the message does not
)

// slot is one message in flight to the client.
type slot struct {
	// delivery is there for another member of a shared subscription, or because
	// it is to be sent; else it is nil. See inflight.keep.
	delivery     *Delivery
	seq, message uint64 // of a delivery that a store has
	order        uint64 // when it came to its step, relative to the others
	id           uint16
	step         step
	unsent       bool // it was not sent, or not sent again, over this connection
}

// waiting names the delivery to its store.
func (f *slot) waiting() Waiting { return Waiting{Seq: f.seq, Message: f.message} }

// inflight is the window of messages that the client has not acknowledged. A
// packet identifier's slot is found by its low bits, so identifiers that are
// handed out in sequence never collide until the window wraps around to one
// that is still in use, which is then passed over.
type inflight struct {
	slots  []slot // a power of two, or nil while nothing was ever sent
	order  uint64
	bytes  int // of the deliveries that are kept
	used   int32
	unsent int32  // those of used that are to be sent
	next   uint16 // the identifier handed out last
}

const minSlots = 16

func (f *inflight) at(id uint16) *slot { return &f.slots[int(id)&(len(f.slots)-1)] }

// find returns the slot of id, or nil where it is not in use.
func (f *inflight) find(id uint16) *slot {
	if len(f.slots) == 0 {
		return nil
	}
	if s := f.at(id); s.id == id && s.step != stepFree {
		return s
	}
	return nil
}

// take assigns an identifier that is not in use [MQTT-2.2.1-4]. The caller has
// made sure that used is below the largest window. The slot stays where it is
// until the next call.
func (f *inflight) take(first step) *slot {
	if int(f.used)*2 >= len(f.slots) {
		f.grow()
	}
	for {
		f.next++
		if f.next == 0 {
			f.next = 1
		}
		if s := f.at(f.next); s.step == stepFree {
			f.occupy(s, f.next, first)
			return s
		}
	}
}

// restore takes an identifier that was assigned earlier. It is nil if that is in
// use.
func (f *inflight) restore(id uint16, at step) *slot {
	if f.find(id) != nil {
		return nil
	}
	for int(f.used)*2 >= len(f.slots) || f.at(id).step != stepFree {
		f.grow()
	}
	s := f.at(id)
	f.occupy(s, id, at)
	return s
}

func (f *inflight) occupy(s *slot, id uint16, at step) {
	f.order++
	f.used++
	*s = slot{order: f.order, id: id, step: at}
}

func firstStep(q packet.QoS) step {
	if q == packet.QoS2 {
		return stepPubrec
	}
	return stepPuback
}

// grow doubles the table. At most half of it is ever in use, so that a free
// slot is near.
func (f *inflight) grow() {
	old := f.slots
	f.slots = make([]slot, max(minSlots, 2*len(old)))
	for _, s := range old {
		if s.step != stepFree {
			*f.at(s.id) = s
		}
	}
}

// keep has s keep the body of its delivery, or let go of it where d is nil.
func (f *inflight) keep(s *slot, d *Delivery) {
	if s.delivery != nil {
		f.bytes -= s.delivery.Size()
	}
	if s.delivery = d; d != nil {
		f.bytes += d.Size()
	}
}

// wait notes that s is to be sent over this connection, and sent that it was.
func (f *inflight) wait(s *slot) {
	s.unsent = true
	f.unsent++
}

func (f *inflight) sent(s *slot) {
	if s.unsent {
		s.unsent = false
		f.unsent--
	}
}

// release begins the second half of an exchange of QoS 2.
func (f *inflight) release(s *slot) {
	f.sent(s)
	f.step(s, stepPubcomp)
	f.keep(s, nil) // only the identifier matters from here on [MQTT-4.3.3-6]
}

// step brings s to another step.
func (f *inflight) step(s *slot, to step) {
	f.order++
	s.order, s.step = f.order, to
}

func (f *inflight) free(s *slot) {
	f.sent(s)
	f.keep(s, nil)
	*s = slot{}
	f.used--
	if f.used == 0 && len(f.slots) > keptSlots {
		f.slots = nil
	}
}

// keptSlots is the largest table that a session keeps while nothing is in
// flight.
const keptSlots = 1024

// resume returns what is to be sent again over a new connection: the PUBRELs in
// the order of their PUBRECs, and the messages in the order of their first
// sending.
func (f *inflight) resume() (releases, messages []uint16) {
	f.unsent = 0
	for _, id := range f.inOrder() {
		s := f.at(id)
		if s.unsent = s.step < stepPubcomp; !s.unsent {
			if s.step == stepPubcomp {
				releases = append(releases, id)
			}
			continue
		}
		f.unsent++
		if s.step >= stepPuback { // it was sent before
			messages = append(messages, id)
		}
	}
	return releases, messages
}

// inOrder returns the identifiers in use by the order in which they came to
// their step.
func (f *inflight) inOrder() []uint16 {
	ids := make([]uint16, 0, f.used)
	for i := range f.slots {
		if f.slots[i].step != stepFree {
			ids = append(ids, f.slots[i].id)
		}
	}
	slices.SortFunc(ids, func(a, b uint16) int { return cmp.Compare(f.at(a).order, f.at(b).order) })
	return ids
}

// idSet is a set of packet identifiers, sized by what it holds.
type idSet struct {
	pages [64]*[16]uint64 // 1,024 identifiers a page
	len   int
}

func (s *idSet) page(id uint16) **[16]uint64 { return &s.pages[id>>10] }

func (s *idSet) has(id uint16) bool {
	p := *s.page(id)
	return p != nil && p[id>>6&15]>>(id&63)&1 != 0
}

func (s *idSet) add(id uint16) {
	p := s.page(id)
	if *p == nil {
		*p = new([16]uint64)
	}
	(*p)[id>>6&15] |= 1 << (id & 63)
	s.len++
}

func (s *idSet) remove(id uint16) {
	(*s.page(id))[id>>6&15] &^= 1 << (id & 63)
	s.len--
}

// all yields the identifiers in ascending order.
func (s *idSet) all(yield func(id uint16) bool) {
	for i, p := range s.pages {
		if p == nil {
			continue
		}
		for bit := range 1024 {
			if p[bit>>6]>>(bit&63)&1 != 0 && !yield(uint16(i<<10+bit)) {
				return
			}
		}
	}
}
