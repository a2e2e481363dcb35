package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Load implements store.Store.
func (s *Store) Load(l store.Loader) error {
	messages, err := s.loadMessages()
	if err != nil {
		return err
	}
	ld := &loading{store: s, to: l, messages: messages}
	if err := s.scan(prefixSession, ld.session); err != nil {
		return err
	}
	if err := ld.flush(); err != nil {
		return err
	}
	if err := s.collect(messages); err != nil {
		return err
	}
	return s.scan(prefixRetained, ld.retained)
}

// scan calls each with the keys of a prefix, without that prefix, in order.
func (s *Store) scan(prefix byte, each func(key, value []byte) error) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
	if err != nil {
		return fmt.Errorf("read store: %w", err)
	}
	defer func() {
		if cerr := it.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("read store: %w", cerr)
		}
	}()
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			err = each(it.Key()[1:], value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stored is a message with a key of its own.
type stored struct {
	message *session.Message
	body    *body
}

// loadMessages reads the messages that several deliveries share.
func (s *Store) loadMessages() (map[uint64]stored, error) {
	messages := map[uint64]stored{}
	err := s.scan(prefixMessage, func(key, value []byte) error {
		m, err := decodeMessage(value)
		if err != nil || len(key) != 8 {
			return fmt.Errorf("read message %x: %w", key, errCorrupt)
		}
		id := binary.BigEndian.Uint64(key)
		messages[id] = stored{m, &body{id: id}}
		s.lastID = max(s.lastID, id)
		return nil
	})
	return messages, err
}

// collect removes messages that no delivery refers to.
func (s *Store) collect(messages map[uint64]stored) error {
	b := s.db.NewBatch()
	for id, m := range messages {
		if m.body.refs == 0 {
			must(b.Delete(messageKey(id), nil))
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("collect messages: %w", err)
	}
	return nil
}

// loading reads sessions, each of which is told with its identifiers before its
// deliveries.
type loading struct {
	store    *Store
	to       store.Loader
	messages map[uint64]stored
	current  *store.Session // not told yet
}

// flush tells the session that is complete.
func (l *loading) flush() error {
	if l.current == nil {
		return nil
	}
	s := *l.current
	l.current = nil
	return l.to.LoadSession(s)
}

func (l *loading) session(key, value []byte) error {
	end := bytes.IndexByte(key, 0)
	if end < 0 || end+1 >= len(key) {
		return fmt.Errorf("read session key %x: %w", key, errCorrupt)
	}
	clientID, part, rest := string(key[:end]), key[end+1], key[end+2:]
	switch {
	case part == partRecord:
		return l.record(clientID, value)
	case part == partReceived && len(rest) == 2 && l.current != nil:
		l.current.Received = append(l.current.Received, binary.BigEndian.Uint16(rest))
		return nil
	case part == partDelivery && len(rest) == 8:
		return l.delivery(clientID, binary.BigEndian.Uint64(rest), value)
	}
	return fmt.Errorf("read session %q: %w", clientID, errCorrupt)
}

func (l *loading) record(clientID string, value []byte) error {
	if err := l.flush(); err != nil {
		return err
	}
	s, err := decodeSession(clientID, value)
	if err != nil {
		return fmt.Errorf("read session %q: %w", clientID, err)
	}
	l.current = &s
	l.store.known[clientID] = nil
	return nil
}

func (l *loading) delivery(clientID string, seq uint64, value []byte) error {
	if err := l.flush(); err != nil {
		return err
	}
	d, id, err := decodeDelivery(value)
	if err == nil && id != 0 {
		err = l.resolve(d, clientID, seq, id)
	}
	if err != nil {
		return fmt.Errorf("read delivery %d of session %q: %w", seq, clientID, err)
	}
	d.Seq = seq
	return l.to.LoadDelivery(clientID, d)
}

// resolve finds the message of a delivery that shares it.
func (l *loading) resolve(d *session.Delivery, clientID string, seq, id uint64) error {
	m, ok := l.messages[id]
	if !ok {
		return errors.New("its message is missing")
	}
	d.Message = m.message
	m.body.refs++
	l.store.refer(clientID, seq, m.body)
	return nil
}

func (l *loading) retained(key, value []byte) error {
	m, err := decodeMessage(value)
	if err != nil {
		return fmt.Errorf("read retained message of %q: %w", key, err)
	}
	return l.to.LoadRetained(m)
}
