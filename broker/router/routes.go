package router

import "hash/maphash"

// routes caches the routes of the topics that a Worker published to lately, in
// pairs of places that a topic's hash chooses. A topic that is not found takes
// the place, and the memory, of the one of its pair that was used less lately,
// so that a stream of ever new topics costs no allocation. Long names are not
// worth their memory: they all share one place.
//
// A route that somebody holds on to may come to stand for another topic: compare
// the topic before use.
type routes struct {
	seed    maphash.Seed
	slots   []*route
	long    *route
	entries int // subscribers on all routes
}

// routeSlots is a power of two.
const routeSlots = 1 << 13

// longName is the length from which on a name is long, in bytes.
const longName = 257

// find returns the route of name, nil if it is not there.
func (c *routes) find(name []byte) *route {
	first, second := c.places(name)
	switch {
	case is(*first, name):
		return *first
	case is(*second, name):
		*first, *second = *second, *first
		return *first
	}
	return nil
}

// take returns a route to be filled for name, which was not found.
func (c *routes) take(name []byte) *route {
	first, second := c.places(name)
	*first, *second = *second, *first
	if *first == nil {
		*first = new(route)
	}
	return *first
}

// places returns where the route of name may be.
func (c *routes) places(name []byte) (first, second **route) {
	if len(name) >= longName {
		return &c.long, &c.long
	}
	if c.slots == nil {
		c.seed, c.slots = maphash.MakeSeed(), make([]*route, routeSlots)
	}
	i := maphash.Bytes(c.seed, name) & (routeSlots - 1)
	return &c.slots[i], &c.slots[i^1]
}

// mostEntries bounds the memory of routes with very many subscribers.
const mostEntries = 1 << 20

// grew notes that a route has n more subscribers. When they are too many in all,
// it begins anew.
func (c *routes) grew(n int) {
	if c.entries += n; c.entries > mostEntries {
		c.slots, c.long, c.entries = nil, nil, 0
	}
}

func is(rt *route, name []byte) bool { return rt != nil && string(rt.topic) == string(name) }
