package pebble

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

var errCorrupt = errors.New("the record is damaged")

// appendMessage encodes a message as when it expires and the PUBLISH of MQTT 5
// that would carry it.
func appendMessage(dst []byte, m *session.Message) []byte {
	dst = appendTime(dst, m.Expires)
	p := packet.Publish{
		QoS: m.QoS, Retain: m.Retain, ID: 1,
		Topic: []byte(m.Topic), Payload: m.Payload,
	}
	if m.Properties != nil {
		p.Properties = *m.Properties
	}
	return p.Append(dst, packet.V5)
}

// parseMessage decodes a message without copying: p aliases b.
func parseMessage(b []byte, p *packet.Publish) (expires time.Time, err error) {
	d := decoder{b: b}
	expires = d.time()
	h, n, err := packet.ParseHeader(d.b)
	if d.failed || err != nil || n == 0 || h.Type != packet.TypePublish || n+h.Length != len(d.b) {
		return expires, errCorrupt
	}
	if err := p.Decode(packet.V5, h.Flags, d.b[n:]); err != nil {
		return expires, errCorrupt
	}
	return expires, nil
}

// appendRetained encodes a retained message, with its owner behind it.
func appendRetained(dst []byte, m *session.Message) []byte {
	return append(appendMessage(dst, m), m.Owner...)
}

// cutRetained splits a retained message from its owner.
func cutRetained(b []byte) (message []byte, owner string) {
	const time = 8
	if len(b) < time {
		return b, ""
	}
	h, n, err := packet.ParseHeader(b[time:])
	if end := time + n + h.Length; err == nil && n > 0 && end <= len(b) {
		return b[:end], string(b[end:])
	}
	return b, ""
}

func decodeRetained(b []byte) (*session.Message, error) {
	b, owner := cutRetained(b)
	m, err := decodeMessage(b, 0)
	if err == nil {
		m.Owner = owner
	}
	return m, err
}

// decodeMessage copies what it needs of b.
func decodeMessage(b []byte, id uint64) (*session.Message, error) {
	var p packet.Publish
	expires, err := parseMessage(b, &p)
	if err != nil {
		return nil, err
	}
	m := session.NewMessage(&p, time.Time{})
	m.ID, m.Expires = id, expires
	return m, nil
}

// The first byte of a delivery: its QoS, and
const (
	maskQoS    = 3
	flagRetain = 1 << 2
	flagOwnKey = 1 << 3 // the message has a key of its own, and does not follow
	maskAll    = maskQoS | flagRetain | flagOwnKey
)

// appendDelivery encodes a delivery, and its message unless that has a key of
// its own.
func appendDelivery(dst []byte, d *session.Delivery, ownKey bool) []byte {
	flags := byte(d.QoS)
	if d.Retain {
		flags |= flagRetain
	}
	if ownKey {
		flags |= flagOwnKey
	}
	w := d.Waiting()
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, w.Message)
	dst = binary.AppendUvarint(dst, uint64(w.Size))
	dst = binary.AppendUvarint(dst, uint64(w.Expires))
	dst = binary.AppendUvarint(dst, uint64(len(d.IDs)))
	for _, sub := range d.IDs {
		dst = binary.AppendUvarint(dst, uint64(sub))
	}
	dst = appendString(dst, d.Shared)
	if ownKey {
		return dst
	}
	return appendMessage(dst, d.Message)
}

// waiting decodes the front of a delivery.
func (d *decoder) waiting(seq uint64) (w session.Waiting, flags byte) {
	flags = d.byte()
	if flags&^maskAll != 0 || flags&maskQoS > byte(packet.QoS2) {
		d.failed = true
	}
	return session.Waiting{
		Seq: seq, Message: d.uvarint(), Size: uint32(d.uvarint()), Expires: uint32(d.uvarint()),
	}, flags
}

// decodeWaiting decodes what is to be known of a delivery without its body, and
// whether its message has a key of its own.
func decodeWaiting(b []byte, seq uint64) (w session.Waiting, ownKey bool, err error) {
	d := decoder{b: b}
	w, flags := d.waiting(seq)
	if d.failed {
		return w, false, errCorrupt
	}
	return w, flags&flagOwnKey != 0, nil
}

