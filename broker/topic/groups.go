package topic

import "hash/maphash"

// groups are the shared subscriptions to one filter. Readers see an immutable
// set, of which a change copies a small part; the writer finds one by its name.
type groups[S comparable] struct {
	set    *bucket[*SharedGroup[S]]
	byName map[string]*SharedGroup[S] // of the writer, the same for all that came before
}

func (x groups[S]) len() int { return x.set.size() }

func (x groups[S]) with(seed maphash.Seed, g *SharedGroup[S]) groups[S] {
	if x.byName == nil {
		x.byName = make(map[string]*SharedGroup[S], 1)
	}
	x.byName[g.name] = g
	x.set = x.set.with(seed, Entry[*SharedGroup[S]]{Subscriber: g})
	return x
}

func (x groups[S]) without(seed maphash.Seed, g *SharedGroup[S]) groups[S] {
	delete(x.byName, g.name)
	if x.set = x.set.without(seed, g); x.set == nil {
		return groups[S]{}
	}
	return x
}

// appendTo appends all of them to dst.
func (x groups[S]) appendTo(dst []*SharedGroup[S]) []*SharedGroup[S] {
	return appendGroups(dst, x.set)
}

func appendGroups[S comparable](dst []*SharedGroup[S], set *bucket[*SharedGroup[S]]) []*SharedGroup[S] {
	if set == nil {
		return dst
	}
	for i := range set.entries {
		dst = append(dst, set.entries[i].Subscriber)
	}
	if set.kids != nil {
		for _, kid := range set.kids {
			dst = appendGroups(dst, kid)
		}
	}
	return dst
}
