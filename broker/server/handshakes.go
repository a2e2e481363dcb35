package server

import (
	"net/netip"
	"sync"

	"github.com/godwit-mqtt/godwit/broker/auth"
)

// handshakes are the TLS handshakes that compute at the moment, few at a time so
// that event loops get their turn, and those that wait for that. One that waits
// for its client computes nothing, and takes no place. Those that have begun go
// before those that have not; of these, addresses take turns. The number of all
// is that of newcomers.
type handshakes struct {
	mu      sync.Mutex // before computing's
	atOnce  int        // how many may compute
	free    int        // how many more may compute
	crowded bool       // one has had to wait since none computed
	begun   turns[struct{}, *tlsStream]
	waiting turns[netip.Addr, *tlsStream]
}

func newHandshakes(atOnce int) *handshakes { return &handshakes{atOnce: atOnce, free: atOnce} }

// waits returns how many wait for their turn.
func (h *handshakes) waits() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.begun.count + h.waiting.count
}

// begin has the handshake of t run, on a goroutine of its own, in its turn.
func (h *handshakes) begin(t *tlsStream) {
	h.mu.Lock()
	if h.free == 0 {
		h.crowd()
		h.waiting.add(auth.Network(t.conn.remote.Addr()), t)
		h.mu.Unlock()
		return
	}
	h.free--
	h.mu.Unlock()
	if !t.start() {
		h.rest()
	}
}

// goOn returns when the handshake of t, which has waited for its client, may
// compute again.
func (h *handshakes) goOn(t *tlsStream) {
	h.mu.Lock()
	if h.free > 0 {
		h.free--
		h.mu.Unlock()
		return
	}
	h.crowd()
	turn := make(chan struct{})
	t.turn = turn
	h.begun.add(struct{}{}, t)
	h.mu.Unlock()
	<-turn
}

// rest gives the place of a handshake to the next one. Connections that have ended
// before their handshake began are passed over.
func (h *handshakes) rest() {
	for {
		t, begun := h.next()
		switch {
		case t == nil:
			return
		case begun:
			close(t.turn)
			return
		case t.start():
			return
		}
	}
}

// next takes the handshake whose turn it is, and says whether it has begun. It is
// nil, and the place is free, where none waits.
func (h *handshakes) next() (t *tlsStream, begun bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, t, begun = h.begun.next(); begun {
		return t, true
	}
	_, t, ok := h.waiting.next()
	if !ok {
		h.free++
		h.thinOut()
	}
	return t, false
}

// crowd keeps event loops from waiting for handshakes that compute one after the
// other. mu is held.
func (h *handshakes) crowd() {
	if !h.crowded {
		h.crowded = true
		computing.begin()
	}
}

// thinOut is called when none waits. mu is held.
func (h *handshakes) thinOut() {
	if h.crowded && h.free == h.atOnce {
		h.crowded = false
		computing.done()
	}
}