// decodeDelivery decodes a delivery. Message is nil where it has a key of its
// own.
func decodeDelivery(b []byte, seq uint64) (d *session.Delivery, message uint64, err error) {
	r := decoder{b: b}
	w, flags := r.waiting(seq)
	d = &session.Delivery{QoS: packet.QoS(flags & maskQoS), Retain: flags&flagRetain != 0, Seq: seq}
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		d.IDs = append(d.IDs, uint32(r.uvarint()))
	}
	d.Shared = r.string()
	if r.failed {
		return nil, 0, errCorrupt
	}
	if flags&flagOwnKey == 0 {
		d.Message, err = decodeMessage(r.b, w.Message)
	}
	return d, w.Message, err
}

const flagReleased = 1

// appendSent encodes the exchange of a delivery.
func appendSent(dst []byte, s *store.Sent) []byte {
	return append(binary.BigEndian.AppendUint16(dst, s.ID), flag(s.Released))
}

func decodeSent(b []byte) (s store.Sent, err error) {
	if len(b) != 3 || b[2] > flagReleased {
		return s, errCorrupt
	}
	return store.Sent{ID: binary.BigEndian.Uint16(b), Released: b[2] == flagReleased}, nil
}

// appendSession encodes a session without its number, which is its key.
func appendSession(dst []byte, s *store.Session) []byte {
	dst = appendString(dst, s.ClientID)
	dst = appendString(dst, s.Username)
	dst = append(dst, flag(s.Anonymous))
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Expiry))
	dst = appendTime(dst, s.Disconnected)
	if s.Will == nil {
		return append(dst, 0)
	}
	dst = appendTime(append(dst, 1), s.Will.At)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Will.Delay))
	return appendMessage(dst, s.Will.Message)
}

func decodeSession(id uint64, b []byte) (store.Session, error) {
	d := decoder{b: b}
	s := store.Session{ID: id, ClientID: d.string()}
	d.owner(&s)
	if d.flag() {
		s.Will = &store.Will{At: d.time(), Delay: time.Duration(d.uint64())}
	}
	return s, d.will(&s)
}

// owner decodes what is stored of a session between its name and its will.
func (d *decoder) owner(s *store.Session) {
	s.Username = d.string()
	s.Anonymous = d.flag()
	s.Expiry = time.Duration(d.uint64())
	s.Disconnected = d.time()
}

// will decodes the message of s.Will, if there is one, which ends a session.
func (d *decoder) will(s *store.Session) (err error) {
	if d.failed {
		return errCorrupt
	}
	if s.Will != nil {
		s.Will.Message, err = decodeMessage(d.b, 0)
	}
	return err
}

// appendSubscription encodes a subscription without its filter, which is in its
// key.
func appendSubscription(dst []byte, sub *session.Subscription) []byte {
	dst = append(dst, byte(sub.Requested), byte(sub.QoS), flag(sub.NoLocal), flag(sub.RetainAsPublished), flag(sub.Suspended))
	return binary.AppendUvarint(dst, uint64(sub.ID))
}

func decodeSubscription(filter string, b []byte) (session.Subscription, error) {
	d := decoder{b: b}
	sub := d.subscription(filter)
	if d.failed || len(d.b) > 0 {
		return sub, errCorrupt
	}
	return sub, nil
}

func (d *decoder) subscription(filter string) session.Subscription {
	return session.Subscription{
		Filter: filter, Requested: d.qos(), QoS: d.qos(),
		NoLocal: d.flag(), RetainAsPublished: d.flag(), Suspended: d.flag(),
		ID: uint32(d.uvarint()),
	}
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendTime encodes a time to the nanosecond; 0 is none.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(dst, 0)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixNano()))
}

// decoder reads from the front of b. After a failure everything is zero.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) take(n int) []byte {
	if d.failed || n > len(d.b) {
		d.failed = true
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) flag() bool { return d.byte() == 1 }

func (d *decoder) qos() packet.QoS {
	q := packet.QoS(d.byte())
	if q > packet.QoS2 {
		d.failed = true
		return 0
	}
	return q
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.failed || n <= 0 {
		d.failed = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.failed = true
		return ""
	}
	return string(d.take(int(n)))
}

func (d *decoder) time() time.Time {
	n := d.uint64()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n))
}
