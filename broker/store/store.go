// Package store says what outlives a broker process, and to whom it is
// entrusted. An engine hands batches of changes to a Store and acknowledges
// control packets as they complete; at start it loads what an earlier process
// left. Bodies of messages stay in the Store: the engine keeps a few bytes for
// each one that waits, and reads it when its client can take it.
package store

import (
	"errors"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// Store keeps durable sessions, what waits for them, and retained messages. All
// methods may be called from any goroutine.
type Store interface {
	// Load tells l all that is stored, in the order of Loader's methods. It is
	// called once, before the first Commit, and ends at the first error of l. A
	// record that cannot be read is left out; see Health.
	Load(l Loader) error

	// NextID returns a number that was never returned before, by this store or
	// an earlier one over the same place: it names a session or a message.
	NextID() uint64

	// Commit applies all of b or nothing, and returns without waiting. done is
	// called once, from any goroutine, when b and all before it are durable, or
	// with an error when they never will be by this store. nil says that nobody
	// waits, and that a power cut may take the change back until a later one is
	// reported. Batches take effect, and are reported, in the order of the calls;
	// one that is empty waits for those before. The store may keep what b points
	// to, but not b itself.
	//
	// While the disk is full, and no space is left that the store has kept for
	// that, a batch waits for space and is not reported.
	Commit(b *Batch, done func(error))

	// Deliveries reads what waits for a session, in ascending order of Seq and
	// not below from: at most count, and no more once they have the given bytes.
	// Numbers that are not stored are passed over. It sees what was committed by
	// calls before it, durable or not. It waits for the disk.
	Deliveries(session, from uint64, count, bytes int) ([]*session.Delivery, error)

	// Retained reads the retained messages of topics, nil for one that has none;
	// their ID says nothing. It sees what was committed by calls before it, durable
	// or not, and waits for the disk.
	Retained(topics []string) ([]*session.Message, error)

	// Backlog returns what the batches take in memory that were committed and are
	// not on their way to the disk yet: about so many bytes. It does not wait.
	Backlog() int64

	// Health returns how the store is. It does not wait.
	Health() Health

	// Close waits for the commits under way, unless the disk is full or has
	// failed, and releases the store.
	Close() error
}

// Health of a Store.
type Health struct {
	// Err is why nothing new can be made durable at the moment: the disk is full
	// or nearly so, or has failed. It is nil where all is well. While it is not,
	// the engine had better add no message and begin no session; what takes away
	// may still be committed, and gives space back.
	Err error
	// Failed says that Err is for good: nothing that was not reported by now ever
	// will be by this store.
	Failed bool
	// Damaged is the number of records that Load has left out; a session with
	// all that is kept of it counts as one.
	Damaged int
	// Disk is the space that the store takes, in bytes; 0 where it has none.
	Disk int64
	// Free and Total bytes of the disk that the store is on; 0 where that is not
	// known.
	Free, Total int64
}

// ErrClosed is what commits get after Close.
var ErrClosed = errors.New("the store is closed")

// Loader receives what Store.Load finds: first all sessions, then for each of
// them, in any order of sessions, its identifiers, what was sent and what waits,
// both in ascending order of Seq, and its subscriptions in no order, and at last
// the retained messages.
type Loader interface {
	LoadSession(Session) error
	LoadReceived(session uint64, id uint16) error
	LoadSent(Sent) error
	LoadWaiting(session uint64, w session.Waiting) error
	LoadSubscription(session uint64, sub session.Subscription) error
	LoadRetained(Retained) error
}

// Session is a durable session without its messages and subscriptions.
type Session struct {
	// ID names the session in all other records. A client that begins anew has a
	// session with another one.
	ID       uint64
	ClientID string
	// Username of the owner, empty if Anonymous.
	Username  string
	Anonymous bool
	// Expiry is how long the session lasts after Disconnected.
	Expiry time.Duration
	// Disconnected is when the connection ended; zero while it stands, and
	// after a crash.
	Disconnected time.Time
	// Will that is published unless the client is back in time, nil if there is
	// none.
	Will *Will
}

// Will is the will message of a connection that stands or has ended.
type Will struct {
	Message *session.Message
	// At is when it is published unless the client is back by then. It is zero
	// while the connection stands.
	At time.Time
	// Delay from the end of the connection.
	Delay time.Duration
}

// Batch is a set of changes that take effect together. Its zero value is empty.
// Changes of a session that is not stored are passed over.
type Batch struct {
	// Ended sessions are removed with all that is kept of them. They are applied
	// first.
	Ended []uint64
	// Sessions are created or replaced; what else is kept of them stays.
	Sessions []Session
	// Subscriptions are changes of sessions' subscriptions, in their order.
	Subscriptions []Subscription
	// Deliveries are added, each Seq of a session once. Those of one message stand
	// together, and the message, which has an ID, is stored once. In a later batch
	// it may come to others.
	Deliveries []Delivery
	// Sent are QoS 2 deliveries that have a packet identifier from now on, or
	// come to the next step with it. They are applied after Deliveries.
	Sent []Sent
	// Done deliveries are removed; one that is not stored is passed over.
	Done []Done
	// Retained messages replace the one of their topic; an empty payload only
	// removes it [MQTT-3.3.1-6].
	Retained []*session.Message
	// Received and Released are changes of sessions' sets of QoS 2 identifiers.
	Received, Released []Identifier
}

// Subscription is one that a session has from now on, in the place of the one to
// the same filter; or that it has no more.
type Subscription struct {
	Session uint64
	// Removed: of the subscription, the Filter alone matters. It is passed over if
	// it is not stored.
	Removed bool
	session.Subscription
}

// Delivery is a message that waits for a session.
type Delivery struct {
	Session uint64
	*session.Delivery
}

// Sent is the exchange of a delivery of QoS 2 that has begun, with the ID of its
// message; that is 0 where Load tells of one that is Released.
type Sent struct {
	Session, Seq, Message uint64
	// ID is the packet identifier.
	ID uint16
	// Released: PUBREC was received, and only the identifier matters from here
	// on [MQTT-4.3.3-6]. The message is not kept any more.
	Released bool
}

// Done names a delivery that is complete, with the ID of its message, which does
// not matter where a Sent was Released.
type Done struct {
	Session, Seq, Message uint64
}

// Identifier names the packet identifier of a QoS 2 message that a client sent.
type Identifier struct {
	Session uint64
	ID      uint16
}

// Retained is a retained message without its body.
type Retained struct {
	Topic string
	// Size is what it counts against limits, in bytes; see session.Message.Size.
	Size    int
	Expires time.Time
	Owner   string // see session.Message.Owner
}

// Empty reports whether b holds no change.
func (b *Batch) Empty() bool {
	return len(b.Ended)+len(b.Sessions)+len(b.Subscriptions)+len(b.Deliveries)+len(b.Sent)+len(b.Done)+
		len(b.Retained)+len(b.Received)+len(b.Released) == 0
}

// Size is what b takes in memory, in bytes and about. A message counts once for
// the deliveries of it that stand together.
func (b *Batch) Size() int {
	n := changeSize * (len(b.Ended) + len(b.Sessions) + len(b.Subscriptions) + len(b.Deliveries) + len(b.Sent) +
		len(b.Done) + len(b.Retained) + len(b.Received) + len(b.Released))
	for i := range b.Sessions {
		s := &b.Sessions[i]
		n += len(s.ClientID) + len(s.Username)
		if s.Will != nil {
			n += s.Will.Message.Size()
		}
	}
	for i := range b.Subscriptions {
		n += len(b.Subscriptions[i].Filter)
	}
	for i := range b.Deliveries {
		if i == 0 || b.Deliveries[i].Message != b.Deliveries[i-1].Message {
			n += b.Deliveries[i].Message.Size()
		}
	}
	for _, m := range b.Retained {
		n += m.Size()
	}
	return n
}

// changeSize is the fixed share of a change of any kind.
const changeSize = 64

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Sessions)
	clear(b.Subscriptions)
	clear(b.Deliveries)
	clear(b.Retained)
	*b = Batch{
		Ended: b.Ended[:0], Sessions: b.Sessions[:0], Subscriptions: b.Subscriptions[:0],
		Deliveries: b.Deliveries[:0], Sent: b.Sent[:0], Done: b.Done[:0],
		Retained: b.Retained[:0], Received: b.Received[:0], Released: b.Released[:0],
	}
}

// Durable reports whether a delivery has to be stored: it is of QoS 1 or 2 and
// its session outlives the connection.
func Durable(q packet.QoS, s *session.Session) bool { return q > packet.QoS0 && s.Durable }
