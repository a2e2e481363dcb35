package packet

// Connack is CONNACK, the server's answer to CONNECT.
type Connack struct {
	SessionPresent bool // not in MQTT 3.1
	Reason         ReasonCode
	Properties     Properties
}

// Decode fills p from the body of a CONNACK. Slices in p alias body. The return
// codes of MQTT 3.x become the reason codes that mean the same.
func (p *Connack) Decode(v Version, body []byte) error {
	r := reader{b: body, typ: TypeConnack}
	p.Properties.Reset()
	flags := r.byte("acknowledge flags")
	if v == V31 { // a reserved byte
		flags = 0
	}
	p.SessionPresent = flags&1 != 0
	p.Reason = connackReason(&r, v)
	switch {
	case r.err != nil:
	case flags > 1: // [MQTT-3.2.2-1]
		r.fail(malformed(TypeConnack, "reserved acknowledge flags are set"))
	case p.SessionPresent && p.Reason != ReasonSuccess: // [MQTT-3.2.2-6]
		r.fail(protocolError(TypeConnack, "session present with a failure"))
	}
	if v >= V5 {
		p.Properties.decode(&r, TypeConnack)
	}
	return r.end()
}

func connackReason(r *reader, v Version) ReasonCode {
	if v >= V5 {
		return r.reason()
	}
	code := r.byte("return code")
	if int(code) >= len(connackReasons) {
		r.fail(protocolError(TypeConnack, "return code "+ReasonCode(code).hex()+" is reserved"))
		return ReasonUnspecifiedError
	}
	return connackReasons[code]
}

// Append appends the packet to dst. In MQTT 3.x the return code is that of
// ConnackV3. Session present is left out where the specification forbids it:
// with a failure [MQTT-3.2.2-6] and in MQTT 3.1.
func (p *Connack) Append(dst []byte, v Version) []byte {
	var flags byte
	if p.SessionPresent && p.Reason == ReasonSuccess && v != V31 {
		flags = 1
	}
	dst = appendHeader(dst, TypeConnack, 0, p.length(v))
	if v < V5 {
		return append(dst, flags, p.Reason.ConnackV3())
	}
	dst = append(dst, flags, byte(p.Reason.within(TypeConnack)))
	return p.Properties.append(dst, TypeConnack)
}

// Size returns how many bytes Append appends.
func (p *Connack) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Connack) length(v Version) int {
	if v < V5 {
		return 2
	}
	return 2 + p.Properties.section(TypeConnack)
}
