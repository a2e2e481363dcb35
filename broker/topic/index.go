package topic

import (
	"sync"
	"sync/atomic"
)

// Matches is the Result of Index.Match together with the memory that finding
// it takes. The zero value is ready; one goroutine at a time may use it, and
// uses it again and again.
type Matches[S comparable] struct {
	Result[S]
}

type key[S comparable] struct {
	group, filter string
	s             S
}

// Index is the subscription index.
type Index[S comparable] struct {
	mu         sync.RWMutex
	generation atomic.Uint64
	subs       map[key[S]]Options
	groups     map[[2]string]*SharedGroup[S]
}

// NewIndex returns an empty index.
func NewIndex[S comparable]() *Index[S] {
	return &Index[S]{subs: map[key[S]]Options{}, groups: map[[2]string]*SharedGroup[S]{}}
}

// Generation changes after every change that can alter a match result.
func (x *Index[S]) Generation() uint64 { return x.generation.Load() }

// Subscribe adds a subscription or replaces its options.
func (x *Index[S]) Subscribe(filter string, s S, o Options) (existed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	group, rest := cutShared(filter)
	k := key[S]{group, rest, s}
	_, existed = x.subs[k]
	x.subs[k] = o
	x.regroup(group, rest)
	x.generation.Add(1)
	return existed
}

// Unsubscribe removes a subscription.
func (x *Index[S]) Unsubscribe(filter string, s S) (existed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	group, rest := cutShared(filter)
	k := key[S]{group, rest, s}
	_, existed = x.subs[k]
	delete(x.subs, k)
	x.regroup(group, rest)
	x.generation.Add(1)
	return existed
}

func (x *Index[S]) regroup(group, rest string) {
	if group == "" {
		return
	}
	g := x.groups[[2]string{group, rest}]
	if g == nil {
		g = &SharedGroup[S]{name: group, filter: rest}
		x.groups[[2]string{group, rest}] = g
	}
	var members []Entry[S]
	for k, o := range x.subs {
		if k.group == group && k.filter == rest {
			members = append(members, Entry[S]{k.s, o})
		}
	}
	g.members.Store(&members)
}

// Match resets m and fills it with the subscriptions that match name.
func (x *Index[S]) Match(name []byte, m *Matches[S]) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m.Entries, m.Shared, m.Extra = m.Entries[:0], m.Shared[:0], m.Extra[:0]
	at := map[S]int{}
	for k, o := range x.subs {
		if k.group != "" || !Match(k.filter, name) {
			continue
		}
		if i, ok := at[k.s]; ok {
			e := &m.Entries[i]
			e.QoS = max(e.QoS, o.QoS)
			e.NoLocal = e.NoLocal && o.NoLocal
			e.RetainAsPublished = e.RetainAsPublished || o.RetainAsPublished
			continue
		}
		at[k.s] = len(m.Entries)
		m.Entries = append(m.Entries, Entry[S]{k.s, o})
	}
	for k, g := range x.groups {
		if Match(k[1], name) && len(g.Members()) > 0 {
			m.Shared = append(m.Shared, g)
		}
	}
}
