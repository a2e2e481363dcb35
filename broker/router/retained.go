package router

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/retain"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// retained is the index of retained messages with its size in bytes.
type retained struct {
	retain.Index[*session.Message]
	bytes atomic.Int64
	// version changes after each change, before the message is delivered.
	version atomic.Uint64

	seed   maphash.Seed
	orders [64]sync.Mutex
}

// order is locked while the message of a topic changes, in the index and in the
// store, so that both take changes in the same order.
func (x *retained) order(name string) *sync.Mutex {
	return &x.orders[maphash.String(x.seed, name)%uint64(len(x.orders))]
}

// retain keeps p as its topic's retained message, or removes the one that is
// there [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7].
func (w *Worker) retain(p *packet.Publish) packet.ReasonCode {
	m := w.message(p)
	order := w.r.retained.order(m.Topic)
	order.Lock()
	defer order.Unlock()
	if !w.r.retained.admits(m, w.r.limits.Load()) {
		w.dropped(metrics.DroppedRetainedFull)
		return packet.ReasonQuotaExceeded
	}
	w.keep(m)
	return packet.ReasonSuccess
}

// keep puts m in the place of its topic's message, whose order is locked. It is
// handed to the store by itself: what else the batch of w holds stays together.
func (w *Worker) keep(m *session.Message) {
	w.r.retained.put(m)
	if strings.HasPrefix(m.Topic, "$SYS/") {
		return
	}
	w.owed = true
	w.r.store.Commit(&store.Batch{Retained: []*session.Message{m}}, nil)
}

// admits reports whether m fits the limits.
func (x *retained) admits(m *session.Message, l *Limits) bool {
	if len(m.Payload) == 0 {
		return true
	}
	old, had := x.Get(m.Topic)
	grows := int64(m.Size())
	if had {
		grows -= int64(old.Size())
	}
	return (had || l.RetainedMessages == 0 || x.Len() < l.RetainedMessages) &&
		(l.RetainedBytes == 0 || grows <= 0 || x.bytes.Load()+grows <= l.RetainedBytes)
}

func (x *retained) put(m *session.Message) {
	var old *session.Message
	var had bool
	if len(m.Payload) == 0 {
		old, had = x.Delete(m.Topic)
	} else {
		old, had = x.Set(m.Topic, m)
		x.bytes.Add(int64(m.Size()))
	}
	if had {
		x.bytes.Add(-int64(old.Size()))
	}
	x.version.Add(1)
}

// sweepMost is the number of retained messages that a sweep looks at.
const sweepMost = 4096

// sweep removes retained messages that have expired, some at each call.
func (w *Worker) sweep() {
	page, next := w.r.retained.Page(w.swept, sweepMost)
	w.swept = next
	for _, m := range page {
		if m.Expired(w.Now) {
			w.removeExpired(m.Topic)
		}
	}
}

// removeExpired removes the retained message of a topic if it has expired.
func (w *Worker) removeExpired(name string) {
	order := w.r.retained.order(name)
	order.Lock()
	defer order.Unlock()
	if m, ok := w.r.retained.Get(name); ok && m.Expired(w.Now) {
		w.keep(&session.Message{Topic: name})
	}
}
