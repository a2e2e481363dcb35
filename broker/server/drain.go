package server

import (
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// drain disconnects all clients at the configured pace, so that they do not all
// come back in the same moment, and waits until they are gone or the time for it
// is over.
func (s *Server) drain() {
	d := s.settings().Drain
	deadline := time.Now().Add(time.Duration(d.Timeout))
	const beats = 20 // a second
	beat := time.NewTicker(time.Second / beats)
	defer beat.Stop()
	for next := 0; next < len(s.table) && time.Now().Before(deadline); {
		next = s.dismiss(next, max(d.DisconnectRate/beats, 1))
		if next < len(s.table) {
			<-beat.C
		}
	}
	for s.occupied() && time.Now().Before(deadline) {
		<-beat.C
	}
}

// dismiss disconnects the next n clients from a descriptor on, and returns where
// to go on.
func (s *Server) dismiss(from, n int) int {
	for ; from < len(s.table) && n > 0; from++ {
		if c := s.table[from].Load(); c != nil {
			c.Kick(packet.ReasonServerShuttingDown, "")
			n--
		}
	}
	return from
}

func (s *Server) occupied() bool {
	for i := range s.table {
		if s.table[i].Load() != nil {
			return true
		}
	}
	return false
}
