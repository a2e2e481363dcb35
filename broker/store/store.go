// Package store says what outlives a broker process, and to whom it is
// entrusted. An engine hands batches of changes to a Store and acknowledges
// control packets as they complete; at start it loads what an earlier process
// left.
package store

import (
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// Store keeps durable sessions, what waits for them, and retained messages. All
// methods may be called from any goroutine.
type Store interface {
	// Load tells l all that is stored: each session, followed by its
	// deliveries in ascending order of Seq, and each retained message. It is
	// called once, before the first Commit, and ends at the first error of l. A
	// record that cannot be read may be left out.
	Load(l Loader) error

	// Commit applies all of b or nothing, and returns without waiting. done is
	// called once, from any goroutine, when b and all before it are durable or b
	// has failed; nil says that nobody waits, and that a power cut may take the
	// change back until a later one is reported. Batches take effect, and are
	// reported, in the order of the calls; one that is empty waits for those
	// before. The store may keep what b points to, but not b itself.
	Commit(b *Batch, done func(error))

	// Close waits for the commits under way and releases the store.
	Close() error
}

// Loader receives what Store.Load finds.
type Loader interface {
	LoadSession(Session) error
	LoadDelivery(clientID string, d *session.Delivery) error
	LoadRetained(*session.Message) error
}

// Session is a durable session without its messages.
type Session struct {
	ClientID string
	// Username of the owner, empty if Anonymous.
	Username  string
	Anonymous bool
	// Expiry is how long the session lasts after Disconnected.
	Expiry time.Duration
	// Disconnected is when the connection ended; zero while it stands, and
	// after a crash.
	Disconnected  time.Time
	Subscriptions []session.Subscription
	// Received are the identifiers of QoS 2 messages not released yet.
	Received []uint16
	// Will that waits for its delay to pass, nil if there is none.
	Will *Will
}

// Will is a will message that is published at a time unless the client is back
// by then.
type Will struct {
	Message *session.Message
	At      time.Time
}

// Batch is a set of changes that take effect together. Its zero value is empty.
type Batch struct {
	// Sessions are created or replaced; their deliveries stay.
	Sessions []Session
	// Ended sessions are removed with all that waits for them. They are applied
	// before Sessions.
	Ended []string
	// Deliveries are added.
	Deliveries []Delivery
	// Done deliveries are removed; one that is not known is passed over.
	Done []Done
	// Retained messages replace the one of their topic; an empty payload only
	// removes it [MQTT-3.3.1-6].
	Retained []*session.Message
	// Received and Released are changes of sessions' sets of QoS 2 identifiers.
	Received, Released []Identifier
}

// Delivery is a message that waits for a session.
type Delivery struct {
	ClientID string
	*session.Delivery
}

// Done names a delivery that is complete.
type Done struct {
	ClientID string
	Seq      uint64
}

// Identifier names the packet identifier of a QoS 2 message that a client sent.
type Identifier struct {
	ClientID string
	ID       uint16
}

// Empty reports whether b holds no change.
func (b *Batch) Empty() bool {
	return len(b.Sessions)+len(b.Ended)+len(b.Deliveries)+len(b.Done)+
		len(b.Retained)+len(b.Received)+len(b.Released) == 0
}

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Sessions)
	clear(b.Deliveries)
	clear(b.Retained)
	*b = Batch{
		Sessions: b.Sessions[:0], Ended: b.Ended[:0], Deliveries: b.Deliveries[:0], Done: b.Done[:0],
		Retained: b.Retained[:0], Received: b.Received[:0], Released: b.Released[:0],
	}
}

// Durable reports whether a delivery has to be stored: it is of QoS 1 or 2 and
// its session outlives the connection.
func Durable(q packet.QoS, s *session.Session) bool { return q > packet.QoS0 && s.Durable }
