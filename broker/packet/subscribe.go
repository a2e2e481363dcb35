package packet

import "encoding/binary"

// Subscribe is SUBSCRIBE, a request for one or more subscriptions.
type Subscribe struct {
	ID            uint16
	Subscriptions []Subscription
	Properties    Properties
}

// Subscription is a topic filter with its options. MQTT 3.x knows only the QoS.
type Subscription struct {
	Filter            []byte
	QoS               QoS
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0 send retained messages, 1 only if the subscription is new, 2 never
}

// The bits of the subscription options.
const (
	optionQoS               = 0x03
	optionNoLocal           = 0x04
	optionRetainAsPublished = 0x08
	optionRetainHandling    = 0x30
	optionReserved          = 0xc0
	optionReservedV3        = 0xfc
)

// Decode fills p from the body of a SUBSCRIBE. Slices in p alias body.
func (p *Subscribe) Decode(v Version, body []byte) error {
	r := reader{b: body, typ: TypeSubscribe}
	clear(p.Subscriptions)
	p.Subscriptions = p.Subscriptions[:0]
	p.Properties.Reset()
	p.ID = r.packetID()
	if v >= V5 {
		p.Properties.decode(&r, TypeSubscribe)
	}
	if r.err == nil && len(r.b) == 0 { // [MQTT-3.8.3-2]
		return protocolError(TypeSubscribe, "there is no topic filter")
	}
	for len(r.b) > 0 {
		filter := r.string("topic filter") // [MQTT-3.8.3-1]
		s := decodeOptions(&r, v)
		s.Filter = filter
		p.Subscriptions = append(p.Subscriptions, s)
	}
	return r.end()
}

func decodeOptions(r *reader, v Version) Subscription {
	b := r.byte("subscription options")
	if v == V31 { // the other bits are not used
		b &= optionQoS
	}
	switch {
	case v < V5 && b&optionReservedV3 != 0: // 3.1.1: [MQTT-3.8.3-4]
		r.fail(malformed(TypeSubscribe, "reserved bits of the requested QoS are set"))
	case b&optionReserved != 0: // [MQTT-3.8.3-5]
		r.fail(malformed(TypeSubscribe, "reserved bits of the subscription options are set"))
	case b&optionQoS == optionQoS:
		r.fail(protocolError(TypeSubscribe, "requested QoS is 3"))
	case b&optionRetainHandling == optionRetainHandling:
		r.fail(protocolError(TypeSubscribe, "retain handling is 3"))
	}
	return Subscription{
		QoS:               QoS(b & optionQoS),
		NoLocal:           b&optionNoLocal != 0,
		RetainAsPublished: b&optionRetainAsPublished != 0,
		RetainHandling:    b & optionRetainHandling >> 4,
	}
}

// Append appends the packet to dst.
func (p *Subscribe) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeSubscribe, TypeSubscribe.flags(), p.length(v))
	dst = binary.BigEndian.AppendUint16(dst, p.ID)
	if v >= V5 {
		dst = p.Properties.append(dst, TypeSubscribe)
	}
	for i := range p.Subscriptions {
		s := &p.Subscriptions[i]
		dst = append(appendBinary(dst, s.Filter), s.options(v))
	}
	return dst
}

// Size returns how many bytes Append appends.
func (p *Subscribe) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Subscribe) length(v Version) int {
	n := 2
	if v >= V5 {
		n += p.Properties.section(TypeSubscribe)
	}
	for i := range p.Subscriptions {
		n += 2 + len(p.Subscriptions[i].Filter) + 1
	}
	return n
}

func (s *Subscription) options(v Version) byte {
	b := byte(s.QoS) & optionQoS
	if v < V5 {
		return b
	}
	if s.NoLocal {
		b |= optionNoLocal
	}
	if s.RetainAsPublished {
		b |= optionRetainAsPublished
	}
	return b | s.RetainHandling<<4&optionRetainHandling
}
