package topic

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"
)

// node is a level of the filters that pass through it. The one writer changes
// it in place, each change being one atomic store; readers take no lock.
//
// A literal child never moves between first and rest: a reader that looks into
// both, in whatever order, cannot miss one that was there all the time.
type node[S comparable] struct {
	name    string                     // of the level; empty for the root and below plus
	first   atomic.Pointer[node[S]]    // a literal child, so that a node with one needs no table
	rest    atomic.Pointer[table[S]]   // the other literal children
	plus    atomic.Pointer[node[S]]    // the child '+'
	members atomic.Pointer[members[S]] // nil if no filter ends here
}

// level is one level of a name or filter and, once asked for, its hash.
type level struct {
	text   []byte
	sum    uint32
	hashed bool
}

func (l *level) hash(seed maphash.Seed) uint32 {
	if !l.hashed {
		l.sum, l.hashed = hashLevel(seed, l.text), true
	}
	return l.sum
}

func hashLevel(seed maphash.Seed, text []byte) uint32 {
	return uint32(maphash.Bytes(seed, text) >> 32)
}

// cutLevel splits a name or filter behind its first level; more says whether
// another one, which may be empty, follows.
func cutLevel(topic []byte) (first, rest []byte, more bool) {
	end := bytes.IndexByte(topic, '/') //nolint:modernize // bytes.Cut takes half as long again
	if end < 0 {
		return topic, nil, false
	}
	return topic[:end], topic[end+1:], true
}

// literal returns the child of that name, or nil.
func (n *node[S]) literal(seed maphash.Seed, l *level) *node[S] {
	if t := n.rest.Load(); t != nil {
		if c := t.find(l.hash(seed), l.text); c != nil {
			return c
		}
	}
	if c := n.first.Load(); c != nil && c.name == string(l.text) {
		return c
	}
	return nil
}

// addLiteral adds a child that is not there yet. Only the writer calls it.
func (n *node[S]) addLiteral(seed maphash.Seed, l *level) *node[S] {
	c := &node[S]{name: string(l.text)}
	if n.first.Load() == nil {
		n.first.Store(c)
		return c
	}
	t := n.rest.Load()
	if t == nil || t.full() {
		t = t.resized(seed, 1)
		t.insert(l.hash(seed), c)
		n.rest.Store(t)
		return c
	}
	t.insert(l.hash(seed), c)
	return c
}

// addPlus returns the child '+', which it makes if need be. Only the writer
// calls it.
func (n *node[S]) addPlus() *node[S] {
	c := n.plus.Load()
	if c == nil {
		c = &node[S]{}
		n.plus.Store(c)
	}
	return c
}

// unlink removes the child c. Only the writer calls it.
func (n *node[S]) unlink(seed maphash.Seed, c *node[S]) {
	switch c {
	case n.plus.Load():
		n.plus.Store(nil)
		return
	case n.first.Load():
		n.first.Store(nil)
		return
	}
	t := n.rest.Load()
	t.remove(hashLevel(seed, []byte(c.name)), c)
	switch {
	case t.live == 0:
		n.rest.Store(nil)
	case t.sparse():
		n.rest.Store(t.resized(seed, 0))
	}
}

// empty reports whether nothing would be lost with the node.
func (n *node[S]) empty() bool {
	return n.members.Load() == nil && n.plus.Load() == nil && n.first.Load() == nil && n.rest.Load() == nil
}
