package history

import "slices"

// Looked tells what the retained message of a stream's topic is found to be: its
// number, or 0 for none. lowest is what Lowest returned before anybody asked.
func (s *Stream) Looked(found, lowest int) {
	h := s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Retained++
	switch {
	case found > len(s.messages):
		h.report(Foreign, h.now(), false, "retained is message %d of %s on %s, which was never sent", found, s.Publisher, s.Topic)
	case found > 0 && found < lowest:
		h.report(Retained, s.messages[lowest-1].acked, false, "%s was found retained at %v; message %d was acknowledged", s.name(found), round(h.now()), lowest)
	case found == 0 && s.owed(lowest):
		h.report(Retained, s.messages[lowest-1].acked, false, "nothing was found retained on %s at %v; message %d was acknowledged", s.Topic, round(h.now()), lowest)
	}
}

// Lowest returns the number of the latest message that the broker answers for, 0
// for none. A retained message may not be older.
func (s *Stream) Lowest() int {
	h := s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range slices.Backward(s.messages) {
		if m := &s.messages[i]; m.acked != never && !h.excusedMessage(m) {
			return i + 1
		}
	}
	return 0
}

// Owed reports whether something has to be retained, by what Lowest returned.
func (s *Stream) Owed(lowest int) bool {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	return s.owed(lowest)
}

func (s *Stream) owed(lowest int) bool { return lowest > 0 && !s.clearedFrom(lowest) }

// clearedFrom reports whether the message with a number, or a later one, clears
// the topic.
func (s *Stream) clearedFrom(seq int) bool {
	for i := seq - 1; i < len(s.messages); i++ {
		if s.messages[i].empty {
			return true
		}
	}
	return false
}
