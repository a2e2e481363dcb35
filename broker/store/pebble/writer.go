package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

const (
	// ownKeySize is from where on a message has a key of its own: it is not read
	// over and over where only its delivery matters.
	ownKeySize = 1 << 10
	// writeSize bounds what is applied to the database at once, unless it belongs
	// to one store.Batch.
	writeSize = 1 << 20
	// fewKeys of a session that ends are removed one by one. A range is cheaper
	// than many, but each range costs all reads until it is compacted away.
	fewKeys = 64
)

// writer turns batches into changes of the database. It belongs to the
// committer, and before that to Load.
type writer struct {
	db    *pebble.DB
	batch *pebble.Batch // not applied yet
	// known sessions: changes of others are passed over.
	known map[uint64]struct{}
	// refs is the number of deliveries that refer to each message with a key of
	// its own.
	refs map[uint64]uint32
	// sent has the deliveries whose exchange is stored.
	sent map[place]struct{}

	// recent is what batch does to deliveries whose message has a key of its own,
	// which the database does not tell before it is applied: the number of the
	// message, or 0 where the delivery is removed.
	recent map[place]uint64

	key, value []byte // for the next change
}

// place names a delivery.
type place struct{ session, seq uint64 }

func newWriter(db *pebble.DB) *writer {
	return &writer{
		db: db, batch: db.NewBatch(),
		known: map[uint64]struct{}{}, refs: map[uint64]uint32{}, sent: map[place]struct{}{},
		recent: map[place]uint64{},
	}
}

// must holds for changes of a batch, which fail only after it was committed, and
// for what else the committer cannot go on after; see Store.guard.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// write applies what was changed. It is not durable by that.
func (w *writer) write() {
	if !w.batch.Empty() {
		must(w.db.Apply(w.batch, pebble.NoSync))
		must(w.batch.Close())
		w.batch = w.db.NewBatch()
	}
	if len(w.recent) > 0 {
		w.recent = map[place]uint64{}
	}
}

// apply adds the changes of b to one batch of the database.
func (w *writer) apply(b *store.Batch) {
	if len(b.Ended) > 0 { // which reads what was changed before
		w.write()
	}
	for _, id := range b.Ended {
		w.end(id)
	}
	for i := range b.Sessions {
		w.putSession(&b.Sessions[i])
	}
	for i := range b.Subscriptions {
		w.subscribe(&b.Subscriptions[i])
	}
	w.addDeliveries(b.Deliveries)
	for i := range b.Sent {
		w.send(&b.Sent[i])
	}
	for _, d := range b.Done {
		w.done(d)
	}
	for _, m := range b.Retained {
		w.retain(m)
	}
	for _, i := range b.Received {
		if w.knows(i.Session) {
			w.key = receivedKey(w.key[:0], i.Session, i.ID)
			must(w.batch.Set(w.key, nil, nil))
		}
	}
	for _, i := range b.Released {
		if w.knows(i.Session) {
			w.key = receivedKey(w.key[:0], i.Session, i.ID)
			must(w.batch.Delete(w.key, nil))
		}
	}
}

func (w *writer) knows(session uint64) bool {
	_, ok := w.known[session]
	return ok
}

func (w *writer) putSession(s *store.Session) {
	w.known[s.ID] = struct{}{}
	w.key, w.value = sessionKey(w.key[:0], s.ID), appendSession(w.value[:0], s)
	must(w.batch.Set(w.key, w.value, nil))
}

func (w *writer) subscribe(sub *store.Subscription) {
	if !w.knows(sub.Session) {
		return
	}
	w.key = subscriptionKey(w.key[:0], sub.Session, sub.Filter)
	if sub.Removed {
		must(w.batch.Delete(w.key, nil))
		return
	}
	w.value = appendSubscription(w.value[:0], &sub.Subscription)
	must(w.batch.Set(w.key, w.value, nil))
}

// addDeliveries writes each message once: within its delivery where that is the
// only one and the message small, and else under a key of its own.
func (w *writer) addDeliveries(ds []store.Delivery) {
	for i := 0; i < len(ds); {
		n := 1
		for i+n < len(ds) && ds[i+n].Message == ds[i].Message {
			n++
		}
		w.addMessage(ds[i : i+n])
		i += n
	}
}

