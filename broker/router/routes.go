package router

import "hash/maphash"

// routes caches the routes of the topics that a Worker published to lately, in
// pairs of places that a topic's hash chooses. A topic that is not found takes
// the place, and the memory, of the one of its pair that was used less lately,
// so that a stream of ever new topics costs no allocation.
//
// A route that somebody holds on to may come to stand for another topic: compare
// the topic before use.
type routes struct {
	seed    maphash.Seed
	slots   []*route
	entries int // subscribers on all routes
}

// routeSlots is a power of two.
const routeSlots = 1 << 13

// get returns the route of name and true, or one to be filled for it.
func (c *routes) get(name []byte) (rt *route, found bool) {
	if c.slots == nil {
		c.seed, c.slots = maphash.MakeSeed(), make([]*route, routeSlots)
	}
	i := maphash.Bytes(c.seed, name) & (routeSlots - 1)
	first, second := &c.slots[i], &c.slots[i^1]
	if is(*first, name) {
		return *first, true
	}
	*first, *second = *second, *first
	if is(*first, name) {
		return *first, true
	}
	if *first == nil {
		*first = new(route)
	}
	return *first, false
}

// mostEntries bounds the memory of routes with very many subscribers.
const mostEntries = 1 << 20

// grew notes that a route has n more subscribers. When they are too many in all,
// it begins anew.
func (c *routes) grew(n int) {
	if c.entries += n; c.entries > mostEntries {
		c.slots, c.entries = nil, 0
	}
}

func is(rt *route, name []byte) bool { return rt != nil && string(rt.topic) == string(name) }
