package packet

import "encoding/binary"

// Unsubscribe is UNSUBSCRIBE, which ends one or more subscriptions.
type Unsubscribe struct {
	ID         uint16
	Filters    [][]byte
	Properties Properties
}

// Decode fills p from the body of an UNSUBSCRIBE. Slices in p alias body.
func (p *Unsubscribe) Decode(v Version, body []byte) error {
	r := reader{b: body, typ: TypeUnsubscribe}
	clear(p.Filters)
	p.Filters = p.Filters[:0]
	p.Properties.Reset()
	p.ID = r.packetID()
	if v >= V5 {
		p.Properties.decode(&r, TypeUnsubscribe)
	}
	if r.err == nil && len(r.b) == 0 { // [MQTT-3.10.3-2]
		return protocolError(TypeUnsubscribe, "there is no topic filter")
	}
	for len(r.b) > 0 {
		p.Filters = append(p.Filters, r.string("topic filter")) // [MQTT-3.10.3-1]
	}
	return r.end()
}

// Append appends the packet to dst.
func (p *Unsubscribe) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeUnsubscribe, TypeUnsubscribe.flags(), p.length(v))
	dst = binary.BigEndian.AppendUint16(dst, p.ID)
	if v >= V5 {
		dst = p.Properties.append(dst, TypeUnsubscribe)
	}
	for _, f := range p.Filters {
		dst = appendBinary(dst, f)
	}
	return dst
}

// Size returns how many bytes Append appends.
func (p *Unsubscribe) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Unsubscribe) length(v Version) int {
	n := 2
	if v >= V5 {
		n += p.Properties.section(TypeUnsubscribe)
	}
	for _, f := range p.Filters {
		n += 2 + len(f)
	}
	return n
}
