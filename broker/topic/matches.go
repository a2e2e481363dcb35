package topic

import (
	"cmp"
	"slices"
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
	Entry int // index into Result.Entries
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
		Entries: exactClone(r.Entries),
		Shared:  exactClone(r.Shared),
		Extra:   exactClone(r.Extra),
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
	at, _ := slices.BinarySearchFunc(r.Extra, i, func(x ExtraID, i int) int { return cmp.Compare(x.Entry, i) })
	for ; at < len(r.Extra) && r.Extra[at].Entry == i; at++ {
		dst = append(dst, r.Extra[at].ID)
	}
	return dst
}

func exactClone[E any](s []E) []E {
	if len(s) == 0 {
		return nil
	}
	clone := make([]E, len(s))
	copy(clone, s)
	return clone
}

func indexOf[S comparable](entries []Entry[S], s S) int {
	for i := range entries {
		if entries[i].Subscriber == s {
			return i
		}
	}
	return -1
}

// Matches is the Result of Index.Match together with the memory that finding
// it takes. The zero value is ready. One goroutine at a time may use it, again
// and again; the slices of the Result last until the next Match. It keeps room
// for the largest result that it held.
type Matches[S comparable] struct {
	Result[S]

	nodes []*node[S]   // visited, in the order of their depth
	sets  []*bucket[S] // the matching ones; single entries go to Entries at once
	seen  seenSet
	dirty int // Entries[:dirty] may hold subscribers
}

func (m *Matches[S]) reset() {
	m.Entries, m.Shared, m.Extra = m.Entries[:0], m.Shared[:0], m.Extra[:0]
}

// collect takes up what is subscribed at one place of a node.
func (m *Matches[S]) collect(from *members[S], p place) {
	if from.crowd == nil {
		if from.solo.place == p {
			m.Entries = append(m.Entries, from.solo.entry())
		}
		return
	}
	part := &from.crowd[p]
	if part.set != nil {
		m.sets = append(m.sets, part.set)
	}
	m.Shared = part.groups.appendTo(m.Shared)
}

// release drops references that would keep the dead from being collected.
func (m *Matches[S]) release(used int) {
	clear(m.nodes)
	m.nodes = m.nodes[:0]
	clear(m.sets)
	m.sets = m.sets[:0]
	if stale := min(max(m.dirty, used), cap(m.Entries)); stale > len(m.Entries) {
		clear(m.Entries[len(m.Entries):stale])
	}
	m.dirty = len(m.Entries)
}
