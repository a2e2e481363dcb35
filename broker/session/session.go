package session

import (
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Subscription is one topic filter of a session.
type Subscription struct {
	// Filter as the client wrote it, a "$share/group/" in front included.
	Filter                     string
	Requested                  packet.QoS // by the client
	QoS                        packet.QoS // granted, Requested at most
	NoLocal, RetainAsPublished bool
	ID                         uint32 // MQTT 5 subscription identifier, 0 is none
	// Suspended: no longer authorized. It delivers nothing until it is again.
	Suspended bool
}

// Limits bound what a session may hold. Zero is no limit.
type Limits struct {
	QueuedMessages int
	QueuedBytes    int  // see Delivery.Size; bodies in flight count too
	DropOldest     bool // make room for a new message instead of dropping it
}

// Session is the state that the server keeps of one client [MQTT-4.1.0-1]. Its
// zero value is a new session.
type Session struct {
	// Durable says that a store has the session, with the messages of QoS 1 and 2
	// that wait for it: its session expiry interval was above zero when it began,
	// or it is an MQTT 3 session that is not clean.
	Durable bool
	// HoldBack lets messages of QoS 2 of a durable session wait in the queue, with
	// all behind them: see Hold.
	HoldBack bool
	// Window is the number of QoS 1 and 2 messages that may be in flight to the
	// client [MQTT-3.3.4-9]. It is set at each connect, and is at least 1.
	Window int32
	// Expiry is how long the session lasts after its connection ended.
	Expiry time.Duration
	Limits Limits

	subscriptions subscriptions
	out           inflight
	queue         queue
	stored        *stored // nil while it has nothing of the kind
	received      *idSet
	seq           uint64
}

// MaxWindow is the largest Window that makes sense: half of the identifiers, so
// that a free one is always near.
const MaxWindow = 1 << 14

// Subscription returns the subscription to filter, or nil.
func (s *Session) Subscription(filter string) *Subscription { return s.subscriptions.find(filter) }

// Subscriptions returns the number of subscriptions.
func (s *Session) Subscriptions() int { return len(s.subscriptions.list) }

// FilterBytes returns the bytes of the filters of all subscriptions.
func (s *Session) FilterBytes() int { return int(s.subscriptions.bytes) }

// SharedSubscriptions returns the number of those that are shared.
func (s *Session) SharedSubscriptions() int { return int(s.subscriptions.shared) }

// EachSubscription calls yield for each subscription, in no order. The session
// may not gain or lose one meanwhile.
func (s *Session) EachSubscription(yield func(*Subscription) bool) {
	for _, sub := range s.subscriptions.list {
		if !yield(sub) {
			return
		}
	}
}

// Subscribe adds a subscription, or replaces the one to the same filter
// [MQTT-3.8.4-3], and reports whether there was one.
func (s *Session) Subscribe(sub Subscription) (existed bool) {
	return s.subscriptions.put(&sub)
}

// Unsubscribe removes the subscription to filter and reports whether there was
// one.
func (s *Session) Unsubscribe(filter string) (existed bool) {
	return s.subscriptions.remove(filter)
}

// Ready reports whether a message can be sent at once: the window has room,
// nothing that came earlier waits, and the bodies that are in flight leave room
// for another one.
func (s *Session) Ready() bool {
	return s.queue.len() == 0 && s.out.used < s.Window &&
		(s.Limits.QueuedBytes == 0 || s.out.bytes < s.Limits.QueuedBytes) &&
		(s.stored == nil || s.stored.passed())
}

// Overtakes reports whether a message of QoS 0 that is sent at once overtakes
// another one that waits.
func (s *Session) Overtakes() bool { return s.queue.qos0 > 0 }

// Send takes a packet identifier for a message of QoS 1 or 2 that is sent now;
// Ready has said yes. Of a durable session only those of QoS 1 are: see Hold. d
// may be nil where the session is not durable and d not of a shared
// subscription.
func (s *Session) Send(q packet.QoS, d *Delivery) (id uint16) {
	f := s.out.take(firstStep(q))
	switch {
	case d == nil:
	case s.Durable:
		f.seq, f.message = d.Seq, d.ID
		s.note(d)
	case d.Shared != "":
		s.out.keep(f, d) // another member may have to take over
	}
	return f.id
}

// Enqueued says what became of a message that was to wait.
type Enqueued int

// What became of a message.
const (
	Queued        Enqueued = iota
	QueueFull              // it was dropped: no room
	DroppedOldest          // it waits, and older ones were dropped for it
)

// Enqueue lets d wait for room. With DroppedOldest, dropped was called for each
// one that had to go. Nothing goes for a message of QoS 0, nor for one that is
// too large for an empty queue.
func (s *Session) Enqueue(d *Delivery, dropped func(Waiting)) Enqueued {
	result := Queued
	makesRoom := s.Limits.DropOldest && d.QoS > packet.QoS0 &&
		(s.Limits.QueuedBytes == 0 || s.out.bytes+d.Size() <= s.Limits.QueuedBytes)
	for s.full(d) {
		if !makesRoom {
			return QueueFull
		}
		dropped(s.oldest())
		result = DroppedOldest
	}
	s.Replay(d)
	return result
}

// oldest takes out what waits longest.
func (s *Session) oldest() Waiting {
	if s.queue.len() > 0 {
		return s.queue.pop().Waiting()
	}
	return s.stored.ledger.pop()
}

// Replay lets d wait whatever the limits say: it was asked for.
func (s *Session) Replay(d *Delivery) {
	if d.Seq != 0 && s.listed(d) {
		s.stored.ledger.push(d.Waiting())
		return
	}
	s.queue.push(d)
}

// Crowded reports whether what waits fills a quarter of the room for it.
func (s *Session) Crowded() bool {
	l := s.Limits
	messages, bytes := s.Queue()
	return l.QueuedMessages > 0 && messages > l.QueuedMessages/4 ||
		l.QueuedBytes > 0 && bytes > l.QueuedBytes/4
}

// InMemory returns the bytes of all bodies that the session holds in memory.
func (s *Session) InMemory() int { return s.queue.bytes + s.out.bytes }

// HasRoom reports whether d may wait without another one being dropped for it.
func (s *Session) HasRoom(d *Delivery) bool { return !s.full(d) }

func (s *Session) full(d *Delivery) bool {
	l := s.Limits
	messages, bytes := s.Queue()
	return l.QueuedMessages > 0 && messages >= l.QueuedMessages ||
		l.QueuedBytes > 0 && s.out.bytes+bytes+d.Size() > l.QueuedBytes
}

// Outgoing is a packet that is to be sent to the client now.
type Outgoing struct {
	// Delivery to be published; nil where only the PUBREL of ID is to be sent
	// again.
	Delivery *Delivery
	ID       uint16 // 0 at QoS 0
	Dup      bool   // it was sent before, over an earlier connection
	// Held: it is not to be sent yet, but its identifier to be made durable. Next
	// returns it again after Confirm.
	Held bool
}

// Next returns what is to be sent as soon as there is room: first what was in
// flight when the session was resumed, then what waits longest. ok is false if
// there is nothing, or the window has no room for it [MQTT-3.3.4-9], or it has to
// be read first: see Missing. PUBRELs need no room [MQTT-3.3.4-10]. A delivery of
// QoS 1 or 2 is in flight from then on.
func (s *Session) Next() (o Outgoing, ok bool) {
	if s.stored != nil {
		if o, ok, blocked := s.nextUnsent(); ok || blocked {
			return o, ok
		}
	}
	if s.queue.len() == 0 || s.out.used >= s.Window || s.HoldBack && s.holdsNext() {
		return Outgoing{}, false
	}
	d := s.queue.pop()
	switch {
	case d.QoS == packet.QoS0:
		return Outgoing{Delivery: d}, true
	case d.QoS == packet.QoS2 && s.Durable:
		return Outgoing{Delivery: d, ID: s.Hold(d), Held: true}, true
	default:
		return Outgoing{Delivery: d, ID: s.Send(d.QoS, d)}, true
	}
}

// holdsNext reports whether what waits longest needs an identifier that is
// durable.
func (s *Session) holdsNext() bool {
	return s.Durable && s.queue.items[s.queue.head].QoS == packet.QoS2
}

// Abandoned returns the deliveries of shared subscriptions that other members
// can have when a session ends that is not durable: those at QoS 1 that were sent
// and not acknowledged, and those that wait. One at QoS 2 that was sent is nobody
// else's [MQTT-4.8.2-5].
func (s *Session) Abandoned() (sent, waiting []*Delivery) {
	for _, id := range s.out.inOrder() {
		if f := s.out.at(id); f.step == stepPuback && f.delivery != nil {
			sent = append(sent, f.delivery)
		}
	}
	for _, d := range s.queue.items[s.queue.head:] {
		if d.Shared != "" {
			waiting = append(waiting, d)
		}
	}
	return sent, waiting
}

// Acknowledge takes a PUBACK, PUBREC or PUBCOMP of the client. known is false
// where the identifier is not in that step of an exchange. at names the delivery
// to its store, if one has it; it is complete unless t is a PUBREC without an
// error.
func (s *Session) Acknowledge(t packet.Type, id uint16, reason packet.ReasonCode) (at Waiting, known bool) {
	f := s.out.find(id)
	if f == nil || f.step != expects(t) {
		return Waiting{}, false
	}
	at = f.waiting()
	if t == packet.TypePubrec && !reason.IsError() {
		s.out.release(f)
	} else {
		s.out.free(f)
	}
	return at, true
}

func expects(t packet.Type) step {
	switch t {
	case packet.TypePuback:
		return stepPuback
	case packet.TypePubrec:
		return stepPubrec
	case packet.TypePubcomp:
		return stepPubcomp
	default:
		return stepFree
	}
}

// Released reports whether a PUBREC for id was already answered by a PUBREL, so
// that a repeated PUBREC is answered again and is no error.
func (s *Session) Released(id uint16) bool {
	f := s.out.find(id)
	return f != nil && f.step == stepPubcomp
}

// Withhold lets the exchange of a message of QoS 2 that was sent over an earlier
// connection go on without it: after Confirm, Next returns its PUBREL.
func (s *Session) Withhold(id uint16) {
	if f := s.out.find(id); f != nil {
		s.out.release(f)
		f.step = stepWithheld
	}
}

// Discard frees an identifier without an acknowledgement: its message expired or
// cannot be sent to this client.
func (s *Session) Discard(id uint16) {
	if f := s.out.find(id); f != nil {
		s.out.free(f)
	}
}

// NextSeq numbers a delivery for the store.
func (s *Session) NextSeq() uint64 {
	s.seq++
	return s.seq
}

// Receive takes the packet identifier of a QoS 2 PUBLISH and reports whether the
// message is new. A repeat is acknowledged and not delivered again
// [MQTT-4.3.3-10].
func (s *Session) Receive(id uint16) (isNew bool) {
	if s.Receiving(id) {
		return false
	}
	if s.received == nil {
		s.received = new(idSet)
	}
	s.received.add(id)
	return true
}

// Release takes a PUBREL and reports whether its identifier was known
// [MQTT-4.3.3-12].
func (s *Session) Release(id uint16) (known bool) {
	if !s.Receiving(id) {
		return false
	}
	s.received.remove(id)
	return true
}

// Receiving reports whether a QoS 2 message with the identifier was received and
// not released yet.
func (s *Session) Receiving(id uint16) bool { return s.received != nil && s.received.has(id) }

// Received returns the number of QoS 2 messages that the client has not
// released yet, which its Receive Maximum quota counts.
func (s *Session) Received() int {
	if s.received == nil {
		return 0
	}
	return s.received.len
}

// EachReceived yields the identifiers that Received counts.
func (s *Session) EachReceived(yield func(id uint16) bool) {
	if s.received != nil {
		s.received.all(yield)
	}
}

// Inflight returns the number of messages that the client has not acknowledged.
func (s *Session) Inflight() int { return int(s.out.used) }

// Queue returns the number of deliveries that wait, in memory or not, and their
// bytes.
func (s *Session) Queue() (messages, bytes int) {
	messages, bytes = s.queue.len(), s.queue.bytes
	if s.stored != nil {
		messages += s.stored.ledger.len()
		bytes += s.stored.ledger.bytes
	}
	return messages, bytes
}
