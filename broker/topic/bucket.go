package topic

import (
	"hash/maphash"
	"slices"
)

// bucket is an immutable set of entries, one a subscriber; nil is the empty
// one. A leaf lists its entries. When a leaf would become too long it turns
// into an inner bucket that distributes them over leaves by the subscriber's
// hash, so that a change copies one leaf and the few inner buckets above it,
// and going through all entries stays a scan over arrays.
type bucket[S comparable] struct {
	entries []Entry[S]              // of a leaf
	kids    *[bucketKids]*bucket[S] // of an inner bucket
	count   int                     // entries in and below the bucket
}

const (
	bucketBits = 3 // of the hash that choose a kid
	bucketKids = 1 << bucketBits
	leafMost   = 128 // entries; a leaf has more only if the hash is used up
	innerLeast = 32  // entries; an inner bucket with fewer becomes a leaf
)

func newLeaf[S comparable](entries []Entry[S]) *bucket[S] {
	return &bucket[S]{entries: entries, count: len(entries)}
}

// get returns the options of s.
func (b *bucket[S]) get(seed maphash.Seed, s S) (Options, bool) {
	for depth := 0; b != nil && b.kids != nil; depth++ {
		b = b.kids[kidOf(seed, s, depth)]
	}
	if b == nil {
		return Options{}, false
	}
	i := indexOf(b.entries, s)
	if i < 0 {
		return Options{}, false
	}
	return b.entries[i].Options, true
}

// with returns the set with e, which takes the place of the entry of the same
// subscriber.
func (b *bucket[S]) with(seed maphash.Seed, e Entry[S]) *bucket[S] {
	return b.withAt(seed, 0, e)
}

func (b *bucket[S]) withAt(seed maphash.Seed, depth int, e Entry[S]) *bucket[S] {
	if b == nil {
		return newLeaf([]Entry[S]{e})
	}
	if b.kids != nil {
		k := kidOf(seed, e.Subscriber, depth)
		return b.withKid(k, b.kids[k].withAt(seed, depth+1, e))
	}
	if i := indexOf(b.entries, e.Subscriber); i >= 0 {
		entries := slices.Clone(b.entries)
		entries[i] = e
		return newLeaf(entries)
	}
	entries := make([]Entry[S], len(b.entries)+1)
	copy(entries, b.entries)
	entries[len(b.entries)] = e
	if len(entries) > leafMost && (depth+1)*bucketBits <= 64 {
		return split(seed, depth, entries)
	}
	return newLeaf(entries)
}

// split returns an inner bucket with the entries.
func split[S comparable](seed maphash.Seed, depth int, entries []Entry[S]) *bucket[S] {
	var lists [bucketKids][]Entry[S]
	for _, e := range entries {
		k := kidOf(seed, e.Subscriber, depth)
		lists[k] = append(lists[k], e)
	}
	b := &bucket[S]{kids: new([bucketKids]*bucket[S]), count: len(entries)}
	for k, list := range lists {
		if len(list) > 0 {
			b.kids[k] = newLeaf(slices.Clip(list))
		}
	}
	return b
}

// without returns the set without the entry of s, which it has.
func (b *bucket[S]) without(seed maphash.Seed, s S) *bucket[S] {
	return b.withoutAt(seed, 0, s)
}

func (b *bucket[S]) withoutAt(seed maphash.Seed, depth int, s S) *bucket[S] {
	if b.kids != nil {
		k := kidOf(seed, s, depth)
		next := b.withKid(k, b.kids[k].withoutAt(seed, depth+1, s))
		if next.count < innerLeast {
			return newLeaf(next.appendTo(make([]Entry[S], 0, next.count)))
		}
		return next
	}
	if len(b.entries) == 1 {
		return nil
	}
	i := indexOf(b.entries, s)
	entries := make([]Entry[S], 0, len(b.entries)-1)
	return newLeaf(append(append(entries, b.entries[:i]...), b.entries[i+1:]...))
}

// withKid returns a copy of an inner bucket with another kid, which may be nil.
func (b *bucket[S]) withKid(k int, kid *bucket[S]) *bucket[S] {
	kids := *b.kids
	kids[k] = kid
	return &bucket[S]{kids: &kids, count: b.count - b.kids[k].size() + kid.size()}
}

func (b *bucket[S]) size() int {
	if b == nil {
		return 0
	}
	return b.count
}

// appendTo appends all entries to dst.
func (b *bucket[S]) appendTo(dst []Entry[S]) []Entry[S] {
	if b == nil {
		return dst
	}
	if b.kids == nil {
		return append(dst, b.entries...)
	}
	for _, kid := range b.kids {
		dst = kid.appendTo(dst)
	}
	return dst
}

func kidOf[S comparable](seed maphash.Seed, s S, depth int) int {
	return int(maphash.Comparable(seed, s)>>(depth*bucketBits)) & (bucketKids - 1)
}
