package topic

import "sync/atomic"

// SharedGroup is a shared subscription: the subscribers that share one filter
// under one share name. Any goroutine may use it.
type SharedGroup[S comparable] struct {
	name, filter    string
	subscription    string // "$share/name/filter"
	turn            atomic.Uint32
	online, offline Roster[S]
	members         map[S]*member[S] // of the index's writer
}

func newSharedGroup[S comparable](name, filter string) *SharedGroup[S] {
	return &SharedGroup[S]{
		name: name, filter: filter, subscription: sharePrefix + name + "/" + filter,
		members: make(map[S]*member[S], 1),
	}
}

// Name returns the share name.
func (g *SharedGroup[S]) Name() string { return g.name }

// Filter returns the filter without $share/ and the share name.
func (g *SharedGroup[S]) Filter() string { return g.filter }

// Subscription returns the filter as its members have subscribed to it.
func (g *SharedGroup[S]) Subscription() string { return g.subscription }

// Online returns the members that are connected, as far as the index was told: see
// Index.SetOnline. There are none in either roster if the last member left since
// the match.
func (g *SharedGroup[S]) Online() *Roster[S] { return &g.online }

// Offline returns the other members.
func (g *SharedGroup[S]) Offline() *Roster[S] { return &g.offline }

// Next returns a number that is one greater at each call and wraps around.
// Taken modulo the number of members it gives the one whose turn it is.
func (g *SharedGroup[S]) Next() uint32 { return g.turn.Add(1) - 1 }

func (g *SharedGroup[S]) roster(online bool) *Roster[S] {
	if online {
		return &g.online
	}
	return &g.offline
}

// put adds a member, which is online, or replaces its options. Only the index's
// writer calls it, as it does remove and move.
func (g *SharedGroup[S]) put(e Entry[S]) (existed, changed bool) {
	old := g.members[e.Subscriber]
	if old != nil && old.Options == e.Options {
		return true, false
	}
	m := &member[S]{Entry: e, online: true}
	g.members[e.Subscriber] = m
	if old == nil {
		g.online.add(m)
		return false, true
	}
	m.online = old.online
	g.roster(m.online).replace(old, m)
	return true, true
}

func (g *SharedGroup[S]) remove(s S) (existed bool) {
	m := g.members[s]
	if m == nil {
		return false
	}
	delete(g.members, s)
	g.roster(m.online).remove(m)
	return true
}

// move brings a member to the roster that it belongs to.
func (g *SharedGroup[S]) move(s S, online bool) {
	m := g.members[s]
	if m == nil || m.online == online {
		return
	}
	g.roster(m.online).remove(m)
	m = &member[S]{Entry: m.Entry, online: online} // a reader may have the other one
	g.members[s] = m
	g.roster(online).add(m)
}
