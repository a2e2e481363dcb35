package auth

import (
	"crypto/sha256"
	"sync"
)

// memory is a set of keys that is bounded by forgetting those that were not
// asked for lately. It keeps two generations: the young one takes what is added
// or found, and once it is full the old one is forgotten.
type memory struct {
	mu         sync.Mutex
	generation int // keys
	young, old map[[sha256.Size]byte]struct{}
}

func newMemory(generation int) *memory {
	return &memory{generation: generation, young: map[[sha256.Size]byte]struct{}{}}
}

func (m *memory) has(key [sha256.Size]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.young[key]; ok {
		return true
	}
	_, ok := m.old[key]
	if ok {
		m.insert(key)
	}
	return ok
}

func (m *memory) add(key [sha256.Size]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.insert(key)
}

func (m *memory) insert(key [sha256.Size]byte) {
	if len(m.young) >= m.generation {
		m.old, m.young = m.young, map[[sha256.Size]byte]struct{}{}
	}
	m.young[key] = struct{}{}
}
