package topic

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// table is a hash table of nodes by name that one writer changes in place
// while any number of readers look into it. A node keeps its slot as long as
// it is in the table; growing means a new table, and leaves the old one to the
// readers that still hold it.
//
// Slots come in groups of eight. The tags of a group, a byte a slot, say which
// slots are worth a look, so that a search rarely touches a node in vain.
type table[S comparable] struct {
	groups []tableGroup[S] // a power of two
	hashes []uint32        // by slot, for resizing without a look at the nodes; nil in a table of one group
	live   int             // nodes; of the writer, like the next
	used   int             // slots that are not empty: nodes and tombstones
}

type tableGroup[S comparable] struct {
	tags  atomic.Uint64
	slots [groupSlots]atomic.Pointer[node[S]]
}

const groupSlots = 8

// A tag is one of these, or tagNode with seven bits of the hash.
const (
	tagEmpty   = 0    // ends a search
	tagDeleted = 1    // does not
	tagNode    = 0x80 // this bit is set in the tags of nodes only
)

const (
	everyByte    = 0x0101010101010101
	everyHighBit = 0x8080808080808080
)

// newTable returns an empty table that has room for so many nodes and more.
func newTable[S comparable](nodes int) *table[S] {
	const comfortable = 5 // nodes in a group
	groups := 1
	for groups*comfortable < nodes {
		groups *= 2
	}
	t := &table[S]{groups: make([]tableGroup[S], groups)}
	if groups > 1 {
		t.hashes = make([]uint32, groups*groupSlots)
	}
	return t
}

// find returns the node of that name, or nil. Any goroutine may call it.
func (t *table[S]) find(hash uint32, name []byte) *node[S] {
	tag := tagOf(hash)
	mask := len(t.groups) - 1
	at := int(hash) & mask
	for range t.groups {
		g := &t.groups[at]
		tags := g.tags.Load()
		for hits := withTag(tags, tag); hits != 0; hits &= hits - 1 {
			// The slot may have been emptied or reused since the tags were read.
			n := g.slots[bits.TrailingZeros64(hits)/8].Load()
			if n != nil && n.name == string(name) {
				return n
			}
		}
		if withTag(tags, tagEmpty) != 0 {
			return nil
		}
		at = (at + 1) & mask
	}
	return nil
}

// full reports whether insert has no room left.
func (t *table[S]) full() bool {
	if len(t.groups) == 1 {
		return t.used == groupSlots
	}
	return t.used >= len(t.groups)*(groupSlots-1)
}

// sparse reports whether the table should be replaced by a smaller one.
func (t *table[S]) sparse() bool {
	return len(t.groups) > 1 && t.live <= len(t.groups)
}

// insert adds a node that is not in the table, which must not be full.
func (t *table[S]) insert(hash uint32, n *node[S]) {
	mask := len(t.groups) - 1
	at := int(hash) & mask
	for ^t.groups[at].tags.Load()&everyHighBit == 0 {
		at = (at + 1) & mask
	}
	g := &t.groups[at]
	tags := g.tags.Load()
	slot := bits.TrailingZeros64(^tags&everyHighBit) / 8
	if byte(tags>>(8*slot)) == tagEmpty {
		t.used++
	}
	t.live++
	if t.hashes != nil {
		t.hashes[at*groupSlots+slot] = hash
	}
	g.slots[slot].Store(n)
	g.setTag(slot, tagOf(hash))
}

// remove takes a node out that is in the table.
func (t *table[S]) remove(hash uint32, n *node[S]) {
	mask := len(t.groups) - 1
	at := int(hash) & mask
	slot := t.groups[at].slotOf(n)
	for slot < 0 {
		at = (at + 1) & mask
		slot = t.groups[at].slotOf(n)
	}
	g := &t.groups[at]
	t.live--
	if len(t.groups) == 1 || withTag(g.tags.Load(), tagEmpty) != 0 {
		// No search goes beyond the group: it is the only one, or it always
		// had an empty slot.
		g.setTag(slot, tagEmpty)
		t.used--
	} else {
		g.setTag(slot, tagDeleted)
	}
	g.slots[slot].Store(nil)
}

// resized returns a new table with the same nodes, fit for them and some more.
// t may be nil.
func (t *table[S]) resized(seed maphash.Seed, more int) *table[S] {
	if t == nil {
		return newTable[S](more)
	}
	bigger := newTable[S](t.live + more)
	for at := range t.groups {
		for slot := range groupSlots {
			n := t.groups[at].slots[slot].Load()
			if n == nil {
				continue
			}
			if t.hashes != nil {
				bigger.insert(t.hashes[at*groupSlots+slot], n)
			} else {
				bigger.insert(hashLevel(seed, []byte(n.name)), n)
			}
		}
	}
	return bigger
}

func (g *tableGroup[S]) slotOf(n *node[S]) int {
	for i := range g.slots {
		if g.slots[i].Load() == n {
			return i
		}
	}
	return -1
}

func (g *tableGroup[S]) setTag(slot int, tag byte) {
	tags := g.tags.Load() &^ (0xff << (8 * slot))
	g.tags.Store(tags | uint64(tag)<<(8*slot))
}

func tagOf(hash uint32) byte { return tagNode | byte(hash>>25) }

// withTag returns a word in which the high bit of each byte is set where tags
// has that tag. A bit above a true one may be set in error, none is missing.
func withTag(tags uint64, tag byte) uint64 {
	x := tags ^ everyByte*uint64(tag)
	return (x - everyByte) &^ x & everyHighBit
}
