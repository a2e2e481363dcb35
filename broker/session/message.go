package session

import (
	"time"

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
	// identifiers and message expiry are never among them.
	Properties packet.Properties
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
	m.Properties = p.Properties.Clone()
	if m.Properties.Has(packet.PropMessageExpiry) {
		m.Expires = now.Add(time.Duration(m.Properties.MessageExpiry) * time.Second)
	}
	m.Properties.Unset(packet.PropTopicAlias)
	m.Properties.Unset(packet.PropMessageExpiry)
	m.Properties.Unset(packet.PropSubscriptionID)
	return m
}

// Expired reports whether m must no longer be delivered [MQTT-3.3.2-5].
func (m *Message) Expired(now time.Time) bool {
	return !m.Expires.IsZero() && !now.Before(m.Expires)
}

// Size is what m costs a queue, in bytes.
func (m *Message) Size() int { return len(m.Topic) + len(m.Payload) + messageOverhead }

// messageOverhead is a message's fixed share of the memory that a queue is
// charged for.
const messageOverhead = 64

// Fill sets p to what is sent of m at now; p aliases m. The message expiry that
// remains is forwarded [MQTT-3.3.2-6].
func (m *Message) Fill(p *packet.Publish, now time.Time) {
	*p = packet.Publish{Topic: []byte(m.Topic), Payload: m.Payload, Properties: m.Properties}
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
