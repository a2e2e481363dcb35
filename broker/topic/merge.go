package topic

import (
	"cmp"
	"hash/maphash"
	"slices"
)

// merge completes Entries from the collected sets so that each subscriber
// stands there once. It returns how long Entries was in between.
//
// A subscriber may stand in several sets, but only once in each. So the
// entries of all but the largest set are made unique first, and the largest is
// compared with these few.
func (m *Matches[S]) merge(seed maphash.Seed) (used int) {
	singles := len(m.Entries)
	if singles+len(m.sets) <= 1 { // nothing can occur twice
		for _, set := range m.sets {
			m.add(set)
		}
		return len(m.Entries)
	}
	var largest *bucket[S]
	if len(m.sets) > 0 {
		largest = m.takeLargest()
	}
	for _, set := range m.sets {
		m.add(set)
	}
	used = len(m.Entries)
	few := m.unify(seed)
	twice := m.anyIn(seed, largest)
	m.add(largest)
	used = max(used, len(m.Entries))
	if twice {
		m.absorb(seed, few)
	}
	if len(m.Extra) > 1 {
		slices.SortFunc(m.Extra, func(a, b ExtraID) int {
			return cmp.Or(cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.ID, b.ID))
		})
	}
	return used
}

func (m *Matches[S]) add(set *bucket[S]) {
	m.Entries = set.appendTo(slices.Grow(m.Entries, set.size()))
}

// takeLargest removes the largest set from sets.
func (m *Matches[S]) takeLargest() *bucket[S] {
	last := len(m.sets) - 1
	for i, set := range m.sets {
		if set.count > m.sets[last].count {
			m.sets[i], m.sets[last] = m.sets[last], set
		}
	}
	largest := m.sets[last]
	m.sets[last] = nil
	m.sets = m.sets[:last]
	return largest
}

// unify makes Entries unique and returns their number.
func (m *Matches[S]) unify(seed maphash.Seed) int {
	all := m.Entries
	m.Entries = all[:0]
	m.seen.reset(len(all))
	for _, e := range all {
		if i := find(&m.seen, seed, m.Entries, e.Subscriber); i >= 0 {
			m.unite(i, e.Options)
			continue
		}
		insert(&m.seen, seed, len(m.Entries), e.Subscriber)
		m.Entries = append(m.Entries, e)
	}
	return len(m.Entries)
}

// anyIn reports whether a subscriber of Entries is in the set, too. Where a few
// listen to everything and the many to one filter, mostly none is.
func (m *Matches[S]) anyIn(seed maphash.Seed, set *bucket[S]) bool {
	for i := range m.Entries {
		if _, ok := set.get(seed, m.Entries[i].Subscriber); ok {
			return true
		}
	}
	return false
}

// absorb merges the entries from few on, which are unique among themselves,
// with those before, which are in seen.
func (m *Matches[S]) absorb(seed maphash.Seed, few int) {
	unique, rest := m.Entries[:few], m.Entries[few:]
	kept := unique
	for _, e := range rest {
		if i := find(&m.seen, seed, unique, e.Subscriber); i >= 0 {
			m.unite(i, e.Options)
		} else {
			kept = append(kept, e)
		}
	}
	m.Entries = kept
}

// unite adds another subscription of the same subscriber to Entries[i].
func (m *Matches[S]) unite(i int, o Options) {
	e := &m.Entries[i]
	e.QoS = max(e.QoS, o.QoS) // [MQTT-3.3.4-2]
	e.NoLocal = e.NoLocal && o.NoLocal
	e.RetainAsPublished = e.RetainAsPublished || o.RetainAsPublished
	switch { // [MQTT-3.3.4-4]
	case o.ID == 0:
	case e.ID == 0:
		e.ID = o.ID
	default:
		m.Extra = append(m.Extra, ExtraID{Entry: i, ID: o.ID})
	}
}

// seenSet finds the entry of a subscriber. It holds positions only; for few
// entries it holds nothing, and they are searched one by one.
type seenSet struct {
	slots []seenSlot // a power of two; those of another round are empty
	mask  uint64
	round uint32
	plain bool
}

type seenSlot struct{ round, entry uint32 }

// plainMost is the number of entries up to which comparing beats hashing.
const plainMost = 8

// reset empties the set and makes it ready for so many insertions.
func (s *seenSet) reset(entries int) {
	s.plain = entries <= plainMost
	if s.plain {
		return
	}
	size := 4 * plainMost
	for size < 2*entries {
		size *= 2
	}
	if s.round++; size > len(s.slots) || s.round == 0 {
		s.slots, s.round = make([]seenSlot, max(size, len(s.slots))), 1
	}
	s.mask = uint64(size - 1)
}

func find[S comparable](seen *seenSet, seed maphash.Seed, entries []Entry[S], s S) int {
	if seen.plain {
		return indexOf(entries, s)
	}
	for at := maphash.Comparable(seed, s) & seen.mask; seen.slots[at].round == seen.round; at = (at + 1) & seen.mask {
		if i := int(seen.slots[at].entry); entries[i].Subscriber == s {
			return i
		}
	}
	return -1
}

func insert[S comparable](seen *seenSet, seed maphash.Seed, entry int, s S) {
	if seen.plain {
		return
	}
	at := maphash.Comparable(seed, s) & seen.mask
	for seen.slots[at].round == seen.round {
		at = (at + 1) & seen.mask
	}
	seen.slots[at] = seenSlot{round: seen.round, entry: uint32(entry)}
}
