package router

import (
	"cmp"
	"slices"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// Room is what there is room for at the moment.
type Room struct {
	// Memory that may be held for one session, and Disk for one that is durable, in
	// bytes.
	Memory, Disk int64
	// NoSessions: no new one begins. NoDurable: none that has to be stored.
	NoSessions, NoDurable bool
}

// SetRoom says what there is room for from now on. Until it is called there is room
// for everything that the limits allow.
func (r *Router) SetRoom(room Room) { r.room.Store(&room) }

// crowdedOut reports whether there is no room for d besides what waits for s, which
// is locked.
func (w *Worker) crowdedOut(s *Subscriber, d *session.Delivery) bool {
	room := w.r.room.Load()
	if room == nil {
		return false
	}
	limit := room.Memory
	if s.session.Durable {
		limit = room.Disk
	}
	_, bytes := s.session.Queue()
	return int64(bytes+d.Size()) > limit
}

// takesSession reports whether there is room for a new session.
func (r *Router) takesSession(durable bool) bool {
	room := r.room.Load()
	return room == nil || !room.NoSessions && (!durable || !room.NoDurable)
}

// leastShed is what has to be held for a client so that its end is worth it.
const leastShed = 64 << 10

// Shed disconnects the clients for which most is held in memory, until that is the
// given number of bytes, and returns how many that are. Any goroutine may call it.
func (r *Router) Shed(bytes int64) (ended int) {
	type big struct {
		s    *Subscriber
		held int64
	}
	var all []big
	for _, s := range r.sessions.all() {
		if held := s.held(); held >= leastShed {
			all = append(all, big{s, held})
		}
	}
	slices.SortFunc(all, func(a, b big) int { return cmp.Compare(b.held, a.held) })
	for _, x := range all {
		if bytes <= 0 {
			break
		}
		if x.s.kick(packet.ReasonQuotaExceeded, "the broker is short of memory, and much waits for this client") {
			bytes -= x.held
			ended++
		}
	}
	r.metrics.Count(metrics.ConnectionsShed, ended)
	return ended
}

// held is what is in memory for the client of s.
func (s *Subscriber) held() (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return 0
	}
	return s.link.Pending() + int64(s.session.InMemory())
}

func (s *Subscriber) kick(reason packet.ReasonCode, why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return false
	}
	s.link.Kick(reason, why)
	return true
}
