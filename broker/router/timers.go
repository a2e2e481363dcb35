package router

import (
	"container/heap"
	"sync"
	"time"
)

// timers wake the router up for sessions without a connection: for a will that
// is due, or the end of the session. A session has one timer at most.
type timers struct {
	mu   sync.Mutex
	heap timerHeap
}

// timer is a session's place among the timers, which guard it.
type timer struct {
	at    time.Time
	place int // in the heap, from 1; 0 is none
}

// schedule sets the timer of s, which is locked and disconnected.
func (r *Router) schedule(s *Subscriber) {
	at := s.ends()
	if s.will != nil && s.will.At.Before(at) {
		at = s.will.At
	}
	r.wakeAt(s, at)
}

// wakeAt has the session of s, which is not connected, woken at a time.
func (r *Router) wakeAt(s *Subscriber, at time.Time) {
	t := &r.timers
	t.mu.Lock()
	defer t.mu.Unlock()
	s.timer.at = at
	if s.timer.place > 0 {
		heap.Fix(&t.heap, s.timer.place-1)
		return
	}
	heap.Push(&t.heap, s)
}

// cancel takes the timer of s away.
func (t *timers) cancel(s *Subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.timer.place > 0 {
		heap.Remove(&t.heap, s.timer.place-1)
	}
}

// next takes out a session whose time has come, the one that waits longest; nil
// if there is none.
func (t *timers) next(now time.Time) *Subscriber {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 || now.Before(t.heap[0].timer.at) {
		return nil
	}
	return heap.Pop(&t.heap).(*Subscriber)
}

type timerHeap []*Subscriber

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].timer.at.Before(h[j].timer.at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer.place, h[j].timer.place = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	s := x.(*Subscriber)
	*h = append(*h, s)
	s.timer.place = len(*h)
}

func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	last.timer.place = 0
	return last
}
