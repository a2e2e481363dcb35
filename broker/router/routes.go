package router

import "hash/maphash"

// routes caches the routes of the topics that a Worker published to lately, in
// pairs of places that a topic's hash chooses. A topic gets a place when it comes
// a second time: it takes the one of its pair that was used less lately, with its
// memory. Topics that come once, and long names, which are not worth their memory,
// all share one route, so that a stream of ever new topics costs no allocation and
// drives nothing out.
//
// A route that somebody holds on to may come to stand for another topic, and for
// the same one again: what was computed for a route is good for one use of it.
type routes struct {
	seed    maphash.Seed
	tags    []uint32 // of the topics in slots: what is not here is not there
	slots   []*route
	noted   []uint32 // tags of topics that came once
	passing *route   // of a topic without a place
	entries int      // subscribers on all routes
}

// routeSlots is a power of two.
const routeSlots = 1 << 13

// longName is the length from which on a name is long, in bytes.
const longName = 257

// find returns the route of name, nil if it is not there.
func (c *routes) find(name []byte) *route {
	if len(name) >= longName {
		if is(c.passing, name) {
			return c.passing
		}
		return nil
	}
	first, tag := c.place(name)
	if c.tags[first] == tag && is(c.slots[first], name) {
		return c.slots[first]
	}
	if c.tags[first^1] == tag && is(c.slots[first^1], name) {
		c.swap(first)
		return c.slots[first]
	}
	return nil
}

// take returns a route to be filled for name, which was not found.
func (c *routes) take(name []byte) *route {
	if len(name) >= longName {
		return made(&c.passing)
	}
	first, tag := c.place(name)
	if c.noted[first] != tag {
		c.noted[first] = tag
		return made(&c.passing)
	}
	c.swap(first)
	c.tags[first] = tag
	return made(&c.slots[first])
}

// place returns the first place of name, whose second is its neighbour, and the
// tag of name.
func (c *routes) place(name []byte) (first int, tag uint32) {
	if c.slots == nil {
		c.seed = maphash.MakeSeed()
		c.tags, c.slots, c.noted = make([]uint32, routeSlots), make([]*route, routeSlots), make([]uint32, routeSlots)
	}
	hash := maphash.Bytes(c.seed, name)
	return int(hash & (routeSlots - 1)), uint32(hash >> 32)
}

func (c *routes) swap(first int) {
	second := first ^ 1
	c.tags[first], c.tags[second] = c.tags[second], c.tags[first]
	c.slots[first], c.slots[second] = c.slots[second], c.slots[first]
}

func made(place **route) *route {
	if *place == nil {
		*place = new(route)
	}
	return *place
}

// mostEntries bounds the memory of routes with very many subscribers.
const mostEntries = 1 << 20

// grew notes that a route has n more subscribers. When they are too many in all,
// it begins anew.
func (c *routes) grew(n int) {
	if c.entries += n; c.entries > mostEntries {
		c.slots, c.passing, c.entries = nil, nil, 0
	}
}

func is(rt *route, name []byte) bool { return rt != nil && string(rt.topic) == string(name) }
