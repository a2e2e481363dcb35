package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Format 1 named sessions by their clients, and gave no number to a message of
// one delivery:
//
//	'm' message id                     a message that several sessions wait for
//	's' client id 0x00 0x00            a session
//	's' client id 0x00 0x01 packet id  a QoS 2 identifier that was not released
//	's' client id 0x00 0x02 sequence   a delivery: the message itself, or its id
//	't' topic                          a retained message
//
// None of its keys begins as one of today's, so both can be on disk: the version
// changes in the very batch that removes what is old, and a conversion that was
// cut off begins anew.
const (
	prefixMessage1  = 'm'
	prefixSession1  = 's'
	prefixRetained1 = 't'

	partRecord1   = 0
	partReceived1 = 1
	partDelivery1 = 2
)

// conversion1 is a store of format 1 on its way to today's.
type conversion1 struct {
	*writer
	store  *Store
	lastID uint64 // that was given, to a message or session

	// clientID is the session whose keys are read, once begun, and session its
	// number, 0 if it cannot be read.
	clientID string
	begun    bool
	session  uint64
}

// convert1 brings the store from format 1 to today's.
func (s *Store) convert1() error {
	w := s.writer
	// What was written before it was cut off: a delivery must not be written twice,
	// since it is removed with a mark for one.
	must(w.batch.DeleteRange([]byte{prefixMessage}, []byte{prefixSession + 1}, nil))
	c := &conversion1{writer: w, store: s}
	for _, part := range []struct {
		prefix byte
		each   func(key, value []byte) error
	}{
		{prefixMessage1, c.message}, {prefixSession1, c.part}, {prefixRetained1, c.retained},
	} {
		if err := scan(s.db, []byte{part.prefix}, []byte{part.prefix + 1}, part.each); err != nil {
			return err
		}
	}
	w.write()
	must(w.batch.DeleteRange([]byte{prefixMessage1}, []byte{prefixRetained1 + 1}, nil))
	must(w.batch.Set(keyNumbers, binary.BigEndian.AppendUint64(nil, c.lastID), nil))
	must(w.batch.Set(keyVersion, binary.BigEndian.AppendUint32(nil, formatVersion), nil))
	w.write()
	s.writer = newWriter(s.db) // Load counts anew
	return errors.Join(w.batch.Close(), s.db.LogData(nil, pebble.Sync))
}

func (c *conversion1) nextID() uint64 {
	c.lastID++
	return c.lastID
}

// add makes changes as if the broker had committed them.
func (c *conversion1) add(b *store.Batch) {
	c.apply(b)
	if c.batch.Len() >= writeSize {
		c.write()
	}
}

// leaveOut goes on behind a record that cannot be read, and that is removed with
// all of format 1.
func (c *conversion1) leaveOut(lost string, attributes ...any) error {
	c.store.leaveOut(lost, attributes...)
	return nil
}

// message keeps a message of several deliveries as it is, under its number.
func (c *conversion1) message(key, value []byte) error {
	var p packet.Publish
	if _, err := parseMessage(value, &p); err != nil || len(key) != 9 {
		return c.leaveOut("a message, for all sessions that it waits for")
	}
	id := binary.BigEndian.Uint64(key[1:])
	c.lastID = max(c.lastID, id)
	c.refs[id] = 1 // none of its deliveries has it within
	must(c.batch.Set(messageKey(nil, id), value, nil))
	return nil
}

func (c *conversion1) part(key, value []byte) error {
	end := bytes.IndexByte(key, 0)
	if end < 0 || end+1 >= len(key) {
		return c.leaveOut("nothing: no session has such a key")
	}
	clientID, part, rest := string(key[1:end]), key[end+1], key[end+2:]
	if !c.begun || clientID != c.clientID {
		c.begin(clientID, part, value)
	}
	switch {
	case c.session == 0 || part == partRecord1:
	case part == partReceived1 && len(rest) == 2:
		c.add(&store.Batch{Received: []store.Identifier{{Session: c.session, ID: binary.BigEndian.Uint16(rest)}}})
	case part == partDelivery1 && len(rest) == 8:
		return c.delivery(binary.BigEndian.Uint64(rest), value)
	default:
		return c.leaveOut("nothing: no part of a session has such a key", "client", clientID)
	}
	return nil
}

// begin converts the record of a session, which is the first of its keys.
func (c *conversion1) begin(clientID string, part byte, value []byte) {
	c.clientID, c.begun, c.session = clientID, true, 0
	record, subscriptions, err := decodeSession1(clientID, value)
	if part != partRecord1 || err != nil {
		c.store.leaveOut("a session, with its subscriptions and messages", "client", clientID)
		return
	}
	c.session = c.nextID()
	record.ID = c.session
	b := &store.Batch{Sessions: []store.Session{record}}
	for _, sub := range subscriptions {
		b.Subscriptions = append(b.Subscriptions, store.Subscription{Session: c.session, Subscription: sub})
	}
	c.add(b)
}

func (c *conversion1) delivery(seq uint64, value []byte) error {
	d, id, err := decodeDelivery1(value)
	switch {
	case err == nil && id == 0:
		d.ID = c.nextID()
	case err == nil:
		if d.Message, err = c.store.message(numberKey(nil, prefixMessage1, id), numbered(id)); d.Message == nil && err == nil {
			err = errCorrupt
		}
	}
	if errors.Is(err, errCorrupt) {
		return c.leaveOut("a message that waits for a session", "client", c.clientID, "number", seq)
	}
	if err != nil {
		return err
	}
	d.Seq = seq
	c.add(&store.Batch{Deliveries: []store.Delivery{{Session: c.session, Delivery: d}}})
	return nil
}

func (c *conversion1) retained(key, value []byte) error {
	m, err := decodeMessage(value, 0)
	if err != nil {
		return c.leaveOut("a retained message", "topic", string(key[1:]))
	}
	c.add(&store.Batch{Retained: []*session.Message{m}})
	return nil
}

func decodeSession1(clientID string, b []byte) (store.Session, []session.Subscription, error) {
	d := decoder{b: b}
	s := store.Session{ClientID: clientID}
	d.owner(&s)
	subscriptions := d.subscriptions()
	if d.flag() {
		s.Will = &store.Will{At: d.time()}
	}
	return s, subscriptions, d.will(&s)
}

// decodeDelivery1 decodes all but the message where id is not 0.
func decodeDelivery1(b []byte) (d *session.Delivery, id uint64, err error) {
	const byID = 1
	r := decoder{b: b}
	form := r.byte()
	d = &session.Delivery{QoS: r.qos(), Retain: r.flag()}
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		d.IDs = append(d.IDs, uint32(r.uvarint()))
	}
	d.Shared = r.string()
	if form == byID {
		id = r.uint64()
	}
	if r.failed || form == byID && id == 0 {
		return nil, 0, errCorrupt
	}
	if form != byID {
		d.Message, err = decodeMessage(r.b, 0)
	}
	return d, id, err
}
