package router

import (
	"maps"
	"slices"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// sweepMost is the number of retained messages, and of sessions, that a sweep
// looks at.
const sweepMost = 4096

// swept is where the next sweep begins.
type swept struct {
	topic string
	shard int
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
	shards := &w.r.sessions.shards
	for looked, n := 0, 0; n < len(shards) && looked < sweepMost; n++ {
		looked += w.sweepShard(&shards[w.swept.shard])
		w.swept.shard = (w.swept.shard + 1) % len(shards)
	}
}

// sweepShard returns the number of sessions that it has looked at.
func (w *Worker) sweepShard(sh *shard) int {
	sh.mu.Lock()
	all := slices.Collect(maps.Values(sh.byID))
	sh.mu.Unlock()
	for _, s := range all {
		w.sweepSession(s)
	}
	return len(all)
}

func (w *Worker) sweepSession(s *Subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.session.Expire(w.Now, func(d session.Waiting) {
		w.dropped(metrics.DroppedExpired)
		w.complete(s, d)
	})
	w.Settle()
}
