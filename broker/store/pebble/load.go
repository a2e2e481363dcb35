package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Load implements store.Store. Records that cannot be read are left out, logged
// with what is lost by that, and removed. What the database itself finds damaged
// is an error.
//
// What it keeps in memory are the sessions' numbers, and a count for each
// message with a key of its own. It does not look at those messages: one that is
// damaged is left out when it is read.
func (s *Store) Load(l store.Loader) error {
	ld := &loading{writer: s.writer, store: s, to: l, unreadable: map[uint64]struct{}{}}
	for _, part := range []struct {
		prefix byte
		each   func(key, value []byte) error
	}{
		{prefixSession, ld.session}, {prefixPart, ld.part}, {prefixRetained, ld.retained},
	} {
		if err := scan(s.db, []byte{part.prefix}, []byte{part.prefix + 1}, part.each); err != nil {
			return err
		}
	}
	if s.damaged.Load() > 0 {
		if err := scan(s.db, []byte{prefixMessage}, []byte{prefixMessage + 1}, ld.message); err != nil {
			return err
		}
	}
	ld.write()
	return nil
}

// leaveOut reports a record that cannot be read. lost says what that costs.
func (s *Store) leaveOut(lost string, attributes ...any) {
	s.damaged.Add(1)
	s.options.Logger.Error("a damaged record of the store is left out", append([]any{"lost", lost}, attributes...)...)
}

// clientID returns the client of a session for the log.
func (s *Store) clientID(session uint64) string {
	value, closer, err := s.db.Get(sessionKey(nil, session))
	if err != nil {
		return ""
	}
	record, err := decodeSession(session, value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return ""
	}
	return record.ClientID
}

// loading fills a writer on its way.
type loading struct {
	*writer
	store *Store
	to    store.Loader
	// unreadable are sessions whose record was left out, with all that is kept of
	// them.
	unreadable map[uint64]struct{}

	// current is the session whose parts are read, once begun, and sent are its
	// deliveries that do not wait.
	current uint64
	begun   bool
	sent    map[uint64]struct{}
}

// remove takes a record out.
func (l *loading) remove(key []byte) {
	must(l.batch.Delete(key, nil))
	if l.batch.Len() >= writeSize {
		l.write()
	}
}

// skip leaves a record out and removes it.
func (l *loading) skip(key []byte, lost string, attributes ...any) error {
	l.remove(key)
	l.store.leaveOut(lost, attributes...)
	return nil
}

// message removes a message that no delivery refers to: one that did may have
// been left out.
func (l *loading) message(key, _ []byte) error {
	if len(key) != 9 {
		return l.skip(key, "nothing: no message has such a key")
	}
	if _, ok := l.refs[binary.BigEndian.Uint64(key[1:])]; !ok {
		l.remove(key)
	}
	return nil
}

func (l *loading) session(key, value []byte) error {
	if len(key) != 9 {
		return l.skip(key, "nothing: no session has such a key")
	}
	id := binary.BigEndian.Uint64(key[1:])
	record, err := decodeSession(id, value)
	if err != nil {
		l.unreadable[id] = struct{}{}
		return l.skip(key, "a session, with its subscriptions and messages", "client", record.ClientID)
	}
	l.known[id] = struct{}{}
	return l.to.LoadSession(record)
}

// part reads a record of what is kept of a session.
func (l *loading) part(key, value []byte) error {
	id, part, rest, ok := parsePart(key)
	switch {
	case !ok && part == 0 && rest == nil:
		return l.skip(key, "nothing: no part of a session has such a key")
	case !l.begun || id != l.current:
		l.begin(id)
	}
	if !l.knows(id) {
		return nil
	}
	switch {
	case !ok:
		return l.skip(key, "nothing: no part of a session has such a key", "client", l.store.clientID(id))
	case part == partReceived:
		return l.to.LoadReceived(id, binary.BigEndian.Uint16(rest))
	case part == partSent:
		return l.exchange(key, value, place{id, binary.BigEndian.Uint64(rest)})
	case part == partSubscription:
		return l.subscription(key, value, id, string(rest))
	}
	return l.delivery(key, value, place{id, binary.BigEndian.Uint64(rest)})
}

// begin comes to the parts of another session, which are removed if that is not
// there.
func (l *loading) begin(id uint64) {
	l.current, l.begun, l.sent = id, true, nil
	if l.knows(id) {
		return
	}
	must(l.batch.DeleteRange(partKey(nil, id, 0), partKey(nil, id, 0xff), nil))
	if _, reported := l.unreadable[id]; !reported {
		l.store.leaveOut("a session, with its subscriptions and messages", "session", id)
	}
}

// exchange reads what was sent. Its delivery comes later, and is what matters
// until it is released.
func (l *loading) exchange(key, value []byte, at place) error {
	s, err := decodeSent(value)
	if err != nil {
		return l.skip(key, "that a message was sent: it is sent again as another one", "client", l.store.clientID(at.session), "number", at.seq)
	}
	s.Session, s.Seq = at.session, at.seq
	if !s.Released {
		w, ok, err := l.find(at)
		if err != nil {
			return err
		}
		if !ok {
			l.remove(key)
			return nil
		}
		s.Message = w.Message
	}
	if l.sent == nil {
		l.sent = map[uint64]struct{}{}
	}
	l.sent[at.seq] = struct{}{}
	l.writer.sent[at] = struct{}{}
	return l.to.LoadSent(s)
}

// find reads a delivery out of order.
func (l *loading) find(at place) (w session.Waiting, ok bool, err error) {
	value, closer, err := l.db.Get(deliveryKey(nil, at.session, at.seq))
	if errors.Is(err, pebble.ErrNotFound) {
		return w, false, nil
	}
	if err != nil {
		return w, false, fmt.Errorf("read store: %w", err)
	}
	w, _, err = decodeWaiting(value, at.seq)
	return w, err == nil, closer.Close()
}

func (l *loading) delivery(key, value []byte, at place) error {
	w, ownKey, err := decodeWaiting(value, at.seq)
	if err != nil {
		return l.skip(key, "a message that waits for a session", "client", l.store.clientID(at.session), "number", at.seq)
	}
	if ownKey {
		l.refs[w.Message]++
	}
	if _, sent := l.sent[at.seq]; sent {
		return nil
	}
	return l.to.LoadWaiting(at.session, w)
}

func (l *loading) subscription(key, value []byte, id uint64, filter string) error {
	sub, err := decodeSubscription(filter, value)
	if err != nil {
		return l.skip(key, "a subscription", "client", l.store.clientID(id), "filter", filter)
	}
	return l.to.LoadSubscription(id, sub)
}

func (l *loading) retained(key, value []byte) error {
	topic := string(key[1:])
	var p packet.Publish
	message, owner := cutRetained(value)
	expires, err := parseMessage(message, &p)
	if err != nil || string(p.Topic) != topic {
		return l.skip(key, "a retained message", "topic", topic)
	}
	m := session.Message{Topic: topic, Payload: p.Payload, Owner: owner}
	if !p.Properties.Empty() {
		m.Properties = &p.Properties
	}
	return l.to.LoadRetained(store.Retained{Topic: topic, Size: m.Size(), Expires: expires, Owner: owner})
}
