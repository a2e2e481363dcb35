package packet

import "encoding/binary"

// Suback is SUBACK, with a reason code for each subscription that was asked
// for, in their order.
type Suback struct {
	ID         uint16
	Reasons    []ReasonCode
	Properties Properties
}

// Decode fills p from the body of a SUBACK. Slices in p's properties alias
// body; Reasons is a copy.
func (p *Suback) Decode(v Version, body []byte) error {
	r := reader{b: body, typ: TypeSuback}
	p.Reasons = p.Reasons[:0]
	p.Properties.Reset()
	p.ID = r.packetID()
	if v >= V5 {
		p.Properties.decode(&r, TypeSuback)
	}
	p.Reasons = r.reasons(p.Reasons)
	if v < V5 {
		checkSubackV3(&r, p.Reasons)
	}
	return r.end()
}

// checkSubackV3 refuses what is no return code of MQTT 3.x, 3.1.1 [MQTT-3.9.3-2].
func checkSubackV3(r *reader, reasons []ReasonCode) {
	for _, c := range reasons {
		if c > ReasonGrantedQoS2 && c != ReasonUnspecifiedError {
			r.fail(protocolError(TypeSuback, "return code "+c.hex()+" is reserved"))
		}
	}
}

// reasons reads the rest of the packet, a list of one or more reason codes.
func (r *reader) reasons(dst []ReasonCode) []ReasonCode {
	if r.err == nil && len(r.b) == 0 {
		r.fail(protocolError(r.typ, "there is no reason code"))
	}
	for len(r.b) > 0 {
		dst = append(dst, r.reason())
	}
	return dst
}

// Append appends the packet to dst. In MQTT 3.x the return codes are those of
// SubackV3.
func (p *Suback) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeSuback, 0, p.length(v))
	dst = binary.BigEndian.AppendUint16(dst, p.ID)
	if v < V5 {
		for _, c := range p.Reasons {
			dst = append(dst, c.SubackV3())
		}
		return dst
	}
	return appendReasons(p.Properties.append(dst, TypeSuback), TypeSuback, p.Reasons)
}

// Size returns how many bytes Append appends.
func (p *Suback) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Suback) length(v Version) int {
	n := 2 + len(p.Reasons)
	if v >= V5 {
		n += p.Properties.section(TypeSuback)
	}
	return n
}

func appendReasons(dst []byte, t Type, reasons []ReasonCode) []byte {
	for _, c := range reasons {
		dst = append(dst, byte(c.within(t)))
	}
	return dst
}
