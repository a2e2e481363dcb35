package router

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/retain"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// retained is the index of retained messages. Their bodies are in the store.
type retained struct {
	retain.Index[kept]
	bytes   atomic.Int64
	changes atomic.Uint64

	seed   maphash.Seed
	orders [64]sync.Mutex
}

// kept is what is known of a topic's retained message.
type kept struct {
	message *session.Message // of a topic of the broker's own; nil where the store has it
	change  uint64           // numbers what becomes of all topics
	first   uint64           // the change since which the topic has had a message
	size    uint32           // see session.Message.Size
	expires uint32           // in seconds since 1970; 0 is never
	owner   *holding         // whose it is; nil where it is the broker's own
}

func (k *kept) expired(now time.Time) bool {
	return k.expires != 0 && now.Unix() >= int64(k.expires)
}

// order is locked while the message of a topic changes, in the store and in the
// index, so that both take changes in the same order.
func (x *retained) order(name string) *sync.Mutex {
	return &x.orders[maphash.String(x.seed, name)%uint64(len(x.orders))]
}

// retain keeps p as the retained message of its topic, and of its owner, or removes
// the one that is there [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7].
func (w *Worker) retain(p *packet.Publish, owner string) packet.ReasonCode {
	m := w.message(p)
	m.Owner = owner
	order := w.r.retained.order(m.Topic)
	order.Lock()
	defer order.Unlock()
	h, ok := w.admitRetained(m)
	if !ok {
		w.dropped(metrics.DroppedRetainedFull)
		w.r.metrics.NotRetained(owner)
		return packet.ReasonQuotaExceeded
	}
	w.keep(m, h)
	return packet.ReasonSuccess
}

// admitRetained reports whether m, the order of whose topic is locked, fits the
// limits, those of its owner among them, who is charged.
func (w *Worker) admitRetained(m *session.Message) (owner *holding, ok bool) {
	if len(m.Payload) == 0 || ofBroker(m.Topic) {
		return nil, true
	}
	if w.r.refusing.Load() || !w.r.retained.admits(m, w.r.limits.Load()) {
		return nil, false
	}
	var limits config.UserLimits
	if u, known := w.r.access.Load().User(m.Owner); known {
		limits = u.Limits
	}
	old, _ := w.r.retained.Get(m.Topic)
	return w.r.sessions.users.retain(m.Owner, int64(m.Size()), &old, limits)
}

// keep puts m in the place of its topic's message, whose order is locked. It is
// handed to the store by itself: what else the batch of w holds stays together.
// The store has it first, so that whoever finds a change in the index reads it, or
// a later one.
func (w *Worker) keep(m *session.Message, owner *holding) {
	k := kept{size: uint32(m.Size()), expires: session.Seconds(m.Expires), owner: owner}
	if ofBroker(m.Topic) {
		k.message = m
	} else {
		w.owed = true
		w.r.store.Commit(&store.Batch{Retained: []*session.Message{m}}, nil)
	}
	if len(m.Payload) == 0 {
		old := w.r.retained.remove(m.Topic)
		w.r.sessions.users.forget(&old)
	} else {
		w.r.retained.put(m.Topic, k)
	}
}

// ofBroker reports whether the broker alone publishes to a topic, what nobody
// has to keep for it.
func ofBroker(name string) bool { return strings.HasPrefix(name, "$SYS/") }

// admits reports whether m fits the limits.
func (x *retained) admits(m *session.Message, l *Limits) bool {
	if len(m.Payload) == 0 {
		return true
	}
	old, had := x.Get(m.Topic)
	grows := int64(m.Size())
	if had {
		grows -= int64(old.size)
	}
	return (had || l.RetainedMessages == 0 || x.Len() < l.RetainedMessages) &&
		(l.RetainedBytes == 0 || grows <= 0 || x.bytes.Load()+grows <= l.RetainedBytes)
}

// put sets the message of a topic, whose order is locked.
func (x *retained) put(name string, k kept) {
	k.change = x.changes.Add(1)
	k.first = k.change
	if old, had := x.Get(name); had {
		k.first = old.first
	}
	old, _ := x.Set(name, k)
	x.bytes.Add(int64(k.size) - int64(old.size))
}

// remove returns what was there.
func (x *retained) remove(name string) kept {
	old, _ := x.Delete(name)
	x.bytes.Add(-int64(old.size))
	return old
}

// removeExpired removes the retained message of a topic if it has expired.
func (w *Worker) removeExpired(name string) {
	order := w.r.retained.order(name)
	order.Lock()
	defer order.Unlock()
	if k, ok := w.r.retained.Get(name); ok && k.expired(w.Now) {
		w.keep(&session.Message{Topic: name}, nil)
	}
}