// addMessage adds the deliveries of one message.
func (w *writer) addMessage(ds []store.Delivery) {
	n := uint32(0)
	for _, d := range ds {
		if w.knows(d.Session) {
			n++
		}
	}
	if n == 0 {
		return
	}
	m := ds[0].Message
	refs := w.refs[m.ID]
	ownKey := m.ID != 0 && (refs > 0 || n > 1 || m.Size() >= ownKeySize)
	if ownKey {
		w.refs[m.ID] = refs + n
	}
	if ownKey && refs == 0 {
		w.key, w.value = messageKey(w.key[:0], m.ID), appendMessage(w.value[:0], m)
		must(w.batch.Set(w.key, w.value, nil))
	}
	for _, d := range ds {
		if w.knows(d.Session) {
			w.key = deliveryKey(w.key[:0], d.Session, d.Seq)
			w.value = appendDelivery(w.value[:0], d.Delivery, ownKey)
			must(w.batch.Set(w.key, w.value, nil))
			if ownKey {
				w.recent[place{d.Session, d.Seq}] = m.ID
			}
		}
	}
}

func (w *writer) send(s *store.Sent) {
	if !w.knows(s.Session) {
		return
	}
	if s.Released {
		w.drop(place{s.Session, s.Seq}, s.Message)
	}
	w.sent[place{s.Session, s.Seq}] = struct{}{}
	w.key, w.value = sentKey(w.key[:0], s.Session, s.Seq), appendSent(w.value[:0], s)
	must(w.batch.Set(w.key, w.value, nil))
}

func (w *writer) done(d store.Done) {
	if !w.knows(d.Session) {
		return
	}
	at := place{d.Session, d.Seq}
	w.drop(at, d.Message)
	if _, ok := w.sent[at]; ok {
		delete(w.sent, at)
		w.key = sentKey(w.key[:0], d.Session, d.Seq)
		must(w.batch.Delete(w.key, nil))
	}
}

// drop removes a delivery, and with the last one a message that has a key of its
// own. What was written once is removed with a mark that vanishes as soon as it
// meets it, so that a queue leaves no trail.
func (w *writer) drop(at place, message uint64) {
	if _, ok := w.refs[message]; ok && w.refers(at, message) {
		w.recent[at] = 0
		w.release(message)
	}
	w.key = deliveryKey(w.key[:0], at.session, at.seq)
	must(w.batch.SingleDelete(w.key, nil))
}

// refers reports whether the delivery is there and has its message, which others
// refer to by its key, under that key as well: it may have been the only one of
// its batch. The record says so, so that a delivery that is named twice never
// costs another one its message.
func (w *writer) refers(at place, message uint64) bool {
	if recent, ok := w.recent[at]; ok {
		return recent == message
	}
	w.key = deliveryKey(w.key[:0], at.session, at.seq)
	value, closer, err := w.db.Get(w.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false
	}
	must(err)
	have, ownKey, err := decodeWaiting(value, at.seq)
	must(closer.Close())
	return err == nil && ownKey && have.Message == message
}

// release removes a message with the last delivery that refers to it.
func (w *writer) release(message uint64) {
	if w.refs[message]--; w.refs[message] > 0 {
		return
	}
	delete(w.refs, message)
	w.key = messageKey(w.key[:0], message)
	must(w.batch.SingleDelete(w.key, nil))
}

func (w *writer) retain(m *session.Message) {
	w.key = retainedKey(w.key[:0], m.Topic)
	if len(m.Payload) == 0 {
		must(w.batch.Delete(w.key, nil))
		return
	}
	w.value = appendRetained(w.value[:0], m)
	must(w.batch.Set(w.key, w.value, nil))
}

// end removes a session, and reads what is kept of it for the messages that go
// with it.
func (w *writer) end(session uint64) {
	if !w.knows(session) {
		return
	}
	delete(w.known, session)
	w.key = sessionKey(w.key[:0], session)
	must(w.batch.Delete(w.key, nil))
	first, last := partKey(nil, session, 0), partKey(nil, session, 0xff)
	n := 0
	must(scan(w.db, first, last, func(key, value []byte) error {
		if n++; n <= fewKeys {
			must(w.batch.Delete(key, nil))
		}
		w.forget(session, key, value)
		return nil
	}))
	if n > fewKeys {
		must(w.batch.DeleteRange(first, last, nil))
	}
}

// forget takes a record of a session that ends out of what is in memory.
func (w *writer) forget(session uint64, key, value []byte) {
	_, part, rest, ok := parsePart(key)
	if !ok || part != partSent && part != partDelivery {
		return
	}
	seq := binary.BigEndian.Uint64(rest)
	if part == partSent {
		delete(w.sent, place{session, seq})
		return
	}
	if d, ownKey, err := decodeWaiting(value, seq); err == nil && ownKey && w.refs[d.Message] > 0 {
		w.release(d.Message)
	}
}

// scan calls each with the keys in [first, last) and their values, in order.
func scan(db *pebble.DB, first, last []byte, each func(key, value []byte) error) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: last})
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
		if err != nil {
			return fmt.Errorf("read store: %w", err)
		}
		if err := each(it.Key(), value); err != nil {
			return err
		}
	}
	return nil
}
