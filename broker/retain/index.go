// Package retain holds the index of retained messages.
package retain

import (
	"slices"
	"strings"
	"sync"

	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Index finds retained messages by topic name and by topic filter. The zero
// value is empty and ready.
type Index[M any] struct {
	mu    sync.RWMutex
	items map[string]M
}

// Set stores m as the message of name and returns the one it replaces.
func (x *Index[M]) Set(name string, m M) (old M, had bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.items == nil {
		x.items = map[string]M{}
	}
	old, had = x.items[name]
	x.items[name] = m
	return old, had
}

// Delete removes the message of name and returns it.
func (x *Index[M]) Delete(name string) (old M, had bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, had = x.items[name]
	delete(x.items, name)
	return old, had
}

// Get returns the message of name.
func (x *Index[M]) Get(name string) (M, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m, ok := x.items[name]
	return m, ok
}

// Len returns the number of messages.
func (x *Index[M]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.items)
}

// Match calls yield for each message whose name the filter matches, in the
// order of the names' bytes, until yield returns false. No lock is held
// meanwhile: yield may use the index.
func (x *Index[M]) Match(filter string, yield func(name string, m M) bool) {
	for _, name := range x.names(filter) {
		if m, ok := x.Get(name); ok && !yield(name, m) {
			return
		}
	}
}

func (x *Index[M]) names(filter string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var names []string
	for name := range x.items {
		if topic.Match(filter, name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
