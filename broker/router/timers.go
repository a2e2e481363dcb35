package router

import (
	"container/heap"
	"sync"
	"time"
)

// timers wake the router up for sessions without a connection: for a will that
// is due, or the end of the session. A timer of an earlier connection is passed
// over when its time comes.
type timers struct {
	mu   sync.Mutex
	heap timerHeap
}

type timer struct {
	at         time.Time
	subscriber *Subscriber
	epoch      int
}

// schedule sets the timer of s, which is locked and disconnected.
func (r *Router) schedule(s *Subscriber) {
	at := s.disconnected.Add(s.session.Expiry)
	if s.will != nil && s.will.At.Before(at) {
		at = s.will.At
	}
	r.timers.mu.Lock()
	heap.Push(&r.timers.heap, timer{at: at, subscriber: s, epoch: s.epoch})
	r.timers.mu.Unlock()
}

// due takes out the timers whose time has come.
func (t *timers) due(now time.Time) []timer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []timer
	for len(t.heap) > 0 && !now.Before(t.heap[0].at) {
		due = append(due, heap.Pop(&t.heap).(timer))
	}
	return due
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return last
}
