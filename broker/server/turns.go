package server

import "slices"

// turns holds what waits, and gives it out in turns: one of each key, the oldest
// of a key first. The zero value is empty.
type turns[K comparable, T any] struct {
	of    map[K][]T
	order []K // the keys of which something waits, the next one first
	count int // of all that waits
}

// waiting returns how many of a key wait.
func (t *turns[K, T]) waiting(key K) int { return len(t.of[key]) }

func (t *turns[K, T]) add(key K, v T) {
	if t.of == nil {
		t.of = map[K][]T{}
	}
	before := t.of[key]
	if len(before) == 0 {
		t.order = append(t.order, key)
	}
	t.of[key] = append(before, v)
	t.count++
}

// next takes what is next; ok is false where nothing waits.
func (t *turns[K, T]) next() (key K, v T, ok bool) {
	if t.count == 0 {
		return key, v, false
	}
	key = t.order[0]
	t.order = t.order[1:]
	all := t.of[key]
	v = all[0]
	clear(all[:1])
	t.count--
	if len(all) == 1 {
		delete(t.of, key)
		return key, v, true
	}
	t.of[key] = all[1:]
	t.order = append(t.order, key)
	return key, v, true
}

// drop takes the newest of a key of which something waits.
func (t *turns[K, T]) drop(key K) T {
	all := t.of[key]
	newest := len(all) - 1
	v := all[newest]
	clear(all[newest:])
	t.count--
	if t.of[key] = all[:newest]; newest == 0 {
		delete(t.of, key)
		at := slices.Index(t.order, key)
		t.order = slices.Delete(t.order, at, at+1)
	}
	return v
}
