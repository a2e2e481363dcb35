package packet

import "encoding/binary"

// Ack is PUBACK, PUBREC, PUBREL or PUBCOMP; Type tells which.
type Ack struct {
	Type       Type
	Reason     ReasonCode // always success in MQTT 3.x
	ID         uint16
	Properties Properties
}

// Decode fills p from the body of the packet of type t. Slices in p alias body.
func (p *Ack) Decode(v Version, t Type, body []byte) error {
	p.Type = t
	p.Reason = ReasonSuccess
	p.Properties.Reset()
	if len(body) == 2 {
		p.ID = binary.BigEndian.Uint16(body)
		if p.ID != 0 {
			return nil
		}
	}
	return p.decode(v, body)
}

// decode decodes the forms that are rarer than the packet identifier alone.
func (p *Ack) decode(v Version, body []byte) error {
	r := reader{b: body, typ: p.Type}
	p.ID = r.packetID()
	if v >= V5 {
		if len(r.b) > 0 {
			p.Reason = r.reason()
		}
		if len(r.b) > 0 {
			p.Properties.decode(&r, p.Type)
		}
	}
	return r.end()
}

// Append appends the packet to dst, in the shortest form that says all.
func (p *Ack) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, p.Type, p.Type.flags(), p.length(v))
	dst = binary.BigEndian.AppendUint16(dst, p.ID)
	return appendReason(dst, v, p.Type, p.Reason, &p.Properties)
}

// Size returns how many bytes Append appends.
func (p *Ack) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Ack) length(v Version) int {
	return 2 + reasonSize(v, p.Type, p.Reason, &p.Properties)
}

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP that reports success,
// which is the same four bytes in all versions.
func AppendAck(dst []byte, t Type, id uint16) []byte {
	return append(dst, byte(t)<<4|t.flags(), 2, byte(id>>8), byte(id))
}

// AppendAckReason appends a PUBACK, PUBREC, PUBREL or PUBCOMP with a reason
// code and without properties. MQTT 3.x has no reason codes, so that the packet
// says success there.
func AppendAckReason(dst []byte, v Version, t Type, id uint16, reason ReasonCode) []byte {
	if v < V5 || reason == ReasonSuccess {
		return AppendAck(dst, t, id)
	}
	return append(dst, byte(t)<<4|t.flags(), 3, byte(id>>8), byte(id), byte(reason.within(t)))
}

// appendReason appends the end of a packet in which success without properties
// takes no bytes, and a reason without properties takes one [MQTT-3.4.2-1].
func appendReason(dst []byte, v Version, t Type, reason ReasonCode, props *Properties) []byte {
	switch reasonSize(v, t, reason, props) {
	case 0:
		return dst
	case 1:
		return append(dst, byte(reason.within(t)))
	}
	return props.append(append(dst, byte(reason.within(t))), t)
}

func reasonSize(v Version, t Type, reason ReasonCode, props *Properties) int {
	if v < V5 {
		return 0
	}
	switch {
	case props.size(t) > 0:
		return 1 + props.section(t)
	case reason != ReasonSuccess:
		return 1
	}
	return 0
}
