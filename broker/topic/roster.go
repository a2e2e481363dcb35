package topic

import "sync/atomic"

// Roster are members of a shared subscription. The index's writer changes it in
// place at a cost that does not depend on their number; any goroutine may read it
// meanwhile.
type Roster[S comparable] struct {
	slots atomic.Pointer[[]atomic.Pointer[member[S]]] // nil while there is none
	count atomic.Int64
}

// member is one of a shared subscription. Its place is the writer's.
type member[S comparable] struct {
	Entry[S]
	place  int
	online bool
}

const fewMembers = 4

// Len returns the number of members of this moment.
func (r *Roster[S]) Len() int { return int(r.count.Load()) }

// At returns a member, nil if it has left since Len was called. Who leaves gives
// its place to another one. The caller must not change it.
func (r *Roster[S]) At(i int) *Entry[S] {
	slots := r.slots.Load()
	if slots == nil || i >= len(*slots) {
		return nil
	}
	if m := (*slots)[i].Load(); m != nil {
		return &m.Entry
	}
	return nil
}

func (r *Roster[S]) add(m *member[S]) {
	n, slots := r.Len(), r.slots.Load()
	if slots == nil || n == len(*slots) {
		slots = r.resize(max(fewMembers, 2*n))
	}
	m.place = n
	(*slots)[n].Store(m)
	r.count.Store(int64(n + 1))
}

func (r *Roster[S]) remove(m *member[S]) {
	slots, rest := r.slots.Load(), r.Len()-1
	if last := (*slots)[rest].Load(); last != m {
		last.place = m.place
		(*slots)[m.place].Store(last)
	}
	(*slots)[rest].Store(nil)
	r.count.Store(int64(rest))
	switch {
	case rest == 0:
		r.slots.Store(nil)
	case rest >= fewMembers && rest <= len(*slots)/4:
		r.resize(2 * rest)
	}
}

// replace puts m in the place of another one.
func (r *Roster[S]) replace(old, m *member[S]) {
	m.place = old.place
	(*r.slots.Load())[m.place].Store(m)
}

// resize makes room for n members.
func (r *Roster[S]) resize(n int) *[]atomic.Pointer[member[S]] {
	slots := make([]atomic.Pointer[member[S]], n)
	if old := r.slots.Load(); old != nil {
		for i := range r.Len() {
			slots[i].Store((*old)[i].Load())
		}
	}
	r.slots.Store(&slots)
	return &slots
}
