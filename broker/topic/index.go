package topic

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Index finds the subscriptions that match a topic name. Any goroutine may call
// any method. Match takes no lock and writes nothing that others read; changes
// exclude each other.
//
// A match that runs beside changes may or may not see each of them. It misses
// no subscription that stood before it began and is not changed meanwhile.
//
// Filters must be valid: ParseShared accepts them.
type Index[S comparable] struct {
	seed       maphash.Seed
	root       node[S]
	generation atomic.Uint64
	length     atomic.Int64

	mu   sync.Mutex
	path []*node[S] // the way of the filter being changed; guarded by mu
}

// NewIndex returns an empty index.
func NewIndex[S comparable]() *Index[S] {
	return &Index[S]{seed: maphash.MakeSeed()}
}

// Generation returns a number that changes after every change that can alter a
// match result, before the call that makes the change returns. A result may be
// kept as long as the generation read before its Match stays.
func (x *Index[S]) Generation() uint64 { return x.generation.Load() }

// Len returns the number of subscriptions.
func (x *Index[S]) Len() int { return int(x.length.Load()) }

// Subscribe adds the subscription of s to the filter, which may be a shared
// one, or replaces its options ([MQTT-3.8.4-3]).
func (x *Index[S]) Subscribe(filter string, s S, o Options) (existed bool) {
	group, rest := cutShared(filter)
	e := Entry[S]{s, o}
	x.mu.Lock()
	defer x.mu.Unlock()
	p, _ := x.descend([]byte(rest), true)
	n := x.path[len(x.path)-1]
	var changed bool
	if group != "" {
		existed, changed = x.join(n, p, group, rest, e)
	} else {
		old := n.members.Load()
		var next *members[S]
		next, existed = old.with(x.seed, p, e)
		if changed = next != old; changed {
			n.members.Store(next)
		}
	}
	x.finish()
	if changed {
		x.generation.Add(1)
	}
	if !existed {
		x.length.Add(1)
	}
	return existed
}

// SetOnline says whether s, who is a member of the shared subscription to filter,
// is connected: whoever is comes first. New members are taken to be. It changes no
// match result.
func (x *Index[S]) SetOnline(filter string, s S, online bool) {
	group, rest := cutShared(filter)
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.finish()
	p, ok := x.descend([]byte(rest), false)
	if !ok {
		return
	}
	if g := x.path[len(x.path)-1].members.Load().group(p, group); g != nil {
		g.move(s, online)
	}
}

// Unsubscribe removes the subscription of s to the filter.
func (x *Index[S]) Unsubscribe(filter string, s S) (existed bool) {
	group, rest := cutShared(filter)
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.finish()
	p, ok := x.descend([]byte(rest), false)
	if !ok {
		return false
	}
	n := x.path[len(x.path)-1]
	if group != "" {
		existed = x.leave(n, p, group, s)
	} else if old := n.members.Load(); old != nil {
		var next *members[S]
		if next, existed = old.without(x.seed, p, s); existed {
			n.members.Store(next)
		}
	}
	if existed {
		x.prune()
		x.generation.Add(1)
		x.length.Add(-1)
	}
	return existed
}

// join puts e into a shared group at the node.
func (x *Index[S]) join(n *node[S], p place, group, filter string, e Entry[S]) (existed, changed bool) {
	m := n.members.Load()
	if g := m.group(p, group); g != nil {
		return g.put(e)
	}
	g := newSharedGroup[S](group, filter)
	g.put(e)
	n.members.Store(m.withGroup(x.seed, p, g))
	return false, true
}

// leave takes s out of a shared group at the node.
func (x *Index[S]) leave(n *node[S], p place, group string, s S) (existed bool) {
	m := n.members.Load()
	g := m.group(p, group)
	if g == nil || !g.remove(s) {
		return false
	}
	if len(g.members) == 0 {
		n.members.Store(m.withoutGroup(x.seed, p, g))
	}
	return true
}

// descend sets path to the nodes from the root to the one that the filter's
// subscriptions belong to. It makes missing nodes if told so, and otherwise
// says with ok whether all were there.
func (x *Index[S]) descend(filter []byte, create bool) (p place, ok bool) {
	n := &x.root
	x.path = append(x.path, n)
	for more := true; more; {
		var l level
		l.text, filter, more = cutLevel(filter)
		if !more && string(l.text) == "#" {
			return subtree, true
		}
		if n = x.step(n, &l, create); n == nil {
			return exact, false
		}
		x.path = append(x.path, n)
	}
	return exact, true
}

// step returns the child of n for a level of a filter, or nil.
func (x *Index[S]) step(n *node[S], l *level, create bool) *node[S] {
	if string(l.text) == "+" {
		if create {
			return n.addPlus()
		}
		return n.plus.Load()
	}
	c := n.literal(x.seed, l)
	if c == nil && create {
		c = n.addLiteral(x.seed, l)
	}
	return c
}

// prune removes the nodes at the end of path that have become empty.
func (x *Index[S]) prune() {
	for i := len(x.path) - 1; i > 0 && x.path[i].empty(); i-- {
		x.path[i-1].unlink(x.seed, x.path[i])
	}
}

// finish forgets path.
func (x *Index[S]) finish() {
	clear(x.path)
	x.path = x.path[:0]
}

// Match resets m and fills it with the subscriptions that match the topic name,
// which must be valid. It keeps no reference to name.
func (x *Index[S]) Match(name []byte, m *Matches[S]) {
	m.reset()
	x.walk(name, m)
	m.release(m.merge(x.seed))
}

// walk collects what is subscribed at the nodes that the name leads to. It goes
// level by level; m.nodes[lo:] are those that the levels so far lead to.
func (x *Index[S]) walk(name []byte, m *Matches[S]) {
	wild := len(name) == 0 || name[0] != '$' // [MQTT-4.7.2-1]
	m.nodes = append(m.nodes, &x.root)
	if wild {
		m.collectAt(&x.root, subtree)
	}
	lo := 0
	for more := true; more && lo < len(m.nodes); wild = true {
		var l level
		l.text, name, more = cutLevel(name)
		hi := len(m.nodes)
		for _, n := range m.nodes[lo:hi] {
			if c := n.literal(x.seed, &l); c != nil {
				m.visit(c)
			}
			if c := n.plus.Load(); c != nil && wild {
				m.visit(c)
			}
		}
		lo = hi
	}
	for _, n := range m.nodes[lo:] {
		m.collectAt(n, exact)
	}
}

// visit takes a node up for the next level.
func (m *Matches[S]) visit(n *node[S]) {
	m.nodes = append(m.nodes, n)
	m.collectAt(n, subtree) // '#' includes the parent level
}

func (m *Matches[S]) collectAt(n *node[S], p place) {
	if from := n.members.Load(); from != nil {
		m.collect(from, p)
	}
}
