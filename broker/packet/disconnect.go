package packet

// Disconnect is DISCONNECT, the last packet of either side. In MQTT 3.x only
// the client sends it, and it says no more than that.
type Disconnect struct {
	Reason     ReasonCode
	Properties Properties
}

// Decode fills p from the body of a DISCONNECT. Slices in p alias body.
func (p *Disconnect) Decode(v Version, body []byte) error {
	r := reader{b: body, typ: TypeDisconnect}
	p.Reason = ReasonNormalDisconnection
	p.Properties.Reset()
	if v >= V5 {
		if len(r.b) > 0 {
			p.Reason = r.reason() // [MQTT-3.14.2-1]
		}
		if len(r.b) > 0 {
			p.Properties.decode(&r, TypeDisconnect)
		}
	}
	return r.end()
}

// Append appends the packet to dst, in the shortest form that says all.
func (p *Disconnect) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeDisconnect, 0, p.length(v))
	return appendReason(dst, v, TypeDisconnect, p.Reason, &p.Properties)
}

// Size returns how many bytes Append appends.
func (p *Disconnect) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Disconnect) length(v Version) int {
	return reasonSize(v, TypeDisconnect, p.Reason, &p.Properties)
}
