package pebble

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Format 2 kept the subscriptions of a session in its record:
//
//	'c' session   a session with its subscriptions
//
// All else is as it is today. A record of today has another key, so that the
// version changes in the very batch that removes what is old, and a conversion
// that was cut off begins anew.
const prefixSession2 = 'c'

// convert2 brings the store from format 2 to today's.
func (s *Store) convert2() error {
	w := s.writer
	// What was written before it was cut off: the session may have ended since.
	must(w.batch.DeleteRange([]byte{prefixSession}, []byte{prefixSession + 1}, nil))
	if err := scan(s.db, []byte{prefixSession2}, []byte{prefixSession2 + 1}, s.convertSession2); err != nil {
		return err
	}
	must(w.batch.DeleteRange([]byte{prefixSession2}, []byte{prefixSession2 + 1}, nil))
	must(w.batch.Set(keyVersion, binary.BigEndian.AppendUint32(nil, formatVersion), nil))
	w.write()
	s.writer = newWriter(s.db) // Load reads anew which sessions there are
	return errors.Join(w.batch.Close(), s.db.LogData(nil, pebble.Sync))
}

func (s *Store) convertSession2(key, value []byte) error {
	if len(key) != 9 {
		s.leaveOut("nothing: no session has such a key")
		return nil
	}
	id := binary.BigEndian.Uint64(key[1:])
	record, subscriptions, err := decodeSession2(id, value)
	if err != nil {
		s.leaveOut("a session, with its subscriptions and messages", "client", record.ClientID, "session", id)
		return s.writer.batch.DeleteRange(partKey(nil, id, 0), partKey(nil, id, 0xff), nil)
	}
	b := store.Batch{Sessions: []store.Session{record}}
	for _, sub := range subscriptions {
		b.Subscriptions = append(b.Subscriptions, store.Subscription{Session: id, Subscription: sub})
	}
	s.writer.apply(&b)
	if s.writer.batch.Len() >= writeSize {
		s.writer.write()
	}
	return nil
}

func decodeSession2(id uint64, b []byte) (store.Session, []session.Subscription, error) {
	d := decoder{b: b}
	s := store.Session{ID: id, ClientID: d.string()}
	d.owner(&s)
	subscriptions := d.subscriptions()
	if d.flag() {
		s.Will = &store.Will{At: d.time(), Delay: time.Duration(d.uint64())}
	}
	return s, subscriptions, d.will(&s)
}

// subscriptions decodes those that formats 1 and 2 have in the record of their
// session.
func (d *decoder) subscriptions() (all []session.Subscription) {
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		all = append(all, d.subscription(d.string()))
	}
	return all
}
