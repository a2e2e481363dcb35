package router

import "time"

// A subscriber that takes less than it is sent may hold up publishers of its own
// user, so that it loses nothing in a burst: while it is behind, for holdMost in
// all. From then on nobody waits for it: its messages are dropped, or wait within
// its limits, until it has caught up. Ten seconds in which it keeps up are worth
// one more. Publishers of other users are never held up, and anonymous clients are
// one user.
const (
	holdMost = 10 * time.Second
	caughtUp = time.Second // without being behind
	earnOne  = 10
)

// holdsUp reports whether one of those who are slow may hold up a publisher. No
// Subscriber is locked.
func (w *Worker) holdsUp(from *Subscriber) bool {
	defer clear(w.slow)
	user := from.Principal().Username
	for _, s := range w.slow {
		s.mu.Lock()
		holds := s.principal.Username == user && s.holdUp.at(w.Now)
		s.mu.Unlock()
		if holds {
			return true
		}
	}
	return false
}

// holdUp is how long a subscriber has held up publishers, in milliseconds.
type holdUp struct {
	spent uint32
	last  uint32 // when it was behind, since 1970 and as far as it fits; 0 is never
}

// at notes that the subscriber is behind, and reports whether it may hold up
// publishers.
func (h *holdUp) at(now time.Time) bool {
	const most = uint32(holdMost / time.Millisecond)
	clock := max(uint32(now.UnixMilli()), 1)
	since := int32(clock - h.last)
	switch {
	case h.last == 0:
		h.spent = 0
	case since < 0: // another loop's clock is ahead, by less than a round
		return h.spent < most
	case since >= int32(caughtUp/time.Millisecond):
		h.spent -= min(h.spent, uint32(since)/earnOne)
	default:
		h.spent = min(h.spent+uint32(since), most)
	}
	h.last = clock
	return h.spent < most
}
