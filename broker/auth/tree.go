package auth

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// tree indexes the topic filters of rules by their levels, so that a question
// costs by the levels of the topic and the rules that cover it.
type tree struct {
	root node
}

// scopedTree holds rules on Subscribe: those that name topic filters, and by
// group those that name shared subscriptions.
type scopedTree struct {
	plain  tree
	groups map[string]*tree // a group may be a placeholder
}

// of returns the tree that a pattern belongs to.
func (t *scopedTree) of(p pattern) *tree {
	if !p.shared {
		return &t.plain
	}
	if t.groups == nil {
		t.groups = map[string]*tree{}
	}
	if t.groups[p.group] == nil {
		t.groups[p.group] = &tree{}
	}
	return t.groups[p.group]
}

// node is the end of a sequence of levels.
type node struct {
	first        child            // most nodes have one literal child, or none
	others       map[string]*node // further literal children
	plus         *node
	user, client *node   // %u, %c
	here         entries // filters that end here
	below        entries // filters that end here but for a last level '#'
}

// child is a node and the level that leads to it.
type child struct {
	level string
	*node
}

// entry is one filter of a rule for one audience.
type entry struct {
	audience audience
	rule     int32 // index into Snapshot.rules
	grant
}

// grant is what a rule says about the topics that it covers.
type grant struct {
	deny   bool
	retain bool
	maxQoS byte
}

// entries are sorted by audience, and for each of them the strongest first.
type entries []entry

func (g grant) strength() int {
	n := int(g.maxQoS)
	if g.retain {
		n += 4
	}
	if g.deny {
		n += 8
	}
	return n
}

func (es entries) sort() {
	slices.SortFunc(es, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.audience, b.audience),
			cmp.Compare(b.strength(), a.strength()), cmp.Compare(a.rule, b.rule))
	})
}

// insert adds an entry under a filter, which must be valid.
func (t *tree) insert(filter string, e entry) {
	n := &t.root
	for level := range strings.SplitSeq(filter, "/") {
		if level == "#" {
			n.below = append(n.below, e)
			return
		}
		n = n.child(level)
	}
	n.here = append(n.here, e)
}

// child returns the node below n, which it makes if there is none.
func (n *node) child(level string) *node {
	var p **node
	switch level {
	case "+":
		p = &n.plus
	case placeholderUser:
		p = &n.user
	case placeholderClient:
		p = &n.client
	default:
		return n.literalChild(level)
	}
	if *p == nil {
		*p = &node{}
	}
	return *p
}

func (n *node) literalChild(level string) *node {
	if c := n.literal([]byte(level)); c != nil {
		return c
	}
	c := child{strings.Clone(level), &node{}}
	switch {
	case n.first.node == nil:
		n.first = c
	case n.others == nil:
		n.others = map[string]*node{c.level: c.node}
	default:
		n.others[c.level] = c.node
	}
	return c.node
}

// literal returns the node of a level that is spelled out, nil if there is none.
func (n *node) literal(level []byte) *node {
	if n.first.node != nil && n.first.level == string(level) {
		return n.first.node
	}
	return n.others[string(level)]
}

// finish puts the tree into the order that questions rely on.
func (t *tree) finish() { t.root.finish() }

func (t *scopedTree) finish() {
	t.plain.finish()
	for _, g := range t.groups {
		g.finish()
	}
}

func (n *node) finish() {
	n.here.sort()
	n.below.sort()
	for _, c := range n.others {
		c.finish()
	}
	for _, c := range [...]*node{n.first.node, n.plus, n.user, n.client} {
		if c != nil {
			c.finish()
		}
	}
}

// query asks a tree which rules cover a topic for one principal. A topic name
// is a filter here that matches nothing but itself.
type query struct {
	audiences    []audience // sorted
	user, client string     // what %u and %c stand for; noLevel if nothing
	verdict      verdict
	found        func(e entry) (enough bool) // if set: hears of all rules that cover, until it has enough
	enough       bool
}

// verdict is what the covering rules say together.
type verdict struct {
	denied, allowed, retain bool
	maxQoS, maxQoSRetained  byte
}

// ask adds to the verdict the rules of t that cover the filter. t may be nil.
func (q *query) ask(t *tree, filter []byte) {
	if t == nil {
		return
	}
	// No wildcard and no placeholder covers the '$' that begins a topic
	// [MQTT-4.7.2-1].
	q.visit(&t.root, filter, len(filter) == 0 || filter[0] != '$')
}

// askGroup adds the rules that name the group of a shared subscription.
func (q *query) askGroup(t *scopedTree, group string, filter []byte) {
	if !isPlaceholder(group) {
		q.ask(t.groups[group], filter)
	}
	if group == q.user {
		q.ask(t.groups[placeholderUser], filter)
	}
	if group == q.client {
		q.ask(t.groups[placeholderClient], filter)
	}
}

// visit adds the rules below n that cover the filter; where wild is false, only
// those that spell out its first level.
func (q *query) visit(n *node, filter []byte, wild bool) {
	if wild {
		q.add(n.below)
	}
	level, rest, more := bytes.Cut(filter, slash)
	if q.settled() || string(level) == "#" {
		return
	}
	q.descend(n.literal(level), rest, more)
	if !wild {
		return
	}
	q.descend(n.plus, rest, more)
	if n.user != nil && string(level) == q.user {
		q.descend(n.user, rest, more)
	}
	if n.client != nil && string(level) == q.client {
		q.descend(n.client, rest, more)
	}
}

// descend goes on below n, the node of a level that was covered.
func (q *query) descend(n *node, rest []byte, more bool) {
	switch {
	case n == nil:
	case more:
		q.visit(n, rest, true)
	default:
		q.add(n.here)
		q.add(n.below) // '#' includes the parent level
	}
}

var slash = []byte{'/'}

// add takes the entries that are for the principal, and looks at no more of the
// others than it must: here may be one for each of 100,000 users.
func (q *query) add(es entries) {
	if len(es) <= len(q.audiences) {
		for _, e := range es {
			if _, ok := slices.BinarySearch(q.audiences, e.audience); ok {
				q.take(e)
			}
		}
		return
	}
	for _, a := range q.audiences {
		q.addRun(es.of(a))
	}
}

// of returns the entries for the audience.
func (es entries) of(a audience) entries {
	byAudience := func(e entry, a audience) int { return cmp.Compare(e.audience, a) }
	from, ok := slices.BinarySearchFunc(es, a, byAudience)
	if !ok {
		return nil
	}
	to := from + 1
	for to < len(es) && es[to].audience == a {
		to++
	}
	return es[from:to]
}

// addRun takes entries of one audience until those that follow say nothing new.
func (q *query) addRun(es entries) {
	for _, e := range es {
		q.take(e)
		if q.enough || q.found == nil && (e.deny || e.grant == full) {
			return
		}
	}
}

// full is the grant that none exceeds.
var full = grant{retain: true, maxQoS: 2}

func (q *query) take(e entry) {
	if q.found != nil && !q.enough {
		q.enough = q.found(e)
	}
	v := &q.verdict
	if e.deny {
		v.denied = true
		return
	}
	v.allowed = true
	v.maxQoS = max(v.maxQoS, e.maxQoS)
	if e.retain {
		v.retain = true
		v.maxQoSRetained = max(v.maxQoSRetained, e.maxQoS)
	}
}

// settled says that no further rule can change the verdict, or is asked for.
func (q *query) settled() bool { return q.enough || q.verdict.denied && q.found == nil }
