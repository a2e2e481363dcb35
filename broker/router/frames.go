package router

import (
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// frames are the encodings of one PUBLISH on its way to its subscribers: each
// combination of version, quality of service and retain flag is encoded once,
// when it is first needed, and the bytes that came in are used as they are
// where they fit.
type frames struct {
	publish packet.Publish // what is sent; aliases the one received
	message *session.Message

	raw     []byte // as received, nil if it cannot be passed on
	rawV5   bool
	rawQoS  packet.QoS
	rawIDAt int

	buf  []byte
	made [12]span
}

// keptFrames is how much memory is kept for the next message, in bytes.
const keptFrames = 1 << 20

// span is one encoding within frames.buf; end is 0 while it is not made.
type span struct{ start, end, idAt int }

// reset prepares for p. raw is the packet as it was received, with its fixed
// header, or nil.
func (f *frames) reset(p *packet.Publish, v packet.Version, raw []byte) {
	f.message = nil
	f.buf = f.buf[:0]
	if cap(f.buf) > keptFrames {
		f.buf = nil
	}
	f.made = [12]span{}
	f.publish.Topic, f.publish.Payload = p.Topic, p.Payload
	f.raw = nil
	switch {
	case !p.Properties.Empty():
		f.publish.Properties = p.Properties
		f.publish.Properties.Unset(packet.PropTopicAlias)
	case !f.publish.Properties.Empty():
		f.publish.Properties = packet.Properties{}
	}
	if raw == nil || p.Dup || p.Retain || p.Properties.Has(packet.PropTopicAlias) {
		return
	}
	f.raw, f.rawV5, f.rawQoS, f.rawIDAt = raw, v == packet.V5, p.QoS, -1
	if p.QoS > 0 {
		f.rawIDAt = len(raw) - remaining(raw) + 2 + len(p.Topic)
	}
}

// remaining is the remaining length of a whole, valid frame.
func remaining(frame []byte) int {
	n, shift := 0, 0
	for _, b := range frame[1:] {
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		shift += 7
	}
	return n
}

// get returns the encoding for a subscriber of version v. idAt is where its
// packet identifier stands, for QoS above 0. It is valid until the next get.
func (f *frames) get(v packet.Version, q packet.QoS, retain bool) (frame []byte, idAt int) {
	v5 := v == packet.V5
	if f.raw != nil && f.rawV5 == v5 && f.rawQoS == q && !retain {
		return f.raw, f.rawIDAt
	}
	i := int(q) * 4
	if v5 {
		i += 2
	}
	if retain {
		i++
	}
	s := &f.made[i]
	if s.end == 0 {
		f.encode(s, v, q, retain)
	}
	return f.buf[s.start:s.end], s.idAt
}

func (f *frames) encode(s *span, v packet.Version, q packet.QoS, retain bool) {
	f.publish.QoS, f.publish.Retain, f.publish.ID = q, retain, 1
	s.start = len(f.buf)
	f.buf, s.idAt = f.publish.AppendFrame(f.buf, v)
	s.end = len(f.buf)
}

// own encodes for one subscriber alone: with the identifiers of its
// subscriptions, and an alias for the topic. assign is that of aliases.apply.
func (f *frames) own(a *aliases, q packet.QoS, retain bool, ids []uint32) (frame []byte, idAt int, assign bool) {
	p := f.publish
	p.QoS, p.Retain, p.ID = q, retain, 1
	p.Properties.SubscriptionIDs = nil
	for _, id := range ids {
		p.Properties.AddSubscriptionID(id)
	}
	assign = a.apply(&p)
	start := len(f.buf)
	buf, idAt := p.AppendFrame(f.buf, packet.V5)
	f.buf = buf[:start] // one is needed at a time
	return buf[start:], idAt, assign
}
