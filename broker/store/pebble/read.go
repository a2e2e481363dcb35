package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwit-mqtt/godwit/broker/session"
)

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// Deliveries implements store.Store. The range that is read begins at from, so
// what was removed below it costs nothing.
func (s *Store) Deliveries(id, from uint64, count, bytes int) (ds []*session.Delivery, err error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	defer s.readers.Done()
	size := 0
	err = scan(s.db, deliveryKey(nil, id, from), partKey(nil, id, partDelivery+1), func(key, value []byte) error {
		if len(ds) >= count || size >= bytes {
			return errEnough
		}
		_, _, rest, ok := parsePart(key)
		if !ok {
			return nil
		}
		d, err := s.delivery(value, place{id, binary.BigEndian.Uint64(rest)})
		if err == nil && d != nil {
			ds = append(ds, d)
			size += d.Size()
		}
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return ds, err
}

// delivery decodes a delivery with its message. It is nil where that cannot be
// read, or was removed meanwhile.
func (s *Store) delivery(value []byte, at place) (*session.Delivery, error) {
	d, message, err := decodeDelivery(value, at.seq)
	if err == nil && d.Message == nil {
		d.Message, err = s.body(at, message)
	}
	if errors.Is(err, errCorrupt) {
		s.leaveOut("a message that waits for a session", "client", s.clientID(at.session), "number", at.seq)
		return nil, nil
	}
	if err != nil || d.Message == nil {
		return nil, err
	}
	return d, nil
}

// body reads the message of a delivery that has a key of its own. It is nil
// where it went with the delivery since that was read.
func (s *Store) body(at place, id uint64) (*session.Message, error) {
	m, err := s.message(messageKey(nil, id), numbered(id))
	if m != nil || err != nil {
		return m, err
	}
	_, closer, err := s.db.Get(deliveryKey(nil, at.session, at.seq))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	return nil, errors.Join(errCorrupt, closer.Close())
}

// numbered decodes the message of a number.
func numbered(id uint64) func([]byte) (*session.Message, error) {
	return func(b []byte) (*session.Message, error) { return decodeMessage(b, id) }
}

// message reads the message under a key; nil if there is none.
func (s *Store) message(key []byte, decode func([]byte) (*session.Message, error)) (m *session.Message, err error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	m, err = decode(value)
	return m, errors.Join(err, closer.Close())
}

// Retained implements store.Store.
func (s *Store) Retained(topics []string) ([]*session.Message, error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	defer s.readers.Done()
	ms := make([]*session.Message, len(topics))
	var key []byte
	for i, topic := range topics {
		key = retainedKey(key[:0], topic)
		m, err := s.message(key, decodeRetained)
		switch {
		case errors.Is(err, errCorrupt):
			s.leaveOut("a retained message", "topic", topic)
		case err != nil:
			return nil, err
		default:
			ms[i] = m
		}
	}
	return ms, nil
}

// beginRead waits until all that was committed is applied. readers is counted up
// where there is no error.
func (s *Store) beginRead() error {
	applied, err := s.nextRead()
	if err != nil || applied == nil {
		return err
	}
	select {
	case <-applied:
		return nil
	case <-s.failed:
		s.readers.Done()
		return fmt.Errorf("read store: %w", s.failure())
	}
}

// nextRead counts a reader, and returns what to wait for, if anything.
func (s *Store) nextRead() (applied <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.unusable(); err != nil {
		return nil, err
	}
	s.readers.Add(1)
	g := s.next
	if g.empty() {
		if g = s.applying; g == nil {
			return nil, nil
		}
	}
	if g.applied == nil {
		g.applied = make(chan struct{})
	}
	return g.applied, nil
}
