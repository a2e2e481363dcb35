package bench

// schedule tells when messages are due at a fixed rate. All times are in
// nanoseconds.
type schedule struct {
	start, end int64   // nothing is due before start, or from end on
	interval   float64 // between two messages
	next       uint64  // number of the first message that was not taken
}

func newSchedule(rate float64, start, end int64) schedule {
	return schedule{start: start, end: end, interval: 1e9 / rate}
}

// due is the time of message k.
func (s *schedule) due(k uint64) int64 {
	return s.start + int64(float64(k)*s.interval)
}

// take returns the next message if it is due by now.
func (s *schedule) take(now int64) (k uint64, at int64, ok bool) {
	at = s.due(s.next)
	if at > now || at >= s.end {
		return 0, 0, false
	}
	s.next++
	return s.next - 1, at, true
}

// wait is how long it is until the next message, at most limit.
func (s *schedule) wait(now, limit int64) int64 {
	at := s.due(s.next)
	if at >= s.end {
		return limit
	}
	return min(max(at-now, 0), limit)
}

// done says that all messages were taken.
func (s *schedule) done() bool { return s.due(s.next) >= s.end }
