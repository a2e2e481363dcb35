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
		Topic: []byte(m.Topic), Payload: m.Payload, Properties: m.Properties,
	}
	return p.Append(dst, packet.V5)
}

// decodeMessage copies what it needs of b.
func decodeMessage(b []byte) (*session.Message, error) {
	d := decoder{b: b}
	expires := d.time()
	h, n, err := packet.ParseHeader(d.b)
	if d.failed || err != nil || n == 0 || h.Type != packet.TypePublish || n+h.Length != len(d.b) {
		return nil, errCorrupt
	}
	var p packet.Publish
	if err := p.Decode(packet.V5, h.Flags, d.b[n:]); err != nil {
		return nil, errCorrupt
	}
	m := session.NewMessage(&p, time.Time{})
	m.Expires = expires
	return m, nil
}

// The ways in which a delivery has its message.
const (
	inline  = 0
	byID    = 1
	flagSet = 1
)

// appendDelivery encodes a delivery. id names its message, 0 if that follows.
func appendDelivery(dst []byte, d *session.Delivery, id uint64) []byte {
	form := byte(inline)
	if id != 0 {
		form = byID
	}
	dst = append(dst, form, byte(d.QoS), flag(d.Retain))
	dst = binary.AppendUvarint(dst, uint64(len(d.IDs)))
	for _, sub := range d.IDs {
		dst = binary.AppendUvarint(dst, uint64(sub))
	}
	dst = appendString(dst, d.Shared)
	if id != 0 {
		return binary.BigEndian.AppendUint64(dst, id)
	}
	return appendMessage(dst, d.Message)
}

// decodeDelivery decodes all but the message where id is not 0.
func decodeDelivery(b []byte) (d *session.Delivery, id uint64, err error) {
	r := decoder{b: b}
	form := r.byte()
	d = &session.Delivery{QoS: r.qos(), Retain: r.byte() == flagSet}
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
	if form == inline {
		d.Message, err = decodeMessage(r.b)
	}
	return d, id, err
}

// appendSession encodes a session without its identifiers, which have keys of
// their own.
func appendSession(dst []byte, s *store.Session) []byte {
	dst = appendString(dst, s.Username)
	dst = append(dst, flag(s.Anonymous))
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Expiry))
	dst = appendTime(dst, s.Disconnected)
	dst = binary.AppendUvarint(dst, uint64(len(s.Subscriptions)))
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		dst = appendString(dst, sub.Filter)
		dst = append(dst, byte(sub.Requested), byte(sub.QoS), flag(sub.NoLocal), flag(sub.RetainAsPublished), flag(sub.Suspended))
		dst = binary.AppendUvarint(dst, uint64(sub.ID))
	}
	if s.Will == nil {
		return append(dst, 0)
	}
	dst = appendTime(append(dst, flagSet), s.Will.At)
	return appendMessage(dst, s.Will.Message)
}

func decodeSession(clientID string, b []byte) (store.Session, error) {
	d := decoder{b: b}
	s := store.Session{
		ClientID:     clientID,
		Username:     d.string(),
		Anonymous:    d.byte() == flagSet,
		Expiry:       time.Duration(d.uint64()),
		Disconnected: d.time(),
	}
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		s.Subscriptions = append(s.Subscriptions, session.Subscription{
			Filter: d.string(), Requested: d.qos(), QoS: d.qos(),
			NoLocal: d.byte() == flagSet, RetainAsPublished: d.byte() == flagSet, Suspended: d.byte() == flagSet,
			ID: uint32(d.uvarint()),
		})
	}
	if d.byte() == flagSet {
		will := &store.Will{At: d.time()}
		m, err := decodeMessage(d.b)
		if err != nil {
			return s, err
		}
		will.Message, s.Will = m, will
	}
	if d.failed {
		return s, errCorrupt
	}
	return s, nil
}

func flag(set bool) byte {
	if set {
		return flagSet
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
