package topic

import "hash/maphash"

// place says which filters of a node a subscription belongs to.
type place uint8

const (
	exact   place = iota // the filter that ends with the node
	subtree              // the filter that ends with '#' below the node
)

// members are the subscriptions at a node. They are immutable: a change makes
// new ones. Nearly all nodes of a large index have a single subscription, which
// therefore takes the least space.
type members[S comparable] struct {
	solo  solo[S]   // the only subscription if crowd is nil
	crowd *crowd[S] // all of them otherwise
}

// solo is an entry with its place in the space of an entry.
type solo[S comparable] struct {
	subscriber        S
	id                uint32
	qos               byte
	noLocal           bool
	retainAsPublished bool
	place             place
}

type crowd[S comparable] [2]struct { // by place
	set    *bucket[S]
	groups groups[S]
}

func newSolo[S comparable](p place, e Entry[S]) *members[S] {
	return &members[S]{solo: solo[S]{
		subscriber:        e.Subscriber,
		id:                e.ID,
		qos:               e.QoS,
		noLocal:           e.NoLocal,
		retainAsPublished: e.RetainAsPublished,
		place:             p,
	}}
}

func (s *solo[S]) entry() Entry[S] {
	return Entry[S]{s.subscriber, Options{
		QoS:               s.qos,
		NoLocal:           s.noLocal,
		RetainAsPublished: s.retainAsPublished,
		ID:                s.id,
	}}
}

// unpack returns a crowd that says the same as m, which may be nil. The caller
// may replace what is in it.
func (m *members[S]) unpack() crowd[S] {
	var c crowd[S]
	switch {
	case m == nil:
	case m.crowd != nil:
		c = *m.crowd
	default:
		c[m.solo.place].set = newLeaf([]Entry[S]{m.solo.entry()})
	}
	return c
}

// pack returns the members that c describes, nil if there are none.
func pack[S comparable](c crowd[S]) *members[S] {
	if c[exact].groups.len()+c[subtree].groups.len() == 0 {
		switch a, b := c[exact].set, c[subtree].set; {
		case a == nil && b == nil:
			return nil
		case b == nil && a.count == 1:
			return newSolo(exact, a.entries[0])
		case a == nil && b.count == 1:
			return newSolo(subtree, b.entries[0])
		}
	}
	return &members[S]{crowd: &c}
}

// with returns the members with the subscription e added or replaced, and
// whether one was replaced. If that changes nothing it returns m itself.
func (m *members[S]) with(seed maphash.Seed, p place, e Entry[S]) (next *members[S], existed bool) {
	if m == nil {
		return newSolo(p, e), false
	}
	c := m.unpack()
	old, existed := c[p].set.get(seed, e.Subscriber)
	if existed && old == e.Options {
		return m, true
	}
	c[p].set = c[p].set.with(seed, e)
	return pack(c), existed
}

// without returns the members without the subscription of s, and whether there
// was one.
func (m *members[S]) without(seed maphash.Seed, p place, s S) (next *members[S], existed bool) {
	c := m.unpack()
	if _, existed = c[p].set.get(seed, s); !existed {
		return m, false
	}
	c[p].set = c[p].set.without(seed, s)
	return pack(c), true
}

// group returns the shared group of that name, or nil.
func (m *members[S]) group(p place, name string) *SharedGroup[S] {
	if m == nil || m.crowd == nil {
		return nil
	}
	return m.crowd[p].groups.byName[name]
}

// withGroup returns the members with one more shared group.
func (m *members[S]) withGroup(seed maphash.Seed, p place, g *SharedGroup[S]) *members[S] {
	c := m.unpack()
	c[p].groups = c[p].groups.with(seed, g)
	return pack(c)
}

// withoutGroup returns the members without that shared group.
func (m *members[S]) withoutGroup(seed maphash.Seed, p place, g *SharedGroup[S]) *members[S] {
	c := m.unpack()
	c[p].groups = c[p].groups.without(seed, g)
	return pack(c)
}
