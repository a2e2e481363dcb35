package packet

// Auth is AUTH, a step of an extended authentication. MQTT 3.x has no such
// packet.
type Auth struct {
	Reason     ReasonCode
	Properties Properties
}

// Decode fills p from the body of an AUTH. Slices in p alias body. The packet
// has an authentication method unless it says nothing but success; that it is
// the one of the CONNECT [MQTT-4.12.0-5] is for the caller to check.
func (p *Auth) Decode(v Version, body []byte) error {
	r := reader{b: body, typ: TypeAuth}
	p.Reason = ReasonSuccess
	p.Properties.Reset()
	if v < V5 {
		return protocolError(TypeAuth, "there is no such packet before MQTT 5")
	}
	if len(r.b) > 0 {
		p.Reason = r.reason() // [MQTT-3.15.2-1]
	}
	if len(r.b) > 0 {
		p.Properties.decode(&r, TypeAuth)
	}
	if !p.Properties.Has(PropAuthMethod) && (p.Reason != ReasonSuccess || !p.Properties.Empty()) {
		r.fail(protocolError(TypeAuth, "there is no authentication method"))
	}
	return r.end()
}

// Append appends the packet to dst, in the shortest form that says all.
func (p *Auth) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeAuth, 0, p.length(v))
	return appendReason(dst, v, TypeAuth, p.Reason, &p.Properties)
}

// Size returns how many bytes Append appends.
func (p *Auth) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Auth) length(v Version) int {
	return reasonSize(v, TypeAuth, p.Reason, &p.Properties)
}
