package router

import (
	"sync"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// users hold what there is of each user, as far as that is bounded. Anonymous
// clients are one, without a name.
type users struct {
	mu     sync.Mutex
	byName map[string]*holding
}

// holding is what there is of one user. mu of users guards it.
type holding struct {
	name                  string
	connections, sessions int
	retained              int // messages
	retainedBytes         int64
}

// of returns what there is of a user. mu is held.
func (u *users) of(name string) *holding {
	h := u.byName[name]
	if h == nil {
		h = &holding{name: name}
		u.byName[name] = h
	}
	return h
}

// settle forgets a user that nothing is left of. mu is held.
func (u *users) settle(h *holding) {
	if h.connections == 0 && h.sessions == 0 && h.retained == 0 {
		delete(u.byName, h.name)
	}
}

// take adds a connection unless there are limit of them; 0 is no limit.
func (u *users) take(name string, limit int) packet.ReasonCode {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.of(name)
	if limit > 0 && h.connections >= limit {
		return packet.ReasonQuotaExceeded
	}
	h.connections++
	return packet.ReasonSuccess
}

func (u *users) leave(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.of(name)
	h.connections--
	u.settle(h)
}

// begin adds a session unless there are limit of them; 0 is no limit.
func (u *users) begin(name string, limit int) packet.ReasonCode {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.of(name)
	if limit > 0 && h.sessions >= limit {
		return packet.ReasonQuotaExceeded
	}
	h.sessions++
	return packet.ReasonSuccess
}

func (u *users) end(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.of(name)
	h.sessions--
	u.settle(h)
}

// retain has a message of a user count, in the place of the one that its topic has,
// if any, unless that would be beyond the limits.
func (u *users) retain(name string, size int64, old *kept, l config.UserLimits) (h *holding, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h = u.of(name)
	messages, bytes := h.retained+1, h.retainedBytes+size
	if old.owner == h {
		messages, bytes = messages-1, bytes-int64(old.size)
	}
	tooMany := l.MaxRetainedMessages > 0 && messages > max(l.MaxRetainedMessages, h.retained)
	tooMuch := l.MaxRetainedBytes > 0 && bytes > max(l.MaxRetainedBytes, h.retainedBytes)
	if tooMany || tooMuch {
		u.settle(h)
		return nil, false
	}
	h.retained, h.retainedBytes = messages, bytes
	if old.owner != h {
		u.release(old)
	}
	return h, true
}

// forget has a retained message that is gone count no more.
func (u *users) forget(k *kept) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.release(k)
}

func (u *users) release(k *kept) {
	if h := k.owner; h != nil {
		h.retained, h.retainedBytes = h.retained-1, h.retainedBytes-int64(k.size)
		u.settle(h)
	}
}
