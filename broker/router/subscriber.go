package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Link is a network connection as the router sees it. Write, Congested and Full
// are called with the Subscriber locked.
type Link interface {
	// Write appends an encoded control packet to what waits to be written to
	// the client. The frame is copied. The caller's loop flushes the link at
	// the end of its round: see Worker.Touched.
	Write(w *Worker, frame []byte)
	// Congested: so much waits to be written that messages of QoS 1 and 2 had
	// better wait in the session. Worker.Drained follows when it is over.
	Congested() bool
	// Full: the client takes so little that messages of QoS 0 are dropped.
	Full() bool
	// Behind: the client takes less than it is sent. While that is so, and before
	// messages are dropped, publishers are slowed down: see Worker.Behind.
	Behind() bool
	// Pending is the number of bytes that wait to be written.
	Pending() int64
	// Kick ends the connection with a reason, soon. It may be called from any
	// goroutine and does not wait.
	Kick(reason packet.ReasonCode, why string)
	// Yield ends the connection, whose session another one takes over, and then
	// calls done, once it handles nothing any more and has called
	// Worker.Disconnect. It does not wait either.
	Yield(done func())
	// Flush writes what waits.
	Flush(w *Worker)
}

// Subscriber is a session together with the connection that it has at the
// moment, if any. A new session is a new Subscriber, so that what was matched
// for the old one cannot reach it.
type Subscriber struct {
	// ClientID never changes.
	ClientID string
	// ID names a durable session to the store, and never changes either. It is 0
	// where the session ends with its connection.
	ID uint64

	rights atomic.Pointer[rights]

	mu           sync.Mutex
	maxPacket    uint32 // bytes that the client accepts in a packet; 0 is no limit
	holdUp       holdUp
	ended        bool
	reviewed     bool // what waits may have been queued under other rules
	version      packet.Version
	overflow     Overflow
	principal    auth.Principal
	link         Link     // nil while disconnected
	aliases      *aliases // to the client, of the connection that stands
	session      session.Session
	disconnected time.Time
	will         *store.Will // of the connection that stands, or waits for its delay to pass
	handovers    *handovers  // see handsOver; nil while nothing came that a store is to have
	reading      *reading    // what is being read of the store for the client, nil if nothing is
	replays      []*replay   // retained messages that are to follow, one after the other
	leaving      *leaving    // what becomes of a session that has ended; nil if that is over

	timer timer // guarded by the router's timers
}

// ends is when the session ends unless its client is back by then. It is
// disconnected.
func (s *Subscriber) ends() time.Time { return s.disconnected.Add(s.session.Expiry) }

// willIsDue reports whether the delay of the will has passed. It is disconnected.
func (s *Subscriber) willIsDue(now time.Time) bool {
	return s.will != nil && !now.Before(s.will.At)
}

// Overflow is what happens to a message that finds its session's queue full.
type Overflow uint8

// Overflow policies.
const (
	DropNewest Overflow = iota
	DropOldest
	Disconnect
)

// Principal returns who owns the session.
func (s *Subscriber) Principal() auth.Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.principal
}

// Lasts reports whether the session outlives the connection that it has.
func (s *Subscriber) Lasts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session.Expiry > 0
}

// record is what the store keeps of the session besides its subscriptions and
// messages. The Subscriber is locked.
func (s *Subscriber) record() store.Session {
	return store.Session{
		ID:           s.ID,
		ClientID:     s.ClientID,
		Username:     s.principal.Username,
		Anonymous:    s.principal.Anonymous,
		Expiry:       s.session.Expiry,
		Disconnected: s.disconnected,
		Will:         s.will,
	}
}
