// Package memory is a store.Store that lasts as long as its process: for
// brokers without persistence, and for tests that start an engine again over
// what an earlier one left.
package memory

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Store keeps everything in memory, the bodies as they are handed to it.
// Commits complete before Commit returns.
type Store struct {
	lastID atomic.Uint64

	mu       sync.Mutex
	sessions map[uint64]*entry
	retained map[string]*session.Message
}

type entry struct {
	store.Session
	subscriptions map[string]session.Subscription // by filter
	received      map[uint16]struct{}
	sent          map[uint64]store.Sent // by Seq
	// deliveries in ascending order of Seq, without those that were released.
	deliveries []*session.Delivery
}

// New returns an empty store.
func New() *Store {
	return &Store{sessions: map[uint64]*entry{}, retained: map[string]*session.Message{}}
}

// NextID implements store.Store.
func (s *Store) NextID() uint64 { return s.lastID.Add(1) }

// Backlog implements store.Store: there is none.
func (s *Store) Backlog() int64 { return 0 }

// Health implements store.Store.
func (s *Store) Health() store.Health { return store.Health{} }

// Close implements store.Store. What is stored stays, for a next engine.
func (s *Store) Close() error { return nil }

// Load implements store.Store.
func (s *Store) Load(l store.Loader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := slices.Sorted(maps.Keys(s.sessions))
	for _, id := range ids {
		if err := l.LoadSession(s.sessions[id].Session); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := s.sessions[id].load(l); err != nil {
			return err
		}
	}
	for topic, m := range s.retained {
		if err := l.LoadRetained(store.Retained{Topic: topic, Size: m.Size(), Expires: m.Expires, Owner: m.Owner}); err != nil {
			return err
		}
	}
	return nil
}

func (e *entry) load(l store.Loader) error {
	for id := range e.received {
		if err := l.LoadReceived(e.ID, id); err != nil {
			return err
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(e.sent)) {
		if err := l.LoadSent(e.sent[seq]); err != nil {
			return err
		}
	}
	for _, d := range e.deliveries {
		if _, sent := e.sent[d.Seq]; sent {
			continue
		}
		if err := l.LoadWaiting(e.ID, d.Waiting()); err != nil {
			return err
		}
	}
	for _, sub := range e.subscriptions {
		if err := l.LoadSubscription(e.ID, sub); err != nil {
			return err
		}
	}
	return nil
}

// Deliveries implements store.Store.
func (s *Store) Deliveries(id, from uint64, count, bytes int) ([]*session.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.sessions[id]
	if e == nil {
		return nil, nil
	}
	first, _ := e.find(from)
	last := first
	for size := 0; last < len(e.deliveries) && last-first < count && size < bytes; last++ {
		size += e.deliveries[last].Size()
	}
	return slices.Clone(e.deliveries[first:last]), nil
}

// Retained implements store.Store.
func (s *Store) Retained(topics []string) ([]*session.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages := make([]*session.Message, len(topics))
	for i, topic := range topics {
		messages[i] = s.retained[topic]
	}
	return messages, nil
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
	for _, sub := range b.Subscriptions {
		if e := s.sessions[sub.Session]; e != nil {
			e.subscribe(sub)
		}
	}
	for _, d := range b.Deliveries {
		if e := s.sessions[d.Session]; e != nil {
			i, _ := e.find(d.Seq)
			e.deliveries = slices.Insert(e.deliveries, i, d.Delivery)
		}
	}
	for _, sent := range b.Sent {
		if e := s.sessions[sent.Session]; e != nil {
			e.send(sent)
		}
	}
	for _, d := range b.Done {
		if e := s.sessions[d.Session]; e != nil {
			delete(e.sent, d.Seq)
			e.drop(d.Seq)
		}
	}
	for _, m := range b.Retained {
		s.retain(m)
	}
	for _, i := range b.Received {
		if e := s.sessions[i.Session]; e != nil {
			e.received[i.ID] = struct{}{}
		}
	}
	for _, i := range b.Released {
		if e := s.sessions[i.Session]; e != nil {
			delete(e.received, i.ID)
		}
	}
}

func (s *Store) put(record store.Session) {
	if e := s.sessions[record.ID]; e != nil {
		e.Session = record
		return
	}
	s.sessions[record.ID] = &entry{
		Session: record, subscriptions: map[string]session.Subscription{},
		received: map[uint16]struct{}{}, sent: map[uint64]store.Sent{},
	}
}

func (e *entry) subscribe(sub store.Subscription) {
	if sub.Removed {
		delete(e.subscriptions, sub.Filter)
		return
	}
	e.subscriptions[sub.Filter] = sub.Subscription
}

func (s *Store) retain(m *session.Message) {
	if len(m.Payload) == 0 {
		delete(s.retained, m.Topic)
		return
	}
	s.retained[m.Topic] = m
}

// find returns where the delivery is, or would be.
func (e *entry) find(seq uint64) (i int, found bool) {
	return slices.BinarySearchFunc(e.deliveries, seq, func(d *session.Delivery, seq uint64) int {
		return cmp.Compare(d.Seq, seq)
	})
}

func (e *entry) send(sent store.Sent) {
	if sent.Released {
		sent.Message = 0
		e.drop(sent.Seq)
	}
	e.sent[sent.Seq] = sent
}

// drop lets go of a delivery's body.
func (e *entry) drop(seq uint64) {
	i, found := e.find(seq)
	switch {
	case !found:
	case i == 0: // the usual one, without moving the others
		e.deliveries[0] = nil
		e.deliveries = e.deliveries[1:]
	default:
		e.deliveries = slices.Delete(e.deliveries, i, i+1)
	}
}
