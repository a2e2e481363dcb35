package session

import "time"

// ledger lists the deliveries of a session whose bodies are in a store alone,
// first in first out. They come behind those of the queue.
type ledger struct {
	items    []Waiting
	head     int
	bytes    int
	expiring int // items that lose their worth at some time
}

func (l *ledger) len() int { return len(l.items) - l.head }

func (l *ledger) push(w Waiting) {
	l.items = append(l.items, w)
	l.count(w, 1)
}

func (l *ledger) count(w Waiting, n int) {
	l.bytes += n * int(w.Size)
	if w.Expires != 0 {
		l.expiring += n
	}
}

func (l *ledger) first() Waiting { return l.items[l.head] }

func (l *ledger) pop() Waiting {
	w := l.first()
	l.head++
	l.count(w, -1)
	switch {
	case l.head == len(l.items):
		l.items, l.head = nil, 0
	case l.head >= 64 && l.head*2 >= len(l.items):
		l.items = append([]Waiting(nil), l.items[l.head:]...)
		l.head = 0
	}
	return w
}

// prepend puts ws in front of all others.
func (l *ledger) prepend(ws []Waiting) {
	if len(ws) == 0 {
		return
	}
	l.items, l.head = append(ws, l.items[l.head:]...), 0
	for _, w := range ws {
		l.count(w, 1)
	}
}

// expire takes out what has lost its worth, and returns the number of items that
// it looked at.
func (l *ledger) expire(now time.Time, gone func(Waiting)) (looked int) {
	if l.expiring == 0 {
		return 0
	}
	looked = l.len()
	kept := l.items[l.head:l.head]
	for _, w := range l.items[l.head:] {
		if !w.Expired(now) {
			kept = append(kept, w)
			continue
		}
		l.count(w, -1)
		gone(w)
	}
	if len(kept) == 0 {
		kept = nil
	}
	l.items, l.head = kept, 0
	return looked
}
