package server

import (
	"sync"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
)

// HurryGroups has the loops of new brokers part and come together all the time.
func HurryGroups() {
	groupPace = pace{crowded: 0, crowdedAfter: 2 * time.Millisecond, calm: 8, calmAfter: 2 * time.Millisecond}
}

// GroupSize is the greatest number of loops in a group.
const GroupSize = groupSize

// Apart reports whether each loop of the first group has a goroutine of its own.
func (s *Server) Apart() bool { return s.groups[0].apart.Load() }

// Logins returns the counters of logins.
func (s *Server) Logins() auth.Stats { return s.authenticator.Stats() }

// HoldLogins has no password checked until release.
func (s *Server) HoldLogins() (release func()) {
	held := make(chan struct{})
	var began sync.WaitGroup
	for range s.logins.atOnce {
		began.Add(1)
		s.logins.add(login{check: func() {
			began.Done()
			<-held
		}})
	}
	began.Wait()
	return func() { close(held) }
}

// WaitingLogins returns how many passwords wait to be checked.
func (s *Server) WaitingLogins() int { return s.logins.waits() }

// SetLongestWait is for before a Server is made.
func SetLongestWait(d time.Duration) { longestWait = d }

// Access is what is in force of users and rules.
func (s *Server) Access() *auth.Snapshot { return s.access.Load() }

// HoldHandshakes has no TLS handshake compute until release.
func (s *Server) HoldHandshakes() (release func()) {
	h := s.handshakes
	h.mu.Lock()
	defer h.mu.Unlock()
	places := h.free
	h.free = 0
	return func() {
		for range places {
			h.rest()
		}
	}
}

// FreeHandshakes returns how many more TLS handshakes may compute.
func (s *Server) FreeHandshakes() int {
	s.handshakes.mu.Lock()
	defer s.handshakes.mu.Unlock()
	return s.handshakes.free
}

// WaitingHandshakes returns how many TLS handshakes wait for their turn.
func (s *Server) WaitingHandshakes() int { return s.handshakes.waits() }
