package router

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Limits bound what the router keeps. Zero is no limit.
type Limits struct {
	RetainedMessages int
	RetainedBytes    int64
	// Queue and Overflow of sessions whose client has not been seen since the
	// broker started.
	Queue    session.Limits
	Overflow Overflow
	// Sessions of all clients, connected or not.
	Sessions int
	// SharedSubscriptions of one session.
	SharedSubscriptions int
	// MaxQoS that a subscription is granted.
	MaxQoS byte
	// Backlog of the store, in bytes, from which on what would add to it waits.
	Backlog int64
}

// Router is shared by all Workers of a broker.
type Router struct {
	index    *topic.Index[*Subscriber]
	retained retained
	sessions registry
	timers   timers
	workers  workers
	readers  readers
	store    store.Store
	metrics  *metrics.Metrics
	limits   atomic.Pointer[Limits]
	access   atomic.Pointer[auth.Snapshot]
	room     atomic.Pointer[Room] // nil: no bound
	// epoch changes with access, and drops what was cached of its decisions.
	epoch atomic.Uint64
	// refusing: the store takes nothing new; see Refuse.
	refusing atomic.Bool
}

// New returns a router with no session over st. Load comes next.
func New(st store.Store, m *metrics.Metrics, access *auth.Snapshot, l Limits) *Router {
	r := &Router{index: topic.NewIndex[*Subscriber](), store: st, metrics: m}
	r.sessions.init()
	r.readers.init()
	r.retained.seed = maphash.MakeSeed()
	r.access.Store(access)
	r.limits.Store(&l)
	return r
}

// SetLimits replaces the limits for what comes.
func (r *Router) SetLimits(l Limits) { r.limits.Store(&l) }

// Refuse says whether the store takes nothing new. While that is so no session
// begins that it would have to keep, and no message is taken that would be stored;
// see Worker.Refuses.
func (r *Router) Refuse(refuse bool) { r.refusing.Store(refuse) }

// Close ends what reads the store. No Worker runs any more.
func (r *Router) Close() { r.readers.close() }

// Sessions returns the number of sessions, connected or not.
func (r *Router) Sessions() int { return int(r.sessions.count.Load()) }

// Connected returns the number of sessions that have a connection.
func (r *Router) Connected() int { return int(r.sessions.connected.Load()) }

// Subscriptions returns the number of subscriptions.
func (r *Router) Subscriptions() int { return int(r.sessions.subscriptions.Load()) }

// Listed returns the number of deliveries that wait in the store alone.
func (r *Router) Listed() (n int) {
	for _, s := range r.sessions.all() {
		s.mu.Lock()
		n += s.session.Listed()
		s.mu.Unlock()
	}
	return n
}

// Retained returns the number of retained messages and their bytes.
func (r *Router) Retained() (messages int, bytes int64) {
	return r.retained.Len(), r.retained.bytes.Load()
}
