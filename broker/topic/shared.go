package topic

import (
	"slices"
	"sync/atomic"
)

// SharedGroup is a shared subscription: the subscribers that share one filter
// under one share name. Any goroutine may use it.
type SharedGroup[S comparable] struct {
	name, filter string
	subscription string // "$share/name/filter"
	turn         atomic.Uint32
	members      atomic.Pointer[[]Entry[S]] // never nil
}

func newSharedGroup[S comparable](name, filter string, first Entry[S]) *SharedGroup[S] {
	g := &SharedGroup[S]{name: name, filter: filter, subscription: sharePrefix + name + "/" + filter}
	g.members.Store(&[]Entry[S]{first})
	return g
}

// Name returns the share name.
func (g *SharedGroup[S]) Name() string { return g.name }

// Filter returns the filter without $share/ and the share name.
func (g *SharedGroup[S]) Filter() string { return g.filter }

// Subscription returns the filter as its members have subscribed to it.
func (g *SharedGroup[S]) Subscription() string { return g.subscription }

// Members returns the members of this moment in the order in which they came;
// the caller must not change them. There are none if the last one left since
// the match.
func (g *SharedGroup[S]) Members() []Entry[S] { return *g.members.Load() }

// Next returns a number that is one greater at each call and wraps around.
// Taken modulo the number of members it gives the one whose turn it is.
func (g *SharedGroup[S]) Next() uint32 { return g.turn.Add(1) - 1 }

// put adds a member or replaces its options. Only the index's writer calls it,
// as it does remove.
func (g *SharedGroup[S]) put(e Entry[S]) (existed, changed bool) {
	members := g.Members()
	i := indexOf(members, e.Subscriber)
	switch {
	case i < 0:
		// Room behind the end is no reader's: only remove makes the list
		// shorter, and it moves to a new array.
		members = append(members, e)
	case members[i].Options == e.Options:
		return true, false
	default:
		members = slices.Clone(members)
		members[i] = e
	}
	g.members.Store(&members)
	return i >= 0, true
}

func (g *SharedGroup[S]) remove(s S) (existed bool) {
	members := g.Members()
	i := indexOf(members, s)
	if i < 0 {
		return false
	}
	rest := slices.Concat(members[:i], members[i+1:])
	g.members.Store(&rest)
	return true
}
