package session

import (
	"slices"
	"strings"
)

// subscriptions of a session by filter. Most sessions have a few, which a list
// holds in a fraction of the memory of a map; the map comes with the many.
type subscriptions struct {
	list   []*Subscription
	at     map[string]int // in list, by filter; nil up to fewSubscriptions
	bytes  int32          // of their filters
	shared int32          // of list
}

func isShared(filter string) bool { return strings.HasPrefix(filter, "$share/") }

const fewSubscriptions = 16

func (s *subscriptions) find(filter string) *Subscription {
	if i := s.index(filter); i >= 0 {
		return s.list[i]
	}
	return nil
}

// index returns the place of a subscription in the list, -1 if there is none.
func (s *subscriptions) index(filter string) int {
	if s.at == nil {
		return slices.IndexFunc(s.list, func(sub *Subscription) bool { return sub.Filter == filter })
	}
	if i, ok := s.at[filter]; ok {
		return i
	}
	return -1
}

// put adds sub, or replaces the one to the same filter.
func (s *subscriptions) put(sub *Subscription) (existed bool) {
	if old := s.find(sub.Filter); old != nil {
		*old = *sub
		return true
	}
	s.list = append(s.list, sub)
	s.bytes += int32(len(sub.Filter))
	if isShared(sub.Filter) {
		s.shared++
	}
	switch {
	case s.at != nil:
		s.at[sub.Filter] = len(s.list) - 1
	case len(s.list) > fewSubscriptions:
		s.at = make(map[string]int, len(s.list))
		for i, each := range s.list {
			s.at[each.Filter] = i
		}
	}
	return false
}

func (s *subscriptions) remove(filter string) (existed bool) {
	i := s.index(filter)
	if i < 0 {
		return false
	}
	if isShared(filter) {
		s.shared--
	}
	last := len(s.list) - 1
	if last == 0 {
		*s = subscriptions{}
		return true
	}
	s.list[i], s.list[last] = s.list[last], nil
	s.list = s.list[:last]
	s.bytes -= int32(len(filter))
	if s.at != nil {
		if delete(s.at, filter); i < last {
			s.at[s.list[i].Filter] = i
		}
	}
	return true
}
