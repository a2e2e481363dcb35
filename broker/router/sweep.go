package router

import (
	"maps"
	"slices"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// sweepMost is the number of retained messages, and of sessions and deliveries,
// that a sweep looks at.
const sweepMost = 4096

// swept is where the next sweep begins.
type swept struct {
	topic    string
	shard    int
	sessions []*Subscriber // of the last shard, that were not looked at yet
}

// sweep removes what has expired: retained messages, and what waits for sessions
// in the store alone. Of very many it looks at some at each call.
func (w *Worker) sweep() {
	var expired []string
	w.swept.topic = w.r.retained.Page(w.swept.topic, sweepMost, func(name string, k kept) {
		if k.expired(w.Now) {
			expired = append(expired, name)
		}
	})
	for _, name := range expired {
		w.removeExpired(name)
	}
	for looked, n := 0, 0; looked < sweepMost && n <= len(w.r.sessions.shards); {
		if len(w.swept.sessions) == 0 {
			w.sweepNextShard()
			n++
			continue
		}
		last := len(w.swept.sessions) - 1
		looked += 1 + w.sweepSession(w.swept.sessions[last])
		w.swept.sessions[last] = nil
		w.swept.sessions = w.swept.sessions[:last]
	}
}

// sweepNextShard goes on with the sessions of the next shard.
func (w *Worker) sweepNextShard() {
	sh := &w.r.sessions.shards[w.swept.shard]
	w.swept.shard = (w.swept.shard + 1) % len(w.r.sessions.shards)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w.swept.sessions = slices.AppendSeq(w.swept.sessions[:0], maps.Values(sh.byID))
}

// sweepSession returns the number of deliveries that it has looked at.
func (w *Worker) sweepSession(s *Subscriber) (deliveries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0
	}
	deliveries = s.session.Expire(w.Now, func(d session.Waiting) {
		w.dropped(metrics.DroppedExpired)
		w.complete(s, d)
	})
	w.Settle()
	return deliveries
}
