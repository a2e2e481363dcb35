package server

import (
	"math"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// drain disconnects all clients at the configured pace, so that they do not all
// come back in the same moment, and waits until they are gone or the time for it
// is over. Where the store has failed it hurries: nothing can be done for them.
func (s *Server) drain() {
	d := s.settings().Drain
	if s.storageFailure() != nil {
		d.DisconnectRate, d.Timeout = math.MaxInt32, min(d.Timeout, config.Duration(hastyDrain))
	}
	deadline := time.Now().Add(time.Duration(d.Timeout))
	const beats = 20 // a second
	beat := time.NewTicker(time.Second / beats)
	defer beat.Stop()
	next, sent := 0, 0
	for n := 1; next < s.table.size() && time.Now().Before(deadline); n++ {
		due := (n*d.DisconnectRate + beats - 1) / beats
		next = s.dismiss(next, due-sent)
		sent = due
		if next < s.table.size() {
			<-beat.C
		}
	}
	for s.occupied() && time.Now().Before(deadline) {
		<-beat.C
	}
}

// hastyDrain is how long clients have to take their DISCONNECT where the store has
// failed.
const hastyDrain = 5 * time.Second

// dismiss disconnects the next n clients from a descriptor on, and returns where
// to go on.
func (s *Server) dismiss(from, n int) int {
	reason := s.elsewhere(packet.ReasonServerShuttingDown)
	for fd, c := range s.table.from(from) {
		if n == 0 {
			return fd
		}
		c.Kick(reason, "")
		n--
	}
	return s.table.size()
}

// elsewhere returns why a client has to leave: to use another server where one is
// named, and else for the reason given.
func (s *Server) elsewhere(otherwise packet.ReasonCode) packet.ReasonCode {
	if s.settings().Drain.ServerReference == "" {
		return otherwise
	}
	return packet.ReasonUseAnotherServer
}

// refer adds to p where to go, if reason asks for that.
func (s *Server) refer(p *packet.Properties, reason packet.ReasonCode) {
	if reason == packet.ReasonUseAnotherServer {
		p.ServerReference = []byte(s.settings().Drain.ServerReference)
		p.Set(packet.PropServerReference)
	}
}

func (s *Server) occupied() bool {
	for range s.table.all() {
		return true
	}
	return false
}
