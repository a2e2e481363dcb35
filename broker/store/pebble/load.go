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

// Load implements store.Store. Records that cannot be read are left out, logged
// with what is lost by that, and removed; see Damaged. What the database itself
// finds damaged is an error.
func (s *Store) Load(l store.Loader) (err error) {
	ld := &loading{store: s, to: l, messages: map[uint64]stored{}, removed: s.db.NewBatch()}
	defer func() { err = errors.Join(err, ld.removed.Close()) }()
	if err := s.scan(prefixMessage, ld.message); err != nil {
		return err
	}
	if err := s.scan(prefixSession, ld.session); err != nil {
		return err
	}
	if err := ld.flush(); err != nil {
		return err
	}
	if err := s.scan(prefixRetained, ld.retained); err != nil {
		return err
	}
	return ld.collect()
}

// Damaged returns the number of records that Load has left out; a session with
// all that is kept of it counts as one.
func (s *Store) Damaged() int { return s.damaged }

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

// loading reads sessions, each of which is told with its identifiers before its
// deliveries.
type loading struct {
	store    *Store
	to       store.Loader
	messages map[uint64]stored
	current  *store.Session // not told yet
	removed  *pebble.Batch  // takes out what is not needed, or cannot be read

	// clientID is the session whose keys are being read, once begun. What is
	// kept of one that is not readable is passed over.
	clientID        string
	begun, readable bool
}

// skip leaves a record out. lost says what that costs.
func (l *loading) skip(key []byte, lost string, attributes ...any) error {
	must(l.removed.Delete(key, nil))
	l.report(lost, attributes)
	return nil
}

func (l *loading) report(lost string, attributes []any) {
	l.store.damaged++
	l.store.options.Logger.Error("a damaged record of the store is left out", append([]any{"lost", lost}, attributes...)...)
}

// message reads a message that several deliveries share.
func (l *loading) message(key, value []byte) error {
	if len(key) != 8 {
		return l.skip(append([]byte{prefixMessage}, key...), "nothing: no message has such a key")
	}
	id := binary.BigEndian.Uint64(key)
	l.store.lastID = max(l.store.lastID, id)
	m, err := decodeMessage(value)
	if err != nil {
		return l.skip(messageKey(id), "a message, for all sessions that it waits for")
	}
	l.messages[id] = stored{m, &body{id: id}}
	return nil
}

// collect removes messages that no delivery refers to, and what was left out.
func (l *loading) collect() error {
	for id, m := range l.messages {
		if m.body.refs == 0 {
			must(l.removed.Delete(messageKey(id), nil))
		}
	}
	if err := l.removed.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("clean the store up: %w", err)
	}
	return nil
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
		return l.skip(append([]byte{prefixSession}, key...), "nothing: no session has such a key")
	}
	clientID, part, rest := string(key[:end]), key[end+1], key[end+2:]
	if !l.begun || clientID != l.clientID {
		if err := l.begin(clientID, part, value); err != nil {
			return err
		}
	}
	switch {
	case !l.readable || part == partRecord:
		return nil
	case part == partReceived && len(rest) == 2 && l.current != nil:
		l.current.Received = append(l.current.Received, binary.BigEndian.Uint16(rest))
		return nil
	case part == partDelivery && len(rest) == 8:
		return l.delivery(clientID, binary.BigEndian.Uint64(rest), value)
	}
	return l.skip(append([]byte{prefixSession}, key...), "nothing: no part of a session has such a key", "client", clientID)
}

// begin reads the record of a session, which is the first of its keys.
func (l *loading) begin(clientID string, part byte, value []byte) error {
	if err := l.flush(); err != nil {
		return err
	}
	s, err := decodeSession(clientID, value)
	l.clientID, l.begun, l.readable = clientID, true, part == partRecord && err == nil
	if !l.readable {
		must(l.removed.DeleteRange(sessionKey(clientID, partRecord), sessionEnd(clientID), nil))
		l.report("a session, with its subscriptions and messages", []any{"client", clientID})
		return nil
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
	if err != nil || id != 0 && !l.resolve(d, clientID, seq, id) {
		return l.skip(deliveryKey(clientID, seq), "a message that waits for a session", "client", clientID, "number", seq)
	}
	d.Seq = seq
	return l.to.LoadDelivery(clientID, d)
}

// resolve finds the message of a delivery that shares it.
func (l *loading) resolve(d *session.Delivery, clientID string, seq, id uint64) (found bool) {
	m, found := l.messages[id]
	if !found {
		return false
	}
	d.Message = m.message
	m.body.refs++
	l.store.refer(clientID, seq, m.body)
	return true
}

func (l *loading) retained(key, value []byte) error {
	m, err := decodeMessage(value)
	if err != nil || m.Topic != string(key) {
		return l.skip(retainedKey(string(key)), "a retained message", "topic", string(key))
	}
	return l.to.LoadRetained(m)
}
