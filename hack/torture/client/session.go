package client

import (
	"fmt"
	"slices"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Session is a client's half of the state of a session: messages that were sent
// and not acknowledged to the end, and identifiers of QoS 2 messages that were
// received and not released. It does no I/O, and one
// goroutine at a time may use it.
type Session struct {
	sent     []*exchange // in the order of their first sending
	received map[uint16]bool
	lastID   uint16
}

// Outgoing is a message to publish.
type Outgoing struct {
	packet.Publish
	Tag any // what the message is to its publisher
}

// exchange is a message of QoS 1 or 2 on its way to the broker.
type exchange struct {
	*Outgoing
	taken bool // PUBREC came: the message is the broker's, and the identifier is to be released
}

// Outcome is what an acknowledgement means to a message.
type Outcome int

// The outcomes.
const (
	Nothing Outcome = iota // the broker had said it before, or does not know the identifier
	Taken                  // the message is the broker's, who answers for it from here on
	Refused                // the broker will not have it
)

// InFlight is the number of exchanges that are not complete.
func (s *Session) InFlight() int { return len(s.sent) }

// Send begins the exchange of m, which is kept and gets an identifier.
func (s *Session) Send(m *Outgoing) {
	m.ID = s.nextID()
	s.sent = append(s.sent, &exchange{Outgoing: m})
}

// nextID returns an identifier that is not in use [MQTT-2.2.1-3].
func (s *Session) nextID() uint16 {
	for {
		s.lastID++
		if s.lastID != 0 && s.find(s.lastID) < 0 {
			return s.lastID
		}
	}
}

func (s *Session) find(id uint16) int {
	return slices.IndexFunc(s.sent, func(e *exchange) bool { return e.ID == id })
}

// Resume appends what is to be sent over a new connection to which the broker
// has the session [MQTT-4.4.0-1]: PUBREL for what it has taken and else the
// message again, in the order of their first sending [MQTT-4.6.0-1].
func (s *Session) Resume(dst []byte, v packet.Version) []byte {
	for _, e := range s.sent {
		if e.taken {
			dst = packet.AppendAck(dst, packet.TypePubrel, e.ID)
			continue
		}
		e.Dup = true
		dst = e.Append(dst, v)
	}
	return dst
}

// Acknowledge takes a PUBACK, PUBREC or PUBCOMP. message is what it is about, and
// reply what is to be answered, nil where that is nothing. An acknowledgement of
// what was never sent is an error.
func (s *Session) Acknowledge(a *packet.Ack) (message *Outgoing, o Outcome, reply *packet.Ack, err error) {
	i := s.find(a.ID)
	if i < 0 {
		return nil, Nothing, nil, fmt.Errorf("%v for identifier %d, which is not in use", a.Type, a.ID)
	}
	e := s.sent[i]
	if want := e.awaits(); a.Type != want && (a.Type != packet.TypePubrec || want != packet.TypePubcomp) {
		return nil, Nothing, nil, fmt.Errorf("%v for identifier %d, which waits for %v", a.Type, a.ID, want)
	}
	switch {
	case a.Type == packet.TypePubcomp: // an identifier that the broker does not know is released as well
		s.remove(i)
		return e.Outgoing, Nothing, nil, nil
	case a.Reason.IsError():
		s.remove(i)
		return e.Outgoing, Refused, nil, nil
	case a.Type == packet.TypePuback:
		s.remove(i)
		return e.Outgoing, Taken, nil, nil
	case e.taken:
		return e.Outgoing, Nothing, &packet.Ack{Type: packet.TypePubrel, ID: a.ID}, nil
	default:
		e.taken = true
		return e.Outgoing, Taken, &packet.Ack{Type: packet.TypePubrel, ID: a.ID}, nil
	}
}

func (e *exchange) awaits() packet.Type {
	switch {
	case e.QoS == packet.QoS1:
		return packet.TypePuback
	case e.taken:
		return packet.TypePubcomp
	default:
		return packet.TypePubrec
	}
}

func (s *Session) remove(i int) { s.sent = slices.Delete(s.sent, i, i+1) }

// Receive takes a message. fresh is false where it is a repeat of one of QoS 2
// whose identifier was not released [MQTT-4.3.3-10]; reply is nil at QoS 0.
func (s *Session) Receive(p *packet.Publish) (fresh bool, reply *packet.Ack) {
	switch p.QoS {
	case packet.QoS0:
		return true, nil
	case packet.QoS1:
		return true, &packet.Ack{Type: packet.TypePuback, ID: p.ID}
	default:
		if fresh = !s.received[p.ID]; s.received == nil {
			s.received = map[uint16]bool{}
		}
		s.received[p.ID] = true
		return fresh, &packet.Ack{Type: packet.TypePubrec, ID: p.ID}
	}
}

// Release takes a PUBREL [MQTT-4.3.3-11].
func (s *Session) Release(id uint16) (reply *packet.Ack) {
	reply = &packet.Ack{Type: packet.TypePubcomp, ID: id}
	if !s.received[id] {
		reply.Reason = packet.ReasonPacketIdentifierNotFound
	}
	delete(s.received, id)
	return reply
}
