package session

import "slices"

// subscriptions of a session by filter. Most sessions have a few, which a list
// holds in a fraction of the memory of a map; the map comes with the many.
type subscriptions struct {
	list     []*Subscription
	byFilter map[string]*Subscription // nil up to fewSubscriptions
}

const fewSubscriptions = 16

func (s *subscriptions) find(filter string) *Subscription {
	if s.byFilter != nil {
		return s.byFilter[filter]
	}
	if i := s.index(filter); i >= 0 {
		return s.list[i]
	}
	return nil
}

func (s *subscriptions) index(filter string) int {
	return slices.IndexFunc(s.list, func(sub *Subscription) bool { return sub.Filter == filter })
}

// put adds sub, or replaces the one to the same filter.
func (s *subscriptions) put(sub *Subscription) (existed bool) {
	if old := s.find(sub.Filter); old != nil {
		*old = *sub
		return true
	}
	s.list = append(s.list, sub)
	switch {
	case s.byFilter != nil:
		s.byFilter[sub.Filter] = sub
	case len(s.list) > fewSubscriptions:
		s.byFilter = make(map[string]*Subscription, len(s.list))
		for _, each := range s.list {
			s.byFilter[each.Filter] = each
		}
	}
	return false
}

func (s *subscriptions) remove(filter string) (existed bool) {
	i := s.index(filter)
	if i < 0 {
		return false
	}
	last := len(s.list) - 1
	s.list[i], s.list[last] = s.list[last], nil
	s.list = s.list[:last]
	if delete(s.byFilter, filter); last == 0 {
		*s = subscriptions{}
	}
	return true
}
