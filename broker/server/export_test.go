package server

import (
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

// SetLongestWait is for before a Server is made.
func SetLongestWait(d time.Duration) { longestWait = d }

// Access is what is in force of users and rules.
func (s *Server) Access() *auth.Snapshot { return s.access.Load() }
