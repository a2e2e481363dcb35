package topic

import (
	"slices"
	"sync/atomic"
)

// Options are what a subscription asks for besides its filter.
type Options struct {
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	ID                uint32 // MQTT 5 subscription identifier, 0 if there is none
}

// Entry is one subscriber with the options of its subscription.
type Entry[S comparable] struct {
	Subscriber S
	Options
}

// ExtraID is one more subscription identifier of an entry of a Result.
type ExtraID struct {
	Entry int32 // index into Result.Entries
	ID    uint32
}

// Result says who subscribed to a topic name.
//
// A subscriber stands once in Entries, however many of its subscriptions
// match. Its entry then carries the maximum QoS ([MQTT-3.3.4-2]), NoLocal only
// if each of them has it, RetainAsPublished if one of them has it, and in ID
// and Extra all subscription identifiers ([MQTT-3.3.4-4]). Shared subscriptions
// are never merged with others.
type Result[S comparable] struct {
	Entries []Entry[S]
	Shared  []*SharedGroup[S]
	Extra   []ExtraID // ordered by Entry; empty unless subscriptions with identifiers overlap
}

// Clone returns a copy that shares no slice with r and wastes no capacity.
func (r *Result[S]) Clone() Result[S] {
	return Result[S]{
		Entries: append(make([]Entry[S], 0, len(r.Entries)), r.Entries...),
		Shared:  append(make([]*SharedGroup[S], 0, len(r.Shared)), r.Shared...),
		Extra:   append(make([]ExtraID, 0, len(r.Extra)), r.Extra...),
	}
}

// AppendIDs appends the subscription identifiers of Entries[i] to dst. One that
// the subscriber gave to several matching subscriptions comes as often.
func (r *Result[S]) AppendIDs(dst []uint32, i int) []uint32 {
	if id := r.Entries[i].ID; id != 0 {
		dst = append(dst, id)
	}
	if len(r.Extra) == 0 {
		return dst
	}
	at, _ := slices.BinarySearchFunc(r.Extra, i, func(x ExtraID, i int) int { return int(x.Entry) - i })
	for ; at < len(r.Extra) && int(r.Extra[at].Entry) == i; at++ {
		dst = append(dst, r.Extra[at].ID)
	}
	return dst
}

// SharedGroup is a shared subscription: the subscribers that share one filter
// under one share name. It may be used from any goroutine.
type SharedGroup[S comparable] struct {
	name, filter string
	turn         atomic.Uint32
	members      atomic.Pointer[[]Entry[S]]
}

// Name returns the share name.
func (g *SharedGroup[S]) Name() string { return g.name }

// Filter returns the filter without $share/ and the share name.
func (g *SharedGroup[S]) Filter() string { return g.filter }

// Members returns the members of this moment; the caller must not change them.
// There are none if the last one left since the match.
func (g *SharedGroup[S]) Members() []Entry[S] { return *g.members.Load() }

// Next returns a number that is one greater at each call and wraps around.
// Taken modulo the number of members it gives the one whose turn it is.
func (g *SharedGroup[S]) Next() uint32 { return g.turn.Add(1) - 1 }
