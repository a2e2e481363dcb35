package router

import (
	"hash/maphash"
	"sync/atomic"
	"time"

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
	// MaxQoS that a subscription is granted.
	MaxQoS byte
}

// Router is shared by all Workers of a broker.
type Router struct {
	index    *topic.Index[*Subscriber]
	retained retained
	sessions registry
	timers   timers
	store    store.Store
	metrics  *metrics.Metrics
	limits   atomic.Pointer[Limits]
	access   atomic.Pointer[auth.Snapshot]
	// epoch changes with access, and drops what was cached of its decisions.
	epoch atomic.Uint64
}

// New returns a router with no session over st. Load comes next.
func New(st store.Store, m *metrics.Metrics, access *auth.Snapshot, l Limits) *Router {
	r := &Router{index: topic.NewIndex[*Subscriber](), store: st, metrics: m}
	r.sessions.init()
	r.retained.seed = maphash.MakeSeed()
	r.access.Store(access)
	r.limits.Store(&l)
	return r
}

// SetLimits replaces the limits for what comes.
func (r *Router) SetLimits(l Limits) { r.limits.Store(&l) }

// Sessions returns the number of sessions, connected or not.
func (r *Router) Sessions() int { return int(r.sessions.count.Load()) }

// Connected returns the number of sessions that have a connection.
func (r *Router) Connected() int { return int(r.sessions.connected.Load()) }

// Subscriptions returns the number of subscriptions.
func (r *Router) Subscriptions() int { return int(r.sessions.subscriptions.Load()) }

// Retained returns the number of retained messages and their bytes.
func (r *Router) Retained() (messages int, bytes int64) {
	return r.retained.Len(), r.retained.bytes.Load()
}

// Load takes over what the store kept. It is called once, before any Worker
// runs. Sessions that have expired meanwhile end at the first Tick.
func (r *Router) Load(now time.Time) error {
	l := &loader{r: r, now: now}
	if err := r.store.Load(l); err != nil {
		return err
	}
	if !l.batch.Empty() {
		r.store.Commit(&l.batch, nil)
	}
	return nil
}

// loader is the store.Loader of a router.
type loader struct {
	r   *Router
	now time.Time
	sub *Subscriber // the one loaded last
	// batch takes out of the store what was not loaded.
	batch store.Batch
}

// LoadSession implements store.Loader.
func (l *loader) LoadSession(rec store.Session) error {
	if rec.Disconnected.IsZero() {
		rec.Disconnected = l.now // the process ended with the connection open
	}
	s := &Subscriber{
		ClientID:     rec.ClientID,
		principal:    auth.Principal{Username: rec.Username, Anonymous: rec.Anonymous, ClientID: rec.ClientID},
		disconnected: rec.Disconnected,
		will:         rec.Will,
		session:      session.Session{Durable: true, Expiry: rec.Expiry, Limits: l.r.limits.Load().Queue},
		overflow:     l.r.limits.Load().Overflow,
	}
	for _, id := range rec.Received {
		s.session.Receive(id)
	}
	l.sub = s
	l.r.sessions.add(s)
	for _, sub := range rec.Subscriptions {
		l.r.subscribe(s, sub)
	}
	l.r.authorize(s, l.r.access.Load())
	l.r.schedule(s)
	return nil
}

// LoadDelivery implements store.Loader.
func (l *loader) LoadDelivery(clientID string, d *session.Delivery) error {
	if l.sub != nil && l.sub.ClientID == clientID {
		l.sub.session.Restore(d)
	}
	return nil
}

// LoadRetained implements store.Loader.
func (l *loader) LoadRetained(m *session.Message) error {
	if m.Expired(l.now) {
		l.batch.Retained = append(l.batch.Retained, &session.Message{Topic: m.Topic})
		return nil
	}
	l.r.retained.put(m)
	return nil
}
