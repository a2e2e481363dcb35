package packet

import "encoding/binary"

// Unsuback is UNSUBACK, with a reason code for each topic filter of the
// UNSUBSCRIBE, in their order. MQTT 3.x has none.
type Unsuback struct {
	ID         uint16
	Reasons    []ReasonCode
	Properties Properties
}

// Decode fills p from the body of an UNSUBACK. Slices in p's properties alias
// body; Reasons is a copy.
func (p *Unsuback) Decode(v Version, body []byte) error {
	r := reader{b: body, typ: TypeUnsuback}
	p.Reasons = p.Reasons[:0]
	p.Properties.Reset()
	p.ID = r.packetID()
	if v >= V5 {
		p.Properties.decode(&r, TypeUnsuback)
		p.Reasons = r.reasons(p.Reasons)
	}
	return r.end()
}

// Append appends the packet to dst.
func (p *Unsuback) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeUnsuback, 0, p.length(v))
	dst = binary.BigEndian.AppendUint16(dst, p.ID)
	if v < V5 {
		return dst
	}
	return appendReasons(p.Properties.append(dst, TypeUnsuback), TypeUnsuback, p.Reasons)
}

// Size returns how many bytes Append appends.
func (p *Unsuback) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Unsuback) length(v Version) int {
	if v < V5 {
		return 2
	}
	return 2 + p.Properties.section(TypeUnsuback) + len(p.Reasons)
}
