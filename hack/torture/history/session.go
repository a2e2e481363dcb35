package history

import "time"

// Sessions is an account of whether a client's session is there.
type Sessions struct {
	history *History
	client  string
	durable bool
	state   presence
	asked   time.Duration // when the CONNECT was sent that made it
	since   time.Duration // that it is sure
	clean   bool          // what the CONNECT asks for that is not answered
}

type presence int

const (
	absent presence = iota
	unsure
	present
)

// Sessions begins an account of the sessions of a client. One that is not
// durable always asks for a new one.
func (h *History) Sessions(client string, durable bool) *Sessions {
	return &Sessions{history: h, client: client, durable: durable}
}

// Connecting tells that a CONNECT is about to be sent.
func (s *Sessions) Connecting(clean bool) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	if s.clean = clean; s.durable && (clean || s.state == absent) {
		s.state, s.asked = unsure, s.history.now()
	}
}

// Connected tells what CONNACK says of the session.
func (s *Sessions) Connected(there bool) {
	h := s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case there && (s.clean || s.state == absent):
		h.report(Session, h.now(), false, "%s is told of a session, and has none", s.client)
	case !there && s.state == present:
		h.report(Session, h.now(), h.excused(s.asked, s.since), "%s is told that there is no session, and has one since %v", s.client, round(s.since))
	case there:
		h.counts.Resumed++
	}
	switch {
	case !s.durable:
		s.state = absent
	case !there || s.state != present:
		s.state, s.since = present, h.now()
	}
}
