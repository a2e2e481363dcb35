// Package retain holds the index of retained messages.
package retain

import "sync"

// Index finds retained messages by topic name and by topic filter. M is what
// the caller keeps for a message: a pointer or a small handle. The zero value
// is empty and ready. Any goroutine may call any method.
//
// Names and filters must be valid; filters are without $share/group/, since a
// shared subscription gets no retained messages.
type Index[M any] struct {
	mu   sync.RWMutex
	list list[M] // guarded by mu
}

// Set stores m as the message of name and returns the one that it replaces.
// The index keeps name if it is new.
func (x *Index[M]) Set(name string, m M) (old M, had bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, had := seek(&x.list, name)
	if had {
		it := x.list.at(p)
		old, it.m = it.m, m
		return old, true
	}
	x.list.insert(p, item[M]{name, m})
	return old, false
}

// Delete removes the message of name and returns it.
func (x *Index[M]) Delete(name string) (old M, had bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, had := seek(&x.list, name)
	if had {
		old = x.list.at(p).m
		x.list.remove(p)
	}
	return old, had
}

// Get returns the message of name.
func (x *Index[M]) Get(name string) (m M, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, ok := seek(&x.list, name)
	if ok {
		m = x.list.at(p).m
	}
	return m, ok
}

// Page calls yield for up to n messages, in the order of their names' bytes, from
// the one on whose name is not below from. next is where the page behind it
// begins, "" if there is none. yield must not use the index.
func (x *Index[M]) Page(from string, n int, yield func(name string, m M)) (next string) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, _ := seek(&x.list, from)
	for it := x.list.at(p); it != nil; it = x.list.at(p) {
		if n == 0 {
			return it.name
		}
		n--
		yield(it.name, it.m)
		p = x.list.next(p)
	}
	return ""
}

// Len returns the number of messages.
func (x *Index[M]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.list.length
}

// A lock is held for so many matches, or names looked at, and then let go.
const (
	batchMost = 64
	looksMost = 256
)

// Match calls yield for each message whose name the filter matches, in the
// order of the names' bytes, until yield returns false.
//
// No lock is held while yield runs, which may use the index. A message that is
// set or deleted meanwhile may come or not, in its old or new form; any other
// one comes exactly once. The memory that Match takes does not depend on the
// number of messages.
func (x *Index[M]) Match(filter string, yield func(name string, m M) bool) {
	x.MatchFrom(filter, "", yield)
}

// MatchFrom is Match for the messages whose names are not below from.
func (x *Index[M]) MatchFrom(filter, from string, yield func(name string, m M) bool) {
	s := scan{filter: filter}
	s.start()
	if from > string(s.from) {
		s.to("", from)
	}
	var batch [batchMost]item[M]
	for !s.done {
		for _, it := range batch[:x.collect(&s, batch[:])] {
			if !yield(it.name, it.m) {
				return
			}
		}
	}
}

// collect moves the scan on and returns the number of matches put into batch.
func (x *Index[M]) collect(s *scan, batch []item[M]) (n int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, _ := seek(&x.list, s.from)
	for range looksMost {
		it := x.list.at(p)
		if it == nil {
			s.done = true
		} else if s.check(it.name) {
			batch[n] = *it
			n++
		}
		if s.done || n == len(batch) {
			return n
		}
		p = x.list.advance(p, s.from)
	}
	return n
}
