package session

import (
	"time"
	"unsafe"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Message is an application message that outlives the packet it came in: one
// that is retained, queued or in flight to a session that may resume. It is
// immutable, and shared by all who wait for it.
type Message struct {
	// ID names the message in a store; 0 while it is in none. It is set before
	// the message is shared.
	ID      uint64
	Topic   string
	Payload []byte
	// Properties of the PUBLISH that are forwarded. Topic alias, subscription
	// identifiers and message expiry are never among them. nil where there are none.
	Properties *packet.Properties
	// Owner is the user who published a message that is retained, or that is a will;
	// empty for an anonymous client, and for the broker.
	Owner string
	// QoS and Retain as they were published.
	QoS    packet.QoS
	Retain bool
	// Expires is when the message loses its worth; zero is never.
	Expires time.Time
}

// NewMessage copies what p holds, which usually aliases a read buffer. now is
// when p was received: message expiry counts from there.
func NewMessage(p *packet.Publish, now time.Time) *Message {
	m := &Message{
		Topic:   string(p.Topic),
		Payload: append([]byte(nil), p.Payload...),
		QoS:     p.QoS,
		Retain:  p.Retain,
	}
	if p.Properties.Empty() {
		return m
	}
	kept := p.Properties // of what is below, nothing is copied
	if kept.Has(packet.PropMessageExpiry) {
		m.Expires = now.Add(time.Duration(kept.MessageExpiry) * time.Second)
	}
	kept.Unset(packet.PropTopicAlias)
	kept.Unset(packet.PropMessageExpiry)
	kept.Unset(packet.PropSubscriptionID)
	if kept.SubscriptionIDs = nil; !kept.Empty() {
		own := kept.Clone()
		m.Properties = &own
	}
	return m
}

// Expired reports whether m must no longer be delivered [MQTT-3.3.2-5].
func (m *Message) Expired(now time.Time) bool {
	return !m.Expires.IsZero() && !now.Before(m.Expires)
}

// Size is what m costs whoever keeps it, in bytes: what is in it, and the memory
// that holds it.
func (m *Message) Size() int {
	n := int(unsafe.Sizeof(*m)) + len(m.Topic) + len(m.Payload)
	if m.Properties != nil {
		n += m.Properties.Footprint()
	}
	return n
}

// Fill sets p to what is sent of m at now; p aliases m. The message expiry that
// remains is forwarded [MQTT-3.3.2-6].
func (m *Message) Fill(p *packet.Publish, now time.Time) {
	*p = packet.Publish{Topic: []byte(m.Topic), Payload: m.Payload}
	if m.Properties != nil {
		p.Properties = *m.Properties
	}
	if m.Expires.IsZero() {
		return
	}
	p.Properties.MessageExpiry = uint32(max(m.Expires.Sub(now), 0) / time.Second)
	p.Properties.Set(packet.PropMessageExpiry)
}

// Delivery is a message on its way to one session.
type Delivery struct {
	*Message
	QoS    packet.QoS // the lower of the message's and the subscription's
	Retain bool       // the flag to send
	// IDs are the subscription identifiers to send. Immutable.
	IDs []uint32
	// Shared is the shared subscription whose member was chosen, with its
	// $share/ and share name; "" is none.
	Shared string
	// Seq orders the deliveries of a session and names them in its store. It is
	// not zero for a delivery that a store holds.
	Seq uint64
}

// Size is what d costs the queue of its session, in bytes: a message that waits
// for several sessions counts for each.
func (d *Delivery) Size() int {
	return d.Message.Size() + deliveryOverhead + len(d.IDs)*int(unsafe.Sizeof(uint32(0))) + len(d.Shared)
}

// deliveryOverhead is what a delivery takes besides its message, with its place
// in a queue.
const deliveryOverhead = int(unsafe.Sizeof(Delivery{})) + 2*int(unsafe.Sizeof((*Delivery)(nil)))
