// Package memory is a store.Store that lasts as long as its process: for
// brokers without persistence, and for tests that start an engine again over
// what an earlier one left.
package memory

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Store keeps everything in maps. Commits complete before Commit returns.
type Store struct {
	mu       sync.Mutex
	sessions map[string]*entry
	retained map[string]*session.Message
}

type entry struct {
	store.Session
	received   map[uint16]struct{}
	deliveries map[uint64]*session.Delivery
}

// New returns an empty store.
func New() *Store {
	return &Store{sessions: map[string]*entry{}, retained: map[string]*session.Message{}}
}

// Load implements store.Store.
func (s *Store) Load(l store.Loader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		if err := s.sessions[id].load(l); err != nil {
			return err
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(s.retained)) {
		if err := l.LoadRetained(s.retained[topic]); err != nil {
			return err
		}
	}
	return nil
}

func (e *entry) load(l store.Loader) error {
	record := e.Session
	record.Received = slices.Sorted(maps.Keys(e.received))
	if err := l.LoadSession(record); err != nil {
		return err
	}
	waiting := slices.SortedFunc(maps.Values(e.deliveries), func(a, b *session.Delivery) int {
		return cmp.Compare(a.Seq, b.Seq)
	})
	for _, d := range waiting {
		if err := l.LoadDelivery(e.ClientID, d); err != nil {
			return err
		}
	}
	return nil
}

// Commit implements store.Store.
func (s *Store) Commit(b *store.Batch, done func(error)) {
	s.mu.Lock()
	s.apply(b)
	s.mu.Unlock()
	if done != nil {
		done(nil)
	}
}

func (s *Store) apply(b *store.Batch) {
	for _, id := range b.Ended {
		delete(s.sessions, id)
	}
	for _, record := range b.Sessions {
		s.put(record)
	}
	for _, d := range b.Deliveries {
		if e := s.sessions[d.ClientID]; e != nil {
			e.deliveries[d.Seq] = d.Delivery
		}
	}
	for _, d := range b.Done {
		if e := s.sessions[d.ClientID]; e != nil {
			delete(e.deliveries, d.Seq)
		}
	}
	for _, m := range b.Retained {
		s.retain(m)
	}
	for _, i := range b.Received {
		if e := s.sessions[i.ClientID]; e != nil {
			e.received[i.ID] = struct{}{}
		}
	}
	for _, i := range b.Released {
		if e := s.sessions[i.ClientID]; e != nil {
			delete(e.received, i.ID)
		}
	}
}

func (s *Store) put(record store.Session) {
	e := s.sessions[record.ClientID]
	if e == nil {
		e = &entry{deliveries: map[uint64]*session.Delivery{}}
		s.sessions[record.ClientID] = e
	}
	e.Session = record
	e.received = make(map[uint16]struct{}, len(record.Received))
	for _, id := range record.Received {
		e.received[id] = struct{}{}
	}
}

func (s *Store) retain(m *session.Message) {
	if len(m.Payload) == 0 {
		delete(s.retained, m.Topic)
		return
	}
	s.retained[m.Topic] = m
}

// Close implements store.Store. What is stored stays, for a next engine.
func (s *Store) Close() error { return nil }
